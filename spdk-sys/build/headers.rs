//! Chooses the headers to bind: every public one that the installation ships and that can be compiled.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Without these there is nothing worth binding: when one of them does not compile, the fault lies elsewhere.
const INDISPENSABLE: [&str; 4] = [
    "spdk/bdev.h",
    "spdk/event.h",
    "spdk/nvme.h",
    "spdk/thread.h",
];

/// Two headers that declare the same names, so that one translation unit cannot hold both.
///
/// The first is left out when both could be compiled.
const CONFLICTS: [(&str, &str); 1] = [
    // libvfio-user declares the protocol's types again.
    ("spdk/vfu_target.h", "spdk/vfio_user_spec.h"),
];

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
    /// libclang refused it, or a header that it includes.
    Refused(String),
}

impl LeftOut {
    /// Whether this is worth a warning: a file that is not installed is no surprise, a syntax error is.
    pub(crate) fn is_surprising(&self) -> bool {
        matches!(&self.why, Why::Refused(message) if !message.contains("file not found"))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.header;
        match &self.why {
            Why::Needs(file) => write!(f, "{header}: includes {file}, which is not installed"),
            Why::ConflictsWith(other) => write!(f, "{header}: declares the same names as {other}"),
            Why::Refused(message) => write!(f, "{header}: {message}"),
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

impl Headers {
    /// Leaves out what `errors`, libclang's text, blames, so that one broken header does not cost all the others.
    ///
    /// Says whether there is anything to try again.
    pub(crate) fn leave_out_refused(&mut self, include: &Path, errors: &str) -> bool {
        let root = format!("{}/", include.display());
        let blamed = errors.lines().find_map(|line| {
            let (_, place) = line.split_once(&root)?;
            let (file, message) = place.split_once(':')?;
            let message = message.split_once("error: ")?.1;
            Some((file.to_owned(), message.to_owned()))
        });
        let Some((file, message)) = blamed else {
            return false;
        };
        let concerned = |header: &String| includes(include, header).contains(&file);
        let (out, bound): (Vec<_>, Vec<_>) = self.bound.drain(..).partition(concerned);
        self.bound = bound;
        let hopeless = out.is_empty() || out.iter().any(|h| INDISPENSABLE.contains(&h.as_str()));
        self.left_out.extend(out.into_iter().map(|header| LeftOut {
            why: Why::Refused(format!("does not compile ({file}: {message})")),
            header,
        }));
        !hopeless
    }
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

/// The header itself and all headers of the installation that it may include.
fn includes(include: &Path, header: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![header.to_owned()];
    while let Some(header) = open.pop() {
        if seen.insert(header.clone()) {
            let files = inclusions(include, &header).into_iter().map(|i| i.file);
            open.extend(files.filter(|file| include.join(file).is_file()));
        }
    }
    seen
}

/// The first file that `header`, or a header that it includes, asks for and that is not there.
///
/// What is asked for under some condition is left to libclang.
fn missing_include(
    include: &Path,
    system: &[PathBuf],
    header: &str,
    seen: &mut BTreeSet<String>,
) -> Option<String> {
    if !seen.insert(header.to_owned()) {
        return None;
    }
    let folder = include.join(header).parent().map(Path::to_owned);
    let folders: Vec<&PathBuf> = folder.iter().chain(system).collect();
    let needed = inclusions(include, header).into_iter();
    needed.filter(|i| !i.conditional).find_map(|i| {
        if include.join(&i.file).is_file() {
            return missing_include(include, system, &i.file, seen);
        }
        let is_there = folders.iter().any(|dir| dir.join(&i.file).is_file());
        (!is_there).then_some(i.file)
    })
}

struct Inclusion {
    file: String,
    /// It stands between `#if` and `#endif`, other than those that guard the whole header.
    conditional: bool,
}

fn inclusions(include: &Path, header: &str) -> Vec<Inclusion> {
    let text = fs::read(include.join(header)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let directives: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix('#'))
        .map(str::trim)
        .collect();
    let guard = match directives.as_slice() {
        [first, second, ..] => {
            let name = first.strip_prefix("ifndef").map(str::trim);
            let defined = second.strip_prefix("define").map(str::trim);
            usize::from(name.is_some() && name == defined)
        }
        _ => 0,
    };
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for directive in directives {
        if directive.starts_with("if") {
            depth += 1;
        } else if directive.starts_with("endif") {
            depth = depth.saturating_sub(1);
        } else if let Some(file) = directive.strip_prefix("include").and_then(quoted) {
            found.push(Inclusion {
                file: file.to_owned(),
                conditional: depth > guard,
            });
        }
    }
    found
}

fn quoted(text: &str) -> Option<&str> {
    let text = text.trim_start().strip_prefix(['"', '<'])?;
    text.split(['"', '>']).next()
}
