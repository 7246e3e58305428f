//! Builds without an SPDK, for documentation only.
//!
//! `docs/bindings.rs` was made from SPDK 26.01. To make it again, build once with `SPDK_SYS_WRITE_DOCS_BINDINGS=1` and with
//! that SPDK. Nothing is ever linked against it, since other releases lay their structs out differently.

use std::env;
use std::fs;
use std::path::Path;

use crate::bind::{self, Bindings};
use crate::failure::Failure;
use crate::find::{SETUP_VERSION, Version};

/// The variable that has the shipped bindings written anew.
pub(crate) const WRITE: &str = "SPDK_SYS_WRITE_DOCS_BINDINGS";

const SHIPPED: &str = "docs/bindings.rs";

/// Tells a reader of the file what it is.
const PREAMBLE: &str = "\
// Bindings to SPDK 26.01 for documentation (`DOCS_RS`) and for the code generator, which read signatures only: the bodies
// are left out, and nothing is ever linked against them. Written by a build with `SPDK_SYS_WRITE_DOCS_BINDINGS=1`.
";

/// Whether only documentation is wanted. docs.rs sets this variable, and anybody else may.
pub(crate) fn wanted() -> bool {
    env::var_os("DOCS_RS").is_some()
}

/// Puts the shipped bindings where the crate includes them from.
pub(crate) fn provide(out: &Path) -> Result<(Version, Bindings), Failure> {
    let shipped = crate::package()?.join(SHIPPED);
    let text = fs::read_to_string(&shipped).map_err(|e| Failure::io("read", &shipped, &e))?;
    let path = out.join("bindings.rs");
    bind::write(&path, &text)?;
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    println!("cargo::rerun-if-changed={}", shipped.display());
    Ok((SETUP_VERSION, Bindings { text, path }))
}

/// Writes the shipped bindings anew if the variable asks for it.
pub(crate) fn write_if_asked(bindings: &str) -> Result<(), Failure> {
    if env::var_os(WRITE).is_none() {
        return Ok(());
    }
    let path = crate::package()?.join(SHIPPED);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Failure::io("create", folder, &e))?;
    }
    bind::write(&path, &format!("{PREAMBLE}{}", outline(bindings)))
}

/// What documentation shows: no layout tests, and no bodies, which nobody can run without an SPDK.
///
/// It relies on how prettyplease lays out items and methods.
fn outline(bindings: &str) -> String {
    let mut out = String::new();
    let mut until = None;
    for line in bindings.lines() {
        if let Some(end) = until {
            if line != end {
                continue;
            }
            until = None;
            if end == "};" {
                continue;
            }
        }
        if line == "const _: () = {" {
            until = Some("};");
            continue;
        }
        if line.starts_with("#[allow(clippy::unnecessary_operation") {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if opens_body(line) {
            out.push_str("        unimplemented!()\n");
            until = Some("    }");
        }
    }
    out
}

/// Whether the line is the last one of a method's signature.
fn opens_body(line: &str) -> bool {
    let Some(line) = line.strip_prefix("    ").filter(|line| line.ends_with('{')) else {
        return false;
    };
    line.starts_with(')') || (!line.starts_with(' ') && line.contains("fn "))
}
