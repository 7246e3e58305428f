//! From text to [`Manifest`].

use ron::Options;
use ron::extensions::Extensions;

use super::Manifest;
use crate::diag::Report;
use crate::rules;
use crate::source::Source;

/// Reads a manifest; `name` is what messages call it.
pub fn parse(name: &str, text: &str) -> Result<Manifest, Report> {
    read(&Source::new(name, text))
}

pub(crate) fn read(source: &Source) -> Result<Manifest, Report> {
    Options::default()
        .with_default_extension(Extensions::IMPLICIT_SOME | Extensions::UNWRAP_VARIANT_NEWTYPES)
        .from_str(source.text())
        .map_err(|error| {
            let start = source.offset(error.span.start.line, error.span.start.col);
            let end = source.offset(error.span.end.line, error.span.end.col);
            let message = error.code.to_string();
            Report::single(source, &rules::SYNTAX, Some(start..end.max(start + 1)), message)
        })
}
