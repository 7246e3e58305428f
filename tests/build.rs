//! Tells the tests where the SPDK is that they are linked with, whose `nvmf_tgt` they run, and whether Linux can be a
//! host of theirs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let prefix = std::env::var("DEP_SPDK_PREFIX").unwrap_or_default();
    println!("cargo::rustc-env=SPDK_PREFIX={prefix}");

    let fabrics = std::path::Path::new("/dev/nvme-fabrics");
    let tcp = std::path::Path::new("/sys/module/nvme_tcp");
    println!("cargo::rustc-check-cfg=cfg(linux_is_host)");
    let has_both = fabrics.exists() && tcp.exists();
    if has_both
        && std::fs::OpenOptions::new()
            .write(true)
            .open(fabrics)
            .is_ok()
    {
        println!("cargo::rustc-cfg=linux_is_host");
    }
}
