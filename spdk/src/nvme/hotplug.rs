//! PCI devices that come and go.
//!
//! SPDK notices them while it scans for controllers: for a probe, or for a connect. It then looks at every
//! controller of the process, whichever spdk_thread that is of, so one OS thread at a time scans, or detaches.
//! Who does none of that for a while has [`look`] notice those that are gone.
#![allow(unsafe_code)] // Registers a callback with an address that lives as long as its controller.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
#[cfg(spdk_has_spdk_nvme_scan_attached)]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use super::transport_id::TransportId;
use crate::panic::guard;
use crate::sys;

type Filter = Arc<dyn Fn(&TransportId) -> bool + Send + Sync>;

static FILTER: Mutex<Option<Filter>> = Mutex::new(None);
static SCAN: Mutex<()> = Mutex::new(());

/// Says which NVMe devices SPDK may use at once when it hears that they are plugged in, by their addresses. Those for
/// which `filter` returns `false` have to be seen by a scan first, after which a later one may find them: it is the
/// filter of a probe that leaves devices alone. Without a filter SPDK may use all.
///
/// SPDK notices a device while it scans for controllers: in a
/// [`NvmeController::probe`](super::NvmeController::probe), or a
/// [`NvmeController::connect`](super::NvmeController::connect) to a PCI device. The filter runs there, with the
/// scan waiting for it, on whichever OS thread that is. It takes the place of the one before; those that it has
/// let pass stay. Wraps `spdk_nvme_pcie_set_hotplug_filter`.
///
/// A filter that panics ends the process.
#[doc(alias = "spdk_nvme_pcie_set_hotplug_filter")]
pub fn set_hotplug_filter(filter: impl Fn(&TransportId) -> bool + Send + Sync + 'static) {
    replace(Some(Arc::new(filter)));
}

/// Lets SPDK use every NVMe device that is plugged in, as before [`set_hotplug_filter`].
pub fn clear_hotplug_filter() {
    replace(None);
}

fn replace(filter: Option<Filter>) {
    let mut place = FILTER.lock().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut *place, filter);
    drop(place);
    drop(before); // which is the user's code, and may set another one
}

/// `None` if another OS thread, or a call of this one, scans or detaches.
pub(super) fn scan<T>(call: impl FnOnce() -> T) -> Option<T> {
    let _alone = match SCAN.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    // SAFETY: it stores the address of a function, which nobody reads meanwhile: that happens in a scan.
    unsafe { sys::spdk_nvme_pcie_set_hotplug_filter(Some(on_plugged)) };
    Some(call())
}

unsafe extern "C" fn on_plugged(address: *const sys::spdk_pci_addr) -> bool {
    guard("filter of plugged devices", || {
        // Not locked while it runs, when it may set another one.
        let filter = FILTER
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(filter) = filter else {
            return true;
        };
        // SAFETY: the address is there during the callback.
        let sys::spdk_pci_addr {
            domain,
            bus,
            dev,
            func,
        } = unsafe { address.read() };
        let trid = TransportId::pcie(&format!("{domain:04x}:{bus:02x}:{dev:02x}.{func:x}"));
        trid.is_ok_and(|trid| filter(&trid))
    })
}

/// When somebody looks next, in ticks.
#[cfg(spdk_has_spdk_nvme_scan_attached)]
static NEXT_LOOK: AtomicU64 = AtomicU64::new(0);

/// Has SPDK tell of devices that were pulled out, once in each period for the whole process: a device that is
/// gone ends no command, and nothing else says so.
#[cfg(spdk_has_spdk_nvme_scan_attached)]
pub(super) fn look(now: u64, period: u64) {
    let next = NEXT_LOOK.load(Relaxed);
    let is_mine = || NEXT_LOOK.compare_exchange(next, now + period, Relaxed, Relaxed);
    if now < next || is_mine().is_err() {
        return;
    }
    let place = TransportId::all_pcie().to_c();
    // SAFETY: the ID is there during the call. The callbacks of controllers that are gone are called in it, and
    // nothing is attached or detached meanwhile.
    let look = || unsafe { sys::spdk_nvme_scan_attached(&place) };
    // Without memory, and when another OS thread scans, the next one looks.
    let _ = scan(look);
}

/// Has SPDK say in `flag` that the device of a controller is gone.
///
/// # Safety
/// The controller is attached, and is detached before the flag goes.
pub(super) unsafe fn tell_of_removal(ctrlr: NonNull<sys::spdk_nvme_ctrlr>, flag: &Arc<AtomicBool>) {
    let arg = Arc::as_ptr(flag).cast_mut().cast();
    // SAFETY: passed on.
    unsafe { sys::spdk_nvme_ctrlr_set_remove_cb(ctrlr.as_ptr(), Some(on_removed), arg) };
}

/// Has SPDK tell nobody any more.
///
/// # Safety
/// The controller is attached, and nobody scans.
pub(super) unsafe fn tell_nobody_of_removal(ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
    // SAFETY: passed on.
    unsafe { sys::spdk_nvme_ctrlr_set_remove_cb(ctrlr.as_ptr(), None, ptr::null_mut()) };
}

/// On whichever OS thread scans.
unsafe extern "C" fn on_removed(arg: *mut c_void, _: *mut sys::spdk_nvme_ctrlr) {
    // SAFETY: the flag of a controller that is attached: nothing is detached during a scan.
    unsafe { &*arg.cast::<AtomicBool>() }.store(true, Relaxed);
}
