//! An `IoQueue` of commands to a namespace.

use spdk::nvme::NvmeNamespace;
use spdk::task::yield_now;
use spdk::{ErrorKind, Gone, IoQueue};
use spdk_tests::kind;
use spdk_tests::machine::{Drive, settle, slot, slow_down};
use spdk_tests::poll_once;
use spdk_tests::wait::within;

const DEPTH: u64 = 64;
const BLOCKS: u64 = 8;

type Queue<T> = IoQueue<T, NvmeNamespace>;

fn queue<T: 'static>(drive: &Drive) -> Queue<T> {
    IoQueue::of_namespace(&drive.ns, &drive.qpair).expect("it is attached")
}

/// More at once than the controller has places for, each in the place of one that has ended.
#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn data() {
    const PLACES: u64 = 3000;
    let drive = Drive::open(slot::PLAIN).await;
    let mut queue = queue(&drive);
    for lba in 0..2 * DEPTH {
        queue.write_blocks(drive.filled(lba, 1, 3), lba, 1, lba);
    }
    for lba in 2 * DEPTH..PLACES {
        let mut io = loop {
            assert!(queue.ended().await);
            if let Some(io) = queue.pop() {
                break io;
            }
        };
        io.take_result().expect("it writes");
        *io.buf() = Some(drive.filled(lba, 1, 3));
        *io.tag_mut() = lba;
        io.write_blocks(lba, 1);
    }
    let mut ended = 0;
    while let Some(done) = queue.next().await {
        done.result.expect("it writes");
        ended += 1;
    }
    assert_eq!(ended, 2 * DEPTH);
    queue.write_zeroes_blocks(8, 4, 0);
    queue.unmap_blocks(32, 4, 0);
    queue.flush_blocks(0, 1, 0);
    while let Some(done) = queue.next().await {
        done.result.expect("it has these commands");
    }
    drop(queue);
    drive.verify(0, 8, 3).await;
    let zeroes = drive.read(8, 4).await.expect("it reads");
    assert!(zeroes.iter().all(|byte| *byte == 0));
    drive.verify(36, PLACES as u32 - 36, 3).await;
    drive.close().await;
}

/// Fails if a command that is in flight hangs, or succeeds without having been done, or the memory of one is freed.
#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn reset_under_io() {
    slow_down("slow", 0);
    let mut drive = Drive::open(slot::SLOW).await;
    drive.write(0, 512, 1).await.expect("it writes");
    slow_down("slow", 1);
    let mut kept = queue(&drive);
    let mut dropped = queue(&drive);
    for at in 0..DEPTH / 2 {
        kept.read_blocks(drive.buffer(BLOCKS as u32), BLOCKS * at, BLOCKS, at);
        dropped.read_blocks(drive.buffer(BLOCKS as u32), BLOCKS * at, BLOCKS, at);
    }
    yield_now().await; // a poll hands them over
    drop(dropped);
    settle();
    let mut reset = Box::pin(drive.controller.reset());
    assert!(poll_once(reset.as_mut()).is_pending());
    slow_down("slow", 0);
    let mut aborted = 0;
    while let Some(done) = within("a read", kept.next()).await {
        match kind(&done.result) {
            None => {}
            Some(ErrorKind::Device { status, .. }) if status.is_aborted() => aborted += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(aborted > 0, "none was in flight");
    within("the reset", reset).await.expect("it is there");
    kept.read_blocks(drive.buffer(1), 0, 1, 0);
    let done = kept.next().await.expect("a refused command");
    let told = matches!(
        kind(&done.result),
        Some(ErrorKind::Gone {
            why: Gone::Reset,
            ..
        })
    );
    assert!(told, "{:?}", done.result);
    drop(kept);
    let qpair = drive.controller.alloc_io_qpair(None).await;
    drive.qpair = qpair.expect("it has queue pairs");
    drive.verify(0, 512, 1).await;
    drive.close().await;
}
