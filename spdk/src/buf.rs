//! [`DmaBuf`]: memory that devices can read and write.
#![allow(unsafe_code)] // Owns memory of SPDK's allocator and hands out slices of it; the rules are in `mem`.

use std::cell::Cell;
use std::ffi::c_void;
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::error::{At, Fault, Result};
use crate::mem::{Loan, Mem, MemRef};

/// A buffer that a device can read and write directly: pinned, aligned, from SPDK's memory.
///
/// Its bytes are always initialised. It is `Send` and not `Sync`.
///
/// # What an operation does with it
///
/// An operation borrows the `DmaBuf` while its future lives and, underneath, holds the *memory*
/// until SPDK is done with it. A future that is dropped, or forgotten, while its operation is in
/// flight therefore leaves the memory with the operation:
///
/// - Dropping the `DmaBuf` then hands the memory over; it is freed when SPDK is done.
/// - Using the `DmaBuf` gets fresh memory: zeroed if the abandoned operation was writing into it,
///   such as a read, and a copy of the old bytes if it was reading from it, such as a write.
///
/// If the operation has ended by the time of the next use, the memory is simply used again.
/// A leaked future (`mem::forget`) leaks its operation's bookkeeping, not the memory.
pub struct DmaBuf {
    mem: Cell<MemRef>,
}

// SAFETY: a `DmaBuf` owns its memory; what an abandoned operation still holds on another OS thread
// is shared through the atomics of `Mem` only.
unsafe impl Send for DmaBuf {}

impl DmaBuf {
    /// Allocates `size` bytes aligned to `align` bytes, a power of two; the bytes are zero.
    ///
    /// An `align` of 0 means the cache line. For I/O on a bdev, `align` should be the larger of
    /// the block size and [`Bdev::buf_align`](crate::Bdev::buf_align).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInitialised`](crate::ErrorKind::NotInitialised) before SPDK is up and after
    /// it ended, [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a size of 0
    /// or an alignment that is not a power of two,
    /// [`ErrorKind::NoDmaMemory`](crate::ErrorKind::NoDmaMemory) when SPDK's memory is used up.
    #[doc(alias = "spdk_dma_zmalloc")]
    pub fn alloc(size: usize, align: usize) -> Result<Self> {
        let at = At::free("DmaBuf::alloc");
        let mem = Mem::dma(size, align).map_err(|fault| fault.at(at))?;
        let mem = Cell::new(mem);
        Ok(DmaBuf { mem })
    }

    /// The same as [`DmaBuf::alloc`]: every buffer starts as zeros.
    ///
    /// # Errors
    ///
    /// As for [`DmaBuf::alloc`].
    pub fn alloc_zeroed(size: usize, align: usize) -> Result<Self> {
        Self::alloc(size, align)
    }

    pub(crate) fn of(mem: MemRef) -> Self {
        DmaBuf {
            mem: Cell::new(mem),
        }
    }

    /// The size in bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a buffer is never empty")]
    #[inline]
    pub fn len(&self) -> usize {
        self.mem.get().len()
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        if self.mem.get().is_being_filled() {
            // Only an abandoned operation can be filling it: a live one borrows `self` mutably.
            self.renew();
        }
        // SAFETY: nothing writes to the memory: no operation fills it, as just seen, none can start
        // to while `self` is borrowed, and `as_mut_slice` needs `&mut self`.
        unsafe { self.mem.get().bytes() }
    }

    /// The bytes, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        if self.mem.get().is_lent() {
            self.renew();
        }
        // SAFETY: no operation holds the memory, as just seen, and `&mut self` excludes everyone
        // else.
        unsafe { self.mem.get().bytes_mut() }
    }

    /// Leaves the memory to the operations that hold it and goes on with fresh memory.
    #[cold]
    fn renew(&self) {
        let old = self.mem.get();
        // SAFETY: `old` is the memory that this buffer owns, and is given up by this call.
        self.mem.set(unsafe { old.renew() });
    }

    /// The memory, for an operation that reads from it.
    #[doc(hidden)]
    #[inline]
    pub fn lend(&self) -> Result<Loan, Fault> {
        if self.mem.get().is_being_filled() {
            // No slice of it can exist: `as_slice` would have renewed it.
            self.renew();
        }
        let mem = self.mem.get();
        if mem.is_dma() && mem.can_be_read_by_device() {
            // SAFETY: the buffer owns the memory, and this OS thread may count its loans.
            return Ok(unsafe { mem.lend_shared() });
        }
        self.lend_copy()
    }

    /// As [`DmaBuf::lend`], for an operation that may change what it is to read.
    #[doc(hidden)]
    #[inline]
    pub fn lend_to(&self, drain: Drain) -> Result<Loan, Fault> {
        match drain {
            Drain::Reads => self.lend(),
            Drain::Changes => self.lend_copy(),
        }
    }

    /// A copy: slices of `self` may be borrowed, so the memory has to stay, as it is.
    #[cold]
    fn lend_copy(&self) -> Result<Loan, Fault> {
        if self.mem.get().is_being_filled() {
            self.renew(); // as in `lend`
        }
        let mem = self.mem.get();
        let copy = Mem::dma(mem.len(), mem.align())?;
        // SAFETY: `copy` is not shared yet, and nothing writes to `mem` while `self` is borrowed;
        // released while on loan, `copy` is freed by the end of the loan.
        unsafe {
            copy.bytes_mut().copy_from_slice(mem.bytes());
            let loan = copy.lend_shared();
            copy.release();
            Ok(loan)
        }
    }

    /// The memory, for an operation that writes into it.
    #[doc(hidden)]
    #[inline]
    pub fn lend_mut(&mut self) -> Result<Loan, Fault> {
        let mut mem = self.mem.get();
        if mem.is_lent() || !mem.is_dma() {
            mem = self.renew_for_device()?;
        }
        // SAFETY: the buffer owns the memory, `&mut self` excludes other users, and no operation
        // holds it.
        Ok(unsafe { mem.lend_exclusive() })
    }

    /// The memory, for an operation that owns the buffer and writes into it.
    #[inline]
    pub(crate) fn fill_in_place(&mut self) -> Result<*mut c_void, Fault> {
        let mut mem = self.mem.get();
        if mem.is_lent() || !mem.is_dma() {
            mem = self.renew_for_device()?;
        }
        Ok(mem.as_ptr())
    }

    /// The memory, for an operation that owns the buffer and reads from it.
    #[inline]
    pub(crate) fn drain_in_place(&mut self) -> Result<*mut c_void, Fault> {
        let mut mem = self.mem.get();
        if mem.is_being_filled() || !mem.is_dma() {
            mem = self.renew_for_device()?;
        }
        Ok(mem.as_ptr())
    }

    /// Goes on with fresh memory that a device can use.
    #[cold]
    fn renew_for_device(&self) -> Result<MemRef, Fault> {
        self.renew();
        let mem = self.mem.get();
        match mem.is_dma() {
            true => Ok(mem),
            false => Err(Fault::no_dma_memory(mem.len(), mem.align())),
        }
    }
}

/// What an operation does with memory that it is to read.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// That.
    Reads,
    /// It may write to it as well.
    Changes,
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        // SAFETY: the buffer owns the memory and does not use it any more.
        unsafe { self.mem.get().release() }
    }
}

impl Deref for DmaBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for DmaBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl AsRef<[u8]> for DmaBuf {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsMut<[u8]> for DmaBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl fmt::Debug for DmaBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mem = self.mem.get();
        f.debug_struct("DmaBuf")
            .field("len", &mem.len())
            .field("align", &mem.align())
            .finish_non_exhaustive()
    }
}
