//! One operation on a device, and what becomes of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use spdk::{DmaBuf, EndedIo, IoQueue};

use super::model::Content;
use crate::{Device, poll_once};

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Into one buffer.
    Read,
    /// Into several.
    Readv,
    /// From one buffer.
    Write,
    /// From several.
    Writev,
    /// Without a buffer.
    Zeroes,
    /// What is unmapped reads as zeros on these devices.
    Unmap,
    /// Changes nothing.
    Flush,
    /// Ends what is in flight on the device.
    Reset,
}

impl What {
    /// How many there are.
    pub const COUNT: usize = 8;
}

/// An operation to be carried out.
#[derive(Debug)]
pub struct Job {
    /// Its kind.
    pub what: What,
    /// Its blocks.
    pub range: Range<u64>,
    /// Whether it counts in blocks; else in bytes.
    pub in_blocks: bool,
    /// Whether it is submitted, abandoned, and submitted again with the same buffers.
    pub twice: bool,
    /// Where the data are, or go.
    pub bufs: Vec<DmaBuf>,
    /// What it writes.
    pub content: Content,
    /// What becomes of it.
    pub flight: Rc<Flight>,
}

/// The tag of an operation in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// The place of its job.
    pub place: usize,
    /// Whether its end is that of the job.
    counts: bool,
}

/// What is known of an operation, also when its future is gone.
#[derive(Debug, Default)]
pub struct Flight {
    begun: Cell<bool>,
    end: RefCell<Option<Result<(), String>>>,
}

impl Flight {
    /// Whether it was submitted.
    pub fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// How it ended, if its future has seen it.
    pub fn end(&self) -> Option<Result<(), String>> {
        self.end.borrow().clone()
    }
}

impl Job {
    /// Carries it out. Nothing happens before the first poll.
    pub async fn run(&mut self, device: &Device) -> spdk::Result<()> {
        self.flight.begun.set(true);
        if self.twice {
            let _ = poll_once(pin!(self.submit(device)));
        }
        let end = self.submit(device).await;
        let told = end.as_ref().map(|_| ()).map_err(ToString::to_string);
        *self.flight.end.borrow_mut() = Some(told);
        end
    }

    /// Whether an [`IoQueue`] has such operations.
    pub fn fits_a_queue(&self) -> bool {
        !matches!(self.what, What::Readv | What::Writev | What::Reset)
    }

    /// Carries it out in a queue, with its buffer. If it is to be submitted twice, the first one has
    /// another buffer, and nobody looks at its end.
    ///
    /// # Errors
    ///
    /// If there is no memory for that buffer.
    pub fn enqueue(&mut self, queue: &mut IoQueue<Ticket>, place: usize) -> spdk::Result<()> {
        self.flight.begun.set(true);
        let (first, count) = (self.range.start, self.range.end - self.range.start);
        let mut bufs = Vec::new();
        if let Some(buf) = self.bufs.pop() {
            if self.twice {
                let mut other = DmaBuf::alloc(buf.len(), 4096)?;
                other.copy_from_slice(&buf);
                bufs.push(other);
            }
            bufs.push(buf);
        }
        let mut bufs = bufs.into_iter();
        for counts in [false, true] {
            if !counts && !self.twice {
                continue;
            }
            let tag = Ticket { place, counts };
            match (self.what, bufs.next()) {
                (What::Read, Some(buf)) => queue.read_blocks(buf, first, count, tag),
                (What::Write, Some(buf)) => queue.write_blocks(buf, first, count, tag),
                (What::Zeroes, _) => queue.write_zeroes_blocks(first, count, tag),
                (What::Unmap, _) => queue.unmap_blocks(first, count, tag),
                (What::Flush, _) => queue.flush_blocks(first, count, tag),
                (what, buf) => panic!("a queue has no {what:?} with {buf:?}"),
            }
        }
        Ok(())
    }

    /// Carries it out in a queue, in the place of an I/O that has ended.
    pub fn go_on(&mut self, mut io: EndedIo<'_, Ticket>, place: usize) {
        self.flight.begun.set(true);
        let (first, count) = (self.range.start, self.range.end - self.range.start);
        let counts = true;
        (*io.tag_mut(), *io.buf()) = (Ticket { place, counts }, self.bufs.pop());
        match self.what {
            What::Read => io.read_blocks(first, count),
            What::Write => io.write_blocks(first, count),
            What::Zeroes => io.write_zeroes_blocks(first, count),
            What::Unmap => io.unmap_blocks(first, count),
            What::Flush => io.flush_blocks(first, count),
            what => panic!("a queue has no {what:?}"),
        }
    }

    /// It has ended in its queue.
    pub fn dequeue(&mut self, tag: Ticket, buf: Option<DmaBuf>, result: spdk::Result<()>) {
        if tag.counts {
            self.bufs.extend(buf);
            *self.flight.end.borrow_mut() = Some(result.map_err(|error| error.to_string()));
        }
    }

    async fn submit(&mut self, Device { desc, ch, .. }: &Device) -> spdk::Result<()> {
        let Job {
            what,
            range,
            in_blocks,
            bufs,
            ..
        } = self;
        let (first, count) = (range.start, range.end - range.start);
        let block = desc.bdev()?.block_size() as u64;
        let (offset, size) = (first * block, count * block);
        match (what, in_blocks) {
            (What::Read, false) => desc.read(ch, &mut bufs[0], offset).await,
            (What::Read, true) => desc.read_blocks(ch, &mut bufs[0], first, count).await,
            (What::Readv, false) => desc.readv(ch, bufs, offset).await,
            (What::Readv, true) => desc.readv_blocks(ch, bufs, first, count).await,
            (What::Write, false) => desc.write(ch, &bufs[0], offset).await,
            (What::Write, true) => desc.write_blocks(ch, &bufs[0], first, count).await,
            (What::Writev, false) => desc.writev(ch, bufs, offset).await,
            (What::Writev, true) => desc.writev_blocks(ch, bufs, first, count).await,
            (What::Zeroes, false) => desc.write_zeroes(ch, offset, size).await,
            (What::Zeroes, true) => desc.write_zeroes_blocks(ch, first, count).await,
            (What::Unmap, false) => desc.unmap(ch, offset, size).await,
            (What::Unmap, true) => desc.unmap_blocks(ch, first, count).await,
            (What::Flush, false) => desc.flush(ch, offset, size).await,
            (What::Flush, true) => desc.flush_blocks(ch, first, count).await,
            (What::Reset, _) => desc.reset(ch).await,
        }
    }
}

/// How many operations there were, and how they ended.
#[derive(Debug, Default)]
pub struct Counts([Count; What::COUNT]);

#[derive(Debug, Default)]
struct Count {
    succeeded: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
}

impl Counts {
    /// An operation was submitted; what is known of it now is all that will be.
    pub fn add(&self, what: What, end: Option<&Result<(), String>>) {
        let count = &self.0[what as usize];
        let count = match end {
            Some(Ok(())) => &count.succeeded,
            Some(Err(_)) => &count.failed,
            None => &count.abandoned,
        };
        count.fetch_add(1, Relaxed);
    }

    /// How many of these kinds the device must have carried out at least, and at most.
    pub fn bounds(&self, kinds: &[What]) -> (u64, u64) {
        let of = |what: &What| {
            let count = &self.0[*what as usize];
            let succeeded = count.succeeded.load(Relaxed);
            let rest = count.failed.load(Relaxed) + count.abandoned.load(Relaxed);
            (succeeded, succeeded + rest)
        };
        kinds
            .iter()
            .map(of)
            .fold((0, 0), |(least, most), (l, m)| (least + l, most + m))
    }

    /// How many were abandoned.
    pub fn abandoned(&self) -> u64 {
        self.sum(|count| &count.abandoned)
    }

    fn sum(&self, of: impl Fn(&Count) -> &AtomicU64) -> u64 {
        self.0.iter().map(|count| of(count).load(Relaxed)).sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations have succeeded, {} failed, {} were abandoned",
            self.sum(|count| &count.succeeded),
            self.sum(|count| &count.failed),
            self.abandoned()
        )
    }
}
