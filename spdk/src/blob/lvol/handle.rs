//! [`Lvol`]: open volumes.
#![allow(unsafe_code)] // Calls what is at home on the metadata thread, there.

use std::cell::RefCell;
use std::ffi::{CString, c_int, c_void};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use super::super::BlobId;
use super::super::calls::{called, context};
use super::super::handle::{Blob, BlobObject, report};
use super::super::remote::{StoreHold, metadata};
use super::super::store::{self, RawBlob, Store, Use};
use super::layout;
use super::list::{self, LvolInfo};
use super::options::checked;
use super::store::LvolStore;
use super::volumes::{self, Opened, Volume};
use crate::error::{At, Describe, Fault, Result};
use crate::generated::blob::BlobOpComplete;
use crate::handle::{Hold, Subject};
use crate::local::Caller;
use crate::op::status;
use crate::sys;

/// An open volume of an lvol store.
///
/// I/O on it goes through its [blob](Lvol::blob) and a channel of the store,
/// [`LvolStore::alloc_io_channel`](super::LvolStore::alloc_io_channel). A volume can be open any number of times, so that
/// several spdk_threads can use it: each opens it for itself.
///
/// # Drop
///
/// Dropping it writes what was not synced and closes it, in the background, when what is in flight on it has ended; calls
/// to the store that come after wait for that. An error of it is only logged: [`Lvol::close`] reports it. It keeps its
/// store loaded until it is closed.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread that opened it, and so does its I/O. What changes the volume itself
/// runs on the metadata thread, by a message if that is another one.
#[doc(alias = "spdk_lvol")]
pub struct Lvol {
    blob: Blob,
    uuid: Option<[u8; 16]>,
}

impl Lvol {
    /// # Safety
    /// It was opened for the caller, in this store.
    pub(super) unsafe fn adopt(opened: Opened, part: Use) -> std::result::Result<Self, Fault> {
        let Opened { blob, uuid } = opened;
        // SAFETY: passed on.
        let blob = unsafe { Blob::adopt(blob, part) }?;
        Ok(Lvol { blob, uuid })
    }

    /// Its blob, for I/O, and for what only blobs have.
    ///
    /// To resize the volume there is [`Lvol::resize`], which a destroy of another one waits for.
    /// Its attributes `name` and `uuid` are the volume's: with other values, SPDK may not load the store any more.
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Its UUID, in the order that it is written in; volumes of very old releases have none.
    pub fn uuid(&self) -> Option<[u8; 16]> {
        self.uuid
    }

    /// Its size in bytes, at the moment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the one that opened
    /// it, [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed.
    pub fn size(&self) -> Result<u64> {
        self.blob.size()
    }

    /// Tells what is known of it: what SPDK's `struct spdk_lvol` and the blob of the volume say, by functions such as
    /// `spdk_blob_get_num_clusters` and `spdk_blob_get_parent_snapshot`.
    ///
    /// # Errors
    ///
    /// As for [`Lvol::size`].
    ///
    /// # Cancellation
    ///
    /// It changes nothing, so that nothing is left of a future that is dropped.
    ///
    /// # Thread
    ///
    /// The one that opened it.
    pub async fn info(&self) -> Result<LvolInfo> {
        let store = self.store().clone();
        // SAFETY: the blob is open, its store loaded, and this is the metadata thread.
        let read = move |blob| Ok(unsafe { list::info(&store, blob) });
        self.blob.visit("spdk_blob_get_xattr_value", read).await
    }

    /// Whether the bdev that it depends on is not there, so that it takes no I/O.
    ///
    /// Wraps `spdk_lvol_is_degraded`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Lvol::info`].
    #[doc(alias = "spdk_lvol_is_degraded")]
    pub async fn is_degraded(&self) -> Result<bool> {
        let volume = self.volume();
        // SAFETY: the volume is open, and this is the metadata thread.
        let read = move |_| Ok(unsafe { sys::spdk_lvol_is_degraded(volume.as_ptr()) });
        self.blob.visit("spdk_lvol_is_degraded", read).await
    }

    /// Whether it has no clones. One that has a single clone can be destroyed too.
    ///
    /// Wraps `spdk_lvol_deletable`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Lvol::info`].
    #[doc(alias = "spdk_lvol_deletable")]
    pub async fn is_deletable(&self) -> Result<bool> {
        let volume = self.volume();
        // SAFETY: the volume is open, and this is the metadata thread.
        let read = move |_| Ok(unsafe { sys::spdk_lvol_deletable(volume.as_ptr()) });
        self.blob.visit("spdk_lvol_deletable", read).await
    }

    /// What is known of the volumes that depend on it.
    ///
    /// Wraps `spdk_lvol_iter_immediate_clones`, and reads as [`LvolStore::lvols`] does.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: there is no memory. And those of [`Lvol::size`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Lvol::info`].
    #[doc(alias = "spdk_lvol_iter_immediate_clones")]
    pub async fn clones(&self) -> Result<Vec<LvolInfo>> {
        const CALL: &str = "spdk_lvol_iter_immediate_clones";
        let volume = self.volume();
        let find = move |_| {
            let ids: RefCell<Vec<BlobId>> = RefCell::default();
            let arg = std::ptr::from_ref(&ids).cast_mut().cast();
            // SAFETY: the volume is open, and this is the metadata thread. It calls back before it returns.
            let rc = unsafe {
                sys::spdk_lvol_iter_immediate_clones(volume.as_ptr(), Some(add_clone), arg)
            };
            status(rc).map(|()| ids.into_inner())
        };
        let ids = self.blob.visit(CALL, find).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut lvols = LvolStore::of(self.store().clone()).lvols().await?;
        lvols.retain(|lvol| ids.contains(&lvol.blob_id));
        Ok(lvols)
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        self.blob.store()
    }

    pub(super) fn volume(&self) -> Volume {
        match self.blob.volume() {
            Some(volume) => volume,
            None => unreachable!("the blob is a volume's"),
        }
    }

    pub(super) fn hold(&self, caller: Caller<'_>) -> std::result::Result<Hold<BlobObject>, Fault> {
        self.blob.handle().hold(caller)
    }

    /// Gives it another name, of 1 to 63 bytes.
    ///
    /// It is durable when this returns. Wraps `spdk_lvol_rename`.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: another volume of the store has this name.
    /// - `EPERM`: it is read-only, as snapshots are.
    /// - `EIO`: the device failed; the volume has its old name, and on the device the one or the other, until it is synced
    ///   or closed.
    /// - Those of [`Lvol::size`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it.
    ///
    /// # Thread
    ///
    /// The one that opened it.
    #[doc(alias = "spdk_lvol_rename")]
    pub async fn rename(&self, name: &str) -> Result<()> {
        let (target, volume) = (self.store().clone(), self.volume());
        let hold = |caller: Caller<'_>| {
            let name = checked(name, "the name of a volume")?;
            Ok((self.hold(caller)?, name))
        };
        let call = move |blob: *mut sys::spdk_blob, name: *mut CString, done, arg| {
            let turn = volumes::turn(&target);
            // SAFETY: the blob is open, and this is the metadata thread.
            let old = unsafe { list::name(blob) }.and_then(|old| CString::new(old).ok());
            let ended = context(move |rc| {
                if rc != 0
                    && rc != -libc::EEXIST
                    && let Some(old) = old
                {
                    let old = old.as_bytes_with_nul();
                    // The attribute is the new name already, and must not be written by the next sync.
                    // SAFETY: as above; name and value are copied. One that is read-only refuses it.
                    unsafe {
                        let (value, length) = (old.as_ptr().cast(), old.len() as u16);
                        sys::spdk_blob_set_xattr(blob, c"name".as_ptr(), value, length);
                    }
                }
                report(done, arg, rc);
                drop(turn);
            });
            // SAFETY: the operation keeps the name, which is not too long, and the volume open. No other call gives a name
            // meanwhile. It copies the name, and calls back once.
            unsafe {
                let name = (*name).as_ptr();
                sys::spdk_lvol_rename(volume.as_ptr(), name, Some(called), ended);
            }
        };
        let at = || At::new("spdk_lvol_rename", self);
        // SAFETY: `report` is called once, and the operation keeps what C uses.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// Makes it larger or smaller, to `size` bytes rounded up to whole clusters. What is cut off is lost.
    ///
    /// It is durable when this returns. I/O beyond the new end is refused from now on. I/O may be in flight, and waits as for
    /// [`Blob::resize`].
    ///
    /// Does what `spdk_lvol_resize` does, which no public header has.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: there are not enough free clusters, or pages of metadata for them, and it is not thin; or none can be so large.
    /// - `ENOMEM`: there is no memory for so many clusters.
    /// - `EPERM`: it is read-only.
    /// - `EBUSY`: another call has it locked.
    /// - `EIO`: the device did not write it; what was to become smaller is as large as before, and what was to become larger
    ///   is that until it is closed.
    /// - Those of [`Lvol::size`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Lvol::rename`].
    #[doc(alias = "spdk_lvol_resize")]
    pub async fn resize(&self, size: u64) -> Result<()> {
        let target = self.store().clone();
        let clusters = size.div_ceil(target.cluster_size());
        let call = move |blob: *mut sys::spdk_blob, _: *mut (), done, arg| {
            let lock = volumes::lock(&target);
            let Some(raw) = NonNull::new(blob) else {
                unreachable!("a volume that is held is open");
            };
            let then = move |rc| {
                report(done, arg, rc);
                drop(lock);
            };
            // SAFETY: the operation keeps the blob open until its callback, and this is the metadata thread.
            unsafe { store::resize(&target, RawBlob::new(raw), clusters, then) };
        };
        let at = || At::new("spdk_blob_resize", self);
        let hold = |caller: Caller<'_>| Ok((self.hold(caller)?, ()));
        // SAFETY: `report` is called once.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// Has it refuse everything but reads, from now on and for ever.
    ///
    /// It is durable when this returns. Does what `spdk_lvol_set_read_only` does, which no public header has.
    ///
    /// # Errors
    ///
    /// Those of [`Blob::sync`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Lvol::rename`], but that a future that is dropped may leave it to take effect when it is closed.
    #[doc(alias = "spdk_lvol_set_read_only")]
    pub async fn set_read_only(&self) -> Result<()> {
        self.blob.set_read_only().await?;
        self.blob.sync().await
    }

    /// Writes what was not synced, closes it, and waits for that.
    ///
    /// Wraps `spdk_lvol_close`. Dropping it does the same, without waiting.
    ///
    /// # Errors
    ///
    /// - `EIO`: the device did not write it. It is closed all the same. What was not synced is kept for who opens the volume
    ///   next, and is written, or lost, when the store is unloaded; until then it cannot be destroyed by its name.
    /// - `EBUSY`: I/O is in flight on it, by this handle. It is closed in the background when that has ended.
    /// - [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the one that
    ///   opened it, and [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed. It is dropped
    ///   then too.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped closes it too.
    #[doc(alias = "spdk_lvol_close")]
    pub async fn close(self) -> Result<()> {
        self.blob.close_by("spdk_lvol_close").await
    }

    /// Closes it, and destroys it with what it has, unless it is open elsewhere.
    ///
    /// A snapshot with one clone gives that what it has; see [`LvolStore::destroy_lvol`] for one that has another size. It
    /// waits for calls that copy or resize volumes of the store.
    ///
    /// Wraps `spdk_lvol_destroy`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: it is open elsewhere, or has more than one clone, and is closed only; or I/O is in flight on it, by this
    ///   handle, and it is destroyed in the background when that has ended.
    /// - `ENOTSUP`: its one clone has another size, and it is closed only.
    /// - `EIO`: the device did not write what was not synced, and it is closed only; or as for [`LvolStore::destroy_lvol`].
    /// - [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the one that
    ///   opened it, and [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed. It is only dropped
    ///   then.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before its first poll closes the volume only. One that is dropped later abandons the call
    /// but does not stop it.
    #[doc(alias = "spdk_lvol_destroy")]
    pub async fn destroy(self) -> Result<()> {
        // Of one that belongs elsewhere, nothing more is known than that it is not wanted here.
        self.blob.num_clusters()?;
        self.blob.doom();
        self.blob.close_by("spdk_lvol_destroy").await
    }
}

unsafe extern "C" fn add_clone(arg: *mut c_void, lvol: *mut sys::spdk_lvol) -> c_int {
    crate::panic::guard("clone of a volume", || {
        // SAFETY: the context of the one call, which `Lvol::clones` has made for it and waits for.
        let ids = unsafe { &*arg.cast::<RefCell<Vec<BlobId>>>().cast_const() };
        if let Some(lvol) = NonNull::new(lvol) {
            // SAFETY: the volume exists, and this is the metadata thread.
            let id = unsafe { layout::volume(lvol) }.blob_id;
            ids.borrow_mut().push(BlobId::new(id));
        }
        0
    })
}

/// A volume that was just made, and is destroyed again if nobody hears of it.
pub(super) struct NewLvol(Option<Lvol>);

impl NewLvol {
    pub(super) fn of(
        hold: &StoreHold,
        opened: std::result::Result<Opened, Fault>,
    ) -> std::result::Result<Self, Fault> {
        // SAFETY: it was made and opened for us.
        let lvol = unsafe { Lvol::adopt(opened?, hold.part()) }?;
        Ok(NewLvol(Some(lvol)))
    }

    pub(super) fn keep(mut self) -> Lvol {
        match self.0.take() {
            Some(lvol) => lvol,
            None => unreachable!("it is taken once"),
        }
    }
}

impl Drop for NewLvol {
    fn drop(&mut self) {
        if let Some(lvol) = &self.0 {
            lvol.blob.doom();
        }
    }
}

impl Describe for Lvol {
    fn describe(&self) -> String {
        self.blob.describe()
    }
}

impl fmt::Debug for Lvol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lvol").field(&self.blob.id()).finish()
    }
}
