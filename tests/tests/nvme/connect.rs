//! Connecting, and not.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - A controller that nobody waits for is not dropped: `connect_abandoned`.
//! - A controller of somebody else is taken: `the_same_controller_twice`.
//! - A queue pair of any controller is taken: `queue_pair_of_another_controller`.
//! - What SPDK logs of a closed queue pair is passed on: `what_is_closed_is_no_error`.

use std::time::{Duration, Instant};

use spdk::ErrorKind;
use spdk::nvme::{Arbitration, NvmeController, NvmeCtrlrOpts, NvmeQpairOpts, TransportId};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, buffer};
use spdk_tests::nvmf::{BLOCK_SIZE, BLOCKS, free_port, log};
use spdk_tests::wait::{PATIENCE, after};
use spdk_tests::{kind, poll_once};

/// More than a connect needs.
const SOON: Duration = Duration::from_secs(20);

#[spdk::test(no_app, deadline = 30)]
fn what_is_connected_is_described() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let Link {
            controller,
            qpair,
            ns,
        } = &link;
        assert_eq!(controller.transport_id(), target.trid());
        assert_eq!(controller.active_namespaces(), [1, 2]);
        assert!(controller.namespace(0).is_none());
        assert!(controller.namespace(3).is_none());
        assert!(!controller.has_failed());
        assert!(qpair.is_connected());
        assert_ne!(qpair.id(), 0);
        assert_eq!((ns.id(), ns.is_active()), (1, true));
        assert_eq!(ns.sector_size() as usize, BLOCK_SIZE);
        assert_eq!(ns.num_sectors(), BLOCKS);
        assert_eq!(ns.size(), BLOCKS * BLOCK_SIZE as u64);
        assert_eq!(ns.md_size().expect("it is here"), 0);
        let text = format!("{controller:?} {qpair:?} {ns:?}");
        assert!(text.contains("traddr:127.0.0.1"), "{text}");
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn nobody_is_there() {
    beside_target(|target| async move {
        let port = free_port().to_string();
        let closed = TransportId::tcp("127.0.0.1", &port, "nqn.2016-06.io.spdk:a");
        let unknown = target.trid_of("nqn.2016-06.io.spdk:unknown");
        for trid in [closed.expect("an address"), unknown] {
            let start = Instant::now();
            let refused = NvmeController::connect(&trid, None).await;
            let Err(error) = refused else {
                panic!("{trid} is connected")
            };
            assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
            let told = matches!(error.kind(), ErrorKind::NotConnected { .. });
            assert!(
                told && error.to_string().contains(&trid.to_string()),
                "{error}"
            );
        }
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn the_same_controller_twice() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let again = NvmeController::connect(&target.trid(), None).await;
        let errno = again.as_ref().err().and_then(spdk::Error::errno);
        assert_eq!(errno, Some(spdk::Errno::EALREADY), "{again:?}");
        link.prepare(0..1, 1).await;
        link.verify(0..1, 1).await;
        link.close().await;
        // It is gone, so the next one is the first.
        Link::to(&target).await.close().await;
        Bystanders::new()
    });
}

/// One that is polled by itself, and one in a group. Without a group SPDK flushes a connection that is closed.
#[spdk::test(no_app, deadline = 30)]
fn what_is_closed_is_no_error() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let second = link.controller.alloc_io_qpair(None).await;
        let second = second.expect("the target has queue pairs");
        second.close().await.expect("it is of this spdk_thread");
        link.close().await;
        Bystanders::new()
    });
    assert!(!log::has(&["ERROR"]));
}

#[spdk::test(no_app, deadline = 30)]
fn queue_pair_of_another_controller() {
    beside_target(|target| async move {
        let host = |name| NvmeCtrlrOpts::new().hostnqn(name);
        let one = Link::with(&target, &host("nqn.2016-06.io.spdk:one")).await;
        let two = Link::with(&target, &host("nqn.2016-06.io.spdk:two")).await;
        one.prepare(0..4, 1).await;
        two.verify(0..4, 1).await;
        let mut buf = buffer();
        let refused = one.ns.read(&two.qpair, &mut buf, 0, 4).await;
        let told = matches!(kind(&refused), Some(ErrorKind::WrongChannel { .. }));
        assert!(told, "{refused:?}");
        one.close().await;
        two.verify(0..4, 1).await;
        two.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn connect_abandoned() {
    beside_target(|target| async move {
        let trid = target.trid();
        for wait in [Duration::ZERO, Duration::from_millis(5)] {
            let mut connect = Box::pin(NvmeController::connect(&trid, None));
            assert!(poll_once(connect.as_mut()).is_pending());
            after(wait).await;
        }
        // The abandoned ones end, and go: while they are there, this process has the controller already. The
        // first of these may be before that, and the last is not.
        let start = Instant::now();
        let connect = async || loop {
            match NvmeController::connect(&trid, None).await {
                Ok(controller) => break controller,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            spdk::task::yield_now().await;
        };
        for _ in 0..4 {
            let detached = connect().await.detach().await;
            detached.expect("it is of this spdk_thread");
        }
        let controller = connect().await;
        let mut alloc = Box::pin(controller.alloc_io_qpair(None));
        assert!(poll_once(alloc.as_mut()).is_pending());
        drop(alloc);
        controller
            .detach()
            .await
            .expect("it is of this spdk_thread");
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn options_take_effect() {
    beside_target(|target| async move {
        for opts in [
            NvmeCtrlrOpts::new().hostnqn(""),
            NvmeCtrlrOpts::new().hostnqn(&"n".repeat(224)),
            NvmeCtrlrOpts::new().arbitration_burst(8),
            NvmeCtrlrOpts::new().arbitration_burst(0),
            NvmeCtrlrOpts::new().admin_timeout_ms(u32::MAX / 1000 + 1),
            NvmeCtrlrOpts::new().keep_alive_timeout_ms(657_130_000),
            NvmeCtrlrOpts::new().fabrics_connect_timeout_us(1 << 58),
            NvmeCtrlrOpts::new()
                .arbitration_burst(3)
                .low_priority_weight(1),
            NvmeCtrlrOpts::new()
                .arbitration(Arbitration::WeightedRoundRobin)
                .high_priority_weight(1),
            NvmeCtrlrOpts::new().transport_ack_timeout(32),
        ] {
            let refused = NvmeController::connect(&target.trid(), Some(&opts)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::Option { .. }));
            assert!(told, "{refused:?}");
        }
        // Every digest is checked at both ends, so data go through only if both ends have them.
        let digests = NvmeCtrlrOpts::new().header_digest(true).data_digest(true);
        let link = Link::with(&target, &digests.num_io_queues(1)).await;
        link.prepare(0..8, 1).await;
        link.verify(0..8, 1).await;
        let second = link.controller.alloc_io_qpair(None).await;
        let errno = second.as_ref().err().and_then(spdk::Error::errno);
        assert_eq!(errno, Some(spdk::Errno::ENOMEM), "{second:?}");
        link.qpair.close().await.expect("it is of this spdk_thread");
        // SPDK has 16 bits for them: it waited without end for one of 65,537, and made 4 of 65,540.
        for size in [0, 1, 129, 65_536, 65_537, 65_540, u32::MAX] {
            let opts = NvmeQpairOpts::new().io_queue_size(size);
            let refused = link.controller.alloc_io_qpair(Some(&opts)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
            assert!(told, "{size}: {refused:?}");
        }
        let opts = NvmeQpairOpts::new().io_queue_size(4).io_queue_requests(8);
        let small = link.controller.alloc_io_qpair(Some(&opts)).await;
        let small = small.expect("the first one is free again");
        let mut buf = buffer();
        link.ns
            .read(&small, &mut buf, 0, 4)
            .await
            .expect("the target runs");
        Bystanders::new()
    });
}
