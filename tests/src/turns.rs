//! The turns that tasks get, measured by the runs of a poller of SPDK's and never by a clock.

use std::cell::Cell;
use std::rc::Rc;

use spdk::spawn_local;
use spdk::task::{JoinHandle, yield_now};

use crate::poller::Counter;

/// Counts the turns of the current spdk_thread's executor, until it is dropped.
#[derive(Debug)]
pub struct Turns {
    count: Rc<Cell<u64>>,
    task: JoinHandle<()>,
}

impl Turns {
    /// Begins to count.
    ///
    /// # Errors
    ///
    /// As for [`spawn_local`].
    pub fn start() -> spdk::Result<Self> {
        let count = Rc::new(Cell::new(0));
        let counter = count.clone();
        let task = spawn_local(async move {
            loop {
                counter.set(counter.get() + 1);
                yield_now().await;
            }
        })?;
        Ok(Turns { count, task })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.get()
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Lets some turns pass.
pub async fn pass(turns: u64) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// How often a task was polled between two runs of a poller: its share of a [`Gauge`].
#[derive(Debug, Default)]
pub struct Share {
    run: Option<u64>,
    polls: u64,
}

/// Compares the polls of many tasks with the runs of one of SPDK's pollers.
#[derive(Debug)]
pub struct Gauge {
    poller: Counter,
    most: Cell<u64>,
}

impl Gauge {
    /// A task that gets so many polls before SPDK's pollers get one gives up, so that an executor
    /// that starves them is found out and not waited for.
    const STARVED: u64 = 1000;

    /// Begins to measure on the current spdk_thread.
    pub fn start() -> Rc<Self> {
        Rc::new(Gauge {
            poller: Counter::start(),
            most: Cell::new(0),
        })
    }

    /// How often the poller has run.
    pub fn runs(&self) -> u64 {
        self.poller.runs()
    }

    /// A task is being polled; `false` if it should end because the poller is starved.
    #[must_use]
    pub fn polled(&self, share: &mut Share) -> bool {
        let run = Some(self.poller.runs());
        if share.run != run {
            *share = Share { run, polls: 0 };
        }
        share.polls += 1;
        self.most.set(self.most.get().max(share.polls));
        share.polls < Self::STARVED
    }

    /// The most polls that one task had between two runs of the poller.
    pub fn most(&self) -> u64 {
        self.most.get()
    }
}
