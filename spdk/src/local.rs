//! What Rust keeps for one spdk_thread: its executor, its inbox and its open objects.
//!
//! A [`Local`] is made when Rust first runs on an spdk_thread, and binds that spdk_thread to its OS
//! thread: the `Rc`s of a `Local` rely on it. One SPDK poller drives it. [`Shared`] is the part that
//! other OS threads reach.
#![allow(unsafe_code)] // Registers a poller whose context is a counted reference to the `Local`.

mod caller;
mod ending;
mod objects;
mod rest;
mod sent;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::AccessError;
use std::time::Instant;

use crate::error::{Fault, Gone};
use crate::executor::{Body, Executor, TaskRef};
use crate::inbox::Messages;
use crate::interrupt;
use crate::movable;
use crate::panic;
use crate::shared::{self, Owner, Shared};
use crate::sys;
use crate::timers::Timers;
use crate::wakeups::Wakeups;

pub use caller::{Caller, Here, begin};
pub(crate) use caller::{Home, current_thread, thread_name};
pub(crate) use objects::{OpenObject, Revoke};

use objects::Objects;
use sent::Sent;

/// After how many turns with nothing to do the poller pauses.
const IDLE_TURNS: u32 = 256;

/// How many messages of other threads run before SPDK's own pollers get their turn again.
pub(crate) const MESSAGES_PER_POLL: usize = 64;

/// Wakes a task. From its own OS thread the task is ready at once; from another it is when its
/// spdk_thread looks. A waker that is out of date wakes nothing, or a task that is in the same place
/// by now, which just looks again.
#[inline]
pub(crate) fn wake(task: TaskRef) {
    // SAFETY: `LAST` is null or a `Local` that `LOCALS` holds: `finish` and the end of `LOCALS`
    // clear it. No user code runs in `Executor::wake`, so it stays there.
    match unsafe { LAST.get().as_ref() } {
        Some(local) if local.index == task.index() => local.wake(task),
        _ => wake_elsewhere(task),
    }
}

#[cold]
fn wake_elsewhere(task: TaskRef) {
    let here = LOCALS.try_with(|locals| {
        let locals = locals.0.borrow();
        let local = locals.iter().find(|local| local.index == task.index())?;
        LAST.set(Rc::as_ptr(local));
        local.wake(task);
        Some(())
    });
    if here != Ok(Some(())) {
        shared::wake(task.index(), task.number());
    }
}

/// The `Local` of the current spdk_thread looks again, if there is one.
pub(crate) fn wake_up_current() {
    let thread = current_thread();
    stir(|local| local.thread.get() == thread);
}

/// The `Local` that has this `shared` looks again; `false` if it is not of this OS thread.
pub(crate) fn wake_up_here(shared: &Shared) -> bool {
    stir(|local| ptr::eq(&*local.shared, shared))
}

/// No user code runs in it.
fn stir(which: impl Fn(&Local) -> bool) -> bool {
    let found = LOCALS.try_with(|locals| {
        let locals = locals.0.borrow();
        let found = locals.iter().find(|local| which(local));
        found.map(|local| local.stir()).is_some()
    });
    found.unwrap_or(false)
}

pub(crate) struct Local {
    thread: Cell<*mut sys::spdk_thread>,
    shared: Arc<Shared>,
    index: u32,
    wakeups: &'static Wakeups,
    /// Taken from the inbox, and not run yet.
    messages: Cell<Messages>,
    /// Whether there is something for a turn that neither the executor nor another OS thread knows of.
    has_work: Cell<bool>,
    /// How many turns have had nothing to do since the last that had.
    idle_turns: Cell<u32>,
    /// Whether the poller pauses. In interrupt mode: whether no turn was asked for.
    is_asleep: Cell<bool>,
    executor: Executor,
    deferred: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    sent: Sent,
    objects: Objects,
    /// Operations that hold no object of this thread.
    operations: Cell<usize>,
    poller: Cell<*mut sys::spdk_poller>,
    timers: Timers,
    /// How many channels there are to the pools of `iobuf`.
    iobuf_channels: Cell<u32>,
    /// How often an operation was told to wait for a free `spdk_bdev_io`.
    retries: Cell<u64>,
    /// Whether what its end found was reported.
    is_reported: Cell<bool>,
    /// What runs when it has ended.
    ending: RefCell<Vec<Box<dyn FnOnce()>>>,
    is_ending: Cell<bool>,
    /// Whether the limits of devices have left the spdk_thread, or are about to.
    has_no_limits: Cell<bool>,
    /// When the end stops waiting for the operations in flight, and resets their devices.
    out_of_patience: Cell<Option<Instant>>,
}

/// The `Local`s of an OS thread.
struct Locals(RefCell<Vec<Rc<Local>>>);

impl Drop for Locals {
    fn drop(&mut self) {
        LAST.set(ptr::null());
    }
}

thread_local! {
    static LOCALS: Locals = const { Locals(RefCell::new(Vec::new())) };
    /// The one of them that was last woken; null for none.
    static LAST: Cell<*const Local> = const { Cell::new(ptr::null()) };
}

/// Runs code of the user that SPDK calls on the current spdk_thread, in a message: no task is polled
/// inside of it. An spdk_thread that Rust has not run on gets no [`Local`] by that.
pub(crate) fn beside<R>(f: impl FnOnce() -> R) -> R {
    struct Leave(Option<Rc<Local>>);
    impl Drop for Leave {
        fn drop(&mut self) {
            if let Some(local) = &self.0 {
                local.leave();
            }
        }
    }
    let local = Local::here().filter(|local| local.executor.enter());
    let _leave = Leave(local);
    f()
}

/// Counts an operation of the current spdk_thread that is told to wait for a free `spdk_bdev_io`, or for a
/// request of its queue.
#[cold]
pub(crate) fn count_retry() {
    if let Some(local) = Local::here() {
        local.retries.set(local.retries.get() + 1);
    }
}

impl Local {
    /// The `Local` of the current spdk_thread.
    pub(crate) fn current() -> Result<Rc<Local>, Fault> {
        let thread = current_thread();
        if thread.is_null() {
            return Err(Fault::no_thread());
        }
        match Self::known(thread) {
            Ok(Some(local)) => Ok(local),
            Ok(None) => Self::start(thread),
            // The OS thread is ending.
            Err(_) => Err(Fault::no_thread()),
        }
    }

    /// The `Local` of the current spdk_thread, if Rust has run on it.
    pub(crate) fn here() -> Option<Rc<Local>> {
        Self::of(current_thread())
    }

    /// The `Local` of an spdk_thread of this OS thread, if Rust has run on it.
    pub(crate) fn of(thread: *mut sys::spdk_thread) -> Option<Rc<Local>> {
        Self::known(thread).ok().flatten()
    }

    /// The `Local` of an spdk_thread, if it has one on this OS thread.
    fn known(thread: *mut sys::spdk_thread) -> Result<Option<Rc<Local>>, AccessError> {
        LOCALS.try_with(|locals| {
            let locals = locals.0.borrow();
            let mut locals = locals.iter();
            locals.find(|local| local.thread.get() == thread).cloned()
        })
    }

    #[cold]
    fn start(thread: *mut sys::spdk_thread) -> Result<Rc<Local>, Fault> {
        // SAFETY: `thread` is the current spdk_thread, so it exists.
        let (name, id, running) = unsafe {
            (
                thread_name(thread),
                sys::spdk_thread_get_id(thread),
                sys::spdk_thread_is_running(thread),
            )
        };
        if !running {
            return Err(Fault::gone(Gone::ThreadEnded));
        }
        if ending::has_ended(id) {
            return Err(Fault::gone(Gone::ThreadEnded));
        }
        movable::check(id)?;
        let shared = Arc::new(Shared::new(&name, id, Owner::Foreign));
        let index = shared.register();
        Self::adopt(thread, shared, index)
    }

    /// Makes the `Local` of the current spdk_thread, `thread`, which has none and whose `Shared` is
    /// registered.
    pub(crate) fn adopt(
        thread: *mut sys::spdk_thread,
        shared: Arc<Shared>,
        index: u32,
    ) -> Result<Rc<Local>, Fault> {
        if let Err(fault) = interrupt::check_descriptors() {
            Shared::unregister(index);
            shared.close(Messages::default());
            return Err(fault);
        }
        // SAFETY: it exists, being the current one. Binding keeps it on this OS thread.
        unsafe { sys::spdk_thread_bind(thread, true) };
        let local = Rc::new(Local {
            thread: Cell::new(thread),
            shared,
            index,
            wakeups: shared::wakeups(index),
            messages: Cell::default(),
            has_work: Cell::new(false),
            idle_turns: Cell::new(0),
            is_asleep: Cell::new(false),
            executor: Executor::new(index),
            deferred: RefCell::default(),
            sent: Sent::default(),
            objects: Objects::default(),
            operations: Cell::new(0),
            poller: Cell::new(ptr::null_mut()),
            timers: Timers::default(),
            iobuf_channels: Cell::new(0),
            retries: Cell::new(0),
            is_reported: Cell::new(false),
            ending: RefCell::default(),
            is_ending: Cell::new(false),
            has_no_limits: Cell::new(false),
            out_of_patience: Cell::new(None),
        });
        let arg = Rc::into_raw(local.clone()).cast_mut();
        // SAFETY: the context is a counted reference, given back in `finish` after the poller is
        // unregistered; the name is copied.
        let poller = unsafe {
            sys::spdk_poller_register_named(Some(run_local), arg.cast(), 0, c"spdk-rs".as_ptr())
        };
        if poller.is_null() {
            local.executor.close();
            Shared::unregister(index);
            local.shared.close(Messages::default());
            // SAFETY: SPDK did not take the reference.
            drop(unsafe { Rc::from_raw(arg) });
            return Err(Fault::errno(crate::Errno::ENOMEM));
        }
        local.poller.set(poller);
        local.shared.set_thread(thread);
        LOCALS.with(|locals| locals.0.borrow_mut().push(local.clone()));
        if interrupt::is_enabled() {
            // SAFETY: registered above, with the same context. From here on it runs only while SPDK polls
            // this spdk_thread all the same; else `set_mode` has just asked for a turn.
            unsafe {
                sys::spdk_poller_register_interrupt(poller, Some(rest::set_mode), arg.cast())
            };
        }
        Ok(local)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The spdk_thread; null when it has ended.
    pub(crate) fn thread(&self) -> *mut sys::spdk_thread {
        self.thread.get()
    }

    pub(crate) fn is_current(&self) -> bool {
        let thread = self.thread.get();
        !thread.is_null() && thread == current_thread()
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
    }

    pub(crate) fn iobuf_channels(&self) -> &Cell<u32> {
        &self.iobuf_channels
    }

    pub(crate) fn retries(&self) -> &Cell<u64> {
        &self.retries
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Runs code of the user that SPDK calls, as a message is run: no task is polled inside of it.
    /// `None`, and it did not run, inside other such code.
    pub(crate) fn run_beside<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        struct Leave<'a>(&'a Local);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        if !self.executor.enter() {
            return None;
        }
        let _leave = Leave(self);
        Some(f())
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.get()
    }

    /// Runs `f` on this spdk_thread, in its next poll. The caller is on its OS thread.
    pub(crate) fn defer(&self, f: Box<dyn FnOnce()>) {
        self.deferred.borrow_mut().push_back(f);
        self.has_work.set(true);
        self.stir();
    }

    /// `None`, and the task dropped, if it has ended.
    pub(crate) fn spawn(&self, body: Box<dyn Body>) -> Option<TaskRef> {
        let task = self.executor.spawn(body);
        self.stir();
        task
    }

    /// Has a task dropped in the next turn.
    pub(crate) fn abort(&self, task: TaskRef) {
        self.executor.abort(task);
        self.stir();
    }

    #[inline]
    fn wake(&self, task: TaskRef) {
        self.executor.wake(task);
        self.stir();
    }

    /// Whether there is nothing for a turn to do. Asked in every poll of the spdk_thread, until it has been
    /// so for long.
    #[inline]
    fn is_idle(&self) -> bool {
        let is_idle = self.has_no_work();
        let turns = if is_idle {
            self.idle_turns.get() + 1
        } else {
            0
        };
        self.idle_turns.set(turns);
        if turns == IDLE_TURNS {
            self.sleep();
        }
        is_idle
    }

    #[inline]
    fn has_no_work(&self) -> bool {
        self.executor.is_idle()
            && self.wakeups.is_empty()
            && self.shared.is_empty()
            && !self.has_work.get()
    }

    /// One turn of the executor: messages, deferred releases, then the tasks that are ready now.
    /// What becomes ready meanwhile waits for the next turn, so that SPDK's pollers get theirs.
    fn turn(self: &Rc<Self>) -> bool {
        if !self.executor.enter() {
            return false; // a nested poll of this spdk_thread by foreign code
        }
        self.has_work.set(false);
        let mut busy = self.run_messages();
        self.wakeups
            .take(|number| self.executor.wake_number(number));
        let deferred = self.deferred.borrow().len();
        for f in std::iter::from_fn(|| self.take_deferred()).take(deferred) {
            busy = true;
            run_caught("release", f);
        }
        busy |= self.give_back_some();
        // SAFETY: entered above.
        busy |= unsafe { self.executor.run_ready() };
        self.leave();
        if self.is_ending.get() {
            busy = true;
            self.has_work.set(true);
            self.end_step();
        }
        busy
    }

    fn run_messages(&self) -> bool {
        let mut messages = self.messages.take();
        let mut busy = false;
        for _ in 0..MESSAGES_PER_POLL {
            let next = messages.next().or_else(|| {
                messages = self.shared.take();
                messages.next()
            });
            let Some(message) = next else {
                return busy;
            };
            busy = true;
            run_caught("message", || message.run());
        }
        self.messages.set(messages);
        self.has_work.set(true);
        busy
    }

    /// Ends what `enter` of the executor began.
    #[inline]
    fn leave(&self) {
        self.executor.leave();
    }

    fn take_deferred(&self) -> Option<Box<dyn FnOnce()>> {
        self.deferred.borrow_mut().pop_front()
    }
}

unsafe extern "C" fn run_local(arg: *mut c_void) -> c_int {
    panic::guard("executor poller", || {
        let local = arg.cast::<Local>().cast_const();
        // SAFETY: the poller holds a counted reference to the `Local`, and this changes nothing.
        if unsafe { (*local).is_idle() } {
            return 0;
        }
        // SAFETY: the poller holds a counted reference to the `Local`; this call takes one more, for
        // the case that the turn ends it.
        let local = unsafe {
            Rc::increment_strong_count(local);
            Rc::from_raw(local)
        };
        c_int::from(local.turn())
    })
}

/// A closure's panic is reported, and the spdk_thread goes on.
pub(crate) fn run_caught(what: &'static str, f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        let message = panic::message(payload);
        tracing::error!(what, %message, "panic on an spdk_thread");
    }
}
