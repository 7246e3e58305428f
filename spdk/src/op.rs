//! The life of an operation in flight, and the only place that turns a `cb_arg` back into Rust.
//!
//! An operation lives in a [`Slot`] with two owners, the future and C:
//!
//! - The slot owns `held`: everything that C may touch. It is dropped in the callback (or when SPDK
//!   refuses the submission), never with the future. So a future can be dropped or forgotten at any
//!   await point, and nothing is freed or reused that SPDK can still touch.
//! - The result is made in the callback by `finish`, so a resource that C hands out is an owned Rust
//!   value before the waker runs: if the future is gone, it is dropped there and releases itself.
//! - Whoever watches it as a span ([`Watch`]) does so from the slot, so that the span ends with the
//!   operation. An operation without costs nothing: `Watched` is a state that no other one passes through.
//! - The last of the two owners frees the slot. The future of a forgotten operation never does, so
//!   `mem::forget` leaks the slot, and nothing else.
//!
//! The states and who moves between them:
//!
//! ```text
//!                                                  +--> Waiting, if C had no room for it
//! Retry ------poll-----> Submitting --Pending---> InFlight --callback--> Done
//!   ^                    ^  |  |  |                                       ^ ^
//!   | SPDK has one       |  |  |  +--callback inside the call--> Inline --+ |
//!   | after all          |  |  +-----Refused, Done--------------------------+
//!   +------- Waiting <---|--+ NoMemory, Full
//!               +--------+ a bdev_io, or a request of the queue, was freed
//! ```
#![allow(unsafe_code)] // The states above are what its `unsafe` code rests on.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::errno::Errno;
use crate::error::Fault;
use crate::executor::TaskRef;
use crate::handle::Held;
use crate::local::{count_retry, current_thread, thread_name};
use crate::panic::guard;
use crate::slot;
use crate::span::Watch;
use crate::sys;
use crate::waiters::Waiters;

/// A C callback type that ends an operation.
///
/// # Safety
///
/// The function that [`Callback::of`] returns passes the context that C gives it to [`complete`]
/// with the same `K`, once per call, and does nothing else that can run user code.
pub unsafe trait Callback: 'static {
    /// The C type: an `Option` of a function pointer.
    type Fn: Copy;
    /// What C reports, before it is made into Rust values.
    type Raw: 'static;
    /// The C function for operations of kind `K`.
    fn of<K: Complete<Self::Raw>>() -> Self::Fn;
    /// Whether the task that waits may be polled inside the callback, where it may do what an
    /// application's callback may. It is not where the operation has failed: SPDK ends many one after the other as it resets a
    /// device, from lists of which a task that submits again would have it lose its place.
    const RESUMES: bool = false;
    /// Whether C may call back on another spdk_thread, so that the callback has to know whose operation it is:
    /// [`Complete::home`] tells. [`complete`] is called there in any case, which a debug build sees to.
    const IS_SENT_HOME: bool = false;
    /// What [`Submitted::Done`] means; a callback type without it is not used with that answer.
    fn done() -> Option<Self::Raw> {
        None
    }
}

/// A kind of operation that can be completed. Implemented by the core only.
pub trait Complete<Raw>: sealed::Sealed + 'static {
    /// # Safety
    /// As for [`complete`].
    #[doc(hidden)]
    unsafe fn complete(arg: *mut c_void, raw: Raw);

    /// C has called back without having done it: it waits, and is submitted again.
    ///
    /// # Safety
    /// As for [`complete`], not inside of the call that submitted it; and the operation keeps the waiters, which go on
    /// one day.
    #[doc(hidden)]
    unsafe fn wait(arg: *mut c_void, waiters: &Waiters);

    /// The spdk_thread of the operation, where it is to be completed. On any OS thread.
    ///
    /// # Safety
    /// As for [`complete`], except for the spdk_thread; and it is a [`Callback::IS_SENT_HOME`].
    #[doc(hidden)]
    unsafe fn home(_: *mut c_void) -> *mut sys::spdk_thread {
        unreachable!("C calls back where the operation is at home");
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// What a submit function said.
#[derive(Debug)]
pub enum Submitted {
    /// Accepted: the callback runs exactly once, or has run already.
    Pending,
    /// Refused: the callback does not run. If it ran all the same, what it said counts.
    Refused(Errno),
    /// Done at once, successfully, without a callback.
    Done,
    /// No `spdk_bdev_io` is free: wait for one, then submit again.
    NoMemory {
        /// The descriptor that was submitted on.
        desc: *mut sys::spdk_bdev_desc,
        /// The channel to wait on.
        ch: *mut sys::spdk_io_channel,
    },
    /// The queue has no request to spare: wait among these for one, then submit again.
    Full(*const Waiters),
}

impl Submitted {
    /// The usual contract of an `int`: 0 means that the callback will run, another value never.
    #[inline]
    pub fn rc(rc: c_int) -> Self {
        if rc == 0 {
            Submitted::Pending
        } else {
            Submitted::Refused(Errno::from_code(rc))
        }
    }
}

/// [`Submitted::rc`] of a bdev I/O, except that `-ENOMEM` waits for a free `spdk_bdev_io`.
#[inline]
pub fn bdev_rc(
    rc: c_int,
    desc: *mut sys::spdk_bdev_desc,
    ch: *mut sys::spdk_io_channel,
) -> Submitted {
    if rc == -libc::ENOMEM {
        Submitted::NoMemory { desc, ch }
    } else {
        Submitted::rc(rc)
    }
}

/// A completion status: 0, or an errno of either sign.
#[inline]
pub fn status(rc: c_int) -> Result<(), Fault> {
    if rc == 0 {
        Ok(())
    } else {
        Err(Fault::errno(Errno::from_code(rc)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Submitting,
    Inline,
    InFlight,
    /// `InFlight`, and watched.
    Watched,
    Waiting,
    Retry,
    Done,
}

// In this order, a read or a write uses one cache line.
#[repr(C)]
struct Slot<C: Callback, H, S, F, T> {
    state: Cell<State>,
    /// Whether the future still has its share.
    wanted: Cell<bool>,
    /// Whether `waker` is initialised.
    has_waker: Cell<bool>,
    /// Whether `watch` is initialised.
    has_watch: Cell<bool>,
    /// The task to resume, or to wake.
    task: Cell<Option<TaskRef>>,
    /// Initialised until the operation ends: `Shared::finish` or `Shared::drop_parts` takes it.
    held: UnsafeCell<ManuallyDrop<H>>,
    submit: UnsafeCell<ManuallyDrop<S>>,
    finish: UnsafeCell<ManuallyDrop<F>>,
    /// Initialised in `Done`.
    result: UnsafeCell<MaybeUninit<Result<T, Fault>>>,
    /// Whom to wake, if no task of ours waits.
    waker: UnsafeCell<MaybeUninit<Waker>>,
    watch: UnsafeCell<MaybeUninit<Rc<Watch>>>,
    /// Initialised in `Inline`.
    raw: UnsafeCell<MaybeUninit<C::Raw>>,
    /// The spdk_thread to submit on again, in `Retry`; that of the operation, while C has it, if [`knows_home`].
    home: UnsafeCell<MaybeUninit<*mut sys::spdk_thread>>,
    /// SPDK's queue entry, its memory while `Waiting`.
    wait: UnsafeCell<MaybeUninit<sys::spdk_bdev_io_wait_entry>>,
}

impl<C: Callback, H, S, F, T> Slot<C, H, S, F, T> {
    fn take_waker(&self) -> Option<Waker> {
        self.has_waker.replace(false).then(|| {
            // SAFETY: it was initialised, and is not any more.
            unsafe { (*self.waker.get()).assume_init_read() }
        })
    }

    /// There is none.
    fn set_waker(&self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            // SAFETY: only this file uses it, for the length of a statement.
            unsafe { (*self.waker.get()).write(waker) };
            self.has_waker.set(true);
        }
    }

    fn take_watch(&self) -> Option<Rc<Watch>> {
        self.has_watch.replace(false).then(|| {
            // SAFETY: it was initialised, and is not any more.
            unsafe { (*self.watch.get()).assume_init_read() }
        })
    }

    fn watch(&self) -> Option<Rc<Watch>> {
        self.has_watch.get().then(|| {
            // SAFETY: it is initialised; only this file uses it, for the length of a statement.
            unsafe { (*self.watch.get()).assume_init_ref() }.clone()
        })
    }
}

/// The kind of operation that C's callbacks are made for.
struct Kind<C, H, S, F, T>(PhantomData<(C, H, S, F, T)>);

impl<C, H, S, F, T> sealed::Sealed for Kind<C, H, S, F, T> {}

impl<C, H, S, F, T> Complete<C::Raw> for Kind<C, H, S, F, T>
where
    C: Callback,
    H: Held,
    S: FnMut(&mut H, C::Fn, *mut c_void) -> Submitted + 'static,
    F: FnOnce(&mut H, C::Raw) -> Result<T, Fault> + 'static,
    T: 'static,
{
    #[inline]
    unsafe fn complete(arg: *mut c_void, raw: C::Raw) {
        // SAFETY: `arg` is the slot that `submit` passed to C; C's share keeps it allocated.
        let slot = unsafe { Shared::<C, H, S, F, T>::from_arg(arg) };
        // SAFETY: C calls back.
        unsafe { slot.check_home() };
        slot.complete(raw);
    }

    #[cold]
    unsafe fn wait(arg: *mut c_void, waiters: &Waiters) {
        // SAFETY: as above.
        let slot = unsafe { Shared::<C, H, S, F, T>::from_arg(arg) };
        // SAFETY: C calls back.
        unsafe { slot.check_home() };
        slot.wait_among(waiters);
    }

    unsafe fn home(arg: *mut c_void) -> *mut sys::spdk_thread {
        const { assert!(C::IS_SENT_HOME) };
        // SAFETY: `arg` is the slot; the caller promises the rest.
        unsafe { Shared::<C, H, S, F, T>::from_arg(arg).home() }
    }
}

/// Whether an operation knows the spdk_thread that it is of: to be sent home, or to see that it is there, which every
/// operation does in a debug build.
const fn knows_home<C: Callback>() -> bool {
    C::IS_SENT_HOME || cfg!(debug_assertions)
}

/// Ends an operation. Called by the functions that [`Callback::of`] returns.
///
/// # Safety
///
/// `arg` is the context that the submission of an operation of kind `K` was given, and the C
/// function that got it calls back once.
#[inline]
pub unsafe fn complete<K: Complete<Raw>, Raw>(arg: *mut c_void, raw: Raw) {
    // SAFETY: passed on.
    guard("completion callback", || unsafe { K::complete(arg, raw) });
}

/// A share of a slot: the future's, or C's.
struct Shared<C: Callback, H, S, F, T>(NonNull<Slot<C, H, S, F, T>>);

impl<C: Callback, H, S, F, T> Clone for Shared<C, H, S, F, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C: Callback, H, S, F, T> Copy for Shared<C, H, S, F, T> {}

impl<C, H, S, F, T> Shared<C, H, S, F, T>
where
    C: Callback,
    H: Held,
    S: FnMut(&mut H, C::Fn, *mut c_void) -> Submitted + 'static,
    F: FnOnce(&mut H, C::Raw) -> Result<T, Fault> + 'static,
    T: 'static,
{
    // Inlined and written field by field, so that the parts are built in the slot: copying a struct
    // of fresh stores stalls the CPU.
    #[inline(always)]
    fn new(held: H, submit: S, finish: F) -> Self {
        // Nothing to drop on the way, so that the compiler can keep the parts in registers.
        let (held, submit, finish) = (
            ManuallyDrop::new(held),
            ManuallyDrop::new(submit),
            ManuallyDrop::new(finish),
        );
        let slot = slot::alloc::<Slot<C, H, S, F, T>>();
        let place = slot.as_ptr();
        // SAFETY: `alloc` gave memory for a slot. The fields that are not written are `MaybeUninit`.
        unsafe {
            (&raw mut (*place).held).write(UnsafeCell::new(held));
            (&raw mut (*place).submit).write(UnsafeCell::new(submit));
            (&raw mut (*place).finish).write(UnsafeCell::new(finish));
            (&raw mut (*place).task).write(Cell::new(None));
            (&raw mut (*place).state).write(Cell::new(State::Submitting));
            (&raw mut (*place).wanted).write(Cell::new(true));
            (&raw mut (*place).has_waker).write(Cell::new(false));
            (&raw mut (*place).has_watch).write(Cell::new(false));
        }
        Shared(slot)
    }

    /// # Safety
    /// `arg` came from `to_arg` of the same type, and C still has its share.
    #[inline]
    unsafe fn from_arg(arg: *mut c_void) -> Self {
        // SAFETY: `to_arg` passed a pointer that is not null.
        Shared(unsafe { NonNull::new_unchecked(arg.cast()) })
    }

    fn to_arg(self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    #[inline]
    fn slot(&self) -> &Slot<C, H, S, F, T> {
        // SAFETY: a share keeps the slot allocated and initialised; only `&Slot` is ever made.
        unsafe { self.0.as_ref() }
    }

    /// The spdk_thread of the operation. On any OS thread.
    ///
    /// # Safety
    /// C has the operation, and it [`knows_home`].
    unsafe fn home(self) -> *mut sys::spdk_thread {
        // SAFETY: C's share keeps the slot allocated. No reference to it is made, which its own OS thread may be changing;
        // but not this field, which was written before C was called, as long as C has it.
        unsafe {
            let home = &raw const (*self.0.as_ptr()).home;
            (*home.cast::<MaybeUninit<_>>()).assume_init_read()
        }
    }

    /// In a debug build, sees that the operation is at home: nothing of it may be touched elsewhere.
    ///
    /// # Safety
    /// C has the operation.
    #[inline(always)]
    unsafe fn check_home(self) {
        if cfg!(debug_assertions) {
            // SAFETY: in a debug build each knows it.
            let (home, here) = (unsafe { self.home() }, current_thread());
            if home != here {
                // SAFETY: the current spdk_thread exists, as does one that has an operation.
                let (here, home) = unsafe { (thread_name(here), thread_name(home)) };
                let callback = std::any::type_name::<C>();
                panic!(
                    "C called back on {here}, for an operation of {home}: {callback} forbids it"
                );
            }
        }
    }

    /// Calls C and follows what it says. The operation is new, in `Retry`, or in `Waiting` and just
    /// dequeued. Returns whether C has it now.
    #[inline(always)]
    fn submit(self) -> bool {
        let slot = self.slot();
        slot.state.set(State::Submitting);
        if knows_home::<C>() {
            // SAFETY: C does not have the operation yet, and nobody else reads it in this state.
            unsafe { (*slot.home.get()).write(current_thread()) };
        }
        // SAFETY: `held` and `submit` are initialised until the operation ends. In `Submitting`
        // nobody else reaches them: a callback inside the call leaves them alone (`Inline`).
        let said = unsafe {
            let submit = &mut **slot.submit.get();
            let held = &mut **slot.held.get();
            submit(held, C::of::<Kind<C, H, S, F, T>>(), self.to_arg())
        };
        if slot.state.get() == State::Inline {
            // SAFETY: `Inline` says that `raw` is initialised; it is read once.
            let raw = unsafe { (*slot.raw.get()).assume_init_read() };
            self.finish_and_wake(raw);
            return false;
        }
        match said {
            Submitted::Pending => {
                slot.state.set(State::InFlight);
                return true;
            }
            Submitted::NoMemory { desc, ch } => self.wait(desc, ch),
            Submitted::Full(waiters) => self.wait_among(waiters),
            Submitted::Refused(errno) => self.refuse(Fault::errno(errno)),
            Submitted::Done => match C::done() {
                Some(raw) => self.finish_and_wake(raw),
                None => self.refuse(Fault::errno(Errno::EPROTO)),
            },
        }
        false
    }

    /// Queues the operation for a request of its queue.
    #[cold]
    fn wait_among(self, waiters: *const Waiters) {
        count_retry();
        let slot = self.slot();
        if let Some(watch) = slot.watch() {
            watch.retried();
        }
        slot.state.set(State::Waiting);
        // SAFETY: `held` keeps the queue, whose waiters they are.
        unsafe { (*waiters).push(Self::go_on, self.to_arg()) }
    }

    /// Queues the operation for the next `spdk_bdev_io` that this thread frees.
    #[cold]
    fn wait(self, desc: *mut sys::spdk_bdev_desc, ch: *mut sys::spdk_io_channel) {
        count_retry();
        let slot = self.slot();
        if let Some(watch) = slot.watch() {
            watch.retried();
        }
        let entry = slot.wait.get().cast::<sys::spdk_bdev_io_wait_entry>();
        slot.state.set(State::Waiting);
        // SAFETY: the submission was on `desc` and `ch`, which `held` keeps. The entry is not in
        // SPDK's queue: that is so in `Waiting` only, which began here. All zeros is a valid entry; it
        // stays where it is until its callback.
        let rc = unsafe {
            let bdev = sys::spdk_bdev_desc_get_bdev(desc);
            ptr::write_bytes(entry, 0, 1);
            (*entry).bdev = bdev;
            (*entry).cb_fn = Some(Self::go_on);
            (*entry).cb_arg = self.to_arg();
            sys::spdk_bdev_queue_io_wait(bdev, ch, entry)
        };
        if rc != 0 {
            if !slot.wanted.get() {
                // SAFETY: the future gave its share up in the submit call; SPDK has no entry.
                return unsafe { self.abandon() };
            }
            // SPDK has a free `spdk_bdev_io` after all: the next poll submits again.
            slot.state.set(State::Retry);
            // SAFETY: nobody reads it in another state.
            unsafe { (*slot.home.get()).write(current_thread()) };
            self.wake();
        }
    }

    /// What the operation waited for is there, and it waits in no queue any more.
    unsafe extern "C" fn go_on(arg: *mut c_void) {
        guard("end of a wait", || {
            // SAFETY: the context of the wait is the slot, and C's share lasts until this call.
            let this = unsafe { Self::from_arg(arg) };
            if this.slot().wanted.get() {
                this.submit_again();
            } else {
                // SAFETY: the future gave its share up, and C has nothing of the operation.
                unsafe { this.abandon() }
            }
        });
    }

    #[cold]
    fn submit_again(self) {
        if self.submit() && self.slot().has_watch.get() {
            self.slot().state.set(State::Watched);
        }
    }

    /// The callback runs.
    #[inline(always)]
    fn complete(self, raw: C::Raw) {
        let slot = self.slot();
        match slot.state.get() {
            State::InFlight => {
                // SAFETY: `held` is initialised until `finish`.
                let home = unsafe { (**slot.held.get()).home() };
                let result = self.finish(raw);
                let has_failed = result.is_err();
                if !self.end(result) {
                    return;
                }
                match self.slot().task.get() {
                    // SAFETY: this is the callback of the operation, which just ended.
                    Some(task) if C::RESUMES && !has_failed => unsafe { home.resume(task) },
                    _ => self.wake(),
                }
            }
            State::Watched => self.finish_and_wake(raw),
            State::Submitting => {
                // SAFETY: `raw` is not initialised before, and read after `Inline` only.
                unsafe { (*slot.raw.get()).write(raw) };
                slot.state.set(State::Inline);
            }
            state => unreachable!("SPDK completed an operation that is {state:?}"),
        }
    }

    #[cold]
    fn finish_and_wake(self, raw: C::Raw) {
        let result = self.finish(raw);
        self.tell(result.as_ref().err());
        if self.end(result) {
            self.wake();
        }
    }

    /// Makes the result of what C reported, which drops what C held.
    #[inline(always)]
    fn finish(self, raw: C::Raw) -> Result<T, Fault> {
        let slot = self.slot();
        // SAFETY: each is initialised until the operation ends, which is here, once.
        unsafe {
            ManuallyDrop::drop(&mut *slot.submit.get());
            let held = &mut *slot.held.get();
            let finish = ManuallyDrop::take(&mut *slot.finish.get());
            let result = finish(held, raw);
            H::drop(held);
            result
        }
    }

    /// C has, and will have, nothing of the operation.
    #[cold]
    fn refuse(self, fault: Fault) {
        // SAFETY: the operation ends here, once, and C refused it.
        unsafe { self.drop_parts() };
        self.tell(Some(&fault));
        if self.end(Err(fault)) {
            self.wake();
        }
    }

    /// Tells whoever watches how it ended. That runs the user's code, in which the future may go, but C's
    /// share keeps the slot.
    fn tell(self, fault: Option<&Fault>) {
        if let Some(watch) = self.slot().take_watch() {
            watch.end(fault);
        }
    }

    /// Hands the result to the future, if there is one; else drops it.
    #[inline(always)]
    fn end(self, result: Result<T, Fault>) -> bool {
        let slot = self.slot();
        if slot.wanted.get() {
            // SAFETY: the result is not initialised before `Done`.
            unsafe { (*slot.result.get()).write(result) };
            slot.state.set(State::Done);
            true
        } else {
            drop(result);
            // SAFETY: the future gave its share up, and C's ends here.
            unsafe { self.free() };
            false
        }
    }

    /// Wakes whoever waits, in `Done` or `Retry`. The slot may be gone on return.
    fn wake(self) {
        let slot = self.slot();
        if let Some(task) = slot.task.get() {
            task.wake();
        } else if let Some(waker) = slot.take_waker() {
            waker.wake();
        }
    }

    /// Ends it without a result: it was to be submitted later.
    ///
    /// # Safety
    /// The future gave its share up, and C has nothing of the operation.
    #[cold]
    unsafe fn abandon(self) {
        let watch = self.slot().take_watch();
        // SAFETY: it has not ended, and nobody has a share any more.
        unsafe {
            self.drop_parts();
            self.free();
        }
        if let Some(watch) = watch {
            watch.end_unsubmitted();
        }
    }

    /// # Safety
    /// The operation has not ended, and C has nothing of it.
    unsafe fn drop_parts(self) {
        let slot = self.slot();
        // SAFETY: initialised until the operation ends; the caller ends it.
        unsafe {
            ManuallyDrop::drop(&mut *slot.submit.get());
            ManuallyDrop::drop(&mut *slot.finish.get());
            ManuallyDrop::drop(&mut *slot.held.get());
        }
    }

    /// # Safety
    /// Both owners gave up their shares, the waker is gone, and what the state says is initialised
    /// was dropped.
    #[inline]
    unsafe fn free(self) {
        // SAFETY: made by `slot::alloc`; nothing is left in it to drop.
        unsafe { slot::free(self.0) };
    }

    /// A look that may submit again, or run the code of the user's wakers.
    #[cold]
    fn poll_again(self, cx: &mut Context<'_>) -> Poll<Result<T, Fault>> {
        let slot = self.slot();
        if slot.state.get() == State::Retry {
            // SAFETY: it is initialised in `Retry`.
            let home = unsafe { (*slot.home.get()).assume_init() };
            // On another spdk_thread of this OS thread it only waits for its own turn.
            if home == current_thread() {
                self.submit_again();
            }
        }
        if slot.state.get() == State::Done {
            return Poll::Ready(self.take());
        }
        slot.task.set(TaskRef::of(cx.waker()));
        let waker = match slot.take_waker() {
            _ if slot.task.get().is_some() => None,
            Some(waker) if waker.will_wake(cx.waker()) => Some(waker),
            _ => Some(cx.waker().clone()),
        };
        slot.set_waker(waker);
        match slot.state.get() {
            State::Retry => cx.waker().wake_by_ref(),
            // It ended in the clone of one waker or the drop of another, which are the user's code.
            State::Done => {
                let _waker = slot.take_waker();
                return Poll::Ready(self.take());
            }
            _ => {}
        }
        Poll::Pending
    }

    /// Takes the result, in `Done`, and frees the slot.
    #[inline(always)]
    fn take(self) -> Result<T, Fault> {
        // SAFETY: `Done` says that the result is initialised; it is read once, since both shares
        // end here. The callback took the waker.
        unsafe {
            let result = (*self.slot().result.get()).assume_init_read();
            self.free();
            result
        }
    }
}

/// The future's share of an operation; see [`op`]. Whoever has it polls it until it is ready, or gives
/// it up.
pub trait Operation: Copy {
    /// What the operation makes.
    type Output;

    /// # Safety
    /// The share was neither ready nor given up.
    unsafe fn poll(self, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Fault>>;

    /// The first poll of an operation that C has.
    ///
    /// # Safety
    /// As for [`Operation::poll`]; it was submitted just now, and is in flight.
    unsafe fn wait_for(self, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Fault>>;

    /// What C knows it by. No other operation has it while the share is neither ready nor given up.
    fn context(self) -> *mut c_void;

    /// Has it watched from now on. Runs the code of the user's subscriber.
    ///
    /// # Safety
    /// As for [`Operation::poll`]; it is not watched, and is inside no call of C.
    unsafe fn watch(self, watch: Rc<Watch>);

    /// Gives it up: the operation goes on without a future.
    ///
    /// # Safety
    /// As for [`Operation::poll`].
    unsafe fn detach(self);
}

/// An operation that was submitted.
pub struct Begun<O> {
    /// The future's share.
    pub op: O,
    /// Whether C has it now.
    pub in_flight: bool,
}

impl<C, H, S, F, T> Operation for Shared<C, H, S, F, T>
where
    C: Callback,
    H: Held,
    S: FnMut(&mut H, C::Fn, *mut c_void) -> Submitted + 'static,
    F: FnOnce(&mut H, C::Raw) -> Result<T, Fault> + 'static,
    T: 'static,
{
    type Output = T;

    #[inline(always)]
    unsafe fn poll(self, cx: &mut Context<'_>) -> Poll<Result<T, Fault>> {
        let slot = self.slot();
        let state = slot.state.get();
        if state == State::Done {
            return Poll::Ready(self.take());
        }
        self.poll_again(cx)
    }

    #[inline(always)]
    unsafe fn wait_for(self, cx: &mut Context<'_>) -> Poll<Result<T, Fault>> {
        match TaskRef::of(cx.waker()) {
            Some(task) => {
                self.slot().task.set(Some(task));
                Poll::Pending
            }
            None => self.poll_again(cx),
        }
    }

    fn context(self) -> *mut c_void {
        self.to_arg()
    }

    #[cold]
    unsafe fn watch(self, watch: Rc<Watch>) {
        let slot = self.slot();
        match slot.state.get() {
            State::Done => {
                // SAFETY: the result is initialised, and the future's share keeps it there.
                let result = unsafe { (*slot.result.get()).assume_init_ref() };
                return watch.end(result.as_ref().err());
            }
            State::InFlight => slot.state.set(State::Watched),
            State::Waiting | State::Retry => watch.retried(),
            state => unreachable!("an operation that is {state:?} is not new"),
        }
        // SAFETY: only this file uses it, for the length of a statement.
        unsafe { (*slot.watch.get()).write(watch) };
        slot.has_watch.set(true);
    }

    #[cold]
    unsafe fn detach(self) {
        let slot = self.slot();
        slot.wanted.set(false);
        // Both are used last: they run the user's code, in which C may call back and the slot go.
        let _waker = slot.take_waker();
        let watch = slot.watch();
        match slot.state.get() {
            // SAFETY: the result is initialised and belongs to the future; C's share has ended.
            State::Done => unsafe {
                (*slot.result.get()).assume_init_drop();
                self.free();
            },
            // SAFETY: C has nothing of the operation.
            State::Retry => unsafe { self.abandon() },
            State::InFlight
            | State::Watched
            | State::Waiting
            | State::Submitting
            | State::Inline => {}
        }
        if let Some(watch) = watch {
            watch.abandoned();
        }
    }
}

/// An operation: `submit` calls the C function, `finish` makes the result of what C reports.
///
/// It submits at once: the wrapper's own future is the one that does nothing before its first poll.
/// `submit` may run again later, after [`Submitted::NoMemory`]; `finish` runs in C's callback.
///
/// # Safety
///
/// - `submit` passes the callback and the context that it gets to one call of a C function. That
///   function calls back exactly once if `submit` returns [`Submitted::Pending`], at most once and
///   inside the call if it returns [`Submitted::Refused`], and never for the other answers.
/// - With [`Submitted::NoMemory`] it names the descriptor and the channel that it submitted on, and with
///   [`Submitted::Full`] the waiters of the queue, which `held` keeps and which go on one day.
/// - C touches nothing after that call that is not kept alive and in place by `held`, which does not
///   move between `submit` and the callback.
/// - `submit` and `finish` run on the spdk_thread that the C function and its callback belong to.
#[inline(always)]
pub unsafe fn op<C, H, T>(
    submit: impl FnMut(&mut H, C::Fn, *mut c_void) -> Submitted + 'static,
    finish: impl FnOnce(&mut H, C::Raw) -> Result<T, Fault> + 'static,
    held: H,
) -> Begun<impl Operation<Output = T>>
where
    C: Callback,
    H: Held,
    T: 'static,
{
    let op = Shared::<C, H, _, _, T>::new(held, submit, finish);
    let in_flight = op.submit();
    Begun { op, in_flight }
}
