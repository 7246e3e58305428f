//! What the library's files use of SPDK, played by the script.
#![allow(unsafe_code)] // Functions of C are unsafe to call, and entries are read that the core passes.
#![allow(non_camel_case_types, reason = "the names are C's")]
#![allow(clippy::too_many_arguments, reason = "those of the C functions")]

use std::ffi::{c_int, c_void};
use std::ptr;

use crate::c::{self, Callback};
use crate::local;
use crate::world::Kind;

pub(crate) struct spdk_thread;
pub(crate) struct spdk_bdev;
pub(crate) struct spdk_bdev_desc;
#[allow(unreachable_pub, reason = "public in its own crate")]
pub struct spdk_bdev_io;
pub(crate) struct spdk_io_channel;
pub(crate) struct spdk_blob;

pub(crate) type spdk_bdev_io_wait_cb = Option<unsafe extern "C" fn(*mut c_void)>;
pub(crate) type spdk_bdev_io_completion_cb =
    Option<unsafe extern "C" fn(*mut spdk_bdev_io, bool, *mut c_void)>;
pub(crate) type spdk_blob_op_complete = Option<unsafe extern "C" fn(*mut c_void, c_int)>;

#[allow(unreachable_pub, reason = "public in its own crate")]
pub struct spdk_bdev_io_wait_entry {
    pub(crate) bdev: *mut spdk_bdev,
    pub(crate) cb_fn: spdk_bdev_io_wait_cb,
    pub(crate) cb_arg: *mut c_void,
}

const BDEV: *mut spdk_bdev = ptr::without_provenance_mut(0x300);

macro_rules! bdev_io {
    ($($name:ident($kind:ident $(, $data:ident)?);)*) => {$(
        pub(crate) unsafe fn $name(
            desc: *mut spdk_bdev_desc,
            ch: *mut spdk_io_channel,
            $($data: *mut c_void,)?
            offset: u64,
            blocks: u64,
            done: spdk_bdev_io_completion_cb,
            arg: *mut c_void,
        ) -> c_int {
            assert!(!desc.is_null() && !ch.is_null());
            let data: &[*mut c_void] = &[$($data)?];
            c::submit(Kind::$kind, data.first(), offset, blocks, Callback::Bdev(done), arg)
        }
    )*};
}

bdev_io! {
    spdk_bdev_read_blocks(Read, data);
    spdk_bdev_write_blocks(Unused, data);
    spdk_bdev_write_zeroes_blocks(Unused);
    spdk_bdev_unmap_blocks(Unmap);
    spdk_bdev_flush_blocks(Unused);
}

macro_rules! blob_io {
    ($($name:ident($kind:ident $(, $data:ident)?);)*) => {$(
        pub(crate) unsafe fn $name(
            blob: *mut spdk_blob,
            ch: *mut spdk_io_channel,
            $($data: *mut c_void,)?
            offset: u64,
            units: u64,
            done: spdk_blob_op_complete,
            arg: *mut c_void,
        ) {
            assert!(!blob.is_null() && !ch.is_null());
            let data: &[*mut c_void] = &[$($data)?];
            c::submit(Kind::$kind, data.first(), offset, units, Callback::Blob(done), arg);
        }
    )*};
}

blob_io! {
    spdk_blob_io_read(Read, data);
    spdk_blob_io_write(Unused, data);
    spdk_blob_io_write_zeroes(Unused);
    spdk_blob_io_unmap(Unmap);
}

pub(crate) unsafe fn spdk_bdev_desc_get_bdev(desc: *mut spdk_bdev_desc) -> *mut spdk_bdev {
    assert!(!desc.is_null());
    BDEV
}

pub(crate) unsafe fn spdk_bdev_queue_io_wait(
    bdev: *mut spdk_bdev,
    ch: *mut spdk_io_channel,
    entry: *mut spdk_bdev_io_wait_entry,
) -> c_int {
    assert!(bdev == BDEV && !ch.is_null());
    // SAFETY: the core's entry, in its slot.
    assert_eq!(unsafe { (*entry).bdev }, BDEV);
    c::queue_io_wait(entry)
}

pub(crate) unsafe fn spdk_bdev_io_get_submit_tsc(bdev_io: *mut spdk_bdev_io) -> u64 {
    c::look_at(bdev_io);
    c::SUBMITTED
}

pub(crate) unsafe fn spdk_bdev_free_io(bdev_io: *mut spdk_bdev_io) {
    c::free_bdev_io(bdev_io);
}

pub(crate) unsafe fn spdk_io_channel_get_thread(ch: *mut spdk_io_channel) -> *mut spdk_thread {
    assert!(!ch.is_null());
    local::thread(local::HOME)
}
