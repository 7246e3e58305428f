//! The load of a job on a namespace: tasks that each submit a command, wait for it, and submit the next.

use std::rc::Rc;

use fastrand::Rng;
use spdk::DmaBuf;
use spdk::nvme::{DsmAttributes, DsmRange, NvmeIoFlags};
use spdk::task::{JoinHandle, yield_now};

use crate::device::Link;
use crate::job::Job;
use crate::plan::mix;
use crate::workload::Workload;

/// Starts a slot. It ends with the job, which counts what its commands return.
///
/// # Errors
///
/// Without memory for its buffer.
pub(crate) fn spawn(job: Rc<Job>, link: Rc<Link>, index: u32) -> spdk::Result<JoinHandle<()>> {
    let mut rng = Rng::with_seed(mix(job.spec.seed, index.into()));
    let blocks = job.spec.blocks;
    let mut buffer = || {
        let mut buf = job.buffer()?;
        rng.fill(&mut buf);
        Ok::<DmaBuf, spdk::Error>(buf)
    };
    // A loop of its own for each, since it runs hundreds of thousands of times per second.
    match job.spec.workload {
        Workload::Read | Workload::RandRead => {
            let mut buf = buffer()?;
            keep_busy(job, rng, async move |at| {
                link.ns.read(&link.qpair, &mut buf, at, blocks as u32).await
            })
        }
        Workload::Write | Workload::RandWrite => {
            let buf = buffer()?;
            keep_busy(job, rng, async move |at| {
                link.ns.write(&link.qpair, &buf, at, blocks as u32).await
            })
        }
        Workload::Rw | Workload::RandRw => {
            let mut buf = buffer()?;
            let (mut dice, percent) = (rng.fork(), job.spec.read_percent);
            keep_busy(job, rng, async move |at| match dice.u8(..100) < percent {
                true => link.ns.read(&link.qpair, &mut buf, at, blocks as u32).await,
                false => link.ns.write(&link.qpair, &buf, at, blocks as u32).await,
            })
        }
        Workload::Flush => keep_busy(job, rng, async move |_| link.ns.flush(&link.qpair).await),
        Workload::Unmap => keep_busy(job, rng, async move |at| {
            let range = DsmRange {
                attributes: 0,
                length: blocks as u32,
                starting_lba: at,
            };
            let (ns, qpair) = (&link.ns, &link.qpair);
            ns.dataset_management(qpair, DsmAttributes::DEALLOCATE, &[range])
                .await
        }),
        Workload::WriteZeroes => keep_busy(job, rng, async move |at| {
            let flags = NvmeIoFlags::empty().bits();
            link.ns
                .write_zeroes(&link.qpair, at, blocks as u32, flags)
                .await
        }),
        Workload::Verify => unreachable!("its slots are those of `verify`"),
    }
}

/// Keeps one command in flight until the job ends.
fn keep_busy(
    job: Rc<Job>,
    mut rng: Rng,
    mut io: impl AsyncFnMut(u64) -> spdk::Result<()> + 'static,
) -> spdk::Result<JoinHandle<()>> {
    let (places, blocks) = (job.spec.places, job.spec.blocks);
    let is_random = job.spec.workload.is_random();
    spdk::spawn_local(async move {
        let mut since = spdk::ticks();
        while job.goes_on() {
            let place = match is_random {
                true => rng.u64(..places),
                false => job.next_place(),
            };
            let ended = io(place * blocks).await;
            // The next one begins when this one has ended: one look at the clock for both.
            let now = spdk::ticks();
            job.goes_on_at(now);
            match ended {
                Ok(()) => {
                    job.completed(since, now);
                    job.counted(1);
                    since = now;
                }
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
