//! The iovec array of a vectored operation, with the memory that it names.

use std::ffi::c_int;

use smallvec::SmallVec;

use crate::bdev::hides_metadata;
use crate::buf::{DmaBuf, Drain};
use crate::error::Fault;
use crate::mem::Loan;
use crate::sys;

/// How many buffers fit before the array needs an allocation.
const INLINE: usize = 8;

/// An iovec array and the loans of its buffers. SPDK keeps a pointer to the *array* until the
/// operation ends, so it lives in the operation beside the memory.
#[doc(hidden)]
pub struct IoVecs {
    iovs: SmallVec<[sys::iovec; INLINE]>,
    _loans: SmallVec<[Loan; INLINE]>,
    count: c_int,
    bytes: u64,
}

impl IoVecs {
    /// Buffers that SPDK writes into.
    pub fn fill(bufs: &mut [DmaBuf]) -> Result<Self, Fault> {
        Self::new(bufs.iter_mut().map(DmaBuf::lend_mut))
    }

    /// Buffers that SPDK reads from.
    pub fn drain(bufs: &[DmaBuf]) -> Result<Self, Fault> {
        Self::new(bufs.iter().map(DmaBuf::lend))
    }

    /// Buffers that SPDK reads from, and may change.
    pub fn drain_to(bufs: &[DmaBuf], drain: Drain) -> Result<Self, Fault> {
        Self::new(bufs.iter().map(|buf| buf.lend_to(drain)))
    }

    fn new(loans: impl Iterator<Item = Result<Loan, Fault>>) -> Result<Self, Fault> {
        let loans: SmallVec<[Loan; INLINE]> = loans.collect::<Result<_, _>>()?;
        if loans.is_empty() {
            return Err(Fault::invalid("a vectored operation needs a buffer"));
        }
        let count = c_int::try_from(loans.len())
            .map_err(|_| Fault::invalid(format!("{} buffers are too many", loans.len())))?;
        let iovs: SmallVec<[sys::iovec; INLINE]> = loans
            .iter()
            .map(|loan| sys::iovec {
                iov_base: loan.as_ptr(),
                iov_len: loan.len() as _,
            })
            .collect();
        let bytes = loans.iter().map(|loan| loan.len() as u64).sum();
        Ok(IoVecs {
            iovs,
            _loans: loans,
            count,
            bytes,
        })
    }

    /// The array. The pointer is valid while `self` stays where it is.
    pub fn as_ptr(&mut self) -> *mut sys::iovec {
        self.iovs.as_mut_ptr()
    }

    /// The same, to be read.
    #[cfg(feature = "nvme")]
    pub(crate) fn as_slice(&self) -> &[sys::iovec] {
        &self.iovs
    }

    /// How many buffers.
    pub fn count(&self) -> c_int {
        self.count
    }

    /// How many bytes in all.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> u64 {
        self.bytes
    }
}

/// Refuses a buffer whose length is not that of the blocks asked for.
#[inline]
pub fn check_len(have: u64, blocks: u64, block_size: u32) -> Result<(), Fault> {
    if blocks.checked_mul(u64::from(block_size)) == Some(have) {
        Ok(())
    } else {
        Err(wrong_len(have, blocks, block_size))
    }
}

#[cold]
fn wrong_len(have: u64, blocks: u64, block_size: u32) -> Fault {
    if block_size == 0 {
        return hides_metadata();
    }
    Fault::invalid(match blocks.checked_mul(u64::from(block_size)) {
        Some(want) if block_size == 1 => {
            format!("the buffer holds {have} bytes, but the call takes {want}")
        }
        Some(want) => format!(
            "the buffers hold {have} bytes, but {blocks} blocks of {block_size} bytes are {want}"
        ),
        None => format!("{blocks} blocks of {block_size} bytes are more than 2^64 bytes"),
    })
}

/// Refuses a buffer whose length C would round down.
pub fn check_multiple(have: usize, of: u32) -> Result<(), Fault> {
    match have % of as usize {
        0 if u32::try_from(have).is_ok() => Ok(()),
        _ => Err(Fault::invalid(format!(
            "the buffer holds {have} bytes; it must be a multiple of {of}, of 32 bits"
        ))),
    }
}

/// The number of bytes of some buffers, for the context of an error.
pub fn total_len(bufs: &[DmaBuf]) -> u64 {
    bufs.iter().map(|buf| buf.len() as u64).sum()
}
