//! The completion of a bdev I/O.
#![allow(unsafe_code)] // Reads and frees the `spdk_bdev_io` that C hands to the callback.

use std::ffi::{c_int, c_void};

use crate::errno::Errno;
use crate::error::Fault;
use crate::nvme_status::NvmeStatus;
use crate::op::{Callback, Complete, complete};
use crate::sys;

/// `spdk_bdev_io_completion_cb`: frees the `spdk_bdev_io` and reports the device's status.
pub enum BdevIoDone {}

// SAFETY: `on_done` passes its context to `complete` once and runs no other code than SPDK's.
unsafe impl Callback for BdevIoDone {
    type Fn = sys::spdk_bdev_io_completion_cb;
    type Raw = Result<(), Fault>;
    const RESUMES: bool = true;

    #[inline]
    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<Result<(), Fault>>>(
            bdev_io: *mut sys::spdk_bdev_io,
            success: bool,
            arg: *mut c_void,
        ) {
            // SAFETY: the callback owns `bdev_io` and frees it, once, after reading its status and
            // before the descriptor and the channel can go; `arg` is the operation's.
            unsafe {
                let result = if success { Ok(()) } else { Err(fault(bdev_io)) };
                sys::spdk_bdev_free_io(bdev_io);
                complete::<K, _>(arg, result);
            }
        }
        Some(on_done::<K>)
    }
}

/// # Safety
/// `bdev_io` is a failed I/O inside its callback.
#[cold]
pub(crate) unsafe fn fault(bdev_io: *const sys::spdk_bdev_io) -> Fault {
    let (mut cdw0, mut sct, mut sc, mut aio): (u32, c_int, c_int, c_int) = (0, 0, 0, 0);
    // SAFETY: passed on; the getters write to the locals.
    unsafe {
        sys::spdk_bdev_io_get_nvme_status(bdev_io, &mut cdw0, &mut sct, &mut sc);
        sys::spdk_bdev_io_get_aio_status(bdev_io, &mut aio);
    }
    // The errno of an aio or uring bdev says more than the status that SPDK maps it to; for every
    // other failure SPDK gives -EIO here.
    if aio != 0 && aio != -libc::EIO {
        return Fault::errno(Errno::from_code(aio));
    }
    Fault::device(NvmeStatus::of_bdev_io(sct, sc, cdw0))
}
