//! Finds the SPDK to use, in one order for everybody.
//!
//! The build script of `spdk-sys` and `xtask` both include this file, so that a set-up step and a build never
//! disagree about which SPDK is in use. It needs nothing but `std`.
//!
//! The order: `SPDK_DIR`, pkg-config, the well-known prefixes, the cache that `cargo xtask setup` fills.
//! `SPDK_DIR` is an order, not a hint: when it is set and cannot be used, the search ends there.

// Each of the two programs that include this file uses a part of it.
#![allow(dead_code, unused_imports)]

#[path = "find/help.rs"]
mod help;
#[path = "find/layout.rs"]
mod layout;

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use help::NotFound;
pub(crate) use layout::{Layout, Unusable, Version, examine};

/// The oldest and the newest SPDK release that is supported.
pub(crate) const SUPPORTED: (Version, Version) = (Version::new(24, 5), Version::new(26, 5));

/// The release that `cargo xtask setup` builds.
pub(crate) const SETUP_VERSION: Version = Version::new(26, 1);

/// Counts the changes of the recipe by which `cargo xtask setup` builds SPDK.
///
/// Raising it makes every cached installation a stale one, which is then built again.
pub(crate) const RECIPE_REVISION: u32 = 1;

/// Prefixes where an administrator may have installed SPDK.
pub(crate) const WELL_KNOWN: [&str; 3] = ["/usr/local", "/usr", "/opt/spdk"];

/// Environment variables that change the outcome of the search.
pub(crate) const VARIABLES: [&str; 7] = [
    "SPDK_DIR",
    "PKG_CONFIG",
    "PKG_CONFIG_PATH",
    "PKG_CONFIG_LIBDIR",
    "SPDK_RS_CACHE",
    "XDG_CACHE_HOME",
    "HOME",
];

/// An SPDK that can be used.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The install prefix, or the root of the source tree.
    pub(crate) prefix: PathBuf,
    /// The folder that holds `spdk/version.h`.
    pub(crate) include: PathBuf,
    /// The folder that holds `libspdk_event`.
    pub(crate) lib: PathBuf,
    /// Folders with this installation's own `.pc` files.
    pub(crate) pkgconfig: Vec<PathBuf>,
    /// What `spdk/version.h` says.
    pub(crate) version: Version,
    /// Which step of the search found it.
    pub(crate) how: How,
    /// Installations that came earlier in the order but cannot be used.
    pub(crate) passed_over: Vec<Tried>,
}

/// A step of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The variable `SPDK_DIR`.
    SpdkDir,
    /// A `.pc` file on `PKG_CONFIG_PATH` or on the system's path.
    PkgConfig,
    /// One of [`WELL_KNOWN`].
    WellKnown,
    /// The cache that `cargo xtask setup` fills.
    Cache,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::SpdkDir => "SPDK_DIR",
            How::PkgConfig => "pkg-config",
            How::WellKnown => "well-known prefix",
            How::Cache => "cache of `cargo xtask setup`",
        })
    }
}

/// One place that was looked at, and why it was not taken.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) how: How,
    pub(crate) place: PathBuf,
    pub(crate) why: Unusable,
}

/// Finds the SPDK that this process's environment points to.
pub(crate) fn find() -> Result<Found, NotFound> {
    Search::from_env().run()
}

/// Where to look. Taken apart from [`find`] so that tests need not change the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    pub(crate) spdk_dir: Option<PathBuf>,
    pub(crate) pkg_config: PkgConfigPath,
    pub(crate) well_known: Vec<PathBuf>,
    pub(crate) cache: Vec<PathBuf>,
}

/// The folders where pkg-config looks for `.pc` files.
#[derive(Clone, Debug, Default)]
pub(crate) struct PkgConfigPath {
    pub(crate) dirs: Vec<PathBuf>,
    /// Why the system's own folders are not among `dirs`.
    pub(crate) problem: Option<String>,
}

impl Search {
    /// The search that the environment of this process asks for.
    pub(crate) fn from_env() -> Self {
        Search {
            spdk_dir: non_empty("SPDK_DIR"),
            pkg_config: PkgConfigPath::from_env(),
            well_known: WELL_KNOWN.iter().map(PathBuf::from).collect(),
            cache: [cache_source_prefix(), cache_prefix()]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    /// Looks at each place in order and takes the first that can be used.
    pub(crate) fn run(&self) -> Result<Found, NotFound> {
        let mut tried = Vec::new();
        for (how, place) in self.places() {
            match examine(&place) {
                Ok(layout) => return Ok(Found::new(layout, how, tried)),
                Err(why) => tried.push(Tried { how, place, why }),
            }
            if how == How::SpdkDir {
                break;
            }
        }
        Err(NotFound {
            search: Box::new(self.clone()),
            tried,
        })
    }

    fn places(&self) -> impl Iterator<Item = (How, PathBuf)> {
        let own = self.spdk_dir.iter().cloned().map(|p| (How::SpdkDir, p));
        let pkg_config = self.pkg_config.dirs.iter();
        let pkg_config = pkg_config
            .filter(|dir| dir.join("spdk_event.pc").is_file())
            .map(|dir| (How::PkgConfig, layout::owner_of(dir)));
        let well_known = self.well_known.iter().cloned();
        let cache = self.cache.iter().cloned();
        own.chain(pkg_config)
            .chain(well_known.map(|p| (How::WellKnown, p)))
            .chain(cache.map(|p| (How::Cache, p)))
    }
}

impl Found {
    fn new(layout: Layout, how: How, mut tried: Vec<Tried>) -> Self {
        tried.retain(|t| !matches!(t.why, Unusable::Absent | Unusable::NoFolder));
        Found {
            prefix: layout.prefix,
            include: layout.include,
            lib: layout.lib,
            pkgconfig: layout.pkgconfig,
            version: layout.version,
            how,
            passed_over: tried,
        }
    }
}

impl PkgConfigPath {
    /// `PKG_CONFIG_PATH`, then `PKG_CONFIG_LIBDIR` or what the pkg-config program says of this system.
    pub(crate) fn from_env() -> Self {
        let mut dirs = path_list("PKG_CONFIG_PATH");
        let mut problem = None;
        if non_empty("PKG_CONFIG_LIBDIR").is_some() {
            dirs.extend(path_list("PKG_CONFIG_LIBDIR"));
        } else {
            match system_pc_path() {
                Ok(system) => dirs.extend(system),
                Err(why) => problem = Some(why),
            }
        }
        PkgConfigPath { dirs, problem }
    }
}

fn system_pc_path() -> Result<Vec<PathBuf>, String> {
    let program = non_empty("PKG_CONFIG").unwrap_or_else(|| PathBuf::from("pkg-config"));
    let output = Command::new(&program)
        .args(["--variable=pc_path", "pkg-config"])
        .output()
        .map_err(|e| {
            let program = program.display();
            format!(
                "`{program}` cannot be run ({e}); on Debian it is in the package `pkg-config`, \
                 and the variable PKG_CONFIG names another program"
            )
        })?;
    if !output.status.success() {
        let program = program.display();
        return Err(format!("`{program}` failed with {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(env::split_paths(text.trim()).collect())
}

/// The folder that holds everything that `cargo xtask setup` keeps.
///
/// `$SPDK_RS_CACHE`, else `$XDG_CACHE_HOME/spdk-rs`, else `~/.cache/spdk-rs`. `None` without a home folder.
pub(crate) fn cache_root() -> Option<PathBuf> {
    if let Some(root) = non_empty("SPDK_RS_CACHE") {
        return Some(std::path::absolute(&root).unwrap_or(root));
    }
    // The XDG specification has relative paths ignored.
    if let Some(xdg) = non_empty("XDG_CACHE_HOME").filter(|p| p.is_absolute()) {
        return Some(xdg.join("spdk-rs"));
    }
    let home = env::home_dir().filter(|p| !p.as_os_str().is_empty())?;
    Some(home.join(".cache/spdk-rs"))
}

/// Where `cargo xtask setup` installs the release that it obtains itself.
pub(crate) fn cache_prefix() -> Option<PathBuf> {
    let folder = format!("spdk-{SETUP_VERSION}-r{RECIPE_REVISION}");
    Some(cache_root()?.join(folder))
}

/// Where `cargo xtask setup --source DIR` installs. It comes before [`cache_prefix`], since somebody asked for it.
pub(crate) fn cache_source_prefix() -> Option<PathBuf> {
    Some(cache_root()?.join("spdk-source"))
}

fn non_empty(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

fn path_list(variable: &str) -> Vec<PathBuf> {
    let list = env::var_os(variable).unwrap_or_default();
    env::split_paths(&list)
        .filter(|p| !p.as_os_str().is_empty())
        .collect()
}
