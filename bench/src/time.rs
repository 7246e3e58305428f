//! The times of a run.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use crate::busy::Busy;
use crate::options::Times;
use crate::report::Counted;

/// Waits without a look at the clock: another OS thread sleeps meanwhile.
pub async fn sleep(time: Duration) {
    let (done, slept) = oneshot::channel();
    thread::spawn(move || {
        thread::sleep(time);
        // Nobody waits any more if the application was stopped.
        let _ = done.send(());
    });
    // The sender is not dropped before it has sent.
    let _ = slept.await;
}

/// How far `count` goes, after the warm-up.
pub async fn measure(times: Times, count: &Cell<u64>) -> Counted {
    sleep(times.warmup).await;
    let (before, start, then) = (count.get(), Instant::now(), Busy::now());
    sleep(times.time).await;
    Counted {
        count: count.get() - before,
        time: start.elapsed(),
        busy: Busy::now().zip(then).map(|(now, then)| now.since(then)),
    }
}
