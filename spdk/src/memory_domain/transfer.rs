//! The data that SPDK asks the memory of a domain for, or gives it.
#![allow(unsafe_code)] // Copies to and from the memory of C.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::{self, NonNull};

use smallvec::SmallVec;

use super::{DomainMemory, DomainRange, IoVecs, Use};
use crate::bdev_zcopy::each_piece;
use crate::errno::Errno;
use crate::error::{At, Result};
use crate::handle::{Handle, Object};
use crate::local::begin;
use crate::panic::guard;
use crate::sys;

/// Data on its way. Released, it ends as a failure.
enum TransferObject {}

struct TransferExtra {
    context: usize,
    ranges: SmallVec<[DomainRange; 4]>,
    local: RefCell<IoVecs>,
    done: Cell<sys::spdk_memory_domain_data_cpl_cb>,
    arg: *mut c_void,
}

// SAFETY: `release` ends the transfer, after which C uses nothing of it.
unsafe impl Object for TransferObject {
    /// Whose data it is.
    type C = sys::spdk_memory_domain;
    type Extra = TransferExtra;
    const NAME: &'static str = "Transfer";

    unsafe fn release(_: NonNull<Self::C>, extra: &TransferExtra) {
        extra.end(-libc::EIO);
    }
}

impl TransferExtra {
    /// Tells C, once.
    fn end(&self, rc: c_int) {
        if let Some(done) = self.done.take() {
            self.local.borrow_mut().clear();
            // SAFETY: C gave both for this, once; this is the spdk_thread that it called on, since the
            // handle of a transfer is released and taken there only.
            unsafe { done(self.arg, rc) }
        }
    }
}

/// The data of a write that SPDK asks a [`DomainMemory`] for. A drop fails the write.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread of the I/O.
#[doc(alias = "spdk_memory_domain_pull_data_cb")]
pub struct Pull(Handle<TransferObject>);

/// The data of a read that SPDK gives to a [`DomainMemory`]. A drop fails the read.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread of the I/O.
#[doc(alias = "spdk_memory_domain_push_data_cb")]
pub struct Push(Handle<TransferObject>);

impl Pull {
    /// What the I/O was given as its context.
    pub fn context(&self) -> usize {
        self.0.extra().context
    }

    /// Where in the domain the data is: its parts one after the other.
    pub fn ranges(&self) -> &[DomainRange] {
        &self.0.extra().ranges
    }

    /// Copies `from` to byte `offset` of what SPDK will write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for bytes beyond the end of the data,
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when its spdk_thread has ended, and failed the I/O.
    pub fn write(&mut self, offset: usize, from: &[u8]) -> Result<()> {
        copy(
            &self.0,
            "Pull::write",
            offset,
            from.len(),
            |piece, bytes| {
                let from = &from[bytes];
                // SAFETY: the piece is memory of SPDK's, of this length, which nobody else uses until the
                // transfer has ended; it has not, since its object is still there.
                unsafe { ptr::copy_nonoverlapping(from.as_ptr(), piece, from.len()) }
            },
        )
    }

    /// Ends it: with `Ok` all bytes are there, with `Err` the write fails.
    ///
    /// The I/O goes on inside this call, and may end in it.
    ///
    /// # Errors
    ///
    /// As for [`Pull::write`], of the spdk_thread. The I/O fails then.
    pub fn finish(self, result: Result<(), Errno>) -> Result<()> {
        finish(self.0, "Pull::finish", result)
    }
}

impl Push {
    /// What the I/O was given as its context.
    pub fn context(&self) -> usize {
        self.0.extra().context
    }

    /// Where in the domain the data belongs: its parts one after the other.
    pub fn ranges(&self) -> &[DomainRange] {
        &self.0.extra().ranges
    }

    /// Copies `into.len()` bytes at byte `offset` of what SPDK has read.
    ///
    /// # Errors
    ///
    /// As for [`Pull::write`].
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        copy(&self.0, "Push::read", offset, into.len(), |piece, bytes| {
            let into = &mut into[bytes];
            // SAFETY: as in `Pull::write`.
            unsafe { ptr::copy_nonoverlapping(piece, into.as_mut_ptr(), into.len()) }
        })
    }

    /// Ends it: with `Ok` the domain has all bytes, with `Err` the read fails.
    ///
    /// The I/O goes on inside this call, and may end in it.
    ///
    /// # Errors
    ///
    /// As for [`Pull::write`], of the spdk_thread. The I/O fails then.
    pub fn finish(self, result: Result<(), Errno>) -> Result<()> {
        finish(self.0, "Push::finish", result)
    }
}

fn copy(
    transfer: &Handle<TransferObject>,
    call: &'static str,
    offset: usize,
    len: usize,
    each: impl FnMut(*mut u8, std::ops::Range<usize>),
) -> Result<()> {
    begin(|caller| {
        transfer.get(caller)?;
        each_piece(&transfer.extra().local.borrow(), offset, len, each)
    })
    .map_err(|fault| fault.at(At::free(call)))
}

fn finish(
    transfer: Handle<TransferObject>,
    call: &'static str,
    result: Result<(), Errno>,
) -> Result<()> {
    transfer.take().map_err(|fault| fault.at(At::free(call)))?;
    let rc = match result {
        Ok(()) => 0,
        Err(errno) => -errno.code(),
    };
    transfer.extra().end(rc);
    Ok(())
}

impl fmt::Debug for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pull").field(&self.ranges()).finish()
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Push").field(&self.ranges()).finish()
    }
}

pub(super) unsafe extern "C" fn on_pull(
    domain: *mut sys::spdk_memory_domain,
    context: *mut c_void,
    src: *mut sys::iovec,
    src_count: u32,
    dst: *mut sys::iovec,
    dst_count: u32,
    done: sys::spdk_memory_domain_data_cpl_cb,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: passed on; the domain's memory is `src`.
    unsafe {
        on_transfer(
            domain,
            context,
            (src, src_count),
            (dst, dst_count),
            done,
            arg,
            |memory, transfer| {
                memory.pull(Pull(transfer));
            },
        )
    }
}

pub(super) unsafe extern "C" fn on_push(
    domain: *mut sys::spdk_memory_domain,
    context: *mut c_void,
    dst: *mut sys::iovec,
    dst_count: u32,
    src: *mut sys::iovec,
    src_count: u32,
    done: sys::spdk_memory_domain_data_cpl_cb,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: passed on; the domain's memory is `dst`.
    unsafe {
        on_transfer(
            domain,
            context,
            (dst, dst_count),
            (src, src_count),
            done,
            arg,
            |memory, transfer| {
                memory.push(Push(transfer));
            },
        )
    }
}

/// # Safety
/// C calls one of the two functions above with these: during an I/O of `transfer`, with its context. Both
/// arrays can be read, and the memory of `local` is there until `done` was called.
unsafe fn on_transfer(
    domain: *mut sys::spdk_memory_domain,
    context: *mut c_void,
    (ranges, range_count): (*mut sys::iovec, u32),
    (local, local_count): (*mut sys::iovec, u32),
    done: sys::spdk_memory_domain_data_cpl_cb,
    arg: *mut c_void,
    give: impl FnOnce(&dyn DomainMemory, Handle<TransferObject>),
) -> c_int {
    guard("transfer of a memory domain", || {
        let Some(domain) = NonNull::new(domain) else {
            return -libc::EINVAL;
        };
        // SAFETY: the context is that of an I/O in flight, which keeps it until its callback.
        let of_io = unsafe { &*context.cast::<Use>() };
        // Kept here too: the transfer may end inside the call, and with it the I/O and its domain.
        let (memory, context) = (of_io.memory.clone(), of_io.context);
        // SAFETY: the arrays have so many entries.
        let (ranges, local) = unsafe {
            (
                std::slice::from_raw_parts(ranges, range_count as usize),
                std::slice::from_raw_parts(local, local_count as usize),
            )
        };
        let ranges: SmallVec<[DomainRange; 4]> = ranges
            .iter()
            .map(|range| DomainRange {
                address: range.iov_base.addr(),
                len: range.iov_len,
            })
            .collect();
        let size: usize = ranges.iter().map(|range| range.len).sum();
        let extra = TransferExtra {
            context,
            ranges,
            local: RefCell::new(first_bytes(local, size)),
            done: Cell::new(done),
            arg,
        };
        // SAFETY: the transfer is ours until it ends, on this spdk_thread.
        if let Ok(transfer) = unsafe { Handle::adopt(domain, extra) } {
            give(&*memory, transfer);
        }
        // In any case it ends by `done`.
        0
    })
}

/// The parts that hold the first bytes: there may be room for more.
fn first_bytes(parts: &[sys::iovec], mut size: usize) -> IoVecs {
    let mut first = IoVecs::new();
    for part in parts {
        let len = size.min(part.iov_len);
        if len > 0 {
            first.push(sys::iovec {
                iov_base: part.iov_base,
                iov_len: len as _,
            });
        }
        size -= len;
    }
    first
}
