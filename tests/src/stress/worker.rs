//! One owner of a range of blocks, and what it does with them.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use spdk::DmaBuf;
use spdk::task::yield_now;

use super::board::Board;
use super::canaries::Canaries;
use super::fate::Fate;
use super::job::{Counts, Flight, Job, What};
use super::model::{Content, Region};
use super::refusals;
use super::shredder::Shredder;
use crate::random::Random;
use crate::{Device, pattern};

/// The largest buffer, in blocks.
const LARGEST: u64 = 6;
/// How many buffers are kept as an operation left them.
const HOT: usize = 8;
/// What a buffer has in it before a read.
pub(super) const JUNK: u8 = 0x5a;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// The name of the device.
    pub bdev: &'static str,
    /// Who does what.
    pub board: Arc<Board>,
    /// How many operations there were.
    pub counts: Counts,
    /// Takes buffers to another OS thread.
    pub shredder: Shredder,
}

/// What a round is like.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Its number.
    pub number: u64,
    /// Whether there are resets in it.
    pub resets: bool,
    /// Whether operations may fail in it.
    pub errors: bool,
    /// How many steps it has. Without any there is nothing to do but to compare.
    pub steps: u64,
}

/// The owner of a range of blocks. Between rounds it can go to another spdk_thread.
#[derive(Debug)]
pub struct Worker {
    name: String,
    random: Random,
    /// What is known of its blocks.
    pub region: Region,
    generation: u64,
    /// Buffers of earlier operations, as those left them.
    hot: Vec<DmaBuf>,
    shared: Arc<Shared>,
}

/// What a job was, when its buffers may be gone.
struct Plan {
    what: What,
    range: Range<u64>,
    content: Content,
    twice: bool,
    flight: Rc<Flight>,
}

impl Worker {
    /// One for a range that has never been written to.
    pub fn new(number: u64, random: &Random, region: Region, shared: Arc<Shared>) -> Self {
        Worker {
            name: format!("worker {number}"),
            random: random.fork(number),
            region,
            generation: number << 32,
            hot: Vec::new(),
            shared,
        }
    }

    /// Compares everything, then does what the dice say.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub async fn round(mut self, round: Round) -> Result<Worker, String> {
        match self.steps(round).await {
            Ok(()) => Ok(self),
            Err(wrong) => Err(format!("{}, round {}: {wrong}", self.name, round.number)),
        }
    }

    async fn steps(&mut self, round: Round) -> Result<(), String> {
        let random = self.random.fork(round.number);
        let mut canaries = Canaries::default();
        let mut device = Some(Rc::new(self.open()?));
        self.compare(device.as_deref()).await?;
        let mut abandoned = 0;
        for step in 0..round.steps {
            let mut dice = random.fork(step);
            let block = self.region.block_size();
            canaries.step(&mut dice, &[block, 2 * block, 4 * block])?;
            if dice.one_in(20) {
                close(&mut dice, device.take());
            }
            let current = match &device {
                Some(current) => current.clone(),
                None => {
                    let opened = Rc::new(self.open()?);
                    device = Some(opened.clone());
                    opened
                }
            };
            if dice.one_in(6) {
                let block = self.region.range().start;
                self.say(format!("step {step}, a refusal"));
                let refused = refusals::one(&mut dice.fork(step), &current, block).await;
                refused.map_err(|wrong| format!("step {step}: {wrong}"))?;
            }
            let mut fate = Fate::draw(&mut dice);
            if fate.abandons() {
                abandoned += 1;
            }
            // What they hold is held until they end.
            if abandoned > round.steps / 2 {
                fate = Fate::Awaited;
            }
            let jobs = self.jobs(&mut dice, round, &mut canaries)?;
            let plans: Vec<Plan> = jobs.iter().map(Plan::of).collect();
            self.say(format!("step {step}, {fate:?} {plans:?}"));
            let left = fate.carry_out(jobs, &current).await?;
            for (plan, mut job) in plans.into_iter().zip(left) {
                self.learn(&plan, job.as_mut(), round)
                    .map_err(|wrong| format!("step {step}, {fate:?} {plan:?}: {wrong}"))?;
                self.recycle(&mut dice, job, &mut canaries);
            }
            yield_now().await;
        }
        close(&mut random.fork(round.steps), device);
        refusals::clear();
        self.hot.clear();
        canaries.check()
    }

    fn say(&self, does: String) {
        self.shared.board.say(&self.name, does);
    }

    fn open(&self) -> Result<Device, String> {
        Device::open(self.shared.bdev).map_err(|error| error.to_string())
    }

    /// Reads all of the blocks. A device that was reset at the end of the last round may need a while.
    async fn compare(&mut self, device: Option<&Device>) -> Result<(), String> {
        let Some(device) = device else { return Ok(()) };
        let range = self.region.range();
        let size = (range.end - range.start) as usize;
        let mut buf = device.buffer(size).map_err(|error| error.to_string())?;
        let mut last = String::new();
        for attempt in 0..1000 {
            self.say(format!("compares everything, attempt {attempt}; {last}"));
            let read = device
                .desc
                .read_blocks(&device.ch, &mut buf, range.start, size as u64);
            let end = read.await.map_err(|error| error.to_string());
            self.shared.counts.add(What::Read, Some(&end));
            match end {
                Ok(()) => {
                    let read = self.region.read(range.start, &buf);
                    return read.map_err(|wrong| format!("compared everything: {wrong}"));
                }
                Err(error) => last = error,
            }
            crate::wait::after(std::time::Duration::from_millis(5)).await;
        }
        Err(format!("the device stays unusable: {last}"))
    }

    /// Some operations on ranges of their own.
    fn jobs(
        &mut self,
        dice: &mut Random,
        round: Round,
        canaries: &mut Canaries,
    ) -> Result<Vec<Job>, String> {
        let many = [1, 1, 1, 2, 3, 4][dice.below(6) as usize];
        let all = self.region.range();
        let part = (all.end - all.start) / many;
        let mut jobs = Vec::new();
        for number in 0..many {
            let what = match dice.below(60) {
                0..=13 => What::Read,
                14..=22 => What::Readv,
                23..=36 => What::Write,
                37..=45 => What::Writev,
                46..=49 => What::Zeroes,
                50..=53 => What::Unmap,
                59 if round.resets && dice.one_in(3) => What::Reset,
                _ => What::Flush,
            };
            let parts = match what {
                What::Readv | What::Writev => 2 + dice.below(3),
                _ => 1,
            };
            let mut sizes = Vec::new();
            for _ in 0..parts {
                sizes.push(1 + dice.below(LARGEST / parts));
            }
            let count: u64 = sizes.iter().sum();
            let first = all.start + number * part + dice.below(part - count + 1);
            let mut job = Job {
                what,
                range: first..first + count,
                in_blocks: dice.one_in(2),
                twice: dice.one_in(6) && what != What::Reset,
                bufs: Vec::new(),
                content: Content::Zero,
                flight: Rc::default(),
            };
            // What buffers there are is an outcome, which must not change what is drawn later.
            let mut choices = dice.fork(number);
            match what {
                What::Read | What::Readv => {
                    job.bufs = self.buffers(&mut choices, &sizes, canaries, true)?;
                }
                What::Write | What::Writev => {
                    self.generation += 1;
                    job.content = Content::Generation(self.generation);
                    job.bufs = self.buffers(&mut choices, &sizes, canaries, false)?;
                    let mut first = first;
                    for buf in &mut job.bufs {
                        let block = self.region.block_size();
                        pattern::fill(buf, block, first, self.generation);
                        first += (buf.len() / block) as u64;
                    }
                }
                What::Zeroes | What::Unmap | What::Flush | What::Reset => {}
            }
            jobs.push(job);
        }
        Ok(jobs)
    }

    /// Fresh buffers, and such as were in operations before. For a read, some of these are left as
    /// they are: their operation may be in flight, and nobody has looked at them since.
    fn buffers(
        &mut self,
        dice: &mut Random,
        sizes: &[u64],
        canaries: &mut Canaries,
        read: bool,
    ) -> Result<Vec<DmaBuf>, String> {
        let mut bufs = Vec::new();
        for blocks in sizes {
            let size = *blocks as usize * self.region.block_size();
            let choice = dice.below(3);
            let hot = self.hot.iter().position(|buf| buf.len() == size);
            if let (true, 0, Some(place)) = (read, choice, hot) {
                bufs.push(self.hot.swap_remove(place));
                continue;
            }
            let used = if choice == 1 {
                canaries.take(size)?
            } else {
                None
            };
            let mut buf = match used {
                Some(used) => used,
                None => DmaBuf::alloc(size, 4096).map_err(|error| error.to_string())?,
            };
            if read {
                buf.fill(JUNK);
            }
            bufs.push(buf);
        }
        Ok(bufs)
    }

    /// Draws the conclusions from what became of an operation.
    fn learn(&mut self, plan: &Plan, job: Option<&mut Job>, round: Round) -> Result<(), String> {
        let Plan {
            what,
            range,
            content,
            twice,
            flight,
        } = plan;
        if !flight.has_begun() {
            // Nothing may have happened: the next read tells.
            return Ok(());
        }
        let end = flight.end();
        self.shared.counts.add(*what, end.as_ref());
        if let Some(Err(error)) = &end
            && !round.errors
        {
            return Err(format!("failed: {error}"));
        }
        if *twice {
            self.shared.counts.add(*what, None);
        }
        let range = range.clone();
        match what {
            What::Write | What::Writev | What::Zeroes | What::Unmap => {
                if end == Some(Ok(())) {
                    self.region.written(range.clone(), *content);
                }
                if end != Some(Ok(())) || *twice {
                    self.region.in_doubt(range, *content);
                }
            }
            What::Read | What::Readv => {
                let bufs = job.map_or(&[][..], |job| &job.bufs);
                match &end {
                    Some(Ok(())) => self.read(range.start, bufs)?,
                    // A transfer may have been broken off in the middle of a block.
                    Some(Err(_)) => {}
                    None if round.errors => {}
                    None => self.abandoned_read(range.start, bufs)?,
                }
                return Ok(());
            }
            What::Flush | What::Reset => {}
        }
        let bufs = job.map_or(&mut [][..], |job| &mut job.bufs);
        written_from(*content, plan.range.start, bufs, &self.region)
    }

    fn read(&mut self, mut first: u64, bufs: &[DmaBuf]) -> Result<(), String> {
        for buf in bufs {
            let read = self.region.read(first, buf);
            read.map_err(|wrong| wrong.to_string())?;
            first += (buf.len() / self.region.block_size()) as u64;
        }
        Ok(())
    }

    /// In flight it is fresh zeros. If it has ended meanwhile, it is what was read.
    fn abandoned_read(&self, mut first: u64, bufs: &[DmaBuf]) -> Result<(), String> {
        for buf in bufs {
            for block in buf.chunks(self.region.block_size()) {
                let fresh = block.iter().all(|byte| *byte == 0);
                let untouched = block.iter().all(|byte| *byte == JUNK);
                if !fresh && !untouched {
                    let found = self.region.find(first, block);
                    found.map_err(|wrong| format!("the buffer of an abandoned read: {wrong}"))?;
                }
                first += 1;
            }
        }
        Ok(())
    }

    /// Buffers go on at once, whatever the device still does with their memory.
    fn recycle(&mut self, dice: &mut Random, job: Option<Job>, canaries: &mut Canaries) {
        // Drawn also without a job, so that the outcome of this step changes nothing for others.
        let mut choices = dice.fork(u64::MAX);
        let read = job.as_ref().is_some_and(|job| job.content == Content::Zero);
        for buf in job.into_iter().flat_map(|job| job.bufs) {
            match choices.below(5) {
                0 => drop(buf),
                1 => self.shared.shredder.take(buf),
                2 if read && self.hot.len() < HOT => self.hot.push(buf),
                _ => canaries.keep(buf),
            }
        }
    }
}

/// The device only reads from the buffers of a write, so they have not changed, and a change now keeps
/// the rest of their bytes.
fn written_from(
    content: Content,
    mut first: u64,
    bufs: &mut [DmaBuf],
    region: &Region,
) -> Result<(), String> {
    for buf in bufs {
        for _ in 0..2 {
            let blocks = buf.chunks(region.block_size()).zip(first..);
            for (block, number) in blocks {
                if !content.is(block, number) {
                    return Err(format!("the buffer of a write changed at block {number}"));
                }
            }
            // Twice is back to what it was.
            buf.as_mut_slice()[0] ^= 1;
            buf.as_mut_slice()[0] ^= 1;
        }
        first += (buf.len() / region.block_size()) as u64;
    }
    Ok(())
}

/// Drops a device's handles in any order, with or without operations in flight.
fn close(dice: &mut Random, device: Option<Rc<Device>>) {
    // Another task may hold it too.
    let Some(Device { bdev, desc, ch }) = device.and_then(Rc::into_inner) else {
        return;
    };
    let (mut bdev, mut desc, mut ch) = (Some(bdev), Some(desc), Some(ch));
    let mut order = [0, 1, 2];
    dice.shuffle(&mut order);
    for handle in order {
        match handle {
            0 => drop(bdev.take()),
            1 => drop(desc.take()),
            _ => drop(ch.take()),
        }
    }
}

impl Plan {
    fn of(job: &Job) -> Self {
        Plan {
            what: job.what,
            range: job.range.clone(),
            content: job.content,
            twice: job.twice,
            flight: job.flight.clone(),
        }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let twice = if self.twice { "twice " } else { "" };
        write!(f, "{twice}{:?} {:?}", self.what, self.range)?;
        match self.content {
            Content::Generation(generation) => write!(f, " of {generation:#x}"),
            Content::Zero => Ok(()),
        }
    }
}
