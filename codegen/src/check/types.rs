//! Handles, enums, flags and option structs.

use std::collections::HashSet;

use crate::Target;
use crate::diag::Diagnostics;
use crate::headers::{CFn, CType};
use crate::manifest::{
    CName, Describe, Enum, Flags, Handle, Options, Record, Release, SizeConvention,
};
use crate::rules;
use crate::world::World;

pub(super) fn known_struct(c: &str, world: &World<'_>, errors: &mut Diagnostics) {
    if !world.headers.structs.contains_key(c) {
        errors.push_with_help(
            &rules::UNKNOWN_TYPE,
            world.source.entry(c),
            format!("`{c}` is not a struct of the headers"),
            world.suggest(c, world.headers.structs.keys(), &rules::UNKNOWN_TYPE),
        );
    }
}

/// The function of this name, which the entry of `c` mentions.
pub(super) fn known_function<'w>(
    c: &str,
    name: &str,
    world: &'w World<'_>,
    errors: &mut Diagnostics,
) -> Option<&'w CFn> {
    let function = world.headers.functions.get(name);
    if function.is_none() {
        errors.push_with_help(
            &rules::UNKNOWN_FUNCTION,
            world.source.within(c, name),
            format!("`{name}` is not a function of the headers"),
            world.suggest(
                name,
                world.headers.functions.keys(),
                &rules::UNKNOWN_FUNCTION,
            ),
        );
    }
    function
}

pub(super) fn handle(entry: &Handle, world: &World<'_>, errors: &mut Diagnostics) {
    let c = entry.c.as_str();
    known_struct(c, world, errors);
    match &entry.release {
        Release::Call(release) => {
            let release = release.as_str();
            if let Some(sig) = known_function(c, release, world, errors)
                && !(takes_only(sig, c, world) && sig.ret.is_none())
            {
                let message = format!("`{release}` is not `void (*)(struct {c} *)`");
                errors.push(&rules::UNRELEASED, world.source.within(c, release), message);
            }
        }
        Release::Async(release) => {
            let message = format!(
                "`{}` is released by the callback function `{release}`: not emitted yet",
                entry.rust
            );
            errors.push(
                &rules::NOT_EMITTED,
                world.source.within(c, release.as_str()),
                message,
            );
        }
        Release::Never(_) => {}
    }
    if let Describe::Name(getter) = &entry.describe {
        let getter = getter.as_str();
        if let Some(sig) = known_function(c, getter, world, errors)
            && !(takes_only(sig, c, world) && sig.ret.as_ref().is_some_and(CType::is_text))
        {
            let message = format!("`{getter}` is not `const char *(*)(struct {c} *)`");
            errors.push(&rules::ROLE_TYPE, world.source.within(c, getter), message);
        }
    }
    if let Some(keeps) = &entry.keeps {
        if world.handle(keeps.as_str()).is_none() {
            let message = format!(
                "`{}` keeps a `{keeps}`, which no entry declares",
                entry.rust
            );
            let span = world.source.within(c, keeps.as_str());
            errors.push(&rules::UNDECLARED_HANDLE, span, message);
        }
        if entry.extra.is_some() {
            let message = format!(
                "`{}` has both `keeps` and `extra`; let `extra` keep it",
                entry.rust
            );
            errors.push(
                &rules::USELESS,
                world.source.within(c, keeps.as_str()),
                message,
            );
        }
    }
}

/// Whether the only parameter points to the struct `c`.
fn takes_only(sig: &CFn, c: &str, world: &World<'_>) -> bool {
    match sig.params.as_slice() {
        [only] => world
            .headers
            .resolve(&only.ty)
            .target()
            .is_some_and(|(to, _)| *world.headers.resolve(to) == CType::Named(c.to_owned())),
        _ => false,
    }
}

pub(super) fn enumeration(entry: &Enum, world: &World<'_>, errors: &mut Diagnostics) {
    let c = entry.c.as_str();
    let Some(found) = world.headers.enums.get(c) else {
        return errors.push_with_help(
            &rules::UNKNOWN_ENUM,
            world.source.entry(c),
            format!("`{c}` is not an enum of the headers"),
            world.suggest(c, world.headers.enums.keys(), &rules::UNKNOWN_ENUM),
        );
    };
    let named = || {
        let variants = entry.variants.iter().map(|variant| &variant.c);
        variants.chain(entry.skip.iter().map(|skip| &skip.c))
    };
    for name in named().map(CName::as_str) {
        if !found.enumerators.iter().any(|(known, _)| known == name) {
            let known = found.enumerators.iter().map(|(known, _)| known);
            errors.push_with_help(
                &rules::UNKNOWN_CONSTANT,
                world.source.within(c, name),
                format!("`{c}` has no enumerator `{name}`"),
                world.suggest(name, known, &rules::UNKNOWN_CONSTANT),
            );
        }
    }
    let enumerators = found.enumerators.iter().map(|(name, _)| name);
    if let Some(missing) = unnamed(enumerators, named()) {
        let message = format!("`{c}` has enumerators without a name here: {missing}");
        errors.push(&rules::UNNAMED_ENUMERATOR, world.source.entry(c), message);
    }
}

/// Those that the entry neither names nor skips, in the order of the header; `None` if there are none.
fn unnamed<'a>(
    all: impl Iterator<Item = &'a String>,
    named: impl Iterator<Item = &'a CName>,
) -> Option<String> {
    let named: HashSet<_> = named.map(CName::as_str).collect();
    let missing: Vec<_> = all
        .filter(|name| !named.contains(name.as_str()))
        .map(|name| format!("`{name}`"))
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

pub(super) fn flags(entry: &Flags, world: &World<'_>, errors: &mut Diagnostics) {
    for flag in &entry.flags {
        let name = flag.c.as_str();
        if !world.headers.constants.contains_key(name) {
            errors.push_with_help(
                &rules::UNKNOWN_CONSTANT,
                world.source.within(entry.c.as_str(), name),
                format!("`{name}` is not a constant of the headers"),
                world.suggest(
                    name,
                    world.headers.constants.keys(),
                    &rules::UNKNOWN_CONSTANT,
                ),
            );
        }
    }
}

pub(super) fn options(
    entry: &Options,
    world: &World<'_>,
    target: Target,
    errors: &mut Diagnostics,
) {
    let c = entry.c.as_str();
    // On the headers of a downstream crate it may not exist yet.
    if target == Target::Downstream
        && entry.since.is_some()
        && !world.headers.structs.contains_key(c)
    {
        return;
    }
    known_struct(c, world, errors);
    let Some(fields) = world.headers.structs.get(c) else {
        return;
    };
    let find = |name: &str| {
        let found = fields.iter().find(|(known, _)| known == name);
        found.map(|(_, ty)| world.headers.resolve(ty))
    };
    if let Some(field) = entry.size.field()
        && !find(field.as_str()).is_some_and(CType::is_integer)
    {
        let message = format!("`{c}` has no integer field `{field}`");
        errors.push(
            &rules::SIZE_FIELD,
            world.source.within(c, field.as_str()),
            message,
        );
    }
    if let Some(init) = entry.size.init() {
        initialiser(entry, init.as_str(), world, errors);
    }
    for field in &entry.fields {
        let name = field.c.as_str();
        let span = || world.source.within(c, name);
        match find(name) {
            None if target == Target::Downstream && field.since.is_some() => {}
            None => errors.push_with_help(
                &rules::UNKNOWN_FIELD,
                span(),
                format!("`{c}` has no field `{name}`"),
                world.suggest(
                    name,
                    fields.iter().map(|(name, _)| name),
                    &rules::UNKNOWN_FIELD,
                ),
            ),
            Some(CType::Bool | CType::Number(_)) if field.member.is_none() => {}
            Some(CType::Named(of)) if world.enumeration(of).is_some() => {}
            Some(CType::Named(of)) if field.member.is_some() => {
                let member = field.member.as_ref().map_or("", |name| name.as_str());
                let members = world.headers.structs.get(of);
                let found = members.and_then(|list| list.iter().find(|(name, _)| name == member));
                let ty = found.map(|(_, ty)| world.headers.resolve(ty));
                if !matches!(ty, Some(CType::Bool | CType::Number(_))) {
                    let message = format!("`{of}` has no member `{member}` that is a number");
                    errors.push(&rules::UNKNOWN_FIELD, span(), message);
                }
            }
            Some(ty) => {
                let message = format!(
                    "field `{name}` of `{c}` is `{}`: not emitted yet",
                    ty.spell()
                );
                errors.push(&rules::NOT_EMITTED, span(), message);
            }
        }
    }
}

/// Every field is named or skipped, and is what Rust can have.
pub(super) fn record(entry: &Record, world: &World<'_>, target: Target, errors: &mut Diagnostics) {
    let c = entry.c.as_str();
    known_struct(c, world, errors);
    let Some(fields) = world.headers.structs.get(c) else {
        return;
    };
    let find = |name: &str| fields.iter().find(|(known, _)| known == name);
    let unknown = |name: &str, errors: &mut Diagnostics| {
        errors.push_with_help(
            &rules::UNKNOWN_FIELD,
            world.source.within(c, name),
            format!("`{c}` has no field `{name}`"),
            world.suggest(
                name,
                fields.iter().map(|(name, _)| name),
                &rules::UNKNOWN_FIELD,
            ),
        );
    };
    for field in &entry.fields {
        let name = field.c.as_str();
        let ty = find(name).map(|(_, ty)| world.headers.resolve(ty));
        match ty {
            None if target == Target::Downstream && field.since.is_some() => {}
            None => unknown(name, errors),
            Some(CType::Bool | CType::Number(_)) => {}
            Some(CType::Named(of)) if world.enumeration(of).is_some() => {}
            Some(ty) => {
                let message = format!(
                    "field `{name}` of `{c}` is `{}`: not emitted yet",
                    ty.spell()
                );
                errors.push(&rules::NOT_EMITTED, world.source.within(c, name), message);
            }
        }
    }
    for skip in entry.skip.iter().map(|skip| skip.c.as_str()) {
        if find(skip).is_none() {
            unknown(skip, errors);
        }
    }
    let named = entry.fields.iter().map(|field| &field.c);
    let named = named.chain(entry.skip.iter().map(|skip| &skip.c));
    if let Some(missing) = unnamed(fields.iter().map(|(name, _)| name), named) {
        let message = format!("`{c}` has fields without a name here: {missing}");
        errors.push(&rules::UNNAMED_FIELD, world.source.entry(c), message);
    }
}

/// The function that sets the defaults has the parameters of its convention.
fn initialiser(entry: &Options, init: &str, world: &World<'_>, errors: &mut Diagnostics) {
    let c = entry.c.as_str();
    let Some(sig) = known_function(c, init, world, errors) else {
        return;
    };
    let (wanted, with_size) = match entry.size {
        SizeConvention::InitWithSize { .. } => (format!("void (*)(struct {c} *, size_t)"), true),
        _ => (format!("void (*)(struct {c} *)"), false),
    };
    let mut first = sig.clone();
    let size = first
        .params
        .drain(1.min(first.params.len())..)
        .collect::<Vec<_>>();
    let size_fits = match (with_size, size.as_slice()) {
        (true, [size]) => world.headers.resolve(&size.ty).is_integer(),
        (false, []) => true,
        _ => false,
    };
    if !takes_only(&first, c, world) || !size_fits || sig.ret.is_some() {
        let message = format!("`{init}` is not `{wanted}`");
        errors.push(&rules::SIZE_FIELD, world.source.within(c, init), message);
    }
}
