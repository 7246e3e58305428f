//! Chooses the headers to bind: every public one that the installation ships and that can be compiled.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Two headers that declare the same names, so that one translation unit cannot hold both.
///
/// The first is left out when both could be compiled.
const CONFLICTS: [(&str, &str); 1] = [
    // libvfio-user declares the protocol's types again.
    ("spdk/vfu_target.h", "spdk/vfio_user_spec.h"),
];

/// Folders of the C library and of Linux. SPDK's headers guard what not every system has with `#ifdef`.
const SYSTEM: [&str; 6] = ["sys", "net", "netinet", "arpa", "linux", "asm"];

/// The headers of one installation, sorted into those that are bound and those that are not.
pub(crate) struct Headers {
    /// As they are written in `#include`, sorted.
    pub(crate) bound: Vec<String>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A header that is not bound.
pub(crate) struct LeftOut {
    pub(crate) header: String,
    pub(crate) why: Why,
}

/// Why a header is not bound.
pub(crate) enum Why {
    /// It includes a file that is not installed.
    Needs(String),
    /// It cannot be compiled together with another one.
    ConflictsWith(&'static str),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.header;
        match &self.why {
            Why::Needs(file) => write!(f, "{header}: includes {file}, which is not installed"),
            Why::ConflictsWith(other) => write!(f, "{header}: declares the same names as {other}"),
        }
    }
}

/// Lists the public headers below `include`. `system` are the compiler's own folders.
pub(crate) fn choose(include: &Path, system: &[PathBuf]) -> io::Result<Headers> {
    let mut all = BTreeSet::new();
    collect(include, Path::new("spdk"), &mut all)?;

    let mut bound = Vec::new();
    let mut left_out = Vec::new();
    for header in &all {
        match missing_include(include, system, header, &mut BTreeSet::new()) {
            None => bound.push(header.clone()),
            Some(file) => left_out.push(LeftOut {
                header: header.clone(),
                why: Why::Needs(file),
            }),
        }
    }
    for (loser, other) in CONFLICTS {
        let position = bound.iter().position(|h| h == loser);
        if let Some(position) = position.filter(|_| bound.iter().any(|h| h == other)) {
            left_out.push(LeftOut {
                header: bound.remove(position),
                why: Why::ConflictsWith(other),
            });
        }
    }
    Ok(Headers { bound, left_out })
}

fn collect(include: &Path, folder: &Path, found: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(include.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            collect(include, &path, found)?;
        } else if let Some(header) = path.to_str().filter(|p| p.ends_with(".h")) {
            found.insert(header.to_owned());
        }
    }
    Ok(())
}

/// The first file that `header`, or a header that it includes, asks for and that is not there.
fn missing_include(
    include: &Path,
    system: &[PathBuf],
    header: &str,
    seen: &mut BTreeSet<String>,
) -> Option<String> {
    if !seen.insert(header.to_owned()) {
        return None;
    }
    let text = fs::read(include.join(header)).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(included_file).find_map(|file| {
        let folder = file.split_once('/').map(|(folder, _)| folder);
        if folder.is_none_or(|folder| SYSTEM.contains(&folder)) {
            return None;
        }
        if include.join(file).is_file() {
            return missing_include(include, system, file, seen);
        }
        let elsewhere = system.iter().any(|dir| dir.join(file).is_file());
        (!elsewhere).then(|| file.to_owned())
    })
}

fn included_file(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start();
    let rest = rest.strip_prefix("include")?.trim_start();
    let rest = rest.strip_prefix(['"', '<'])?;
    rest.split(['"', '>']).next()
}
