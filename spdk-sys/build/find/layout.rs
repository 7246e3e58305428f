//! Tells what a folder holds: an install prefix, a built source tree, or nothing of use.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SUPPORTED;

/// Where `make install` may put libraries, below the prefix.
const LIB_FOLDERS: [&str; 4] = [
    "lib",
    "lib64",
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
];

/// A release of SPDK, such as 26.01, with the patch level of its maintenance branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    pub(crate) const fn new(major: u32, minor: u32) -> Self {
        Version {
            major,
            minor,
            patch: 0,
        }
    }

    /// Reads the text of `spdk/version.h`.
    pub(crate) fn parse_header(text: &str) -> Option<Self> {
        let number = |name: &str| {
            text.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some("#define") && words.next() == Some(name))
                    .then(|| words.next()?.parse().ok())
                    .flatten()
            })
        };
        Some(Version {
            major: number("SPDK_VERSION_MAJOR")?,
            minor: number("SPDK_VERSION_MINOR")?,
            patch: number("SPDK_VERSION_PATCH")?,
        })
    }

    /// The same release without its patch level.
    pub(crate) fn release(self) -> Self {
        Version::new(self.major, self.minor)
    }

    /// Whether this crate supports it.
    pub(crate) fn is_supported(self) -> bool {
        (SUPPORTED.0..=SUPPORTED.1).contains(&self.release())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.major, self.minor)?;
        match self.patch {
            0 => Ok(()),
            patch => write!(f, ".{patch}"),
        }
    }
}

/// Where the parts of one SPDK are.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) prefix: PathBuf,
    pub(crate) include: PathBuf,
    pub(crate) lib: PathBuf,
    pub(crate) pkgconfig: Vec<PathBuf>,
    pub(crate) version: Version,
}

/// Why a folder is not an SPDK that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// There is no SPDK there, nor a trace of one.
    Absent,
    /// The folder itself does not exist.
    NoFolder,
    /// A relative path, which means something else in every package that is built.
    Relative,
    /// A folder could not be read.
    Unreadable(PathBuf, String),
    /// A source tree that was not built.
    NotBuilt(Version),
    /// Headers without libraries.
    NoLibraries(Version),
    /// Libraries without `.pc` files.
    NoPkgConfig(Version, PathBuf),
    /// `version.h` is not what it should be.
    BadVersionHeader(PathBuf),
    /// A release outside of the supported range.
    OutOfRange(Version),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Absent => write!(f, "no include/spdk/version.h"),
            Unusable::NoFolder => write!(f, "no such folder"),
            Unusable::Relative => write!(
                f,
                "a relative path, which cargo would resolve in each package's own folder: give the absolute one"
            ),
            Unusable::Unreadable(path, why) => write!(f, "cannot read {}: {why}", path.display()),
            Unusable::NotBuilt(v) => write!(
                f,
                "the source tree of SPDK {v}, not built: run `./configure` and `make` in it, \
                 or `cargo xtask setup --source` with this folder"
            ),
            Unusable::NoLibraries(v) => write!(
                f,
                "has the headers of SPDK {v}, but neither libspdk_event.a nor libspdk_event.so in {}",
                LIB_FOLDERS.join(", ")
            ),
            Unusable::NoPkgConfig(v, lib) => write!(
                f,
                "has SPDK {v}, but no spdk_event.pc in {}: `make install` was not completed",
                lib.join("pkgconfig").display()
            ),
            Unusable::BadVersionHeader(path) => {
                write!(
                    f,
                    "{} does not define SPDK_VERSION_MAJOR, _MINOR and _PATCH",
                    path.display()
                )
            }
            Unusable::OutOfRange(v) => write!(
                f,
                "has SPDK {v}; supported are {} to {}",
                SUPPORTED.0, SUPPORTED.1
            ),
        }
    }
}

/// Says where the parts of the SPDK at `root` are, or why it cannot be used.
pub(crate) fn examine(root: &Path) -> Result<Layout, Unusable> {
    if root.is_relative() {
        return Err(Unusable::Relative);
    }
    let root = match root.parent() {
        Some(tree) if root.ends_with("build") && is_source_tree(tree) => tree,
        _ => root,
    };
    let include = root.join("include");
    let header = include.join("spdk/version.h");
    let text = match fs::read_to_string(&header) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !root.exists() => {
            return Err(Unusable::NoFolder);
        }
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(Unusable::Absent);
        }
        Err(e) => return Err(Unusable::Unreadable(header, e.to_string())),
    };
    let version = Version::parse_header(&text).ok_or(Unusable::BadVersionHeader(header))?;
    if !version.is_supported() {
        return Err(Unusable::OutOfRange(version));
    }

    let is_source_tree = is_source_tree(root);
    let lib = if is_source_tree {
        Some(root.join("build/lib")).filter(|lib| holds_spdk(lib))
    } else {
        let mut folders = LIB_FOLDERS.iter().map(|folder| root.join(folder));
        folders.find(|lib| holds_spdk(lib))
    };
    let lib = lib.ok_or(if is_source_tree {
        Unusable::NotBuilt(version)
    } else {
        Unusable::NoLibraries(version)
    })?;

    if !lib.join("pkgconfig/spdk_event.pc").is_file() {
        return Err(Unusable::NoPkgConfig(version, lib));
    }
    let mut pkgconfig = vec![lib.join("pkgconfig")];
    let dpdk = root.join("dpdk/build/lib/pkgconfig");
    if is_source_tree && dpdk.is_dir() {
        pkgconfig.push(dpdk);
    }
    Ok(Layout {
        prefix: root.to_owned(),
        include,
        lib,
        pkgconfig,
        version,
    })
}

fn is_source_tree(root: &Path) -> bool {
    root.join("configure").is_file() && root.join("lib/bdev").is_dir()
}

fn holds_spdk(lib: &Path) -> bool {
    ["a", "so"]
        .iter()
        .any(|ext| lib.join("libspdk_event").with_extension(ext).exists())
}

/// The prefix or source tree that a folder of `.pc` files belongs to.
///
/// The paths inside SPDK's `.pc` files are of no use here: they are absolute, and wrong once the files were moved.
pub(crate) fn owner_of(pc_dir: &Path) -> PathBuf {
    let ancestors = pc_dir.ancestors().skip(2).take(3);
    ancestors
        .into_iter()
        .find(|dir| dir.join("include/spdk/version.h").is_file())
        .unwrap_or(pc_dir)
        .to_owned()
}
