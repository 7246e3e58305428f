//! Option structs.

use serde::Deserialize;

use super::{CName, Ident, Reason, Version};

/// A C struct of options, as a builder: `new` has SPDK's defaults, each field one method.
///
/// ```ron
/// Options(
///     c: "spdk_blob_opts", rust: "BlobOpts",
///     size: InitWithSize(init: "spdk_blob_opts_init", field: "opts_size"),
///     fields: [ OptionField(c: "num_clusters", doc: "The initial size, in clusters.") ],
///     doc: "How a blob is made.",
/// ),
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Options")]
pub struct Options {
    /// The C struct.
    pub c: CName,
    /// The Rust type.
    pub rust: Ident,
    /// How C learns the size of the struct that it is given.
    pub size: SizeConvention,
    /// The fields that the builder sets: scalars, booleans and declared enums. Others keep SPDK's
    /// default.
    pub fields: Vec<OptionField>,
    /// The first SPDK that has the struct, if not all have it.
    #[serde(default)]
    pub since: Option<Version>,
    /// What the options are for.
    pub doc: Reason,
}

/// The four ways in which SPDK learns the size of an option struct.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum SizeConvention {
    /// `init(opts, sizeof(*opts))` sets the defaults and the field.
    InitWithSize {
        /// The function.
        init: CName,
        /// The field that it sets.
        field: CName,
    },
    /// The caller sets the field, then calls `init(opts)`.
    SizeThenInit {
        /// The function.
        init: CName,
        /// The field that the caller sets.
        field: CName,
    },
    /// There is no function: zeroes are the defaults, and the caller sets the field.
    SizeOnly {
        /// The field that the caller sets.
        field: CName,
    },
    /// There is no size: `init(opts)` sets the defaults, or zeroes are the defaults.
    Unsized {
        /// The function, if there is one.
        #[serde(default)]
        init: Option<CName>,
    },
}

impl SizeConvention {
    /// The function that sets the defaults, if there is one.
    pub fn init(&self) -> Option<&CName> {
        match self {
            SizeConvention::InitWithSize { init, .. }
            | SizeConvention::SizeThenInit { init, .. } => Some(init),
            SizeConvention::SizeOnly { .. } => None,
            SizeConvention::Unsized { init } => init.as_ref(),
        }
    }

    /// The field with the size, if there is one.
    pub fn field(&self) -> Option<&CName> {
        match self {
            SizeConvention::InitWithSize { field, .. }
            | SizeConvention::SizeThenInit { field, .. }
            | SizeConvention::SizeOnly { field } => Some(field),
            SizeConvention::Unsized { .. } => None,
        }
    }
}

/// One field of [`Options`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "OptionField")]
pub struct OptionField {
    /// The field.
    pub c: CName,
    /// The member that is set, where the field is a union.
    #[serde(default)]
    pub member: Option<CName>,
    /// The method. Default: the name of the field.
    #[serde(default)]
    pub rust: Option<Ident>,
    /// What it sets, with its unit.
    pub doc: Reason,
    /// The first SPDK that has the field; on an older one the method does not exist.
    #[serde(default)]
    pub since: Option<Version>,
}

impl OptionField {
    /// Its name in Rust.
    pub fn name(&self) -> &str {
        self.rust.as_ref().map_or(self.c.as_str(), Ident::as_str)
    }
}
