//! The pool of slots, counted. A freed slot is filled with nonsense, so that a use of it is noticed.
#![allow(unsafe_code)] // Passes the pool's own contract on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use crate::pool;

type Free = unsafe fn(NonNull<u8>);

thread_local! {
    static LIVE: RefCell<BTreeMap<usize, (NonNull<u8>, Free)>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) fn alloc<T>() -> NonNull<T> {
    let slot = pool::alloc::<T>();
    LIVE.with_borrow_mut(|live| {
        // SAFETY: called for this slot, which the pool gave out as a `T`.
        let free: Free = |slot| unsafe { pool::free::<T>(slot.cast()) };
        let before = live.insert(slot.addr().get(), (slot.cast(), free));
        assert!(before.is_none(), "the pool gave a slot twice");
    });
    slot
}

/// # Safety
/// As the pool's.
pub(crate) unsafe fn free<T>(slot: NonNull<T>) {
    let known = LIVE.with_borrow_mut(|live| live.remove(&slot.addr().get()));
    crate::world::require(known.is_some(), "a slot is freed that is not in use");
    // SAFETY: the slot is not used any more, as the caller says.
    unsafe {
        slot.cast::<u8>().write_bytes(0xdd, size_of::<T>());
        pool::free(slot);
    }
}

/// How many slots are in use.
pub(crate) fn live() -> usize {
    LIVE.with_borrow(BTreeMap::len)
}

/// Takes back what forgotten futures leak, before the next execution.
pub(crate) fn reclaim() {
    for (slot, free) in LIVE.take().into_values() {
        // SAFETY: the execution has ended, and nobody has a pointer to the slot any more.
        unsafe { free(slot) };
    }
}
