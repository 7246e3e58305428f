//! The completion of a bdev I/O.
#![allow(unsafe_code)] // Reads and frees the `spdk_bdev_io` that C hands to the callback.

use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr::NonNull;

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

/// `spdk_bdev_io_completion_cb`, for an I/O that says more than its status: hands the `spdk_bdev_io`
/// on, and frees that of a failed one.
pub enum BdevIoLive {}

// SAFETY: `on_done` passes its context to `complete` once and runs no other code than SPDK's.
unsafe impl Callback for BdevIoLive {
    type Fn = sys::spdk_bdev_io_completion_cb;
    type Raw = Result<LiveIo, Fault>;
    const RESUMES: bool = true;

    #[inline]
    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<Result<LiveIo, Fault>>>(
            bdev_io: *mut sys::spdk_bdev_io,
            success: bool,
            arg: *mut c_void,
        ) {
            // SAFETY: C gives the callback a `spdk_bdev_io`, which it then owns; `arg` is the
            // operation's.
            unsafe {
                let io = LiveIo(NonNull::new_unchecked(bdev_io));
                let result = match success {
                    true => Ok(io),
                    false => {
                        let fault = fault(bdev_io);
                        drop(io);
                        Err(fault)
                    }
                };
                complete::<K, _>(arg, result);
            }
        }
        Some(on_done::<K>)
    }
}

/// A `spdk_bdev_io` that has completed, freed when it is dropped: on its spdk_thread, while its
/// descriptor and its channel are held.
#[derive(Debug)]
pub struct LiveIo(NonNull<sys::spdk_bdev_io>);

impl LiveIo {
    /// The C object.
    #[inline]
    pub fn as_ptr(&self) -> *mut sys::spdk_bdev_io {
        self.0.as_ptr()
    }

    /// The C object, for somebody else to free.
    pub(crate) fn into_raw(self) -> NonNull<sys::spdk_bdev_io> {
        let io = self.0;
        mem::forget(self);
        io
    }
}

impl Drop for LiveIo {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it was ours since the callback, and is freed once. The operation's `finish` drops it,
        // which is in the callback or follows it on the same spdk_thread.
        unsafe { sys::spdk_bdev_free_io(self.0.as_ptr()) }
    }
}

/// # Safety
/// `bdev_io` is a failed I/O inside its callback.
#[cold]
pub(crate) unsafe fn fault(bdev_io: *const sys::spdk_bdev_io) -> Fault {
    let (mut cdw0, mut sct, mut sc, mut aio): (u32, c_int, c_int, c_int) = (0, 0, 0, 0);
    let (mut first_sct, mut first_sc): (c_int, c_int) = (0, 0);
    // SAFETY: passed on; the getters write to the locals.
    unsafe {
        // Of a comparison that found a difference, only the first part of this status tells; the
        // second is that of a write, and told by the next getter.
        sys::spdk_bdev_io_get_nvme_fused_status(
            bdev_io,
            &mut cdw0,
            &mut first_sct,
            &mut first_sc,
            &mut sct,
            &mut sc,
        );
        sys::spdk_bdev_io_get_nvme_status(bdev_io, &mut cdw0, &mut sct, &mut sc);
        sys::spdk_bdev_io_get_aio_status(bdev_io, &mut aio);
    }
    let first = NvmeStatus::of_bdev_io(first_sct, first_sc, cdw0);
    if first.is_compare_failure() {
        return Fault::device(first);
    }
    // The errno of an aio or uring bdev says more than the status that SPDK maps it to; for every
    // other failure SPDK gives -EIO here.
    if aio != 0 && aio != -libc::EIO {
        return Fault::errno(Errno::from_code(aio));
    }
    Fault::device(NvmeStatus::of_bdev_io(sct, sc, cdw0))
}
