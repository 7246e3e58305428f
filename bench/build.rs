//! Compiles the programs in C, each for the binary of its name in `src/bin`.
//!
//! That binary is nothing but the C program, which has its own `main`: cargo links it with the SPDK and the flags that
//! every program in Rust gets.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

const PROGRAMS: [&str; 2] = ["bdev_loop", "ping_pong_c"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=c");
    let include = env::var("DEP_SPDK_INCLUDE")?;
    for program in PROGRAMS {
        for object in compile(&[program, "measure"], Path::new(&include))? {
            println!("cargo::rustc-link-arg-bin={program}={}", object.display());
        }
    }
    Ok(())
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
