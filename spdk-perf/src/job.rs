//! A job: one bdev, or one namespace, on one core.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use spdk::nvme::NvmeController;
use spdk::task::yield_now;
use spdk::{Completion, CompletionSender, DmaBuf, SpdkThread, ThreadStats};

use crate::device::{self, Device};
use crate::latency::Latencies;
use crate::load;
use crate::plan::Spec;
use crate::refusal::Refusal;
use crate::verify::{self, Mismatch};
use crate::workload::Workload;

/// What the jobs of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    /// When the measurement begins and ends, in ticks.
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// Whether the jobs should end.
    pub(crate) stop: AtomicBool,
}

/// What the jobs of a run wait at, so that they begin together.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Told that the job can begin.
    pub(crate) ready: CompletionSender<()>,
    /// Opens when all can.
    pub(crate) go: Completion<Arc<Run>>,
}

/// What came of a job.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) core: u32,
    /// When its measurement began and ended, in ticks.
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// In ticks; its length is the number of I/Os.
    pub(crate) latency: Histogram<u64>,
    pub(crate) errors: u64,
    pub(crate) mismatches: u64,
    /// The part of the time in which the polls of its spdk_thread had something to do, if it has come to the measurement.
    pub(crate) busy: Option<f64>,
}

/// A job that runs. When it goes, by whatever way, it hands over its outcome.
pub(crate) struct Job {
    pub(crate) device: Device,
    pub(crate) spec: Spec,
    run: Arc<Run>,
    /// The places that it goes to.
    pub(crate) part: Range<u64>,
    /// The next place of a sequential workload.
    next: Cell<u64>,
    /// When `turn` has something to do.
    mark: Cell<u64>,
    /// When the first I/Os are submitted, in ticks.
    started: Cell<u64>,
    /// When the measurement began; `None` during the warm-up.
    begin: Cell<Option<u64>>,
    end: Cell<Option<u64>>,
    /// What its spdk_thread had done when it began.
    before: Cell<ThreadStats>,
    busy: Cell<Option<f64>>,
    latency: Latencies,
    errors: Cell<u64>,
    mismatches: Cell<u64>,
    /// How many I/Os have ended, warm-up included, for whoever looks on.
    count: Arc<AtomicU64>,
    outcome: Sender<Outcome>,
}

/// A job that is to run.
pub(crate) struct Start {
    pub(crate) spec: Spec,
    pub(crate) gate: Gate,
    pub(crate) count: Arc<AtomicU64>,
    pub(crate) outcome: Sender<Outcome>,
}

/// Runs jobs to their end, on the current core. They share a connection, if they need one.
pub(crate) async fn run(jobs: Vec<Start>) -> Result<(), Refusal> {
    let controller = match jobs.first() {
        Some(job) => device::connect(&job.spec).await?,
        None => None,
    };
    let jobs = jobs.into_iter();
    try_join_all(jobs.map(|job| run_one(job, controller.as_ref()))).await?;
    match controller {
        Some(controller) => Ok(controller.detach().await?),
        None => Ok(()),
    }
}

async fn run_one(job: Start, controller: Option<&NvmeController>) -> Result<(), Refusal> {
    let Start {
        spec,
        gate,
        count,
        outcome,
    } = job;
    let device = Device::open(&spec, controller).await?;
    let bufs = buffers(&spec).await?;
    gate.ready.success(());
    let Ok(run) = gate.go.await else {
        return Ok(()); // another job could not begin, and tells why
    };
    let part = spec.part();
    let job = Rc::new(Job {
        device,
        next: Cell::new(part.start),
        part,
        mark: Cell::new(run.begin),
        started: Cell::new(0),
        begin: Cell::new(None),
        end: Cell::new(None),
        before: Cell::default(),
        busy: Cell::new(None),
        latency: Latencies::new(),
        errors: Cell::new(0),
        mismatches: Cell::new(0),
        spec,
        run,
        count,
        outcome,
    });
    job.started.set(spdk::ticks());
    if job.spec.workload != Workload::Verify {
        return Ok(load::spawn(&job, bufs)?.await?);
    }
    let mut bufs = bufs.into_iter();
    let pairs = std::iter::from_fn(|| Some((bufs.next()?, bufs.next()?)));
    let slots = (0..)
        .zip(pairs)
        .map(|(index, buffers)| spdk::spawn_local(verify::run(job.clone(), index, buffers)));
    let slots: Vec<_> = slots.collect::<spdk::Result<_>>()?;
    drop(job);
    for slot in slots {
        slot.await?;
    }
    Ok(())
}

/// The buffers of a job, before the measurement: DPDK looks through all that it has for each, so tens of thousands take
/// it tens of seconds.
async fn buffers(spec: &Spec) -> spdk::Result<Vec<DmaBuf>> {
    let mut bufs = Vec::new();
    for _ in 0..spec.queue_depth * spec.workload.buffers() {
        bufs.push(DmaBuf::alloc(spec.io_size as usize, spec.align)?);
        // A signal ends it, and connections are kept alive.
        if bufs.len() % 64 == 0 {
            yield_now().await;
        }
    }
    Ok(bufs)
}

impl Job {
    /// Whether to submit another I/O.
    pub(crate) fn goes_on(&self) -> bool {
        !self.run.stop.load(Relaxed)
    }

    /// The place of the next I/O of a sequential workload.
    pub(crate) fn next_place(&self) -> u64 {
        let place = self.next.get();
        self.next.set(after(place, &self.part));
        place
    }

    /// Begins or ends the measurement, if it is time; returns whether to submit more.
    #[inline]
    pub(crate) fn goes_on_at(&self, now: u64) -> bool {
        if now >= self.mark.get() {
            self.turn();
        }
        self.goes_on()
    }

    /// Counts so many I/Os that were submitted at `since` and completed at `end`, in ticks.
    #[inline]
    pub(crate) fn completed(&self, since: u64, end: u64, count: u64) {
        self.latency.record(end - since, count);
    }

    /// Tells whoever looks on that this many more have ended.
    pub(crate) fn counted(&self, ended: u64) {
        // Only this core writes it, so it takes no atomic addition.
        self.count.store(self.count.load(Relaxed) + ended, Relaxed);
    }

    /// Begins the measurement after the warm-up, and ends it.
    ///
    /// What completes after the beginning counts, and what was submitted before the end: so the rate
    /// is right however long an I/O takes.
    #[cold]
    fn turn(&self) {
        if self.begin.get().is_some() {
            self.run.stop.store(true, Relaxed);
            self.busy.set(busy(self.before.get(), stats()));
        } else {
            self.latency.clear();
            self.before.set(stats());
            self.begin.set(Some(self.run.begin.max(self.started.get())));
            self.mark.set(self.run.end);
        }
    }

    /// Counts an I/O that failed. Without `--continue-on-failure` it ends the run.
    #[cold]
    pub(crate) fn failed(&self, error: &spdk::Error) {
        self.report(&self.errors, &error.to_string());
    }

    /// Counts data that was wrong. Without `--continue-on-failure` it ends the run.
    #[cold]
    pub(crate) fn mismatched(&self, mismatch: &Mismatch<'_>) {
        self.report(&self.mismatches, &mismatch.to_string());
    }

    /// Tells of the first failure of a kind.
    fn report(&self, kind: &Cell<u64>, what: &str) {
        if kind.replace(kind.get() + 1) == 0 {
            crate::tell(what);
        }
        if !self.spec.continue_on_failure {
            self.run.stop.store(true, Relaxed);
        }
    }

    /// An I/O that was submitted then was the last one in its place; 0 for one that does not count.
    #[cold]
    pub(crate) fn last(&self, submitted: u64) {
        if submitted < self.run.end {
            let now = spdk::ticks();
            if submitted != 0 {
                self.completed(submitted, now, 1);
            }
            self.left(now);
        } else {
            self.left(submitted);
        }
    }

    /// One of those in flight was the last of its kind, and completed at `end`.
    pub(crate) fn left(&self, end: u64) {
        self.end.set(self.end.get().max(Some(end)));
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let end = self.end.get().unwrap_or_else(|| {
            // If nothing has ended since the time was over, what comes after that is not measured.
            let end = spdk::ticks().min(self.run.end);
            end.max(self.begin.get().unwrap_or(0))
        });
        let begin = self.begin.get().unwrap_or_else(|| {
            self.latency.clear();
            end
        });
        // Another job may have come to the end first.
        let still = self
            .begin
            .get()
            .and_then(|_| busy(self.before.get(), stats()));
        // The other end waits for all of them.
        let _ = self.outcome.send(Outcome {
            name: self.spec.name.clone(),
            core: self.spec.core,
            begin,
            end,
            latency: self.latency.histogram(),
            errors: self.errors.get(),
            mismatches: self.mismatches.get(),
            busy: self.busy.get().or(still),
        });
    }
}

/// What the current spdk_thread has done with its time.
fn stats() -> ThreadStats {
    SpdkThread::get_current().map_or_else(ThreadStats::default, |thread| thread.stats())
}

/// The part of the time between these in which there was something to do.
fn busy(before: ThreadStats, after: ThreadStats) -> Option<f64> {
    let busy = after.busy_ticks - before.busy_ticks;
    let all = busy + after.idle_ticks - before.idle_ticks;
    (all > 0).then(|| busy as f64 / all as f64)
}

/// The place after one of a part, which turns back at its end.
fn after(place: u64, part: &Range<u64>) -> u64 {
    match place + 1 == part.end {
        true => part.start,
        false => place + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_gone_through_again_and_again() {
        let part = 5..8;
        let places: Vec<_> =
            std::iter::successors(Some(part.start), |place| Some(after(*place, &part)))
                .take(7)
                .collect();
        assert_eq!(places, [5, 6, 7, 5, 6, 7, 5]);
    }
}
