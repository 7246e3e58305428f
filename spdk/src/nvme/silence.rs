//! How long a controller has answered nothing, or nothing on a queue pair.
//!
//! SPDK sends a keep-alive twice in the time that the two have agreed on, and does not look at the answers.
#![allow(unsafe_code)] // Reads the options of a controller.

use std::cell::Cell;
use std::ptr::NonNull;

use crate::sys;

/// In ticks.
pub(super) struct Silence {
    so_far: Cell<u64>,
    longest: Cell<u64>,
}

impl Silence {
    pub(super) fn new() -> Self {
        Silence {
            so_far: Cell::new(0),
            longest: Cell::new(u64::MAX),
        }
    }

    /// Begins to count. There are so many ticks in a millisecond.
    ///
    /// # Safety
    /// The controller is attached.
    pub(super) unsafe fn begin(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>, ticks_per_ms: u64) {
        // SAFETY: passed on. The options exist as long as the controller.
        let ms = unsafe { (*sys::spdk_nvme_ctrlr_get_opts(ctrlr.as_ptr())).keep_alive_timeout_ms };
        self.so_far.set(0);
        self.longest.set(match ms {
            0 => u64::MAX,
            ms => ticks_per_ms * u64::from(ms) * 2,
        });
    }

    /// Whether it is half as long as it may be.
    pub(super) fn is_long(&self) -> bool {
        self.so_far.get() > self.longest.get() / 2
    }

    /// Whether it is too long. `last` and `now` are the looks at the controller's answers.
    pub(super) fn is_too_long(&self, has_answered: bool, last: u64, now: u64) -> bool {
        let limit = self.longest.get();
        // The answers of a time in which this spdk_thread was not polled may be there all the same.
        let gap = now.saturating_sub(last).min(limit / 8);
        self.so_far.set(match has_answered {
            true => 0,
            false => self.so_far.get().saturating_add(gap),
        });
        self.so_far.get() > limit
    }
}
