//! `cargo xtask test`: every test of the workspace.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{asan, run, setup};

/// What tests that have a long form look at.
const NIGHTLY: &str = "SPDK_TESTS_NIGHTLY";

/// What `cargo xtask test` is asked for.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Runs the randomised stress of the core for minutes on each device, instead of seconds.
    #[arg(long)]
    nightly: bool,
    /// Runs the tests of the Rust code beside SPDK under AddressSanitizer, which finds a use of freed memory.
    #[arg(long)]
    asan: bool,
    /// Handed to `cargo test`: a part of a test's name, `--package spdk`, `-- --nocapture`, ...
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<OsString>,
}

impl Options {
    /// Every test that AddressSanitizer is for.
    pub(crate) fn asan() -> Self {
        Options {
            asan: true,
            ..Default::default()
        }
    }
}

/// Runs the subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure()?;
    Err(run::exec(&mut command(options)))
}

/// The `cargo test` that runs them.
pub(crate) fn command(options: &Options) -> Command {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "Not root: the tests start SPDK without huge pages, which any user may. Where SPDK is \
             refused memory or files in /var/tmp, run this as root."
        );
    }
    let chosen = selects_packages(&options.arguments);
    let mut cargo = if options.asan {
        asan::command(&options.arguments, chosen)
    } else {
        let mut cargo = run::cargo("test");
        if !chosen {
            cargo.arg("--workspace");
        }
        cargo.args(&options.arguments);
        cargo
    };
    if options.nightly {
        cargo.env(NIGHTLY, "1");
    }
    cargo
}

/// Whether the user chose packages; `--workspace` would override the choice.
fn selects_packages(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .take_while(|argument| argument != "--")
        .any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_packages_is_kept() {
        let select = |list: &[&str]| {
            let list: Vec<OsString> = list.iter().map(OsString::from).collect();
            selects_packages(&list)
        };
        assert!(select(&["-p", "spdk"]) && select(&["--package=spdk"]));
        assert!(!select(&["buffer"]) && !select(&["--", "-p"]));
    }

    #[test]
    fn nightly_is_for_the_tests_and_not_for_cargo() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            options: Options,
        }
        let parse = |list: &[&str]| {
            let cli = <Cli as clap::Parser>::parse_from(list);
            let command = command(&cli.options);
            let set = command.get_envs().any(|(name, _)| name == NIGHTLY);
            let passed_on = command.get_args().any(|argument| argument == "--nightly");
            (set, passed_on)
        };
        assert_eq!(parse(&["test", "--nightly", "stress"]), (true, false));
        assert_eq!(parse(&["test", "stress"]), (false, false));
    }
}
