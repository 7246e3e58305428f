//! How many messages an spdk_thread sends itself for what it gives back.
//!
//! The end of a channel and of an io_device is a message of SPDK's. It runs 8 in a poll, and aborts the process when its queue
//! of an spdk_thread, of 65,535 messages, is full. So they are counted: when many are on their way, nothing new is made that
//! will be given back, and what is given back waits for one of the next turns. A message of ours after every so many of SPDK's
//! tells that these have run, since they run in order.
#![allow(unsafe_code)] // Sends the current spdk_thread a message.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;

use super::{Local, run_caught};
use crate::error::Fault;
use crate::{Errno, panic, sys};

/// How many are on their way at most. The other messages have the rest of the queue.
const MOST: u32 = 16_384;

/// After how many of SPDK's messages there is one of ours.
const EVERY: u32 = 256;

#[derive(Default)]
pub(super) struct Sent {
    on_their_way: Cell<u32>,
    since_ours: Cell<u32>,
    /// What is to be given back when there is room.
    later: RefCell<VecDeque<Box<dyn FnOnce()>>>,
}

impl Local {
    /// Whether more may be given back now.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.sent.on_their_way.get() < MOST
    }

    /// Refuses to make on the current spdk_thread what it will give back, when it has given back too much just now.
    pub(crate) fn check_room() -> Result<(), Fault> {
        match Local::here() {
            Some(local) if !local.has_room() => Err(Fault::errno(Errno::EAGAIN)),
            _ => Ok(()),
        }
    }

    /// The current spdk_thread has given something back, for which SPDK may have sent it a message.
    pub(crate) fn has_given_back() {
        if let Some(local) = Local::here() {
            local.count_message();
        }
    }

    /// Gives something back by `f` in one of the next turns. The caller is on the OS thread.
    pub(crate) fn give_back(&self, f: Box<dyn FnOnce()>) {
        self.sent.later.borrow_mut().push_back(f);
        self.has_work.set(true);
        self.stir();
    }

    /// Gives back what there is room for. Returns whether there was any.
    pub(super) fn give_back_some(&self) -> bool {
        let count = self.sent.later.borrow().len();
        for _ in 0..count {
            if !self.has_room() {
                self.has_work.set(true);
                break;
            }
            let next = self.sent.later.borrow_mut().pop_front();
            if let Some(f) = next {
                run_caught("release", f);
            }
        }
        count > 0
    }

    pub(super) fn has_given_all_back(&self) -> bool {
        self.sent.later.borrow().is_empty()
    }

    fn count_message(&self) {
        let Sent {
            on_their_way,
            since_ours,
            ..
        } = &self.sent;
        on_their_way.set(on_their_way.get() + 1);
        since_ours.set(since_ours.get() + 1);
        if since_ours.get() == EVERY {
            since_ours.set(0);
            // SAFETY: it is the current spdk_thread, and the function needs no context.
            unsafe {
                sys::spdk_thread_send_msg(self.thread.get(), Some(have_run), ptr::null_mut());
            }
        }
    }
}

unsafe extern "C" fn have_run(_: *mut c_void) {
    panic::guard("executor message", || {
        // Without one it has ended.
        if let Some(local) = Local::here() {
            let on_their_way = &local.sent.on_their_way;
            on_their_way.set(on_their_way.get().saturating_sub(EVERY));
        }
    });
}
