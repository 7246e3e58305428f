//! Commands that are passed through, aborts, and discovery.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - The abort of nothing is an error: `aborts`.
//! - An abort is given to a controller that has failed: `aborts_that_are_refused`.
//! - A discovery log has one entry less than it says: `discovery`, `a_long_discovery_log`.
//! - It is read at once, or its parts are not checked to be of one log: `a_long_discovery_log`.
#![allow(unsafe_code)] // Passes commands through that stay in their buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join;
use serde_json::json;
use spdk::nvme::{NvmeController, NvmeEvent, NvmeExtIoOpts, TransportId};
use spdk::{DmaBuf, Errno, ErrorKind, NvmeCmd};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, SPAN_BLOCKS, assert_is, buffer, filled, submit};
use spdk_tests::nvmf::proxy::{Fate, Proxy};
use spdk_tests::nvmf::{BLOCK_SIZE, Target};
use spdk_tests::wait::{timeout, within};
use spdk_tests::{assert_errno, kind, until};

const WRITE: u8 = 1;
const READ: u8 = 2;
const GET_LOG_PAGE: u8 = 2;
const DISCOVERY: &str = "nqn.2014-08.org.nvmexpress.discovery";

/// A command of one span.
fn on_span(opcode: u8, span: u64) -> NvmeCmd {
    NvmeCmd {
        nsid: 1,
        cdw10: (span * SPAN_BLOCKS) as u32,
        cdw12: SPAN_BLOCKS as u32 - 1,
        ..NvmeCmd::new(opcode)
    }
}

#[spdk::test(no_app, deadline = 30)]
fn passed_through() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let qpair = &link.qpair;
        let mut buf = filled(3, 1);
        let (write, read) = (on_span(WRITE, 3), on_span(READ, 3));
        // SAFETY: each command moves one span, which its buffers have.
        unsafe {
            let done = qpair.io_raw(&write, Some(&mut buf));
            done.await.expect("the target runs");
            let mut buf = buffer();
            let done = qpair.io_raw(&read, Some(&mut buf));
            done.await.expect("the target runs");
            assert_is(&buf, 3, 1);
            let block = || DmaBuf::alloc(BLOCK_SIZE, BLOCK_SIZE).expect("DMA memory");
            let mut bufs: Vec<_> = (0..SPAN_BLOCKS).map(|_| block()).collect();
            let done = qpair.iov_raw_with_md(&read, &mut bufs, None);
            done.await.expect("the target runs");
            let together: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            assert_is(&together, 3, 1);
            let none = NvmeCmd::new(READ);
            let mut md = buffer();
            let refused = qpair.io_raw_with_md(&none, &mut buf, &mut md).await;
            let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
            assert!(told, "{refused:?}");
            let flush = NvmeCmd {
                nsid: 1,
                ..NvmeCmd::new(0)
            };
            qpair.io_raw(&flush, None).await.expect("the target runs");
        }
        // The target has no such command.
        let refused = link.ns.io_mgmt_send(qpair, &buf, 0, 0).await;
        let told = matches!(kind(&refused), Some(ErrorKind::Device { .. }));
        assert!(told, "{refused:?}");
        // SPDK would wait for the other half of a fused command.
        for flags in 1..=3 {
            let opts = NvmeExtIoOpts::new().io_flags(flags);
            let ends = [
                link.ns.write_zeroes(qpair, 0, 1, flags).await,
                link.ns.verify(qpair, 0, 1, flags).await,
                link.ns
                    .write_ext(qpair, &buf, 0, SPAN_BLOCKS as u32, &opts, None)
                    .await,
            ];
            for refused in ends {
                let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
                assert!(told, "{refused:?}");
            }
        }
        // The controller would read the identifiers of two placement handles, with two bytes each.
        let short = DmaBuf::alloc(3, 8).expect("DMA memory");
        let refused = link.ns.io_mgmt_send(qpair, &short, 1, 1).await;
        let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
        assert!(told, "{refused:?}");
        link.close().await;
        Bystanders::new()
    });
}

/// A namespace of the target that takes its time.
async fn slow_namespace(target: &Target, controller: &NvmeController) {
    const SECONDS: u64 = 10_000_000;
    let mut events = controller.events().expect("it is here");
    let size = json!({"name": "Under", "num_blocks": 1024, "block_size": BLOCK_SIZE});
    target.rpc("bdev_malloc_create", size);
    target.rpc(
        "bdev_delay_create",
        json!({
            "base_bdev_name": "Under", "name": "Slow",
            "avg_read_latency": SECONDS, "p99_read_latency": SECONDS,
            "avg_write_latency": SECONDS, "p99_write_latency": SECONDS,
        }),
    );
    target.rpc(
        "nvmf_subsystem_add_ns",
        json!({
            "nqn": target.trid().subnqn(),
            "namespace": {"bdev_name": "Slow", "nsid": 3},
        }),
    );
    assert_eq!(events.next().await, Some(NvmeEvent::NamespaceChanged));
}

#[spdk::test(no_app, deadline = 30)]
fn aborts() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        slow_namespace(&target, &link.controller).await;
        let another = link.controller.alloc_io_qpair(None).await;
        let another = another.expect("the target has queue pairs");
        let ns = link.controller.namespace(3).expect("it was added");
        let mut buf = DmaBuf::alloc(BLOCK_SIZE, BLOCK_SIZE).expect("DMA memory");
        let mut read = Box::pin(ns.read(&link.qpair, &mut buf, 0, 1));
        let early = link.controller.abort(&link.qpair, &*read).await;
        let told = matches!(kind(&early), Some(ErrorKind::InvalidArgument { .. }));
        assert!(told, "{early:?}");
        submit(&mut read);
        let elsewhere = link.controller.abort(&another, &*read).await;
        assert!(!elsewhere.expect("there is nothing to end"));
        // It has to reach the slow bdev before it can be ended there.
        let waited = timeout(Duration::from_millis(100), &mut read).await;
        assert!(waited.is_none(), "{waited:?}");
        let ended = link.controller.abort(&link.qpair, &*read).await;
        assert!(ended.expect("the target runs"));
        let end = read.await;
        let told = matches!(kind(&end), Some(ErrorKind::Device { status, .. })
            if status.is_aborted());
        assert!(told, "{end:?}");
        drop((ns, another));
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 60)]
fn aborts_that_are_refused() {
    // More than a controller takes at once.
    const MANY: u16 = 8;
    beside_target(|target| async move {
        let mut link = Link::to(&target).await;
        target.kill();
        let controller = &link.controller;
        until("the controller to fail", || controller.has_failed()).await;
        for id in 0..MANY {
            let refused = link.controller.abort_by_id(None, id).await;
            assert_errno(refused, Errno::ENXIO);
        }
        let _again = target.start_again();
        link.renew().await;
        let abort = link.controller.abort_by_id(None, u16::MAX);
        let told = within("an abort", abort).await;
        assert!(!told.expect("the target runs"), "there is none of this ID");
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn discovery() {
    beside_target(|target| async move {
        let trid = target.trid_of(DISCOVERY);
        let controller = NvmeController::connect(&trid, None).await;
        let controller = controller.expect("the target listens");
        let entries = controller.discovery_log().await.expect("the target runs");
        let found = entries.iter().find(|entry| !entry.is_discovery);
        let found = found.expect("the target has a subsystem");
        assert_eq!(found.trid, Some(target.trid()), "{entries:?}");
        let link = Link::to(&target).await;
        let none = link.controller.discovery_log().await;
        let told = matches!(kind(&none), Some(ErrorKind::Device { .. }));
        assert!(told, "{none:?}");
        link.close().await;
        controller
            .detach()
            .await
            .expect("it is of this spdk_thread");
        Bystanders::new()
    });
}

/// More entries than fit into the longest command of a target, and two that are there no more when the log is read to its end.
#[spdk::test(no_app, deadline = 60)]
fn a_long_discovery_log() {
    const ENTRIES: u16 = 140;
    beside_target(|target| {
        let port = |number: u16| (5000 + number).to_string();
        let refer = move |target: &Target, method: &str, number: u16| {
            let address = json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.9",
                "trsvcid": port(number)});
            target.rpc(method, json!({"address": address}));
        };
        for number in 0..ENTRIES {
            refer(&target, "nvmf_discovery_add_referral", number);
        }
        // The target changes what it knows while the host reads it.
        let reads = AtomicUsize::new(0);
        let (hold, held) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (stop, stopped) = (hold.clone(), held.clone());
        let proxy = Proxy::start(&target, move |command| {
            let is_log = command.opcode() == GET_LOG_PAGE && command.dword(10) & 0xff == 0x70;
            if is_log && reads.fetch_add(1, Relaxed) == 10 {
                stopped.store(true, Relaxed);
                while !stop.load(Relaxed) {
                    std::thread::yield_now();
                }
            }
            Fate::Forward
        });
        let port_of_proxy = proxy.trid(&target).service_id().to_owned();
        async move {
            let trid = TransportId::tcp("127.0.0.1", &port_of_proxy, DISCOVERY);
            let controller = NvmeController::connect(&trid.expect("an address"), None).await;
            let controller = controller.expect("the target listens");
            let changed = async {
                until("the log to be read", || held.load(Relaxed)).await;
                for number in [0, ENTRIES - 1] {
                    refer(&target, "nvmf_discovery_remove_referral", number);
                }
                hold.store(true, Relaxed);
            };
            let (entries, ()) = join(controller.discovery_log(), changed).await;
            let entries = entries.expect("the target runs");
            let referred = entries.iter().filter(|entry| entry.is_discovery);
            let ports =
                referred.filter_map(|entry| Some(entry.trid.as_ref()?.service_id().to_owned()));
            let ports: Vec<_> = ports.filter(|one| one.starts_with('5')).collect();
            let mut wanted: Vec<_> = (1..ENTRIES - 1).map(port).collect();
            wanted.sort();
            let mut found = ports.clone();
            found.sort();
            assert_eq!(found, wanted, "{entries:?}");
            controller
                .detach()
                .await
                .expect("it is of this spdk_thread");
            Bystanders::new()
        }
    });
}
