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
    /// Whether the next submission, or wait, is that of the first of them.
    is_firsts: Cell<bool>,
}

impl Waiters {
    /// Whether the submission that begins is that of the first of them, which tries again. Asked once in
    /// each: what else is submitted until it has ended is not its.
    #[inline]
    pub(crate) fn take_turn(&self) -> bool {
        self.is_firsts.get() && self.is_firsts.replace(false)
    }

    /// The one that took its turn waits again, and is the first still.
    pub(crate) fn give_turn_back(&self) {
        self.is_firsts.set(true);
    }

    /// Whether none of them waits, or goes on.
    #[allow(dead_code, reason = "only NVMe asks")]
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.count.get() == 0 && !self.is_firsts.get()
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
        match self.is_firsts.replace(false) {
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
            self.is_firsts.set(true);
            // SAFETY: the promise of `push`; it was taken out of the queue, so this is once.
            unsafe { go_on(arg) };
            self.is_firsts.set(false);
            if self.count() >= before {
                return any;
            }
            any = true;
        }
    }
}
