//! The I/Os of an [`IoQueue`](super::IoQueue): a slot for each, which C has until its callback.
//!
//! The slots belong to a [`Queue`] on the heap, and the queue to its [`Slots`] until that is dropped;
//! then the end of the last I/O frees it. A slot is in one place: free, with C, in one of the queue's
//! lists, or with the user as an [`Ended`].
#![allow(unsafe_code)] // Hands slots to C; what is said above is what its `unsafe` code rests on.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, Waker};

use crate::bdev::BdevDescObject;
use crate::bdev_io;
use crate::buf::DmaBuf;
use crate::channel::IoChannelObject;
use crate::errno::Errno;
use crate::error::{At, Error, Fault};
use crate::executor::TaskRef;
use crate::handle::Handle;
use crate::iovecs::check_len;
use crate::local::{Home, begin, current_thread};
use crate::panic::guard;
use crate::sys;

/// How often a task finds completions before other tasks and SPDK's pollers have their turn: devices that
/// complete at once would keep it for ever.
const BURST: u32 = 1024;

/// What an I/O does.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Read,
    Write,
    WriteZeroes,
    Unmap,
    Flush,
}

impl Kind {
    const ALL: [Kind; 5] = [
        Kind::Read,
        Kind::Write,
        Kind::WriteZeroes,
        Kind::Unmap,
        Kind::Flush,
    ];

    /// The C function.
    fn name(self) -> &'static str {
        match self {
            Kind::Read => "spdk_bdev_read_blocks",
            Kind::Write => "spdk_bdev_write_blocks",
            Kind::WriteZeroes => "spdk_bdev_write_zeroes_blocks",
            Kind::Unmap => "spdk_bdev_unmap_blocks",
            Kind::Flush => "spdk_bdev_flush_blocks",
        }
    }
}

// The first cache line has what every I/O needs, but for the tag.
#[repr(C, align(64))]
struct Slot<T> {
    queue: NonNull<Queue<T>>,
    /// The next one in the list that it is in.
    next: Cell<Option<NonNull<Slot<T>>>>,
    offset: Cell<u64>,
    blocks: Cell<u64>,
    /// When it was submitted, once it has ended.
    submitted: Cell<u64>,
    error: UnsafeCell<Option<Error>>,
    buf: UnsafeCell<Option<DmaBuf>>,
    /// Initialised unless the slot is free.
    tag: UnsafeCell<MaybeUninit<T>>,
    kind: Cell<Kind>,
    /// SPDK's queue entry, its memory while it waits for a free `spdk_bdev_io`.
    wait: UnsafeCell<MaybeUninit<sys::spdk_bdev_io_wait_entry>>,
}

/// A list of slots, first in, first out.
struct List<T> {
    first: Cell<Option<NonNull<Slot<T>>>>,
    last: Cell<Option<NonNull<Slot<T>>>>,
}

// The first cache line has what every I/O needs.
#[repr(C, align(64))]
struct Queue<T> {
    channel: Handle<IoChannelObject>,
    /// Those of the handles. The channel keeps the descriptor, so both are valid while it is.
    c_desc: *mut sys::spdk_bdev_desc,
    c_channel: *mut sys::spdk_io_channel,
    /// How many slots C has, and those in `again`.
    in_flight: Cell<usize>,
    ended: List<T>,
    block_size: u32,
    /// How often the task may find completions before it has to let others run.
    burst: Cell<u32>,
    /// Whether its `Slots` exist.
    owned: Cell<bool>,
    desc: Handle<BdevDescObject>,
    /// The task to resume, or to wake.
    task: Cell<Option<TaskRef>>,
    /// Whom to wake, if no task of ours waits.
    waker: Cell<Option<Waker>>,
    free: Cell<Option<NonNull<Slot<T>>>>,
    /// Refused, so they have ended for the next poll: a loop that takes all that has ended, and submits
    /// again, has an end.
    refused: List<T>,
    /// SPDK refused these and their wait: to be submitted again by the next poll.
    again: List<T>,
}

/// The user's side of a [`Queue`].
pub(super) struct Slots<T: 'static>(NonNull<Queue<T>>, PhantomData<T>);

impl<T: 'static> Slots<T> {
    /// `desc` is what keeps the device of the channel open.
    pub(super) fn new(channel: &Handle<IoChannelObject>, desc: &Handle<BdevDescObject>) -> Self {
        let queue = Box::new(Queue {
            c_desc: desc.as_ptr(),
            c_channel: channel.as_ptr(),
            block_size: desc.extra().block_size(),
            channel: channel.clone(),
            desc: desc.clone(),
            burst: Cell::new(BURST),
            in_flight: Cell::new(0),
            ended: List::new(),
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
    fn queue(&self) -> &Queue<T> {
        // SAFETY: it is freed after `owned` was cleared, which the drop does. Only `&Queue` is made.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn len(&self) -> usize {
        let queue = self.queue();
        queue.in_flight.get() + queue.ended.len() + queue.refused.len()
    }

    /// A slot for a new I/O.
    #[inline(always)]
    pub(super) fn slot(&mut self, buf: Option<DmaBuf>, tag: T) -> Ended<'_, T> {
        let queue = self.queue();
        let slot = match queue.free.get() {
            Some(slot) => slot,
            None => Slot::new(self.0),
        };
        // SAFETY: slots are freed with their queue, which `self` keeps. This one was free: nobody else
        // has it, and there is nothing in it to drop.
        unsafe {
            let slot = slot.as_ref();
            queue.free.set(slot.next.get());
            slot.buf.get().write(buf);
            (*slot.tag.get()).write(tag);
            Ended { queue, slot }
        }
    }

    /// What has ended, without waiting.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Ended<'_, T>> {
        let queue = self.queue();
        let slot = queue.ended.pop()?;
        Some(Ended { queue, slot })
    }

    /// Waits until something has ended, or nothing is in flight. Returns whether there is anything.
    #[inline(always)]
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let queue = self.queue();
        if queue.refused.first.get().is_some() {
            queue.take_refused();
        }
        if queue.ended.first.get().is_none() {
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

impl<T: 'static> Drop for Slots<T> {
    fn drop(&mut self) {
        let queue = self.queue();
        let waker = queue.waker.take();
        // One for this call: what is dropped below is the user's, and I/Os may end in it.
        queue.one_more();
        queue.owned.set(false);
        while let Some(slot) = queue.again.pop() {
            // SPDK does not have it, so it ends here.
            queue.one_less();
            queue.ended.push(slot);
        }
        let _left = Left(self.0);
        queue.drop_ended();
        drop(waker);
    }
}

/// A queue whose owner has gone, counted as an I/O in flight. Dropped, it goes too, if it is the last one;
/// also when what is the user's panics as it is dropped.
struct Left<T: 'static>(NonNull<Queue<T>>);

impl<T: 'static> Drop for Left<T> {
    fn drop(&mut self) {
        // SAFETY: it exists as long as an I/O counts, and one does until `one_less`.
        let queue = unsafe { self.0.as_ref() };
        queue.drop_ended();
        if queue.one_less() == 0 {
            // SAFETY: its owner has gone, and C has nothing of it.
            unsafe { Queue::free(self.0) };
        }
    }
}

/// A slot that C does not have, with what the user gave it. Dropped, it is free.
pub(super) struct Ended<'a, T: 'static> {
    queue: &'a Queue<T>,
    slot: &'a Slot<T>,
}

impl<'a, T: 'static> Ended<'a, T> {
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
        // SAFETY: as for `buf`.
        unsafe { (*self.slot.error.get()).take() }
    }

    /// What ended it last time is none of the next time's.
    #[cold]
    fn forget_error(&mut self) {
        drop(self.take_error());
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
        self.queue.give_back(slot);
        mem::forget(self);
        parts
    }

    /// Submits it. If it is refused, it has ended.
    ///
    /// `KIND` is a constant, so that each kind is code of its own.
    #[inline(always)]
    pub(super) fn submit<const KIND: u8>(mut self, offset: u64, blocks: u64) {
        let kind = const { Kind::ALL[KIND as usize] };
        let Ended { queue, slot } = self;
        slot.kind.set(kind);
        slot.offset.set(offset);
        slot.blocks.set(blocks);
        if self.error().is_some() {
            self.forget_error();
        }
        let ready = queue.check(kind, self.buf(), blocks);
        // C gets it, or a list.
        mem::forget(self);
        match ready {
            Ok(data) => {
                queue.one_more();
                queue.start(slot, kind, data, offset, blocks);
            }
            Err(fault) => queue.refuse(slot, fault),
        }
    }
}

impl<T: 'static> Drop for Ended<'_, T> {
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
        self.queue.give_back(slot);
    }
}

impl<T: 'static> Queue<T> {
    /// Looks whether an I/O may be submitted, and makes its buffer ready; returns the memory.
    #[inline(always)]
    fn check(
        &self,
        kind: Kind,
        buf: &mut Option<DmaBuf>,
        blocks: u64,
    ) -> Result<*mut c_void, Fault> {
        begin(|caller| self.channel.get(caller))?;
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

    /// Hands a slot to C, which has it or gives it back in `in_flight`.
    #[inline(always)]
    fn start(&self, slot: &Slot<T>, kind: Kind, data: *mut c_void, offset: u64, blocks: u64) {
        let (desc, ch) = (self.c_desc, self.c_channel);
        let arg = ptr::from_ref(slot).cast_mut().cast();
        let done: sys::spdk_bdev_io_completion_cb = Some(Self::on_done);
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
    fn start_again(&self, slot: &Slot<T>) {
        // SAFETY: nobody else has the slot, and its buffer was ready before.
        let data = match unsafe { &*slot.buf.get() } {
            Some(buf) => buf.as_device_ptr(),
            None => ptr::null_mut(),
        };
        let (offset, blocks) = (slot.offset.get(), slot.blocks.get());
        self.start(slot, slot.kind.get(), data, offset, blocks);
    }

    #[cold]
    fn not_started(&self, slot: &Slot<T>, rc: c_int) {
        if rc == -libc::ENOMEM {
            return self.wait(slot);
        }
        self.one_less();
        self.refuse(slot, Fault::errno(Errno::from_code(rc)));
    }

    /// Waits for a free `spdk_bdev_io`.
    fn wait(&self, slot: &Slot<T>) {
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
            if in_flight == 0 {
                // The last of a batch: the task goes on here, as C code does.
                queue.resume();
            } else if is_first {
                queue.wake();
            }
        });
    }

    /// What the user gave the slot is dropped, and the queue too if nothing is in flight.
    ///
    /// # Safety
    /// The owner has gone, C has not got the slot, and it does not count as in flight.
    #[cold]
    unsafe fn discard(this: NonNull<Self>, slot: &Slot<T>) {
        // SAFETY: it exists until the `free` below.
        let queue = unsafe { this.as_ref() };
        let parts = Ended { queue, slot }.into_parts();
        if queue.in_flight.get() == 0 {
            // SAFETY: the owner has gone, and C has nothing of the queue. Nobody uses `queue` after.
            unsafe { Queue::free(this) };
        }
        drop(parts);
    }

    /// # Safety
    /// Its owner has gone, nothing is in flight, and nobody uses it any more.
    unsafe fn free(this: NonNull<Self>) {
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
    fn take_refused(&self) {
        while let Some(slot) = self.refused.pop() {
            self.ended.push(slot);
        }
    }

    /// What the user gave those that have ended is dropped.
    fn drop_ended(&self) {
        self.take_refused();
        while let Some(slot) = self.ended.pop() {
            drop(Ended { queue: self, slot });
        }
    }

    /// Counts an I/O. While any is in flight, the handles count as busy.
    #[inline(always)]
    fn one_more(&self) {
        let in_flight = self.in_flight.get();
        if in_flight == 0 {
            self.desc.begin_use();
            self.channel.begin_use();
        }
        self.in_flight.set(in_flight + 1);
    }

    /// The end of what `one_more` began; returns how many are left.
    #[inline(always)]
    fn one_less(&self) -> usize {
        let left = self.in_flight.get() - 1;
        self.in_flight.set(left);
        if left == 0 {
            self.desc.end_use();
            self.channel.end_use();
        }
        left
    }

    #[inline(never)]
    fn resume(&self) {
        match self.task.get() {
            // SAFETY: this is the callback of an I/O on the spdk_thread of the channel, which was in
            // flight until now. `self` may be gone after it.
            Some(task) => unsafe { Home::of(self.channel.local()).resume(task) },
            None => self.wake(),
        }
    }

    /// Wakes whoever polls the queue.
    fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        } else if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    #[inline(always)]
    fn wait_for(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.burst.set(BURST);
        if self.in_flight.get() == 0 {
            return Poll::Ready(false);
        }
        self.task.set(TaskRef::of(cx.waker()));
        if self.task.get().is_none() || self.again.first.get().is_some() {
            return self.wait_again(cx);
        }
        Poll::Pending
    }

    #[cold]
    fn wait_again(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.task.get().is_none() {
            let waker = match self.waker.take() {
                Some(waker) if waker.will_wake(cx.waker()) => waker,
                _ => cx.waker().clone(),
            };
            self.waker.set(Some(waker));
        }
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
    fn pause(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.burst.set(BURST);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// It has not been submitted, and ends.
    #[cold]
    fn refuse(&self, slot: &Slot<T>, fault: Fault) {
        slot.submitted.set(0);
        self.fail(slot, fault);
        if self.refused.push(slot) {
            // Another task than the one that submits may wait.
            self.wake();
        }
    }

    #[cold]
    fn fail(&self, slot: &Slot<T>, fault: Fault) {
        let (offset, blocks) = (slot.offset.get(), slot.blocks.get());
        let at = At::new(slot.kind.get().name(), &self.desc).blocks(offset, blocks);
        // SAFETY: the slot is on its way into the list of those that have ended: nobody else has it.
        unsafe { *slot.error.get() = Some(fault.at(at)) };
    }

    #[inline(always)]
    fn give_back(&self, slot: &Slot<T>) {
        slot.next.set(self.free.get());
        self.free.set(Some(NonNull::from(slot)));
    }
}

impl<T: 'static> Slot<T> {
    #[cold]
    fn new(queue: NonNull<Queue<T>>) -> NonNull<Self> {
        NonNull::from(Box::leak(Box::new(Slot {
            queue,
            next: Cell::new(None),
            offset: Cell::new(0),
            blocks: Cell::new(0),
            submitted: Cell::new(0),
            error: UnsafeCell::new(None),
            buf: UnsafeCell::new(None),
            tag: UnsafeCell::new(MaybeUninit::uninit()),
            kind: Cell::new(Kind::Flush),
            wait: UnsafeCell::new(MaybeUninit::uninit()),
        })))
    }

    /// The slot that C was given, and its queue.
    ///
    /// # Safety
    /// `arg` is a slot that C has. The references are not used after the queue was freed.
    #[inline(always)]
    unsafe fn of<'a>(arg: *mut c_void) -> (&'a Slot<T>, &'a Queue<T>) {
        // SAFETY: a queue exists while C has a slot of it, and so do its slots.
        unsafe {
            let slot = &*arg.cast::<Slot<T>>();
            (slot, slot.queue.as_ref())
        }
    }
}

impl<T> List<T> {
    fn new() -> Self {
        List {
            first: Cell::new(None),
            last: Cell::new(None),
        }
    }

    /// Returns whether it was empty.
    #[inline(always)]
    fn push(&self, slot: &Slot<T>) -> bool {
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
    fn pop<'a>(&self) -> Option<&'a Slot<T>> {
        // SAFETY: as for `push`.
        let first = unsafe { self.first.get()?.as_ref() };
        self.first.set(first.next.get());
        Some(first)
    }

    fn len(&self) -> usize {
        // SAFETY: as for `push`.
        let next = |slot: &NonNull<Slot<T>>| unsafe { slot.as_ref() }.next.get();
        std::iter::successors(self.first.get(), next).count()
    }
}
