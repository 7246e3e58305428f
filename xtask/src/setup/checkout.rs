//! A checkout of SPDK that the user has: only read, built as a copy in the cache.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::work::{Work, create, remove};
use crate::find::{SUPPORTED, Version};
use crate::run::Log;
use crate::ui::{Step, Unit};

/// What a build leaves behind. A copy of it would carry the paths and options of that build.
const BUILD_FOLDERS: &[&str] = &["build", "dpdk/build", "dpdk/build-tmp"];
const BUILD_FILES: &[&str] = &["mk/cc.mk", "mk/config.mk", "include/spdk/config.h"];
const BUILD_NAMES: &[&str] = &[".git", ".libs", ".deps", "autom4te.cache"];
const BUILD_EXTENSIONS: &[&str] = &["o", "d", "lo", "la", "a", "pyc"];

/// Parts that SPDK takes in as git submodules and cannot be built without.
const SUBMODULES: &[&str] = &["dpdk/meson.build", "isa-l/configure.ac"];

/// The files of a checkout, without what builds have left in it.
pub(super) struct Checkout {
    root: PathBuf,
    version: Version,
    files: Vec<PathBuf>,
    fingerprint: u64,
}

impl Checkout {
    /// Looks at a folder, and refuses what is not a whole checkout of a supported SPDK.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let root = root
            .canonicalize()
            .with_context(|| format!("--source: cannot find {}", root.display()))?;
        if !root.join("configure").is_file() || !root.join("lib/bdev").is_dir() {
            bail!(
                "--source: {} is not a checkout of SPDK (no `configure` and `lib/bdev` in it)",
                root.display()
            );
        }
        let version = version(&root)?;
        if !version.is_supported() {
            bail!(
                "--source: {} is SPDK {version}; supported are {} to {}",
                root.display(),
                SUPPORTED.0,
                SUPPORTED.1
            );
        }
        for part in SUBMODULES {
            if !root.join(part).exists() {
                bail!(
                    "--source: {} has no {part}; fetch its submodules with \
                     `git submodule update --init` there",
                    root.display()
                );
            }
        }
        let mut files = Vec::new();
        let mut hasher = DefaultHasher::new();
        collect(&root, Path::new(""), &mut files, &mut hasher)?;
        Ok(Self {
            root,
            version,
            files,
            fingerprint: hasher.finish(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Changes with every file that is added, removed or written.
    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Step `copy`: the checkout's files become the tree to build.
    pub(super) fn copy(&self, work: &Work, log: &mut Log, step: &Step) -> Result<String> {
        let aside = work.path("tree.part");
        remove(&aside)?;
        remove(&work.tree())?;
        create(&aside)?;
        log.note(&format!("copying {}", self.root.display()))?;
        for (count, file) in (0..).zip(&self.files) {
            step.progress(Unit::Items, count, self.files.len() as u64);
            let (from, to) = (self.root.join(file), aside.join(file));
            copy_entry(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        std::fs::rename(&aside, work.tree()).context("cannot move the copy into place")?;
        Ok(format!("{} files", self.files.len()))
    }
}

/// The release of an SPDK tree, built or not.
pub(super) fn version(tree: &Path) -> Result<Version> {
    let read = |name: &str| std::fs::read_to_string(tree.join(name)).ok();
    // Releases before 25.01 have no VERSION file, later ones make the header while they build.
    read("VERSION")
        .and_then(|text| parse_version(&text))
        .or_else(|| read("include/spdk/version.h").and_then(|text| Version::parse_header(&text)))
        .with_context(|| format!("{} does not say which SPDK it is", tree.display()))
}

fn parse_version(text: &str) -> Option<Version> {
    let mut numbers = text.trim().split(['.', '-']);
    Some(Version {
        major: numbers.next()?.parse().ok()?,
        minor: numbers.next()?.parse().ok()?,
        patch: numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0),
    })
}

fn collect(
    root: &Path,
    folder: &Path,
    files: &mut Vec<PathBuf>,
    hasher: &mut DefaultHasher,
) -> Result<()> {
    let context = || format!("cannot read {}", root.join(folder).display());
    let mut entries = std::fs::read_dir(root.join(folder))
        .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
        .with_context(context)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = folder.join(entry.file_name());
        if is_build_product(&path) {
            continue;
        }
        let data = entry.metadata().with_context(context)?;
        if data.is_dir() {
            collect(root, &path, files, hasher)?;
        } else if data.is_file() || data.is_symlink() {
            (&path, data.len(), data.mtime(), data.mtime_nsec()).hash(hasher);
            files.push(path);
        }
    }
    Ok(())
}

fn is_build_product(path: &Path) -> bool {
    let is = |list: &[&str]| list.iter().any(|known| Path::new(known) == path);
    let name = path.file_name().unwrap_or_default();
    let extension = path.extension().unwrap_or_default();
    is(BUILD_FOLDERS)
        || is(BUILD_FILES)
        || BUILD_NAMES.iter().any(|known| name == *known)
        || BUILD_EXTENSIONS.iter().any(|known| extension == *known)
}

fn copy_entry(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if from.symlink_metadata()?.is_symlink() {
        return std::os::unix::fs::symlink(std::fs::read_link(from)?, to);
    }
    std::fs::copy(from, to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        create(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn fake() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in ["configure", "lib/bdev/bdev.c", "isa-l/configure.ac"] {
            write(root.path(), name, "");
        }
        write(root.path(), "dpdk/meson.build", "");
        write(root.path(), "VERSION", "25.09.1\n");
        root
    }

    #[test]
    fn a_checkout_is_taken_without_its_build() {
        let root = fake();
        let before = Checkout::open(root.path()).unwrap();
        assert_eq!(before.version().to_string(), "25.09.1");
        for name in [
            "lib/bdev/bdev.o",
            "build/lib/libspdk_bdev.a",
            "mk/config.mk",
        ] {
            write(root.path(), name, "built");
        }
        let built = Checkout::open(root.path()).unwrap();
        assert_eq!(built.fingerprint(), before.fingerprint());

        write(root.path(), "lib/bdev/bdev.c", "int changed;");
        let changed = Checkout::open(root.path()).unwrap();
        assert_ne!(changed.fingerprint(), before.fingerprint());
    }

    #[test]
    fn what_cannot_be_built_is_refused() {
        let message = |root: &Path| Checkout::open(root).err().unwrap().to_string();
        let root = fake();
        std::fs::remove_file(root.path().join("dpdk/meson.build")).unwrap();
        assert!(message(root.path()).contains("git submodule update --init"));

        write(root.path(), "VERSION", "23.01");
        assert!(message(root.path()).contains("supported are 24.05 to 26.05"));

        let empty = tempfile::tempdir().unwrap();
        assert!(message(empty.path()).contains("is not a checkout of SPDK"));
    }

    #[test]
    fn versions_are_read_in_both_forms() {
        let shown = |text| parse_version(text).unwrap().to_string();
        assert_eq!(shown("26.01.0\n"), "26.01");
        assert_eq!(shown("25.05-pre"), "25.05");
        assert_eq!(parse_version("next"), None);

        let old = tempfile::tempdir().unwrap();
        let header = "#define SPDK_VERSION_MAJOR 24\n#define SPDK_VERSION_MINOR 5\n\
                      #define SPDK_VERSION_PATCH 0\n";
        write(old.path(), "include/spdk/version.h", header);
        assert_eq!(version(old.path()).unwrap().to_string(), "24.05");
    }
}
