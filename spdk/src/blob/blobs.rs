//! The blobs of a store: makes, opens and deletes them, and says which one is found first.
#![allow(unsafe_code)] // Calls what is at home on the metadata thread, there.

use std::ffi::c_int;
use std::ptr::NonNull;

use super::blobstore::Blobstore;
use super::callbacks::BlobOpWithHandleComplete;
use super::calls::{called, called_with, called_with_id, context, context_with, context_with_id};
use super::copies::write_super;
use super::deletion::delete;
use super::handle::{Blob, Made, raw_id, report, report_blob, report_id};
use super::id::BlobId;
use super::options::{BlobOpts, CBlobOpts};
use super::pages::are_left;
use super::remote::{Part, StoreHold, metadata};
use super::store::{RawBlob, Use};
use crate::error::{At, Fault, Result};
use crate::generated::blob::{BlobOpWithIdComplete, BlobOpenOpts};
use crate::local::{Caller, Local};
use crate::op::status;
use crate::{Errno, sys};

impl Blobstore {
    /// Makes a blob. It is durable when this returns.
    ///
    /// Wraps `spdk_bs_create_blob_ext`.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: there are not enough free clusters, or it is larger than any can be.
    /// - `ENOMEM`: there is no page for its metadata, or too many calls are in flight, see
    ///   [`BsOpts::max_channel_ops`](super::BsOpts::max_channel_ops).
    /// - `EIO`: the device failed.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it:
    /// the blob is made, and deleted again, unless somebody has found it by [`Blobstore::blobs`] and has it open then. Of one
    /// that is forgotten, by [`std::mem::forget`], the blob stays, and [`Blobstore::blobs`] finds it.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_create_blob_ext")]
    #[doc(alias = "spdk_bs_create_blob")]
    pub async fn create_blob(&self, opts: Option<&BlobOpts>) -> Result<BlobId> {
        let default = BlobOpts::default();
        let opts = opts.unwrap_or(&default);
        let at = || At::new("spdk_bs_create_blob_ext", self);
        let hold = |_: Caller<'_>| Ok((self.hold()?.0, opts.to_c()?));
        let store = self.store().clone();
        let call = move |bs, opts: *mut CBlobOpts, done: Made, arg| {
            let change = store.change();
            let made = context_with_id(move |id, rc| {
                report_id(done, arg, id, rc);
                drop(change);
            });
            // SAFETY: the store is loaded, and this is its metadata thread. It calls back once; the operation keeps
            // the options, and what they point to.
            unsafe {
                let (pages, raw) = ((*opts).pages(), &(*opts).raw);
                // SPDK looks for the first one itself, and before for clusters.
                let has_clusters =
                    raw.thin_provision || raw.num_clusters <= sys::spdk_bs_free_cluster_count(bs);
                if pages > 1 && has_clusters && !are_left(bs, pages) {
                    return called_with_id(made, 0, -libc::ENOMEM);
                }
                let done = Some(called_with_id as _);
                sys::spdk_bs_create_blob_ext(bs, &raw const (*opts).raw, done, made);
            }
        };
        // SAFETY: as above.
        let new = unsafe { metadata::<BlobOpWithIdComplete, _, _, _>(at, hold, call, NewBlob::of) }
            .await?;
        Ok(new.keep())
    }

    /// Opens a blob.
    ///
    /// It can be open any number of times. Without `opts`, SPDK's defaults are taken.
    ///
    /// Wraps `spdk_bs_open_blob_ext`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: there is no such blob.
    /// - `EINVAL`, `EILSEQ`: its metadata is damaged.
    /// - `ENOMEM`: too many calls are in flight, see
    ///   [`BsOpts::max_channel_ops`](super::BsOpts::max_channel_ops).
    /// - `EIO`: the device failed.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it:
    /// the blob is opened, and closed again.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which the blob belongs to then.
    #[doc(alias = "spdk_bs_open_blob_ext")]
    #[doc(alias = "spdk_bs_open_blob")]
    pub async fn open_blob(&self, id: BlobId, opts: Option<&BlobOpenOpts>) -> Result<Blob> {
        let opts = opts.cloned().unwrap_or_default();
        let at = || At::new("spdk_bs_open_blob_ext", self);
        let hold = |_: Caller<'_>| Ok((self.hold()?.0, opts.to_c()));
        let store = self.store().clone();
        let call = move |bs, opts, done: sys::spdk_blob_op_with_handle_complete, arg| {
            let opening = store.opening();
            let opened = context_with(move |blob, rc| {
                report_blob(done, arg, blob, rc);
                drop(opening);
            });
            // SAFETY: the store is loaded, and this is its metadata thread. It calls back once, and copies the options.
            unsafe { sys::spdk_bs_open_blob_ext(bs, id.get(), opts, Some(called_with), opened) };
        };
        // SAFETY: as above.
        unsafe { metadata::<BlobOpWithHandleComplete, _, _, _>(at, hold, call, opened) }.await
    }

    /// Deletes a blob.
    ///
    /// A snapshot with one clone gives that what it has. One whose clone has got another size since is refused:
    /// with SPDK 26.01 the clone may have the size of the snapshot then, or not be opened any more, and what lies beyond the
    /// end of the snapshot may be read from the parent of that. [`Blobstore::inflate_blob`] first, for the clone, helps.
    ///
    /// A process or machine that ends in the middle of the deletion of a snapshot or a clone may lose data of the others, and
    /// leave a store with which SPDK 26.01 crashes when it is loaded. When the device fails in the middle, the clone of a
    /// snapshot takes no I/O until it is closed; [`lvol`](crate::lvol#when-the-device-fails) has more about that.
    ///
    /// It waits until every spdk_thread with a channel of the store was polled: what a clone that was closed before has
    /// of an external snapshot is given back there first.
    ///
    /// The deletion of a snapshot with a clone begins when no I/O is in flight on the store, on any spdk_thread, and what comes
    /// meanwhile waits for its end: with SPDK 26.01 alone, a write to the clone beside it may cost the clone what it gets of the
    /// snapshot, after the next load.
    ///
    /// Wraps `spdk_bs_delete_blob`.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it is open, or has more than one clone. `ENOTSUP`: its one clone has another size. And those of
    /// [`Blobstore::open_blob`], also about that clone.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_delete_blob")]
    pub async fn delete_blob(&self, id: BlobId) -> Result<()> {
        let store = self.store().clone();
        // SAFETY: the operation keeps the store loaded, and this is its metadata thread.
        let call = move |_, done, arg| unsafe { delete(&store, id, done, arg) };
        // SAFETY: as above; it calls back once.
        unsafe { self.change("spdk_bs_delete_blob", call) }.await
    }

    /// Says which blob users of the store find first: its super blob, or none.
    ///
    /// It waits for others, and I/O for it, as for [`Blobstore::grow`]. It is durable when this returns. Wraps
    /// `spdk_bs_set_super`.
    ///
    /// # Errors
    ///
    /// `EIO`: the device failed. And those of [`Blobstore::open_blob`] about the store.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_set_super")]
    pub async fn set_super_blob(&self, id: Option<BlobId>) -> Result<()> {
        let store = self.store().clone();
        let call = move |bs, done, arg| {
            // SAFETY: the operation keeps the store loaded, and this is its metadata thread.
            let set = move |ended| unsafe {
                sys::spdk_bs_set_super(bs, raw_id(id), Some(called), context(ended));
            };
            // SAFETY: as above.
            unsafe { write_super(&store, set, move |rc| report(done, arg, rc)) };
        };
        // SAFETY: as above; it calls back once.
        unsafe { self.change("spdk_bs_set_super", call) }.await
    }

    /// The super blob, if there is one.
    ///
    /// Wraps `spdk_bs_get_super`.
    ///
    /// # Errors
    ///
    /// Those of [`Blobstore::open_blob`] about the store.
    ///
    /// # Cancellation
    ///
    /// It changes nothing, so that nothing is left of a future that is dropped.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_get_super")]
    pub async fn super_blob(&self) -> Result<Option<BlobId>> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        let call = |bs, _: *mut (), done, arg| unsafe { sys::spdk_bs_get_super(bs, done, arg) };
        let at = || At::new("spdk_bs_get_super", self);
        let hold = |_: Caller<'_>| self.hold();
        let finish = |_: &StoreHold, (id, rc): (u64, c_int)| match -rc {
            libc::ENOENT => Ok(None),
            _ => status(rc).map(|()| BlobId::from_c(id)),
        };
        // SAFETY: as above; it calls back once.
        unsafe { metadata::<BlobOpWithIdComplete, _, _, _>(at, hold, call, finish) }.await
    }
}

/// Makes a handle of a reference to a blob, on the spdk_thread that opens it.
pub(super) fn opened(
    hold: &StoreHold,
    (blob, rc): (*mut sys::spdk_blob, c_int),
) -> std::result::Result<Blob, Fault> {
    status(rc)?;
    let blob = NonNull::new(blob).ok_or_else(|| Fault::errno(Errno::ENOMEM))?;
    // SAFETY: the call has opened it for us.
    unsafe { Blob::adopt(RawBlob::new(blob), hold.part()) }
}

/// A blob that was just made, and is deleted again if nobody hears of it.
pub(super) struct NewBlob {
    id: BlobId,
    /// A handle, which keeps the store loaded but from its end.
    store: Option<Blobstore>,
}

impl NewBlob {
    pub(super) fn of(
        hold: &StoreHold,
        (id, rc): (sys::spdk_blob_id, c_int),
    ) -> std::result::Result<Self, Fault> {
        status(rc)?;
        let id = BlobId::from_c(id).ok_or_else(|| Fault::errno(Errno::EIO))?;
        let store = Some(Blobstore::of(hold.store().clone()));
        Ok(NewBlob { id, store })
    }

    pub(super) fn keep(mut self) -> BlobId {
        self.store = None;
        self.id
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        let Some(store) = self.store.take() else {
            return;
        };
        match store.store().enter() {
            Ok(part) => delete_in_background(part, self.id),
            Err(why) => {
                let (label, id) = (store.store().label(), self.id);
                tracing::error!(%label, %id, %why, "a blob that nobody knows of was not deleted");
            }
        }
    }
}

/// Deletes a blob that nobody knows of.
fn delete_in_background(part: Use, id: BlobId) {
    let delete = move |part: Use| {
        let store = part.store().clone();
        store.clone().in_turn(move || {
            let arg = context(move |rc| {
                if rc != 0 {
                    let (label, errno) = (part.store().label(), Errno::from_code(rc));
                    tracing::error!(%label, %id, %errno, "a blob that nobody knows of was not deleted");
                }
            });
            // SAFETY: it is loaded until it has called back, and this is its metadata thread.
            unsafe { delete(&store, id, Some(called), arg) };
        });
    };
    match Local::here() {
        // Not here and now: this may be a callback of the store.
        Some(local) if part.store().is_home() => local.defer(Box::new(move || delete(part))),
        _ => {
            let store = part.store().clone();
            store.send(move || delete(part));
        }
    }
}
