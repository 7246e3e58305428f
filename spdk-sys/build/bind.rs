//! Makes the bindings with bindgen, and compiles SPDK's inline functions so that they can be called.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use bindgen::{EnumVariation, Formatter, RustEdition, RustTarget};

use crate::accessors;
use crate::failure::Failure;
use crate::find::Found;
use crate::headers::Headers;
use crate::macros::{Macros, TYPE, VALUE};

/// What [`bind`] wrote.
pub(crate) struct Bindings {
    pub(crate) text: String,
    pub(crate) path: PathBuf,
}

/// Writes `bindings.rs` and the compiled inline functions into `out`. Headers that do not compile are left out.
pub(crate) fn bind(found: &Found, headers: &mut Headers, out: &Path) -> Result<Bindings, Failure> {
    require_libclang()?;
    let inline = out.join("inline.c");
    let bindings = loop {
        let wrapper = write_wrapper(found, headers, out)?;
        match builder(found, &wrapper, &inline).generate() {
            Ok(bindings) => break bindings,
            Err(errors) => {
                let errors = errors.to_string();
                if !headers.leave_out_refused(&found.include, &errors) {
                    return Err(Failure::headers(&errors));
                }
            }
        }
    };
    let text = accessors::lean(&Macros::settle(&bindings.to_string()));
    let path = out.join("bindings.rs");
    write(&path, &text)?;

    compile_inline(found, &inline)?;
    Ok(Bindings { text, path })
}

/// bindgen panics when it cannot load libclang; this asks for it first, and turns the panic into a sentence.
fn require_libclang() -> Result<(), Failure> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let loaded = panic::catch_unwind(bindgen::clang_version);
    panic::set_hook(hook);
    loaded.map(drop).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Failure::no_libclang(text.unwrap_or("it did not say why"))
    })
}

fn write_wrapper(found: &Found, headers: &Headers, out: &Path) -> Result<PathBuf, Failure> {
    let mut macros = Macros::default();
    let mut text = String::new();
    for header in &headers.bound {
        let path = found.include.join(header);
        let bytes = fs::read(&path).map_err(|e| Failure::io("read", &path, &e))?;
        macros.read(&String::from_utf8_lossy(&bytes));
        text += &format!("#include <{header}>\n");
    }
    text += &macros.questions();
    let path = out.join("wrapper.h");
    write(&path, &text)?;
    Ok(path)
}

fn builder(found: &Found, wrapper: &Path, inline: &Path) -> bindgen::Builder {
    let include = found.include.display();
    // Every file below include/spdk, through whatever path clang names it.
    let ours = format!("{}/spdk/.*", regex_escaped(&include.to_string()));
    let msrv = RustTarget::stable(88, 0).unwrap_or_else(|_| RustTarget::default());
    bindgen::Builder::default()
        .header(wrapper.display().to_string())
        .clang_arg(format!("-I{include}"))
        .allowlist_file(ours)
        .allowlist_type(format!("{TYPE}.*"))
        .allowlist_var(format!("{VALUE}.*"))
        // Newtypes, not Rust enums: a value that the header does not list is not undefined behaviour.
        .default_enum_style(EnumVariation::NewType {
            is_bitfield: false,
            is_global: true,
        })
        // An enum without a name is a list of integers.
        .constified_enum("_bindgen_ty_.*")
        .prepend_enum_name(false)
        .derive_default(true)
        .generate_cstr(true)
        // Doxygen is not Markdown: its brackets and angles would become broken links and unknown tags.
        .generate_comments(false)
        .layout_tests(true)
        .wrap_unsafe_ops(true)
        .wrap_static_fns(true)
        .wrap_static_fns_path(inline)
        .rust_target(msrv)
        .rust_edition(RustEdition::Edition2024)
        .formatter(Formatter::Prettyplease)
}

fn compile_inline(found: &Found, inline: &Path) -> Result<(), Failure> {
    // bindgen writes the file only if there is something to write.
    if !inline.is_file() {
        return Ok(());
    }
    cc::Build::new()
        .file(inline)
        .include(&found.include)
        .warnings(false)
        .try_compile("spdk_sys_inline")
        .map_err(|e| Failure::not_compiled("SPDK's inline functions", &e.to_string()))
}

fn regex_escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() && c != '/' && c != '_' && c != '-' {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|e| Failure::io("write", path, &e))
}
