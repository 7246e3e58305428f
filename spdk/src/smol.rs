//! smol and SPDK in one program, with the feature `smol`.
//!
//! | | who polls what |
//! | --- | --- |
//! | [`run`] | SPDK's reactors poll SPDK. The future runs on smol's own OS threads, and awaits I/O through [`ThreadHandle`](crate::ThreadHandle). |
//! | `executor.run(future).await` | As before, but the tasks of a [`LocalExecutor`](::smol::LocalExecutor) run on the current spdk_thread: smol's futures need nothing around them. They may use SPDK's handles, and smol's timers and sockets. |
//! | [`block_on`] | Without [`SpdkApp`](crate::SpdkApp): the current OS thread polls an [`SpdkThread`], and the future. |
//!
//! ```no_run
//! use spdk::{Bdev, SpdkApp, SpdkThread};
//!
//! # fn main() -> spdk::Result<()> {
//! let size = SpdkApp::builder().config_file("bdev.json").block_on(async {
//!     let home = SpdkThread::app_thread().expect("an application runs");
//!     let elsewhere = async move { home.call_async(async || Ok(Bdev::find("Malloc0")?.block_size())).await? };
//!     spdk::smol::run(elsewhere).await?
//! })?;
//! # let _ = size;
//! # Ok(())
//! # }
//! ```

use std::future::Future;

use crate::block_on::{spdk_poller, with_poller};
use crate::error::{ErrorKind, Result};
use crate::panic::caught;
use crate::task;
use crate::thread::{self, SpdkThread};
use crate::unpinned::unpinned;

/// Runs a future on smol's global executor beside SPDK's reactors, and returns what it returned.
///
/// The first task of the executor starts its OS threads, as many as the environment variable `SMOL_THREADS` says, else
/// one. Started here they may run on every core; started by [`smol::spawn`] on a reactor, they would
/// share its one core with it, which it never leaves. The same is true of the thread that waits for smol's timers and
/// sockets.
///
/// SPDK's handles stay on their spdk_threads; the future reaches them through
/// [`ThreadHandle::call_async`](crate::ThreadHandle::call_async). Waiting for it takes no CPU time of the reactor.
///
/// # Errors
///
/// [`ErrorKind::Panicked`] if the future panicked.
///
/// # Panics
///
/// If the system has no more threads: smol does not report it.
///
/// # Cancellation
///
/// Nothing happens before the first poll. Dropping this has the future dropped, on a thread of smol, at its next
/// `.await`; what it has asked an spdk_thread for runs on there. Other tasks that it has spawned and detached run on:
/// the executor lives as long as the process.
///
/// # Thread
///
/// Any: it is awaited on an spdk_thread as elsewhere.
#[doc(alias = "spdk_call_unaffinitized")]
pub async fn run<F>(future: F) -> Result<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let task = unpinned(|| ::smol::spawn(caught(future)));
    task.await.map_err(task::panicked)
}

/// Runs a future to its end, as [`smol::block_on`] does, and polls `thread` meanwhile.
///
/// Tasks come with a [`LocalExecutor`](::smol::LocalExecutor), whose `run` is the future then. It never waits: as a
/// reactor of SPDK does, it takes all of one core.
///
/// # Errors
///
/// [`ErrorKind::NestedPoll`] from inside a task, message or poller and inside [`SpdkApp`](crate::SpdkApp).
///
/// # Panics
///
/// With the panic of the future.
///
/// # Thread
///
/// The OS thread of `thread`.
pub fn block_on<F: Future>(thread: &SpdkThread, future: F) -> Result<F::Output> {
    if thread::is_polled() {
        let operation = "spdk::smol::block_on";
        return Err(ErrorKind::NestedPoll { operation }.into());
    }
    Ok(::smol::block_on(with_poller(future, spdk_poller(thread))))
}
