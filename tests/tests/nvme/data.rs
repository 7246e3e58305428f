//! What I/O commands do to the data.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - A failed command reports success: `comparing`, `vectors`, `errors_are_told`.
//! - A scatter list begins one buffer late: `vectors`.
//! - The length of a buffer is not compared: `errors_are_told`.
//! - SPDK gets pieces that it cannot split: `refused_vectors_cost_no_request`, `vectors_of_small_pieces_are_not_cut_off`.
//! - It gets more ranges than a copy counts: `ranges_of_a_copy_are_counted`.

use futures_util::future::join_all;
use spdk::nvme::{
    AcquireAction, AcquireKeys, CopyRange, DsmAttributes, DsmRange, PersistThroughPowerLoss,
};
use spdk::nvme::{NvmeExtIoOpts, NvmeIoFlags, RegisterAction, RegisterKeys, ReleaseAction};
use spdk::nvme::{ReleaseKey, ReservationType};
use spdk::{DmaBuf, Error, ErrorKind, Range};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, SPAN_BLOCKS, assert_is, buffer, filled};
use spdk_tests::nvmf::{BLOCK_SIZE, BLOCKS};
use spdk_tests::{assert_kind, kind, pattern};

const SPAN: u32 = SPAN_BLOCKS as u32;

/// Buffers of one block each.
fn blocks(count: usize) -> Vec<DmaBuf> {
    let make = || DmaBuf::alloc(BLOCK_SIZE, BLOCK_SIZE).expect("DMA memory");
    std::iter::repeat_with(make).take(count).collect()
}

#[spdk::test(no_app, deadline = 30)]
fn many_at_once() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let bufs: Vec<_> = (0..256).map(|span| filled(span, 1)).collect();
        let writes = bufs
            .iter()
            .zip(0..)
            .map(|(buf, span)| link.write(buf, span));
        for end in join_all(writes).await {
            end.expect("the target runs");
        }
        let mut bufs: Vec<_> = (0..256).map(|_| buffer()).collect();
        let reads = bufs.iter_mut().zip(0..);
        let reads = reads.map(|(buf, span)| link.read(buf, span));
        for end in join_all(reads).await {
            end.expect("the target runs");
        }
        for (buf, span) in bufs.iter().zip(0..) {
            assert_is(buf, span, 1);
        }
        // One that SPDK has to split: of 1 MiB, where the target takes 128 KiB at a time.
        let mut large = DmaBuf::alloc(256 * BLOCK_SIZE, BLOCK_SIZE).expect("DMA memory");
        let all = link.ns.read(&link.qpair, &mut large, 0, 256);
        all.await.expect("the target runs");
        pattern::assert_is(&large, BLOCK_SIZE, 0, 1);
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn vectors() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let (ns, qpair) = (&link.ns, &link.qpair);
        for count in [1, 3, 64, 100] {
            let mut bufs = blocks(count);
            for (buf, block) in bufs.iter_mut().zip(0..) {
                pattern::fill(buf, BLOCK_SIZE, block, count as u64);
            }
            let write = ns.writev(qpair, &bufs, 0, count as u32);
            write.await.expect("the target runs");
            let mut read = blocks(count);
            let read_all = ns.readv(qpair, &mut read, 0, count as u32);
            read_all.await.expect("the target runs");
            for (buf, block) in read.iter().zip(0..) {
                pattern::assert_is(buf, BLOCK_SIZE, block, count as u64);
            }
            let compare = ns.comparev(qpair, &bufs, 0, count as u32);
            compare.await.expect("they are the same");
            bufs[count - 1][BLOCK_SIZE - 1] ^= 1;
            let differ = ns.comparev(qpair, &bufs, 0, count as u32).await;
            assert!(is_difference(&differ), "{differ:?}");
        }
        let opts = NvmeExtIoOpts::new().io_flags(NvmeIoFlags::FORCE_UNIT_ACCESS.bits());
        let mut bufs = blocks(4);
        for (buf, block) in bufs.iter_mut().zip(0..) {
            pattern::fill(buf, BLOCK_SIZE, block, 7);
        }
        let write = ns.writev_ext(qpair, &bufs, 0, 4, &opts, None);
        write.await.expect("the target runs");
        let mut read = buffer();
        let read_all = ns.read_ext(qpair, &mut read, 0, SPAN, &opts, None);
        read_all.await.expect("the target runs");
        pattern::assert_is(&read, BLOCK_SIZE, 0, 7);
        link.close().await;
        Bystanders::new()
    });
}

/// SPDK's target, which compares a malloc bdev by itself, tells a difference as an internal error.
fn is_difference(result: &spdk::Result<()>) -> bool {
    let status = result.as_ref().err().map(Error::kind);
    matches!(status, Some(ErrorKind::Device { status, .. }) if (status.sct, status.sc) == (0, 6))
}

#[spdk::test(no_app, deadline = 30)]
fn comparing() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        assert!(link.ns.supports_compare().expect("it is here"));
        link.prepare(0..1, 1).await;
        let (same, other) = (filled(0, 1), filled(0, 2));
        let compare = link.ns.compare(&link.qpair, &same, 0, SPAN);
        compare.await.expect("they are the same");
        let differ = link.ns.compare(&link.qpair, &other, 0, SPAN).await;
        assert!(is_difference(&differ), "{differ:?}");
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn without_buffers() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let (ns, qpair) = (&link.ns, &link.qpair);
        link.prepare(0..3, 1).await;
        let zeroes = ns.write_zeroes(qpair, SPAN_BLOCKS, SPAN, 0);
        zeroes.await.expect("the target runs");
        ns.flush(qpair).await.expect("the target runs");
        let mut buf = filled(1, 9);
        link.read(&mut buf, 1).await.expect("the target runs");
        assert!(buf.iter().all(|byte| *byte == 0));
        link.verify(0..1, 1).await;
        link.verify(2..3, 1).await;
        let ranges = [DsmRange {
            length: SPAN,
            starting_lba: 2 * SPAN_BLOCKS,
            ..DsmRange::default()
        }];
        let unmap = ns.dataset_management(qpair, DsmAttributes::DEALLOCATE, &ranges);
        unmap.await.expect("the target runs");
        link.read(&mut buf, 2).await.expect("the target runs");
        assert!(buf.iter().all(|byte| *byte == 0)); // as the malloc bdev does it
        let none = ns.dataset_management(qpair, DsmAttributes::DEALLOCATE, &[]);
        assert_eq!(
            none.await.err().and_then(|error| error.errno()),
            Some(spdk::Errno::EINVAL)
        );
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn reservations() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let (ns, qpair) = (&link.ns, &link.qpair);
        let keys = RegisterKeys {
            current: 0,
            new: 0xfeed,
        };
        let no_change = PersistThroughPowerLoss::NoChange;
        let register = RegisterAction::Register;
        let done = ns.reservation_register(qpair, &keys, false, register, no_change);
        done.await.expect("the target has reservations");
        let current = 0xfeed;
        let keys = AcquireKeys {
            current,
            preempted: 0,
        };
        let exclusive = ReservationType::WriteExclusive;
        let done = ns.reservation_acquire(qpair, &keys, false, AcquireAction::Acquire, exclusive);
        done.await.expect("nobody has it");
        let mut report = DmaBuf::alloc(4096, 4096).expect("DMA memory");
        let done = ns.reservation_report(qpair, &mut report);
        done.await.expect("the target runs");
        // The type, and the number of registered controllers.
        assert_eq!((report[4], report[5]), (1, 1));
        let key = ReleaseKey { current };
        let done = ns.reservation_release(qpair, &key, false, ReleaseAction::Release, exclusive);
        done.await.expect("it is ours");
        ns.reservation_report(qpair, &mut report)
            .await
            .expect("the target runs");
        assert_eq!((report[4], report[5]), (0, 1));
        let mut odd = DmaBuf::alloc(7, 8).expect("DMA memory");
        let refused = ns.reservation_report(qpair, &mut odd).await;
        let told = matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. }));
        assert!(told, "{refused:?}");
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn errors_are_told() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let (ns, qpair) = (&link.ns, &link.qpair);
        let mut buf = buffer();
        // The controller says that it ends there.
        let beyond = ns.read(qpair, &mut buf, BLOCKS - 1, SPAN).await;
        match kind(&beyond) {
            Some(ErrorKind::Device { at, status, .. }) => {
                assert_eq!((status.sct, status.sc), (0, 0x80), "{status}");
                assert!(status.dnr.is_some() && status.more.is_some());
                let range = Some(Range::Blocks {
                    offset: BLOCKS - 1,
                    count: SPAN_BLOCKS,
                });
                assert_eq!(at.range, range);
                assert!(at.object.contains("namespace 1"), "{at}");
            }
            other => panic!("{other:?}"),
        }
        for blocks in [0, 1, SPAN + 1] {
            let short = ns.read(qpair, &mut buf, 0, blocks).await;
            let told = matches!(kind(&short), Some(ErrorKind::InvalidArgument { .. }));
            assert!(told, "{short:?}");
        }
        let mut md = buffer();
        let no_md = ns.read_with_md(qpair, &mut buf, &mut md, 0, SPAN, 0, 0, 0);
        let no_md = no_md.await;
        let told = matches!(kind(&no_md), Some(ErrorKind::InvalidArgument { .. }));
        assert!(told, "{no_md:?}");
        // SPDK's target has no such command.
        for refused in [
            ns.write_uncorrectable(qpair, 0, 1).await,
            ns.verify(qpair, 0, 1, 0).await,
        ] {
            let told = matches!(kind(&refused), Some(ErrorKind::Device { status, .. })
                if (status.sct, status.sc) == (0, 1));
            assert!(told, "{refused:?}");
        }
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn refused_vectors_cost_no_request() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.write(&filled(0, 1), 0).await.expect("the target runs");
        // More pieces than a command has, in less than a block.
        let sizes = [64; 16].into_iter().chain([BLOCK_SIZE - 16 * 64]);
        let make = |size| DmaBuf::alloc(size, 64).expect("DMA memory");
        let mut pieces: Vec<_> = sizes.map(make).collect();
        // As many as a queue pair has requests, and more.
        for _ in 0..1000 {
            let refused = link.ns.readv(&link.qpair, &mut pieces, 0, 1).await;
            assert!(refused.is_err(), "there are too many pieces");
        }
        let mut buf = buffer();
        link.read(&mut buf, 0).await.expect("the target runs");
        assert_is(&buf, 0, 1);
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn ranges_of_a_copy_are_counted() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        // The command counts them with 8 bits.
        let ranges = [CopyRange::default(); 257];
        let copied = link.ns.copy(&link.qpair, &ranges, SPAN_BLOCKS).await;
        assert_kind!(copied, InvalidArgument);
        link.close().await;
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn vectors_of_small_pieces_are_not_cut_off() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        link.write(&filled(0, 1), 0).await.expect("the target runs");
        // The second block is in more pieces than a command has, which SPDK does not see when it splits.
        let rest = BLOCK_SIZE - 15 * 64;
        let sizes = [BLOCK_SIZE].into_iter().chain([64; 15]);
        let sizes = sizes.chain([rest / 4; 4]);
        let make = |size| {
            let mut piece = DmaBuf::alloc(size, 64).expect("DMA memory");
            piece.fill(0xa5);
            piece
        };
        let pieces: Vec<_> = sizes.map(make).collect();
        let written = link.ns.writev(&link.qpair, &pieces, 0, 2).await;
        if written.is_ok() {
            let mut buf = DmaBuf::alloc(2 * BLOCK_SIZE, BLOCK_SIZE).expect("DMA memory");
            let read = link.ns.read(&link.qpair, &mut buf, 0, 2).await;
            read.expect("the target runs");
            let as_written = buf.iter().filter(|byte| **byte == 0xa5).count();
            assert_eq!(
                as_written,
                2 * BLOCK_SIZE,
                "it was told that all is written"
            );
        } else {
            assert_kind!(written, InvalidArgument);
        }
        link.close().await;
        Bystanders::new()
    });
}
