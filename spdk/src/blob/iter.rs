//! [`Blobs`]: all blobs of a store.
//!
//! SPDK's own iteration passes over a blob that it cannot open, even if it could a moment later. So what it has passed over is
//! looked at, which takes some 10 ns for an ID that no blob has.
#![allow(unsafe_code)] // Steps from one open blob to the next, on the metadata thread.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::blobs::opened;
use super::blobstore::Blobstore;
use super::callbacks::BlobOpWithHandleComplete;
use super::calls::{called_with, context_with, later};
use super::handle::{Blob, Opened, report_blob};
use super::id::BlobId;
use super::remote::{StoreHold, metadata};
use super::store::{Opening, RawBlob, Store, iter_next};
use crate::error::{At, Describe, Result};
use crate::local::Caller;
use crate::op::status;
use crate::panic::guard;
use crate::sys;

/// The ID of a blob whose metadata begin in the first page. That of another one is larger by as many pages.
const FIRST: u64 = 1 << 32;
/// How many IDs are looked at in a turn of the metadata thread.
const TURN: u32 = 1024;

/// The blobs of a store, one after the other: see [`Blobstore::blobs`].
#[must_use = "a stream does nothing unless it is read"]
pub struct Blobs {
    store: Blobstore,
    step: Step,
}

/// A blob, and why it cannot be opened, if so; or why the store cannot be read any more, or its end.
type Found = Option<Result<(BlobId, Result<()>)>>;

type Next = Pin<Box<dyn Future<Output = (Found, Step)>>>;

enum Step {
    /// The last one, or none before the first.
    At(Option<Blob>),
    Before(Ahead),
    To(Next),
    Ended,
}

/// What SPDK has opened next, and the pages that it has passed over.
struct Ahead {
    passed: Range<u32>,
    blob: Option<Blob>,
}

impl Blobstore {
    /// All blobs, as a stream of their IDs. A blob that is made meanwhile is in it or not.
    ///
    /// The stream has the blob open that it told last, or is about to tell, until the next one is asked for or it is dropped: to
    /// delete blobs, read it to its end first.
    ///
    /// Wraps `spdk_bs_iter_first` and `spdk_bs_iter_next`.
    ///
    /// # Errors
    ///
    /// Those of [`Blobstore::open_blob`] about the store; the stream ends then. And those about a blob that cannot be opened,
    /// which the error names; the stream goes on after it. But one whose metadata are damaged is left out, as SPDK does it, since
    /// one that is being deleted looks the same.
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

/// What comes next, and where that is.
async fn next(store: Blobstore, step: Step) -> (Found, Step) {
    let mut ahead = match step {
        Step::Before(ahead) => ahead,
        Step::At(last) => {
            let first = last.as_ref().map_or(0, |last| page(last) + 1);
            match after(&store, last).await {
                Ok(blob) => {
                    let pages = store.store().num_md_pages();
                    let passed = first..blob.as_ref().map_or(pages, page);
                    Ahead { passed, blob }
                }
                Err(error) => return (Some(Err(error)), Step::Ended),
            }
        }
        Step::To(_) | Step::Ended => return (None, Step::Ended),
    };
    if !ahead.passed.is_empty() {
        match look(&store, &mut ahead.passed).await {
            None => {}
            found @ Some(Ok(_)) => return (found, Step::Before(ahead)),
            error => return (error, Step::Ended),
        }
    }
    match ahead.blob {
        Some(blob) => (Some(Ok((blob.id(), Ok(())))), Step::At(Some(blob))),
        None => (None, Step::Ended),
    }
}

/// The page in which the metadata of a blob begin.
fn page(blob: &Blob) -> u32 {
    (blob.id().get() - FIRST) as u32
}

/// The blob after this one.
async fn after(store: &Blobstore, last: Option<Blob>) -> Result<Option<Blob>> {
    let operation = match last {
        None => "spdk_bs_iter_first",
        Some(_) => "spdk_bs_iter_next",
    };
    let at = || At::new(operation, store);
    let hold = |_: Caller<'_>| {
        let hold = store.hold()?.0;
        let last = match &last {
            Some(last) => Some(last.give()?),
            None => None,
        };
        Ok((hold, last))
    };
    let target = store.store().clone();
    let call = move |bs, last: *mut Option<RawBlob>, done, arg| {
        // SAFETY: the operation keeps it until the callback. It was taken from its handle, and goes to the call, which closes it.
        let last = unsafe { *last };
        let opening = target.opening();
        let found = context_with(move |blob, rc| {
            report_blob(done, arg, blob, rc);
            drop(opening);
        });
        // SAFETY: the store is loaded, and this is its metadata thread. It calls back once.
        unsafe {
            match last {
                None => sys::spdk_bs_iter_first(bs, Some(called_with), found),
                Some(last) => iter_next(&target, last.ptr.as_ptr(), Some(called_with), found),
            }
        }
    };
    let finish = |hold: &StoreHold, (blob, rc): (*mut sys::spdk_blob, c_int)| match -rc {
        libc::ENOENT => Ok(None),
        _ => status(rc).and_then(|()| opened(hold, (blob, rc))).map(Some),
    };
    // SAFETY: as above; it calls back once.
    unsafe { metadata::<BlobOpWithHandleComplete, _, _, _>(at, hold, call, finish) }.await
}

/// Finds a blob in these pages, of which those after it are left.
async fn look(store: &Blobstore, pages: &mut Range<u32>) -> Found {
    let place = Place {
        store,
        page: Arc::new(AtomicU32::new(pages.end)),
    };
    let at = || At::new("spdk_bs_open_blob", &place);
    let hold = |_: Caller<'_>| store.hold();
    let (target, range, page) = (store.store().clone(), pages.clone(), place.page.clone());
    let call = move |_, _: *mut (), done, arg| {
        let look = Look {
            opening: target.opening(),
            store: target,
            pages: range,
            page,
            is_asking: false,
            answer: None,
            done,
            arg,
        };
        // SAFETY: this is the metadata thread of the store, which the operation keeps loaded until it is called back.
        unsafe { go_on(Box::into_raw(Box::new(look))) }
    };
    let finish = |hold: &StoreHold, (blob, rc): (*mut sys::spdk_blob, c_int)| match -rc {
        libc::ENOENT => Ok(()),
        // It can be opened now.
        _ => opened(hold, (blob, rc)).map(drop),
    };
    // SAFETY: as above; it calls back once.
    let call = unsafe { metadata::<BlobOpWithHandleComplete, _, _, _>(at, hold, call, finish) };
    let looked = call.await;
    let page = place.page.load(Relaxed);
    if page == pages.end {
        return looked.err().map(Err);
    }
    pages.start = page + 1;
    Some(Ok((place.id(), looked)))
}

/// Where a blob is.
struct Place<'a> {
    store: &'a Blobstore,
    page: Arc<AtomicU32>,
}

impl Place<'_> {
    fn id(&self) -> BlobId {
        BlobId::new(FIRST + u64::from(self.page.load(Relaxed)))
    }
}

impl Describe for Place<'_> {
    fn describe(&self) -> String {
        format!("blob {} of {}", self.id(), self.store.describe())
    }
}

/// Has SPDK open the blob of each page until there is one, on the metadata thread.
struct Look {
    store: Arc<Store>,
    opening: Opening,
    pages: Range<u32>,
    /// Where there is one.
    page: Arc<AtomicU32>,
    /// Whether SPDK is being asked, which may answer then, or later.
    is_asking: bool,
    answer: Option<(*mut sys::spdk_blob, c_int)>,
    done: Opened,
    arg: *mut c_void,
}

/// # Safety
/// It is the caller's, its store is loaded until it has called back, and this is the metadata thread.
unsafe fn go_on(look: *mut Look) {
    for _ in 0..TURN {
        // SAFETY: as the caller says; no reference is kept over the call, which may use it.
        unsafe {
            if let Some((blob, rc)) = (*look).answer.take()
                && !matches!(-rc, libc::ENOENT | libc::EINVAL | libc::EILSEQ)
            {
                (*look).page.store((*look).pages.start - 1, Relaxed);
                return end(look, blob, rc);
            }
            let Some(page) = (*look).pages.next() else {
                return end(look, ptr::null_mut(), -libc::ENOENT);
            };
            let (bs, id) = ((*look).store.as_ptr(), FIRST + u64::from(page));
            (*look).is_asking = true;
            sys::spdk_bs_open_blob(bs, id, Some(answered), look.cast());
            (*look).is_asking = false;
            if (*look).answer.is_none() {
                return;
            }
        }
    }
    // SAFETY: as the caller says.
    later(move || unsafe { go_on(look) });
}

/// # Safety
/// As for [`go_on`].
unsafe fn end(look: *mut Look, blob: *mut sys::spdk_blob, rc: c_int) {
    // SAFETY: it is the caller's, who made a box of it; the operation gets its one call.
    unsafe {
        let look = Box::from_raw(look);
        report_blob(look.done, look.arg, blob, rc);
        drop(look.opening);
    }
}

unsafe extern "C" fn answered(look: *mut c_void, blob: *mut sys::spdk_blob, rc: c_int) {
    guard("callback of a blobstore", || {
        let look = look.cast::<Look>();
        // SAFETY: it was given to the call, which answers once; who asks goes on by itself.
        unsafe {
            (*look).answer = Some((blob, rc));
            if !(*look).is_asking {
                go_on(look);
            }
        }
    });
}

impl Blobs {
    /// The next blob, or `None` at the end.
    pub async fn next(&mut self) -> Option<Result<BlobId>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The same of one that cannot be opened, too.
    pub(super) async fn next_id(&mut self) -> Option<Result<BlobId>> {
        let found = poll_fn(|cx| self.poll_found(cx)).await?;
        Some(found.map(|(id, _)| id))
    }

    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        loop {
            match mem::replace(&mut self.step, Step::Ended) {
                Step::Ended => return Poll::Ready(None),
                Step::To(mut next) => match next.as_mut().poll(cx) {
                    Poll::Ready((found, step)) => {
                        self.step = step;
                        return Poll::Ready(found);
                    }
                    Poll::Pending => {
                        self.step = Step::To(next);
                        return Poll::Pending;
                    }
                },
                step => self.step = Step::To(Box::pin(next(self.store.clone(), step))),
            }
        }
    }
}

impl Stream for Blobs {
    type Item = Result<BlobId>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let found = self.get_mut().poll_found(cx);
        found.map(|found| Some(found?.and_then(|(id, opened)| opened.map(|()| id))))
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blobs").field(&self.store).finish()
    }
}
