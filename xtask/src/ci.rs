//! `cargo xtask ci`: all that a change must pass.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{codegen, coverage, run, setup, test, ui};

/// Runs the subcommand: stops at the first step that fails.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    // What takes seconds comes before what takes minutes.
    step("formatting", || {
        run::foreground(run::cargo("fmt").args(["--all", "--check"]))
            .context("not formatted as `cargo fmt --all` does")
    })?;
    step("generated code", || codegen::run(true))?;
    step("SPDK", setup::ensure)?;
    step("coverage", || coverage::run(false))?;
    step("clippy", || {
        let mut cargo = run::cargo("clippy");
        cargo.args(["--workspace", "--all-targets", "--", "--deny", "warnings"]);
        run::foreground(&mut cargo)
    })?;
    step("documentation", || {
        let mut cargo = run::cargo("doc");
        cargo.args(["--workspace", "--no-deps"]);
        run::foreground(cargo.env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    step("tests", || tests(&test::Options::default()))?;
    step("tests under AddressSanitizer", || {
        tests(&test::Options::asan())
    })?;
    ui::headline(&format!(
        "All passed in {}.",
        ui::duration(started.elapsed())
    ));
    Ok(())
}

fn tests(options: &test::Options) -> Result<()> {
    run::foreground(&mut test::command(options))
}

fn step(title: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    ui::headline(&format!("\n== {title}"));
    action().with_context(|| format!("the step `{title}` failed"))?;
    eprintln!("== {title}: {}", ui::duration(started.elapsed()));
    Ok(())
}
