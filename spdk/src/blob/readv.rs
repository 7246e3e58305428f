//! Reads into several buffers.
#![allow(unsafe_code)] // Gives SPDK the buffers, or one in their place.

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::ptr::{self, NonNull};

use super::handle::{Blob, Errnos, report};
use super::requests::{IoDone, Request, submit};
use crate::call::call;
use crate::error::{At, Result};
use crate::handle::{Hold, Subject};
use crate::iovecs::{IoVecs, check_len, total_len};
use crate::local::Caller;
use crate::op::{op, status};
use crate::panic::guard;
use crate::{DmaBuf, IoChannel, sys};

impl Blob {
    /// Reads `length` io units at io unit `offset` into several buffers, filling one after the
    /// other.
    ///
    /// Together they have exactly that size. Of a thin blob, they are filled from one that SPDK reads into: beyond the end
    /// of the parent of a larger clone, SPDK 26.01 writes zeroes behind the first of several buffers.
    ///
    /// Wraps `spdk_blob_io_readv`.
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
    #[doc(alias = "spdk_blob_io_readv")]
    pub fn readv_io_units<'a>(
        &'a self,
        channel: &'a IoChannel,
        bufs: &'a mut [DmaBuf],
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<()>> + use<'a> {
        let at = move || At::new("spdk_blob_io_readv", self).blocks(offset, length);
        let unit = self.io_unit_size();
        let start = move |caller: Caller<'_>| {
            self.ends_in_u64(offset, length)?;
            check_len(total_len(bufs), length, unit)?;
            let held = (
                self.handle().hold(caller)?,
                self.channel(channel, caller)?,
                IoVecs::fill(bufs)?,
            );
            let range = Range {
                offset,
                length,
                bytes: length as usize * unit as usize,
            };
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps the blob, the channel and the
            // buffers until then.
            Ok(unsafe {
                op::<IoDone, _, _>(
                    move |(blob, request, bufs): &mut (Hold<_>, Request, IoVecs), done, arg| {
                        let channel = request.as_ptr();
                        submit(request, done, arg, |done, arg| {
                            read(blob.as_ptr(), channel, bufs, range, done, arg);
                        })
                    },
                    |_, bserrno| status(bserrno),
                    held,
                )
            })
        };
        call(start, at)
    }
}

#[derive(Clone, Copy)]
struct Range {
    offset: u64,
    length: u64,
    bytes: usize,
}

/// # Safety
/// The blob is open, the channel one of its store and of the current spdk_thread, and the buffers have the length of the
/// range. All of it stays until the callback, which comes once.
unsafe fn read(
    blob: *mut sys::spdk_blob,
    channel: *mut sys::spdk_io_channel,
    bufs: &mut IoVecs,
    range: Range,
    done: Errnos,
    arg: *mut c_void,
) {
    let (iovs, count) = (bufs.as_ptr(), bufs.count());
    let Range {
        offset,
        length,
        bytes,
    } = range;
    // SAFETY: passed on. The flag is read as SPDK does on every spdk_thread. Each blob that has a parent is thin.
    unsafe {
        if count < 2 || !sys::spdk_blob_is_thin_provisioned(blob) {
            return sys::spdk_blob_io_readv(blob, channel, iovs, count, offset, length, done, arg);
        }
        let memory = sys::spdk_dma_malloc(bytes, ALIGN, ptr::null_mut());
        let Some(memory) = NonNull::new(memory) else {
            return report(done, arg, -libc::ENOMEM);
        };
        let copy = Box::into_raw(Box::new(Copy {
            memory,
            iovs,
            count: count as usize,
            done,
            arg,
        }));
        let (payload, copy) = (memory.as_ptr(), copy.cast());
        sys::spdk_blob_io_read(blob, channel, payload, offset, length, Some(has_read), copy);
    }
}

/// A page: what any device is content with.
pub(super) const ALIGN: usize = 4096;

/// What is read for several buffers.
struct Copy {
    memory: NonNull<c_void>,
    iovs: *mut sys::iovec,
    count: usize,
    done: Errnos,
    arg: *mut c_void,
}

unsafe extern "C" fn has_read(arg: *mut c_void, rc: c_int) {
    guard("callback of a read", || {
        // SAFETY: made by `read` for this one callback.
        let copy = unsafe { Box::from_raw(arg.cast::<Copy>()) };
        if rc == 0 {
            let mut from = copy.memory.as_ptr().cast::<u8>();
            for number in 0..copy.count {
                // SAFETY: the array and the buffers stay until `done` is called, and have the length of the memory together.
                unsafe {
                    let iov = *copy.iovs.add(number);
                    from.copy_to_nonoverlapping(iov.iov_base.cast(), iov.iov_len);
                    from = from.add(iov.iov_len);
                }
            }
        }
        // SAFETY: allocated by `read`, and SPDK has done with it.
        unsafe { sys::spdk_dma_free(copy.memory.as_ptr()) };
        report(copy.done, copy.arg, rc);
    });
}
