//! A closure on its way to an spdk_thread, and what it returns on its way back: one allocation, which the
//! caller makes and, unless it loses interest, frees. So nothing is freed on another OS thread than where
//! it was allocated, which costs as much as the message itself.
//!
//! The [`Message`] and the future own the allocation together; which of them goes last is settled by an
//! exchange of the state:
//!
//! ```text
//! Waiting <----> Registering             the future changes the waker
//!    |                |
//!    |                +----> Waking      the message has ended meanwhile, and takes the waker if it can
//!    |                         |
//!    +-------------------------+
//!                              v
//!                             Done       the future frees
//!
//! Waiting, Waking ----------> Gone       the future was dropped: the message frees
//! ```
//!
//! `Waiting` counts the changes of the waker: so the message can read that first, and find in one exchange that it was still
//! the one to wake.
//!
//! Nothing of SPDK is in this file, so that a model checker can run it.
#![allow(unsafe_code)] // The states above are what its `unsafe` code rests on.

use std::any::Any;
use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, RawWakerVTable, Waker};

use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::atomic::{AtomicPtr, AtomicU32};
use crate::inbox::{Head, Message};

/// The waker is the message's. Above these bits is how often it was changed.
const WAITING: u32 = 0;
/// The waker is the future's, which changes it.
const REGISTERING: u32 = 1;
/// The message has ended, and takes the waker.
const WAKING: u32 = 2;
/// Everything is the future's.
const DONE: u32 = 3;
/// Everything is the message's.
const GONE: u32 = 4;
/// One more change.
const CHANGED: u32 = 8;

/// Which of these a state is.
fn kind(state: u32) -> u32 {
    state % CHANGED
}

/// What the closure did, if it ran.
type Outcome<T> = Option<Result<T, Box<dyn Any + Send>>>;

// `repr(C)`: a pointer to it is one to its `Head`.
#[repr(C)]
struct Trip<F, T> {
    head: Head,
    state: AtomicU32,
    waker: AtomicWaker,
    closure: UnsafeCell<ManuallyDrop<F>>,
    outcome: UnsafeCell<Outcome<T>>,
}

/// The parts of a waker, which are read while somebody may change them. What was read is one if nobody has.
struct AtomicWaker {
    data: AtomicPtr<()>,
    vtable: AtomicPtr<RawWakerVTable>,
}

impl AtomicWaker {
    fn new(waker: Waker) -> Self {
        let waker = ManuallyDrop::new(waker);
        AtomicWaker {
            data: AtomicPtr::new(waker.data().cast_mut()),
            vtable: AtomicPtr::new(ptr::from_ref(waker.vtable()).cast_mut()),
        }
    }

    fn parts(&self) -> (*const (), *const RawWakerVTable) {
        (self.data.load(Relaxed), self.vtable.load(Relaxed))
    }

    /// Forgets the one that is there.
    fn set(&self, waker: Waker) {
        let waker = ManuallyDrop::new(waker);
        self.data.store(waker.data().cast_mut(), Relaxed);
        let vtable = ptr::from_ref(waker.vtable());
        self.vtable.store(vtable.cast_mut(), Relaxed);
    }
}

/// # Safety
/// They are those of a waker that the caller owns, and nobody uses else.
unsafe fn waker((data, vtable): (*const (), *const RawWakerVTable)) -> Waker {
    // SAFETY: passed on; a waker's table lives for ever.
    unsafe { Waker::new(data, &*vtable) }
}

/// The future of what a closure returns; `None` if it has been dropped instead.
pub(crate) struct RoundTrip<F, T> {
    /// `None` once it was ready.
    trip: Option<NonNull<Trip<F, T>>>,
    /// The waker that the message has or takes, to compare with; `None` if it takes none.
    waker: Option<(*const (), &'static RawWakerVTable)>,
}

// SAFETY: the pointer is to what is `Send`; the address of the waker is compared only.
unsafe impl<F: Send, T: Send> Send for RoundTrip<F, T> {}
// SAFETY: there is nothing to do with a reference to it.
unsafe impl<F: Send, T: Send> Sync for RoundTrip<F, T> {}

// The allocation stays where it is.
impl<F, T> Unpin for RoundTrip<F, T> {}

/// A message that runs the closure, and the future of its outcome, for the task of this waker.
pub(crate) fn new<F, T>(closure: F, waker: Waker) -> (Message, RoundTrip<F, T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let known = Some((waker.data(), waker.vtable()));
    let trip = NonNull::from(Box::leak(Box::new(Trip {
        head: Head::new(take::<F, T>),
        state: AtomicU32::new(WAITING),
        waker: AtomicWaker::new(waker),
        closure: UnsafeCell::new(ManuallyDrop::new(closure)),
        outcome: UnsafeCell::new(None),
    })));
    // SAFETY: `take` treats what begins with this head as a `Trip<F, T>`, which it is; what the message
    // carries is `Send`.
    let message = unsafe { Message::of(trip.cast()) };
    let future = RoundTrip {
        trip: Some(trip),
        waker: known,
    };
    (message, future)
}

/// The message's end.
struct End<F, T>(NonNull<Trip<F, T>>);

/// # Safety
/// `head` is that of a `Trip<F, T>`, whose message ends with this call.
unsafe fn take<F: FnOnce() -> T, T>(head: NonNull<Head>, run: bool) {
    let end = End(head.cast::<Trip<F, T>>());
    // SAFETY: the message has a share of the allocation until `end` is dropped; the closure is its own,
    // and taken once.
    let closure = unsafe { ManuallyDrop::take(&mut *end.0.as_ref().closure.get()) };
    if run {
        let outcome = catch_unwind(AssertUnwindSafe(closure));
        // SAFETY: the outcome is the message's until its end.
        unsafe { *end.0.as_ref().outcome.get() = Some(outcome) };
    }
}

impl<F, T> Drop for End<F, T> {
    fn drop(&mut self) {
        // SAFETY: the message has its share until it leaves the state `DONE`, or finds `GONE`.
        let trip = unsafe { self.0.as_ref() };
        let state = trip.state.load(Acquire);
        // Before the exchange, after which the future may free it.
        let parts = trip.waker.parts();
        let is_waiting = kind(state) == WAITING;
        if is_waiting
            && trip
                .state
                .compare_exchange(state, DONE, AcqRel, Relaxed)
                .is_ok()
        {
            // SAFETY: the waker was the message's from the look at the state on, else that would be another one.
            return unsafe { waker(parts) }.wake();
        }
        self.end_late();
    }
}

impl<F, T> End<F, T> {
    /// The future has changed the waker meanwhile, or is doing so, or has gone.
    #[cold]
    fn end_late(&self) {
        // SAFETY: as above.
        let trip = unsafe { self.0.as_ref() };
        let waker = match kind(trip.state.swap(WAKING, AcqRel)) {
            // SAFETY: the future has left, so everything is the message's.
            GONE => return drop(unsafe { free(self.0, true) }),
            // The future is about to leave another waker here, and finds that it is late.
            REGISTERING => None,
            // SAFETY: it is the message's in `WAITING`.
            _ => Some(unsafe { waker(trip.waker.parts()) }),
        };
        if trip.state.swap(DONE, AcqRel) == GONE {
            // SAFETY: as above; the waker was taken, here or by the future.
            return drop(unsafe { free(self.0, false) });
        }
        // The allocation may be gone by now.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Frees the allocation, and drops the outcome and, if it is there, the waker.
///
/// # Safety
/// Both are the caller's, and nobody has the allocation any more.
unsafe fn free<F, T>(trip: NonNull<Trip<F, T>>, has_waker: bool) -> Outcome<T> {
    // SAFETY: made by `Box::leak` in `new`. The closure was taken.
    let trip = unsafe { *Box::from_raw(trip.as_ptr()) };
    if has_waker {
        // SAFETY: passed on.
        drop(unsafe { waker(trip.waker.parts()) });
    }
    trip.outcome.into_inner()
}

impl<F, T> Future for RoundTrip<F, T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let Some(place) = self.trip else {
            panic!("a round trip was polled after it was ready");
        };
        // SAFETY: the future has a share of the allocation until it is ready or dropped.
        let trip = unsafe { place.as_ref() };
        let mut state = trip.state.load(Acquire);
        let is_same = self.waker.is_some_and(|(data, vtable)| {
            data == cx.waker().data() && ptr::eq(vtable, cx.waker().vtable())
        });
        if kind(state) == WAITING && !is_same {
            state = trip.register(state, cx.waker());
            let is_known = kind(state) == WAITING;
            self.waker = is_known.then(|| (cx.waker().data(), cx.waker().vtable()));
        }
        match kind(state) {
            DONE => {
                self.trip = None;
                // SAFETY: in `DONE` everything is the future's, and the waker was taken.
                Poll::Ready(unsafe { free(place, false) })
            }
            WAITING => Poll::Pending,
            _ => {
                // It is about to be done, and does not wake this one.
                if !is_same {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}

impl<F, T> Trip<F, T> {
    /// Leaves this waker instead of the one that is there, unless the message has ended; returns the state.
    #[cold]
    fn register(&self, state: u32, new: &Waker) -> u32 {
        let new = new.clone();
        let registering = state - WAITING + REGISTERING;
        let begun = self
            .state
            .compare_exchange(state, registering, Acquire, Acquire);
        if let Err(state) = begun {
            return state;
        }
        let before = self.waker.parts();
        self.waker.set(new);
        // Dropped last, since that is the user's code.
        // SAFETY: in `REGISTERING` the waker is the future's, and it is there no more.
        let _before = unsafe { waker(before) };
        let changed = state.wrapping_add(CHANGED);
        match self
            .state
            .compare_exchange(registering, changed, Release, Acquire)
        {
            Ok(_) => changed,
            Err(state) => {
                // SAFETY: the message has left it to the future.
                drop(unsafe { waker(self.waker.parts()) });
                state
            }
        }
    }
}

impl<F, T> Drop for RoundTrip<F, T> {
    fn drop(&mut self) {
        let Some(trip) = self.trip else { return };
        // SAFETY: as for `poll`.
        if unsafe { trip.as_ref() }.state.swap(GONE, AcqRel) == DONE {
            // SAFETY: as for `poll`.
            drop(unsafe { free(trip, false) });
        }
    }
}
