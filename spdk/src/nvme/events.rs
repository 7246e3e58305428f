//! What a controller tells by itself.
#![allow(unsafe_code)] // Registers a callback whose context lives as long as the controller.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{At, Fault, Result};
use crate::events::Events;
use crate::handle::Subject;
use crate::local::begin;
use crate::panic::guard;
use crate::{sys, ticks};

use super::controller::NvmeController;
use super::link::Link;

/// An asynchronous event of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NvmeEvent {
    /// An error that belongs to no command. The number is that of the specification.
    Error(u8),
    /// The health of the subsystem is worse than it should be. The number is that of the specification.
    Health(u8),
    /// A namespace was attached, detached, formatted or resized. Before it tells so, SPDK waits for what the controller says
    /// of its namespaces, for as long as [`NvmeCtrlrOpts::admin_timeout_ms`](super::NvmeCtrlrOpts::admin_timeout_ms) says.
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
    /// A command takes longer than [`NvmeController::set_timeouts`] allows. It is told once, and goes on:
    /// [`NvmeController::abort_by_id`] ends it, or [`NvmeController::reset`].
    TimedOut {
        /// The ID of its queue pair; 0 for an admin command.
        qpair: u16,
        /// Its ID in the queue pair.
        command: u16,
    },
    /// The PCI device was pulled out. The controller has failed. It is told once.
    Removed,
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

/// Has SPDK report the events of a controller.
///
/// # Safety
/// The controller is attached, and is detached before the link goes.
pub(super) unsafe fn register(ctrlr: NonNull<sys::spdk_nvme_ctrlr>, link: &Arc<Link>) {
    // SAFETY: passed on.
    unsafe {
        sys::spdk_nvme_ctrlr_register_aer_callback(ctrlr.as_ptr(), Some(on_event), context(link));
    }
}

/// Has SPDK report nothing more of a controller, neither events nor commands that take long.
///
/// # Safety
/// The controller is attached, and has no queue pair: no other spdk_thread is about to report.
pub(super) unsafe fn unregister(ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
    let nothing = ptr::null_mut();
    // SAFETY: passed on. Without a callback the times are none.
    unsafe {
        let ctrlr = ctrlr.as_ptr();
        sys::spdk_nvme_ctrlr_register_aer_callback(ctrlr, None, nothing);
        let (io, admin) = (u64::MAX, u64::MAX);
        sys::spdk_nvme_ctrlr_register_timeout_callback(ctrlr, io, admin, None, nothing);
    }
}

fn context(link: &Arc<Link>) -> *mut c_void {
    Arc::as_ptr(link).cast_mut().cast()
}

unsafe extern "C" fn on_event(arg: *mut c_void, cpl: *const sys::spdk_nvme_cpl) {
    guard("event of a controller", || {
        // SAFETY: the completion is there during the callback: four dwords, the last of which has the status.
        let [cdw0, _, _, last] = unsafe { cpl.cast::<[u32; 4]>().read() };
        // SAFETY: the context is the link of the controller, which is not detached yet.
        let link = unsafe { &*arg.cast::<Link>().cast_const() };
        link.tell(NvmeEvent::of(last >> 16 & 0x0ffe != 0, cdw0));
    });
}

/// Admin commands, by the ID of their queue; I/O commands, on the spdk_thread of their queue pair.
unsafe extern "C" fn on_timeout(
    arg: *mut c_void,
    _: *mut sys::spdk_nvme_ctrlr,
    qpair: *mut sys::spdk_nvme_qpair,
    command: u16,
) {
    guard("timeout of a command", || {
        // SAFETY: the context is the link of the controller, which is not detached yet; or null, where another
        // spdk_thread looks while the first callback is registered.
        let Some(link) = (unsafe { arg.cast::<Link>().cast_const().as_ref() }) else {
            return;
        };
        let qpair = match qpair.is_null() {
            true => 0,
            // SAFETY: the queue pair is that of the command, which is in flight.
            false => unsafe { sys::spdk_nvme_qpair_get_id(qpair) },
        };
        link.tell(NvmeEvent::TimedOut { qpair, command });
    });
}

impl NvmeController {
    /// Has the controller tell of commands that take longer than this, by [`NvmeEvent::TimedOut`]: I/O commands
    /// on queue pairs that are allocated from now on, and admin commands. `None` for none of both.
    ///
    /// Nothing else happens to such a command.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): a time of 0, or one that is too long
    ///   to be counted in [`ticks`](crate::ticks), as are some hours.
    /// - [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread,
    ///   [`ErrorKind::Gone`](crate::ErrorKind::Gone) when that has ended.
    #[doc(alias = "spdk_nvme_ctrlr_register_timeout_callback")]
    pub fn set_timeouts(&self, timeouts: Option<NvmeTimeouts>) -> Result<()> {
        let set = || {
            let ctrlr = begin(|caller| self.handle().get(caller))?;
            let link = self.handle().extra().driver().link();
            let was_heard = link.hear_timeouts(timeouts.is_some());
            let (io, admin) = match timeouts {
                Some(timeouts) => (micros(timeouts.io)?, micros(timeouts.admin)?),
                None if !was_heard => return Ok(()),
                // The callback stays where another spdk_thread may be about to call it, and tells nothing.
                None => (longest()?, longest()?),
            };
            // SAFETY: the controller is attached. The link is its driver's, which detaches it before that goes.
            unsafe {
                sys::spdk_nvme_ctrlr_register_timeout_callback(
                    ctrlr.as_ptr(),
                    io,
                    admin,
                    Some(on_timeout),
                    context(link),
                );
            }
            Ok(())
        };
        let at = At::new("spdk_nvme_ctrlr_register_timeout_callback", self);
        set().map_err(|fault: Fault| fault.at(at))
    }

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

/// How long commands may take before the controller tells of them; see [`NvmeController::set_timeouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvmeTimeouts {
    /// I/O commands.
    pub io: Duration,
    /// Admin commands. SPDK itself uses the keep-alive timeout for keep-alive.
    pub admin: Duration,
}

/// How many microseconds there can be at most.
fn longest() -> Result<u64, Fault> {
    let hz = ticks::ticks_hz().map_err(|_| Fault::not_initialised())?;
    Ok(u64::MAX / hz)
}

/// Microseconds, of which SPDK can count the ticks.
fn micros(time: Duration) -> Result<u64, Fault> {
    let limit = longest()?;
    match u64::try_from(time.as_micros()) {
        Ok(micros) if (1..=limit).contains(&micros) => Ok(micros),
        _ => Err(Fault::invalid(format!(
            "{time:?} is no timeout; there are 1 µs to {:?}",
            Duration::from_micros(limit)
        ))),
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
