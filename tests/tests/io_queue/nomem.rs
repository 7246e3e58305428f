//! More I/Os than `spdk_bdev_io`s.

use super::*;

/// Fails if `ENOMEM` reaches the caller, if an I/O is lost in SPDK's queue, or if it writes something
/// else when it leaves it.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn with_too_few_bdev_ios_all_complete() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for generation in 1..6 {
        for block in 0..DEPTH {
            let mut buf = device.buffer(1)?;
            pattern::fill(&mut buf, BLOCK, block, generation);
            queue.write_blocks(buf, block, 1, (block, true));
        }
        // Others compete for them.
        let others = spawn_local(async {
            let device = Device::open("Malloc0")?;
            let mut buf = device.buffer(1)?;
            for _ in 0..20 {
                device.desc.read(&device.ch, &mut buf, 0).await?;
            }
            Ok::<_, Error>(())
        })?;
        let mut reads = 0;
        while queue.ended().await {
            while let Some(mut io) = queue.pop() {
                io.take_result()?;
                assert!(io.submitted() > 0);
                let (block, wrote) = *io.tag();
                let buf = io.buf().as_mut().expect("its buffer");
                pattern::assert_is(buf, BLOCK, block, generation);
                if wrote {
                    buf.fill(0);
                    io.tag_mut().1 = false;
                    io.read_blocks(block, 1);
                } else {
                    reads += 1;
                }
            }
        }
        assert_eq!(reads, DEPTH);
        others.await??;
        // Those that need no buffer wait too.
        for block in 0..DEPTH {
            queue.write_zeroes_blocks(block, 1, (block, true));
        }
        while let Some(done) = queue.next().await {
            done.result?;
        }
        let mut all = device.buffer(DEPTH as usize)?;
        device.desc.read(&device.ch, &mut all, 0).await?;
        pattern::assert_zero(&all);
    }
    Ok(())
}

/// Fails if I/Os of a queue that is dropped while they wait are submitted, block those behind them, or
/// keep their buffers.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn a_queue_is_dropped_while_its_ios_wait() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    device.desc.write(&device.ch, &device.buffer(1)?, 0).await?;
    let pieces = dma::pieces();
    let drops = Drops::default();
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..DEPTH {
        queue.write_blocks(patterned(&device, block, 1, 1), block, 1, drops.tag());
    }
    let mut behind = IoQueue::new(&device.ch)?;
    for block in DEPTH..2 * DEPTH {
        behind.write_blocks(patterned(&device, block, 1, 1), block, 1, ());
    }
    drop(queue);
    assert_eq!(drops.count(), 0);
    while let Some(done) = behind.next().await {
        done.result?;
    }
    drop(behind);
    until("the memory to come back", || dma::pieces() == pieces).await;
    assert_eq!(drops.count(), DEPTH);
    let mut all = device.buffer(2 * DEPTH as usize)?;
    device.desc.read(&device.ch, &mut all, 0).await?;
    let (first, second) = all.split_at(DEPTH as usize * BLOCK);
    pattern::assert_is(second, BLOCK, DEPTH, 1);
    let written = first.chunks(BLOCK).filter(|block| !is_zero(block)).count();
    assert!(written <= POOL as usize, "{written} blocks were written");
    Ok(())
}

/// A queue with more I/Os than there are `spdk_bdev_io`s.
fn with_ios_that_wait() -> spdk::Result<IoQueue<()>> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..DEPTH {
        queue.write_blocks(device.buffer(1)?, block, 1, ());
    }
    Ok(queue)
}

/// Fails if the end of the application, or the close of the device, forgets those that wait.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn the_application_ends_while_ios_wait() -> spdk::Result<()> {
    with_ios_that_wait().map(drop)
}

/// As above, where nobody has the queue any more.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn the_application_ends_while_ios_of_a_forgotten_queue_wait() -> spdk::Result<()> {
    with_ios_that_wait().map(mem::forget)
}
