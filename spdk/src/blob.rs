//! Blobstores: blobs of data on a block device, which are there again after a restart or a loss of power.
//!
//! A [`Blobstore`] takes a bdev for itself and divides it into clusters. A [`Blob`] is a number of clusters that
//! read and write like a device of their own, with attributes; it has a [`BlobId`], and grows, shrinks, and can be
//! thin: then it gets a cluster only when that is written.
//!
//! ```no_run
//! use spdk::DmaBuf;
//! use spdk::blob::{BlobOpts, Blobstore};
//!
//! # async fn example() -> spdk::Result<()> {
//! let store = Blobstore::init("Malloc0", None).await?;
//! let id = store.create_blob(Some(&BlobOpts::new().num_clusters(4))).await?;
//! let blob = store.open_blob(id, None).await?;
//! blob.set_xattr("name", b"first").await?;
//!
//! let channel = store.alloc_io_channel()?;
//! let mut buf = DmaBuf::alloc(4096, 4096)?;
//! buf.fill(0xa5);
//! blob.write(&channel, &buf, 0).await?;
//! blob.read(&channel, &mut buf, 0).await?;
//!
//! drop(channel);
//! blob.close().await?;
//! store.unload().await
//! # }
//! ```
//!
//! # What runs where
//!
//! SPDK allows one spdk_thread, the metadata thread, to change a blobstore: the one that loaded it. Calls from other
//! spdk_threads go there by a message, and their futures are ready where they are awaited. Only I/O, and what it
//! needs, stays on its own spdk_thread: each opens the blobs and has the channel that it uses.
//!
//! # What is durable when
//!
//! What was written to a blob is on the device when the write has ended, as far as the device says so. Where the
//! clusters of a thin blob are, is as well. The size of a blob is after [`Blob::resize`]; its attributes, and
//! whether it is read-only, are after [`Blob::sync`] or [`Blob::close`]. After a crash a store is recovered when it is loaded again, and what had
//! been synced is there.
//!
//! SPDK never flushes the device of a blobstore. On one with a volatile cache, such as an NVMe namespace whose
//! controller has one and no capacitors for it, all of this is lost with the power until the cache has been written; and
//! since the device may write that in any order, even what was durable before can be. A bdev cannot be flushed under a
//! store, which has claimed it: turn the cache off, or use a [`BlockDevice`] of your own whose writes end when they are
//! durable.

mod bdev_io;
mod blobs;
mod blobstore;
mod block_device;
mod bs_dev;
mod callbacks;
mod calls;
mod check;
mod copies;
mod deletion;
mod device;
mod domain;
mod dump;
mod external;
mod handle;
mod id;
mod io;
mod io_queue;
mod iter;
mod lent;
mod load;
pub(crate) mod lvol;
mod options;
mod pages;
mod readv;
mod remote;
mod requests;
mod room;
mod shallow_copy;
mod snapshots;
mod store;
mod store_channel;
mod tree;
mod unmap;
mod users;
mod xattrs;

pub use crate::generated::blob::*;
pub use blobstore::Blobstore;
pub use block_device::{BlockDevice, ReadInto, WriteFrom};
pub use external::ExternalSnapshot;
pub use handle::{Blob, BlobInfo};
pub use id::BlobId;
pub use iter::Blobs;
pub use options::{BlobOpts, BsOpts, BsType};
pub(crate) use requests::Requests;
pub use shallow_copy::ShallowCopy;
pub use tree::SnapshotTree;
pub use xattrs::Xattrs;

#[doc(hidden)]
pub mod rt {
    pub use super::requests::{IoDone, submit};
}
