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

use super::calls::{Then, later};
use super::requests::Requests;
use super::store::{Store, when_written};
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

/// Has a blob get what it has of its parent: runs `copy`, which is given a channel, and what it has to call with the
/// errno of that, negative, or 0. `then` gets it too.
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
/// So it begins when no I/O is in flight on the store, and what comes waits for its end.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread. `copy` begins at once, and uses the channel
/// until it calls what it is given, once.
pub(super) unsafe fn copy_clusters(
    store: Arc<Store>,
    copy: impl FnOnce(*mut sys::spdk_io_channel, Then) + 'static,
    then: impl FnOnce(c_int) + 'static,
) {
    copy_in_turn(store, Box::new(copy), Box::new(then));
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
            copy_in_turn(store, write, Box::new(then));
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
    copy_in_turn(store, Box::new(make), Box::new(then));
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

fn copy_in_turn(store: Arc<Store>, copy: CopyClusters, then: Then) {
    if store.copies().is_going_on.replace(true) {
        let next = store.clone();
        let next = Box::new(move || copy_in_turn(next, copy, then));
        return store.copies().next.borrow_mut().push_back(next);
    }
    // SAFETY: the store is loaded, and any spdk_thread may have a channel of it.
    let channel = unsafe { sys::spdk_bs_alloc_io_channel(store.as_ptr()) };
    let Some(channel) = NonNull::new(channel) else {
        return end_copy(&store, then, -libc::ENOMEM);
    };
    store.copies().is_held.store(true, Release);
    let target = store.clone();
    let ended = move |rc| {
        target.copies().is_held.store(false, Release);
        let store = target.clone();
        let released = move || {
            // SAFETY: it was allocated above, on this spdk_thread, and the call has ended.
            unsafe { sys::spdk_bs_free_io_channel(channel.as_ptr()) };
            end_copy(&store, then, rc);
        };
        let release = |_: &Store, requests: &Rc<Requests>| {
            requests.release();
            true
        };
        // SAFETY: the store is loaded until `then` runs.
        unsafe { visit_channels(target, release, released) };
    };
    let begin = move || copy(channel.as_ptr(), Box::new(ended));
    // SAFETY: passed on; nothing ends before this.
    unsafe { visit_channels(store, |_, requests| requests.hold(), begin) };
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
