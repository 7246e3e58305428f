//! The test program, and the shared libraries that it takes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{find, run};

/// The test target: that of `tests/tests/pcie`.
const TARGET: &str = "pcie";

/// What cargo has built.
pub(super) struct Built {
    pub(super) program: PathBuf,
    /// Cargo's target folder.
    pub(super) target: PathBuf,
}

/// Builds the test program.
pub(super) fn build() -> Result<Built> {
    let mut cargo = run::cargo("test");
    cargo.args(["--package", "spdk-tests", "--test", TARGET, "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics");
    let output = cargo.stderr(Stdio::inherit()).output();
    let output = output.context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests cannot be built");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages
        .filter(|message| message["target"]["name"] == TARGET)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo built no tests")?;
    // .../target/debug/deps/pcie-0123
    let target = program.ancestors().nth(3);
    let target = target.context("cargo's tests are in no folder")?.to_owned();
    Ok(Built { program, target })
}

/// Where an SPDK has `blobcli`: installed, or in the tree that built it.
const BLOBCLI: [&str; 2] = ["bin/blobcli", "build/examples/blobcli"];

/// SPDK's `blobcli`, of the SPDK that the tests are linked with.
pub(super) fn blobcli() -> Result<PathBuf> {
    let prefix = find::find()?.prefix;
    let mut places = BLOBCLI.iter().map(|place| prefix.join(place));
    places.find(|path| path.is_file()).with_context(|| {
        format!(
            "the SPDK at {} has no blobcli (looked for {}); SPDK builds it with its examples",
            prefix.display(),
            BLOBCLI.join(", ")
        )
    })
}

/// A copy of a program without what a debugger reads, which is most of it.
pub(super) fn stripped(program: &Path, to: &Path) -> Result<Vec<u8>> {
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").args([to, program]);
    run::foreground(&mut strip)?;
    read(to)
}

/// The shared libraries of a program, and what loads them.
pub(super) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .context("cannot start ldd")?;
    if !output.status.success() {
        return Ok(Vec::new()); // it is static
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let missing = text.lines().find(|line| line.contains("not found"));
    if let Some(line) = missing {
        bail!("{} lacks a library: {}", program.display(), line.trim());
    }
    Ok(paths(&text).map(PathBuf::from).collect())
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f..)`, or the path alone.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let words = text.lines().flat_map(str::split_whitespace);
    words.filter(|word| word.starts_with('/'))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::paths;

    #[test]
    fn libraries_are_found_in_what_ldd_says() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f1)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        let all: Vec<_> = paths(text).collect();
        assert_eq!(
            all,
            [
                "/lib/x86_64-linux-gnu/libm.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
    }
}
