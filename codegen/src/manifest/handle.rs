//! Handles: C objects that Rust owns.

use serde::Deserialize;

use super::{CName, Cfg, Ident, Reason, RustPath, RustType};

/// A handle type to generate: it owns one C object and releases it on its home thread.
///
/// ```ron
/// Handle(
///     c: "spdk_bdev_desc", rust: "BdevDesc",
///     release: Call("spdk_bdev_close"),
///     doc: "An open block device.",
/// ),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Handle")]
pub struct Handle {
    /// The C struct.
    pub c: CName,
    /// The Rust type.
    pub rust: Ident,
    /// Who frees the object.
    pub release: Release,
    /// A Rust type that lives as long as the C object, written by hand. It is made by
    /// `new(EventHub<E>)` and gives the hub back by `hub()` where the handle has events. Default:
    /// the event hub, or what `keeps` says, or nothing.
    #[serde(default)]
    pub extra: Option<RustPath>,
    /// The C type of the handle that must outlive this one; the call that produces this one has
    /// it as a parameter. A call that takes both refuses this one if it keeps another object.
    #[serde(default)]
    pub keeps: Option<CName>,
    /// How error messages name the object.
    #[serde(default)]
    pub describe: Describe,
    /// The method that gives out a channel's reference after it checked that the channel belongs
    /// to this device: `fn(&self, &IoChannel) -> Result<Hold<..>, Fault>`, written by hand.
    #[serde(default)]
    pub channel: Option<Ident>,
    /// The method that tells what the object does with memory that it is to read: `fn(&self) -> Drain`, written by
    /// hand. Default: it reads.
    #[serde(default)]
    pub drains: Option<Ident>,
    /// What the type is, in the words of its documentation.
    pub doc: Reason,
}

/// Who frees a C object.
#[derive(Debug, Deserialize)]
pub enum Release {
    /// This C function, which takes the object and returns when it is gone.
    Call(CName),
    /// This C function, which takes the object and a callback. *Not emitted yet.*
    Async(CName),
    /// C itself, or another object; and which.
    Never(Reason),
}

/// How error messages name an object.
#[derive(Debug, Default, Deserialize)]
pub enum Describe {
    /// By the name of its type.
    #[default]
    Type,
    /// By a C function that returns its name: `const char *(*)(T *)`.
    Name(CName),
    /// `Describe` and `Debug` are implemented by hand; with a type for `extra`, that has a method `label` for the
    /// log.
    ByHand,
}

/// A handle type that is written by hand, or that lives in another crate.
///
/// ```ron
/// Extern(c: "spdk_bdev", rust: "crate::bdev::Bdev", raw: "raw", reason: "holds a descriptor"),
/// Extern(c: "spdk_bdev_desc", rust: "::spdk::BdevDesc", channel: "channel", drains: "drains", reason: "of spdk"),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Extern")]
pub struct Extern {
    /// The C struct.
    pub c: CName,
    /// The Rust type. It implements `Subject`, unless there is `raw`.
    pub rust: RustPath,
    /// The method that gives the C pointer if it may be used now:
    /// `fn(&self) -> Result<NonNull<C>, Fault>`. Only calls that return at once can use the type
    /// then, since nothing keeps it alive for an operation.
    #[serde(default)]
    pub raw: Option<Ident>,
    /// The method that holds the object for an operation, where the object alone is not enough:
    /// `fn(&self, Caller<'_>) -> Result<impl AtHome, Fault>`, written by hand, whose result has
    /// `as_ptr`.
    #[serde(default)]
    pub hold: Option<Ident>,
    /// As in [`Handle::channel`].
    #[serde(default)]
    pub channel: Option<Ident>,
    /// As in [`Handle::drains`].
    #[serde(default)]
    pub drains: Option<Ident>,
    /// What the type promises of threads, which the generated code asserts.
    #[serde(default)]
    pub markers: Markers,
    /// Whether only its own crate can name it: then no program of a user's is tried with it.
    #[serde(default)]
    pub internal: bool,
    /// Why the type is not generated.
    pub reason: Reason,
}

/// Types that no entry of a section declares, and what they promise of threads.
///
/// ```ron
/// types: [
///     Types(markers: Home, rust: ["crate::Poller", "crate::IoQueue<u8>"]),
///     Types(markers: Any, cfg: "feature = \"config\"", rust: ["crate::config::Config"]),
/// ],
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Types")]
pub struct Types {
    /// What they promise, which the generated code asserts.
    pub markers: Markers,
    /// When they exist, where that is not always.
    #[serde(default)]
    pub cfg: Option<Cfg>,
    /// The types, by the paths that users have. A generic one has arguments that are `Send` and `Sync`.
    pub rust: Vec<RustType>,
}

/// What a type promises of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Markers {
    /// Neither `Send` nor `Sync`: it belongs to an spdk_thread.
    #[default]
    Home,
    /// `Send`, not `Sync`.
    Send,
    /// `Send` and `Sync`.
    Any,
}

impl Markers {
    pub(crate) fn is_send(self) -> bool {
        self != Markers::Home
    }

    pub(crate) fn is_sync(self) -> bool {
        self == Markers::Any
    }
}
