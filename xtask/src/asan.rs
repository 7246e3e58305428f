//! `cargo xtask test --asan`: the Rust code under AddressSanitizer.
//!
//! The compiler's sanitizer flags are unstable, and its runtime comes with every toolchain, so `RUSTC_BOOTSTRAP` is all that a
//! stable one needs. Build scripts and procedural macros run without it: with `--target`, the flags are the target's only.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

/// `spdk_asan` has operations in flight come from the allocator, which watches them, instead of a pool. The
/// runtime follows frame pointers: without them a report leaves callers out.
const FLAGS: &str = "-Zsanitizer=address -Cforce-frame-pointers=yes --cfg spdk_asan";

/// What LeakSanitizer is not to report.
const SUPPRESSIONS: &str = "tests/lsan.supp";

/// The packages with code that runs beside SPDK. Compiling the others teaches nothing.
const PACKAGES: [&str; 3] = ["spdk", "spdk-model", "spdk-tests"];

/// The `cargo test` with these arguments of the user.
pub(crate) fn command(arguments: &[OsString], chosen: bool) -> Command {
    let mut cargo = run::cargo("test");
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        // Would take the place of RUSTFLAGS.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", joined("RUSTFLAGS", " ", FLAGS))
        // Reports name lines; the rest of the debug information fills the disk.
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("CARGO_INCREMENTAL", "0")
        // Suppressions go by names, which takes a program that knows them; addr2line comes with the linker.
        .env(
            "ASAN_OPTIONS",
            // SPDK asks for as much memory as its parameters say, and can do without.
            joined(
                "ASAN_OPTIONS",
                ":",
                "allow_addr2line=1:allocator_may_return_null=1",
            ),
        )
        .env("LSAN_OPTIONS", joined("LSAN_OPTIONS", ":", &leaks()))
        .arg("--target")
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        // RUSTC_BOOTSTRAP has crates built again, and without it again: not in the folder of other builds.
        .arg("--target-dir")
        .arg(target_folder());
    if !chosen {
        cargo.args(PACKAGES.map(|package| format!("--package={package}")));
    }
    if !selects_targets(arguments) {
        // Not the examples of the documentation, which only have to compile.
        cargo.args(["--lib", "--bins", "--tests"]);
    }
    cargo.args(arguments);
    cargo
}

/// The user's own value stays, after ours.
fn joined(variable: &str, separator: &str, ours: &str) -> OsString {
    let mut value = OsString::from(ours);
    if let Some(theirs) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
        value.push(separator);
        value.push(theirs);
    }
    value
}

fn leaks() -> String {
    let file = run::workspace().join(SUPPRESSIONS);
    format!("suppressions={}:print_suppressions=0", file.display())
}

fn target_folder() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR");
    let folder = folder.map_or_else(|| run::workspace().join("target"), PathBuf::from);
    Path::new(&folder).join("asan")
}

/// Whether the user chose what to build of a package.
fn selects_targets(arguments: &[OsString]) -> bool {
    const SELECT: [&str; 8] = [
        "--lib",
        "--bin",
        "--bins",
        "--test",
        "--tests",
        "--example",
        "--examples",
        "--doc",
    ];
    arguments
        .iter()
        .take_while(|argument| *argument != OsStr::new("--"))
        .any(|argument| {
            let argument = argument.to_string_lossy();
            let name = argument
                .split_once('=')
                .map_or(&*argument, |(name, _)| name);
            SELECT.contains(&name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_tests_is_kept() {
        let passed = |list: &[&str]| {
            let list: Vec<OsString> = list.iter().map(OsString::from).collect();
            let command = command(&list, false);
            let arguments = command
                .get_args()
                .map(|it| it.to_string_lossy().into_owned());
            arguments.collect::<Vec<_>>()
        };
        assert!(passed(&["buffer"]).contains(&"--tests".to_owned()));
        for chosen in [
            &["--test", "drop"][..],
            &["--test=drop"],
            &["--lib", "slot"],
        ] {
            assert!(
                !passed(chosen).contains(&"--tests".to_owned()),
                "{chosen:?}"
            );
        }
    }
}
