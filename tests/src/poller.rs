//! A poller of SPDK's that counts how often it runs.
#![allow(unsafe_code)] // Registers a poller, as C code does.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use spdk::sys;

/// Counts its runs, until it is dropped. Belongs to the spdk_thread that made it.
#[derive(Debug)]
pub struct Counter {
    runs: Rc<Cell<u64>>,
    poller: NonNull<sys::spdk_poller>,
}

impl Counter {
    /// Begins to count on the current spdk_thread.
    ///
    /// # Panics
    ///
    /// When SPDK has no memory for it.
    pub fn start() -> Self {
        Self::every(0)
    }

    /// The same, with a timed poller that is due again after `period` microseconds.
    ///
    /// # Panics
    ///
    /// As for [`Counter::start`].
    pub fn every(period: u64) -> Self {
        let runs = Rc::new(Cell::new(0));
        let arg = Rc::as_ptr(&runs).cast_mut().cast();
        // SAFETY: `count` gets the cell, which lives until the poller is unregistered.
        let poller = unsafe { sys::spdk_poller_register(Some(count), arg, period) };
        match NonNull::new(poller) {
            Some(poller) => Counter { runs, poller },
            None => panic!("spdk_poller_register failed"),
        }
    }

    /// How often it has run.
    pub fn runs(&self) -> u64 {
        self.runs.get()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let mut poller = self.poller.as_ptr();
        // SAFETY: registered in `start` on this spdk_thread: a test drops it where it made it.
        unsafe { sys::spdk_poller_unregister(ptr::from_mut(&mut poller)) };
    }
}

unsafe extern "C" fn count(runs: *mut c_void) -> c_int {
    // SAFETY: `start` passed the cell, and `drop` unregisters the poller before it goes.
    let runs = unsafe { &*runs.cast::<Cell<u64>>().cast_const() };
    runs.set(runs.get() + 1);
    0
}
