//! What `op.rs` uses of SPDK, played by the script.
#![allow(unsafe_code)] // Reads the queue entry that the core passes.
#![allow(non_camel_case_types, reason = "the names are C's")]

use std::ffi::{c_int, c_void};
use std::ptr;

use crate::c;

pub(crate) struct spdk_thread;
pub(crate) struct spdk_bdev;
pub(crate) struct spdk_bdev_desc;
pub(crate) struct spdk_io_channel;

pub(crate) type spdk_bdev_io_wait_cb = Option<unsafe extern "C" fn(*mut c_void)>;

pub(crate) struct spdk_bdev_io_wait_entry {
    pub(crate) bdev: *mut spdk_bdev,
    pub(crate) cb_fn: spdk_bdev_io_wait_cb,
    pub(crate) cb_arg: *mut c_void,
}

/// The descriptor, the channel and the bdev of every operation.
pub(crate) const DESC: *mut spdk_bdev_desc = ptr::without_provenance_mut(0x100);
pub(crate) const CHANNEL: *mut spdk_io_channel = ptr::without_provenance_mut(0x200);
const BDEV: *mut spdk_bdev = ptr::without_provenance_mut(0x300);

pub(crate) unsafe fn spdk_bdev_desc_get_bdev(desc: *mut spdk_bdev_desc) -> *mut spdk_bdev {
    assert_eq!(desc, DESC);
    BDEV
}

pub(crate) unsafe fn spdk_bdev_queue_io_wait(
    bdev: *mut spdk_bdev,
    ch: *mut spdk_io_channel,
    entry: *mut spdk_bdev_io_wait_entry,
) -> c_int {
    assert_eq!((bdev, ch), (BDEV, CHANNEL));
    // SAFETY: the core's entry, in its slot.
    assert_eq!(unsafe { (*entry).bdev }, BDEV);
    c::queue_io_wait(entry)
}
