//! Passes on the `cfg`s that `spdk-sys` derived from the installed SPDK.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for (variable, directive) in [("CHECK_CFGS", "rustc-check-cfg"), ("CFGS", "rustc-cfg")] {
        let list = std::env::var(format!("DEP_SPDK_{variable}")).unwrap_or_default();
        for value in list.split(';').filter(|value| !value.is_empty()) {
            println!("cargo::{directive}={value}");
        }
    }
}
