//! Operations that are abandoned while they are truly in flight.
//!
//! The device is an NVMe-oF target in another process, stopped with SIGSTOP before the operations
//! are submitted and woken with SIGCONT after they were abandoned. A read that was abandoned then
//! still receives its data, and a write is only then asked for its data. Where that memory has been
//! freed or used again, unrelated buffers change, or the target gets bytes that nobody wrote there.
//! When the application has ended, those unrelated buffers must be all that is left of SPDK's memory.
//!
//! Each of these faults was put into the core, and these tests failed:
//!
//! - The drop of a `DmaBuf` frees its memory although it is on loan: every test that abandons reads
//!   or writes and drops their buffers. The same on another OS thread than the lender's only:
//!   `buffer_of_abandoned_read_is_used_on_another_os_thread`.
//! - The next use of a `DmaBuf` on loan gets the same memory: both `buffer_of_abandoned_read_*`, and
//!   `write_abandoned`.
//! - The loan of a write is not counted: `write_abandoned` and `writev_abandoned_*`.
//! - The drop of a future drops what its operation holds: all but `read_forgotten`, which drops none.
//! - The drop of a future takes the iovec array along: `writev_abandoned_beyond_the_queue_depth`.
//! - The last handle of a channel or descriptor releases it with operations in flight:
//!   `handles_dropped_in_every_order`.
//! - The last loan does not free what its owner left on the same OS thread: every test that leaves
//!   some.
//! - A failed operation reports success: `reset_dropped_with_reads_in_flight`.
#![allow(missing_docs)]

use std::iter;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use spdk::{BdevDesc, DmaBuf};
use spdk_tests::nvmf::disk::{
    Bystanders, Disk, SPAN, SPAN_BLOCKS, assert_is, attached, buffer, fill, filled, offset, submit,
};
use spdk_tests::nvmf::{BDEV, BLOCK_SIZE, Target};
use spdk_tests::wait::{after, timeout};

/// Operations in flight at once.
const DEPTH: u64 = 32;

/// The rest of a test of abandoned reads: unrelated buffers take what was freed, the target goes on,
/// and the reads end.
async fn reads_end(disk: &Disk, target: &Target) -> Bystanders {
    let bystanders = Bystanders::new();
    target.cont();
    disk.verify(0..DEPTH, 1).await;
    bystanders.check();
    bystanders
}

#[spdk::test(no_app, deadline = 30)]
fn read_dropped() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        for span in 0..DEPTH {
            let mut buf = buffer();
            let mut read = Box::pin(disk.read(&mut buf, span));
            submit(&mut read);
            drop(read);
            drop(buf);
        }
        reads_end(&disk, &target).await
    })
}

#[spdk::test(no_app, deadline = 30)]
fn read_forgotten() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        for span in 0..DEPTH {
            let mut buf = buffer();
            let mut read = Box::pin(disk.read(&mut buf, span));
            submit(&mut read);
            std::mem::forget(read);
            drop(buf);
        }
        reads_end(&disk, &target).await
    })
}

#[spdk::test(no_app, deadline = 30)]
fn read_timed_out() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        let reads = (0..DEPTH).map(async |span| {
            let mut buf = buffer();
            let end = timeout(Duration::from_millis(50), disk.read(&mut buf, span)).await;
            assert!(end.is_none(), "a stopped target answered: {end:?}");
        });
        join_all(reads).await;
        reads_end(&disk, &target).await
    })
}

#[spdk::test(no_app, deadline = 30)]
fn read_in_aborted_task() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut tasks = Vec::new();
        for span in 0..DEPTH {
            let disk = disk.clone();
            let read = async move {
                let mut buf = buffer();
                disk.read(&mut buf, span).await
            };
            tasks.push(spdk::spawn_local(read).expect("the app runs"));
        }
        after(Duration::from_millis(20)).await;
        for task in tasks {
            assert!(!task.is_finished(), "a stopped target answered");
            task.abort();
        }
        after(Duration::from_millis(20)).await;
        assert_eq!(
            Rc::strong_count(&disk),
            1,
            "the aborted tasks were not dropped"
        );
        reads_end(&disk, &target).await
    })
}

#[spdk::test(no_app, deadline = 30)]
fn buffer_of_abandoned_read_is_used_again() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut bufs = Vec::new();
        for span in 0..DEPTH {
            let mut buf = filled(span, 2);
            let mut read = Box::pin(disk.read(&mut buf, span));
            submit(&mut read);
            if span % 2 == 0 {
                drop(read)
            } else {
                std::mem::forget(read)
            }
            match span % 4 {
                0 | 1 => fill(&mut buf, span, 3),
                _ => {
                    let zero = buf.as_slice().iter().all(|byte| *byte == 0);
                    assert!(
                        zero,
                        "the memory of an abandoned read was shown to the user"
                    );
                    fill(&mut buf, span, 3);
                }
            }
            bufs.push(buf);
        }
        let bystanders = reads_end(&disk, &target).await;
        for (buf, span) in bufs.iter().zip(0..) {
            assert_is(buf, span, 3);
        }
        // They are as good as new ones.
        for (buf, span) in bufs.iter_mut().zip(0..) {
            disk.write(buf, span).await.expect("the target runs");
            disk.read(buf, span).await.expect("the target runs");
            assert_is(buf, span, 3);
        }
        bystanders
    })
}

#[spdk::test(no_app, deadline = 30)]
fn buffer_of_abandoned_read_is_used_on_another_os_thread() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut bufs = Vec::new();
        for span in 0..DEPTH {
            let mut buf = filled(span, 2);
            let mut read = Box::pin(disk.read(&mut buf, span));
            submit(&mut read);
            drop(read);
            bufs.push(buf);
        }
        let elsewhere = std::thread::spawn(move || {
            let mut kept = Vec::new();
            for (mut buf, span) in bufs.into_iter().zip(0..) {
                match span % 3 {
                    0 => drop(buf),
                    1 => {
                        assert!(buf.iter().all(|byte| *byte == 0));
                        drop(buf);
                    }
                    _ => {
                        fill(&mut buf, span, 3);
                        kept.push((buf, span));
                    }
                }
            }
            kept
        });
        let kept = elsewhere
            .join()
            .expect("buffers can be used on any OS thread");
        let bystanders = reads_end(&disk, &target).await;
        for (buf, span) in &kept {
            assert_is(buf, *span, 3);
        }
        bystanders
    })
}

#[spdk::test(no_app, deadline = 30)]
fn write_abandoned() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut kept = Vec::new();
        for span in 0..DEPTH {
            let mut buf = filled(span, 2);
            let mut write = Box::pin(disk.write(&buf, span));
            submit(&mut write);
            if span % 2 == 0 {
                drop(write)
            } else {
                std::mem::forget(write)
            }
            if span % 4 < 2 {
                assert_is(&buf, span, 2);
                fill(&mut buf, span, 3);
                kept.push((buf, span));
            } else {
                drop(buf);
            }
        }
        let bystanders = Bystanders::new();
        target.cont();
        disk.become_generation(0..DEPTH, 2).await;
        bystanders.check();
        for (buf, span) in &kept {
            assert_is(buf, *span, 3);
        }
        bystanders
    })
}

#[spdk::test(no_app, deadline = 30)]
fn readv_abandoned_beyond_the_queue_depth() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        for turn in 0..TURNS {
            let span = turn % DEPTH;
            let mut bufs = parts();
            let mut readv = Box::pin(disk.desc.readv_blocks(
                &disk.channel,
                &mut bufs,
                span * SPAN_BLOCKS,
                SPAN_BLOCKS,
            ));
            submit(&mut readv);
            if turn % 2 == 0 {
                drop(readv)
            } else {
                std::mem::forget(readv)
            }
        }
        reads_end(&disk, &target).await
    })
}

/// More vectored operations than an NVMe queue takes: SPDK keeps the others back, with a pointer to
/// their iovec array, which it reads when the queue has room again.
const TURNS: u64 = 8 * DEPTH;

/// One span in four buffers.
fn parts() -> Vec<DmaBuf> {
    let part = || DmaBuf::alloc(SPAN / 4, BLOCK_SIZE).expect("DMA memory");
    (0..4).map(|_| part()).collect()
}

#[spdk::test(no_app, deadline = 30)]
fn writev_abandoned_beyond_the_queue_depth() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..TURNS, 1).await;
        target.stop();
        for span in 0..TURNS {
            let mut bufs = parts();
            let whole = filled(span, 2);
            for (part, bytes) in bufs.iter_mut().zip(whole.chunks(SPAN / 4)) {
                part.copy_from_slice(bytes);
            }
            let mut writev = Box::pin(disk.desc.writev(&disk.channel, &bufs, offset(span)));
            submit(&mut writev);
            if span % 2 == 0 {
                drop(writev)
            } else {
                std::mem::forget(writev)
            }
        }
        let bystanders = Bystanders::new();
        target.cont();
        disk.become_generation(0..TURNS, 2).await;
        bystanders.check();
        bystanders
    })
}

#[spdk::test(no_app, deadline = 30)]
fn handles_dropped_in_every_order() {
    attached(json!({}), |target| async move {
        const ORDERS: [[usize; 3]; 6] = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        Disk::open().prepare(0..DEPTH, 1).await;
        let mut sets = Vec::new();
        for order in ORDERS.iter().chain(&ORDERS) {
            let desc = BdevDesc::open(BDEV, true).expect("the target's bdev");
            let channel = desc.get_io_channel().expect("a channel");
            sets.push((order, desc, channel));
        }
        target.stop();
        for ((order, desc, channel), span) in sets.into_iter().zip(0..) {
            let mut buf = buffer();
            let mut read = Box::pin(desc.read(&channel, &mut buf, offset(span)));
            submit(&mut read);
            if span < 6 {
                drop(read)
            } else {
                std::mem::forget(read)
            }
            let (mut desc, mut channel, mut buf) = (Some(desc), Some(channel), Some(buf));
            for which in order {
                match which {
                    0 => drop(desc.take()),
                    1 => drop(channel.take()),
                    _ => drop(buf.take()),
                }
            }
        }
        after(Duration::from_millis(20)).await;
        reads_end(&Disk::open(), &target).await
    })
}

#[spdk::test(no_app, deadline = 30)]
fn operations_without_data_dropped() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        let (desc, channel, size) = (&disk.desc, &disk.channel, SPAN as u64);
        for turn in 0..4 {
            let mut flush = Box::pin(desc.flush(channel, 0, size));
            let mut zeroes = Box::pin(desc.write_zeroes(channel, offset(turn), size));
            let mut unmap = Box::pin(desc.unmap(channel, offset(4 + turn), size));
            submit(&mut flush);
            submit(&mut zeroes);
            submit(&mut unmap);
            if turn % 2 == 0 {
                std::mem::forget((flush, zeroes, unmap));
            }
        }
        let bystanders = Bystanders::new();
        target.cont();
        disk.verify(8..DEPTH, 1).await;
        for span in 0..8 {
            let mut buf = filled(span, 1);
            disk.read(&mut buf, span).await.expect("the target runs");
            assert!(
                buf.iter().all(|byte| *byte == 0),
                "span {span} was not zeroed"
            );
        }
        bystanders.check();
        bystanders
    })
}

#[spdk::test(no_app, deadline = 30)]
fn reset_dropped_with_reads_in_flight() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        for span in 0..DEPTH {
            let mut buf = buffer();
            let mut read = Box::pin(disk.read(&mut buf, span));
            submit(&mut read);
        }
        let mut reset = Box::pin(disk.desc.reset(&disk.channel));
        submit(&mut reset);
        drop(reset);
        after(Duration::from_millis(50)).await;
        let bystanders = Bystanders::new();
        target.cont();
        // The controller is connected again meanwhile, and what is submitted before fails.
        let deadline = Instant::now() + Duration::from_secs(10);
        while disk.read(&mut buffer(), 0).await.is_err() {
            assert!(Instant::now() < deadline, "the reset does not end");
            after(Duration::from_millis(10)).await;
        }
        disk.verify(0..DEPTH, 1).await;
        bystanders.check();
        bystanders
    })
}

#[spdk::test(no_app, deadline = 30)]
fn memory_of_abandoned_reads_is_freed() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        // 10,000 spans are 156 MiB, and all but 8 MiB is taken.
        let mut taken: Vec<_> = iter::from_fn(|| DmaBuf::alloc(1 << 20, BLOCK_SIZE).ok()).collect();
        taken.truncate(taken.len() - 8);
        for turn in 0..10_000 / DEPTH {
            if turn % 64 == 0 {
                target.stop();
            }
            for span in 0..DEPTH {
                let mut buf = buffer();
                let mut read = Box::pin(disk.read(&mut buf, span));
                submit(&mut read);
                if span % 2 == 0 {
                    drop(read)
                } else {
                    std::mem::forget(read)
                }
            }
            target.cont();
            disk.read(&mut buffer(), 0).await.expect("the target runs");
        }
        drop(taken);
        reads_end(&disk, &target).await
    })
}
