//! I/Os on a blob through an `IoQueue`, in parts that are in flight beside each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use spdk::blob::Blob;
use spdk::{DmaBuf, IoChannel, IoQueue};
use spdk_tests::model::CLUSTER;
use spdk_tests::model::case::Range;
use spdk_tests::model::check::{Failure, same};
use spdk_tests::model::content::{buffer, compare, fill};
use spdk_tests::model::store::Unit;

use crate::steps::Form;

/// How many I/Os a queue begins with whose closures submit the others.
const FIRST: usize = 3;

/// What is done to a range.
#[derive(Clone, Copy)]
pub(crate) enum Io<'a> {
    /// With what has to be read.
    Read(&'a [Unit]),
    Write(Unit),
    WriteZeroes,
    Unmap,
}

/// Without a lifetime.
#[derive(Clone, Copy)]
enum Verb {
    Read,
    Write,
    WriteZeroes,
    Unmap,
}

/// The I/Os of a range, in order; each takes all or nothing of the clusters that it needs, since it is in one. What is beyond
/// the end of a blob of so many io units is not divided.
pub(crate) fn parts(range: Range, form: Form, size: u64) -> Vec<Range> {
    let end = range.first.checked_add(range.units);
    let (Form::Queue(most) | Form::Closures(most), Some(end)) = (form, end) else {
        return vec![range];
    };
    if end > size {
        return vec![range];
    }
    let (mut first, mut parts) = (range.first, Vec::new());
    while first < end {
        let units = (CLUSTER - first % CLUSTER)
            .min(most.into())
            .min(end - first);
        parts.push(Range { first, units });
        first += units;
    }
    parts
}

/// The I/Os of a queue.
struct Work {
    verb: Verb,
    parts: Vec<Range>,
    bufs: RefCell<Vec<Option<DmaBuf>>>,
    /// The next one.
    next: Cell<usize>,
    ended: RefCell<Vec<Ended>>,
}

/// Which one, the buffer that it had, and whether it has succeeded.
type Ended = (usize, Option<DmaBuf>, spdk::Result<()>);

impl Work {
    fn new(verb: Verb, parts: Vec<Range>, value: Unit) -> spdk::Result<Self> {
        let buf = |part: &Range| {
            let mut buf = match verb {
                Verb::Read | Verb::Write => buffer(part.units)?,
                Verb::WriteZeroes | Verb::Unmap => return Ok(None),
            };
            match verb {
                Verb::Write => fill(&mut buf, part.first, value),
                _ => buf.fill(0xa5),
            }
            Ok(Some(buf))
        };
        let bufs: spdk::Result<_> = parts.iter().map(buf).collect();
        Ok(Work {
            verb,
            parts,
            bufs: RefCell::new(bufs?),
            next: Cell::new(0),
            ended: RefCell::default(),
        })
    }

    /// The next part, and its buffer.
    fn take(&self) -> Option<(usize, Range, Option<DmaBuf>)> {
        let number = self.next.get();
        let part = *self.parts.get(number)?;
        self.next.set(number + 1);
        Some((number, part, self.bufs.borrow_mut()[number].take()))
    }

    /// Submits the next one; `false` if there is none.
    fn submit(&self, queue: &mut IoQueue<usize, Blob>) -> bool {
        let Some((number, Range { first, units }, buf)) = self.take() else {
            return false;
        };
        match (self.verb, buf) {
            (Verb::Read, Some(buf)) => queue.read_blocks(buf, first, units, number),
            (Verb::Write, Some(buf)) => queue.write_blocks(buf, first, units, number),
            (Verb::Unmap, _) => queue.unmap_blocks(first, units, number),
            (_, _) => queue.write_zeroes_blocks(first, units, number),
        }
        true
    }
}

/// Does something to each of the parts.
pub(crate) async fn perform(
    blob: &Blob,
    channel: &IoChannel,
    parts: Vec<Range>,
    form: Form,
    io: Io<'_>,
) -> Result<(), Failure> {
    let (verb, value) = match io {
        Io::Read(_) => (Verb::Read, 0),
        Io::Write(value) => (Verb::Write, value),
        Io::WriteZeroes => (Verb::WriteZeroes, 0),
        Io::Unmap => (Verb::Unmap, 0),
    };
    let work = Rc::new(Work::new(verb, parts, value)?);
    let mut queue = IoQueue::of_blob(blob, channel)?;
    if let Form::Closures(_) = form {
        for _ in 0..FIRST {
            work.submit(&mut queue);
        }
        let goes_on = work.clone();
        let all = queue.for_each_ended(move |mut io| {
            let (number, result) = (*io.tag(), io.take_result());
            let buf = io.buf().take();
            goes_on.ended.borrow_mut().push((number, buf, result));
            let Some((number, Range { first, units }, buf)) = goes_on.take() else {
                return;
            };
            (*io.tag_mut(), *io.buf()) = (number, buf);
            match goes_on.verb {
                Verb::Read => io.read_blocks(first, units),
                Verb::Write => io.write_blocks(first, units),
                Verb::WriteZeroes => io.write_zeroes_blocks(first, units),
                Verb::Unmap => io.unmap_blocks(first, units),
            }
        });
        all.await;
    } else {
        while work.submit(&mut queue) {}
        while let Some(done) = queue.next().await {
            work.ended
                .borrow_mut()
                .push((done.tag, done.buf, done.result));
        }
    }
    let mut ended = work.ended.take();
    ended.sort_unstable_by_key(|(number, ..)| *number);
    let numbers: Vec<_> = ended.iter().map(|(number, ..)| *number).collect();
    let all: Vec<_> = (0..work.parts.len()).collect();
    same("the list of I/Os that have ended", numbers, all)?;
    let start = work.parts.first().map_or(0, |part| part.first);
    for ((_, buf, result), part) in ended.into_iter().zip(&work.parts) {
        result?;
        if let (Io::Read(expected), Some(buf)) = (io, buf) {
            let from = (part.first - start) as usize;
            let expected = &expected[from..from + part.units as usize];
            compare(&buf, part.first, expected)?;
        }
    }
    Ok(())
}
