//! The slots of an [`IoQueue`](super::IoQueue)'s I/Os, and lists of them.
#![allow(unsafe_code)] // A slot is freed with its queue, and is in one list at most.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use super::device::{Device, Kind};
use super::queue::Queue;
use crate::buf::DmaBuf;
use crate::error::Error;
use crate::span::Watch;

// The first cache line has what an I/O needs that is like the one before it in the slot, and a tag of one word.
#[repr(C, align(64))]
pub(super) struct Slot<T, D: Device> {
    pub(super) queue: NonNull<Queue<T, D>>,
    pub(super) offset: Cell<u64>,
    pub(super) blocks: Cell<u64>,
    /// When it was submitted, once it has ended and if the device has noted that.
    pub(super) submitted: Cell<u64>,
    pub(super) error: UnsafeCell<Option<Error>>,
    /// The memory of the buffer, once it is ready for I/Os of this kind and so many blocks; else null.
    pub(super) data: Cell<*mut c_void>,
    pub(super) kind: Cell<Kind>,
    /// Initialised unless the slot is free.
    pub(super) tag: UnsafeCell<MaybeUninit<T>>,
    /// What it was measured by.
    pub(super) shape: Cell<D::Shape>,
    /// The next one in the list that it is in.
    pub(super) next: Cell<Option<NonNull<Slot<T, D>>>>,
    pub(super) buf: UnsafeCell<Option<DmaBuf>>,
    /// The span of an I/O that is watched, from its start to its end.
    pub(super) watch: Cell<Option<Rc<Watch>>>,
    /// The device's, while the I/O waits for room.
    pub(super) wait: UnsafeCell<MaybeUninit<D::Wait>>,
}

impl<T: 'static, D: Device> Slot<T, D> {
    #[cold]
    pub(super) fn new(queue: NonNull<Queue<T, D>>) -> NonNull<Self> {
        NonNull::from(Box::leak(Box::new(Slot {
            queue,
            next: Cell::new(None),
            offset: Cell::new(0),
            blocks: Cell::new(0),
            submitted: Cell::new(0),
            error: UnsafeCell::new(None),
            data: Cell::new(ptr::null_mut()),
            kind: Cell::new(Kind::Flush),
            shape: Cell::default(),
            tag: UnsafeCell::new(MaybeUninit::uninit()),
            buf: UnsafeCell::new(None),
            watch: Cell::new(None),
            wait: UnsafeCell::new(MaybeUninit::uninit()),
        })))
    }

    /// The slot that C was given.
    ///
    /// # Safety
    /// `arg` is a slot that C has. The reference is not used after the queue was freed.
    #[inline(always)]
    pub(super) unsafe fn of<'a>(arg: *mut c_void) -> &'a Slot<T, D> {
        // SAFETY: a queue exists while C has a slot of it, and so do its slots.
        unsafe { &*arg.cast::<Slot<T, D>>() }
    }

    /// Its queue.
    ///
    /// # Safety
    /// As for [`Slot::of`].
    #[inline(always)]
    pub(super) unsafe fn queue<'a>(&self) -> &'a Queue<T, D> {
        // SAFETY: a slot is freed with its queue.
        unsafe { self.queue.as_ref() }
    }
}

/// A list of slots, first in, first out.
pub(super) struct List<T, D: Device> {
    pub(super) first: Cell<Option<NonNull<Slot<T, D>>>>,
    last: Cell<Option<NonNull<Slot<T, D>>>>,
}

impl<T, D: Device> List<T, D> {
    pub(super) fn new() -> Self {
        List {
            first: Cell::new(None),
            last: Cell::new(None),
        }
    }

    /// Returns whether it was empty.
    #[inline(always)]
    pub(super) fn push(&self, slot: &Slot<T, D>) -> bool {
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
    pub(super) fn pop<'a>(&self) -> Option<&'a Slot<T, D>> {
        // SAFETY: as for `push`.
        let first = unsafe { self.first.get()?.as_ref() };
        self.first.set(first.next.get());
        Some(first)
    }

    pub(super) fn len(&self) -> usize {
        // SAFETY: as for `push`.
        let next = |slot: &NonNull<Slot<T, D>>| unsafe { slot.as_ref() }.next.get();
        std::iter::successors(self.first.get(), next).count()
    }
}

type Place<T, D> = Cell<Option<NonNull<Slot<T, D>>>>;

/// The slots whose I/Os have ended, first in, first out, with a place for every slot of their queue.
///
/// An I/O is one store here, and one of how many have ended: a list takes three, and each of them takes time, since the
/// bdev layer looks at the clock soon after.
pub(super) struct Ring<T, D: Device> {
    /// A power of two.
    places: UnsafeCell<Box<[Place<T, D>]>>,
    /// How many I/Os have ended, modulo 2^32.
    pub(super) ended: Cell<u32>,
    /// How many of these were taken.
    taken: Cell<u32>,
}

impl<T, D: Device> Ring<T, D> {
    pub(super) fn new() -> Self {
        Ring {
            places: UnsafeCell::new(Self::places(1)),
            ended: Cell::new(0),
            taken: Cell::new(0),
        }
    }

    fn places(count: usize) -> Box<[Place<T, D>]> {
        (0..count).map(|_| Cell::new(None)).collect()
    }

    #[inline(always)]
    fn place(&self, position: u32) -> &Place<T, D> {
        // SAFETY: only `reserve` changes the box, while no reference to a place of it exists. It is a power of two, so the
        // index is below its length.
        unsafe {
            let places = &*self.places.get();
            places.get_unchecked(position as usize & (places.len() - 1))
        }
    }

    /// Has a place for each of so many slots.
    #[cold]
    pub(super) fn reserve(&self, slots: usize) {
        // SAFETY: no reference to a place exists outside of the functions here.
        let now = unsafe { &*self.places.get() }.len();
        if slots <= now {
            return;
        }
        let more = Self::places(slots.next_power_of_two());
        let mut position = self.taken.get();
        while position != self.ended.get() {
            more[position as usize & (more.len() - 1)].set(self.place(position).get());
            position = position.wrapping_add(1);
        }
        // SAFETY: as above.
        unsafe { *self.places.get() = more };
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.taken.get() == self.ended.get()
    }

    pub(super) fn len(&self) -> usize {
        self.ended.get().wrapping_sub(self.taken.get()) as usize
    }

    #[inline(always)]
    pub(super) fn push(&self, slot: &Slot<T, D>) {
        let ended = self.ended.get();
        self.place(ended).set(Some(NonNull::from(slot)));
        self.ended.set(ended.wrapping_add(1));
    }

    /// The slot is not used after its queue was freed.
    #[inline(always)]
    pub(super) fn pop<'a>(&self) -> Option<&'a Slot<T, D>> {
        if self.is_empty() {
            return None;
        }
        let taken = self.taken.get();
        self.taken.set(taken.wrapping_add(1));
        // SAFETY: slots are freed with their queue, which has the ring.
        self.place(taken).get().map(|slot| unsafe { slot.as_ref() })
    }
}
