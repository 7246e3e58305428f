//! Data by DMA: as physical pages and as scatter lists, with many commands at once.
//!
//! These faults would make these tests fail:
//!
//! - A scatter list begins one buffer late: `vectors`.
//! - A failed command reports success: `errors_are_told`, `vectors`.

use futures_util::future::join_all;
use spdk::nvme::{CopyRange, DsmAttributes, DsmRange, NvmeQpairOpts};
use spdk::{DmaBuf, ErrorKind, Range};
use spdk_tests::kind;
use spdk_tests::machine::{Drive, physical, slot};
use spdk_tests::pattern;
use spdk_tests::random::Random;

const DEPTH: u64 = 32;

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: &spdk::Result<T>, wanted: (u8, u8), name: &str) {
    let Some(ErrorKind::Device { status, .. }) = kind(result) else {
        panic!("{result:?}")
    };
    assert_eq!(
        (status.sct, status.sc, status.sc_name()),
        (wanted.0, wanted.1, name)
    );
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn many_at_once() {
    let drive = Drive::open(slot::PLAIN).await;
    // From one block to many pages, beginning in the middle of one.
    let sizes = [1, 7, 8, 9, 16, 61, 128, 257];
    let mut random = Random::new(7);
    for generation in 1..4 {
        let mut lba = 0;
        let mut places = Vec::new();
        for index in 0..4 * DEPTH {
            let blocks = sizes[index as usize % sizes.len()];
            places.push((lba, blocks));
            lba += u64::from(blocks);
        }
        random.shuffle(&mut places);
        for places in places.chunks(DEPTH as usize) {
            let writes = places
                .iter()
                .map(|(lba, blocks)| drive.write(*lba, *blocks, generation));
            for end in join_all(writes).await {
                end.expect("it writes");
            }
        }
        let reads = places
            .iter()
            .map(|(lba, blocks)| drive.verify(*lba, *blocks, generation));
        join_all(reads).await;
    }
    // More at once than the queue has places for.
    let writes = (0..1500).map(|lba| drive.write(lba, 1, 9));
    for end in join_all(writes).await {
        end.expect("it writes");
    }
    drive.verify(0, 1500, 9).await;
    drive.close().await;
}

/// Of more than a hugepage, and more than one command can move.
#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn large() {
    const BLOCKS: u32 = 6 << 11; // 6 MiB
    const HUGEPAGE: u64 = 2 << 20;
    let drive = Drive::open(slot::PLAIN).await;
    let buf = drive.filled(512, BLOCKS, 3);
    let mut at = 0;
    while at < buf.len() as u64 {
        // SPDK knows where each byte is; the pages need not follow each other.
        let rest = buf.len() as u64 - at;
        let (place, size) = physical(buf[at as usize..].as_ptr(), rest);
        assert_ne!(place, u64::MAX, "byte {at} is nowhere");
        assert!((1..=rest).contains(&size), "{size} bytes from byte {at} on");
        let (next, _) = physical(buf[(at + size - 1) as usize..].as_ptr(), 1);
        assert_eq!(next, place + size - 1);
        at += size.min(HUGEPAGE);
    }
    let write = drive.ns.write(&drive.qpair, &buf, 512, BLOCKS);
    write.await.expect("it writes");
    drive.verify(512, BLOCKS, 3).await;
    for lba in (512..512 + u64::from(BLOCKS)).step_by(1024) {
        drive.verify(lba, 8, 3).await;
    }
    drive.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn vectors() {
    let drive = Drive::open(slot::PLAIN).await;
    let (ns, controller) = (&drive.ns, &drive.controller);
    let apart = NvmeQpairOpts::new().disable_pcie_sgl_merge(true);
    let apart = controller.alloc_io_qpair(Some(&apart)).await;
    let apart = apart.expect("it has queue pairs");
    for (qpair, generation) in [(&drive.qpair, 11), (&apart, 12)] {
        // Whole pages, which a list of pages can say, and pieces, which only a scatter list can.
        for lens in [
            &[8][..],
            &[8; 16],
            &[1; 20],
            &[1, 8, 3, 24, 1],
            &[16, 1, 2, 7],
        ] {
            let blocks: u32 = lens.iter().sum();
            let mut lba = 100;
            let mut bufs = Vec::new();
            for len in lens {
                bufs.push(drive.filled(lba, *len, generation));
                lba += u64::from(*len);
            }
            ns.writev(qpair, &bufs, 100, blocks)
                .await
                .expect("it writes");
            drive.verify(100, blocks, generation).await;
            let compare = ns.comparev(qpair, &bufs, 100, blocks).await;
            compare.expect("they are the same");
            let mut read: Vec<_> = lens.iter().map(|len| drive.buffer(*len)).collect();
            ns.readv(qpair, &mut read, 100, blocks)
                .await
                .expect("it reads");
            for (read, written) in read.iter().zip(&bufs) {
                assert!(read[..] == written[..], "{lens:?}");
            }
            let last = bufs.last_mut().expect("there is one");
            let end = last.len() - 1;
            last[end] ^= 1;
            let differ = ns.comparev(qpair, &bufs, 100, blocks).await;
            assert_status(&differ, (2, 0x85), "COMPARE FAILURE");
        }
    }
    // As large as one command can be, in pieces.
    let mut bufs = Vec::new();
    for piece in 0..64 {
        bufs.push(drive.filled(4096 + 16 * piece, 16, 13));
    }
    ns.writev(&drive.qpair, &bufs, 4096, 1024)
        .await
        .expect("it writes");
    drive.verify(4096, 1024, 13).await;
    apart.close().await.expect("it is of this spdk_thread");
    drive.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn without_buffers() {
    let drive = Drive::open(slot::PLAIN).await;
    let (ns, qpair) = (&drive.ns, &drive.qpair);
    drive.write(0, 64, 21).await.expect("it writes");
    ns.write_zeroes(qpair, 16, 16, 0).await.expect("it writes");
    ns.flush(qpair).await.expect("it flushes");
    drive.verify(0, 16, 21).await;
    pattern::assert_zero(&drive.read(16, 16).await.expect("it reads"));
    drive.verify(32, 32, 21).await;

    let ranges = [(0, 4), (40, 8)].map(|(starting_lba, length)| DsmRange {
        length,
        starting_lba,
        ..DsmRange::default()
    });
    let unmap = ns.dataset_management(qpair, DsmAttributes::DEALLOCATE, &ranges);
    unmap.await.expect("it deallocates");
    drive.verify(4, 12, 21).await;
    drive.verify(32, 8, 21).await;
    drive.verify(48, 16, 21).await;

    // Two ranges, one after the other.
    let ranges = [
        CopyRange { lba: 48, last: 7 },
        CopyRange { lba: 32, last: 3 },
    ];
    ns.copy(qpair, &ranges, 1000).await.expect("it copies");
    let copy = drive.read(1000, 12).await.expect("it reads");
    pattern::assert_is(&copy[..8 * 512], 512, 48, 21);
    pattern::assert_is(&copy[8 * 512..], 512, 32, 21);
    ns.verify(qpair, 32, 32, 0).await.expect("it can be read");

    let same = drive.filled(48, 16, 21);
    ns.compare(qpair, &same, 48, 16)
        .await
        .expect("they are the same");
    let differ = ns.compare(qpair, &same, 32, 16).await;
    assert_status(&differ, (2, 0x85), "COMPARE FAILURE");
    drive.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn errors_are_told() {
    let drive = Drive::open(slot::PLAIN).await;
    let end = drive.ns.num_sectors();
    let beyond = drive.read(end - 4, 8).await;
    assert_status(&beyond, (0, 0x80), "LBA OUT OF RANGE");
    let Some(ErrorKind::Device { at, status, .. }) = kind(&beyond) else {
        panic!("{beyond:?}")
    };
    assert_eq!(status.dnr, Some(true));
    let range = Range::Blocks {
        offset: end - 4,
        count: 8,
    };
    assert_eq!(at.range, Some(range));
    assert!(
        at.object.contains("namespace 1") && at.object.contains("0000:00:04.0"),
        "{at}"
    );
    // The device has no such command.
    let refused = drive.ns.write_uncorrectable(&drive.qpair, 0, 1).await;
    assert_status(&refused, (0, 1), "INVALID OPCODE");
    let mut short = DmaBuf::alloc(511, 512).expect("DMA memory");
    let refused = drive.ns.read(&drive.qpair, &mut short, 0, 1).await;
    let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
    assert!(told, "{refused:?}");
    drive.verify_pages().await;
    drive.close().await;
}

/// What a whole scan of small reads sees.
trait Pages {
    async fn verify_pages(&self);
}

impl Pages for Drive {
    async fn verify_pages(&self) {
        self.write(0, 256, 31).await.expect("it writes");
        let reads = (0..32).map(|page| self.verify(8 * page, 8, 31));
        join_all(reads).await;
    }
}
