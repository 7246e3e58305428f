//! What a callback typedef promises.

use serde::Deserialize;

use super::{CName, Reason, RustPath};

/// A callback typedef: the class it belongs to and what each of its arguments means.
///
/// Written once per typedef; every function that takes the typedef inherits it. For a callback
/// that has no typedef, `c` is any unused name and functions refer to it by
/// [`Role::Callback`](super::Role::Callback).
///
/// ```ron
/// Callback(c: "spdk_blob_op_with_id_complete", class: OneShot, args: [Ctx, Value, Errno]),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Callback")]
pub struct Callback {
    /// The typedef.
    pub c: CName,
    /// How often, and when, C calls it.
    pub class: Class,
    /// The meaning of each argument, in the order of the C prototype.
    pub args: Vec<Arg>,
    /// What the callback's own return value tells C. Default: it returns nothing.
    #[serde(default)]
    pub returns: Option<CallbackReturn>,
    /// The function pointer type, where C has no typedef: the function and the parameter that
    /// it is read from.
    #[serde(default)]
    pub of: Option<(CName, String)>,
}

/// How often, and when, C calls a callback. It decides the shape of the wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Class {
    /// Once per call, maybe before the call returns, on the spdk_thread that made it: an `async fn`.
    OneShot,
    /// Once per element of an accel sequence. *Not emitted yet.*
    Step,
    /// Again and again until the handle is closed: a `Stream`.
    Event,
    /// Periodically until unregistered. *Not emitted yet.*
    Poller,
    /// Once, on another thread. *Not emitted yet.*
    Message,
    /// For each element, all inside the call: a closure.
    Each,
    /// For each channel or thread, then a one-shot. *Not emitted yet.*
    EachAsync,
    /// A one-shot whose `-ENOENT` means the end of a list. *Not emitted yet.*
    Cursor,
    /// Repeatedly, until the one-shot of the same call. *Not emitted yet.*
    Progress,
    /// A filter, attach, failure or remove callback of a probe. *Not emitted yet.*
    Probe,
    /// Only inside a poll call. *Not emitted yet.*
    PollCallback,
    /// A hook of a provider, without a context of the call. *Not emitted yet.*
    Handler,
    /// Only if a resource was not available at once. *Not emitted yet.*
    Waiter,
    /// Resets or steps a scatter list during submission. *Not emitted yet.*
    Sgl,
    /// Inside the call, exactly once. *Not emitted yet.*
    Functor,
    /// From a call that blocks until the application ends. *Not emitted yet.*
    Entry,
}

impl Class {
    /// Whether an emitter exists.
    pub fn is_emitted(self) -> bool {
        matches!(self, Class::OneShot | Class::Event | Class::Each)
    }
}

/// What one argument of a callback means.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum Arg {
    /// The context pointer that the call was given.
    Ctx,
    /// A `spdk_bdev_io`, which the callback frees. Goes with [`Arg::Success`].
    BdevIo,
    /// `bool`: whether the I/O succeeded; the status is in the `spdk_bdev_io`.
    Success,
    /// `int`: 0, or a negative errno.
    Errno,
    /// A `spdk_nvme_cpl`, valid only during the callback: the status of an NVMe command.
    Completion,
    /// A scalar or a declared enum, handed to the caller or to the stream.
    Value,
    /// A handle that now belongs to the caller, valid only if the status is 0.
    Handle,
    /// A pointer that the call was given, passed back; it carries nothing new.
    Echo,
    /// Something valid only during the callback; `with` makes an owned value of it.
    ///
    /// `with` is the path of an `unsafe fn(raw) -> into` that is written by hand.
    Convert {
        /// The conversion.
        with: RustPath,
        /// The type that it returns.
        into: RustPath,
    },
    /// Memory that the callback must free with the C function. *Not emitted yet.*
    Freed(CName),
    /// An argument that the wrapper does not pass on, and why that loses nothing.
    Ignore(Reason),
}

/// What a callback's return value tells C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CallbackReturn {
    /// 0 goes on, another value stops: the closure returns a `ControlFlow`.
    Stop,
    /// A poller's "was there work". *Not emitted yet.*
    Busy,
    /// `bool`: whether to go on with the element. *Not emitted yet.*
    Accept,
}
