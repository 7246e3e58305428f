//! spdk_threads that a test polls itself, without an application.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use spdk::{SMALL_MSG_MEMPOOL_SIZE, SpdkEnv, SpdkThread, ThreadHandle};

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// SPDK without an application, once in a process.
pub fn env() -> spdk::Result<SpdkEnv> {
    SpdkEnv::builder()
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(256)
        .build()
}

/// An spdk_thread of the current OS thread, with little memory.
pub fn thread(name: &str) -> spdk::Result<SpdkThread> {
    SpdkThread::current_with_mempool_size(name, SMALL_MSG_MEMPOOL_SIZE)
}

/// Polls until the condition holds.
#[track_caller]
pub fn poll_until(thread: &SpdkThread, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        thread.poll();
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
    }
}

/// An OS thread with an spdk_thread that it polls until it is told to end.
#[derive(Debug)]
pub struct Worker {
    /// Sends work to it.
    pub handle: ThreadHandle,
    stop: Arc<AtomicU32>,
    join: spdk::JoinHandle<()>,
}

impl Worker {
    /// Starts one.
    pub fn start(name: &str) -> Self {
        let (tx, rx) = mpsc::channel();
        let stop = Arc::new(AtomicU32::new(0));
        let stopped = stop.clone();
        let join = SpdkThread::spawn(name, move |thread| {
            assert!(tx.send(thread.handle()).is_ok());
            poll_until(thread, "the end of the test", || stopped.load(SeqCst) != 0);
        });
        let Ok(handle) = rx.recv_timeout(PATIENCE) else {
            panic!("{:?}", join.join());
        };
        Worker { handle, stop, join }
    }

    /// Ends it, and returns how.
    pub fn end(self) -> spdk::Result<()> {
        self.stop.store(1, SeqCst);
        self.join.join()
    }
}
