//! Commands that take too long, and controllers that fail while their queue pairs do not.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - No callback for timeouts is registered: `they_are_told`.
//! - A controller that failed leaves its queue pairs as they are: `the_admin_queue_alone`.
//! - SPDK tells of a controller when its owner has given it back: `after_the_owner`, with the address sanitizer.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use spdk::ErrorKind;
use spdk::nvme::{NvmeController, NvmeEvent, NvmeTimeouts};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, buffer, submit};
use spdk_tests::nvmf::proxy::{Command, Fate, Proxy};
use spdk_tests::wait::after;
use spdk_tests::{kind, poll_once, until};

const SOON: Duration = Duration::from_secs(10);
const READ: u8 = 0x02;
const ABORT: u8 = 0x08;

fn is_io_read(command: &Command) -> bool {
    !command.is_admin && command.opcode() == READ
}

async fn link(proxy: &Proxy, trid: &spdk::nvme::TransportId, timeouts: Option<Duration>) -> Link {
    let controller = NvmeController::connect(trid, None).await;
    let controller = controller.expect("the target listens");
    if let Some(io) = timeouts {
        let admin = Duration::from_secs(60);
        let set = controller.set_timeouts(Some(NvmeTimeouts { io, admin }));
        set.expect("it is here");
    }
    let qpair = controller.alloc_io_qpair(None).await;
    let qpair = qpair.expect("the target has queue pairs");
    assert_eq!(proxy.hosts().len(), 2);
    let ns = controller.namespace(1).expect("the target has namespace 1");
    Link {
        controller,
        qpair,
        ns,
    }
}

#[spdk::test(no_app, deadline = 30)]
fn they_are_told() {
    beside_target(|target| {
        let proxy = Proxy::start(&target, |command| match command.opcode() {
            _ if is_io_read(command) => Fate::Lose,
            // There was nothing to end.
            ABORT if command.is_admin => Fate::Answer(1, (0, 0)),
            _ => Fate::Forward,
        });
        let trid = proxy.trid(&target);
        async move {
            let limit = Duration::from_millis(300);
            let link = link(&proxy, &trid, Some(limit)).await;
            let mut events = link.controller.events().expect("it is here");
            let mut buf = buffer();
            let start = Instant::now();
            let mut read = Box::pin(link.read(&mut buf, 0));
            submit(&mut read);
            let event = events.next().await;
            assert!(
                (limit..SOON).contains(&start.elapsed()),
                "{:?}",
                start.elapsed()
            );
            let Some(NvmeEvent::TimedOut { qpair, command }) = event else {
                panic!("{event:?}")
            };
            assert_eq!(qpair, link.qpair.id());
            let sent = proxy.commands();
            let sent = sent
                .iter()
                .find(|one| is_io_read(one))
                .expect("it was sent");
            assert_eq!(sent.word(2), command);
            let ended = link
                .controller
                .abort_by_id(Some(&link.qpair), command)
                .await;
            assert!(!ended.expect("the proxy answers"));
            let commands = proxy.commands();
            let abort = commands
                .iter()
                .find(|one| one.is_admin && one.opcode() == ABORT);
            let abort = abort.expect("it was sent");
            assert_eq!(abort.dword(10), u32::from(qpair) | u32::from(command) << 16);
            // Too short, and too long to be counted.
            for io in [Duration::ZERO, Duration::MAX] {
                let admin = limit;
                let refused = link
                    .controller
                    .set_timeouts(Some(NvmeTimeouts { io, admin }));
                let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
                assert!(told, "{refused:?}");
            }
            link.controller.set_timeouts(None).expect("it is here");
            link.controller.reset().await.expect("the target runs");
            let end = read.await;
            assert!(
                matches!(kind(&end), Some(ErrorKind::Device { .. })),
                "{end:?}"
            );
            let Link {
                controller,
                qpair,
                ns,
            } = link;
            drop((qpair, ns));
            controller
                .detach()
                .await
                .expect("it is of this spdk_thread");
            assert_eq!(events.next().await, None, "it was told once");
            Bystanders::new()
        }
    });
}

#[spdk::test(no_app, deadline = 30)]
fn the_admin_queue_alone() {
    beside_target(|target| {
        let proxy = Proxy::start(&target, |command| match is_io_read(command) {
            true => Fate::Lose,
            false => Fate::Forward,
        });
        let trid = proxy.trid(&target);
        async move {
            let link = link(&proxy, &trid, None).await;
            let mut bufs: Vec<_> = (0..16).map(|_| buffer()).collect();
            let reads = bufs
                .iter_mut()
                .zip(0..)
                .map(|(buf, at)| Box::pin(link.read(buf, at)));
            let mut reads: Vec<_> = reads.collect();
            reads.iter_mut().for_each(submit);
            let start = Instant::now();
            proxy.cut(0); // the first connection is that of the admin queue
            for end in join_all(reads).await {
                assert!(
                    matches!(kind(&end), Some(ErrorKind::Device { .. })),
                    "{end:?}"
                );
            }
            assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
            assert!(link.controller.has_failed());
            until("the queue pair to go", || !link.qpair.is_connected()).await;
            link.close().await;
            Bystanders::new()
        }
    });
}

/// A connect to a controller of this process has it too, until it says so. If its owner gives it back meanwhile, the connect
/// detaches it, and the command for that takes too long.
#[spdk::test(no_app, deadline = 60)]
fn after_the_owner() {
    beside_target(|target| {
        let (proxy, is_silent) = Proxy::with_silence(&target);
        let trid = proxy.trid(&target);
        async move {
            let limit = Duration::from_millis(20);
            for turns in 0..6 {
                let controller = NvmeController::connect(&trid, None).await;
                let controller = controller.expect("the target listens");
                let timeouts = NvmeTimeouts {
                    io: limit,
                    admin: limit,
                };
                controller.set_timeouts(Some(timeouts)).expect("it is here");
                is_silent.store(true, Relaxed);
                let mut again = Box::pin(NvmeController::connect(&trid, None));
                assert!(poll_once(again.as_mut()).is_pending());
                for _ in 0..turns {
                    spdk::task::yield_now().await;
                }
                let before = proxy.commands().len();
                drop(controller);
                let refused = again.await;
                assert!(refused.is_err(), "{refused:?}");
                until("the detach", || proxy.commands().len() > before).await;
                after(2 * limit).await;
                is_silent.store(false, Relaxed);
                proxy.cut(proxy.hosts().len() - 1);
                let connected = async || loop {
                    if let Ok(controller) = NvmeController::connect(&trid, None).await {
                        break controller;
                    }
                    spdk::task::yield_now().await;
                };
                connected().await.detach().await.expect("it is here");
            }
            Bystanders::new()
        }
    });
}
