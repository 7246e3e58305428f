//! A target that is killed in the middle of I/O, and comes back with what it had.
//!
//! These faults would make this test fail:
//!
//! - A failed command reports success.
//! - Commands that wait for a free request are forgotten when their queue pair goes.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::rc::Rc;

use futures_util::future::join_all;
use spdk::nvme::{NvmeController, NvmeNamespace, NvmeQpair, NvmeQpairOpts};
use spdk::{ErrorKind, Result};
use spdk_tests::nvme::beside_target;
use spdk_tests::nvmf::disk::{Bystanders, SPAN_BLOCKS, buffer, filled};
use spdk_tests::nvmf::{BLOCK_SIZE, Target};
use spdk_tests::wait::within;
use spdk_tests::{pattern, until};

/// Each has a span of its own, which it writes again and again.
const WRITERS: u64 = 24;
/// How often the target is killed.
const DEATHS: usize = 2;
/// That of the file, which stays when the target goes.
const NAMESPACE: u32 = 2;

/// What has become of the writes to a span.
#[derive(Debug)]
struct Span {
    /// The generations that may be there: from the last write that was acknowledged to the last one that was
    /// submitted.
    possible: RangeInclusive<u64>,
}

struct Disk {
    ns: NvmeNamespace,
    qpair: RefCell<Option<Rc<NvmeQpair>>>,
    spans: RefCell<Vec<Span>>,
    submitted: Cell<u64>,
    completed: Cell<u64>,
    failed: Cell<u64>,
    is_over: Cell<bool>,
}

impl Disk {
    async fn write(&self, span: u64) {
        let mut generation = 1;
        while !self.is_over.get() {
            let Some(qpair) = self.qpair.borrow().clone() else {
                spdk::task::yield_now().await;
                continue;
            };
            generation += 1;
            let buf = filled(span, generation);
            let possible = |range| self.spans.borrow_mut()[span as usize].possible = range;
            let acknowledged = *self.spans.borrow()[span as usize].possible.start();
            possible(acknowledged..=generation);
            self.submitted.update(|count| count + 1);
            let (at, blocks) = (span * SPAN_BLOCKS, SPAN_BLOCKS as u32);
            let end = self.ns.write(&qpair, &buf, at, blocks).await;
            self.completed.update(|count| count + 1);
            match end {
                Ok(()) => possible(generation..=generation),
                Err(error) => {
                    self.failed.update(|count| count + 1);
                    assert_gone(&error);
                    // The next one is for whoever connects again.
                    let mut current = self.qpair.borrow_mut();
                    current.take_if(|current| Rc::ptr_eq(current, &qpair));
                }
            }
        }
    }

    /// Compares every block with what may be there.
    async fn verify(&self, qpair: &NvmeQpair) -> Result<()> {
        for span in 0..WRITERS {
            let possible = self.spans.borrow()[span as usize].possible.clone();
            let mut buf = buffer();
            let first = span * SPAN_BLOCKS;
            let blocks = SPAN_BLOCKS as u32;
            self.ns.read(qpair, &mut buf, first, blocks).await?;
            for (block, number) in buf.chunks(BLOCK_SIZE).zip(first..) {
                let mut possible = possible.clone();
                let is_one = |it| pattern::check(block, BLOCK_SIZE, number, it).is_ok();
                assert!(possible.any(is_one), "block {number}: {possible:?}");
            }
        }
        Ok(())
    }
}

/// Says that the connection has gone, or was reset.
fn assert_gone(error: &spdk::Error) {
    let told = match error.kind() {
        ErrorKind::Device { status, .. } => status.is_aborted(),
        ErrorKind::Gone { .. } => true,
        _ => error.errno() == Some(spdk::Errno::ENXIO),
    };
    assert!(told, "{error:?}");
}

/// With fewer requests than writers, so that some wait when the target is killed.
async fn queue_pair(controller: &NvmeController) -> Rc<NvmeQpair> {
    let opts = NvmeQpairOpts::new().io_queue_size(8).io_queue_requests(16);
    let qpair = controller.alloc_io_qpair(Some(&opts)).await;
    Rc::new(qpair.expect("the target has queue pairs"))
}

#[spdk::test(no_app, deadline = 60)]
fn killed_in_the_middle_of_io() {
    beside_target(|target| async move {
        let controller = NvmeController::connect(&target.trid(), None).await;
        let controller = controller.expect("the target listens");
        let ns = controller.namespace(NAMESPACE);
        let disk = Rc::new(Disk {
            ns: ns.expect("the target has it"),
            qpair: RefCell::new(Some(queue_pair(&controller).await)),
            spans: RefCell::new(Vec::new()),
            submitted: Cell::new(0),
            completed: Cell::new(0),
            failed: Cell::new(0),
            is_over: Cell::new(false),
        });
        let qpair = disk.qpair.borrow().clone().expect("it was just made");
        for span in 0..WRITERS {
            let (at, blocks) = (span * SPAN_BLOCKS, SPAN_BLOCKS as u32);
            let written = disk.ns.write(&qpair, &filled(span, 1), at, blocks).await;
            written.expect("the target runs");
            disk.spans.borrow_mut().push(Span { possible: 1..=1 });
        }
        drop(qpair);
        let writers = (0..WRITERS).map(|span| {
            let disk = disk.clone();
            let task = spdk::task::spawn_local(async move { disk.write(span).await });
            task.expect("an application runs")
        });
        let writers: Vec<_> = writers.collect();
        let mut targets: Vec<Target> = Vec::new();
        for _ in 0..DEATHS {
            let enough = disk.completed.get() + 20 * WRITERS;
            until("writes", || disk.completed.get() >= enough).await;
            let failed = disk.failed.get();
            let current = targets.last().unwrap_or(&target);
            current.kill();
            // Every write in flight ends: then all writers wait for the queue pair that comes.
            until("the writes in flight", || {
                disk.failed.get() > failed && disk.submitted == disk.completed
            })
            .await;
            let again = current.start_again();
            controller.reset().await.expect("it is back");
            let qpair = queue_pair(&controller).await;
            disk.verify(&qpair).await.expect("the target runs");
            disk.qpair.replace(Some(qpair));
            targets.push(again);
        }
        let enough = disk.completed.get() + 20 * WRITERS;
        until("writes", || disk.completed.get() >= enough).await;
        disk.is_over.set(true);
        for end in within("the writers", join_all(writers)).await {
            end.expect("it ran to its end");
        }
        assert_eq!(disk.submitted, disk.completed);
        let qpair = disk.qpair.take().expect("the last one is there");
        disk.verify(&qpair).await.expect("the target runs");
        // With everything acknowledged, there is one possibility each.
        let spans = disk.spans.take();
        let settled = |span: &Span| span.possible.start() == span.possible.end();
        assert!(spans.iter().all(settled), "{spans:?}");
        drop((qpair, disk));
        let detached = controller.detach().await;
        detached.expect("it is of this spdk_thread");
        Bystanders::new()
    });
}
