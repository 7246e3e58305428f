//! I/O on blobs with memory that only its owner can reach.
#![allow(unsafe_code)] // Gives C the address of an operation's memory.

use std::ffi::{c_int, c_void};
use std::future::Future;

use super::handle::Blob;
use super::readv::ALIGN;
use crate::bdev::{DomainRange, MemoryDomain};
use crate::call::call;
use crate::error::{At, Fault, Result};
use crate::iovecs::check_len;
use crate::local::{Caller, begin};
use crate::mem::Loan;
use crate::memory_domain::{IoVecs, Used, iovs, size_of};
use crate::op::{Callback, Complete, Submitted, complete, op, status};
use crate::{DmaBuf, IoChannel, sys};

impl Blob {
    /// Reads `length` io units at io unit `offset` into memory of a domain, which gets them by
    /// [`DomainMemory::push`](crate::bdev::DomainMemory::push) with this `context`, once and whole.
    ///
    /// Together the ranges have exactly that size. The data goes by a buffer of DMA memory, which is allocated for it: a
    /// domain of this crate copies on any device.
    ///
    /// It does what `spdk_blob_io_readv_ext` is for, without it. SPDK 26.01 forgets the domain of an I/O that waits for
    /// a snapshot or a resize, and takes the addresses of the domain for memory of the process then; as it does beyond
    /// the end of the parent of a clone that is larger. Here the data is read by `spdk_blob_io_read`, and then given to
    /// the domain by `spdk_memory_domain_push_data`.
    ///
    /// # Errors
    ///
    /// - As for [`Blob::read_io_units`], before the domain hears of it.
    /// - [`ErrorKind::NoDmaMemory`](crate::ErrorKind::NoDmaMemory): there is none for the buffer.
    /// - Another errno: the one that the domain has failed it with, or `EIO` if it has dropped the
    ///   [`Push`](crate::bdev::Push).
    /// - Refused before C sees it: a channel of another store, ranges that are not the size of the io units, are empty or
    ///   at address 0.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped while the blob is read has the domain get
    /// nothing; one that is dropped later does not stop the domain, and keeps it and the buffer until that has ended.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the domain too.
    #[doc(alias = "spdk_blob_io_readv_ext")]
    #[doc(alias = "spdk_memory_domain_push_data")]
    pub async fn readv_io_units_domain(
        &self,
        channel: &IoChannel,
        domain: &MemoryDomain,
        context: usize,
        ranges: &[DomainRange],
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let operation = "spdk_blob_io_readv_ext";
        let mut buf = self.buffer(operation, channel, domain, ranges, offset, length)?;
        self.read_io_units(channel, &mut buf, offset, length)
            .await?;
        let copy = Copy {
            operation: "spdk_memory_domain_push_data",
            transfer: sys::spdk_memory_domain_push_data,
            domain,
            context,
            ranges,
        };
        // SAFETY: the domain reads the buffer.
        unsafe { copy.run(|| buf.lend()) }.await
    }

    /// Writes `length` io units at io unit `offset` from memory of a domain, which gives them by
    /// [`DomainMemory::pull`](crate::bdev::DomainMemory::pull) with this `context`, once and whole.
    ///
    /// As for [`Blob::readv_io_units_domain`] otherwise: the data is taken from the domain by
    /// `spdk_memory_domain_pull_data`, and then written by `spdk_blob_io_write`.
    ///
    /// # Errors
    ///
    /// - As for [`Blob::write_io_units`], after the domain has given the data.
    /// - [`ErrorKind::NoDmaMemory`](crate::ErrorKind::NoDmaMemory): there is none for the buffer.
    /// - Another errno: the one that the domain has failed it with, or `EIO` if it has dropped the
    ///   [`Pull`](crate::bdev::Pull). Nothing is written then.
    /// - Refused before C sees it: as for [`Blob::readv_io_units_domain`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped while the domain gives the data does not stop the
    /// domain, and nothing is written; one that is dropped later does not stop the write.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the domain too.
    #[doc(alias = "spdk_blob_io_writev_ext")]
    #[doc(alias = "spdk_memory_domain_pull_data")]
    pub async fn writev_io_units_domain(
        &self,
        channel: &IoChannel,
        domain: &MemoryDomain,
        context: usize,
        ranges: &[DomainRange],
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let operation = "spdk_blob_io_writev_ext";
        let mut buf = self.buffer(operation, channel, domain, ranges, offset, length)?;
        let copy = Copy {
            operation: "spdk_memory_domain_pull_data",
            transfer: sys::spdk_memory_domain_pull_data,
            domain,
            context,
            ranges,
        };
        // SAFETY: the domain fills the buffer.
        unsafe { copy.run(|| buf.lend_mut()) }.await?;
        self.write_io_units(channel, &buf, offset, length).await
    }

    /// What the data goes by, if all of this fits together: neither the device nor the domain is asked for what the other
    /// one could not have.
    fn buffer(
        &self,
        operation: &'static str,
        channel: &IoChannel,
        domain: &MemoryDomain,
        ranges: &[DomainRange],
        offset: u64,
        length: u64,
    ) -> Result<DmaBuf> {
        let at = || At::new(operation, self).blocks(offset, length);
        let size = begin(|caller| {
            self.ends_in_u64(offset, length)?;
            let size = size_of(&iovs(ranges)?);
            check_len(size, length, self.io_unit_size())?;
            self.channel(channel, caller)?;
            domain.used(0, caller)?;
            Ok(size)
        });
        let size = size.map_err(|fault| fault.at(at()))?;
        DmaBuf::alloc(usize::try_from(size).unwrap_or(usize::MAX), ALIGN)
    }
}

/// `spdk_memory_domain_pull_data` or `spdk_memory_domain_push_data`.
type Transfer = unsafe extern "C" fn(
    *mut sys::spdk_memory_domain,
    *mut c_void,
    *mut sys::iovec,
    u32,
    *mut sys::iovec,
    u32,
    sys::spdk_memory_domain_data_cpl_cb,
    *mut c_void,
) -> c_int;

/// What moves data between a domain and a buffer.
struct Copy<'a> {
    operation: &'static str,
    transfer: Transfer,
    domain: &'a MemoryDomain,
    context: usize,
    ranges: &'a [DomainRange],
}

impl<'a> Copy<'a> {
    /// # Safety
    /// What `lend` lends may be used as `transfer` does.
    unsafe fn run(
        self,
        lend: impl FnOnce() -> Result<Loan, Fault> + 'a,
    ) -> impl Future<Output = Result<()>> {
        let (operation, domain) = (self.operation, self.domain);
        let start = move |caller: Caller<'_>| {
            let held = (
                domain.used(self.context, caller)?,
                iovs(self.ranges)?,
                lend()?,
            );
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the domain with
            // its context, and the memory, until then. Both arrays are used inside the call only: the domain is
            // one of this crate's.
            Ok(unsafe {
                op::<Copied, _, _>(
                    move |(used, iovs, loan): &mut (Used, IoVecs, Loan), done, arg| {
                        let mut local = sys::iovec {
                            iov_base: loan.as_ptr(),
                            iov_len: loan.len() as _,
                        };
                        let count = u32::try_from(iovs.len()).unwrap_or(u32::MAX);
                        Submitted::rc((self.transfer)(
                            used.domain(),
                            used.context(),
                            iovs.as_mut_ptr(),
                            count,
                            &mut local,
                            1,
                            done,
                            arg,
                        ))
                    },
                    |_, rc| status(rc),
                    held,
                )
            })
        };
        call(start, move || At::new(operation, domain))
    }
}

/// `spdk_memory_domain_data_cpl_cb`.
enum Copied {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl Callback for Copied {
    type Fn = sys::spdk_memory_domain_data_cpl_cb;
    type Raw = c_int;

    fn of<K: Complete<c_int>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<c_int>>(arg: *mut c_void, rc: c_int) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { complete::<K, _>(arg, rc) }
        }
        Some(on_done::<K>)
    }
}
