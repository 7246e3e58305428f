//! Snapshots and clones.
#![allow(unsafe_code)] // Calls what is at home on the metadata thread, there.

use std::ffi::{c_int, c_void};
use std::iter;
use std::sync::Arc;

use super::blobs::NewBlob;
use super::blobstore::Blobstore;
use super::calls::{Then, called, called_with_id, context, context_with_id};
use super::copies::{Copied, copy_clusters, without_io};
use super::handle::{BlobObject, Errnos, Made, report, report_id};
use super::id::BlobId;
use super::remote::metadata;
use super::room::{New, find_room};
use super::store::{RawBlob, Store, Use, close_at_once, open};
use super::xattrs::{CXattrs, Xattrs};
use crate::error::{At, Fault, Result};
use crate::generated::blob::{BlobOpComplete, BlobOpWithIdComplete};
use crate::handle::{Hold, Subject};
use crate::local::Caller;
use crate::op::status;
use crate::{Errno, sys};

/// A C function that makes a blob from another one.
type Make = unsafe extern "C" fn(
    *mut sys::spdk_blob_store,
    sys::spdk_blob_id,
    *const sys::spdk_blob_xattr_opts,
    sys::spdk_blob_op_with_id_complete,
    *mut c_void,
);

/// A C function that copies what a blob has of its parent.
type Copy = unsafe extern "C" fn(
    *mut sys::spdk_blob_store,
    *mut sys::spdk_io_channel,
    sys::spdk_blob_id,
    sys::spdk_blob_op_complete,
    *mut c_void,
);

impl Blobstore {
    /// Makes a snapshot of a blob: a read-only blob with what it has now, and with the attributes `xattrs`.
    ///
    /// The blob is synced, and is a thin clone of the snapshot from then on. It may be open, and I/O in flight on it. SPDK
    /// loses clusters that it is given beside it: so the snapshot begins when no I/O is in flight on the store, on any
    /// spdk_thread, and what comes meanwhile waits for its end.
    ///
    /// A process or machine that ends in the middle of a snapshot of a blob that is a clone already may leave a store with
    /// which SPDK 26.01 crashes when it is loaded, and so may a device that fails then. SPDK crashes at once if it cannot write
    /// the metadata of the snapshot of a blob that depends on another one or on an external snapshot.
    ///
    /// Wraps `spdk_bs_create_snapshot`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the blob is read-only. `EBUSY`: another snapshot, resize or delete of it has not ended. `ENOMEM`: there is no
    /// page for its metadata, or too many calls are in flight. And those of [`Blobstore::open_blob`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::create_blob`].
    #[doc(alias = "spdk_bs_create_snapshot")]
    pub async fn create_snapshot(&self, id: BlobId, xattrs: &Xattrs) -> Result<BlobId> {
        let make = sys::spdk_bs_create_snapshot;
        self.make("spdk_bs_create_snapshot", make, New::Snapshot, id, xattrs)
            .await
    }

    /// Makes a clone of a read-only blob: a thin blob that reads as that, until it is written, with the attributes
    /// `xattrs`.
    ///
    /// SPDK 26.01 crashes if its device fails to write the metadata of the clone, or to read them back.
    ///
    /// Wraps `spdk_bs_create_clone`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the blob is not read-only. `EBUSY`: another snapshot, clone, resize or delete of it has not ended. `ENOMEM`:
    /// there is no page for its metadata. And those of [`Blobstore::open_blob`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::create_blob`].
    #[doc(alias = "spdk_bs_create_clone")]
    pub async fn create_clone(&self, id: BlobId, xattrs: &Xattrs) -> Result<BlobId> {
        let make = sys::spdk_bs_create_clone;
        self.make("spdk_bs_create_clone", make, New::Clone, id, xattrs)
            .await
    }

    async fn make(
        &self,
        operation: &'static str,
        make: Make,
        new: New,
        id: BlobId,
        xattrs: &Xattrs,
    ) -> Result<BlobId> {
        let at = || At::new(operation, self);
        let hold = |_: Caller<'_>| {
            let xattrs = CXattrs::new(xattrs)?;
            Ok((self.hold()?.0, (xattrs.raw(), xattrs)))
        };
        let store = self.store().clone();
        let call = move |bs, kept: *mut (sys::spdk_blob_xattr_opts, CXattrs), done: Made, arg| {
            let change = store.change();
            let made = move |new, rc| {
                report_id(done, arg, new, rc);
                drop(change);
            };
            // SAFETY: the operation keeps the attributes.
            let (target, sizes) = (store.clone(), unsafe { (*kept).1.sizes() });
            let begin = move |made: Box<dyn FnOnce((sys::spdk_blob_id, c_int))>| {
                let make = move |room| match room {
                    Ok((part, blob)) => {
                        let made = context_with_id(move |new, rc| {
                            close_at_once(part, blob, move |_| made((new, rc)));
                        });
                        // SAFETY: the store is loaded, and this is its metadata thread. It calls back once; the operation
                        // keeps the attributes, and what they point to.
                        unsafe {
                            make(
                                bs,
                                id.get(),
                                &raw const (*kept).0,
                                Some(called_with_id),
                                made,
                            )
                        };
                    }
                    Err(rc) => made((0, rc)),
                };
                // SAFETY: as above.
                unsafe { find_room(&target, id, new, sizes, make) };
            };
            match new {
                New::Clone => begin(Box::new(|(new, rc)| made(new, rc))),
                New::Snapshot => {
                    let then = move |result: std::result::Result<_, c_int>| {
                        let (new, rc) = result.unwrap_or_else(|rc| (0, rc));
                        made(new, rc);
                    };
                    // SAFETY: as above.
                    unsafe { without_io(store, begin, then) };
                }
            }
        };
        // SAFETY: `report_id` is called once.
        let new = unsafe { metadata::<BlobOpWithIdComplete, _, _, _>(at, hold, call, NewBlob::of) };
        Ok(new.await?.keep())
    }

    /// The clones of a snapshot.
    ///
    /// Wraps `spdk_blob_get_clones`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blobstore::super_blob`].
    #[doc(alias = "spdk_blob_get_clones")]
    pub async fn clones(&self, id: BlobId) -> Result<Vec<BlobId>> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        self.visit("spdk_blob_get_clones", move |bs| unsafe { clones(bs, id) })
            .await
    }

    /// The snapshot that a blob depends on, if there is one.
    ///
    /// Wraps `spdk_blob_get_parent_snapshot`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blobstore::super_blob`].
    #[doc(alias = "spdk_blob_get_parent_snapshot")]
    pub async fn parent(&self, id: BlobId) -> Result<Option<BlobId>> {
        let read = move |bs| {
            // SAFETY: the store is loaded, and this is its metadata thread.
            let parent = unsafe { sys::spdk_blob_get_parent_snapshot(bs, id.get()) };
            Ok(BlobId::from_c(parent))
        };
        self.visit("spdk_blob_get_parent_snapshot", read).await
    }

    /// Gives a blob all of its clusters, with what it has of its parents, so that it depends on none and is not thin
    /// any more.
    ///
    /// SPDK does not survive some I/O beside it. So the blob gets each cluster while no I/O is in flight on the store, on any
    /// spdk_thread: what comes meanwhile, also for other blobs, waits until that cluster is written, and goes on before the next
    /// one. A blob that is read-only gets all of them at once. One blob is copied after the other.
    ///
    /// Wraps `spdk_bs_inflate_blob`.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: there are not enough free clusters. `EBUSY`: another call has it locked. `ENODEV`: the device was removed
    /// meanwhile, or the metadata thread ends. And those of [`Blobstore::open_blob`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_inflate_blob")]
    pub async fn inflate_blob(&self, id: BlobId) -> Result<()> {
        const CALL: &str = "spdk_bs_inflate_blob";
        self.copy(CALL, sys::spdk_bs_inflate_blob, id, None).await
    }

    /// Gives a blob what it has of its parent, so that it depends on the parent of that, or on none. It stays thin.
    ///
    /// Wraps `spdk_bs_blob_decouple_parent`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it has no parent, or is larger than that, for which SPDK has no bounds; [`Blobstore::inflate_blob`]
    /// helps, and it does for `ENOENT` too: its parent depends on an external snapshot, which SPDK 26.01 does not hand
    /// down. And those of [`Blobstore::inflate_blob`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_blob_decouple_parent")]
    pub async fn decouple_parent(&self, id: BlobId) -> Result<()> {
        const CALL: &str = "spdk_bs_blob_decouple_parent";
        let parent = self.parent(id).await?;
        let copy = sys::spdk_bs_blob_decouple_parent;
        self.copy(CALL, copy, id, Some(parent)).await
    }

    /// With `parent`, it is refused unless that is its parent, and as large; or unless it has none.
    async fn copy(
        &self,
        operation: &'static str,
        copy: Copy,
        id: BlobId,
        parent: Option<Option<BlobId>>,
    ) -> Result<()> {
        // Of one that is open, SPDK begins to copy at once.
        let blob = self.open_blob(id, None).await?;
        let is_decoupled = parent.is_some();
        let parent = match parent.flatten() {
            Some(parent) => Some(self.open_blob(parent, None).await?),
            None => None,
        };
        let at = || At::new(operation, self);
        let hold = |caller: Caller<'_>| {
            let parent = match &parent {
                Some(parent) => Some(parent.handle().hold(caller)?),
                None => None,
            };
            Ok((self.hold()?.0, (blob.handle().hold(caller)?, parent)))
        };
        let store = self.store().clone();
        let call = move |bs, held: *mut (Hold<BlobObject>, Option<Hold<BlobObject>>), done, arg| {
            let copy = move |channel, ended: Then| {
                // SAFETY: the operation holds the blobs until its callback. The store is loaded, this is its metadata
                // thread, and the channel stays until the callback, which comes once.
                unsafe { copy(bs, channel, id.get(), Some(called), context(ended)) };
            };
            let change = store.change();
            let then = move |rc| {
                report(done, arg, rc);
                drop(change);
            };
            // SAFETY: as above.
            unsafe {
                let (blob, parent) = &*held;
                let parent = is_decoupled.then_some(parent.as_ref());
                copy_clusters(store, Copied { blob, parent }, copy, then);
            }
        };
        // SAFETY: `report` is called once, and the callback keeps what C uses.
        let copied =
            unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }
                .await;
        let closed = blob.close().await;
        copied.and(closed)
    }

    /// Makes a snapshot the parent of a blob, which reads as that where it has no clusters of its own.
    ///
    /// The blob is thin, or a clone already, and has the size of the snapshot. Either both have an extent table or none has,
    /// see [`BlobOpts::use_extent_table`](super::BlobOpts::use_extent_table): otherwise SPDK 26.01 loses what the snapshot
    /// gives the blob when it is deleted.
    ///
    /// Wraps `spdk_bs_blob_set_parent`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the snapshot is none, or depends on the blob itself, the sizes differ, or the blob is neither thin nor a
    /// clone. `EEXIST`: it is its parent already. `EIO`: the device failed; it is its parent all the same, which the next
    /// sync makes durable. And those of [`Blobstore::open_blob`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_blob_set_parent")]
    pub async fn set_parent(&self, id: BlobId, snapshot: BlobId) -> Result<()> {
        let store = self.store().clone();
        let call = move |bs, done: Errnos, arg| {
            let set = move |done, arg| {
                // SAFETY: the store is loaded, and this is its metadata thread. It calls back once.
                unsafe { sys::spdk_bs_blob_set_parent(bs, id.get(), snapshot.get(), done, arg) };
            };
            // SAFETY: as above.
            unsafe { set_parent(&store, id, snapshot, set, move |rc| report(done, arg, rc)) };
        };
        // SAFETY: `report` is called once.
        unsafe { self.change("spdk_bs_blob_set_parent", call) }.await
    }
}

/// Makes a snapshot the parent of a blob: with `set`, which is given what it has to call with the errno of that, negative,
/// or 0. `then` gets it too.
///
/// SPDK does not look whether the snapshot depends on the blob, and does not survive the first read if it does. So this
/// looks, and nothing else begins until it is done.
///
/// If the metadata of the blob cannot be written, the snapshot is its parent all the same, but SPDK closes the snapshot that
/// the blob reads then. So this has it open once more; and it has the next sync of the blob write that.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread. `set` calls back once.
pub(super) unsafe fn set_parent(
    store: &Arc<Store>,
    id: BlobId,
    snapshot: BlobId,
    set: impl FnOnce(Errnos, *mut c_void) + 'static,
    then: impl FnOnce(c_int) + 'static,
) {
    let target = store.clone();
    let parent_of = move |of: &BlobId| {
        // SAFETY: passed on.
        BlobId::from_c(unsafe { sys::spdk_blob_get_parent_snapshot(target.as_ptr(), of.get()) })
    };
    if iter::successors(Some(snapshot), &parent_of).any(|parent| parent == id) {
        return then(-libc::EINVAL);
    }
    if parent_of(&id) == Some(snapshot) {
        return then(-libc::EEXIST);
    }
    let alone = store.alone();
    let then = move |rc| {
        then(rc);
        drop(alone);
    };
    let opened = move |opened| {
        let (blob, parent): (Opened, Opened) = match opened {
            Ok(both) => both,
            Err(rc) => return then(rc),
        };
        let ended = context(move |rc| {
            let close = move |_| close_at_once(blob.0, blob.1, move |_| then(rc));
            if rc == 0 || parent_of(&id) != Some(snapshot) {
                return close_at_once(parent.0, parent.1, close);
            }
            parent.0.store().has_not_written(id);
            close(0); // what SPDK has closed is the blob's, and `parent` is what it has instead
        });
        set(Some(called), ended);
    };
    // SAFETY: passed on.
    unsafe { open_both(store.clone(), id, snapshot, opened) };
}

type Opened = (Use, RawBlob);

/// Opens a blob that is thin, and the one that is to be its parent; or `then` gets the errno, negative, that SPDK would give.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread.
unsafe fn open_both(
    store: Arc<Store>,
    id: BlobId,
    parent: BlobId,
    then: impl FnOnce(std::result::Result<(Opened, Opened), c_int>) + 'static,
) {
    let target = store.clone();
    let opened = move |blob| {
        let blob: Opened = match blob {
            Ok(blob) => blob,
            Err(rc) => return then(Err(rc)),
        };
        // SAFETY: the blob is open.
        if !unsafe { sys::spdk_blob_is_thin_provisioned(blob.1.ptr.as_ptr()) } {
            return close_at_once(blob.0, blob.1, move |_| then(Err(-libc::EINVAL)));
        }
        let opened = move |parent| match parent {
            Ok(parent) => then(Ok((blob, parent))),
            Err(rc) => close_at_once(blob.0, blob.1, move |_| then(Err(rc))),
        };
        // SAFETY: passed on.
        unsafe { open(&target, parent, opened) };
    };
    // SAFETY: passed on.
    unsafe { open(&store, id, opened) };
}

/// # Safety
/// The store is loaded, and this is its metadata thread.
pub(super) unsafe fn clones(
    bs: *mut sys::spdk_blob_store,
    id: BlobId,
) -> std::result::Result<Vec<BlobId>, Fault> {
    let mut count = 0;
    // SAFETY: passed on; without a place for IDs it tells their number.
    let rc = unsafe { sys::spdk_blob_get_clones(bs, id.get(), std::ptr::null_mut(), &mut count) };
    if rc == 0 || count == 0 {
        return Ok(Vec::new());
    }
    let mut ids: Vec<sys::spdk_blob_id> = vec![0; count];
    // SAFETY: passed on; there is a place for so many.
    let rc = unsafe { sys::spdk_blob_get_clones(bs, id.get(), ids.as_mut_ptr(), &mut count) };
    match rc {
        0 => Ok(ids.into_iter().take(count).map(BlobId::new).collect()),
        rc => Err(Fault::errno(Errno::from_code(rc))),
    }
}
