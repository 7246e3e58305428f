//! Build script: find SPDK, bind its headers, link its libraries, tell dependents about it.

mod accessors;
mod bind;
mod cfgs;
mod compiler;
mod docs;
mod drift;
mod failure;
mod find;
mod headers;
mod link;
mod macros;
mod pc;
mod shared;
mod tokens;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bind::Bindings;
use failure::Failure;
use find::{Found, Version};

/// More variables than those of the search that change what this script does.
const VARIABLES: [&str; 6] = [
    "DOCS_RS",
    docs::WRITE,
    "BINDGEN_EXTRA_CLANG_ARGS",
    "CC",
    "CFLAGS",
    "LIBCLANG_PATH",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}\n");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Failure> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    if docs::wanted() {
        let (version, bindings) = docs::provide(&out)?;
        tell_rustc(version, &bindings);
        return Ok(());
    }

    let found = find::find().map_err(|page| Failure::new(page.to_string()))?;
    for tried in &found.passed_over {
        println!(
            "cargo::warning={} was passed over: {}",
            tried.place.display(),
            tried.why
        );
    }

    let compiler = compiler::compiler()?;
    let mut plan = link::plan(&found, has_feature)?;
    plan.settle_cxx(compiler::knows(&compiler, "libstdc++.so"));
    let absent = compiler::absent_libs(&plan, &compiler);
    if !absent.is_empty() {
        return Err(Failure::absent_libs(&absent));
    }

    let system = compiler::system_folders(&compiler);
    let mut headers = headers::choose(&found.include, &system)
        .map_err(|e| Failure::io("list the headers in", &found.include, &e))?;
    let bindings = bind::bind(&found, &mut headers, &out)?;
    for header in headers.left_out.iter().filter(|h| h.is_surprising()) {
        println!("cargo::warning=not bound: {header}");
    }
    docs::write_if_asked(&bindings.text)?;

    rerun(&found);
    // After the inline functions, which call SPDK's: the linker gets the archives in this order.
    shared::load_at_start(&plan, &out)?;
    link_directives(&plan);
    tell_rustc(found.version, &bindings);
    println!("cargo::metadata=PREFIX={}", found.prefix.display());
    println!("cargo::metadata=INCLUDE={}", found.include.display());
    let left_out = headers.left_out.iter().map(ToString::to_string);
    println!(
        "cargo::metadata=LEFT_OUT={}",
        left_out.collect::<Vec<_>>().join("; ")
    );
    Ok(())
}

/// Has this script run again when the search or the installation may have changed.
fn rerun(found: &Found) {
    for variable in find::VARIABLES.iter().chain(&VARIABLES) {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for folder in [&found.include.join("spdk"), &found.lib] {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
}

fn link_directives(plan: &link::Plan) {
    for missing in &plan.missing {
        println!("cargo::warning=SPDK's .pc files name {missing}, which is not installed");
    }
    for folder in &plan.folders {
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    for lib in &plan.libs {
        println!("cargo::rustc-link-lib={}", lib.directive());
    }
}

/// Sets the `cfg`s, and hands them and the bindings to dependents.
fn tell_rustc(version: Version, bindings: &Bindings) {
    let cfgs = cfgs::derive(version, &bindings.text);
    for cfg in &cfgs.declared {
        println!("cargo::rustc-check-cfg={cfg}");
    }
    for cfg in &cfgs.set {
        println!("cargo::rustc-cfg={cfg}");
    }
    println!("cargo::metadata=VERSION={version}");
    println!("cargo::metadata=BINDINGS={}", bindings.path.display());
    println!("cargo::metadata=CFGS={}", cfgs.set.join(";"));
    println!("cargo::metadata=CHECK_CFGS={}", cfgs.declared.join(";"));
}

fn has_feature(name: &str) -> bool {
    let name = name.to_uppercase().replace('-', "_");
    env::var_os(format!("CARGO_FEATURE_{name}")).is_some()
}

fn variable(name: &str) -> Result<String, Failure> {
    env::var(name).map_err(|_| Failure::new(format!("{name} is not set: run this with cargo")))
}

/// The folder of this package.
fn package() -> Result<PathBuf, Failure> {
    variable("CARGO_MANIFEST_DIR").map(|dir| Path::new(&dir).to_owned())
}
