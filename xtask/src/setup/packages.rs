//! The Debian packages that building SPDK, and our bindings to it, takes; and those of the virtual machine.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{Event, Log, logged};
use crate::ui::Step;

/// A need, and the packages that meet it: any one of them; the first is what we install.
struct Need(&'static [&'static str]);

const NEEDS: &[Need] = &[
    // The compilers and the tools that configure and drive the builds.
    Need(&["gcc"]),
    Need(&["g++"]),
    Need(&["make"]),
    Need(&["libc6-dev"]),
    Need(&["autoconf"]),
    Need(&["automake"]),
    Need(&["libtool"]),
    Need(&["meson"]),
    Need(&["ninja-build"]),
    Need(&["pkg-config", "pkgconf"]),
    Need(&["python3"]),
    Need(&["python3-pyelftools"]),
    Need(&["python3-jinja2"]),
    Need(&["patchelf"]),
    Need(&["xz-utils"]),
    // What SPDK links.
    Need(&["libaio-dev"]),
    Need(&["libfuse3-dev"]),
    Need(&["libncurses-dev"]),
    Need(&["libnuma-dev"]),
    Need(&["libssl-dev"]),
    Need(&["liburing-dev"]),
    Need(&["uuid-dev"]),
    // What bindgen reads SPDK's headers with.
    Need(&["libclang-dev"]),
];

/// On x86 isa-l is written in nasm's assembly.
const NASM: Need = Need(&["nasm"]);

/// What the machine of `cargo xtask e2e-pcie` takes beside its kernel.
const MACHINE: &[Need] = &[
    Need(&["qemu-system-x86"]),
    Need(&["busybox-static", "busybox"]),
    Need(&["binutils"]),
    Need(&["xz-utils"]),
];

const INSTALL: &str = "apt-get install --yes --no-install-recommends";

/// The packages to install here, in the order of the list.
pub(super) fn missing() -> Result<Vec<&'static str>> {
    let arch_need = cfg!(target_arch = "x86_64").then_some(&NASM);
    missing_of(NEEDS.iter().chain(arch_need))
}

/// The same for the virtual machine.
pub(super) fn missing_for_machine() -> Result<Vec<&'static str>> {
    missing_of(MACHINE.iter())
}

fn missing_of(needs: impl Iterator<Item = &'static Need>) -> Result<Vec<&'static str>> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Package}\n"])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .context("cannot ask dpkg which packages are installed")?;
    let listing = String::from_utf8_lossy(&output.stdout);
    Ok(missing_from(needs, &listing))
}

fn missing_from(needs: impl Iterator<Item = &'static Need>, listing: &str) -> Vec<&'static str> {
    let installed: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .collect();
    needs
        .filter(|Need(any)| !any.iter().any(|name| installed.contains(name)))
        .map(|Need(any)| any[0])
        .collect()
}

/// Installs what is missing when root, else says what to type.
pub(super) fn install(names: &[&str], log: &mut Log, step: &Step) -> Result<()> {
    let list = names.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!(
            "these Debian packages are missing, and installing them takes root:\n\n    \
             sudo {INSTALL} {list}\n\nThen run the same command again."
        );
    }
    step.detail(&format!("installing {list}"));
    let attempt = |log: &mut Log| apt(INSTALL, names, log, step);
    let stale = !has_indexes();
    if stale {
        update(log, step)?;
    }
    match attempt(log) {
        Err(error) if stale => Err(error),
        // The usual reason: the indexes are older than what the mirror still has.
        Err(_) => {
            update(log, step)?;
            attempt(log)
        }
        ok => ok,
    }
    .with_context(|| format!("cannot install these Debian packages: {list}"))
}

/// Whether apt knows any package at all: a fresh container does not.
fn has_indexes() -> bool {
    Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(FILENAME)",
            "Created-By: Packages",
        ])
        .output()
        .is_ok_and(|output| !output.stdout.trim_ascii().is_empty())
}

fn update(log: &mut Log, step: &Step) -> Result<()> {
    // A third-party mirror that does not answer must not stop us: what counts is the install.
    apt("apt-get update", &[], log, step).or_else(|error| log.note(&format!("{error:#}")))
}

fn apt(command: &str, names: &[&str], log: &mut Log, step: &Step) -> Result<()> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or("apt-get");
    logged(
        Command::new(program)
            .args(words)
            .args(["-q", "-o", "DPkg::Lock::Timeout=600"])
            .args(names)
            .env("DEBIAN_FRONTEND", "noninteractive"),
        log,
        &mut |event| {
            if let Event::Line(line) = event {
                step.detail(line);
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternative_meets_a_need() {
        let mut listing: String = NEEDS
            .iter()
            .chain(Some(&NASM))
            .map(|Need(any)| format!("installed {}\n", any[any.len() - 1]))
            .collect();
        assert_eq!(missing_from(NEEDS.iter(), &listing), [""; 0]);
        listing = listing.replace("installed meson", "config-files meson");
        assert_eq!(missing_from(NEEDS.iter(), &listing), ["meson"]);
    }
}
