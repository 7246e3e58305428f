//! `cargo xtask ci`: all that a change must pass.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{codegen, coverage, pcie, run, setup, test, ui};

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
    step("features", features)?;
    step("documentation", || {
        let mut cargo = run::cargo("doc");
        cargo.args(["--workspace", "--no-deps"]);
        run::foreground(cargo.env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    step("tests", || tests(&test::Options::default()))?;
    // The machine is an x86-64.
    if cfg!(target_arch = "x86_64") {
        step("tests on PCI Express", || {
            pcie::run(&pcie::Options::default())
        })?;
    }
    step("tests under AddressSanitizer", || {
        tests(&test::Options::asan())
    })?;
    ui::headline(&format!(
        "All passed in {}.",
        ui::duration(started.elapsed())
    ));
    Ok(())
}

/// Lints `spdk` without a feature and with each one alone: what builds the workspace has several at once.
fn features() -> Result<()> {
    let mut cargo = run::cargo("metadata");
    let metadata = cargo.args(["--no-deps", "--format-version=1"]).output();
    let metadata = metadata.context("cannot ask cargo for the features")?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let spdk = packages.find(|package| package["name"] == "spdk");
    let features = spdk.and_then(|spdk| spdk["features"].as_object());
    let features = features
        .context("cargo knows no features of `spdk`")?
        .keys();
    // Each of those has only more of SPDK linked.
    let alone = features.filter(|feature| !feature.starts_with("subsystem-"));
    for feature in std::iter::once("").chain(alone.map(String::as_str)) {
        let mut cargo = run::cargo("clippy");
        cargo.args(["--package", "spdk", "--lib", "--no-default-features"]);
        cargo.args(["--features", feature, "--", "--deny", "warnings"]);
        run::foreground(&mut cargo)?;
    }
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
