//! The tasks of our own executor, as far as their wakers name them.

use std::ptr;
use std::task::Waker;

use crate::waker;

/// For whom the spdk_thread is claimed that is not told.
pub(crate) const NOBODY: *const () = ptr::dangling();

/// The number of a waker that is a task's.
#[derive(Clone, Copy)]
pub(crate) struct TaskRef(pub(crate) usize);

impl TaskRef {
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        ptr::eq(waker.vtable(), &waker::TASK).then(|| TaskRef(waker.data().addr()))
    }

    pub(crate) fn wake(self) {
        waker::woken(self.0);
    }
}
