//! Admin commands: logs, features, events, aborts and timeouts.
//!
//! These faults would make these tests fail:
//!
//! - No callback for events is registered: `events`.
//! - No callback for timeouts is registered: `timeouts_and_aborts`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use spdk::nvme::{NvmeController, NvmeEvent, NvmeTimeouts};
use spdk::{DmaBuf, ErrorKind};
use spdk_tests::kind;
use spdk_tests::machine::{Drive, slot, slow_down};
use spdk_tests::poll_once;
use spdk_tests::wait::within;

const ALL: u32 = NvmeController::ALL_NAMESPACES;
const HEALTH: u8 = 2;
const EFFECTS: u8 = 5;
const TEMPERATURE_THRESHOLD: u8 = 4;
const WRITE_CACHE: u8 = 6;

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn logs_and_features() {
    let drive = Drive::open(slot::PLAIN).await;
    let controller = &drive.controller;
    let mut health = DmaBuf::alloc(512, 4096).expect("DMA memory");
    controller
        .get_log_page(HEALTH, ALL, &mut health, 0)
        .await
        .expect("it has one");
    let temperature = u16::from_le_bytes([health[1], health[2]]);
    assert_eq!(temperature, 323, "in Kelvin, as QEMU has it");
    let reads = |health: &DmaBuf| u64::from_le_bytes(health[64..72].try_into().expect("eight"));
    let before = reads(&health);
    for lba in 0..10 {
        drive.read(lba, 8).await.expect("it reads");
    }
    controller
        .get_log_page(HEALTH, ALL, &mut health, 0)
        .await
        .expect("it has one");
    assert_eq!(reads(&health), before + 10);
    let mut effects = DmaBuf::alloc(4096, 4096).expect("DMA memory");
    controller
        .get_log_page(EFFECTS, ALL, &mut effects, 0)
        .await
        .expect("it has one");
    // Identify is supported; so is Read, with no effect.
    assert_eq!((effects[4 * 6] & 1, effects[1024 + 4 * 2] & 1), (1, 1));

    let on = controller.get_feature(WRITE_CACHE, 0, 0, None).await;
    assert_eq!(on.expect("it has one") & 1, 1);
    controller
        .set_feature(WRITE_CACHE, 0, 0, 0, None)
        .await
        .expect("it can be off");
    let off = controller.get_feature(WRITE_CACHE, 0, 0, None).await;
    assert_eq!(off.expect("it has one") & 1, 0);
    controller
        .set_feature(WRITE_CACHE, 0, 1, 0, None)
        .await
        .expect("it can be on");
    // 512 at once are more than the queue has.
    let mut logs: Vec<_> = (0..512)
        .map(|_| DmaBuf::alloc(512, 512).expect("DMA memory"))
        .collect();
    let all = logs
        .iter_mut()
        .map(|log| controller.get_log_page(HEALTH, ALL, log, 0));
    for end in join_all(all).await {
        end.expect("it has one");
    }
    assert!(logs.iter().all(|log| log[1..3] == health[1..3]));
    drive.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn events() {
    let drive = Drive::open(slot::PLAIN).await;
    let controller = &drive.controller;
    let mut events = controller.events().expect("it is here");
    // The composite temperature is above that.
    let set = controller.set_feature(TEMPERATURE_THRESHOLD, 0, 300, 0, None);
    set.await.expect("it has one");
    let event = within("the event", events.next()).await;
    assert_eq!(event, Some(NvmeEvent::Health(1)));
    let set = controller.set_feature(TEMPERATURE_THRESHOLD, 0, 343, 0, None);
    set.await.expect("it has one");
    drive.close().await;
    assert_eq!(events.next().await, None);
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn timeouts_and_aborts() {
    let limit = Duration::from_millis(700);
    slow_down("slow", 0);
    let mut drive = Drive::open(slot::SLOW).await;
    let timeouts = NvmeTimeouts {
        io: limit,
        admin: Duration::from_secs(60),
    };
    drive
        .controller
        .set_timeouts(Some(timeouts))
        .expect("it is here");
    let qpair = drive.controller.alloc_io_qpair(None).await;
    drive.qpair = qpair.expect("it has queue pairs");
    drive.write(0, 64, 1).await.expect("it writes");
    let mut events = drive.controller.events().expect("it is here");

    slow_down("slow", 1);
    let started = Instant::now();
    let mut bufs: Vec<_> = (0..6).map(|_| drive.buffer(8)).collect();
    let reads = bufs.iter_mut().zip(0..);
    let reads = reads.map(|(buf, at)| drive.ns.read(&drive.qpair, buf, 8 * at, 8));
    let mut reads: Vec<_> = reads.map(Box::pin).collect();
    for read in &mut reads {
        // Some may have ended before the disk is slow.
        let _ = poll_once(read.as_mut());
    }
    let event = within("the timeout", events.next()).await;
    let Some(NvmeEvent::TimedOut { qpair, command }) = event else {
        panic!("{event:?}")
    };
    assert!(started.elapsed() >= limit, "{:?}", started.elapsed());
    assert_eq!(qpair, drive.qpair.id());
    let by_id = drive.controller.abort_by_id(Some(&drive.qpair), command);
    let _ = by_id.await.expect("it answers");
    let last = reads.pop().expect("there are some");
    let aborted = drive.controller.abort(&drive.qpair, &*last).await;
    let aborted = aborted.expect("it answers");
    reads.push(last);
    slow_down("slow", 0);
    let ends = within("the reads", join_all(reads)).await;
    for (end, at) in ends.iter().zip(0..) {
        match kind(end) {
            None => {}
            Some(ErrorKind::Device { status, .. }) => {
                assert!(status.is_aborted(), "{status}");
                assert_eq!(status.sc_name(), "ABORTED - BY REQUEST");
            }
            other => panic!("{at}: {other:?}"),
        }
    }
    if aborted {
        assert!(ends[5].is_err(), "it was aborted");
    }
    drive.verify(0, 64, 1).await;
    drive.close().await;
}
