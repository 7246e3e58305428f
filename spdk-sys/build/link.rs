//! Says how to link the installation, so that a dependent crate needs nothing but `cargo build`.
//!
//! SPDK and DPDK register subsystems, bdev modules, RPCs, transports and socket implementations in constructors, which no
//! other object refers to. The linker would leave their archive members out, so these archives are linked whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::find::{Found, PkgConfigPath};
use crate::pc::{Closure, Flag};

/// What every program gets: with all that these packages need, and whole.
///
/// The subsystems beyond those of the bdev layer are not among them, since each one that is linked is started by every
/// application: see `SUBSYSTEMS`.
const ROOTS: [&str; 10] = [
    "spdk_event",
    "spdk_event_bdev",
    "spdk_keyring_modules",
    "spdk_scheduler_modules",
    "spdk_nvmf",
    "spdk_lvol",
    "spdk_blob_bdev",
    "spdk_accel",
    "spdk_sock",
    "spdk_env_dpdk",
];

/// Subsystems that a feature of this crate adds: the feature, and the package.
const SUBSYSTEMS: [(&str, &str); 6] = [
    ("subsystem-fsdev", "spdk_event_fsdev"),
    ("subsystem-iscsi", "spdk_event_iscsi"),
    ("subsystem-nbd", "spdk_event_nbd"),
    ("subsystem-nvmf", "spdk_event_nvmf"),
    ("subsystem-scheduler", "spdk_event_scheduler"),
    ("subsystem-scsi", "spdk_event_scsi"),
];

/// The modules of these subsystems, where the installation has them: no other package asks for them.
const MODULES: [(&str, &str); 1] = [("subsystem-fsdev", "spdk_fsdev_aio")];

/// Not a library for programs: it replaces functions of SPDK in SPDK's own unit tests.
const NOT_FOR_PROGRAMS: [&str; 1] = ["spdk_ut_mock"];

/// A library written in C++, and what it needs without its `.pc` file saying so.
const CXX: (&str, &str) = ("spdk_trace_parser", "stdc++");

/// The instructions for the linker.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) libs: Vec<Lib>,
    /// Packages that a `.pc` file asks for and that are not installed.
    pub(crate) missing: BTreeSet<String>,
}

impl Plan {
    /// Adds the C++ library if there is one; else leaves out what cannot be linked without it.
    pub(crate) fn settle_cxx(&mut self, available: bool) {
        let Some(position) = self.libs.iter().position(|lib| lib.name == CXX.0) else {
            return;
        };
        if available {
            self.libs.push(Lib {
                name: CXX.1.to_owned(),
                kind: Kind::System,
            });
        } else {
            self.libs.remove(position);
        }
    }
}

/// One library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lib {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// How a library is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every member of the archive.
    Whole,
    /// The members that somebody refers to.
    Archive,
    /// A shared library of this installation, linked if somebody refers to it.
    Shared,
    /// A shared library of this installation that every program has to load: see the module `shared`.
    Loaded,
    /// A shared library of the system.
    System,
}

impl Lib {
    /// The value of cargo's `rustc-link-lib`.
    pub(crate) fn directive(&self) -> String {
        // `-bundle`: the archives stay where they are, instead of being copied into the rlib.
        let kind = match self.kind {
            Kind::Whole => "static:+whole-archive,-bundle",
            Kind::Archive => "static:-bundle",
            Kind::Shared | Kind::Loaded | Kind::System => "dylib",
        };
        format!("{kind}={}", self.name)
    }
}

/// Decides what to link. `enabled` says whether a feature of this crate is on.
pub(crate) fn plan(found: &Found, enabled: impl Fn(&str) -> bool) -> Result<Plan, Failure> {
    let mut dirs = found.pkgconfig.clone();
    dirs.extend(PkgConfigPath::from_env().dirs);

    let wanted = SUBSYSTEMS.iter().filter(|(feature, _)| enabled(feature));
    let has = |package: &str| {
        let mut dirs = found.pkgconfig.iter();
        dirs.any(|dir| dir.join(format!("{package}.pc")).is_file())
    };
    for (feature, package) in wanted.clone() {
        if !has(package) {
            return Err(Failure::new(format!(
                "The feature `{feature}` needs {package}, which the SPDK at {} was built without.",
                found.prefix.display()
            )));
        }
    }

    let modules = MODULES
        .iter()
        .filter(|(feature, package)| enabled(feature) && has(package));
    let added = wanted.chain(modules).map(|(_, package)| *package);
    let mut whole = Closure::default();
    whole.add(ROOTS.into_iter().chain(added), &dirs);

    // Whatever else the installation has can be linked by who refers to it, at no cost to who does not.
    let others = installed(found, &whole);
    let mut rest = whole.clone();
    rest.packages.clear();
    rest.add(others.iter().map(String::as_str), &dirs);

    let mut system = Closure::default();
    system.add(["spdk_syslibs"], &dirs);

    let mut linker = Linker::new(found);
    for (_, package) in &rest.packages {
        linker.add(&package.libs, Kind::Archive);
    }
    for (_, package) in &whole.packages {
        linker.add(&package.libs, Kind::Whole);
    }
    for (_, package) in &system.packages {
        linker.add(&package.libs, Kind::Archive);
    }
    linker.plan.missing.extend(whole.missing);
    Ok(linker.plan)
}

/// The packages of this installation that are not part of `whole`.
fn installed(found: &Found, whole: &Closure) -> BTreeSet<String> {
    let entries = found.lib.join("pkgconfig").read_dir();
    let entries = entries.into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name();
        let name = name.to_str()?.strip_suffix(".pc")?;
        let is_library = name.starts_with("spdk_") && name != "spdk_syslibs";
        (is_library && !NOT_FOR_PROGRAMS.contains(&name)).then(|| name.to_owned())
    });
    names.filter(|name| !whole.contains(name)).collect()
}

struct Linker {
    plan: Plan,
    /// `-L` flags, which name the build tree's own folders, or where the prefix was before somebody moved it.
    elsewhere: Vec<PathBuf>,
    done: BTreeSet<String>,
}

impl Linker {
    fn new(found: &Found) -> Self {
        Linker {
            plan: Plan {
                folders: vec![found.lib.clone()],
                ..Plan::default()
            },
            elsewhere: Vec::new(),
            done: BTreeSet::new(),
        }
    }

    fn add(&mut self, flags: &[Flag], kind: Kind) {
        let is_new = |dir: &&PathBuf| dir.is_dir();
        let folders = flags.iter().filter_map(|flag| match flag {
            Flag::Folder(dir) => Some(dir),
            _ => None,
        });
        self.elsewhere.extend(folders.filter(is_new).cloned());
        for flag in flags {
            match flag {
                Flag::Folder(_) => {}
                Flag::Lib(name) => self.add_lib(name, kind),
                Flag::Archive(path) => self.add_archive(path),
            }
        }
    }

    fn add_lib(&mut self, name: &str, kind: Kind) {
        if !self.done.insert(name.to_owned()) {
            return;
        }
        let is_ours = name.starts_with("spdk_") || name.starts_with("rte_");
        let kind = if !is_ours {
            Kind::System
        } else if self.provide(&format!("lib{name}.a")) {
            kind
        } else if self.provide(&format!("lib{name}.so")) {
            match kind {
                Kind::Whole => Kind::Loaded,
                _ => Kind::Shared,
            }
        } else {
            // A .pc file without its library: built, but not installed.
            self.plan.missing.insert(name.to_owned());
            return;
        };
        self.push(name, kind);
    }

    /// SPDK names the archives of ISA-L by their place in the build tree, which may be gone. They are installed, too.
    fn add_archive(&mut self, path: &Path) {
        let Some(file) = path.file_name().and_then(|f| f.to_str()) else {
            return;
        };
        let name = file.trim_start_matches("lib").trim_end_matches(".a");
        if !self.done.insert(name.to_owned()) {
            return;
        }
        if self.provide(file) {
            self.push(name, Kind::Archive);
        } else if let Some(dir) = path.parent().filter(|_| path.is_file()) {
            self.plan.folders.push(dir.to_owned());
            self.push(name, Kind::Archive);
        } else {
            self.plan.missing.insert(path.display().to_string());
        }
    }

    /// Makes sure that the linker searches the folder that holds `file`; false if there is none.
    fn provide(&mut self, file: &str) -> bool {
        let holds = |dir: &&PathBuf| dir.join(file).is_file();
        if self.plan.folders.iter().any(|dir| holds(&dir)) {
            return true;
        }
        let Some(dir) = self.elsewhere.iter().find(holds).cloned() else {
            return false;
        };
        self.plan.folders.push(dir);
        true
    }

    fn push(&mut self, name: &str, kind: Kind) {
        self.plan.libs.push(Lib {
            name: name.to_owned(),
            kind,
        });
    }
}
