//! Reads and writes of a bdev with the memory of a domain.
#![allow(unsafe_code)] // Gives C what an operation keeps of its domain.

use std::ffi::{c_int, c_void};

use crate::bdev::{BdevDesc, BdevDescObject, BdevExtIoOpts};
use crate::bdev_io::BdevIoDone;
use crate::call::call;
use crate::channel::{IoChannel, IoChannelObject};
use crate::error::{At, Fault, Result};
use crate::handle::{Hold, Subject};
use crate::io_id::BdevIo;
use crate::iobuf;
use crate::iovecs::check_len;
use crate::local::Caller;
use crate::memory_domain::{DomainRange, IoVecs, MemoryDomain, Used, iovs, size_of};
use crate::op::{bdev_rc, op};
use crate::sys;

/// What an I/O keeps for SPDK.
type Held = (
    Hold<BdevDescObject>,
    Hold<IoChannelObject>,
    Used,
    IoVecs,
    sys::spdk_bdev_ext_io_opts,
);

/// A read or a write with memory of a domain.
struct Transfers<'a> {
    domain: &'a MemoryDomain,
    context: usize,
    ranges: &'a [DomainRange],
    opts: &'a BdevExtIoOpts,
}

/// `spdk_bdev_readv_blocks_ext` or `spdk_bdev_writev_blocks_ext`.
type Submit = unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
    *mut sys::spdk_bdev_ext_io_opts,
) -> c_int;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into memory of a domain, which gets them by
    /// [`DomainMemory::push`](crate::bdev::DomainMemory::push) with this `context`.
    ///
    /// Together the ranges have exactly the size of the data. They are at most a
    /// [large buffer](iobuf::Pools::large_size) of SPDK's pools, by which the data goes.
    ///
    /// Metadata in a buffer of its own cannot be given: SPDK's modules do not agree whether that is memory of
    /// the domain too.
    ///
    /// Wraps `spdk_bdev_readv_blocks_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports, or the domain did: SPDK does
    ///   not tell these apart.
    /// - Refused before C sees it: a channel of another device, ranges that are not the size of the blocks,
    ///   are empty, too large or at address 0, and a descriptor that hides metadata.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it: it keeps the domain, and still gives it what it reads.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device and of the domain too.
    #[doc(alias = "spdk_bdev_readv_blocks_ext")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they have those of the C function"
    )]
    pub fn readv_blocks_domain<'a>(
        &'a self,
        ch: &'a IoChannel,
        domain: &'a MemoryDomain,
        context: usize,
        ranges: &'a [DomainRange],
        offset_blocks: u64,
        num_blocks: u64,
        opts: &'a BdevExtIoOpts,
    ) -> impl BdevIo<Output = Result<()>> + use<'a> {
        let transfers = Transfers {
            domain,
            context,
            ranges,
            opts,
        };
        // SAFETY: it is what this function is for.
        unsafe {
            let submit = sys::spdk_bdev_readv_blocks_ext;
            let operation = "spdk_bdev_readv_blocks_ext";
            self.transfer(operation, submit, ch, transfers, offset_blocks, num_blocks)
        }
    }

    /// Writes `num_blocks` blocks at block `offset_blocks` from memory of a domain, which gives them by
    /// [`DomainMemory::pull`](crate::bdev::DomainMemory::pull) with this `context`.
    ///
    /// As for [`BdevDesc::readv_blocks_domain`] otherwise.
    ///
    /// Wraps `spdk_bdev_writev_blocks_ext`.
    ///
    /// # Errors
    ///
    /// As for [`BdevDesc::readv_blocks_domain`], and `EBADF`: the descriptor was not opened for writing.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it: it keeps the domain, and still writes what that gives.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device and of the domain too.
    #[doc(alias = "spdk_bdev_writev_blocks_ext")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they have those of the C function"
    )]
    pub fn writev_blocks_domain<'a>(
        &'a self,
        ch: &'a IoChannel,
        domain: &'a MemoryDomain,
        context: usize,
        ranges: &'a [DomainRange],
        offset_blocks: u64,
        num_blocks: u64,
        opts: &'a BdevExtIoOpts,
    ) -> impl BdevIo<Output = Result<()>> + use<'a> {
        let transfers = Transfers {
            domain,
            context,
            ranges,
            opts,
        };
        // SAFETY: it is what this function is for.
        unsafe {
            let submit = sys::spdk_bdev_writev_blocks_ext;
            let operation = "spdk_bdev_writev_blocks_ext";
            self.transfer(operation, submit, ch, transfers, offset_blocks, num_blocks)
        }
    }

    /// # Safety
    /// `submit` is one of the two functions that take such options.
    unsafe fn transfer<'a>(
        &'a self,
        operation: &'static str,
        submit: Submit,
        ch: &'a IoChannel,
        transfers: Transfers<'a>,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl BdevIo<Output = Result<()>> {
        let start = move |caller: Caller<'_>| {
            self.shows_and_needs_no_metadata()?;
            self.makes_no_metadata(transfers.opts)?;
            let iovs = transfers.iovs()?;
            check_len(size_of(&iovs), num_blocks, self.block_size_of()?)?;
            let used = transfers.domain.used(transfers.context, caller)?;
            let held: Held = (
                self.handle().hold(caller)?,
                self.channel(ch, caller)?,
                used,
                iovs,
                transfers.opts.to_c(),
            );
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // descriptor, the channel, the domain with its context, the array and the options until then.
            // No memory but these is used: the array's addresses are the domain's, which the device gets
            // by `on_pull` and `on_push` only, since the domain translates nothing.
            Ok(unsafe {
                op::<BdevIoDone, _, _>(
                    move |(desc, ch, used, iovs, opts): &mut Held, done, arg| {
                        let (desc, ch) = (desc.as_ptr(), ch.as_ptr());
                        opts.memory_domain = used.domain();
                        opts.memory_domain_ctx = used.context();
                        let count = c_int::try_from(iovs.len()).unwrap_or(c_int::MAX);
                        let iovs = iovs.as_mut_ptr();
                        let rc = submit(
                            desc,
                            ch,
                            iovs,
                            count,
                            offset_blocks,
                            num_blocks,
                            done,
                            arg,
                            opts,
                        );
                        bdev_rc(rc, desc, ch)
                    },
                    |_, done| done,
                    held,
                )
            })
        };
        call(start, move || {
            At::new(operation, self).blocks(offset_blocks, num_blocks)
        })
    }
}

impl Transfers<'_> {
    /// The ranges as SPDK takes them.
    fn iovs(&self) -> Result<IoVecs, Fault> {
        let pools = iobuf::pools()
            .map_err(|_| Fault::invalid("SPDK has no buffers by which the data could go"))?;
        let most = u64::from(pools.large_size);
        let iovs = iovs(self.ranges)?;
        let total = size_of(&iovs);
        // SPDK 26.01's accel framework does not look how large its buffers are.
        if total > most {
            return Err(Fault::invalid(format!(
                "{total} bytes of a memory domain go by a buffer of SPDK's, which has {most}"
            )));
        }
        Ok(iovs)
    }
}
