//! NVMe commands passed through to a device, which is an NVMe-oF target in another process, and aborted ones.
#![allow(missing_docs)]
#![allow(unsafe_code)] // Promises that each command transfers what its buffer has.

use std::rc::Rc;

use serde_json::json;
use spdk::{BdevIoType, DmaBuf, Errno, ErrorKind, NvmeCmd};
use spdk_tests::nvmf::disk::{
    Bystanders, Disk, SPAN, SPAN_BLOCKS, assert_is, attached, buffer, filled, submit,
};
use spdk_tests::nvmf::{BDEV, BLOCK_SIZE, BLOCKS, Target};
use spdk_tests::wait::within;
use spdk_tests::{Device, kind, poll_once};

const DEPTH: u64 = 32;
const READ: u8 = 0x02;
const WRITE: u8 = 0x01;
const IDENTIFY: u8 = 0x06;
const GET_FEATURES: u8 = 0x0a;

/// A command for one span.
fn io(opcode: u8, span: u64) -> NvmeCmd {
    let first = span * SPAN_BLOCKS;
    NvmeCmd {
        cdw10: first as u32,
        cdw11: (first >> 32) as u32,
        cdw12: SPAN_BLOCKS as u32 - 1,
        ..NvmeCmd::new(opcode)
    }
}

/// Fails if a field of a command is another one's, or what a command says is lost.
#[spdk::test(no_app, deadline = 30)]
fn admin() {
    attached(json!({}), |_target| async move {
        let device = Device::open(BDEV).expect("the target's bdev");
        let Device { bdev, desc, ch } = &device;
        assert_eq!(
            bdev.io_type_supported(BdevIoType::NvmeAdmin).ok(),
            Some(true)
        );
        assert_eq!(bdev.nvme_nsid().ok(), Some(1));
        let mut buf = DmaBuf::alloc(4096, 4096).expect("DMA memory");
        let controller = NvmeCmd {
            cdw10: 1,
            ..NvmeCmd::new(IDENTIFY)
        };
        // SAFETY: it transfers 4096 bytes.
        unsafe { desc.nvme_admin_passthru(ch, &controller, Some(&mut buf)) }
            .await
            .expect("a controller can be identified");
        assert_eq!(&buf[4..24], b"SPDK0001            ", "the serial number");
        let namespace = NvmeCmd {
            nsid: 1,
            ..NvmeCmd::new(IDENTIFY)
        };
        // SAFETY: as above.
        unsafe { desc.nvme_admin_passthru(ch, &namespace, Some(&mut buf)) }
            .await
            .expect("a namespace can be identified");
        assert_eq!(buf[..8], BLOCKS.to_le_bytes(), "its size");
        // The number of queues: what is asked for is in the completion, and there is no data.
        let queues = NvmeCmd {
            cdw10: 7,
            ..NvmeCmd::new(GET_FEATURES)
        };
        // SAFETY: it transfers nothing.
        let said = unsafe { desc.nvme_admin_passthru(ch, &queues, None) }.await;
        let said = said.expect("the feature is there");
        assert!(
            said & 0xffff > 0 && said >> 16 == said & 0xffff,
            "{said:#x}"
        );

        let unknown = NvmeCmd::new(0xfc);
        // SAFETY: an opcode that the target does not know transfers nothing.
        let error = unsafe { desc.nvme_admin_passthru(ch, &unknown, None) }.await;
        let error = error.expect_err("the target does not know it");
        let expected = format!(
            "spdk_bdev_nvme_admin_passthru on bdev {BDEV:?} (opcode 0xfc, 0 bytes): INVALID OPCODE (SCT 0x0 \
             GENERIC, SC 0x01)"
        );
        assert_eq!(error.to_string(), expected);
        let read_only = bdev.open(false).expect("it is there");
        let ch = read_only.get_io_channel().expect("a channel");
        // SAFETY: it transfers nothing.
        let error = unsafe { read_only.nvme_admin_passthru(&ch, &queues, None) }.await;
        assert_eq!(
            error.err().and_then(|error| error.errno()),
            Some(Errno::EBADF)
        );
        Bystanders::new()
    })
}

/// Fails if a command goes to other blocks, or another buffer.
#[spdk::test(no_app, deadline = 30)]
fn reads_and_writes() {
    attached(json!({}), |_target| async move {
        let disk = Disk::open();
        disk.prepare(0..8, 1).await;
        let (desc, ch) = (&disk.desc, &disk.channel);
        let mut buf = buffer();
        // SAFETY: each command transfers a span, which each buffer, and all parts together, have.
        unsafe {
            desc.nvme_io_passthru(ch, &io(READ, 3), Some(&mut buf))
                .await
                .expect("it reads");
            assert_is(&buf, 3, 1);
            let mut new = filled(4, 2);
            desc.nvme_io_passthru(ch, &io(WRITE, 4), Some(&mut new))
                .await
                .expect("it writes");
            assert_is(&new, 4, 2);
            disk.verify(4..5, 2).await;
            disk.verify(3..4, 1).await;
            let mut new = filled(5, 3);
            desc.nvme_io_passthru_md(ch, &io(WRITE, 5), Some(&mut new), None)
                .await
                .map(drop)
                .or_else(|error| match error.errno() {
                    // The device has no metadata of their own.
                    Some(Errno::ENOTSUP) => Ok(()),
                    _ => Err(error),
                })
                .expect("it writes, or says that it cannot");
            let part = || DmaBuf::alloc(SPAN / 4, BLOCK_SIZE).expect("DMA memory");
            let mut parts = [part(), part(), part(), part()];
            desc.nvme_iov_passthru_md(ch, &io(READ, 4), &mut parts, None)
                .await
                .expect("it reads");
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            assert_is(&all, 4, 2);
            let beyond = io(READ, BLOCKS / SPAN_BLOCKS);
            let error = desc.nvme_io_passthru(ch, &beyond, Some(&mut buf)).await;
            let text = error.map_err(|error| error.to_string());
            let expected = format!(
                "spdk_bdev_nvme_io_passthru on bdev {BDEV:?} (opcode 0x02, {SPAN} bytes): LBA OUT OF RANGE (SCT \
                 0x0 GENERIC, SC 0x80)"
            );
            assert_eq!(text, Err(expected));
        }
        Bystanders::new()
    })
}

/// Fails if a lock of other blocks lets a command with one buffer through, or holds one with several back, which the
/// documentation denies.
#[spdk::test(no_app, deadline = 30)]
fn beside_a_lock() {
    attached(json!({}), |_target| async move {
        let disk = Disk::open();
        disk.prepare(0..8, 1).await;
        let (desc, ch) = (&disk.desc, &disk.channel);
        let range = desc.quiesce_range(4 * SPAN_BLOCKS, SPAN_BLOCKS);
        let range = range.await.expect("a lock");
        let new = filled(4, 2);
        let half = |half: usize| {
            let mut part = DmaBuf::alloc(SPAN / 2, BLOCK_SIZE).expect("DMA memory");
            part.copy_from_slice(&new[half * SPAN / 2..(half + 1) * SPAN / 2]);
            part
        };
        let mut parts = [half(0), half(1)];
        let mut buf = buffer();
        // SAFETY: each command transfers a span, which the buffer, and both parts together, have.
        unsafe {
            let (read, write) = (io(READ, 0), io(WRITE, 4));
            let mut one = Box::pin(desc.nvme_io_passthru(ch, &read, Some(&mut buf)));
            assert!(poll_once(one.as_mut()).is_pending());
            let several = desc.nvme_iov_passthru_md(ch, &write, &mut parts, None);
            let several = within("a command with several buffers", several).await;
            several.expect("it writes to the locked blocks");
            // The other one was submitted before it, on the same connection.
            assert!(poll_once(one.as_mut()).is_pending());
            range.unquiesce().await.expect("it was locked");
            one.await.expect("it reads");
            assert_is(&buf, 0, 1);
        }
        disk.verify(4..5, 2).await;
        Bystanders::new()
    })
}

/// As in `in_flight.rs`: fails if the memory of an abandoned command is freed, or used by others, while the
/// target can still send its data.
#[spdk::test(no_app, deadline = 30)]
fn abandoned() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..2 * DEPTH, 1).await;
        target.stop();
        for span in 0..DEPTH {
            let (desc, ch) = (&disk.desc, &disk.channel);
            let mut buf = buffer();
            let mut written = filled(DEPTH + span, 2);
            let (read, write) = (io(READ, span), io(WRITE, DEPTH + span));
            // SAFETY: each command transfers a span, which each buffer has.
            unsafe {
                let mut read = Box::pin(desc.nvme_io_passthru(ch, &read, Some(&mut buf)));
                submit(&mut read);
                let mut write = Box::pin(desc.nvme_io_passthru(ch, &write, Some(&mut written)));
                submit(&mut write);
                if span % 2 == 0 {
                    drop((read, write));
                } else {
                    std::mem::forget((read, write));
                }
            }
            // What SPDK may still read or write is not seen, and not changed.
            assert!(written.iter().all(|byte| *byte == 0), "{span}");
            written.fill(0xee);
        }
        let bystanders = Bystanders::new();
        target.cont();
        disk.verify(0..DEPTH, 1).await;
        disk.become_generation(DEPTH..2 * DEPTH, 2).await;
        bystanders.check();
        bystanders
    })
}

/// Fails if a read that was ended early is told as a success, or its memory is given back while the target
/// can still send the data.
#[spdk::test(no_app, deadline = 30)]
fn reads_are_ended_early() {
    attached(json!({}), |target: Rc<Target>| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut bufs: Vec<_> = (0..DEPTH).map(|_| buffer()).collect();
        let mut reads = Vec::new();
        for (buf, span) in bufs.iter_mut().zip(0..) {
            let read = disk
                .desc
                .read(&disk.channel, buf, spdk_tests::nvmf::disk::offset(span));
            let mut read = Box::pin(read);
            submit(&mut read);
            reads.push(read);
        }
        // A stopped target hears of it later.
        let mut aborts = Vec::new();
        for read in &reads {
            let mut abort = Box::pin(disk.desc.abort(&disk.channel, &**read));
            submit(&mut abort);
            aborts.push(abort);
        }
        drop(aborts);
        let bystanders = Bystanders::new();
        target.cont();
        for (read, span) in reads.into_iter().zip(0_u64..) {
            if let Err(error) = read.await {
                let text = error.to_string();
                assert!(text.contains("ABORTED"), "{span}: {text}");
            }
        }
        disk.verify(0..DEPTH, 1).await;
        bystanders.check();
        bystanders
    })
}

/// Fails if a device that is no NVMe device is given a command.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 64, block_size = 512)))]
async fn no_nvme_device() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    assert!(!bdev.has_flexible_data_placement()?);
    assert_eq!(bdev.nvme_nsid()?, 0);
    let mut bufs = [device.buffer(1)?];
    // SAFETY: each command transfers a block, or nothing.
    let results = unsafe {
        [
            desc.nvme_admin_passthru(ch, &NvmeCmd::new(IDENTIFY), None)
                .await,
            desc.nvme_io_passthru(ch, &NvmeCmd::new(READ), Some(&mut bufs[0]))
                .await,
            desc.nvme_io_passthru_md(ch, &NvmeCmd::new(READ), Some(&mut bufs[0]), None)
                .await,
            desc.nvme_iov_passthru_md(ch, &NvmeCmd::new(READ), &mut bufs, None)
                .await,
        ]
    };
    for result in &results {
        assert_eq!(
            result.as_ref().err().and_then(spdk::Error::errno),
            Some(Errno::ENOTSUP)
        );
    }
    let other = desc.get_io_channel()?;
    drop(other);
    assert!(!matches!(
        kind(&results[0]),
        Some(ErrorKind::WrongChannel { .. })
    ));
    Ok(())
}
