//! From tokens to the text of a file that people read.

use std::fmt::Write as _;

use proc_macro2::{Group, TokenStream, TokenTree};

use crate::model::File;

/// The widest line of a comment.
const WIDTH: usize = 100;

/// Formats the items of a file, and says where it comes from.
pub(crate) fn file(
    file: &File,
    tokens: TokenStream,
    manifest: &str,
    spdk: &str,
) -> syn::Result<String> {
    let parsed = syn::parse2(tokens)?;
    let body = comments(&prettyplease::unparse(&parsed));
    let File { header, doc, .. } = file;
    Ok(format!(
        "// @generated from {manifest} by `cargo xtask codegen`, with the headers of SPDK {spdk}. \
         Do not edit.\n\
         //! {doc} Wrappers of `spdk/{header}`.\n\
         #![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.\n\
         \n{body}"
    ))
}

/// The file with assertions of types.
pub(crate) fn assertions(text: &str, manifest: &str) -> String {
    format!(
        "// @generated from {manifest} by `cargo xtask codegen`. Do not edit.\n\
         //! What types promise of threads.\n\nuse crate::__private as rt;\n\n{text}"
    )
}

/// The file that names the others.
pub(crate) fn index<'n>(
    modules: impl Iterator<Item = (&'n str, Option<&'n str>)>,
    manifest: &str,
) -> String {
    let mut text = format!(
        "// @generated from {manifest} by `cargo xtask codegen`. Do not edit.\n\
         //! Wrappers that are made from `{manifest}`, one module per SPDK header.\n\n"
    );
    for (name, cfg) in modules {
        if let Some(cfg) = cfg {
            let _ = writeln!(text, "#[cfg({cfg})]");
        }
        // The generator formats them itself, so rustfmt has nothing to say.
        let _ = writeln!(text, "#[rustfmt::skip]\npub mod {name};");
    }
    text
}

/// The tokens without the comments, which only text can have.
pub(crate) fn without_comments(tokens: TokenStream) -> TokenStream {
    let mut out = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            // `__comment ! ( .. ) ;`
            TokenTree::Ident(ident) if ident == "__comment" => {
                tokens.nth(2);
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_comments(group.stream()));
                inner.set_span(group.span());
                out.push(inner.into());
            }
            other => out.push(other),
        }
    }
    out.into_iter().collect()
}

/// Turns `__comment!("..")` into comments, and sets items apart.
fn comments(text: &str) -> String {
    let mut out = String::new();
    let mut last = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        if is_apart(indent, trimmed, last) {
            out.push('\n');
        }
        last = trimmed;
        if let Some(rest) = trimmed.strip_prefix("__comment!(") {
            // A long text stands in a line of its own.
            let text = match rest.strip_suffix(");") {
                Some(text) => text,
                None => lines.next().map_or("", str::trim),
            };
            if !rest.ends_with(");") {
                lines.next();
            }
            let text = text.trim_matches('"').replace("\\\"", "\"");
            wrap(&mut out, indent, &text);
        } else if trimmed.ends_with("::<") {
            last = generics(&mut out, line, &mut lines);
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Puts type arguments that were set one per line behind each other.
fn generics<'t>(out: &mut String, first: &str, lines: &mut std::str::Lines<'t>) -> &'t str {
    out.push_str(first);
    let mut arguments = Vec::new();
    for line in lines {
        let trimmed = line.trim();
        if trimmed.starts_with('>') {
            out.push_str(&arguments.join(" ").trim_end_matches(',').replace("  ", " "));
            out.push_str(trimmed);
            out.push('\n');
            return trimmed;
        }
        arguments.push(trimmed);
    }
    ""
}

/// Whether an empty line is due before a line.
fn is_apart(indent: &str, line: &str, last: &str) -> bool {
    const FIRST: [&str; 8] = [
        "///",
        "#[",
        "pub ",
        "impl ",
        "unsafe ",
        "const ",
        "rt::",
        "__comment!",
    ];
    let begins = FIRST.iter().any(|first| line.starts_with(first));
    match indent.len() {
        0 => {
            let goes_on = ["///", "#[", "__comment!", ");"]
                .iter()
                .any(|part| last.starts_with(part));
            begins && !last.is_empty() && !goes_on
        }
        4 => last == "}" && (line.starts_with("///") || line.starts_with("#[")),
        _ => false,
    }
}

fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut line = format!("{indent}//");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH && !line.ends_with("//") {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}//");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
