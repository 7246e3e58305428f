//! [`Blobstore`].
#![allow(unsafe_code)] // Calls what is at home on the metadata thread, there.

use std::ffi::c_void;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::calls::{Then, called, context};
use super::check::{For, check};
use super::copies::write_super;
use super::handle::report;
use super::options::BsType;
use super::remote::{StoreHold, metadata, visit};
use super::store::{Ending, Store, Use};
use crate::error::{At, Describe, Fault, Result};
use crate::generated::blob::BsOpComplete;
use crate::local::Caller;
use crate::op::status;
use crate::{Errno, ThreadHandle, sys};

/// A loaded blobstore.
///
/// It is a handle of which there can be any number: a clone is another one. They go to other spdk_threads, and
/// calls through them run on the store's metadata thread, the one that loaded it.
///
/// # Drop
///
/// The store is unloaded in the background when its last handle and the last of its blobs and channels are gone,
/// in whatever order that happens. An error of it is only logged: [`Blobstore::unload`] reports it. A store whose
/// device is removed, or whose metadata thread ends, has its blobs and channels given back as soon as nothing is
/// in flight on them, wherever they are; they report [`ErrorKind::Gone`](crate::ErrorKind::Gone) then.
///
/// # Thread
///
/// `Send` and `Sync`. Its calls need an spdk_thread, any one.
#[doc(alias = "spdk_blob_store")]
pub struct Blobstore(Arc<Store>);

impl Blobstore {
    /// Another handle.
    pub(super) fn of(store: Arc<Store>) -> Self {
        store.add_handle();
        Blobstore(store)
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.0
    }

    /// Unloads the store, for all of its handles.
    ///
    /// What was not synced of its blobs has been written when they were closed. Wraps `spdk_bs_unload`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: a blob or a channel of it is open, or a call is in flight. It stays loaded, and another try may
    ///   go better. Blobs and channels that were dropped do not count, even if something was in flight on them
    ///   that has ended.
    /// - `EIO`: the device failed. The store is unloaded all the same, and recovered when it is loaded again.
    /// - Another errno, such as `EILSEQ` if its super block is not what it was: it stays loaded, until its last handle is
    ///   dropped.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when it was unloaded before, and
    ///   [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the unload but does not stop
    /// it.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_unload")]
    pub async fn unload(&self) -> Result<()> {
        self.end("spdk_bs_unload", Ending::Unload).await
    }

    /// Unloads the store, for all of its handles, and overwrites its super block, so that the bdev has none any
    /// more.
    ///
    /// Wraps `spdk_bs_destroy`.
    ///
    /// # Errors
    ///
    /// `EIO`: the device failed; the store stays loaded. And those of [`Blobstore::unload`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_destroy")]
    pub async fn destroy(&self) -> Result<()> {
        self.end("spdk_bs_destroy", Ending::Destroy).await
    }

    pub(super) fn end(
        &self,
        operation: &'static str,
        ending: Ending,
    ) -> impl Future<Output = Result<()>> {
        let at = move || At::new(operation, self);
        let hold = |_: Caller<'_>| Ok((StoreHold::new(self.0.enter_to_end()?)?, ()));
        let target = self.0.clone();
        let call = move |_, _: *mut (), done, arg| {
            target.try_end(ending, move |rc| report(done, arg, rc));
        };
        // SAFETY: `report` is called once, on the metadata thread.
        unsafe { metadata::<BsOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }
    }

    /// Has the store use all of its device, which has become larger.
    ///
    /// It waits until nothing that changes the store is in flight, also not what has begun meanwhile, and then I/O on the store
    /// waits for it: with SPDK 26.01 alone, others that write the super block, as the first change after a load does, take back
    /// what this has written, or the reverse.
    ///
    /// Blobs may be open. Wraps `spdk_bdev_update_bs_blockcnt` and `spdk_bs_grow_live`.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: the store has no room for the metadata of a larger one. `EILSEQ`: the bdev is smaller than the store,
    /// or the super block is damaged. `ENOMEM`: there is no memory to look at that. `EIO`: the device failed. And those of
    /// [`Blobstore::open_blob`] about the store.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_grow_live")]
    #[doc(alias = "spdk_bdev_update_bs_blockcnt")]
    pub async fn grow(&self) -> Result<()> {
        let target = self.0.clone();
        let call = move |bs, done, arg| {
            let device = target.clone();
            // SAFETY: the operation keeps the store loaded, from this device, and this is its metadata thread.
            let grow = move |ended: Then| unsafe {
                check(device.device().as_ptr(), For::Growth, move |checked| {
                    if let Err(errno) = checked {
                        return ended(-errno.code());
                    }
                    device.device().update_size();
                    sys::spdk_bs_grow_live(bs, Some(called), context(ended));
                });
            };
            // SAFETY: as above.
            unsafe { write_super(&target, grow, move |rc| report(done, arg, rc)) };
        };
        // SAFETY: as above; it calls back once.
        unsafe { self.change("spdk_bs_grow_live", call) }.await
    }

    /// What an operation on the store holds.
    pub(super) fn hold(&self) -> std::result::Result<(StoreHold, ()), Fault> {
        Ok((StoreHold::new(self.0.enter()?)?, ()))
    }

    /// Changes it by a call on its metadata thread.
    ///
    /// # Safety
    /// `f` passes the callback and the context to one C function, which may be called with the store there, and calls
    /// back once.
    pub(super) unsafe fn change<'a>(
        &'a self,
        operation: &'static str,
        f: impl FnOnce(*mut sys::spdk_blob_store, sys::spdk_bs_op_complete, *mut c_void)
        + Send
        + 'static,
    ) -> impl Future<Output = Result<()>> + 'a {
        let at = move || At::new(operation, self);
        let hold = |_: Caller<'_>| self.hold();
        let call = move |bs, _: *mut (), done, arg| f(bs, done, arg);
        // SAFETY: passed on; nothing else is kept.
        unsafe { metadata::<BsOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }
    }

    /// Runs a closure with the store on its metadata thread, while it is loaded.
    pub(super) fn visit<'a, R: Send + 'static>(
        &'a self,
        operation: &'static str,
        f: impl FnOnce(*mut sys::spdk_blob_store) -> std::result::Result<R, Fault> + Send + 'static,
    ) -> impl Future<Output = Result<R>> + 'a {
        let at = move || At::new(operation, self);
        let hold = |_: Caller<'_>| StoreHold::new(self.0.enter()?);
        // SAFETY: it is loaded, and the closure runs on the metadata thread.
        unsafe { visit(at, hold, f) }
    }

    /// What the store is for.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blobstore::super_blob`].
    #[doc(alias = "spdk_bs_get_bstype")]
    pub async fn bstype(&self) -> Result<BsType> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        let read = |bs| Ok(BsType::from_c(unsafe { sys::spdk_bs_get_bstype(bs) }));
        self.visit("spdk_bs_get_bstype", read).await
    }

    /// Takes the type of the store away, with an empty one: what it is for is not said any more. It is durable when the
    /// store is unloaded.
    ///
    /// SPDK 26.01 compares the type with the one on the device whenever it writes there, so that a store that got another
    /// one could not be unloaded any more. [`BsOpts::bstype`](super::BsOpts::bstype) gives a store its type
    /// when it is made.
    ///
    /// # Errors
    ///
    /// `ENOTSUP`: the type is another one than that of the store, and not empty. And those of [`Blobstore::super_blob`].
    ///
    /// # Cancellation
    ///
    /// As for [`Blobstore::unload`].
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_set_bstype")]
    pub async fn set_bstype(&self, bstype: BsType) -> Result<()> {
        let set = move |bs| {
            // SAFETY: the store is loaded, and this is its metadata thread.
            let now = BsType::from_c(unsafe { sys::spdk_bs_get_bstype(bs) });
            if bstype != now && bstype != BsType::default() {
                return Err(Fault::errno(Errno::ENOTSUP));
            }
            // SAFETY: as above.
            unsafe { sys::spdk_bs_set_bstype(bs, bstype.to_c()) };
            Ok(())
        };
        self.visit("spdk_bs_set_bstype", set).await
    }

    /// How many clusters are free.
    ///
    /// After a crash in the middle of making or deleting a snapshot, SPDK counts clusters twice that a blob and its
    /// snapshot had both, until the store is loaded once more. Its number can be less than 0 then, which is told as 0.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    #[doc(alias = "spdk_bs_free_cluster_count")]
    pub fn free_clusters(&self) -> Result<u64> {
        let _part = self.entered("spdk_bs_free_cluster_count")?;
        let bs = self.0.as_ptr();
        // SAFETY: the store is loaded. They read numbers.
        let (free, total) = unsafe {
            (
                sys::spdk_bs_free_cluster_count(bs),
                sys::spdk_bs_total_data_cluster_count(bs),
            )
        };
        // Below 0 it goes on with the greatest number.
        Ok(if free > total { 0 } else { free })
    }

    /// How many clusters blobs can have altogether.
    ///
    /// # Errors
    ///
    /// As for [`Blobstore::free_clusters`].
    #[doc(alias = "spdk_bs_total_data_cluster_count")]
    pub fn total_clusters(&self) -> Result<u64> {
        let _part = self.entered("spdk_bs_total_data_cluster_count")?;
        // SAFETY: the store is loaded. It reads a number.
        Ok(unsafe { sys::spdk_bs_total_data_cluster_count(self.0.as_ptr()) })
    }

    /// How large the device may become for [`Blobstore::grow`], in bytes.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blobstore::super_blob`].
    #[cfg(spdk_has_spdk_bs_get_max_growable_size)]
    #[doc(alias = "spdk_bs_get_max_growable_size")]
    pub async fn max_growable_size(&self) -> Result<u64> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        let read = |bs| Ok(unsafe { sys::spdk_bs_get_max_growable_size(bs) });
        self.visit("spdk_bs_get_max_growable_size", read).await
    }

    fn entered(&self, operation: &'static str) -> Result<Use> {
        self.0
            .enter()
            .map_err(|fault| fault.at(At::new(operation, self)))
    }

    /// The size of a cluster, in bytes.
    #[doc(alias = "spdk_bs_get_cluster_size")]
    pub fn cluster_size(&self) -> u64 {
        self.0.cluster_size()
    }

    /// The size of a page of metadata, in bytes.
    #[doc(alias = "spdk_bs_get_page_size")]
    pub fn page_size(&self) -> u64 {
        self.0.page_size()
    }

    /// The unit of I/O, in bytes: a block of the device.
    #[doc(alias = "spdk_bs_get_io_unit_size")]
    pub fn io_unit_size(&self) -> u32 {
        self.0.io_unit_size()
    }

    /// The name of the bdev that it is on, or of the type of a device written in Rust.
    pub fn bdev_name(&self) -> &str {
        self.0.device().name()
    }

    /// The metadata thread: the spdk_thread that loaded it.
    pub fn metadata_thread(&self) -> ThreadHandle {
        ThreadHandle::of(self.0.home().clone())
    }
}

impl Clone for Blobstore {
    fn clone(&self) -> Self {
        Blobstore::of(self.0.clone())
    }
}

impl Drop for Blobstore {
    fn drop(&mut self) {
        self.0.remove_handle();
    }
}

impl Describe for Blobstore {
    fn describe(&self) -> String {
        self.0.label()
    }
}

impl fmt::Debug for Blobstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blobstore").field(&self.bdev_name()).finish()
    }
}
