//! `cargo xtask demo`: the example program on a bdev.

use std::ffi::OsString;

use anyhow::Result;

use crate::{run, setup};

/// What `cargo xtask demo` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Handed to the example as they are: `--bdev-config FILE --name BDEV` runs it on a bdev of
    /// your own instead of a malloc bdev. `-- --help` shows them all.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<OsString>,
}

/// Runs the subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure()?;
    let mut cargo = run::cargo("run");
    cargo.args([
        "--release",
        "--package",
        "spdk",
        "--example",
        "hello_bdev",
        "--",
    ]);
    Err(run::exec(cargo.args(&options.arguments)))
}
