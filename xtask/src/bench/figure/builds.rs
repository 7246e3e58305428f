//! What a developer waits for: a clean build, and the code generator.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Figure;
use crate::bench::process;
use crate::bench::program::Setting;
use crate::bench::stats::Spread;
use crate::run;

/// Builds share the disk and the processors with whatever else the machine does.
const NOISE: f64 = 0.2;

/// The code generator is quick enough to be run more than once.
const REPETITIONS: usize = 5;

/// Builds the example in release in an empty folder, with every processor. What cargo has downloaded before is not
/// downloaded again.
pub(super) fn clean(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let target = setting.scratch.join("target");
    let mut cargo = run::cargo("build");
    cargo
        .args(["--release", "--package", "spdk", "--example", "hello_bdev"])
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_BUILD_JOBS");
    let finished = process::finish(&mut cargo, Duration::from_secs(600), setting.scratch)
        .context("the clean build")?;
    std::fs::remove_dir_all(&target)
        .with_context(|| format!("cannot remove {}", target.display()))?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(vec![
        Figure::new("clean-build", finished.elapsed, "s", NOISE),
        Figure::new("clean-build-processors", processors as f64, "", 0.0),
    ])
}

/// Makes all wrappers, without a look at those that are there.
pub(super) fn codegen() -> Result<Vec<Figure>> {
    let root = crate::codegen::root()?;
    let mut times = Vec::with_capacity(REPETITIONS);
    for _ in 0..REPETITIONS {
        let start = Instant::now();
        crate::codegen::generate(&root)?;
        times.push(start.elapsed().as_secs_f64());
    }
    let spread = Spread::of(&times).context("no time was taken")?;
    Ok(vec![Figure::new("codegen", spread.median, "s", NOISE)])
}
