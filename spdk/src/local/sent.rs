//! How many messages an spdk_thread sends itself for what it gives back.
//!
//! The end of a channel and of an io_device is a message of SPDK's. It runs 8 in a poll, and aborts the process when its queue
//! of an spdk_thread, of 65,535 messages, is full. So they are counted: when many are on their way, nothing new is made that
//! will be given back, and what is given back waits for one of the next turns. A message of ours after every so many of SPDK's
//! tells that these have run, since they run in order.
#![allow(unsafe_code)] // Sends the current spdk_thread a message.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use super::Local;
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

    fn count_message(&self) {
        let Sent {
            on_their_way,
            since_ours,
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
