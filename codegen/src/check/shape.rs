//! A function has what its class needs.

use std::collections::HashSet;

use crate::diag::Diagnostics;
use crate::manifest::{Arg, Class, NoMem, Outcome, Release};
use crate::resolve::{Func, Means};
use crate::rules::{self, Rule};
use crate::world::{CallbackInfo, HandleInfo, World};

/// `streams`: the handles whose events some function gives out.
pub(super) fn function(
    func: &Func<'_>,
    streams: &HashSet<&str>,
    world: &World<'_>,
    errors: &mut Diagnostics,
) {
    let c = func.c();
    let mut report = |rule: &'static Rule, message: String| {
        errors.push(rule, world.source.entry(c), message);
    };
    let callbacks: Vec<_> = func.callbacks().map(|(_, info)| info).collect();
    let is_event = callbacks
        .iter()
        .any(|info| func.class_of(*info) == Class::Event);
    if !is_event && (func.entry.events.is_some() || func.entry.opened.is_some()) {
        report(
            &rules::USELESS,
            format!("`{c}` opens no stream of events; `events` and `opened` are for those that do"),
        );
    }
    match callbacks.as_slice() {
        [] => {
            if func.entry.class.is_some() {
                report(
                    &rules::CLASS_SHAPE,
                    format!("`{c}` has a class, but takes no callback"),
                );
            }
            if func.entry.nomem.is_some() || !func.entry.rc.0.is_empty() {
                report(
                    &rules::USELESS,
                    format!("`{c}` submits nothing; `nomem` and `rc` are for operations"),
                );
            }
        }
        [info] => {
            let class = func.class_of(*info);
            if !class.is_emitted() {
                return report(
                    &rules::NOT_EMITTED,
                    format!("`{c}` is of class {class:?}: not emitted yet"),
                );
            }
            if class != Class::OneShot
                && (func.entry.nomem.is_some() || !func.entry.rc.0.is_empty())
            {
                let message = format!("`{c}` is no operation; `nomem` and `rc` are for those");
                report(&rules::USELESS, message);
            }
            match class {
                Class::Event => event(func, streams, &mut report),
                Class::OneShot => one_shot(func, *info, world, &mut report),
                _ => each(func, *info, world, &mut report),
            }
        }
        several => {
            let classes: Vec<_> = several
                .iter()
                .map(|info| format!("{:?}", func.class_of(*info)))
                .collect();
            report(
                &rules::NOT_EMITTED,
                format!(
                    "`{c}` takes several callbacks ({}): not emitted yet",
                    classes.join(", ")
                ),
            );
        }
    }
}

type Report<'r> = &'r mut dyn FnMut(&'static Rule, String);

/// An event comes with the handle that ends it.
fn event(func: &Func<'_>, streams: &HashSet<&str>, report: Report<'_>) {
    let c = func.c();
    let Some(handle) = func.produced() else {
        return report(
            &rules::EVENT_RELEASE,
            format!("`{c}` reports events without end: it produces no handle"),
        );
    };
    if let HandleInfo::Own(entry) = handle {
        if matches!(entry.release, Release::Never(_)) {
            report(
                &rules::EVENT_RELEASE,
                format!("`{c}` produces a `{}`, which is never released", entry.rust),
            );
        }
        if entry.keeps.is_some() {
            report(
                &rules::NOT_EMITTED,
                format!(
                    "`{}` has events and keeps another handle: write its `extra`",
                    entry.rust
                ),
            );
        }
        let owner = func.entry.rust.owner.as_deref();
        if owner != Some(entry.rust.as_str()) {
            report(
                &rules::CLASS_SHAPE,
                format!(
                    "`{c}` opens a `{}`, so its Rust name is `{}::..`",
                    entry.rust, entry.rust
                ),
            );
        }
    }
    if !streams.contains(handle.c()) {
        report(
            &rules::CLASS_SHAPE,
            format!("`{c}` has events, and no method that gives them out; name it in `events`"),
        );
    }
}

fn one_shot(func: &Func<'_>, info: CallbackInfo<'_>, world: &World<'_>, report: Report<'_>) {
    let c = func.c();
    let args = &info.entry.args;
    let is_bdev = args.contains(&Arg::BdevIo);
    let is_nvme = args.contains(&Arg::Completion);
    if let Some(ret) = &func.sig.ret
        && !world.headers.resolve(ret).is_int()
    {
        report(
            &rules::NOT_EMITTED,
            format!(
                "`{c}` is an operation that returns `{}`: not emitted yet",
                ret.spell()
            ),
        );
    }
    match &func.entry.nomem {
        Some(NoMem::PollRetry) if !is_nvme => report(
            &rules::CLASS_SHAPE,
            format!("`{c}` is no NVMe command, so `nomem: PollRetry` waits for nothing"),
        ),
        Some(NoMem::BdevWait) if !is_bdev => {
            report(
                &rules::CLASS_SHAPE,
                format!("`{c}` is no bdev I/O, so `nomem: BdevWait` waits for nothing"),
            );
        }
        Some(NoMem::ChannelRetry)
            if info.entry.c.as_str() != "spdk_blob_op_complete"
                || !func
                    .params
                    .iter()
                    .any(|means| matches!(means, Means::Channel { .. })) =>
        {
            report(
                &rules::CLASS_SHAPE,
                format!("`{c}` is no I/O on a blob, so `nomem: ChannelRetry` waits for nothing"),
            );
        }
        _ => {}
    }
    let has = |wanted: fn(&Means<'_>) -> bool| func.params.iter().any(wanted);
    let waits = func.entry.nomem != Some(NoMem::Report);
    if is_bdev
        && waits
        && !(has(|m| matches!(m, Means::Receiver(_) | Means::Held(_)))
            && has(|m| matches!(m, Means::Channel { .. })))
    {
        report(
            &rules::CLASS_SHAPE,
            format!(
                "`{c}` waits for memory with a device and a channel, and has not both; say `nomem: Report`"
            ),
        );
    }
    if is_nvme && waits && !has(|m| matches!(m, Means::Receiver(_) | Means::Held(_))) {
        report(
            &rules::CLASS_SHAPE,
            format!("`{c}` waits for a request of a handle, and has none; say `nomem: Report`"),
        );
    }
    if is_nvme && !func.entry.rc.0.is_empty() {
        report(
            &rules::USELESS,
            format!("`{c}` is an NVMe command, whose return codes are always the same"),
        );
    }
    let gives = args
        .iter()
        .any(|arg| matches!(arg, Arg::Value | Arg::Handle | Arg::Convert { .. }));
    let done = func
        .entry
        .rc
        .0
        .iter()
        .any(|(_, outcome)| *outcome == Outcome::Done);
    if done && (gives || is_bdev) {
        report(
            &rules::CLASS_SHAPE,
            format!("`{c}` can be done without its callback, which then gives no value"),
        );
    }
    if args.contains(&Arg::Handle) && !args.contains(&Arg::Errno) {
        report(
            &rules::NOT_EMITTED,
            format!("`{c}` tells failure by NULL alone: not emitted yet"),
        );
    }
    produced_extra(func, info, world, report);
}

/// The handles that a callback gives to the caller.
pub(super) fn given<'a>(
    info: CallbackInfo<'a>,
    world: &World<'a>,
) -> impl Iterator<Item = HandleInfo<'a>> {
    let args = info.entry.args.iter().zip(&info.sig.params);
    args.filter_map(|(arg, param)| match arg {
        Arg::Handle => world.handle(world.pointee(&param.ty)?),
        _ => None,
    })
}

/// A handle that an operation produces has no Rust data that nobody makes.
fn produced_extra(func: &Func<'_>, info: CallbackInfo<'_>, world: &World<'_>, report: Report<'_>) {
    for handle in given(info, world).chain(func.produced()) {
        let HandleInfo::Own(entry) = handle else {
            continue;
        };
        if entry.extra.is_some() {
            report(
                &rules::NOT_EMITTED,
                format!(
                    "`{}` produces a `{}`, whose `extra` nobody makes",
                    func.c(),
                    entry.rust
                ),
            );
        }
        let has_parent = entry.keeps.as_ref().is_none_or(|keeps| {
            func.params.iter().any(|means| match means {
                Means::Receiver(held) | Means::Held(held) => held.c() == keeps.as_str(),
                _ => false,
            })
        });
        if !has_parent {
            report(
                &rules::CLASS_SHAPE,
                format!(
                    "`{}` produces a `{}`, but has no handle for it to keep",
                    func.c(),
                    entry.rust
                ),
            );
        }
    }
}

fn each(func: &Func<'_>, info: CallbackInfo<'_>, world: &World<'_>, report: Report<'_>) {
    let c = func.c();
    let gives = info
        .entry
        .args
        .iter()
        .any(|arg| matches!(arg, Arg::Value | Arg::Convert { .. }));
    if !gives {
        report(
            &rules::CLASS_SHAPE,
            format!("`{c}` gives its closure nothing; use `Value` or `Convert`"),
        );
    }
    if func
        .sig
        .ret
        .as_ref()
        .is_some_and(|ret| !world.headers.resolve(ret).is_int())
    {
        report(
            &rules::NOT_EMITTED,
            format!("`{c}` iterates and returns no `int`: not emitted yet"),
        );
    }
    if func.params.iter().any(|means| {
        matches!(
            means,
            Means::OutValue(_)
                | Means::OutEnum(_)
                | Means::OutHandle(_)
                | Means::OutRecord(_)
                | Means::OutVec { .. }
        )
    }) {
        report(
            &rules::NOT_EMITTED,
            format!("`{c}` iterates and has results of its own: not emitted yet"),
        );
    }
}
