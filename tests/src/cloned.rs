//! A waker whose clone runs code, as those of some executors do.
#![allow(unsafe_code)] // Makes a `RawWaker`; `std::task::Wake` has no say in a clone.

use std::cell::Cell;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

thread_local! {
    static IN_CLONE: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
    static WAKES: Cell<u32> = const { Cell::new(0) };
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        if let Some(run) = IN_CLONE.take() {
            run();
        }
        RawWaker::new(data, &VTABLE)
    },
    |_| WAKES.set(WAKES.get() + 1),
    |_| WAKES.set(WAKES.get() + 1),
    |_| {},
);

/// A waker that runs `f` in its next clone on this OS thread.
pub fn waker(f: impl FnOnce() + 'static) -> Waker {
    IN_CLONE.set(Some(Box::new(f)));
    // SAFETY: the functions use no data, and variables of the OS thread that calls them only.
    unsafe { Waker::new(ptr::null(), &VTABLE) }
}

/// How often such a waker was woken on this OS thread.
pub fn wakes() -> u32 {
    WAKES.get()
}
