//! I/O on a bdev that lends its memory: the data are copied here, at once.
//!
//! SPDK's malloc bdev has its accel framework copy them, whose bookkeeping costs more than a copy of 4 KiB.
#![allow(unsafe_code)] // Passes on the contexts of C's I/O, and copies between its memory and the bdev's.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use crate::{slot, sys};

type Done = sys::spdk_bdev_io_completion_cb;

/// Whether its memory is as good as the bdev: whether nothing is on the way that would look at the data, split them, or copy
/// them better.
///
/// Others that lend memory are refused. SPDK's filters pass this on to what is below, and then leave out what they are there
/// for: the error bdev its errors.
///
/// # Safety
/// The bdev exists.
pub(super) unsafe fn can_lend(bdev: *mut sys::spdk_bdev) -> bool {
    // SAFETY: as the caller says; what C names are strings that stay.
    unsafe {
        let mut copies: *const c_char = ptr::null();
        let rc = sys::spdk_accel_get_opc_module_name(sys::SPDK_ACCEL_OPC_COPY, &mut copies);
        CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev)) == c"malloc"
            && sys::spdk_bdev_io_type_supported(bdev, sys::SPDK_BDEV_IO_TYPE_ZCOPY)
            && sys::spdk_bdev_get_md_size(bdev) == 0
            && sys::spdk_bdev_get_optimal_io_boundary(bdev) == 0
            && rc == 0
            && CStr::from_ptr(copies) == c"software"
    }
}

/// An I/O, until the bdev has lent memory for it.
struct Lent {
    payload: *mut c_void,
    cb: Done,
    cb_arg: *mut c_void,
}

impl Lent {
    /// Begins an I/O, by a call of C that has this as its context; returns what C says.
    ///
    /// # Safety
    /// If C says 0, it calls back once, with [`Lent::end`]; else never.
    unsafe fn begin(
        payload: *mut c_void,
        cb: Done,
        cb_arg: *mut c_void,
        call: impl FnOnce(*mut c_void) -> c_int,
    ) -> c_int {
        let lent = slot::alloc::<Lent>().as_ptr();
        // SAFETY: it is memory for one. C may have called back in the call, unless it refused it.
        unsafe {
            lent.write(Lent {
                payload,
                cb,
                cb_arg,
            });
            let rc = call(lent.cast());
            if rc != 0 {
                Lent::end(lent);
            }
            rc
        }
    }

    /// # Safety
    /// `begin` has made it, and this is its last use.
    unsafe fn end(lent: *mut Self) -> Self {
        // SAFETY: as the caller says.
        unsafe {
            let this = lent.read();
            slot::free(ptr::NonNull::new_unchecked(lent));
            this
        }
    }

    /// # Safety
    /// The I/O is at its end.
    unsafe fn call_back(self, io: *mut sys::spdk_bdev_io, success: bool) {
        if let Some(cb) = self.cb {
            // SAFETY: as the caller says; it has these from who began the I/O.
            unsafe { cb(io, success, self.cb_arg) };
        }
    }
}

/// As `spdk_bdev_read_blocks`.
///
/// # Safety
/// As that, on a bdev that [`can_lend`].
pub(super) unsafe fn read(
    desc: *mut sys::spdk_bdev_desc,
    ch: *mut sys::spdk_io_channel,
    payload: *mut c_void,
    lba: u64,
    blocks: u64,
    cb: Done,
    cb_arg: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says. A read without a buffer gets the bdev's.
    unsafe {
        Lent::begin(payload, cb, cb_arg, |lent| {
            let buf = ptr::null_mut();
            sys::spdk_bdev_read_blocks(desc, ch, buf, lba, blocks, Some(has_read), lent)
        })
    }
}

unsafe extern "C" fn has_read(io: *mut sys::spdk_bdev_io, success: bool, lent: *mut c_void) {
    // SAFETY: it began with this, and ends once. The payload is C's until it is called back, and as long as the blocks. Who
    // writes to these meanwhile gets bytes of both, as in C.
    unsafe {
        let lent = Lent::end(lent.cast());
        if success {
            let (memory, len) = memory(io);
            ptr::copy(memory, lent.payload.cast(), len);
        }
        lent.call_back(io, success);
    }
}

/// As `spdk_bdev_write_blocks`.
///
/// # Safety
/// As that, on a bdev that [`can_lend`].
pub(super) unsafe fn write(
    desc: *mut sys::spdk_bdev_desc,
    ch: *mut sys::spdk_io_channel,
    payload: *mut c_void,
    lba: u64,
    blocks: u64,
    cb: Done,
    cb_arg: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        Lent::begin(payload, cb, cb_arg, |lent| {
            let iov = ptr::null_mut();
            let cb: Done = Some(may_write);
            sys::spdk_bdev_zcopy_start(desc, ch, iov, 0, lba, blocks, false, cb, lent)
        })
    }
}

unsafe extern "C" fn may_write(io: *mut sys::spdk_bdev_io, success: bool, lent: *mut c_void) {
    // SAFETY: as in `has_read`.
    unsafe {
        let lent = Lent::end(lent.cast());
        if !success {
            return lent.call_back(io, false);
        }
        let (memory, len) = memory(io);
        overwrite(memory, lent.payload.cast(), len);
        if sys::spdk_bdev_zcopy_end(io, true, lent.cb, lent.cb_arg) != 0 {
            lent.call_back(io, false);
        }
    }
}

/// What the bdev has lent, in one piece: whole blocks.
///
/// # Safety
/// The bdev has just lent it to this I/O.
unsafe fn memory(io: *mut sys::spdk_bdev_io) -> (*mut u8, usize) {
    let (mut iov, mut iovcnt) = (ptr::null_mut(), 0);
    // SAFETY: the module gives one piece for all blocks of the I/O.
    unsafe {
        sys::spdk_bdev_io_get_iovec(io, &mut iov, &mut iovcnt);
        ((*iov).iov_base.cast(), (*iov).iov_len)
    }
}

/// A `memcpy` of few KiB reads what it overwrites into the caches first; this instruction need not.
///
/// # Safety
/// Both are memory of so many bytes, a multiple of 512.
#[cfg(all(target_arch = "x86_64", not(spdk_asan)))]
unsafe fn overwrite(memory: *mut u8, payload: *const u8, len: usize) {
    // SAFETY: as the caller says.
    unsafe {
        std::arch::asm!(
            "rep movsq",
            inout("rcx") len / 8 => _,
            inout("rsi") payload => _,
            inout("rdi") memory => _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// As above.
#[cfg(not(all(target_arch = "x86_64", not(spdk_asan))))]
unsafe fn overwrite(memory: *mut u8, payload: *const u8, len: usize) {
    // SAFETY: as the caller says.
    unsafe { ptr::copy(payload, memory, len) };
}
