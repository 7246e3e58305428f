// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! What is read off an operation that has ended. Wrappers of `spdk/bdev.h`.
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
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_seek_data;

impl BdevDesc {
    /// A number of a C function.
    ///
    /// Wraps `spdk_bdev_seek_data`.
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
    #[doc(alias = "spdk_bdev_seek_data")]
    pub fn seek_data<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
    ) -> impl rt::BdevIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_seek_data", self);
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
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_zone_append;

impl BdevDesc {
    /// What a function by hand makes of it.
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
    ) -> impl rt::BdevIo<Output = rt::Result<crate::zone::Place>> + use<'a> {
        let at = move || rt::At::new("spdk_bdev_zone_append", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(buf.len() as u64, num_blocks, self.block_size()?)?;
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
                        Ok(crate::zone::place(io.as_ptr()))
                    },
                    (self.handle().hold(caller)?, self.channel(ch, caller)?, buf.lend()?),
                )
            })
        };
        rt::call(start, at)
    }
}
