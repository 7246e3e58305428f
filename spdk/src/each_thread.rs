//! A closure on every spdk_thread of the process.
#![allow(unsafe_code)] // Passes the iteration through a `void *`, and looks at the current spdk_thread.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard};

use crate::error::{At, Error, Fault, Gone, Result};
use crate::local::{self, Here, current_thread};
use crate::thread_stats::{self, ThreadStats};
use crate::visits::{self, Visit};
use crate::{Errno, SpdkThread, panic, sys, task};

/// SPDK sends an iteration on to the next spdk_thread without a lock, so that spdk_thread must not exit at
/// that moment: those that this crate ends wait for the iterations that run, and new ones for them.
static TRAFFIC: Mutex<Traffic> = Mutex::new(Traffic {
    iterations: 0,
    exits: 0,
});

/// What is on its way.
pub(crate) struct Traffic {
    iterations: usize,
    /// The exits that wait.
    exits: usize,
}

fn traffic() -> MutexGuard<'static, Traffic> {
    TRAFFIC.lock().unwrap_or_else(|e| e.into_inner())
}

/// An spdk_thread that is about to exit. No iteration begins while there is one.
pub(crate) struct Exit(());

impl Exit {
    pub(crate) fn begin() -> Self {
        traffic().exits += 1;
        Exit(())
    }

    /// One that was kept.
    pub(crate) fn again() -> Self {
        Exit(())
    }

    /// Lets [`Exit::again`] go on with it.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }

    /// Holds up the iterations, for the exit itself, if none runs.
    pub(crate) fn hold_up(self) -> Result<MutexGuard<'static, Traffic>, Self> {
        let mut traffic = traffic();
        if traffic.iterations != 0 {
            return Err(self);
        }
        traffic.exits -= 1;
        self.keep();
        Ok(traffic)
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        traffic().exits -= 1;
    }
}

/// Counts an iteration, when no spdk_thread is about to exit.
async fn begin() {
    loop {
        {
            let mut traffic = traffic();
            if traffic.exits == 0 {
                traffic.iterations += 1;
                return;
            }
        }
        task::yield_now().await;
    }
}

/// An spdk_thread that [`for_each_thread`] visits, as it was then.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Its name.
    pub name: String,
    /// Its number, which no other spdk_thread of this process gets.
    pub id: u64,
    /// Whether it is the one that the application started on: the first that was made.
    #[doc(alias = "spdk_thread_is_app_thread")]
    pub is_app_thread: bool,
    /// How long it was busy.
    pub stats: ThreadStats,
}

impl ThreadInfo {
    /// The current spdk_thread.
    fn here() -> Self {
        let thread = current_thread();
        // SAFETY: SPDK runs the iteration's function with the spdk_thread as the current one, so it
        // exists, and its name is a C string.
        let (name, id, app) = unsafe {
            (
                CStr::from_ptr(sys::spdk_thread_get_name(thread)),
                sys::spdk_thread_get_id(thread),
                sys::spdk_thread_get_app_thread(),
            )
        };
        ThreadInfo {
            name: name.to_string_lossy().into_owned(),
            id,
            is_app_thread: thread == app,
            stats: thread_stats::current(),
        }
    }
}

impl fmt::Debug for ThreadInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadInfo")
            .field("name", &self.name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SpdkThread {
    /// The spdk_threads of this process, those of SPDK's own modules included. It visits each of them,
    /// as [`for_each_thread`] does.
    ///
    /// # Errors
    ///
    /// As for [`for_each_thread`].
    pub async fn all() -> Result<Vec<ThreadInfo>> {
        for_each_thread(ThreadInfo::clone).await
    }
}

/// What travels from spdk_thread to spdk_thread: one of them has it at a time.
struct Iteration<F, T> {
    f: F,
    outcome: Result<Vec<T>>,
    /// Used on the spdk_thread that has begun it only.
    here: Here,
    on_its_way: Visit,
    done: oneshot::Sender<Result<Vec<T>>>,
}

/// Runs `f` on each spdk_thread of the process, one after the other, and returns what it returned, in
/// the order in which the spdk_threads were made. Those that are ending are left out.
///
/// It ends when all of them were polled: the reactors of an application do that; a
/// [`SpdkThread`] is polled by its owner. Until then the current spdk_thread does not end.
///
/// ```no_run
/// # async fn example() -> spdk::Result<()> {
/// let busy = spdk::for_each_thread(|thread| (thread.name.clone(), thread.stats.busy()));
/// for (name, time) in busy.await? {
///     println!("{name} was busy for {time:?}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread,
/// [`ErrorKind::Panicked`](crate::ErrorKind::Panicked) if `f` panicked: the spdk_threads that come
/// after that are not visited; [`ErrorKind::Errno`](crate::ErrorKind::Errno) with `ENOMEM` if SPDK has
/// no memory for the iteration; [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the spdk_thread that was made first has ended,
/// which only one of an [`SpdkEnv`](crate::SpdkEnv) does before the others: SPDK begins with it all the same.
///
/// # Cancellation
///
/// It goes on when the future is dropped; what `f` returns is dropped then, on the current
/// spdk_thread. A future that was never polled has started nothing, and neither has one that waits for others to end, because
/// there are more than 16,384 of them.
#[doc(alias = "spdk_for_each_thread")]
pub async fn for_each_thread<F, T>(f: F) -> Result<Vec<T>>
where
    F: FnMut(&ThreadInfo) -> T + Send + 'static,
    T: Send + 'static,
{
    const CALL: &str = "spdk_for_each_thread";
    let at = |fault: Fault| fault.at(At::free(CALL));
    drop(Here::now().map_err(at)?);
    let on_its_way = visits::begin().await;
    begin().await;
    let here = match Here::now() {
        Ok(here) => here,
        Err(fault) => {
            traffic().iterations -= 1;
            return Err(at(fault));
        }
    };
    if first_has_ended() {
        traffic().iterations -= 1;
        return Err(at(Fault::gone(Gone::ThreadEnded)));
    }
    let (done, wait) = oneshot::async_channel();
    let iteration = Box::into_raw(Box::new(Iteration {
        f,
        outcome: Ok(Vec::new()),
        here,
        on_its_way,
        done,
    }));
    // SAFETY: on the current spdk_thread, which waits for `Here`. The functions get the box, one at a
    // time: `visit` on each spdk_thread, then `end` here, once, which takes it back. What they share
    // between OS threads is `Send`, but for `here`, which only `end` uses.
    unsafe {
        sys::spdk_for_each_thread(Some(visit::<F, T>), iteration.cast(), Some(end::<F, T>));
    }
    // `end` always sends.
    wait.await
        .unwrap_or_else(|_| Err(Fault::errno(Errno::ENOMEM).at(At::free(CALL))))
}

/// Whether the first spdk_thread has ended: SPDK keeps it, begins with it, and aborts. None exits while an iteration is counted.
fn first_has_ended() -> bool {
    // SAFETY: SPDK keeps it until its library ends, for which it waits for the current one.
    unsafe {
        let first = sys::spdk_thread_get_app_thread();
        !first.is_null() && sys::spdk_thread_is_exited(first)
    }
}

unsafe extern "C" fn visit<F, T>(iteration: *mut c_void)
where
    F: FnMut(&ThreadInfo) -> T,
{
    panic::guard("spdk_for_each_thread", || {
        let iteration = iteration.cast::<Iteration<F, T>>();
        // SAFETY: the box lives until `end`, and nobody else has it at the moment.
        let (f, outcome) = unsafe { (&mut (*iteration).f, &mut (*iteration).outcome) };
        if let Ok(values) = outcome {
            let info = ThreadInfo::here();
            match local::beside(|| catch_unwind(AssertUnwindSafe(|| f(&info)))) {
                Ok(value) => values.push(value),
                Err(payload) => {
                    let values = mem::replace(outcome, Err(task::panicked(payload)));
                    local::beside(|| local::run_caught("drop of an iteration", || drop(values)));
                }
            }
        }
    });
}

unsafe extern "C" fn end<F, T>(iteration: *mut c_void) {
    panic::guard("spdk_for_each_thread", || {
        // SAFETY: from `into_raw` in `for_each_thread`, taken back once, on the spdk_thread of `here`.
        let iteration = unsafe { Box::from_raw(iteration.cast::<Iteration<F, T>>()) };
        traffic().iterations -= 1;
        let Iteration {
            f,
            outcome,
            here,
            on_its_way,
            done,
        } = *iteration;
        drop(on_its_way);
        local::run_caught("drop of an iteration", || drop(f));
        let outcome = match outcome {
            // This spdk_thread would be among the visited.
            Ok(values) if values.is_empty() => {
                let fault = Fault::errno(Errno::ENOMEM);
                Err::<_, Error>(fault.at(At::free("spdk_for_each_thread")))
            }
            outcome => outcome,
        };
        if let Err(unwanted) = done.send(outcome) {
            local::run_caught("drop of an iteration", || drop(unwanted));
        }
        drop(here);
    });
}
