//! Driving an [`SpdkThread`]: by blocking on a future, or as a task of another executor.

use std::future::Future;
use std::pin::pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use crate::error::{ErrorKind, Result};
use crate::local::current_thread;
use crate::task;
use crate::thread::{self, SpdkThread};

/// Runs a future to its end on the current [`SpdkThread`], polling it meanwhile.
///
/// It is for the outside of an spdk_thread. Inside a task, use `.await`.
///
/// # Errors
///
/// [`ErrorKind::NestedPoll`] from inside a task, message or poller and inside
/// [`SpdkApp`](crate::SpdkApp), [`ErrorKind::NoThread`] without a current [`SpdkThread`], and if
/// `future` drops it before its end.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    const CALL: &str = "block_on";
    let Some(thread) = NonNull::new(current_thread()) else {
        return Err(ErrorKind::NoThread { operation: CALL }.into());
    };
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if thread::is_polled() {
            return Err(ErrorKind::NestedPoll { operation: CALL }.into());
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output);
        }
        if !thread::is_attached(thread) {
            return Err(ErrorKind::NoThread { operation: CALL }.into());
        }
        thread::poll(thread, 0)?;
    }
}

/// Polls an [`SpdkThread`] for ever, giving other tasks of the executor their turn between polls.
///
/// Spawn it, or `select` with it, on the local executor of your choice; futures of this crate then
/// make progress there. It ends only by being dropped.
pub async fn spdk_poller(thread: &SpdkThread) {
    loop {
        thread.poll();
        task::yield_now().await;
    }
}

/// `future`, with a poller that never ends polled after it in each turn.
#[cfg(any(feature = "smol", feature = "tokio"))]
pub(crate) async fn with_poller<F: Future>(future: F, poller: impl Future) -> F::Output {
    let (mut future, mut poller) = (pin!(future), pin!(poller));
    std::future::poll_fn(|cx| {
        let poll = future.as_mut().poll(cx);
        if poll.is_pending() {
            let _ = poller.as_mut().poll(cx);
        }
        poll
    })
    .await
}
