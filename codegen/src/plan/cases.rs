//! What is tried with each type: whatever its marker allows compiles, and nothing else does.

use std::collections::BTreeSet;

use crate::manifest::{Entry, Manifest, Markers};
use crate::model::{Body, Cases, File, Function, Item, Promise};

/// What the types that no entry declares promise.
pub(crate) fn promises(manifest: &Manifest) -> Vec<Promise> {
    let groups = manifest.types.iter();
    groups
        .flat_map(|group| {
            group.rust.iter().map(|ty| Promise {
                cfg: group.cfg.as_ref().map(ToString::to_string),
                ..promise(ty.to_string(), ty.name(), group.markers)
            })
        })
        .collect()
}

/// The cases of a manifest of `spdk`, by the names that its users have.
pub(crate) fn cases(manifest: &Manifest, files: &[File]) -> Cases {
    let mut types = Vec::new();
    let mut internal = BTreeSet::new();
    for (section, file) in manifest.sections.iter().zip(files) {
        types.extend(section.entries.iter().filter_map(|entry| match entry {
            Entry::Handle(entry) => {
                let path = format!("crate::{}::{}", file.name, entry.rust);
                Some(promise(path, entry.rust.as_str(), Markers::Home))
            }
            Entry::Extern(entry) if entry.internal => {
                internal.insert(entry.rust.last());
                None
            }
            Entry::Extern(entry) => {
                let path = entry.rust.to_string();
                Some(promise(path, entry.rust.last(), entry.markers))
            }
            _ => None,
        }));
    }
    types.extend(promises(manifest));
    for ty in &mut types {
        ty.path = ty.path.replace("crate::", "spdk::");
    }
    let mut operations = Vec::new();
    for file in files {
        for item in &file.items {
            if let Item::Function(function) = item
                && is_everywhere(function)
            {
                let owner = function.owner.as_ref().map(ToString::to_string);
                if owner
                    .as_deref()
                    .is_some_and(|owner| internal.contains(owner))
                {
                    continue;
                }
                let place = owner.and_then(|owner| types.iter().find(|ty| ty.name == owner));
                let module = || format!("spdk::{}", file.name);
                let place = place.map_or_else(module, |ty| ty.path.clone());
                operations.push(format!("{place}::{}", function.name));
            }
        }
    }
    Cases { types, operations }
}

fn promise(path: String, name: &str, markers: Markers) -> Promise {
    Promise {
        path,
        name: name.to_owned(),
        cfg: None,
        send: markers.is_send(),
        sync: markers.is_sync(),
    }
}

/// An operation that a test can name with every SPDK.
fn is_everywhere(function: &Function) -> bool {
    let is_operation = matches!(function.body, Body::Op { .. });
    is_operation && function.cfg.is_none() && !function.is_unsafe
}
