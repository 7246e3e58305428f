//! spdk_threads: the ones that you poll, and the current one.
#![allow(unsafe_code)] // Creates, polls and destroys spdk_threads on the one OS thread they belong to.

use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_int};
use std::fmt;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::env::{self, Phase};
use crate::errno::Errno;
use crate::error::{At, Error, ErrorKind, Fault, Result};
use crate::local::Local;
use crate::shared::Shared;
use crate::thread_handle::ThreadHandle;
use crate::{each_thread, options, panic, sys};

/// How many messages SPDK can have on their way at once: its own default.
pub const DEFAULT_MSG_MEMPOOL_SIZE: usize = 262_144 - 1;

/// A small pool of messages, for tests that run with little memory: enough for 15 spdk_threads.
pub const SMALL_MSG_MEMPOOL_SIZE: usize = 16 * 1024 - 1;

/// How many messages an spdk_thread keeps of those that came from the pool. SPDK aborts the process when the pool has
/// none for another OS thread.
const KEPT_MSGS: usize = 1024;

/// The least size of a pool for so many spdk_threads: as many are left for those on their way.
const fn least_mempool_size(threads: usize) -> usize {
    (threads + 1) * KEPT_MSGS - 1
}

/// The spdk_threads of [`SpdkThread`] that exist; SPDK's thread library is up while there are any.
static LIBRARY: Mutex<()> = Mutex::new(());
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The size of the pool of messages that was made last. Used under the lock.
static MEMPOOL_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Lets no spdk_thread be created or destroyed, and how many there are.
pub(crate) fn freeze() -> (MutexGuard<'static, ()>, usize) {
    let guard = LIBRARY.lock().unwrap_or_else(|e| e.into_inner());
    (guard, LIVE.load(SeqCst))
}

thread_local! {
    /// Whether this OS thread is inside a poll of one of our spdk_threads.
    static POLLING: Cell<bool> = const { Cell::new(false) };
    /// The attached spdk_threads, the current one last.
    static ATTACHED: RefCell<Vec<*mut sys::spdk_thread>> = const { RefCell::new(Vec::new()) };
}

/// An spdk_thread attached to this OS thread, which you poll.
///
/// An spdk_thread is a context for messages and pollers, not an OS thread. It exists with a
/// [`SpdkEnv`](crate::SpdkEnv); inside [`SpdkApp`](crate::SpdkApp) SPDK's reactors poll the
/// spdk_threads, and attaching another is refused.
///
/// Dropping it drops its tasks, polls until the operations in flight on it have ended, closes the
/// objects that are still open on it and destroys it. The other spdk_threads that are attached to the OS
/// thread are polled meanwhile.
///
/// # Thread
///
/// `!Send` and `!Sync`: it stays on the OS thread that attached it.
#[doc(alias = "spdk_thread")]
pub struct SpdkThread {
    ptr: NonNull<sys::spdk_thread>,
    local: Rc<Local>,
}

impl SpdkThread {
    /// Creates an spdk_thread and makes it the current one of this OS thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInitialised`] without a [`SpdkEnv`](crate::SpdkEnv), [`ErrorKind::Option`]
    /// for a name that is empty or has a NUL byte, or where the pool of messages is too small for one more
    /// ([`SpdkThread::current_with_mempool_size`]), [`ErrorKind::Errno`] with `ENOMEM` if SPDK has
    /// no memory for it, and [`ErrorKind::InvalidArgument`] inside a [`SpdkApp`](crate::SpdkApp) and
    /// from inside a task, message or poller, whose spdk_thread is the current one until its poll is over.
    #[doc(alias = "spdk_thread_create")]
    pub fn current(name: &str) -> Result<Self> {
        Self::current_with_mempool_size(name, DEFAULT_MSG_MEMPOOL_SIZE)
    }

    /// The same as [`SpdkThread::current`].
    ///
    /// # Errors
    ///
    /// As for [`SpdkThread::current`].
    pub fn new(name: &str) -> Result<Self> {
        Self::current(name)
    }

    /// [`SpdkThread::current`], with the size of the message pool that all spdk_threads share. It
    /// counts for the first spdk_thread only, since that one makes the pool.
    ///
    /// # Errors
    ///
    /// As for [`SpdkThread::current`], and [`ErrorKind::Option`] for a size below 2047 or of more than 32 bits, and, whatever
    /// the size, where the pool that was made is too small for one more spdk_thread: each keeps up to 1024 messages, and SPDK
    /// aborts the process when there is none.
    #[doc(alias = "spdk_thread_lib_init_ext")]
    pub fn current_with_mempool_size(name: &str, size: usize) -> Result<Self> {
        const CALL: &str = "SpdkThread::current";
        let name = options::text("name", name)?;
        // DPDK takes 32 bits of it.
        let least = least_mempool_size(1);
        if size < least || u32::try_from(size).is_err() {
            let reason = format!("{size} messages; it must be from {least} to {}", u32::MAX);
            return Err(options::refuse("mempool_size", reason));
        }
        match env::phase() {
            Phase::Env => {}
            Phase::App => {
                let reason = "inside `SpdkApp` the framework polls the spdk_threads; use `spawn_local`, \
                              or `ThreadHandle` to reach another one";
                return Err(Fault::invalid(reason).at(At::free(CALL)));
            }
            _ => return Err(ErrorKind::NotInitialised { operation: CALL }.into()),
        }
        if POLLING.get() {
            // What is left of that poll gives back, and registers, on the current spdk_thread.
            let reason = "inside a poll of another spdk_thread, which stays the current one; make it \
                          outside, or on an OS thread of its own with `SpdkThread::spawn`";
            return Err(Fault::invalid(reason).at(At::free(CALL)));
        }
        let ptr = create(&name, size)?;
        // SAFETY: the spdk_thread was just created, and nobody else polls it.
        unsafe { sys::spdk_set_thread(ptr.as_ptr()) };
        ATTACHED.with_borrow_mut(|attached| attached.push(ptr.as_ptr()));
        match Local::current() {
            Ok(local) => Ok(SpdkThread { ptr, local }),
            Err(fault) => {
                detach(ptr);
                Err(fault.at(At::free(CALL)))
            }
        }
    }

    /// The same as [`SpdkThread::current_with_mempool_size`].
    ///
    /// # Errors
    ///
    /// As for [`SpdkThread::current`].
    pub fn new_with_mempool_size(name: &str, size: usize) -> Result<Self> {
        Self::current_with_mempool_size(name, size)
    }

    /// The spdk_thread that is current on this OS thread; `None` on a
    /// [`MovableThread`](crate::MovableThread), which Rust keeps nothing for, and on one that has ended.
    #[doc(alias = "spdk_get_thread")]
    pub fn get_current() -> Option<CurrentThread> {
        let local = Local::current().ok()?;
        Some(CurrentThread::of(local.shared().clone()))
    }

    /// The spdk_thread that [`SpdkApp`](crate::SpdkApp) runs its main function on.
    #[doc(alias = "spdk_thread_get_app_thread")]
    pub fn app_thread() -> Option<ThreadHandle> {
        crate::app::app_thread().map(ThreadHandle::of)
    }

    /// Runs `f` on a new OS thread with an spdk_thread of its own.
    ///
    /// # Errors
    ///
    /// What goes wrong, a panic of `f` included, comes from [`JoinHandle::join`].
    pub fn spawn<F, T>(name: &str, f: F) -> JoinHandle<T>
    where
        F: FnOnce(&SpdkThread) -> T + Send + 'static,
        T: Send + 'static,
    {
        let name = name.to_owned();
        let body = move || SpdkThread::current(&name).map(|thread| f(&thread));
        JoinHandle(std::thread::Builder::new().spawn(body))
    }

    /// Runs the messages and pollers that are due, and the tasks that are ready. Returns a positive
    /// number if there was something to do.
    ///
    /// From inside a task, message or poller it does nothing and returns 0: an spdk_thread that waits
    /// for its own poll waits for ever. Use `.await` there.
    #[doc(alias = "spdk_thread_poll")]
    pub fn poll(&self) -> i32 {
        self.poll_max(0)
    }

    /// [`SpdkThread::poll`] with at most `max_msgs` messages; 0 means SPDK's default batch.
    #[doc(alias = "spdk_thread_poll")]
    pub fn poll_max(&self, max_msgs: u32) -> i32 {
        poll(self.ptr, max_msgs).unwrap_or_else(|error| {
            tracing::warn!(%error, "SpdkThread::poll");
            0
        })
    }

    /// Whether it has pollers that run in every poll. The executor of this crate is one of them, unless it
    /// has had nothing to do for a while.
    #[doc(alias = "spdk_thread_has_active_pollers")]
    pub fn has_active_pollers(&self) -> bool {
        // SAFETY: `self` owns the spdk_thread, which exists, on this OS thread.
        unsafe { sys::spdk_thread_has_active_pollers(self.ptr.as_ptr()) != 0 }
    }

    /// Whether it has pollers of any kind.
    #[doc(alias = "spdk_thread_has_pollers")]
    pub fn has_pollers(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::spdk_thread_has_pollers(self.ptr.as_ptr()) }
    }

    /// Whether it has neither messages nor pollers.
    #[doc(alias = "spdk_thread_is_idle")]
    pub fn is_idle(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::spdk_thread_is_idle(self.ptr.as_ptr()) }
    }

    /// Whether it has not been told to exit.
    #[doc(alias = "spdk_thread_is_running")]
    pub fn is_running(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::spdk_thread_is_running(self.ptr.as_ptr()) }
    }

    /// When its last poll began, in [`ticks`](crate::ticks()); 0 before the first one.
    #[doc(alias = "spdk_thread_get_last_tsc")]
    pub fn last_poll(&self) -> u64 {
        // SAFETY: as above.
        unsafe { sys::spdk_thread_get_last_tsc(self.ptr.as_ptr()) }
    }

    /// When the next of its periodic pollers and timers is due, in [`ticks`](crate::ticks()); `None` without
    /// one. Until then a poll does nothing, unless it has [active pollers](SpdkThread::has_active_pollers) or
    /// is sent a message.
    #[doc(alias = "spdk_thread_next_poller_expiration")]
    pub fn next_expiration(&self) -> Option<u64> {
        // SAFETY: as above.
        let ticks = unsafe { sys::spdk_thread_next_poller_expiration(self.ptr.as_ptr()) };
        (ticks != 0).then_some(ticks)
    }

    /// Its name.
    #[doc(alias = "spdk_thread_get_name")]
    pub fn name(&self) -> &str {
        self.local.shared().name()
    }

    /// Its number, which no other spdk_thread of this process gets.
    #[doc(alias = "spdk_thread_get_id")]
    pub fn id(&self) -> u64 {
        self.local.shared().id()
    }

    /// How many spdk_threads this process has, SPDK's own included.
    #[doc(alias = "spdk_thread_get_count")]
    pub fn count() -> u32 {
        // SAFETY: reads a counter of SPDK under its lock.
        unsafe { sys::spdk_thread_get_count() }
    }

    /// A handle to send work to it from any OS thread.
    pub fn handle(&self) -> ThreadHandle {
        ThreadHandle::of(self.local.shared().clone())
    }

    /// The C object, for calls that this crate does not wrap.
    pub fn as_ptr(&self) -> *mut sys::spdk_thread {
        self.ptr.as_ptr()
    }
}

/// Creates an spdk_thread; the first one brings SPDK's thread library up.
fn create(name: &CString, mempool_size: usize) -> Result<NonNull<sys::spdk_thread>> {
    const CALL: &str = "spdk_thread_create";
    let _guard = LIBRARY.lock().unwrap_or_else(|e| e.into_inner());
    // Under the lock, since `SpdkEnv` may be dropped on its own OS thread meanwhile.
    if env::phase() != Phase::Env {
        return Err(ErrorKind::NotInitialised { operation: CALL }.into());
    }
    if LIVE.load(SeqCst) == 0 {
        // SAFETY: the environment is up, and the library is not: the count under the lock says so.
        // The two functions do nothing.
        let rc = unsafe {
            let (op, supported) = (Some(thread_op as _), Some(is_thread_op_supported as _));
            sys::spdk_thread_lib_init_ext(op, supported, 0, mempool_size as _)
        };
        if rc != 0 {
            return Err(Error::errno_of(
                "spdk_thread_lib_init_ext",
                Errno::from_code(rc),
            ));
        }
        MEMPOOL_SIZE.store(mempool_size, SeqCst);
    } else {
        let (size, least) = (
            MEMPOOL_SIZE.load(SeqCst),
            least_mempool_size(LIVE.load(SeqCst) + 1),
        );
        if size < least {
            let reason = format!(
                "{size} messages, for all spdk_threads; with one more it must be at least {least}"
            );
            return Err(options::refuse("mempool_size", reason));
        }
    }
    // SAFETY: the library is up; the name is copied; no cpuset means any core.
    match NonNull::new(unsafe { sys::spdk_thread_create(name.as_ptr(), ptr::null()) }) {
        Some(thread) => {
            LIVE.fetch_add(1, SeqCst);
            Ok(thread)
        }
        None => {
            if LIVE.load(SeqCst) == 0 {
                // SAFETY: brought up above, and it has no spdk_threads.
                unsafe { sys::spdk_thread_lib_fini() };
            }
            Err(Error::errno_of(CALL, Errno::ENOMEM))
        }
    }
}

/// SPDK asks it to schedule a new spdk_thread; here the user does. Without it `spdk_thread_create`
/// fails when the pool has too few messages left to fill the new one's cache, which is no error.
unsafe extern "C" fn thread_op(_: *mut sys::spdk_thread, _: sys::spdk_thread_op) -> c_int {
    0
}

unsafe extern "C" fn is_thread_op_supported(op: sys::spdk_thread_op) -> bool {
    op == sys::SPDK_THREAD_OP_NEW
}

/// Whether this OS thread polls an spdk_thread right now: one of ours, or the framework any of its own.
pub(crate) fn is_polled() -> bool {
    POLLING.get() || env::phase() == Phase::App
}

/// Whether an [`SpdkThread`] of this OS thread owns it, so that it exists.
pub(crate) fn is_attached(thread: NonNull<sys::spdk_thread>) -> bool {
    let attached = ATTACHED.try_with(|attached| attached.borrow().contains(&thread.as_ptr()));
    attached.unwrap_or(false)
}

/// Marks this OS thread as inside a poll while it exists.
pub(crate) struct Polling(bool);

impl Polling {
    pub(crate) fn begin() -> Self {
        Polling(POLLING.replace(true))
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        POLLING.set(self.0);
    }
}

/// Polls an spdk_thread of this OS thread once, unless a poll is running already.
pub(crate) fn poll(thread: NonNull<sys::spdk_thread>, max_msgs: u32) -> Result<i32> {
    if is_polled() {
        return Err(ErrorKind::NestedPoll {
            operation: "spdk_thread_poll",
        }
        .into());
    }
    let _polling = Polling::begin();
    // SAFETY: the caller owns the spdk_thread, on this OS thread, and no poll is running.
    Ok(unsafe { sys::spdk_thread_poll(thread.as_ptr(), max_msgs, 0) })
}

impl Drop for SpdkThread {
    fn drop(&mut self) {
        if POLLING.get() {
            tracing::error!(
                name = self.name(),
                "an spdk_thread was dropped inside a poll, or SPDK's log, where it cannot end: it is leaked"
            );
            return;
        }
        let ended = Rc::new(Cell::new(false));
        let then = ended.clone();
        self.local.end(Box::new(move || then.set(true)));
        while !ended.get() {
            // The others too: an iteration that has begun here may be on its way there.
            for thread in attached(self.ptr) {
                if poll(thread, 0).is_err() {
                    return;
                }
            }
        }
        detach(self.ptr);
    }
}

/// The spdk_threads that are attached to this OS thread, which `mine` is.
fn attached(mine: NonNull<sys::spdk_thread>) -> Vec<NonNull<sys::spdk_thread>> {
    let all = ATTACHED.try_with(|attached| attached.borrow().clone());
    match all {
        Ok(all) => all.into_iter().filter_map(NonNull::new).collect(),
        Err(_) => vec![mine],
    }
}

/// Ends an spdk_thread that has nothing open any more.
fn detach(thread: NonNull<sys::spdk_thread>) {
    let raw = thread.as_ptr();
    // SAFETY: it exists.
    let id = unsafe { sys::spdk_thread_get_id(raw) };
    let mut exit = each_thread::Exit::begin();
    let held_up = loop {
        match exit.hold_up() {
            Ok(held_up) => break held_up,
            Err(waits) => exit = waits,
        };
        // An iteration may be on its way to any of this OS thread, but a poll that runs is not to be nested.
        let threads = match POLLING.get() {
            true => vec![thread],
            false => attached(thread),
        };
        let _polling = Polling::begin();
        for thread in threads {
            // SAFETY: each is owned on this OS thread, where no poll of it runs.
            unsafe { sys::spdk_thread_poll(thread.as_ptr(), 0, 0) };
        }
    };
    // What SPDK still has to do there can drop what is the user's, which is not to end another spdk_thread: iterations
    // are held up.
    let polling = Polling::begin();
    // SAFETY: the caller owns the spdk_thread, on this OS thread, outside of a poll of it. It is destroyed when SPDK says
    // that it has exited, and not used after.
    unsafe {
        sys::spdk_set_thread(raw);
        sys::spdk_thread_exit(raw);
        while !sys::spdk_thread_is_exited(raw) {
            sys::spdk_thread_poll(raw, 0, 0);
        }
        sys::spdk_set_thread(ptr::null_mut());
        sys::spdk_thread_destroy(raw);
    }
    drop((held_up, polling));
    Local::has_exited(id);
    let current = ATTACHED.try_with(|attached| {
        let mut attached = attached.borrow_mut();
        attached.retain(|other| *other != raw);
        attached.last().copied().unwrap_or(ptr::null_mut())
    });
    // The variable is gone when an `SpdkThread` in another one is dropped at the end of the OS thread.
    let current = current.unwrap_or(ptr::null_mut());
    // SAFETY: null, or an spdk_thread that is attached to this OS thread and exists.
    unsafe { sys::spdk_set_thread(current) };
    let _guard = LIBRARY.lock().unwrap_or_else(|e| e.into_inner());
    if LIVE.fetch_sub(1, SeqCst) == 1 {
        // SAFETY: it was the last spdk_thread, and none can be created under the lock.
        unsafe { sys::spdk_thread_lib_fini() };
    }
}

impl fmt::Debug for SpdkThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpdkThread")
            .field("name", &self.name())
            .field("id", &self.id())
            .finish()
    }
}

/// The spdk_thread that was current when this was made. Not `Send`; see [`ThreadHandle`] for that.
pub struct CurrentThread {
    shared: Arc<Shared>,
    _not_send: std::marker::PhantomData<*mut ()>,
}

impl CurrentThread {
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        CurrentThread {
            shared,
            _not_send: std::marker::PhantomData,
        }
    }

    /// Polls it, as [`SpdkThread::poll`] does; 0 if it is not the current spdk_thread any more.
    #[doc(alias = "spdk_thread_poll")]
    pub fn poll(&self) -> i32 {
        match NonNull::new(self.as_ptr()) {
            Some(thread) => poll(thread, 0).unwrap_or(0),
            None => 0,
        }
    }

    /// Its name.
    #[doc(alias = "spdk_thread_get_name")]
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// Its number, which no other spdk_thread of this process gets.
    #[doc(alias = "spdk_thread_get_id")]
    pub fn id(&self) -> u64 {
        self.shared.id()
    }

    /// A handle to send work to it from any OS thread.
    pub fn handle(&self) -> ThreadHandle {
        ThreadHandle::of(self.shared.clone())
    }

    /// The C object, for calls that this crate does not wrap; null unless it is current.
    pub fn as_ptr(&self) -> *mut sys::spdk_thread {
        match Local::current() {
            Ok(local) if Arc::ptr_eq(local.shared(), &self.shared) => local.thread(),
            _ => ptr::null_mut(),
        }
    }
}

impl fmt::Debug for CurrentThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentThread")
            .field("name", &self.name())
            .field("id", &self.id())
            .finish()
    }
}

/// An OS thread with an spdk_thread of its own; see [`SpdkThread::spawn`]. Dropping it detaches the
/// OS thread.
#[derive(Debug)]
pub struct JoinHandle<T>(std::io::Result<std::thread::JoinHandle<Result<T>>>);

impl<T> JoinHandle<T> {
    /// Waits for the OS thread to end and returns what its function returned. It blocks, so it is
    /// not for use inside a task.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Panicked`] if the function panicked, and what [`SpdkThread::current`] reports
    /// if there was no spdk_thread for it.
    pub fn join(self) -> Result<T> {
        let thread = self.0.map_err(|error| {
            let code = error.raw_os_error().unwrap_or(libc::EAGAIN);
            Error::errno_of("SpdkThread::spawn", Errno::from_code(code))
        })?;
        thread.join().unwrap_or_else(|payload| {
            let message = panic::message(payload);
            Err(ErrorKind::Panicked { message }.into())
        })
    }

    /// Whether the function has returned.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().map_or(true, |thread| thread.is_finished())
    }
}
