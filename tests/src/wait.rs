//! Waiting for conditions, with a deadline.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use spdk::task::yield_now;

/// How long a condition is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Lets the spdk_thread run until the condition holds.
///
/// # Panics
///
/// When it does not hold in time; `what` says what was waited for.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        yield_now().await;
    }
}

/// How much time may have passed as SPDK's clock tells: the system's may go slower by a little. Where the CPU does not
/// tell its rate, DPDK takes it to be a multiple of 10 MHz.
///
/// # Panics
///
/// Before SPDK runs.
pub fn spent(start: Instant) -> Duration {
    const ROUNDED: u64 = 5_000_000;
    let spent = start.elapsed();
    let hz = spdk::ticks_hz().expect("SPDK runs");
    spent + (spent / 500).max(spent.mul_f64(ROUNDED as f64 / hz as f64))
}

/// Ready after a time.
pub async fn after(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        yield_now().await;
    }
}

/// The output of a future if it is ready in time; else it is dropped.
pub async fn timeout<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(after(time))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

/// Polls a future once, without a waker that would be heard.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a future that has to be ready in time.
///
/// # Panics
///
/// When it is not; `what` says what hangs.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(PATIENCE, future).await {
        Some(output) => output,
        None => panic!("{what} hangs: it has not ended after {PATIENCE:?}"),
    }
}
