// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::ptr::NonNull;
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
    /// Reads.
    ///
    /// Wraps `spdk_bdev_read`.
    ///
    /// # Errors
    ///
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
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_blocks_with_md;

impl BdevDesc {
    /// Writes data and metadata.
    ///
    /// Wraps `spdk_bdev_write_blocks_with_md`.
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
            rt::check_len(buf.len() as u64, num_blocks, self.block_size()?)?;
            rt::check_len(md.len() as u64, num_blocks, self.md_size()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch`, `buf` and `md` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf, md), done, arg| {
                        rt::Submitted::rc(
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
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend()?,
                        md.lend()?,
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
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_reset;

/// Resets, as a free function.
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
    desc: &'a BdevDesc,
    ch: &'a IoChannel,
) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
    let at = move || rt::At::new("spdk_bdev_reset", desc);
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
                (desc.handle().hold(caller)?, desc.channel(ch, caller)?),
            )
        })
    };
    rt::call(start, at)
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
    /// Resets the NVM subsystem.
    ///
    /// Wraps `spdk_bdev_nvme_nssr`, which SPDK has since 25.09.
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
