//! The completion of an NVMe command.
#![allow(unsafe_code)] // Reads the completion that C shows to the callback.

use std::ffi::c_void;

use crate::error::Fault;
use crate::nvme_status::NvmeStatus;
use crate::op::{Callback, Complete, complete};
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
pub enum NvmeAdminDone {}

// SAFETY: as above.
unsafe impl Callback for NvmeAdminDone {
    type Fn = sys::spdk_nvme_cmd_cb;
    type Raw = Result<Dwords, Fault>;

    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        Some(on_done::<K>)
    }
}

unsafe extern "C" fn on_done<K: Complete<Result<Dwords, Fault>>>(
    arg: *mut c_void,
    cpl: *const sys::spdk_nvme_cpl,
) {
    // SAFETY: `cpl` is there during the callback, and `arg` is the operation's.
    unsafe { complete::<K, _>(arg, result(cpl)) }
}

/// # Safety
/// `cpl` is the completion of a command, inside its callback.
#[inline]
pub(super) unsafe fn result(cpl: *const sys::spdk_nvme_cpl) -> Result<Dwords, Fault> {
    /// Of the status: its code, and the type of that.
    const STATUS: u32 = 0x0ffe;
    const _: () = assert!(size_of::<sys::spdk_nvme_cpl>() == size_of::<[u32; 4]>());
    // SAFETY: four dwords, as asserted; passed on.
    let [first, second, _, last] = unsafe { cpl.cast::<[u32; 4]>().read() };
    match last >> 16 & STATUS {
        0 => Ok(Dwords(first, second)),
        _ => Err(fault(first, (last >> 16) as u16)),
    }
}

#[cold]
fn fault(cdw0: u32, status: u16) -> Fault {
    Fault::device(NvmeStatus::of_cpl(cdw0, status))
}
