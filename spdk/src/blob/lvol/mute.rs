//! A device that takes no more writes: they end well, and do nothing.
//!
//! SPDK closes a blob only when its metadata was written, and an lvol store is unloaded only when all blobs are closed:
//! with a device that has failed, or was removed, neither would ever end.
#![allow(unsafe_code)] // Stands in for the functions of a device.

use std::ffi::{c_int, c_void};

use crate::sys;

type Device = *mut sys::spdk_bs_dev;
type Channel = *mut sys::spdk_io_channel;
type Request = *mut sys::spdk_bs_dev_cb_args;

/// # Safety
/// The device exists, and only the current spdk_thread uses it.
pub(super) unsafe fn mute(device: Device) {
    // SAFETY: passed on.
    unsafe {
        (*device).write = Some(write);
        (*device).writev = Some(writev);
        (*device).writev_ext = Some(writev_ext);
        (*device).write_zeroes = Some(write_range);
        (*device).unmap = Some(write_range);
    }
}

unsafe extern "C" fn write(_: Device, _: Channel, _: *mut c_void, _: u64, _: u32, done: Request) {
    // SAFETY: passed on.
    unsafe { end(done) }
}

unsafe extern "C" fn writev(
    _: Device,
    _: Channel,
    _: *mut sys::iovec,
    _: c_int,
    _: u64,
    _: u32,
    done: Request,
) {
    // SAFETY: passed on.
    unsafe { end(done) }
}

unsafe extern "C" fn writev_ext(
    _: Device,
    _: Channel,
    _: *mut sys::iovec,
    _: c_int,
    _: u64,
    _: u32,
    done: Request,
    _: *mut sys::spdk_blob_ext_io_opts,
) {
    // SAFETY: passed on.
    unsafe { end(done) }
}

unsafe extern "C" fn write_range(_: Device, _: Channel, _: u64, _: u64, done: Request) {
    // SAFETY: passed on.
    unsafe { end(done) }
}

/// # Safety
/// It is a request that has not ended.
unsafe fn end(done: Request) {
    // SAFETY: a request is ended once, by the function that came with it, which may be called at once: the device of
    // zeroes that blobstores make does so.
    unsafe {
        if let Some(f) = (*done).cb_fn {
            f((*done).channel, (*done).cb_arg, 0);
        }
    }
}
