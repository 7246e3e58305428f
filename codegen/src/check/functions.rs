//! What a function says of its parameters and results.

use crate::diag::Diagnostics;
use crate::headers::CType;
use crate::manifest::{Arg, Class, Consumed, Gives, Handle, Range, Release, Returns, Thread};
use crate::resolve::{Func, Means, unknown_parameter};
use crate::rules::{self, Rule};
use crate::world::{HandleInfo, World};

pub(super) fn function(func: &Func<'_>, world: &World<'_>, errors: &mut Diagnostics) {
    let mut check = Check {
        func,
        world,
        errors,
    };
    check.contexts();
    check.returned();
    check.codes();
    check.thread();
    check.range();
    check.handles();
    check.units();
    check.range_unit();
    check.counts_of_blocks();
    check.freed();
    check.channels();
    check.kept();
    check.gives();
    check.scatter_lists();
    check.refusal();
}

struct Check<'c, 'a> {
    func: &'c Func<'a>,
    world: &'c World<'a>,
    errors: &'c mut Diagnostics,
}

impl Check<'_, '_> {
    fn c(&self) -> String {
        self.func.c().to_owned()
    }

    fn report(&mut self, rule: &'static Rule, word: &str, message: String) {
        let span = self.world.source.within(self.func.c(), word);
        self.errors.push(rule, span, message);
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.func
            .sig
            .params
            .iter()
            .position(|param| param.name == name)
    }

    fn has_callback(&self) -> bool {
        self.func.callbacks().next().is_some()
    }

    /// Every callback has a context.
    fn contexts(&mut self) {
        let without: Vec<String> = self
            .func
            .callbacks()
            .filter(|(index, _)| {
                let is_its = |means: &Means<'_>| matches!(means, Means::Ctx { of } if of == index);
                !self.func.params.iter().any(is_its)
            })
            .map(|(index, _)| self.func.sig.params[index].name.clone())
            .collect();
        for name in without {
            let message = format!("callback `{name}` of `{}` gets no context", self.c());
            self.report(&rules::CALLBACK_CONTEXT, &name, message);
        }
        self.one_context_each();
    }

    /// And one only: what C takes for something else would be the memory of the operation.
    fn one_context_each(&mut self) {
        let callbacks: Vec<usize> = self.func.callbacks().map(|(index, _)| index).collect();
        for callback in callbacks {
            let is_its = |means: &Means<'_>| matches!(means, Means::Ctx { of } if *of == callback);
            let name = |index: usize| self.func.sig.params[index].name.clone();
            let all = self.func.params.iter().enumerate();
            let all: Vec<String> = all
                .filter(|(_, means)| is_its(means))
                .map(|(index, _)| name(index))
                .collect();
            if let [first, second, ..] = &*all {
                let message = format!(
                    "`{first}` and `{second}` of `{}` are both the context of callback `{}`, and C gives back one",
                    self.c(),
                    name(callback)
                );
                let first = first.clone();
                self.report(&rules::CALLBACK_CONTEXT, &first, message);
            }
        }
    }

    /// The return value is explained, once, and as its type allows.
    fn returned(&mut self) {
        let (c, given) = (self.c(), self.func.entry.returns);
        if self.has_callback() {
            if given.is_some() {
                let message = format!("`{c}` reports by its callback; `returns` says nothing more");
                self.report(&rules::USELESS, &c, message);
            }
            return;
        }
        let Some(ret) = &self.func.sig.ret else {
            if given.is_some_and(|given| given != Returns::Nothing) {
                let message = format!("`{c}` returns nothing");
                self.report(&rules::RETURN_ROLE, &c, message);
            }
            return;
        };
        let Some(returns) = crate::plan::returns(self.func, self.world) else {
            let message = format!(
                "`{c}` returns `{}`, which can mean several things",
                ret.spell()
            );
            return self.report(&rules::RETURN_ROLE, &c, message);
        };
        let resolved = self.world.headers.resolve(ret);
        let fits = match returns {
            Returns::Errno => resolved.is_int(),
            Returns::Bool => resolved.is_int() || *resolved == CType::Bool,
            Returns::Value => match resolved {
                CType::Bool | CType::Number(_) => true,
                CType::Named(name) => self.world.enumeration(name).is_some(),
                _ => false,
            },
            Returns::Text | Returns::TextOrNull => resolved.is_text(),
            Returns::Handle => return self.returned_handle(resolved),
            Returns::Nothing => true,
        };
        if !fits {
            let message = format!("`{c}` returns `{}`, which is no `{returns:?}`", ret.spell());
            self.report(&rules::RETURN_ROLE, &c, message);
        }
    }

    fn returned_handle(&mut self, ty: &CType) {
        let c = self.c();
        let message = match self.world.pointee(ty) {
            Some(name) => match self.world.handle(name) {
                Some(handle) => return self.produced(handle),
                None => format!("`{c}` produces a `{name}`, which no entry declares"),
            },
            None => format!("`{c}` returns `{}`, which is no handle", ty.spell()),
        };
        self.report(&rules::UNDECLARED_HANDLE, &c, message);
    }

    /// Only `int` has codes.
    fn codes(&mut self) {
        let codes = &self.func.entry.rc.0;
        let is_int = |ty: &CType| self.world.headers.resolve(ty).is_int();
        if !codes.is_empty() && !self.func.sig.ret.as_ref().is_some_and(is_int) {
            let c = self.c();
            let ret = self
                .func
                .sig
                .ret
                .as_ref()
                .map_or("void".to_owned(), CType::spell);
            let message = format!("`{c}` returns `{ret}`, and has `rc`");
            self.report(&rules::RC_OF_VOID, &c, message);
        }
    }

    fn thread(&mut self) {
        let is_handle = |means: &Means<'_>| {
            matches!(
                means,
                Means::Receiver(_)
                    | Means::Held(_)
                    | Means::Channel { .. }
                    | Means::Consumed { .. }
            )
        };
        if self.func.entry.thread == Thread::Home && !self.func.params.iter().any(is_handle) {
            return self.homeless();
        }
        let Some(name) = self.func.entry.thread.param() else {
            return;
        };
        let names_handle = self
            .index(name)
            .is_some_and(|index| is_handle(&self.func.params[index]));
        if !names_handle {
            let message = format!("`{}` has no handle parameter `{name}`", self.c());
            self.report(&rules::THREAD_PARAMETER, name, message);
        }
    }

    /// Nothing checks the thread of a call without handles. An operation has one anyway.
    fn homeless(&mut self) {
        let mut callbacks = self.func.callbacks();
        if callbacks.any(|(_, info)| self.func.class_of(info) == Class::OneShot) {
            return;
        }
        let c = self.c();
        self.errors.push_with_help(
            &rules::THREAD_PARAMETER,
            self.world.source.entry(&c),
            format!("`{c}` takes no handle that has a home"),
            "say `thread: Spdk`, or `App`, or `Any` if it may be called without an spdk_thread"
                .to_owned(),
        );
    }

    fn range(&mut self) {
        let Some(range) = &self.func.entry.range else {
            return;
        };
        let command = match range {
            Range::Command(command, _) => Some(command.as_str()),
            _ => None,
        };
        for name in range.params() {
            match self.index(name).map(|index| &self.func.params[index]) {
                None => {
                    unknown_parameter(self.func.c(), name, &self.func.sig, self.world, self.errors)
                }
                Some(Means::Copied(_)) if command == Some(name) => {}
                Some(_) if command == Some(name) => {
                    let message = format!("`{name}` of `{}` is no command", self.c());
                    self.report(&rules::ROLE_TYPE, name, message);
                }
                Some(Means::Value | Means::Length { .. }) => {}
                Some(_) => {
                    let message = format!("`{name}` of `{}` is no number", self.c());
                    self.report(&rules::ROLE_TYPE, name, message);
                }
            }
        }
    }

    /// Handles are checked, kept and given away in ways that exist.
    fn handles(&mut self) {
        for (index, means) in self.func.params.iter().enumerate() {
            let name = self.func.sig.params[index].name.clone();
            let c = self.c();
            match means {
                Means::Channel { of, .. } => self.channel(&name, *of),
                Means::Receiver(handle) | Means::Held(handle)
                    if handle.raw().is_some() && handle.hold().is_none() && self.has_callback() =>
                {
                    let message = format!(
                        "nothing keeps `{name}` alive until `{c}` is done: `{}` has only `raw`",
                        handle.name()
                    );
                    self.report(&rules::NOT_EMITTED, &name, message);
                }
                Means::Consumed { handle, when, .. } => {
                    if *when != &Consumed::Always {
                        let message =
                            format!("`{c}` takes `{name}` on some results only: not emitted yet");
                        self.report(&rules::NOT_EMITTED, &name, message);
                    }
                    match handle {
                        HandleInfo::Own(entry) if entry.extra.is_none() => {}
                        _ => {
                            let message = format!(
                                "`{c}` takes a `{}`, whose Rust data C cannot take: not emitted yet",
                                handle.name()
                            );
                            self.report(&rules::NOT_EMITTED, &name, message);
                        }
                    }
                }
                Means::OutHandle(handle) => self.produced(*handle),
                Means::Callback(info) => {
                    for handle in super::shape::given(*info, self.world) {
                        if let HandleInfo::Own(entry) = handle {
                            self.unkept(entry);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn channel(&mut self, name: &str, of: usize) {
        let c = self.c();
        let device = self.func.sig.params[of].name.clone();
        match &self.func.params[of] {
            Means::Receiver(handle) | Means::Held(handle) if handle.channel().is_some() => {}
            Means::Consumed { .. } => {
                let message =
                    format!("`{name}` of `{c}` is checked against `{device}`, which is given away");
                self.report(&rules::CONSUMED_BORROWED, &device, message);
            }
            _ => {
                let message =
                    format!("`{device}` of `{c}` cannot check that `{name}` is a channel of it");
                self.report(&rules::CHANNEL_CHECK, name, message);
            }
        }
    }

    /// A produced handle has all that its type needs.
    fn produced(&mut self, handle: HandleInfo<'_>) {
        let c = self.c();
        let HandleInfo::Own(entry) = handle else {
            let message = format!(
                "`{c}` produces a `{}`, whose type is written by hand",
                handle.name()
            );
            return self.report(&rules::NOT_EMITTED, &c, message);
        };
        self.unkept(entry);
        if let Some(keeps) = &entry.keeps {
            let parent = self.func.params.iter().find_map(|means| match means {
                Means::Receiver(held) | Means::Held(held) if held.c() == keeps.as_str() => {
                    Some(held)
                }
                _ => None,
            });
            if parent.is_some_and(|held| held.raw().is_some() || held.hold().is_some()) {
                let message = format!(
                    "`{c}` makes a `{}`, which cannot keep a `{keeps}`",
                    entry.rust
                );
                self.report(&rules::NOT_EMITTED, &c, message);
            }
            if parent.is_none() {
                let message = format!(
                    "`{c}` produces a `{}`, which keeps a `{keeps}`, but has none",
                    entry.rust
                );
                self.report(&rules::CLASS_SHAPE, &c, message);
            }
        }
    }

    /// Whatever a handle was made of is there until it is freed, or, where that frees it, until it is not used any more.
    fn unkept(&mut self, entry: &Handle) {
        if entry.keeps.is_some() {
            return;
        }
        let made_of = self.func.params.iter().find_map(|means| match means {
            Means::Receiver(held) | Means::Held(held) if held.c() != entry.c.as_str() => {
                Some(held.c().to_owned())
            }
            _ => None,
        });
        if let Some(made_of) = made_of {
            let c = self.c();
            let message = format!(
                "`{c}` makes a `{}` of a `{made_of}`, which may be gone before it",
                entry.rust
            );
            self.report(&rules::UNKEPT, &c, message);
        }
    }

    /// A length that `range` takes for a count of blocks is none of bytes, and the reverse: the device would be told of
    /// more memory than the buffer has.
    fn range_unit(&mut self) {
        self.length_is_no_offset();
        let (count, of_blocks) = match &self.func.entry.range {
            Some(Range::Bytes(_, length)) => (length.clone(), false),
            Some(Range::Blocks(_, count) | Range::Copy(.., count)) => (count.clone(), true),
            _ => return,
        };
        let Some(len_of_range) = self.index(&count) else {
            return;
        };
        for (index, means) in self.func.params.iter().enumerate() {
            let (Means::Buffer { len, unit, .. } | Means::BufferVec { len, unit, .. }) = means
            else {
                continue;
            };
            if *len != len_of_range || unit.is_some() == of_blocks {
                continue;
            }
            let name = self.func.sig.params[index].name.clone();
            let message = match of_blocks {
                true => format!(
                    "`range` of `{}` counts `{count}` in blocks, and `{name}` in bytes: give `{name}` a `unit`, such as \
                     `block_size_of` of a bdev, or `range` `Bytes`",
                    self.c()
                ),
                false => format!(
                    "`range` of `{}` counts `{count}` in bytes, and `{name}` in its `unit`: remove the `unit`, or give \
                     `range` `Blocks`",
                    self.c()
                ),
            };
            self.report(&rules::BUFFER_UNIT, &name, message);
        }
    }

    /// A buffer is as long as the range is, and not as where that begins.
    fn length_is_no_offset(&mut self) {
        let Some(Range::Bytes(offset, _) | Range::Blocks(offset, _)) = &self.func.entry.range
        else {
            return;
        };
        let offset = offset.clone();
        let Some(begin) = self.index(&offset) else {
            return;
        };
        for (index, means) in self.func.params.iter().enumerate() {
            let (Means::Buffer { len, .. } | Means::BufferVec { len, .. }) = means else {
                continue;
            };
            if *len == begin {
                let name = self.func.sig.params[index].name.clone();
                let message = format!(
                    "`{offset}` of `{}` is where its `range` begins, and the length of `{name}`",
                    self.c()
                );
                self.report(&rules::BUFFER_LENGTH, &name, message);
            }
        }
    }

    /// What is called a number of blocks is none of bytes.
    fn counts_of_blocks(&mut self) {
        if matches!(
            self.func.entry.range,
            Some(Range::Blocks(..) | Range::Copy(..))
        ) {
            return; // which `range_unit` compares
        }
        for (index, means) in self.func.params.iter().enumerate() {
            let (Means::Buffer {
                len, unit: None, ..
            }
            | Means::BufferVec {
                len, unit: None, ..
            }) = means
            else {
                continue;
            };
            let count = &self.func.sig.params[*len].name;
            if count.contains("blocks") || count.contains("lba") {
                let name = self.func.sig.params[index].name.clone();
                let message = format!(
                    "`{count}` of `{}` counts blocks by its name, and `{name}` has as many bytes: give `{name}` a `unit`, \
                     such as `block_size_of` of a bdev",
                    self.c()
                );
                self.report(&rules::BUFFER_UNIT, &name, message);
            }
        }
    }

    /// The function that frees a handle takes it over: a drop frees it, too.
    fn freed(&mut self) {
        let c = self.c();
        for (index, means) in self.func.params.iter().enumerate() {
            let (Means::Receiver(HandleInfo::Own(entry)) | Means::Held(HandleInfo::Own(entry))) =
                means
            else {
                continue;
            };
            if matches!(&entry.release, Release::Call(release) if release.as_str() == c) {
                let name = self.func.sig.params[index].name.clone();
                let message = format!(
                    "`{c}` frees `{name}`, and a drop of the `{}` frees it again",
                    entry.rust
                );
                self.report(&rules::FREED_TWICE, &name, message);
            }
        }
    }

    /// A channel beside a device that can check it is checked, and one that may be of any device is never taken as it is.
    fn channels(&mut self) {
        let mut params = self.func.params.iter();
        let checks = params.any(|means| {
            matches!(means, Means::Receiver(handle) | Means::Held(handle) if handle.channel().is_some())
        });
        for (index, means) in self.func.params.iter().enumerate() {
            let (Means::Receiver(handle) | Means::Held(handle)) = means else {
                continue;
            };
            if handle.c() != "spdk_io_channel" || !(checks || handle.is_any_channel()) {
                continue;
            }
            let name = self.func.sig.params[index].name.clone();
            let c = self.c();
            let (message, help) = match checks {
                true => (
                    format!("`{name}` of `{c}` may be a channel of another device"),
                    format!("give `{name}` the role `Channel(of: ..)`"),
                ),
                false => (
                    format!("`{name}` of `{c}` may be a channel of any device"),
                    "declare a `Handle` of your own for the channels that it takes, which `spdk_put_io_channel` releases"
                        .to_owned(),
                ),
            };
            let span = self.world.source.within(self.func.c(), &name);
            self.errors
                .push_with_help(&rules::CHANNEL_CHECK, span, message, help);
        }
    }

    /// A unit is a method of a handle.
    fn units(&mut self) {
        for (index, means) in self.func.params.iter().enumerate() {
            let (Means::Buffer {
                unit: Some(unit), ..
            }
            | Means::BufferVec {
                unit: Some(unit), ..
            }
            | Means::Sgl { unit, .. }) = means
            else {
                continue;
            };
            let has_device = self
                .func
                .params
                .iter()
                .any(|means| matches!(means, Means::Receiver(_) | Means::Held(_)));
            if !has_device {
                let name = self.func.sig.params[index].name.clone();
                let message = format!("no handle of `{}` has the method `{unit}`", self.c());
                self.report(&rules::BUFFER_LENGTH, &name, message);
            }
        }
    }

    /// Who refuses the call is there, and has what to look at.
    fn refusal(&mut self) {
        let entry = &self.func.entry;
        let has_receiver = |means: &Means<'_>| matches!(means, Means::Receiver(_));
        let has_receiver = self.func.params.iter().any(has_receiver);
        let by = entry.refuses.as_ref().map(|refuses| &refuses.by);
        let ranges = [&entry.check, &entry.within].into_iter().flatten();
        for method in ranges.chain(by) {
            if !has_receiver {
                let message = format!("`{}` has no receiver with a method `{method}`", self.c());
                self.report(&rules::USELESS, method.as_str(), message);
            }
        }
        if let (Some(within), None) = (&entry.within, &entry.range) {
            let message = format!("`{}` has no range that `{within}` could refuse", self.c());
            self.report(&rules::USELESS, within.as_str(), message);
        }
        if let Some(refuses) = &entry.refuses
            && !self
                .func
                .sig
                .params
                .iter()
                .any(|param| param.name == refuses.param)
        {
            let (param, by) = (&refuses.param, &refuses.by);
            let message = format!(
                "`{}` has no parameter `{param}` that `{by}` could refuse",
                self.c()
            );
            self.report(&rules::USELESS, param, message);
        }
    }

    fn has_argument(&self, arg: &Arg) -> bool {
        let mut callbacks = self.func.callbacks();
        callbacks.any(|(_, info)| info.entry.args.contains(arg))
    }

    /// A scatter list is reset and stepped through, with the context of the command.
    fn scatter_lists(&mut self) {
        let count = |wanted: fn(&Means<'_>) -> bool| {
            let params = self.func.params.iter();
            params.filter(|means| wanted(means)).count()
        };
        let resets = count(|means| matches!(means, Means::Sgl { .. }));
        let steps = count(|means| matches!(means, Means::NextSge));
        let fits = match (resets, steps) {
            (0, 0) => true,
            (1, 1) => self.has_argument(&Arg::Completion),
            _ => false,
        };
        if !fits {
            let c = self.c();
            let message = format!(
                "`{c}` has {resets} resets and {steps} steps of a scatter list; an NVMe command has one of each"
            );
            self.report(&rules::CLASS_SHAPE, &c, message);
        }
    }

    /// What is read off a `spdk_bdev_io` is read by a function that can.
    fn gives(&mut self) {
        let Some(gives) = &self.func.entry.gives else {
            return;
        };
        let c = self.c();
        let (source, what) = match gives {
            Gives::Call(_) | Gives::Convert { .. } => (Arg::BdevIo, "bdev I/O"),
            Gives::Dword0 | Gives::Dwords => (Arg::Completion, "NVMe command"),
        };
        if !self.has_argument(&source) {
            let message = format!("`{c}` is no {what}, so `gives` has nothing to read");
            return self.report(&rules::GIVES, &c, message);
        }
        let Gives::Call(getter) = gives else {
            return;
        };
        let getter = getter.as_str();
        let Some(sig) = super::types::known_function(&c, getter, self.world, self.errors) else {
            return;
        };
        let headers = &self.world.headers;
        let takes = |ty: &CType| {
            let target = headers.resolve(ty).target();
            target.is_some_and(|(to, _)| {
                *headers.resolve(to) == CType::Named("spdk_bdev_io".to_owned())
            })
        };
        let returns = |ty: &CType| matches!(headers.resolve(ty), CType::Bool | CType::Number(_));
        let fits = matches!(sig.params.as_slice(), [only] if takes(&only.ty))
            && sig.ret.as_ref().is_some_and(returns);
        if !fits {
            let message = format!("`{getter}` is no number of a `spdk_bdev_io`");
            self.report(&rules::GIVES, getter, message);
        }
    }

    /// Only an operation can keep what it was given.
    fn kept(&mut self) {
        let mut classes = self
            .func
            .callbacks()
            .map(|(_, info)| self.func.class_of(info));
        if classes.any(|class| class == Class::OneShot) {
            return;
        }
        if let Some(name) = self.func.entry.keep.first() {
            let message = format!(
                "`{}` keeps `{name}` and has no one-shot callback that says until when",
                self.c()
            );
            self.report(&rules::NOT_EMITTED, name, message);
        }
    }
}
