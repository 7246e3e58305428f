//! From resolved entries to the model: every decision about the output is made here.

mod cases;
mod docs;
mod function;
mod params;
mod types;

pub(crate) use cases::{cases, promises};
pub(crate) use function::returns;

use crate::Target;
use crate::manifest::{Entry, Manifest, Section};
use crate::model::{File, Item, Use};
use crate::resolve::Func;
use crate::world::World;

/// The model of the whole manifest.
pub(crate) fn plan(
    manifest: &Manifest,
    functions: &[(&Section, Vec<Func<'_>>)],
    world: &World<'_>,
    target: Target,
) -> Vec<File> {
    let all: Vec<&Func<'_>> = functions.iter().flat_map(|(_, list)| list).collect();
    manifest
        .sections
        .iter()
        .map(|section| File {
            name: file_name(section),
            header: section.header.clone(),
            doc: section.doc.to_string(),
            cfg: section.cfg.as_ref().map(ToString::to_string),
            uses: uses(manifest),
            items: items(section, &all, world, target),
        })
        .collect()
}

fn items(
    section: &Section,
    functions: &[&Func<'_>],
    world: &World<'_>,
    target: Target,
) -> Vec<Item> {
    let mut items = Vec::new();
    for entry in &section.entries {
        match entry {
            Entry::Handle(entry) => {
                items.push(Item::Handle(types::handle(entry, functions, world)));
            }
            Entry::Extern(entry) => items.push(Item::Markers(types::markers(entry))),
            Entry::Callback(entry) => {
                items.extend(types::callback(entry, world).map(Item::Callback));
            }
            Entry::Enum(entry) => items.extend(types::enumeration(entry, world).map(Item::Enum)),
            Entry::Flags(entry) => items.push(Item::Flags(types::flags(entry, world))),
            Entry::Options(entry) => {
                items.extend(types::options(entry, world, target).map(Item::Options));
            }
            Entry::Record(entry) => {
                items.extend(types::record(entry, world, target).map(Item::Record));
            }
            Entry::Function(entry) => items.extend(
                functions
                    .iter()
                    .filter(|function| function.entry.c == entry.c)
                    .filter_map(|function| function::function(function, world, target))
                    .map(|function| Item::Function(Box::new(function))),
            ),
            Entry::Manual(_) => {}
        }
    }
    items
}

fn file_name(section: &Section) -> String {
    section
        .header
        .trim_end_matches(".h")
        .replace(['/', '-'], "_")
}

/// Where each type of the manifest is.
fn uses(manifest: &Manifest) -> Vec<(String, Use)> {
    let mut uses = Vec::new();
    for section in &manifest.sections {
        for entry in &section.entries {
            let name = match entry {
                Entry::Extern(entry) => {
                    if let Ok(path) = syn::parse_str(entry.rust.as_str()) {
                        uses.push((entry.rust.last().to_owned(), Use::Path(path)));
                    }
                    continue;
                }
                Entry::Handle(entry) => {
                    let object = types::object_name(entry.rust.as_str());
                    uses.push((object, Use::File(file_name(section))));
                    entry.rust.to_string()
                }
                Entry::Enum(entry) => entry.rust.to_string(),
                Entry::Flags(entry) => entry.rust.to_string(),
                Entry::Options(entry) => entry.rust.to_string(),
                Entry::Record(entry) => entry.rust.to_string(),
                Entry::Callback(entry) => types::callback_name(entry.c.as_str()),
                Entry::Function(_) | Entry::Manual(_) => continue,
            };
            uses.push((name, Use::File(file_name(section))));
        }
    }
    uses
}
