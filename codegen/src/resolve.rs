//! Manifest and headers together: what each parameter of a function means.

mod param;

use crate::Target;
use crate::diag::Diagnostics;
use crate::headers::{CFn, CType, Param};
use crate::manifest::{
    Class, Consumed, Entry, Enum, Function, Manifest, Options, Record, RustPath, Section,
};
use crate::rules;
use crate::world::{CallbackInfo, HandleInfo, World};

/// A function whose every parameter has a meaning.
pub(crate) struct Func<'a> {
    pub(crate) entry: &'a Function,
    /// The signature, without what another version's variant lacks.
    pub(crate) sig: CFn,
    pub(crate) owner: Option<HandleInfo<'a>>,
    /// In the order of `sig.params`.
    pub(crate) params: Vec<Means<'a>>,
}

/// What a parameter means, with the entries that its role refers to.
#[derive(Clone)]
pub(crate) enum Means<'a> {
    Value,
    EnumValue(&'a Enum),
    Receiver(HandleInfo<'a>),
    Held(HandleInfo<'a>),
    Channel {
        handle: HandleInfo<'a>,
        of: usize,
    },
    Consumed {
        handle: HandleInfo<'a>,
        when: &'a Consumed,
        is_receiver: bool,
    },
    Buffer {
        writes: bool,
        len: usize,
        unit: Option<&'a str>,
        multiple: Option<u32>,
    },
    BufferVec {
        writes: bool,
        count: usize,
        len: usize,
        unit: Option<&'a str>,
    },
    /// The callback that resets a scatter list.
    Sgl {
        writes: bool,
        len: usize,
        unit: &'a str,
    },
    NextSge,
    /// Memory whose direction is in a command, or NULL.
    Transfer {
        len: usize,
    },
    /// The length of the buffer at this index; `derived` if the wrapper takes it from the buffer.
    Length {
        of: usize,
        derived: bool,
    },
    Count {
        of: usize,
    },
    Bytes {
        len: usize,
    },
    BytesLength {
        of: usize,
    },
    Text {
        nullable: bool,
    },
    Options {
        entry: &'a Options,
        nullable: bool,
    },
    /// Options with a buffer in one of their fields.
    OptionsAnd {
        entry: &'a Options,
        field: &'a str,
        writes: bool,
        len: usize,
        unit: &'a str,
        without: Option<&'a str>,
    },
    Copied(&'a RustPath),
    CopiedVec {
        of: &'a RustPath,
        count: usize,
        most: Option<u16>,
    },
    Texts {
        count: usize,
    },
    OutValue(CType),
    OutEnum(&'a Enum),
    OutHandle(HandleInfo<'a>),
    OutRecord(&'a Record),
    OutVec {
        record: &'a Record,
        len: usize,
    },
    Callback(CallbackInfo<'a>),
    /// The context of the callback at this index.
    Ctx {
        of: usize,
    },
    Null,
    Const(i64),
}

impl<'a> Func<'a> {
    /// The callbacks that the call takes, with their indices.
    pub(crate) fn callbacks(&self) -> impl Iterator<Item = (usize, CallbackInfo<'a>)> + '_ {
        self.params
            .iter()
            .enumerate()
            .filter_map(|(index, means)| match means {
                Means::Callback(info) => Some((index, *info)),
                _ => None,
            })
    }

    /// The class of the callback that decides the shape of the wrapper.
    pub(crate) fn class_of(&self, info: CallbackInfo<'_>) -> Class {
        self.entry.class.unwrap_or(info.entry.class)
    }

    pub(crate) fn produced(&self) -> Option<HandleInfo<'a>> {
        self.params.iter().find_map(|means| match means {
            Means::OutHandle(handle) => Some(*handle),
            _ => None,
        })
    }

    pub(crate) fn c(&self) -> &'a str {
        self.entry.c.as_str()
    }
}

/// Gives every parameter of every function its meaning.
pub(crate) fn functions<'a>(
    manifest: &'a Manifest,
    world: &World<'a>,
    target: Target,
    errors: &mut Diagnostics,
) -> Vec<(&'a Section, Vec<Func<'a>>)> {
    manifest
        .sections
        .iter()
        .map(|section| {
            let functions = section.entries.iter().filter_map(|entry| match entry {
                Entry::Function(entry) => Some(&**entry),
                _ => None,
            });
            let mut list = Vec::new();
            for entry in functions {
                list.extend(function(section, entry, world, target, errors));
            }
            (section, list)
        })
        .collect()
}

/// The function, and its variants for headers with fewer parameters.
fn function<'a>(
    section: &'a Section,
    entry: &'a Function,
    world: &World<'a>,
    target: Target,
    errors: &mut Diagnostics,
) -> Vec<Func<'a>> {
    let c = entry.c.as_str();
    let is_optional = entry.since.is_some() || entry.until.is_some();
    if target == Target::Downstream && is_optional && !world.headers.functions.contains_key(c) {
        return Vec::new();
    }
    let Some(sig) = world.headers.functions.get(c) else {
        errors.push_with_help(
            &rules::UNKNOWN_FUNCTION,
            world.source.entry(c),
            format!("`{c}` is not a function of the headers"),
            world.suggest(c, world.headers.functions.keys(), &rules::UNKNOWN_FUNCTION),
        );
        return Vec::new();
    };
    if sig.variadic {
        errors.push(
            &rules::NOT_EMITTED,
            world.source.entry(c),
            format!("`{c}` takes a variable number of arguments"),
        );
        return Vec::new();
    }
    let owner = owner(entry, world, errors);
    let lacks = entry.sig.iter().flat_map(|variant| &variant.lacks);
    let named = entry.params.0.iter().map(|(name, _)| name);
    for name in named.chain(&entry.keep).chain(lacks) {
        if sig.param(name).is_none() {
            unknown_parameter(c, name, sig, world, errors);
        }
    }
    let mut signatures = vec![sig.clone()];
    // The headers of a downstream crate are the installed ones: there is one signature.
    for variant in entry.sig.iter().filter(|_| target == Target::Spdk) {
        let mut older = sig.clone();
        older
            .params
            .retain(|param| !variant.lacks.contains(&param.name));
        for added in &variant.adds {
            let place = older
                .params
                .iter()
                .position(|param| param.name == added.after);
            let Some(place) = place else {
                unknown_parameter(c, &added.after, sig, world, errors);
                continue;
            };
            older.params.insert(
                place + 1,
                Param {
                    name: added.name.to_string(),
                    ty: CType::Number(added.ty.rust().to_owned()),
                },
            );
        }
        signatures.push(older);
    }
    signatures
        .into_iter()
        .filter_map(|sig| {
            let params = param::all(section, entry, &sig, owner, world, errors)?;
            Some(Func {
                entry,
                sig,
                owner,
                params,
            })
        })
        .collect()
}

/// The handle that the Rust name belongs to.
fn owner<'a>(
    entry: &'a Function,
    world: &World<'a>,
    errors: &mut Diagnostics,
) -> Option<HandleInfo<'a>> {
    let name = entry.rust.owner.as_deref()?;
    let c = entry.c.as_str();
    let span = || world.source.within(c, &entry.rust.to_string());
    let Some(owner) = world.handle_named(name) else {
        let message = format!("`{name}` is not a handle of this manifest");
        errors.push(&rules::UNKNOWN_OWNER, span(), message);
        return None;
    };
    if !owner.is_local() {
        let message = format!("`{name}` belongs to another crate");
        errors.push(&rules::FOREIGN_OWNER, span(), message);
    }
    Some(owner)
}

pub(crate) fn unknown_parameter(
    c: &str,
    name: &str,
    sig: &CFn,
    world: &World<'_>,
    errors: &mut Diagnostics,
) {
    let known: Vec<_> = sig.params.iter().map(|param| param.name.as_str()).collect();
    errors.push_with_help(
        &rules::UNKNOWN_PARAMETER,
        world.source.within(c, name),
        format!("`{c}` has no parameter `{name}`"),
        format!("its parameters are {}", known.join(", ")),
    );
}
