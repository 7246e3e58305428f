//! Structs that C fills.

use serde::Deserialize;

use super::{CName, Ident, Reason, Skip, Version};

/// A C struct that a call fills, as a Rust struct with public fields.
///
/// Every field of the header is either named or skipped, so none is forgotten when the header grows.
///
/// ```ron
/// Record(
///     c: "spdk_bdev_zone_info", rust: "ZoneInfo",
///     fields: [ RecordField(c: "capacity", doc: "How many blocks can be written.") ],
///     doc: "What is known of a zone.",
/// ),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Record")]
pub struct Record {
    /// The C struct.
    pub c: CName,
    /// The Rust struct.
    pub rust: Ident,
    /// The fields that Rust has too: numbers, booleans and declared enums.
    pub fields: Vec<RecordField>,
    /// The fields that it leaves out.
    #[serde(default)]
    pub skip: Vec<Skip>,
    /// What it says.
    pub doc: Reason,
}

/// One field of a [`Record`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "RecordField")]
pub struct RecordField {
    /// The field.
    pub c: CName,
    /// Its name in Rust. Default: the same.
    #[serde(default)]
    pub rust: Option<Ident>,
    /// What it says, with its unit.
    pub doc: Reason,
    /// The first SPDK that has the field; on an older one the Rust field does not exist.
    #[serde(default)]
    pub since: Option<Version>,
}

impl RecordField {
    /// Its name in Rust.
    pub fn name(&self) -> &str {
        self.rust.as_ref().map_or(self.c.as_str(), Ident::as_str)
    }
}
