//! Names are given once.

use std::collections::HashSet;

use crate::diag::Diagnostics;
use crate::manifest::{Entry, Manifest};
use crate::rules;
use crate::source::Source;

/// One entry per C name, one item per Rust name.
pub(crate) fn names(manifest: &Manifest, source: &Source, errors: &mut Diagnostics) {
    let mut c_names = HashSet::new();
    let mut rust_names = HashSet::new();
    let mut types = HashSet::new();
    for entry in manifest
        .sections
        .iter()
        .flat_map(|section| &section.entries)
    {
        let c = entry.c().as_str();
        if !c_names.insert(c) {
            let message = format!("`{c}` has two entries");
            errors.push(&rules::DUPLICATE_C, source.entry(c), message);
        }
        let mut given = Vec::new();
        match entry {
            Entry::Handle(entry) => given.push(entry.rust.to_string()),
            Entry::Extern(entry) => {
                types.insert(entry.rust.as_str());
                given.push(entry.rust.last().to_owned());
            }
            Entry::Enum(entry) => {
                given.push(entry.rust.to_string());
                let variants = entry.variants.iter();
                given.extend(variants.map(|variant| format!("{}::{}", entry.rust, variant.rust)));
            }
            Entry::Flags(entry) => {
                given.push(entry.rust.to_string());
                let flags = entry.flags.iter();
                given.extend(flags.map(|flag| format!("{}::{}", entry.rust, flag.rust)));
            }
            Entry::Options(entry) => {
                given.push(entry.rust.to_string());
                let fields = entry.fields.iter();
                given.extend(fields.map(|field| format!("{}::{}", entry.rust, field.name())));
            }
            Entry::Record(entry) => {
                given.push(entry.rust.to_string());
                let fields = entry.fields.iter();
                given.extend(fields.map(|field| format!("{}::{}", entry.rust, field.name())));
            }
            Entry::Function(entry) => {
                given.push(entry.rust.to_string());
                if let (Some(owner), Some(events)) = (&entry.rust.owner, &entry.events) {
                    given.push(format!("{owner}::{events}"));
                }
            }
            Entry::Callback(_) | Entry::Manual(_) => {}
        }
        for name in given {
            if !rust_names.insert(name.clone()) {
                let last = name.rsplit("::").next().unwrap_or(&name);
                let whole = source.within(c, &name);
                let span = match whole == source.entry(c) {
                    true => source.within(c, last),
                    false => whole,
                };
                let message = format!("`{name}` is the Rust name of two things");
                errors.push(&rules::DUPLICATE_RUST, span, message);
            }
        }
    }
    for ty in manifest.types.iter().flat_map(|group| &group.rust) {
        let ty = ty.as_str();
        if !types.insert(ty) {
            let message = format!("`{ty}` is declared twice");
            errors.push(&rules::DUPLICATE_RUST, source.last_word(ty), message);
        }
    }
}
