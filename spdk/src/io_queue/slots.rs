//! The user's side of the I/Os of an [`IoQueue`](super::IoQueue).
#![allow(unsafe_code)] // Has a queue until it is dropped, and the slots that C does not have; see `queue`.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ptr::{self, NonNull};
use std::task::{Context, Poll};

use super::device::{Device, Kind};
use super::each;
use super::queue::{BATCH, BURST, Plain, Queue};
use super::slot::{List, Ring, Slot};
use crate::buf::DmaBuf;
use crate::error::{Error, Fault};
use crate::local::{Caller, begin};
use crate::span;

/// The user's side of a [`Queue`].
pub(super) struct Slots<T: 'static, D: Device>(NonNull<Queue<T, D>>, PhantomData<T>);

impl<T: 'static, D: Device> Slots<T, D> {
    pub(super) fn new(device: D) -> Self {
        let queue = Box::new(Queue {
            device,
            ended: Ring::new(),
            started: Cell::new(0),
            batch_end: Cell::new(BATCH),
            round_end: Cell::new(0),
            burst: Cell::new(BURST),
            slots: Cell::new(0),
            each: Cell::new(ptr::null()),
            on_done: Cell::new(D::on_done::<Plain<T, D>>()),
            free: Cell::new(None),
            task: Cell::new(None),
            owned: Cell::new(true),
            waker: Cell::new(None),
            refused: List::new(),
            again: List::new(),
        });
        Slots(NonNull::from(Box::leak(queue)), PhantomData)
    }

    #[inline(always)]
    pub(super) fn queue(&self) -> &Queue<T, D> {
        // SAFETY: it is freed after `owned` was cleared, which the drop does. Only `&Queue` is made.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn len(&self) -> usize {
        let queue = self.queue();
        queue.in_flight() as usize + queue.ended.len() + queue.refused.len()
    }

    /// A slot for a new I/O.
    #[inline(always)]
    pub(super) fn slot(&mut self, buf: Option<DmaBuf>, tag: T) -> Ended<'_, T, D> {
        let queue = self.queue();
        let slot = match queue.free.get() {
            Some(slot) => slot,
            None => self.new_slot(),
        };
        // SAFETY: slots are freed with their queue, which `self` keeps. This one was free: nobody else
        // has it, and there is nothing in it to drop.
        unsafe {
            let slot = slot.as_ref();
            queue.free.set(slot.next.get());
            slot.buf.get().write(buf);
            slot.data.set(ptr::null_mut());
            (*slot.tag.get()).write(tag);
            Ended::of(slot)
        }
    }

    #[cold]
    fn new_slot(&self) -> NonNull<Slot<T, D>> {
        let queue = self.queue();
        queue.slots.set(queue.slots.get() + 1);
        queue.ended.reserve(queue.slots.get() as usize);
        Slot::new(self.0)
    }

    /// What has ended, without waiting.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Ended<'_, T, D>> {
        let queue = self.queue();
        let slot = queue.ended.pop()?;
        Some(Ended::of(slot))
    }

    /// Waits until something has ended, or nothing is in flight. Returns whether there is anything.
    #[inline(always)]
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let queue = self.queue();
        if queue.refused.first.get().is_some() {
            queue.take_refused();
        }
        if queue.ended.is_empty() {
            return queue.wait_for(cx);
        }
        match queue.burst.get() {
            0 => queue.pause(cx),
            burst => {
                queue.burst.set(burst - 1);
                Poll::Ready(true)
            }
        }
    }
}

impl<T: 'static, D: Device> Drop for Slots<T, D> {
    fn drop(&mut self) {
        let queue = self.queue();
        let waker = queue.waker.take();
        each::forget(queue);
        // One for this call: what is dropped below is the user's, and I/Os may end in it.
        queue.one_more();
        queue.owned.set(false);
        while let Some(slot) = queue.again.pop() {
            // SPDK does not have it, so it ends here.
            let watch = slot.watch.take();
            queue.has_ended(slot);
            if let Some(watch) = watch {
                watch.abandoned();
                watch.end_unsubmitted();
            }
        }
        let _left = Left(self.0);
        queue.drop_ended();
        drop(waker);
    }
}

/// A queue whose owner has gone, counted as an I/O in flight. Dropped, it goes too, if it is the last one;
/// also when what is the user's panics as it is dropped.
struct Left<T: 'static, D: Device>(NonNull<Queue<T, D>>);

impl<T: 'static, D: Device> Drop for Left<T, D> {
    fn drop(&mut self) {
        // SAFETY: it exists as long as an I/O counts, and one does until `one_less`.
        let queue = unsafe { self.0.as_ref() };
        queue.drop_ended();
        queue.one_less();
        if queue.in_flight() == 0 {
            // SAFETY: its owner has gone, and C has nothing of it.
            unsafe { Queue::free(self.0) };
        }
    }
}

/// A slot that C does not have, with what the user gave it. Dropped, it is free.
pub(super) struct Ended<'a, T: 'static, D: Device> {
    slot: &'a Slot<T, D>,
    /// Set when it is submitted, if it has counted as in flight until then.
    again: Option<&'a Cell<bool>>,
}

impl<'a, T: 'static, D: Device> Ended<'a, T, D> {
    /// Of a slot that does not count as in flight, for as long as its queue exists.
    #[inline(always)]
    pub(super) fn of(slot: &'a Slot<T, D>) -> Self {
        let again = None;
        Ended { slot, again }
    }

    /// The same of one that counts. `again` tells whether it still does after that has gone.
    #[inline(always)]
    pub(super) fn counting(slot: &'a Slot<T, D>, again: &'a Cell<bool>) -> Self {
        let again = Some(again);
        Ended { slot, again }
    }

    #[inline(always)]
    fn queue(&self) -> &'a Queue<T, D> {
        // SAFETY: a slot that is borrowed is one of a queue that exists.
        unsafe { self.slot.queue() }
    }

    #[inline]
    pub(super) fn tag(&self) -> &T {
        // SAFETY: initialised, since the slot is not free; nobody else has it.
        unsafe { (*self.slot.tag.get()).assume_init_ref() }
    }

    #[inline]
    pub(super) fn tag_mut(&mut self) -> &mut T {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { (*self.slot.tag.get()).assume_init_mut() }
    }

    #[inline]
    pub(super) fn buf(&mut self) -> &mut Option<DmaBuf> {
        // The user may change it, or lend it.
        self.slot.data.set(ptr::null_mut());
        // SAFETY: nobody else has the slot, and `self` is borrowed mutably.
        unsafe { &mut *self.slot.buf.get() }
    }

    #[inline]
    pub(super) fn error(&self) -> Option<&Error> {
        // SAFETY: nobody else has the slot.
        unsafe { (*self.slot.error.get()).as_ref() }
    }

    #[inline]
    pub(super) fn take_error(&mut self) -> Option<Error> {
        // Without a store where there is none.
        self.error()?;
        // SAFETY: as for `buf`.
        unsafe { (*self.slot.error.get()).take() }
    }

    #[inline]
    pub(super) fn submitted(&self) -> u64 {
        self.slot.submitted.get()
    }

    #[inline]
    pub(super) fn into_parts(self) -> (T, Option<DmaBuf>, Option<Error>) {
        let slot = self.slot;
        // SAFETY: initialised, and taken once: the slot is free from here on.
        let parts = unsafe {
            (
                (*slot.tag.get()).assume_init_read(),
                (*slot.buf.get()).take(),
                (*slot.error.get()).take(),
            )
        };
        self.queue().give_back(slot);
        mem::forget(self);
        parts
    }

    /// Submits it. If it is refused, it has ended.
    ///
    /// `KIND` is a constant, so that each kind is code of its own.
    // For an I/O that is like the last one in its slot, this is part of the callback, where each store takes time: what is
    // needed after a call is read again, so that no register is saved for it, and all else is a call that ends this.
    #[inline(always)]
    pub(super) fn submit<const KIND: u8>(self, offset: u64, blocks: u64) {
        let kind = const { Kind::ALL[KIND as usize] };
        // No code of the user's runs until it is taken out or C gets it.
        let this = ManuallyDrop::new(self);
        let slot = this.slot;
        slot.offset.set(offset);
        let is_like_last =
            slot.kind.get() == kind && slot.blocks.get() == blocks && !slot.data.get().is_null();
        if !is_like_last || span::are_wanted() {
            return ManuallyDrop::into_inner(this).submit_apart(kind, blocks);
        }
        match begin(|caller| this.queue().device.check(caller)) {
            Ok(place) if slot.shape.get() == D::shape(place) => {
                this.one_more();
                let queue = this.queue();
                queue.start(slot, place, kind, queue.callback(false));
            }
            Ok(_) => ManuallyDrop::into_inner(this).submit_apart(kind, blocks),
            Err(fault) => Ended::of(slot).refuse(fault),
        }
    }

    /// Calls [`Ended::submit_anew`], and lends `again` to nobody, so that it needs no memory.
    #[inline(always)]
    fn submit_apart(self, kind: Kind, blocks: u64) {
        let this = ManuallyDrop::new(self);
        let Some(outer) = this.again else {
            return ManuallyDrop::into_inner(this).submit_anew(kind, blocks);
        };
        let inner = Cell::new(false);
        let _tell = Tell {
            inner: &inner,
            outer,
        };
        Ended::counting(this.slot, &inner).submit_anew(kind, blocks);
    }

    /// The same, whatever the last I/O was. Its offset is set.
    #[inline(never)]
    fn submit_anew(mut self, kind: Kind, blocks: u64) {
        let (queue, slot) = (self.queue(), self.slot);
        if slot.kind.get() != kind || slot.blocks.get() != blocks {
            slot.kind.set(kind);
            slot.blocks.set(blocks);
            slot.data.set(ptr::null_mut());
        }
        drop(self.take_error());
        // Before anything is checked: the begin of a span is the user's code.
        let is_watched = queue.watch(slot);
        match begin(|caller| self.make_ready(caller)) {
            Ok(place) => {
                let this = ManuallyDrop::new(self);
                this.one_more();
                queue.start(slot, place, kind, queue.callback(is_watched));
            }
            Err(fault) => self.refuse(fault),
        }
    }

    /// Checks its device, and that its buffer is ready for it.
    fn make_ready(&mut self, caller: Caller<'_>) -> Result<D::Place, Fault> {
        let (queue, slot) = (self.queue(), self.slot);
        let place = queue.device.check(caller)?;
        let shape = D::shape(place);
        if slot.data.get().is_null() || slot.shape.get() != shape {
            let data = queue.ready(place, slot.kind.get(), self.buf(), slot.blocks.get())?;
            slot.data.set(data);
            slot.shape.set(shape);
        }
        Ok(place)
    }

    /// C gets it next.
    #[inline(always)]
    fn one_more(&self) {
        match self.again {
            Some(again) => again.set(true),
            None => self.queue().one_more(),
        }
    }

    #[cold]
    fn refuse(self, fault: Fault) {
        let (queue, slot) = (self.queue(), self.slot);
        if let Some(watch) = slot.watch.take() {
            watch.end(Some(&fault));
        }
        // The owner may have gone in its closure, or in the span that ended.
        if queue.owned.get() {
            mem::forget(self);
            queue.refuse(slot, fault);
        }
    }
}

/// Tells one flag what became of another one, also if that ends with a panic.
struct Tell<'a> {
    inner: &'a Cell<bool>,
    outer: &'a Cell<bool>,
}

impl Drop for Tell<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.inner.get() {
            self.outer.set(true);
        }
    }
}

impl<T: 'static, D: Device> Drop for Ended<'_, T, D> {
    #[inline]
    fn drop(&mut self) {
        let slot = self.slot;
        // SAFETY: initialised, and taken once: the slot is free from here on.
        let _parts = unsafe {
            (
                (*slot.tag.get()).assume_init_read(),
                (*slot.buf.get()).take(),
                (*slot.error.get()).take(),
            )
        };
        self.queue().give_back(slot);
    }
}
