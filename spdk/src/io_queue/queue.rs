//! What an [`IoQueue`](super::IoQueue) and C share.
//!
//! A [`Queue`] is on the heap. It belongs to its [`Slots`](super::slots::Slots) until that is dropped; then the
//! end of the last I/O frees it. A slot is in one place: free, with C, in one of the queue's lists, or with
//! the user as an [`Ended`].
#![allow(unsafe_code)] // Hands slots to C; what is said above is what its `unsafe` code rests on.

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, Waker};

use super::device::{Device, End, Kind, Refusal};
use super::each::Head;
use super::slot::{List, Ring, Slot};
use super::slots::Ended;
use crate::buf::DmaBuf;
use crate::error::{At, Fault};
use crate::executor::TaskRef;
use crate::local::count_retry;
use crate::panic::guard;
use crate::span::Watch;

/// How often a task finds completions before other tasks and SPDK's pollers have their turn: devices that
/// complete at once would keep it for ever.
pub(super) const BURST: u32 = 1024;

/// So many completions are handed to the task at once: their memory is still in the CPU's first cache.
pub(super) const BATCH: u32 = 32;

// The first cache line has what every I/O of a bdev needs.
#[repr(C, align(64))]
pub(super) struct Queue<T, D: Device> {
    pub(super) device: D,
    pub(super) ended: Ring<T, D>,
    /// How many I/Os were started, modulo 2^32. Those that have not ended are with C, or in `again`.
    pub(super) started: Cell<u32>,
    /// How many have ended when the task goes on in a callback, since a batch is full,
    pub(super) batch_end: Cell<u32>,
    /// or since all have that were in flight when a round of completions began: a device that completes all it has ends
    /// the round with the last of them.
    pub(super) round_end: Cell<u32>,
    /// How often the task may find completions before it has to let others run.
    pub(super) burst: Cell<u32>,
    /// How many slots it has.
    pub(super) slots: Cell<u32>,
    /// What is called for each I/O that has ended; null if that is nothing.
    pub(super) each: Cell<*const Head>,
    /// The callback of an I/O that is not watched.
    pub(super) on_done: Cell<D::OnDone>,
    /// Whether its `Slots` exist.
    pub(super) owned: Cell<bool>,
    /// The task to resume, or to wake.
    pub(super) task: Cell<Option<TaskRef>>,
    /// Whom to wake, if no task of ours waits.
    pub(super) waker: Cell<Option<Waker>>,
    pub(super) free: Cell<Option<NonNull<Slot<T, D>>>>,
    /// Refused, so they have ended for the next poll: a loop that takes all that has ended, and submits
    /// again, has an end.
    pub(super) refused: List<T, D>,
    /// SPDK refused these and their wait: to be submitted again by the next poll that is pending.
    pub(super) again: List<T, D>,
}

/// The callback of an I/O, and that of one that is watched.
pub(super) struct Plain<T, D>(PhantomData<(T, D)>);
struct Watched<T, D>(PhantomData<(T, D)>);

impl<T: 'static, D: Device> Queue<T, D> {
    /// Makes a buffer ready for an I/O; returns the memory, if it needs any.
    #[inline]
    pub(super) fn ready(
        &self,
        place: D::Place,
        kind: Kind,
        buf: &mut Option<DmaBuf>,
        blocks: u64,
    ) -> Result<*mut c_void, Fault> {
        match (kind, buf) {
            (Kind::WriteZeroes | Kind::Unmap | Kind::Flush, _) => {
                self.device.measure(place, blocks, None)?;
                Ok(ptr::null_mut())
            }
            (_, None) => Err(Fault::invalid("it has no buffer")),
            (_, Some(buf)) => {
                self.device.measure(place, blocks, Some(buf.len() as u64))?;
                match kind {
                    Kind::Read => buf.fill_in_place(),
                    _ => buf.drain_in_place(),
                }
            }
        }
    }

    /// Where the I/O of a slot is told of.
    fn at(&self, slot: &Slot<T, D>) -> At<'_> {
        let (offset, blocks) = (slot.offset.get(), slot.blocks.get());
        At::new(D::name(slot.kind.get()), self.device.subject()).blocks(offset, blocks)
    }

    /// Whether an I/O that begins is watched.
    #[inline(always)]
    pub(super) fn watch(&self, slot: &Slot<T, D>) -> bool {
        let watch = Watch::open(&|| self.at(slot));
        let is_watched = watch.is_some();
        if is_watched {
            slot.watch.set(watch);
        }
        is_watched
    }

    /// The callback of an I/O: one that is watched has another.
    #[inline(always)]
    pub(super) fn callback(&self, is_watched: bool) -> D::OnDone {
        match is_watched {
            true => D::on_done::<Watched<T, D>>(),
            false => self.on_done.get(),
        }
    }

    /// Hands a slot to C, which has it or gives it back in `in_flight`.
    ///
    /// If C has taken it, nothing of the slot or the queue is used afterwards: the callback may have come inside of the
    /// call, and the task that it resumed may have let the queue go.
    #[inline(always)]
    pub(super) fn start(&self, slot: &Slot<T, D>, place: D::Place, kind: Kind, done: D::OnDone) {
        let (offset, blocks) = (slot.offset.get(), slot.blocks.get());
        let (data, arg) = (slot.data.get(), ptr::from_ref(slot).cast_mut().cast());
        // SAFETY: the queue keeps the device, on its spdk_thread, until the callback; so does the slot its buffer, which
        // was measured. `place` is of a check just now, or of one since when the I/O waits.
        let result = unsafe {
            self.device
                .start(place, kind, data, offset, blocks, done, arg)
        };
        if let Err(refusal) = result {
            self.not_started(slot, place, refusal);
        }
    }

    #[cold]
    fn start_again(&self, slot: &Slot<T, D>, place: D::Place) {
        let watch = slot.watch.take();
        let done = self.callback(watch.is_some());
        slot.watch.set(watch);
        self.start(slot, place, slot.kind.get(), done);
    }

    #[cold]
    fn not_started(&self, slot: &Slot<T, D>, place: D::Place, refusal: Refusal) {
        let fault = match refusal {
            Refusal::Full => return self.wait(slot, place),
            Refusal::Errno(errno) => Fault::errno(errno),
        };
        if let Some(watch) = slot.watch.take() {
            watch.end(Some(&fault));
        }
        self.one_less();
        if !self.owned.get() {
            // SAFETY: its owner went just now, as the span ended; the slot counted until here.
            return unsafe { Queue::discard(slot.queue, slot) };
        }
        self.refuse(slot, fault);
    }

    /// Waits until the device has room.
    pub(super) fn wait(&self, slot: &Slot<T, D>, place: D::Place) {
        count_retry();
        if let Some(watch) = slot.watch.take() {
            watch.retried();
            slot.watch.set(Some(watch));
        }
        let entry = slot.wait.get().cast();
        let arg = ptr::from_ref(slot).cast_mut().cast();
        // SAFETY: the entry is the slot's, which stays where it is. It is in no list: a slot is in one only between this
        // call and `go_on`, whose context it is.
        let waits = unsafe { self.device.wait(entry, place, Self::go_on, arg) };
        if waits {
            return;
        }
        // There is room after all.
        if !self.owned.get() {
            self.one_less();
            // SAFETY: its owner has gone, and nobody polls it; the slot counted until here.
            return unsafe { Queue::discard(slot.queue, slot) };
        }
        self.again.push(slot);
        self.wake();
    }

    /// There is room, and the slot waits no more.
    unsafe extern "C" fn go_on(arg: *mut c_void) {
        guard("end of a wait", || {
            // SAFETY: the context of the wait is a slot of a queue with it in flight.
            let slot = unsafe { Slot::<T, D>::of(arg) };
            // SAFETY: as above.
            let queue = unsafe { slot.queue() };
            debug_assert!(queue.device.is_here(), "what waits goes on at home");
            // SAFETY: `wait` has had its entry, and nobody else uses it.
            let place = unsafe { queue.device.waited(slot.wait.get().cast()) };
            if queue.owned.get() {
                queue.start_again(slot, place);
            } else {
                queue.one_less();
                // SAFETY: C has given the slot back, and it was counted until here.
                unsafe { Queue::discard(slot.queue, slot) };
            }
        });
    }

    /// The callback of an I/O.
    ///
    /// # Safety
    /// As for [`End::end`].
    #[inline(always)]
    pub(super) unsafe fn done(raw: D::Raw, arg: *mut c_void) {
        // SAFETY: the context is a slot of a queue with it in flight. The callback owns what C tells it, and frees it, once,
        // after reading it and before the device can go.
        let (slot, queue, has_failed) = unsafe {
            let slot = Slot::<T, D>::of(arg);
            let fault = D::fault(raw);
            let has_failed = fault.is_some();
            if let Some(fault) = fault {
                slot.queue().fail(slot, fault);
            }
            D::free(raw, &slot.submitted);
            (slot, slot.queue(), has_failed)
        };
        debug_assert!(
            queue.device.is_here(),
            "C called back on another spdk_thread"
        );
        if !queue.owned.get() {
            queue.one_less();
            // SAFETY: C has given the slot back, and it was counted until here.
            return unsafe { Queue::discard(slot.queue, slot) };
        }
        let (before, is_first) = (queue.ended.ended.get(), queue.ended.is_empty());
        queue.has_ended(slot);
        let (started, ended) = (queue.started.get(), queue.ended.ended.get());
        if before == queue.round_end.get() {
            queue.round_end.set(started);
        }
        if ended == queue.batch_end.get() || ended == queue.round_end.get() {
            // The task goes on here, as C code does.
            queue.batch_end.set(ended.wrapping_add(BATCH));
            match has_failed {
                false => queue.resume(),
                true => queue.wake(), // see `Callback::RESUMES`
            }
        } else if is_first {
            queue.wake();
        }
    }

    /// What the user gave the slot is dropped, and the queue too if nothing is in flight.
    ///
    /// # Safety
    /// The owner has gone, C has not got the slot, and it does not count as in flight.
    #[cold]
    pub(super) unsafe fn discard(this: NonNull<Self>, slot: &Slot<T, D>) {
        // SAFETY: it exists until the `free` below.
        let queue = unsafe { this.as_ref() };
        let watch = slot.watch.take();
        let parts = Ended::of(slot).into_parts();
        if queue.in_flight() == 0 {
            // SAFETY: the owner has gone, and C has nothing of the queue. Nobody uses `queue` after.
            unsafe { Queue::free(this) };
        }
        drop(parts);
        if let Some(watch) = watch {
            watch.abandoned();
            watch.end_unsubmitted();
        }
    }

    /// # Safety
    /// Its owner has gone, nothing is in flight, and nobody uses it any more.
    pub(super) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: leaked in `Slots::new`; every slot is free, so it has nothing to drop.
        unsafe {
            let queue = Box::from_raw(this.as_ptr());
            let mut next = queue.free.get();
            while let Some(slot) = next {
                let slot = Box::from_raw(slot.as_ptr());
                next = slot.next.get();
            }
        }
    }

    /// Those that were refused have ended.
    #[cold]
    pub(super) fn take_refused(&self) {
        while let Some(slot) = self.refused.pop() {
            self.ended.push(slot);
            self.started.set(self.started.get().wrapping_add(1));
        }
        self.begin_round();
    }

    /// What has ended was not counted one by one.
    fn begin_round(&self) {
        let ended = self.ended.ended.get();
        self.batch_end.set(ended.wrapping_add(BATCH));
        self.round_end.set(ended);
    }

    /// What the user gave those that have ended is dropped.
    pub(super) fn drop_ended(&self) {
        self.take_refused();
        while let Some(slot) = self.ended.pop() {
            drop(Ended::of(slot));
        }
    }

    /// Counts an I/O. While any is in flight, the device counts as busy.
    #[inline(always)]
    pub(super) fn one_more(&self) {
        self.device.one_more();
        let started = self.started.get();
        if started == self.ended.ended.get() {
            self.device.begin_use();
        }
        self.started.set(started.wrapping_add(1));
    }

    /// The end of what `one_more` began, for one that gets among those that have ended.
    #[inline(always)]
    pub(super) fn has_ended(&self, slot: &Slot<T, D>) {
        self.device.one_less();
        self.ended.push(slot);
        if self.in_flight() == 0 {
            self.device.end_use();
        }
    }

    /// The end of what `one_more` began, for one that does not get among those that have ended. Returns whether it was the
    /// last one in flight.
    pub(super) fn one_less(&self) -> bool {
        self.device.one_less();
        self.begin_round();
        self.started.set(self.started.get().wrapping_sub(1));
        let is_last = self.in_flight() == 0;
        if is_last {
            self.device.end_use();
        }
        is_last
    }

    /// How many slots C has, and those in `again`.
    #[inline(always)]
    pub(super) fn in_flight(&self) -> u32 {
        self.started.get().wrapping_sub(self.ended.ended.get())
    }

    #[inline(never)]
    pub(super) fn resume(&self) {
        match self.task.get() {
            // SAFETY: this is the callback of an I/O on the spdk_thread of the device, which was in
            // flight until now. `self` may be gone after it.
            Some(task) => unsafe { self.device.home().resume(task) },
            None => self.wake(),
        }
    }

    /// Wakes whoever polls the queue.
    pub(super) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        } else if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    #[inline(always)]
    pub(super) fn wait_for(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.burst.set(BURST);
        if self.in_flight() == 0 {
            return Poll::Ready(false);
        }
        let task = TaskRef::of(cx.waker());
        let before = self.task.replace(task);
        if task.is_none() || before.is_none() || self.again.first.get().is_some() {
            return self.wait_again(cx);
        }
        Poll::Pending
    }

    #[cold]
    pub(super) fn wait_again(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let waker = match (self.waker.take(), self.task.get()) {
            (_before, Some(_)) => None,
            (Some(waker), None) if waker.will_wake(cx.waker()) => Some(waker),
            (_before, None) => Some(cx.waker().clone()),
        };
        self.waker.set(waker);
        self.start_all_again();
        // All above is the user's code, or may call it: what it has changed has woken nobody.
        let lists = [&self.refused, &self.again];
        let is_over = self.in_flight() == 0 || !self.ended.is_empty();
        if is_over || lists.iter().any(|list| list.first.get().is_some()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Submits those in `again`. On another spdk_thread of this OS thread they wait for the next poll at home.
    fn start_all_again(&self) {
        if !self.device.is_here() {
            return;
        }
        let mut next = self.again.first.take();
        while let Some(slot) = next {
            // SAFETY: slots are freed with their queue, which the caller has.
            let slot = unsafe { slot.as_ref() };
            next = slot.next.get();
            // SAFETY: `wait` has had its entry, and nobody else uses it.
            let place = unsafe { self.device.waited(slot.wait.get().cast()) };
            self.start_again(slot, place);
        }
    }

    /// Others get their turn, and so do those in `again`: there may never be a poll that finds nothing ended.
    #[cold]
    pub(super) fn pause(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.burst.set(BURST);
        self.start_all_again();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// It has not been submitted, and ends.
    #[cold]
    pub(super) fn refuse(&self, slot: &Slot<T, D>, fault: Fault) {
        slot.submitted.set(0);
        self.fail(slot, fault);
        if self.refused.push(slot) {
            // Another task than the one that submits may wait.
            self.wake();
        }
    }

    #[cold]
    pub(super) fn fail(&self, slot: &Slot<T, D>, fault: Fault) {
        let at = self.at(slot);
        // SAFETY: the slot is on its way into the list of those that have ended: nobody else has it.
        unsafe { *slot.error.get() = Some(fault.at(at)) };
        // One that has failed is like no other, so that only one look is needed for both.
        slot.data.set(ptr::null_mut());
    }

    #[inline(always)]
    pub(super) fn give_back(&self, slot: &Slot<T, D>) {
        slot.next.set(self.free.get());
        self.free.set(Some(NonNull::from(slot)));
    }
}

impl<T: 'static, D: Device> End<D> for Plain<T, D> {
    type Tag = T;

    #[inline(always)]
    unsafe fn end(raw: D::Raw, arg: *mut c_void) {
        // SAFETY: passed on.
        guard("completion callback", || unsafe {
            Queue::<T, D>::done(raw, arg)
        });
    }
}

impl<T: 'static, D: Device> End<D> for Watched<T, D> {
    type Tag = T;

    unsafe fn end(raw: D::Raw, arg: *mut c_void) {
        guard("completion callback", || {
            // SAFETY: as for `done`, which gets all of it next. What the span's end runs is the user's, which can let the
            // queue go, but the slot counts as in flight.
            unsafe {
                let slot = Slot::<T, D>::of(arg);
                if let Some(watch) = slot.watch.take() {
                    if !slot.queue().owned.get() {
                        watch.abandoned();
                    }
                    watch.end(D::fault(raw).as_ref());
                }
                Queue::<T, D>::done(raw, arg);
            }
        });
    }
}
