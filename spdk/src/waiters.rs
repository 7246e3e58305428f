//! Operations that wait for a request of their queue, in order.
//!
//! SPDK's NVMe driver has no list of those that it refused with `-ENOMEM`: whoever polls the queue lets
//! them go on here.
#![allow(unsafe_code)] // Calls back the operations that wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_void;

/// Lets an operation go on, with its context.
type GoOn = unsafe extern "C" fn(*mut c_void);

/// The operations that wait.
#[derive(Default)]
pub struct Waiters {
    queue: RefCell<VecDeque<(GoOn, *mut c_void)>>,
    count: Cell<usize>,
    /// Whether the first of them tries again.
    is_trying: Cell<bool>,
}

impl Waiters {
    /// Whether a new operation has to wait, since others were there before it.
    #[inline]
    pub(crate) fn are_first(&self) -> bool {
        self.count.get() != 0 && !self.is_trying.get()
    }

    /// Whether the first of them tries again.
    #[inline]
    pub(crate) fn is_trying(&self) -> bool {
        self.is_trying.get()
    }

    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// One more waits.
    ///
    /// # Safety
    /// `go_on` may be called with `arg` once, at any time after this call, on this spdk_thread.
    pub(crate) unsafe fn push(&self, go_on: GoOn, arg: *mut c_void) {
        let mut queue = self.queue.borrow_mut();
        match self.is_trying.get() {
            // It was the first, and is again.
            true => queue.push_front((go_on, arg)),
            false => queue.push_back((go_on, arg)),
        }
        self.count.set(queue.len());
    }

    fn pop(&self) -> Option<(GoOn, *mut c_void)> {
        let mut queue = self.queue.borrow_mut();
        let first = queue.pop_front();
        self.count.set(queue.len());
        first
    }

    /// Lets them go on, the first one first, until one has to wait again. Returns whether any did not.
    pub(crate) fn go_on(&self) -> bool {
        let mut any = false;
        loop {
            let before = self.count();
            let Some((go_on, arg)) = self.pop() else {
                return any;
            };
            self.is_trying.set(true);
            // SAFETY: the promise of `push`; it was taken out of the queue, so this is once.
            unsafe { go_on(arg) };
            self.is_trying.set(false);
            if self.count() >= before {
                return any;
            }
            any = true;
        }
    }
}
