//! What an operation holds, and where it resumes its task.
#![allow(unsafe_code)] // Drops a part in its place.

use std::mem::ManuallyDrop;
use std::task::Waker;

pub(crate) struct Home;

impl Home {
    /// The script polls, if it likes, in the wake.
    pub(crate) unsafe fn resume(self, waker: Waker) {
        waker.wake();
    }
}

pub(crate) trait Held: 'static {
    fn home(&self) -> Home;
    unsafe fn drop(held: &mut ManuallyDrop<Self>);
}

impl Held for crate::parts::Held {
    fn home(&self) -> Home {
        Home
    }

    unsafe fn drop(held: &mut ManuallyDrop<Self>) {
        // SAFETY: passed on.
        unsafe { ManuallyDrop::drop(held) }
    }
}
