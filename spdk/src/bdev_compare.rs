//! Comparing and writing as one step.
#![allow(unsafe_code)] // Submits an I/O with what the operation keeps for it.

use crate::bdev::{BdevDesc, BdevDescObject};
use crate::bdev_io::BdevIoDone;
use crate::bdev_unlock::unlocked;
use crate::buf::DmaBuf;
use crate::call::call;
use crate::channel::{IoChannel, IoChannelObject};
use crate::error::{At, Result};
use crate::handle::{Hold, Subject};
use crate::io_id::BdevIo;
use crate::iovecs::{IoVecs, check_len, total_len};
use crate::local::Caller;
use crate::op::{bdev_rc, op};
use crate::sys;

/// What an I/O keeps for SPDK.
type Held = (Hold<BdevDescObject>, Hold<IoChannelObject>, IoVecs, IoVecs);

impl BdevDesc {
    /// Compares `num_blocks` blocks at block `offset_blocks` with `compare_iov`, and writes
    /// `write_iov` over them if they are equal, as one step.
    ///
    /// The buffers of each of the two have exactly the size of the blocks, which are at most
    /// [`Bdev::acwu`](crate::Bdev::acwu). Where the data differ, nothing is written, the error is
    /// that of a device, and its
    /// [`NvmeStatus::is_compare_failure`](crate::NvmeStatus::is_compare_failure) is true.
    ///
    /// Where the device has no command for it, SPDK reads, compares and writes, and keeps others
    /// off the blocks meanwhile. It tells a read that failed as a difference then. Not beside a large write of zeroes, or a
    /// large copy, to the same blocks: see [`QuiescedRange`](crate::bdev::QuiescedRange).
    ///
    /// Wraps `spdk_bdev_comparev_and_writev_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device, or are more than [`Bdev::acwu`](crate::Bdev::acwu).
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range, and more blocks than SPDK can compare; see [`BdevDesc::compare_blocks`].
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
    #[doc(alias = "spdk_bdev_comparev_and_writev_blocks")]
    pub fn compare_and_write_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        compare_iov: &'a [DmaBuf],
        write_iov: &'a [DmaBuf],
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl BdevIo<Output = Result<()>> + use<'a> {
        let at = move || {
            At::new("spdk_bdev_comparev_and_writev_blocks", self).blocks(offset_blocks, num_blocks)
        };
        let start = move |caller: Caller<'_>| {
            self.needs_no_metadata()?;
            self.compares(offset_blocks, num_blocks)?;
            check_len(total_len(compare_iov), num_blocks, self.block_size_of()?)?;
            check_len(total_len(write_iov), num_blocks, self.block_size_of()?)?;
            let held: Held = (
                self.handle().hold(caller)?,
                self.channel(ch, caller)?,
                IoVecs::drain(compare_iov)?,
                IoVecs::drain(write_iov)?,
            );
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps the descriptor, the channel and the two arrays with their buffers until then.
            Ok(unsafe {
                op::<BdevIoDone, _, _>(
                    move |(desc, ch, compare, write): &mut Held, done, arg| {
                        let (desc, ch) = (desc.as_ptr(), ch.as_ptr());
                        let rc = sys::spdk_bdev_comparev_and_writev_blocks(
                            desc,
                            ch,
                            compare.as_ptr(),
                            compare.count(),
                            write.as_ptr(),
                            write.count(),
                            offset_blocks,
                            num_blocks,
                            done,
                            arg,
                        );
                        bdev_rc(rc, desc, ch)
                    },
                    |(desc, ..), done| {
                        unlocked(desc);
                        done
                    },
                    held,
                )
            })
        };
        call(start, at)
    }
}
