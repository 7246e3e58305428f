//! Unmaps.
#![allow(unsafe_code)] // Calls the C function, and reads a flag of the blob.

use std::future::Future;
use std::ptr::NonNull;

use super::handle::Blob;
use super::requests::{IoDone, Request, submit_in_turn};
use crate::call::call;
use crate::error::{At, Result};
use crate::handle::{Hold, Subject};
use crate::local::Caller;
use crate::op::{op, status};
use crate::{IoChannel, sys};

impl Blob {
    /// Tells the device that `length` io units at io unit `offset` are not needed any more. What is
    /// read there afterwards is not said.
    ///
    /// A thin blob gives up the clusters that lie in it whole. Such an unmap begins when nothing else is in flight on the
    /// channel, and what comes after waits for its end: SPDK 26.01 writes what is left of two blobs from the same memory
    /// of the channel, and when the store is loaded again, one has the clusters of the other.
    ///
    /// Wraps `spdk_blob_io_unmap`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the blob.
    /// - `EPERM`: the blob is read-only.
    /// - `ENOMEM`: there is no memory, or SPDK has not enough requests for it even with nothing
    ///   else in flight on the channel.
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
    #[doc(alias = "spdk_blob_io_unmap")]
    pub fn unmap_io_units<'a>(
        &'a self,
        channel: &'a IoChannel,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<()>> + use<'a> {
        let at = move || At::new("spdk_blob_io_unmap", self).blocks(offset, length);
        let start = move |caller: Caller<'_>| {
            self.ends_in_u64(offset, length)?;
            let c_blob = self.handle().get(caller)?;
            let held = (self.handle().hold(caller)?, self.channel(channel, caller)?);
            // SAFETY: the blob is open.
            if unsafe { gives_up(c_blob, self.units_per_cluster(), offset, length) } {
                held.1.be_alone();
            }
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps the blob and the channel until
            // then.
            Ok(unsafe {
                op::<IoDone, _, _>(
                    move |(blob, request): &mut (Hold<_>, Request), done, arg| {
                        let (blob, channel) = (blob.as_ptr(), request.as_ptr());
                        submit_in_turn(request, done, arg, |done, arg| {
                            sys::spdk_blob_io_unmap(blob, channel, offset, length, done, arg);
                        })
                    },
                    |_, bserrno| status(bserrno),
                    held,
                )
            })
        };
        call(start, at)
    }

    pub(super) fn units_per_cluster(&self) -> u64 {
        self.store().cluster_size() / u64::from(self.io_unit_size()).max(1)
    }
}

/// Whether a blob may give clusters up by an unmap, which has to be alone on its channel then.
///
/// SPDK has one page for each channel in which it puts down the clusters that a blob has left, and does not wait until that
/// was written before it uses it for the next one.
///
/// # Safety
/// The blob is open.
#[inline]
pub(super) unsafe fn gives_up(
    blob: NonNull<sys::spdk_blob>,
    units_per_cluster: u64,
    offset: u64,
    length: u64,
) -> bool {
    let whole = offset.checked_next_multiple_of(units_per_cluster);
    length >= units_per_cluster
        && whole.is_some_and(|whole| whole - offset <= length - units_per_cluster)
        // SAFETY: passed on. The flag is read as SPDK does on every spdk_thread.
        && unsafe { sys::spdk_blob_is_thin_provisioned(blob.as_ptr()) }
}
