//! Functions.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{CName, Class, FnPath, Ident, Reason, Repr, Roles, RustPath, Version};
use crate::errno;

/// A C function to wrap.
///
/// ```ron
/// Function(
///     c: "spdk_bdev_flush", rust: "BdevDesc::flush",
///     range: Bytes("offset", "length"),
///     errors: [("ENOTSUP", "the device has no volatile cache to flush")],
///     doc: "Makes what was written to `length` bytes at `offset` durable.",
/// ),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Function")]
pub struct Function {
    /// The C function.
    pub c: CName,
    /// The wrapper.
    pub rust: FnPath,
    /// The class, where the callbacks' typedefs do not decide it.
    #[serde(default)]
    pub class: Option<Class>,
    /// The roles of parameters that the section's `names` do not give.
    #[serde(default)]
    pub params: Roles,
    /// What the return value is. Needed where the C type leaves it open: an `int` or a pointer of
    /// a function without callbacks.
    #[serde(default)]
    pub returns: Option<Returns>,
    /// What return codes mean. Default for `int`: 0 is [`Outcome::Pending`], another one
    /// [`Outcome::Refused`]. A `void` function is always pending.
    #[serde(default)]
    pub rc: RcMap,
    /// The parameters that C still reads after the call has returned, beside buffers and handles.
    ///
    /// An operation keeps everything until its callback; other calls cannot, so that they are
    /// refused.
    #[serde(default)]
    pub keep: Vec<String>,
    /// What `-ENOMEM` at submission means. Default: [`NoMem::BdevWait`] for bdev I/O,
    /// [`NoMem::PollRetry`] for NVMe commands, else [`NoMem::Report`].
    #[serde(default)]
    pub nomem: Option<NoMem>,
    /// What a bdev I/O or an NVMe command that succeeded gives back beside its data. Default: nothing.
    #[serde(default)]
    pub gives: Option<Gives>,
    /// A method of the receiver that can refuse the call: `fn(&self) -> Result<(), Fault>`, written by
    /// hand.
    #[serde(default)]
    pub check: Option<Ident>,
    /// A method of the receiver that refuses ranges which C does not survive:
    /// `fn(&self, offset, count) -> Result<(), Fault>`, written by hand. It gets what `range` names.
    #[serde(default)]
    pub within: Option<Ident>,
    /// A parameter, and the method of the receiver that refuses values of it which C does not survive:
    /// `fn(&self, value) -> Result<(), Fault>`, written by hand. It gets what the wrapper takes.
    #[serde(default)]
    pub refuses: Option<Refuses>,
    /// What the caller must see to, where no check can: the wrapper is an `unsafe fn`.
    #[serde(default)]
    pub safety: Option<Reason>,
    /// Where the call must be made. Default: the home thread of its handles. Without handles, only an operation has a
    /// default: its spdk_thread.
    #[serde(default)]
    pub thread: Thread,
    /// The first supported SPDK that has the function, if not all have it.
    #[serde(default)]
    pub since: Option<Version>,
    /// The first supported SPDK that has it no more.
    #[serde(default)]
    pub until: Option<Version>,
    /// Signatures of other SPDK versions.
    #[serde(default)]
    pub sig: Vec<Signature>,
    /// The method that gives out the stream of events, where the call opens one. Of several calls that
    /// open the same handle, one names it.
    #[serde(default)]
    pub events: Option<Ident>,
    /// A function `fn(&Handle)` written by hand, which completes the handle that the call opened.
    #[serde(default)]
    pub opened: Option<RustPath>,
    /// The part of the device that the call addresses, for error messages.
    #[serde(default)]
    pub range: Option<Range>,
    /// The errnos worth knowing, and what they mean here.
    #[serde(default)]
    pub errors: Vec<ErrnoDoc>,
    /// What it does: units, alignment, and what happens to the buffer.
    pub doc: Reason,
}

/// An errno and its meaning: `("EINVAL", "the range is not aligned")`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrnoDoc(pub ErrnoName, pub Reason);

/// The name of an errno.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrnoName(pub &'static str);

impl<'de> Deserialize<'de> for ErrnoName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        errno::by_name(&text).map_or_else(
            || {
                Err(de::Error::custom(format!(
                    "{text:?} is not the name of an errno"
                )))
            },
            |(name, _)| Ok(ErrnoName(name)),
        )
    }
}

/// A C function that is wrapped by hand, and why. It counts as wrapped.
///
/// ```ron
/// Manual(c: "spdk_bdev_get_name", rust: "crate::bdev::Bdev::name", reason: "a snapshot"),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Manual")]
pub struct Manual {
    /// The C function.
    pub c: CName,
    /// What wraps it.
    pub rust: RustPath,
    /// Why no entry can.
    pub reason: Reason,
}

/// What the return value of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Returns {
    /// `int`: 0, or a negative errno.
    Errno,
    /// A number that is passed on.
    Value,
    /// `int` or `bool`: whether something is so.
    Bool,
    /// Text that is copied; NULL is an error.
    Text,
    /// Text that is copied, or NULL.
    TextOrNull,
    /// A handle that now belongs to the caller; NULL is `ENOMEM`.
    Handle,
    /// Nothing worth passing on.
    Nothing,
}

/// A return code: a number, or an errno's name with its sign, such as `"-EINPROGRESS"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rc(pub i32);

impl<'de> Deserialize<'de> for Rc {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let named = text
            .strip_prefix('-')
            .and_then(errno::by_name)
            .map(|(_, number)| -number);
        named.or_else(|| text.parse().ok()).map(Rc).ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is not a return code; write a number, or an errno like \"-EBUSY\""
            ))
        })
    }
}

/// What return codes mean.
#[derive(Clone, Debug, Default)]
pub struct RcMap(pub Vec<(Rc, Outcome)>);

impl<'de> Deserialize<'de> for RcMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = RcMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from return codes to outcomes, such as { \"0\": Done }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RcMap, A::Error> {
                let mut codes = RcMap::default();
                while let Some(rc) = map.next_key::<Rc>()? {
                    if codes.0.iter().any(|(known, _)| *known == rc) {
                        return Err(de::Error::custom(format!(
                            "return code {} has two outcomes; keep one",
                            rc.0
                        )));
                    }
                    codes.0.push((rc, map.next_value()?));
                }
                Ok(codes)
            }
        }
        from.deserialize_map(Read)
    }
}

/// What a return code means for the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Outcome {
    /// The callback runs once, or did already.
    Pending,
    /// It is done, and the callback never runs.
    Done,
    /// It failed, and the callback never runs.
    Refused,
    /// It failed, and the callback runs nevertheless, with the status.
    RefusedAndCalled,
}

/// What `-ENOMEM` at submission means.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum NoMem {
    /// No `spdk_bdev_io` is free: wait for one with `spdk_bdev_queue_io_wait`, and try again.
    BdevWait,
    /// The queue of NVMe commands has no request: wait behind others for one, and try again.
    PollRetry,
    /// The channel of a blobstore has no request: wait behind others for one, and try again.
    ChannelRetry,
    /// The caller gets the error.
    Report,
}

/// What an operation gives back: read off the `spdk_bdev_io`, or off the completion of an NVMe command, in
/// the callback.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Gives {
    /// The number that this C function of the `spdk_bdev_io` returns.
    Call(CName),
    /// What an `unsafe fn(*mut spdk_bdev_io) -> into` makes of it, which is written by hand.
    Convert {
        /// The function.
        with: RustPath,
        /// The type that it returns.
        into: RustPath,
    },
    /// Dword 0 of the completion.
    Dword0,
    /// Dwords 0 and 1 of the completion, as one number.
    Dwords,
}

/// Where a call must be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Thread {
    /// On the home thread of the handles it takes, which they check.
    #[default]
    Home,
    /// Anywhere, also outside of any spdk_thread.
    Any,
    /// On any spdk_thread.
    Spdk,
    /// On the thread that the application started on.
    App,
    /// On the metadata thread of the blobstore in this parameter: its home thread.
    Metadata(String),
    /// On the thread of the channel in this parameter: its home thread.
    Channel(String),
    /// On the thread of the queue pair in this parameter: its home thread.
    Qpair(String),
}

impl Thread {
    /// The parameter that the rule names, if it does.
    pub fn param(&self) -> Option<&str> {
        match self {
            Thread::Metadata(param) | Thread::Channel(param) | Thread::Qpair(param) => Some(param),
            Thread::Home | Thread::Any | Thread::Spdk | Thread::App => None,
        }
    }
}

/// The signature that other SPDK versions have: with fewer parameters than the reference headers,
/// or with more.
///
/// The wrapper then has fewer parameters too, or more. `spdk-sys` tells which signature is installed by the
/// number of parameters: `cfg(spdk_args_spdk_bdev_get_device_stat = "4")`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Signature")]
pub struct Signature {
    /// The parameters that the other versions lack.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// The parameters that only the other versions have.
    #[serde(default)]
    pub adds: Vec<Added>,
    /// Which versions those are, for people.
    pub reason: Reason,
}

/// A parameter that the reference headers do not have. Only numbers are possible.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Added")]
pub struct Added {
    /// Its name.
    pub name: Ident,
    /// The parameter before it.
    pub after: String,
    /// Its type.
    pub ty: Repr,
}

/// Values of a parameter that C does not survive.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Refuses")]
pub struct Refuses {
    /// The parameter.
    pub param: String,
    /// The method.
    pub by: Ident,
}

/// The part of a device that a call addresses, which its errors tell: the parameters that say it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum Range {
    /// In bytes: the offset and the length.
    Bytes(String, String),
    /// In blocks: the offset and the count.
    Blocks(String, String),
    /// One block, where something begins.
    Block(String),
    /// Two ranges of blocks: the offset of the source, that of the destination, and the count.
    Copy(String, String, String),
    /// Whatever an NVMe command says: the command and the length of its data.
    Command(String, String),
}

impl Range {
    /// The parameters, in the order of the call that tells the range.
    pub fn params(&self) -> Vec<&str> {
        match self {
            Range::Bytes(a, b) | Range::Blocks(a, b) | Range::Command(a, b) => vec![a, b],
            Range::Block(a) => vec![a],
            Range::Copy(a, b, c) => vec![a, b, c],
        }
    }
}
