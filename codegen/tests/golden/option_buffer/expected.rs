// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Options with a buffer in them. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use crate::__private::{self as rt, Subject as _, sys};
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

rt::assert_not_send_sync!(IoChannel);

#[cfg(spdk_since_24_09)]
/// A struct that not every SPDK has.
///
/// The C struct is `spdk_bdev_ext_io_opts`.
#[doc(alias = "spdk_bdev_ext_io_opts")]
#[derive(Clone)]
pub struct BdevExtIoOpts(sys::spdk_bdev_ext_io_opts);

#[cfg(spdk_since_24_09)]
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

    /// A number.
    ///
    /// The C field is `dif_check_flags_exclude_mask`.
    #[must_use]
    pub fn dif_check_flags_exclude_mask(mut self, value: u32) -> Self {
        self.0.dif_check_flags_exclude_mask = value;
        self
    }

    /// A member of a union.
    ///
    /// The C field is `nvme_cdw12`.
    #[must_use]
    pub fn nvme_cdw12(mut self, value: u32) -> Self {
        self.0.nvme_cdw12 = sys::spdk_bdev_nvme_cdw12 {
            raw: value,
        };
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_bdev_ext_io_opts {
        self.0
    }
}

#[cfg(spdk_since_24_09)]
impl fmt::Debug for BdevExtIoOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BdevExtIoOpts").finish_non_exhaustive()
    }
}

#[cfg(spdk_since_24_09)]
impl Default for BdevExtIoOpts {
    fn default() -> Self {
        Self::new()
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
    /// C writes to it.
    ///
    /// Wraps `spdk_bdev_readv_blocks_ext`.
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
        let at = move || rt::At::new("spdk_bdev_readv_blocks_ext", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(rt::total_len(bufs), num_blocks, self.block_size()?)?;
            if let Some(metadata) = &metadata {
                rt::check_len(metadata.len() as u64, num_blocks, self.md_size()?)?;
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
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
    *mut sys::spdk_bdev_ext_io_opts,
) -> c_int = sys::spdk_bdev_writev_blocks_ext;

impl BdevDesc {
    /// C reads it, unless a method refuses; another one may refuse a call without metadata.
    ///
    /// Wraps `spdk_bdev_writev_blocks_ext`.
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
        let at = move || rt::At::new("spdk_bdev_writev_blocks_ext", self);
        let start = move |caller: rt::Caller<'_>| {
            self.is_ready()?;
            rt::check_len(rt::total_len(bufs), num_blocks, self.block_size()?)?;
            if let Some(metadata) = &metadata {
                rt::check_len(metadata.len() as u64, num_blocks, self.md_size()?)?;
            }
            if metadata.is_none() {
                self.no_md(opts)?;
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
                        rt::IoVecs::drain(bufs)?,
                        opts.to_c(),
                        metadata.map(rt::DmaBuf::lend).transpose()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}
