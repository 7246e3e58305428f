// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Blobs. Wrappers of `spdk/blob.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int, c_void};
use core::fmt;
use core::ptr::NonNull;
use crate::__private::{self as rt, Subject as _, sys};
use crate::channel::IoChannel;

/// A blobstore.
///
/// It belongs to the spdk_thread that it was made on; elsewhere its methods return
/// `ErrorKind::WrongThread`. Dropping it frees nothing: `unload` and `destroy` do.
///
/// The C struct is `spdk_blob_store`.
#[doc(alias = "spdk_blob_store")]
pub struct Blobstore(rt::Handle<BlobstoreObject>);

/// The C object of a [`Blobstore`].
#[doc(hidden)]
pub enum BlobstoreObject {}

// SAFETY: there is nothing to free: `unload` and `destroy` do.
unsafe impl rt::Object for BlobstoreObject {
    type C = sys::spdk_blob_store;
    type Extra = ();
    const NAME: &'static str = "Blobstore";
    unsafe fn release(_ptr: NonNull<Self::C>, _extra: &Self::Extra) {}
}

impl rt::Subject for Blobstore {
    type O = BlobstoreObject;
    fn handle(&self) -> &rt::Handle<BlobstoreObject> {
        &self.0
    }
}

impl rt::Describe for Blobstore {
    fn describe(&self) -> String {
        "Blobstore".to_owned()
    }
}

impl fmt::Debug for Blobstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rt::Describe::describe(self))
    }
}

impl Blobstore {
    /// Takes over what a C function returned; NULL is an error.
    ///
    /// # Safety
    ///
    /// `ptr` is NULL, or a live object that nobody else frees.
    #[allow(dead_code, reason = "not every handle has a call that produces it here")]
    pub(crate) unsafe fn from_c(
        ptr: *mut sys::spdk_blob_store,
        extra: (),
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(Blobstore(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(Blobstore);

/// An open blob.
///
/// It belongs to the spdk_thread that it was made on; elsewhere its methods return
/// `ErrorKind::WrongThread`. Dropping it frees nothing: `close` does.
///
/// The C struct is `spdk_blob`.
#[doc(alias = "spdk_blob")]
pub struct Blob(rt::Handle<BlobObject>);

/// The C object of a [`Blob`].
#[doc(hidden)]
pub enum BlobObject {}

// SAFETY: there is nothing to free: `close` does.
unsafe impl rt::Object for BlobObject {
    type C = sys::spdk_blob;
    type Extra = rt::Kept<<Blobstore as rt::Subject>::O>;
    const NAME: &'static str = "Blob";
    unsafe fn release(_ptr: NonNull<Self::C>, extra: &Self::Extra) {
        extra.let_go();
    }
}

impl rt::Subject for Blob {
    type O = BlobObject;
    fn handle(&self) -> &rt::Handle<BlobObject> {
        &self.0
    }
}

impl rt::Describe for Blob {
    fn describe(&self) -> String {
        "Blob".to_owned()
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rt::Describe::describe(self))
    }
}

impl Blob {
    /// Takes over what a C function returned; NULL is an error.
    ///
    /// # Safety
    ///
    /// `ptr` is NULL, or a live object that nobody else frees.
    #[allow(dead_code, reason = "not every handle has a call that produces it here")]
    pub(crate) unsafe fn from_c(
        ptr: *mut sys::spdk_blob,
        extra: rt::Kept<<Blobstore as rt::Subject>::O>,
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(Blob(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(Blob);

rt::assert_not_send_sync!(IoChannel);

/// What `spdk_bs_op_complete` reports.
#[doc(hidden)]
pub enum BsOpComplete {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BsOpComplete {
    type Fn = sys::spdk_bs_op_complete;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
            cb_arg: *mut c_void,
            bserrno: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, bserrno) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(0)
    }
}

/// What `spdk_blob_op_complete` reports.
#[doc(hidden)]
pub enum BlobOpComplete {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BlobOpComplete {
    type Fn = sys::spdk_blob_op_complete;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
            cb_arg: *mut c_void,
            bserrno: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, bserrno) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(0)
    }
}

/// What `spdk_blob_op_with_id_complete` reports.
#[doc(hidden)]
pub enum BlobOpWithIdComplete {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BlobOpWithIdComplete {
    type Fn = sys::spdk_blob_op_with_id_complete;
    type Raw = (u64, c_int);
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<(u64, c_int)>>(
            cb_arg: *mut c_void,
            blobid: sys::spdk_blob_id,
            bserrno: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, (blobid, bserrno)) }
        }
        Some(call::<K>)
    }
}

/// What `spdk_blob_op_with_handle_complete` reports.
#[doc(hidden)]
pub enum BlobOpWithHandleComplete {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BlobOpWithHandleComplete {
    type Fn = sys::spdk_blob_op_with_handle_complete;
    type Raw = (*mut sys::spdk_blob, c_int);
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<(*mut sys::spdk_blob, c_int)>>(
            cb_arg: *mut c_void,
            blb: *mut sys::spdk_blob,
            bserrno: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, (blb, bserrno)) }
        }
        Some(call::<K>)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_blob_store,
    sys::spdk_blob_id,
    sys::spdk_bs_op_complete,
    *mut c_void,
) = sys::spdk_bs_set_super;

impl Blobstore {
    /// Makes a blob the one that the blobstore begins with.
    ///
    /// Wraps `spdk_bs_set_super`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The metadata thread of the blobstore: the one that loaded it.
    #[doc(alias = "spdk_bs_set_super")]
    pub fn set_super<'a>(
        &'a self,
        blobid: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_bs_set_super", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `bs`
            // until then.
            Ok(unsafe {
                rt::op::<BsOpComplete, _, _>(
                    move |(bs,), done, arg| {
                        sys::spdk_bs_set_super(bs.as_ptr(), blobid, done, arg);
                        rt::Submitted::Pending
                    },
                    |_, bserrno| rt::status(bserrno),
                    (self.handle().hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_blob_store,
    sys::spdk_blob_op_with_id_complete,
    *mut c_void,
) = sys::spdk_bs_create_blob;

impl Blobstore {
    /// Makes a blob and tells its id.
    ///
    /// Wraps `spdk_bs_create_blob`.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: no cluster is free.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The metadata thread of the blobstore: the one that loaded it.
    #[doc(alias = "spdk_bs_create_blob")]
    pub fn create_blob<'a>(
        &'a self,
    ) -> impl rt::Future<Output = rt::Result<u64>> + use<'a> {
        let at = move || rt::At::new("spdk_bs_create_blob", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `bs`
            // until then.
            Ok(unsafe {
                rt::op::<BlobOpWithIdComplete, _, _>(
                    move |(bs,), done, arg| {
                        sys::spdk_bs_create_blob(bs.as_ptr(), done, arg);
                        rt::Submitted::Pending
                    },
                    |_, (blobid, bserrno)| {
                        rt::status(bserrno)?;
                        Ok(blobid)
                    },
                    (self.handle().hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_blob_store,
    sys::spdk_blob_id,
    sys::spdk_blob_op_with_handle_complete,
    *mut c_void,
) = sys::spdk_bs_open_blob;

impl Blobstore {
    /// Opens a blob.
    ///
    /// Wraps `spdk_bs_open_blob`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: there is no such blob.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it. What it produces is released then.
    ///
    /// # Thread
    ///
    /// The metadata thread of the blobstore: the one that loaded it.
    #[doc(alias = "spdk_bs_open_blob")]
    pub fn open_blob<'a>(
        &'a self,
        blobid: u64,
    ) -> impl rt::Future<Output = rt::Result<Blob>> + use<'a> {
        let at = move || rt::At::new("spdk_bs_open_blob", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `bs`
            // until then. A handle that it reports with status 0 is ours.
            Ok(unsafe {
                rt::op::<BlobOpWithHandleComplete, _, _>(
                    move |(bs,), done, arg| {
                        sys::spdk_bs_open_blob(bs.as_ptr(), blobid, done, arg);
                        rt::Submitted::Pending
                    },
                    |(bs,), (blb, bserrno)| {
                        rt::status(bserrno)?;
                        Blob::from_c(blb, rt::Kept::new(bs.clone()))
                    },
                    (self.handle().hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_blob,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_blob_op_complete,
    *mut c_void,
) = sys::spdk_blob_io_read;

impl Blob {
    /// Reads `length` io units at `offset`.
    ///
    /// Wraps `spdk_blob_io_read`.
    ///
    /// # Errors
    ///
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
    /// The spdk_thread of the channel.
    #[doc(alias = "spdk_blob_io_read")]
    pub fn read<'a>(
        &'a self,
        channel: &'a IoChannel,
        payload: &'a mut rt::DmaBuf,
        offset: u64,
        length: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_blob_io_read", self).blocks(offset, length);
        let start = move |caller: rt::Caller<'_>| {
            self.ends_in_u64(offset, length)?;
            self.begins_inside(offset)?;
            rt::check_len(payload.len() as u64, length, self.io_unit_size()?)?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `blob`,
            // `channel` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::blob::IoDone, _, _>(
                    move |(blob, channel, payload), done, arg| {
                        rt::blob::submit(
                            channel,
                            done,
                            arg,
                            |done, arg| sys::spdk_blob_io_read(
                                blob.as_ptr(),
                                channel.as_ptr(),
                                payload.as_ptr(),
                                offset,
                                length,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, bserrno| rt::status(bserrno),
                    (
                        self.handle().hold(caller)?,
                        self.channel(channel, caller)?,
                        payload.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_blob,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_blob_op_complete,
    *mut c_void,
) = sys::spdk_blob_io_writev;

impl Blob {
    /// Writes `length` io units at `offset`.
    ///
    /// Wraps `spdk_blob_io_writev`.
    ///
    /// # Errors
    ///
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
    /// The spdk_thread of the channel.
    #[doc(alias = "spdk_blob_io_writev")]
    pub fn writev<'a>(
        &'a self,
        channel: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        offset: u64,
        length: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_blob_io_writev", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(rt::total_len(bufs), length, self.io_unit_size()?)?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `blob`,
            // `channel` and `iov` until then.
            Ok(unsafe {
                rt::op::<BlobOpComplete, _, _>(
                    move |(blob, channel, bufs), done, arg| {
                        sys::spdk_blob_io_writev(
                            blob.as_ptr(),
                            channel.as_ptr(),
                            bufs.as_ptr(),
                            bufs.count(),
                            offset,
                            length,
                            done,
                            arg,
                        );
                        rt::Submitted::Pending
                    },
                    |_, bserrno| rt::status(bserrno),
                    (
                        self.handle().hold(caller)?,
                        self.channel(channel, caller)?,
                        rt::IoVecs::drain(bufs)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_blob,
    *const c_char,
    *const c_void,
    u16,
) -> c_int = sys::spdk_blob_set_xattr;

impl Blob {
    /// Gives an attribute a value.
    ///
    /// Wraps `spdk_blob_set_xattr`.
    ///
    /// # Errors
    ///
    /// - Refused before C sees it: text with a NUL inside.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_blob_set_xattr")]
    pub fn set_xattr(&self, name: &str, value: &[u8]) -> rt::Result<()> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_blob_set_xattr", self))
        };
        let result = rt::begin(|caller| {
            let value_len = u16::try_from(value.len())
                .map_err(|_| rt::Fault::invalid("`value` is too long for the call"))?;
            let blob = self.handle().get(caller)?;
            let name = rt::cstring(name, "name")?;
            // SAFETY: `blob`, `name` and `value` may be used now and here; C keeps nothing after
            // the call.
            let rc = unsafe {
                sys::spdk_blob_set_xattr(
                    blob.as_ptr(),
                    name.as_ptr(),
                    value.as_ptr().cast(),
                    value_len,
                )
            };
            rt::status(rc)
        });
        result.map_err(at)
    }
}
