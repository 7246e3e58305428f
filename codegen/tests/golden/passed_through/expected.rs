// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Commands that the device executes as they are. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use core::fmt;
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
    /// Memory that is read or written, or is not there, and a promise of the caller.
    ///
    /// Wraps `spdk_bdev_nvme_io_passthru_md`.
    ///
    /// # Safety
    ///
    /// The command transfers no more than the buffers have.
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
    #[doc(alias = "spdk_bdev_nvme_io_passthru_md")]
    pub unsafe fn nvme_io_passthru_md<'a>(
        &'a self,
        ch: &'a IoChannel,
        cmd: &'a crate::nvme_cmd::NvmeCmd,
        buf: Option<&'a mut rt::DmaBuf>,
        md_buf: Option<&'a mut rt::DmaBuf>,
    ) -> impl rt::BdevIo<Output = rt::Result<()>> + use<'a> {
        let nbytes = buf.as_ref().map_or(0, |buf| buf.len());
        let md_len = md_buf.as_ref().map_or(0, |buf| buf.len());
        let at = move || rt::At::new("spdk_bdev_nvme_io_passthru_md", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `bdev_desc`, `ch`, `cmd`, `buf` and `md_buf` until then. The rest is the
            // caller's promise.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
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
                    |_, done| done,
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
