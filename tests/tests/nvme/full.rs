//! More commands than a queue pair has requests.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - A full queue is reported: `in_their_order`, `dropped_while_they_wait`.
//! - The last one goes on first: `in_their_order`.
//! - A new one goes before those that wait: `newcomers_wait`.
//! - A command waits although nothing is in flight: `one_that_never_fits`.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::join_all;
use spdk::nvme::NvmeQpairOpts;
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, SPAN_BLOCKS, assert_is, buffer, filled, submit};

const SPAN: u32 = SPAN_BLOCKS as u32;

fn small() -> NvmeQpairOpts {
    NvmeQpairOpts::new().io_queue_size(5).io_queue_requests(4)
}

#[spdk::test(no_app, deadline = 30)]
fn in_their_order() {
    beside_target(|target| async move {
        let mut link = Link::to(&target).await;
        let qpair = link.controller.alloc_io_qpair(Some(&small())).await;
        link.qpair = qpair.expect("the target has queue pairs");
        target.stop();
        let ended = Rc::new(RefCell::new(Vec::new()));
        let bufs: Vec<_> = (0..64).map(|span| filled(span, 1)).collect();
        let writes = bufs.iter().zip(0..).map(|(buf, span)| {
            let (link, ended) = (&link, ended.clone());
            async move {
                let end = link.write(buf, span).await;
                ended.borrow_mut().push(span);
                end
            }
        });
        let mut writes: Vec<_> = writes.map(Box::pin).collect();
        writes.iter_mut().for_each(submit);
        target.cont();
        for end in join_all(writes).await {
            end.expect("the target runs");
        }
        let ended = ended.take();
        // The target may end those that it has at the same time in any order.
        for (span, place) in ended.iter().zip(0_i64..) {
            let off = (*span as i64 - place).abs();
            assert!(off < 8, "{span} was the {place}.: {ended:?}");
        }
        link.verify(0..64, 1).await;
        link.close().await;
        Bystanders::new()
    });
}

/// A task goes on inside the completion of its command, when a request is free and others wait for it.
#[spdk::test(no_app, deadline = 30)]
fn newcomers_wait() {
    beside_target(|target| async move {
        let mut link = Link::to(&target).await;
        let qpair = link.controller.alloc_io_qpair(Some(&small())).await;
        link.qpair = qpair.expect("the target has queue pairs");
        let link = Rc::new(link);
        target.stop();
        let ended = Rc::new(RefCell::new(Vec::new()));
        let write = |spans: std::ops::Range<u64>| {
            let (link, ended) = (link.clone(), ended.clone());
            spdk::spawn_local(async move {
                for span in spans {
                    let end = link.write(&filled(span, 1), span).await;
                    end.expect("the target runs");
                    ended.borrow_mut().push(span);
                }
            })
        };
        // The first of each has a request at once, the second one is a newcomer.
        let pairs: Vec<_> = (0..2).map(|at| write(2 * at..2 * at + 2)).collect();
        let others: Vec<_> = (4..64).map(|span| write(span..span + 1)).collect();
        for _ in 0..4 {
            spdk::task::yield_now().await;
        }
        target.cont();
        for task in pairs.into_iter().chain(others) {
            let task = task.expect("the application runs");
            task.await.expect("it does not panic");
        }
        let ended = ended.take();
        for newcomer in [1, 3] {
            let place = ended.iter().position(|span| *span == newcomer);
            assert!(
                place >= Some(56),
                "{newcomer} was the {place:?}.: {ended:?}"
            );
        }
        let link = Rc::into_inner(link).expect("the tasks have ended");
        link.verify(0..64, 1).await;
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn dropped_while_they_wait() {
    beside_target(|target| async move {
        let mut link = Link::to(&target).await;
        link.prepare(0..64, 1).await;
        let qpair = link.controller.alloc_io_qpair(Some(&small())).await;
        link.qpair = qpair.expect("the target has queue pairs");
        target.stop();
        let mut bufs: Vec<_> = (0..64).map(|_| buffer()).collect();
        let mut reads = Vec::new();
        for (buf, span) in bufs.iter_mut().zip(0..) {
            let mut read = Box::pin(link.ns.read(&link.qpair, buf, span * SPAN_BLOCKS, SPAN));
            submit(&mut read);
            match span % 3 {
                0 => drop(read),
                1 => std::mem::forget(read),
                _ => reads.push(read),
            }
        }
        let bystanders = Bystanders::new();
        target.cont();
        for end in join_all(reads).await {
            end.expect("the target runs");
        }
        for (buf, span) in bufs.iter().zip(0..).skip(2).step_by(3) {
            assert_is(buf, span, 1);
        }
        link.close().await;
        bystanders
    });
}

/// A command of more parts than the queue pair has requests can never be submitted.
#[spdk::test(no_app, deadline = 30)]
fn one_that_never_fits() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let qpair = link.controller.alloc_io_qpair(Some(&small())).await;
        let qpair = qpair.expect("the target has queue pairs");
        let mut buf = spdk::DmaBuf::alloc(256 * 4096, 4096).expect("DMA memory");
        let refused = link.ns.read(&qpair, &mut buf, 0, 256).await;
        let errno = refused.as_ref().err().and_then(spdk::Error::errno);
        assert_eq!(errno, Some(spdk::Errno::ENOMEM), "{refused:?}");
        drop(qpair);
        link.close().await;
        Bystanders::new()
    });
}
