//! Configures and builds the tree.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::work::Work;
use crate::run::{Event, Log, logged};
use crate::ui::{Step, Unit};

/// Options of SPDK's `configure`. Its defaults add the bdev modules, NVMe-oF over TCP, blob, accel,
/// the apps and the examples.
const OPTIONS: &[&str] = &[
    "--disable-tests",
    "--disable-unit-tests",
    "--with-uring",
    "--without-crypto",
    "--without-rbd",
    "--without-rdma",
    "--without-vhost",
    "--without-virtio",
];

/// The processors that a build is for. On x86 they are those of the last fifteen years, so that a
/// cache can be shared by machines; elsewhere SPDK's default, the machine's own.
const TARGET_ARCH: Option<&str> = if cfg!(target_arch = "x86_64") {
    Some("x86-64-v2")
} else {
    None
};

/// Compilations, archives and links in a build of SPDK 26.01, and of its DPDK.
const SPDK_ITEMS: u64 = 408;
const DPDK_ITEMS: u64 = 295;

/// The arguments of `configure` for an installation in `prefix`.
pub(super) fn arguments(prefix: &Path) -> Vec<OsString> {
    let mut all: Vec<OsString> = OPTIONS.iter().map(OsString::from).collect();
    all.extend(TARGET_ARCH.map(|arch| format!("--target-arch={arch}").into()));
    let mut own_prefix = OsString::from("--prefix=");
    own_prefix.push(prefix);
    all.push(own_prefix);
    all
}

/// Step `configure`.
pub(super) fn configure(work: &Work, prefix: &Path, log: &mut Log, step: &Step) -> Result<()> {
    let mut command = tool("./configure", work);
    logged(command.args(arguments(prefix)), log, &mut |event| {
        if let Event::Line(line) = event {
            step.detail(line);
        }
    })
}

/// Step `build`.
///
/// make does not say what it has left to do, so only a build from the start tells how far it is.
pub(super) fn make(work: &Work, jobs: usize, log: &mut Log, step: &Step) -> Result<()> {
    let started = "build-started";
    let continued = work.is_done(started);
    work.mark_done(started)?;
    let (mut spdk, mut dpdk, mut dpdk_total) = (0, 0, DPDK_ITEMS);
    let mut command = tool("make", work);
    command.arg(format!("-j{jobs}"));
    logged(&mut command, log, &mut |event| {
        if let Event::Line(line) = event {
            match parse_line(line) {
                Some(Item::Spdk(what)) => {
                    spdk += 1;
                    step.detail(what);
                }
                Some(Item::Dpdk(done, total)) => (dpdk, dpdk_total) = (done, total),
                None => {}
            }
        }
        if !continued {
            step.progress(Unit::AboutItems, spdk + dpdk, SPDK_ITEMS + dpdk_total);
        }
    })
}

/// A line of `make`'s output that stands for work.
#[derive(Debug, PartialEq, Eq)]
enum Item<'a> {
    Spdk(&'a str),
    Dpdk(u64, u64),
}

fn parse_line(line: &str) -> Option<Item<'_>> {
    if let Some(rest) = line.strip_prefix('[') {
        let (done, rest) = rest.split_once('/')?;
        let (total, _) = rest.split_once(']')?;
        return Some(Item::Dpdk(done.parse().ok()?, total.parse().ok()?));
    }
    let what = line.strip_prefix("  ")?;
    let (kind, file) = what.split_once(' ')?;
    ["CC", "CXX", "LIB", "LINK"]
        .contains(&kind)
        .then_some(Item::Spdk(file))
}

/// A command that runs in the tree, with the system's own tools first: DPDK's build needs the
/// Python that the packages were installed for.
pub(super) fn tool(program: &str, work: &Work) -> Command {
    let mut command = Command::new(program);
    let mut path = OsString::from("/usr/bin:/bin");
    if let Some(own) = std::env::var_os("PATH").filter(|own| !own.is_empty()) {
        path.push(":");
        path.push(own);
    }
    command.current_dir(work.tree()).env("PATH", path);
    // Each of these would change where or how the tree is built.
    for variable in ["DESTDIR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV"] {
        command.env_remove(variable);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_by_lines() {
        assert_eq!(
            parse_line("  CC lib/bdev/bdev.o"),
            Some(Item::Spdk("lib/bdev/bdev.o"))
        );
        assert_eq!(
            parse_line("[12/295] Compiling C object x.o"),
            Some(Item::Dpdk(12, 295))
        );
        for other in ["  INSTALL x", "make[1]: x", "[1/x]", "  CC", ""] {
            assert_eq!(parse_line(other), None, "{other}");
        }
    }

    #[test]
    fn the_prefix_is_handed_on() {
        let arguments = arguments(Path::new("/p q"));
        assert!(arguments.contains(&"--prefix=/p q".into()));
        assert!(arguments.contains(&"--with-uring".into()));
    }
}
