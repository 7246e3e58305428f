//! What can go wrong.

use crate::batch::Damage;

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was changed. Deletes make room, of keys and of snapshots.
    #[error("the store is full: {needed} more clusters are needed, and {free} can be had")]
    Full {
        /// How many clusters are missing.
        needed: u64,
        /// How many are free for data.
        free: u64,
    },
    /// A key is empty or too long.
    #[error("a key has 1 to {max} bytes, and not {0}", max = crate::MAX_KEY)]
    Key(usize),
    /// A value is too long.
    #[error("a value has {max} bytes at most, and not {0}", max = crate::MAX_VALUE)]
    Value(usize),
    /// What is on the device is not what was written.
    #[error("segment {segment}, byte {offset}: {damage}")]
    Damaged {
        /// The number of the segment.
        segment: u64,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The blobstore has a blob that this crate did not make, or that is damaged.
    #[error("blob {0} does not belong to a key-value store")]
    Foreign(spdk::blob::BlobId),
    /// There is no snapshot of this name.
    #[error("there is no snapshot {0:?}")]
    NoSnapshot(String),
    /// There is one already.
    #[error("there is a snapshot {0:?} already")]
    SnapshotExists(String),
    /// The spdk_thread that the store was opened on has ended.
    #[error("the spdk_thread of the store has ended")]
    Ended,
    /// The device or the blobstore failed.
    #[error(transparent)]
    Spdk(#[from] spdk::Error),
}

/// What calls of the store return.
pub type Result<T> = std::result::Result<T, Error>;
