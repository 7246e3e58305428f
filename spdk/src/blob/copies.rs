//! What a blob gets of its parent, while no I/O is in the way.
#![allow(unsafe_code)] // Visits channels, and calls what copies.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::calls::{Then, called, context, later};
use super::handle::BlobObject;
use super::id::BlobId;
use super::readv::ALIGN;
use super::requests::Requests;
use super::store::{Store, when_written};
use crate::buf::DmaBuf;
use crate::handle::Hold;
use crate::panic::guard;
use crate::sys;

/// What a store knows of them. All but the flag is the metadata thread's.
#[derive(Default)]
pub(super) struct Copies {
    /// Whether the I/O of a channel that comes now waits.
    is_held: AtomicBool,
    is_going_on: Cell<bool>,
    /// The next ones, in their order.
    next: RefCell<VecDeque<Box<dyn FnOnce()>>>,
}

impl Store {
    /// Whether the I/O on a new channel of the current spdk_thread waits until it is released.
    pub(super) fn holds_new_channels(&self) -> bool {
        self.copies().is_held.load(Acquire)
    }
}

/// A blob that gets what it has of its parent.
pub(super) struct Copied<'a> {
    pub(super) blob: &'a Hold<BlobObject>,
    /// Unless it gets all of its clusters: its parent, which may be none.
    pub(super) parent: Option<Option<&'a Hold<BlobObject>>>,
}

/// The same, for the metadata thread, while both are open.
#[derive(Clone, Copy)]
struct Clusters {
    blob: *mut sys::spdk_blob,
    parent: Option<*mut sys::spdk_blob>,
    gets_all: bool,
}

impl Clusters {
    fn of(copied: Copied<'_>) -> Self {
        Clusters {
            blob: copied.blob.as_ptr(),
            parent: copied.parent.flatten().map(Hold::as_ptr),
            gets_all: copied.parent.is_none(),
        }
    }

    /// Whether its parent is this one, and as large as it, or it has none as it should: SPDK looks for the clusters of a blob
    /// in its parent without regard to the end of that.
    ///
    /// # Safety
    /// Both are open, this is their metadata thread, and `bs` their store.
    unsafe fn are_covered(self, bs: *mut sys::spdk_blob_store) -> bool {
        if self.gets_all {
            return true;
        }
        // SAFETY: passed on.
        unsafe {
            let id = sys::spdk_blob_get_id(self.blob);
            let id = sys::spdk_blob_get_parent_snapshot(bs, id);
            let Some(parent) = self.parent else {
                return BlobId::from_c(id).is_none();
            };
            id == sys::spdk_blob_get_id(parent)
                && sys::spdk_blob_get_num_clusters(self.blob)
                    <= sys::spdk_blob_get_num_clusters(parent)
        }
    }

    /// The first I/O unit from this one on that lies in a cluster to get.
    ///
    /// # Safety
    /// Both are open, and this is their metadata thread.
    unsafe fn next(self, mut unit: u64) -> Option<u64> {
        // SAFETY: passed on. Each search ends at the end of its blob.
        unsafe {
            loop {
                unit = sys::spdk_blob_get_next_unallocated_io_unit(self.blob, unit);
                let owned = match self.parent {
                    _ if unit == u64::MAX => return None,
                    Some(parent) => sys::spdk_blob_get_next_allocated_io_unit(parent, unit),
                    None if self.gets_all => unit,
                    None => return None,
                };
                if owned == unit {
                    return Some(unit);
                }
                unit = owned;
            }
        }
    }
}

/// Has a blob get what it has of its parent: runs `copy`, which is given a channel, and what it has to call with the
/// errno of that, negative, or 0. `then` gets it too; or `EINVAL`, if the blob is not as large as that parent.
///
/// SPDK copies one cluster after the other. It does not survive I/O beside that:
///
/// - For each cluster it gets in line behind the writes on its channel that wait for a cluster; but when it is its turn
///   there, it takes the cluster for copied. The channel is that of all I/O of the metadata thread.
/// - An unmap that began before, on any channel, takes the cluster away after it was copied. One that begins later leaves
///   it alone.
/// - A write on another spdk_thread that gives the blob a cluster may write the same page of clusters at the same time, and
///   what one of both has put there is lost.
///
/// So it begins when no I/O is in flight on the store, and what comes waits for its end. That would take as long as all clusters do:
/// so the blob gets them before, each for itself, and other I/O between them. SPDK is left what has come in between.
///
/// # Safety
/// The store is loaded and the blobs are open until `then` runs, and this is their metadata thread. `copy` begins at once, and uses
/// the channel until it calls what it is given, once.
pub(super) unsafe fn copy_clusters(
    store: Arc<Store>,
    copied: Copied<'_>,
    copy: impl FnOnce(*mut sys::spdk_io_channel, Then) + 'static,
    then: impl FnOnce(c_int) + 'static,
) {
    let (bs, clusters) = (store.as_ptr(), Clusters::of(copied));
    let copy = move |channel, ended: Then| {
        // SAFETY: as the caller says.
        match unsafe { clusters.are_covered(bs) } {
            true => copy(channel, ended),
            false => ended(-libc::EINVAL),
        }
    };
    copy_in_turn(store, Some(clusters), Box::new(copy), Box::new(then));
}

/// A blob gets one cluster after the other, as by any write.
struct Ahead {
    store: Arc<Store>,
    channel: NonNull<sys::spdk_io_channel>,
    clusters: Clusters,
    /// An I/O unit.
    buf: DmaBuf,
    then: Then,
}

impl Ahead {
    /// # Safety
    /// The store is loaded and the blobs are open until `then` runs. The channel is one of the current spdk_thread, which is
    /// the metadata thread, and stays until then.
    unsafe fn begin(
        store: Arc<Store>,
        channel: NonNull<sys::spdk_io_channel>,
        clusters: Clusters,
        then: impl FnOnce(c_int) + 'static,
    ) {
        // SAFETY: passed on.
        let are_covered = unsafe { clusters.are_covered(store.as_ptr()) };
        match DmaBuf::alloc(store.io_unit_size() as usize, ALIGN) {
            Ok(buf) if are_covered => Box::new(Ahead {
                store,
                channel,
                clusters,
                buf,
                then: Box::new(then),
            })
            .go_on(0),
            _ => then(0),
        }
    }

    /// From this I/O unit on. The end of the store, or of its device, does not wait for all of them.
    fn go_on(self: Box<Self>, from: u64) {
        if self.store.is_recalled() {
            return (self.then)(-libc::ENODEV);
        }
        // SAFETY: as `begin` says.
        let Some(unit) = (unsafe { self.clusters.next(from) }) else {
            return (self.then)(0);
        };
        let store = self.store.clone();
        let ended = move |this: Box<Self>, rc| {
            let store = this.store.clone();
            let released = move || match rc {
                0 => this.go_on(unit + 1),
                // It is read-only: SPDK copies all that is left.
                rc if rc == -libc::EPERM => (this.then)(0),
                rc => (this.then)(rc),
            };
            // SAFETY: as `begin` says.
            unsafe { release(store, released) };
        };
        // SAFETY: as above.
        unsafe { hold(store, move || self.rewrite(unit, ended)) };
    }

    /// Writes what it reads: SPDK then copies the rest of the cluster before. Nothing else is in flight.
    fn rewrite(mut self: Box<Self>, unit: u64, ended: impl FnOnce(Box<Self>, c_int) + 'static) {
        let (blob, channel) = (self.clusters.blob, self.channel.as_ptr());
        let payload = self.buf.as_mut_slice().as_mut_ptr().cast();
        let written = move |rc| match rc {
            0 => {
                let ended = context(move |rc| ended(self, rc));
                // SAFETY: as below.
                unsafe {
                    sys::spdk_blob_io_write(blob, channel, payload, unit, 1, Some(called), ended);
                }
            }
            rc => ended(self, rc),
        };
        // SAFETY: as `begin` says. `self` has the memory, and is kept by the context; the callback comes once.
        unsafe {
            sys::spdk_blob_io_read(
                blob,
                channel,
                payload,
                unit,
                1,
                Some(called),
                context(written),
            );
        }
    }
}

/// Has SPDK write the super block of a store: runs `write`, which is given what it has to call with the errno of that,
/// negative, or 0. `then` gets it too.
///
/// SPDK reads it, and writes it back with what has changed. It does so as well when the first metadata after a load are
/// written, to say that the store is in use. Of two at once, one takes back what the other has written: the size of a store
/// that has grown, or that it is in use, so that it is not recovered after a crash. So no I/O is in flight then, and nothing else that
/// may write metadata.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread.
pub(super) unsafe fn write_super(
    store: &Arc<Store>,
    write: impl FnOnce(Then) + 'static,
    then: impl FnOnce(c_int) + 'static,
) {
    let store = store.clone();
    store.clone().when_still(move |alone| {
        when_written(alone, move |quiet| {
            let then = move |rc| {
                then(rc);
                drop(quiet);
            };
            let write = Box::new(move |_, ended| write(ended));
            copy_in_turn(store, None, write, Box::new(then));
        });
    });
}

/// Has SPDK make or delete a snapshot, or cut clusters off: runs `make`, which is given what it has to call with what has become
/// of it. `then` gets that; or an errno, negative, if there was no memory for it.
///
/// SPDK swaps the cluster maps of a blob and its snapshot, although a write that began before may be about to give the blob a
/// cluster. That is then written down for the wrong one of the two, and lost by a crash. So no I/O is in flight then.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread.
pub(super) unsafe fn without_io<T: 'static>(
    store: Arc<Store>,
    make: impl FnOnce(Box<dyn FnOnce(T)>) + 'static,
    then: impl FnOnce(Result<T, c_int>) + 'static,
) {
    let made = Rc::new(Cell::new(None));
    let tells = made.clone();
    let make = move |_, ended: Then| {
        make(Box::new(move |value| {
            tells.set(Some(value));
            ended(0);
        }));
    };
    let then = move |rc| then(made.take().ok_or(rc));
    copy_in_turn(store, None, Box::new(make), Box::new(then));
}

/// For a call without I/O that ends with an errno itself.
pub(super) fn told(then: impl FnOnce(c_int) + 'static) -> impl FnOnce(Result<c_int, c_int>) {
    move |result| then(result.unwrap_or_else(|rc| rc))
}

/// Runs `then`, later, when SPDK has closed the snapshots of the clones that were closed before.
///
/// It reports the end of a close before that: a snapshot that depends on an external one gives its channels back first, on
/// one spdk_thread after the other. Until then SPDK takes it for open, and does not delete it. This goes the same way,
/// behind it; and once more if others were closed meanwhile.
///
/// # Safety
/// As for [`visit_channels`].
pub(super) unsafe fn when_closed(store: Arc<Store>, then: impl FnOnce() + 'static) {
    let (target, before) = (store.clone(), store.closes());
    let visited = move || match target.closes() == before {
        true => then(),
        // SAFETY: passed on.
        false => unsafe { when_closed(target, then) },
    };
    // SAFETY: passed on.
    unsafe { visit_channels(store, |_, _| true, visited) };
}

type CopyClusters = Box<dyn FnOnce(*mut sys::spdk_io_channel, Then)>;

/// With `ahead`, that has got its clusters before.
fn copy_in_turn(store: Arc<Store>, ahead: Option<Clusters>, copy: CopyClusters, then: Then) {
    if store.copies().is_going_on.replace(true) {
        let next = store.clone();
        let next = Box::new(move || copy_in_turn(next, ahead, copy, then));
        return store.copies().next.borrow_mut().push_back(next);
    }
    // SAFETY: the store is loaded, and any spdk_thread may have a channel of it.
    let channel = unsafe { sys::spdk_bs_alloc_io_channel(store.as_ptr()) };
    let Some(channel) = NonNull::new(channel) else {
        return end_copy(&store, then, -libc::ENOMEM);
    };
    let target = store.clone();
    let end = move |rc| {
        // SAFETY: it was allocated above, on this spdk_thread, and the calls have ended.
        unsafe { sys::spdk_bs_free_io_channel(channel.as_ptr()) };
        end_copy(&target, then, rc);
    };
    let target = store.clone();
    let begin = move |rc| {
        if rc != 0 {
            return end(rc);
        }
        let held = target.clone();
        // SAFETY: the store is loaded until `then` runs.
        let ended = move |rc| unsafe { release(target, move || end(rc)) };
        let copy = move || copy(channel.as_ptr(), Box::new(ended));
        // SAFETY: as above.
        unsafe { hold(held, copy) };
    };
    match ahead {
        // SAFETY: passed on; the channel was allocated above, and is freed by `end`.
        Some(clusters) => unsafe { Ahead::begin(store, channel, clusters, begin) },
        None => begin(0),
    }
}

/// Runs `then`, later, when no I/O is in flight on a store; what comes waits.
///
/// # Safety
/// As for [`visit_channels`].
unsafe fn hold(store: Arc<Store>, then: impl FnOnce() + 'static) {
    store.copies().is_held.store(true, Release);
    // SAFETY: passed on.
    unsafe { visit_channels(store, |_, requests| requests.hold(), then) };
}

/// The end of [`hold`]: what waits goes on. Then runs `then`, later.
///
/// # Safety
/// As for [`visit_channels`].
unsafe fn release(store: Arc<Store>, then: impl FnOnce() + 'static) {
    store.copies().is_held.store(false, Release);
    let visit = |_: &Store, requests: &Rc<Requests>| {
        requests.release();
        true
    };
    // SAFETY: passed on.
    unsafe { visit_channels(store, visit, then) };
}

/// Lets the next copy begin.
fn end_copy(store: &Store, then: Then, rc: c_int) {
    store.copies().is_going_on.set(false);
    let next = store.copies().next.borrow_mut().pop_front();
    then(rc);
    if let Some(next) = next {
        next();
    }
}

/// Visits the I/Os of a channel, on its spdk_thread; again in the next turn if it returns `false`.
type VisitRequests = fn(&Store, &Rc<Requests>) -> bool;

struct Visit {
    store: Arc<Store>,
    visit: VisitRequests,
    /// For the metadata thread.
    then: Box<dyn FnOnce()>,
}

/// Visits every channel of a store, one after the other; then runs `then`, later.
///
/// # Safety
/// The store is loaded until then, and this is its metadata thread.
unsafe fn visit_channels(store: Arc<Store>, visit: VisitRequests, then: impl FnOnce() + 'static) {
    let bs = store.as_ptr().cast();
    let then = Box::new(then);
    let visit = Box::into_raw(Box::new(Visit { store, visit, then }));
    // SAFETY: a store is an I/O device, by its address. The last function takes the visit back, after all others.
    unsafe { sys::spdk_for_each_channel(bs, Some(on_channel), visit.cast(), Some(visited)) };
}

unsafe extern "C" fn on_channel(iter: *mut sys::spdk_io_channel_iter) {
    // SAFETY: this is the function of `visit_channels`.
    guard("visit of a channel", || unsafe { go_on_visiting(iter) });
}

/// # Safety
/// The iteration is one of `visit_channels`, and waits for the current spdk_thread.
unsafe fn go_on_visiting(iter: *mut sys::spdk_io_channel_iter) {
    // SAFETY: as the caller says. The visit is there until the iteration ends, and `then` is left alone.
    unsafe {
        let visit = sys::spdk_io_channel_iter_get_ctx(iter).cast::<Visit>();
        let (store, f) = (&(*visit).store, (*visit).visit);
        let channel = NonNull::new(sys::spdk_io_channel_iter_get_channel(iter));
        match channel.and_then(Requests::known) {
            // SAFETY: nothing else lets the iteration go on.
            Some(requests) if !f(store, &requests) => later(move || go_on_visiting(iter)),
            _ => sys::spdk_for_each_channel_continue(iter, 0),
        }
    }
}

unsafe extern "C" fn visited(iter: *mut sys::spdk_io_channel_iter, _: c_int) {
    guard("end of a visit of channels", || {
        // SAFETY: from `into_raw` in `visit_channels`, taken back once.
        let visit =
            unsafe { Box::from_raw(sys::spdk_io_channel_iter_get_ctx(iter).cast::<Visit>()) };
        (visit.then)();
    });
}
