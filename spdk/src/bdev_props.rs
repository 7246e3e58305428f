//! Properties of a device that are more than a number.
#![allow(unsafe_code)] // Reads what C shows of an open device.

use std::ffi::{CStr, CString};

use crate::bdev::{Bdev, BdevIoType};
use crate::each::on_app_thread;
use crate::error::{At, Fault, Result};
use crate::handle::Subject;
use crate::local::begin;
use crate::sys;

impl Bdev {
    /// The UUID of the device: 16 bytes in the order that they are written in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed.
    #[doc(alias = "spdk_bdev_get_uuid")]
    pub fn uuid(&self) -> Result<[u8; 16]> {
        let result = begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: the device is there; the function returns a part of it, which is copied.
            let uuid = unsafe {
                sys::spdk_bdev_get_uuid(bdev.as_ptr())
                    .cast::<[u8; 16]>()
                    .read()
            };
            Ok(uuid)
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_get_uuid", self)))
    }

    /// The other names that the device can be found by.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed, and
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) elsewhere than on the spdk_thread that the
    /// application started on: there names are given and taken.
    #[doc(alias = "spdk_bdev_get_aliases")]
    pub fn aliases(&self) -> Result<Vec<String>> {
        let result = begin(|caller| {
            on_app_thread()?;
            let bdev = self.handle().get(caller)?;
            let mut aliases = Vec::new();
            // SAFETY: the device is there, and its list does not change during the call: modules change it
            // on this spdk_thread. Each element has a C string.
            unsafe {
                let mut next = (*sys::spdk_bdev_get_aliases(bdev.as_ptr())).tqh_first;
                while let Some(alias) = next.as_ref() {
                    let name = CStr::from_ptr(alias.alias.name);
                    aliases.push(name.to_string_lossy().into_owned());
                    next = alias.tailq.tqe_next;
                }
            }
            Ok(aliases)
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_get_aliases", self)))
    }

    /// The first block of the zone that a block is in, which names the zone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) on a device without zones.
    #[doc(alias = "spdk_bdev_get_zone_id")]
    pub fn zone_id(&self, offset_blocks: u64) -> Result<u64> {
        let result = begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: the device is there, and the division that the second call does is not by 0.
            unsafe {
                if sys::spdk_bdev_get_zone_size(bdev.as_ptr()) == 0 {
                    return Err(Fault::invalid("the device has no zones"));
                }
                Ok(sys::spdk_bdev_get_zone_id(bdev.as_ptr(), offset_blocks))
            }
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_get_zone_id", self)))
    }

    /// Whether the device takes directives of flexible data placement in
    /// [`BdevExtIoOpts::nvme_cdw12`](crate::bdev::BdevExtIoOpts::nvme_cdw12).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed.
    #[doc(alias = "spdk_bdev_get_nvme_ctratt")]
    pub fn has_flexible_data_placement(&self) -> Result<bool> {
        /// `FDPS` of the controller's attributes.
        const FDPS: u32 = 1 << 19;
        let result = begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: the device is there; both members of the union are the same 32 bits.
            Ok(unsafe { sys::spdk_bdev_get_nvme_ctratt(bdev.as_ptr()).raw } & FDPS != 0)
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_get_nvme_ctratt", self)))
    }
}

#[cfg(spdk_has_spdk_bdev_get_io_type_name)]
impl BdevIoType {
    /// The name that SPDK has for it, as in its configuration: `read`. Since SPDK 24.09.
    #[doc(alias = "spdk_bdev_get_io_type_name")]
    pub fn name(self) -> Option<&'static str> {
        if self.to_raw() >= sys::SPDK_BDEV_NUM_IO_TYPES.0 {
            return None;
        }
        // SAFETY: the number is one of SPDK's own; it returns a string literal, or NULL.
        unsafe {
            let name = sys::spdk_bdev_get_io_type_name(self.to_c());
            if name.is_null() {
                return None;
            }
            CStr::from_ptr(name).to_str().ok()
        }
    }

    /// The kind of operation that SPDK has this name for. Since SPDK 24.09.
    #[doc(alias = "spdk_bdev_get_io_type")]
    pub fn by_name(name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: the call compares the text, which is a C string.
        let raw = unsafe { sys::spdk_bdev_get_io_type(name.as_ptr()) };
        u32::try_from(raw).ok().map(BdevIoType::from_raw)
    }
}
