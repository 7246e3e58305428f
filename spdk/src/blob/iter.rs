//! [`Blobs`]: all blobs of a store.
#![allow(unsafe_code)] // Steps from one open blob to the next, on the metadata thread.

use std::ffi::c_int;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::blobs::opened;
use super::blobstore::Blobstore;
use super::callbacks::BlobOpWithHandleComplete;
use super::handle::Blob;
use super::id::BlobId;
use super::remote::{StoreHold, metadata};
use super::store::{RawBlob, iter_next};
use crate::error::{At, Result};
use crate::local::Caller;
use crate::op::status;
use crate::sys;

/// The blobs of a store, one after the other: see [`Blobstore::blobs`].
#[must_use = "a stream does nothing unless it is read"]
pub struct Blobs {
    store: Blobstore,
    step: Step,
}

type Next = Pin<Box<dyn Future<Output = Result<Option<Blob>>>>>;

enum Step {
    /// The last one, or none before the first.
    At(Option<Blob>),
    To(Next),
    Ended,
}

impl Blobstore {
    /// All blobs, as a stream of their IDs. A blob that is made meanwhile is in it or not.
    ///
    /// The stream has the blob open that it told last, until the next one is asked for or it is dropped: to delete
    /// blobs, read it to its end first.
    ///
    /// Wraps `spdk_bs_iter_first` and `spdk_bs_iter_next`.
    ///
    /// # Errors
    ///
    /// Those of [`Blobstore::open_blob`] about the store; the stream ends then. A blob that cannot be opened is
    /// left out.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, on which the stream is read then.
    #[doc(alias = "spdk_bs_iter_first")]
    #[doc(alias = "spdk_bs_iter_next")]
    pub fn blobs(&self) -> Blobs {
        Blobs {
            store: self.clone(),
            step: Step::At(None),
        }
    }
}

/// The blob after this one.
async fn after(store: Blobstore, last: Option<Blob>) -> Result<Option<Blob>> {
    let operation = match last {
        None => "spdk_bs_iter_first",
        Some(_) => "spdk_bs_iter_next",
    };
    let at = || At::new(operation, &store);
    let hold = |_: Caller<'_>| {
        let hold = store.hold()?.0;
        let last = match &last {
            Some(last) => Some(last.give()?),
            None => None,
        };
        Ok((hold, last))
    };
    let target = store.store().clone();
    // SAFETY: the store is loaded, and this is its metadata thread. The last blob was taken from its handle, and
    // goes to the call, which closes it.
    let call = move |bs, last: *mut Option<RawBlob>, done, arg| unsafe {
        match *last {
            None => sys::spdk_bs_iter_first(bs, done, arg),
            Some(last) => iter_next(&target, last.ptr.as_ptr(), done, arg),
        }
    };
    let finish = |hold: &StoreHold, (blob, rc): (*mut sys::spdk_blob, c_int)| match -rc {
        libc::ENOENT => Ok(None),
        _ => status(rc).and_then(|()| opened(hold, (blob, rc))).map(Some),
    };
    // SAFETY: as above; it calls back once.
    unsafe { metadata::<BlobOpWithHandleComplete, _, _, _>(at, hold, call, finish) }.await
}

impl Blobs {
    /// The next blob, or `None` at the end.
    pub async fn next(&mut self) -> Option<Result<BlobId>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Blobs {
    type Item = Result<BlobId>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.step {
                Step::At(last) => {
                    let next = after(this.store.clone(), last.take());
                    this.step = Step::To(Box::pin(next));
                }
                Step::To(next) => {
                    let Poll::Ready(found) = next.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    let id = match found {
                        Ok(Some(blob)) => {
                            let id = blob.id();
                            this.step = Step::At(Some(blob));
                            Some(Ok(id))
                        }
                        Ok(None) => {
                            this.step = Step::Ended;
                            None
                        }
                        Err(error) => {
                            this.step = Step::Ended;
                            Some(Err(error))
                        }
                    };
                    return Poll::Ready(id);
                }
                Step::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blobs").field(&self.store).finish()
    }
}
