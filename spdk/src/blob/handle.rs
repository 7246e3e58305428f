//! [`Blob`]: open blobs.
#![allow(unsafe_code)] // Owns references to `spdk_blob`s, which the metadata thread closes.

use std::cell::Cell;
use std::ffi::c_int;
use std::fmt;
use std::future::Future;
use std::ptr::NonNull;
use std::sync::Arc;

use super::id::{BlobId, INVALID};
use super::lvol::volumes::Volume;
use super::remote::{Done, Metadata, Part, StoreHold, metadata, visit};
use super::requests::Request;
use super::store::{self, RawBlob, Store, Use};
use super::users;
use crate::channel::IoChannel;
use crate::error::{At, Describe, Fault, Result};
use crate::generated::blob::BlobOpComplete;
use crate::handle::{Handle, Hold, Object, Subject};
use crate::local::{Caller, begin};
use crate::op::{op, status};
use crate::{Errno, sys};

/// An open blob.
///
/// I/O on it goes through a channel of its blobstore, [`Blobstore::alloc_io_channel`](super::Blobstore::alloc_io_channel),
/// in bytes ([`Blob::read`]) or in io units ([`Blob::read_io_units`]). A blob can be open any number of times,
/// so that several spdk_threads can use it: each opens it for itself.
///
/// What changes a blob itself, such as [`Blob::set_xattr`], is seen at once, and durable after [`Blob::sync`],
/// [`Blob::resize`] or [`Blob::close`].
///
/// # Drop
///
/// Dropping it writes what was not synced and closes it, in the background, when what is in flight on it has
/// ended; calls to the blobstore that come after wait for that. An error of it is only logged:
/// [`Blob::close`] reports it. It keeps its blobstore loaded until it is closed.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread that opened it, and so does its I/O. What changes the
/// blob itself runs on the metadata thread, by a message if that is another one.
#[doc(alias = "spdk_blob")]
pub struct Blob(Handle<BlobObject>);

/// One reference to a `spdk_blob`, given back with `spdk_blob_close`.
#[doc(hidden)]
pub enum BlobObject {}

#[doc(hidden)]
pub struct BlobExtra {
    id: BlobId,
    store: Arc<Store>,
    /// If it is that of a volume, which is closed with it.
    volume: Option<Volume>,
    /// Whether the volume is destroyed when it was closed.
    is_doomed: Cell<bool>,
    /// Until it is closed: a handle that is leaked must not keep its store.
    part: Cell<Option<Use>>,
}

impl BlobExtra {
    /// For the call that closes it.
    fn raw(&self, ptr: NonNull<sys::spdk_blob>) -> RawBlob {
        let volume = self.volume.map(|volume| match self.is_doomed.get() {
            true => volume.doomed(),
            false => volume,
        });
        RawBlob { ptr, volume }
    }
}

// SAFETY: the metadata thread closes it, and uses nothing of `Extra`.
unsafe impl Object for BlobObject {
    type C = sys::spdk_blob;
    type Extra = BlobExtra;
    const NAME: &'static str = "Blob";

    unsafe fn release(ptr: NonNull<Self::C>, extra: &Self::Extra) {
        let label = Self::label(extra);
        let is_doomed = extra.is_doomed.get();
        let closed = move |rc| {
            let errno = Errno::from_code(rc);
            if rc != 0 && is_doomed {
                tracing::error!(%label, %errno, "the volume of an abandoned call was not destroyed");
            } else if rc != 0 {
                tracing::error!(%label, %errno, "what was not synced of a dropped blob is lost");
            }
        };
        if let Some(part) = extra.part.take() {
            // SAFETY: this is the one release of the reference. The closure has a text.
            unsafe { store::close(part, extra.raw(ptr), closed) };
        }
    }

    fn label(extra: &Self::Extra) -> String {
        format!("blob {} of {}", extra.id, extra.store.label())
    }
}

impl Part for Hold<BlobObject> {
    type C = sys::spdk_blob;

    fn store(&self) -> &Arc<Store> {
        &self.extra().store
    }

    fn as_ptr(&self) -> *mut Self::C {
        self.as_ptr()
    }
}

/// What is known of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobInfo {
    /// Its ID.
    pub id: BlobId,
    /// Its size in clusters.
    /// `spdk_blob_get_num_clusters`.
    #[doc(alias = "spdk_blob_get_num_clusters")]
    pub num_clusters: u64,
    /// How many clusters of the device it has: fewer than its size, if it is thin.
    /// `spdk_blob_get_num_allocated_clusters`.
    #[doc(alias = "spdk_blob_get_num_allocated_clusters")]
    pub num_allocated_clusters: u64,
    /// Whether nobody can change it.
    /// `spdk_blob_is_read_only`.
    #[doc(alias = "spdk_blob_is_read_only")]
    pub is_read_only: bool,
    /// Whether it is a snapshot that a blob depends on, or has depended on since the store was loaded.
    /// `spdk_blob_is_snapshot`.
    #[doc(alias = "spdk_blob_is_snapshot")]
    pub is_snapshot: bool,
    /// Whether it depends on a snapshot.
    /// `spdk_blob_is_clone`.
    #[doc(alias = "spdk_blob_is_clone")]
    pub is_clone: bool,
    /// Whether it depends on a device outside of its blobstore.
    /// `spdk_blob_is_esnap_clone`.
    #[doc(alias = "spdk_blob_is_esnap_clone")]
    pub is_esnap_clone: bool,
    /// Whether it gets clusters when they are written.
    /// `spdk_blob_is_thin_provisioned`.
    #[doc(alias = "spdk_blob_is_thin_provisioned")]
    pub is_thin_provisioned: bool,
    /// Whether a device that it depends on is not there, so that it takes no I/O.
    /// `spdk_blob_is_degraded`.
    #[doc(alias = "spdk_blob_is_degraded")]
    pub is_degraded: bool,
    /// The snapshot that it depends on; none if it depends on nothing, or on a device outside of its blobstore.
    /// `spdk_blob_get_parent_snapshot`.
    #[doc(alias = "spdk_blob_get_parent_snapshot")]
    pub parent: Option<BlobId>,
}

impl Blob {
    /// Takes ownership of a reference.
    ///
    /// # Safety
    /// It is the caller's, of a blob of this store.
    pub(super) unsafe fn adopt(blob: RawBlob, part: Use) -> std::result::Result<Self, Fault> {
        let RawBlob { ptr: blob, volume } = blob;
        // SAFETY: the blob is open. The ID is never changed.
        let id = BlobId::new(unsafe { sys::spdk_blob_get_id(blob.as_ptr()) });
        let store = part.store().clone();
        let extra = BlobExtra {
            id,
            store,
            volume,
            is_doomed: Cell::new(false),
            part: Cell::new(Some(part)),
        };
        // SAFETY: passed on.
        let handle: Handle<BlobObject> = unsafe { Handle::adopt(blob, extra) }?;
        users::add_blob(&handle.extra().store, &handle);
        Ok(Blob(handle))
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.0.extra().store
    }

    /// The same open blob, which both keep open.
    pub(super) fn share(&self) -> Self {
        Blob(self.0.clone())
    }

    pub(super) fn handle_of(&self) -> &Handle<BlobObject> {
        &self.0
    }

    /// Its ID.
    #[doc(alias = "spdk_blob_get_id")]
    pub fn id(&self) -> BlobId {
        self.0.extra().id
    }

    /// What one io unit has, in bytes: a block of the device.
    #[doc(alias = "spdk_bs_get_io_unit_size")]
    pub fn io_unit_size(&self) -> u32 {
        self.store().io_unit_size()
    }

    /// Its size in clusters, at the moment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the one that opened
    /// it, [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed.
    #[doc(alias = "spdk_blob_get_num_clusters")]
    pub fn num_clusters(&self) -> Result<u64> {
        let blob = self.get("spdk_blob_get_num_clusters")?;
        // SAFETY: the blob is open. It reads a number.
        Ok(unsafe { sys::spdk_blob_get_num_clusters(blob.as_ptr()) })
    }

    /// Its size in io units, at the moment.
    ///
    /// # Errors
    ///
    /// As for [`Blob::num_clusters`].
    #[doc(alias = "spdk_blob_get_num_io_units")]
    pub fn num_io_units(&self) -> Result<u64> {
        let blob = self.get("spdk_blob_get_num_io_units")?;
        // SAFETY: the blob is open. It reads a number.
        Ok(unsafe { sys::spdk_blob_get_num_io_units(blob.as_ptr()) })
    }

    /// Its size in bytes, at the moment.
    ///
    /// # Errors
    ///
    /// As for [`Blob::num_clusters`].
    pub fn size(&self) -> Result<u64> {
        Ok(self.num_io_units()? * u64::from(self.io_unit_size()))
    }

    /// For a call that closes it. The caller uses the store meanwhile.
    pub(super) fn give(&self) -> std::result::Result<RawBlob, Fault> {
        let blob = self.0.take()?;
        self.0.extra().part.take();
        Ok(self.0.extra().raw(blob))
    }

    /// The volume that it is of.
    pub(super) fn volume(&self) -> Option<Volume> {
        self.0.extra().volume
    }

    /// Has its volume destroyed when it is closed.
    pub(super) fn doom(&self) {
        self.0.extra().is_doomed.set(true);
    }

    fn get(&self, operation: &'static str) -> Result<NonNull<sys::spdk_blob>> {
        begin(|caller| self.0.get(caller)).map_err(|fault| fault.at(At::new(operation, self)))
    }

    /// Tells what is known of it; each field of [`BlobInfo`] names the C function that says so.
    ///
    /// # Errors
    ///
    /// As for [`Blob::num_clusters`].
    ///
    /// # Cancellation
    ///
    /// It changes nothing, so that nothing is left of a future that is dropped.
    ///
    /// # Thread
    ///
    /// The one that opened it.
    #[doc(alias = "spdk_blob_get_num_allocated_clusters")]
    #[doc(alias = "spdk_blob_is_snapshot")]
    #[doc(alias = "spdk_blob_is_clone")]
    pub async fn info(&self) -> Result<BlobInfo> {
        let id = self.id();
        let store = self.store().clone();
        let read = move |blob: *mut sys::spdk_blob| {
            // SAFETY: the blob is open, and its store loaded; this is the metadata thread. These calls read.
            unsafe {
                Ok(BlobInfo {
                    id,
                    num_clusters: sys::spdk_blob_get_num_clusters(blob),
                    num_allocated_clusters: sys::spdk_blob_get_num_allocated_clusters(blob),
                    is_read_only: sys::spdk_blob_is_read_only(blob),
                    is_snapshot: sys::spdk_blob_is_snapshot(blob),
                    is_clone: sys::spdk_blob_is_clone(blob),
                    is_esnap_clone: sys::spdk_blob_is_esnap_clone(blob),
                    is_thin_provisioned: sys::spdk_blob_is_thin_provisioned(blob),
                    is_degraded: sys::spdk_blob_is_degraded(blob),
                    parent: BlobId::from_c(sys::spdk_blob_get_parent_snapshot(
                        store.as_ptr(),
                        id.get(),
                    )),
                })
            }
        };
        self.visit("spdk_blob_get_num_allocated_clusters", read)
            .await
    }

    /// The first io unit from `offset` on that has a cluster of the device, if there is one.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::info`].
    #[doc(alias = "spdk_blob_get_next_allocated_io_unit")]
    pub async fn next_allocated_io_unit(&self, offset: u64) -> Result<Option<u64>> {
        const CALL: &str = "spdk_blob_get_next_allocated_io_unit";
        // SAFETY: the blob is open, and this is the metadata thread.
        let find = move |blob| unsafe {
            Ok(in_blob(blob, offset)
                .map(|offset| sys::spdk_blob_get_next_allocated_io_unit(blob, offset)))
        };
        Ok(self.visit(CALL, find).await?.filter(|at| *at != u64::MAX))
    }

    /// The first io unit from `offset` on that has no cluster of the device, if there is one.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::info`].
    #[doc(alias = "spdk_blob_get_next_unallocated_io_unit")]
    pub async fn next_unallocated_io_unit(&self, offset: u64) -> Result<Option<u64>> {
        const CALL: &str = "spdk_blob_get_next_unallocated_io_unit";
        // SAFETY: the blob is open, and this is the metadata thread.
        let find = move |blob| unsafe {
            Ok(in_blob(blob, offset)
                .map(|offset| sys::spdk_blob_get_next_unallocated_io_unit(blob, offset)))
        };
        Ok(self.visit(CALL, find).await?.filter(|at| *at != u64::MAX))
    }

    /// Makes it larger or smaller, to so many clusters. What is cut off is lost.
    ///
    /// It is durable when this returns, and so is what else [`Blob::sync`] writes. I/O beyond the new end is refused
    /// from now on. Calls to the blobstore that come after wait for it.
    ///
    /// I/O may be in flight on it. If it becomes smaller, or larger by more than 512 clusters or when hardly a page of metadata is
    /// left, or is thin, the resize begins when none is on the store, on any spdk_thread, and what comes meanwhile waits for its
    /// end: with SPDK 26.01 alone, a write that began before goes to a cluster that was cut off, which may be another blob's by
    /// then, or corrupts the memory of the process; and the new size or the write may be lost.
    ///
    /// A crash while a blob with an extent table is made smaller may leave a store that SPDK does not load any more.
    /// One that is to become smaller is better made with [`BlobOpts::use_extent_table(false)`](super::BlobOpts::use_extent_table).
    ///
    /// Wraps `spdk_blob_resize` and `spdk_blob_sync_md`: with SPDK alone, a snapshot of a blob that was made smaller
    /// but not synced writes beyond the end of its memory.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: there are not enough free clusters, or pages of metadata for them, and it is not thin; or none can be so
    /// large. `EPERM`: it is read-only. `EBUSY`: another
    /// resize, snapshot or delete of it has not ended. `EIO`: the device did not write it; what was to become smaller
    /// is as large as before, and what was to become larger is that until it is closed. And those of [`Blob::info`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the resize but does not
    /// stop it.
    ///
    /// # Thread
    ///
    /// The one that opened it.
    #[doc(alias = "spdk_blob_resize")]
    pub async fn resize(&self, num_clusters: u64) -> Result<()> {
        let at = || At::new("spdk_blob_resize", self);
        let hold = |caller: Caller<'_>| Ok((self.0.hold(caller)?, ()));
        let store = self.store().clone();
        let call = move |blob: *mut sys::spdk_blob, _: *mut (), done: Errnos, arg| {
            let Some(raw) = NonNull::new(blob) else {
                unreachable!("a blob that is held is open");
            };
            let then = move |rc| report(done, arg, rc);
            // SAFETY: the operation keeps the blob open until its callback, and this is the metadata thread.
            unsafe { store::resize(&store, RawBlob::new(raw), num_clusters, then) };
        };
        // SAFETY: `report` is called once, and nothing else is kept.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// Makes what has changed of the blob itself durable: its size, its attributes, and where its clusters are.
    ///
    /// When it fails, another try writes again. With SPDK alone it would not, and report success.
    ///
    /// Wraps `spdk_blob_sync_md`.
    ///
    /// # Errors
    ///
    /// `EIO`: the device did not write it. `ENOSPC`: the store has no page of metadata left for it, see
    /// [`BsOpts::num_md_pages`](super::BsOpts::num_md_pages); SPDK 26.01 would call that a success, and does for a blob without
    /// an extent table whose clusters need the page. `ENOMEM`: too many calls are in flight, see
    /// [`BsOpts::max_channel_ops`](super::BsOpts::max_channel_ops). And those of [`Blob::info`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blob::resize`].
    #[doc(alias = "spdk_blob_sync_md")]
    pub async fn sync(&self) -> Result<()> {
        let at = || At::new("spdk_blob_sync_md", self);
        let hold = |caller: Caller<'_>| Ok((self.0.hold(caller)?, ()));
        let store = self.store().clone();
        let call = move |blob: *mut sys::spdk_blob, _: *mut (), done: Errnos, arg| {
            let Some(raw) = NonNull::new(blob) else {
                unreachable!("a blob that is held is open");
            };
            let then = move |rc| report(done, arg, rc);
            // SAFETY: the operation keeps the blob open until its callback.
            unsafe { store::sync(&store, RawBlob::new(raw), then) };
        };
        // SAFETY: `report` is called once, and nothing else is kept.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// Has it refuse everything but reads, from the next [`Blob::sync`] on and for ever.
    ///
    /// Wraps `spdk_blob_set_read_only`.
    ///
    /// # Errors, thread
    ///
    /// As for [`Blob::info`].
    ///
    /// # Cancellation
    ///
    /// As for [`Blob::resize`].
    #[doc(alias = "spdk_blob_set_read_only")]
    pub async fn set_read_only(&self) -> Result<()> {
        // SAFETY: the blob is open, and this is the metadata thread.
        let set = |blob| unsafe { status(sys::spdk_blob_set_read_only(blob)) };
        self.visit("spdk_blob_set_read_only", set).await
    }

    /// Writes what was not synced, closes it, and waits for that.
    ///
    /// Wraps `spdk_blob_close`. Dropping it does the same, without waiting.
    ///
    /// # Errors
    ///
    /// - `EIO`: the device did not write it. It is closed all the same, and what was not synced is lost.
    /// - `EBUSY`: I/O is in flight on it, by this handle. It is closed in the background when that has ended.
    /// - [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the one that
    ///   opened it, and [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed. It is dropped
    ///   then too.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped closes it too.
    #[doc(alias = "spdk_blob_close")]
    pub async fn close(self) -> Result<()> {
        self.close_by("spdk_blob_close").await
    }

    pub(super) async fn close_by(self, operation: &'static str) -> Result<()> {
        let label = self.describe();
        let at = || At::name(operation, &label);
        let start = |_: Caller<'_>| {
            begin(|caller| self.0.get(caller))?;
            let hold = StoreHold::new(self.store().enter()?)?;
            let part = self.store().enter()?;
            let mut close = Some((part, self.give()?));
            let submit =
                move |(hold, ()): &mut (StoreHold, ()), done: Done<BlobOpComplete>, arg| {
                    let Some((part, blob)) = close.take() else {
                        unreachable!("a blob is closed once");
                    };
                    // SAFETY: the operation is one of this spdk_thread. The reference was taken from its handle, and
                    // goes to the metadata thread.
                    unsafe {
                        done.call(hold.store(), arg, move |done, arg| {
                            store::close(part, blob, move |rc| report(done, arg, rc));
                        })
                    }
                };
            // SAFETY: `report` is called once, and `done` sends it here.
            Ok(unsafe {
                op::<Metadata<BlobOpComplete>, _, _>(submit, |_, rc| status(rc), (hold, ()))
            })
        };
        crate::call::call(start, at).await
    }

    /// Runs a closure with the blob on the metadata thread, while it is open.
    pub(super) fn visit<'a, R: Send + 'static>(
        &'a self,
        operation: &'static str,
        f: impl FnOnce(*mut sys::spdk_blob) -> std::result::Result<R, Fault> + Send + 'static,
    ) -> impl Future<Output = Result<R>> + 'a {
        let at = move || At::new(operation, self);
        let hold = |caller: Caller<'_>| self.0.hold(caller);
        // SAFETY: it is open, and the closure runs on the metadata thread.
        unsafe { visit(at, hold, f) }
    }

    /// The channel, for an operation on this blob.
    #[doc(hidden)]
    #[inline(always)]
    pub fn channel(
        &self,
        ch: &IoChannel,
        caller: Caller<'_>,
    ) -> std::result::Result<Request, Fault> {
        // First, since the address of a store that is gone may be another one's by now.
        let hold = ch.handle().hold(caller)?;
        let extra = hold.extra();
        let is_ours = extra.device == self.store().as_ptr().cast_const().cast();
        if !is_ours || extra.requests.is_none() {
            return Err(Fault::wrong_channel(ch));
        }
        // SAFETY: it has some.
        Ok(unsafe { Request::new(hold) })
    }

    /// The size of an io unit, for the check of a buffer's length.
    #[doc(hidden)]
    #[inline]
    pub fn io_unit_size_of(&self) -> std::result::Result<u32, Fault> {
        Ok(self.io_unit_size())
    }

    /// Refuses a range whose end SPDK computes as a small number.
    #[doc(hidden)]
    #[inline]
    pub fn ends_in_u64(&self, offset: u64, length: u64) -> std::result::Result<(), Fault> {
        match offset.checked_add(length) {
            Some(_) => Ok(()),
            None => Err(Fault::errno(Errno::EINVAL)),
        }
    }

    /// The C object, for calls that this crate does not wrap; null when it is gone.
    pub fn as_ptr(&self) -> *mut sys::spdk_blob {
        self.0.as_ptr()
    }
}

/// The offset, if it is one of the blob's: SPDK does not look.
///
/// # Safety
/// The blob is open, and this is the metadata thread.
unsafe fn in_blob(blob: *mut sys::spdk_blob, offset: u64) -> Option<u64> {
    // SAFETY: passed on.
    (offset < unsafe { sys::spdk_blob_get_num_io_units(blob) }).then_some(offset)
}

/// What C calls with an errno.
pub(super) type Errnos = sys::spdk_blob_op_complete;

/// Ends an operation as C would.
pub(super) fn report(done: Errnos, arg: *mut std::ffi::c_void, rc: c_int) {
    if let Some(done) = done {
        // SAFETY: the function and its context came together, and this is the one call.
        unsafe { done(arg, rc) }
    }
}

/// What C calls when a blob was made.
pub(super) type Made = sys::spdk_blob_op_with_id_complete;

pub(super) fn report_id(done: Made, arg: *mut std::ffi::c_void, id: sys::spdk_blob_id, rc: c_int) {
    if let Some(done) = done {
        // SAFETY: the function and its context came together, and this is the one call.
        unsafe { done(arg, id, rc) }
    }
}

/// What C calls when a blob was opened.
pub(super) type Opened = sys::spdk_blob_op_with_handle_complete;

pub(super) fn report_blob(
    done: Opened,
    arg: *mut std::ffi::c_void,
    blob: *mut sys::spdk_blob,
    rc: c_int,
) {
    if let Some(done) = done {
        // SAFETY: the function and its context came together, and this is the one call.
        unsafe { done(arg, blob, rc) }
    }
}

/// What C means by an ID, where there may be none.
pub(super) fn raw_id(id: Option<BlobId>) -> sys::spdk_blob_id {
    id.map_or(INVALID, BlobId::get)
}

impl Subject for Blob {
    type O = BlobObject;
    fn handle(&self) -> &Handle<BlobObject> {
        &self.0
    }
}

impl Describe for Blob {
    fn describe(&self) -> String {
        BlobObject::label(self.0.extra())
    }

    fn extent(&self) -> Option<(u64, u32)> {
        Some((self.num_io_units().ok()?, self.io_unit_size()))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blob").field(&self.id()).finish()
    }
}
