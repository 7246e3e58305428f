//! Installations with nothing but shared libraries.
//!
//! A module such as `libspdk_bdev_malloc.so` exports nothing: it only has constructors. A linker that drops what nobody
//! refers to (rustc asks it to) drops the module, and a library cannot change that for the programs that use it. So a
//! constructor of our own loads the modules when the program starts.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::bind;
use crate::failure::Failure;
use crate::link::{Kind, Plan};

const NAME: &str = "spdk_sys_load";

/// Compiles that constructor, if there is something to load.
pub(crate) fn load_at_start(plan: &Plan, out: &Path) -> Result<(), Failure> {
    let files = sonames(plan);
    if files.is_empty() {
        return Ok(());
    }
    let source = out.join(format!("{NAME}.c"));
    bind::write(&source, &program(&files))?;
    cc::Build::new()
        .file(&source)
        .cargo_metadata(false)
        .try_compile(NAME)
        .map_err(|e| {
            Failure::not_compiled("The start-up code for shared libraries", &e.to_string())
        })?;
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static:+whole-archive,-bundle={NAME}");
    println!("cargo::rustc-link-lib=dylib=dl");
    Ok(())
}

/// The file names of the shared libraries, with their versions: the plain `.so` belongs to development packages.
fn sonames(plan: &Plan) -> Vec<String> {
    let loaded = plan.libs.iter().filter(|lib| lib.kind == Kind::Loaded);
    // What others depend on comes last in the plan and is loaded first. The environment layer can be replaced, so
    // nothing names it as what it depends on, though everything does.
    let mut names: Vec<&str> = loaded.rev().map(|lib| lib.name.as_str()).collect();
    names.sort_by_key(|name| *name != "spdk_env_dpdk");
    let files = names.into_iter().filter_map(|name| {
        let file = format!("lib{name}.so");
        let mut paths = plan.folders.iter().map(|dir| dir.join(&file));
        let path = fs::canonicalize(paths.find(|path| path.exists())?).ok()?;
        Some(path.file_name()?.to_str()?.to_owned())
    });
    files.collect()
}

/// A function of the environment layer. Most libraries call that layer in constructors without naming it as what they
/// depend on. A reference of our own makes it a dependency of the program, so that it is there before they run.
const ENVIRONMENT: &str = "spdk_env_init";

fn program(files: &[String]) -> String {
    let mut list = String::new();
    for file in files {
        let _ = writeln!(list, "    \"{file}\",");
    }
    format!(
        r#"#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

extern char {ENVIRONMENT}[];
const void *volatile spdk_sys_environment;

static const char *const libraries[] = {{
{list}}};

__attribute__((constructor)) static void load(void)
{{
    spdk_sys_environment = {ENVIRONMENT};
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {{
        if (dlopen(libraries[i], RTLD_LAZY | RTLD_GLOBAL) == NULL) {{
            fprintf(stderr, "a library of SPDK cannot be loaded: %s\n", dlerror());
            exit(127);
        }}
    }}
}}
"#
    )
}
