//! Callbacks fit their C signature.

use crate::diag::Diagnostics;
use crate::headers::{CType, Param};
use crate::manifest::{Arg, Callback, CallbackReturn, Class};
use crate::rules;
use crate::world::{HandleInfo, World};

pub(super) fn callback(entry: &Callback, world: &World<'_>, errors: &mut Diagnostics) {
    let c = entry.c.as_str();
    let Some(info) = world.callback(c) else {
        return;
    };
    let span = || world.source.entry(c);
    if entry.args.len() != info.sig.params.len() {
        let message = format!(
            "`{c}` has {} arguments in C, and {} here",
            info.sig.params.len(),
            entry.args.len()
        );
        return errors.push(&rules::CALLBACK_SHAPE, span(), message);
    }
    for (arg, param) in entry.args.iter().zip(&info.sig.params) {
        argument(c, arg, param, world, errors);
    }
    let count = |wanted: &Arg| entry.args.iter().filter(|arg| *arg == wanted).count();
    let has_context = count(&Arg::Ctx) == 1;
    if !has_context && entry.class.is_emitted() {
        let message = format!("`{c}` has {} contexts, not one", count(&Arg::Ctx));
        errors.push(&rules::CALLBACK_SHAPE, span(), message);
    }
    if count(&Arg::BdevIo) != count(&Arg::Success) || count(&Arg::Errno) > 1 {
        let message = format!(
            "the status of `{c}` is not one: `BdevIo` goes with `Success`, and there is one `Errno`"
        );
        errors.push(&rules::CALLBACK_SHAPE, span(), message);
    }
    returned(entry, info.sig.ret.as_ref(), world, errors);
}

/// The return value is explained if there is one, and only for classes that have one.
fn returned(entry: &Callback, ret: Option<&CType>, world: &World<'_>, errors: &mut Diagnostics) {
    let c = entry.c.as_str();
    let span = world.source.entry(c);
    let is_each = entry.class == Class::Each;
    match (ret, entry.returns) {
        (None, None) if !is_each => {}
        (Some(ty), Some(CallbackReturn::Stop)) if is_each && ty.is_int() => {}
        _ if !entry.class.is_emitted() => {}
        (Some(ty), None) => {
            let message = format!(
                "`{c}` returns `{}`, and `returns` does not say what for",
                ty.spell()
            );
            errors.push(&rules::CALLBACK_SHAPE, span, message);
        }
        (None, Some(_)) => {
            let message = format!("`{c}` returns nothing, but has `returns`");
            errors.push(&rules::CALLBACK_SHAPE, span, message);
        }
        _ => {
            let message = format!(
                "`{c}` is of class {:?} and its return value is not the `int` that stops an iteration",
                entry.class
            );
            errors.push(&rules::NOT_EMITTED, span, message);
        }
    }
}

fn argument(c: &str, arg: &Arg, param: &Param, world: &World<'_>, errors: &mut Diagnostics) {
    let ty = world.headers.resolve(&param.ty);
    let points_to = |name: &str| {
        ty.target()
            .is_some_and(|(to, _)| *world.headers.resolve(to) == CType::Named(name.to_owned()))
    };
    let fits = match arg {
        Arg::Ctx => ty.is_void_ptr(),
        Arg::BdevIo => points_to("spdk_bdev_io"),
        Arg::Success => *ty == CType::Bool,
        Arg::Errno => ty.is_int(),
        Arg::Completion => points_to("spdk_nvme_cpl"),
        Arg::Value => match ty {
            CType::Bool | CType::Number(_) => true,
            CType::Named(name) => world.enumeration(name).is_some(),
            _ => false,
        },
        Arg::Handle => return handle(c, param, world, errors),
        Arg::Echo | Arg::Freed(_) => ty.target().is_some(),
        Arg::Convert { .. } | Arg::Ignore(_) => true,
    };
    let kind = format!("{arg:?}");
    let kind = kind.split(['(', ' ']).next().unwrap_or_default();
    if !fits {
        let message = format!(
            "argument `{}` of `{c}` is `{}`, which is no `{kind}`",
            param.name,
            param.ty.spell(),
        );
        errors.push(&rules::CALLBACK_SHAPE, world.source.entry(c), message);
    } else if matches!(arg, Arg::Freed(_)) {
        let message = format!(
            "argument `{}` of `{c}` is `{kind}`: not emitted yet",
            param.name
        );
        errors.push(&rules::NOT_EMITTED, world.source.entry(c), message);
    }
}

fn handle(c: &str, param: &Param, world: &World<'_>, errors: &mut Diagnostics) {
    let name = world
        .headers
        .resolve(&param.ty)
        .target()
        .and_then(|(to, _)| match world.headers.resolve(to) {
            CType::Named(name) => Some(name.as_str()),
            _ => None,
        });
    let message = match name {
        None => format!(
            "argument `{}` of `{c}` is `{}`, which is no handle",
            param.name,
            param.ty.spell()
        ),
        Some(name) => match world.handle(name) {
            Some(HandleInfo::Own(_)) => return,
            Some(HandleInfo::Extern(_)) => {
                let message = format!("`{c}` produces a `{name}`, whose type is written by hand");
                return errors.push(&rules::NOT_EMITTED, world.source.entry(c), message);
            }
            None => format!("`{c}` produces a `{name}`, which no entry declares"),
        },
    };
    errors.push(&rules::UNDECLARED_HANDLE, world.source.entry(c), message);
}
