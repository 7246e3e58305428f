//! External snapshots: the bdevs that volumes depend on, by their UUIDs, as SPDK's module does it.
#![allow(unsafe_code)] // Makes `spdk_bs_dev`s for blobs, which destroy them.

use std::ffi::{CStr, CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::LazyLock;

use crate::bdev_claim;
use crate::error::{At, Fault};
use crate::panic::guard;
use crate::{Bdev, sys};

/// The length of a UUID as text, with the NUL at its end.
const LENGTH: u32 = 37;

/// What a volume remembers of an external snapshot.
pub(super) struct Esnap {
    pub(super) id: CString,
    /// In bytes.
    pub(super) size: u64,
}

impl Esnap {
    /// The bdev of this name, for a store with io units of this size.
    pub(super) fn of(bdev: &str, io_unit: u32) -> crate::Result<Self> {
        let bdev = Bdev::find(bdev)?;
        if !io_unit.is_multiple_of(bdev.block_size()) {
            // SPDK would find it when the volume exists, and leave that in the store.
            let reason = format!(
                "its blocks of {} bytes are no part of {io_unit}",
                bdev.block_size()
            );
            return Err(Fault::invalid(reason).at(At::new("spdk_bdev_create_bs_dev", &bdev)));
        }
        let id = CString::new(text(bdev.uuid()?));
        let size = bdev.num_blocks() * u64::from(bdev.block_size());
        match id {
            Ok(id) => Ok(Esnap { id, size }),
            Err(_) => unreachable!("a UUID has no NUL"),
        }
    }

    /// As SPDK's module writes it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.id.as_bytes_with_nul()
    }
}

fn text(uuid: [u8; 16]) -> String {
    let mut text = String::new();
    for (i, byte) in uuid.iter().enumerate() {
        if [4, 6, 8, 10].contains(&i) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Reads what [`text`] writes.
pub(super) fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'-').collect();
    if text.len() != 36 || digits.len() != 32 {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(uuid)
}

/// Opens the bdev that a volume depends on, which is being opened itself.
pub(super) unsafe extern "C" fn create(
    _: *mut c_void,
    _: *mut c_void,
    _: *mut sys::spdk_blob,
    id: *const c_void,
    length: u32,
    device: *mut *mut sys::spdk_bs_dev,
) -> c_int {
    guard("external snapshot of a volume", || {
        if id.is_null() || length != LENGTH {
            return -libc::EINVAL;
        }
        // SAFETY: the ID has so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(id.cast::<u8>(), length as usize) };
        let found = match CStr::from_bytes_with_nul(bytes) {
            Ok(id) if parse(id.to_bytes()).is_some() => open(id),
            _ => return -libc::EINVAL,
        };
        let found = found.unwrap_or_else(|rc| {
            let errno = crate::Errno::from_code(rc);
            let id = String::from_utf8_lossy(bytes.split_last().map_or(&[], |(_, id)| id));
            tracing::warn!(%id, %errno, "the bdev that a volume depends on cannot be opened");
            DEGRADED.0
        });
        // SAFETY: it is where C wants it.
        unsafe { *device = found };
        0
    })
}

fn open(id: &CStr) -> Result<*mut sys::spdk_bs_dev, c_int> {
    let mut device = ptr::null_mut();
    // SAFETY: the UUID is a C string, and one of the names of the bdev; it is copied. The module is a static. A device
    // that is not given away is destroyed here.
    unsafe {
        let (opts, size) = (ptr::null_mut(), 0);
        let id = id.as_ptr();
        let (event, context) = (Some(on_event as _), ptr::null_mut());
        let rc = sys::spdk_bdev_create_bs_dev(id, false, opts, size, event, context, &mut device);
        if rc != 0 {
            return Err(rc);
        }
        let rc = sys::spdk_bs_bdev_claim(device, bdev_claim::module());
        if rc != 0 {
            if let Some(destroy) = (*device).destroy {
                destroy(device);
            }
            return Err(rc);
        }
    }
    Ok(device)
}

/// The bdev waits until the volume is closed.
unsafe extern "C" fn on_event(
    kind: sys::spdk_bdev_event_type,
    _: *mut sys::spdk_bdev,
    _: *mut c_void,
) {
    if kind == sys::SPDK_BDEV_EVENT_REMOVE {
        tracing::warn!("a bdev that a volume depends on is removed when that is closed");
    }
}

/// What stands for a bdev that is not there: SPDK refuses I/O that has no channel of it.
struct Degraded(*mut sys::spdk_bs_dev);

// SAFETY: nobody changes what it points to, which is never freed.
unsafe impl Send for Degraded {}
// SAFETY: as above.
unsafe impl Sync for Degraded {}

static DEGRADED: LazyLock<Degraded> = LazyLock::new(|| {
    // SAFETY: zeroes are a value of every field: a function that is not there, or a number.
    let mut device = unsafe { MaybeUninit::<sys::spdk_bs_dev>::zeroed().assume_init() };
    device.create_channel = Some(no_channel);
    device.destroy_channel = Some(destroy_no_channel);
    device.destroy = Some(destroy_nothing);
    device.read = Some(read);
    device.readv = Some(readv);
    device.readv_ext = Some(readv_ext);
    device.is_zeroes = Some(is_not);
    device.is_range_valid = Some(is_not);
    device.translate_lba = Some(translate);
    device.is_degraded = Some(is_degraded);
    // As large as can be, of blocks that fit into those of every store.
    device.blockcnt = u64::MAX / 512;
    device.blocklen = 512;
    Degraded(Box::into_raw(Box::new(device)))
});

unsafe extern "C" fn no_channel(_: *mut sys::spdk_bs_dev) -> *mut sys::spdk_io_channel {
    ptr::null_mut()
}

unsafe extern "C" fn destroy_no_channel(_: *mut sys::spdk_bs_dev, _: *mut sys::spdk_io_channel) {}

unsafe extern "C" fn destroy_nothing(_: *mut sys::spdk_bs_dev) {}

unsafe extern "C" fn is_not(_: *mut sys::spdk_bs_dev, _: u64, _: u64) -> bool {
    false
}

unsafe extern "C" fn translate(_: *mut sys::spdk_bs_dev, _: u64, _: *mut u64) -> bool {
    false
}

unsafe extern "C" fn is_degraded(_: *mut sys::spdk_bs_dev) -> bool {
    true
}

unsafe extern "C" fn read(
    _: *mut sys::spdk_bs_dev,
    _: *mut sys::spdk_io_channel,
    _: *mut c_void,
    _: u64,
    _: u32,
    done: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: passed on.
    unsafe { fail(done) }
}

unsafe extern "C" fn readv(
    _: *mut sys::spdk_bs_dev,
    _: *mut sys::spdk_io_channel,
    _: *mut sys::iovec,
    _: c_int,
    _: u64,
    _: u32,
    done: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: passed on.
    unsafe { fail(done) }
}

unsafe extern "C" fn readv_ext(
    _: *mut sys::spdk_bs_dev,
    _: *mut sys::spdk_io_channel,
    _: *mut sys::iovec,
    _: c_int,
    _: u64,
    _: u32,
    done: *mut sys::spdk_bs_dev_cb_args,
    _: *mut sys::spdk_blob_ext_io_opts,
) {
    // SAFETY: passed on.
    unsafe { fail(done) }
}

/// # Safety
/// They are those of a request.
unsafe fn fail(done: *mut sys::spdk_bs_dev_cb_args) {
    // SAFETY: the caller promises it; a request is ended once, by the function that came with it.
    unsafe {
        if let Some(f) = (*done).cb_fn {
            f((*done).channel, (*done).cb_arg, -libc::EIO);
        }
    }
}
