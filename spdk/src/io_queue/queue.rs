//! What an [`IoQueue`](super::IoQueue) and C share.
//!
//! A [`Queue`] is on the heap. It belongs to its [`Slots`](super::slots::Slots) until that is dropped; then the
//! end of the last I/O frees it. A slot is in one place: free, with C, in one of the queue's lists, or with
//! the user as an [`Ended`].
#![allow(unsafe_code)] // Hands slots to C; what is said above is what its `unsafe` code rests on.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, Waker};

use super::slot::{Kind, List, Slot};
use super::slots::Ended;
use crate::bdev::BdevDescObject;
use crate::bdev_io;
use crate::buf::DmaBuf;
use crate::channel::IoChannelObject;
use crate::errno::Errno;
use crate::error::{At, Fault};
use crate::executor::TaskRef;
use crate::handle::Handle;
use crate::iovecs::check_len;
use crate::local::{Home, begin, count_retry, current_thread};
use crate::panic::guard;
use crate::span::Watch;
use crate::sys;

/// The type of `on_done`.
pub(super) type OnDone = unsafe extern "C" fn(*mut sys::spdk_bdev_io, bool, *mut c_void);

/// How often a task finds completions before other tasks and SPDK's pollers have their turn: devices that
/// complete at once would keep it for ever.
pub(super) const BURST: u32 = 1024;

/// So many completions are handed to the task at once: their memory is still in the CPU's first cache.
const BATCH: u32 = 32;

// The first cache line has what every I/O needs.
#[repr(C, align(64))]
pub(super) struct Queue<T> {
    pub(super) channel: Handle<IoChannelObject>,
    /// Those of the handles. The channel keeps the descriptor, so both are valid while it is.
    pub(super) c_desc: *mut sys::spdk_bdev_desc,
    pub(super) c_channel: *mut sys::spdk_io_channel,
    /// How many slots C has, and those in `again`.
    pub(super) in_flight: Cell<usize>,
    pub(super) ended: List<T>,
    pub(super) block_size: u32,
    /// How many have ended since the task went on in a callback.
    pub(super) batch: Cell<u32>,
    /// How many of those that were in flight when a round of completions began are still: a device that
    /// completes all it has ends the round with the last of them.
    pub(super) older: Cell<usize>,
    /// How often the task may find completions before it has to let others run.
    pub(super) burst: Cell<u32>,
    /// Whether its `Slots` exist.
    pub(super) owned: Cell<bool>,
    pub(super) desc: Handle<BdevDescObject>,
    /// The task to resume, or to wake.
    pub(super) task: Cell<Option<TaskRef>>,
    /// Whom to wake, if no task of ours waits.
    pub(super) waker: Cell<Option<Waker>>,
    pub(super) free: Cell<Option<NonNull<Slot<T>>>>,
    /// Refused, so they have ended for the next poll: a loop that takes all that has ended, and submits
    /// again, has an end.
    pub(super) refused: List<T>,
    /// SPDK refused these and their wait: to be submitted again by the next poll.
    pub(super) again: List<T>,
}

impl<T: 'static> Queue<T> {
    /// Looks whether I/Os may be submitted here and now.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Fault> {
        begin(|caller| self.channel.get(caller)).map(|_| ())
    }

    /// Makes a buffer ready for an I/O; returns the memory, if it needs any.
    #[inline]
    pub(super) fn ready(
        &self,
        kind: Kind,
        buf: &mut Option<DmaBuf>,
        blocks: u64,
    ) -> Result<*mut c_void, Fault> {
        match (kind, buf) {
            (Kind::WriteZeroes | Kind::Unmap | Kind::Flush, _) => Ok(ptr::null_mut()),
            (_, None) => Err(Fault::invalid("it has no buffer")),
            (_, Some(buf)) => {
                check_len(buf.len() as u64, blocks, self.block_size)?;
                match kind {
                    Kind::Read => buf.fill_in_place(),
                    _ => buf.drain_in_place(),
                }
            }
        }
    }

    /// Where the I/O of a slot is told of.
    fn at(&self, slot: &Slot<T>) -> At<'_> {
        let (offset, blocks) = (slot.offset.get(), slot.blocks.get());
        At::new(slot.kind.get().name(), &self.desc).blocks(offset, blocks)
    }

    /// The callback for an I/O that begins: one that is watched has another.
    #[inline(always)]
    pub(super) fn callback(&self, slot: &Slot<T>) -> OnDone {
        if let Some(watch) = Watch::open(&|| self.at(slot)) {
            slot.watch.set(Some(watch));
            return Self::on_watched_done;
        }
        Self::on_done
    }

    /// Hands a slot to C, which has it or gives it back in `in_flight`.
    #[inline(always)]
    pub(super) fn start(
        &self,
        slot: &Slot<T>,
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        blocks: u64,
        done: OnDone,
    ) {
        let (desc, ch) = (self.c_desc, self.c_channel);
        let arg = ptr::from_ref(slot).cast_mut().cast();
        let done: sys::spdk_bdev_io_completion_cb = Some(done);
        // SAFETY: the queue keeps the descriptor and the channel, on their spdk_thread, until the callback;
        // so does the slot its buffer, which has the length of the blocks. The callback comes once if the
        // call returns 0, maybe inside the call, else never.
        let rc = unsafe {
            match kind {
                Kind::Read => sys::spdk_bdev_read_blocks(desc, ch, data, offset, blocks, done, arg),
                Kind::Write => {
                    sys::spdk_bdev_write_blocks(desc, ch, data, offset, blocks, done, arg)
                }
                Kind::WriteZeroes => {
                    sys::spdk_bdev_write_zeroes_blocks(desc, ch, offset, blocks, done, arg)
                }
                Kind::Unmap => sys::spdk_bdev_unmap_blocks(desc, ch, offset, blocks, done, arg),
                Kind::Flush => sys::spdk_bdev_flush_blocks(desc, ch, offset, blocks, done, arg),
            }
        };
        if rc != 0 {
            self.not_started(slot, rc);
        }
    }

    #[cold]
    pub(super) fn start_again(&self, slot: &Slot<T>) {
        let (offset, blocks) = (slot.offset.get(), slot.blocks.get());
        let watch = slot.watch.take();
        let done = match watch {
            Some(_) => Self::on_watched_done,
            None => Self::on_done,
        };
        slot.watch.set(watch);
        let (kind, data) = (slot.kind.get(), slot.data.get());
        self.start(slot, kind, data, offset, blocks, done);
    }

    #[cold]
    pub(super) fn not_started(&self, slot: &Slot<T>, rc: c_int) {
        if rc == -libc::ENOMEM {
            return self.wait(slot);
        }
        let fault = Fault::errno(Errno::from_code(rc));
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

    /// Waits for a free `spdk_bdev_io`.
    pub(super) fn wait(&self, slot: &Slot<T>) {
        count_retry();
        if let Some(watch) = slot.watch.take() {
            watch.retried();
            slot.watch.set(Some(watch));
        }
        let entry = slot.wait.get().cast::<sys::spdk_bdev_io_wait_entry>();
        // SAFETY: as for the call in `start`. The entry is not in SPDK's queue: a slot is there only
        // between this call and `on_free_io`. All zeros is a valid entry.
        let rc = unsafe {
            let bdev = sys::spdk_bdev_desc_get_bdev(self.c_desc);
            ptr::write_bytes(entry, 0, 1);
            (*entry).bdev = bdev;
            (*entry).cb_fn = Some(Self::on_free_io);
            (*entry).cb_arg = ptr::from_ref(slot).cast_mut().cast();
            sys::spdk_bdev_queue_io_wait(bdev, self.c_channel, entry)
        };
        if rc != 0 {
            // SPDK has a free `spdk_bdev_io` after all.
            self.again.push(slot);
            self.wake();
        }
    }

    /// SPDK has a free `spdk_bdev_io`, and has dequeued the entry.
    unsafe extern "C" fn on_free_io(arg: *mut c_void) {
        guard("spdk_bdev_io_wait_cb", || {
            // SAFETY: the entry's context is a slot of a queue with it in flight.
            let (slot, queue) = unsafe { Slot::<T>::of(arg) };
            if queue.owned.get() {
                queue.start_again(slot);
            } else {
                queue.one_less();
                // SAFETY: C has given the slot back, and it was counted until here.
                unsafe { Queue::discard(slot.queue, slot) };
            }
        });
    }

    /// [`Queue::on_done`] of an I/O that is watched.
    unsafe extern "C" fn on_watched_done(
        bdev_io: *mut sys::spdk_bdev_io,
        success: bool,
        arg: *mut c_void,
    ) {
        guard("completion callback", || {
            // SAFETY: as for `on_done`, which gets all of it next. What the span's end runs is the user's,
            // which can let the queue go, but the slot counts as in flight.
            unsafe {
                let (slot, queue) = Slot::<T>::of(arg);
                if let Some(watch) = slot.watch.take() {
                    let fault = (!success).then(|| bdev_io::fault(bdev_io));
                    if !queue.owned.get() {
                        watch.abandoned();
                    }
                    watch.end(fault.as_ref());
                }
                Self::on_done(bdev_io, success, arg);
            }
        });
    }

    // Not a part of `on_watched_done`: with one use its closure is a part of it.
    #[inline(never)]
    unsafe extern "C" fn on_done(bdev_io: *mut sys::spdk_bdev_io, success: bool, arg: *mut c_void) {
        guard("completion callback", || {
            // SAFETY: the context is a slot of a queue with it in flight.
            let (slot, queue) = unsafe { Slot::<T>::of(arg) };
            // SAFETY: the callback owns `bdev_io` and frees it, once, after reading it and before the
            // descriptor and the channel can go.
            unsafe {
                slot.submitted
                    .set(sys::spdk_bdev_io_get_submit_tsc(bdev_io));
                if !success {
                    queue.fail(slot, bdev_io::fault(bdev_io));
                }
                sys::spdk_bdev_free_io(bdev_io);
            }
            let in_flight = queue.one_less();
            if !queue.owned.get() {
                // SAFETY: C has given the slot back, and it was counted until here.
                return unsafe { Queue::discard(slot.queue, slot) };
            }
            let is_first = queue.ended.push(slot);
            let batch = queue.batch.get() + 1;
            let older = match queue.older.get() {
                0 => in_flight,
                older => older - 1,
            };
            queue.older.set(older);
            if batch == BATCH || older == 0 {
                // The task goes on here, as C code does.
                queue.batch.set(0);
                queue.resume();
            } else {
                queue.batch.set(batch);
                if is_first {
                    queue.wake();
                }
            }
        });
    }

    /// What the user gave the slot is dropped, and the queue too if nothing is in flight.
    ///
    /// # Safety
    /// The owner has gone, C has not got the slot, and it does not count as in flight.
    #[cold]
    pub(super) unsafe fn discard(this: NonNull<Self>, slot: &Slot<T>) {
        // SAFETY: it exists until the `free` below.
        let queue = unsafe { this.as_ref() };
        let watch = slot.watch.take();
        let parts = Ended { queue, slot }.into_parts();
        if queue.in_flight.get() == 0 {
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
        }
    }

    /// What the user gave those that have ended is dropped.
    pub(super) fn drop_ended(&self) {
        self.take_refused();
        while let Some(slot) = self.ended.pop() {
            drop(Ended { queue: self, slot });
        }
    }

    /// Counts an I/O. While any is in flight, the handles count as busy.
    #[inline(always)]
    pub(super) fn one_more(&self) {
        let in_flight = self.in_flight.get();
        if in_flight == 0 {
            self.desc.begin_use();
            self.channel.begin_use();
        }
        self.in_flight.set(in_flight + 1);
    }

    /// The end of what `one_more` began; returns how many are left.
    #[inline(always)]
    pub(super) fn one_less(&self) -> usize {
        let left = self.in_flight.get() - 1;
        self.in_flight.set(left);
        if left == 0 {
            self.desc.end_use();
            self.channel.end_use();
        }
        left
    }

    #[inline(never)]
    pub(super) fn resume(&self) {
        match self.task.get() {
            // SAFETY: this is the callback of an I/O on the spdk_thread of the channel, which was in
            // flight until now. `self` may be gone after it.
            Some(task) => unsafe { Home::of(self.channel.local()).resume(task) },
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
        if self.in_flight.get() == 0 {
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
        // On another spdk_thread of this OS thread they wait for the next poll at home.
        if current_thread() == self.channel.local().thread() {
            let mut next = self.again.first.take();
            while let Some(slot) = next {
                // SAFETY: slots are freed with their queue, which the caller has.
                let slot = unsafe { slot.as_ref() };
                next = slot.next.get();
                self.start_again(slot);
            }
        }
        let lists = [&self.ended, &self.refused, &self.again];
        if lists.iter().any(|list| list.first.get().is_some()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Others get their turn.
    #[cold]
    pub(super) fn pause(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.burst.set(BURST);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// It cannot be submitted. The caller has the user's queue, so nobody lets it go.
    #[cold]
    pub(super) fn refuse_at_once(&self, slot: &Slot<T>, fault: Fault) {
        if let Some(watch) = slot.watch.take() {
            watch.end(Some(&fault));
        }
        self.refuse(slot, fault);
    }

    /// It has not been submitted, and ends.
    #[cold]
    pub(super) fn refuse(&self, slot: &Slot<T>, fault: Fault) {
        slot.submitted.set(0);
        self.fail(slot, fault);
        if self.refused.push(slot) {
            // Another task than the one that submits may wait.
            self.wake();
        }
    }

    #[cold]
    pub(super) fn fail(&self, slot: &Slot<T>, fault: Fault) {
        let at = self.at(slot);
        // SAFETY: the slot is on its way into the list of those that have ended: nobody else has it.
        unsafe { *slot.error.get() = Some(fault.at(at)) };
    }

    #[inline(always)]
    pub(super) fn give_back(&self, slot: &Slot<T>) {
        slot.next.set(self.free.get());
        self.free.set(Some(NonNull::from(slot)));
    }
}
