//! Functions: which shape a wrapper has.

mod call;
mod op;
mod repeated;
mod results;

pub(crate) use call::returns;

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, format_ident, quote};
use syn::Lifetime;

use super::docs;
use super::params::{self, Parts};
use crate::Target;
use crate::headers::CType;
use crate::manifest::{Arg, Class, Range, Thread};
use crate::model::{self, Body};
use crate::resolve::{Func, Means};
use crate::world::{CallbackInfo, World};

/// What a wrapper returns, its body, and whether it can fail.
type Planned = (TokenStream, Body, bool);

/// The wrapper of a function; `None` where the checks refused its class.
pub(super) fn function(
    func: &Func<'_>,
    world: &World<'_>,
    target: Target,
) -> Option<model::Function> {
    let first = func.callbacks().next();
    let class = first.map(|(_, info)| func.class_of(info));
    let mut parts = params::parts(func, world, class == Some(Class::OneShot));
    let place = place(func, class);
    if class == Some(Class::OneShot) && !holds_handle(func) {
        hold_thread(&mut parts);
    }
    let (output, body, fallible) = match (class, first) {
        (None, _) => call::call(func, &mut parts, world)?,
        (Some(Class::OneShot), Some((_, info))) => op::op(func, info, &mut parts, world)?,
        (Some(Class::Event), Some((index, info))) => {
            repeated::open(func, index, info, &mut parts, world)?
        }
        (Some(Class::Each), Some((index, info))) => {
            repeated::each(func, index, info, &mut parts, world)?
        }
        _ => return None,
    };
    let fallible = fallible || parts.fallible || place.is_some();
    let mut inputs: Vec<TokenStream> = receiver(func).into_iter().collect();
    inputs.append(&mut parts.inputs);
    let borrows = (class == Some(Class::OneShot))
        .then(|| borrow(&mut inputs))
        .flatten();
    Some(model::Function {
        c: format_ident!("{}", func.c()),
        owner: func.owner.map(|owner| format_ident!("{}", owner.name())),
        name: params::ident(&func.entry.rust.name),
        docs: docs::function(func),
        cfg: cfg(func, target),
        pin: func.sig.tokens(),
        inputs,
        borrows,
        output,
        at: fallible.then(|| at(func)),
        asks_caller: parts.asks_caller,
        lets: parts.lets,
        place,
        checks: parts.checks,
        holds: parts.holds,
        args: parts.args,
        safety: docs::safety(func),
        is_unsafe: func.entry.safety.is_some(),
        future: format_ident!("{}", future(func, first.map(|(_, info)| info))),
        body,
    })
}

/// Whether an operation has a name that SPDK knows it by: its context, unless that is a scatter list.
fn future(func: &Func<'_>, info: Option<CallbackInfo<'_>>) -> &'static str {
    let reports = |arg: &Arg| info.is_some_and(|info| info.entry.args.contains(arg));
    let has = |wanted: fn(&Means<'_>) -> bool| func.params.iter().any(wanted);
    let is_on_queue = has(|means| matches!(means, Means::Channel { .. }));
    let has_sgl = has(|means| matches!(means, Means::Sgl { .. }));
    match () {
        () if reports(&Arg::BdevIo) => "BdevIo",
        () if reports(&Arg::Completion) && is_on_queue && !has_sgl => "NvmeIo",
        () => "Future",
    }
}

/// Names the lifetime of all that is borrowed, since the future that is returned says what it borrows.
fn borrow(inputs: &mut [TokenStream]) -> Option<Lifetime> {
    let lifetime = Lifetime::new("'a", Span::call_site());
    let mut is_used = false;
    for input in inputs {
        *input = named(std::mem::take(input), &lifetime, &mut is_used);
    }
    is_used.then_some(lifetime)
}

/// Puts a lifetime behind each `&`.
fn named(tokens: TokenStream, lifetime: &Lifetime, is_used: &mut bool) -> TokenStream {
    let mut named_tokens = TokenStream::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let inner = named(group.stream(), lifetime, is_used);
                named_tokens.append(Group::new(group.delimiter(), inner));
            }
            token => {
                let is_ref = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '&');
                named_tokens.append(token);
                if is_ref {
                    *is_used = true;
                    lifetime.to_tokens(&mut named_tokens);
                }
            }
        }
    }
    named_tokens
}

fn receiver(func: &Func<'_>) -> Option<TokenStream> {
    func.params.iter().find_map(|means| match means {
        Means::Receiver(_) => Some(quote!(&self)),
        Means::Consumed {
            is_receiver: true, ..
        } => Some(quote!(self)),
        _ => None,
    })
}

/// Which headers have this signature.
fn cfg(func: &Func<'_>, target: Target) -> Option<TokenStream> {
    if target == Target::Downstream {
        return None;
    }
    if !func.entry.sig.is_empty() {
        let key = format_ident!("spdk_args_{}", func.c());
        let count = func.sig.params.len().to_string();
        return Some(quote!(#key = #count));
    }
    (func.entry.since.is_some() || func.entry.until.is_some()).then(|| {
        let has = format_ident!("spdk_has_{}", func.c());
        quote!(#has)
    })
}

/// Where errors of the call happen.
fn at(func: &Func<'_>) -> TokenStream {
    let c = func.c();
    let object = func
        .sig
        .params
        .iter()
        .zip(&func.params)
        .find_map(|(param, means)| {
            let name = params::ident(&param.name);
            match means {
                Means::Receiver(_) => Some(quote!(rt::At::new(#c, self))),
                Means::Held(_) => Some(quote!(rt::At::new(#c, #name))),
                Means::Text { nullable: false } => Some(quote!(rt::At::name(#c, #name))),
                _ => None,
            }
        });
    let at = object.unwrap_or_else(|| quote!(rt::At::free(#c)));
    match &func.entry.range {
        None => at,
        Some(range) => {
            let kind = match range {
                Range::Bytes(..) => quote!(bytes),
                Range::Blocks(..) => quote!(blocks),
                Range::Block(..) => quote!(block),
                Range::Copy(..) => quote!(copy),
                Range::Command(..) => quote!(command),
            };
            let params = range.params();
            let params = params.iter().map(|name| number(func, name));
            quote!(#at.#kind(#(#params),*))
        }
    }
}

/// A parameter as a `u64`.
fn number(func: &Func<'_>, name: &str) -> TokenStream {
    let ident = params::ident(name);
    match func.sig.param(name).map(|param| &param.ty) {
        Some(CType::Number(ty)) if ty != "u64" => quote!(#ident as u64),
        _ => quote!(#ident),
    }
}

/// The rules of threads that no handle checks.
fn place(func: &Func<'_>, class: Option<Class>) -> Option<TokenStream> {
    match func.entry.thread {
        // An operation holds the thread anyway.
        Thread::Spdk if class == Some(Class::OneShot) => None,
        Thread::Spdk => Some(quote!(drop(rt::Here::now()?);)),
        Thread::App => Some(quote!(rt::on_app_thread()?;)),
        _ => None,
    }
}

fn holds_handle(func: &Func<'_>) -> bool {
    func.params.iter().any(|means| {
        matches!(
            means,
            Means::Receiver(_) | Means::Held(_) | Means::Channel { .. }
        )
    })
}

/// An operation without a handle still belongs to its spdk_thread, which waits for it.
fn hold_thread(parts: &mut Parts) {
    let here = model::Hold {
        name: format_ident!("here"),
        value: quote!(rt::Here::now()?),
        is_mut: false,
        is_given: false,
        in_submit: false,
        in_finish: false,
    };
    parts.holds.insert(0, here);
}
