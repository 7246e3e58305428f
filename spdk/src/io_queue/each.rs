//! What [`IoQueue::for_each_ended`](super::IoQueue::for_each_ended) calls for each I/O that ends.
#![allow(unsafe_code)] // Calls a closure of the user's in C's callback, while its future waits.

use std::any::{Any, TypeId};
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll};

use super::device::{Device, End};
use super::queue::{Plain, Queue};
use super::slot::Slot;
use super::slots::{Ended, Slots};
use crate::error::Fault;
use crate::executor::NOBODY;
use crate::local::{Home, run_caught};
use crate::panic::{self, guard};

/// The first part of a [`Call`], whatever its closure.
pub(super) struct Head {
    /// The type of the closure.
    of: TypeId,
    home: Home,
    /// Whether its future exists. While the closure runs, it is left to the end of that.
    wanted: Cell<bool>,
    /// For whom the spdk_thread was claimed when a poll of its future began to call it: what that is runs, too.
    outer: Cell<*const ()>,
    /// What it has panicked with.
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

/// A closure, on the heap.
#[repr(C)]
struct Call<F> {
    head: Head,
    run: UnsafeCell<F>,
}

/// The callback of an I/O, which calls a closure of type `F`.
struct Each<T, D, F>(PhantomData<(T, D, F)>);

impl<T, D, F> Each<T, D, F>
where
    T: 'static,
    D: Device,
    F: FnMut(Ended<'_, T, D>) + 'static,
{
    /// The closure that is called for the I/Os of a queue. An I/O may be older than that, and its callback of another type.
    #[inline(always)]
    fn call(queue: &Queue<T, D>) -> Option<NonNull<Call<F>>> {
        let head = NonNull::new(queue.each.get().cast_mut())?;
        // SAFETY: what `each` points to exists; see `ForEach`.
        let of = unsafe { head.as_ref() }.of;
        (of == TypeId::of::<F>()).then(|| head.cast())
    }

    /// Has the future call the closure for an I/O that has failed: the callback is no place to submit the next one then, see
    /// `Callback::RESUMES`.
    ///
    /// # Safety
    /// This is its callback, which has entered the spdk_thread.
    #[cold]
    unsafe fn put_aside(head: &Head, slot: &Slot<T, D>, fault: Fault) {
        let home = head.home;
        // SAFETY: the slot is one of a queue with it in flight.
        let queue = unsafe { slot.queue() };
        queue.fail(slot, fault);
        queue.has_ended(slot);
        // SAFETY: passed on.
        unsafe { home.leave() };
        // The user's code, which may let the future go: the closure does not run now.
        queue.wake();
    }

    /// Gets an I/O among those that have ended, or back there.
    ///
    /// # Safety
    /// As for [`End::end`].
    #[cold]
    unsafe fn keep(raw: D::Raw, arg: *mut c_void) {
        if !D::is_nothing(raw) {
            // SAFETY: passed on.
            return unsafe { Queue::<T, D>::done(raw, arg) };
        }
        // SAFETY: the context is a slot of a queue with it in flight.
        let slot = unsafe { Slot::<T, D>::of(arg) };
        // SAFETY: as above.
        unsafe { slot.queue() }.has_ended(slot);
    }
}

impl<T, D, F> End<D> for Each<T, D, F>
where
    T: 'static,
    D: Device,
    F: FnMut(Ended<'_, T, D>) + 'static,
{
    type Tag = T;

    #[inline(always)]
    unsafe fn end(raw: D::Raw, arg: *mut c_void) {
        guard("completion callback", || {
            // SAFETY: the context is a slot of a queue with it in flight.
            let slot = unsafe { Slot::<T, D>::of(arg) };
            // SAFETY: as above.
            let queue = unsafe { slot.queue() };
            let Some(call) = Self::call(queue) else {
                // SAFETY: passed on.
                return unsafe { Self::keep(raw, arg) };
            };
            // SAFETY: what `each` points to exists until the closure returns, and after that if it is still wanted.
            let (head, run) = unsafe { (&(*call.as_ptr()).head, &(*call.as_ptr()).run) };
            // SAFETY: the device has been in use until now, and is on this spdk_thread.
            if !unsafe { head.home.enter_for(call.as_ptr().cast()) } {
                // SAFETY: passed on.
                return unsafe { Self::keep(raw, arg) };
            }
            if !D::is_nothing(raw) {
                // SAFETY: the callback owns what C tells it, and frees it, once, after reading it and before the device can
                // go.
                let fault = unsafe {
                    let fault = D::fault(raw);
                    D::free(raw, &slot.submitted);
                    fault
                };
                if let Some(fault) = fault {
                    // SAFETY: as when it was entered.
                    return unsafe { Self::put_aside(head, slot, fault) };
                }
            }
            let again = Cell::new(false);
            let result = catch_unwind(AssertUnwindSafe(|| {
                // SAFETY: nobody runs it: the spdk_thread was entered for this.
                unsafe { (*run.get())(Ended::counting(slot, &again)) }
            }));
            if let Err(payload) = result {
                panicked(head, slot, payload);
            }
            // Nothing of the queue is used if C has the I/O again: it may have ended, and the queue be gone. Else it
            // counts, and the queue is still there, though its owner may have gone.
            // SAFETY: as above.
            if !again.get() && unsafe { slot.queue() }.one_less() {
                // SAFETY: passed on.
                unsafe { is_over(slot.queue) };
            }
            // All above may run code of the user's, which may let the future go.
            let home = match head.wanted.get() {
                true => head.home,
                // SAFETY: its future has left it to this.
                false => unsafe { free_after(call) },
            };
            // SAFETY: as when it was entered.
            unsafe { home.leave() };
        });
    }
}

/// The end of a closure whose future has gone while it ran.
///
/// # Safety
/// As for [`free`], and its spdk_thread is claimed for it.
#[cold]
unsafe fn free_after<F>(call: NonNull<Call<F>>) -> Home {
    // SAFETY: it exists until the `free` below.
    let home = unsafe { (*call.as_ptr()).head.home };
    // What is dropped is the user's, and is not to find a head that goes.
    // SAFETY: this is a callback on its spdk_thread.
    unsafe { home.entered() }.set(NOBODY);
    // SAFETY: passed on.
    run_caught("drop of a closure", || unsafe { free(call) });
    home
}

/// # Safety
/// It came from a box, and nobody uses it any more.
#[cold]
unsafe fn free<F>(call: NonNull<Call<F>>) {
    // SAFETY: passed on.
    drop(unsafe { Box::from_raw(call.as_ptr()) });
}

#[cold]
fn panicked<T: 'static, D: Device>(head: &Head, slot: &Slot<T, D>, payload: Box<dyn Any + Send>) {
    if head.wanted.get() {
        // SAFETY: the future exists, which has the queue.
        let queue = unsafe { slot.queue() };
        head.panic.set(Some(payload));
        // It is not called again.
        stop(queue);
        queue.wake();
    } else {
        let message = panic::message(payload);
        tracing::error!(what = "for_each_ended", %message, "panic on an spdk_thread");
    }
}

/// # Safety
/// Nothing is in flight, and the caller does not use the queue afterwards unless its owner exists.
#[cold]
unsafe fn is_over<T: 'static, D: Device>(this: NonNull<Queue<T, D>>) {
    // SAFETY: it exists until the `free` below.
    let queue = unsafe { this.as_ref() };
    if queue.owned.get() {
        queue.wake();
    } else {
        // SAFETY: its owner has gone, and C has nothing of it.
        unsafe { Queue::free(this) };
    }
}

fn stop<T: 'static, D: Device>(queue: &Queue<T, D>) {
    queue.each.set(ptr::null());
    queue.on_done.set(D::on_done::<Plain<T, D>>());
}

/// The owner of the queue goes. A closure that is still called is that of a future that was forgotten.
pub(super) fn forget<T: 'static, D: Device>(queue: &Queue<T, D>) {
    // SAFETY: what `each` points to exists.
    if let Some(head) = unsafe { queue.each.get().as_ref() } {
        // If it runs, that is the end of it; else it is forgotten, too.
        head.wanted.set(false);
        stop(queue);
    }
}

/// The future of [`IoQueue::for_each_ended`](super::IoQueue::for_each_ended).
///
/// From its first poll to its drop the queue points to its [`Call`].
pub(super) struct ForEach<'a, T: 'static, D: Device, F: 'static> {
    slots: &'a mut Slots<T, D>,
    call: NonNull<Call<F>>,
}

impl<'a, T: 'static, D: Device, F> ForEach<'a, T, D, F> {
    pub(super) fn new(slots: &'a mut Slots<T, D>, run: F) -> Self
    where
        F: FnMut(Ended<'_, T, D>),
    {
        let head = Head {
            of: TypeId::of::<F>(),
            home: slots.queue().device.home(),
            wanted: Cell::new(true),
            outer: Cell::new(ptr::null()),
            panic: Cell::new(None),
        };
        let run = UnsafeCell::new(run);
        let call = NonNull::from(Box::leak(Box::new(Call { head, run })));
        ForEach { slots, call }
    }

    fn head(&self) -> &Head {
        // SAFETY: it exists until the drop.
        unsafe { &(*self.call.as_ptr()).head }
    }

    /// Whether the closure runs now, or something that it has called does.
    fn is_running(&self) -> bool {
        // SAFETY: the queue keeps its device, which keeps its spdk_thread.
        let mut whom = unsafe { self.head().home.entered() }.get();
        while !whom.is_null() && whom != NOBODY {
            if whom == self.call.as_ptr().cast_const().cast() {
                return true;
            }
            // SAFETY: only `Each::end` claims it for somebody: for a head, which exists until its closure has returned.
            whom = unsafe { &*whom.cast::<Head>() }.outer.get();
        }
        false
    }

    /// Calls the closure for what has ended by now.
    fn take_ended(&self) {
        let queue = self.slots.queue();
        // SAFETY: as in `is_running`.
        let entered = unsafe { self.head().home.entered() };
        // Whoever has claimed it does nothing else meanwhile.
        self.head().outer.set(entered.replace(ptr::null()));
        for _ in 0..queue.ended.len() {
            if let Some(slot) = queue.ended.pop() {
                // As in a callback, it counts until the closure has returned.
                queue.one_more();
                // SAFETY: this is the callback of this closure, with a slot of the queue that counts.
                unsafe { D::call(queue.on_done.get(), ptr::from_ref(slot).cast_mut().cast()) };
            }
            if queue.each.get().is_null() {
                break; // it has panicked
            }
        }
        entered.set(self.head().outer.replace(ptr::null()));
    }
}

// What it owns is on the heap, or borrowed.
impl<T: 'static, D: Device, F> Unpin for ForEach<'_, T, D, F> {}

impl<T, D, F> Future for ForEach<'_, T, D, F>
where
    T: 'static,
    D: Device,
    F: FnMut(Ended<'_, T, D>) + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_running() {
            // Polled by the closure itself.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let queue = self.slots.queue();
        let panic = self.head().panic.take().or_else(|| {
            queue.each.set(self.call.as_ptr().cast_const().cast());
            queue.on_done.set(D::on_done::<Each<T, D, F>>());
            queue.take_refused();
            self.take_ended();
            self.head().panic.take()
        });
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        if !queue.ended.is_empty() || queue.refused.first.get().is_some() {
            // Others have their turn before what has ended meanwhile.
            return queue.pause(cx).map(|_| ());
        }
        let poll = queue.wait_for(cx).map(|_| ());
        if queue.each.get().is_null() {
            // It has panicked in there, maybe before there was anybody to wake.
            cx.waker().wake_by_ref();
        }
        poll
    }
}

impl<T: 'static, D: Device, F> Drop for ForEach<'_, T, D, F> {
    fn drop(&mut self) {
        let queue = self.slots.queue();
        if ptr::addr_eq(queue.each.get(), self.call.as_ptr()) {
            stop(queue);
        }
        if self.is_running() {
            self.head().wanted.set(false);
        } else {
            // SAFETY: nothing points to it any more.
            unsafe { free(self.call) };
        }
    }
}
