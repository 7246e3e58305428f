//! The rules that names and types alone do not settle. One function per rule or per few of a kind.

mod callbacks;
mod functions;
mod names;
mod shape;
mod types;
mod versions;

pub(crate) use names::names;

use crate::Target;
use crate::diag::{Diagnostics, Report};
use crate::manifest::{Entry, Manifest, Section};
use crate::resolve::Func;
use crate::rules;
use crate::source::Source;
use crate::world::World;

/// `bindings` and `sys` are for other crates.
pub(crate) fn place(manifest: &Manifest, source: &Source) -> Result<(), Report> {
    let name = manifest.bindings.as_deref();
    let name = name.or(manifest.sys.as_ref().map(|path| path.as_str()));
    name.map_or(Ok(()), |name| {
        let message = "the wrappers of `spdk` itself use the bindings of SPDK".to_owned();
        Err(Report::single(
            source,
            &rules::USELESS,
            source.word(name),
            message,
        ))
    })
}

/// Checks every promise of the manifest.
pub(crate) fn contracts(
    manifest: &Manifest,
    functions: &[(&Section, Vec<Func<'_>>)],
    world: &World<'_>,
    target: Target,
    errors: &mut Diagnostics,
) {
    for entry in manifest
        .sections
        .iter()
        .flat_map(|section| &section.entries)
    {
        match entry {
            Entry::Handle(entry) => types::handle(entry, world, errors),
            Entry::Extern(entry) => types::known_struct(entry.c.as_str(), world, errors),
            Entry::Callback(entry) => callbacks::callback(entry, world, errors),
            Entry::Enum(entry) => types::enumeration(entry, world, errors),
            Entry::Flags(entry) => types::flags(entry, world, errors),
            Entry::Options(entry) => types::options(entry, world, target, errors),
            Entry::Record(entry) => types::record(entry, world, target, errors),
            Entry::Function(entry) => {
                if target == Target::Spdk {
                    versions::function(entry, world, errors);
                }
            }
            Entry::Manual(entry) => {
                types::known_function(entry.c.as_str(), entry.c.as_str(), world, errors);
            }
        }
    }
    let all = || functions.iter().flat_map(|(_, list)| list);
    let streams = all()
        .filter(|func| func.entry.events.is_some())
        .filter_map(|func| Some(func.produced()?.c()))
        .collect();
    for func in all() {
        functions::function(func, world, errors);
        shape::function(func, &streams, world, errors);
    }
}
