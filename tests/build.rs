//! Tells the tests where the SPDK is that they are linked with: they run its `nvmf_tgt`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let prefix = std::env::var("DEP_SPDK_PREFIX").unwrap_or_default();
    println!("cargo::rustc-env=SPDK_PREFIX={prefix}");
}
