//! Operations that a callback ends.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};

use super::Planned;
use super::results::{Output, adopted, outputs, result};
use crate::manifest::{Arg, Gives, NoMem, Outcome};
use crate::model::{Body, Submitted};
use crate::plan::params::{self, Parts};
use crate::plan::types;
use crate::resolve::{Func, Means};
use crate::world::{CallbackInfo, World};

pub(super) fn op(
    func: &Func<'_>,
    info: CallbackInfo<'_>,
    parts: &mut Parts,
    world: &World<'_>,
) -> Option<Planned> {
    if info.entry.args.contains(&Arg::BdevIo) {
        return bdev_io(func, parts, world);
    }
    if info.entry.args.contains(&Arg::Completion) {
        return Some(nvme_command(func));
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
                let handle = world.handle(world.pointee(&param.ty)?)?;
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
    let (callback, submitted) = match func.entry.nomem {
        Some(NoMem::ChannelRetry) => (quote!(rt::blob::IoDone), Submitted::Blob(channel(func)?)),
        _ => (quote!(#callback), submitted(func, false)),
    };
    let body = Body::Op {
        callback,
        submitted,
        raw,
        finish,
    };
    Some((output, body, true))
}

fn channel(func: &Func<'_>) -> Option<Ident> {
    let is_channel = |means: &Means<'_>| matches!(means, Means::Channel { .. });
    let index = func.params.iter().position(is_channel)?;
    Some(params::ident(&func.sig.params[index].name))
}

/// A bdev I/O: it ends with a status, and gives what can be read off it and what C filled.
fn bdev_io(func: &Func<'_>, parts: &mut Parts, world: &World<'_>) -> Option<Planned> {
    let mut results = Vec::new();
    match &func.entry.gives {
        Some(Gives::Call(getter)) => {
            let ty = world.headers.functions.get(getter.as_str())?.ret.as_ref()?;
            let getter = format_ident!("{}", getter.as_str());
            results.push(Output::ready(
                world.headers.resolve(ty).tokens(),
                quote!(sys::#getter(io.as_ptr())),
            ));
        }
        Some(Gives::Convert { with, into }) => {
            let with: syn::Path = syn::parse_str(with.as_str()).ok()?;
            let into: syn::Path = syn::parse_str(into.as_str()).ok()?;
            results.push(Output::ready(
                into.to_token_stream(),
                quote!(#with(io.as_ptr())),
            ));
        }
        Some(Gives::Dword0 | Gives::Dwords) | None => {}
    }
    let (callback, raw, succeeded) = match results.is_empty() {
        true => (quote!(rt::BdevIoDone), quote!(done), quote!(done?;)),
        false => (quote!(rt::BdevIoLive), quote!(io), quote!(let io = io?;)),
    };
    results.extend(outputs(func, parts, true));
    let (output, value) = result(results);
    let finish = match output.to_string() == "()" {
        true => quote!(done),
        false => quote!({ #succeeded #value }),
    };
    let body = Body::Op {
        callback,
        submitted: submitted(func, true),
        raw,
        finish,
    };
    Some((output, body, true))
}

/// An NVMe command: it ends with a status, and gives what its completion has.
fn nvme_command(func: &Func<'_>) -> Planned {
    let has = |wanted: fn(&Means<'_>) -> bool| func.params.iter().any(wanted);
    let callback = match () {
        () if has(|means| matches!(means, Means::Sgl { .. })) => quote!(rt::nvme::SglDone),
        () if has(|means| matches!(means, Means::Channel { .. })) => quote!(rt::nvme::IoDone),
        () => quote!(rt::nvme::AdminDone),
    };
    let (output, finish) = match &func.entry.gives {
        Some(Gives::Dword0) => (quote!(u32), quote!(done.map(rt::nvme::Dwords::first))),
        Some(Gives::Dwords) => (quote!(u64), quote!(done.map(rt::nvme::Dwords::both))),
        _ => (quote!(()), quote!(done.map(|_| ()))),
    };
    let name = |wanted: fn(&Means<'_>) -> bool| {
        let index = func.params.iter().position(wanted)?;
        Some(params::ident(&func.sig.params[index].name))
    };
    let subject = name(|means| matches!(means, Means::Receiver(_) | Means::Held(_)));
    let queue = name(|means| matches!(means, Means::Channel { .. })).or_else(|| subject.clone());
    let waits = func.entry.nomem != Some(NoMem::Report);
    let submitted = match (queue, subject) {
        (Some(queue), Some(subject)) if waits => Submitted::Queue(queue, subject),
        _ => Submitted::Rc,
    };
    let body = Body::Op {
        callback,
        submitted,
        raw: quote!(done),
        finish,
    };
    (output, body, true)
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
