//! The first fields of SPDK's structs for lvol stores and volumes, which `lvol.h` does not show.
//!
//! They have been the same in all releases, but nobody has promised them. So every value that is read is compared with
//! what SPDK says about it elsewhere before it is used.
#![allow(unsafe_code)] // Reads them.

use std::ptr::NonNull;

use super::super::device::Device;
use crate::error::Fault;
use crate::{Errno, sys};

/// `struct spdk_lvol_store`.
#[repr(C)]
struct StoreHead {
    bs_dev: *mut sys::spdk_bs_dev,
    blobstore: *mut sys::spdk_blob_store,
}

/// `struct spdk_lvol`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct VolumeHead {
    pub(super) store: *mut sys::spdk_lvol_store,
    /// While it is open.
    pub(super) blob: *mut sys::spdk_blob,
    pub(super) blob_id: sys::spdk_blob_id,
}

/// The blobstore of an lvol store that was loaded from this device.
///
/// # Safety
/// It is loaded, on the current spdk_thread.
pub(super) unsafe fn blobstore(
    lvs: NonNull<sys::spdk_lvol_store>,
    device: &Device,
) -> Result<NonNull<sys::spdk_blob_store>, Fault> {
    let unknown = || Fault::errno(Errno::ENOTSUP);
    // SAFETY: the struct is there, and larger than this: it has the name of the store, of 64 bytes.
    let head = unsafe { lvs.cast::<StoreHead>().read() };
    if head.bs_dev != device.as_ptr() {
        return Err(unknown());
    }
    // A blobstore is an I/O device, by its address, which its metadata thread has a channel of.
    // SAFETY: it looks for the address among those of I/O devices, and reads nothing from there unless it is one.
    let ch = unsafe { sys::spdk_get_io_channel(head.blobstore.cast()) };
    if ch.is_null() {
        return Err(unknown());
    }
    // SAFETY: it was just taken, on this spdk_thread.
    unsafe { sys::spdk_put_io_channel(ch) };
    NonNull::new(head.blobstore).ok_or_else(unknown)
}

/// # Safety
/// The volume exists, and this is the metadata thread of its store.
pub(super) unsafe fn volume(lvol: NonNull<sys::spdk_lvol>) -> VolumeHead {
    // SAFETY: passed on. The struct has a name of 64 bytes, so it is larger.
    unsafe { lvol.cast::<VolumeHead>().read() }
}
