//! The text of the documentation, one line each.

use crate::manifest::{self, Arg, Class, Thread};
use crate::resolve::{Func, Means};
use crate::world::HandleInfo;

/// Text as it is; its paragraphs are broken anew.
pub(super) fn plain(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines().map(str::trim) {
        match lines
            .last_mut()
            .filter(|_| goes_on && !line.is_empty() && !line.starts_with("- "))
        {
            Some(last) => {
                last.push(' ');
                last.push_str(line);
            }
            None => lines.push(line.to_owned()),
        }
        goes_on = !line.is_empty();
    }
    wrapped(&lines)
}

/// Text, and the C name that it is about.
pub(super) fn of_c(text: &str, kind: &str, c: &str) -> Vec<String> {
    let mut lines = plain(text);
    lines.push(String::new());
    lines.push(format!("The C {kind} is `{c}`."));
    lines
}

pub(super) fn handle(entry: &manifest::Handle) -> Vec<String> {
    let mut lines = plain(entry.doc.as_str());
    lines.push(String::new());
    let end = match &entry.release {
        manifest::Release::Call(release) | manifest::Release::Async(release) => {
            format!("calls `{release}` on its home thread, once no operation uses it any more.")
        }
        manifest::Release::Never(reason) => format!("frees nothing: {reason}."),
    };
    lines.push(format!(
        "It belongs to the spdk_thread that it was made on; elsewhere its methods return \
         `ErrorKind::WrongThread`. Dropping it {end}"
    ));
    lines.push(String::new());
    lines.push(format!("The C struct is `{}`.", entry.c));
    wrapped(&lines)
}

pub(super) fn function(func: &Func<'_>) -> Vec<String> {
    let mut lines = plain(func.entry.doc.as_str());
    lines.push(String::new());
    lines.push(wraps(func));
    let caller = func.entry.safety.as_ref();
    let caller = caller.map(|text| plain(text.as_str())).unwrap_or_default();
    section(&mut lines, "Safety", caller);
    section(&mut lines, "Errors", errors(func));
    section(&mut lines, "Cancellation", cancellation(func));
    section(&mut lines, "Thread", thread(func));
    wrapped(&lines)
}

/// Breaks lines that are too long to read.
fn wrapped(lines: &[String]) -> Vec<String> {
    const WIDTH: usize = 92;
    let mut out = Vec::new();
    for text in lines {
        let indent = if text.starts_with("- ") { "  " } else { "" };
        let mut line = String::new();
        for word in text.split(' ') {
            if line.len() + 1 + word.len() > WIDTH && !line.trim().is_empty() {
                out.push(std::mem::replace(&mut line, format!("{indent}{word}")));
            } else {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        out.push(line);
    }
    out
}

fn section(lines: &mut Vec<String>, title: &str, text: Vec<String>) {
    if !text.is_empty() {
        lines.extend([String::new(), format!("# {title}"), String::new()]);
        lines.extend(text);
    }
}

fn wraps(func: &Func<'_>) -> String {
    let mut text = format!("Wraps `{}`", func.c());
    if let Some(since) = func.entry.since {
        text += &format!(", which SPDK has since {since}");
    }
    if let Some(until) = func.entry.until {
        text += &format!(", which SPDK has no more since {until}");
    }
    text + "."
}

fn errors(func: &Func<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for manifest::ErrnoDoc(name, meaning) in &func.entry.errors {
        lines.push(format!("- `{}`: {meaning}.", name.0));
    }
    if func.callbacks().any(|(_, info)| {
        let args = &info.entry.args;
        args.contains(&Arg::BdevIo) || args.contains(&Arg::Completion)
    }) {
        lines.push(
            "- `ErrorKind::Device`: the device failed it, with the status that it reports."
                .to_owned(),
        );
    }
    let mut refused = Vec::new();
    for means in &func.params {
        match means {
            Means::Channel { handle, .. } => refused.push(match is_channel(*handle) {
                true => "a channel of another device",
                false => "a queue pair of another controller",
            }),
            Means::Buffer { unit: Some(_), .. } | Means::BufferVec { unit: Some(_), .. } => {
                refused.push("a buffer whose length is not that of the range");
            }
            Means::Sgl { .. } => {
                refused.push("buffers that do not fit into commands of whole blocks");
                refused.push("a buffer whose length is not that of the range");
            }
            Means::Buffer {
                multiple: Some(_), ..
            } => refused.push("a buffer of another length"),
            Means::OptionsAnd { .. } => {
                refused.push("a buffer whose length is not that of the range");
            }
            Means::Text { .. } | Means::Texts { .. } => refused.push("text with a NUL inside"),
            _ => {}
        }
    }
    refused.dedup();
    if !refused.is_empty() {
        lines.push(format!(
            "- Refused before C sees it: {}.",
            refused.join(", ")
        ));
    }
    lines
}

/// Of a bdev, and not a queue pair.
fn is_channel(handle: HandleInfo<'_>) -> bool {
    handle.c() == "spdk_io_channel"
}

fn is_op(func: &Func<'_>) -> bool {
    func.callbacks()
        .any(|(_, info)| func.class_of(info) == Class::OneShot)
}

fn cancellation(func: &Func<'_>) -> Vec<String> {
    if !is_op(func) {
        return Vec::new();
    }
    let mut text =
        "Nothing happens before the first poll. A future that is dropped later abandons \
                    the operation but does not stop it"
            .to_owned();
    let writes = func.params.iter().find_map(|means| match means {
        Means::Buffer { writes, .. }
        | Means::BufferVec { writes, .. }
        | Means::Sgl { writes, .. }
        | Means::OptionsAnd { writes, .. } => Some(*writes),
        Means::Transfer { .. } => Some(true),
        _ => None,
    });
    text += match writes {
        Some(true) => {
            ": SPDK writes into memory that the operation keeps, and the buffer gets fresh, zeroed \
             memory at its next mutable use."
        }
        Some(false) => {
            ": SPDK reads memory that the operation keeps, and the buffer moves to a copy at its \
             next mutable use."
        }
        None => ".",
    };
    if gives_handle(func) {
        text += " What it produces is released then.";
    }
    vec![text]
}

fn gives_handle(func: &Func<'_>) -> bool {
    func.callbacks()
        .any(|(_, info)| info.entry.args.contains(&Arg::Handle))
}

fn thread(func: &Func<'_>) -> Vec<String> {
    let text = match &func.entry.thread {
        Thread::Home => {
            let channel = func
                .params
                .iter()
                .any(|means| matches!(means, Means::Channel { handle, .. } if is_channel(*handle)));
            let handle = func.params.iter().any(|means| {
                matches!(
                    means,
                    Means::Receiver(_) | Means::Held(_) | Means::Consumed { .. }
                )
            });
            match (channel, handle) {
                (true, _) => "The spdk_thread of the channel, which is that of the device too.",
                (false, true) => "The home spdk_thread of the handle.",
                (false, false) => return Vec::new(),
            }
        }
        Thread::Any => "Any thread, also one without an spdk_thread.",
        Thread::Spdk => "Any spdk_thread.",
        Thread::App => "The spdk_thread that the application started on.",
        Thread::Metadata(_) => "The metadata thread of the blobstore: the one that loaded it.",
        Thread::Channel(_) => "The spdk_thread of the channel.",
        Thread::Qpair(_) => "The spdk_thread of the queue pair.",
    };
    vec![text.to_owned()]
}

/// Why the call is sound, from what the manifest says.
pub(super) fn safety(func: &Func<'_>) -> String {
    let one_shot = func
        .callbacks()
        .find(|(_, info)| func.class_of(*info) == Class::OneShot);
    let kept = kept(func);
    if one_shot.is_some() {
        let contract = match (&func.sig.ret, func.entry.rc.0.as_slice()) {
            (None, _) => "the callback runs exactly once, maybe inside the call".to_owned(),
            (Some(_), []) => {
                "0 means that the callback runs once, another code that it never runs".to_owned()
            }
            (Some(_), codes) => codes_text(codes),
        };
        let mut text = match kept.as_str() {
            "nothing" => format!("{contract}; C is given nothing else."),
            _ => format!("{contract}; `held` keeps {kept} until then."),
        };
        if gives_handle(func) {
            text += " A handle that it reports with status 0 is ours.";
        }
        if func.entry.gives.is_some() {
            text += " The `spdk_bdev_io` is ours in the callback, until `io` is dropped.";
        }
        if func.entry.safety.is_some() {
            text += " The rest is the caller's promise.";
        }
        return text;
    }
    if let Some((_, info)) = func.callbacks().next() {
        let call = info.entry.c.as_str();
        return match func.class_of(info) {
            Class::Event => format!(
                "`{call}` runs only while the handle is open, whose hub is the context; C copies the rest during the call."
            ),
            _ => format!("`{call}` runs only inside the call, and the closure outlives it."),
        };
    }
    match kept.as_str() {
        "nothing" => "the call has no other condition.".to_owned(),
        _ => format!("{kept} may be used now and here; C keeps nothing after the call."),
    }
}

fn codes_text(codes: &[(manifest::Rc, manifest::Outcome)]) -> String {
    let list: Vec<_> = codes
        .iter()
        .map(|(rc, outcome)| {
            let what = match outcome {
                manifest::Outcome::Pending => "the callback runs once",
                manifest::Outcome::Done => "it is done without a callback",
                manifest::Outcome::Refused => "the callback never runs",
                manifest::Outcome::RefusedAndCalled => "it failed and the callback ran",
            };
            format!("{} means that {what}", rc.0)
        })
        .collect();
    format!(
        "{}, another code that the callback never runs",
        list.join(", ")
    )
}

/// The parameters that C uses, in words.
fn kept(func: &Func<'_>) -> String {
    let names: Vec<_> = func
        .sig
        .params
        .iter()
        .zip(&func.params)
        .filter(|(_, means)| {
            !matches!(
                means,
                Means::Value
                    | Means::EnumValue(_)
                    | Means::Length { .. }
                    | Means::Count { .. }
                    | Means::BytesLength { .. }
                    | Means::Callback(_)
                    | Means::NextSge
                    | Means::Ctx { .. }
                    | Means::Null
                    | Means::Const(_)
            )
        })
        .flat_map(|(param, means)| {
            let field = match means {
                Means::OptionsAnd { field, .. } => Some(format!("`{field}`")),
                _ => None,
            };
            let name = match means {
                Means::Sgl { .. } => "bufs",
                _ => param.name.as_str(),
            };
            [format!("`{name}`")].into_iter().chain(field)
        })
        .collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
