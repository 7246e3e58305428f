//! SPDK's sources out of Debian's source package `ceph`, which carries the whole tree with its
//! submodules. No Debian package of SPDK itself exists.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{Kind, PrivateApt, SourceFile};
use super::distro::Distro;
use super::work::{Work, create, remove, write_whole};
use super::{checkout, help, mirror};
use crate::find::SETUP_VERSION;
use crate::run::{Event, Log, logged};
use crate::ui::{Step, Unit};

const PACKAGE: &str = "ceph";
const SUITES: &[&str] = &["forky", "sid"];
const SUBTREE: &str = "src/nvmeof/gateway/spdk";

/// This file of the tree logs to a component that only RBD's code registers.
const UNREGISTERED: &str = "lib/nvmf/subsystem_rbd_resrv.c";
const REGISTRATION: &str = "SPDK_LOG_REGISTER_COMPONENT(reservation)";

/// A downloaded tarball and where it came from, kept beside it for later runs.
struct Tarball {
    path: PathBuf,
    hash: String,
    origin: String,
}

/// Step `download`: leaves a verified tarball in `<cache>/downloads`. Says where it is from.
pub(super) fn download(cache: &Path, work: &Work, log: &mut Log, step: &Step) -> Result<String> {
    let folder = cache.join("downloads");
    create(&folder)?;
    if let Some(kept) = kept(&folder) {
        step.detail("checking the tarball of an earlier run");
        if sha256(&kept.path, log)? == kept.hash {
            return Ok("kept from an earlier run, hash verified".to_owned());
        }
        remove(&kept.path)?;
    }
    let mirrors = mirror::mirrors(&Distro::here())?;
    let mut refusals = String::new();
    for (suite, mirror) in SUITES
        .iter()
        .flat_map(|suite| mirrors.iter().map(move |mirror| (suite, mirror)))
    {
        step.detail(&format!("asking {mirror} for {PACKAGE} in {suite}"));
        match fetch(&folder, work, suite, mirror, log, step) {
            Ok(file) => {
                return Ok(format!(
                    "{} from {suite}, signature and hash verified",
                    file.name
                ));
            }
            Err(error) => {
                let reason = format!("{suite} at {mirror}: {error:#}");
                log.note(&reason)?;
                refusals.push_str(&format!("\n\n- {reason}"));
            }
        }
    }
    bail!(
        "Debian's source package {PACKAGE}, which carries SPDK, could not be fetched.{refusals}\n\n{}",
        help::OWN_SPDK
    )
}

fn fetch(
    folder: &Path,
    work: &Work,
    suite: &str,
    mirror: &str,
    log: &mut Log,
    step: &Step,
) -> Result<SourceFile> {
    let apt = PrivateApt::new(&work.path("apt"), mirror, suite, Kind::Source)?;
    apt.update(log, step)?;
    let file = apt.orig_tarball(PACKAGE, log)?;
    // apt continues a file that is there in part. Named by its hash, it is a part of this one.
    let part = folder.join(format!("{}.part", file.hash.replace(':', "-")));
    if let Err(error) = apt.download(&file, &part, log, step) {
        // Whole but wrong, or longer than it can be: it would fail for ever.
        if part.metadata().is_ok_and(|data| data.len() >= file.size) {
            remove(&part)?;
        }
        return Err(error);
    }
    let path = folder.join(&file.name);
    std::fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))?;
    let origin = format!("{PACKAGE} in {suite}");
    write_whole(
        &folder.join("tarball"),
        &format!("{}\n{}\n{origin}\n", file.name, file.hash),
    )?;
    Ok(file)
}

fn kept(folder: &Path) -> Option<Tarball> {
    let text = std::fs::read_to_string(folder.join("tarball")).ok()?;
    let mut lines = text.lines();
    let path = folder.join(lines.next()?);
    path.exists().then_some(())?;
    Some(Tarball {
        path,
        hash: lines.next()?.to_owned(),
        origin: lines.next()?.to_owned(),
    })
}

/// The hash of a file, as apt writes it.
fn sha256(path: &Path, log: &mut Log) -> Result<String> {
    let mut hash = String::new();
    let mut command = Command::new("sha256sum");
    logged(command.arg("--binary").arg(path), log, &mut |event| {
        if let Event::Line(line) = event {
            // A name with odd characters makes sha256sum escape the line.
            let line = line.trim_start_matches('\\');
            hash = format!("SHA256:{}", line.split(' ').next().unwrap_or_default());
        }
    })?;
    Ok(hash)
}

/// Step `unpack`: the SPDK subtree of the tarball, patched, becomes the tree to build.
pub(super) fn unpack(cache: &Path, work: &Work, log: &mut Log, step: &Step) -> Result<String> {
    let tarball = kept(&cache.join("downloads"))
        .context("the downloaded tarball has gone; run the same command again")?;
    let total = unpacked_size(&tarball.path, log);
    let aside = work.path("tree.part");
    remove(&aside)?;
    remove(&work.tree())?;
    create(&aside)?;
    let depth = SUBTREE.split('/').count() + 1;
    let mut tar = Command::new("tar");
    tar.arg("--extract")
        .arg("--file")
        .arg(&tarball.path)
        .arg("--directory")
        .arg(&aside)
        .arg(format!("--strip-components={depth}"))
        .args(["--no-same-owner", "--wildcards"])
        // tar counts in records of 10 KiB.
        .args(["--checkpoint=1000", "--checkpoint-action=echo=record %u"])
        .arg(format!("*/{SUBTREE}"));
    logged(&mut tar, log, &mut |event| {
        if let (Event::Line(line), Some(total)) = (event, total) {
            let record = line.rsplit("record ").next().and_then(|n| n.parse().ok());
            step.progress(Unit::Items, record.unwrap_or(0) * 10240, total);
        }
    })
    .with_context(|| format!("{} has no {SUBTREE}, or is damaged", tarball.path.display()))?;

    let version = checkout::version(&aside)?;
    if version.release() != SETUP_VERSION {
        bail!(
            "Debian's {} now carries SPDK {version}, and this set-up is made for {SETUP_VERSION}.\n{}",
            tarball.origin,
            help::OWN_SPDK
        );
    }
    let patched = register_log_component(&aside)?;
    std::fs::rename(&aside, work.tree()).context("cannot move the unpacked tree into place")?;
    Ok(format!(
        "SPDK {version}{}",
        if patched { ", one line added" } else { "" }
    ))
}

/// The size of what a tarball holds, where `xz` can tell.
fn unpacked_size(path: &Path, log: &mut Log) -> Option<u64> {
    let mut size = None;
    let mut command = Command::new("xz");
    command.args(["--robot", "--list"]).arg(path);
    logged(&mut command, log, &mut |event| {
        if let Event::Line(line) = event
            && line.starts_with("totals")
        {
            size = line.split('\t').nth(4).and_then(|field| field.parse().ok());
        }
    })
    .ok()?;
    size
}

/// Registers the log component that the linker misses in a build without RBD.
fn register_log_component(tree: &Path) -> Result<bool> {
    let file = tree.join(UNREGISTERED);
    let folder = file.parent().unwrap_or(tree);
    if !file.exists() {
        return Ok(false);
    }
    let context = || format!("cannot read the sources in {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let is_c = path.extension().is_some_and(|extension| extension == "c");
        if is_c
            && std::fs::read_to_string(&path)
                .with_context(context)?
                .contains(REGISTRATION)
        {
            return Ok(false);
        }
    }
    let text = std::fs::read_to_string(&file).with_context(context)?;
    write_whole(&file, &format!("{text}\n{REGISTRATION}\n"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_component_is_registered_once() {
        let tree = tempfile::tempdir().unwrap();
        assert!(!register_log_component(tree.path()).unwrap());

        let file = tree.path().join(UNREGISTERED);
        create(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "int x;\n").unwrap();
        assert!(register_log_component(tree.path()).unwrap());
        assert!(!register_log_component(tree.path()).unwrap());
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("int x;\n\n{REGISTRATION}\n"));
    }

    #[test]
    fn a_kept_tarball_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(kept(folder.path()).is_none());
        write_whole(
            &folder.path().join("tarball"),
            "a.tar.xz\nSHA256:1\nceph in sid\n",
        )
        .unwrap();
        assert!(kept(folder.path()).is_none());
        std::fs::write(folder.path().join("a.tar.xz"), "").unwrap();
        assert_eq!(kept(folder.path()).unwrap().hash, "SHA256:1");
    }
}
