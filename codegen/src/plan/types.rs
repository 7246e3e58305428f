//! Handles, callbacks, enums, flags and options.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, format_ident, quote};

use super::docs;
use crate::Target;
use crate::headers::CType;
use crate::manifest::{self, Arg, Class, Release, SizeConvention, Version};
use crate::model;
use crate::resolve::{Func, Means};
use crate::world::{CallbackInfo, World};

/// The marker type of a handle's C object.
pub(super) fn object_name(handle: &str) -> String {
    format!("{handle}Object")
}

/// `spdk_blob_op_complete` is `BlobOpComplete` in Rust.
pub(super) fn callback_name(c: &str) -> String {
    let words = c.trim_start_matches("spdk_").split('_');
    words
        .map(|word| {
            let mut chars = word.chars();
            chars.next().map_or(String::new(), |first| {
                first.to_ascii_uppercase().to_string() + chars.as_str()
            })
        })
        .collect()
}

pub(super) fn handle(
    entry: &manifest::Handle,
    functions: &[&Func<'_>],
    world: &World<'_>,
) -> model::Handle {
    let (release, never) = match &entry.release {
        Release::Call(function) | Release::Async(function) => {
            (Some(format_ident!("{}", function.as_str())), None)
        }
        Release::Never(reason) => (None, Some(reason.to_string())),
    };
    model::Handle {
        c: format_ident!("{}", entry.c.as_str()),
        name: format_ident!("{}", entry.rust.as_str()),
        object: format_ident!("{}", object_name(entry.rust.as_str())),
        extra: extra(entry, functions, world),
        keeps: entry.keeps.is_some(),
        release,
        describe: match &entry.describe {
            manifest::Describe::Type => model::Describe::Type,
            manifest::Describe::Name(function) => {
                model::Describe::Name(format_ident!("{}", function.as_str()))
            }
            manifest::Describe::ByHand => model::Describe::ByHand,
        },
        labels: entry.extra.is_some() && matches!(entry.describe, manifest::Describe::ByHand),
        docs: docs::handle(entry),
        never,
        is_consumed: functions.iter().any(|function| {
            let is_this = |means: &Means<'_>| {
                matches!(means, Means::Consumed { handle, .. } if handle.c() == entry.c.as_str())
            };
            function.params.iter().any(is_this)
        }),
    }
}

/// The Rust data that lives as long as the C object.
fn extra(entry: &manifest::Handle, functions: &[&Func<'_>], world: &World<'_>) -> TokenStream {
    if let Some(path) = entry
        .extra
        .as_ref()
        .and_then(|p| syn::parse_str::<syn::Path>(p.as_str()).ok())
    {
        return path.into_token_stream();
    }
    if let Some(parent) = entry.keeps.as_ref().and_then(|c| world.handle(c.as_str())) {
        let parent = format_ident!("{}", parent.name());
        return quote!(rt::Kept<<#parent as rt::Subject>::O>);
    }
    let opens = functions.iter().find_map(|function| {
        let is_this = function
            .produced()
            .is_some_and(|h| h.c() == entry.c.as_str());
        let (_, info) = function
            .callbacks()
            .find(|(_, info)| function.class_of(*info) == Class::Event)?;
        is_this.then_some(info)
    });
    match opens {
        Some(info) => {
            let event = value_type(info, world);
            quote!(rt::EventHub<#event>)
        }
        None => quote!(()),
    }
}

pub(super) fn markers(entry: &manifest::Extern) -> model::Markers {
    model::Markers {
        name: format_ident!("{}", entry.rust.last()),
        send: entry.markers.is_send(),
        sync: entry.markers.is_sync(),
    }
}

/// A Rust type and the expression that makes it of the C value `name`.
fn converted(
    arg: &Arg,
    ty: &CType,
    name: &TokenStream,
    world: &World<'_>,
) -> (TokenStream, TokenStream) {
    if let Arg::Convert { with, into } = arg
        && let (Ok(with), Ok(into)) = (
            syn::parse_str::<syn::Path>(with.as_str()),
            syn::parse_str::<syn::Path>(into.as_str()),
        )
    {
        return (into.into_token_stream(), quote!(#with(#name)));
    }
    match world.headers.resolve(ty) {
        CType::Named(c) => match world.enumeration(c) {
            Some(entry) => {
                let rust = format_ident!("{}", entry.rust.as_str());
                (quote!(#rust), quote!(#rust::from_c(#name)))
            }
            None => (ty.tokens(), name.clone()),
        },
        number @ (CType::Bool | CType::Number(_)) => (number.tokens(), name.clone()),
        _ => (ty.tokens(), name.clone()),
    }
}

/// What a callback hands on: each argument's name, type and value.
pub(super) fn payload(
    info: CallbackInfo<'_>,
    world: &World<'_>,
) -> Vec<(proc_macro2::Ident, TokenStream, TokenStream)> {
    let args = info.entry.args.iter().zip(&info.sig.params);
    args.filter(|(arg, _)| {
        matches!(
            arg,
            Arg::Errno | Arg::Value | Arg::Handle | Arg::Convert { .. }
        )
    })
    .map(|(arg, param)| {
        let name = super::params::ident(&param.name);
        let (ty, value) = converted(arg, &param.ty, &name.to_token_stream(), world);
        (name, ty, value)
    })
    .collect()
}

/// One thing stands alone, several are a tuple.
pub(super) fn tuple(mut parts: Vec<TokenStream>) -> TokenStream {
    match parts.len() {
        1 => parts.remove(0),
        _ => quote!((#(#parts),*)),
    }
}

/// The type of an event, or of an element.
pub(super) fn value_type(info: CallbackInfo<'_>, world: &World<'_>) -> TokenStream {
    tuple(
        payload(info, world)
            .into_iter()
            .map(|(_, ty, _)| ty)
            .collect(),
    )
}

/// The value of an event, or of an element.
pub(super) fn value(info: CallbackInfo<'_>, world: &World<'_>) -> TokenStream {
    tuple(
        payload(info, world)
            .into_iter()
            .map(|(_, _, value)| value)
            .collect(),
    )
}

/// The arguments of a C function that receives a callback; `_x` where nobody reads it.
pub(super) fn callback_args(
    info: CallbackInfo<'_>,
) -> (Vec<(proc_macro2::Ident, TokenStream)>, proc_macro2::Ident) {
    let mut ctx = format_ident!("ctx");
    let args = info
        .entry
        .args
        .iter()
        .zip(&info.sig.params)
        .map(|(arg, param)| {
            let unread = matches!(arg, Arg::Echo | Arg::Ignore(_));
            let name = super::params::ident(&param.name);
            let name = if unread {
                format_ident!("_{}", param.name)
            } else {
                name
            };
            if *arg == Arg::Ctx {
                ctx = name.clone();
            }
            (name, param.ty.tokens())
        });
    let args = args.collect();
    (args, ctx)
}

/// The core has its own for bdev I/O and NVMe commands, so none is written for these.
pub(super) fn callback(entry: &manifest::Callback, world: &World<'_>) -> Option<model::Callback> {
    let is_core = entry.args.contains(&Arg::BdevIo) || entry.args.contains(&Arg::Completion);
    if entry.class != Class::OneShot || is_core {
        return None;
    }
    let info = world.callback(entry.c.as_str())?;
    let c = format_ident!("{}", entry.c.as_str());
    let (args, ctx) = callback_args(info);
    let done = entry
        .args
        .iter()
        .all(|arg| !matches!(arg, Arg::Value | Arg::Handle | Arg::Convert { .. }))
        .then(|| match entry.args.contains(&Arg::Errno) {
            true => quote!(0),
            false => quote!(()),
        });
    Some(model::Callback {
        name: format_ident!("{}", callback_name(entry.c.as_str())),
        ty: match entry.of {
            None => quote!(sys::#c),
            Some(_) => {
                let ty = info.sig.tokens();
                quote!(Option<#ty>)
            }
        },
        c,
        args,
        ctx,
        raw_type: value_type(info, world),
        raw: value(info, world),
        done,
    })
}

pub(super) fn enumeration(entry: &manifest::Enum, world: &World<'_>) -> Option<model::Enum> {
    let c = world.headers.enums.get(entry.c.as_str())?;
    let variants = entry.variants.iter().filter_map(|variant| {
        let (_, value) = c
            .enumerators
            .iter()
            .find(|(name, _)| name == variant.c.as_str())?;
        let value = Literal::i128_unsuffixed(*value);
        Some(model::Variant {
            c: format_ident!("{}", variant.c.as_str()),
            name: format_ident!("{}", variant.rust.as_str()),
            docs: docs::plain(variant.doc.as_str()),
            value: quote!(#value),
            pinned: variant.since.is_none(),
        })
    });
    Some(model::Enum {
        c: format_ident!("{}", entry.c.as_str()),
        name: format_ident!("{}", entry.rust.as_str()),
        docs: docs::of_c(entry.doc.as_str(), "enum", entry.c.as_str()),
        repr: format_ident!("{}", if c.signed { "i32" } else { "u32" }),
        variants: variants.collect(),
    })
}

pub(super) fn flags(entry: &manifest::Flags, world: &World<'_>) -> model::Flags {
    let flags = entry.flags.iter().filter_map(|flag| {
        let value = Literal::i128_unsuffixed(*world.headers.constants.get(flag.c.as_str())?);
        Some(model::Variant {
            c: format_ident!("{}", flag.c.as_str()),
            name: format_ident!("{}", flag.rust.as_str()),
            docs: docs::plain(flag.doc.as_str()),
            value: quote!(#value),
            pinned: true,
        })
    });
    model::Flags {
        name: format_ident!("{}", entry.rust.as_str()),
        docs: docs::plain(entry.doc.as_str()),
        repr: format_ident!("{}", entry.repr.rust()),
        flags: flags.collect(),
    }
}

pub(super) fn options(
    entry: &manifest::Options,
    world: &World<'_>,
    target: Target,
) -> Option<model::Options> {
    let fields = world.headers.structs.get(entry.c.as_str())?;
    let field_type = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, ty)| ty);
    let size_field = |name: &manifest::CName| {
        let ty = world.headers.resolve(field_type(name.as_str())?);
        Some((format_ident!("{}", name.as_str()), ty.tokens()))
    };
    let init = entry.size.init();
    let signature = init.and_then(|init| world.headers.functions.get(init.as_str()));
    let (field, safety) = match &entry.size {
        SizeConvention::InitWithSize { init, .. } => {
            (None, format!("`{init}` writes at most the size that it is given."))
        }
        SizeConvention::SizeThenInit { init, field } => (
            size_field(field),
            format!("`{init}` writes at most what `{field}` says."),
        ),
        SizeConvention::SizeOnly { field } => (size_field(field), String::new()),
        SizeConvention::Unsized { init } => (
            None,
            init.as_ref().map_or(String::new(), |init| {
                format!("`{init}` writes one struct of the version that it was compiled with, which is this one.")
            }),
        ),
    };
    let options = entry.fields.iter().filter_map(|field| {
        let ty = world.headers.resolve(field_type(field.c.as_str())?);
        let c = field.c.as_str();
        let name = super::params::ident(field.name());
        let (ty, value) = match ty {
            CType::Named(union) if field.member.is_some() => {
                let member = format_ident!("{}", field.member.as_ref()?.as_str());
                let members = world.headers.structs.get(union)?;
                let (_, ty) = members.iter().find(|(name, _)| member == name)?;
                let union = format_ident!("{union}");
                let ty = world.headers.resolve(ty).tokens();
                (ty, quote!(sys::#union { #member: value }))
            }
            CType::Named(enumeration) => {
                let entry = world.enumeration(enumeration)?;
                let rust = format_ident!("{}", entry.rust.as_str());
                (quote!(#rust), quote!(value.to_c()))
            }
            ty => (ty.tokens(), quote!(value)),
        };
        Some(model::OptionField {
            c: super::params::ident(c),
            name,
            docs: docs::of_c(field.doc.as_str(), "field", c),
            ty,
            value,
            cfg: since(field.since, target),
        })
    });
    Some(model::Options {
        c: format_ident!("{}", entry.c.as_str()),
        name: format_ident!("{}", entry.rust.as_str()),
        docs: docs::of_c(entry.doc.as_str(), "struct", entry.c.as_str()),
        cfg: since(entry.since, target),
        size: model::Size {
            field,
            init: init.map(|init| format_ident!("{}", init.as_str())),
            with_size: matches!(entry.size, SizeConvention::InitWithSize { .. }),
            safety: format!("{safety} Zeroes are a valid value of every field."),
            pin: signature.map(|sig| sig.tokens()),
        },
        fields: options.collect(),
    })
}

/// Which headers have something that is no function.
fn since(since: Option<Version>, target: Target) -> Option<TokenStream> {
    since.filter(|_| target == Target::Spdk).map(|since| {
        let cfg = format_ident!("spdk_since_{:02}_{:02}", since.major, since.minor);
        quote!(#cfg)
    })
}

pub(super) fn record(
    entry: &manifest::Record,
    world: &World<'_>,
    target: Target,
) -> Option<model::Record> {
    let known = world.headers.structs.get(entry.c.as_str())?;
    let fields = entry.fields.iter().filter_map(|field| {
        let c = field.c.as_str();
        let (_, ty) = known.iter().find(|(name, _)| name == c)?;
        let value = super::params::ident(c);
        let (ty, value) = converted(&Arg::Value, ty, &quote!(raw.#value), world);
        Some(model::RecordField {
            name: super::params::ident(field.name()),
            docs: docs::of_c(field.doc.as_str(), "field", c),
            ty,
            value,
            cfg: since(field.since, target),
        })
    });
    Some(model::Record {
        c: format_ident!("{}", entry.c.as_str()),
        name: format_ident!("{}", entry.rust.as_str()),
        docs: docs::of_c(entry.doc.as_str(), "struct", entry.c.as_str()),
        fields: fields.collect(),
    })
}
