//! Passes on what `spdk-sys` found: the `cfg`s of the installed SPDK, and where it and its bindings are.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// `spdk::api!` runs in other crates, which only this macro can tell where the bindings are.
const API: &str = r#"
#[doc = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api.md"))]
#[macro_export]
macro_rules! api {
    ($($manifest:tt)*) => {
        $crate::__private::api! { ($crate::__private) BINDINGS, $($manifest)* }
    };
}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for (variable, directive) in [("CHECK_CFGS", "rustc-check-cfg"), ("CFGS", "rustc-cfg")] {
        let list = env::var(format!("DEP_SPDK_{variable}")).unwrap_or_default();
        for value in list.split(';').filter(|value| !value.is_empty()) {
            println!("cargo::{directive}={value}");
        }
    }
    let prefix = env::var("DEP_SPDK_PREFIX").unwrap_or_default();
    println!("cargo::rustc-env=SPDK_PREFIX={prefix}"); // for its `nvmf_tgt`
    let bindings = env::var("DEP_SPDK_BINDINGS")?;
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let api = API.replace("BINDINGS", &format!("{bindings:?}"));
    Ok(fs::write(PathBuf::from(out).join("api.rs"), api)?)
}
