//! What an operation holds, and where it resumes its task.
#![allow(unsafe_code)] // Drops a part in its place.

use std::mem::ManuallyDrop;

use crate::c;
use crate::executor::TaskRef;
use crate::parts::INTACT;
use crate::waker;
use crate::world::{require, with};

/// Of this operation.
pub(crate) struct Home(usize);

impl Home {
    /// The script polls, if it likes, in the wake.
    pub(crate) unsafe fn resume(self, task: TaskRef) {
        let (allowed, its_own) = with(|world| {
            let operation = &world.operations[self.0];
            (
                operation.may_resume() && operation.thread == world.thread && c::with_done(self.0),
                world.wakers[task.0].operation == self.0,
            )
        });
        require(allowed, "a task is resumed where it may not be");
        require(its_own, "the task of another operation is resumed");
        waker::woken(task.0);
    }
}

pub(crate) trait Held: 'static {
    fn home(&self) -> Home;
    unsafe fn drop(held: &mut ManuallyDrop<Self>);
}

impl Held for crate::parts::Held {
    fn home(&self) -> Home {
        require(
            self.intact == INTACT,
            "`held` is gone, and asked for its home",
        );
        Home(self.operation)
    }

    unsafe fn drop(held: &mut ManuallyDrop<Self>) {
        // SAFETY: passed on.
        unsafe { ManuallyDrop::drop(held) }
    }
}
