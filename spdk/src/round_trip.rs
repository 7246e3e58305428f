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
//!    +----------------+----> Waking      the message has ended, and takes the waker
//!                              |
//!                              v
//!                             Done       the future frees
//!
//! Waiting, Waking ----------> Gone       the future was dropped: the message frees
//! ```
//!
//! Nothing of SPDK is in this file, so that a model checker can run it.
#![allow(unsafe_code)] // The states above are what its `unsafe` code rests on.

use std::any::Any;
use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, RawWakerVTable, Waker};

use crate::atomic::AtomicU8;
use crate::atomic::Ordering::{AcqRel, Acquire, Release};
use crate::inbox::{Head, Message};

/// The waker is the message's.
const WAITING: u8 = 0;
/// The waker is the future's, which changes it.
const REGISTERING: u8 = 1;
/// The message has ended, and takes the waker.
const WAKING: u8 = 2;
/// Everything is the future's.
const DONE: u8 = 3;
/// Everything is the message's.
const GONE: u8 = 4;

/// What the closure did, if it ran.
type Outcome<T> = Option<Result<T, Box<dyn Any + Send>>>;

// `repr(C)`: a pointer to it is one to its `Head`.
#[repr(C)]
struct Trip<F, T> {
    head: Head,
    state: AtomicU8,
    waker: UnsafeCell<ManuallyDrop<Waker>>,
    closure: UnsafeCell<ManuallyDrop<F>>,
    outcome: UnsafeCell<Outcome<T>>,
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
        state: AtomicU8::new(WAITING),
        waker: UnsafeCell::new(ManuallyDrop::new(waker)),
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
        let state = unsafe { &self.0.as_ref().state };
        let waker = match state.swap(WAKING, AcqRel) {
            // SAFETY: the future has left, so everything is the message's.
            GONE => return drop(unsafe { free(self.0, true) }),
            // The future is about to leave another waker here, and finds that it is late.
            REGISTERING => None,
            // SAFETY: it is the message's in `WAITING`.
            _ => Some(unsafe { self.0.as_ref().take_waker() }),
        };
        if state.swap(DONE, AcqRel) == GONE {
            // SAFETY: as above; the waker was taken, here or by the future.
            return drop(unsafe { free(self.0, false) });
        }
        // The allocation may be gone by now.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<F, T> Trip<F, T> {
    /// # Safety
    /// It is the caller's, and it is there.
    unsafe fn take_waker(&self) -> Waker {
        // SAFETY: passed on.
        unsafe { ManuallyDrop::take(&mut *self.waker.get()) }
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
        drop(ManuallyDrop::into_inner(trip.waker.into_inner()));
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
        if state == WAITING && !is_same {
            state = trip.register(cx.waker());
            self.waker = (state == WAITING).then(|| (cx.waker().data(), cx.waker().vtable()));
        }
        match state {
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
    fn register(&self, waker: &Waker) -> u8 {
        let waker = waker.clone();
        let begun = self
            .state
            .compare_exchange(WAITING, REGISTERING, Acquire, Acquire);
        if let Err(state) = begun {
            return state;
        }
        // SAFETY: in `REGISTERING` the waker is the future's.
        let before = unsafe { mem::replace(&mut *self.waker.get(), ManuallyDrop::new(waker)) };
        // Dropped last, since that is the user's code.
        let _before = ManuallyDrop::into_inner(before);
        match self
            .state
            .compare_exchange(REGISTERING, WAITING, Release, Acquire)
        {
            Ok(_) => WAITING,
            Err(state) => {
                // SAFETY: the message has left it to the future.
                drop(unsafe { self.take_waker() });
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
