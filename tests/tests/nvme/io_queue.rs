//! An `IoQueue` of commands to a namespace.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - A buffer is measured once, whatever size its blocks have next: `blocks_grow`.
//! - A namespace is not looked at again: `blocks_grow`, `another_namespace_takes_its_place`.
//! - All commands are passed on whole: `what_is_too_large_is_split`.
//! - Commands do not count on their queue pair: `more_than_the_queue_pair_has`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use spdk::nvme::{NvmeCtrlrOpts, NvmeNamespace, NvmeQpairOpts};
use spdk::task::yield_now;
use spdk::{DmaBuf, EndedIo, Errno, ErrorKind, Gone, IoQueue};
use spdk_tests::kind;
use spdk_tests::nvme::{Far, Link, beside_target, beside_target_in};
use spdk_tests::nvmf::Target;
use spdk_tests::nvmf::disk::{
    Bystanders, SPAN, SPAN_BLOCKS, assert_is, buffer, fill, filled, submit,
};
use spdk_tests::wait::{PATIENCE, until, within};

use crate::remote::{Marks, app, with_another};

const DEPTH: u64 = 32;
const SPANS: u64 = 3 * DEPTH;
/// What the target's namespace has.
const BLOCKS: u64 = spdk_tests::nvmf::BLOCKS;

type Queue<T> = IoQueue<T, NvmeNamespace>;

fn queue<T: 'static>(link: &Link) -> Queue<T> {
    IoQueue::of_namespace(&link.ns, &link.qpair).expect("it is connected")
}

/// Writes or reads all spans, some at a time, in the places of those that have ended, and compares what was read.
async fn pass(queue: &mut Queue<u64>, is_write: bool, generation: u64) {
    assert!(queue.is_empty());
    for span in 0..DEPTH {
        match is_write {
            true => queue.write_blocks(
                filled(span, generation),
                span * SPAN_BLOCKS,
                SPAN_BLOCKS,
                span,
            ),
            false => queue.read_blocks(buffer(), span * SPAN_BLOCKS, SPAN_BLOCKS, span),
        }
    }
    let seen = Rc::new(RefCell::new(vec![0; SPANS as usize]));
    let (mut next, sees) = (DEPTH, seen.clone());
    let mut each = move |mut io: EndedIo<'_, u64, NvmeNamespace>| {
        io.take_result().expect("the target runs");
        let span = *io.tag();
        sees.borrow_mut()[span as usize] += 1;
        let buf = io.buf().as_mut().expect("its buffer");
        if !is_write {
            assert_is(buf, span, generation);
        }
        if next == SPANS {
            return;
        }
        match is_write {
            true => fill(buf, next, generation),
            false => buf.fill(0xee),
        }
        *io.tag_mut() = next;
        match is_write {
            true => io.write_blocks(next * SPAN_BLOCKS, SPAN_BLOCKS),
            false => io.read_blocks(next * SPAN_BLOCKS, SPAN_BLOCKS),
        }
        next += 1;
    };
    if generation.is_multiple_of(2) {
        queue.for_each_ended(each).await;
    } else {
        while queue.ended().await {
            while let Some(io) = queue.pop() {
                each(io);
            }
        }
    }
    let seen = seen.take();
    assert!(seen.iter().all(|count| *count == 1), "{seen:?}");
}

/// Fails if a command goes to another place than its own, or its buffer or its tag to another one.
#[spdk::test(no_app, deadline = 30)]
fn what_is_written_is_read() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let mut queue = queue(&link);
        for generation in 1..4 {
            for is_write in [true, false] {
                pass(&mut queue, is_write, generation).await;
            }
        }
        link.verify(0..SPANS, 3).await;
        drop(queue);
        link.close().await;
        Bystanders::new()
    });
}

/// Fails if a command is passed on whole that is more than the controller takes at once.
#[spdk::test(no_app, deadline = 30)]
fn what_is_too_large_is_split() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let most = link.ns.max_io_xfer_size().expect("it is active");
        let most = u64::from(most) / SPAN as u64;
        assert!(most > 0 && 3 * most < SPANS);
        let mut queue = queue(&link);
        for (spans, generation) in [(most, 1), (most + 1, 2), (3 * most, 3)] {
            let mut buf = DmaBuf::alloc(spans as usize * SPAN, 4096).expect("DMA memory");
            fill(&mut buf, 0, generation);
            queue.write_blocks(buf, 0, spans * SPAN_BLOCKS, ());
            let mut done = queue.next().await.expect("the write");
            done.result.expect("the target runs");
            link.verify(0..spans, generation).await;
            let mut buf = done.buf.take().expect("its buffer");
            buf.fill(0xee);
            queue.read_blocks(buf, 0, spans * SPAN_BLOCKS, ());
            let done = queue.next().await.expect("the read");
            done.result.expect("the target runs");
            assert_is(&done.buf.expect("its buffer"), 0, generation);
        }
        drop(queue);
        link.close().await;
        Bystanders::new()
    });
}

/// Fails if a command without a buffer does something else than its name says.
#[spdk::test(no_app, deadline = 30)]
fn without_buffers() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..4, 1).await;
        let mut queue = queue(&link);
        queue.write_zeroes_blocks(0, SPAN_BLOCKS, "zeroes");
        queue.unmap_blocks(SPAN_BLOCKS, SPAN_BLOCKS, "unmap");
        queue.flush_blocks(0, 1, "flush");
        let mut tags = Vec::new();
        while let Some(done) = queue.next().await {
            done.result.expect("the target runs");
            assert!(done.buf.is_none());
            tags.push(done.tag);
        }
        tags.sort_unstable();
        assert_eq!(tags, ["flush", "unmap", "zeroes"]);
        // The bdev of the target reads zeroes where it was unmapped.
        for span in 0..2 {
            let mut buf = buffer();
            link.read(&mut buf, span).await.expect("the target runs");
            assert!(buf.iter().all(|byte| *byte == 0), "span {span}");
        }
        link.verify(2..4, 1).await;
        drop(queue);
        link.close().await;
        Bystanders::new()
    });
}

/// A link whose queue pair has room for four commands.
async fn small_link(target: &Target) -> Link {
    let mut link = Link::to(target).await;
    let small = NvmeQpairOpts::new().io_queue_size(5).io_queue_requests(4);
    let qpair = link.controller.alloc_io_qpair(Some(&small)).await;
    link.qpair = qpair.expect("the target has queue pairs");
    link
}

/// Fails if a command that is submitted in the callback of another one, which has left no room, waits for ever.
#[spdk::test(no_app, deadline = 30)]
fn each_goes_on_in_a_full_queue_pair() {
    beside_target(|target| async move {
        let link = small_link(&target).await;
        for depth in [1, DEPTH] {
            let mut queue = queue(&link);
            for span in 0..depth {
                queue.write_blocks(filled(span, 1), span * SPAN_BLOCKS, SPAN_BLOCKS, span);
            }
            let ends = Rc::new(Cell::new(0));
            let count = ends.clone();
            let each = move |mut io: EndedIo<'_, u64, NvmeNamespace>| {
                io.take_result().expect("the target runs");
                count.set(count.get() + 1);
                *io.tag_mut() += depth;
                let span = *io.tag();
                if span < SPANS {
                    fill(io.buf().as_mut().expect("its buffer"), span, 1);
                    io.write_blocks(span * SPAN_BLOCKS, SPAN_BLOCKS);
                }
            };
            queue.for_each_ended(each).await;
            assert_eq!(ends.get(), SPANS);
            link.verify(0..SPANS, 1).await;
        }
        link.close().await;
        Bystanders::new()
    });
}

/// Fails if a command that finds the queue pair full is refused or lost, or one of a task beside it.
#[spdk::test(no_app, deadline = 30)]
fn more_than_the_queue_pair_has() {
    beside_target(|target| async move {
        let link = small_link(&target).await;
        target.stop();
        let mut kept = queue(&link);
        let mut dropped = queue(&link);
        for span in 0..DEPTH {
            kept.write_blocks(filled(span, 1), span * SPAN_BLOCKS, SPAN_BLOCKS, span);
            let other = SPANS + span;
            dropped.write_blocks(filled(other, 1), other * SPAN_BLOCKS, SPAN_BLOCKS, other);
        }
        let buf = filled(DEPTH, 1);
        let mut task = Box::pin(link.write(&buf, DEPTH));
        submit(&mut task);
        let bystanders = Bystanders::new();
        drop(dropped); // some of its commands wait
        target.cont();
        let mut order = Vec::new();
        while let Some(done) = kept.next().await {
            done.result.expect("the target runs");
            order.push(done.tag);
        }
        task.await.expect("the target runs");
        // The target may end those that it has at the same time in any order.
        for (span, place) in order.iter().zip(0_i64..) {
            let off = (*span as i64 - place).abs();
            assert!(off < 8, "{span} was the {place}.: {order:?}");
        }
        bystanders.check();
        link.verify(0..DEPTH + 1, 1).await;
        // With nothing else in flight waiting does not help.
        kept.read_blocks(
            DmaBuf::alloc(256 * 4096, 4096).expect("DMA memory"),
            0,
            256,
            0,
        );
        let done = kept.next().await.expect("the read");
        let errno = done.result.as_ref().err().and_then(spdk::Error::errno);
        assert_eq!(errno, Some(Errno::ENOMEM), "{:?}", done.result);
        drop(kept);
        link.close().await;
        bystanders
    });
}

#[spdk::test(no_app, deadline = 30)]
fn errors_are_told() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let opts = NvmeCtrlrOpts::new().hostnqn("nqn.2024-01.io.spdk:other");
        let other = Link::with(&target, &opts).await;
        let mut queue = queue(&link);
        let span = SPAN_BLOCKS;
        queue.read_blocks(buffer(), BLOCKS - 1, span, "beyond");
        let done = queue.next().await.expect("the read");
        match kind(&done.result) {
            Some(ErrorKind::Device { at, status, .. }) => {
                assert_eq!((status.sct, status.sc), (0, 0x80), "{status}");
                assert_eq!(at.operation, "spdk_nvme_ns_cmd_read");
                assert!(at.object.contains("namespace 1"), "{at}");
            }
            other => panic!("{other:?}"),
        }
        assert!(done.buf.is_some());
        queue.read_blocks(buffer(), 0, span + 1, "short");
        queue.write_blocks(buffer(), 0, span - 1, "long");
        queue.unmap_blocks(0, 1 << 32, "many");
        for tag in ["short", "long", "many"] {
            let done = queue.next().await.expect("a refused command");
            assert_eq!(done.tag, tag);
            let told = matches!(kind(&done.result), Some(ErrorKind::InvalidArgument { .. }));
            assert!(told, "{:?}", done.result);
        }
        // SPDK refuses it.
        queue.write_zeroes_blocks(0, 1 << 17, "zeroes");
        let done = queue.next().await.expect("a refused command");
        let errno = done.result.as_ref().err().and_then(spdk::Error::errno);
        assert_eq!(errno, Some(Errno::EINVAL), "{:?}", done.result);
        let wrong = IoQueue::<(), _>::of_namespace(&link.ns, &other.qpair).map(drop);
        let told = matches!(kind(&wrong), Some(ErrorKind::WrongChannel { .. }));
        assert!(told, "{wrong:?}");
        drop(queue);
        other.close().await;
        link.close().await;
        Bystanders::new()
    });
}

/// Tells when it goes.
struct Token(Rc<Cell<u64>>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Fails if a queue that is dropped takes memory away from its commands, or the queue pair, or keeps either.
#[spdk::test(no_app, deadline = 30)]
fn dropped_in_flight() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.stop();
        let gone = Rc::new(Cell::new(0));
        let mut queue = queue(&link);
        for span in 0..DEPTH {
            queue.read_blocks(
                buffer(),
                span * SPAN_BLOCKS,
                SPAN_BLOCKS,
                Token(gone.clone()),
            );
        }
        drop(queue);
        let mut close = Box::pin(link.qpair.close());
        submit(&mut close);
        let bystanders = Bystanders::new();
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(gone.get(), 0, "the target stands still");
        target.cont();
        within("the close", close).await.expect("it is of here");
        assert_eq!(gone.get(), DEPTH);
        bystanders.check();
        drop(link.ns);
        link.controller.detach().await.expect("it is of here");
        bystanders
    });
}

/// Fails if a command hangs in a reset, or the queue goes on with a queue pair that is gone.
#[spdk::test(no_app, deadline = 30)]
fn reset_under_io() {
    beside_target(|target| async move {
        let mut link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut queue = queue(&link);
        for span in 0..DEPTH {
            queue.read_blocks(buffer(), span * SPAN_BLOCKS, SPAN_BLOCKS, span);
        }
        let mut reset = Box::pin(link.controller.reset());
        submit(&mut reset);
        let (mut aborted, mut refused) = (0, 0);
        while let Some(done) = queue.next().await {
            match kind(&done.result) {
                // Each is submitted once more, inside of the end of another one.
                Some(ErrorKind::Device { status, .. }) if status.is_aborted() => {
                    aborted += 1;
                    let buf = done.buf.expect("its buffer");
                    queue.read_blocks(buf, 0, SPAN_BLOCKS, done.tag);
                }
                _ => refused += 1,
            }
        }
        assert_eq!((aborted, refused), (DEPTH, DEPTH));
        target.cont();
        reset.await.expect("the target runs");
        queue.read_blocks(buffer(), 0, SPAN_BLOCKS, 0);
        let done = queue.next().await.expect("a refused command");
        let told = matches!(
            kind(&done.result),
            Some(ErrorKind::Gone {
                why: Gone::Reset,
                ..
            })
        );
        assert!(told, "{:?}", done.result);
        let again = IoQueue::<(), _>::of_namespace(&link.ns, &link.qpair).map(drop);
        let told = matches!(kind(&again), Some(ErrorKind::Gone { .. }));
        assert!(told, "{again:?}");
        drop(queue);
        link.renew().await;
        let mut queue = self::queue(&link);
        pass(&mut queue, true, 2).await;
        link.verify(0..SPANS, 2).await;
        drop(queue);
        link.close().await;
        Bystanders::new()
    });
}

/// Fails if a command hangs, or is told to have succeeded, when its target is killed.
#[spdk::test(no_app, deadline = 60)]
fn the_target_is_killed() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut queue = queue(&link);
        for span in 0..DEPTH {
            queue.read_blocks(buffer(), span * SPAN_BLOCKS, SPAN_BLOCKS, span);
        }
        let bystanders = Bystanders::new();
        target.kill();
        let mut ended = 0;
        while let Some(done) = within("an end", queue.next()).await {
            assert!(done.result.is_err() && done.buf.is_some());
            ended += 1;
        }
        assert_eq!(ended, DEPTH);
        bystanders.check();
        drop(queue);
        link.close().await;
        bystanders
    });
}

/// Fails if the end of the application leaves the commands of a queue, or waits for them for ever.
#[spdk::test(no_app, deadline = 30)]
fn the_application_ends() {
    let app = spdk::__testing::builder().shutdown_patience(std::time::Duration::from_millis(500));
    beside_target_in(app, |target| async move {
        let link = Link::to(&target).await;
        target.stop();
        let mut queue = queue(&link);
        for span in 0..DEPTH {
            queue.read_blocks(buffer(), span * SPAN_BLOCKS, SPAN_BLOCKS, span);
        }
        let bystanders = Bystanders::new();
        drop((queue, link));
        bystanders
    });
}

/// Fails if a buffer that was long enough for a command is taken for the next one, whose blocks are larger.
#[spdk::test(no_app, deadline = 30)]
fn blocks_grow() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        become_of(&target, &link.ns, 512).await;
        let mut queue = queue(&link);
        queue.read_blocks(DmaBuf::alloc(8 * 512, 4096).expect("DMA memory"), 0, 8, ());
        assert!(queue.ended().await);
        become_of(&target, &link.ns, 4096).await;
        let mut io = queue.pop().expect("the read");
        io.take_result().expect("the target ran");
        io.read_blocks(0, 8);
        let done = queue.next().await.expect("it is refused");
        let told = matches!(kind(&done.result), Some(ErrorKind::InvalidArgument { .. }));
        assert!(told, "{:?}", done.result);
        drop(queue);
        link.close().await;
        Bystanders::new()
    });
}

/// Gives the target's namespace blocks of another size, and waits until that is seen.
async fn become_of(target: &Target, ns: &NvmeNamespace, size: u32) {
    target.replace_namespace(size as usize);
    until("the other namespace", || ns.sector_size() == size).await;
}

/// Fails if a queue of another spdk_thread mixes something up, or goes on with the size of blocks that were there before,
/// here or there.
#[spdk::test(no_app, deadline = 60)]
fn another_namespace_takes_its_place() {
    beside_target_in(app(), |target| async move {
        let link = Link::to(&target).await;
        let remote = link.controller.remote();
        let wanted = Arc::<AtomicUsize>::default();
        let (theirs, served) = (wanted.clone(), Arc::<AtomicUsize>::default());
        let seen = served.clone();
        let there = async move |marks: &Marks| {
            let far = Far::of(&remote).await;
            let mut reader = Reader::new(&far);
            for is_write in [true, false] {
                pass(&mut reader.queue, is_write, 1).await;
            }
            marks.submitted.set();
            while !marks.over.is_set() {
                let size = reader.read_some(&far.ns, theirs.load(SeqCst)).await;
                seen.store(size, SeqCst);
            }
        };
        let here = async |marks: &Marks| {
            marks.submitted.wait().await;
            let mut reader = Reader::new(&link);
            for size in [512, 4096, 512, 4096] {
                target.replace_namespace(size);
                wanted.store(size, SeqCst);
                let start = Instant::now();
                while reader.read_some(&link.ns, size).await != size {
                    assert!(start.elapsed() < PATIENCE);
                }
                until("I/O there", || served.load(SeqCst) == size).await;
            }
            marks.over.set();
        };
        with_another(1, there, here).await;
        link.close().await;
        Bystanders::new()
    });
}

/// Reads with the same buffer as long as the size of the blocks is the same.
struct Reader {
    queue: Queue<u64>,
    buf: Option<DmaBuf>,
}

impl Reader {
    fn new<C>(link: &Link<C>) -> Self {
        let queue = IoQueue::of_namespace(&link.ns, &link.qpair).expect("it is connected");
        Reader { queue, buf: None }
    }

    /// Reads 8 blocks, twice, of the size that the namespace has; which one, if these were read, and it is the one that is
    /// wanted.
    async fn read_some(&mut self, ns: &NvmeNamespace, wanted: usize) -> usize {
        let size = ns.sector_size() as usize;
        let buf = self.buf.take().filter(|buf| buf.len() == 8 * size);
        let Some(buf) = buf.or_else(|| DmaBuf::alloc(8 * size, 4096).ok()) else {
            yield_now().await;
            return 0; // there is none at the moment
        };
        self.queue.read_blocks(buf, 0, 8, 0);
        let mut is_again = false;
        let mut all_read = true;
        while self.queue.ended().await {
            // Another block size may be there by now.
            yield_now().await;
            let mut io = self.queue.pop().expect("the read");
            let end = io.take_result();
            match kind(&end) {
                None => {}
                Some(ErrorKind::InvalidArgument { .. } | ErrorKind::Device { .. }) => {
                    all_read = false
                }
                _ if end
                    .as_ref()
                    .is_err_and(|error| error.errno() == Some(Errno::EINVAL)) =>
                {
                    all_read = false;
                }
                _ => panic!("{end:?}"),
            }
            match is_again {
                false => io.read_blocks(0, 8),
                true => self.buf = io.into_done().buf,
            }
            is_again = true;
        }
        match all_read && size == wanted {
            true => size,
            false => 0,
        }
    }
}
