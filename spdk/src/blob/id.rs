//! [`BlobId`].

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use crate::sys;

/// The name of a blob in its blobstore, which stays the same as long as the blob exists. When it is deleted, the next one that
/// is made may get its ID.
///
/// It is printed as SPDK's tools print it, `0x100000001`, and parsed from that, or from a decimal number.
#[doc(alias = "spdk_blob_id")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(sys::spdk_blob_id);

impl BlobId {
    /// An ID of which only the number is known.
    pub const fn new(id: u64) -> Self {
        BlobId(id)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// What C says, where it may say that there is none.
    pub(super) fn from_c(id: sys::spdk_blob_id) -> Option<Self> {
        (id != INVALID && id != EXTERNAL).then_some(BlobId(id))
    }
}

/// `SPDK_BLOBID_INVALID`.
pub(super) const INVALID: sys::spdk_blob_id = u64::MAX;
/// `SPDK_BLOBID_EXTERNAL_SNAPSHOT`.
const EXTERNAL: sys::spdk_blob_id = u64::MAX - 1;

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

impl FromStr for BlobId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        }
        .map(BlobId)
    }
}
