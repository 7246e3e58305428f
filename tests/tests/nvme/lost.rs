//! A target that goes.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - A failed command reports success: `killed`.
//! - A controller that does not answer is waited for without end: `detached_from_a_stopped_target`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use spdk::{Errno, ErrorKind};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, SPAN_BLOCKS, buffer, submit};
use spdk_tests::{kind, until};

const DEPTH: u64 = 32;
/// More than SPDK needs to see that a process is gone.
const SOON: Duration = Duration::from_secs(20);

#[spdk::test(no_app, deadline = 30)]
fn killed() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        // The first one is polled by itself, and the other one in a group.
        let second = link.controller.alloc_io_qpair(None).await;
        let second = second.expect("the target has queue pairs");
        target.stop();
        let mut bufs: Vec<_> = (0..4 * DEPTH).map(|_| buffer()).collect();
        let mut reads = Vec::new();
        for (buf, at) in bufs.iter_mut().zip(0..) {
            let qpair = if at % 4 < 2 { &link.qpair } else { &second };
            let (lba, count) = (at % DEPTH * SPAN_BLOCKS, SPAN_BLOCKS as u32);
            let mut read = Box::pin(link.ns.read(qpair, buf, lba, count));
            submit(&mut read);
            if at % 2 == 0 {
                reads.push(read);
            }
        }
        let bystanders = Bystanders::new();
        target.kill();
        let start = Instant::now();
        for end in join_all(reads).await {
            let told = matches!(kind(&end), Some(ErrorKind::Device { status, .. })
                if status.is_aborted());
            assert!(told, "{end:?}");
        }
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        for qpair in [&link.qpair, &second] {
            let count = SPAN_BLOCKS as u32;
            let refused = link.ns.read(qpair, &mut buffer(), 0, count).await;
            let errno = refused.as_ref().err().and_then(spdk::Error::errno);
            assert_eq!(errno, Some(Errno::ENXIO), "{refused:?}");
            assert!(!qpair.is_connected());
        }
        second.close().await.expect("it is of this spdk_thread");
        let controller = &link.controller;
        until("the controller to fail", || controller.has_failed()).await;
        let another = controller.alloc_io_qpair(None).await;
        let told = matches!(kind(&another), Some(ErrorKind::NotConnected { .. }));
        assert!(told, "{another:?}");
        link.close().await;
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        bystanders
    });
}

#[spdk::test(no_app, deadline = 40)]
fn detached_from_a_stopped_target() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        target.stop();
        let start = Instant::now();
        link.close().await;
        // The patience with operations in flight, and some.
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        Bystanders::new()
    });
}
