//! Compiles the programs in C, each for the binary of its name in `src/bin`.
//!
//! That binary is nothing but the C program, which has its own `main`: cargo links it with the SPDK and the flags that
//! every program in Rust gets.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

const PROGRAMS: [&str; 3] = ["bdev_loop", "blob_loop", "ping_pong_c"];

/// The functions whose calls the program `counts` counts.
const COUNTED: [&str; 4] = [
    "spdk_dma_malloc",
    "spdk_dma_zmalloc",
    "spdk_malloc",
    "spdk_zmalloc",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=c");
    let include = env::var("DEP_SPDK_INCLUDE")?;
    let include = Path::new(&include);
    for program in PROGRAMS {
        link(program, &compile(&[program, "measure"], include)?);
    }
    link("counts", &compile(&["dma_calls"], include)?);
    for function in COUNTED {
        println!("cargo::rustc-link-arg-bin=counts=-Wl,--wrap={function}");
    }
    Ok(())
}

fn link(binary: &str, objects: &[PathBuf]) {
    for object in objects {
        println!("cargo::rustc-link-arg-bin={binary}={}", object.display());
    }
}

fn compile(sources: &[&str], include: &Path) -> Result<Vec<PathBuf>, cc::Error> {
    cc::Build::new()
        .files(sources.iter().map(|name| format!("c/{name}.c")))
        .include(include)
        .std("gnu11")
        .extra_warnings(true)
        .flag_if_supported("-Wno-unused-parameter")
        .cargo_metadata(false)
        .try_compile_intermediates()
}
