//! Devices that are removed.

use super::*;

#[track_caller]
fn assert_removed(error: Error, call: &str) {
    match error.into_kind() {
        ErrorKind::Gone { at, why, .. } => assert_eq!((at.operation, why), (call, Gone::Removed)),
        error => panic!("{call}: {error}"),
    }
}

/// A queue in a task of its own that is always full, until its device is gone.
async fn load(done: Rc<Cell<u64>>) -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..DEPTH {
        queue.write_blocks(patterned(&device, block, 1, 1), block, 1, (block, true));
    }
    let mut gone = 0;
    while queue.ended().await {
        while let Some(mut io) = queue.pop() {
            if let Err(error) = io.take_result() {
                let ErrorKind::Gone { at, why, .. } = error.kind() else {
                    return Err(error);
                };
                assert_eq!(*why, Gone::Removed);
                assert_eq!(at.object, "bdev \"Malloc0\"");
                gone += 1;
                continue;
            }
            done.set(done.get() + 1);
            let (block, wrote) = *io.tag();
            let buf = io.buf().as_mut().expect("its buffer");
            pattern::assert_is(buf, BLOCK, block, 1);
            if wrote {
                buf.fill(0);
            }
            io.tag_mut().1 = !wrote;
            match wrote {
                true => io.read_blocks(block, 1),
                false => io.write_blocks(block, 1),
            }
        }
    }
    assert_eq!(gone, DEPTH, "an I/O was lost");
    // The queue outlives its device.
    queue.read_blocks(device.buffer(1)?, 0, 1, (0, false));
    queue.flush_blocks(0, 1, (1, false));
    assert_removed(error_of(&mut queue).await.1, "spdk_bdev_read_blocks");
    assert_removed(error_of(&mut queue).await.1, "spdk_bdev_flush_blocks");
    let again = IoQueue::<()>::new(&device.ch).map(drop);
    assert_removed(again.expect_err("it is gone"), "IoQueue::new");
    Ok(())
}

async fn removed_under_load() -> spdk::Result<()> {
    let done = Rc::new(Cell::new(0));
    let load = spawn_local(load(done.clone()))?;
    until("some load", || done.get() > 50 * DEPTH).await;
    rpc::call("bdev_malloc_delete", json!({"name": "Malloc0"})).await;
    load.await??;
    assert_eq!(rpc::bdevs().await, [""; 0]);
    Ok(())
}

/// Fails if a removal waits for an idle queue, or an I/O is lost or ends with another error.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn a_device_is_deleted_under_a_queue() -> spdk::Result<()> {
    removed_under_load().await
}

/// As above, while some wait for a `spdk_bdev_io`.
#[spdk::test(
    bdevs(
        bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    ),
    rpc_addr = &rpc::address(),
)]
async fn a_device_is_deleted_under_ios_that_wait() -> spdk::Result<()> {
    removed_under_load().await
}

/// Fails if a removal goes on under I/O in flight, or never ends: also when the queue was dropped.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "Delay0",
            avg_read_latency = 100_000, p99_read_latency = 100_000,
            avg_write_latency = 100_000, p99_write_latency = 100_000,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn a_removal_waits_for_ios_in_flight() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    let drops = Drops::default();
    let mut events = device.desc.events();
    let (mut kept, mut dropped) = (IoQueue::new(&device.ch)?, IoQueue::new(&device.ch)?);
    for block in 0..8 {
        kept.write_blocks(patterned(&device, block, 1, 1), block, 1, drops.tag());
        dropped.write_blocks(device.buffer(1)?, 8 + block, 1, drops.tag());
    }
    drop(dropped);
    let mut deleted = Box::pin(rpc::call("bdev_delay_delete", json!({"name": "Delay0"})));
    assert!(poll_once(deleted.as_mut()).is_pending());
    events.next().await;
    kept.read_blocks(device.buffer(1)?, 0, 1, drops.tag());
    assert_removed(error_of(&mut kept).await.1, "spdk_bdev_read_blocks");
    assert!(
        poll_once(deleted.as_mut()).is_pending() && drops.count() == 1,
        "the removal did not wait for the I/Os in flight"
    );
    while let Some(done) = kept.next().await {
        done.result?;
    }
    deleted.await;
    assert_eq!(drops.count(), 17);
    assert_eq!(rpc::bdevs().await, ["Malloc0"]);
    kept.flush_blocks(0, 1, drops.tag());
    assert_removed(error_of(&mut kept).await.1, "spdk_bdev_flush_blocks");
    Ok(())
}
