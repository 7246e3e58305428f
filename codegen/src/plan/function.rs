//! Functions: which shape a wrapper has, and what is in it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};

use super::params::{self, Parts};
use super::{docs, types};
use crate::Target;
use crate::headers::CType;
use crate::manifest::{Arg, Class, NoMem, Outcome, Returns, Thread};
use crate::model::{self, Body, Submitted, Trampoline};
use crate::resolve::{Func, Means};
use crate::world::{CallbackInfo, HandleInfo, World};

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
        (None, _) => call(func, &mut parts, world)?,
        (Some(Class::OneShot), Some((_, info))) => op(func, info, &mut parts, world)?,
        (Some(Class::Event), Some((index, info))) => open(func, index, info, &mut parts, world)?,
        (Some(Class::Each), Some((index, info))) => each(func, index, info, &mut parts, world)?,
        _ => return None,
    };
    let fallible = fallible || parts.fallible || place.is_some();
    let mut inputs: Vec<TokenStream> = receiver(func).into_iter().collect();
    inputs.append(&mut parts.inputs);
    Some(model::Function {
        c: format_ident!("{}", func.c()),
        owner: func.owner.map(|owner| format_ident!("{}", owner.name())),
        name: params::ident(&func.entry.rust.name),
        docs: docs::function(func),
        cfg: cfg(func, target),
        pin: func.sig.tokens(),
        inputs,
        output,
        at: fallible.then(|| at(func)),
        lets: parts.lets,
        place,
        checks: parts.checks,
        holds: parts.holds,
        args: parts.args,
        safety: docs::safety(func),
        body,
    })
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
                Means::Receiver(_) => Some(quote!(self)),
                Means::Held(_) => Some(quote!(#name)),
                Means::Text { nullable: false } => Some(quote!(&#name)),
                _ => None,
            }
        });
    let at = match object {
        Some(object) => quote!(rt::At::new(#c, #object)),
        None => quote!(rt::At::free(#c)),
    };
    match &func.entry.range {
        None => at,
        Some(range) => {
            let (kind, offset, length) = docs::range(range);
            let kind = format_ident!("{kind}");
            let (offset, length) = (number(func, offset), number(func, length));
            quote!(#at.#kind(#offset, #length))
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
    parts.holds.push(model::Hold {
        name: format_ident!("here"),
        value: quote!(rt::Here::now()?),
        is_mut: false,
        in_submit: false,
        in_finish: false,
    });
}

type Planned = (TokenStream, Body, bool);

fn op(
    func: &Func<'_>,
    info: CallbackInfo<'_>,
    parts: &mut Parts,
    world: &World<'_>,
) -> Option<Planned> {
    if info.entry.args.contains(&Arg::BdevIo) {
        let body = Body::Op {
            callback: quote!(rt::BdevIoDone),
            submitted: submitted(func, true),
            raw: quote!(done),
            finish: quote!(done),
        };
        return Some((quote!(()), body, true));
    }
    let callback = format_ident!("{}", types::callback_name(info.entry.c.as_str()));
    let mut names = Vec::new();
    let mut status = None;
    let mut results: Vec<Output> = Vec::new();
    let values = info
        .entry
        .args
        .iter()
        .zip(&info.sig.params)
        .filter(|(arg, _)| {
            matches!(
                arg,
                Arg::Errno | Arg::Value | Arg::Handle | Arg::Convert { .. }
            )
        });
    for ((arg, param), (_, ty, _)) in values.zip(types::payload(info, world)) {
        let name = params::ident(&param.name);
        match arg {
            Arg::Errno => status = Some(name.clone()),
            Arg::Handle => {
                let handle = world.handle(pointee(&param.ty, world)?)?;
                results.push(adopted(func, handle, &name, parts, true));
            }
            _ => results.push(Output::ready(ty, name.to_token_stream())),
        }
        names.push(name.to_token_stream());
    }
    results.extend(outputs(func, parts, true));
    let raw = types::tuple(names);
    let (output, value) = result(results);
    let finish = match status {
        Some(status) if output.to_string() == "()" => quote!(rt::status(#status)),
        Some(status) => quote!({
            rt::status(#status)?;
            #value
        }),
        None => value,
    };
    let body = Body::Op {
        callback: quote!(#callback),
        submitted: submitted(func, false),
        raw,
        finish,
    };
    Some((output, body, true))
}

/// The results that C writes to memory, handles among them.
fn outputs(func: &Func<'_>, parts: &mut Parts, in_op: bool) -> Vec<Output> {
    let outputs = std::mem::take(&mut parts.outputs);
    outputs
        .into_iter()
        .map(|output| match &func.params[output.index] {
            Means::OutHandle(handle) => {
                let name = params::ident(&func.sig.params[output.index].name);
                adopted(func, *handle, &name, parts, in_op)
            }
            _ => Output::ready(output.ty, output.value),
        })
        .collect()
}

/// A part of what a wrapper returns.
struct Output {
    ty: TokenStream,
    /// A value, or a `Result` of one if it can fail.
    value: TokenStream,
    can_fail: bool,
}

impl Output {
    fn ready(ty: TokenStream, value: TokenStream) -> Self {
        Output {
            ty,
            value,
            can_fail: false,
        }
    }
}

/// The type that a wrapper returns, and the `Result` of it.
fn result(mut outputs: Vec<Output>) -> (TokenStream, TokenStream) {
    if outputs.len() == 1 && outputs[0].can_fail {
        let only = outputs.remove(0);
        return (only.ty, only.value);
    }
    let (types, values): (Vec<_>, Vec<_>) = outputs
        .into_iter()
        .map(
            |Output {
                 ty,
                 value,
                 can_fail,
             }| match can_fail {
                true => (ty, quote!(#value?)),
                false => (ty, value),
            },
        )
        .unzip();
    let value = types::tuple(values);
    (types::tuple(types), quote!(Ok(#value)))
}

fn pointee<'a>(ty: &'a CType, world: &'a World<'_>) -> Option<&'a str> {
    let (to, _) = world.headers.resolve(ty).target()?;
    match world.headers.resolve(to) {
        CType::Named(name) => Some(name),
        _ => None,
    }
}

/// The type of a produced handle, and the expression that makes it of a C pointer.
fn adopted(
    func: &Func<'_>,
    handle: HandleInfo<'_>,
    pointer: &Ident,
    parts: &mut Parts,
    in_op: bool,
) -> Output {
    let name = format_ident!("{}", handle.name());
    let keeps = match handle {
        HandleInfo::Own(entry) => entry.keeps.as_ref(),
        HandleInfo::Extern(_) => None,
    };
    let parent = keeps.and_then(|keeps| {
        let index = func.params.iter().position(|means| match means {
            Means::Receiver(held) | Means::Held(held) => held.c() == keeps.as_str(),
            _ => false,
        })?;
        Some(params::ident(&func.sig.params[index].name))
    });
    let extra = match parent {
        Some(parent) => {
            if let Some(hold) = parts.holds.iter_mut().find(|hold| hold.name == parent) {
                hold.in_finish = true;
            }
            quote!(#parent)
        }
        None => quote!(()),
    };
    Output {
        ty: quote!(#name),
        value: match in_op {
            // It is inside the block of the whole operation.
            true => quote!(#name::from_c(#pointer, #extra)),
            false => quote!(unsafe { #name::from_c(#pointer, #extra) }),
        },
        can_fail: true,
    }
}

fn submitted(func: &Func<'_>, is_bdev: bool) -> Submitted {
    if func.sig.ret.is_none() {
        return Submitted::Void;
    }
    if is_bdev
        && func
            .entry
            .nomem
            .as_ref()
            .is_none_or(|nomem| *nomem == NoMem::BdevWait)
    {
        let pointer = |wanted: fn(&Means<'_>) -> bool| {
            let index = func.params.iter().position(wanted)?;
            let name = params::ident(&func.sig.params[index].name);
            Some(quote!(#name.as_ptr()))
        };
        let device = pointer(|means| matches!(means, Means::Receiver(_) | Means::Held(_)));
        let channel = pointer(|means| matches!(means, Means::Channel { .. }));
        if let (Some(device), Some(channel)) = (device, channel) {
            return Submitted::Bdev(device, channel);
        }
    }
    if func.entry.rc.0.is_empty() {
        return Submitted::Rc;
    }
    let mut codes: Vec<(i32, TokenStream)> = Vec::new();
    for (rc, outcome) in &func.entry.rc.0 {
        let meaning = match outcome {
            Outcome::Pending => quote!(rt::Submitted::Pending),
            Outcome::Done => quote!(rt::Submitted::Done),
            // The core looks at the callback first, so what it said counts.
            Outcome::Refused | Outcome::RefusedAndCalled => continue,
        };
        codes.push((rc.0, meaning));
    }
    Submitted::Map(codes)
}

fn call(func: &Func<'_>, parts: &mut Parts, world: &World<'_>) -> Option<Planned> {
    let returns = returns(func, world);
    if !parts.outputs.is_empty() {
        let (output, value) = result(outputs(func, parts, false));
        let result = match returns {
            Some(Returns::Errno) => quote! {
                rt::status(rc)?;
                #value
            },
            _ => value,
        };
        let body = Body::Call {
            result: model::Outcome::Try(result),
        };
        return Some((output, body, true));
    }
    let Some(ret) = &func.sig.ret else {
        return Some((
            quote!(()),
            Body::Call {
                result: model::Outcome::Unit,
            },
            false,
        ));
    };
    let resolved = world.headers.resolve(ret);
    let value = |output: TokenStream, value: TokenStream| {
        Some((
            output,
            Body::Call {
                result: model::Outcome::Value(value),
            },
            false,
        ))
    };
    let attempt = |output: TokenStream, value: TokenStream| {
        Some((
            output,
            Body::Call {
                result: model::Outcome::Try(value),
            },
            true,
        ))
    };
    match returns? {
        Returns::Errno => attempt(quote!(()), quote!(rt::status(rc))),
        Returns::Nothing => Some((
            quote!(()),
            Body::Call {
                result: model::Outcome::Unit,
            },
            false,
        )),
        Returns::Bool if resolved.is_int() => value(quote!(bool), quote!(rc != 0)),
        Returns::Bool => value(quote!(bool), quote!(rc)),
        Returns::Value => match resolved {
            CType::Named(name) => {
                let entry = world.enumeration(name)?;
                let rust = format_ident!("{}", entry.rust.as_str());
                value(quote!(#rust), quote!(#rust::from_c(rc)))
            }
            number => value(number.tokens(), quote!(rc)),
        },
        Returns::Text => attempt(
            quote!(String),
            quote!(
                unsafe { rt::string(rc) }
                    .and_then(|text| text.ok_or(rt::Fault::errno(rt::Errno::ENODATA)))
            ),
        ),
        Returns::TextOrNull => attempt(quote!(Option<String>), quote!(unsafe { rt::string(rc) })),
        Returns::Handle => {
            let handle = world.handle(pointee(ret, world)?)?;
            let name = format_ident!("rc");
            let made = adopted(func, handle, &name, parts, false);
            attempt(made.ty, made.value)
        }
    }
}

/// What the return value is, from the manifest or from its type.
pub(crate) fn returns(func: &Func<'_>, world: &World<'_>) -> Option<Returns> {
    if func.entry.returns.is_some() {
        return func.entry.returns;
    }
    match world.headers.resolve(func.sig.ret.as_ref()?) {
        CType::Bool => Some(Returns::Bool),
        number @ CType::Number(_) if !number.is_int() => Some(Returns::Value),
        CType::Named(name) => world.enumeration(name).map(|_| Returns::Value),
        _ => None,
    }
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

fn open(
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
            " The events of the object, from now on. They come from `{}`.",
            info.entry.c
        ),
    };
    Some((quote!(#name), body, true))
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

fn each(
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
