//! The manifest language: what a C header cannot say.
//!
//! A manifest is a [RON](https://docs.rs/ron) file. It says **only** what the C headers do not:
//! what a callback promises, who frees what, the direction of a buffer, which handle a call
//! consumes, on which thread it must run, since which SPDK version it exists, and one sentence of
//! documentation. Types, arity and constness come from the headers.
//!
//! ```
//! # let text = r#"
//! (
//!     spdk: "26.01",
//!     sections: [
//!         Section(
//!             header: "bdev.h",
//!             doc: "Block devices.",
//!             // What a parameter of this name means wherever no entry says otherwise.
//!             names: { "ch": Channel(of: "desc"), "cb_arg": Ctx },
//!             entries: [
//!                 Handle(
//!                     c: "spdk_bdev_desc",
//!                     rust: "BdevDesc",
//!                     release: Call("spdk_bdev_close"),
//!                     doc: "An open block device.",
//!                 ),
//!                 Extern(
//!                     c: "spdk_io_channel",
//!                     rust: "crate::channel::IoChannel",
//!                     reason: "keeps its device open",
//!                 ),
//!                 Callback(
//!                     c: "spdk_bdev_io_completion_cb",
//!                     class: OneShot,
//!                     args: [BdevIo, Success, Ctx],
//!                 ),
//!                 Function(
//!                     c: "spdk_bdev_read",
//!                     rust: "BdevDesc::read",
//!                     params: { "buf": Fill(len: "nbytes") },
//!                     range: Bytes("offset", "nbytes"),
//!                     doc: "Reads `buf.len()` bytes at `offset` into `buf`.",
//!                 ),
//!             ],
//!         ),
//!     ],
//! )
//! # "#;
//! # spdk_codegen::manifest::parse("api.ron", text).unwrap();
//! ```
//!
//! # How to read an entry
//! - A scalar parameter is passed by value; it needs no role. A parameter of a callback type finds
//!   its [`Callback`] entry by the name of its typedef. The first parameter that points to the C
//!   type of the handle in `rust` is the receiver. Every other pointer needs a [`Role`], from the
//!   entry's `params` or from the section's `names`.
//! - The class of a function follows from the callbacks it takes: none is a plain call, a
//!   [`Class::OneShot`] one is an `async fn`, a [`Class::Event`] one with a handle as
//!   [`Role::Out`] opens a handle with a stream of events, a [`Class::Each`] one takes a closure.
//!   `class` says so where the callback's typedef does not decide.
//! - Classes that the language has but that no emitter writes yet are refused: such a function is
//!   declared [`Manual`], which counts as written by hand.

mod callback;
mod function;
mod handle;
mod name;
mod options;
mod param;
mod record;
mod text;
mod values;
mod version;

pub use callback::{Arg, Callback, CallbackReturn, Class};
pub use function::{
    Added, ErrnoDoc, ErrnoName, Function, Gives, Manual, NoMem, Outcome, Range, Rc, RcMap, Returns,
    Signature, Thread,
};
pub use handle::{Describe, Extern, Handle, Markers, Release, Types};
pub use name::{CName, Cfg, FnPath, Ident, Reason, RustPath, RustType};
pub use options::{OptionField, Options, SizeConvention};
pub use param::{Consumed, Role, Roles, Transfer};
pub use record::{Record, RecordField};
pub use text::parse;
pub(crate) use text::read;
pub use values::{Enum, Flag, Flags, Repr, Skip, Variant};
pub use version::Version;

use std::collections::BTreeMap;

use serde::Deserialize;

/// A whole manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The SPDK version that the manifest was written against.
    pub spdk: Version,
    /// A file of bindgen's output to resolve against instead of SPDK's own bindings, relative to
    /// the manifest: for a C library of one's own that has callbacks in SPDK's style.
    #[serde(default)]
    pub bindings: Option<String>,
    /// Where the functions and types of `bindings` are in Rust, such as `crate::ffi`. Default: the
    /// bindings of SPDK.
    #[serde(default)]
    pub sys: Option<RustPath>,
    /// What the types that no entry declares promise of threads. Of `spdk` itself, these are all that are public.
    #[serde(default)]
    pub types: Vec<Types>,
    /// One section per C header.
    pub sections: Vec<Section>,
}

/// What the manifest says of one C header. Each section becomes one generated file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Section")]
pub struct Section {
    /// The header, below `spdk/`: `bdev.h`.
    pub header: String,
    /// The first line of the generated file's documentation.
    pub doc: Reason,
    /// Whether every function of the header that takes a callback has an entry: then
    /// `cargo xtask coverage` fails when one has none, as after an update of SPDK.
    #[serde(default)]
    pub complete: bool,
    /// The functions without a callback that need no wrapper, each with the reason. Given, even empty, it says
    /// that every other one of the header is named by a `doc(alias)` of the crate: `cargo xtask coverage` fails
    /// when one is not.
    pub plain: Option<BTreeMap<CName, Reason>>,
    /// When the module exists, as it stands in `#[cfg(..)]`: `feature = "nvme"`.
    pub cfg: Option<Cfg>,
    /// The roles that parameters have by their C name, unless an entry says otherwise.
    ///
    /// Only for parameters that a function has: a name that a function lacks is no error here.
    #[serde(default)]
    pub names: Roles,
    /// The entries, in the order of the header.
    pub entries: Vec<Entry>,
}

/// One entry of a section.
#[derive(Debug, Deserialize)]
pub enum Entry {
    /// A handle type to generate.
    Handle(Handle),
    /// A handle type that is written by hand, or lives in another crate.
    Extern(Extern),
    /// What a callback typedef promises.
    Callback(Callback),
    /// A C enum.
    Enum(Enum),
    /// A set of bits.
    Flags(Flags),
    /// A struct of options.
    Options(Options),
    /// A struct that C fills.
    Record(Record),
    /// A function to wrap.
    Function(Box<Function>),
    /// A function that is wrapped by hand, and why.
    Manual(Manual),
}

impl Entry {
    /// The C name of the entry, by which it is found in the source.
    pub fn c(&self) -> &CName {
        match self {
            Entry::Handle(entry) => &entry.c,
            Entry::Extern(entry) => &entry.c,
            Entry::Callback(entry) => &entry.c,
            Entry::Enum(entry) => &entry.c,
            Entry::Flags(entry) => &entry.c,
            Entry::Options(entry) => &entry.c,
            Entry::Record(entry) => &entry.c,
            Entry::Function(entry) => &entry.c,
            Entry::Manual(entry) => &entry.c,
        }
    }
}
