//! Properties of a device that are more than a number.
#![allow(unsafe_code)] // Reads what C shows of an open device.

use std::ffi::{CStr, CString, c_int, c_void};
use std::{ptr, slice};

use crate::bdev::{Bdev, BdevIoType};
use crate::each::on_app_thread;
use crate::errno::Errno;
use crate::error::{At, Fault, Result};
use crate::handle::Subject;
use crate::local::begin;
use crate::panic::guard;
use crate::sys;

/// A memory domain that a device takes the data of its I/O from, or puts it into, by itself.
#[doc(alias = "spdk_memory_domain")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DomainInfo {
    /// The name that whoever made the domain gave it; a [`MemoryDomain`](crate::bdev::MemoryDomain) has its
    /// `id`.
    pub id: Option<String>,
    /// How the memory is reached.
    pub device: DmaDevice,
}

/// How the memory of a domain is reached.
#[doc(alias = "spdk_dma_device_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DmaDevice {
    /// By RDMA, with a protection domain and a key.
    Rdma,
    /// By physical or I/O virtual addresses, as is the memory of this process.
    Dma,
    /// By the acceleration framework, which transforms the data on the way.
    Accel,
    /// In a way of its own: the number in SPDK's `enum spdk_dma_device_type`.
    Other(u32),
}

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

    /// What the module of the device tells of it, as a JSON object: what `driver_specific` has in
    /// `bdev_get_bdevs` of SPDK's JSON-RPC, such as the file of an aio bdev or the members of a raid.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed,
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) elsewhere than on the spdk_thread that the
    /// application started on, where modules change what they have; `ENOMEM`, and the module's own error.
    #[doc(alias = "spdk_bdev_dump_info_json")]
    pub fn driver_info(&self) -> Result<String> {
        unsafe extern "C" fn write(text: *mut c_void, data: *const c_void, size: usize) -> c_int {
            guard("spdk_bdev_dump_info_json", || {
                if size > 0 {
                    // SAFETY: the context is the `Vec` below, and there are `size` bytes at `data`.
                    unsafe {
                        let data = slice::from_raw_parts(data.cast(), size);
                        (*text.cast::<Vec<u8>>()).extend_from_slice(data);
                    }
                }
                0
            })
        }
        let result = begin(|caller| {
            on_app_thread()?;
            let bdev = self.handle().get(caller)?;
            let mut text: Vec<u8> = Vec::new();
            // SAFETY: the device is there. The writer writes to `text` until its end, which frees it.
            let (told, ended) = unsafe {
                let json = sys::spdk_json_write_begin(Some(write), (&raw mut text).cast(), 0);
                if json.is_null() {
                    return Err(Fault::errno(Errno::ENOMEM));
                }
                sys::spdk_json_write_object_begin(json);
                let told = sys::spdk_bdev_dump_info_json(bdev.as_ptr(), json);
                sys::spdk_json_write_object_end(json);
                (told, sys::spdk_json_write_end(json))
            };
            match (told, ended) {
                (0, 0) => Ok(String::from_utf8_lossy(&text).into_owned()),
                (0, _) => Err(Fault::invalid("what its module tells is no JSON")),
                (rc, _) => Err(Fault::errno(Errno::from_code(rc))),
            }
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_dump_info_json", self)))
    }

    /// The memory domains that the device works with by itself. With others SPDK copies the data to or from
    /// buffers of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed, and
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) elsewhere than on the spdk_thread that the
    /// application started on, where modules change what they have.
    #[doc(alias = "spdk_bdev_get_memory_domains")]
    pub fn memory_domains(&self) -> Result<Vec<DomainInfo>> {
        let result = begin(|caller| {
            on_app_thread()?;
            let bdev = self.handle().get(caller)?.as_ptr();
            let mut domains: Vec<*mut sys::spdk_memory_domain> = Vec::new();
            loop {
                // SAFETY: the device is there; at most as many are written as there is room for.
                let count = unsafe {
                    let room = domains.len() as c_int;
                    sys::spdk_bdev_get_memory_domains(bdev, domains.as_mut_ptr(), room)
                };
                let Ok(count) = usize::try_from(count) else {
                    return Err(Fault::errno(Errno::from_code(count)));
                };
                if count <= domains.len() {
                    domains.truncate(count);
                    break;
                }
                domains.resize(count, ptr::null_mut());
            }
            // SAFETY: the device has these, and gives none up during the call.
            Ok(unsafe { domains.into_iter().map(|domain| info(domain)).collect() })
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_get_memory_domains", self)))
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

/// # Safety
/// The domain exists during the call.
unsafe fn info(domain: *mut sys::spdk_memory_domain) -> DomainInfo {
    // SAFETY: passed on. The name is a C string of the domain, or null.
    let (id, device) = unsafe {
        let id = sys::spdk_memory_domain_get_dma_device_id(domain);
        let id = (!id.is_null()).then(|| CStr::from_ptr(id).to_string_lossy().into_owned());
        (id, sys::spdk_memory_domain_get_dma_device_type(domain))
    };
    let device = match device {
        sys::SPDK_DMA_DEVICE_TYPE_RDMA => DmaDevice::Rdma,
        sys::SPDK_DMA_DEVICE_TYPE_DMA => DmaDevice::Dma,
        sys::SPDK_DMA_DEVICE_TYPE_ACCEL => DmaDevice::Accel,
        other => DmaDevice::Other(other.0),
    };
    DomainInfo { id, device }
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
