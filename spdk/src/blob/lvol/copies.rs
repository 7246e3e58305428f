//! Snapshots and clones of volumes, and what they have of each other.
#![allow(unsafe_code)] // Calls what is at home on the metadata thread, there.

use std::ffi::{CString, c_int, c_void};
use std::future::Future;
use std::ptr;
use std::sync::Arc;

use super::super::blobstore::Blobstore;
use super::super::calls::{Then, called, called_with, context, context_with};
use super::super::copies::{Copied, copy_clusters, without_io};
use super::super::device::{self, Device};
use super::super::external::give;
use super::super::handle::{Blob, BlobObject, report};
use super::super::remote::{StoreHold, metadata};
use super::super::room::{New, find_room};
use super::super::shallow_copy::{Progress, ShallowCopy, check, on_progress};
use super::super::snapshots::set_parent;
use super::super::store::close_at_once;
use super::super::xattrs::XATTR;
use super::esnap::Esnap;
use super::handle::{Lvol, NewLvol};
use super::options::checked;
use super::store::{OpenedBack, OpenedFn};
use super::volumes;
use crate::error::{At, Fault, Result};
use crate::generated::blob::BlobOpComplete;
use crate::handle::{Hold, Subject};
use crate::local::Caller;
use crate::op::status;
use crate::{Errno, sys};

/// What C calls at an end.
type Ended = sys::spdk_lvol_op_complete;

/// A C function that ends with a status.
type Call = unsafe extern "C" fn(*mut sys::spdk_lvol, sys::spdk_lvol_op_complete, *mut c_void);

/// A C function that makes a volume from another one.
type Make = unsafe extern "C" fn(
    *mut sys::spdk_lvol,
    *const std::ffi::c_char,
    sys::spdk_lvol_op_with_handle_complete,
    *mut c_void,
);

/// How much of a page of metadata the name and the UUID of a volume take.
pub(super) fn xattrs() -> Vec<usize> {
    let name = XATTR + "name".len() + sys::SPDK_LVOL_NAME_MAX as usize;
    let uuid = XATTR + "uuid".len() + sys::SPDK_UUID_STRING_LEN as usize;
    vec![name, uuid]
}

impl Lvol {
    /// Makes a snapshot of it, and opens that: a read-only volume with what it has now.
    ///
    /// The volume is synced, and is a thin clone of the snapshot from then on. I/O may be in flight on it: the snapshot begins
    /// when none is on the store, and what comes meanwhile waits, as for
    /// [`Blobstore::create_snapshot`](crate::blob::Blobstore::create_snapshot).
    ///
    /// SPDK 26.01 crashes if the device fails in the middle of a snapshot of a volume that depends on another one or on a
    /// bdev, or when the store is loaded again.
    ///
    /// Wraps `spdk_lvol_create_snapshot`.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: the store has a volume of this name.
    /// - `EINVAL`: the volume is read-only.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the name is empty or too long, or has a NUL.
    /// - `EBUSY`: another call has it locked.
    /// - `ENOMEM`: there is no page for its metadata, or too many calls are in flight.
    /// - `EIO`: the device failed.
    /// - Those of [`Lvol::size`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it: the
    /// snapshot is made, and destroyed again, unless somebody else has opened it by then. Of one that is forgotten it stays.
    ///
    /// # Thread
    ///
    /// The one that opened it, which the snapshot belongs to as well.
    #[doc(alias = "spdk_lvol_create_snapshot")]
    pub async fn create_snapshot(&self, name: &str) -> Result<Lvol> {
        const CALL: &str = "spdk_lvol_create_snapshot";
        let make = sys::spdk_lvol_create_snapshot;
        self.make(CALL, make, New::Snapshot, name).await
    }

    /// Makes a clone of it, which is read-only, and opens that: a thin volume that reads as this one, until it is written.
    ///
    /// SPDK 26.01 crashes if its device fails to write the metadata of the clone, or to read it back.
    ///
    /// Wraps `spdk_lvol_create_clone`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the volume is not read-only. And those of [`Lvol::create_snapshot`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Lvol::create_snapshot`].
    #[doc(alias = "spdk_lvol_create_clone")]
    pub async fn create_clone(&self, name: &str) -> Result<Lvol> {
        let make = sys::spdk_lvol_create_clone;
        self.make("spdk_lvol_create_clone", make, New::Clone, name)
            .await
    }

    async fn make(
        &self,
        operation: &'static str,
        make: Make,
        new: New,
        name: &str,
    ) -> Result<Lvol> {
        let (target, volume, id) = (self.store().clone(), self.volume(), self.blob().id());
        let hold = |caller: Caller<'_>| {
            let name = checked(name, "the name of a volume")?;
            // The new one keeps the store itself.
            let part = StoreHold::new(self.store().enter()?)?;
            Ok((part, (self.hold(caller)?, name)))
        };
        let call = move |_, kept: *mut (Hold<BlobObject>, CString), done: OpenedFn, arg| {
            let turn = volumes::turn(&target);
            let then = move |result| {
                // SAFETY: the context came with the function, and this is the one call.
                unsafe { done(arg, result) };
                drop(turn);
            };
            let store = target.clone();
            let made = move |lvol, rc| {
                // SAFETY: the store is loaded, and this is its metadata thread, in turn.
                unsafe { volumes::made(&target, lvol, rc, Box::new(then)) }
            };
            let room_of = store.clone();
            let begin = move |made: Box<dyn FnOnce((*mut sys::spdk_lvol, c_int))>| {
                let make = move |context| {
                    // SAFETY: the operation keeps the name, and the volume open. No other call gives a name meanwhile. It
                    // copies the name, and calls back once, also with an error before it has begun.
                    unsafe {
                        make(
                            volume.as_ptr(),
                            (*kept).1.as_ptr(),
                            Some(called_with),
                            context,
                        )
                    };
                };
                let make = move |room| match room {
                    Ok((part, blob)) => make(context_with(move |lvol, rc| {
                        close_at_once(part, blob, move |_| made((lvol, rc)));
                    })),
                    Err(rc) => made((ptr::null_mut(), rc)),
                };
                // SAFETY: as above.
                unsafe { find_room(&room_of, id, new, xattrs(), make) };
            };
            match new {
                New::Clone => begin(Box::new(|(lvol, rc)| made(lvol, rc))),
                New::Snapshot => {
                    let then = move |result: std::result::Result<_, c_int>| {
                        let (lvol, rc) = result.unwrap_or_else(|rc| (ptr::null_mut(), rc));
                        made(lvol, rc);
                    };
                    // SAFETY: as above.
                    unsafe { without_io(store, begin, then) };
                }
            }
        };
        let at = || At::new(operation, self);
        // SAFETY: `then` is called once, and the operation keeps what C uses.
        let new = unsafe { metadata::<OpenedBack, _, _, _>(at, hold, call, NewLvol::of) };
        Ok(new.await?.keep())
    }

    /// Gives it all of its clusters, with what it has of its parents, so that it depends on none and is not thin any more.
    ///
    /// I/O on the store waits for it as for [`Blobstore::inflate_blob`](crate::blob::Blobstore::inflate_blob).
    ///
    /// Wraps `spdk_lvol_inflate`.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: there are not enough free clusters.
    /// - `EBUSY`: another call has it locked.
    /// - `ENOMEM`: too many calls are in flight.
    /// - `EIO`: the device failed.
    /// - `ENODEV`: the device was removed meanwhile, or the metadata thread ends.
    /// - Those of [`Lvol::size`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Lvol::rename`].
    #[doc(alias = "spdk_lvol_inflate")]
    pub async fn inflate(&self) -> Result<()> {
        let call = sys::spdk_lvol_inflate;
        self.copied("spdk_lvol_inflate", call, None).await
    }

    /// Gives it what it has of its parent, so that it depends on the parent of that, or on none. It stays thin, unless its
    /// parent is a bdev: then this does what [`Lvol::inflate`] does.
    ///
    /// Wraps `spdk_lvol_decouple_parent`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: it has no parent, or is larger than that, for which SPDK has no bounds.
    /// - `ENOENT`: its parent depends on a bdev, which SPDK 26.01 does not hand down. It has got what its parent has, and
    ///   depends on that still; [`Lvol::inflate`] helps.
    /// - Those of [`Lvol::inflate`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call: it does not begin, or it
    /// is not stopped.
    ///
    /// # Thread
    ///
    /// As for [`Lvol::rename`].
    #[doc(alias = "spdk_lvol_decouple_parent")]
    pub async fn decouple_parent(&self) -> Result<()> {
        let call = sys::spdk_lvol_decouple_parent;
        let blobs = Blobstore::of(self.store().clone());
        let parent = match blobs.parent(self.blob().id()).await? {
            Some(parent) => Some(blobs.open_blob(parent, None).await?),
            None => None,
        };
        self.copied("spdk_lvol_decouple_parent", call, Some(parent))
            .await
    }

    /// With `parent`, it is refused unless that is its parent, and as large; or unless it has none.
    async fn copied(
        &self,
        operation: &'static str,
        f: Call,
        parent: Option<Option<Blob>>,
    ) -> Result<()> {
        let is_decoupled = parent.is_some();
        let parent = parent.flatten();
        let volume = self.volume();
        let store = self.store().clone();
        let call =
            move |held: *mut (Hold<BlobObject>, Option<Hold<BlobObject>>), done: Ended, arg| {
                let copy = move |_, ended: Then| {
                    // SAFETY: the operation keeps the blobs open until its callback, and with its blob the volume. This is the
                    // metadata thread. It calls back once, also with an error before it has begun.
                    unsafe { f(volume.as_ptr(), Some(called), context(ended)) };
                };
                let then = move |rc| {
                    if let Some(done) = done {
                        // SAFETY: it is the callback of the operation, which is called once.
                        unsafe { done(arg, rc) }
                    }
                };
                // SAFETY: the operation keeps the store loaded, and this is its metadata thread.
                unsafe {
                    let (blob, parent) = &*held;
                    let parent = is_decoupled.then_some(parent.as_ref());
                    copy_clusters(store, Copied { blob, parent }, copy, then);
                }
            };
        let hold = |caller: Caller<'_>| {
            let parent = match &parent {
                Some(parent) => Some(parent.handle().hold(caller)?),
                None => None,
            };
            let blob = self.hold(caller)?;
            Ok((self.hold(caller)?, (blob, parent)))
        };
        // SAFETY: as above.
        unsafe { self.lock(operation, hold, call) }.await
    }

    /// # Safety
    /// `f` passes the callback and its context to one call, which calls back once and touches nothing after that which
    /// neither the volume nor `hold` keeps; it runs on the metadata thread.
    unsafe fn lock<X: 'static>(
        &self,
        operation: &'static str,
        hold: impl FnOnce(Caller<'_>) -> std::result::Result<(Hold<BlobObject>, X), Fault>,
        f: impl FnOnce(*mut X, sys::spdk_lvol_op_complete, *mut c_void) + Send + 'static,
    ) -> impl Future<Output = Result<()>> {
        let target = self.store().clone();
        let call = move |_, kept: *mut X, done, arg| {
            let lock = volumes::lock(&target);
            let ended = context(move |rc| {
                report(done, arg, rc);
                drop(lock);
            });
            f(kept, Some(called), ended);
        };
        let at = move || At::new(operation, self);
        // SAFETY: `report` is called once, and the caller promises the rest.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }
    }

    /// Makes a snapshot of the same store its parent, as which it reads where it has no clusters of its own.
    ///
    /// It is thin, or a clone already, and has the size of the snapshot.
    ///
    /// Wraps `spdk_lvol_set_parent`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the snapshot is none, or depends on the volume itself, or is one of another store, the sizes differ, or the
    /// volume is neither thin nor a clone. `EEXIST`: it is its parent already. And those of [`Lvol::inflate`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Lvol::rename`].
    #[doc(alias = "spdk_lvol_set_parent")]
    pub async fn set_parent(&self, snapshot: &Lvol) -> Result<()> {
        let (volume, parent) = (self.volume(), snapshot.volume());
        let hold = |caller: Caller<'_>| {
            if !Arc::ptr_eq(self.store(), snapshot.store()) {
                return Err(Fault::invalid("the snapshot is one of another store"));
            }
            Ok((self.hold(caller)?, snapshot.hold(caller)?))
        };
        let (store, id, parent_id) = (self.store().clone(), self.blob().id(), snapshot.blob().id());
        let call = move |_: *mut Hold<BlobObject>, done, arg| {
            let set = move |done, arg| {
                // SAFETY: the operation keeps both volumes open, and this is their metadata thread. It calls back once.
                unsafe { sys::spdk_lvol_set_parent(volume.as_ptr(), parent.as_ptr(), done, arg) };
            };
            // SAFETY: as above.
            unsafe { set_parent(&store, id, parent_id, set, move |rc| report(done, arg, rc)) };
        };
        // SAFETY: as above.
        unsafe { self.lock("spdk_lvol_set_parent", hold, call) }.await
    }

    /// Makes a bdev its parent, as which it reads where it has no clusters of its own; see
    /// [`LvolStore::create_esnap_clone`](super::LvolStore::create_esnap_clone).
    ///
    /// It is thin, or a clone already.
    ///
    /// Wraps `spdk_bs_blob_set_external_parent`, as `spdk_lvol_set_external_parent` does; but that destroys the device of the
    /// bdev when the volume has got it and its metadata could not be written, and SPDK 26.01 crashes then.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the size of the bdev is no multiple of that of a cluster, the volume is neither thin nor a clone, or
    ///   the bdev is the volume itself.
    /// - `EEXIST`: it is its parent already.
    /// - `EIO`: the device of the store failed; the bdev is its parent until it is closed.
    /// - [`ErrorKind::NoSuchBdev`](crate::ErrorKind::NoSuchBdev): no bdev has this name.
    /// - Those of [`Lvol::inflate`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Lvol::rename`].
    #[doc(alias = "spdk_lvol_set_external_parent")]
    pub async fn set_external_parent(&self, bdev: &str) -> Result<()> {
        const CALL: &str = "spdk_bs_blob_set_external_parent";
        let esnap = Esnap::of(bdev, self.blob().io_unit_size())?;
        if self.uuid().is_some_and(|uuid| esnap.is_of(uuid)) {
            return Err(Fault::errno(Errno::EINVAL).at(At::new(CALL, self)));
        }
        let (store, id) = (self.store().clone(), self.blob().id());
        let hold = |caller: Caller<'_>| Ok((self.hold(caller)?, (self.hold(caller)?, esnap)));
        let call = move |_, kept: *mut (Hold<BlobObject>, Esnap), done, arg| {
            // SAFETY: the operation keeps the ID, which is copied, and the volume open. This is the metadata thread.
            let (blob, esnap) = unsafe { ((*kept).0.as_ptr(), &(*kept).1) };
            let dev = match esnap.device() {
                Ok(dev) => dev.as_ptr(),
                Err(errno) => return report(done, arg, -errno.code()),
            };
            let target = store.clone();
            let set = move |done, arg| {
                // Not before, since this waits for those that have it.
                let lock = volumes::lock(&store);
                let ended = context(move |rc| {
                    report(done, arg, rc);
                    drop(lock);
                });
                let (bs, bytes) = (store.as_ptr(), esnap.bytes());
                let (bytes, length) = (bytes.as_ptr().cast(), bytes.len() as u32);
                // SAFETY: as above; it calls back once.
                unsafe {
                    sys::spdk_bs_blob_set_external_parent(
                        bs,
                        id.get(),
                        dev,
                        bytes,
                        length,
                        Some(called),
                        ended,
                    );
                }
            };
            // SAFETY: as above; the device was just made.
            unsafe { give(&target, blob, dev, set, move |rc| report(done, arg, rc)) };
        };
        let at = || At::new(CALL, self);
        // SAFETY: `report` is called once, and the operation keeps what C uses.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// Copies the clusters that it has itself, not those of its parents, to the same places of a bdev. It is read-only.
    ///
    /// The bdev has the block size of the store, and at least the size of the volume. It is opened for writing and claimed
    /// meanwhile. What it has elsewhere stays.
    ///
    /// Wraps `spdk_lvol_shallow_copy`.
    ///
    /// # Errors
    ///
    /// The stream ends with the one that there is:
    ///
    /// - `EPERM`: the volume is not read-only, or somebody else has claimed the bdev.
    /// - `EINVAL`: the bdev is too small, or has another block size.
    /// - [`ErrorKind::NoSuchBdev`](crate::ErrorKind::NoSuchBdev): no bdev has this name.
    /// - Those of [`Lvol::inflate`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A stream that is dropped later abandons the copy but does not stop it.
    ///
    /// # Thread
    ///
    /// The one that opened it.
    #[doc(alias = "spdk_lvol_shallow_copy")]
    pub fn shallow_copy<'a>(&'a self, bdev: &str) -> ShallowCopy<'a> {
        let bdev: Box<str> = bdev.into();
        ShallowCopy::of(move |progress| self.copy(bdev, progress))
    }

    async fn copy(&self, bdev: Box<str>, progress: Arc<Progress>) -> Result<()> {
        let (volume, name, unit) = (self.volume(), bdev.clone(), self.blob().io_unit_size());
        let cluster_size = self.store().cluster_size();
        let call = move |kept: *mut Hold<BlobObject>, done, arg| {
            let device = match Device::open(&name) {
                Ok(device) => device,
                Err(errno) => return report(done, arg, -errno.code()),
            };
            // SAFETY: the device exists. SPDK takes the block numbers of the store for those of the device.
            if unsafe { (*device.as_ptr()).blocklen } != unit {
                return report(done, arg, -libc::EINVAL);
            }
            let (dev, ctx) = (device.as_ptr(), Arc::as_ptr(&progress).cast_mut().cast());
            // SAFETY: the operation keeps the blob open, and this is its metadata thread. The device exists.
            let checked = unsafe { check((*kept).as_ptr(), cluster_size, dev) };
            if let Err(rc) = checked {
                return report(done, arg, rc);
            }
            let end = context(move |rc| {
                drop((device, progress));
                report(done, arg, rc);
            });
            // SAFETY: the operation keeps the volume open, and this is the metadata thread. `end` keeps the device and the
            // progress until it is called, which is once if the call returns 0.
            unsafe {
                let (status, end_fn) = (Some(on_progress as _), Some(called as _));
                let rc =
                    sys::spdk_lvol_shallow_copy(volume.as_ptr(), dev, status, ctx, end_fn, end);
                if rc != 0 {
                    called(end, rc);
                }
            }
        };
        let hold = |caller: Caller<'_>| Ok((self.hold(caller)?, self.hold(caller)?));
        // SAFETY: as above.
        let end = unsafe { self.lock("spdk_lvol_shallow_copy", hold, call) };
        end.await.map_err(|error| device::told(&bdev, error))
    }
}
