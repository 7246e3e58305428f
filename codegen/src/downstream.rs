//! Manifests of crates that depend on `spdk`: what `spdk::api!` does.

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;

use crate::diag::Report;
use crate::headers::Headers;
use crate::rules;
use crate::source::Source;
use crate::{expand, manifest};

/// The wrappers, and the files they were made of.
#[derive(Debug)]
pub struct Expansion {
    /// The wrappers.
    pub tokens: TokenStream,
    /// The files whose change changes them.
    pub files: Vec<PathBuf>,
}

/// Expands the manifest at `path` with the bindings that it names, else with those at `bindings`.
///
/// `rt` is the path of the core.
pub fn expand_file(path: &Path, bindings: &Path, rt: &TokenStream) -> Result<Expansion, Report> {
    let source = Source::read(path)?;
    let manifest = manifest::read(&source)?;
    let own = manifest.bindings;
    if own.is_some() && manifest.sys.is_none() {
        let span = own.as_deref().and_then(|name| source.word(name));
        let message = "`sys` does not say where these bindings are in Rust".to_owned();
        return Err(Report::single(&source, &rules::BINDINGS, span, message));
    }
    let mut files = vec![path.to_owned()];
    let bindings = match &own {
        Some(own) => {
            let folder = path.parent().unwrap_or(Path::new("."));
            files.push(folder.join(own));
            folder.join(own)
        }
        None => bindings.to_owned(),
    };
    let span = own.as_deref().and_then(|name| source.word(name));
    let name = bindings.display();
    let text = std::fs::read_to_string(&bindings).map_err(|error| {
        let message = format!("cannot read the bindings {name}: {error}");
        Report::single(&source, &rules::BINDINGS, span.clone(), message)
    })?;
    // Inside a macro each token would go to the compiler and back; these never leave.
    proc_macro2::fallback::force();
    let headers = Headers::parse(&text);
    proc_macro2::fallback::unforce();
    let headers = headers.map_err(|error| {
        let message = format!("the bindings {name} cannot be read: {error}");
        Report::single(&source, &rules::BINDINGS, span, message)
    })?;
    let tokens = expand(&source, &headers, rt)?;
    Ok(Expansion { tokens, files })
}
