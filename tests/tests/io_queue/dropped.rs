//! Queues that go with I/Os in flight, on real devices.

use super::*;

/// Every order of three things.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// Fails if a buffer or a tag is dropped under an I/O in flight, twice, or never; or if the device is
/// closed too early, or never.
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
async fn a_queue_and_its_device_go_in_every_order() -> spdk::Result<()> {
    drop(Device::open("Delay0")?);
    for order in ORDERS {
        let before = dma::pieces();
        let drops = Drops::default();
        let Device { desc, ch, .. } = Device::open("Delay0")?;
        let mut queue = IoQueue::new(&ch)?;
        let buf = || DmaBuf::alloc(BLOCK, 4096).expect("DMA memory");
        for block in 0..8 {
            queue.write_blocks(buf(), block, 1, drops.tag());
            queue.read_blocks(buf(), block, 1, drops.tag());
            queue.write_zeroes_blocks(block, 1, drops.tag());
        }
        // Those that have ended, being refused, are dropped at once.
        queue.read_blocks(buf(), 0, 2, drops.tag());
        queue.read_blocks(buf(), 0, 3, drops.tag());
        assert_eq!(queue.len(), 26);
        assert!(queue.ended().await);
        drop(queue.pop());
        assert_eq!((queue.len(), drops.count()), (25, 1));
        let (mut desc, mut ch, mut queue) = (Some(desc), Some(ch), Some(queue));
        for thing in order {
            match thing {
                0 => drop(desc.take()),
                1 => drop(ch.take()),
                _ => drop(queue.take()),
            }
        }
        assert_eq!(drops.count(), 2, "{order:?}: dropped in flight");
        assert!(
            dma::pieces() >= before + 16,
            "{order:?}: memory was freed under an I/O in flight"
        );
        until("the memory to come back", || dma::pieces() <= before).await;
        assert_eq!(drops.count(), 26, "{order:?}");
    }
    assert_eq!(rpc::channels("bdev_Delay0").await, 0);
    rpc::call("bdev_delay_delete", json!({"name": "Delay0"})).await;
    Ok(())
}

/// Fails if a queue that is dropped between I/Os, with nothing in flight, leaks or frees twice.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn a_queue_with_nothing_in_flight_is_dropped() -> spdk::Result<()> {
    drop(Device::open("Malloc0")?);
    let before = dma::pieces();
    for take in [0, 1, 31, 32] {
        let drops = Drops::default();
        let device = Device::open("Malloc0")?;
        let mut queue = IoQueue::new(&device.ch)?;
        for block in 0..32 {
            queue.write_blocks(device.buffer(1)?, block, 1, drops.tag());
        }
        drop(device);
        // The last end of a batch, which is all of them, is the one that this task waits for.
        assert!(queue.ended().await);
        for taken in 0..take {
            assert_eq!(drops.count(), taken);
            drop(queue.pop().map(|io| io.into_done()));
        }
        drop(queue);
        until("everything to go", || dma::pieces() <= before).await;
        assert_eq!(drops.count(), 32);
    }
    assert_eq!(rpc::channels("bdev_Malloc0").await, 0);
    Ok(())
}

/// Fails if what is forgotten keeps the device from going, or the application from its end.
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
async fn what_is_forgotten_does_no_harm() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..16 {
        queue.read_blocks(device.buffer(1)?, block, 1, block);
        queue.flush_blocks(block, 1, block);
    }
    let mut ended = 0;
    while queue.ended().await {
        while let Some(io) = queue.pop() {
            ended += 1;
            mem::forget(io);
        }
    }
    assert_eq!((ended, queue.len()), (32, 0));
    // The queue goes on, in other places.
    queue.write_blocks(patterned(&device, 0, 1, 1), 0, 1, 0);
    queue.next().await.expect("the write").result?;
    queue.read_blocks(device.buffer(1)?, 0, 1, 0);
    let read = queue.next().await.and_then(|done| done.buf);
    pattern::assert_is(&read.expect("its buffer"), BLOCK, 0, 1);

    let mut forgotten = IoQueue::new(&device.ch)?;
    for block in 0..16 {
        forgotten.write_blocks(device.buffer(1)?, block, 1, block);
    }
    mem::forget(forgotten);
    drop(queue);
    rpc::call("bdev_delay_delete", json!({"name": "Delay0"})).await;

    // The end finds one idle, and one with I/O in flight.
    let device = Device::open("Malloc0")?;
    for in_flight in [false, true] {
        let mut queue = IoQueue::new(&device.ch)?;
        queue.read_blocks(device.buffer(1)?, 0, 1, ());
        if !in_flight {
            queue.next().await.expect("the read").result?;
        }
        mem::forget(queue);
    }
    mem::forget(device);
    Ok(())
}

/// Fails if a panic in the drop of a tag leaves the others, the memory, or the device in use.
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
async fn the_drop_of_a_tag_panics() -> spdk::Result<()> {
    struct Bomb(bool, #[expect(dead_code, reason = "it is dropped")] Tag);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "on purpose");
        }
    }
    drop(Device::open("Delay0")?);
    let before = dma::pieces();
    for in_flight in [0, 4] {
        let (drops, device) = (Drops::default(), Device::open("Delay0")?);
        let mut queue = IoQueue::new(&device.ch)?;
        for block in 0..in_flight {
            queue.read_blocks(device.buffer(1)?, block, 1, Bomb(false, drops.tag()));
        }
        for number in 0..8 {
            // Refused, so it has ended.
            queue.read_blocks(device.buffer(1)?, 0, 2, Bomb(number == 3, drops.tag()));
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(queue)));
        assert!(dropped.is_err(), "no panic");
        assert_eq!(drops.count(), 8);
        drop(device);
        until("the memory to come back", || dma::pieces() <= before).await;
        assert_eq!(drops.count(), 8 + in_flight);
    }
    assert_eq!(rpc::channels("bdev_Delay0").await, 0);
    Ok(())
}
