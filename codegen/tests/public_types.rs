//! Every public type of `spdk` says in the manifest what it promises of threads, so that assertions and cases of it
//! are generated.
//!
//! Types that a macro makes are not seen: those of `spdk::config`, which are plain data.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use spdk_codegen::manifest::{self, Entry};
use syn::{Attribute, Item, UseTree, Visibility};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn parse(path: &Path) -> syn::File {
    let text = fs::read_to_string(path).expect("it is checked in");
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    let docs = attributes.iter().filter(|it| it.path().is_ident("doc"));
    docs.filter_map(|it| it.parse_args::<syn::Ident>().ok())
        .any(|word| word == "hidden")
}

fn is_public(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    matches!(visibility, Visibility::Public(_)) && !is_hidden(attributes)
}

/// How many public types of each name the files of a folder define.
fn definitions(folder: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).expect("it is checked in") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            let name = path.file_name().expect("it has one");
            if name != "generated" && name != "testing" {
                definitions(&path, found);
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue; // a page of the documentation
        }
        for item in parse(&path).items {
            let (visibility, attributes, name) = match &item {
                Item::Struct(item) => (&item.vis, &item.attrs, &item.ident),
                Item::Enum(item) => (&item.vis, &item.attrs, &item.ident),
                Item::Union(item) => (&item.vis, &item.attrs, &item.ident),
                _ => continue,
            };
            if is_public(visibility, attributes) {
                *found.entry(name.to_string()).or_default() += 1;
            }
        }
    }
}

/// The names that the crate's root and its public modules offer: what they define, and what they re-export.
fn offered(file: &Path, names: &mut Vec<String>) {
    let folder = root().join("spdk/src");
    for item in parse(file).items {
        match &item {
            Item::Struct(item) if is_public(&item.vis, &item.attrs) => {
                names.push(item.ident.to_string());
            }
            Item::Enum(item) if is_public(&item.vis, &item.attrs) => {
                names.push(item.ident.to_string());
            }
            Item::Use(item) if is_public(&item.vis, &item.attrs) => re_exported(&item.tree, names),
            Item::Mod(item) if is_public(&item.vis, &item.attrs) => {
                offered(&folder.join(format!("{}.rs", item.ident)), names);
            }
            _ => {}
        }
    }
}

fn re_exported(tree: &UseTree, names: &mut Vec<String>) {
    match tree {
        UseTree::Path(path) => re_exported(&path.tree, names),
        UseTree::Name(name) => names.push(name.ident.to_string()),
        UseTree::Rename(rename) => names.push(rename.ident.to_string()),
        // Of generated modules, whose handles the manifest declares.
        UseTree::Glob(_) => {}
        UseTree::Group(group) => group.items.iter().for_each(|it| re_exported(it, names)),
    }
}

/// How many types of each name the manifest declares.
fn declared() -> BTreeMap<String, usize> {
    let name = "spdk-api.ron";
    let text = fs::read_to_string(root().join(name)).expect("the manifest is there");
    let manifest = manifest::parse(name, &text).unwrap_or_else(|report| panic!("{report}"));
    let entries = manifest.sections.iter().flat_map(|it| &it.entries);
    let of_entries = entries.filter_map(|entry| match entry {
        Entry::Extern(entry) => Some(entry.rust.last().to_owned()),
        _ => None,
    });
    let types = manifest.types.iter().flat_map(|group| &group.rust);
    let mut found = BTreeMap::new();
    for name in of_entries.chain(types.map(|ty| ty.name().to_owned())) {
        *found.entry(name).or_default() += 1;
    }
    found
}

#[test]
fn every_public_type_says_what_it_promises_of_threads() {
    let mut defined = BTreeMap::new();
    definitions(&root().join("spdk/src"), &mut defined);
    let mut names = Vec::new();
    offered(&root().join("spdk/src/lib.rs"), &mut names);
    names.sort();
    names.dedup();
    let declared = declared();
    let count = |of: &BTreeMap<String, usize>, name: &String| of.get(name).copied().unwrap_or(0);
    let types: Vec<_> = names
        .iter()
        .filter(|it| defined.contains_key(*it))
        .collect();
    assert!(types.len() > 50, "the search has lost its way: {types:?}");
    let missing: Vec<_> = types
        .into_iter()
        .filter(|name| count(&declared, name) < count(&defined, name))
        .collect();
    assert!(
        missing.is_empty(),
        "these are public, and `types` in spdk-api.ron does not say what they promise of threads: {missing:?}"
    );
}
