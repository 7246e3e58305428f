//! spdk_threads that move from core to core.
//!
//! What this crate keeps for other spdk_threads, a `Local`, is full of what is not `Send`, and binds them to
//! an OS thread. A [`MovableThread`] has no `Local` and gets none, since [`check`] refuses it. So no handle
//! can be made on it and no task runs there, but closures that are `Send`: as messages and as pollers.
//! Between two polls its reactor may give it to another one, and SPDK's queues then order what the two do.
#![allow(unsafe_code)] // Makes spdk_threads, runs closures in their messages and pollers, and exits them.

mod poller;

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

pub use self::poller::MovablePoller;
use self::poller::Registered;
use crate::each_thread::Exit;
use crate::error::{At, Error, ErrorKind, Fault, Result};
use crate::inbox::{Inbox, Message, Messages, Sent};
use crate::local::{MESSAGES_PER_POLL, current_thread, run_caught};
use crate::poller::{PollStatus, microseconds};
use crate::thread_stats::{self, ThreadStats};
use crate::{CpuSet, Errno, app, cores, interrupt, options, panic, round_trip, sys, task};

/// An spdk_thread that SPDK may move from core to core, as by [`MovableThread::set_cores`].
///
/// Other spdk_threads of this crate stay on an OS thread, since their tasks and handles, which are not
/// `Send`, may share what else is there. This one has neither: what runs on it are closures that are `Send`,
/// sent there ([`MovableThread::call`]) or run again and again ([`MovableThread::poller`]), for work that
/// follows the load or leaves a core. There, whatever makes a handle, a task or a timer fails with
/// [`ErrorKind::InvalidArgument`], and [`SpdkThread::get_current`](crate::SpdkThread::get_current) is `None`;
/// the closures reach the devices of another spdk_thread by its [`ThreadHandle`](crate::ThreadHandle).
///
/// ```no_run
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use std::time::Duration;
/// use spdk::{CpuSet, MovableThread, PollStatus};
///
/// # async fn example() -> spdk::Result<()> {
/// let thread = MovableThread::new("counter", &CpuSet::of([0])?)?;
/// let count = Arc::new(AtomicU64::new(0));
/// let counter = count.clone();
/// let poller = thread
///     .poller(Duration::from_millis(1), move || {
///         counter.fetch_add(1, Relaxed);
///         PollStatus::Busy
///     })
///     .await?;
/// thread.set_cores(&CpuSet::of([1])?).await?; // it goes on counting there
/// drop(poller);
/// thread.exit().await;
/// # Ok(())
/// # }
/// ```
///
/// It exists inside of [`SpdkApp`](crate::SpdkApp), whose reactors poll and move it; in interrupt mode it stays where it
/// is. It ends by [`MovableThread::exit`], in the background when this is dropped, and with the application.
///
/// # Thread
///
/// `Send` and `Sync`.
#[must_use = "the spdk_thread ends when this is dropped"]
pub struct MovableThread(Arc<Movable>);

/// What is shared of a [`MovableThread`]. The locks are not held while code of the user runs.
struct Movable {
    name: Box<str>,
    id: u64,
    inbox: Inbox,
    /// The spdk_thread, which exists while the lock is held; null when it does not take messages any more.
    thread: Mutex<Pointer<sys::spdk_thread>>,
    state: Mutex<State>,
}

struct Pointer<T>(*mut T);

// SAFETY: who has the pointer uses it as SPDK allows: an spdk_thread to send it messages, which any OS
// thread may, and a poller on its spdk_thread.
unsafe impl<T> Send for Pointer<T> {}

#[derive(Default)]
struct State {
    /// Taken from the inbox, and not run yet.
    messages: Messages,
    pollers: BTreeMap<u64, Registered>,
    /// How many pollers there ever were.
    numbers: u64,
    /// Set by the last message that runs.
    is_ending: bool,
    has_exited: bool,
    /// Dropped when it has exited.
    waiting: Vec<Box<dyn Any + Send>>,
}

/// Those that have not exited, by their id.
static ALL: Mutex<BTreeMap<u64, Arc<Movable>>> = Mutex::new(BTreeMap::new());

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses to keep anything that is not `Send` for an spdk_thread that may move.
pub(crate) fn check(id: u64) -> Result<(), Fault> {
    match lock(&ALL).get(&id) {
        None => Ok(()),
        Some(movable) => Err(Fault::invalid(format!(
            "{:?} is a `MovableThread`, which has no handles, tasks and timers: use those of another \
             spdk_thread, by its `ThreadHandle`",
            movable.name
        ))),
    }
}

/// Ends all of them; each drops a `waiting` when it has exited.
pub(crate) fn end_all<T: Clone + Send + 'static>(waiting: &T) {
    let all: Vec<_> = lock(&ALL).values().cloned().collect();
    for movable in all {
        movable.end(Box::new(waiting.clone()));
    }
}

impl MovableThread {
    /// Creates an spdk_thread on one of these cores of the running application.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInitialised`] without a running application, [`ErrorKind::ThreadEnded`] while it is
    /// ending, [`ErrorKind::InvalidArgument`] for no core, for one that the application does not run on, and
    /// with a [`SpdkEnv`](crate::SpdkEnv), where nobody moves spdk_threads; [`ErrorKind::Option`] for a name
    /// that is empty or has a NUL byte, [`ErrorKind::Errno`] if SPDK has no memory for it.
    #[doc(alias = "spdk_thread_create")]
    pub fn new(name: &str, cores: &CpuSet) -> Result<Self> {
        let c_name = options::text("name", name)?;
        app::while_running("MovableThread::new", |_| {
            cores::check_all("MovableThread::new", cores)?;
            // Until it is in the list, nobody asks whether it is.
            let mut all = lock(&ALL);
            // SAFETY: the framework runs, so its thread library is up; the name and the cpuset are copied.
            let thread = unsafe { sys::spdk_thread_create(c_name.as_ptr(), cores.as_ptr()) };
            if thread.is_null() {
                return Err(Error::errno_of("spdk_thread_create", Errno::ENOMEM));
            }
            let inbox = Inbox::new();
            inbox.sleep(); // the first message wakes it up
            let movable = Arc::new(Movable {
                name: name.into(),
                // SAFETY: it was just created, and only this file ends it, when a message says so.
                id: unsafe { sys::spdk_thread_get_id(thread) },
                inbox,
                thread: Mutex::new(Pointer(thread)),
                state: Mutex::default(),
            });
            all.insert(movable.id, movable.clone());
            Ok(MovableThread(movable))
        })
    }

    /// Runs `f` on the spdk_thread, wherever that is by then, and returns at once.
    ///
    /// Closures that one OS thread sends run in the order they were sent. A panic of `f` is reported
    /// through `tracing`, and the spdk_thread goes on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if the spdk_thread has ended; `f` is dropped then. It is also
    /// dropped, without running, if the spdk_thread ends before its turn.
    #[doc(alias = "spdk_thread_send_msg")]
    pub fn send<F>(&self, f: F) -> Result<()>
    where
        F: FnOnce() + Send + 'static,
    {
        match self.0.send(Message::new(f)) {
            true => Ok(()),
            false => Err(self.ended()),
        }
    }

    /// Runs `f` on the spdk_thread and returns what it returned. Works on any executor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if the spdk_thread ended before `f` had run,
    /// [`ErrorKind::Panicked`] if `f` panicked.
    ///
    /// # Cancellation
    ///
    /// `f` runs all the same when the future is dropped; its result is dropped then.
    #[doc(alias = "spdk_thread_send_msg")]
    pub async fn call<F, T>(&self, f: F) -> Result<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let (message, trip) = round_trip::new(f, waker);
        // A message that is refused is dropped, which ends the trip.
        self.0.send(message);
        match trip.await {
            Some(Ok(output)) => Ok(output),
            Some(Err(payload)) => Err(task::panicked(payload)),
            None => Err(self.ended()),
        }
    }

    /// Has the spdk_thread run `f` every `period`, rounded up to microseconds, or in each of its polls if
    /// that is zero, until the [`MovablePoller`] is dropped.
    ///
    /// `f` must not block. If it panics, that is reported through `tracing`, and the poller has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if the spdk_thread has ended, [`ErrorKind::Errno`] with `ENOMEM` if SPDK
    /// has no memory for it, and in interrupt mode with `EMFILE` or `ENFILE` if few file descriptors are left.
    ///
    /// # Cancellation
    ///
    /// The poller ends when the future is dropped.
    #[doc(alias = "spdk_poller_register")]
    pub async fn poller<F>(&self, period: Duration, f: F) -> Result<MovablePoller>
    where
        F: FnMut() -> PollStatus + Send + 'static,
    {
        const CALL: &str = "spdk_poller_register_named";
        let name = options::text("name", std::any::type_name::<F>())?;
        let (movable, period) = (self.0.clone(), microseconds(period));
        let registered = self.call(move || movable.register(&name, period, Box::new(f)));
        registered
            .await?
            .map_err(|fault| fault.at(At::name(CALL, self.name())))
    }

    /// Moves it to one of these cores, when its current poll is over, and lets it move among them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if it has ended or the application is ending,
    /// [`ErrorKind::InvalidArgument`] for no core and for one that the application does not run on, and in
    /// [interrupt mode](crate::SpdkAppBuilder::interrupt_mode): there SPDK 26.01 has two reactors run it at the same time.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. It moves all the same when the future is dropped later.
    #[doc(alias = "spdk_thread_set_cpumask")]
    pub async fn set_cores(&self, cores: &CpuSet) -> Result<()> {
        const CALL: &str = "spdk_thread_set_cpumask";
        app::while_running(CALL, |_| cores::check_all(CALL, cores))?;
        // A reactor that sleeps learns of a move by a file descriptor, as of all else. When it has given the spdk_thread
        // away it goes on with what was ready together with that, and this may be a poller of the spdk_thread.
        if interrupt::is_enabled() {
            let reason = "SPDK moves no spdk_thread safely in interrupt mode";
            return Err(Fault::invalid(reason).at(At::name(CALL, self.name())));
        }
        let cores = cores.clone();
        // SAFETY: on the spdk_thread, in a framework that can move it. The set is copied.
        let moved =
            self.call(move || unsafe { sys::spdk_thread_set_cpumask(cores.as_ptr().cast_mut()) });
        match moved.await? {
            0 => Ok(()),
            rc => Err(Fault::errno(Errno::from_code(rc)).at(At::name(CALL, self.name()))),
        }
    }

    /// The cores that it may be on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if it has ended.
    #[doc(alias = "spdk_thread_get_cpumask")]
    pub async fn cores(&self) -> Result<CpuSet> {
        self.call(|| {
            // SAFETY: it is the current spdk_thread, which has a set and changes it only itself.
            unsafe { CpuSet::copied(sys::spdk_thread_get_cpumask(current_thread())) }
        })
        .await
    }

    /// The core that it is on now. It may be on another one by the time that this is ready.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if it has ended.
    #[doc(alias = "spdk_env_get_current_core")]
    pub async fn core(&self) -> Result<u32> {
        // SAFETY: no precondition.
        self.call(|| unsafe { sys::spdk_env_get_current_core() })
            .await
    }

    /// How long it was busy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if it has ended.
    #[doc(alias = "spdk_thread_get_stats")]
    pub async fn stats(&self) -> Result<ThreadStats> {
        self.call(thread_stats::current).await
    }

    /// Ends it after what was sent to it until now, and returns when its pollers are dropped and it has
    /// exited. A drop does the same, and waits for nothing.
    ///
    /// # Cancellation
    ///
    /// It ends all the same when the future is dropped.
    #[doc(alias = "spdk_thread_exit")]
    pub async fn exit(self) {
        let (exited, wait) = oneshot::async_channel::<()>();
        self.0.end(Box::new(exited));
        // Nothing is sent: the channel closes.
        let _ = wait.await;
    }

    /// Its name.
    #[doc(alias = "spdk_thread_get_name")]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its number, which no other spdk_thread of this process gets.
    #[doc(alias = "spdk_thread_get_id")]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Whether it runs no closures any more.
    pub fn has_ended(&self) -> bool {
        self.0.inbox.is_closed()
    }

    fn ended(&self) -> Error {
        let name = self.name().to_owned();
        ErrorKind::ThreadEnded { name }.into()
    }
}

impl Drop for MovableThread {
    fn drop(&mut self) {
        self.0.end(Box::new(()));
    }
}

impl fmt::Debug for MovableThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovableThread")
            .field("name", &self.name())
            .field("id", &self.id())
            .finish()
    }
}

impl Movable {
    /// From any OS thread; `false`, and the message dropped, if it has ended.
    fn send(self: &Arc<Self>, message: Message) -> bool {
        match self.inbox.push(message) {
            Ok(Sent::Awake) => true,
            Ok(Sent::Asleep) => {
                self.wake_up();
                true
            }
            Err(_refused) => false,
        }
    }

    /// Has it look at its inbox. One such message is on its way at a time, since SPDK aborts the process
    /// when it has no more of them.
    fn wake_up(self: &Arc<Self>) {
        let thread = lock(&self.thread);
        if !thread.0.is_null() {
            let arg = Arc::into_raw(self.clone()).cast_mut().cast();
            // SAFETY: an spdk_thread exists while it is named here, and may be sent messages from anywhere.
            // `run_turn` takes the count back.
            unsafe { sys::spdk_thread_send_msg(thread.0, Some(run_turn), arg) };
        }
    }

    /// Ends it after the messages that were sent until now.
    fn end(self: &Arc<Self>, waiting: Box<dyn Any + Send>) {
        {
            let mut state = lock(&self.state);
            if state.has_exited {
                return;
            }
            state.waiting.push(waiting);
        }
        let movable = self.clone();
        // It is refused if it ends already.
        self.send(Message::new(move || lock(&movable.state).is_ending = true));
    }

    /// Runs the messages that have come, on the spdk_thread.
    fn turn(self: &Arc<Self>) {
        let mut messages = mem::take(&mut lock(&self.state).messages);
        for _ in 0..MESSAGES_PER_POLL {
            let next = messages.next().or_else(|| {
                messages = self.inbox.take();
                messages.next()
            });
            match next {
                Some(message) => run_caught("message", || message.run()),
                None if self.inbox.sleep() => return, // who sends the next one wakes it up
                None => {}
            }
            if lock(&self.state).is_ending {
                return self.finish(messages);
            }
        }
        lock(&self.state).messages = messages;
        self.wake_up();
    }

    /// Drops what is left, and exits, on the spdk_thread.
    fn finish(self: &Arc<Self>, taken: Messages) {
        lock(&self.thread).0 = ptr::null_mut();
        for message in taken.chain(self.inbox.close()) {
            run_caught("drop of a message", || drop(message));
        }
        let pollers = mem::take(&mut lock(&self.state).pollers);
        pollers.into_values().for_each(Registered::end);
        self.clone().exit(Exit::begin());
    }

    /// Exits, when no iteration over the spdk_threads may be on its way to it.
    fn exit(self: Arc<Self>, exit: Exit) {
        let thread = current_thread();
        match exit.hold_up() {
            // SAFETY: the spdk_thread is current, has nothing open and is not used any more. Its reactor
            // destroys it.
            Ok(_held_up) => unsafe { sys::spdk_thread_exit(thread) },
            Err(waits) => {
                waits.keep();
                let arg = Arc::into_raw(self).cast_mut().cast();
                // SAFETY: the spdk_thread is current. `exit_again` takes the count back.
                unsafe { sys::spdk_thread_send_msg(thread, Some(exit_again), arg) };
                return;
            }
        };
        lock(&ALL).remove(&self.id);
        let mut state = lock(&self.state);
        state.has_exited = true;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        for one in waiting {
            // It wakes the user's.
            run_caught("wake", || drop(one));
        }
    }
}

unsafe extern "C" fn run_turn(movable: *mut c_void) {
    panic::guard("movable spdk_thread", || {
        // SAFETY: from `into_raw` in `wake_up`, taken back once.
        unsafe { Arc::from_raw(movable.cast::<Movable>().cast_const()) }.turn();
    });
}

unsafe extern "C" fn exit_again(movable: *mut c_void) {
    panic::guard("end of an spdk_thread", || {
        // SAFETY: from `into_raw` in `exit`, taken back once.
        let movable = unsafe { Arc::from_raw(movable.cast::<Movable>().cast_const()) };
        movable.exit(Exit::again());
    });
}
