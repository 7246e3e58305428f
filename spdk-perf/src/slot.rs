//! A slot of a job's queue: a task that submits an I/O, waits for it, and submits the next.

use std::rc::Rc;

use fastrand::Rng;
use spdk::task::yield_now;

use crate::job::Job;
use crate::plan::mix;
use crate::verify;
use crate::workload::Workload;

/// Runs a slot to the end of its job.
///
/// # Errors
///
/// Without memory for its buffer. What its I/Os return is counted by the job.
pub(crate) async fn run(job: Rc<Job>, index: u32) -> spdk::Result<()> {
    let (places, io_size) = (job.spec.places, job.spec.io_size);
    let mut rng = Rng::with_seed(mix(job.spec.seed, index.into()));
    if job.spec.workload == Workload::Verify {
        verify::run(&job, index).await
    } else if job.spec.workload.is_random() {
        let mut rng_of_places = rng.fork();
        operate(&job, rng, || rng_of_places.u64(..places) * io_size).await
    } else {
        operate(&job, rng, || job.next_offset()).await
    }
}

/// Does the job's operation at one offset after the other.
async fn operate(job: &Job, mut rng: Rng, mut offset: impl FnMut() -> u64) -> spdk::Result<()> {
    let (desc, ch, length) = (&job.desc, &job.channel, job.spec.io_size);
    match job.spec.workload {
        Workload::Read | Workload::RandRead => {
            let mut buf = job.buffer()?;
            keep_busy(job, async || desc.read(ch, &mut buf, offset()).await).await;
        }
        Workload::Write | Workload::RandWrite => {
            let mut buf = job.buffer()?;
            rng.fill(&mut buf);
            keep_busy(job, async || desc.write(ch, &buf, offset()).await).await;
        }
        Workload::Rw | Workload::RandRw => {
            let mut buf = job.buffer()?;
            rng.fill(&mut buf);
            let percent = job.spec.read_percent;
            let io = async || {
                if rng.u8(..100) < percent {
                    desc.read(ch, &mut buf, offset()).await
                } else {
                    desc.write(ch, &buf, offset()).await
                }
            };
            keep_busy(job, io).await;
        }
        Workload::Flush => {
            keep_busy(job, async || desc.flush(ch, offset(), length).await).await;
        }
        Workload::Unmap => {
            keep_busy(job, async || desc.unmap(ch, offset(), length).await).await;
        }
        Workload::WriteZeroes => {
            keep_busy(job, async || desc.write_zeroes(ch, offset(), length).await).await;
        }
        Workload::Verify => unreachable!("`run` takes care of it"),
    }
    Ok(())
}

/// Keeps one I/O in flight until the job ends.
async fn keep_busy(job: &Job, mut io: impl AsyncFnMut() -> spdk::Result<()>) {
    let mut since = spdk::ticks();
    while job.goes_on() {
        match io().await {
            // The next one begins when this one has ended: one look at the clock for both.
            Ok(()) => since = job.completed(since),
            Err(error) => {
                job.failed(&error);
                // What fails at once must not keep SPDK from its pollers.
                yield_now().await;
                since = spdk::ticks();
            }
        }
    }
    job.left(since);
}
