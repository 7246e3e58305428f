//! Admin commands, what controllers say of themselves, and what they tell by themselves.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - The admin queue is not looked at: all.
//! - A full admin queue is reported: `more_than_the_queue_has`.
//! - No callback for events is registered: `events`.
//! - The drop of a future drops what its command holds: `abandoned`.
#![allow(unsafe_code)] // Passes a command through that stays in its buffer.

use futures_util::future::join_all;
use serde_json::json;
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, NvmeEvent, ReportZones};
use spdk::{DmaBuf, Errno, Error, ErrorKind, NvmeCmd};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, submit};
use spdk_tests::nvmf::{BLOCK_SIZE, BLOCKS};
use spdk_tests::{kind, until};

const ALL: u32 = NvmeController::ALL_NAMESPACES;
/// SMART / Health Information.
const HEALTH: u8 = 2;
const NUMBER_OF_QUEUES: u8 = 7;
const ERROR_RECOVERY: u8 = 5;
const HOST_MEMORY_BUFFER: u8 = 0x0d;
const TIMESTAMP: u8 = 0x0e;
const HOST_IDENTIFIER: u8 = 0x81;

fn page() -> DmaBuf {
    DmaBuf::alloc(4096, 4096).expect("DMA memory")
}

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: &spdk::Result<T>, wanted: (u8, u8)) {
    let told = matches!(kind(result), Some(ErrorKind::Device { status, .. })
        if (status.sct, status.sc) == wanted);
    assert!(told, "{result:?}");
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(result: &spdk::Result<T>) {
    let told = matches!(kind(result), Some(ErrorKind::InvalidArgument { .. }));
    assert!(told, "{result:?}");
}

#[spdk::test(no_app, deadline = 30)]
fn what_they_say_of_themselves() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let data = link.controller.data().expect("it is here");
        assert_eq!(data.serial_number(), "SPDK0001");
        assert!(data.model_number().contains("SPDK"), "{data:?}");
        assert!(target.trid().subnqn() == data.subnqn(), "{}", data.subnqn());
        assert!(data.has_compare() && data.has_write_zeroes() && data.has_reservations());
        assert!(!data.has_format() && !data.has_firmware());
        assert_eq!(data.as_bytes()[4..12], *b"SPDK0001");
        let ns = link.ns.data().expect("it is here");
        assert_eq!((ns.size(), ns.capacity()), (BLOCKS, BLOCKS));
        let format = ns.formats()[usize::from(ns.format_index())];
        assert_eq!((format.data_size, format.md_size), (BLOCK_SIZE as u64, 0));
        assert!(!ns.is_md_interleaved());
        // The same by a command of our own: Identify Controller.
        let identify = NvmeCmd {
            cdw10: 1,
            ..NvmeCmd::new(0x06)
        };
        let mut buf = page();
        // SAFETY: it writes one page, and touches nothing else.
        let done = unsafe { link.controller.admin_raw(&identify, Some(&mut buf)) };
        done.await.expect("the target runs");
        assert_eq!(buf[4..64], data.as_bytes()[4..64]);
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn log_pages() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let mut buf = DmaBuf::alloc(512, 4096).expect("DMA memory");
        buf.fill(0xff);
        let read = link.controller.get_log_page(HEALTH, ALL, &mut buf, 0);
        read.await.expect("the target runs");
        assert_ne!(*buf, [0xff; 512]); // it was written
        let read = link
            .controller
            .get_log_page_ext(HEALTH, ALL, &mut buf, 0, 0, 0, 0);
        read.await.expect("the target runs");
        let odd = link.controller.get_log_page(HEALTH, ALL, &mut buf, 2).await;
        assert_eq!(
            odd.as_ref().err().and_then(Error::errno),
            Some(Errno::EINVAL)
        );
        let mut short = DmaBuf::alloc(3, 4).expect("DMA memory");
        assert_invalid(
            &link
                .controller
                .get_log_page(HEALTH, ALL, &mut short, 0)
                .await,
        );
        // There is no such page.
        let none = link.controller.get_log_page(0x7f, ALL, &mut buf, 0).await;
        assert_status(&none, (0, 0x02));
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn features() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let controller = &link.controller;
        let queues = controller.get_feature(NUMBER_OF_QUEUES, 0, 0, None);
        let queues = queues.await.expect("the target runs");
        assert!(queues & 0xffff > 0, "{queues:#x}");
        let set = controller.set_feature(ERROR_RECOVERY, 0, 7, 0, None);
        set.await.expect("the target runs");
        let mut data = page();
        let got = controller.get_feature(ERROR_RECOVERY, 0, 0, Some(&mut data));
        assert_eq!(got.await.expect("the target runs"), 7);
        let mut small = DmaBuf::alloc(512, 4096).expect("DMA memory");
        let small = controller.get_feature(ERROR_RECOVERY, 0, 0, Some(&mut small));
        assert_invalid(&small.await);
        for feature in [HOST_MEMORY_BUFFER, 0xc0, 0xff] {
            assert_invalid(&controller.get_feature(feature, 0, 0, None).await);
            assert_invalid(&controller.set_feature(feature, 0, 1, 0, None).await);
        }
        // The controller would read what is beside the data.
        assert_invalid(&controller.set_feature(TIMESTAMP, 0, 0, 0, None).await);
        let short = DmaBuf::alloc(8, 8).expect("DMA memory");
        // A label of a namespace, and addresses of agents for management.
        for feature in [0x1f, 0x78, 0x79] {
            let set = controller.set_feature(feature, 1, 0, 0, Some(&short));
            assert_invalid(&set.await);
        }
        let host_id = controller.set_feature(HOST_IDENTIFIER, 0, 1, 0, Some(&short));
        assert_invalid(&host_id.await);
        let host_id = controller.set_feature(HOST_IDENTIFIER, 0, 0, 0, Some(&short));
        assert_status(&host_id.await, (0, 0x0c));
        // There is no such feature.
        assert_status(&controller.get_feature(0x70, 0, 0, None).await, (0, 0x02));
        link.close().await;
        Bystanders::new()
    });
}

/// SPDK's target has none of these; it says so, and the error is told.
#[spdk::test(no_app, deadline = 30)]
fn commands_that_the_target_has_not() {
    const INVALID_OPCODE: (u8, u8) = (0, 1);
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let (controller, ns, qpair) = (&link.controller, &link.ns, &link.qpair);
        let mut buf = page();
        let received = controller.security_receive(0, 0, 0, &mut buf).await;
        assert_status(&received, INVALID_OPCODE);
        let sent = controller.security_send(0, 0, 0, &buf).await;
        assert_status(&sent, INVALID_OPCODE);
        let received = controller.directive_receive(1, 1, 0, 0, &mut buf, 0, 0);
        assert_status(&received.await, INVALID_OPCODE);
        let sent = controller.directive_send(1, 1, 0, 0, &buf, 0, 0).await;
        assert_status(&sent, INVALID_OPCODE);
        assert_status(
            &controller.write_boot_partition(&buf, 0).await,
            INVALID_OPCODE,
        );
        for (image, bpid) in [(&buf[..0], 0), (&buf[..6], 0), (&buf[..], 2)] {
            let refused = controller.write_boot_partition(image, bpid).await;
            let kind = refused.as_ref().map_err(Error::kind);
            assert!(
                matches!(kind, Err(ErrorKind::InvalidArgument { .. })),
                "{refused:?}"
            );
        }
        for zone in [
            ns.open_zone(qpair, 0, false).await,
            ns.close_zone(qpair, 0, false).await,
            ns.finish_zone(qpair, 0, false).await,
            ns.reset_zone(qpair, 0, true).await,
            ns.offline_zone(qpair, 0, false).await,
            ns.set_zone_desc_ext(qpair, 0, &buf).await,
        ] {
            assert_status(&zone, INVALID_OPCODE);
        }
        let all = ReportZones::All;
        let report = ns.report_zones(qpair, &mut buf, 0, all, false).await;
        assert_status(&report, INVALID_OPCODE);
        let report = ns.ext_report_zones(qpair, &mut buf, 0, all, true).await;
        assert_status(&report, INVALID_OPCODE);
        let appended = ns.zone_append(qpair, &buf, 0, 1).await;
        let errno = appended.as_ref().err().and_then(Error::errno);
        assert_eq!(errno, Some(Errno::EINVAL), "{appended:?}");
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn more_than_the_queue_has() {
    beside_target(|target| async move {
        let small = NvmeCtrlrOpts::new().admin_queue_size(32);
        let link = Link::with(&target, &small).await;
        target.stop();
        let mut bufs: Vec<_> = (0..200).map(|_| page()).collect();
        let reads = bufs.iter_mut();
        let reads = reads.map(|buf| link.controller.get_log_page(HEALTH, ALL, buf, 0));
        let mut reads: Vec<_> = reads.map(Box::pin).collect();
        reads.iter_mut().for_each(submit);
        target.cont();
        for end in join_all(reads).await {
            end.expect("the target runs");
        }
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn abandoned() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        target.stop();
        for at in 0..16 {
            let mut buf = page();
            let mut read = Box::pin(link.controller.get_log_page(HEALTH, ALL, &mut buf, 0));
            submit(&mut read);
            match at % 2 {
                0 => drop(read),
                _ => std::mem::forget(read),
            }
        }
        let bystanders = Bystanders::new();
        target.cont();
        let mut buf = page();
        let read = link.controller.get_log_page(HEALTH, ALL, &mut buf, 0);
        read.await.expect("the target runs");
        bystanders.check();
        link.close().await;
        bystanders
    });
}

#[spdk::test(no_app, deadline = 30)]
fn killed() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        target.stop();
        let mut buf = page();
        let mut read = Box::pin(link.controller.get_log_page(HEALTH, ALL, &mut buf, 0));
        submit(&mut read);
        target.kill();
        let end = read.await;
        let told = matches!(kind(&end), Some(ErrorKind::Device { status, .. })
            if status.is_aborted());
        assert!(told, "{end:?}");
        let refused = link.controller.get_log_page(HEALTH, ALL, &mut buf, 0).await;
        assert_eq!(
            refused.as_ref().err().and_then(Error::errno),
            Some(Errno::ENXIO)
        );
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn events() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let mut events = link.controller.events().expect("it is here");
        target.rpc(
            "nvmf_subsystem_remove_ns",
            json!({"nqn": target.trid().subnqn(), "nsid": 1}),
        );
        assert_eq!(events.next().await, Some(NvmeEvent::NamespaceChanged));
        let ns = &link.ns;
        until("the namespace to go", || !ns.is_active()).await;
        assert_eq!(link.controller.active_namespaces(), [2]);
        assert!(link.controller.namespace(1).is_none());
        assert_eq!((ns.sector_size(), ns.num_sectors()), (0, 0));
        let mut buf = page();
        assert_invalid(&ns.read(&link.qpair, &mut buf, 0, 1).await);
        link.close().await;
        assert_eq!(events.next().await, None);
        Bystanders::new()
    });
}
