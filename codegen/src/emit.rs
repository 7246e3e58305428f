//! From the model to tokens: one function per construct, and no decision.

mod callback;
mod cases;
mod function;
mod handle;
mod options;
mod record;
mod values;

pub(crate) use cases::{assertions, cases};

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::{format_ident, quote};

use crate::model::{File, Item, Use};

/// The items of a file, with the imports that they need.
pub(crate) fn file(file: &File, rt: &TokenStream, sys: Option<&TokenStream>) -> TokenStream {
    let items: TokenStream = file.items.iter().map(item).collect();
    let uses = uses(file, &items, rt, sys);
    quote!(#uses #items)
}

fn item(item: &Item) -> TokenStream {
    match item {
        Item::Handle(handle) => handle::emit(handle),
        Item::Markers(markers) => handle::emit_markers(markers),
        Item::Callback(callback) => callback::emit(callback),
        Item::Enum(item) => values::emit_enum(item),
        Item::Flags(item) => values::emit_flags(item),
        Item::Options(options) => options::emit(options),
        Item::Record(record) => record::emit(record),
        Item::Function(function) => function::emit(function),
    }
}

/// A line of documentation each.
pub(crate) fn docs(lines: &[String]) -> TokenStream {
    let lines = lines.iter().map(|line| match line.as_str() {
        "" => String::new(),
        line => format!(" {line}"),
    });
    quote!(#(#[doc = #lines])*)
}

/// A comment: tokens cannot carry one, so `format` makes it of this.
pub(crate) fn comment(text: &str) -> TokenStream {
    quote!(__comment!(#text);)
}

/// Imports of what the items name and the file does not define.
fn uses(
    file: &File,
    items: &TokenStream,
    core: &TokenStream,
    sys: Option<&TokenStream>,
) -> TokenStream {
    let mut words = HashSet::new();
    collect(items.clone(), &mut words);
    let has = |word: &str| words.contains(word);
    let ffi: Vec<_> = [
        "c_char",
        "c_int",
        "c_long",
        "c_longlong",
        "c_schar",
        "c_short",
        "c_uchar",
        "c_uint",
        "c_ulong",
        "c_ulonglong",
        "c_ushort",
        "c_void",
    ]
    .into_iter()
    .filter(|word| has(word))
    .map(|word| format_ident!("{word}"))
    .collect();
    let ffi = (!ffi.is_empty()).then(|| quote!(use core::ffi::{#(#ffi),*};));
    let flow = has("ControlFlow").then(|| {
        quote!(
            use core::ops::ControlFlow;
        )
    });
    let mem = has("MaybeUninit").then(|| {
        quote!(
            use core::mem::MaybeUninit;
        )
    });
    let fmt = has("fmt::").then(|| {
        quote!(
            use core::fmt;
        )
    });
    let ptr = match (has("ptr::"), has("NonNull")) {
        (true, true) => quote!(
            use core::ptr::{self, NonNull};
        ),
        (true, false) => quote!(
            use core::ptr;
        ),
        (false, true) => quote!(
            use core::ptr::NonNull;
        ),
        (false, false) => quote!(),
    };
    let paths = file
        .uses
        .iter()
        .filter(|(name, _)| has(name))
        .filter_map(|(name, place)| match place {
            Use::Path(path) => Some(quote!(use #path;)),
            Use::File(other) if *other != file.name => {
                let (other, name) = (format_ident!("{other}"), format_ident!("{name}"));
                Some(quote!(use super::#other::#name;))
            }
            Use::File(_) => None,
        });
    let rt = [
        has("rt::").then(|| quote!(self as rt)),
        has(".handle").then(|| quote!(Subject as _)),
        (sys.is_none() && has("sys::")).then(|| quote!(sys)),
    ];
    let rt: Vec<_> = rt.into_iter().flatten().collect();
    let core = (!rt.is_empty()).then(|| quote!(use #core::{#(#rt),*};));
    let sys = sys
        .filter(|_| has("sys::"))
        .map(|sys| quote!(use #sys as sys;));
    quote!(#ffi #fmt #mem #flow #ptr #core #sys #(#paths)*)
}

/// The words of some tokens: `word`, `.word` after a dot, `word::` before a path.
fn collect(tokens: TokenStream, words: &mut HashSet<String>) {
    let mut before = String::new();
    let mut colons = 0;
    let mut dot = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                collect(group.stream(), words);
                before.clear();
            }
            TokenTree::Ident(ident) => {
                before = ident.to_string();
                if dot {
                    words.insert(format!(".{before}"));
                }
                words.insert(before.clone());
            }
            TokenTree::Punct(punct) => {
                colons = if punct.as_char() == ':' {
                    colons + 1
                } else {
                    0
                };
                if colons == 2 {
                    words.insert(format!("{before}::"));
                }
                dot = punct.as_char() == '.';
                continue;
            }
            TokenTree::Literal(_) => before.clear(),
        }
        (colons, dot) = (0, false);
    }
}
