//! A persistent key-value store on SPDK blobs.
//!
//! It proves the blobstore API of the `spdk` crate by using nothing else: see [`KvStore`] for what it promises.
#![forbid(unsafe_code)]

mod batch;
mod calls;
mod error;
mod log;
mod segment;
mod store;

pub use batch::Damage;
pub use error::{Error, Result};
pub use store::{KvStore, Snapshot, Stats};

/// Bytes that name a value.
pub type Key = Vec<u8>;
/// Bytes.
pub type Value = Vec<u8>;

/// The length of a key, at most.
pub const MAX_KEY: usize = 4096;
/// The length of a value, at most.
pub const MAX_VALUE: usize = 1 << 30;
