//! Enums and flags.

use serde::Deserialize;

use super::{CName, Ident, Reason, Version};

/// A C enum, as an open Rust enum: a value that has no name is kept in `Unknown`.
///
/// Every enumerator of the header is either a variant or skipped, so none is forgotten when the
/// header grows.
///
/// ```ron
/// Enum(
///     c: "spdk_bdev_event_type", rust: "BdevEvent",
///     variants: [
///         Variant(c: "SPDK_BDEV_EVENT_REMOVE", rust: "Remove", doc: "The device goes away."),
///     ],
///     doc: "What happened to a device.",
/// ),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Enum")]
pub struct Enum {
    /// The C enum.
    pub c: CName,
    /// The Rust enum.
    pub rust: Ident,
    /// The named values.
    pub variants: Vec<Variant>,
    /// The enumerators that are no values, such as a count.
    #[serde(default)]
    pub skip: Vec<Skip>,
    /// What the enum says.
    pub doc: Reason,
}

/// A named value of an [`Enum`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Variant")]
pub struct Variant {
    /// The enumerator.
    pub c: CName,
    /// The variant.
    pub rust: Ident,
    /// What it means.
    pub doc: Reason,
    /// The first SPDK that has it. Its number is then not compared with the installed header's.
    #[serde(default)]
    pub since: Option<Version>,
}

/// An enumerator that is not a value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Skip")]
pub struct Skip {
    /// The enumerator.
    pub c: CName,
    /// Why it is left out.
    pub reason: Reason,
}

/// A set of bits, each one a C constant.
///
/// ```ron
/// Flags(
///     c: "SPDK_NVME_IO_FLAGS", rust: "NvmeIoFlags", repr: U32,
///     flags: [
///         Flag(c: "SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS", rust: "FUA", doc: "Write through."),
///     ],
///     doc: "How an NVMe command is executed.",
/// ),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Flags")]
pub struct Flags {
    /// The common prefix of the constants; it identifies the entry.
    pub c: CName,
    /// The Rust type.
    pub rust: Ident,
    /// Its width.
    pub repr: Repr,
    /// The bits.
    pub flags: Vec<Flag>,
    /// What the bits say.
    pub doc: Reason,
}

/// One bit of [`Flags`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Flag")]
pub struct Flag {
    /// The C constant.
    pub c: CName,
    /// The associated constant in Rust.
    pub rust: Ident,
    /// What it means.
    pub doc: Reason,
}

/// The width of [`Flags`] and of numbers that the headers do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Repr {
    /// 8 bits.
    U8,
    /// 16 bits.
    U16,
    /// 32 bits.
    U32,
    /// 64 bits.
    U64,
}

impl Repr {
    /// The type in Rust.
    pub fn rust(self) -> &'static str {
        match self {
            Repr::U8 => "u8",
            Repr::U16 => "u16",
            Repr::U32 => "u32",
            Repr::U64 => "u64",
        }
    }
}
