//! A slot of a job's queue: a task that submits an I/O, waits for it, and submits the next.

use std::rc::Rc;

use fastrand::Rng;
use spdk::task::{JoinHandle, yield_now};

use crate::job::Job;
use crate::plan::mix;
use crate::verify;
use crate::workload::Workload;

/// Starts a slot. It ends with the job, which counts what its I/Os return.
///
/// # Errors
///
/// Without memory for its buffers.
pub(crate) fn spawn(job: Rc<Job>, index: u32) -> spdk::Result<JoinHandle<()>> {
    let mut rng = Rng::with_seed(mix(job.spec.seed, index.into()));
    match job.spec.workload {
        Workload::Read | Workload::RandRead => {
            let mut buf = job.buffer()?;
            keep_busy(job, rng, async move |job, offset| {
                let (desc, ch, blocks) = job.device();
                desc.read_blocks(ch, &mut buf, offset, blocks).await
            })
        }
        Workload::Write | Workload::RandWrite => {
            let mut buf = job.buffer()?;
            rng.fill(&mut buf);
            keep_busy(job, rng, async move |job, offset| {
                let (desc, ch, blocks) = job.device();
                desc.write_blocks(ch, &buf, offset, blocks).await
            })
        }
        Workload::Rw | Workload::RandRw => {
            let mut buf = job.buffer()?;
            rng.fill(&mut buf);
            let mut dice = rng.fork();
            keep_busy(job, rng, async move |job, offset| {
                let (desc, ch, blocks) = job.device();
                if dice.u8(..100) < job.spec.read_percent {
                    desc.read_blocks(ch, &mut buf, offset, blocks).await
                } else {
                    desc.write_blocks(ch, &buf, offset, blocks).await
                }
            })
        }
        Workload::Flush => keep_busy(job, rng, async |job, offset| {
            let (desc, ch, blocks) = job.device();
            desc.flush_blocks(ch, offset, blocks).await
        }),
        Workload::Unmap => keep_busy(job, rng, async |job, offset| {
            let (desc, ch, blocks) = job.device();
            desc.unmap_blocks(ch, offset, blocks).await
        }),
        Workload::WriteZeroes => keep_busy(job, rng, async |job, offset| {
            let (desc, ch, blocks) = job.device();
            desc.write_zeroes_blocks(ch, offset, blocks).await
        }),
        Workload::Verify => {
            let buffers = (job.buffer()?, job.buffer()?);
            spdk::spawn_local(verify::run(job, index, buffers))
        }
    }
}

/// Keeps one I/O in flight until the job ends.
fn keep_busy(
    job: Rc<Job>,
    rng: Rng,
    mut io: impl AsyncFnMut(&Job, u64) -> spdk::Result<()> + 'static,
) -> spdk::Result<JoinHandle<()>> {
    let mut places = if job.spec.workload.is_random() {
        Places::Random(rng)
    } else {
        Places::InTurn
    };
    spdk::spawn_local(async move {
        let mut since = spdk::ticks();
        while job.goes_on() {
            match io(&job, places.next(&job)).await {
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
    })
}

/// Where the I/Os of a slot go, in blocks.
enum Places {
    /// One place after the other, in turn with the other slots of the job.
    InTurn,
    Random(Rng),
}

impl Places {
    #[inline]
    fn next(&mut self, job: &Job) -> u64 {
        match self {
            Places::InTurn => job.next_offset(),
            Places::Random(rng) => rng.u64(..job.spec.places) * job.spec.blocks,
        }
    }
}
