//! The load of a job: one queue of I/Os, each of which is followed by the next.

use std::mem;
use std::rc::Rc;

use fastrand::Rng;
use spdk::nvme::NvmeNamespace;
use spdk::task::{JoinHandle, yield_now};
use spdk::{BdevDesc, DmaBuf, EndedIo, IoQueue, IoTarget, spawn_local};

use crate::device::Device;
use crate::job::Job;
use crate::plan::mix;
use crate::workload::Workload;

/// So long an I/O takes, in ticks, that a look at the clock takes nothing beside it.
const SLOW: u64 = 1 << 16;

/// What a job has its I/Os of. Their tags tell when each was submitted, in ticks, if that is known.
trait Target: IoTarget + Sized {
    /// The tag of an I/O that is submitted now.
    fn tag() -> u64;
    /// Keeps the queue as full as it is, by `next`, until the job ends. Whether that is one I/O is a constant, so that where
    /// it is measured otherwise it has a loop of its own.
    async fn follow<const IS_ALONE: bool>(
        job: Rc<Job>,
        queue: IoQueue<u64, Self>,
        next: impl FnMut(&Job, EndedIo<'_, u64, Self>) + 'static,
    );
}

/// The bdev layer notes when it gets an I/O, and that is when the one before it in its place was over: to look at the clock
/// here, too, would take a quarter of an I/O of a device that does nothing. What the program itself takes is little beside
/// what many I/Os wait for each other, but a third of what one alone takes: there the clock is looked at.
impl Target for BdevDesc {
    /// That of the I/O before.
    fn tag() -> u64 {
        0
    }

    async fn follow<const IS_ALONE: bool>(
        job: Rc<Job>,
        mut queue: IoQueue<u64, Self>,
        mut next: impl FnMut(&Job, EndedIo<'_, u64, Self>) + 'static,
    ) {
        let follow = move |mut io: EndedIo<'_, u64, Self>| {
            if IS_ALONE {
                return follow_alone(&job, io, &mut next);
            }
            let submitted = match io.submitted() {
                0 => spdk::ticks(), // it was refused
                submitted => submitted,
            };
            let before = mem::replace(io.tag_mut(), submitted);
            let mut goes_on = job.goes_on_at(submitted);
            if let Some(error) = io.error() {
                job.failed(error);
                let _ = io.take_result();
                *io.tag_mut() = 0;
                goes_on &= job.goes_on();
            }
            // As is one that has none before it.
            let is_slow = submitted.wrapping_sub(before) > SLOW;
            if is_slow {
                if before != 0 {
                    job.completed(before, submitted, 1);
                }
                goes_on &= job.goes_on_at(spdk::ticks());
            }
            if goes_on {
                next(&job, io);
            } else {
                job.last(*io.tag());
            }
            // After the next one was submitted: the CPU does both at the same time.
            if !is_slow {
                job.completed(before, submitted, 1);
            }
            job.counted(1);
        };
        queue.for_each_ended(follow).await;
    }
}

#[inline(always)]
fn follow_alone(
    job: &Job,
    mut io: EndedIo<'_, u64, BdevDesc>,
    next: &mut impl FnMut(&Job, EndedIo<'_, u64, BdevDesc>),
) {
    let (mut submitted, now) = (io.submitted(), spdk::ticks());
    let mut goes_on = job.goes_on_at(now);
    if let Some(error) = io.error() {
        job.failed(error);
        let _ = io.take_result();
        submitted = 0;
        goes_on &= job.goes_on();
    }
    if goes_on {
        next(job, io);
        // After the next one was submitted: the CPU does both at the same time.
        if submitted != 0 {
            job.completed(submitted, now, 1);
        }
    } else {
        job.last(submitted);
    }
    job.counted(1);
}

/// SPDK's driver does not, so the next one begins when the last one has ended.
impl Target for NvmeNamespace {
    fn tag() -> u64 {
        spdk::ticks()
    }

    async fn follow<const IS_ALONE: bool>(
        job: Rc<Job>,
        mut queue: IoQueue<u64, Self>,
        mut next: impl FnMut(&Job, EndedIo<'_, u64, Self>) + 'static,
    ) {
        while queue.ended().await {
            if follow_batch(&job, &mut queue, &mut next).is_err() {
                // What fails at once must not keep SPDK from its pollers.
                yield_now().await;
            }
        }
    }
}

/// Submits the first I/Os of a job, with a buffer each if they have one. The task keeps as many in flight until the job ends.
pub(crate) fn spawn(job: &Rc<Job>, bufs: Vec<DmaBuf>) -> spdk::Result<JoinHandle<()>> {
    match &job.device {
        Device::Bdev(_, channel) => {
            let queue = IoQueue::new(channel)?;
            match job.spec.queue_depth {
                1 => spawn_on::<_, true>(job, bufs, queue),
                _ => spawn_on::<_, false>(job, bufs, queue),
            }
        }
        Device::Nvme(ns, qpair) => {
            spawn_on::<_, false>(job, bufs, IoQueue::of_namespace(ns, qpair)?)
        }
    }
}

fn spawn_on<D: Target, const IS_ALONE: bool>(
    job: &Rc<Job>,
    bufs: Vec<DmaBuf>,
    queue: IoQueue<u64, D>,
) -> spdk::Result<JoinHandle<()>> {
    let mut rng = Rng::with_seed(mix(job.spec.seed, 0));
    let blocks = job.spec.blocks;
    if job.spec.workload.is_random() {
        let mut at = rng.fork();
        let (first, places) = (job.part.start, job.part.end - job.part.start);
        spawn_at::<D, IS_ALONE>(job, bufs, queue, rng, move |_| {
            (first + below(places, &mut at)) * blocks
        })
    } else {
        spawn_at::<D, IS_ALONE>(job, bufs, queue, rng, move |job| job.next_place() * blocks)
    }
}

/// A number below `end`.
#[inline]
fn below(end: u64, rng: &mut Rng) -> u64 {
    // The high half of the product, as in Lemire's method; what it prefers is beyond any measurement.
    ((u128::from(rng.u64(..)) * u128::from(end)) >> 64) as u64
}

/// The same, at the blocks that `at` gives.
fn spawn_at<D: Target, const IS_ALONE: bool>(
    job: &Rc<Job>,
    bufs: Vec<DmaBuf>,
    mut queue: IoQueue<u64, D>,
    mut rng: Rng,
    mut at: impl FnMut(&Job) -> u64 + 'static,
) -> spdk::Result<JoinHandle<()>> {
    let job = job.clone();
    let (percent, blocks) = (job.spec.read_percent, job.spec.blocks);
    let mut dice = rng.fork();
    let mut reads = move || dice.u8(..100) < percent;
    for mut buf in bufs {
        let (offset, tag) = (at(&job), D::tag());
        rng.fill(&mut buf);
        match job.spec.workload {
            Workload::Read | Workload::RandRead => queue.read_blocks(buf, offset, blocks, tag),
            Workload::Rw | Workload::RandRw if reads() => {
                queue.read_blocks(buf, offset, blocks, tag);
            }
            _ => queue.write_blocks(buf, offset, blocks, tag),
        }
    }
    // Those without.
    for _ in queue.len()..job.spec.queue_depth as usize {
        let (offset, tag) = (at(&job), D::tag());
        match job.spec.workload {
            Workload::Flush => queue.flush_blocks(offset, blocks, tag),
            Workload::Unmap => queue.unmap_blocks(offset, blocks, tag),
            _ => queue.write_zeroes_blocks(offset, blocks, tag),
        }
    }
    // A loop of its own for each, since it runs millions of times per second.
    match job.spec.workload {
        Workload::Read | Workload::RandRead => {
            spawn_local(D::follow::<IS_ALONE>(job, queue, move |job, io| {
                io.read_blocks(at(job), blocks);
            }))
        }
        Workload::Rw | Workload::RandRw => spawn_local(D::follow::<IS_ALONE>(
            job,
            queue,
            move |job, io| match reads() {
                true => io.read_blocks(at(job), blocks),
                false => io.write_blocks(at(job), blocks),
            },
        )),
        Workload::Flush => spawn_local(D::follow::<IS_ALONE>(job, queue, move |job, io| {
            io.flush_blocks(at(job), blocks);
        })),
        Workload::Unmap => spawn_local(D::follow::<IS_ALONE>(job, queue, move |job, io| {
            io.unmap_blocks(at(job), blocks);
        })),
        Workload::WriteZeroes => spawn_local(D::follow::<IS_ALONE>(job, queue, move |job, io| {
            io.write_zeroes_blocks(at(job), blocks);
        })),
        _ => spawn_local(D::follow::<IS_ALONE>(job, queue, move |job, io| {
            io.write_blocks(at(job), blocks);
        })),
    }
}

/// Counts what has ended by now, and submits the next for each. Stops after one that has failed.
///
/// It is known when each was submitted, so one look at the clock tells how long it took. Most of those that end together
/// were submitted together, as far as the clock tells.
#[inline(never)]
fn follow_batch(
    job: &Job,
    queue: &mut IoQueue<u64, NvmeNamespace>,
    next: &mut impl FnMut(&Job, EndedIo<'_, u64, NvmeNamespace>),
) -> Result<(), Failed> {
    let now = spdk::ticks();
    let goes_on = job.goes_on_at(now);
    let mut ended = 0;
    let (mut batch, mut since) = (0, now);
    let result = loop {
        let Some(mut io) = queue.pop() else {
            break Ok(());
        };
        ended += 1;
        let failed = io.take_result().map_err(|error| job.failed(&error));
        let submitted = mem::replace(io.tag_mut(), now);
        // At one place, so that it is a part of this loop.
        if goes_on && (failed.is_ok() || job.goes_on()) {
            next(job, io);
        } else {
            job.left(now);
        }
        if failed.is_err() {
            break Err(Failed);
        }
        // After the next one was submitted: the CPU does both at the same time.
        if submitted == since {
            batch += 1;
        } else {
            job.completed(since, now, batch);
            (batch, since) = (1, submitted);
        }
    };
    job.completed(since, now, batch);
    job.counted(ended);
    result
}

/// An I/O has failed.
struct Failed;
