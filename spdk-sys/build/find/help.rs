//! The page that somebody reads who has no SPDK yet.

use std::fmt;
use std::path::Path;

use super::{How, SETUP_VERSION, SUPPORTED, Search, Tried, Unusable, cache_root};

/// No SPDK can be used. Its `Display` is the whole page of help.
#[derive(Debug)]
pub(crate) struct NotFound {
    pub(crate) search: Box<Search>,
    pub(crate) tried: Vec<Tried>,
}

impl std::error::Error for NotFound {}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tried.as_slice() {
            [only] if only.how == How::SpdkDir => self.bad_spdk_dir(f, only),
            _ => self.nothing_found(f),
        }
    }
}

impl NotFound {
    /// Whether a variable of the user's is at fault, so that building another SPDK would not help.
    pub(crate) fn is_bad_spdk_dir(&self) -> bool {
        matches!(self.tried.as_slice(), [only] if only.how == How::SpdkDir)
    }

    fn bad_spdk_dir(&self, f: &mut fmt::Formatter<'_>, tried: &Tried) -> fmt::Result {
        writeln!(f, "SPDK_DIR is set, but cannot be used.\n")?;
        writeln!(f, "  SPDK_DIR={}", tried.place.display())?;
        writeln!(f, "  {}\n", tried.why)?;
        writeln!(
            f,
            "Set SPDK_DIR to an install prefix of SPDK (the --prefix of its configure, after `make install`)"
        )?;
        writeln!(f, "or to a source tree of SPDK that is built.")?;
        writeln!(
            f,
            "Unset it to have the other places searched, and to let `cargo xtask setup` build SPDK {SETUP_VERSION}."
        )
    }

    fn nothing_found(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let out_of_range = |t: &&Tried| matches!(t.why, Unusable::OutOfRange(_));
        match self.tried.iter().find(out_of_range) {
            Some(t) => writeln!(
                f,
                "No supported SPDK was found: {} {}.\n",
                t.place.display(),
                t.why
            )?,
            None => writeln!(f, "No SPDK was found on this machine.\n")?,
        }
        writeln!(f, "Searched, in this order:")?;
        self.step(f, 1, "the variable SPDK_DIR", How::SpdkDir, "not set")?;
        self.step(f, 2, "pkg-config", How::PkgConfig, &self.pkg_config_found())?;
        self.step(f, 3, "well-known prefixes", How::WellKnown, "none")?;
        let no_home = "none: SPDK_RS_CACHE and HOME are not set";
        self.step(
            f,
            4,
            "the cache of `cargo xtask setup`",
            How::Cache,
            no_home,
        )?;
        writeln!(
            f,
            "\nTo get SPDK {SETUP_VERSION}, run this in a checkout of this project:"
        )?;
        writeln!(f, "    cargo xtask setup")?;
        if let Some(root) = cache_root() {
            writeln!(
                f,
                "It builds SPDK into {} (SPDK_RS_CACHE changes that).",
                root.display()
            )?;
        }
        writeln!(
            f,
            "\nTo use an SPDK of your own ({} to {}), name its install prefix or its built source tree:",
            SUPPORTED.0, SUPPORTED.1
        )?;
        writeln!(f, "    export SPDK_DIR=/path/to/spdk")
    }

    fn step(
        &self,
        f: &mut fmt::Formatter<'_>,
        number: u32,
        title: &str,
        how: How,
        otherwise: &str,
    ) -> fmt::Result {
        writeln!(f, "  {number}. {title}")?;
        let mut tried = self.tried.iter().filter(|t| t.how == how).peekable();
        if tried.peek().is_none() {
            return writeln!(f, "       {otherwise}");
        }
        tried.try_for_each(|t| writeln!(f, "       {}: {}", t.place.display(), t.why))
    }

    fn pkg_config_found(&self) -> String {
        let path = &self.search.pkg_config;
        let dirs = path.dirs.iter().map(|d| shown(d)).collect::<Vec<_>>();
        match (&path.problem, dirs.is_empty()) {
            (None, true) => "its search path is empty".to_owned(),
            (None, false) => format!("no spdk_event.pc in {}", dirs.join(", ")),
            (Some(problem), true) => format!("not searched: {problem}"),
            (Some(problem), false) => {
                let dirs = dirs.join(", ");
                format!(
                    "no spdk_event.pc in {dirs}; the system's own folders were not searched: {problem}"
                )
            }
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
