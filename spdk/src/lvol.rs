//! Lvol stores: volumes with names on a block device, with snapshots and clones.
//!
//! An [`LvolStore`] takes a bdev for itself, and divides it into clusters, of which an [`Lvol`] has as many as its size
//! says; a thin one gets a cluster when that is written. A volume has a name and a UUID. Its snapshots and clones share
//! clusters with it.
//!
//! ```no_run
//! use spdk::DmaBuf;
//! use spdk::lvol::{LvolOpts, LvolStore};
//!
//! # async fn example() -> spdk::Result<()> {
//! let store = LvolStore::init("Malloc0", "lvs", None).await?;
//! let volume = store.create_lvol("volume", 64 << 20, Some(&LvolOpts::new().thin(true))).await?;
//! let channel = store.alloc_io_channel()?;
//! let mut buf = DmaBuf::alloc(4096, 4096)?;
//! buf.fill(0xa5);
//! volume.blob().write(&channel, &buf, 0).await?;
//! let snapshot = volume.create_snapshot("before").await?;
//! volume.blob().read(&channel, &mut buf, 0).await?;
//!
//! drop(channel);
//! snapshot.close().await?;
//! volume.close().await?;
//! store.unload().await
//! # }
//! ```
//!
//! # Two ways to a volume
//!
//! SPDK shows volumes as bdevs by its module `bdev_lvol`, which has lvol stores of its own. They are made and changed by
//! methods of RPC, which are typed in `spdk::config` (feature `config`): `config::LvolStore`, `config::Lvol`,
//! `config::LvolSnapshot` and others. Then [`Bdev::find`](crate::Bdev::find) has the volume by the name `store/volume`
//! or its UUID, and everything that takes a bdev takes it, such as an NVMe-oF target.
//!
//! This module calls SPDK's library below that, `lvol.h`, and its volumes are no bdevs. I/O on a volume goes through its
//! blob, [`Lvol::blob`]. It is the way to take for an application that uses the volumes itself: it takes no RPC, a
//! volume belongs to whom has opened it, every error that SPDK tells is told, and the calls that only blobs have are there.
//!
//! A store has one owner: one that `bdev_lvol` has loaded cannot be loaded here, and the reverse, since each claims the
//! bdev, and both kinds share one space of names. On the device they are the same, so that the one can load what the
//! other has unloaded. **`bdev_lvol` loads the store of every bdev that appears, at once**, unless
//! `bdev_set_options` has `bdev_auto_examine` set to `false`, at the start of the application (`Config`, or `bdevs(...)`
//! of [`main`](macro@crate::main)): without that, [`LvolStore::load`] of a bdev that was just made fails with `EPERM`.
//!
//! With thin volumes there is a reason besides. SPDK 26.01 does not survive that two of them on one spdk_thread give up clusters
//! at the same time: it writes what is left of both from the same memory, and when the store is loaded again one may have the
//! clusters of the other. Here such an unmap waits for the other one
//! ([`Blob::unmap_io_units`](crate::blob::Blob::unmap_io_units)); through `bdev_lvol` none does, nor from an NVMe-oF target of
//! such bdevs: keep the hosts of thin volumes from unmapping, or give each volume an spdk_thread of its own.
//!
//! Nor does it survive writes that get clusters while a snapshot of the volume is made: after a crash they may be lost, although
//! they had ended. Worse are writes to the clone of a snapshot that is destroyed, to a thin volume that is resized, and to any that
//! becomes smaller: the clone may lose what it gets, or the volume its size, and SPDK writes beyond its memory. And it crashes by
//! writes to a volume that is inflated. [`Lvol::create_snapshot`], [`Lvol::destroy`], [`Lvol::resize`] and [`Lvol::inflate`]
//! wait until no I/O is in flight; those by `bdev_lvol` do not, so pause writes meanwhile.
//!
//! A read into several buffers, of a volume that is larger than what it is a clone of, has SPDK write zeroes beyond the first of
//! them, where it goes past the end of that one. [`Blob::readv_io_units`](crate::blob::Blob::readv_io_units) reads into one;
//! through `bdev_lvol`, give such volumes one buffer for each read, and no NVMe-oF target, or make the snapshot anew when the
//! volume has grown. And of hundreds of writes at once that each get a cluster of a thin volume, on one spdk_thread, SPDK
//! 26.01 gives some the same cluster: a store has 512 requests for each spdk_thread, of which such a write takes several.
//! [`Lvol::blob`] has the others wait; through `bdev_lvol`, keep below 85 of them.
//!
//! A store that was made on blocks of another size than the bdev has, or whose lists of what is used are damaged, is refused by
//! [`LvolStore::load`]. `bdev_lvol` loads it: then the method that makes the bdev may never end, I/O on its volumes goes to other
//! memory and places, or SPDK crashes.
//!
//! # What `lvol.h` lacks
//!
//! It has no I/O, no resize and no way to list volumes, and declares its structs only by their names: SPDK's own module
//! uses a header that is not installed. All of that is possible with the store's blobs, which this crate finds in the
//! first fields of those structs. They are checked against what SPDK says elsewhere, and a store whose fields are other
//! ones is refused with `ENOTSUP`.
//!
//! # When the device fails
//!
//! A call tells it by `EIO`, and a store that is loaded again has what was durable before. But SPDK 26.01 goes on with what it
//! has not written. So the volumes that the call was about have to be closed before they are used again, and it is better to
//! load the store again. Known are these cases, also of blobs with an
//! [extent table](crate::blob::BlobOpts::use_extent_table), which volumes have:
//!
//! - A thin volume of which a write has failed, and which is not closed then, goes on with a cluster that SPDK gives to another
//!   one too: a write that is tried again goes there, reports success, and is lost with the next load. If it was the first
//!   write, the volume may not be opened any more then; and when its first page of clusters was not written, no error is told.
//! - A volume of which a snapshot was not written, and which is not closed then, has clusters with that snapshot in common. When
//!   the volume depends on another one or on a bdev, SPDK crashes, at once or when the store is loaded again.
//! - The clone of a snapshot that was not destroyed takes no I/O until it is closed, and may have clusters with it in
//!   common. If it was the page with its clusters that was not written, no error is told, and the clone loses what it had of
//!   the snapshot.
//! - [`Lvol::create_clone`] crashes.
//! - Clusters that a call has taken which failed are not free until the store is recovered.
//!
//! # What runs where, and what is durable when
//!
//! As for [blobstores](crate::blob): what changes a store or a volume runs on the spdk_thread that loaded the store,
//! whichever asks for it, and I/O on the spdk_thread that opened the volume. What creates, destroys, renames or resizes
//! is durable when its future is ready. These calls, and opens, take turns: each waits for those before it.

pub use crate::blob::lvol::{Lvol, LvolInfo, LvolOpts, LvolStore, LvsOpts};
