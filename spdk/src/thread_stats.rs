//! How long an spdk_thread was busy.
#![allow(unsafe_code)] // Reads SPDK's counters of the current spdk_thread.

use std::mem::MaybeUninit;
use std::time::Duration;

use crate::error::Result;
use crate::thread::CurrentThread;
use crate::ticks::ticks_hz;
use crate::{ThreadHandle, sys};

/// The time that an spdk_thread has spent in polls, in [`ticks`](crate::ticks()).
///
/// SPDK counts a poll as busy if a message ran in it, or a poller that says so: this crate's executor
/// says so when it ran a task. What a reactor does between two polls counts for neither.
#[doc(alias = "spdk_thread_stats")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadStats {
    /// In polls that did something.
    pub busy_ticks: u64,
    /// In polls that had nothing to do.
    pub idle_ticks: u64,
}

impl ThreadStats {
    /// The time in polls that did something.
    pub fn busy(&self) -> Duration {
        time(self.busy_ticks)
    }

    /// The time in polls that had nothing to do.
    pub fn idle(&self) -> Duration {
        time(self.idle_ticks)
    }
}

fn time(ticks: u64) -> Duration {
    // Without an environment there was no spdk_thread, and it is 0 ticks.
    let hz = ticks_hz().unwrap_or(1);
    let nanos = u128::from(ticks % hz) * 1_000_000_000 / u128::from(hz);
    Duration::new(ticks / hz, nanos as u32)
}

/// Of the current spdk_thread; 0 without one.
pub(crate) fn current() -> ThreadStats {
    let mut stats = MaybeUninit::<sys::spdk_thread_stats>::zeroed();
    // SAFETY: it fills the struct, two numbers, if there is a current spdk_thread; they are 0 else.
    let stats = unsafe {
        if !crate::local::current_thread().is_null() {
            sys::spdk_thread_get_stats(stats.as_mut_ptr());
        }
        stats.assume_init()
    };
    ThreadStats {
        busy_ticks: stats.busy_tsc,
        idle_ticks: stats.idle_tsc,
    }
}

impl CurrentThread {
    /// How long it was busy; 0 if it is not the current spdk_thread any more.
    #[doc(alias = "spdk_thread_get_stats")]
    pub fn stats(&self) -> ThreadStats {
        match self.as_ptr().is_null() {
            true => ThreadStats::default(),
            false => current(),
        }
    }
}

impl ThreadHandle {
    /// How long it was busy. It is asked there, by a message.
    ///
    /// # Errors
    ///
    /// As for [`ThreadHandle::call`].
    #[doc(alias = "spdk_thread_get_stats")]
    pub async fn stats(&self) -> Result<ThreadStats> {
        self.call(current).await
    }
}
