//! Tokio and SPDK in one program, with the feature `tokio`.
//!
//! | | who polls what |
//! | --- | --- |
//! | [`run`] | SPDK's reactors poll SPDK. The future runs on Tokio's own OS threads, and awaits I/O through [`ThreadHandle`](crate::ThreadHandle). |
//! | [`run_local`] | As before, but the future runs on the current spdk_thread, as tasks of a [`LocalSet`]. It may use SPDK's handles, and Tokio's timers and sockets. |
//! | [`block_on`] | Without [`SpdkApp`](crate::SpdkApp): Tokio polls an [`SpdkThread`], and the future, on the current OS thread. |
//!
//! A server on Tokio's threads, beside the application that has the device:
//!
//! ```no_run
//! use spdk::{Bdev, SpdkApp, SpdkThread, ThreadHandle};
//! use tokio::runtime::Builder;
//!
//! async fn serve(home: ThreadHandle) -> spdk::Result<u32> {
//!     // In each handler: the closure runs where the device is, and its result comes back.
//!     tokio::spawn(async move { home.call_async(async || Ok(Bdev::find("Malloc0")?.block_size())).await? })
//!         .await
//!         .expect("it does not panic")
//! }
//!
//! # fn main() -> spdk::Result<()> {
//! SpdkApp::builder().config_file("bdev.json").block_on(async {
//!     let home = SpdkThread::app_thread().expect("an application runs");
//!     spdk::tokio::run(Builder::new_multi_thread().enable_all(), serve(home)).await?
//! })?;
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use ::tokio::task::{LocalSet, yield_now};
use pin_project_lite::pin_project;

use crate::block_on::with_poller;
use crate::errno::Errno;
use crate::error::{At, ErrorKind, Fault, Result};
use crate::task;
use crate::thread::{self, SpdkThread};
use crate::unpinned::unpinned;

/// Runs a future on a multi-threaded Tokio runtime beside SPDK's reactors, and returns what it returned.
///
/// `builder` says how many threads there are, and whether there are timers and sockets. The threads may run on every
/// core: those that a reactor starts would share its one core with it, which it never leaves.
///
/// SPDK's handles stay on their spdk_threads; the future reaches them through
/// [`ThreadHandle::call_async`](crate::ThreadHandle::call_async). Waiting for it takes no CPU time of the reactor.
///
/// # Errors
///
/// [`ErrorKind::Panicked`] if the future panicked, [`ErrorKind::InvalidArgument`] for a current-thread runtime, which
/// nobody would run, and [`ErrorKind::Errno`] if the system refuses the runtime what it waits with.
///
/// # Panics
///
/// If the system has no more threads, as [`Builder::build`] does.
///
/// # Cancellation
///
/// Nothing happens before the first poll. When this ends or is dropped, as at the end of the application, the runtime is
/// shut down in the background: each task of Tokio is dropped at its next `.await`, and what it has asked an spdk_thread
/// for runs on there. A task that never comes to one, and a blocking closure, keep their OS threads.
///
/// # Thread
///
/// Any: it is awaited on an spdk_thread as elsewhere.
#[doc(alias = "spdk_call_unaffinitized")]
pub async fn run<F>(builder: &mut Builder, future: F) -> Result<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let beside = Beside::start("spdk::tokio::run", builder)?;
    let end = beside.handle.spawn(future).await;
    end.map_err(|error| match error.try_into_panic() {
        Ok(payload) => task::panicked(payload),
        Err(_) => ErrorKind::Cancelled.into(),
    })
}

/// Runs a future here, in a [`LocalSet`] and with a Tokio runtime around it, and returns what it returned.
///
/// The future, and what it passes to [`tokio::task::spawn_local`], are polled by the
/// executor of the current spdk_thread. They may hold SPDK's handles across an `.await`, and use timers and sockets of
/// Tokio: the threads of the runtime, which `builder` makes as in [`run`], wait for these and wake them. So an idle
/// future takes no CPU time of the reactor, and in [interrupt mode](crate::SpdkAppBuilder::interrupt_mode) it sleeps.
/// What the future passes to [`tokio::spawn`] runs on those threads.
///
/// Blocking work, as of [`tokio::task::spawn_blocking`] and `tokio::fs`, has OS threads of its own, which Tokio starts when
/// there is some, and uses again. One that it starts for a task on those threads may run on every core; one that it starts for
/// the future here shares the one core of the reactor, which never leaves it. So do such work in a task of [`tokio::spawn`], or
/// have [`Builder::on_thread_start`] give each thread its cores.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`] for a current-thread runtime, and [`ErrorKind::Errno`] if the system refuses the
/// runtime what it waits with.
///
/// # Panics
///
/// With the panic of the future, and as [`run`]. That of a task is in its `JoinHandle`.
///
/// # Cancellation
///
/// Nothing happens before the first poll. The tasks of the set are dropped here when the future ends, and when this is
/// dropped; those on the threads of the runtime as in [`run`].
///
/// # Thread
///
/// The one that polls it: the spdk_thread whose handles the future uses.
pub async fn run_local<F: Future>(builder: &mut Builder, future: F) -> Result<F::Output> {
    let beside = Beside::start("spdk::tokio::run_local", builder)?;
    let tasks = async move { LocalSet::new().run_until(future).await };
    let inside = Inside {
        future: Some(tasks),
        runtime: beside.handle.clone(),
    };
    Ok(inside.await)
}

/// Runs a future to its end on a new current-thread runtime of Tokio, in a [`LocalSet`], and polls `thread` meanwhile.
///
/// The future, the tasks that it spawns and those of the spdk_thread share this OS thread, and may use everything of
/// Tokio that its Cargo features include. Each turn polls the spdk_thread, and Tokio's timers and sockets, without
/// waiting: as a reactor of SPDK does, it takes all of one core.
///
/// Inside a runtime of your own, [`spdk_poller`](crate::spdk_poller) is one of its tasks.
///
/// # Errors
///
/// [`ErrorKind::NestedPoll`] from inside a task, message or poller and inside [`SpdkApp`](crate::SpdkApp),
/// [`ErrorKind::InvalidArgument`] inside a runtime, and [`ErrorKind::Errno`] if the system refuses the runtime what it
/// needs.
///
/// # Panics
///
/// With the panic of the future. That of a task is in its `JoinHandle`.
///
/// # Thread
///
/// The OS thread of `thread`.
pub fn block_on<F: Future>(thread: &SpdkThread, future: F) -> Result<F::Output> {
    const CALL: &str = "spdk::tokio::block_on";
    if thread::is_polled() {
        return Err(ErrorKind::NestedPoll { operation: CALL }.into());
    }
    if Handle::try_current().is_ok() {
        let reason = "there is a Tokio runtime around it; make `spdk_poller` one of its tasks";
        return Err(Fault::invalid(reason).at(At::free(CALL)));
    }
    let runtime = build(CALL, Builder::new_current_thread().enable_all())?;
    // What the tasks leave may need the runtime where it is dropped.
    let _entered = runtime.enter();
    let tasks = LocalSet::new();
    let poller = async {
        loop {
            thread.poll();
            // Tokio's own: it looks at timers and sockets, and needs no wake for the next turn.
            yield_now().await;
        }
    };
    Ok(tasks.block_on(&runtime, with_poller(future, poller)))
}

fn build(call: &'static str, builder: &mut Builder) -> Result<Runtime> {
    builder.build().map_err(|error| {
        let errno = error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_code);
        Fault::errno(errno).at(At::free(call))
    })
}

/// A runtime that is shut down in the background, since waiting would stop the reactor.
struct Beside {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Beside {
    fn start(call: &'static str, builder: &mut Builder) -> Result<Self> {
        let runtime = unpinned(|| build(call, builder))?;
        let beside = Beside {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        };
        match beside.handle.runtime_flavor() {
            RuntimeFlavor::CurrentThread => {
                let reason =
                    "nobody would run a current-thread runtime; use `Builder::new_multi_thread`";
                Err(Fault::invalid(reason).at(At::free(call)))
            }
            _ => Ok(beside),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pin_project! {
    /// Polls and drops a future inside of a runtime.
    struct Inside<F> {
        #[pin]
        future: Option<F>,
        runtime: Handle,
    }

    impl<F> PinnedDrop for Inside<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.runtime.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.runtime.enter();
        // It is there until the drop.
        this.future
            .as_pin_mut()
            .map_or(Poll::Pending, |future| future.poll(cx))
    }
}
