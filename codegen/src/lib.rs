//! Generates safe async Rust wrappers of SPDK's callback APIs from a checked manifest.
//!
//! The language is documented in [`manifest`], its rules are in [`rules`]. [`generate`] is the
//! whole pipeline.
#![deny(unsafe_code)]

pub mod diag;
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

use diag::{Diagnostics, Report};
use headers::Headers;
use source::Source;

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

/// The generated files of a manifest, formatted: one per section, and `mod.rs`.
pub fn generate(source: &Source, headers: &Headers) -> Result<Vec<File>, Report> {
    let manifest = manifest::read(source)?;
    let api = analyse(source, &manifest, headers, Target::Spdk)?;
    let spdk = manifest.spdk.to_string();
    let rt = syn::parse_quote!(crate::__private);
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
    let names: Vec<_> = api.iter().collect();
    files.push(File {
        name: "mod.rs".to_owned(),
        text: format::index(&names, source.name()),
    });
    Ok(files)
}

/// From entries to a model in which nothing is left to decide: resolve, check, plan.
fn analyse(
    source: &Source,
    manifest: &manifest::Manifest,
    headers: &Headers,
    target: Target,
) -> Result<Vec<model::File>, Report> {
    let mut errors = Diagnostics::default();
    let world = world::World::new(manifest, headers, source, &mut errors);
    let functions = resolve::functions(manifest, &world, &mut errors);
    errors.propagate(source)?;
    Ok(plan::plan(manifest, &functions, &world, target))
}
