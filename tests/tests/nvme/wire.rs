//! What happens to packets between a host and its target, and targets that have no place left.
//!
//! These faults would make these tests fail:
//!
//! - The silence of a controller is not counted: `a_connection_stands_still`.
//! - The silence of a queue pair is not counted: `a_queue_stands_still`, `headers_with_digests`.
//! - The controller is not asked for a sign of life: `a_slow_command_is_waited_for`.
//! - Only a controller that was asked is given up: `a_full_queue_stands_still`.
//! - A reset that is not answered goes on when no handle is left: `a_reset_is_not_answered`.
//! - The options for digests are not passed on: `data_with_digests`, `headers_with_digests`.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, select};
use serde_json::json;
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, NvmeQpairOpts};
use spdk::{DmaBuf, Errno, Error, ErrorKind};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, SPAN_BLOCKS, assert_is, buffer, filled, submit};
use spdk_tests::nvmf::proxy::{Command, Fate, PROPERTY_GET, Proxy, Spoil};
use spdk_tests::nvmf::{BLOCK_SIZE, Target};
use spdk_tests::wait::within;
use spdk_tests::{kind, pattern, until};

const SOON: Duration = Duration::from_secs(10);
const GET_FEATURES: u8 = 0x0a;
const KEEP_ALIVE_TIMER: u32 = 0x0f;

/// What the target says of the time between signs of life, in milliseconds. SPDK's says ten seconds at least.
const KEEP_ALIVE_MS: u64 = 500;

fn short_life(command: &Command) -> Fate {
    let asks = command.is_admin && command.opcode() == GET_FEATURES;
    match asks && command.dword(10) & 0xff == KEEP_ALIVE_TIMER {
        true => Fate::Answer(KEEP_ALIVE_MS, (0, 0)),
        false => Fate::Forward,
    }
}

#[spdk::test(no_app, deadline = 30)]
fn a_connection_stands_still() {
    beside_target(|target| {
        let proxy = Proxy::start(&target, short_life);
        let trid = proxy.trid(&target);
        async move {
            let mut link = Link::at(&trid, &NvmeCtrlrOpts::new()).await;
            link.prepare(0..32, 1).await;
            // It lives as long as it is answered.
            let start = Instant::now();
            let lives = || start.elapsed() > Duration::from_millis(4 * KEEP_ALIVE_MS);
            until("its life to be long", lives).await;
            assert!(!link.controller.has_failed());
            proxy.stand_still(true);
            let mut bufs: Vec<_> = (0..32).map(|_| buffer()).collect();
            let reads = bufs.iter_mut().zip(0..);
            let mut reads: Vec<_> = reads
                .map(|(buf, at)| Box::pin(link.read(buf, at)))
                .collect();
            reads.iter_mut().for_each(submit);
            let start = Instant::now();
            for end in within("the I/O", join_all(reads)).await {
                let told = matches!(kind(&end), Some(ErrorKind::Device { status, .. })
                    if status.is_aborted());
                assert!(told, "{end:?}");
            }
            let took = start.elapsed();
            assert!(took > Duration::from_millis(KEEP_ALIVE_MS), "{took:?}");
            assert!(took < SOON, "{took:?}");
            // Its queue pair may be given up a moment before it.
            until("the controller to fail", || link.controller.has_failed()).await;
            proxy.stand_still(false);
            link.renew().await;
            link.verify(0..32, 1).await;
            link.close().await;
            Bystanders::new()
        }
    });
}

/// Runs `body` with a host behind a proxy.
fn behind_proxy<F: Future<Output = ()> + 'static>(
    opts: NvmeCtrlrOpts,
    body: impl FnOnce(Rc<Proxy>, Link) -> F + 'static,
) {
    beside_target(move |target| {
        let proxy = Rc::new(Proxy::start(&target, short_life));
        let trid = proxy.trid(&target);
        async move {
            let link = Link::at(&trid, &opts).await;
            link.prepare(0..8, 1).await;
            link.verify(0..8, 1).await;
            body(proxy, link).await;
            Bystanders::new()
        }
    });
}

fn with_digests(header: bool, data: bool) -> NvmeCtrlrOpts {
    NvmeCtrlrOpts::new().header_digest(header).data_digest(data)
}

/// Nobody sees what has changed. So what the other tests find is found by the digests.
#[spdk::test(no_app, deadline = 30)]
fn data_without_digests() {
    behind_proxy(NvmeCtrlrOpts::new(), async |proxy, link| {
        proxy.spoil(Spoil::DataToHost);
        let mut buf = buffer();
        link.read(&mut buf, 3).await.expect("the target runs");
        assert!(proxy.has_spoiled());
        assert!(pattern::check(&buf, BLOCK_SIZE, 3 * SPAN_BLOCKS, 1).is_err());
        link.close().await;
    });
}

#[spdk::test(no_app, deadline = 30)]
fn data_with_digests() {
    behind_proxy(with_digests(true, true), async |proxy, mut link| {
        proxy.spoil(Spoil::DataToHost);
        let mut buf = buffer();
        let end = within("the read", link.read(&mut buf, 3)).await;
        assert!(proxy.has_spoiled());
        let told = matches!(kind(&end), Some(ErrorKind::Device { status, .. })
            if status.sc_name() == "COMMAND TRANSIENT TRANSPORT ERROR");
        assert!(told, "{end:?}");
        // It was one packet, and the connection goes on.
        assert!(link.qpair.is_connected());
        link.verify(0..8, 1).await;

        proxy.spoil(Spoil::DataToTarget);
        let end = within("the write", link.write(&filled(3, 2), 3)).await;
        assert!(proxy.has_spoiled());
        assert!(
            matches!(kind(&end), Some(ErrorKind::Device { .. })),
            "{end:?}"
        );
        if !link.qpair.is_connected() {
            link.renew().await;
        }
        // It has what it had: the spoiled data have reached nothing.
        link.verify(0..8, 1).await;
        link.write(&filled(3, 2), 3).await.expect("the target runs");
        link.read(&mut buf, 3).await.expect("the target runs");
        assert_is(&buf, 3, 2);
        link.close().await;
    });
}

/// Reads at eight places, and what becomes of it.
async fn read_all(link: &Link, spoil: impl FnOnce()) -> Vec<(DmaBuf, spdk::Result<()>)> {
    let mut bufs: Vec<_> = (0..8).map(|_| buffer()).collect();
    let reads = bufs.iter_mut().zip(0..);
    let mut reads: Vec<_> = reads
        .map(|(buf, at)| Box::pin(link.read(buf, at)))
        .collect();
    spoil();
    reads.iter_mut().for_each(submit);
    let start = Instant::now();
    let ends = within("the reads", join_all(reads)).await;
    assert!(start.elapsed() < SOON);
    bufs.into_iter().zip(ends).collect()
}

fn assert_cut(ends: &[(DmaBuf, spdk::Result<()>)]) {
    let failed: Vec<_> = ends.iter().filter(|(_, end)| end.is_err()).collect();
    assert!(!failed.is_empty(), "nothing was seen");
    for (_, end) in failed {
        let told = matches!(kind(end), Some(ErrorKind::Device { status, .. })
            if status.is_aborted());
        assert!(told, "{end:?}");
    }
}

/// A header that is wrong ends the connection: nobody knows what it was. SPDK reads no more then, and waits for the commands
/// in flight, which nobody answers.
#[spdk::test(no_app, deadline = 60)]
fn headers_with_digests() {
    // Not of data: SPDK 26.01's target computes those beside, and crashes if the connection is gone by then.
    behind_proxy(with_digests(true, false), async |proxy, mut link| {
        for spoil in [Spoil::HeaderToHost, Spoil::HeaderToTarget] {
            let ends = read_all(&link, || proxy.spoil(spoil)).await;
            assert!(proxy.has_spoiled());
            assert_cut(&ends);
            // What was read was right.
            for ((buf, end), span) in ends.iter().zip(0..) {
                if end.is_ok() {
                    assert_is(buf, span, 1);
                }
            }
            assert!(!link.qpair.is_connected());
            link.replace().await;
            link.verify(0..8, 1).await;
        }
        link.close().await;
    });
}

/// The connection of the admin queue goes on, so keep-alive does not notice.
#[spdk::test(no_app, deadline = 60)]
fn a_queue_stands_still() {
    behind_proxy(NvmeCtrlrOpts::new(), async |proxy, mut link| {
        // One that is polled by itself, and one in a group.
        for connection in [1, 2] {
            let ends = read_all(&link, || proxy.hold_up(connection)).await;
            assert_cut(&ends);
            assert!(ends.iter().all(|(_, end)| end.is_err()));
            assert!(!link.controller.has_failed());
            link.replace().await;
            link.verify(0..8, 1).await;
        }
        link.close().await;
    });
}

/// Nothing is in flight, so nothing has to end.
#[spdk::test(no_app, deadline = 30)]
fn an_idle_queue_is_cut() {
    behind_proxy(NvmeCtrlrOpts::new(), async |proxy, mut link| {
        let second = link.controller.alloc_io_qpair(None).await;
        let second = second.expect("the target has queue pairs");
        for (qpair, connection) in [(&link.qpair, 1), (&second, 2)] {
            assert!(qpair.is_connected());
            proxy.cut(connection);
            until("the end to be noticed", || !qpair.is_connected()).await;
        }
        second.close().await.expect("it is of this spdk_thread");
        assert!(!link.controller.has_failed());
        link.replace().await;
        link.verify(0..8, 1).await;
        link.close().await;
    });
}

/// There is no place to ask for a sign of life, and commands wait.
#[spdk::test(no_app, deadline = 60)]
fn a_full_queue_stands_still() {
    behind_proxy(NvmeCtrlrOpts::new(), async |proxy, mut link| {
        let small = NvmeQpairOpts::new().io_queue_size(5).io_queue_requests(4);
        let qpair = link.controller.alloc_io_qpair(Some(&small)).await;
        link.qpair = qpair.expect("the target has queue pairs");
        let ends = read_all(&link, || proxy.hold_up(2)).await;
        let (in_flight, waiting) = ends.split_at(4);
        assert_cut(in_flight);
        for (_, end) in waiting {
            let errno = end.as_ref().err().and_then(Error::errno);
            assert_eq!(errno, Some(Errno::ENXIO), "{end:?}");
        }
        link.replace().await;
        link.verify(0..8, 1).await;
        link.close().await;
    });
}

/// A command that takes longer than a silence may last, and nothing beside it: the controller is asked, and answers.
#[spdk::test(no_app, deadline = 60)]
fn a_slow_command_is_waited_for() {
    const LATENCY: Duration = Duration::from_secs(3);
    beside_target(|target| {
        let proxy = Proxy::start(&target, short_life);
        let disk = json!({"name": "base", "num_blocks": 1024, "block_size": BLOCK_SIZE});
        target.rpc("bdev_malloc_create", disk);
        let delay = json!({"base_bdev_name": "base", "name": "slow",
            "avg_read_latency": LATENCY.as_micros(), "p99_read_latency": LATENCY.as_micros(),
            "avg_write_latency": 1, "p99_write_latency": 1});
        target.rpc("bdev_delay_create", delay);
        target.show("slow");
        let trid = proxy.trid(&target);
        async move {
            let link = Link::at(&trid, &NvmeCtrlrOpts::new()).await;
            let start = Instant::now();
            let read = link.read(&mut buffer(), 0).await;
            read.expect("it takes its time");
            assert!(start.elapsed() >= LATENCY);
            let asked = |command: &Command| !command.is_admin && command.nsid() == u32::MAX - 1;
            assert!(proxy.commands().iter().any(asked));
            link.close().await;
            Bystanders::new()
        }
    });
}

/// SPDK waits without end for what tells the version and the capabilities of a controller.
#[spdk::test(no_app, deadline = 60)]
fn a_reset_is_not_answered() {
    beside_target(|target| {
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = is_silent.clone();
        let asks = |command: &Command| command.fabrics_type() == Some(PROPERTY_GET);
        let proxy = Proxy::start(&target, move |command| {
            match asks(command) && silent.load(Relaxed) {
                true => Fate::Lose,
                false => short_life(command),
            }
        });
        let trid = proxy.trid(&target);
        async move {
            let link = Link::at(&trid, &NvmeCtrlrOpts::new()).await;
            let Link {
                controller,
                qpair,
                ns,
            } = link;
            drop(ns);
            qpair.close().await.expect("it is of this spdk_thread");
            let asked = || proxy.commands().iter().filter(|one| asks(one)).count();
            let before = asked();
            is_silent.store(true, Relaxed);
            {
                let reset = pin!(controller.reset());
                let lost = pin!(until("the question", || asked() > before));
                select(reset, lost).await;
            }
            let start = Instant::now();
            let detached = within("the detach", controller.detach()).await;
            detached.expect("it is of this spdk_thread");
            assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
            Bystanders::new()
        }
    });
}

/// A subsystem with one controller.
fn small(target: &Target) -> spdk::nvme::TransportId {
    let nqn = "nqn.2016-06.io.spdk:small";
    let all = json!({"nqn": nqn, "allow_any_host": true, "min_cntlid": 1, "max_cntlid": 1});
    target.rpc("nvmf_create_subsystem", all);
    let listen = json!({"nqn": nqn, "listen_address": {"trtype": "TCP", "adrfam": "IPv4",
        "traddr": "127.0.0.1", "trsvcid": target.port().to_string()}});
    target.rpc("nvmf_subsystem_add_listener", listen);
    target.trid_of(nqn)
}

#[spdk::test(no_app, deadline = 30)]
fn a_target_is_full() {
    beside_target(|target| {
        let trid = small(&target);
        async move {
            let host = |name| NvmeCtrlrOpts::new().hostnqn(name);
            let one = host("nqn.2016-06.io.spdk:one");
            let two = host("nqn.2016-06.io.spdk:two");
            let first = NvmeController::connect(&trid, Some(&one)).await;
            let first = first.expect("it has room for one");
            let start = Instant::now();
            let refused = NvmeController::connect(&trid, Some(&two)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::NotConnected { .. }));
            assert!(told, "{refused:?}");
            assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
            assert!(!first.has_failed());
            first.detach().await.expect("it is of this spdk_thread");
            // The target sees a little later that the first one has gone.
            let again = async {
                loop {
                    if let Ok(second) = NvmeController::connect(&trid, Some(&two)).await {
                        return second;
                    }
                }
            };
            let second = within("the second one", again).await;
            second.detach().await.expect("it is of this spdk_thread");
            Bystanders::new()
        }
    });
}
