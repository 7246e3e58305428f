//! From text to [`Manifest`].

use ron::Options;
use ron::error::{Error, SpannedError};
use ron::extensions::Extensions;

use super::Manifest;
use crate::diag::{Diagnostics, Report};
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
        .map_err(|error| report(source, &error))
}

fn report(source: &Source, error: &SpannedError) -> Report {
    let start = source.offset(error.span.start.line, error.span.start.col);
    let end = source.offset(error.span.end.line, error.span.end.col);
    let span = Some(start..end.max(start + 1));
    let mut errors = Diagnostics::default();
    let message = error.code.to_string();
    match way_out(&error.code) {
        Some(help) => errors.push_with_help(&rules::SYNTAX, span, message, help),
        None => errors.push(&rules::SYNTAX, span, message),
    }
    errors.into_report(source)
}

/// What to do about it, where ron knows more than its message says.
fn way_out(error: &Error) -> Option<String> {
    let entry = |outer: &Option<String>| match outer {
        Some(outer) => format!("a `{outer}`"),
        None => "this".to_owned(),
    };
    match error {
        Error::MissingStructField { field, outer } => Some(format!(
            "{} has a field `{field}`; add it before the bracket closes",
            entry(outer)
        )),
        Error::NoSuchStructField {
            expected, outer, ..
        } => Some(format!(
            "the fields of {} are {}",
            entry(outer),
            expected.join(", ")
        )),
        Error::NoSuchEnumVariant { expected, .. } => {
            Some(format!("it is one of {}", expected.join(", ")))
        }
        Error::ExpectedIdentifier => {
            Some("write the name of a field or a variant here, without quotes".to_owned())
        }
        Error::ExpectedString => Some("write a text here, in quotes".to_owned()),
        Error::ExpectedStructLike => Some(
            "what stands before it has fields, in round brackets; they are documented in `spdk_codegen::manifest`"
                .to_owned(),
        ),
        _ => None,
    }
}
