//! How an spdk_thread ends, as far as Rust is concerned.
#![allow(unsafe_code)] // Unregisters the poller, and exits spdk_threads of this crate.

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{LAST, LOCALS, Local, current_thread};
use crate::bdev_qos_leave;
use crate::each_thread;
use crate::panic;
use crate::shared::{Owner, Shared};
use crate::{shutdown, sys};

/// The spdk_threads, by their id, whose `Local` has ended, and that have not exited: they get no other one, which nobody
/// would end. Code of the user's still comes there, by the iterations over all spdk_threads.
static ENDED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

fn ended() -> MutexGuard<'static, BTreeSet<u64>> {
    ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is one of those.
pub(super) fn has_ended(id: u64) -> bool {
    ended().contains(&id)
}

impl Local {
    /// An spdk_thread runs nothing any more.
    pub(crate) fn has_exited(id: u64) {
        ended().remove(&id);
    }

    /// Ends the `Local` in its next turns: drops the tasks, waits for what is in flight, gives the
    /// objects back, and runs `then`, on this spdk_thread, as the last thing.
    pub(crate) fn end(&self, then: Box<dyn FnOnce()>) {
        self.ending.borrow_mut().push(then);
        if !self.is_ending.replace(true) {
            self.out_of_patience
                .set(Instant::now().checked_add(shutdown::patience()));
        }
        self.has_work.set(true);
        self.stir();
    }

    pub(super) fn end_step(self: &Rc<Self>) {
        let is_first = !self.is_reported.replace(true);
        if is_first {
            shutdown::report_tasks(&self.shared, self.executor.len());
        }
        self.executor.drop_tasks();
        if is_first {
            shutdown::report_objects(&self.shared, &self.open_objects());
        }
        let objects = self.revoke_idle();
        let quiet = objects == 0
            && self.operations.get() == 0
            && self.executor.is_empty()
            && self.deferred.borrow().is_empty()
            && self.has_given_all_back();
        if quiet && !self.has_no_limits.replace(true) {
            // What it begins are operations: the next turn sees whether there are any.
            let local = self.clone();
            let again: Rc<dyn Fn()> = Rc::new(move || local.has_no_limits.set(false));
            bdev_qos_leave::leave(&again);
        } else if quiet {
            self.finish();
        } else if self
            .out_of_patience
            .get()
            .is_some_and(|end| Instant::now() >= end)
        {
            self.out_of_patience.set(None);
            self.abort_operations();
        }
    }

    fn finish(self: &Rc<Self>) {
        ended().insert(self.shared.id());
        self.shared.close(self.messages.take());
        self.timers.close();
        let mut poller = self.poller.replace(ptr::null_mut());
        // SAFETY: registered in `start` on this spdk_thread, which is current; it may be
        // unregistered from inside itself. `self` keeps the `Local` for the rest of this turn.
        unsafe {
            sys::spdk_poller_unregister(&mut poller);
            drop(Rc::from_raw(Rc::as_ptr(self)));
        }
        if self.shared.owner() == Owner::Crate {
            // SAFETY: the spdk_thread is current, and this crate's.
            unsafe { exit(each_thread::Exit::begin()) };
        }
        self.thread.set(ptr::null_mut());
        LAST.set(ptr::null());
        // They may be gone: an `SpdkThread` in a thread-local variable can end after them.
        let _ = LOCALS.try_with(|locals| {
            let mut locals = locals.0.borrow_mut();
            locals.retain(|local| !Rc::ptr_eq(local, self));
        });
        // Nothing wakes a task here any more, so another spdk_thread can have the index.
        self.executor.close();
        Shared::unregister(self.index);
        for then in self.ending.take() {
            then();
        }
    }
}

/// Exits the current spdk_thread, when no iteration over the spdk_threads may be on its way to it.
///
/// # Safety
/// This crate has made the spdk_thread, and uses it no more.
unsafe fn exit(exit: each_thread::Exit) {
    unsafe extern "C" fn again(_: *mut c_void) {
        // SAFETY: sent below to an spdk_thread that this crate has made, and uses no more.
        panic::guard("end of an spdk_thread", || unsafe {
            self::exit(each_thread::Exit::again())
        });
    }
    let thread = current_thread();
    // SAFETY: the spdk_thread is current. Its reactor destroys it when this poll is over and what SPDK
    // still has to do on it is done. Else the message comes in one of its next polls.
    unsafe {
        match exit.hold_up() {
            Ok(_held_up) => {
                sys::spdk_thread_exit(thread);
                // SPDK says so itself from now on.
                Local::has_exited(sys::spdk_thread_get_id(thread));
            }
            Err(waits) => {
                waits.keep();
                sys::spdk_thread_send_msg(thread, Some(again), ptr::null_mut());
            }
        };
    }
}
