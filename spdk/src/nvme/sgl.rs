//! The scatter list of a vectored command, which SPDK asks for piece by piece.
#![allow(unsafe_code)] // Turns the context of the list's callbacks back into the list.

use std::ffi::{c_int, c_void};
use std::ptr;

use crate::buf::DmaBuf;
use crate::error::Fault;
use crate::iovecs::IoVecs;
use crate::op::{Callback, Complete, complete};
use crate::panic::guard;
use crate::sys;

use super::completion::{Dwords, result};

/// The buffers of a vectored command, and where SPDK is in them.
///
/// SPDK gives the context of the command to the callbacks of its list too. So that is the address of this,
/// which knows the operation.
pub struct Sgl {
    iovs: IoVecs,
    /// The piece that comes next, and how much of it was given out.
    next: usize,
    given: u64,
    op: *mut c_void,
}

impl Sgl {
    /// Buffers that the controller writes into.
    pub fn fill(bufs: &mut [DmaBuf]) -> Result<Self, Fault> {
        IoVecs::fill(bufs).and_then(Self::of)
    }

    /// Buffers that the controller reads from.
    pub fn drain(bufs: &[DmaBuf]) -> Result<Self, Fault> {
        IoVecs::drain(bufs).and_then(Self::of)
    }

    fn of(iovs: IoVecs) -> Result<Self, Fault> {
        // SPDK counts the bytes of a command with 32 bits.
        if iovs.len() > u64::from(u32::MAX) {
            return Err(Fault::invalid(format!("{} bytes are too many", iovs.len())));
        }
        Ok(Sgl {
            iovs,
            next: 0,
            given: 0,
            op: ptr::null_mut(),
        })
    }

    /// How many bytes the buffers have together.
    pub(super) fn len(&self) -> u32 {
        self.iovs.len() as u32 // which `of` has seen to be so
    }

    /// The context for C, of the operation with this one. The list stays where it is until it has ended.
    pub fn start(&mut self, op: *mut c_void) -> *mut c_void {
        self.op = op;
        ptr::from_mut(self).cast()
    }

    /// Goes to a byte.
    fn reset(&mut self, offset: u32) {
        self.next = 0;
        self.given = u64::from(offset);
        let iovs = self.iovs.as_slice();
        while let Some(iov) = iovs.get(self.next)
            && self.given >= iov.iov_len as u64
        {
            self.given -= iov.iov_len as u64;
            self.next += 1;
        }
    }

    /// The rest of the piece, and its length.
    fn step(&mut self) -> Option<(*mut c_void, u32)> {
        let iov = self.iovs.as_slice().get(self.next)?;
        let at = iov.iov_base.wrapping_byte_add(self.given as usize);
        // At most the length of all, which 32 bits can count.
        let left = (iov.iov_len as u64 - self.given) as u32;
        self.next += 1;
        self.given = 0;
        Some((at, left))
    }
}

/// `spdk_nvme_req_reset_sgl_cb`.
///
/// # Safety
/// `arg` is what [`Sgl::start`] gave, of a list that stays where it is.
pub unsafe extern "C" fn reset_sgl(arg: *mut c_void, offset: u32) {
    // SAFETY: the caller promises a list; nobody else uses it while C asks.
    guard("reset of a scatter list", || unsafe {
        (*arg.cast::<Sgl>()).reset(offset);
    });
}

/// `spdk_nvme_req_next_sge_cb`.
///
/// # Safety
/// As for [`reset_sgl`]; `address` and `length` can be written.
pub unsafe extern "C" fn next_sge(
    arg: *mut c_void,
    address: *mut *mut c_void,
    length: *mut u32,
) -> c_int {
    // SAFETY: as for `reset_sgl`.
    guard("step of a scatter list", || unsafe {
        match (*arg.cast::<Sgl>()).step() {
            Some((at, len)) => {
                *address = at;
                *length = len;
                0
            }
            None => -libc::EINVAL, // SPDK asks for no more than the list has
        }
    })
}

/// `spdk_nvme_cmd_cb` of a command with a scatter list.
pub enum NvmeSglDone {}

// SAFETY: `on_done` passes the context of the operation to `complete` once: the scatter list that C gives has
// it. It runs no other code.
unsafe impl Callback for NvmeSglDone {
    type Fn = sys::spdk_nvme_cmd_cb;
    type Raw = Result<Dwords, Fault>;
    const RESUMES: bool = true;

    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<Result<Dwords, Fault>>>(
            arg: *mut c_void,
            cpl: *const sys::spdk_nvme_cpl,
        ) {
            // SAFETY: the list is there until the operation has ended; `cpl` is there during the callback.
            unsafe {
                let op = (*arg.cast::<Sgl>()).op;
                complete::<K, _>(op, result(cpl));
            }
        }
        Some(on_done::<K>)
    }
}

/// How SPDK splits a vectored command.
pub(super) struct Split {
    /// The size of a block.
    pub(super) block: u64,
    /// The most bytes of a command, which are whole blocks.
    pub(super) whole: u64,
    /// The most pieces of a command.
    pub(super) most: usize,
    /// Whether it splits at places that depend on the first block.
    pub(super) has_boundaries: bool,
    /// Whether the controller takes a list of pieces, and not of pages.
    pub(super) has_lists: bool,
}

impl Split {
    /// Refuses buffers that SPDK does not split into commands. A command that it refuses by itself leaks its request; and
    /// of several it tells nothing when a later one has too many pieces.
    pub(super) fn check(&self, sgl: Sgl) -> Result<Sgl, Fault> {
        let iovs = sgl.iovs.as_slice();
        let can = match self.has_lists {
            true => self.can_split(iovs, sgl.iovs.len()),
            false => self.can_split_pages(iovs),
        };
        match can {
            true => Ok(sgl),
            false => Err(Fault::invalid(format!(
                "{} buffers do not fit into commands of whole blocks",
                iovs.len()
            ))),
        }
    }

    /// SPDK leaves what is beyond the last whole block of a command to the next one, counts that as one piece, and fails if
    /// there is no whole block.
    fn can_split(&self, iovs: &[sys::iovec], total: u64) -> bool {
        let is_whole = |iov: &sys::iovec| (iov.iov_len as u64).is_multiple_of(self.block);
        if iovs.len() <= self.most || self.whole == 0 || iovs.iter().all(is_whole) {
            return true;
        }
        if self.has_boundaries {
            return false;
        }
        let ends: Vec<u64> = iovs
            .iter()
            .scan(0, |end, iov| {
                *end += iov.iov_len as u64;
                Some(*end)
            })
            .collect();
        let piece_of = |at: u64| ends.partition_point(|end| *end <= at);
        let (mut start, mut limit) = (0, self.whole.min(total));
        let (mut next, mut counted) = (0, 0);
        while start < total {
            let end = ends[next].min(limit);
            counted += 1;
            next += usize::from(end == ends[next]);
            if counted < self.most && end < limit {
                continue;
            }
            let cut = match end == limit {
                true => end,
                false => end - (end - start) % self.block,
            };
            if cut == start || piece_of(cut - 1) - piece_of(start) >= self.most {
                return false;
            }
            (start, counted) = (cut, usize::from(end > cut));
            if start == limit {
                (limit, counted) = ((start + self.whole).min(total), 0);
            }
        }
        true
    }

    /// A command ends where a page is not filled.
    fn can_split_pages(&self, iovs: &[sys::iovec]) -> bool {
        const PAGE: u64 = 4096;
        let mut before = 0;
        iovs.windows(2).all(|pair| {
            let at = |iov: &sys::iovec| iov.iov_base.addr() as u64;
            let (end, next) = (at(&pair[0]) + pair[0].iov_len as u64, at(&pair[1]));
            before += pair[0].iov_len as u64;
            (end % PAGE == 0 && next % PAGE == 0) || before.is_multiple_of(self.block)
        })
    }
}
