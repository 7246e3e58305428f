//! Installs the built tree aside, completes it, and moves it into place in one go.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::build::tool;
use super::work::{Work, create, remove, write_whole};
use crate::find::examine;
use crate::run::{Event, Log, logged};
use crate::ui::{Step, Unit};

/// Lines that `make install` of SPDK 26.01 prints for its files.
const INSTALL_ITEMS: u64 = 254;

/// What an installation must have: the modules that our users, tests and benchmarks work with.
const LIBRARIES: &[&str] = &[
    "isal",
    "spdk_accel",
    "spdk_bdev_aio",
    "spdk_bdev_delay",
    "spdk_bdev_error",
    "spdk_bdev_ftl",
    "spdk_bdev_lvol",
    "spdk_bdev_malloc",
    "spdk_bdev_null",
    "spdk_bdev_nvme",
    "spdk_bdev_passthru",
    "spdk_bdev_raid",
    "spdk_bdev_split",
    "spdk_bdev_uring",
    "spdk_bdev_zone_block",
    "spdk_blob",
    "spdk_event_bdev",
    "spdk_nvmf",
];

/// The reference programs that our tests and benchmarks compare with.
const PROGRAMS: &[&str] = &[
    "bdevperf",
    "blobcli",
    "hello_blob",
    "nvmf_tgt",
    "spdk_nvme_identify",
    "spdk_nvme_perf",
];

/// The file by which a prefix is known to be ours, and what it was made from.
const PROVENANCE: &str = "share/spdk-rs/provenance";

/// The key of the set-up that filled `prefix`, if one did.
pub(super) fn provenance(prefix: &Path) -> Option<String> {
    std::fs::read_to_string(prefix.join(PROVENANCE)).ok()
}

/// Refuses a prefix that holds something which is not ours to replace.
pub(super) fn check_prefix(prefix: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(prefix) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(error).with_context(|| prefix.display().to_string());
        }
    };
    if entries && provenance(prefix).is_none() {
        bail!(
            "{} is not empty, and `cargo xtask setup` did not make it. It installs into a folder of its \
             own, which it replaces as a whole: name a new one",
            prefix.display()
        );
    }
    // Found out before minutes are spent.
    let probe = sibling(prefix, "probe")?;
    create(&probe)
        .and_then(|()| remove(&probe))
        .with_context(|| format!("{} cannot be made", prefix.display()))
}

/// Step `install`.
pub(super) fn install(
    work: &Work,
    prefix: &Path,
    key: &str,
    log: &mut Log,
    step: &Step,
) -> Result<()> {
    let staging = sibling(prefix, "staging")?;
    remove(&staging)?;
    create(&staging)?;
    make_install(work, &staging, log, step)?;

    step.detail("programs");
    // DESTDIR puts the whole path of the prefix below itself.
    let staged = staging.join(prefix.strip_prefix("/").unwrap_or(prefix));
    copy_examples(&work.tree(), &staged)?;
    copy_rpc_client(&work.tree(), &staged)?;
    point_to_installed_archives(&work.tree(), &staged, prefix)?;
    create(&staged.join("share/spdk-rs"))?;
    write_whole(&staged.join(PROVENANCE), key)?;
    check(&staged)?;

    move_into_place(&staged, prefix)?;
    remove(&staging)
}

fn make_install(work: &Work, staging: &Path, log: &mut Log, step: &Step) -> Result<()> {
    let mut destination = OsString::from("DESTDIR=");
    destination.push(staging);
    let mut command = tool("make", work);
    // SPDK's own way to install its Python package fetches programs from the network; the files
    // that rpc.py needs are copied below. `-o` makes `make` pass over it.
    command.args(["-o", "python", "install"]).arg(destination);
    let mut count = 0;
    logged(&mut command, log, &mut |event| {
        if let Event::Line(line) = event
            && let Some(file) = line.strip_prefix("  INSTALL ")
        {
            count += 1;
            step.detail(file.rsplit('/').next().unwrap_or(file));
            step.progress(Unit::AboutItems, count, INSTALL_ITEMS);
        }
    })
}

/// Copies the example programs, which `make install` leaves out, beside the apps.
fn copy_examples(tree: &Path, staged: &Path) -> Result<()> {
    let folder = tree.join("build/examples");
    let context = || format!("cannot install the programs in {}", folder.display());
    let to = staged.join("bin");
    create(&to)?;
    for entry in std::fs::read_dir(&folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let data = entry.metadata().with_context(context)?;
        if data.is_file() && data.permissions().mode() & 0o111 != 0 {
            std::fs::copy(entry.path(), to.join(entry.file_name())).with_context(context)?;
        }
    }
    Ok(())
}

/// Copies `rpc.py` with its Python package, which it looks for in `../python`.
fn copy_rpc_client(tree: &Path, staged: &Path) -> Result<()> {
    let script = tree.join("scripts/rpc.py");
    std::fs::copy(&script, staged.join("bin/rpc.py"))
        .with_context(|| format!("cannot install {}", script.display()))?;
    // Its folder moved in the course of the releases.
    let package = tree.join("python/spdk");
    copy_python(&package, &staged.join("python/spdk"))
        .with_context(|| format!("cannot install {}", package.display()))
}

fn copy_python(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.metadata()?.is_dir() {
            if entry.file_name() != "__pycache__" {
                copy_python(&entry.path(), &target)?;
            }
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Makes the `.pc` files name the installed isa-l: SPDK writes the path in its build tree, which
/// does not outlive the set-up.
fn point_to_installed_archives(tree: &Path, staged: &Path, prefix: &Path) -> Result<()> {
    let folder = staged.join("lib/pkgconfig");
    let context = || format!("cannot adapt the files in {}", folder.display());
    for entry in std::fs::read_dir(&folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_none_or(|extension| extension != "pc") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(context)?;
        let adapted = adapt(&text, tree, &prefix.join("lib"));
        if adapted != text {
            std::fs::write(&path, adapted).with_context(context)?;
        }
    }
    Ok(())
}

fn adapt(text: &str, tree: &Path, lib: &Path) -> String {
    let mut text = text.to_owned();
    for folder in ["isa-l/.libs", "isa-l-crypto/.libs"] {
        let built = tree.join(folder).display().to_string();
        text = text.replace(&built, &lib.display().to_string());
    }
    text
}

/// Refuses an installation that is not whole.
pub(super) fn check(staged: &Path) -> Result<()> {
    let lib = staged.join("lib");
    let libraries = LIBRARIES
        .iter()
        .map(|name| lib.join(format!("lib{name}.a")));
    let programs = PROGRAMS.iter().map(|name| staged.join("bin").join(name));
    let missing: Vec<String> = libraries
        .chain(programs)
        .filter(|path| !path.exists())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    if !missing.is_empty() {
        bail!(
            "the build lacks {}. Its configure step may say why",
            missing.join(", ")
        );
    }
    match examine(staged) {
        Ok(_) => Ok(()),
        Err(why) => bail!("the installed SPDK cannot be used: it {why}"),
    }
}

/// Replaces `prefix` by `staged`. Whoever looks sees the old, for an instant nothing, or the new.
fn move_into_place(staged: &Path, prefix: &Path) -> Result<()> {
    let context = || format!("cannot move the installation to {}", prefix.display());
    let old = sibling(prefix, "old")?;
    remove(&old)?;
    if prefix.exists() {
        std::fs::rename(prefix, &old).with_context(context)?;
    }
    std::fs::rename(staged, prefix).with_context(context)?;
    remove(&old)
}

/// A hidden folder beside the prefix: on the same file system, so that a rename is enough.
fn sibling(prefix: &Path, role: &str) -> Result<PathBuf> {
    let (Some(parent), Some(name)) = (prefix.parent(), prefix.file_name()) else {
        bail!("{} is not a folder of its own", prefix.display());
    };
    Ok(parent.join(format!(".{}.{role}", name.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pc_files_name_the_installed_isa_l() {
        let text = "Libs: -luring /w/tree/isa-l/.libs/libisal.a \
                    /w/tree/isa-l-crypto/.libs/libisal_crypto.a -lm\n";
        assert_eq!(
            adapt(text, Path::new("/w/tree"), Path::new("/p/lib")),
            "Libs: -luring /p/lib/libisal.a /p/lib/libisal_crypto.a -lm\n"
        );
    }

    #[test]
    fn a_foreign_prefix_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let prefix = root.path().join("spdk");
        check_prefix(&prefix).unwrap();
        create(&prefix.join("share/spdk-rs")).unwrap();
        let message = check_prefix(&prefix).unwrap_err().to_string();
        assert!(message.contains("is not empty"), "{message}");
        write_whole(&prefix.join(PROVENANCE), "key").unwrap();
        check_prefix(&prefix).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_prefix_that_cannot_be_made_is_refused() {
        let message = check_prefix(Path::new("/proc/spdk"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("/proc/spdk cannot be made"), "{message}");
    }

    #[test]
    fn an_old_installation_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (prefix, staged) = (root.path().join("spdk"), root.path().join("new"));
        for (folder, text) in [(&prefix, "old"), (&staged, "new")] {
            create(folder).unwrap();
            std::fs::write(folder.join("file"), text).unwrap();
        }
        move_into_place(&staged, &prefix).unwrap();
        assert_eq!(std::fs::read_to_string(prefix.join("file")).unwrap(), "new");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
