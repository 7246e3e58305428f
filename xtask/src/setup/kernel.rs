//! A Linux kernel for a virtual machine, out of Debian's package of it. It is kept in the cache; nothing is
//! installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{Kind, PrivateApt};
use super::distro::{self, Distro};
use super::work::{create, remove, write_whole};
use super::{lock, mirror, packages};
use crate::find;
use crate::run::{Log, logged};
use crate::ui::Step;

/// Depends on the package of the kernel that is current.
const PACKAGE: &str = "linux-image-cloud-amd64";
const SUITES: &[&str] = &["bookworm", "trixie"];

/// Which modules of the kernel the machine loads, in their order, and the folders of their sources: the drivers that
/// leave PCI devices to programs, and the host of NVMe/TCP.
const MODULES: [(&str, &str); 4] = [
    ("uio", "uio"),
    ("uio_pci_generic", "uio"),
    ("nvme-fabrics", "nvme/host"),
    ("nvme-tcp", "nvme/host"),
];

/// The files of a kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// In the order to load them in.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    fn of(folder: &Path) -> Self {
        let module = |(name, _): &(&str, &str)| folder.join(format!("{name}.ko"));
        Kernel {
            image: folder.join("vmlinuz"),
            modules: MODULES.iter().map(module).collect(),
        }
    }

    fn is_whole(&self) -> bool {
        self.image.exists() && self.modules.iter().all(|module| module.exists())
    }
}

/// What the virtual machine takes: its Debian packages, installed when root, and its kernel.
pub(crate) fn machine(step: &Step) -> Result<Kernel> {
    let cache = find::cache_root().context(
        "no folder for the cache: neither SPDK_RS_CACHE nor HOME is set; set SPDK_RS_CACHE",
    )?;
    create(&cache)?;
    let _lock = lock::acquire(&cache)?;
    let mut log = Log::create(&cache.join("logs"), "machine")?;
    if distro::has_apt() {
        let missing = packages::missing_for_machine()?;
        if !missing.is_empty() {
            packages::install(&missing, &mut log, step)?;
        }
    }
    let folder = cache.join("kernel");
    let kernel = Kernel::of(&folder);
    if !kernel.is_whole() {
        remove(&folder)?; // one that an earlier release of this has left
        obtain(&cache, &folder, &mut log, step)?;
    }
    Ok(kernel)
}

fn obtain(cache: &Path, folder: &Path, log: &mut Log, step: &Step) -> Result<()> {
    if !distro::has_apt() {
        bail!("the machine's kernel is taken from Debian's archive with apt, which is not here");
    }
    let mirrors = mirror::mirrors(&Distro::here())?;
    if mirrors.is_empty() {
        bail!(
            "apt is not set up with an archive of Debian here, which the machine's kernel is from"
        );
    }
    let mut refusals = String::new();
    for (suite, mirror) in SUITES
        .iter()
        .flat_map(|suite| mirrors.iter().map(move |mirror| (suite, mirror)))
    {
        step.detail(&format!("asking {mirror} for {PACKAGE} in {suite}"));
        let work = cache.join("kernel.part");
        remove(&work)?;
        match fetch(&work, suite, mirror, log, step) {
            Ok(()) => {
                std::fs::rename(work.join("kernel"), folder)
                    .with_context(|| format!("cannot write {}", folder.display()))?;
                return remove(&work);
            }
            Err(error) => {
                let reason = format!("{suite} at {mirror}: {error:#}");
                log.note(&reason)?;
                refusals.push_str(&format!("\n\n- {reason}"));
            }
        }
    }
    bail!("Debian's package {PACKAGE} could not be fetched.{refusals}")
}

/// Leaves the files in `<work>/kernel`.
fn fetch(work: &Path, suite: &str, mirror: &str, log: &mut Log, step: &Step) -> Result<()> {
    let apt = PrivateApt::new(&work.join("apt"), mirror, suite, Kind::Binary)?;
    apt.update(log, step)?;
    let package = apt.dependency(PACKAGE, "linux-image-", log)?;
    step.detail(&package);
    let archive = apt.package(&package, work, log)?;
    let tree = work.join("tree");
    let mut dpkg = Command::new("dpkg-deb");
    logged(
        dpkg.arg("--extract").args([&archive, &tree]),
        log,
        &mut |_| {},
    )?;
    let version = package.trim_start_matches("linux-image-");
    let kernel = work.join("kernel");
    create(&kernel)?;
    copy(
        &tree.join(format!("boot/vmlinuz-{version}")),
        &kernel.join("vmlinuz"),
    )?;
    let modules = format!("lib/modules/{version}/kernel/drivers");
    // Some releases have /lib in /usr.
    let usr = tree.join("usr").join(&modules);
    let modules = match usr.exists() {
        true => usr,
        false => tree.join(&modules),
    };
    for (name, source) in MODULES {
        let plain = modules.join(source).join(format!("{name}.ko"));
        if !plain.exists() {
            let mut xz = Command::new("xz");
            logged(
                xz.arg("--decompress").arg(plain.with_extension("ko.xz")),
                log,
                &mut |_| {},
            )?;
        }
        copy(&plain, &kernel.join(format!("{name}.ko")))?;
    }
    write_whole(&kernel.join("package"), &format!("{package}\n"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {}", from.display()))
}
