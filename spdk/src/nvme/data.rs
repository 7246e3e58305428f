//! What controllers and namespaces say of themselves.
#![allow(unsafe_code)] // Copies pages that SPDK has of them.

use std::fmt;

use super::controller::NvmeController;
use super::namespace::NvmeNamespace;
use crate::error::{At, Result};
use crate::handle::Subject;
use crate::local::begin;
use crate::sys;

/// Bytes of a page, which is what a controller tells of itself or of a namespace.
pub(super) const PAGE: usize = 4096;

/// A page of the Identify command. The fields are at the places of the specification.
#[derive(Clone)]
struct Page(Box<[u8; PAGE]>);

impl Page {
    /// # Safety
    /// `page` points to a page.
    unsafe fn copy(page: *const u8) -> Self {
        let mut copy = Box::new([0; PAGE]);
        // SAFETY: passed on; a box is elsewhere.
        unsafe { copy.as_mut_ptr().copy_from_nonoverlapping(page, PAGE) };
        Page(copy)
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|index| self.0[at + index])
    }

    fn u8(&self, at: usize) -> u8 {
        self.0[at]
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    fn u128(&self, at: usize) -> u128 {
        u128::from_le_bytes(self.bytes(at))
    }

    fn bit(&self, at: usize, bit: usize) -> bool {
        self.u8(at + bit / 8) >> (bit % 8) & 1 == 1
    }

    /// Without the spaces or the NUL bytes that fill it up.
    fn text(&self, at: usize, len: usize) -> String {
        let text = String::from_utf8_lossy(&self.0[at..at + len]);
        let end = text.find('\0').unwrap_or(text.len());
        text[..end].trim().to_owned()
    }
}

/// What a controller says of itself: the data of Identify Controller.
#[doc(alias = "spdk_nvme_ctrlr_data")]
#[derive(Clone)]
pub struct ControllerData(Page);

/// How many bytes of it there are.
const _: () = assert!(size_of::<sys::spdk_nvme_ctrlr_data>() == PAGE);
const _: () = assert!(size_of::<sys::spdk_nvme_ns_data>() == PAGE);

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $ty:ty = |$page:ident| $value:expr;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&self) -> $ty {
                let $page = &self.0;
                $value
            }
        )*
    };
}

impl ControllerData {
    fields! {
        /// The PCI vendor.
        vendor_id: u16 = |page| page.u16(0);
        /// The PCI vendor of the subsystem.
        subsystem_vendor_id: u16 = |page| page.u16(2);
        /// The serial number.
        serial_number: String = |page| page.text(4, 20);
        /// The model number.
        model_number: String = |page| page.text(24, 40);
        /// The revision of the firmware.
        firmware_revision: String = |page| page.text(64, 8);
        /// The IEEE identifier of the vendor.
        ieee_oui: [u8; 3] = |page| page.bytes(73);
        /// The most that one command can move, as a power of two of the controller's smallest pages; 0 for no
        /// limit. [`NvmeNamespace::max_io_xfer_size`](super::NvmeNamespace::max_io_xfer_size) has it in bytes.
        max_data_transfer: u8 = |page| page.u8(77);
        /// The ID of the controller in its subsystem.
        controller_id: u16 = |page| page.u16(78);
        /// The version of the specification: its major, minor and tertiary number.
        version: (u16, u8, u8) = |page| (page.u16(82), page.u8(81), page.u8(80));
        /// Whether it has the commands Security Send and Receive.
        has_security: bool = |page| page.bit(256, 0);
        /// Whether it formats namespaces.
        has_format: bool = |page| page.bit(256, 1);
        /// Whether it takes firmware.
        has_firmware: bool = |page| page.bit(256, 2);
        /// Whether it makes, attaches and deletes namespaces.
        has_namespace_management: bool = |page| page.bit(256, 3);
        /// Whether it has the commands Directive Send and Receive.
        has_directives: bool = |page| page.bit(256, 5);
        /// How many commands can be aborted at once.
        abort_limit: u16 = |page| u16::from(page.u8(258)) + 1;
        /// How many events it can be asked for at once.
        event_limit: u16 = |page| u16::from(page.u8(259)) + 1;
        /// How many slots for firmware it has.
        firmware_slots: u8 = |page| page.u8(260) >> 1 & 0x7;
        /// The size of all its media together in bytes; 0 if it does not say.
        total_capacity: u128 = |page| page.u128(280);
        /// How much of that is in no namespace, in bytes.
        unallocated_capacity: u128 = |page| page.u128(296);
        /// The unit of the keep-alive timeout in milliseconds; 0 if it has none.
        keep_alive_unit_ms: u32 = |page| u32::from(page.u16(320)) * 100;
        /// Whether it can sanitize by erasing its encryption keys.
        sanitizes_by_crypto_erase: bool = |page| page.bit(328, 0);
        /// Whether it can sanitize by erasing blocks.
        sanitizes_by_block_erase: bool = |page| page.bit(328, 1);
        /// Whether it can sanitize by overwriting.
        sanitizes_by_overwrite: bool = |page| page.bit(328, 2);
        /// How many namespaces it can have: the highest ID of one.
        namespaces: u32 = |page| page.u32(516);
        /// Whether it compares.
        has_compare: bool = |page| page.bit(520, 0);
        /// Whether it makes blocks fail to read.
        has_write_uncorrectable: bool = |page| page.bit(520, 1);
        /// Whether it has the command Dataset Management.
        has_dataset_management: bool = |page| page.bit(520, 2);
        /// Whether it writes zeroes without a buffer.
        has_write_zeroes: bool = |page| page.bit(520, 3);
        /// Whether it has reservations.
        has_reservations: bool = |page| page.bit(520, 5);
        /// Whether it verifies.
        has_verify: bool = |page| page.bit(520, 7);
        /// Whether it copies.
        has_copy: bool = |page| page.bit(520, 8);
        /// Whether it does compare and write as one step.
        has_compare_and_write: bool = |page| page.bit(522, 0);
        /// Whether it has a volatile write cache, so that only a flush makes writes durable.
        has_write_cache: bool = |page| page.bit(525, 0);
        /// How many blocks compare and write handles as one step.
        compare_and_write_unit: u32 = |page| u32::from(page.u16(532)) + 1;
        /// The NVMe qualified name of its subsystem.
        subnqn: String = |page| page.text(768, 256);
    }

    /// All of it, for fields that have no method.
    pub fn as_bytes(&self) -> &[u8; PAGE] {
        &self.0.0
    }
}

impl fmt::Debug for ControllerData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerData")
            .field("serial_number", &self.serial_number())
            .field("model_number", &self.model_number())
            .field("firmware_revision", &self.firmware_revision())
            .field("controller_id", &self.controller_id())
            .finish_non_exhaustive()
    }
}

/// A way in which a namespace can be formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BlockFormat {
    /// The size of a block in bytes, without metadata.
    pub data_size: u64,
    /// The metadata of a block in bytes.
    pub md_size: u16,
    /// How fast it is: 0 for the best, to 3.
    pub relative_performance: u8,
}

/// What a namespace says of itself: the data of Identify Namespace.
#[doc(alias = "spdk_nvme_ns_data")]
#[derive(Clone)]
pub struct NamespaceData(Page);

impl NamespaceData {
    fields! {
        /// How many blocks it has.
        size: u64 = |page| page.u64(0);
        /// How many of them can be in use at once.
        capacity: u64 = |page| page.u64(8);
        /// How many of them are in use.
        utilization: u64 = |page| page.u64(16);
        /// Whether it is thin: its capacity may be less than its size.
        is_thin: bool = |page| page.bit(24, 0);
        /// Which of the formats it has.
        format_index: u8 = |page| page.u8(26) & 0xf | page.u8(26) >> 1 & 0x30;
        /// Whether the metadata follow the data of each block in the same buffer.
        is_md_interleaved: bool = |page| page.bit(26, 4);
        /// The type of its protection information, from 1 to 3; 0 for none.
        protection_type: u8 = |page| page.u8(29) & 0x7;
        /// Whether several controllers can have it.
        is_shared: bool = |page| page.bit(30, 0);
        /// Whether reservations survive a loss of power.
        persists_reservations: bool = |page| page.bit(31, 0);
        /// Its globally unique ID of 16 bytes; zeroes for none.
        nguid: [u8; 16] = |page| page.bytes(104);
        /// Its IEEE extended unique ID; zeroes for none.
        eui64: [u8; 8] = |page| page.bytes(120);
    }

    /// The formats that it can have, in the order of their indices.
    pub fn formats(&self) -> Vec<BlockFormat> {
        let count = usize::from(self.0.u8(25)).min(63);
        let formats = (0..=count).map(|index| {
            let format = self.0.u32(128 + 4 * index);
            BlockFormat {
                data_size: 1 << (format >> 16 & 0x3f),
                md_size: format as u16,
                relative_performance: (format >> 24 & 0x3) as u8,
            }
        });
        formats.collect()
    }

    /// All of it, for fields that have no method.
    pub fn as_bytes(&self) -> &[u8; PAGE] {
        &self.0.0
    }
}

impl fmt::Debug for NamespaceData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceData")
            .field("size", &self.size())
            .field("capacity", &self.capacity())
            .field("format_index", &self.format_index())
            .finish_non_exhaustive()
    }
}

impl NvmeController {
    /// What the controller says of itself, as SPDK has seen it when it was connected.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when that has ended.
    #[doc(alias = "spdk_nvme_ctrlr_get_data")]
    pub fn data(&self) -> Result<ControllerData> {
        let ctrlr = begin(|caller| self.handle().get(caller));
        let ctrlr = ctrlr.map_err(|fault| fault.at(At::new("spdk_nvme_ctrlr_get_data", self)))?;
        // SAFETY: the controller is attached, and of this spdk_thread; it has a page of data.
        Ok(ControllerData(unsafe {
            Page::copy(sys::spdk_nvme_ctrlr_get_data(ctrlr.as_ptr()).cast())
        }))
    }
}

impl NvmeNamespace {
    /// What the namespace says of itself, as SPDK has seen it last.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::data`].
    #[doc(alias = "spdk_nvme_ns_get_data")]
    pub fn data(&self) -> Result<NamespaceData> {
        let ns = self.raw();
        let ns = ns.map_err(|fault| fault.at(At::new("spdk_nvme_ns_get_data", self)))?;
        // SAFETY: the controller is attached, and of this spdk_thread; a namespace has a page of data.
        Ok(NamespaceData(unsafe {
            Page::copy(sys::spdk_nvme_ns_get_data(ns.as_ptr()).cast())
        }))
    }

    /// The ID of its ANA group; 0 where it has none.
    ///
    /// It takes the place of `spdk_nvme_ns_get_ana_group_id`, which has it of the ANA log page.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::data`].
    #[doc(alias = "spdk_nvme_ns_get_ana_group_id")]
    pub fn ana_group_id(&self) -> Result<u32> {
        Ok(self.data()?.0.u32(92))
    }
}
