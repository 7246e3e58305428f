//! A cheap identity of OS threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Names an OS thread for the life of the process: a number is not given twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Id(u64);

thread_local! {
    static ID: Cell<u64> = const { Cell::new(0) };
}

impl Id {
    /// No OS thread.
    pub(crate) const NONE: Id = Id(0);

    #[inline]
    pub(crate) fn current() -> Id {
        match ID.get() {
            0 => Self::assign(),
            id => Id(id),
        }
    }

    #[cold]
    fn assign() -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        ID.set(id);
        Id(id)
    }
}
