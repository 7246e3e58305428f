//! `cargo xtask codegen`: makes `spdk/src/generated/` and `ui-tests/generated/` of `spdk-api.ron`.
//!
//! Resolved against the bindings that `spdk-sys` ships for its documentation, so that the output is
//! the same whatever SPDK is installed, and also without one. What differs between releases is
//! behind a `cfg`, or the signature pins refuse to compile.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use spdk_codegen::File;
use spdk_codegen::headers::Headers;
use spdk_codegen::source::Source;

/// The manifest, in the root of the repository.
pub(crate) const MANIFEST: &str = "spdk-api.ron";
/// The bindings that it is resolved against.
const BINDINGS: &str = "spdk-sys/docs/bindings.rs";
/// Where the wrappers are.
const WRAPPERS: &str = "spdk/src/generated";
/// Where the programs are that try what types promise.
const CASES: &str = "ui-tests/generated";

/// The root of the repository.
pub(crate) fn root() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package
        .parent()
        .context("xtask is a folder of the repository")?;
    Ok(root.to_owned())
}

/// Reads bindings that bindgen wrote.
pub(crate) fn headers(path: &Path) -> Result<Headers> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Headers::parse(&text).with_context(|| format!("{} is not bindgen's output", path.display()))
}

/// The manifest, called by its name alone in messages.
pub(crate) fn manifest(root: &Path) -> Result<Source> {
    let source = Source::read(&root.join(MANIFEST))?;
    Ok(Source::new(MANIFEST, source.text()))
}

/// Makes the wrappers, and the programs that try them: the files of each folder.
pub(crate) fn generate(root: &Path) -> Result<[(&'static str, Vec<File>); 2]> {
    let (manifest, headers) = (manifest(root)?, headers(&root.join(BINDINGS))?);
    let made = spdk_codegen::generate(&manifest, &headers).and_then(|wrappers| {
        let text = spdk_codegen::cases(&manifest, &headers)?;
        let name = "markers.rs".to_owned();
        Ok([(WRAPPERS, wrappers), (CASES, vec![File { name, text }])])
    });
    made.map_err(|report| anyhow::anyhow!("{MANIFEST} cannot be used\n\n{report}"))
}

/// Writes them; with `check`, fails if they are not what would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = root()?;
    let mut all_stale = Vec::new();
    for (folder, files) in generate(&root)? {
        let output = root.join(folder);
        let stale = stale(&output, &files)?;
        if stale.is_empty() {
            println!("{folder} is up to date: {} files", files.len());
        } else if check {
            all_stale.extend(stale.iter().map(|name| format!("{folder}/{name}")));
        } else {
            write(folder, &output, &files, &stale)?;
        }
    }
    if !all_stale.is_empty() {
        bail!(
            "not what {MANIFEST} generates: {}\nrun `cargo xtask codegen` and commit the result",
            all_stale.join(", ")
        );
    }
    Ok(())
}

/// The names of the files that differ, are missing, or should not be there.
fn stale(output: &Path, files: &[File]) -> Result<BTreeSet<String>> {
    let mut stale = BTreeSet::new();
    for file in files {
        if fs::read_to_string(output.join(&file.name)).ok().as_ref() != Some(&file.text) {
            stale.insert(file.name.clone());
        }
    }
    let Ok(entries) = fs::read_dir(output) else {
        return Ok(stale);
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !files.iter().any(|file| file.name == name) {
            stale.insert(name);
        }
    }
    Ok(stale)
}

fn write(folder: &str, output: &Path, files: &[File], stale: &BTreeSet<String>) -> Result<()> {
    fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    for name in stale {
        let path = output.join(name);
        let done = match files.iter().find(|file| file.name == *name) {
            Some(file) => fs::write(&path, &file.text),
            None => fs::remove_file(&path),
        };
        done.with_context(|| format!("cannot write {}", path.display()))?;
        println!("{folder}/{name}");
    }
    Ok(())
}
