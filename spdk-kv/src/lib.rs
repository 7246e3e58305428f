//! A persistent key-value store on SPDK blobs, which proves the blobstore API of the `spdk` crate by using nothing else:
//! see [`KvStore`] for what it promises.
#![forbid(unsafe_code)]

mod kv;
mod log;
mod store;

pub use kv::KvStore;
pub use log::Log as Snapshot;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The length of a key, at most.
pub const MAX_KEY: usize = 4096;
/// The length of a value, at most.
pub const MAX_VALUE: usize = 1 << 30;

/// What calls of the store return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was changed. Deletes make room, of keys and of snapshots.
    #[error("the store is full: {0} more clusters are needed, and {1} can be had")]
    Full(u64, u64),
    /// A key is empty, or it or a value is too long.
    #[error("a key has 1 to {MAX_KEY} bytes and a value {MAX_VALUE} at most, and not {0}")]
    Length(usize),
    /// What is on the device is not what was written, of the record, or the batch of records, that begins there.
    #[error("segment {0}, byte {1}: the checksum is wrong")]
    Damaged(u64, u64),
    /// The blobstore has a blob that this crate did not make, or that is damaged.
    #[error("blob {0} does not belong to a key-value store")]
    Foreign(spdk::blob::BlobId),
    /// There is no snapshot of this name.
    #[error("there is no snapshot {0:?}")]
    NoSnapshot(String),
    /// There is one already.
    #[error("there is a snapshot {0:?} already")]
    SnapshotExists(String),
    /// The device or the blobstore failed, or the spdk_thread has ended.
    #[error(transparent)]
    Spdk(#[from] spdk::Error),
}
