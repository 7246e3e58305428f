//! Generates safe async Rust wrappers of SPDK's callback APIs from a checked manifest.
//!
//! The language is documented in [`manifest`], its rules are in [`rules`]. [`generate`] is the
//! whole pipeline.
#![deny(unsafe_code)]

mod check;
pub mod coverage;
pub mod diag;
mod downstream;
pub mod drift;
mod emit;
pub mod errno;
mod format;
pub mod headers;
pub mod manifest;
mod model;
mod plan;
mod resolve;
pub mod rules;
pub mod source;
mod world;

pub use downstream::{Expansion, expand_file};

use diag::{Diagnostics, Report};
use headers::Headers;
use manifest::Manifest;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use source::Source;
use world::World;

/// Whom the wrappers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The `spdk` crate: checked in, for every supported SPDK, so what not all have is behind a
    /// `cfg`.
    Spdk,
    /// A crate that depends on `spdk`: expanded in place, for the SPDK that is installed.
    Downstream,
}

/// A file to be written.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The generated files of a manifest, formatted: one per section, `markers.rs` where it speaks of types that no
/// section declares, and `mod.rs`.
///
/// Parse, resolve, check, plan, emit, format: each stage reports all of its mistakes at once.
pub fn generate(source: &Source, headers: &Headers) -> Result<Vec<File>, Report> {
    let manifest = manifest::read(source)?;
    check::place(&manifest, source)?;
    let api = analyse(source, &manifest, headers, Target::Spdk)?;
    let spdk = manifest.spdk.to_string();
    let rt = quote!(crate::__private);
    let mut files = Vec::new();
    for file in &api {
        let tokens = emit::file(file, &rt, None);
        let text = format::file(file, tokens, source.name(), &spdk).map_err(|error| {
            let message = format!("the wrappers of {} are not Rust: {error}", file.header);
            Report::single(source, &rules::INTERNAL, source.word(&file.header), message)
        })?;
        files.push(File {
            name: format!("{}.rs", file.name),
            text,
        });
    }
    let modules = api
        .iter()
        .map(|file| (file.name.as_str(), file.cfg.as_deref()));
    let mut modules: Vec<_> = modules.collect();
    let types = plan::promises(&manifest);
    if !types.is_empty() {
        modules.push(("markers", None));
        files.push(File {
            name: "markers.rs".to_owned(),
            text: format::assertions(&emit::assertions(&types), source.name()),
        });
    }
    let text = format::index(modules.into_iter(), source.name());
    let name = "mod.rs".to_owned();
    files.push(File { name, text });
    Ok(files)
}

/// What the types and operations of a manifest promise of threads, as a program of a crate that uses `spdk`. Most of
/// its lines must not compile, and say with which error.
pub fn cases(source: &Source, headers: &Headers) -> Result<String, Report> {
    let manifest = manifest::read(source)?;
    let api = analyse(source, &manifest, headers, Target::Spdk)?;
    Ok(emit::cases(&plan::cases(&manifest, &api), source.name()))
}

/// The wrappers of a manifest as tokens, for a crate whose core is at the path `rt`.
pub fn expand(source: &Source, headers: &Headers, rt: &TokenStream) -> Result<TokenStream, Report> {
    let manifest = manifest::read(source)?;
    let api = analyse(source, &manifest, headers, Target::Downstream)?;
    let sys = manifest
        .sys
        .as_ref()
        .and_then(|path| path.as_str().parse().ok());
    let modules = api.iter().map(|file| {
        let name = format_ident!("{}", file.name);
        let items = format::without_comments(emit::file(file, rt, sys.as_ref()));
        let doc = format!(" {}", file.doc);
        let cfg = file
            .cfg
            .as_ref()
            .and_then(|cfg| cfg.parse::<TokenStream>().ok());
        let cfg = cfg.map(|cfg| quote!(#[cfg(#cfg)]));
        quote! {
            #cfg
            #[doc = #doc]
            pub mod #name { #items }
            #cfg
            #[allow(unused_imports, reason = "methods need no name")]
            pub use #name::*;
        }
    });
    let types = emit::assertions(&plan::promises(&manifest));
    let types = types.parse::<TokenStream>().ok();
    let types = types.filter(|types| !types.is_empty());
    let types = types.map(|types| quote!(const _: () = { use #rt as rt; #types };));
    Ok(quote!(#(#modules)* #types))
}

/// From entries to a model in which nothing is left to decide: resolve, check, plan.
fn analyse(
    source: &Source,
    manifest: &Manifest,
    headers: &Headers,
    target: Target,
) -> Result<Vec<model::File>, Report> {
    let mut errors = Diagnostics::default();
    check::names(manifest, source, &mut errors);
    let world = World::new(manifest, headers, source, &mut errors);
    let functions = resolve::functions(manifest, &world, target, &mut errors);
    errors.propagate(source)?;
    check::contracts(manifest, &functions, &world, target, &mut errors);
    errors.propagate(source)?;
    Ok(plan::plan(manifest, &functions, &world, target))
}
