//! What Rust keeps for one spdk_thread: its executor, its inbox and its open objects.
//!
//! A [`Local`] is made when Rust first runs on an spdk_thread, and binds that spdk_thread to its OS
//! thread: the `Rc`s of a `Local` rely on it. One SPDK poller drives it. [`Shared`] is the part that
//! other OS threads reach.
#![allow(unsafe_code)] // Registers a poller whose context is a counted reference to the `Local`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread::AccessError;
use std::time::Instant;

use crate::each_thread;
use crate::error::{Fault, Gone};
use crate::executor::{Body, Executor, TaskRef};
use crate::handle::AtHome;
use crate::inbox::Messages;
use crate::interrupt;
use crate::movable;
use crate::panic;
use crate::shared::{self, Owner, Shared};
use crate::shutdown;
use crate::sys;
use crate::timers::Timers;
use crate::wakeups::Wakeups;

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

/// An object that SPDK must get back before the spdk_thread ends.
pub(crate) trait Revoke {
    /// How many operations still use it. `references` counts those to its allocation.
    fn operations(&self, references: usize) -> usize;
    /// Gives it back to SPDK; its handles report `why` from now on.
    fn revoke(&self, why: Gone);
    /// Asks its device to end the operations in flight; see `Object::abort_operations`.
    fn abort_operations(self: Rc<Self>, reset: &mut Vec<*const ()>);
    /// Whether operations of other spdk_threads wait until it is given back.
    fn holds_back_others(&self) -> bool {
        false
    }
    /// The Rust type, for the log.
    fn kind(&self) -> &'static str;
    /// For the log.
    fn label(&self) -> String;
}

/// Its type, what it is, and how many operations use it.
pub(crate) type OpenObject = (&'static str, String, usize);

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
    objects: RefCell<BTreeMap<u64, Weak<dyn Revoke>>>,
    next_object: Cell<u64>,
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

/// The current spdk_thread; null without one.
#[inline]
pub(crate) fn current_thread() -> *mut sys::spdk_thread {
    // SAFETY: reads a thread-local variable of SPDK.
    unsafe { sys::spdk_get_thread() }
}

/// The name of an spdk_thread.
///
/// # Safety
/// It is null, or exists.
pub(crate) unsafe fn thread_name(thread: *mut sys::spdk_thread) -> String {
    if thread.is_null() {
        return "no spdk_thread".to_owned();
    }
    // SAFETY: passed on. Its name is a C string, as long as it exists.
    let name = unsafe { CStr::from_ptr(sys::spdk_thread_get_name(thread)) };
    name.to_string_lossy().into_owned()
}

/// The spdk_thread of an operation in flight, without a count.
pub struct Home(*const Local);

impl Home {
    #[inline]
    pub(crate) fn of(local: &Rc<Local>) -> Home {
        Home(Rc::as_ptr(local))
    }

    /// Wakes the task that waits for an operation, in the operation's callback.
    ///
    /// It is polled here and now if it can be: what the callback touched is still in the cache, and C
    /// code would go on here too. Not from inside a task or a message, and not on behalf of another
    /// spdk_thread: there it is woken.
    ///
    /// # Safety
    ///
    /// This is inside a callback on the spdk_thread of the operation, which was in flight until now.
    #[inline(always)]
    pub(crate) unsafe fn resume(self, task: TaskRef) {
        // SAFETY: `LOCALS` holds a `Local` until it ends. That needs all its operations to have
        // ended, and then a turn of its own, which is no part of a callback.
        let local = unsafe { &*self.0 };
        if task.index() == local.index && local.executor.enter() {
            // SAFETY: just entered, and the index is that of the executor.
            unsafe { local.executor.run(task) };
            local.leave();
        } else {
            task.wake();
        }
    }
}

/// The spdk_thread that is current during a call: looked up once for all that the call touches.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Caller<'a>(*mut sys::spdk_thread, PhantomData<&'a ()>);

impl Caller<'_> {
    #[inline]
    pub(crate) fn thread(self) -> *mut sys::spdk_thread {
        self.0
    }
}

/// Runs the first part of a call. What it needs of the spdk_thread it asks of the [`Caller`].
///
/// As a call of its own it ends before the first await, so that nothing of it is kept in the future.
#[doc(hidden)]
#[inline(always)]
pub fn begin<T>(start: impl FnOnce(Caller<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
    start(Caller(current_thread(), PhantomData))
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
        Self::known(current_thread()).ok().flatten()
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
            let name = CStr::from_ptr(sys::spdk_thread_get_name(thread));
            (
                name.to_string_lossy(),
                sys::spdk_thread_get_id(thread),
                sys::spdk_thread_is_running(thread),
            )
        };
        if !running {
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
            objects: RefCell::default(),
            next_object: Cell::new(0),
            operations: Cell::new(0),
            poller: Cell::new(ptr::null_mut()),
            timers: Timers::default(),
            iobuf_channels: Cell::new(0),
            retries: Cell::new(0),
            is_reported: Cell::new(false),
            ending: RefCell::default(),
            is_ending: Cell::new(false),
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
            unsafe { sys::spdk_poller_register_interrupt(poller, Some(set_mode), arg.cast()) };
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

    /// Pauses the poller, unless there is something for it.
    #[cold]
    fn sleep(&self) {
        self.idle_turns.set(0);
        if interrupt::is_enabled() {
            return; // see `turn_and_rest`
        }
        // What comes from another OS thread from here on wakes it up.
        if self.shared.sleep() && self.wakeups.sleep() {
            self.is_asleep.set(true);
            // SAFETY: this is its spdk_thread, inside the poller.
            unsafe { sys::spdk_poller_pause(self.poller.get()) };
        } else {
            self.shared.is_up();
        }
    }

    /// Has the poller run again, if it pauses: there is something for it. On this OS thread.
    #[inline]
    pub(crate) fn stir(&self) {
        if self.is_asleep.get() {
            self.wake_up();
        }
    }

    #[cold]
    fn wake_up(&self) {
        self.is_asleep.set(false);
        self.shared.is_up();
        self.wakeups.wake_up();
        if interrupt::is_enabled() {
            return self.ask_for_turn();
        }
        let (thread, current) = (self.thread.get(), current_thread());
        // SAFETY: the spdk_thread exists and is of this OS thread, and so is the poller, which `finish`
        // unregisters when it is awake. No code but SPDK's runs while another one is current.
        unsafe {
            sys::spdk_set_thread(thread);
            sys::spdk_poller_resume(self.poller.get());
            sys::spdk_set_thread(current);
        }
    }

    /// In interrupt mode turns come by SPDK's messages, which wake the reactor. One is on its way unless
    /// this is asleep.
    #[cold]
    fn ask_for_turn(&self) {
        // SAFETY: the spdk_thread exists, and the function needs no context.
        unsafe {
            sys::spdk_thread_send_msg(self.thread.get(), Some(run_turn), ptr::null_mut());
        }
    }

    /// The turn that was asked for, and another one or none.
    #[cold]
    fn turn_and_rest(self: &Rc<Self>) {
        if self.is_asleep.get() {
            return; // one too many, after a change of the mode
        }
        if !self.has_no_work() {
            self.turn();
        }
        if self.thread.get().is_null() {
            return; // it has ended
        }
        // What comes from another OS thread from here on asks again.
        if self.has_no_work() && self.shared.sleep() && self.wakeups.sleep() {
            self.is_asleep.set(true);
        } else {
            self.shared.is_up();
            self.ask_for_turn();
        }
    }

    /// Lists an object that has to be given back before the thread ends.
    pub(crate) fn add(&self, object: Weak<dyn Revoke>) -> u64 {
        let key = self.next_object.get();
        self.next_object.set(key + 1);
        self.objects.borrow_mut().insert(key, object);
        key
    }

    pub(crate) fn remove(&self, key: u64) {
        self.objects.borrow_mut().remove(&key);
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

    /// Ends the `Local` in its next turns: drops the tasks, waits for what is in flight, gives the
    /// objects back, and runs `then`, on this spdk_thread, as the last thing.
    pub(crate) fn end(&self, then: Box<dyn FnOnce()>) {
        self.ending.borrow_mut().push(then);
        if !self.is_ending.replace(true) {
            self.out_of_patience
                .set(Instant::now().checked_add(shutdown::patience()));
        }
        self.has_work.set(true);
        self.stir();
    }

    fn end_step(self: &Rc<Self>) {
        let is_first = !self.is_reported.replace(true);
        if is_first {
            shutdown::report_tasks(&self.shared, self.executor.len());
        }
        self.executor.drop_tasks();
        if is_first {
            shutdown::report_objects(&self.shared, &self.open_objects());
        }
        let objects = self.revoke_idle();
        let quiet = objects == 0
            && self.operations.get() == 0
            && self.executor.is_empty()
            && self.deferred.borrow().is_empty();
        if quiet {
            self.finish();
        } else if self
            .out_of_patience
            .get()
            .is_some_and(|end| Instant::now() >= end)
        {
            self.out_of_patience.set(None);
            self.abort_operations();
        }
    }

    /// Has the devices that hold the end up reset: their drivers then end what is in flight, and the
    /// callbacks come.
    #[cold]
    fn abort_operations(&self) {
        tracing::warn!(
            thread = self.shared.name(),
            waiting_for = ?self.busy_objects(),
            "operations in flight hold up the end of an spdk_thread: resetting their devices"
        );
        let objects: Vec<_> = self.objects.borrow().values().cloned().collect();
        let mut reset = Vec::new();
        for object in objects.iter().filter_map(Weak::upgrade) {
            object.abort_operations(&mut reset);
        }
    }

    /// Gives back what no operation uses, the youngest first; how many objects are left.
    fn revoke_idle(&self) -> usize {
        self.revoke_idle_of(|_| true);
        self.objects.borrow().len()
    }

    /// Gives back what keeps other spdk_threads from their end, which comes before that of this one.
    pub(crate) fn let_others_end(&self) {
        self.revoke_idle_of(|object| object.holds_back_others());
    }

    fn revoke_idle_of(&self, kind: impl Fn(&dyn Revoke) -> bool) {
        let objects: Vec<_> = {
            let objects = self.objects.borrow();
            objects.iter().rev().map(|(k, o)| (*k, o.clone())).collect()
        };
        for (key, object) in objects {
            match object.upgrade() {
                Some(object) if !kind(&*object) => {}
                Some(object) if object.operations(Rc::strong_count(&object) - 1) > 0 => {}
                Some(object) => {
                    object.revoke(Gone::ThreadEnded);
                    self.remove(key);
                }
                None => self.remove(key),
            }
        }
    }

    /// What is open, the oldest first.
    fn open_objects(&self) -> Vec<OpenObject> {
        let objects: Vec<_> = self.objects.borrow().values().cloned().collect();
        let open = objects.iter().filter_map(Weak::upgrade).map(|object| {
            let operations = object.operations(Rc::strong_count(&object) - 1);
            (object.kind(), object.label(), operations)
        });
        let here = self.operations.get();
        let without = (here > 0).then(|| ("operation", "no object".to_owned(), here));
        open.chain(without).collect()
    }

    /// The objects that operations in flight still use, in words.
    pub(crate) fn busy_objects(&self) -> Vec<String> {
        let objects = self.objects.borrow();
        let objects = objects.values().filter_map(Weak::upgrade);
        objects.map(|object| object.label()).collect()
    }

    fn finish(self: &Rc<Self>) {
        self.shared.close(self.messages.take());
        self.timers.close();
        let mut poller = self.poller.replace(ptr::null_mut());
        // SAFETY: registered in `start` on this spdk_thread, which is current; it may be
        // unregistered from inside itself. `self` keeps the `Local` for the rest of this turn.
        unsafe {
            sys::spdk_poller_unregister(&mut poller);
            drop(Rc::from_raw(Rc::as_ptr(self)));
        }
        if self.shared.owner() == Owner::Crate {
            // SAFETY: the spdk_thread is current, and this crate's.
            unsafe { exit(each_thread::Exit::begin()) };
        }
        self.thread.set(ptr::null_mut());
        LAST.set(ptr::null());
        // They may be gone: an `SpdkThread` in a thread-local variable can end after them.
        let _ = LOCALS.try_with(|locals| {
            let mut locals = locals.0.borrow_mut();
            locals.retain(|local| !Rc::ptr_eq(local, self));
        });
        // Nothing wakes a task here any more, so another spdk_thread can have the index.
        self.executor.close();
        Shared::unregister(self.index);
        for then in self.ending.take() {
            then();
        }
    }
}

/// Exits the current spdk_thread, when no iteration over the spdk_threads may be on its way to it.
///
/// # Safety
/// This crate has made the spdk_thread, and uses it no more.
unsafe fn exit(exit: each_thread::Exit) {
    unsafe extern "C" fn again(_: *mut c_void) {
        // SAFETY: sent below to an spdk_thread that this crate has made, and uses no more.
        panic::guard("end of an spdk_thread", || unsafe {
            self::exit(each_thread::Exit::again())
        });
    }
    let thread = current_thread();
    // SAFETY: the spdk_thread is current. Its reactor destroys it when this poll is over and what SPDK
    // still has to do on it is done. Else the message comes in one of its next polls.
    unsafe {
        match exit.hold_up() {
            Ok(_held_up) => sys::spdk_thread_exit(thread),
            Err(waits) => {
                waits.keep();
                sys::spdk_thread_send_msg(thread, Some(again), ptr::null_mut())
            }
        };
    }
}

/// A turn in interrupt mode.
unsafe extern "C" fn run_turn(_: *mut c_void) {
    panic::guard("executor message", || {
        if let Some(local) = Local::here() {
            local.turn_and_rest();
        }
    });
}

/// SPDK begins to wait for the file descriptors of the spdk_thread, or polls it again.
unsafe extern "C" fn set_mode(_: *mut sys::spdk_poller, arg: *mut c_void, interrupt_mode: bool) {
    panic::guard("executor mode", || {
        // SAFETY: the poller is registered, and has a counted reference; this changes nothing.
        let local = unsafe { &*arg.cast::<Local>().cast_const() };
        if local.is_asleep.replace(false) {
            local.shared.is_up();
            local.wakeups.wake_up();
        }
        if interrupt_mode {
            local.ask_for_turn();
        }
    });
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
        let payload: Box<dyn Any + Send> = payload;
        let message = panic::message(&*payload);
        tracing::error!(what, %message, "panic on an spdk_thread");
    }
}

/// Counts an operation that holds no object of its spdk_thread, so that the thread waits for it.
#[doc(hidden)]
pub struct Here(Rc<Local>);

impl Here {
    /// An operation on the current spdk_thread.
    pub fn now() -> Result<Here, Fault> {
        let local = Local::current()?;
        local.operations.set(local.operations.get() + 1);
        Ok(Here(local))
    }
}

impl AtHome for Here {
    fn home(&self) -> Home {
        Home::of(&self.0)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.operations.set(self.0.operations.get() - 1);
    }
}
