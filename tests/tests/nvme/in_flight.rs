//! Commands that are abandoned while they are truly in flight, as in `tests/in_flight.rs` for bdevs.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - The drop of a future drops what its command holds: all.
//! - A controller is detached although it has a queue pair: `handles_dropped`.
//! - Queue pairs of a controller that is given up are not disconnected: `the_end_of_the_application`.

use spdk::DmaBuf;
use spdk::task::yield_now;
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::BLOCK_SIZE;
use spdk_tests::nvmf::disk::{Bystanders, SPAN_BLOCKS, buffer, filled, submit};

const DEPTH: u64 = 32;
const SPAN: u32 = SPAN_BLOCKS as u32;

#[spdk::test(no_app, deadline = 30)]
fn reads_abandoned() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.stop();
        for span in 0..DEPTH {
            let mut buf = buffer();
            let mut read = Box::pin(link.read(&mut buf, span));
            submit(&mut read);
            match span % 2 {
                0 => drop(read),
                _ => std::mem::forget(read),
            }
            drop(buf);
        }
        let bystanders = Bystanders::new();
        target.cont();
        link.verify(0..DEPTH, 1).await;
        bystanders.check();
        link.close().await;
        bystanders
    });
}

#[spdk::test(no_app, deadline = 30)]
fn vectors_abandoned() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.stop();
        for span in 0..DEPTH {
            let block = || DmaBuf::alloc(BLOCK_SIZE, BLOCK_SIZE).expect("DMA memory");
            let mut bufs: Vec<_> = (0..SPAN_BLOCKS).map(|_| block()).collect();
            let lba = span * SPAN_BLOCKS;
            let mut read = Box::pin(link.ns.readv(&link.qpair, &mut bufs, lba, SPAN));
            submit(&mut read);
            drop(read);
            drop(bufs);
        }
        let bystanders = Bystanders::new();
        target.cont();
        link.verify(0..DEPTH, 1).await;
        bystanders.check();
        link.close().await;
        bystanders
    });
}

#[spdk::test(no_app, deadline = 30)]
fn writes_abandoned() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut kept = Vec::new();
        for span in 0..DEPTH {
            let mut buf = filled(span, 2);
            let mut write = Box::pin(link.write(&buf, span));
            submit(&mut write);
            drop(write);
            if span % 2 == 0 {
                buf.fill(0xee); // which the target must not get
                kept.push(buf);
            }
        }
        let bystanders = Bystanders::new();
        target.cont();
        // They were submitted before.
        link.ns.flush(&link.qpair).await.expect("the target runs");
        let mut buf = buffer();
        for span in 0..DEPTH {
            while spdk_tests::pattern::check(&buf, BLOCK_SIZE, span * SPAN_BLOCKS, 2).is_err() {
                link.read(&mut buf, span).await.expect("the target runs");
                let is_new = spdk_tests::pattern::check(&buf, BLOCK_SIZE, span * SPAN_BLOCKS, 2);
                let is_old = spdk_tests::pattern::check(&buf, BLOCK_SIZE, span * SPAN_BLOCKS, 1);
                assert!(is_new.is_ok() || is_old.is_ok(), "{is_new:?}");
            }
        }
        bystanders.check();
        link.close().await;
        bystanders
    });
}

#[spdk::test(no_app, deadline = 30)]
fn handles_dropped() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.stop();
        for span in 0..DEPTH {
            let mut buf = buffer();
            submit(&mut Box::pin(link.read(&mut buf, span)));
        }
        let Link {
            controller,
            qpair,
            ns,
        } = link;
        drop((qpair, ns));
        let mut end = Box::pin(controller.detach());
        let bystanders = Bystanders::new();
        for _ in 0..100 {
            submit(&mut end); // they are still in flight
            yield_now().await;
        }
        target.cont();
        end.await.expect("it is of this spdk_thread");
        bystanders.check();
        bystanders
    });
}

/// Nobody waits for anything any more, and the target never answers.
#[spdk::test(no_app, deadline = 40)]
fn the_end_of_the_application() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.stop();
        for span in 0..DEPTH {
            let mut buf = buffer();
            let mut read = Box::pin(link.read(&mut buf, span));
            submit(&mut read);
        }
        std::mem::forget(link);
        Bystanders::new()
    });
}
