// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Structs that C fills. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use core::ptr::NonNull;
use crate::__private::{self as rt, Subject as _, sys};
use crate::bdev::Bdev;
use crate::channel::IoChannel;

/// An open bdev.
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
    type Extra = ();
    const NAME: &'static str = "BdevDesc";
    unsafe fn release(ptr: NonNull<Self::C>, _extra: &Self::Extra) {
        // SAFETY: the core calls this once, on the home thread, with nothing in flight;
        // `spdk_bdev_close` takes the object and nothing else.
        unsafe { sys::spdk_bdev_close(ptr.as_ptr()) }
    }
}

impl rt::Subject for BdevDesc {
    type O = BdevDescObject;
    fn handle(&self) -> &rt::Handle<BdevDescObject> {
        &self.0
    }
}

impl rt::Describe for BdevDesc {
    fn describe(&self) -> String {
        "BdevDesc".to_owned()
    }
}

impl fmt::Debug for BdevDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rt::Describe::describe(self))
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
        extra: (),
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(BdevDesc(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(BdevDesc);

rt::assert_not_send_sync!(Bdev);

rt::assert_not_send_sync!(IoChannel);

/// A state.
///
/// The C enum is `spdk_bdev_zone_state`.
#[doc(alias = "spdk_bdev_zone_state")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZoneState {
    /// Nothing is written.
    #[doc(alias = "SPDK_BDEV_ZONE_STATE_EMPTY")]
    Empty,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_ZONE_STATE_EMPTY.0 == 0);
};

impl ZoneState {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Empty,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Empty => 0,
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

/// A zone.
///
/// The C struct is `spdk_bdev_zone_info`.
#[doc(alias = "spdk_bdev_zone_info")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneInfo {
    /// A number under another name.
    ///
    /// The C field is `zone_id`.
    pub id: u64,
    /// A field that not every SPDK has.
    ///
    /// The C field is `capacity`.
    #[cfg(spdk_since_24_09)]
    pub capacity: u64,
    /// An enum.
    ///
    /// The C field is `state`.
    pub state: ZoneState,
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
            id: raw.zone_id,
            #[cfg(spdk_since_24_09)]
            capacity: raw.capacity,
            state: ZoneState::from_c(raw.state),
        }
    }
}

/// Some blocks.
///
/// The C struct is `spdk_bdev_media_event`.
#[doc(alias = "spdk_bdev_media_event")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaEvent {
    /// A number.
    ///
    /// The C field is `offset`.
    pub offset: u64,
    /// Another.
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

/// What a call that returns at once fills.
///
/// The C struct is `spdk_iobuf_opts`.
#[doc(alias = "spdk_iobuf_opts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IobufOpts {
    /// A number.
    ///
    /// The C field is `small_pool_count`.
    pub small_pool_count: u64,
}

impl IobufOpts {
    /// What C fills.
    #[allow(dead_code, reason = "not every struct is filled by a call here")]
    pub(crate) fn zero() -> sys::spdk_iobuf_opts {
        // SAFETY: zeroes are a value of every field: numbers, and pointers that may be null.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }

    #[allow(dead_code, reason = "not every struct is filled by a call here")]
    pub(crate) fn from_c(raw: &sys::spdk_iobuf_opts) -> Self {
        Self {
            small_pool_count: raw.small_pool_count,
        }
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
    /// An array of them.
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
        let at = move || rt::At::new("spdk_bdev_get_zone_info", self);
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

const _: unsafe extern "C" fn(*mut sys::spdk_iobuf_opts, usize) = sys::spdk_iobuf_get_opts;

/// One of them, from a call that returns at once.
///
/// Wraps `spdk_iobuf_get_opts`.
///
/// # Thread
///
/// Any thread, also one without an spdk_thread.
#[doc(alias = "spdk_iobuf_get_opts")]
pub fn iobuf_opts(opts_size: usize) -> rt::Result<IobufOpts> {
    let at = move |fault: rt::Fault| fault.at(rt::At::free("spdk_iobuf_get_opts"));
    let result = rt::begin(|_| {
        let mut opts = IobufOpts::zero();
        // SAFETY: `opts` may be used now and here; C keeps nothing after the call.
        unsafe { sys::spdk_iobuf_get_opts(&raw mut opts, opts_size) };
        Ok(IobufOpts::from_c(&opts))
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
/// Takes an array of texts.
///
/// Wraps `spdk_for_each_bdev_by_name`, which SPDK has since 26.01.
///
/// # Errors
///
/// - Refused before C sees it: text with a NUL inside.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_for_each_bdev_by_name")]
pub fn for_each_by_name<F: FnMut(crate::bdev::BdevInfo) -> ControlFlow<()>>(
    names: &[&str],
    mut each: F,
) -> rt::Result<()> {
    unsafe extern "C" fn on_each<F: FnMut(crate::bdev::BdevInfo) -> ControlFlow<()>>(
        ctx: *mut c_void,
        bdev: *mut sys::spdk_bdev,
    ) -> c_int {
        // SAFETY: `ctx` is the closure of the call that C is in.
        let flow = unsafe { rt::each::<F, _>(ctx, || crate::bdev::info(bdev)) };
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
    *mut sys::spdk_bdev,
    sys::spdk_bdev_histogram_status_cb,
    *mut c_void,
    bool,
) = sys::spdk_bdev_histogram_enable;

impl Bdev {
    /// An operation on an object that a method holds.
    ///
    /// Wraps `spdk_bdev_histogram_enable`.
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
