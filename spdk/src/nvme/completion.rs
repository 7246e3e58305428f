//! The completion of an NVMe command.
#![allow(unsafe_code)] // Reads the completion that C shows to the callback.

use std::ffi::c_void;

use crate::error::Fault;
use crate::local::current_thread;
use crate::nvme_status::NvmeStatus;
use crate::op::{Callback, Complete, complete};
use crate::panic::guard;
use crate::shared::Shared;
use crate::sys;

/// What a command that succeeded gives back: dwords 0 and 1 of its completion.
#[derive(Clone, Copy, Debug)]
pub struct Dwords(u32, u32);

impl Dwords {
    /// What the completion of an abort says that ended nothing.
    pub(super) const NOT_ABORTED: Dwords = Dwords(1, 0);

    /// Of the completion of an abort: whether it ended nothing.
    pub(super) fn is_not_aborted(self) -> bool {
        self.0 & Self::NOT_ABORTED.0 != 0
    }

    /// Dword 0.
    pub fn first(self) -> u32 {
        self.0
    }

    /// Both.
    pub fn both(self) -> u64 {
        u64::from(self.1) << 32 | u64::from(self.0)
    }
}

/// `spdk_nvme_cmd_cb` of a command on a queue pair.
pub enum NvmeIoDone {}

// SAFETY: `on_done` passes its context to `complete` once and runs no other code.
unsafe impl Callback for NvmeIoDone {
    type Fn = sys::spdk_nvme_cmd_cb;
    type Raw = Result<Dwords, Fault>;
    const RESUMES: bool = true;

    #[inline]
    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        Some(on_done::<K>)
    }
}

/// `spdk_nvme_cmd_cb` of an admin command, which SPDK calls with the lock of the controller in its hands:
/// the task that waits has its turn later.
///
/// Whoever connects or frees a queue pair of a PCI device looks at the admin queue until its own commands have ended, and
/// ends those of others too: on its spdk_thread, which may be one of another core.
pub enum NvmeAdminDone {}

// SAFETY: `on_admin_done` passes its context to `complete` once, at home, and runs no other code.
unsafe impl Callback for NvmeAdminDone {
    type Fn = sys::spdk_nvme_cmd_cb;
    type Raw = Result<Dwords, Fault>;
    const IS_SENT_HOME: bool = true;

    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        Some(on_admin_done::<K>)
    }
}

unsafe extern "C" fn on_done<K: Complete<Result<Dwords, Fault>>>(
    arg: *mut c_void,
    cpl: *const sys::spdk_nvme_cpl,
) {
    // SAFETY: `cpl` is there during the callback, and `arg` is the operation's.
    unsafe { complete::<K, _>(arg, result(cpl)) }
}

unsafe extern "C" fn on_admin_done<K: Complete<Result<Dwords, Fault>>>(
    arg: *mut c_void,
    cpl: *const sys::spdk_nvme_cpl,
) {
    // SAFETY: `cpl` is there during the callback, and `arg` is the operation's.
    let (dwords, home) = unsafe { (dwords(cpl), K::home(arg)) };
    if home == current_thread() {
        // SAFETY: at home.
        return unsafe { complete::<K, _>(arg, of_dwords(dwords)) };
    }
    guard("completion of an admin command", || {
        let arg = Context(arg);
        let sent = Shared::of(home).is_some_and(|home| {
            home.send(move || {
                // SAFETY: the operation has ended, and this is its spdk_thread.
                unsafe { complete::<K, _>(arg.get(), of_dwords(dwords)) }
            })
        });
        // An spdk_thread waits at its end for the operations of its objects.
        debug_assert!(sent, "an spdk_thread ended before its operations");
    });
}

/// The context of an operation that has ended, on its way home.
struct Context(*mut c_void);

// SAFETY: C has called back, and nobody uses it but who gets it.
unsafe impl Send for Context {}

impl Context {
    fn get(self) -> *mut c_void {
        self.0
    }
}

/// # Safety
/// `cpl` is the completion of a command, inside its callback.
#[inline]
pub(super) unsafe fn result(cpl: *const sys::spdk_nvme_cpl) -> Result<Dwords, Fault> {
    // SAFETY: passed on.
    of_dwords(unsafe { dwords(cpl) })
}

/// # Safety
/// As for [`result`].
#[inline]
unsafe fn dwords(cpl: *const sys::spdk_nvme_cpl) -> [u32; 4] {
    const _: () = assert!(size_of::<sys::spdk_nvme_cpl>() == size_of::<[u32; 4]>());
    // SAFETY: four dwords, as asserted; passed on.
    unsafe { cpl.cast::<[u32; 4]>().read() }
}

#[inline]
fn of_dwords([first, second, _, last]: [u32; 4]) -> Result<Dwords, Fault> {
    /// Of the status: its code, and the type of that.
    const STATUS: u32 = 0x0ffe;
    match last >> 16 & STATUS {
        0 => Ok(Dwords(first, second)),
        _ => Err(fault(first, (last >> 16) as u16)),
    }
}

#[cold]
fn fault(cdw0: u32, status: u16) -> Fault {
    Fault::device(NvmeStatus::of_cpl(cdw0, status))
}
