//! How busy the current spdk_thread is.
#![allow(unsafe_code)] // Calls a function of SPDK that the crate does not wrap.

use std::mem::MaybeUninit;

use spdk::sys;

/// What an spdk_thread has done with its time so far, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Busy {
    busy: u64,
    idle: u64,
}

impl Busy {
    /// Of the current spdk_thread. Without one there is nothing to say.
    pub fn now() -> Option<Self> {
        let mut stats = MaybeUninit::<sys::spdk_thread_stats>::zeroed();
        // SAFETY: it fills the struct, for which zeroes are valid, or returns an error without a current spdk_thread.
        let (rc, stats) = unsafe {
            let rc = sys::spdk_thread_get_stats(stats.as_mut_ptr());
            (rc, stats.assume_init())
        };
        (rc == 0).then_some(Busy {
            busy: stats.busy_tsc,
            idle: stats.idle_tsc,
        })
    }

    /// The part of the time from then until now in which it had something to do.
    pub fn since(self, then: Busy) -> f64 {
        let (busy, idle) = (self.busy - then.busy, self.idle - then.idle);
        match busy + idle {
            0 => 0.0,
            total => busy as f64 / total as f64,
        }
    }
}
