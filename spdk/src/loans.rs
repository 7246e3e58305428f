//! How many operations hold a piece of memory, and who frees it when its owner leaves before them.
//!
//! Only the OS thread that made the first of the outstanding loans changes the count, so plain loads and
//! stores do. The owner may be on another OS thread: it looks at the count, and leaves the memory alone
//! while there are loans.
//!
//! Nothing of SPDK is in this file, so that a model checker can run it.

use crate::atomic::AtomicU32;
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::cell::Cell;
use crate::os_thread::Id;

/// Set in the count while the one loan is to an operation that writes into the memory.
const FILLING: u32 = 1 << 31;

pub(crate) struct Loans {
    /// How many operations hold the memory, plus [`FILLING`]. Written by `lender` only.
    count: AtomicU32,
    /// The OS thread that lent; meaningful while there are loans.
    lender: Cell<Id>,
    /// Whether the last loan has to free the memory. Set on the lender's OS thread only.
    orphan: Cell<bool>,
}

/// Who frees memory whose owner leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heir {
    /// The owner, now.
    Owner,
    /// The end of the last loan.
    LastLoan,
    /// Whoever sees later that there are no loans: they end on another OS thread.
    Sweep,
}

impl Loans {
    pub(crate) fn none() -> Self {
        Loans {
            count: AtomicU32::new(0),
            lender: Cell::new(Id::NONE),
            orphan: Cell::new(false),
        }
    }

    /// Whether there are any. Without, what the operations did to the memory is seen.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Acquire) != 0
    }

    #[inline]
    pub(crate) fn is_filling(&self) -> bool {
        self.count.load(Acquire) & FILLING != 0
    }

    /// Whether [`Loans::share`] is allowed on this OS thread.
    pub(crate) fn can_share(&self) -> bool {
        let count = self.count.load(Acquire);
        count == 0 || (count & FILLING == 0 && self.lender.get() == Id::current())
    }

    /// A loan to one more operation that reads. The owner's, if [`Loans::can_share`].
    #[inline]
    pub(crate) fn share(&self) {
        let count = self.count.load(Relaxed);
        if count == 0 {
            self.lender.set(Id::current());
        }
        self.count.store(count + 1, Relaxed);
    }

    /// A loan to the one operation that writes. The owner's, without other loans.
    #[inline]
    pub(crate) fn fill(&self) {
        self.lender.set(Id::current());
        self.count.store(FILLING | 1, Relaxed);
    }

    /// Ends a loan, on the OS thread that made it; returns whether the memory is to be freed. Else it may
    /// be gone on return.
    #[inline]
    #[must_use]
    pub(crate) fn end(&self) -> bool {
        // A loan that fills is the only one, so without its flag the count is what is left.
        let left = (self.count.load(Relaxed) - 1) & !FILLING;
        // Looked at before the store: after it another OS thread may sweep the memory away.
        let orphan = self.orphan.get();
        self.count.store(left, Release);
        orphan && left == 0
    }

    /// The owner leaves.
    #[must_use]
    pub(crate) fn leave(&self) -> Heir {
        if !self.any() {
            Heir::Owner
        } else if self.lender.get() == Id::current() {
            self.orphan.set(true);
            Heir::LastLoan
        } else {
            Heir::Sweep
        }
    }
}
