// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Block devices. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use core::ptr::{self, NonNull};
use crate::__private::{self as rt, Subject as _, sys};
use crate::IoChannel;
use crate::bdev::Bdev;

rt::assert_not_send_sync!(Bdev);

/// An open block device.
///
/// The first step to I/O: `get_io_channel` gives the channel that reads and writes go through.
/// Any number of descriptors of a device can be open at once. When the device is removed, they
/// are closed as soon as nothing is in flight, and report
/// [`ErrorKind::Gone`](crate::ErrorKind::Gone).
///
/// A read or a write has less than 4 GiB: more SPDK 26.01 splits into parts of the wrong
/// memory. One of more is refused.
///
/// An error, GPT, Opal or split bdev whose metadata are apart from the data, with reference
/// tags that are checked ([`DifCheck::RefTag`](crate::bdev::DifCheck::RefTag)), is read and
/// written with a buffer for them only: without, SPDK 26.01 crashes, and so it is refused. This
/// is not seen of one of these below another bdev.
///
/// It belongs to the spdk_thread that it was made on; elsewhere its methods return
/// `ErrorKind::WrongThread`. Dropping it calls `spdk_bdev_close` on its home thread, once no
/// operation uses it any more.
///
/// The C struct is `spdk_bdev_desc`.
#[doc(alias = "spdk_bdev_desc")]
pub struct BdevDesc(rt::Handle<BdevDescObject>);

/// The C object of a [`BdevDesc`].
#[doc(hidden)]
pub enum BdevDescObject {}

const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) = sys::spdk_bdev_close;

// SAFETY: `release` frees the object, by the function that the manifest names.
unsafe impl rt::Object for BdevDescObject {
    type C = sys::spdk_bdev_desc;
    type Extra = crate::bdev::DescExtra;
    const NAME: &'static str = "BdevDesc";
    unsafe fn release(ptr: NonNull<Self::C>, _extra: &Self::Extra) {
        // SAFETY: the core calls this once, on the home thread, with nothing in flight;
        // `spdk_bdev_close` takes the object and nothing else.
        unsafe { sys::spdk_bdev_close(ptr.as_ptr()) }
    }
    fn label(extra: &Self::Extra) -> String {
        extra.label()
    }
}

impl rt::Subject for BdevDesc {
    type O = BdevDescObject;
    fn handle(&self) -> &rt::Handle<BdevDescObject> {
        &self.0
    }
}

impl BdevDesc {
    /// Takes over what a C function returned; NULL is an error.
    ///
    /// # Safety
    ///
    /// `ptr` is NULL, or a live object that nobody else frees.
    #[allow(dead_code, reason = "not every handle has a call that produces it here")]
    pub(crate) unsafe fn from_c(
        ptr: *mut sys::spdk_bdev_desc,
        extra: crate::bdev::DescExtra,
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(BdevDesc(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(BdevDesc);

/// Something that happened to a block device.
///
/// The C enum is `spdk_bdev_event_type`.
#[doc(alias = "spdk_bdev_event_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BdevEvent {
    /// The device is being removed: its descriptors are closed.
    #[doc(alias = "SPDK_BDEV_EVENT_REMOVE")]
    Remove,
    /// The number of blocks has changed.
    #[doc(alias = "SPDK_BDEV_EVENT_RESIZE")]
    Resize,
    /// The device asks for data to be moved away from some blocks.
    #[doc(alias = "SPDK_BDEV_EVENT_MEDIA_MANAGEMENT")]
    MediaManagement,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_EVENT_REMOVE.0 == 0);
    assert!(sys::SPDK_BDEV_EVENT_RESIZE.0 == 1);
    assert!(sys::SPDK_BDEV_EVENT_MEDIA_MANAGEMENT.0 == 2);
};

impl BdevEvent {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Remove,
            1 => Self::Resize,
            2 => Self::MediaManagement,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Remove => 0,
            Self::Resize => 1,
            Self::MediaManagement => 2,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_bdev_event_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_bdev_event_type {
        sys::spdk_bdev_event_type(self.to_raw())
    }
}

/// A kind of operation that a block device may support.
///
/// The C enum is `spdk_bdev_io_type`.
#[doc(alias = "spdk_bdev_io_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BdevIoType {
    /// Not an operation.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_INVALID")]
    Invalid,
    /// Read.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_READ")]
    Read,
    /// Write.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_WRITE")]
    Write,
    /// Tell the device that blocks are not needed any more.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_UNMAP")]
    Unmap,
    /// Make what was written durable.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_FLUSH")]
    Flush,
    /// Reset the device.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_RESET")]
    Reset,
    /// Pass an NVMe admin command through.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_ADMIN")]
    NvmeAdmin,
    /// Pass an NVMe I/O command through.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_IO")]
    NvmeIo,
    /// Pass an NVMe I/O command with separate metadata through.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_IO_MD")]
    NvmeIoMd,
    /// Write zeroes without a buffer.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_WRITE_ZEROES")]
    WriteZeroes,
    /// Lend memory of the device itself.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_ZCOPY")]
    Zcopy,
    /// Describe zones.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_GET_ZONE_INFO")]
    GetZoneInfo,
    /// Open, close, finish or reset a zone.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_ZONE_MANAGEMENT")]
    ZoneManagement,
    /// Append to a zone.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_ZONE_APPEND")]
    ZoneAppend,
    /// Compare blocks with a buffer.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_COMPARE")]
    Compare,
    /// Compare, and write if equal, as one step.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_COMPARE_AND_WRITE")]
    CompareAndWrite,
    /// Abort an operation in flight.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_ABORT")]
    Abort,
    /// Find the next blocks without data.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_SEEK_HOLE")]
    SeekHole,
    /// Find the next blocks with data.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_SEEK_DATA")]
    SeekData,
    /// Copy blocks inside the device.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_COPY")]
    Copy,
    /// Pass a vectored NVMe I/O command with separate metadata through.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_IOV_MD")]
    NvmeIovMd,
    /// Reset the NVM subsystem.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_NSSR")]
    NvmeNssr,
    /// Make blocks fail to read.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_WRITE_UNCORRECTABLE")]
    WriteUncorrectable,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_IO_TYPE_INVALID.0 == 0);
    assert!(sys::SPDK_BDEV_IO_TYPE_READ.0 == 1);
    assert!(sys::SPDK_BDEV_IO_TYPE_WRITE.0 == 2);
    assert!(sys::SPDK_BDEV_IO_TYPE_UNMAP.0 == 3);
    assert!(sys::SPDK_BDEV_IO_TYPE_FLUSH.0 == 4);
    assert!(sys::SPDK_BDEV_IO_TYPE_RESET.0 == 5);
    assert!(sys::SPDK_BDEV_IO_TYPE_NVME_ADMIN.0 == 6);
    assert!(sys::SPDK_BDEV_IO_TYPE_NVME_IO.0 == 7);
    assert!(sys::SPDK_BDEV_IO_TYPE_NVME_IO_MD.0 == 8);
    assert!(sys::SPDK_BDEV_IO_TYPE_WRITE_ZEROES.0 == 9);
    assert!(sys::SPDK_BDEV_IO_TYPE_ZCOPY.0 == 10);
    assert!(sys::SPDK_BDEV_IO_TYPE_GET_ZONE_INFO.0 == 11);
    assert!(sys::SPDK_BDEV_IO_TYPE_ZONE_MANAGEMENT.0 == 12);
    assert!(sys::SPDK_BDEV_IO_TYPE_ZONE_APPEND.0 == 13);
    assert!(sys::SPDK_BDEV_IO_TYPE_COMPARE.0 == 14);
    assert!(sys::SPDK_BDEV_IO_TYPE_COMPARE_AND_WRITE.0 == 15);
    assert!(sys::SPDK_BDEV_IO_TYPE_ABORT.0 == 16);
    assert!(sys::SPDK_BDEV_IO_TYPE_SEEK_HOLE.0 == 17);
    assert!(sys::SPDK_BDEV_IO_TYPE_SEEK_DATA.0 == 18);
    assert!(sys::SPDK_BDEV_IO_TYPE_COPY.0 == 19);
    assert!(sys::SPDK_BDEV_IO_TYPE_NVME_IOV_MD.0 == 20);
};

impl BdevIoType {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Invalid,
            1 => Self::Read,
            2 => Self::Write,
            3 => Self::Unmap,
            4 => Self::Flush,
            5 => Self::Reset,
            6 => Self::NvmeAdmin,
            7 => Self::NvmeIo,
            8 => Self::NvmeIoMd,
            9 => Self::WriteZeroes,
            10 => Self::Zcopy,
            11 => Self::GetZoneInfo,
            12 => Self::ZoneManagement,
            13 => Self::ZoneAppend,
            14 => Self::Compare,
            15 => Self::CompareAndWrite,
            16 => Self::Abort,
            17 => Self::SeekHole,
            18 => Self::SeekData,
            19 => Self::Copy,
            20 => Self::NvmeIovMd,
            21 => Self::NvmeNssr,
            22 => Self::WriteUncorrectable,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Invalid => 0,
            Self::Read => 1,
            Self::Write => 2,
            Self::Unmap => 3,
            Self::Flush => 4,
            Self::Reset => 5,
            Self::NvmeAdmin => 6,
            Self::NvmeIo => 7,
            Self::NvmeIoMd => 8,
            Self::WriteZeroes => 9,
            Self::Zcopy => 10,
            Self::GetZoneInfo => 11,
            Self::ZoneManagement => 12,
            Self::ZoneAppend => 13,
            Self::Compare => 14,
            Self::CompareAndWrite => 15,
            Self::Abort => 16,
            Self::SeekHole => 17,
            Self::SeekData => 18,
            Self::Copy => 19,
            Self::NvmeIovMd => 20,
            Self::NvmeNssr => 21,
            Self::WriteUncorrectable => 22,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_bdev_io_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_bdev_io_type {
        sys::spdk_bdev_io_type(self.to_raw())
    }
}

/// A kind of protection information in the metadata of blocks.
///
/// The C enum is `spdk_dif_type`.
#[doc(alias = "spdk_dif_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifType {
    /// No protection information.
    #[doc(alias = "SPDK_DIF_DISABLE")]
    Disabled,
    /// The reference tag is the number of the block.
    #[doc(alias = "SPDK_DIF_TYPE1")]
    Type1,
    /// The reference tag begins with what the command says.
    #[doc(alias = "SPDK_DIF_TYPE2")]
    Type2,
    /// The reference tag is not checked.
    #[doc(alias = "SPDK_DIF_TYPE3")]
    Type3,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_DIF_DISABLE.0 == 0);
    assert!(sys::SPDK_DIF_TYPE1.0 == 1);
    assert!(sys::SPDK_DIF_TYPE2.0 == 2);
    assert!(sys::SPDK_DIF_TYPE3.0 == 3);
};

impl DifType {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Disabled,
            1 => Self::Type1,
            2 => Self::Type2,
            3 => Self::Type3,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Disabled => 0,
            Self::Type1 => 1,
            Self::Type2 => 2,
            Self::Type3 => 3,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_dif_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_dif_type {
        sys::spdk_dif_type(self.to_raw())
    }
}

/// How protection information is laid out.
///
/// The C enum is `spdk_dif_pi_format`.
#[doc(alias = "spdk_dif_pi_format")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifPiFormat {
    /// 8 bytes, with a guard of 16 bits.
    #[doc(alias = "SPDK_DIF_PI_FORMAT_16")]
    Guard16,
    /// 16 bytes, with a guard of 32 bits.
    #[doc(alias = "SPDK_DIF_PI_FORMAT_32")]
    Guard32,
    /// 16 bytes, with a guard of 64 bits.
    #[doc(alias = "SPDK_DIF_PI_FORMAT_64")]
    Guard64,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {};

impl DifPiFormat {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Guard16,
            1 => Self::Guard32,
            2 => Self::Guard64,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Guard16 => 0,
            Self::Guard32 => 1,
            Self::Guard64 => 2,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_dif_pi_format) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_dif_pi_format {
        sys::spdk_dif_pi_format(self.to_raw())
    }
}

/// A check of protection information.
///
/// The C enum is `spdk_dif_check_type`.
#[doc(alias = "spdk_dif_check_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifCheck {
    /// Of the reference tag: the right block.
    #[doc(alias = "SPDK_DIF_CHECK_TYPE_REFTAG")]
    RefTag,
    /// Of the application tag.
    #[doc(alias = "SPDK_DIF_CHECK_TYPE_APPTAG")]
    AppTag,
    /// Of the guard: the right data.
    #[doc(alias = "SPDK_DIF_CHECK_TYPE_GUARD")]
    Guard,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_DIF_CHECK_TYPE_REFTAG.0 == 1);
    assert!(sys::SPDK_DIF_CHECK_TYPE_APPTAG.0 == 2);
    assert!(sys::SPDK_DIF_CHECK_TYPE_GUARD.0 == 3);
};

impl DifCheck {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::RefTag,
            2 => Self::AppTag,
            3 => Self::Guard,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::RefTag => 1,
            Self::AppTag => 2,
            Self::Guard => 3,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_dif_check_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_dif_check_type {
        sys::spdk_dif_check_type(self.to_raw())
    }
}

/// Checks of protection information, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DifFlags(u32);

const _: () = {
    assert!(sys::SPDK_DIF_FLAGS_REFTAG_CHECK as i128 == 67108864);
    assert!(sys::SPDK_DIF_FLAGS_APPTAG_CHECK as i128 == 134217728);
    assert!(sys::SPDK_DIF_FLAGS_GUARD_CHECK as i128 == 268435456);
};

impl DifFlags {
    /// The check of the reference tag.
    #[doc(alias = "SPDK_DIF_FLAGS_REFTAG_CHECK")]
    pub const REFTAG: Self = Self(67108864);
    /// The check of the application tag.
    #[doc(alias = "SPDK_DIF_FLAGS_APPTAG_CHECK")]
    pub const APPTAG: Self = Self(134217728);
    /// The check of the guard.
    #[doc(alias = "SPDK_DIF_FLAGS_GUARD_CHECK")]
    pub const GUARD: Self = Self(268435456);
    /// No bit.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// These bits, also those without a name.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl core::ops::BitOr for DifFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What becomes of statistics once they have been read.
///
/// The C enum is `spdk_bdev_reset_stat_mode`.
#[doc(alias = "spdk_bdev_reset_stat_mode")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResetStat {
    /// All of them are 0 afterwards.
    #[doc(alias = "SPDK_BDEV_RESET_STAT_ALL")]
    All,
    /// The greatest and the least latencies are forgotten.
    #[doc(alias = "SPDK_BDEV_RESET_STAT_MAXMIN")]
    MaxMin,
    /// The counts of errors are 0 afterwards.
    #[doc(alias = "SPDK_BDEV_RESET_STAT_ERROR")]
    Error,
    /// They stay.
    #[doc(alias = "SPDK_BDEV_RESET_STAT_NONE")]
    None,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_RESET_STAT_ALL.0 == 0);
    assert!(sys::SPDK_BDEV_RESET_STAT_MAXMIN.0 == 1);
};

impl ResetStat {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::All,
            1 => Self::MaxMin,
            2 => Self::Error,
            3 => Self::None,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::All => 0,
            Self::MaxMin => 1,
            Self::Error => 2,
            Self::None => 3,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_bdev_reset_stat_mode) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_bdev_reset_stat_mode {
        sys::spdk_bdev_reset_stat_mode(self.to_raw())
    }
}

/// What a device, or one channel of it, has done. A tick is one of [`ticks`](crate::ticks).
///
/// The C struct is `spdk_bdev_io_stat`.
#[doc(alias = "spdk_bdev_io_stat")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BdevIoStat {
    /// The bytes read.
    ///
    /// The C field is `bytes_read`.
    pub bytes_read: u64,
    /// The reads.
    ///
    /// The C field is `num_read_ops`.
    pub num_read_ops: u64,
    /// The bytes written.
    ///
    /// The C field is `bytes_written`.
    pub bytes_written: u64,
    /// The writes.
    ///
    /// The C field is `num_write_ops`.
    pub num_write_ops: u64,
    /// The bytes unmapped.
    ///
    /// The C field is `bytes_unmapped`.
    pub bytes_unmapped: u64,
    /// The unmaps.
    ///
    /// The C field is `num_unmap_ops`.
    pub num_unmap_ops: u64,
    /// The bytes copied.
    ///
    /// The C field is `bytes_copied`.
    pub bytes_copied: u64,
    /// The copies.
    ///
    /// The C field is `num_copy_ops`.
    pub num_copy_ops: u64,
    /// The time of all reads together, in ticks.
    ///
    /// The C field is `read_latency_ticks`.
    pub read_latency_ticks: u64,
    /// The time of the slowest of the reads, in ticks; 0 without any.
    ///
    /// The C field is `max_read_latency_ticks`.
    pub max_read_latency_ticks: u64,
    /// The time of the fastest of the reads, in ticks; `u64::MAX` without any.
    ///
    /// The C field is `min_read_latency_ticks`.
    pub min_read_latency_ticks: u64,
    /// The time of all writes together, in ticks.
    ///
    /// The C field is `write_latency_ticks`.
    pub write_latency_ticks: u64,
    /// The time of the slowest of the writes, in ticks; 0 without any.
    ///
    /// The C field is `max_write_latency_ticks`.
    pub max_write_latency_ticks: u64,
    /// The time of the fastest of the writes, in ticks; `u64::MAX` without any.
    ///
    /// The C field is `min_write_latency_ticks`.
    pub min_write_latency_ticks: u64,
    /// The time of all unmaps together, in ticks.
    ///
    /// The C field is `unmap_latency_ticks`.
    pub unmap_latency_ticks: u64,
    /// The time of the slowest of the unmaps, in ticks; 0 without any.
    ///
    /// The C field is `max_unmap_latency_ticks`.
    pub max_unmap_latency_ticks: u64,
    /// The time of the fastest of the unmaps, in ticks; `u64::MAX` without any.
    ///
    /// The C field is `min_unmap_latency_ticks`.
    pub min_unmap_latency_ticks: u64,
    /// The time of all copies together, in ticks.
    ///
    /// The C field is `copy_latency_ticks`.
    pub copy_latency_ticks: u64,
    /// The time of the slowest of the copies, in ticks; 0 without any.
    ///
    /// The C field is `max_copy_latency_ticks`.
    pub max_copy_latency_ticks: u64,
    /// The time of the fastest of the copies, in ticks; `u64::MAX` without any.
    ///
    /// The C field is `min_copy_latency_ticks`.
    pub min_copy_latency_ticks: u64,
    /// How many ticks a second has.
    ///
    /// The C field is `ticks_rate`.
    pub ticks_rate: u64,
}

impl BdevIoStat {
    /// What C fills.
    #[allow(dead_code, reason = "not every struct is filled by a call here")]
    pub(crate) fn zero() -> sys::spdk_bdev_io_stat {
        // SAFETY: zeroes are a value of every field: numbers, and pointers that may be null.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }

    #[allow(dead_code, reason = "not every struct is filled by a call here")]
    pub(crate) fn from_c(raw: &sys::spdk_bdev_io_stat) -> Self {
        Self {
            bytes_read: raw.bytes_read,
            num_read_ops: raw.num_read_ops,
            bytes_written: raw.bytes_written,
            num_write_ops: raw.num_write_ops,
            bytes_unmapped: raw.bytes_unmapped,
            num_unmap_ops: raw.num_unmap_ops,
            bytes_copied: raw.bytes_copied,
            num_copy_ops: raw.num_copy_ops,
            read_latency_ticks: raw.read_latency_ticks,
            max_read_latency_ticks: raw.max_read_latency_ticks,
            min_read_latency_ticks: raw.min_read_latency_ticks,
            write_latency_ticks: raw.write_latency_ticks,
            max_write_latency_ticks: raw.max_write_latency_ticks,
            min_write_latency_ticks: raw.min_write_latency_ticks,
            unmap_latency_ticks: raw.unmap_latency_ticks,
            max_unmap_latency_ticks: raw.max_unmap_latency_ticks,
            min_unmap_latency_ticks: raw.min_unmap_latency_ticks,
            copy_latency_ticks: raw.copy_latency_ticks,
            max_copy_latency_ticks: raw.max_copy_latency_ticks,
            min_copy_latency_ticks: raw.min_copy_latency_ticks,
            ticks_rate: raw.ticks_rate,
        }
    }
}

/// How a read or a write is done, beyond its blocks and buffers.
///
/// The C struct is `spdk_bdev_ext_io_opts`.
#[doc(alias = "spdk_bdev_ext_io_opts")]
#[derive(Clone)]
pub struct BdevExtIoOpts(sys::spdk_bdev_ext_io_opts);

impl BdevExtIoOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_bdev_ext_io_opts>::zeroed();
        // SAFETY: the field is inside the struct, whatever its alignment.
        unsafe {
            (&raw mut (*raw.as_mut_ptr()).size)
                .write_unaligned(size_of::<sys::spdk_bdev_ext_io_opts>() as usize)
        };
        // SAFETY: Zeroes are a valid value of every field.
        Self(unsafe { raw.assume_init() })
    }

    /// The checks of protection information to leave out: the bits of [`DifFlags`].
    ///
    /// The C field is `dif_check_flags_exclude_mask`.
    #[must_use]
    pub fn dif_check_flags_exclude_mask(mut self, value: u32) -> Self {
        self.0.dif_check_flags_exclude_mask = value;
        self
    }

    /// Dword 12 of the NVMe command, for devices that have one: its directive type, and `PRACT`,
    /// which is refused with [`InvalidArgument`](crate::ErrorKind::InvalidArgument), without a
    /// buffer for metadata, on a device that keeps them apart.
    ///
    /// The C field is `nvme_cdw12`.
    #[must_use]
    pub fn nvme_cdw12(mut self, value: u32) -> Self {
        self.0.nvme_cdw12 = sys::spdk_bdev_nvme_cdw12 {
            raw: value,
        };
        self
    }

    /// Dword 13 of the NVMe command of a write: its directive.
    ///
    /// The C field is `nvme_cdw13`.
    #[must_use]
    pub fn nvme_cdw13(mut self, value: u32) -> Self {
        self.0.nvme_cdw13 = sys::spdk_bdev_nvme_cdw13 {
            raw: value,
        };
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_bdev_ext_io_opts {
        self.0
    }
}

impl fmt::Debug for BdevExtIoOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BdevExtIoOpts").finish_non_exhaustive()
    }
}

impl Default for BdevExtIoOpts {
    fn default() -> Self {
        Self::new()
    }
}

/// Blocks that a device asks to move the data away from.
///
/// The C struct is `spdk_bdev_media_event`.
#[doc(alias = "spdk_bdev_media_event")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaEvent {
    /// The first block.
    ///
    /// The C field is `offset`.
    pub offset: u64,
    /// How many blocks.
    ///
    /// The C field is `num_blocks`.
    pub num_blocks: u64,
}

impl MediaEvent {
    /// What C fills.
    #[allow(dead_code, reason = "not every struct is filled by a call here")]
    pub(crate) fn zero() -> sys::spdk_bdev_media_event {
        // SAFETY: zeroes are a value of every field: numbers, and pointers that may be null.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }

    #[allow(dead_code, reason = "not every struct is filled by a call here")]
    pub(crate) fn from_c(raw: &sys::spdk_bdev_media_event) -> Self {
        Self {
            offset: raw.offset,
            num_blocks: raw.num_blocks,
        }
    }
}

/// What all bdevs share. `new` has what SPDK has now: its defaults, before it starts.
///
/// The C struct is `spdk_bdev_opts`.
#[doc(alias = "spdk_bdev_opts")]
#[derive(Clone)]
pub struct BdevOpts(sys::spdk_bdev_opts);

const _: unsafe extern "C" fn(*mut sys::spdk_bdev_opts, usize) = sys::spdk_bdev_get_opts;

impl BdevOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_bdev_opts>::zeroed();
        // SAFETY: `spdk_bdev_get_opts` writes at most the size that it is given. Zeroes are a valid
        // value of every field.
        Self(unsafe {
            sys::spdk_bdev_get_opts(
                raw.as_mut_ptr(),
                size_of::<sys::spdk_bdev_opts>() as _,
            );
            raw.assume_init()
        })
    }

    /// How many I/Os there can be at once, of all bdevs on all spdk_threads together.
    ///
    /// The C field is `bdev_io_pool_size`.
    #[must_use]
    pub fn bdev_io_pool_size(mut self, value: u32) -> Self {
        self.0.bdev_io_pool_size = value;
        self
    }

    /// How many of them each spdk_thread keeps for itself; 1 at least.
    ///
    /// The C field is `bdev_io_cache_size`.
    #[must_use]
    pub fn bdev_io_cache_size(mut self, value: u32) -> Self {
        self.0.bdev_io_cache_size = value;
        self
    }

    /// Whether the modules look at each new bdev for what they can make of it.
    ///
    /// The C field is `bdev_auto_examine`.
    #[must_use]
    pub fn bdev_auto_examine(mut self, value: bool) -> Self {
        self.0.bdev_auto_examine = value;
        self
    }

    /// How many of SPDK's small buffers each spdk_thread keeps for its bdevs.
    ///
    /// The C field is `iobuf_small_cache_size`.
    #[must_use]
    pub fn iobuf_small_cache_size(mut self, value: u32) -> Self {
        self.0.iobuf_small_cache_size = value;
        self
    }

    /// How many of SPDK's large buffers each spdk_thread keeps for its bdevs.
    ///
    /// The C field is `iobuf_large_cache_size`.
    #[must_use]
    pub fn iobuf_large_cache_size(mut self, value: u32) -> Self {
        self.0.iobuf_large_cache_size = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_bdev_opts {
        self.0
    }
}

impl fmt::Debug for BdevOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BdevOpts").finish_non_exhaustive()
    }
}

impl Default for BdevOpts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(spdk_since_25_05)]
/// How a device is opened.
///
/// The C struct is `spdk_bdev_open_opts`.
#[doc(alias = "spdk_bdev_open_opts")]
#[derive(Clone)]
pub struct BdevOpenOpts(sys::spdk_bdev_open_opts);

#[cfg(spdk_since_25_05)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev_open_opts, usize) = sys::spdk_bdev_open_opts_init;

#[cfg(spdk_since_25_05)]
impl BdevOpenOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_bdev_open_opts>::zeroed();
        // SAFETY: `spdk_bdev_open_opts_init` writes at most the size that it is given. Zeroes are a
        // valid value of every field.
        Self(unsafe {
            sys::spdk_bdev_open_opts_init(
                raw.as_mut_ptr(),
                size_of::<sys::spdk_bdev_open_opts>() as _,
            );
            raw.assume_init()
        })
    }

    /// Whether the device looks as if its blocks had no metadata, which SPDK then makes and checks.
    /// Only vectored reads and writes work on such a descriptor, and what has no data; the rest is
    /// refused, since SPDK does not convert it. From a bdev whose module takes accel sequences, as
    /// malloc's does, SPDK 26.01 reads wrong data so, without an error.
    ///
    /// The C field is `hide_metadata`.
    #[must_use]
    pub fn hide_metadata(mut self, value: bool) -> Self {
        self.0.hide_metadata = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_bdev_open_opts {
        self.0
    }
}

#[cfg(spdk_since_25_05)]
impl fmt::Debug for BdevOpenOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BdevOpenOpts").finish_non_exhaustive()
    }
}

#[cfg(spdk_since_25_05)]
impl Default for BdevOpenOpts {
    fn default() -> Self {
        Self::new()
    }
}

/// What `spdk_bdev_wait_for_examine_cb` reports.
#[doc(hidden)]
pub enum BdevWaitForExamineCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BdevWaitForExamineCb {
    type Fn = sys::spdk_bdev_wait_for_examine_cb;
    type Raw = ();
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<()>>(arg: *mut c_void) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(arg, ()) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(())
    }
}

/// What `spdk_bdev_get_device_stat_cb` reports.
#[doc(hidden)]
pub enum BdevGetDeviceStatCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BdevGetDeviceStatCb {
    type Fn = sys::spdk_bdev_get_device_stat_cb;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
            _bdev: *mut sys::spdk_bdev,
            _stat: *mut sys::spdk_bdev_io_stat,
            cb_arg: *mut c_void,
            rc: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, rc) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(0)
    }
}

/// What `spdk_bdev_histogram_status_cb` reports.
#[doc(hidden)]
pub enum BdevHistogramStatusCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BdevHistogramStatusCb {
    type Fn = sys::spdk_bdev_histogram_status_cb;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
            cb_arg: *mut c_void,
            status: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, status) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(0)
    }
}

const _: unsafe extern "C" fn(
    sys::spdk_bdev_wait_for_examine_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_wait_for_examine;

/// Waits until every bdev module has examined every bdev.
///
/// Afterwards the bdevs exist that modules make of others, such as partitions and logical
/// volumes. It does not wait for bdevs that appear later. Where SPDK looks for a logical volume
/// store, its descriptor for writing closes a few iterations later, so whoever claims the bdev
/// at once may get `EPERM`.
///
/// Wraps `spdk_bdev_wait_for_examine`.
///
/// # Errors
///
/// - `ENOMEM`: SPDK has no memory to wait with.
///
/// # Cancellation
///
/// Nothing happens before the first poll. A future that is dropped later abandons the operation
/// but does not stop it.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_bdev_wait_for_examine")]
pub fn wait_for_examine() -> impl rt::Future<Output = rt::Result<()>> {
    let at = move || rt::At::free("spdk_bdev_wait_for_examine");
    let start = move |_: rt::Caller<'_>| {
        // SAFETY: 0 means that the callback runs once, another code that it never runs; C is given
        // nothing else.
        Ok(unsafe {
            rt::op::<BdevWaitForExamineCb, _, _>(
                move |_, done, arg| {
                    rt::Submitted::rc(sys::spdk_bdev_wait_for_examine(done, arg))
                },
                |_, ()| Ok(()),
                (rt::Here::now()?,),
            )
        })
    };
    rt::call(start, at)
}

const _: unsafe extern "C" fn(*const c_char) -> c_int = sys::spdk_bdev_examine;

/// Has the modules examine a bdev of this name or alias, where SPDK was told not to do so by
/// itself.
///
/// A bdev that does not exist yet is examined when it appears.
///
/// Wraps `spdk_bdev_examine`.
///
/// # Errors
///
/// - `ENOMEM`: SPDK has no memory to remember the name.
/// - `EINVAL`: SPDK examines every bdev by itself.
/// - `EEXIST`: it was asked for already.
/// - Refused before C sees it: text with a NUL inside.
///
/// # Thread
///
/// The spdk_thread that the application started on.
#[doc(alias = "spdk_bdev_examine")]
pub fn examine(name: &str) -> rt::Result<()> {
    let at = move |fault: rt::Fault| fault.at(rt::At::name("spdk_bdev_examine", name));
    let result = rt::begin(|_| {
        rt::on_app_thread()?;
        let name = rt::cstring(name, "name")?;
        // SAFETY: `name` may be used now and here; C keeps nothing after the call.
        let rc = unsafe { sys::spdk_bdev_examine(name.as_ptr()) };
        rt::status(rc)
    });
    result.map_err(at)
}

const _: unsafe extern "C" fn(
    *const c_char,
    bool,
    sys::spdk_bdev_event_cb_t,
    *mut c_void,
    *mut *mut sys::spdk_bdev_desc,
) -> c_int = sys::spdk_bdev_open_ext;

impl BdevDesc {
    /// Opens the bdev of this name or alias; for writing too, if `write`.
    ///
    /// Wraps `spdk_bdev_open_ext`.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: no bdev has this name or alias.
    /// - `EPERM`: `write`, and a module has claimed the bdev for itself.
    /// - `ENOMEM`: SPDK has no memory for the descriptor.
    /// - Refused before C sees it: text with a NUL inside.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bdev_open_ext")]
    pub fn open_ext(bdev_name: &str, write: bool) -> rt::Result<BdevDesc> {
        unsafe extern "C" fn on_event(
            type_: sys::spdk_bdev_event_type,
            _bdev: *mut sys::spdk_bdev,
            event_ctx: *mut c_void,
        ) {
            // SAFETY: `ctx` is the hub of the handle, which C calls only while the handle is open.
            unsafe { rt::emit(event_ctx, BdevEvent::from_c(type_)) }
        }
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::name("spdk_bdev_open_ext", bdev_name))
        };
        let result = rt::begin(|_| {
            drop(rt::Here::now()?);
            let bdev_name = rt::cstring(bdev_name, "bdev_name")?;
            let mut desc = ptr::null_mut();
            let hub = rt::EventHub::new();
            // SAFETY: `spdk_bdev_event_cb_t` runs only while the handle is open, whose hub is the
            // context; C copies the rest during the call.
            let rc = unsafe {
                sys::spdk_bdev_open_ext(
                    bdev_name.as_ptr(),
                    write,
                    Some(on_event),
                    hub.arg(),
                    &raw mut desc,
                )
            };
            rt::status(rc)?;
            // SAFETY: the call succeeded, so the object is live and belongs to us.
            let opened = unsafe {
                BdevDesc::from_c(desc, crate::bdev::DescExtra::new(hub))
            }?;
            crate::bdev::opened(&opened);
            Ok(opened)
        });
        result.map_err(at)
    }

    /// The events from now on, on the home spdk_thread, until the object is closed (`spdk_bdev_event_cb_t`).
    pub fn events(&self) -> rt::Events<BdevEvent> {
        self.handle().extra().hub().subscribe()
    }
}

#[cfg(spdk_has_spdk_bdev_open_ext_v2)]
const _: unsafe extern "C" fn(
    *const c_char,
    bool,
    sys::spdk_bdev_event_cb_t,
    *mut c_void,
    *mut sys::spdk_bdev_open_opts,
    *mut *mut sys::spdk_bdev_desc,
) -> c_int = sys::spdk_bdev_open_ext_v2;

#[cfg(spdk_has_spdk_bdev_open_ext_v2)]
impl BdevDesc {
    /// Opens the bdev of this name or alias with options; for writing too, if `write`.
    ///
    /// Wraps `spdk_bdev_open_ext_v2`, which SPDK has since 25.05.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: no bdev has this name or alias.
    /// - `EPERM`: `write`, and a module has claimed the bdev for itself.
    /// - `EINVAL`: the metadata of this device cannot be hidden.
    /// - `ENOMEM`: SPDK has no memory for the descriptor.
    /// - Refused before C sees it: text with a NUL inside.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bdev_open_ext_v2")]
    pub fn open_ext_v2(
        bdev_name: &str,
        write: bool,
        opts: &BdevOpenOpts,
    ) -> rt::Result<BdevDesc> {
        unsafe extern "C" fn on_event(
            type_: sys::spdk_bdev_event_type,
            _bdev: *mut sys::spdk_bdev,
            event_ctx: *mut c_void,
        ) {
            // SAFETY: `ctx` is the hub of the handle, which C calls only while the handle is open.
            unsafe { rt::emit(event_ctx, BdevEvent::from_c(type_)) }
        }
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::name("spdk_bdev_open_ext_v2", bdev_name))
        };
        let result = rt::begin(|_| {
            drop(rt::Here::now()?);
            let bdev_name = rt::cstring(bdev_name, "bdev_name")?;
            let mut opts = opts.to_c();
            let mut desc = ptr::null_mut();
            let hub = rt::EventHub::new();
            // SAFETY: `spdk_bdev_event_cb_t` runs only while the handle is open, whose hub is the
            // context; C copies the rest during the call.
            let rc = unsafe {
                sys::spdk_bdev_open_ext_v2(
                    bdev_name.as_ptr(),
                    write,
                    Some(on_event),
                    hub.arg(),
                    &raw mut opts,
                    &raw mut desc,
                )
            };
            rt::status(rc)?;
            // SAFETY: the call succeeded, so the object is live and belongs to us.
            let opened = unsafe {
                BdevDesc::from_c(desc, crate::bdev::DescExtra::new(hub))
            }?;
            crate::bdev::opened(&opened);
            Ok(opened)
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*mut c_void, sys::spdk_for_each_bdev_fn) -> c_int = sys::spdk_for_each_bdev;

/// Shows the name of each bdev, which is open meanwhile. [`Bdev::all`](crate::Bdev::all) gives
/// the bdevs.
///
/// Wraps `spdk_for_each_bdev`.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_for_each_bdev")]
pub fn for_each<F: FnMut(String) -> ControlFlow<()>>(mut each: F) -> rt::Result<()> {
    unsafe extern "C" fn on_each<F: FnMut(String) -> ControlFlow<()>>(
        ctx: *mut c_void,
        bdev: *mut sys::spdk_bdev,
    ) -> c_int {
        // SAFETY: `ctx` is the closure of the call that C is in.
        let flow = unsafe { rt::each::<F, _>(ctx, || crate::bdev_list::name(bdev)) };
        c_int::from(flow.is_break())
    }
    let at = move |fault: rt::Fault| fault.at(rt::At::free("spdk_for_each_bdev"));
    let result = rt::begin(|_| {
        drop(rt::Here::now()?);
        // SAFETY: `spdk_for_each_bdev_fn` runs only inside the call, and the closure outlives it.
        let rc = unsafe {
            sys::spdk_for_each_bdev((&raw mut each).cast(), Some(on_each::<F>))
        };
        // A positive code is the wish of the closure to stop.
        rt::status(rc.min(0))
    });
    result.map_err(at)
}

const _: unsafe extern "C" fn(*mut c_void, sys::spdk_for_each_bdev_fn) -> c_int = sys::spdk_for_each_bdev_leaf;

/// Shows the name of each bdev that no module has claimed, which is open meanwhile.
/// [`Bdev::leaves`](crate::Bdev::leaves) gives the bdevs.
///
/// Wraps `spdk_for_each_bdev_leaf`.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_for_each_bdev_leaf")]
pub fn for_each_leaf<F: FnMut(String) -> ControlFlow<()>>(
    mut each: F,
) -> rt::Result<()> {
    unsafe extern "C" fn on_each<F: FnMut(String) -> ControlFlow<()>>(
        ctx: *mut c_void,
        bdev: *mut sys::spdk_bdev,
    ) -> c_int {
        // SAFETY: `ctx` is the closure of the call that C is in.
        let flow = unsafe { rt::each::<F, _>(ctx, || crate::bdev_list::name(bdev)) };
        c_int::from(flow.is_break())
    }
    let at = move |fault: rt::Fault| fault.at(rt::At::free("spdk_for_each_bdev_leaf"));
    let result = rt::begin(|_| {
        drop(rt::Here::now()?);
        // SAFETY: `spdk_for_each_bdev_fn` runs only inside the call, and the closure outlives it.
        let rc = unsafe {
            sys::spdk_for_each_bdev_leaf((&raw mut each).cast(), Some(on_each::<F>))
        };
        // A positive code is the wish of the closure to stop.
        rt::status(rc.min(0))
    });
    result.map_err(at)
}

#[cfg(spdk_has_spdk_for_each_bdev_by_name)]
const _: unsafe extern "C" fn(
    *mut c_void,
    sys::spdk_for_each_bdev_fn,
    *mut *const c_char,
    usize,
) -> c_int = sys::spdk_for_each_bdev_by_name;

#[cfg(spdk_has_spdk_for_each_bdev_by_name)]
/// Shows the name of each of these bdevs, which is open meanwhile.
///
/// Wraps `spdk_for_each_bdev_by_name`, which SPDK has since 26.01.
///
/// # Errors
///
/// - `ENODEV`: there is no bdev of one of the names; those before it were shown.
/// - Refused before C sees it: text with a NUL inside.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_for_each_bdev_by_name")]
pub fn for_each_by_name<F: FnMut(String) -> ControlFlow<()>>(
    names: &[&str],
    mut each: F,
) -> rt::Result<()> {
    unsafe extern "C" fn on_each<F: FnMut(String) -> ControlFlow<()>>(
        ctx: *mut c_void,
        bdev: *mut sys::spdk_bdev,
    ) -> c_int {
        // SAFETY: `ctx` is the closure of the call that C is in.
        let flow = unsafe { rt::each::<F, _>(ctx, || crate::bdev_list::name(bdev)) };
        c_int::from(flow.is_break())
    }
    let at = move |fault: rt::Fault| {
        fault.at(rt::At::free("spdk_for_each_bdev_by_name"))
    };
    let result = rt::begin(|_| {
        drop(rt::Here::now()?);
        let names = rt::CStrings::new(names, "names")?;
        // SAFETY: `spdk_for_each_bdev_fn` runs only inside the call, and the closure outlives it.
        let rc = unsafe {
            sys::spdk_for_each_bdev_by_name(
                (&raw mut each).cast(),
                Some(on_each::<F>),
                names.as_ptr().cast_mut(),
                names.count() as _,
            )
        };
        // A positive code is the wish of the closure to stop.
        rt::status(rc.min(0))
    });
    result.map_err(at)
}

const _: unsafe extern "C" fn(*mut sys::spdk_bdev, sys::spdk_bdev_io_type) -> bool = sys::spdk_bdev_io_type_supported;

impl Bdev {
    /// Whether the device supports a kind of operation, itself or by emulation.
    ///
    /// Wraps `spdk_bdev_io_type_supported`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_io_type_supported")]
    pub fn io_type_supported(&self, io_type: BdevIoType) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_io_type_supported", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe {
                sys::spdk_bdev_io_type_supported(bdev.as_ptr(), io_type.to_c())
            })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> *const c_char = sys::spdk_bdev_get_product_name;

impl Bdev {
    /// What kind of device it is, in the words of its module: `Malloc disk`.
    ///
    /// Wraps `spdk_bdev_get_product_name`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_product_name")]
    pub fn product_name(&self) -> rt::Result<String> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_product_name", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_get_product_name(bdev.as_ptr()) };
            // SAFETY: it is what the call returned, checked before it is used.
            unsafe { rt::string(rc) }
                .and_then(|text| text.ok_or(rt::Fault::errno(rt::Errno::ENODATA)))
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> *const c_char = sys::spdk_bdev_get_module_name;

impl Bdev {
    /// The name of the module that made the device: `malloc`.
    ///
    /// Wraps `spdk_bdev_get_module_name`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_module_name")]
    pub fn module_name(&self) -> rt::Result<String> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_module_name", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_get_module_name(bdev.as_ptr()) };
            // SAFETY: it is what the call returned, checked before it is used.
            unsafe { rt::string(rc) }
                .and_then(|text| text.ok_or(rt::Fault::errno(rt::Errno::ENODATA)))
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_numa_id)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev) -> i32 = sys::spdk_bdev_get_numa_id;

#[cfg(spdk_has_spdk_bdev_get_numa_id)]
impl Bdev {
    /// The NUMA node of the device; -1 where it is not known.
    ///
    /// Wraps `spdk_bdev_get_numa_id`, which SPDK has since 24.09.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_numa_id")]
    pub fn numa_id(&self) -> rt::Result<i32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_numa_id", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_numa_id(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_nvme_nsid)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_nvme_nsid;

#[cfg(spdk_has_spdk_bdev_get_nvme_nsid)]
impl Bdev {
    /// The NVMe namespace ID of the device; 0 where it has none.
    ///
    /// Wraps `spdk_bdev_get_nvme_nsid`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_nvme_nsid")]
    pub fn nvme_nsid(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_nvme_nsid", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_nvme_nsid(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_write_unit_size;

impl Bdev {
    /// The number of blocks that a write must be a multiple of; 1 where any will do.
    ///
    /// Wraps `spdk_bdev_get_write_unit_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_write_unit_size")]
    pub fn write_unit_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_write_unit_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_write_unit_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> usize = sys::spdk_bdev_get_buf_align;

impl Bdev {
    /// The alignment in bytes that spares the device a bounce buffer. At least 1.
    ///
    /// Wraps `spdk_bdev_get_buf_align`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_buf_align")]
    pub fn buf_align(&self) -> rt::Result<usize> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_buf_align", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_buf_align(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_optimal_io_boundary;

impl Bdev {
    /// The boundary in blocks that an operation should not cross; 0 if there is none.
    ///
    /// Wraps `spdk_bdev_get_optimal_io_boundary`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_optimal_io_boundary")]
    pub fn optimal_io_boundary(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_optimal_io_boundary", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_optimal_io_boundary(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_has_write_cache;

impl Bdev {
    /// Whether the device has a volatile write cache, so that only a flush makes writes durable.
    ///
    /// Wraps `spdk_bdev_has_write_cache`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_has_write_cache")]
    pub fn has_write_cache(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_has_write_cache", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_has_write_cache(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u16 = sys::spdk_bdev_get_acwu;

impl Bdev {
    /// The number of blocks that compare-and-write handles as one step.
    ///
    /// Wraps `spdk_bdev_get_acwu`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_acwu")]
    pub fn acwu(&self) -> rt::Result<u16> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_acwu", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_acwu(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_md_size;

impl Bdev {
    /// The metadata of each block in bytes; 0 if there is none.
    ///
    /// Wraps `spdk_bdev_get_md_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_md_size")]
    pub fn md_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_md_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_md_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_is_md_interleaved;

impl Bdev {
    /// Whether the metadata follows the data of each block in the same buffer.
    ///
    /// Wraps `spdk_bdev_is_md_interleaved`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_is_md_interleaved")]
    pub fn is_md_interleaved(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_is_md_interleaved", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_is_md_interleaved(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_is_md_separate;

impl Bdev {
    /// Whether the metadata has a buffer of its own.
    ///
    /// Wraps `spdk_bdev_is_md_separate`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_is_md_separate")]
    pub fn is_md_separate(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_is_md_separate", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_is_md_separate(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_is_zoned;

impl Bdev {
    /// Whether the device has zones, which are written from their start to their end.
    ///
    /// Wraps `spdk_bdev_is_zoned`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_is_zoned")]
    pub fn is_zoned(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_is_zoned", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_is_zoned(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_data_block_size;

impl Bdev {
    /// The size of a block in bytes, without metadata.
    ///
    /// Wraps `spdk_bdev_get_data_block_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_data_block_size")]
    pub fn data_block_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_data_block_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_data_block_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_physical_block_size;

impl Bdev {
    /// The size in bytes of the blocks that the medium itself reads and writes.
    ///
    /// Wraps `spdk_bdev_get_physical_block_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_physical_block_size")]
    pub fn physical_block_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_physical_block_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_physical_block_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_preferred_write_alignment)]
const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_preferred_write_alignment;

#[cfg(spdk_has_spdk_bdev_get_preferred_write_alignment)]
impl Bdev {
    /// The alignment in blocks that the device prefers for writes; 0 where it has no preference.
    ///
    /// Wraps `spdk_bdev_get_preferred_write_alignment`, which SPDK has since 25.09.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_preferred_write_alignment")]
    pub fn preferred_write_alignment(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_preferred_write_alignment", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_preferred_write_alignment(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_preferred_write_granularity)]
const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_preferred_write_granularity;

#[cfg(spdk_has_spdk_bdev_get_preferred_write_granularity)]
impl Bdev {
    /// The number of blocks that writes should be a multiple of; 0 where the device has no
    /// preference.
    ///
    /// Wraps `spdk_bdev_get_preferred_write_granularity`, which SPDK has since 25.09.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_preferred_write_granularity")]
    pub fn preferred_write_granularity(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_preferred_write_granularity", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_preferred_write_granularity(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_optimal_write_size)]
const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_optimal_write_size;

#[cfg(spdk_has_spdk_bdev_get_optimal_write_size)]
impl Bdev {
    /// The number of blocks that the device writes best at once; 0 where it has no preference.
    ///
    /// Wraps `spdk_bdev_get_optimal_write_size`, which SPDK has since 25.09.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_optimal_write_size")]
    pub fn optimal_write_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_optimal_write_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_optimal_write_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_preferred_unmap_alignment)]
const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_preferred_unmap_alignment;

#[cfg(spdk_has_spdk_bdev_get_preferred_unmap_alignment)]
impl Bdev {
    /// The alignment in blocks that the device prefers for unmaps; 0 where it has no preference.
    ///
    /// Wraps `spdk_bdev_get_preferred_unmap_alignment`, which SPDK has since 25.09.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_preferred_unmap_alignment")]
    pub fn preferred_unmap_alignment(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_preferred_unmap_alignment", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_preferred_unmap_alignment(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_preferred_unmap_granularity)]
const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_preferred_unmap_granularity;

#[cfg(spdk_has_spdk_bdev_get_preferred_unmap_granularity)]
impl Bdev {
    /// The number of blocks that unmaps should be a multiple of; 0 where the device has no
    /// preference.
    ///
    /// Wraps `spdk_bdev_get_preferred_unmap_granularity`, which SPDK has since 25.09.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_preferred_unmap_granularity")]
    pub fn preferred_unmap_granularity(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_preferred_unmap_granularity", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_preferred_unmap_granularity(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> sys::spdk_dif_type = sys::spdk_bdev_get_dif_type;

impl Bdev {
    /// The kind of protection information that the metadata has.
    ///
    /// Wraps `spdk_bdev_get_dif_type`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_dif_type")]
    pub fn dif_type(&self) -> rt::Result<DifType> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_dif_type", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_get_dif_type(bdev.as_ptr()) };
            Ok(DifType::from_c(rc))
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_dif_pi_format)]
const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> sys::spdk_dif_pi_format = sys::spdk_bdev_get_dif_pi_format;

#[cfg(spdk_has_spdk_bdev_get_dif_pi_format)]
impl Bdev {
    /// How the protection information is laid out.
    ///
    /// Wraps `spdk_bdev_get_dif_pi_format`, which SPDK has since 24.09.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_dif_pi_format")]
    pub fn dif_pi_format(&self) -> rt::Result<DifPiFormat> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_dif_pi_format", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_get_dif_pi_format(bdev.as_ptr()) };
            Ok(DifPiFormat::from_c(rc))
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_is_dif_head_of_md;

impl Bdev {
    /// Whether the protection information is at the begin of the metadata, and not at its end.
    ///
    /// Wraps `spdk_bdev_is_dif_head_of_md`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_is_dif_head_of_md")]
    pub fn is_dif_head_of_md(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_is_dif_head_of_md", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_is_dif_head_of_md(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev, sys::spdk_dif_check_type) -> bool = sys::spdk_bdev_is_dif_check_enabled;

impl Bdev {
    /// Whether the device does a check of protection information.
    ///
    /// Wraps `spdk_bdev_is_dif_check_enabled`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_is_dif_check_enabled")]
    pub fn is_dif_check_enabled(&self, check_type: DifCheck) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_is_dif_check_enabled", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe {
                sys::spdk_bdev_is_dif_check_enabled(bdev.as_ptr(), check_type.to_c())
            })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_max_copy;

impl Bdev {
    /// The greatest number of blocks that a copy copies as one command; 0 where there is no limit.
    ///
    /// Wraps `spdk_bdev_get_max_copy`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_max_copy")]
    pub fn max_copy(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_max_copy", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_max_copy(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_desc_get_block_size)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) -> u32 = sys::spdk_bdev_desc_get_block_size;

#[cfg(spdk_has_spdk_bdev_desc_get_block_size)]
impl BdevDesc {
    /// The size in bytes that a block has for this descriptor: without the metadata, where it hides
    /// them.
    ///
    /// Wraps `spdk_bdev_desc_get_block_size`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_desc_get_block_size")]
    pub fn block_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_desc_get_block_size", self))
        };
        let result = rt::begin(|caller| {
            let desc = self.handle().get(caller)?;
            // SAFETY: `desc` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_desc_get_block_size(desc.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_desc_get_md_size)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) -> u32 = sys::spdk_bdev_desc_get_md_size;

#[cfg(spdk_has_spdk_bdev_desc_get_md_size)]
impl BdevDesc {
    /// The metadata of each block in bytes for this descriptor; 0 where it hides them.
    ///
    /// Wraps `spdk_bdev_desc_get_md_size`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_desc_get_md_size")]
    pub fn md_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_desc_get_md_size", self))
        };
        let result = rt::begin(|caller| {
            let desc = self.handle().get(caller)?;
            // SAFETY: `desc` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_desc_get_md_size(desc.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_desc_is_md_interleaved)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) -> bool = sys::spdk_bdev_desc_is_md_interleaved;

#[cfg(spdk_has_spdk_bdev_desc_is_md_interleaved)]
impl BdevDesc {
    /// Whether the metadata follows the data of each block in the same buffer, for this descriptor.
    ///
    /// Wraps `spdk_bdev_desc_is_md_interleaved`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_desc_is_md_interleaved")]
    pub fn is_md_interleaved(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_desc_is_md_interleaved", self))
        };
        let result = rt::begin(|caller| {
            let desc = self.handle().get(caller)?;
            // SAFETY: `desc` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_desc_is_md_interleaved(desc.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_desc_is_md_separate)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) -> bool = sys::spdk_bdev_desc_is_md_separate;

#[cfg(spdk_has_spdk_bdev_desc_is_md_separate)]
impl BdevDesc {
    /// Whether the metadata has a buffer of its own, for this descriptor.
    ///
    /// Wraps `spdk_bdev_desc_is_md_separate`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_desc_is_md_separate")]
    pub fn is_md_separate(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_desc_is_md_separate", self))
        };
        let result = rt::begin(|caller| {
            let desc = self.handle().get(caller)?;
            // SAFETY: `desc` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_desc_is_md_separate(desc.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_desc_get_dif_type)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) -> sys::spdk_dif_type = sys::spdk_bdev_desc_get_dif_type;

#[cfg(spdk_has_spdk_bdev_desc_get_dif_type)]
impl BdevDesc {
    /// The kind of protection information that the metadata has for this descriptor.
    ///
    /// Wraps `spdk_bdev_desc_get_dif_type`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_desc_get_dif_type")]
    pub fn dif_type(&self) -> rt::Result<DifType> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_desc_get_dif_type", self))
        };
        let result = rt::begin(|caller| {
            let desc = self.handle().get(caller)?;
            // SAFETY: `desc` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_desc_get_dif_type(desc.as_ptr()) };
            Ok(DifType::from_c(rc))
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_desc_get_dif_pi_format)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) -> sys::spdk_dif_pi_format = sys::spdk_bdev_desc_get_dif_pi_format;

#[cfg(spdk_has_spdk_bdev_desc_get_dif_pi_format)]
impl BdevDesc {
    /// How the protection information is laid out for this descriptor.
    ///
    /// Wraps `spdk_bdev_desc_get_dif_pi_format`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_desc_get_dif_pi_format")]
    pub fn dif_pi_format(&self) -> rt::Result<DifPiFormat> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_desc_get_dif_pi_format", self))
        };
        let result = rt::begin(|caller| {
            let desc = self.handle().get(caller)?;
            // SAFETY: `desc` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_desc_get_dif_pi_format(desc.as_ptr()) };
            Ok(DifPiFormat::from_c(rc))
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_desc_is_dif_head_of_md)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) -> bool = sys::spdk_bdev_desc_is_dif_head_of_md;

#[cfg(spdk_has_spdk_bdev_desc_is_dif_head_of_md)]
impl BdevDesc {
    /// Whether the protection information is at the begin of the metadata, for this descriptor.
    ///
    /// Wraps `spdk_bdev_desc_is_dif_head_of_md`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_desc_is_dif_head_of_md")]
    pub fn is_dif_head_of_md(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_desc_is_dif_head_of_md", self))
        };
        let result = rt::begin(|caller| {
            let desc = self.handle().get(caller)?;
            // SAFETY: `desc` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_desc_is_dif_head_of_md(desc.as_ptr()) })
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_desc_is_dif_check_enabled)]
const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    sys::spdk_dif_check_type,
) -> bool = sys::spdk_bdev_desc_is_dif_check_enabled;

#[cfg(spdk_has_spdk_bdev_desc_is_dif_check_enabled)]
impl BdevDesc {
    /// Whether a check of protection information is done for this descriptor.
    ///
    /// Wraps `spdk_bdev_desc_is_dif_check_enabled`, which SPDK has since 25.05.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_desc_is_dif_check_enabled")]
    pub fn is_dif_check_enabled(&self, check_type: DifCheck) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_desc_is_dif_check_enabled", self))
        };
        let result = rt::begin(|caller| {
            let desc = self.handle().get(caller)?;
            // SAFETY: `desc` may be used now and here; C keeps nothing after the call.
            Ok(unsafe {
                sys::spdk_bdev_desc_is_dif_check_enabled(
                    desc.as_ptr(),
                    check_type.to_c(),
                )
            })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u64 = sys::spdk_bdev_get_qd;

impl Bdev {
    /// How many I/Os were in flight when they were last counted; `u64::MAX` where they never were.
    ///
    /// The queue depth is measured only while [`Bdev::set_qd_sampling_period`] has it so.
    ///
    /// Wraps `spdk_bdev_get_qd`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_qd")]
    pub fn queue_depth(&self) -> rt::Result<u64> {
        let at = move |fault: rt::Fault| fault.at(rt::At::new("spdk_bdev_get_qd", self));
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_qd(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u64 = sys::spdk_bdev_get_qd_sampling_period;

impl Bdev {
    /// How often the I/Os in flight are counted, in microseconds; 0 for never.
    ///
    /// Wraps `spdk_bdev_get_qd_sampling_period`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_qd_sampling_period")]
    pub fn qd_sampling_period(&self) -> rt::Result<u64> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_qd_sampling_period", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_qd_sampling_period(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*mut sys::spdk_bdev, u64) = sys::spdk_bdev_set_qd_sampling_period;

impl Bdev {
    /// Has the I/Os in flight counted every `period` microseconds; 0 ends that.
    ///
    /// A poller of the current spdk_thread counts.
    ///
    /// Wraps `spdk_bdev_set_qd_sampling_period`.
    ///
    /// # Thread
    ///
    /// The spdk_thread that the application started on.
    #[doc(alias = "spdk_bdev_set_qd_sampling_period")]
    pub fn set_qd_sampling_period(&self, period: u64) -> rt::Result<()> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_set_qd_sampling_period", self))
        };
        let result = rt::begin(|caller| {
            rt::on_app_thread()?;
            self.stays()?;
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            unsafe { sys::spdk_bdev_set_qd_sampling_period(bdev.as_ptr(), period) };
            Ok(())
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u64 = sys::spdk_bdev_get_io_time;

impl Bdev {
    /// The time that the device had something to do, in microseconds.
    ///
    /// The queue depth is measured only while [`Bdev::set_qd_sampling_period`] has it so.
    ///
    /// Wraps `spdk_bdev_get_io_time`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_io_time")]
    pub fn io_time(&self) -> rt::Result<u64> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_io_time", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_io_time(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u64 = sys::spdk_bdev_get_weighted_io_time;

impl Bdev {
    /// The time that the device had something to do, each part of it times the I/Os in flight then,
    /// in microseconds.
    ///
    /// The queue depth is measured only while [`Bdev::set_qd_sampling_period`] has it so.
    ///
    /// Wraps `spdk_bdev_get_weighted_io_time`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_weighted_io_time")]
    pub fn weighted_io_time(&self) -> rt::Result<u64> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_weighted_io_time", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_weighted_io_time(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_seek_data;

impl BdevDesc {
    /// Finds the first block with data at or after block `offset_blocks`, and returns its number.
    ///
    /// `u64::MAX` where there is none. A device that cannot tell says that every block has data.
    ///
    /// Wraps `spdk_bdev_seek_data`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `offset_blocks` is beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_seek_data")]
    pub fn seek_data<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_seek_data", self).block(offset_blocks);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then. The `spdk_bdev_io` is ours in the callback, until
            // `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_seek_data(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(sys::spdk_bdev_io_get_seek_offset(io.as_ptr()))
                    },
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_seek_hole;

impl BdevDesc {
    /// Finds the first block without data at or after block `offset_blocks`, and returns its
    /// number.
    ///
    /// `u64::MAX` where there is none, as on a device that cannot tell.
    ///
    /// Wraps `spdk_bdev_seek_hole`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `offset_blocks` is beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_seek_hole")]
    pub fn seek_hole<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_seek_hole", self).block(offset_blocks);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then. The `spdk_bdev_io` is ours in the callback, until
            // `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_seek_hole(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(sys::spdk_bdev_io_get_seek_offset(io.as_ptr()))
                    },
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_read;

impl BdevDesc {
    /// Reads `buf.len()` bytes at `offset` into `buf`.
    ///
    /// `offset` and the length are bytes, and multiples of the block size.
    ///
    /// Wraps `spdk_bdev_read`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_read")]
    pub fn read<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a mut rt::DmaBuf,
        offset: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let nbytes = buf.len() as u64;
        let at = move || rt::At::new("spdk_bdev_read", self).bytes(offset, nbytes);
        let start = move |caller: rt::Caller<'_>| {
            self.shows_and_needs_no_metadata()?;
            self.splits_bytes(offset, nbytes)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_read(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset,
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_read_blocks;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into `buf`.
    ///
    /// `buf` has exactly their size.
    ///
    /// Wraps `spdk_bdev_read_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_read_blocks")]
    pub fn read_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a mut rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_read_blocks", self).blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_read_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_read_blocks_with_md;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into `buf`, and their metadata into `md`.
    ///
    /// `buf` has exactly the size of the data. `md` has exactly the metadata of these blocks,
    /// [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Only a device that keeps metadata apart
    /// from the data has such a buffer; see [`Bdev::is_md_separate`](crate::Bdev::is_md_separate).
    ///
    /// Wraps `spdk_bdev_read_blocks_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_read_blocks_with_md")]
    pub fn read_blocks_with_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a mut rt::DmaBuf,
        md: &'a mut rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_read_blocks_with_md", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `buf` and `md` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf, md), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_read_blocks_with_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                md.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_mut()?,
                        md.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_readv;

impl BdevDesc {
    /// Reads at `offset` into several buffers, filling one after the other.
    ///
    /// `offset` and the sum of the lengths are bytes, and multiples of the block size.
    ///
    /// Wraps `spdk_bdev_readv`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_readv")]
    pub fn readv<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a mut [rt::DmaBuf],
        offset: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let nbytes = rt::total_len(bufs);
        let at = move || rt::At::new("spdk_bdev_readv", self).bytes(offset, nbytes);
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.splits_bytes(offset, nbytes)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_readv(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset,
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::fill(bufs)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_readv_blocks;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into several buffers, filling one after
    /// the other.
    ///
    /// Together they have exactly the size of the blocks.
    ///
    /// Wraps `spdk_bdev_readv_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_readv_blocks")]
    pub fn readv_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a mut [rt::DmaBuf],
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_readv_blocks", self).blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(
                rt::total_len(bufs),
                num_blocks,
                self.vector_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_readv_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::fill(bufs)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_readv_blocks_with_md;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into several buffers, filling one after
    /// the other, and their metadata into `md`.
    ///
    /// Together the buffers have exactly the size of the data. `md` has exactly the metadata of
    /// these blocks, [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Only a device that keeps
    /// metadata apart from the data has such a buffer; see
    /// [`Bdev::is_md_separate`](crate::Bdev::is_md_separate).
    ///
    /// Wraps `spdk_bdev_readv_blocks_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_readv_blocks_with_md")]
    pub fn readv_blocks_with_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a mut [rt::DmaBuf],
        md: &'a mut rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_readv_blocks_with_md", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(
                rt::total_len(bufs),
                num_blocks,
                self.vector_block_size_of()?,
            )?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `iov` and `md` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs, md), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_readv_blocks_with_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                md.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::fill(bufs)?,
                        md.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
    *mut sys::spdk_bdev_ext_io_opts,
) -> c_int = sys::spdk_bdev_readv_blocks_ext;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into several buffers, with options.
    ///
    /// Together the buffers have exactly the size of the data.
    ///
    /// `opts` can leave out checks of the protection information, and carry fields of an NVMe
    /// command. `metadata` is for a device that keeps metadata apart from the data: exactly that of
    /// these blocks, [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Memory domains have
    /// [`BdevDesc::readv_blocks_domain`](crate::BdevDesc::readv_blocks_domain). Accel sequences
    /// cannot be given: they are pointers whose life only their maker knows.
    ///
    /// Wraps `spdk_bdev_readv_blocks_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_readv_blocks_ext")]
    pub fn readv_blocks_ext<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a mut [rt::DmaBuf],
        offset_blocks: u64,
        num_blocks: u64,
        opts: &'a BdevExtIoOpts,
        metadata: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_readv_blocks_ext", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(
                rt::total_len(bufs),
                num_blocks,
                self.vector_block_size_of()?,
            )?;
            if let Some(metadata) = &metadata {
                rt::check_len(metadata.len() as u64, num_blocks, self.md_size_of()?)?;
            }
            if metadata.is_none() {
                self.makes_no_metadata(opts)?;
            }
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `iov`, `opts` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs, opts, metadata), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_readv_blocks_ext(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                                {
                                    opts.metadata = metadata
                                        .as_ref()
                                        .map_or(ptr::null_mut(), rt::Loan::as_ptr);
                                    ptr::from_mut(opts)
                                },
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::fill(bufs)?,
                        opts.to_c(),
                        metadata.map(rt::DmaBuf::lend_mut).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write;

impl BdevDesc {
    /// Writes the `buf.len()` bytes of `buf` at `offset`.
    ///
    /// `offset` and the length are bytes, and multiples of the block size.
    ///
    /// Wraps `spdk_bdev_write`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write")]
    pub fn write<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        offset: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let nbytes = buf.len() as u64;
        let at = move || rt::At::new("spdk_bdev_write", self).bytes(offset, nbytes);
        let start = move |caller: rt::Caller<'_>| {
            self.shows_and_needs_no_metadata()?;
            self.splits_bytes(offset, nbytes)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset,
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_to(self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_blocks;

impl BdevDesc {
    /// Writes `num_blocks` blocks of `buf` at block `offset_blocks`.
    ///
    /// `buf` has exactly their size.
    ///
    /// Wraps `spdk_bdev_write_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write_blocks")]
    pub fn write_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_write_blocks", self).blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_to(self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_blocks_with_md;

impl BdevDesc {
    /// Writes `num_blocks` blocks of `buf` at block `offset_blocks`, with the metadata in `md`.
    ///
    /// `buf` has exactly the size of the data. `md` has exactly the metadata of these blocks,
    /// [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Only a device that keeps metadata apart
    /// from the data has such a buffer; see [`Bdev::is_md_separate`](crate::Bdev::is_md_separate).
    ///
    /// Wraps `spdk_bdev_write_blocks_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write_blocks_with_md")]
    pub fn write_blocks_with_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        md: &'a rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_write_blocks_with_md", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `buf` and `md` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf, md), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write_blocks_with_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                md.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_to(self.drains())?,
                        md.lend_to(self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_writev;

impl BdevDesc {
    /// Writes several buffers at `offset`, one after the other.
    ///
    /// `offset` and the sum of the lengths are bytes, and multiples of the block size.
    ///
    /// Wraps `spdk_bdev_writev`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_writev")]
    pub fn writev<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        offset: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let len = rt::total_len(bufs);
        let at = move || rt::At::new("spdk_bdev_writev", self).bytes(offset, len);
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.splits_bytes(offset, len)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_writev(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset,
                                len,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::drain_to(bufs, self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_writev_blocks;

impl BdevDesc {
    /// Writes `num_blocks` blocks of several buffers at block `offset_blocks`, one after the other.
    ///
    /// Together they have exactly the size of the blocks.
    ///
    /// Wraps `spdk_bdev_writev_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_writev_blocks")]
    pub fn writev_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_writev_blocks", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(
                rt::total_len(bufs),
                num_blocks,
                self.vector_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_writev_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::drain_to(bufs, self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_writev_blocks_with_md;

impl BdevDesc {
    /// Writes `num_blocks` blocks of several buffers at block `offset_blocks`, one after the other,
    /// with the metadata in `md`.
    ///
    /// Together the buffers have exactly the size of the data. `md` has exactly the metadata of
    /// these blocks, [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Only a device that keeps
    /// metadata apart from the data has such a buffer; see
    /// [`Bdev::is_md_separate`](crate::Bdev::is_md_separate).
    ///
    /// Wraps `spdk_bdev_writev_blocks_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_writev_blocks_with_md")]
    pub fn writev_blocks_with_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        md: &'a rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_writev_blocks_with_md", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(
                rt::total_len(bufs),
                num_blocks,
                self.vector_block_size_of()?,
            )?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `iov` and `md` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs, md), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_writev_blocks_with_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                md.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::drain_to(bufs, self.drains())?,
                        md.lend_to(self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
    *mut sys::spdk_bdev_ext_io_opts,
) -> c_int = sys::spdk_bdev_writev_blocks_ext;

impl BdevDesc {
    /// Writes `num_blocks` blocks of several buffers at block `offset_blocks`, with options.
    ///
    /// Together the buffers have exactly the size of the data.
    ///
    /// `opts` can leave out checks of the protection information, and carry fields of an NVMe
    /// command. `metadata` is for a device that keeps metadata apart from the data: exactly that of
    /// these blocks, [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Memory domains have
    /// [`BdevDesc::readv_blocks_domain`](crate::BdevDesc::readv_blocks_domain). Accel sequences
    /// cannot be given: they are pointers whose life only their maker knows.
    ///
    /// Wraps `spdk_bdev_writev_blocks_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_writev_blocks_ext")]
    pub fn writev_blocks_ext<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        offset_blocks: u64,
        num_blocks: u64,
        opts: &'a BdevExtIoOpts,
        metadata: Option<&'a rt::DmaBuf>,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_writev_blocks_ext", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.splits_blocks(offset_blocks, num_blocks)?;
            rt::check_len(
                rt::total_len(bufs),
                num_blocks,
                self.vector_block_size_of()?,
            )?;
            if let Some(metadata) = &metadata {
                rt::check_len(metadata.len() as u64, num_blocks, self.md_size_of()?)?;
            }
            if metadata.is_none() {
                self.makes_no_metadata(opts)?;
            }
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `iov`, `opts` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs, opts, metadata), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_writev_blocks_ext(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                                {
                                    opts.metadata = metadata
                                        .as_ref()
                                        .map_or(ptr::null_mut(), rt::Loan::as_ptr);
                                    ptr::from_mut(opts)
                                },
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::drain_to(bufs, self.drains())?,
                        opts.to_c(),
                        metadata
                            .map(|metadata| metadata.lend_to(self.drains()))
                            .transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_compare_blocks;

impl BdevDesc {
    /// Compares `num_blocks` blocks at block `offset_blocks` with `buf`.
    ///
    /// `buf` has exactly their size. Where they differ, the error is that of a device, and its
    /// [`NvmeStatus::is_compare_failure`](crate::NvmeStatus::is_compare_failure) is true. SPDK
    /// reads and compares where the device has no command for it, by one of its [large
    /// buffers](crate::iobuf::Pools::large_size). More than that fails, or is refused where SPDK
    /// 26.01 loses count of the I/Os in flight: on a device whose reads it splits. It loses count
    /// there as well if the device is reset, or removed, while comparisons wait for a buffer.
    ///
    /// Wraps `spdk_bdev_compare_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_compare_blocks")]
    pub fn compare_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_compare_blocks", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.compares(offset_blocks, num_blocks)?;
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_compare_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_to(self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_compare_blocks_with_md;

impl BdevDesc {
    /// Compares `num_blocks` blocks at block `offset_blocks` with `buf`, and their metadata with
    /// `md`, as [`BdevDesc::compare_blocks`] does.
    ///
    /// `buf` has exactly the size of the data. `md` has exactly the metadata of these blocks,
    /// [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Only a device that keeps metadata apart
    /// from the data has such a buffer; see [`Bdev::is_md_separate`](crate::Bdev::is_md_separate).
    ///
    /// Where the device has no command for it, SPDK 26.01 compares the metadata of the first block
    /// only. On devices of the modules split, gpt, error, opal and zone_block it crashes then, so
    /// there it is refused.
    ///
    /// Wraps `spdk_bdev_compare_blocks_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_compare_blocks_with_md")]
    pub fn compare_blocks_with_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        md: &'a rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_compare_blocks_with_md", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.compares_metadata()?;
            self.compares(offset_blocks, num_blocks)?;
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `buf` and `md` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf, md), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_compare_blocks_with_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                md.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_to(self.drains())?,
                        md.lend_to(self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_comparev_blocks;

impl BdevDesc {
    /// Compares `num_blocks` blocks at block `offset_blocks` with several buffers, one after the
    /// other, as [`BdevDesc::compare_blocks`] does.
    ///
    /// Together they have exactly the size of the blocks.
    ///
    /// Wraps `spdk_bdev_comparev_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_comparev_blocks")]
    pub fn comparev_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_comparev_blocks", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.needs_no_metadata()?;
            self.compares(offset_blocks, num_blocks)?;
            rt::check_len(rt::total_len(bufs), num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_comparev_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::drain_to(bufs, self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_comparev_blocks_with_md;

impl BdevDesc {
    /// Compares `num_blocks` blocks at block `offset_blocks` with several buffers, and their
    /// metadata with `md`, as [`BdevDesc::compare_blocks`] does.
    ///
    /// Together the buffers have exactly the size of the data. `md` has exactly the metadata of
    /// these blocks, [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Only a device that keeps
    /// metadata apart from the data has such a buffer; see
    /// [`Bdev::is_md_separate`](crate::Bdev::is_md_separate).
    ///
    /// Where the device has no command for it, SPDK 26.01 compares the metadata of the first block
    /// only. On devices of the modules split, gpt, error, opal and zone_block it crashes then, so
    /// there it is refused.
    ///
    /// Wraps `spdk_bdev_comparev_blocks_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_comparev_blocks_with_md")]
    pub fn comparev_blocks_with_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        md: &'a rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_comparev_blocks_with_md", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.compares_metadata()?;
            self.compares(offset_blocks, num_blocks)?;
            rt::check_len(rt::total_len(bufs), num_blocks, self.block_size_of()?)?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `iov` and `md` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs, md), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_comparev_blocks_with_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                md.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::drain_to(bufs, self.drains())?,
                        md.lend_to(self.drains())?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_zeroes;

impl BdevDesc {
    /// Writes zeroes to `len` bytes at `offset`.
    ///
    /// Both are bytes, and multiples of the block size. SPDK writes buffers of zeroes where the
    /// device has no command for it, of 1 MiB at most: a device with larger blocks is refused.
    ///
    /// Wraps `spdk_bdev_write_zeroes`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is empty, is not made of whole blocks, or ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device can neither write zeroes nor write, or its blocks are too large.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write_zeroes")]
    pub fn write_zeroes<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset: u64,
        len: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_write_zeroes", self).bytes(offset, len);
        let start = move |caller: rt::Caller<'_>| {
            self.shows_metadata()?;
            self.has_zeroes(offset, len)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write_zeroes(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset,
                                len,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_zeroes_blocks;

impl BdevDesc {
    /// Writes zeroes to `num_blocks` blocks at block `offset_blocks`.
    ///
    /// SPDK writes buffers of zeroes where the device has no command for it, of 1 MiB at most: a
    /// device with larger blocks is refused.
    ///
    /// Wraps `spdk_bdev_write_zeroes_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they are none, or end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device can neither write zeroes nor write, or its blocks are too large.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write_zeroes_blocks")]
    pub fn write_zeroes_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_write_zeroes_blocks", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.shows_metadata()?;
            self.has_zeroes(offset_blocks, num_blocks)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write_zeroes_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

#[cfg(spdk_has_spdk_bdev_write_uncorrectable_blocks)]
const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_uncorrectable_blocks;

#[cfg(spdk_has_spdk_bdev_write_uncorrectable_blocks)]
impl BdevDesc {
    /// Makes `num_blocks` blocks at block `offset_blocks` fail to read, until they are written
    /// again.
    ///
    /// SPDK does not split it: an NVMe device takes 65,536 blocks at most.
    ///
    /// Wraps `spdk_bdev_write_uncorrectable_blocks`, which SPDK has since 26.01.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device, or are more than 4,294,967,295.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device has no command for it.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write_uncorrectable_blocks")]
    pub fn write_uncorrectable_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_write_uncorrectable_blocks", self)
                .blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.has_a_u32_of_blocks(offset_blocks, num_blocks)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write_uncorrectable_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_unmap;

impl BdevDesc {
    /// Tells the device that `nbytes` bytes at `offset` are not needed any more.
    ///
    /// Both are bytes, and multiples of the block size. What a read of them returns afterwards
    /// depends on the device. One that cannot unmap fails with the status of an invalid operation
    /// code.
    ///
    /// Wraps `spdk_bdev_unmap`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or of 1024 blocks each on an FTL bdev, or
    ///   ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_unmap")]
    pub fn unmap<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset: u64,
        nbytes: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_unmap", self).bytes(offset, nbytes);
        let start = move |caller: rt::Caller<'_>| {
            self.unmaps_bytes(offset, nbytes)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_unmap(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset,
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_unmap_blocks;

impl BdevDesc {
    /// Tells the device that `num_blocks` blocks at block `offset_blocks` are not needed any more.
    ///
    /// What a read of them returns afterwards depends on the device.
    ///
    /// Wraps `spdk_bdev_unmap_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device, or are not made of 1024 blocks each on an FTL bdev.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_unmap_blocks")]
    pub fn unmap_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_unmap_blocks", self).blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.unmaps_blocks(offset_blocks, num_blocks)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_unmap_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_flush;

impl BdevDesc {
    /// Makes what was written to `length` bytes at `offset` durable.
    ///
    /// Both are bytes, and multiples of the block size. Writes that have not completed yet may or
    /// may not be included.
    ///
    /// Wraps `spdk_bdev_flush`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, ends beyond the device, or is empty and
    ///   at its end.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device has nothing to flush.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_flush")]
    pub fn flush<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset: u64,
        length: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_flush", self).bytes(offset, length);
        let start = move |caller: rt::Caller<'_>| {
            self.flushes_bytes(offset, length)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_flush(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset,
                                length,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_flush_blocks;

impl BdevDesc {
    /// Makes what was written to `num_blocks` blocks at block `offset_blocks` durable.
    ///
    /// Writes that have not completed yet may or may not be included.
    ///
    /// Wraps `spdk_bdev_flush_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device, or are none at its end.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device has nothing to flush.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_flush_blocks")]
    pub fn flush_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_flush_blocks", self).blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.flushes_blocks(offset_blocks, num_blocks)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_flush_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_reset;

impl BdevDesc {
    /// Resets the device: what is in flight on it, from any descriptor, fails first.
    ///
    /// Some kinds of devices, logical volumes among them, let it end before, for some seconds; what
    /// is left then fails, and nothing is reset if all has ended.
    ///
    /// A raid of level 1 or 5f takes a base bdev on which I/O fails for a broken one, and gives it
    /// up: a reset beside I/O can end the raid, and with it the device.
    ///
    /// Wraps `spdk_bdev_reset`.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_reset")]
    pub fn reset<'a>(
        &'a self,
        ch: &'a IoChannel,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_reset", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_reset(desc.as_ptr(), ch.as_ptr(), done, arg),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

#[cfg(spdk_has_spdk_bdev_nvme_nssr)]
const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_nvme_nssr;

#[cfg(spdk_has_spdk_bdev_nvme_nssr)]
impl BdevDesc {
    /// Resets the NVM subsystem that the device is part of.
    ///
    /// Wraps `spdk_bdev_nvme_nssr`, which SPDK has since 25.09.
    ///
    /// # Errors
    ///
    /// - `ENOTSUP`: the device is no NVMe device that can do it.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_nvme_nssr")]
    pub fn nvme_nssr<'a>(
        &'a self,
        ch: &'a IoChannel,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_nvme_nssr", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_nvme_nssr(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_copy_blocks;

impl BdevDesc {
    /// Copies `num_blocks` blocks at block `src_offset_blocks` to block `dst_offset_blocks`, inside
    /// the device.
    ///
    /// SPDK reads and writes where the device has no command for it. What a copy between ranges
    /// that overlap leaves behind depends on the device.
    ///
    /// Wraps `spdk_bdev_copy_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the source or the destination ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device is a malloc bdev, or is upon another device, and has a command for
    ///   copies as well as metadata apart or reference tags: a malloc bdev leaves them behind.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_copy_blocks")]
    pub fn copy_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        dst_offset_blocks: u64,
        src_offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_copy_blocks", self)
                .copy(src_offset_blocks, dst_offset_blocks, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.copies()?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_copy_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                dst_offset_blocks,
                                src_offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *const sys::spdk_nvme_cmd,
    *mut c_void,
    usize,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_nvme_admin_passthru;

impl BdevDesc {
    /// Gives an NVMe admin command to the device.
    ///
    /// `buf` is the memory of its data. `None` is for a command without data. Whether the data is
    /// read or written is in the command's opcode. Returns dword 0 of the completion.
    ///
    /// Wraps `spdk_bdev_nvme_admin_passthru`.
    ///
    /// # Safety
    ///
    /// The device executes the command as it is. It transfers data to and from `buf` only, and no
    /// more than it has: a command that says another length, or that gives the device memory by an
    /// address, such as a host memory buffer or a queue, makes it write where something else is.
    ///
    /// # Errors
    ///
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device is no NVMe device, or cannot do it.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_nvme_admin_passthru")]
    pub unsafe fn nvme_admin_passthru<'a>(
        &'a self,
        ch: &'a IoChannel,
        cmd: &'a crate::nvme_cmd::NvmeCmd,
        buf: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::BdevIo<Output = rt::Result<u32>> + use<'a> {
        let nbytes = buf.as_ref().map_or(0, |buf| buf.len());
        let at = move || {
            rt::At::new("spdk_bdev_nvme_admin_passthru", self)
                .command(cmd, nbytes as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `cmd` and `buf` until then. The `spdk_bdev_io` is ours in the
            // callback, until `io` is dropped. The rest is the caller's promise.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(desc, ch, cmd, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_nvme_admin_passthru(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                ptr::from_ref(cmd),
                                buf.as_ref().map_or(ptr::null_mut(), rt::Loan::as_ptr),
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(crate::nvme_cmd::cdw0(io.as_ptr()))
                    },
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        cmd.to_c(),
                        buf.map(rt::DmaBuf::lend_mut).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *const sys::spdk_nvme_cmd,
    *mut c_void,
    usize,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_nvme_io_passthru;

impl BdevDesc {
    /// Gives an NVMe I/O command to the device. The namespace is filled in.
    ///
    /// `buf` is the memory of its data. `None` is for a command without data. Whether the data is
    /// read or written is in the command's opcode. Returns dword 0 of the completion.
    ///
    /// Wraps `spdk_bdev_nvme_io_passthru`.
    ///
    /// # Safety
    ///
    /// The device executes the command as it is. It transfers data to and from `buf` only, and no
    /// more than it has: a command that says another length, or that gives the device memory by an
    /// address, such as a host memory buffer or a queue, makes it write where something else is.
    ///
    /// # Errors
    ///
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device is no NVMe device, or cannot do it.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_nvme_io_passthru")]
    pub unsafe fn nvme_io_passthru<'a>(
        &'a self,
        ch: &'a IoChannel,
        cmd: &'a crate::nvme_cmd::NvmeCmd,
        buf: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::BdevIo<Output = rt::Result<u32>> + use<'a> {
        let nbytes = buf.as_ref().map_or(0, |buf| buf.len());
        let at = move || {
            rt::At::new("spdk_bdev_nvme_io_passthru", self).command(cmd, nbytes as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `bdev_desc`, `ch`, `cmd` and `buf` until then. The `spdk_bdev_io` is ours in
            // the callback, until `io` is dropped. The rest is the caller's promise.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(bdev_desc, ch, cmd, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_nvme_io_passthru(
                                bdev_desc.as_ptr(),
                                ch.as_ptr(),
                                ptr::from_ref(cmd),
                                buf.as_ref().map_or(ptr::null_mut(), rt::Loan::as_ptr),
                                nbytes,
                                done,
                                arg,
                            ),
                            bdev_desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(crate::nvme_cmd::cdw0(io.as_ptr()))
                    },
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        cmd.to_c(),
                        buf.map(rt::DmaBuf::lend_mut).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *const sys::spdk_nvme_cmd,
    *mut c_void,
    usize,
    *mut c_void,
    usize,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_nvme_io_passthru_md;

impl BdevDesc {
    /// Gives an NVMe I/O command with separate metadata to the device. The namespace is filled in.
    ///
    /// `buf` is the memory of its data, and `md_buf` that of its metadata. `None` is for a command
    /// without data. Whether the data is read or written is in the command's opcode. Returns dword
    /// 0 of the completion.
    ///
    /// Wraps `spdk_bdev_nvme_io_passthru_md`.
    ///
    /// # Safety
    ///
    /// The device executes the command as it is. It transfers data to and from `buf` and `md_buf`
    /// only, and no more than each of them has: a command that says another length, or that gives
    /// the device memory by an address, such as a host memory buffer or a queue, makes it write
    /// where something else is.
    ///
    /// # Errors
    ///
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device is no NVMe device, or cannot do it.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_nvme_io_passthru_md")]
    pub unsafe fn nvme_io_passthru_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        cmd: &'a crate::nvme_cmd::NvmeCmd,
        buf: Option<&'a mut rt::DmaBuf>,
        md_buf: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::BdevIo<Output = rt::Result<u32>> + use<'a> {
        let nbytes = buf.as_ref().map_or(0, |buf| buf.len());
        let md_len = md_buf.as_ref().map_or(0, |buf| buf.len());
        let at = move || {
            rt::At::new("spdk_bdev_nvme_io_passthru_md", self)
                .command(cmd, nbytes as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `bdev_desc`, `ch`, `cmd`, `buf` and `md_buf` until then. The `spdk_bdev_io` is
            // ours in the callback, until `io` is dropped. The rest is the caller's promise.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(bdev_desc, ch, cmd, buf, md_buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_nvme_io_passthru_md(
                                bdev_desc.as_ptr(),
                                ch.as_ptr(),
                                ptr::from_ref(cmd),
                                buf.as_ref().map_or(ptr::null_mut(), rt::Loan::as_ptr),
                                nbytes,
                                md_buf.as_ref().map_or(ptr::null_mut(), rt::Loan::as_ptr),
                                md_len,
                                done,
                                arg,
                            ),
                            bdev_desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(crate::nvme_cmd::cdw0(io.as_ptr()))
                    },
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        cmd.to_c(),
                        buf.map(rt::DmaBuf::lend_mut).transpose()?,
                        md_buf.map(rt::DmaBuf::lend_mut).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *const sys::spdk_nvme_cmd,
    *mut sys::iovec,
    c_int,
    usize,
    *mut c_void,
    usize,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_nvme_iov_passthru_md;

impl BdevDesc {
    /// Gives an NVMe I/O command with its data in several buffers, and maybe separate metadata, to
    /// the device. The namespace is filled in.
    ///
    /// `iov` is the memory of its data, one buffer after the other, and `md_buf` that of its
    /// metadata. Whether the data is read or written is in the command's opcode. Returns dword 0 of
    /// the completion.
    ///
    /// Wraps `spdk_bdev_nvme_iov_passthru_md`.
    ///
    /// # Safety
    ///
    /// The device executes the command as it is. It transfers data to and from `iov` and `md_buf`
    /// only, and no more than each of them has: a command that says another length, or that gives
    /// the device memory by an address, such as a host memory buffer or a queue, makes it write
    /// where something else is.
    ///
    /// # Errors
    ///
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device is no NVMe device, or cannot do it.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_nvme_iov_passthru_md")]
    pub unsafe fn nvme_iov_passthru_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        cmd: &'a crate::nvme_cmd::NvmeCmd,
        bufs: &'a mut [rt::DmaBuf],
        md_buf: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::BdevIo<Output = rt::Result<u32>> + use<'a> {
        let nbytes = (rt::total_len(bufs)) as usize;
        let md_len = md_buf.as_ref().map_or(0, |buf| buf.len());
        let at = move || {
            rt::At::new("spdk_bdev_nvme_iov_passthru_md", self)
                .command(cmd, nbytes as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `cmd`, `iov` and `md_buf` until then. The `spdk_bdev_io` is ours
            // in the callback, until `io` is dropped. The rest is the caller's promise.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(desc, ch, cmd, bufs, md_buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_nvme_iov_passthru_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                ptr::from_ref(cmd),
                                bufs.as_ptr(),
                                bufs.count(),
                                nbytes,
                                md_buf.as_ref().map_or(ptr::null_mut(), rt::Loan::as_ptr),
                                md_len,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(crate::nvme_cmd::cdw0(io.as_ptr()))
                    },
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        cmd.to_c(),
                        rt::IoVecs::fill(bufs)?,
                        md_buf.map(rt::DmaBuf::lend_mut).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

#[cfg(spdk_args_spdk_bdev_get_io_stat = "4")]
const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev,
    *mut sys::spdk_io_channel,
    *mut sys::spdk_bdev_io_stat,
    sys::spdk_bdev_reset_stat_mode,
) = sys::spdk_bdev_get_io_stat;

#[cfg(spdk_args_spdk_bdev_get_io_stat = "4")]
impl Bdev {
    /// What was done through a channel of the device, and `reset_mode` what becomes of that.
    ///
    /// Wraps `spdk_bdev_get_io_stat`.
    ///
    /// # Errors
    ///
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_get_io_stat")]
    pub fn channel_stat(
        &self,
        ch: &IoChannel,
        reset_mode: ResetStat,
    ) -> rt::Result<BdevIoStat> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_io_stat", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            let ch = self.channel(ch, caller)?;
            let mut stat = BdevIoStat::zero();
            // SAFETY: `bdev`, `ch` and `stat` may be used now and here; C keeps nothing after the
            // call.
            unsafe {
                sys::spdk_bdev_get_io_stat(
                    bdev.as_ptr(),
                    ch.as_ptr(),
                    &raw mut stat,
                    reset_mode.to_c(),
                )
            };
            Ok(BdevIoStat::from_c(&stat))
        });
        result.map_err(at)
    }
}

#[cfg(spdk_args_spdk_bdev_get_io_stat = "3")]
const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev,
    *mut sys::spdk_io_channel,
    *mut sys::spdk_bdev_io_stat,
) = sys::spdk_bdev_get_io_stat;

#[cfg(spdk_args_spdk_bdev_get_io_stat = "3")]
impl Bdev {
    /// What was done through a channel of the device, and `reset_mode` what becomes of that.
    ///
    /// Wraps `spdk_bdev_get_io_stat`.
    ///
    /// # Errors
    ///
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_get_io_stat")]
    pub fn channel_stat(&self, ch: &IoChannel) -> rt::Result<BdevIoStat> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_io_stat", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            let ch = self.channel(ch, caller)?;
            let mut stat = BdevIoStat::zero();
            // SAFETY: `bdev`, `ch` and `stat` may be used now and here; C keeps nothing after the
            // call.
            unsafe {
                sys::spdk_bdev_get_io_stat(bdev.as_ptr(), ch.as_ptr(), &raw mut stat)
            };
            Ok(BdevIoStat::from_c(&stat))
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev,
    sys::spdk_bdev_histogram_status_cb,
    *mut c_void,
    bool,
) = sys::spdk_bdev_histogram_enable;

impl Bdev {
    /// Begins, or ends, to count how long I/Os take, in every channel of the device.
    ///
    /// To begin forgets nothing that was counted before; to end does.
    ///
    /// Wraps `spdk_bdev_histogram_enable`.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: another call that enables or disables it is under way.
    /// - `ENOMEM`: SPDK has no memory for it.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_histogram_enable")]
    pub fn enable_histogram<'a>(
        &'a self,
        enable: bool,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_histogram_enable", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `bdev`
            // until then.
            Ok(unsafe {
                rt::op::<BdevHistogramStatusCb, _, _>(
                    move |(bdev,), done, arg| {
                        sys::spdk_bdev_histogram_enable(
                            bdev.as_ptr(),
                            done,
                            arg,
                            enable,
                        );
                        rt::Submitted::Pending
                    },
                    |_, status| rt::status(status),
                    (self.hold_open(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}
