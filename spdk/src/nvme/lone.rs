//! A queue pair over TCP that is polled by itself.
//!
//! In a group SPDK asks the kernel which connections have received something, and then each of them for that. Without a
//! group it asks the connection at once, so that at queue depth 1 an I/O over loopback takes 7 % less time. But that costs
//! more when nothing has come, and for each connection. So it is for one queue pair of an spdk_thread, and seldom while
//! nothing is in flight on it.
#![allow(unsafe_code)] // Polls a queue pair.

use std::cell::Cell;
use std::ptr::NonNull;

use crate::{log, sys};

/// Of so many polls one is made while nothing is in flight.
const SELDOM: u8 = 64;

/// As often SPDK is polled at once to see a disconnect to its end, which takes three polls.
const POLLS_TO_END: usize = 4;

#[derive(Default)]
pub(super) struct Lone {
    is_polled: Cell<bool>,
    skipped: Cell<u8>,
    has_connected: Cell<bool>,
    /// Whether it was disconnected here. SPDK has not always seen that to its end.
    is_cut: Cell<bool>,
}

/// What a poll has found.
#[derive(Default)]
pub(super) struct Found {
    /// How many commands have ended.
    pub(super) ended: u32,
    /// It has no commands any more.
    pub(super) is_disconnected: bool,
}

impl Lone {
    /// Polls it, for as many commands as there are in flight, if that is known, and at most for `most`.
    ///
    /// # Safety
    /// The queue pair is over TCP and in no group, and not freed. This is its spdk_thread.
    #[inline]
    pub(super) unsafe fn poll(
        &self,
        qpair: NonNull<sys::spdk_nvme_qpair>,
        in_flight: Option<usize>,
        most: u32,
    ) -> Found {
        // SAFETY: as the caller says.
        let is_connected = || unsafe { sys::spdk_nvme_qpair_is_connected(qpair.as_ptr()) };
        // A task that goes on in the poll may poll its spdk_thread.
        if (in_flight == Some(0) && is_connected() && self.skips()) || self.is_polled.replace(true)
        {
            return Found::default();
        }
        // SAFETY: as the caller says.
        let found = unsafe {
            match self.is_cut.get() {
                true => Found {
                    ended: 0,
                    is_disconnected: self.goes(qpair, false),
                },
                false => self.reap(qpair, in_flight, most),
            }
        };
        self.is_polled.set(false);
        found
    }

    /// # Safety
    /// As for `poll`.
    #[inline]
    unsafe fn reap(
        &self,
        qpair: NonNull<sys::spdk_nvme_qpair>,
        in_flight: Option<usize>,
        most: u32,
    ) -> Found {
        let in_flight = in_flight.and_then(|count| u32::try_from(count).ok());
        let most = in_flight.map_or(most, |count| count.clamp(1, most));
        // SAFETY: as the caller says. Nobody asks SPDK to free it in a completion, and no task that goes on in one polls it.
        let ended = unsafe { sys::spdk_nvme_qpair_process_completions(qpair.as_ptr(), most) };
        // SAFETY: as the caller says.
        let is_disconnected = match unsafe { sys::spdk_nvme_qpair_is_connected(qpair.as_ptr()) } {
            true => {
                self.has_connected.set(true);
                false
            }
            // SAFETY: as the caller says.
            false => unsafe { self.goes(qpair, ended < 0) },
        };
        Found {
            ended: u32::try_from(ended).unwrap_or(0),
            is_disconnected,
        }
    }

    fn skips(&self) -> bool {
        let skipped = self.skipped.get() + 1;
        self.skipped.set(skipped % SELDOM);
        skipped < SELDOM
    }

    /// It is being connected, authenticated or disconnected. Returns whether it is disconnected.
    ///
    /// # Safety
    /// As for `poll`.
    #[cold]
    unsafe fn goes(&self, qpair: NonNull<sys::spdk_nvme_qpair>, has_failed: bool) -> bool {
        if has_failed {
            // SAFETY: as the caller says.
            unsafe { self.cut(qpair) };
        }
        if !self.has_connected.get() && !self.is_cut.get() {
            return false;
        }
        // It flushes the connection before it looks whether there is one.
        log::without(c"nvme_tcp_qpair_process_completions", || {
            (0..POLLS_TO_END).any(|_| {
                // SAFETY: as the caller says.
                let has_failed =
                    unsafe { sys::spdk_nvme_qpair_process_completions(qpair.as_ptr(), 0) < 0 };
                // It has also failed when its controller has.
                let is_gone = has_failed && self.is_cut.get();
                if has_failed && !is_gone {
                    // SAFETY: as the caller says.
                    unsafe { self.cut(qpair) };
                }
                is_gone
            })
        })
    }

    /// Disconnects it, unless it is. Later polls find that it is.
    ///
    /// # Safety
    /// As for `poll`, outside of a completion.
    pub(super) unsafe fn cut(&self, qpair: NonNull<sys::spdk_nvme_qpair>) {
        self.is_cut.set(true);
        // SAFETY: as the caller says. What is in flight ends in the call.
        unsafe { sys::spdk_nvme_ctrlr_disconnect_io_qpair(qpair.as_ptr()) };
    }
}
