//! When there is nothing for an spdk_thread's turns: the poller pauses, or in interrupt mode no turn is asked for.
#![allow(unsafe_code)] // Pauses and resumes the poller, and asks SPDK for turns.

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use super::{Local, current_thread};
use crate::{interrupt, panic, sys};

impl Local {
    /// Pauses the poller, unless there is something for it.
    #[cold]
    pub(super) fn sleep(&self) {
        self.idle_turns.set(0);
        if interrupt::is_enabled() {
            return; // see `turn_and_rest`
        }
        // What comes from another OS thread from here on wakes it up.
        if self.shared.sleep() && self.wakeups.sleep() {
            self.is_asleep.set(true);
            // SAFETY: this is its spdk_thread, inside the poller.
            unsafe { sys::spdk_poller_pause(self.poller.get()) };
        } else {
            self.shared.is_up();
        }
    }

    /// Has the poller run again, if it pauses: there is something for it. On this OS thread.
    #[inline]
    pub(crate) fn stir(&self) {
        if self.is_asleep.get() {
            self.wake_up();
        }
    }

    #[cold]
    fn wake_up(&self) {
        self.is_asleep.set(false);
        self.shared.is_up();
        self.wakeups.wake_up();
        if interrupt::is_enabled() {
            return self.ask_for_turn();
        }
        let (thread, current) = (self.thread.get(), current_thread());
        // SAFETY: the spdk_thread exists and is of this OS thread, and so is the poller, which `finish`
        // unregisters when it is awake. No code but SPDK's runs while another one is current.
        unsafe {
            sys::spdk_set_thread(thread);
            sys::spdk_poller_resume(self.poller.get());
            sys::spdk_set_thread(current);
        }
    }

    /// In interrupt mode turns come by SPDK's messages, which wake the reactor. One is on its way unless
    /// this is asleep.
    #[cold]
    fn ask_for_turn(&self) {
        // SAFETY: the spdk_thread exists, and the function needs no context.
        unsafe {
            sys::spdk_thread_send_msg(self.thread.get(), Some(run_turn), ptr::null_mut());
        }
    }

    /// The turn that was asked for, and another one or none.
    #[cold]
    fn turn_and_rest(self: &Rc<Self>) {
        if self.is_asleep.get() {
            return; // one too many, after a change of the mode
        }
        if !self.has_no_work() {
            self.turn();
        }
        if self.thread.get().is_null() {
            return; // it has ended
        }
        // What comes from another OS thread from here on asks again.
        if self.has_no_work() && self.shared.sleep() && self.wakeups.sleep() {
            self.is_asleep.set(true);
        } else {
            self.shared.is_up();
            self.ask_for_turn();
        }
    }
}

/// A turn in interrupt mode.
unsafe extern "C" fn run_turn(_: *mut c_void) {
    panic::guard("executor message", || {
        if let Some(local) = Local::here() {
            local.turn_and_rest();
        }
    });
}

/// SPDK begins to wait for the file descriptors of the spdk_thread, or polls it again.
pub(super) unsafe extern "C" fn set_mode(
    _: *mut sys::spdk_poller,
    arg: *mut c_void,
    interrupt_mode: bool,
) {
    panic::guard("executor mode", || {
        // SAFETY: the poller is registered, and has a counted reference; this changes nothing.
        let local = unsafe { &*arg.cast::<Local>().cast_const() };
        if local.is_asleep.replace(false) {
            local.shared.is_up();
            local.wakeups.wake_up();
        }
        if interrupt_mode {
            local.ask_for_turn();
        }
    });
}
