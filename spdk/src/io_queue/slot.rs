//! The slots of an [`IoQueue`](super::IoQueue)'s I/Os, and lists of them.
#![allow(unsafe_code)] // A slot is freed with its queue, and is in one list at most.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use super::queue::Queue;
use crate::buf::DmaBuf;
use crate::error::Error;
use crate::span::Watch;
use crate::sys;

/// What an I/O does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    WriteZeroes,
    Unmap,
    Flush,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] = [
        Kind::Read,
        Kind::Write,
        Kind::WriteZeroes,
        Kind::Unmap,
        Kind::Flush,
    ];

    /// The C function.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Read => "spdk_bdev_read_blocks",
            Kind::Write => "spdk_bdev_write_blocks",
            Kind::WriteZeroes => "spdk_bdev_write_zeroes_blocks",
            Kind::Unmap => "spdk_bdev_unmap_blocks",
            Kind::Flush => "spdk_bdev_flush_blocks",
        }
    }
}

// The first cache line has what an I/O needs that is like the one before it in the slot, but for the tag.
#[repr(C, align(64))]
pub(super) struct Slot<T> {
    pub(super) queue: NonNull<Queue<T>>,
    /// The next one in the list that it is in.
    pub(super) next: Cell<Option<NonNull<Slot<T>>>>,
    pub(super) offset: Cell<u64>,
    pub(super) blocks: Cell<u64>,
    /// When it was submitted, once it has ended.
    pub(super) submitted: Cell<u64>,
    pub(super) error: UnsafeCell<Option<Error>>,
    /// The memory of the buffer, once it is ready for I/Os of this kind and so many blocks; else null.
    pub(super) data: Cell<*mut c_void>,
    pub(super) kind: Cell<Kind>,
    /// Initialised unless the slot is free.
    pub(super) tag: UnsafeCell<MaybeUninit<T>>,
    pub(super) buf: UnsafeCell<Option<DmaBuf>>,
    /// The span of an I/O that is watched, from its start to its end.
    pub(super) watch: Cell<Option<Rc<Watch>>>,
    /// SPDK's queue entry, its memory while it waits for a free `spdk_bdev_io`.
    pub(super) wait: UnsafeCell<MaybeUninit<sys::spdk_bdev_io_wait_entry>>,
}

impl<T: 'static> Slot<T> {
    #[cold]
    pub(super) fn new(queue: NonNull<Queue<T>>) -> NonNull<Self> {
        NonNull::from(Box::leak(Box::new(Slot {
            queue,
            next: Cell::new(None),
            offset: Cell::new(0),
            blocks: Cell::new(0),
            submitted: Cell::new(0),
            error: UnsafeCell::new(None),
            data: Cell::new(ptr::null_mut()),
            kind: Cell::new(Kind::Flush),
            tag: UnsafeCell::new(MaybeUninit::uninit()),
            buf: UnsafeCell::new(None),
            watch: Cell::new(None),
            wait: UnsafeCell::new(MaybeUninit::uninit()),
        })))
    }

    /// The slot that C was given, and its queue.
    ///
    /// # Safety
    /// `arg` is a slot that C has. The references are not used after the queue was freed.
    #[inline(always)]
    pub(super) unsafe fn of<'a>(arg: *mut c_void) -> (&'a Slot<T>, &'a Queue<T>) {
        // SAFETY: a queue exists while C has a slot of it, and so do its slots.
        unsafe {
            let slot = &*arg.cast::<Slot<T>>();
            (slot, slot.queue.as_ref())
        }
    }
}

/// A list of slots, first in, first out.
pub(super) struct List<T> {
    pub(super) first: Cell<Option<NonNull<Slot<T>>>>,
    last: Cell<Option<NonNull<Slot<T>>>>,
}

impl<T> List<T> {
    pub(super) fn new() -> Self {
        List {
            first: Cell::new(None),
            last: Cell::new(None),
        }
    }

    /// Returns whether it was empty.
    #[inline(always)]
    pub(super) fn push(&self, slot: &Slot<T>) -> bool {
        slot.next.set(None);
        let slot = NonNull::from(slot);
        let is_first = self.first.get().is_none();
        match self.last.replace(Some(slot)) {
            // SAFETY: slots are freed with their queue, which has the list.
            Some(last) if !is_first => unsafe { last.as_ref() }.next.set(Some(slot)),
            _ => self.first.set(Some(slot)),
        }
        is_first
    }

    /// The slot is not used after its queue was freed.
    #[inline(always)]
    pub(super) fn pop<'a>(&self) -> Option<&'a Slot<T>> {
        // SAFETY: as for `push`.
        let first = unsafe { self.first.get()?.as_ref() };
        self.first.set(first.next.get());
        Some(first)
    }

    pub(super) fn len(&self) -> usize {
        // SAFETY: as for `push`.
        let next = |slot: &NonNull<Slot<T>>| unsafe { slot.as_ref() }.next.get();
        std::iter::successors(self.first.get(), next).count()
    }
}
