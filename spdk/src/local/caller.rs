//! The spdk_thread that is current, for calls and operations.
#![allow(unsafe_code)] // Asks SPDK for it, and keeps its `Local` without a count.

use std::cell::Cell;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::rc::Rc;

use super::Local;
use crate::error::Fault;
use crate::executor::TaskRef;
use crate::handle::AtHome;
use crate::sys;

/// The current spdk_thread; null without one.
#[inline]
pub(crate) fn current_thread() -> *mut sys::spdk_thread {
    // SAFETY: reads a thread-local variable of SPDK.
    unsafe { sys::spdk_get_thread() }
}

/// The name of an spdk_thread.
///
/// # Safety
/// It is null, or exists.
pub(crate) unsafe fn thread_name(thread: *mut sys::spdk_thread) -> String {
    if thread.is_null() {
        return "no spdk_thread".to_owned();
    }
    // SAFETY: passed on. Its name is a C string, as long as it exists.
    let name = unsafe { CStr::from_ptr(sys::spdk_thread_get_name(thread)) };
    name.to_string_lossy().into_owned()
}

/// The spdk_thread that is current during a call: looked up once for all that the call touches.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Caller<'a>(*mut sys::spdk_thread, PhantomData<&'a ()>);

impl Caller<'_> {
    #[inline]
    pub(crate) fn thread(self) -> *mut sys::spdk_thread {
        self.0
    }
}

/// Runs the first part of a call. What it needs of the spdk_thread it asks of the [`Caller`].
///
/// As a call of its own it ends before the first await, so that nothing of it is kept in the future.
#[doc(hidden)]
#[inline(always)]
pub fn begin<T>(start: impl FnOnce(Caller<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
    start(Caller(current_thread(), PhantomData))
}

/// The spdk_thread of an operation in flight, without a count.
#[derive(Clone, Copy)]
pub struct Home(*const Local);

impl Home {
    #[inline]
    pub(crate) fn of(local: &Rc<Local>) -> Home {
        Home(Rc::as_ptr(local))
    }

    /// Wakes the task that waits for an operation, in the operation's callback.
    ///
    /// It is polled here and now if it can be: what the callback touched is still in the cache, and C
    /// code would go on here too. Not from inside a task or a message, and not on behalf of another
    /// spdk_thread: there it is woken.
    ///
    /// # Safety
    ///
    /// This is inside a callback on the spdk_thread of the operation, which was in flight until now.
    #[inline(always)]
    pub(crate) unsafe fn resume(self, task: TaskRef) {
        // SAFETY: `LOCALS` holds a `Local` until it ends. That needs all its operations to have
        // ended, and then a turn of its own, which is no part of a callback.
        let local = unsafe { &*self.0 };
        if task.index() == local.index && local.executor.enter() {
            // SAFETY: just entered, and the index is that of the executor.
            unsafe { local.executor.run(task) };
            local.leave();
        } else {
            task.wake();
        }
    }
}

impl Home {
    /// Claims the spdk_thread for code of the user's until [`Home::leave`]; `false` if such code runs already, or is to run
    /// no more since the spdk_thread ends.
    ///
    /// # Safety
    /// As for [`Home::resume`], or its spdk_thread has not ended.
    #[inline(always)]
    pub(crate) unsafe fn enter_for(&self, whom: *const ()) -> bool {
        // SAFETY: as in `resume`.
        let local = unsafe { &*self.0 };
        !local.is_ending.get() && local.executor.enter_for(whom)
    }

    /// For whom it is claimed; null if it is not, or [`NOBODY`](crate::executor::NOBODY).
    ///
    /// # Safety
    /// Its spdk_thread has not ended.
    pub(crate) unsafe fn entered(&self) -> &Cell<*const ()> {
        // SAFETY: passed on.
        unsafe { &*self.0 }.executor.entered()
    }

    /// Ends what [`Home::enter_for`] began.
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self) {
        // SAFETY: as in `resume`.
        unsafe { &*self.0 }.leave();
    }
}

/// Counts an operation that holds no object of its spdk_thread, so that the thread waits for it.
#[doc(hidden)]
pub struct Here(Rc<Local>);

impl Here {
    /// An operation on the current spdk_thread.
    pub fn now() -> Result<Here, Fault> {
        let local = Local::current()?;
        local.operations.set(local.operations.get() + 1);
        Ok(Here(local))
    }
}

impl AtHome for Here {
    fn home(&self) -> Home {
        Home::of(&self.0)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.operations.set(self.0.operations.get() - 1);
    }
}
