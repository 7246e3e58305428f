//! Builds the programs, and finds SPDK's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::case::Selection;
use super::program::Program;
use crate::find::Found;
use crate::run;

/// The executables.
#[derive(Debug)]
pub(super) struct Built {
    executables: BTreeMap<String, PathBuf>,
}

impl Built {
    /// The executable of a program.
    pub(super) fn executable(&self, program: Program) -> Result<&Path> {
        let path = self.executables.get(program.name());
        path.map(PathBuf::as_path)
            .with_context(|| format!("there is no program `{program}`"))
    }
}

impl Built {
    /// A folder for what is kept of a run: `bench` in cargo's target folder, whose `release` has our programs.
    pub(super) fn folder(&self) -> Result<PathBuf> {
        let release = self.executable(Program::SpdkPerf)?.parent();
        let target = release.and_then(Path::parent);
        Ok(target
            .context("the programs are in no folder")?
            .join("bench"))
    }
}

/// SPDK's own programs, and where its builds and installations have them.
const PROGRAMS: [(Program, &[&str]); 3] = [
    (
        Program::Bdevperf,
        &[
            "bin/bdevperf",
            "build/examples/bdevperf",
            "examples/bdev/bdevperf/bdevperf",
        ],
    ),
    (
        Program::SpdkNvmePerf,
        &["bin/spdk_nvme_perf", "build/bin/spdk_nvme_perf"],
    ),
    (Program::NvmfTgt, &["bin/nvmf_tgt", "build/bin/nvmf_tgt"]),
];

/// Finds SPDK's in `found`, `bdevperf` unless the user names one, and builds ours in release, which takes minutes.
pub(super) fn build(
    found: &Found,
    selection: &Selection,
    bdevperf: Option<&Path>,
) -> Result<Built> {
    let mut theirs = Vec::new();
    for (program, places) in PROGRAMS {
        if selection.has(program) {
            let path = match bdevperf {
                Some(path) if program == Program::Bdevperf => named(path)?,
                _ => find(found, program, places)?,
            };
            theirs.push((program.name().to_owned(), path));
        }
    }
    let mut executables = executables(&["spdk-bench", "spdk-perf"])?;
    executables.extend(theirs);
    Ok(Built { executables })
}

fn named(bdevperf: &Path) -> Result<PathBuf> {
    if !bdevperf.is_file() {
        bail!("--bdevperf: there is no file {}", bdevperf.display());
    }
    Ok(bdevperf.to_owned())
}

fn find(found: &Found, program: Program, places: &[&str]) -> Result<PathBuf> {
    let mut paths = places.iter().map(|place| found.prefix.join(place));
    let Some(path) = paths.find(|path| path.is_file()) else {
        let advice = match program {
            Program::Bdevperf => {
                "; SPDK builds it with its examples, and --bdevperf FILE names one that is elsewhere, which has to be \
                 of the same build"
            }
            _ => "; SPDK builds it with its applications",
        };
        bail!(
            "the SPDK at {} has no {program} (looked for {}){advice}",
            found.prefix.display(),
            places.join(", ")
        )
    };
    Ok(path)
}

/// Builds the binaries of packages and returns where they are, by name.
fn executables(packages: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = run::cargo("build");
    cargo.args([
        "--release",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the programs cannot be built");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executables = messages.filter_map(|message| {
        let path = message.get("executable")?.as_str()?;
        let name = message.get("target")?.get("name")?.as_str()?;
        Some((name.to_owned(), PathBuf::from(path)))
    });
    Ok(executables.collect())
}
