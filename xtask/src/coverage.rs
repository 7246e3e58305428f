//! `cargo xtask coverage`: how many of the callback functions of the installed SPDK are wrapped.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use spdk_codegen::coverage::{self, Coverage};
use spdk_codegen::headers::Headers;
use spdk_codegen::manifest::Manifest;

use crate::codegen;

/// Prints the coverage of each header, as text or as JSON.
pub(crate) fn run(json: bool) -> Result<()> {
    let root = codegen::root()?;
    let installed = installed(&root)?;
    let headers = codegen::headers(&installed.bindings)?;
    let source = codegen::manifest(&root)?;
    let manifest = spdk_codegen::manifest::parse(source.name(), source.text())?;
    let declared = declared(&installed.include, &headers)?;
    let coverage = coverage::coverage(&manifest, &headers, &declared);
    let mut out = std::io::stdout().lock();
    let printed = match json {
        true => print_json(&mut out, &installed.version, &coverage),
        false => print_text(&mut out, &installed.version, &coverage),
    };
    match printed {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        result => result.context("cannot write the coverage")?,
    }
    check(&manifest, &coverage)?;
    let wrong = coverage::plain(&manifest, &headers, &declared, &aliases(&root)?);
    if !wrong.is_empty() {
        bail!(
            "of the functions without a callback, {}: see `plain` in {}",
            wrong.join("; "),
            codegen::MANIFEST
        );
    }
    Ok(())
}

/// The functions that the documentation of `spdk` names.
fn aliases(root: &Path) -> Result<BTreeSet<String>> {
    let mut folders = vec![root.join("spdk/src")];
    let mut aliases = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some(OsStr::new("rs")) {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                aliases.extend(coverage::aliases(&text));
            }
        }
    }
    Ok(aliases)
}

/// Fails if a header that the manifest calls complete is not.
fn check(manifest: &Manifest, coverage: &BTreeMap<String, Coverage>) -> Result<()> {
    let lacks = coverage::incomplete(manifest, coverage);
    if lacks.is_empty() {
        return Ok(());
    }
    let lacks = lacks
        .iter()
        .map(|(header, missing)| format!("{header} lacks {}", missing.join(", ")));
    bail!(
        "{}, and {} says that it is complete: add an entry for each",
        lacks.collect::<Vec<_>>().join("; "),
        codegen::MANIFEST
    );
}

/// What the build script of `spdk-sys` found.
struct Installed {
    version: String,
    include: PathBuf,
    bindings: PathBuf,
}

/// Runs the build script of `spdk-sys` and asks cargo for what it said.
fn installed(root: &Path) -> Result<Installed> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["check", "--quiet", "--package", "spdk-sys"])
        .args(["--message-format", "json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("spdk-sys cannot be built; `cargo xtask setup` provides an SPDK");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let out_dir = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|message| {
            let id = message["package_id"].as_str().unwrap_or_default();
            message["reason"] == "build-script-executed" && id.contains("spdk-sys")
        })
        .and_then(|message| message["out_dir"].as_str().map(PathBuf::from))
        .context("cargo said nothing of the build script of spdk-sys")?;
    // The metadata is for dependents only, but cargo keeps what the script said beside its output.
    let said = out_dir.parent().map(|folder| folder.join("output"));
    let said = said.context("the output folder of spdk-sys has no parent")?;
    let said =
        fs::read_to_string(&said).with_context(|| format!("cannot read {}", said.display()))?;
    let value = |key: &str| {
        let found = said.lines().find_map(|line| {
            let line = line.trim_start_matches("cargo:").trim_start_matches(':');
            line.strip_prefix("metadata=")?
                .strip_prefix(key)?
                .strip_prefix('=')
        });
        found
            .map(str::to_owned)
            .with_context(|| format!("spdk-sys did not say its {key}"))
    };
    Ok(Installed {
        version: value("VERSION")?,
        include: value("INCLUDE")?.into(),
        bindings: value("BINDINGS")?.into(),
    })
}

/// The functions that each public header declares, by the header's path below `spdk/`.
fn declared(include: &Path, headers: &Headers) -> Result<BTreeMap<String, Vec<String>>> {
    let top = include.join("spdk");
    let mut folders = vec![top.clone()];
    let mut declared = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some(OsStr::new("h")) {
                let name = path
                    .strip_prefix(&top)
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                declared.insert(name, coverage::declarations(&text, headers));
            }
        }
    }
    Ok(declared)
}

fn print_text(
    out: &mut dyn Write,
    version: &str,
    coverage: &BTreeMap<String, Coverage>,
) -> std::io::Result<()> {
    let total: usize = coverage.values().map(Coverage::total).sum();
    let wrapped: usize = coverage.values().map(Coverage::wrapped).sum();
    writeln!(
        out,
        "SPDK {version}: {wrapped} of {total} functions that take a callback are wrapped\n"
    )?;
    writeln!(
        out,
        "{:<28} {:>5} {:>9} {:>7} {:>7}",
        "header", "all", "generated", "by hand", "missing"
    )?;
    for (header, counts) in coverage {
        writeln!(
            out,
            "{header:<28} {:>5} {:>9} {:>7} {:>7}",
            counts.total(),
            counts.generated.len(),
            counts.manual.len(),
            counts.missing.len()
        )?;
    }
    for (header, counts) in coverage
        .iter()
        .filter(|(_, counts)| !counts.missing.is_empty())
    {
        writeln!(out, "\n{header}: not wrapped")?;
        for name in &counts.missing {
            writeln!(out, "  {name}")?;
        }
    }
    Ok(())
}

fn print_json(
    out: &mut dyn Write,
    version: &str,
    coverage: &BTreeMap<String, Coverage>,
) -> std::io::Result<()> {
    let headers: serde_json::Map<_, _> = coverage
        .iter()
        .map(|(header, counts)| {
            let counts = serde_json::json!({
                "total": counts.total(),
                "generated": counts.generated,
                "manual": counts.manual,
                "missing": counts.missing,
            });
            (header.clone(), counts)
        })
        .collect();
    let all = serde_json::json!({
        "spdk": version,
        "total": coverage.values().map(Coverage::total).sum::<usize>(),
        "wrapped": coverage.values().map(Coverage::wrapped).sum::<usize>(),
        "headers": headers,
    });
    writeln!(out, "{all:#}")
}
