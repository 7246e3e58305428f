//! Zones: 16 of 4 MiB, of which 3 MiB can be written; 4 of them open, 6 active.
//!
//! These faults would make these tests fail:
//!
//! - An append returns the first block of its zone: `append`.

use futures_util::future::join_all;
use spdk::nvme::ReportZones;
use spdk::{DmaBuf, ErrorKind};
use spdk_tests::kind;
use spdk_tests::machine::{Drive, slot};
use spdk_tests::pattern;

const BLOCK: usize = 4096;
const ZONE: u64 = 1024;
const CAPACITY: u64 = 768;
const ZONES: u64 = 16;
const EXTENSION: usize = 64;

const EMPTY: u8 = 1;
const OPENED_BY_WRITE: u8 = 2;
const OPENED: u8 = 3;
const CLOSED: u8 = 4;
const FULL: u8 = 14;

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: &spdk::Result<T>, code: u8, name: &str) {
    let Some(ErrorKind::Device { status, .. }) = kind(result) else {
        panic!("{result:?}")
    };
    assert_eq!((status.sct, status.sc, status.sc_name()), (1, code, name));
}

struct Zone {
    state: u8,
    capacity: u64,
    start: u64,
    write_pointer: u64,
    extension: Vec<u8>,
}

fn number(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}

async fn report(drive: &Drive, from: u64, which: ReportZones) -> Vec<Zone> {
    let size = 64 + ZONES as usize * (64 + EXTENSION);
    let mut buf = DmaBuf::alloc(size, 4096).expect("DMA memory");
    let report = drive
        .ns
        .ext_report_zones(&drive.qpair, &mut buf, from * ZONE, which, true);
    report.await.expect("it reports");
    let zones = buf[64..].chunks(64 + EXTENSION).take(number(&buf) as usize);
    let zones = zones.map(|zone| Zone {
        state: zone[1] >> 4,
        capacity: number(&zone[8..]),
        start: number(&zone[16..]),
        write_pointer: number(&zone[24..]),
        extension: zone[64..].to_vec(),
    });
    zones.collect()
}

async fn state(drive: &Drive, zone: u64) -> (u8, u64) {
    let zones = report(drive, zone, ReportZones::All).await;
    (zones[0].state, zones[0].write_pointer - zones[0].start)
}

async fn fresh() -> Drive {
    let drive = Drive::open(slot::ZONED).await;
    let reset = drive.ns.reset_zone(&drive.qpair, 0, true).await;
    reset.expect("it resets all");
    drive
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn life() {
    let drive = fresh().await;
    let (ns, qpair) = (&drive.ns, &drive.qpair);
    let zones = report(&drive, 0, ReportZones::All).await;
    assert_eq!(zones.len() as u64, ZONES);
    for (zone, number) in zones.iter().zip(0..) {
        assert_eq!(
            (zone.state, zone.capacity, zone.start),
            (EMPTY, CAPACITY, number * ZONE)
        );
        assert_eq!(zone.write_pointer, zone.start);
    }
    let mut plain = DmaBuf::alloc(64 + 64 * 4, 4096).expect("DMA memory");
    let some = ns.report_zones(qpair, &mut plain, 3 * ZONE, ReportZones::Empty, true);
    some.await.expect("it reports");
    assert_eq!((number(&plain), number(&plain[64 + 16..])), (4, 3 * ZONE));

    // A write opens a zone; it goes on where the last one has ended.
    drive.write(2 * ZONE, 8, 1).await.expect("it is empty");
    drive
        .write(2 * ZONE + 8, 8, 1)
        .await
        .expect("it goes on there");
    assert_eq!(state(&drive, 2).await, (OPENED_BY_WRITE, 16));
    drive.verify(2 * ZONE, 16, 1).await;
    let elsewhere = drive.write(2 * ZONE + 20, 1, 1).await;
    assert_status(&elsewhere, 0xbc, "ZONE INVALID WRITE");
    let across = drive.read(2 * ZONE + ZONE - 1, 2).await;
    assert_status(&across, 0xb8, "ZONED BOUNDARY ERROR");
    ns.close_zone(qpair, 2 * ZONE, false)
        .await
        .expect("it is open");
    assert_eq!(state(&drive, 2).await, (CLOSED, 16));
    ns.open_zone(qpair, 2 * ZONE, false)
        .await
        .expect("it is closed");
    assert_eq!(state(&drive, 2).await.0, OPENED);
    ns.finish_zone(qpair, 2 * ZONE, false)
        .await
        .expect("it is open");
    assert_eq!(state(&drive, 2).await.0, FULL);
    let full = drive.write(2 * ZONE + 16, 1, 1).await;
    assert_status(&full, 0xb9, "ZONE IS FULL");
    let opened = ns.open_zone(qpair, 2 * ZONE, false).await;
    assert_status(&opened, 0xbf, "INVALID ZONE STATE TRANSITION");
    let offline = ns.offline_zone(qpair, 2 * ZONE, false).await;
    assert_status(&offline, 0xbf, "INVALID ZONE STATE TRANSITION");
    drive.verify(2 * ZONE, 16, 1).await;
    let report = report(&drive, 0, ReportZones::Full).await;
    assert_eq!((report.len(), report[0].start), (1, 2 * ZONE));
    ns.reset_zone(qpair, 2 * ZONE, false)
        .await
        .expect("it is full");
    assert_eq!(state(&drive, 2).await, (EMPTY, 0));

    // As many as can be open, and as can be active.
    for zone in 0..4 {
        ns.open_zone(qpair, zone * ZONE, false)
            .await
            .expect("it can be open");
    }
    let fifth = ns.open_zone(qpair, 4 * ZONE, false).await;
    assert_status(&fifth, 0xbe, "TOO MANY OPEN ZONES");
    for zone in 0..4 {
        ns.close_zone(qpair, zone * ZONE, false)
            .await
            .expect("it is open");
    }
    for zone in 0..4 {
        // Without data a zone that is closed is empty again.
        assert_eq!(state(&drive, zone).await.0, CLOSED);
    }
    for zone in 4..6 {
        ns.open_zone(qpair, zone * ZONE, false)
            .await
            .expect("it can be open");
    }
    let seventh = ns.open_zone(qpair, 6 * ZONE, false).await;
    assert_status(&seventh, 0xbd, "TOO MANY ACTIVE ZONES");
    ns.reset_zone(qpair, 0, true).await.expect("it resets all");

    let mut extension = DmaBuf::alloc(EXTENSION, 64).expect("DMA memory");
    pattern::fill(&mut extension, EXTENSION, 0, 7);
    let set = ns.set_zone_desc_ext(qpair, 5 * ZONE, &extension).await;
    set.expect("it is empty");
    let zone = &self::report(&drive, 5, ReportZones::All).await[0];
    assert_eq!((zone.state, &zone.extension[..]), (CLOSED, &extension[..]));
    ns.reset_zone(qpair, 0, true).await.expect("it resets all");
    drive.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn append() {
    let drive = fresh().await;
    let (ns, qpair) = (&drive.ns, &drive.qpair);
    let first = 7 * ZONE;
    // Many at once: each is told where it is.
    let bufs: Vec<_> = (0..32)
        .map(|number| drive.filled(1000 * number, 4, 9))
        .collect();
    let appends = bufs.iter().map(|buf| ns.zone_append(qpair, buf, first, 4));
    let mut places = Vec::new();
    for (end, number) in join_all(appends).await.into_iter().zip(0..) {
        let lba = end.expect("there is room");
        let read = drive.read(lba, 4).await.expect("it reads");
        pattern::assert_is(&read, BLOCK, 1000 * number, 9);
        places.push(lba);
    }
    places.sort_unstable();
    let expected: Vec<_> = (0..32).map(|number| first + 4 * number).collect();
    assert_eq!(places, expected);
    // Of several buffers.
    let pieces = [drive.filled(0, 1, 10), drive.filled(1, 3, 10)];
    let lba = ns.zone_appendv(qpair, &pieces, first, 4).await;
    let lba = lba.expect("there is room");
    assert_eq!(lba, first + 128);
    let read = drive.read(lba, 4).await.expect("it reads");
    pattern::assert_is(&read, BLOCK, 0, 10);
    assert_eq!(state(&drive, 7).await, (OPENED_BY_WRITE, 132));
    // More than is left.
    let buf = drive.filled(0, 32, 11);
    for _ in 0..19 {
        ns.zone_append(qpair, &buf, first, 32)
            .await
            .expect("there is room");
    }
    let beyond = ns.zone_append(qpair, &buf, first, 32).await;
    assert_status(&beyond, 0xb8, "ZONED BOUNDARY ERROR");
    let inside = ns.zone_append(qpair, &buf, first + 8, 32).await;
    let told = matches!(kind(&inside), Some(ErrorKind::Device { status, .. })
        if (status.sct, status.sc) == (0, 2));
    assert!(told, "{inside:?}");
    ns.reset_zone(qpair, 0, true).await.expect("it resets all");
    drive.close().await;
}
