//! The memory under a [`DmaBuf`](crate::DmaBuf), and the loans of it to operations.
//!
//! A loan counts in its memory from the submission until the operation's callback, whatever becomes
//! of the future and the `DmaBuf` meanwhile. An OS thread other than the lender's that finds memory on
//! loan leaves it alone and takes fresh memory. Memory whose owner leaves while it is on loan is an
//! orphan: freed by the last loan on the same OS thread, and found later by [`sweep`] otherwise.
#![allow(unsafe_code)] // The counting in `loans` is what its `unsafe` code rests on.

use std::alloc::{self, Layout};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

use crate::env;
use crate::error::Fault;
use crate::iobuf::Lent;
use crate::loans::{Heir, Loans};
use crate::sys;

/// DPDK's allocator takes the alignment as 32 bits, and silently drops the others.
const MAX_ALIGN: usize = 1 << 31;

/// A piece of memory with its loans. Always on the heap, named by a [`MemRef`].
#[repr(align(64))]
pub(crate) struct Mem {
    data: NonNull<u8>,
    len: usize,
    align: usize,
    dma: bool,
    /// Whose it is, if it comes from a pool.
    lent: Option<Box<Lent>>,
    loans: Loans,
}

/// Orphans whose owner left on another OS thread than the lender's.
static ORPHANS: Mutex<Vec<MemRef>> = Mutex::new(Vec::new());
static HAVE_ORPHANS: AtomicBool = AtomicBool::new(false);

/// How many pieces of SPDK's memory exist; while it is not 0 the environment stays up.
static LIVE: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn live() -> usize {
    sweep();
    LIVE.load(SeqCst)
}

/// A pointer to a [`Mem`], without a say about who owns it.
#[derive(Clone, Copy)]
pub(crate) struct MemRef(NonNull<Mem>);

// SAFETY: it is an address; each use that needs ownership is an `unsafe fn` that says so.
unsafe impl Send for MemRef {}

impl Mem {
    /// SPDK's memory, zeroed.
    pub(crate) fn dma(size: usize, align: usize) -> Result<MemRef, Fault> {
        if size == 0 {
            return Err(Fault::invalid("a buffer of 0 bytes cannot be used for I/O"));
        }
        let align = if align == 0 { 64 } else { align };
        if !align.is_power_of_two() || align > MAX_ALIGN {
            return Err(Fault::invalid(format!(
                "an alignment of {align} bytes; it must be a power of two, at most {MAX_ALIGN}"
            )));
        }
        if Layout::from_size_align(size, align).is_err() {
            return Err(Fault::no_dma_memory(size, align));
        }
        if HAVE_ORPHANS.load(Relaxed) {
            sweep();
        }
        // Counted before the look at the environment: its end looks at the count after it has
        // marked itself as ended, so one of the two sees the other.
        LIVE.fetch_add(1, SeqCst);
        let data = if env::is_up() {
            // SAFETY: the environment is up and stays up while `LIVE` is not 0.
            NonNull::new(unsafe { sys::spdk_dma_zmalloc(size as _, align as _, ptr::null_mut()) })
                .ok_or_else(|| Fault::no_dma_memory(size, align))
        } else {
            Err(Fault::not_initialised())
        };
        match data {
            Ok(data) => Ok(Self::boxed(data.cast(), size, align, true)),
            Err(fault) => {
                LIVE.fetch_sub(1, SeqCst);
                Err(fault)
            }
        }
    }

    /// Ordinary zeroed memory, for when there is no DMA memory and no way to say so.
    fn ordinary(size: usize, align: usize) -> MemRef {
        let layout = Self::layout(size, align);
        // SAFETY: the size is not 0: it comes from an existing `Mem`.
        let data = unsafe { alloc::alloc_zeroed(layout) };
        let Some(data) = NonNull::new(data) else {
            alloc::handle_alloc_error(layout)
        };
        Self::boxed(data, size, align, false)
    }

    /// Memory of a pool, which gets it back.
    ///
    /// # Safety
    /// `len` initialised bytes at `data`, aligned to `align`, that are nobody else's until they are given
    /// back by `lent`.
    pub(crate) unsafe fn lent(data: NonNull<u8>, len: usize, align: usize, lent: Lent) -> MemRef {
        let mut mem = Self::boxed(data, len, align, true);
        // SAFETY: just made, and not shared.
        unsafe { mem.0.as_mut() }.lent = Some(Box::new(lent));
        mem
    }

    fn layout(size: usize, align: usize) -> Layout {
        match Layout::from_size_align(size, align) {
            Ok(layout) => layout,
            Err(_) => unreachable!("`Mem::dma` refused such a size"),
        }
    }

    fn boxed(data: NonNull<u8>, len: usize, align: usize, dma: bool) -> MemRef {
        MemRef(NonNull::from(Box::leak(Box::new(Mem {
            data,
            len,
            align,
            dma,
            lent: None,
            loans: Loans::none(),
        }))))
    }
}

impl MemRef {
    #[inline]
    fn mem(&self) -> &Mem {
        // SAFETY: a `MemRef` is made by `Mem::boxed` and is not used after `free`: a `DmaBuf` gives
        // its own up with `release` or `renew`, a `Loan` keeps the memory from being freed.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> *mut c_void {
        self.mem().data.as_ptr().cast()
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        self.mem().len
    }

    pub(crate) fn align(self) -> usize {
        self.mem().align
    }

    #[inline]
    pub(crate) fn is_dma(self) -> bool {
        self.mem().dma
    }

    #[inline]
    pub(crate) fn is_lent(self) -> bool {
        self.mem().loans.any()
    }

    #[inline]
    pub(crate) fn is_being_filled(self) -> bool {
        self.mem().loans.is_filling()
    }

    /// Whether one more operation may read it: nothing fills it, and this OS thread may count.
    pub(crate) fn can_be_read_by_device(self) -> bool {
        self.mem().loans.can_share()
    }

    /// # Safety
    /// Nothing writes to the memory during `'a`.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        let mem = self.mem();
        // SAFETY: `len` bytes at `data` were allocated and zeroed; the caller excludes writers.
        unsafe { std::slice::from_raw_parts(mem.data.as_ptr(), mem.len) }
    }

    /// # Safety
    /// Nothing else uses the memory during `'a`.
    pub(crate) unsafe fn bytes_mut<'a>(self) -> &'a mut [u8] {
        let mem = self.mem();
        // SAFETY: `len` bytes at `data` were allocated and zeroed; the caller excludes others.
        unsafe { std::slice::from_raw_parts_mut(mem.data.as_ptr(), mem.len) }
    }

    /// # Safety
    /// The caller owns the memory, and [`MemRef::can_be_read_by_device`].
    #[inline]
    pub(crate) unsafe fn lend_shared(self) -> Loan {
        self.mem().loans.share();
        Loan(self, PhantomData)
    }

    /// # Safety
    /// The caller owns the memory, and it is not lent.
    #[inline]
    pub(crate) unsafe fn lend_exclusive(self) -> Loan {
        self.mem().loans.fill();
        Loan(self, PhantomData)
    }

    /// Gives the memory up for fresh memory of the same size: zeroed if an operation fills the old
    /// one, else a copy of it. Where there is no DMA memory left it is ordinary memory, which no
    /// operation accepts: a slice must exist even then.
    ///
    /// # Safety
    /// The caller owns the memory and uses it no more.
    pub(crate) unsafe fn renew(self) -> MemRef {
        let old = self.mem();
        let new =
            Mem::dma(old.len, old.align).unwrap_or_else(|_| Mem::ordinary(old.len, old.align));
        if !self.is_being_filled() {
            // SAFETY: `new` is not shared yet, and operations only read `old`.
            unsafe { new.bytes_mut().copy_from_slice(self.bytes()) };
        }
        // SAFETY: passed on to the caller.
        unsafe { self.release() };
        new
    }

    /// Frees the memory, or leaves it to the operations that still hold it.
    ///
    /// # Safety
    /// The caller owns the memory and uses it no more.
    pub(crate) unsafe fn release(self) {
        match self.mem().loans.leave() {
            // SAFETY: owned by the caller, and in nobody else's hands.
            Heir::Owner => unsafe { self.free() },
            Heir::LastLoan => {}
            Heir::Sweep => {
                let mut orphans = lock(&ORPHANS);
                orphans.push(self);
                HAVE_ORPHANS.store(true, Relaxed);
            }
        }
    }

    /// # Safety
    /// Nobody holds the memory any more.
    #[cold]
    unsafe fn free(self) {
        // SAFETY: made by `Box::leak` in `Mem::boxed`; the caller holds the last reference.
        let mem = unsafe { Box::from_raw(self.0.as_ptr()) };
        if let Some(lent) = mem.lent {
            // SAFETY: it came with the memory, which nobody holds.
            unsafe { lent.give_back(mem.data, mem.len) };
        } else if mem.dma {
            // SAFETY: allocated by `spdk_dma_zmalloc`; the environment is up while `LIVE` counts it.
            unsafe { sys::spdk_dma_free(mem.data.as_ptr().cast()) };
            LIVE.fetch_sub(1, SeqCst);
        } else {
            // SAFETY: allocated in `Mem::ordinary` with this layout.
            unsafe { alloc::dealloc(mem.data.as_ptr(), Mem::layout(mem.len, mem.align)) };
        }
    }
}

/// Frees the orphans that SPDK is done with.
fn sweep() {
    let done = {
        let mut orphans = lock(&ORPHANS);
        let all = std::mem::take(&mut *orphans).into_iter();
        let (lent, done): (Vec<_>, Vec<_>) = all.partition(|orphan| orphan.is_lent());
        HAVE_ORPHANS.store(!lent.is_empty(), Relaxed);
        *orphans = lent;
        done
    };
    // Without the lock: a buffer of a pool goes to whoever waits for it, and its waker is the user's code.
    for orphan in done {
        // SAFETY: its owner gave it up, the last loan of it has ended, and it is in the list no more.
        unsafe { orphan.free() };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Memory in the hands of an operation. Ends when it is dropped, on the OS thread that lent it:
/// it is not `Send`.
#[doc(hidden)]
pub struct Loan(MemRef, PhantomData<*mut ()>);

impl Loan {
    /// The memory.
    #[inline]
    pub fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr()
    }

    /// Its size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a buffer is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Loan {
    #[inline]
    fn drop(&mut self) {
        if self.0.mem().loans.end() {
            // SAFETY: its owner gave it up on this OS thread, and this was the last loan.
            unsafe { self.0.free() };
        }
    }
}
