//! The controllers of this process that are being connected again.
//!
//! SPDK has the OS thread of such a controller keep its lock from the begin of that to its end. A connect to the same
//! controller takes that lock too, with the lock of all controllers in its hands: its OS thread would stand still so long, and
//! others with it. So it is refused before SPDK sees it. All of it happens in scans, of which there is one at a time.
#![allow(unsafe_code)] // Compares transport IDs of C.

use std::ffi::c_char;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::transport_id::TransportId;
use crate::sys;

static ALL: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Entry {
    ctrlr: usize,
    trid: sys::spdk_nvme_transport_id,
    hostnqn: Vec<c_char>,
}

fn all() -> MutexGuard<'static, Vec<Entry>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That a controller is being connected again, until this is dropped.
pub(super) struct Reconnect(usize);

impl Reconnect {
    /// # Safety
    /// The controller is attached.
    pub(super) unsafe fn begin(ctrlr: NonNull<sys::spdk_nvme_ctrlr>, trid: &TransportId) -> Self {
        // SAFETY: passed on. The options exist as long as the controller.
        let opts = unsafe { &*sys::spdk_nvme_ctrlr_get_opts(ctrlr.as_ptr()) };
        let ctrlr = ctrlr.as_ptr().addr();
        all().push(Entry {
            ctrlr,
            trid: trid.own(),
            hostnqn: opts.hostnqn.to_vec(),
        });
        Reconnect(ctrlr)
    }
}

impl Drop for Reconnect {
    fn drop(&mut self) {
        all().retain(|entry| entry.ctrlr != self.0);
    }
}

/// Whether this one is.
pub(super) fn has(ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> bool {
    let ctrlr = ctrlr.as_ptr().addr();
    all().iter().any(|entry| entry.ctrlr == ctrlr)
}

/// Whether one is that SPDK would find for this place, as [`TransportId::own`] says it, and name of a host.
pub(super) fn has_one_at(trid: &sys::spdk_nvme_transport_id, hostnqn: &[c_char]) -> bool {
    let text = |name: &[c_char]| name.iter().take_while(|c| **c != 0).copied().collect();
    let name: Vec<c_char> = text(hostnqn);
    all().iter().any(|entry| {
        // SAFETY: both are there, and their texts end with NUL.
        let is_there =
            unsafe { sys::spdk_nvme_transport_id_compare(&entry.trid, ptr::from_ref(trid)) == 0 };
        let own: Vec<c_char> = text(&entry.hostnqn);
        is_there && own == name
    })
}
