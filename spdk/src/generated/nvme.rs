// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! NVMe controllers, as their host. Wrappers of `spdk/nvme.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr;
use crate::__private::{self as rt, sys};
use crate::nvme::NvmeController;
use crate::nvme::NvmeQpair;
use crate::nvme::NvmeNamespace;

rt::assert_not_send_sync!(NvmeController);

rt::assert_not_send_sync!(NvmeQpair);

rt::assert_not_send_sync!(NvmeNamespace);

/// How an I/O command is done, as a set. Calls refuse the bits that make it one half of a fused
/// command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NvmeIoFlags(u32);

const _: () = {
    assert!(sys::SPDK_NVME_IO_FLAGS_LIMITED_RETRY as i128 == 2147483648);
    assert!(sys::SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS as i128 == 1073741824);
    assert!(sys::SPDK_NVME_IO_FLAGS_PRACT as i128 == 536870912);
    assert!(sys::SPDK_NVME_IO_FLAGS_PRCHK_GUARD as i128 == 268435456);
    assert!(sys::SPDK_NVME_IO_FLAGS_PRCHK_APPTAG as i128 == 134217728);
    assert!(sys::SPDK_NVME_IO_FLAGS_PRCHK_REFTAG as i128 == 67108864);
    assert!(sys::SPDK_NVME_IO_FLAGS_ZONE_APPEND_PIREMAP as i128 == 33554432);
};

impl NvmeIoFlags {
    /// The controller tries less hard.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_LIMITED_RETRY")]
    pub const LIMITED_RETRY: Self = Self(2147483648);
    /// It is done on the medium, and not in a cache.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS")]
    pub const FORCE_UNIT_ACCESS: Self = Self(1073741824);
    /// The controller makes and takes away the protection information.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_PRACT")]
    pub const PRACT: Self = Self(536870912);
    /// The guard is checked.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_PRCHK_GUARD")]
    pub const PRCHK_GUARD: Self = Self(268435456);
    /// The application tag is checked.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_PRCHK_APPTAG")]
    pub const PRCHK_APPTAG: Self = Self(134217728);
    /// The reference tag is checked.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_PRCHK_REFTAG")]
    pub const PRCHK_REFTAG: Self = Self(67108864);
    /// A zone append adjusts the reference tags.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_ZONE_APPEND_PIREMAP")]
    pub const ZONE_APPEND_PIREMAP: Self = Self(33554432);
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

impl core::ops::BitOr for NvmeIoFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a reservation keeps other hosts from.
///
/// The C enum is `spdk_nvme_reservation_type`.
#[doc(alias = "spdk_nvme_reservation_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReservationType {
    /// Only the holder writes.
    #[doc(alias = "SPDK_NVME_RESERVE_WRITE_EXCLUSIVE")]
    WriteExclusive,
    /// Only the holder reads and writes.
    #[doc(alias = "SPDK_NVME_RESERVE_EXCLUSIVE_ACCESS")]
    ExclusiveAccess,
    /// Only registered hosts write.
    #[doc(alias = "SPDK_NVME_RESERVE_WRITE_EXCLUSIVE_REG_ONLY")]
    WriteExclusiveRegistrantsOnly,
    /// Only registered hosts read and write.
    #[doc(alias = "SPDK_NVME_RESERVE_EXCLUSIVE_ACCESS_REG_ONLY")]
    ExclusiveAccessRegistrantsOnly,
    /// Only registered hosts write, and all of them hold it.
    #[doc(alias = "SPDK_NVME_RESERVE_WRITE_EXCLUSIVE_ALL_REGS")]
    WriteExclusiveAllRegistrants,
    /// Only registered hosts read and write, and all of them hold it.
    #[doc(alias = "SPDK_NVME_RESERVE_EXCLUSIVE_ACCESS_ALL_REGS")]
    ExclusiveAccessAllRegistrants,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_NVME_RESERVE_WRITE_EXCLUSIVE.0 == 1);
    assert!(sys::SPDK_NVME_RESERVE_EXCLUSIVE_ACCESS.0 == 2);
    assert!(sys::SPDK_NVME_RESERVE_WRITE_EXCLUSIVE_REG_ONLY.0 == 3);
    assert!(sys::SPDK_NVME_RESERVE_EXCLUSIVE_ACCESS_REG_ONLY.0 == 4);
    assert!(sys::SPDK_NVME_RESERVE_WRITE_EXCLUSIVE_ALL_REGS.0 == 5);
    assert!(sys::SPDK_NVME_RESERVE_EXCLUSIVE_ACCESS_ALL_REGS.0 == 6);
};

impl ReservationType {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::WriteExclusive,
            2 => Self::ExclusiveAccess,
            3 => Self::WriteExclusiveRegistrantsOnly,
            4 => Self::ExclusiveAccessRegistrantsOnly,
            5 => Self::WriteExclusiveAllRegistrants,
            6 => Self::ExclusiveAccessAllRegistrants,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::WriteExclusive => 1,
            Self::ExclusiveAccess => 2,
            Self::WriteExclusiveRegistrantsOnly => 3,
            Self::ExclusiveAccessRegistrantsOnly => 4,
            Self::WriteExclusiveAllRegistrants => 5,
            Self::ExclusiveAccessAllRegistrants => 6,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_nvme_reservation_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_nvme_reservation_type {
        sys::spdk_nvme_reservation_type(self.to_raw())
    }
}

/// How a reservation is acquired.
///
/// The C enum is `spdk_nvme_reservation_acquire_action`.
#[doc(alias = "spdk_nvme_reservation_acquire_action")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AcquireAction {
    /// Takes a reservation that nobody has.
    #[doc(alias = "SPDK_NVME_RESERVE_ACQUIRE")]
    Acquire,
    /// Takes it from another host.
    #[doc(alias = "SPDK_NVME_RESERVE_PREEMPT")]
    Preempt,
    /// Takes it from another host, whose commands are aborted.
    #[doc(alias = "SPDK_NVME_RESERVE_PREEMPT_ABORT")]
    PreemptAndAbort,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_NVME_RESERVE_ACQUIRE.0 == 0);
    assert!(sys::SPDK_NVME_RESERVE_PREEMPT.0 == 1);
    assert!(sys::SPDK_NVME_RESERVE_PREEMPT_ABORT.0 == 2);
};

impl AcquireAction {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Acquire,
            1 => Self::Preempt,
            2 => Self::PreemptAndAbort,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Acquire => 0,
            Self::Preempt => 1,
            Self::PreemptAndAbort => 2,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_nvme_reservation_acquire_action) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_nvme_reservation_acquire_action {
        sys::spdk_nvme_reservation_acquire_action(self.to_raw())
    }
}

/// What a registration does.
///
/// The C enum is `spdk_nvme_reservation_register_action`.
#[doc(alias = "spdk_nvme_reservation_register_action")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegisterAction {
    /// Registers the host with the new key.
    #[doc(alias = "SPDK_NVME_RESERVE_REGISTER_KEY")]
    Register,
    /// Ends that.
    #[doc(alias = "SPDK_NVME_RESERVE_UNREGISTER_KEY")]
    Unregister,
    /// Replaces the current key by the new one.
    #[doc(alias = "SPDK_NVME_RESERVE_REPLACE_KEY")]
    Replace,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_NVME_RESERVE_REGISTER_KEY.0 == 0);
    assert!(sys::SPDK_NVME_RESERVE_UNREGISTER_KEY.0 == 1);
    assert!(sys::SPDK_NVME_RESERVE_REPLACE_KEY.0 == 2);
};

impl RegisterAction {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Register,
            1 => Self::Unregister,
            2 => Self::Replace,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Register => 0,
            Self::Unregister => 1,
            Self::Replace => 2,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_nvme_reservation_register_action) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_nvme_reservation_register_action {
        sys::spdk_nvme_reservation_register_action(self.to_raw())
    }
}

/// Whether registrations and reservations survive a loss of power.
///
/// The C enum is `spdk_nvme_reservation_register_cptpl`.
#[doc(alias = "spdk_nvme_reservation_register_cptpl")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PersistThroughPowerLoss {
    /// As it is.
    #[doc(alias = "SPDK_NVME_RESERVE_PTPL_NO_CHANGES")]
    NoChange,
    /// They are forgotten when the power fails.
    #[doc(alias = "SPDK_NVME_RESERVE_PTPL_CLEAR_POWER_ON")]
    Clear,
    /// They survive that.
    #[doc(alias = "SPDK_NVME_RESERVE_PTPL_PERSIST_POWER_LOSS")]
    Persist,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_NVME_RESERVE_PTPL_NO_CHANGES.0 == 0);
    assert!(sys::SPDK_NVME_RESERVE_PTPL_CLEAR_POWER_ON.0 == 2);
    assert!(sys::SPDK_NVME_RESERVE_PTPL_PERSIST_POWER_LOSS.0 == 3);
};

impl PersistThroughPowerLoss {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::NoChange,
            2 => Self::Clear,
            3 => Self::Persist,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::NoChange => 0,
            Self::Clear => 2,
            Self::Persist => 3,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_nvme_reservation_register_cptpl) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_nvme_reservation_register_cptpl {
        sys::spdk_nvme_reservation_register_cptpl(self.to_raw())
    }
}

/// How a reservation ends.
///
/// The C enum is `spdk_nvme_reservation_release_action`.
#[doc(alias = "spdk_nvme_reservation_release_action")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReleaseAction {
    /// Gives the reservation up.
    #[doc(alias = "SPDK_NVME_RESERVE_RELEASE")]
    Release,
    /// Ends all registrations and the reservation.
    #[doc(alias = "SPDK_NVME_RESERVE_CLEAR")]
    Clear,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_NVME_RESERVE_RELEASE.0 == 0);
    assert!(sys::SPDK_NVME_RESERVE_CLEAR.0 == 1);
};

impl ReleaseAction {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Release,
            1 => Self::Clear,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Release => 0,
            Self::Clear => 1,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_nvme_reservation_release_action) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_nvme_reservation_release_action {
        sys::spdk_nvme_reservation_release_action(self.to_raw())
    }
}

/// How a read or a write is done, beyond its blocks and buffers.
///
/// The C struct is `spdk_nvme_ns_cmd_ext_io_opts`.
#[doc(alias = "spdk_nvme_ns_cmd_ext_io_opts")]
#[derive(Clone)]
pub struct NvmeExtIoOpts(sys::spdk_nvme_ns_cmd_ext_io_opts);

impl NvmeExtIoOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_nvme_ns_cmd_ext_io_opts>::zeroed();
        // SAFETY: the field is inside the struct, whatever its alignment.
        unsafe {
            (&raw mut (*raw.as_mut_ptr()).size)
                .write_unaligned(size_of::<sys::spdk_nvme_ns_cmd_ext_io_opts>() as usize)
        };
        // SAFETY: Zeroes are a valid value of every field.
        Self(unsafe { raw.assume_init() })
    }

    /// The bits of [`NvmeIoFlags`]. Those of fused commands are refused.
    ///
    /// The C field is `io_flags`.
    #[must_use]
    pub fn io_flags(mut self, value: u32) -> Self {
        self.0.io_flags = value;
        self
    }

    /// Which bits of the application tag are checked.
    ///
    /// The C field is `apptag_mask`.
    #[must_use]
    pub fn apptag_mask(mut self, value: u16) -> Self {
        self.0.apptag_mask = value;
        self
    }

    /// What these are checked for.
    ///
    /// The C field is `apptag`.
    #[must_use]
    pub fn apptag(mut self, value: u16) -> Self {
        self.0.apptag = value;
        self
    }

    /// Dword 13 of the command. SPDK leaves it out of a read or write of one buffer.
    ///
    /// The C field is `cdw13`.
    #[must_use]
    pub fn cdw13(mut self, value: u32) -> Self {
        self.0.cdw13 = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_nvme_ns_cmd_ext_io_opts {
        self.0
    }
}

impl fmt::Debug for NvmeExtIoOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NvmeExtIoOpts").finish_non_exhaustive()
    }
}

impl Default for NvmeExtIoOpts {
    fn default() -> Self {
        Self::new()
    }
}

/// What `spdk_nvme_authenticate_cb` reports.
#[doc(hidden)]
pub enum NvmeAuthenticateCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmeAuthenticateCb {
    type Fn = sys::spdk_nvme_authenticate_cb;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
            ctx: *mut c_void,
            status: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(ctx, status) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(0)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ctrlr,
    u8,
    u32,
    *mut c_void,
    u32,
    u64,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ctrlr_cmd_get_log_page;

impl NvmeController {
    /// Reads a log page, or that of a namespace, from byte `offset` on into `payload`. Its size is
    /// a multiple of 4 bytes. `nsid` is [`NvmeController::ALL_NAMESPACES`] for pages of the
    /// controller.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_get_log_page`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `offset` is no multiple of 4, or the controller reads its log pages from their
    ///   start only.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_get_log_page")]
    pub fn get_log_page<'a>(
        &'a self,
        log_page: u8,
        nsid: u32,
        payload: &'a mut rt::DmaBuf,
        offset: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ctrlr_cmd_get_log_page", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ctrlr` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::AdminDone, _, _>(
                    move |(ctrlr, payload), done, arg| {
                        rt::nvme::submit(
                            ctrlr,
                            ctrlr,
                            || sys::spdk_nvme_ctrlr_cmd_get_log_page(
                                ctrlr.as_ptr(),
                                log_page,
                                nsid,
                                payload.as_ptr(),
                                payload_size,
                                offset,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_admin(caller)?, payload.lend_mut()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ctrlr,
    u8,
    u32,
    *mut c_void,
    u32,
    u64,
    u32,
    u32,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ctrlr_cmd_get_log_page_ext;

impl NvmeController {
    /// Reads a log page as [`NvmeController::get_log_page`], with other bits in the command: those
    /// of `cdw10` and `cdw11` that do not say which page and how long, and `cdw14`.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_get_log_page_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `offset` is no multiple of 4, or the controller reads its log pages from their
    ///   start only.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_get_log_page_ext")]
    pub fn get_log_page_ext<'a>(
        &'a self,
        log_page: u8,
        nsid: u32,
        payload: &'a mut rt::DmaBuf,
        offset: u64,
        cdw10: u32,
        cdw11: u32,
        cdw14: u32,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ctrlr_cmd_get_log_page_ext", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ctrlr` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::AdminDone, _, _>(
                    move |(ctrlr, payload), done, arg| {
                        rt::nvme::submit(
                            ctrlr,
                            ctrlr,
                            || sys::spdk_nvme_ctrlr_cmd_get_log_page_ext(
                                ctrlr.as_ptr(),
                                log_page,
                                nsid,
                                payload.as_ptr(),
                                payload_size,
                                offset,
                                cdw10,
                                cdw11,
                                cdw14,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_admin(caller)?, payload.lend_mut()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ctrlr,
    u8,
    u16,
    u8,
    *mut c_void,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ctrlr_cmd_security_receive;

impl NvmeController {
    /// Receives data of a security protocol into `payload`: `secp` and `spsp` say which, and `nssf`
    /// what of it.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_security_receive`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_security_receive")]
    pub fn security_receive<'a>(
        &'a self,
        secp: u8,
        spsp: u16,
        nssf: u8,
        payload: &'a mut rt::DmaBuf,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ctrlr_cmd_security_receive", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 1u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ctrlr` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::AdminDone, _, _>(
                    move |(ctrlr, payload), done, arg| {
                        rt::nvme::submit(
                            ctrlr,
                            ctrlr,
                            || sys::spdk_nvme_ctrlr_cmd_security_receive(
                                ctrlr.as_ptr(),
                                secp,
                                spsp,
                                nssf,
                                payload.as_ptr(),
                                payload_size,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_admin(caller)?, payload.lend_mut()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ctrlr,
    u8,
    u16,
    u8,
    *mut c_void,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ctrlr_cmd_security_send;

impl NvmeController {
    /// Sends the data of a security protocol in `payload`: `secp` and `spsp` say which, and `nssf`
    /// what of it.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_security_send`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_security_send")]
    pub fn security_send<'a>(
        &'a self,
        secp: u8,
        spsp: u16,
        nssf: u8,
        payload: &'a rt::DmaBuf,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ctrlr_cmd_security_send", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 1u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ctrlr` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::AdminDone, _, _>(
                    move |(ctrlr, payload), done, arg| {
                        rt::nvme::submit(
                            ctrlr,
                            ctrlr,
                            || sys::spdk_nvme_ctrlr_cmd_security_send(
                                ctrlr.as_ptr(),
                                secp,
                                spsp,
                                nssf,
                                payload.as_ptr(),
                                payload_size,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_admin(caller)?, payload.lend()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ctrlr,
    u32,
    u32,
    u32,
    u32,
    *mut c_void,
    u32,
    u32,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ctrlr_cmd_directive_receive;

impl NvmeController {
    /// Does the operation `doper` of a directive of the type `dtype`, which returns data into
    /// `payload`, and returns dword 0 of the completion. The size of `payload` is a multiple of 4
    /// bytes.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_directive_receive`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_directive_receive")]
    pub fn directive_receive<'a>(
        &'a self,
        nsid: u32,
        doper: u32,
        dtype: u32,
        dspec: u32,
        payload: &'a mut rt::DmaBuf,
        cdw12: u32,
        cdw13: u32,
    ) -> impl rt::Future<Output = rt::Result<u32>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ctrlr_cmd_directive_receive", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ctrlr` and `payload` until then. The `spdk_bdev_io` is ours in the callback,
            // until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::nvme::AdminDone, _, _>(
                    move |(ctrlr, payload), done, arg| {
                        rt::nvme::submit(
                            ctrlr,
                            ctrlr,
                            || sys::spdk_nvme_ctrlr_cmd_directive_receive(
                                ctrlr.as_ptr(),
                                nsid,
                                doper,
                                dtype,
                                dspec,
                                payload.as_ptr(),
                                payload_size,
                                cdw12,
                                cdw13,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(rt::nvme::Dwords::first),
                    (self.hold_admin(caller)?, payload.lend_mut()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ctrlr,
    u32,
    u32,
    u32,
    u32,
    *mut c_void,
    u32,
    u32,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ctrlr_cmd_directive_send;

impl NvmeController {
    /// Does the operation `doper` of a directive of the type `dtype`, which takes the data in
    /// `payload`, and returns dword 0 of the completion. The size of `payload` is a multiple of 4
    /// bytes.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_directive_send`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_directive_send")]
    pub fn directive_send<'a>(
        &'a self,
        nsid: u32,
        doper: u32,
        dtype: u32,
        dspec: u32,
        payload: &'a rt::DmaBuf,
        cdw12: u32,
        cdw13: u32,
    ) -> impl rt::Future<Output = rt::Result<u32>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ctrlr_cmd_directive_send", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ctrlr` and `payload` until then. The `spdk_bdev_io` is ours in the callback,
            // until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::nvme::AdminDone, _, _>(
                    move |(ctrlr, payload), done, arg| {
                        rt::nvme::submit(
                            ctrlr,
                            ctrlr,
                            || sys::spdk_nvme_ctrlr_cmd_directive_send(
                                ctrlr.as_ptr(),
                                nsid,
                                doper,
                                dtype,
                                dspec,
                                payload.as_ptr(),
                                payload_size,
                                cdw12,
                                cdw13,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(rt::nvme::Dwords::first),
                    (self.hold_admin(caller)?, payload.lend()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ctrlr,
    *mut sys::spdk_nvme_cmd,
    *mut c_void,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ctrlr_cmd_admin_raw;

impl NvmeController {
    /// Passes an admin command through, and returns dword 0 of its completion.
    ///
    /// `buf` is what it reads or writes, as its opcode says.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_admin_raw`.
    ///
    /// # Safety
    ///
    /// The command reads and writes no memory of this host beyond `buf`, and does not disturb what
    /// SPDK does with the controller: it makes or deletes no queues, and gives it no other memory.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_admin_raw")]
    pub unsafe fn admin_raw<'a>(
        &'a self,
        cmd: &'a crate::nvme_cmd::NvmeCmd,
        buf: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::Future<Output = rt::Result<u32>> + use<'a> {
        let len = buf.as_ref().map_or(0, |buf| buf.len()) as u32;
        let at = move || {
            rt::At::new("spdk_nvme_ctrlr_cmd_admin_raw", self).command(cmd, len as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ctrlr`, `cmd` and `buf` until then. The `spdk_bdev_io` is ours in the
            // callback, until `io` is dropped. The rest is the caller's promise.
            Ok(unsafe {
                rt::op::<rt::nvme::AdminDone, _, _>(
                    move |(ctrlr, cmd, buf), done, arg| {
                        rt::nvme::submit(
                            ctrlr,
                            ctrlr,
                            || sys::spdk_nvme_ctrlr_cmd_admin_raw(
                                ctrlr.as_ptr(),
                                ptr::from_mut(cmd),
                                buf.as_ref().map_or(ptr::null_mut(), rt::Loan::as_ptr),
                                len,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(rt::nvme::Dwords::first),
                    (
                        self.hold_admin(caller)?,
                        cmd.to_c(),
                        buf.map(rt::DmaBuf::lend_mut).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(*mut sys::spdk_nvme_ns) -> u32 = sys::spdk_nvme_ns_get_max_io_xfer_size;

impl NvmeNamespace {
    /// How many bytes the controller moves with one command at most. SPDK splits what is larger.
    ///
    /// Wraps `spdk_nvme_ns_get_max_io_xfer_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_get_max_io_xfer_size")]
    pub fn max_io_xfer_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_nvme_ns_get_max_io_xfer_size", self))
        };
        let result = rt::begin(|_| {
            let ns = self.raw()?;
            // SAFETY: `ns` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_nvme_ns_get_max_io_xfer_size(ns.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*mut sys::spdk_nvme_ns) -> u32 = sys::spdk_nvme_ns_get_md_size;

impl NvmeNamespace {
    /// The metadata of each block in bytes; 0 if there is none.
    ///
    /// Wraps `spdk_nvme_ns_get_md_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_get_md_size")]
    pub fn md_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_nvme_ns_get_md_size", self))
        };
        let result = rt::begin(|_| {
            let ns = self.raw()?;
            // SAFETY: `ns` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_nvme_ns_get_md_size(ns.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*mut sys::spdk_nvme_ns) -> u32 = sys::spdk_nvme_ns_get_extended_sector_size;

impl NvmeNamespace {
    /// What a block has in a buffer, in bytes: its data, and its metadata where these are not
    /// apart.
    ///
    /// Wraps `spdk_nvme_ns_get_extended_sector_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_get_extended_sector_size")]
    pub fn extended_sector_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_nvme_ns_get_extended_sector_size", self))
        };
        let result = rt::begin(|_| {
            let ns = self.raw()?;
            // SAFETY: `ns` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_nvme_ns_get_extended_sector_size(ns.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*mut sys::spdk_nvme_ns) -> bool = sys::spdk_nvme_ns_supports_extended_lba;

impl NvmeNamespace {
    /// Whether the metadata follows the data of each block in the same buffer.
    ///
    /// Wraps `spdk_nvme_ns_supports_extended_lba`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_supports_extended_lba")]
    pub fn is_md_interleaved(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_nvme_ns_supports_extended_lba", self))
        };
        let result = rt::begin(|_| {
            let ns = self.raw()?;
            // SAFETY: `ns` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_nvme_ns_supports_extended_lba(ns.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*mut sys::spdk_nvme_ns) -> bool = sys::spdk_nvme_ns_supports_compare;

impl NvmeNamespace {
    /// Whether the controller compares.
    ///
    /// Wraps `spdk_nvme_ns_supports_compare`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_supports_compare")]
    pub fn supports_compare(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_nvme_ns_supports_compare", self))
        };
        let result = rt::begin(|_| {
            let ns = self.raw()?;
            // SAFETY: `ns` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_nvme_ns_supports_compare(ns.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*mut sys::spdk_nvme_ns) -> u32 = sys::spdk_nvme_ns_get_optimal_io_boundary;

impl NvmeNamespace {
    /// The boundary in blocks that a command should not cross; 0 if there is none.
    ///
    /// Wraps `spdk_nvme_ns_get_optimal_io_boundary`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_get_optimal_io_boundary")]
    pub fn optimal_io_boundary(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_nvme_ns_get_optimal_io_boundary", self))
        };
        let result = rt::begin(|_| {
            let ns = self.raw()?;
            // SAFETY: `ns` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_nvme_ns_get_optimal_io_boundary(ns.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
) -> c_int = sys::spdk_nvme_ns_cmd_read;

impl NvmeNamespace {
    /// Reads `lba_count` blocks at block `lba` into `payload`.
    ///
    /// `payload` has exactly their size; the size of a block is that of its data, and of its
    /// metadata where these are not apart. Where these are apart it is refused:
    /// [`NvmeNamespace::read_with_md`] has a buffer for them.
    ///
    /// Wraps `spdk_nvme_ns_cmd_read`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_read")]
    pub fn read<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a mut rt::DmaBuf,
        lba: u64,
        lba_count: u32,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_read", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.whole_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_read(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                0,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
) -> c_int = sys::spdk_nvme_ns_cmd_readv;

impl NvmeNamespace {
    /// Reads `lba_count` blocks at block `lba` into several buffers, filling one after the other.
    ///
    /// Together they have exactly the size of the blocks; the size of a block is that of its data,
    /// and of its metadata where these are not apart. Where these are apart it is refused:
    /// [`NvmeNamespace::readv_with_md`] has a buffer for them.
    ///
    /// Wraps `spdk_nvme_ns_cmd_readv`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_readv")]
    pub fn readv<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a mut [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_readv", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.whole_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `bufs` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_readv(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                0,
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::fill(bufs)?)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    u16,
    u16,
) -> c_int = sys::spdk_nvme_ns_cmd_read_with_md;

impl NvmeNamespace {
    /// Reads `lba_count` blocks at block `lba` into `payload`.
    ///
    /// `payload` has exactly the size of the data. `metadata` has exactly the metadata of these
    /// blocks, [`NvmeNamespace::md_size`] bytes each. Only a namespace that keeps metadata apart
    /// from the data has such a buffer.
    ///
    /// `io_flags` are bits of [`NvmeIoFlags`]. `apptag_mask` and `apptag` say which bits of the
    /// application tag are checked, and for what.
    ///
    /// Wraps `spdk_nvme_ns_cmd_read_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_read_with_md")]
    pub fn read_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a mut rt::DmaBuf,
        metadata: &'a mut rt::DmaBuf,
        lba: u64,
        lba_count: u32,
        io_flags: u32,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_read_with_md", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_flags(io_flags)?;
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            rt::check_len(
                metadata.len() as u64,
                u64::from(lba_count),
                self.md_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `payload` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_read_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                metadata.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                io_flags,
                                apptag_mask,
                                apptag,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend_mut()?,
                        metadata.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
    *mut c_void,
    u16,
    u16,
) -> c_int = sys::spdk_nvme_ns_cmd_readv_with_md;

impl NvmeNamespace {
    /// Reads `lba_count` blocks at block `lba` into several buffers, filling one after the other.
    ///
    /// Together they have exactly the size of the data. `metadata` has exactly the metadata of
    /// these blocks, [`NvmeNamespace::md_size`] bytes each. Only a namespace that keeps metadata
    /// apart from the data has such a buffer.
    ///
    /// `io_flags` are bits of [`NvmeIoFlags`]. `apptag_mask` and `apptag` say which bits of the
    /// application tag are checked, and for what.
    ///
    /// Wraps `spdk_nvme_ns_cmd_readv_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_readv_with_md")]
    pub fn readv_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a mut [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
        io_flags: u32,
        metadata: &'a mut rt::DmaBuf,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_readv_with_md", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_flags(io_flags)?;
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            rt::check_len(
                metadata.len() as u64,
                u64::from(lba_count),
                self.md_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `bufs` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_readv_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                io_flags,
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                                metadata.as_ptr(),
                                apptag_mask,
                                apptag,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::fill(bufs)?)?,
                        metadata.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    *mut sys::spdk_nvme_ns_cmd_ext_io_opts,
) -> c_int = sys::spdk_nvme_ns_cmd_read_ext;

impl NvmeNamespace {
    /// Reads `lba_count` blocks at block `lba` into `payload`.
    ///
    /// `payload` has exactly their size; the size of a block is that of its data, and of its
    /// metadata where these are not apart. `metadata` is the metadata of these blocks,
    /// [`NvmeNamespace::md_size`] bytes each: a namespace that keeps metadata apart from the data
    /// needs it, and no other one has such a buffer.
    ///
    /// Wraps `spdk_nvme_ns_cmd_read_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_read_ext")]
    pub fn read_ext<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a mut rt::DmaBuf,
        lba: u64,
        lba_count: u32,
        opts: &'a NvmeExtIoOpts,
        metadata: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_read_ext", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_opts(opts)?;
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            if let Some(metadata) = &metadata {
                rt::check_len(
                    metadata.len() as u64,
                    u64::from(lba_count),
                    self.md_size_of()?,
                )?;
            }
            if metadata.is_none() {
                self.no_md_of(opts)?;
            }
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `payload`, `opts` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload, opts, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_read_ext(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                {
                                    opts.metadata = metadata
                                        .as_ref()
                                        .map_or(ptr::null_mut(), rt::Loan::as_ptr);
                                    ptr::from_mut(opts)
                                },
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend_mut()?,
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
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
    *mut sys::spdk_nvme_ns_cmd_ext_io_opts,
) -> c_int = sys::spdk_nvme_ns_cmd_readv_ext;

impl NvmeNamespace {
    /// Reads `lba_count` blocks at block `lba` into several buffers, filling one after the other.
    ///
    /// Together they have exactly the size of the blocks; the size of a block is that of its data,
    /// and of its metadata where these are not apart. `metadata` is the metadata of these blocks,
    /// [`NvmeNamespace::md_size`] bytes each: a namespace that keeps metadata apart from the data
    /// needs it, and no other one has such a buffer.
    ///
    /// Wraps `spdk_nvme_ns_cmd_readv_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_readv_ext")]
    pub fn readv_ext<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a mut [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
        opts: &'a NvmeExtIoOpts,
        metadata: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_readv_ext", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_opts(opts)?;
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            if let Some(metadata) = &metadata {
                rt::check_len(
                    metadata.len() as u64,
                    u64::from(lba_count),
                    self.md_size_of()?,
                )?;
            }
            if metadata.is_none() {
                self.no_md_of(opts)?;
            }
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `bufs`, `opts` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs, opts, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_readv_ext(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                                {
                                    opts.metadata = metadata
                                        .as_ref()
                                        .map_or(ptr::null_mut(), rt::Loan::as_ptr);
                                    ptr::from_mut(opts)
                                },
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::fill(bufs)?)?,
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
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
) -> c_int = sys::spdk_nvme_ns_cmd_write;

impl NvmeNamespace {
    /// Writes `lba_count` blocks of `payload` at block `lba`.
    ///
    /// `payload` has exactly their size; the size of a block is that of its data, and of its
    /// metadata where these are not apart. Where these are apart it is refused:
    /// [`NvmeNamespace::write_with_md`] has a buffer for them.
    ///
    /// Wraps `spdk_nvme_ns_cmd_write`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_write")]
    pub fn write<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a rt::DmaBuf,
        lba: u64,
        lba_count: u32,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_write", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.whole_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_write(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                0,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
) -> c_int = sys::spdk_nvme_ns_cmd_writev;

impl NvmeNamespace {
    /// Writes `lba_count` blocks at block `lba` from several buffers, one after the other.
    ///
    /// Together they have exactly the size of the blocks; the size of a block is that of its data,
    /// and of its metadata where these are not apart. Where these are apart it is refused:
    /// [`NvmeNamespace::writev_with_md`] has a buffer for them.
    ///
    /// Wraps `spdk_nvme_ns_cmd_writev`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_writev")]
    pub fn writev<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_writev", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.whole_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `bufs` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_writev(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                0,
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::drain(bufs)?)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    u16,
    u16,
) -> c_int = sys::spdk_nvme_ns_cmd_write_with_md;

impl NvmeNamespace {
    /// Writes `lba_count` blocks of `payload` at block `lba`.
    ///
    /// `payload` has exactly the size of the data. `metadata` has exactly the metadata of these
    /// blocks, [`NvmeNamespace::md_size`] bytes each. Only a namespace that keeps metadata apart
    /// from the data has such a buffer.
    ///
    /// `io_flags` are bits of [`NvmeIoFlags`]. `apptag_mask` and `apptag` say which bits of the
    /// application tag are checked, and for what.
    ///
    /// Wraps `spdk_nvme_ns_cmd_write_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_write_with_md")]
    pub fn write_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a rt::DmaBuf,
        metadata: &'a rt::DmaBuf,
        lba: u64,
        lba_count: u32,
        io_flags: u32,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_write_with_md", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_flags(io_flags)?;
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            rt::check_len(
                metadata.len() as u64,
                u64::from(lba_count),
                self.md_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `payload` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_write_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                metadata.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                io_flags,
                                apptag_mask,
                                apptag,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend()?,
                        metadata.lend()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
    *mut c_void,
    u16,
    u16,
) -> c_int = sys::spdk_nvme_ns_cmd_writev_with_md;

impl NvmeNamespace {
    /// Writes `lba_count` blocks at block `lba` from several buffers, one after the other.
    ///
    /// Together they have exactly the size of the data. `metadata` has exactly the metadata of
    /// these blocks, [`NvmeNamespace::md_size`] bytes each. Only a namespace that keeps metadata
    /// apart from the data has such a buffer.
    ///
    /// `io_flags` are bits of [`NvmeIoFlags`]. `apptag_mask` and `apptag` say which bits of the
    /// application tag are checked, and for what.
    ///
    /// Wraps `spdk_nvme_ns_cmd_writev_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_writev_with_md")]
    pub fn writev_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
        io_flags: u32,
        metadata: &'a rt::DmaBuf,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_writev_with_md", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_flags(io_flags)?;
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            rt::check_len(
                metadata.len() as u64,
                u64::from(lba_count),
                self.md_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `bufs` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_writev_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                io_flags,
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                                metadata.as_ptr(),
                                apptag_mask,
                                apptag,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::drain(bufs)?)?,
                        metadata.lend()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    *mut sys::spdk_nvme_ns_cmd_ext_io_opts,
) -> c_int = sys::spdk_nvme_ns_cmd_write_ext;

impl NvmeNamespace {
    /// Writes `lba_count` blocks of `payload` at block `lba`.
    ///
    /// `payload` has exactly their size; the size of a block is that of its data, and of its
    /// metadata where these are not apart. `metadata` is the metadata of these blocks,
    /// [`NvmeNamespace::md_size`] bytes each: a namespace that keeps metadata apart from the data
    /// needs it, and no other one has such a buffer.
    ///
    /// Wraps `spdk_nvme_ns_cmd_write_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_write_ext")]
    pub fn write_ext<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a rt::DmaBuf,
        lba: u64,
        lba_count: u32,
        opts: &'a NvmeExtIoOpts,
        metadata: Option<&'a rt::DmaBuf>,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_write_ext", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_opts(opts)?;
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            if let Some(metadata) = &metadata {
                rt::check_len(
                    metadata.len() as u64,
                    u64::from(lba_count),
                    self.md_size_of()?,
                )?;
            }
            if metadata.is_none() {
                self.no_md_of(opts)?;
            }
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `payload`, `opts` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload, opts, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_write_ext(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                {
                                    opts.metadata = metadata
                                        .as_ref()
                                        .map_or(ptr::null_mut(), rt::Loan::as_ptr);
                                    ptr::from_mut(opts)
                                },
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend()?,
                        opts.to_c(),
                        metadata.map(rt::DmaBuf::lend).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
    *mut sys::spdk_nvme_ns_cmd_ext_io_opts,
) -> c_int = sys::spdk_nvme_ns_cmd_writev_ext;

impl NvmeNamespace {
    /// Writes `lba_count` blocks at block `lba` from several buffers, one after the other.
    ///
    /// Together they have exactly the size of the blocks; the size of a block is that of its data,
    /// and of its metadata where these are not apart. `metadata` is the metadata of these blocks,
    /// [`NvmeNamespace::md_size`] bytes each: a namespace that keeps metadata apart from the data
    /// needs it, and no other one has such a buffer.
    ///
    /// Wraps `spdk_nvme_ns_cmd_writev_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_writev_ext")]
    pub fn writev_ext<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
        opts: &'a NvmeExtIoOpts,
        metadata: Option<&'a rt::DmaBuf>,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_writev_ext", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_opts(opts)?;
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            if let Some(metadata) = &metadata {
                rt::check_len(
                    metadata.len() as u64,
                    u64::from(lba_count),
                    self.md_size_of()?,
                )?;
            }
            if metadata.is_none() {
                self.no_md_of(opts)?;
            }
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `bufs`, `opts` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs, opts, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_writev_ext(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                                {
                                    opts.metadata = metadata
                                        .as_ref()
                                        .map_or(ptr::null_mut(), rt::Loan::as_ptr);
                                    ptr::from_mut(opts)
                                },
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::drain(bufs)?)?,
                        opts.to_c(),
                        metadata.map(rt::DmaBuf::lend).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
) -> c_int = sys::spdk_nvme_ns_cmd_compare;

impl NvmeNamespace {
    /// Compares `lba_count` blocks at block `lba` with `payload`. A difference is an error whose
    /// status is [`NvmeStatus::is_compare_failure`](crate::NvmeStatus::is_compare_failure).
    ///
    /// `payload` has exactly their size; the size of a block is that of its data, and of its
    /// metadata where these are not apart. Where these are apart it is refused:
    /// [`NvmeNamespace::compare_with_md`] has a buffer for them.
    ///
    /// Wraps `spdk_nvme_ns_cmd_compare`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_compare")]
    pub fn compare<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a rt::DmaBuf,
        lba: u64,
        lba_count: u32,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_compare", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.whole_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_compare(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                0,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
) -> c_int = sys::spdk_nvme_ns_cmd_comparev;

impl NvmeNamespace {
    /// Compares `lba_count` blocks at block `lba` with several buffers, one after the other. A
    /// difference is an error whose status is
    /// [`NvmeStatus::is_compare_failure`](crate::NvmeStatus::is_compare_failure).
    ///
    /// Together they have exactly the size of the blocks; the size of a block is that of its data,
    /// and of its metadata where these are not apart. Where these are apart it is refused:
    /// [`NvmeNamespace::comparev_with_md`] has a buffer for them.
    ///
    /// Wraps `spdk_nvme_ns_cmd_comparev`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_comparev")]
    pub fn comparev<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_comparev", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.whole_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `bufs` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_comparev(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                0,
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::drain(bufs)?)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    u16,
    u16,
) -> c_int = sys::spdk_nvme_ns_cmd_compare_with_md;

impl NvmeNamespace {
    /// Compares `lba_count` blocks at block `lba` with `payload`. A difference is an error whose
    /// status is [`NvmeStatus::is_compare_failure`](crate::NvmeStatus::is_compare_failure).
    ///
    /// `payload` has exactly the size of the data. `metadata` has exactly the metadata of these
    /// blocks, [`NvmeNamespace::md_size`] bytes each. Only a namespace that keeps metadata apart
    /// from the data has such a buffer.
    ///
    /// `io_flags` are bits of [`NvmeIoFlags`]. `apptag_mask` and `apptag` say which bits of the
    /// application tag are checked, and for what.
    ///
    /// Wraps `spdk_nvme_ns_cmd_compare_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_compare_with_md")]
    pub fn compare_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a rt::DmaBuf,
        metadata: &'a rt::DmaBuf,
        lba: u64,
        lba_count: u32,
        io_flags: u32,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_compare_with_md", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_flags(io_flags)?;
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            rt::check_len(
                metadata.len() as u64,
                u64::from(lba_count),
                self.md_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `payload` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_compare_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                metadata.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                io_flags,
                                apptag_mask,
                                apptag,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend()?,
                        metadata.lend()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
    *mut c_void,
    u16,
    u16,
) -> c_int = sys::spdk_nvme_ns_cmd_comparev_with_md;

impl NvmeNamespace {
    /// Compares `lba_count` blocks at block `lba` with several buffers, one after the other. A
    /// difference is an error whose status is
    /// [`NvmeStatus::is_compare_failure`](crate::NvmeStatus::is_compare_failure).
    ///
    /// Together they have exactly the size of the data. `metadata` has exactly the metadata of
    /// these blocks, [`NvmeNamespace::md_size`] bytes each. Only a namespace that keeps metadata
    /// apart from the data has such a buffer.
    ///
    /// `io_flags` are bits of [`NvmeIoFlags`]. `apptag_mask` and `apptag` say which bits of the
    /// application tag are checked, and for what.
    ///
    /// Wraps `spdk_nvme_ns_cmd_comparev_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than SPDK can split into the requests of a queue pair.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_comparev_with_md")]
    pub fn comparev_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
        io_flags: u32,
        metadata: &'a rt::DmaBuf,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_comparev_with_md", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.can_count(lba, lba_count)?;
            self.takes_flags(io_flags)?;
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            rt::check_len(
                metadata.len() as u64,
                u64::from(lba_count),
                self.md_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `bufs` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_comparev_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                io_flags,
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                                metadata.as_ptr(),
                                apptag_mask,
                                apptag,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::drain(bufs)?)?,
                        metadata.lend()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
) -> c_int = sys::spdk_nvme_ns_cmd_write_zeroes;

impl NvmeNamespace {
    /// Makes `lba_count` blocks at block `lba` zero, without a buffer.
    ///
    /// `io_flags` are bits of [`NvmeIoFlags`].
    ///
    /// Wraps `spdk_nvme_ns_cmd_write_zeroes`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `lba_count` is 0, or more than 65,536, or a bit of `io_flags` is none.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_write_zeroes")]
    pub fn write_zeroes<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        lba: u64,
        lba_count: u32,
        io_flags: u32,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_write_zeroes", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.takes_flags(io_flags)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_write_zeroes(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                io_flags,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
) -> c_int = sys::spdk_nvme_ns_cmd_verify;

impl NvmeNamespace {
    /// Has the controller verify `lba_count` blocks at block `lba`: that they can be read, and
    /// their protection information.
    ///
    /// `io_flags` are bits of [`NvmeIoFlags`].
    ///
    /// Wraps `spdk_nvme_ns_cmd_verify`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `lba_count` is 0, or more than 65,536, or a bit of `io_flags` is none.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_verify")]
    pub fn verify<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        lba: u64,
        lba_count: u32,
        io_flags: u32,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_verify", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.takes_flags(io_flags)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_verify(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                io_flags,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_write_uncorrectable;

impl NvmeNamespace {
    /// Makes `lba_count` blocks at block `lba` fail to read, until they are written.
    ///
    /// Wraps `spdk_nvme_ns_cmd_write_uncorrectable`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `lba_count` is 0, or more than 65,536.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_write_uncorrectable")]
    pub fn write_uncorrectable<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        lba: u64,
        lba_count: u32,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_write_uncorrectable", self)
                .blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_write_uncorrectable(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_flush;

impl NvmeNamespace {
    /// Makes what was written to the namespace durable.
    ///
    /// Wraps `spdk_nvme_ns_cmd_flush`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_flush")]
    pub fn flush<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_ns_cmd_flush", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_flush(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u32,
    *const sys::spdk_nvme_dsm_range,
    u16,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_dataset_management;

impl NvmeNamespace {
    /// Tells the controller how ranges of blocks are used: `type_` are bits of
    /// [`DsmAttributes`](crate::nvme::DsmAttributes). With
    /// [`DEALLOCATE`](crate::nvme::DsmAttributes::DEALLOCATE) their data are not needed any more.
    ///
    /// Wraps `spdk_nvme_ns_cmd_dataset_management`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there is no range, or there are more than 256.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_dataset_management")]
    pub fn dataset_management<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        type_: u32,
        ranges: &'a [crate::nvme::DsmRange],
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_ns_cmd_dataset_management", self);
        let start = move |caller: rt::Caller<'_>| {
            let num_ranges = u16::try_from(ranges.len())
                .map_err(|_| rt::Fault::invalid("`ranges` is too long for the call"))?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `ranges` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, ranges), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_dataset_management(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                type_,
                                ranges.as_ptr(),
                                num_ranges,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        ranges.iter().map(|one| one.to_c()).collect::<Vec<_>>(),
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *const sys::spdk_nvme_scc_source_range,
    u16,
    u64,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_copy;

impl NvmeNamespace {
    /// Copies ranges of blocks inside the namespace, one after the other, to block `dest_lba` and
    /// those behind it. More than 256 ranges are refused before C sees them, which would cut off
    /// their number.
    ///
    /// Wraps `spdk_nvme_ns_cmd_copy`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there is no range.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_copy")]
    pub fn copy<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        ranges: &'a [crate::nvme::CopyRange],
        dest_lba: u64,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_ns_cmd_copy", self);
        let start = move |caller: rt::Caller<'_>| {
            let num_ranges = u16::try_from(ranges.len())
                .map_err(|_| rt::Fault::invalid("`ranges` is too long for the call"))?;
            if num_ranges > 256 {
                return Err(rt::Fault::invalid("`ranges` is too long for the call"));
            }
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `ranges` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, ranges), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_copy(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                ranges.as_ptr(),
                                num_ranges,
                                dest_lba,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        ranges.iter().map(|one| one.to_c()).collect::<Vec<_>>(),
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut sys::spdk_nvme_reservation_register_data,
    bool,
    sys::spdk_nvme_reservation_register_action,
    sys::spdk_nvme_reservation_register_cptpl,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_reservation_register;

impl NvmeNamespace {
    /// Registers this host for reservations of the namespace, or changes or ends that.
    ///
    /// With `ignore_key` the current key is not compared.
    ///
    /// Wraps `spdk_nvme_ns_cmd_reservation_register`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_reservation_register")]
    pub fn reservation_register<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a crate::nvme::RegisterKeys,
        ignore_key: bool,
        action: RegisterAction,
        cptpl: PersistThroughPowerLoss,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_ns_cmd_reservation_register", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_reservation_register(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                ptr::from_mut(payload),
                                ignore_key,
                                action.to_c(),
                                cptpl.to_c(),
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.to_c(),
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut sys::spdk_nvme_reservation_acquire_data,
    bool,
    sys::spdk_nvme_reservation_acquire_action,
    sys::spdk_nvme_reservation_type,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_reservation_acquire;

impl NvmeNamespace {
    /// Reserves the namespace for this host, or takes a reservation over.
    ///
    /// With `ignore_key` the current key is not compared.
    ///
    /// Wraps `spdk_nvme_ns_cmd_reservation_acquire`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_reservation_acquire")]
    pub fn reservation_acquire<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a crate::nvme::AcquireKeys,
        ignore_key: bool,
        action: AcquireAction,
        type_: ReservationType,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_ns_cmd_reservation_acquire", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_reservation_acquire(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                ptr::from_mut(payload),
                                ignore_key,
                                action.to_c(),
                                type_.to_c(),
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.to_c(),
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut sys::spdk_nvme_reservation_key_data,
    bool,
    sys::spdk_nvme_reservation_release_action,
    sys::spdk_nvme_reservation_type,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_reservation_release;

impl NvmeNamespace {
    /// Gives a reservation of the namespace up, or clears all of them.
    ///
    /// With `ignore_key` the current key is not compared.
    ///
    /// Wraps `spdk_nvme_ns_cmd_reservation_release`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_reservation_release")]
    pub fn reservation_release<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a crate::nvme::ReleaseKey,
        ignore_key: bool,
        action: ReleaseAction,
        type_: ReservationType,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_ns_cmd_reservation_release", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_reservation_release(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                ptr::from_mut(payload),
                                ignore_key,
                                action.to_c(),
                                type_.to_c(),
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.to_c(),
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_reservation_report;

impl NvmeNamespace {
    /// Reads the reservations of the namespace into `payload`, as the specification lays them out.
    /// Its size is a multiple of 4 bytes; what does not fit is left out.
    ///
    /// Wraps `spdk_nvme_ns_cmd_reservation_report`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_reservation_report")]
    pub fn reservation_report<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a mut rt::DmaBuf,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let len = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ns_cmd_reservation_report", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, len as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_reservation_report(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                len,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    u32,
    u8,
    u16,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_io_mgmt_recv;

impl NvmeNamespace {
    /// Reads what the I/O management operation `mo`, with `mos`, has to tell into `payload`. Its
    /// size is a multiple of 4 bytes.
    ///
    /// Wraps `spdk_nvme_ns_cmd_io_mgmt_recv`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_io_mgmt_recv")]
    pub fn io_mgmt_recv<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a mut rt::DmaBuf,
        mo: u8,
        mos: u16,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let len = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ns_cmd_io_mgmt_recv", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, len as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_io_mgmt_recv(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                len,
                                mo,
                                mos,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}
