//! The status of a failed I/O.
#![allow(unsafe_code)] // Declares a function as it is beside SPDK.

use crate::c;
use crate::errno::Errno;
use crate::error::Fault;
use crate::sys;

pub(crate) unsafe fn fault(bdev_io: *mut sys::spdk_bdev_io) -> Fault {
    c::look_at(bdev_io);
    Fault(Errno::EIO)
}
