//! Callbacks that run again and again: events, and the elements of an iteration.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};

use super::Planned;
use crate::headers::CType;
use crate::model::{Body, Trampoline};
use crate::plan::params::{self, Parts};
use crate::plan::types;
use crate::resolve::{Func, Means};
use crate::world::{CallbackInfo, HandleInfo, World};

pub(super) fn open(
    func: &Func<'_>,
    index: usize,
    info: CallbackInfo<'_>,
    parts: &mut Parts,
    world: &World<'_>,
) -> Option<Planned> {
    let out = func
        .params
        .iter()
        .position(|means| matches!(means, Means::OutHandle(_)))?;
    let HandleInfo::Own(handle) = func.produced()? else {
        return None;
    };
    let event = types::value_type(info, world);
    let trampoline = trampoline(info, world);
    let (extra, hub) = match &handle.extra {
        Some(path) => {
            let path: syn::Path = syn::parse_str(path.as_str()).ok()?;
            (quote!(#path::new(hub)), quote!(extra().hub()))
        }
        None => (quote!(hub), quote!(extra())),
    };
    let opened = func
        .entry
        .opened
        .as_ref()
        .and_then(|path| syn::parse_str::<syn::Path>(path.as_str()).ok())
        .map(ToTokens::into_token_stream);
    callback_args(
        func,
        index,
        parts,
        &quote!(Some(on_event)),
        &quote!(hub.arg()),
    );
    parts.outputs.clear();
    let name = format_ident!("{}", handle.rust.as_str());
    let events = func
        .entry
        .events
        .as_ref()
        .map(|events| (format_ident!("{}", events.as_str()), event, hub));
    let body = Body::Open {
        trampoline,
        status: func.sig.ret.is_some(),
        handle: name.clone(),
        out: params::ident(&func.sig.params[out].name),
        extra,
        opened,
        events,
        event_doc: format!(
            " The events from now on, on the home spdk_thread, until the object is closed (`{}`).",
            info.entry.c
        ),
    };
    Some((quote!(#name), body, true))
}

pub(super) fn each(
    func: &Func<'_>,
    index: usize,
    info: CallbackInfo<'_>,
    parts: &mut Parts,
    world: &World<'_>,
) -> Option<Planned> {
    let item = types::value_type(info, world);
    let closure = params::ident(&func.sig.params[index].name);
    let closure = if closure == "fn_" {
        format_ident!("each")
    } else {
        closure
    };
    parts.inputs.push(quote!(mut #closure: F));
    callback_args(
        func,
        index,
        parts,
        &quote!(Some(on_each::<F>)),
        &quote!((&raw mut #closure).cast()),
    );
    let body = Body::Each {
        trampoline: trampoline(info, world),
        item,
    };
    let fallible = func.sig.ret.is_some();
    Some((quote!(()), body, fallible))
}

fn trampoline(info: CallbackInfo<'_>, world: &World<'_>) -> Trampoline {
    let (args, ctx) = types::callback_args(info);
    Trampoline {
        args,
        ctx,
        ret: info.sig.ret.as_ref().map(CType::tokens),
        value: types::value(info, world),
    }
}

/// Puts the trampoline and its context in the place of the callback and its context.
fn callback_args(
    func: &Func<'_>,
    callback: usize,
    parts: &mut Parts,
    function: &TokenStream,
    context: &TokenStream,
) {
    for (index, means) in func.params.iter().enumerate() {
        match means {
            Means::Callback(_) if index == callback => parts.args[index] = function.clone(),
            Means::Ctx { of } if *of == callback => parts.args[index] = context.clone(),
            _ => {}
        }
    }
}
