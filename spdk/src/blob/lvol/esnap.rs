//! External snapshots: the bdevs that volumes depend on, by their UUIDs, as SPDK's module does it.
#![allow(unsafe_code)] // Makes `spdk_bs_dev`s for blobs, which destroy them.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{self, NonNull};

use super::super::external::{ExternalSnapshot, read_bdev};
use crate::bdev_claim;
use crate::error::{At, Fault};
use crate::panic::guard;
use crate::{Bdev, Errno, sys};

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

    /// Whether it has this UUID.
    pub(super) fn is_of(&self, uuid: [u8; 16]) -> bool {
        self.id.as_bytes() == text(uuid).as_bytes()
    }

    /// Opens it, for a volume that is to depend on it.
    pub(super) fn device(&self) -> Result<NonNull<sys::spdk_bs_dev>, Errno> {
        find(&self.id.to_string_lossy())
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
        let id = CStr::from_bytes_with_nul(bytes).map(CStr::to_str);
        let Ok(Ok(id)) = id else {
            return -libc::EINVAL;
        };
        if parse(id.as_bytes()).is_none() {
            return -libc::EINVAL;
        }
        match find(id) {
            Ok(made) => {
                // SAFETY: it is where C wants it.
                unsafe { *device = made.as_ptr() };
                0
            }
            Err(errno) => -errno.code(),
        }
    })
}

/// Opens a bdev by its UUID, or makes a device that takes no I/O.
fn find(id: &str) -> Result<NonNull<sys::spdk_bs_dev>, Errno> {
    open(id).or_else(|errno| -> Result<_, Errno> {
        tracing::warn!(%id, %errno, "the bdev that a volume depends on cannot be opened");
        let missing = ExternalSnapshot::missing().make()?;
        // SAFETY: it was just made, and nobody uses it yet. SPDK refuses all I/O of a volume without such a channel.
        unsafe {
            (*missing.as_ptr()).create_channel = Some(no_channel);
            (*missing.as_ptr()).destroy_channel = Some(destroy_no_channel);
        }
        Ok(missing)
    })
}

unsafe extern "C" fn no_channel(_: *mut sys::spdk_bs_dev) -> *mut sys::spdk_io_channel {
    ptr::null_mut()
}

unsafe extern "C" fn destroy_no_channel(_: *mut sys::spdk_bs_dev, _: *mut sys::spdk_io_channel) {}

/// SPDK's own device for the bdev claims it. That is not read: see [`read_bdev`].
fn open(id: &str) -> Result<NonNull<sys::spdk_bs_dev>, Errno> {
    let c_id = CString::new(id).map_err(|_| Errno::EINVAL)?;
    let mut device = ptr::null_mut();
    // SAFETY: the UUID is a C string, and one of the names of the bdev; it is copied. The device goes where it is wanted.
    let rc = unsafe {
        let (opts, size) = (ptr::null_mut(), 0);
        let id = c_id.as_ptr();
        let (event, context) = (Some(on_event as _), ptr::null_mut());
        sys::spdk_bdev_create_bs_dev(id, false, opts, size, event, context, &mut device)
    };
    if rc != 0 {
        return Err(Errno::from_code(rc));
    }
    let claim = Claim(device);
    // SAFETY: it was just made on this spdk_thread; the module is a static.
    match unsafe { sys::spdk_bs_bdev_claim(device, bdev_claim::module()) } {
        0 => read_bdev(id, Box::new(claim)),
        rc => Err(Errno::from_code(rc)),
    }
}

/// A device of SPDK's that nobody reads, and that has a bdev claimed until it is dropped, on its spdk_thread.
struct Claim(*mut sys::spdk_bs_dev);

impl Drop for Claim {
    fn drop(&mut self) {
        // SAFETY: it is ours, on the spdk_thread that made it; this is its own function.
        unsafe {
            if let Some(destroy) = (*self.0).destroy {
                destroy(self.0);
            }
        }
    }
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
