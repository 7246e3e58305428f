//! What a controller tells by itself.
#![allow(unsafe_code)] // Registers a callback whose context lives as long as the controller.

use std::ffi::c_void;
use std::ptr::NonNull;

use crate::error::{At, Result};
use crate::events::{EventHub, Events, emit};
use crate::handle::Subject;
use crate::local::begin;
use crate::panic::guard;
use crate::sys;

use super::controller::NvmeController;

/// An asynchronous event of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NvmeEvent {
    /// An error that belongs to no command. The number is that of the specification.
    Error(u8),
    /// The health of the subsystem is worse than it should be. The number is that of the specification.
    Health(u8),
    /// A namespace was attached, detached, formatted or resized.
    NamespaceChanged,
    /// A firmware is being activated.
    FirmwareActivation,
    /// The telemetry log has changed.
    TelemetryChanged,
    /// The ANA states have changed.
    AnaChanged,
    /// Something else that is worth a notice. The number is that of the specification.
    Notice(u8),
    /// An event of an I/O command set, such as a reservation that was taken. The number is that of the
    /// specification.
    CommandSet(u8),
    /// An event of the vendor. The number is the vendor's.
    Vendor(u8),
    /// Events were lost, or the controller refused to tell any.
    Failed,
}

impl NvmeEvent {
    /// The event of a completion, from its status and dword 0.
    fn of(is_error: bool, cdw0: u32) -> Self {
        let info = (cdw0 >> 8 & 0xff) as u8;
        match (cdw0 & 0x7, info) {
            _ if is_error => NvmeEvent::Failed,
            (0, _) => NvmeEvent::Error(info),
            (1, _) => NvmeEvent::Health(info),
            (2, 0) => NvmeEvent::NamespaceChanged,
            (2, 1) => NvmeEvent::FirmwareActivation,
            (2, 2) => NvmeEvent::TelemetryChanged,
            (2, 3) => NvmeEvent::AnaChanged,
            (2, _) => NvmeEvent::Notice(info),
            (6, _) => NvmeEvent::CommandSet(info),
            _ => NvmeEvent::Vendor(info),
        }
    }
}

/// Has SPDK report the events of a controller to a hub.
///
/// # Safety
/// The controller is attached, and is detached before the hub goes.
pub(super) unsafe fn register(ctrlr: NonNull<sys::spdk_nvme_ctrlr>, hub: &EventHub<NvmeEvent>) {
    // SAFETY: passed on.
    unsafe {
        sys::spdk_nvme_ctrlr_register_aer_callback(ctrlr.as_ptr(), Some(on_event), hub.arg());
    }
}

unsafe extern "C" fn on_event(arg: *mut c_void, cpl: *const sys::spdk_nvme_cpl) {
    let event = guard("event of a controller", || {
        // SAFETY: the completion is there during the callback: four dwords, the last of which has the status.
        let [cdw0, _, _, last] = unsafe { cpl.cast::<[u32; 4]>().read() };
        NvmeEvent::of(last >> 16 & 0x0ffe != 0, cdw0)
    });
    // SAFETY: the context is the hub of the controller, which is not detached yet.
    unsafe { emit(arg, event) }
}

impl NvmeController {
    /// What the controller tells from now on, until it is detached. SPDK looks after namespaces that have
    /// changed itself, before the event is told.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread.
    #[doc(alias = "spdk_nvme_ctrlr_register_aer_callback")]
    pub fn events(&self) -> Result<Events<NvmeEvent>> {
        begin(|caller| self.handle().get(caller))
            .map_err(|fault| fault.at(At::new("spdk_nvme_ctrlr_register_aer_callback", self)))?;
        Ok(self.handle().extra().driver().events().subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::NvmeEvent;

    #[test]
    fn dword_0_tells_which() {
        assert_eq!(
            NvmeEvent::of(false, 0x0004_0002),
            NvmeEvent::NamespaceChanged
        );
        assert_eq!(NvmeEvent::of(false, 0x000c_0302), NvmeEvent::AnaChanged);
        assert_eq!(NvmeEvent::of(false, 0x0002_0101), NvmeEvent::Health(1));
        assert_eq!(NvmeEvent::of(false, 0x0080_0006), NvmeEvent::CommandSet(0));
        assert_eq!(NvmeEvent::of(false, 0x0000_4207), NvmeEvent::Vendor(0x42));
        assert_eq!(NvmeEvent::of(true, 0), NvmeEvent::Failed);
    }
}
