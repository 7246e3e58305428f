// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Blobs. Wrappers of `spdk/blob.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use crate::__private::{self as rt, Subject as _, sys};
use crate::IoChannel;
use crate::blob::Blobstore;
use crate::blob::Blob;

rt::assert_send!(Blobstore);

rt::assert_sync!(Blobstore);

rt::assert_not_send_sync!(Blob);

/// What becomes of the clusters that a blob gives up.
///
/// The C enum is `blob_clear_method`.
#[doc(alias = "blob_clear_method")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlobClearMethod {
    /// As the blob was made; unmaps if nothing was said then.
    #[doc(alias = "BLOB_CLEAR_WITH_DEFAULT")]
    Default,
    /// They keep what is in them.
    #[doc(alias = "BLOB_CLEAR_WITH_NONE")]
    None,
    /// The device is told that they are not needed any more.
    #[doc(alias = "BLOB_CLEAR_WITH_UNMAP")]
    Unmap,
    /// Zeroes are written to them.
    #[doc(alias = "BLOB_CLEAR_WITH_WRITE_ZEROES")]
    WriteZeroes,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::BLOB_CLEAR_WITH_DEFAULT.0 == 0);
    assert!(sys::BLOB_CLEAR_WITH_NONE.0 == 1);
    assert!(sys::BLOB_CLEAR_WITH_UNMAP.0 == 2);
    assert!(sys::BLOB_CLEAR_WITH_WRITE_ZEROES.0 == 3);
};

impl BlobClearMethod {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Default,
            1 => Self::None,
            2 => Self::Unmap,
            3 => Self::WriteZeroes,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Default => 0,
            Self::None => 1,
            Self::Unmap => 2,
            Self::WriteZeroes => 3,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::blob_clear_method) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::blob_clear_method {
        sys::blob_clear_method(self.to_raw())
    }
}

/// What becomes of a device that a blobstore is made on.
///
/// The C enum is `bs_clear_method`.
#[doc(alias = "bs_clear_method")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BsClearMethod {
    /// The device is told that nothing on it is needed any more.
    #[doc(alias = "BS_CLEAR_WITH_UNMAP")]
    Unmap,
    /// Zeroes are written to all of it.
    #[doc(alias = "BS_CLEAR_WITH_WRITE_ZEROES")]
    WriteZeroes,
    /// It keeps what is on it, but for the metadata.
    #[doc(alias = "BS_CLEAR_WITH_NONE")]
    None,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::BS_CLEAR_WITH_UNMAP.0 == 0);
    assert!(sys::BS_CLEAR_WITH_WRITE_ZEROES.0 == 1);
    assert!(sys::BS_CLEAR_WITH_NONE.0 == 2);
};

impl BsClearMethod {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Unmap,
            1 => Self::WriteZeroes,
            2 => Self::None,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Unmap => 0,
            Self::WriteZeroes => 1,
            Self::None => 2,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::bs_clear_method) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::bs_clear_method {
        sys::bs_clear_method(self.to_raw())
    }
}

/// How a blob is opened.
///
/// The C struct is `spdk_blob_open_opts`.
#[doc(alias = "spdk_blob_open_opts")]
#[derive(Clone)]
pub struct BlobOpenOpts(sys::spdk_blob_open_opts);

const _: unsafe extern "C" fn(*mut sys::spdk_blob_open_opts, usize) = sys::spdk_blob_open_opts_init;

impl BlobOpenOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_blob_open_opts>::zeroed();
        // SAFETY: `spdk_blob_open_opts_init` writes at most the size that it is given. Zeroes are a
        // valid value of every field.
        Self(unsafe {
            sys::spdk_blob_open_opts_init(
                raw.as_mut_ptr(),
                size_of::<sys::spdk_blob_open_opts>() as _,
            );
            raw.assume_init()
        })
    }

    /// What becomes of the clusters that the blob gives up while it is open.
    ///
    /// The C field is `clear_method`.
    #[must_use]
    pub fn clear_method(mut self, value: BlobClearMethod) -> Self {
        self.0.clear_method = value.to_c();
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_blob_open_opts {
        self.0
    }
}

impl fmt::Debug for BlobOpenOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobOpenOpts").finish_non_exhaustive()
    }
}

impl Default for BlobOpenOpts {
    fn default() -> Self {
        Self::new()
    }
}

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

const _: unsafe extern "C" fn(
    *mut sys::spdk_blob,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_blob_op_complete,
    *mut c_void,
) = sys::spdk_blob_io_write;

impl Blob {
    /// Writes `length` io units of `payload` at io unit `offset`.
    ///
    /// `payload` has exactly their size. An io unit has
    /// [`Blob::io_unit_size`](crate::blob::Blob::io_unit_size) bytes;
    /// [`Blob::write`](crate::blob::Blob::write) counts bytes.
    ///
    /// Wraps `spdk_blob_io_write`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the blob.
    /// - `EPERM`: the blob is read-only.
    /// - `ENOMEM`: there is no memory, or SPDK has not enough requests for it even with nothing
    ///   else in flight on the channel.
    /// - `ENOSPC`: the blob is thin, and no cluster is free.
    /// - `EIO`: the device failed it.
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
    #[doc(alias = "spdk_blob_io_write")]
    pub fn write_io_units<'a>(
        &'a self,
        channel: &'a IoChannel,
        payload: &'a rt::DmaBuf,
        offset: u64,
        length: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_blob_io_write", self).blocks(offset, length);
        let start = move |caller: rt::Caller<'_>| {
            self.ends_in_u64(offset, length)?;
            rt::check_len(payload.len() as u64, length, self.io_unit_size_of()?)?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `blob`,
            // `channel` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::blob::IoDone, _, _>(
                    move |(blob, channel, payload), done, arg| {
                        rt::blob::submit(
                            channel,
                            done,
                            arg,
                            |done, arg| sys::spdk_blob_io_write(
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
                        payload.lend()?,
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
    *mut c_void,
    u64,
    u64,
    sys::spdk_blob_op_complete,
    *mut c_void,
) = sys::spdk_blob_io_read;

impl Blob {
    /// Reads `length` io units at io unit `offset` into `payload`.
    ///
    /// `payload` has exactly their size. An io unit has
    /// [`Blob::io_unit_size`](crate::blob::Blob::io_unit_size) bytes;
    /// [`Blob::read`](crate::blob::Blob::read) counts bytes.
    ///
    /// Wraps `spdk_blob_io_read`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the blob.
    /// - `ENOMEM`: there is no memory, or SPDK has not enough requests for it even with nothing
    ///   else in flight on the channel.
    /// - `EIO`: the device failed it.
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
    pub fn read_io_units<'a>(
        &'a self,
        channel: &'a IoChannel,
        payload: &'a mut rt::DmaBuf,
        offset: u64,
        length: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_blob_io_read", self).blocks(offset, length);
        let start = move |caller: rt::Caller<'_>| {
            self.ends_in_u64(offset, length)?;
            rt::check_len(payload.len() as u64, length, self.io_unit_size_of()?)?;
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
    /// Writes `length` io units of several buffers, one after the other, at io unit `offset`.
    ///
    /// Together they have exactly that size.
    ///
    /// Wraps `spdk_blob_io_writev`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the blob.
    /// - `EPERM`: the blob is read-only.
    /// - `ENOMEM`: there is no memory, or SPDK has not enough requests for it even with nothing
    ///   else in flight on the channel.
    /// - `ENOSPC`: the blob is thin, and no cluster is free.
    /// - `EIO`: the device failed it.
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
    pub fn writev_io_units<'a>(
        &'a self,
        channel: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        offset: u64,
        length: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_blob_io_writev", self).blocks(offset, length);
        let start = move |caller: rt::Caller<'_>| {
            self.ends_in_u64(offset, length)?;
            rt::check_len(rt::total_len(bufs), length, self.io_unit_size_of()?)?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `blob`,
            // `channel` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::blob::IoDone, _, _>(
                    move |(blob, channel, bufs), done, arg| {
                        rt::blob::submit(
                            channel,
                            done,
                            arg,
                            |done, arg| sys::spdk_blob_io_writev(
                                blob.as_ptr(),
                                channel.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
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
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_blob_op_complete,
    *mut c_void,
) = sys::spdk_blob_io_write_zeroes;

impl Blob {
    /// Writes zeroes to `length` io units at io unit `offset`.
    ///
    /// Wraps `spdk_blob_io_write_zeroes`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the blob.
    /// - `EPERM`: the blob is read-only.
    /// - `ENOMEM`: there is no memory, or SPDK has not enough requests for it even with nothing
    ///   else in flight on the channel.
    /// - `ENOSPC`: the blob is thin, and no cluster is free.
    /// - `EIO`: the device failed it.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel.
    #[doc(alias = "spdk_blob_io_write_zeroes")]
    pub fn write_zeroes_io_units<'a>(
        &'a self,
        channel: &'a IoChannel,
        offset: u64,
        length: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_blob_io_write_zeroes", self).blocks(offset, length)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.ends_in_u64(offset, length)?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `blob`
            // and `channel` until then.
            Ok(unsafe {
                rt::op::<rt::blob::IoDone, _, _>(
                    move |(blob, channel), done, arg| {
                        rt::blob::submit(
                            channel,
                            done,
                            arg,
                            |done, arg| sys::spdk_blob_io_write_zeroes(
                                blob.as_ptr(),
                                channel.as_ptr(),
                                offset,
                                length,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, bserrno| rt::status(bserrno),
                    (self.handle().hold(caller)?, self.channel(channel, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}
