//! The tasks of this repository, each a subcommand of `cargo xtask`.
#![deny(unsafe_code)]

mod asan;
mod bench;
mod ci;
mod codegen;
mod coverage;
mod demo;
#[path = "../../spdk-sys/build/find.rs"]
mod find;
mod interrupt;
mod pcie;
mod run;
mod setup;
mod test;
mod ui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find an SPDK, or obtain, build and install one in the cache.
    ///
    /// Searched first: SPDK_DIR (an install prefix or a built source tree), pkg-config, the
    /// well-known prefixes, the cache. Where none is found, SPDK is taken from Debian's source
    /// package `ceph` with apt, verified, built, and installed in the cache ($SPDK_RS_CACHE, else
    /// $XDG_CACHE_HOME/spdk-rs, else ~/.cache/spdk-rs). An interrupted set-up continues where it
    /// stopped. Missing Debian packages are installed when root, else named.
    Setup(setup::Options),
    /// Do real I/O on a bdev: write, verify, and measure random reads (sets up SPDK if there is none).
    Demo(demo::Options),
    /// Run every test of the workspace (sets up SPDK if there is none).
    Test(test::Options),
    /// Make the wrappers in `spdk/src/generated/`, and the programs in `ui-tests/generated/` that try what types
    /// promise, from the manifest.
    Codegen {
        /// Change nothing; fail if they are not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Say how many of the installed SPDK's callback functions are wrapped, and which are not; fail if a
    /// header lacks one that the manifest calls complete.
    Coverage {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure this crate beside SPDK's own benchmark and a bare loop in C (sets up SPDK if there is none).
    Bench(bench::Options),
    /// Run the tests that take NVMe controllers of PCI Express, in a virtual machine that has them.
    ///
    /// QEMU emulates it, with no help of the processor's. Its kernel is taken from Debian's archive with apt,
    /// verified, and kept in the cache; missing Debian packages are installed when root, else named. Without
    /// arguments it takes a few minutes.
    #[command(name = "e2e-pcie")]
    E2ePcie(pcie::Options),
    /// Check all that a change must pass: formatting, lints, generated code, documentation, tests.
    Ci,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup(options) => setup::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Codegen { check } => codegen::run(check),
        Task::Coverage { json } => setup::ensure().and_then(|()| coverage::run(json)),
        Task::Bench(options) => bench::run(&options),
        Task::E2ePcie(options) => pcie::run(&options),
        Task::Ci => ci::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
