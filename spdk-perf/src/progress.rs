//! A line per second while the jobs run, from an OS thread of its own: a slow terminal delays no I/O.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(1);

/// How many I/Os each job has done.
pub(crate) type Counts = Vec<Arc<AtomicU64>>;

/// The end that tells of the start: the lines go on until it is dropped.
pub(crate) type Start = Sender<Counts>;

/// Starts the OS thread. To be called before SPDK starts, which binds its own to their cores.
pub(crate) fn spawn(io_size: u64, warmup: Duration) -> (Start, JoinHandle<()>) {
    let (start, started) = channel();
    (
        start,
        std::thread::spawn(move || show(&started, io_size, warmup)),
    )
}

fn show(started: &Receiver<Counts>, io_size: u64, warmup: Duration) {
    let Ok(counts) = started.recv() else {
        return;
    };
    let begin = Instant::now();
    let (mut last, mut before) = (begin, 0);
    while let Err(RecvTimeoutError::Timeout) = started.recv_timeout(PERIOD) {
        let now = Instant::now();
        let count: u64 = counts.iter().map(|count| count.load(Relaxed)).sum();
        let rate = (count - before) as f64 / (now - last).as_secs_f64();
        let elapsed = now - begin;
        let line = format!(
            "{:>5.0} s {rate:>12.0} IO/s {:>10.1} MiB/s{}\n",
            elapsed.as_secs_f64(),
            rate * io_size as f64 / f64::from(1 << 20),
            if elapsed < warmup { "  (warm-up)" } else { "" },
        );
        // Who read them may be gone.
        if io::stderr().write_all(line.as_bytes()).is_err() {
            return;
        }
        (last, before) = (now, count);
    }
}
