//! The manifest's entries, by the names that others refer to them with.

use std::collections::HashMap;

use crate::diag::Diagnostics;
use crate::headers::{CFn, CType, Headers};
use crate::manifest::{Callback, Entry, Enum, Extern, Handle, Manifest, Options, Record};
use crate::rules;
use crate::source::Source;

/// Everything that an entry can refer to. Built once, never changed.
pub(crate) struct World<'a> {
    pub(crate) source: &'a Source,
    pub(crate) headers: &'a Headers,
    handles: HashMap<&'a str, HandleInfo<'a>>,
    callbacks: HashMap<&'a str, CallbackInfo<'a>>,
    enums: HashMap<&'a str, &'a Enum>,
    options: HashMap<&'a str, &'a Options>,
    records: HashMap<&'a str, &'a Record>,
}

/// A handle type, generated or not.
#[derive(Clone, Copy)]
pub(crate) enum HandleInfo<'a> {
    Own(&'a Handle),
    Extern(&'a Extern),
}

/// A callback entry and the C type it describes.
#[derive(Clone, Copy)]
pub(crate) struct CallbackInfo<'a> {
    pub(crate) entry: &'a Callback,
    pub(crate) sig: &'a CFn,
}

impl<'a> World<'a> {
    pub(crate) fn new(
        manifest: &'a Manifest,
        headers: &'a Headers,
        source: &'a Source,
        errors: &mut Diagnostics,
    ) -> Self {
        let mut world = World {
            source,
            headers,
            handles: HashMap::new(),
            callbacks: HashMap::new(),
            enums: HashMap::new(),
            options: HashMap::new(),
            records: HashMap::new(),
        };
        for entry in manifest
            .sections
            .iter()
            .flat_map(|section| &section.entries)
        {
            let c = entry.c().as_str();
            match entry {
                Entry::Handle(handle) => {
                    world.handles.insert(c, HandleInfo::Own(handle));
                }
                Entry::Extern(handle) => {
                    world.handles.insert(c, HandleInfo::Extern(handle));
                }
                Entry::Callback(entry) => match callback_type(entry, headers) {
                    Some(sig) => {
                        world.callbacks.insert(c, CallbackInfo { entry, sig });
                    }
                    None => errors.push_with_help(
                        &rules::UNKNOWN_TYPEDEF,
                        source.entry(c),
                        format!("`{c}` is not a callback typedef of the headers"),
                        world.suggest(c, headers.typedefs.keys(), &rules::UNKNOWN_TYPEDEF),
                    ),
                },
                Entry::Enum(entry) => {
                    world.enums.insert(c, entry);
                }
                Entry::Options(entry) => {
                    world.options.insert(c, entry);
                }
                Entry::Record(entry) => {
                    world.records.insert(c, entry);
                }
                Entry::Flags(_) | Entry::Function(_) | Entry::Manual(_) => {}
            }
        }
        world
    }

    /// The name of the type that a pointer is to.
    pub(crate) fn pointee<'t>(&'t self, ty: &'t CType) -> Option<&'t str> {
        let (to, _) = self.headers.resolve(ty).target()?;
        match self.headers.resolve(to) {
            CType::Named(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn handle(&self, c: &str) -> Option<HandleInfo<'a>> {
        self.handles.get(c).copied()
    }

    pub(crate) fn handle_named(&self, rust: &str) -> Option<HandleInfo<'a>> {
        self.handles.values().copied().find(|h| h.name() == rust)
    }

    pub(crate) fn callback(&self, c: &str) -> Option<CallbackInfo<'a>> {
        self.callbacks.get(c).copied()
    }

    pub(crate) fn enumeration(&self, c: &str) -> Option<&'a Enum> {
        self.enums.get(c).copied()
    }

    pub(crate) fn options(&self, c: &str) -> Option<&'a Options> {
        self.options.get(c).copied()
    }

    pub(crate) fn record(&self, c: &str) -> Option<&'a Record> {
        self.records.get(c).copied()
    }

    /// "did you mean", or the rule's own way out.
    pub(crate) fn suggest<'n>(
        &self,
        name: &str,
        known: impl Iterator<Item = &'n String>,
        rule: &rules::Rule,
    ) -> String {
        match Headers::similar(name, known) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => rule.way_out.to_owned(),
        }
    }
}

fn callback_type<'a>(entry: &Callback, headers: &'a Headers) -> Option<&'a CFn> {
    match &entry.of {
        None => headers.callback(entry.c.as_str()),
        Some((function, param)) => {
            let function = headers.functions.get(function.as_str())?;
            match headers.resolve(&function.param(param)?.ty) {
                CType::Callback(sig) => Some(sig),
                _ => None,
            }
        }
    }
}

impl<'a> HandleInfo<'a> {
    pub(crate) fn c(self) -> &'a str {
        match self {
            HandleInfo::Own(handle) => handle.c.as_str(),
            HandleInfo::Extern(handle) => handle.c.as_str(),
        }
    }

    /// The name of the Rust type, without its path.
    pub(crate) fn name(self) -> &'a str {
        match self {
            HandleInfo::Own(handle) => handle.rust.as_str(),
            HandleInfo::Extern(handle) => handle.rust.last(),
        }
    }

    /// The method that checks a channel.
    pub(crate) fn channel(self) -> Option<&'a str> {
        match self {
            HandleInfo::Own(handle) => handle.channel.as_ref(),
            HandleInfo::Extern(handle) => handle.channel.as_ref(),
        }
        .map(|name| name.as_str())
    }

    /// The method that tells what it does with memory that it is to read.
    pub(crate) fn drains(self) -> Option<&'a str> {
        match self {
            HandleInfo::Own(handle) => handle.drains.as_ref(),
            HandleInfo::Extern(handle) => handle.drains.as_ref(),
        }
        .map(|name| name.as_str())
    }

    /// Whether it is the type of `spdk` for channels of every device.
    pub(crate) fn is_any_channel(self) -> bool {
        match self {
            HandleInfo::Own(_) => false,
            HandleInfo::Extern(handle) => {
                matches!(
                    handle.rust.as_str(),
                    "::spdk::IoChannel" | "spdk::IoChannel"
                )
            }
        }
    }

    /// The method that gives the C pointer, if the type is not a `Subject`.
    pub(crate) fn raw(self) -> Option<&'a str> {
        match self {
            HandleInfo::Own(_) => None,
            HandleInfo::Extern(handle) => handle.raw.as_ref().map(|name| name.as_str()),
        }
    }

    /// The method that holds the object for an operation, if `Handle::hold` is not enough.
    pub(crate) fn hold(self) -> Option<&'a str> {
        match self {
            HandleInfo::Own(_) => None,
            HandleInfo::Extern(handle) => handle.hold.as_ref().map(|name| name.as_str()),
        }
    }

    /// Whether methods can be added to the type.
    pub(crate) fn is_local(self) -> bool {
        match self {
            HandleInfo::Own(_) => true,
            HandleInfo::Extern(handle) => handle.rust.is_local(),
        }
    }
}
