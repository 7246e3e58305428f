//! [`ShallowCopy`]: what a blob has, copied to a bdev.
#![allow(unsafe_code)] // Lends a bdev, a channel and a count to a call of the metadata thread.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::blobstore::Blobstore;
use super::calls::{called, context};
use super::device::{self, Device};
use super::handle::report;
use super::id::BlobId;
use super::remote::metadata;
use super::store::{RawBlob, Use, close_at_once, open};
use crate::error::{At, Result};
use crate::generated::blob::BlobOpComplete;
use crate::local::Caller;
use crate::op::status;
use crate::panic::guard;
use crate::sys;

/// A copy on its way: a stream of how many clusters have been copied, which ends with the copy. See
/// [`Blobstore::shallow_copy`].
#[must_use = "a copy does nothing unless it is read"]
pub struct ShallowCopy<'a> {
    progress: Arc<Progress>,
    told: u64,
    /// `None` once it has ended.
    end: Option<Pin<Box<dyn Future<Output = Result<()>> + 'a>>>,
}

#[derive(Default)]
pub(super) struct Progress {
    copied: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Progress {
    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) unsafe extern "C" fn on_progress(copied: u64, ctx: *mut c_void) {
    guard("progress of a copy", || {
        // SAFETY: the call was given the address, and has a reference until it ends.
        let progress = unsafe { &*ctx.cast::<Progress>().cast_const() };
        progress.copied.store(copied, Relaxed);
        let waker = progress.waker().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    });
}

impl Blobstore {
    /// Copies the clusters that a read-only blob has itself, not those of its parents, to the same places of a bdev.
    ///
    /// The bdev has the block size of the store, and at least the size of the blob. It is opened for writing and claimed
    /// meanwhile. What it has elsewhere stays.
    ///
    /// Wraps `spdk_bs_blob_shallow_copy`.
    ///
    /// # Errors
    ///
    /// The stream ends with the one that there is:
    ///
    /// - `EPERM`: the blob is not read-only, or somebody else has claimed the bdev.
    /// - `EINVAL`: the bdev is too small, or has another block size.
    /// - [`ErrorKind::NoSuchBdev`](crate::ErrorKind::NoSuchBdev): no bdev has this name.
    /// - `EBUSY`: another call has the blob locked.
    /// - Those of [`Blobstore::open_blob`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A stream that is dropped later abandons the copy but does not stop it.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_blob_shallow_copy")]
    pub fn shallow_copy<'a>(&'a self, id: BlobId, bdev: &str) -> ShallowCopy<'a> {
        let bdev = bdev.into();
        ShallowCopy::of(move |progress| copy(self, id, bdev, progress))
    }
}

/// Refuses what SPDK refuses, with an errno, negative.
///
/// SPDK 26.01 closes the blob then, and does not survive that this fails.
///
/// # Safety
/// The blob is open, and this is its metadata thread. The device exists.
pub(super) unsafe fn check(
    blob: *mut sys::spdk_blob,
    cluster_size: u64,
    dev: *mut sys::spdk_bs_dev,
) -> std::result::Result<(), c_int> {
    // SAFETY: passed on; these read.
    let (is_read_only, clusters, size) = unsafe {
        (
            sys::spdk_blob_is_read_only(blob),
            sys::spdk_blob_get_num_clusters(blob),
            (*dev).blockcnt.saturating_mul((*dev).blocklen.into()),
        )
    };
    match is_read_only {
        false => Err(-libc::EPERM),
        true if clusters.saturating_mul(cluster_size) > size => Err(-libc::EINVAL),
        true => Ok(()),
    }
}

async fn copy(
    store: &Blobstore,
    id: BlobId,
    bdev: Box<str>,
    progress: Arc<Progress>,
) -> Result<()> {
    let at = || At::new("spdk_bs_blob_shallow_copy", store);
    let hold = |_: Caller<'_>| store.hold();
    let name = bdev.clone();
    let (unit, target) = (store.io_unit_size(), store.store().clone());
    let call = move |bs, _: *mut (), done, arg| {
        let device = match Device::open(&name) {
            Ok(device) => device,
            Err(errno) => return report(done, arg, -errno.code()),
        };
        // SAFETY: the device exists. SPDK takes the block numbers of the store for those of the device.
        if unsafe { (*device.as_ptr()).blocklen } != unit {
            return report(done, arg, -libc::EINVAL);
        }
        // SAFETY: the store is loaded, and this is its metadata thread.
        let Some(channel) = NonNull::new(unsafe { sys::spdk_bs_alloc_io_channel(bs) }) else {
            return report(done, arg, -libc::ENOMEM);
        };
        let end = move |rc| {
            // SAFETY: it was allocated above, on this spdk_thread, and the call has ended.
            unsafe { sys::spdk_bs_free_io_channel(channel.as_ptr()) };
            report(done, arg, rc);
        };
        let opened = move |opened| {
            let (part, blob): (Use, RawBlob) = match opened {
                Ok(opened) => opened,
                Err(rc) => {
                    drop((device, progress));
                    return end(rc);
                }
            };
            let (dev, ctx) = (device.as_ptr(), Arc::as_ptr(&progress));
            // SAFETY: the blob is open, and this is its metadata thread. The device exists.
            let checked = unsafe { check(blob.ptr.as_ptr(), part.store().cluster_size(), dev) };
            let end = move |rc| {
                drop((device, progress));
                close_at_once(part, blob, move |_| end(rc));
            };
            if let Err(rc) = checked {
                return end(rc);
            }
            let end = context(end);
            // SAFETY: as above; `end` keeps the device, the channel and the progress until it is called, which is
            // once if the call returns 0.
            unsafe {
                let rc = sys::spdk_bs_blob_shallow_copy(
                    bs,
                    channel.as_ptr(),
                    id.get(),
                    dev,
                    Some(on_progress),
                    ctx.cast_mut().cast(),
                    Some(called),
                    end,
                );
                if rc != 0 {
                    called(end, rc);
                }
            }
        };
        // SAFETY: the operation keeps the store loaded, and this is its metadata thread.
        unsafe { open(&target, id, opened) };
    };
    // SAFETY: `report` is called once, and the callback keeps what C uses.
    let end = unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) };
    end.await.map_err(|error| device::told(&bdev, error))
}

impl<'a> ShallowCopy<'a> {
    /// The copy that a future makes, which tells its progress.
    pub(super) fn of<F: Future<Output = Result<()>> + 'a>(
        copy: impl FnOnce(Arc<Progress>) -> F,
    ) -> Self {
        let progress = Arc::new(Progress::default());
        let end = copy(progress.clone());
        ShallowCopy {
            progress,
            told: 0,
            end: Some(Box::pin(end)),
        }
    }
}

impl ShallowCopy<'_> {
    /// How many clusters have been copied, when there are more than before; `None` when all have been.
    pub async fn next(&mut self) -> Option<Result<u64>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for ShallowCopy<'_> {
    type Item = Result<u64>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let ended = match &mut this.end {
            None => true,
            Some(end) => {
                // Before the look at the count: whoever raises that then wakes this task.
                *this.progress.waker() = Some(cx.waker().clone());
                match end.as_mut().poll(cx) {
                    Poll::Pending => false,
                    Poll::Ready(result) => {
                        this.end = None;
                        if let Err(error) = result {
                            this.told = u64::MAX;
                            return Poll::Ready(Some(Err(error)));
                        }
                        true
                    }
                }
            }
        };
        let copied = this.progress.copied.load(Relaxed);
        if copied > this.told {
            this.told = copied;
            return Poll::Ready(Some(Ok(copied)));
        }
        match ended {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}

impl fmt::Debug for ShallowCopy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShallowCopy")
            .field("copied", &self.progress.copied)
            .finish_non_exhaustive()
    }
}
