//! Metadata, apart from the data and after each block, with protection information that the controller checks.
//!
//! These faults were put into the crate, and a test failed:
//!
//! - A namespace with metadata apart takes commands without: `none_is_refused`.
//! - One with metadata after each block has the controller make all of them: `interleaved`.
//! - Half of a fused command is sent: `interleaved`, and nothing after it ends.
//!
//! This one would make others fail:
//!
//! - The flags of a command are not passed on: `apart`, `interleaved`.

use spdk::nvme::{NvmeExtIoOpts, NvmeIoFlags};
use spdk::{DmaBuf, ErrorKind, IoQueue};
use spdk_tests::kind;
use spdk_tests::machine::{Drive, slot, trid};
use spdk_tests::pattern;

const BLOCK: usize = 512;
const BLOCKS: u32 = 24;
const MD: usize = 8;
const APPTAG: u16 = 0x1234;

const CHECKED: u32 = NvmeIoFlags::PRCHK_GUARD.bits()
    | NvmeIoFlags::PRCHK_APPTAG.bits()
    | NvmeIoFlags::PRCHK_REFTAG.bits();

/// The CRC of T10 DIF.
fn guard(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => crc << 1 ^ 0x8bb7,
        })
    })
}

/// The protection information of a block.
fn tuple(data: &[u8], lba: u64) -> [u8; MD] {
    let mut tuple = [0; MD];
    tuple[..2].copy_from_slice(&guard(data).to_be_bytes());
    tuple[2..4].copy_from_slice(&APPTAG.to_be_bytes());
    tuple[4..].copy_from_slice(&(lba as u32).to_be_bytes());
    tuple
}

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

fn buffer(size: usize) -> DmaBuf {
    DmaBuf::alloc(size, 4096).expect("DMA memory")
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn apart() {
    let drive = Drive::at(&trid(slot::METADATA), 1).await;
    let (ns, qpair) = (&drive.ns, &drive.qpair);
    let lba = 40;
    let mut data = drive.filled(lba, BLOCKS, 1);
    let mut md = buffer(BLOCKS as usize * MD);
    for ((block, lba), tuple) in data.chunks(BLOCK).zip(lba..).zip(md.chunks_mut(MD)) {
        tuple.copy_from_slice(&self::tuple(block, lba));
    }
    let write = ns.write_with_md(qpair, &data, &md, lba, BLOCKS, CHECKED, 0xffff, APPTAG);
    write.await.expect("they are right");
    let mut read = drive.buffer(BLOCKS);
    let mut read_md = buffer(md.len());
    let all = ns.read_with_md(
        qpair,
        &mut read,
        &mut read_md,
        lba,
        BLOCKS,
        CHECKED,
        0xffff,
        APPTAG,
    );
    all.await.expect("they are right");
    pattern::assert_is(&read, BLOCK, lba, 1);
    assert_eq!(read_md[..], md[..]);

    // Each part of it is checked.
    for (byte, code, name) in [
        (0, 0x82, "GUARD CHECK ERROR"),
        (2, 0x83, "APPLICATION TAG CHECK ERROR"),
        (7, 0x84, "REFERENCE TAG CHECK ERROR"),
    ] {
        let at = 9 * MD + byte;
        md[at] ^= 1;
        let write = ns
            .write_with_md(qpair, &data, &md, lba, BLOCKS, CHECKED, 0xffff, APPTAG)
            .await;
        assert_status(&write, (2, code), name);
        md[at] ^= 1;
    }
    // Data that have changed on their way.
    data[5000] ^= 0x80;
    let write = ns
        .write_with_md(qpair, &data, &md, lba, BLOCKS, CHECKED, 0xffff, APPTAG)
        .await;
    assert_status(&write, (2, 0x82), "GUARD CHECK ERROR");
    // Unchecked they are written, and the read finds out.
    let write = ns.write_with_md(qpair, &data, &md, lba, BLOCKS, 0, 0, 0);
    write.await.expect("it is not checked");
    let all = ns.read_with_md(
        qpair,
        &mut read,
        &mut read_md,
        lba,
        BLOCKS,
        CHECKED,
        0xffff,
        APPTAG,
    );
    assert_status(&all.await, (2, 0x82), "GUARD CHECK ERROR");
    // The controller makes it, and takes it away.
    let made = NvmeIoFlags::PRACT.bits() | CHECKED;
    let write = ns.write_with_md(qpair, &data, &md, lba, BLOCKS, made, 0xffff, APPTAG);
    write.await.expect("it makes them");
    let all = ns.read_with_md(
        qpair,
        &mut read,
        &mut read_md,
        lba,
        BLOCKS,
        CHECKED,
        0xffff,
        APPTAG,
    );
    all.await.expect("they are right");
    assert_eq!(
        read_md[9 * MD..10 * MD],
        tuple(&data[9 * BLOCK..10 * BLOCK], lba + 9)
    );
    assert_eq!(read[..], data[..]);

    // Options, with several buffers.
    let opts = NvmeExtIoOpts::new()
        .io_flags(CHECKED)
        .apptag_mask(0xffff)
        .apptag(APPTAG);
    for ((block, lba), tuple) in data.chunks(BLOCK).zip(lba..).zip(md.chunks_mut(MD)) {
        tuple.copy_from_slice(&self::tuple(block, lba));
    }
    let mut pieces = Vec::new();
    for piece in data.chunks(3 * BLOCK) {
        let mut buf = buffer(piece.len());
        buf.copy_from_slice(piece);
        pieces.push(buf);
    }
    let write = ns.writev_ext(qpair, &pieces, lba, BLOCKS, &opts, Some(&md));
    write.await.expect("they are right");
    let wrong = NvmeExtIoOpts::new()
        .io_flags(CHECKED)
        .apptag_mask(0xffff)
        .apptag(APPTAG + 1);
    let write = ns
        .writev_ext(qpair, &pieces, lba, BLOCKS, &wrong, Some(&md))
        .await;
    assert_status(&write, (2, 0x83), "APPLICATION TAG CHECK ERROR");
    drive.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn interleaved() {
    let drive = Drive::at(&trid(slot::METADATA), 2).await;
    let (ns, qpair) = (&drive.ns, &drive.qpair);
    let lba = 1000;
    let mut buf = buffer(BLOCKS as usize * (BLOCK + MD));
    for (block, lba) in buf.chunks_mut(BLOCK + MD).zip(lba..) {
        let (data, md) = block.split_at_mut(BLOCK);
        pattern::fill(data, BLOCK, lba, 5);
        md.copy_from_slice(&tuple(data, lba));
    }
    let opts = NvmeExtIoOpts::new()
        .io_flags(CHECKED)
        .apptag_mask(0xffff)
        .apptag(APPTAG);
    let write = ns.write_ext(qpair, &buf, lba, BLOCKS, &opts, None);
    write.await.expect("they are right");
    let mut read = buffer(buf.len());
    let all = ns.read_ext(qpair, &mut read, lba, BLOCKS, &opts, None);
    all.await.expect("they are right");
    assert_eq!(read[..], buf[..]);
    ns.read(qpair, &mut read, lba, BLOCKS)
        .await
        .expect("it reads");
    assert_eq!(read[..], buf[..]);
    buf[7 * (BLOCK + MD) + BLOCK] ^= 1;
    let write = ns.write_ext(qpair, &buf, lba, BLOCKS, &opts, None).await;
    assert_status(&write, (2, 0x82), "GUARD CHECK ERROR");
    // The controller would take the data of the blocks from one after the other, without room for the metadata.
    let made = NvmeExtIoOpts::new().io_flags(NvmeIoFlags::PRACT.bits());
    let write = ns.write_ext(qpair, &buf, lba, BLOCKS, &made, None).await;
    let told = matches!(kind(&write), Some(ErrorKind::InvalidArgument { .. }));
    assert!(told, "{write:?}");
    // The queue pair would tell the controller of no command any more, until the other half comes.
    let half = NvmeExtIoOpts::new().io_flags(1);
    let write = ns.write_ext(qpair, &buf, lba, BLOCKS, &half, None).await;
    let told = matches!(kind(&write), Some(ErrorKind::InvalidArgument { .. }));
    assert!(told, "{write:?}");
    let mut short = buffer(BLOCKS as usize * BLOCK);
    let refused = ns.read(qpair, &mut short, lba, BLOCKS).await;
    let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
    assert!(told, "{refused:?}");
    drive.close().await;
}

/// The controller would take metadata from the physical address 0, or write them there.
#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn none_is_refused() {
    let drive = Drive::at(&trid(slot::METADATA), 1).await;
    let (ns, qpair) = (&drive.ns, &drive.qpair);
    let mut bufs = [drive.buffer(8)];
    let opts = NvmeExtIoOpts::new();
    let mut ends = vec![
        drive.write(0, 8, 1).await,
        drive.read(0, 8).await.map(drop),
        ns.compare(qpair, &bufs[0], 0, 8).await,
        ns.writev(qpair, &bufs, 0, 8).await,
        ns.comparev(qpair, &bufs, 0, 8).await,
        ns.write_ext(qpair, &bufs[0], 0, 8, &opts, None).await,
        ns.writev_ext(qpair, &bufs, 0, 8, &opts, None).await,
    ];
    let mut queue = IoQueue::of_namespace(ns, qpair).expect("it is attached");
    queue.read_blocks(drive.buffer(8), 0, 8, ());
    queue.write_blocks(drive.buffer(8), 0, 8, ());
    while let Some(done) = queue.next().await {
        ends.push(done.result);
    }
    assert_eq!(ends.len(), 9);
    drop(queue);
    ends.push(ns.readv(qpair, &mut bufs, 0, 8).await);
    ends.push(ns.readv_ext(qpair, &mut bufs, 0, 8, &opts, None).await);
    ends.push(ns.read_ext(qpair, &mut bufs[0], 0, 8, &opts, None).await);
    for end in ends {
        let told = matches!(kind(&end), Some(ErrorKind::InvalidArgument { .. }));
        assert!(told, "{end:?}");
    }
    drive.close().await;
}
