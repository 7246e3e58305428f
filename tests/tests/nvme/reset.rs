//! Resets, and targets that come back.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - Queue pairs stay as they are in a reset: both.
//! - A reset that fails reports success: `the_target_comes_back`.
//! - A failover stays where it is: `another_path`.
//! - A failover ends with a reset that has begun before, and stays where it is: `another_path_beside_a_reset`.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use spdk::nvme::{NvmeController, TransportId};
use spdk::task::yield_now;
use spdk::{ErrorKind, Gone};
use spdk_tests::kind;
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, assert_is, buffer, submit};
use spdk_tests::nvmf::proxy::{Fate, Proxy};

const DEPTH: u64 = 32;

#[spdk::test(no_app, deadline = 30)]
fn with_commands_in_flight() {
    beside_target(|target| async move {
        let mut link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        for round in 0..3 {
            target.stop();
            let mut bufs: Vec<_> = (0..DEPTH).map(|_| buffer()).collect();
            let mut reads = Vec::new();
            for (buf, span) in bufs.iter_mut().zip(0..) {
                let mut read = Box::pin(link.read(buf, span));
                submit(&mut read);
                match span % 4 {
                    0 => drop(read),
                    1 => std::mem::forget(read),
                    _ => reads.push(read),
                }
            }
            let mut reset = Box::pin(link.controller.reset());
            submit(&mut reset);
            let bystanders = Bystanders::new();
            // They end while the target stands still: nobody waits for its answers.
            for end in join_all(reads).await {
                let told = matches!(kind(&end), Some(ErrorKind::Device { status, .. })
                    if status.is_aborted());
                assert!(told, "{end:?}");
            }
            target.cont();
            if round == 1 {
                drop(reset); // it goes on
                link.controller.reset().await.expect("the target runs");
            } else {
                reset.await.expect("the target runs");
            }
            bystanders.check();
            assert!(!link.controller.has_failed());
            let refused = link.read(&mut buffer(), 0).await;
            let why = Gone::Reset;
            let told =
                matches!(kind(&refused), Some(ErrorKind::Gone { why: told, .. }) if *told == why);
            assert!(told, "{refused:?}");
            let qpair = link.controller.alloc_io_qpair(None).await;
            link.qpair = qpair.expect("the target has queue pairs");
            // The namespace is that of before.
            link.verify(0..DEPTH, 1).await;
        }
        let data = link.controller.data().expect("it is here");
        assert_eq!(data.serial_number(), "SPDK0001");
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 60)]
fn the_target_comes_back() {
    beside_target(|target| async move {
        let mut link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        target.kill();
        let end = link.read(&mut buffer(), 0).await;
        assert!(end.is_err());
        let start = Instant::now();
        let refused = link.controller.reset().await;
        let told = matches!(kind(&refused), Some(ErrorKind::NotConnected { .. }));
        assert!(told, "{refused:?}");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
        assert!(link.controller.has_failed());
        let another = target.start_again();
        link.controller.reset().await.expect("it is back");
        let qpair = link.controller.alloc_io_qpair(None).await;
        link.qpair = qpair.expect("the target has queue pairs");
        link.prepare(0..DEPTH, 2).await;
        link.verify(0..DEPTH, 2).await;
        let mut buf = buffer();
        link.read(&mut buf, 3).await.expect("the target runs");
        assert_is(&buf, 3, 2);
        link.close().await;
        drop(another);
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 60)]
fn another_path() {
    beside_target(|target| {
        let proxy = Proxy::start(&target, |_| Fate::Forward);
        let (first, second) = (proxy.trid(&target), target.trid());
        async move {
            let controller = NvmeController::connect(&first, None).await;
            let controller = controller.expect("the target listens");
            let mut link = Link {
                qpair: controller
                    .alloc_io_qpair(None)
                    .await
                    .expect("it has queue pairs"),
                ns: controller.namespace(1).expect("the target has namespace 1"),
                controller,
            };
            link.prepare(0..DEPTH, 1).await;
            // With a path that works, and back over one that was cut.
            for (path, links) in [(&second, 2), (&first, 4)] {
                for connection in 0..proxy.hosts().len() {
                    proxy.cut(connection);
                }
                link.controller
                    .failover(path)
                    .await
                    .expect("the target runs");
                assert_eq!(&link.controller.transport_id(), path);
                let qpair = link.controller.alloc_io_qpair(None).await;
                link.qpair = qpair.expect("the target has queue pairs");
                link.verify(0..DEPTH, 1).await;
                assert_eq!(proxy.hosts().len(), links);
            }
            let other = target.trid_of("nqn.2016-06.io.spdk:other");
            let disk = TransportId::pcie("0000:00:04.0").expect("an address");
            for wrong in [other, disk] {
                let refused = link.controller.failover(&wrong).await;
                let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
                assert!(told, "{refused:?}");
            }
            link.verify(0..DEPTH, 1).await;
            link.close().await;
            Bystanders::new()
        }
    });
}

#[spdk::test(no_app, deadline = 60)]
fn another_path_beside_a_reset() {
    beside_target(|target| {
        let proxy = Proxy::start(&target, |_| Fate::Forward);
        let paths = [proxy.trid(&target), target.trid()];
        async move {
            let controller = NvmeController::connect(&paths[0], None).await;
            let controller = controller.expect("the target listens");
            for round in 0..24 {
                let path = &paths[(round + 1) % 2];
                let reset = controller.reset();
                let failover = async {
                    for _ in 0..round * 4 {
                        yield_now().await;
                    }
                    controller.failover(path).await
                };
                let (reset, failover) = join(reset, failover).await;
                reset.and(failover).expect("the target runs");
                assert_eq!(&controller.transport_id(), path, "{round}");
            }
            controller
                .detach()
                .await
                .expect("it is of this spdk_thread");
            Bystanders::new()
        }
    });
}
