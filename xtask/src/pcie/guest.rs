//! The first and only file system of the machine, which its kernel unpacks into memory.

use std::fmt::Write;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::program::{libraries, read, stripped};
use crate::setup::Kernel;

/// How many hugepages of 2 MiB the machine has.
const HUGEPAGES: u32 = 400;
/// QEMU's NVMe controllers.
const PCI_ID: &str = "1b36 0010";
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
/// Writes it to `path`, with programs at the root that are called so, and with `work`, a part of a script for a shell.
/// The machine turns itself off when that has ended.
pub(super) fn write(
    path: &Path,
    kernel: &Kernel,
    programs: &[(&str, &Path)],
    work: &str,
) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(context)?;
    let mut archive = Archive::new(BufWriter::new(file));
    let busybox = BUSYBOX.iter().map(Path::new).find(|path| path.exists());
    let busybox = busybox.context("there is no busybox")?;
    let mut files: Vec<(PathBuf, Vec<u8>)> = vec![
        ("/init".into(), init(kernel, work).into_bytes()),
        ("/bin/busybox".into(), read(busybox)?),
    ];
    let mut shared = libraries(busybox)?;
    for (name, program) in programs {
        let small = path.with_extension("program");
        files.push((Path::new("/").join(name), stripped(program, &small)?));
        let _ = std::fs::remove_file(small);
        shared.extend(libraries(program)?);
    }
    shared.sort();
    shared.dedup();
    for library in shared {
        let bytes = read(&library)?;
        files.push((library, bytes));
    }
    for folder in [
        "/dev/shm", "/proc", "/sys", "/tmp", "/run", "/var/run", "/var/tmp",
    ] {
        archive.folder(Path::new(folder)).with_context(context)?;
    }
    for (path, bytes) in files {
        archive.program(&path, &bytes).with_context(context)?;
    }
    for module in &kernel.modules {
        archive
            .file(&inside(module), &read(module)?)
            .with_context(context)?;
    }
    // OpenSSL says so when it has none.
    let openssl = Path::new("/usr/lib/ssl/openssl.cnf");
    archive.file(openssl, &[]).with_context(context)?;
    archive.finish().with_context(context)
}

/// Where a module is in the machine.
fn inside(module: &Path) -> PathBuf {
    let name = module.file_name().unwrap_or_default();
    Path::new("/modules").join(name)
}

/// The first process of the machine: a script for busybox. `/dev/ttyS1` has what the work says, `/dev/ttyS2`
/// the words that [`watch`](super::watch) understands.
fn init(kernel: &Kernel, work: &str) -> String {
    let mut script = String::from("#!/bin/busybox sh\n");
    let mut line = |text: &str| {
        let _ = writeln!(script, "{text}"); // into memory
    };
    line("/bin/busybox --install -s /bin");
    line("export PATH=/bin HOME=/ RUST_BACKTRACE=1");
    line("mount -t proc proc /proc && mount -t sysfs sysfs /sys");
    line("mount -t devtmpfs devtmpfs /dev");
    line("mkdir -p /dev/shm /dev/hugepages");
    line("mount -t tmpfs tmpfs /dev/shm && mount -t hugetlbfs hugetlbfs /dev/hugepages");
    line(&format!("echo {HUGEPAGES} > /proc/sys/vm/nr_hugepages"));
    for module in &kernel.modules {
        line(&format!("insmod {}", inside(module).display()));
    }
    line(&format!(
        "echo {PCI_ID} > /sys/bus/pci/drivers/uio_pci_generic/new_id"
    ));
    line("ip link set lo up");
    line("stty -F /dev/ttyS1 raw -echo && stty -F /dev/ttyS2 raw -echo");
    line("echo ready > /dev/ttyS2");
    line(&format!("(\n{work}\n) > /dev/ttyS1 2>&1"));
    line("echo exit $? > /dev/ttyS2");
    line("poweroff -f");
    script
}

/// A word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        let kernel = Kernel {
            image: "/k/vmlinuz".into(),
            modules: vec!["/k/uio.ko".into()],
        };
        let script = init(&kernel, &format!("/pcie {}", quoted("it's")));
        assert!(script.contains("(\n/pcie 'it'\\''s'\n) >"), "{script}");
        assert!(script.contains("insmod /modules/uio.ko\n"), "{script}");
    }
}
