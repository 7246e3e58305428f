// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Zones of block devices. Wrappers of `spdk/bdev_zone.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use crate::__private::{self as rt, Subject as _, sys};
use crate::IoChannel;
use crate::bdev::Bdev;
use super::bdev::BdevDesc;

/// A kind of zone.
///
/// The C enum is `spdk_bdev_zone_type`.
#[doc(alias = "spdk_bdev_zone_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZoneType {
    /// It is written anywhere.
    #[doc(alias = "SPDK_BDEV_ZONE_TYPE_CNV")]
    Conventional,
    /// It has to be written from its start to its end.
    #[doc(alias = "SPDK_BDEV_ZONE_TYPE_SEQWR")]
    SequentialRequired,
    /// It should be written from its start to its end.
    #[doc(alias = "SPDK_BDEV_ZONE_TYPE_SEQWP")]
    SequentialPreferred,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_ZONE_TYPE_CNV.0 == 1);
    assert!(sys::SPDK_BDEV_ZONE_TYPE_SEQWR.0 == 2);
    assert!(sys::SPDK_BDEV_ZONE_TYPE_SEQWP.0 == 3);
};

impl ZoneType {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Conventional,
            2 => Self::SequentialRequired,
            3 => Self::SequentialPreferred,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Conventional => 1,
            Self::SequentialRequired => 2,
            Self::SequentialPreferred => 3,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_bdev_zone_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_bdev_zone_type {
        sys::spdk_bdev_zone_type(self.to_raw())
    }
}

/// What is done to a zone.
///
/// The C enum is `spdk_bdev_zone_action`.
#[doc(alias = "spdk_bdev_zone_action")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZoneAction {
    /// It is not being written any more.
    #[doc(alias = "SPDK_BDEV_ZONE_CLOSE")]
    Close,
    /// It counts as full.
    #[doc(alias = "SPDK_BDEV_ZONE_FINISH")]
    Finish,
    /// It is going to be written.
    #[doc(alias = "SPDK_BDEV_ZONE_OPEN")]
    Open,
    /// It is empty again.
    #[doc(alias = "SPDK_BDEV_ZONE_RESET")]
    Reset,
    /// It is not used any more.
    #[doc(alias = "SPDK_BDEV_ZONE_OFFLINE")]
    Offline,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_ZONE_CLOSE.0 == 0);
    assert!(sys::SPDK_BDEV_ZONE_FINISH.0 == 1);
    assert!(sys::SPDK_BDEV_ZONE_OPEN.0 == 2);
    assert!(sys::SPDK_BDEV_ZONE_RESET.0 == 3);
    assert!(sys::SPDK_BDEV_ZONE_OFFLINE.0 == 4);
};

impl ZoneAction {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Close,
            1 => Self::Finish,
            2 => Self::Open,
            3 => Self::Reset,
            4 => Self::Offline,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Close => 0,
            Self::Finish => 1,
            Self::Open => 2,
            Self::Reset => 3,
            Self::Offline => 4,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_bdev_zone_action) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_bdev_zone_action {
        sys::spdk_bdev_zone_action(self.to_raw())
    }
}

/// What a zone is ready for.
///
/// The C enum is `spdk_bdev_zone_state`.
#[doc(alias = "spdk_bdev_zone_state")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZoneState {
    /// Nothing is written.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_EMPTY")]
    Empty,
    /// It is open because it was written.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_IMP_OPEN")]
    ImplicitlyOpen,
    /// Nothing more can be written.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_FULL")]
    Full,
    /// Some of it is written, and it is not open.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_CLOSED")]
    Closed,
    /// It can only be read.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_READ_ONLY")]
    ReadOnly,
    /// It can neither be read nor written.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_OFFLINE")]
    Offline,
    /// It was opened.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_EXP_OPEN")]
    ExplicitlyOpen,
    /// It is written anywhere.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_NOT_WP")]
    NoWritePointer,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_ZONE_STATE_EMPTY.0 == 0);
    assert!(sys::SPDK_BDEV_ZONE_STATE_IMP_OPEN.0 == 1);
    assert!(sys::SPDK_BDEV_ZONE_STATE_FULL.0 == 2);
    assert!(sys::SPDK_BDEV_ZONE_STATE_CLOSED.0 == 3);
    assert!(sys::SPDK_BDEV_ZONE_STATE_READ_ONLY.0 == 4);
    assert!(sys::SPDK_BDEV_ZONE_STATE_OFFLINE.0 == 5);
    assert!(sys::SPDK_BDEV_ZONE_STATE_EXP_OPEN.0 == 6);
    assert!(sys::SPDK_BDEV_ZONE_STATE_NOT_WP.0 == 7);
};

impl ZoneState {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Empty,
            1 => Self::ImplicitlyOpen,
            2 => Self::Full,
            3 => Self::Closed,
            4 => Self::ReadOnly,
            5 => Self::Offline,
            6 => Self::ExplicitlyOpen,
            7 => Self::NoWritePointer,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::ImplicitlyOpen => 1,
            Self::Full => 2,
            Self::Closed => 3,
            Self::ReadOnly => 4,
            Self::Offline => 5,
            Self::ExplicitlyOpen => 6,
            Self::NoWritePointer => 7,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_bdev_zone_state) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_bdev_zone_state {
        sys::spdk_bdev_zone_state(self.to_raw())
    }
}

/// A zone of a device.
///
/// The C struct is `spdk_bdev_zone_info`.
#[doc(alias = "spdk_bdev_zone_info")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneInfo {
    /// Its first block, which names it.
    ///
    /// The C field is `zone_id`.
    pub zone_id: u64,
    /// The block that is written next.
    ///
    /// The C field is `write_pointer`.
    pub write_pointer: u64,
    /// How many blocks can be written.
    ///
    /// The C field is `capacity`.
    pub capacity: u64,
    /// What it is ready for.
    ///
    /// The C field is `state`.
    pub state: ZoneState,
    /// How it is written.
    ///
    /// The C field is `type_`.
    pub zone_type: ZoneType,
}

impl ZoneInfo {
    /// What C fills.
    #[allow(dead_code, reason = "not every struct is filled by a call here")]
    pub(crate) fn zero() -> sys::spdk_bdev_zone_info {
        // SAFETY: zeroes are a value of every field: numbers, and pointers that may be null.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }

    #[allow(dead_code, reason = "not every struct is filled by a call here")]
    pub(crate) fn from_c(raw: &sys::spdk_bdev_zone_info) -> Self {
        Self {
            zone_id: raw.zone_id,
            write_pointer: raw.write_pointer,
            capacity: raw.capacity,
            state: ZoneState::from_c(raw.state),
            zone_type: ZoneType::from_c(raw.type_),
        }
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u64 = sys::spdk_bdev_get_zone_size;

impl Bdev {
    /// The blocks from the start of a zone to the start of the next one; 0 where there are no
    /// zones.
    ///
    /// Wraps `spdk_bdev_get_zone_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_zone_size")]
    pub fn zone_size(&self) -> rt::Result<u64> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_zone_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_zone_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u64 = sys::spdk_bdev_get_num_zones;

impl Bdev {
    /// How many zones the device has.
    ///
    /// Wraps `spdk_bdev_get_num_zones`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_num_zones")]
    pub fn num_zones(&self) -> rt::Result<u64> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_num_zones", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_num_zones(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_max_zone_append_size;

impl Bdev {
    /// The greatest number of blocks that an append writes; 0 where there is no limit.
    ///
    /// Wraps `spdk_bdev_get_max_zone_append_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_max_zone_append_size")]
    pub fn max_zone_append_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_max_zone_append_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_max_zone_append_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_max_open_zones;

impl Bdev {
    /// How many zones can be open at once; 0 where there is no limit.
    ///
    /// Wraps `spdk_bdev_get_max_open_zones`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_max_open_zones")]
    pub fn max_open_zones(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_max_open_zones", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_max_open_zones(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_max_active_zones;

impl Bdev {
    /// How many zones can be open or closed at once; 0 where there is no limit.
    ///
    /// Wraps `spdk_bdev_get_max_active_zones`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_max_active_zones")]
    pub fn max_active_zones(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_max_active_zones", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_max_active_zones(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_optimal_open_zones;

impl Bdev {
    /// How many zones should be open at once.
    ///
    /// Wraps `spdk_bdev_get_optimal_open_zones`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_optimal_open_zones")]
    pub fn optimal_open_zones(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_optimal_open_zones", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_optimal_open_zones(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    usize,
    *mut sys::spdk_bdev_zone_info,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_get_zone_info;

impl BdevDesc {
    /// Describes `num_zones` zones, from the one on that begins at block `zone_id`.
    ///
    /// A device without zones, and a `zone_id` at which no zone begins, are errors of the device.
    ///
    /// Wraps `spdk_bdev_get_zone_info`.
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
    #[doc(alias = "spdk_bdev_get_zone_info")]
    pub fn zone_info<'a>(
        &'a self,
        ch: &'a IoChannel,
        zone_id: u64,
        num_zones: usize,
    ) -> impl rt::BdevIo<Output = rt::Result<Vec<ZoneInfo>>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_get_zone_info", self).block(zone_id);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `info` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, info), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_get_zone_info(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                zone_id,
                                num_zones,
                                info.as_mut_ptr(),
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |(_, _, info), done| {
                        done?;
                        Ok(info.iter().map(ZoneInfo::from_c).collect())
                    },
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::zeroes(ZoneInfo::zero(), num_zones)?,
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
    sys::spdk_bdev_zone_action,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_zone_management;

impl BdevDesc {
    /// Opens, closes, finishes, resets or takes offline the zone that begins at block `zone_id`.
    ///
    /// SPDK does not ask whether the descriptor was opened for writing. What a zone is not ready
    /// for is an error of the device.
    ///
    /// Wraps `spdk_bdev_zone_management`.
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
    #[doc(alias = "spdk_bdev_zone_management")]
    pub fn zone_management<'a>(
        &'a self,
        ch: &'a IoChannel,
        zone_id: u64,
        action: ZoneAction,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_zone_management", self).block(zone_id);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_zone_management(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                zone_id,
                                action.to_c(),
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
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_zone_append;

impl BdevDesc {
    /// Writes `num_blocks` blocks of `buf` at the write pointer of the zone that begins at block
    /// `zone_id`.
    ///
    /// `buf` has exactly their size. Returns the block where they were written. SPDK does not ask
    /// whether the descriptor was opened for writing. More blocks than the zone has left are an
    /// error of the device.
    ///
    /// Wraps `spdk_bdev_zone_append`.
    ///
    /// # Errors
    ///
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
    #[doc(alias = "spdk_bdev_zone_append")]
    pub fn zone_append<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        zone_id: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_zone_append", self).blocks(zone_id, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then. The `spdk_bdev_io` is ours in the callback,
            // until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_zone_append(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                zone_id,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(sys::spdk_bdev_io_get_append_location(io.as_ptr()))
                    },
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
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_zone_appendv;

impl BdevDesc {
    /// Writes `num_blocks` blocks of several buffers at the write pointer of the zone that begins
    /// at block `zone_id`, one after the other.
    ///
    /// Together they have exactly the size of the blocks. Returns the block where they were
    /// written. SPDK does not ask whether the descriptor was opened for writing. More blocks than
    /// the zone has left are an error of the device.
    ///
    /// Wraps `spdk_bdev_zone_appendv`.
    ///
    /// # Errors
    ///
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
    #[doc(alias = "spdk_bdev_zone_appendv")]
    pub fn zone_appendv<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        zone_id: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_zone_appendv", self).blocks(zone_id, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(rt::total_len(bufs), num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then. The `spdk_bdev_io` is ours in the callback,
            // until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_zone_appendv(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                zone_id,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(sys::spdk_bdev_io_get_append_location(io.as_ptr()))
                    },
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
    *mut c_void,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_zone_append_with_md;

impl BdevDesc {
    /// Writes `num_blocks` blocks of `buf`, with the metadata in `md`, at the write pointer of the
    /// zone that begins at block `zone_id`.
    ///
    /// `buf` has exactly the size of the data. `md` has exactly the metadata of these blocks,
    /// [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Only a device that keeps metadata apart
    /// from the data has such a buffer; see [`Bdev::is_md_separate`](crate::Bdev::is_md_separate).
    ///
    /// Returns the block where they were written. SPDK does not ask whether the descriptor was
    /// opened for writing. More blocks than the zone has left are an error of the device.
    ///
    /// Wraps `spdk_bdev_zone_append_with_md`.
    ///
    /// # Errors
    ///
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
    #[doc(alias = "spdk_bdev_zone_append_with_md")]
    pub fn zone_append_with_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        md: &'a rt::DmaBuf,
        zone_id: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_zone_append_with_md", self)
                .blocks(zone_id, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `buf` and `md` until then. The `spdk_bdev_io` is ours in the
            // callback, until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(desc, ch, buf, md), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_zone_append_with_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                md.as_ptr(),
                                zone_id,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(sys::spdk_bdev_io_get_append_location(io.as_ptr()))
                    },
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
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_zone_appendv_with_md;

impl BdevDesc {
    /// Writes `num_blocks` blocks of several buffers, with the metadata in `md`, at the write
    /// pointer of the zone that begins at block `zone_id`.
    ///
    /// Together the buffers have exactly the size of the data. `md` has exactly the metadata of
    /// these blocks, [`Bdev::md_size`](crate::Bdev::md_size) bytes each. Only a device that keeps
    /// metadata apart from the data has such a buffer; see
    /// [`Bdev::is_md_separate`](crate::Bdev::is_md_separate).
    ///
    /// Returns the block where they were written. SPDK does not ask whether the descriptor was
    /// opened for writing. More blocks than the zone has left are an error of the device.
    ///
    /// Wraps `spdk_bdev_zone_appendv_with_md`.
    ///
    /// # Errors
    ///
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
    #[doc(alias = "spdk_bdev_zone_appendv_with_md")]
    pub fn zone_appendv_with_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        md: &'a rt::DmaBuf,
        zone_id: u64,
        num_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_bdev_zone_appendv_with_md", self)
                .blocks(zone_id, num_blocks)
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(rt::total_len(bufs), num_blocks, self.block_size_of()?)?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `iov` and `md` until then. The `spdk_bdev_io` is ours in the
            // callback, until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::BdevIoLive, _, _>(
                    move |(desc, ch, bufs, md), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_zone_appendv_with_md(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                md.as_ptr(),
                                zone_id,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, io| {
                        let io = io?;
                        Ok(sys::spdk_bdev_io_get_append_location(io.as_ptr()))
                    },
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
