//! Queues on another spdk_thread.

use super::*;

thread_local! {
    static QUEUE: RefCell<Option<IoQueue<u64>>> = const { RefCell::new(None) };
    static DEVICE: RefCell<Option<Device>> = const { RefCell::new(None) };
}

#[track_caller]
fn assert_wrong_thread(error: Error, call: &str) {
    match error.into_kind() {
        ErrorKind::WrongThread {
            at, home, current, ..
        } => {
            assert_eq!((home.as_str(), current.as_str()), ("app_thread", "second"));
            assert_eq!(at.operation, call);
        }
        error => panic!("{call}: {error}"),
    }
}

/// Fails if a queue submits on an spdk_thread that is not its own, or if what it has in flight does
/// not end there.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn on_another_spdk_thread_ios_are_refused() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    queue.write_blocks(patterned(&device, 0, 4, 1), 0, 4, 0);
    queue.next().await.expect("the write").result?;
    let second = second::spdk_thread("second").await;
    queue.read_blocks(device.buffer(4)?, 0, 4, 1);
    QUEUE.set(Some(queue));
    DEVICE.set(Some(device));
    let elsewhere = second.spawn(|| async {
        let mut queue = QUEUE.take().expect("the same OS thread");
        // Begun at home, it ends here.
        let done = queue.next().await.expect("the read");
        done.result?;
        let buf = done.buf.expect("its buffer");
        pattern::assert_is(&buf, BLOCK, 0, 1);
        queue.read_blocks(buf, 0, 4, 2);
        queue.unmap_blocks(0, 4, 3);
        for (expected, call) in [(2, "spdk_bdev_read_blocks"), (3, "spdk_bdev_unmap_blocks")] {
            let (tag, error) = error_of(&mut queue).await;
            assert_eq!(tag, expected);
            assert_wrong_thread(error, call);
        }
        assert!(queue.next().await.is_none());
        let made = DEVICE.with_borrow(|device| {
            let device = device.as_ref().expect("the same OS thread");
            IoQueue::<()>::new(&device.ch).map(drop)
        });
        assert_wrong_thread(made.expect_err("another spdk_thread"), "IoQueue::new");
        queue.flush_blocks(0, 1, 4);
        QUEUE.set(Some(queue));
        Ok::<_, Error>(())
    });
    elsewhere.await??;
    // Back at home it is what it was.
    let mut queue = QUEUE.take().expect("the same OS thread");
    let (tag, error) = error_of(&mut queue).await;
    assert_eq!(tag, 4);
    assert_wrong_thread(error, "spdk_bdev_flush_blocks");
    queue.read_blocks(DmaBuf::alloc(4 * BLOCK, 4096)?, 0, 4, 5);
    let done = queue.next().await.expect("the read");
    done.result?;
    pattern::assert_is(&done.buf.expect("its buffer"), BLOCK, 0, 1);
    Ok(())
}

/// Fails if an I/O that was refused elsewhere, before its buffer was measured, is taken for measured at home: the
/// device would write beyond the buffer.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn what_was_refused_elsewhere_is_measured_at_home() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    queue.read_blocks(device.buffer(1)?, 0, 1, 0);
    assert!(queue.ended().await);
    QUEUE.set(Some(queue));
    let second = second::spdk_thread("second").await;
    let refused = second.call(|| {
        let mut queue = QUEUE.take().expect("the same OS thread");
        queue.pop().expect("the read").read_blocks(0, 2);
        QUEUE.set(Some(queue));
    });
    refused.await?;
    let mut queue = QUEUE.take().expect("the same OS thread");
    assert!(queue.ended().await);
    queue.pop().expect("the refused one").read_blocks(0, 2);
    let (_, error) = error_of(&mut queue).await;
    assert!(
        matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
        "{error}"
    );
    Ok(())
}

/// Fails if a queue that is dropped elsewhere frees what SPDK uses, or releases there or never.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "Delay0",
            avg_read_latency = LATENCY, p99_read_latency = LATENCY,
            avg_write_latency = LATENCY, p99_write_latency = LATENCY,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn a_queue_is_dropped_on_another_spdk_thread() -> spdk::Result<()> {
    drop(Device::open("Delay0")?);
    let second = second::spdk_thread("second").await;
    let pieces = dma::pieces();
    for in_flight in [0, 1, 16] {
        let device = Device::open("Delay0")?;
        let mut queue = IoQueue::new(&device.ch)?;
        for block in 0..in_flight {
            queue.read_blocks(device.buffer(1)?, block, 1, block);
        }
        queue.read_blocks(device.buffer(1)?, 0, 2, 99);
        QUEUE.set(Some(queue));
        drop(device);
        second.call(|| drop(QUEUE.take())).await?;
        if in_flight > 0 {
            assert!(dma::pieces() > pieces, "freed in flight");
        }
        until("everything to be released", || dma::pieces() <= pieces).await;
        assert_eq!(rpc::channels("bdev_Delay0").await, 0);
    }
    Ok(())
}
