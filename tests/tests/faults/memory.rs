//! More operations at once than there is memory for, of each kind of memory: `spdk_bdev_io`s, DPDK's heap and
//! the buffers of `iobuf`.

use super::*;

/// The `spdk_bdev_io`s of the whole process: one that each spdk_thread keeps, and few more.
const POOL: u32 = 8;
/// Many more operations at once, on each spdk_thread.
const MANY: u64 = 48;

/// Each writes and reads its block, some times.
async fn tasks(device: Rc<Device>, first: u64) -> spdk::Result<()> {
    let tasks = (0..MANY).map(|number| {
        let device = device.clone();
        spawn_local(async move {
            let Device { desc, ch, .. } = &*device;
            let block = first + number;
            let mut bufs = [device.buffer(1)?];
            for generation in 1..6 {
                pattern::fill(&mut bufs[0], BLOCK, block, generation);
                // One that leaves SPDK's queue before its turn, with what it would have done.
                let _ = poll_once(pin!(desc.write_zeroes_blocks(ch, 1000, 1)));
                desc.write_blocks(ch, &bufs[0], block, 1).await?;
                bufs[0].fill(0);
                match number % 3 {
                    0 => desc.read_blocks(ch, &mut bufs[0], block, 1).await?,
                    1 => desc.readv_blocks(ch, &mut bufs, block, 1).await?,
                    _ => {
                        desc.flush_blocks(ch, block, 1).await?;
                        desc.read(ch, &mut bufs[0], block * BLOCK as u64).await?;
                    }
                }
                pattern::assert_is(&bufs[0], BLOCK, block, generation);
            }
            Ok::<_, Error>(())
        })
    });
    for task in tasks.collect::<spdk::Result<Vec<_>>>()? {
        task.await??;
    }
    Ok(())
}

/// The same in a queue.
async fn queue(device: Rc<Device>, first: u64, depth: u64) -> spdk::Result<()> {
    let mut queue = IoQueue::new(&device.ch)?;
    for block in first..first + depth {
        let mut buf = device.buffer(1)?;
        pattern::fill(&mut buf, BLOCK, block, 1);
        queue.write_blocks(buf, block, 1, (block, 0));
    }
    let mut reads = 0;
    while queue.ended().await {
        while let Some(mut io) = queue.pop() {
            io.take_result()?;
            let (block, turn) = *io.tag();
            let buf = io.buf().as_mut().expect("its buffer");
            pattern::assert_is(buf, BLOCK, block, 1);
            if turn == 5 {
                reads += 1;
                continue;
            }
            io.tag_mut().1 += 1;
            match turn % 2 {
                0 => {
                    io.buf().as_mut().expect("its buffer").fill(0);
                    io.read_blocks(block, 1);
                }
                _ => io.write_blocks(block, 1),
            }
        }
    }
    assert_eq!(reads, depth, "an I/O was lost");
    Ok(())
}

async fn storm(threads: &[Option<ThreadHandle>; 3]) -> spdk::Result<()> {
    let open = Arc::new(AtomicU64::new(0));
    let each = on_each(threads, move |thread| async move {
        let (m, n) = (Rc::new(Device::open("M")?), Rc::new(Device::open("N")?));
        // A channel needs a `spdk_bdev_io` of its own to begin with, or is not made.
        open.fetch_add(1, SeqCst);
        until("the channels of all", || open.load(SeqCst) == 3).await;
        let first = thread * 256;
        let all = [
            spawn_local(tasks(m.clone(), first))?,
            spawn_local(tasks(n.clone(), first))?,
            spawn_local(queue(m, first + 64, MANY))?,
            spawn_local(queue(n, first + 64, MANY))?,
        ];
        for end in join_all(all).await {
            end??;
        }
        Ok(())
    })?;
    within("a storm", try_join_all(each)).await.map(drop)
}

/// Fails if `ENOMEM` reaches a caller, if an operation waits for ever although others end, or if one that was
/// dropped in the queue stays there.
#[spdk::test(cores = "0x3", deadline = 60, bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "N", num_blocks = 1024, block_size = BLOCK),
))]
async fn few_bdev_ios_for_three_threads() -> spdk::Result<()> {
    let threads = threads().await?;
    let counters = Counters::settled(storm(&threads)).await?;
    for _ in 0..5 {
        storm(&threads).await?;
        // Also before the next channels: what nobody waits for has what they need to begin with.
        counters.assert_back().await;
    }
    end(threads).await
}

/// Fails if a queue that is much deeper than SPDK's pool loses an I/O.
#[spdk::test(deadline = 60, bdevs(
    bdev_set_options(bdev_io_pool_size = 64, bdev_io_cache_size = 8),
    bdev_malloc_create(name = "M", num_blocks = 8192, block_size = BLOCK),
))]
async fn a_queue_of_thousands() -> spdk::Result<()> {
    let all = |depth| async move { queue(Rc::new(Device::open("M")?), 0, depth).await };
    let counters = Counters::settled(all(128)).await?;
    within("a queue of thousands", all(8000)).await?;
    counters.assert_back().await;
    Ok(())
}

/// Writes and reads as many large buffers at once as there is memory for, until all blocks were written.
async fn full(device: &Device, blocks: u64) -> spdk::Result<u64> {
    let (mut next, mut refused, size) = (0, 0, blocks * BLOCK as u64);
    let mut queue = IoQueue::new(&device.ch)?;
    let end = device.bdev.num_blocks();
    loop {
        while next < end {
            let mut buf = match spdk::DmaBuf::alloc(size as usize, 4096) {
                Ok(buf) => buf,
                Err(error) => {
                    let said = error.to_string();
                    assert!(
                        matches!(error.kind(), ErrorKind::NoDmaMemory { .. }),
                        "{said}"
                    );
                    assert_eq!(error.errno(), Some(Errno::ENOMEM));
                    assert!(
                        said.contains("mem_size_mb") && said.contains(&size.to_string()),
                        "{said}"
                    );
                    refused += 1;
                    break;
                }
            };
            pattern::fill(&mut buf[..BLOCK], BLOCK, next, 1);
            queue.write_blocks(buf, next, blocks, next);
            next += blocks;
        }
        match queue.next().await {
            // Its memory is there for the next one.
            Some(done) => done.result?,
            None if next >= end => break,
            None => panic!("there is no memory, and nothing that has it"),
        }
    }
    let mut buf = device.buffer(1)?;
    for block in (0..end).step_by(blocks as usize) {
        device
            .desc
            .read_blocks(&device.ch, &mut buf, block, 1)
            .await?;
        pattern::assert_is(&buf, BLOCK, block, 1);
    }
    Ok(refused)
}

/// Fails if memory that is not there is not told, or if that of I/O in flight does not come back.
#[spdk::test(deadline = 60, bdevs(
    bdev_malloc_create(name = "M", num_blocks = 65536, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "M", name = "D",
        avg_read_latency = 0, p99_read_latency = 0, avg_write_latency = 5_000, p99_write_latency = 5_000,
    ),
))]
async fn more_depth_than_dma_memory() -> spdk::Result<()> {
    let all = || async {
        let device = Device::open("D")?;
        let mut hoard = Vec::new();
        while let Ok(buf) = spdk::DmaBuf::alloc(8 << 20, 4096) {
            hoard.push(buf);
        }
        // Room for some.
        hoard.truncate(hoard.len().saturating_sub(1));
        let refused = within("a full memory", full(&device, 2048)).await?;
        assert!(
            refused > 0,
            "there was memory for all: the test does not test"
        );
        Ok(())
    };
    let counters = Counters::settled(all()).await?;
    all().await?;
    counters.assert_back().await;
    Ok(())
}

/// The largest buffers of SPDK's own that an operation here needs.
const LARGE: u64 = 128;

/// Operations for which SPDK needs a buffer of its own: comparisons and copies of a device that can do neither.
async fn buffers_of_spdk(threads: &[Option<ThreadHandle>; 3]) -> spdk::Result<()> {
    let open = Arc::new(AtomicU64::new(0));
    let each = on_each(threads, move |thread| async move {
        let device = &Device::open("R")?;
        // A channel needs buffers of its own to begin with, or is not made.
        open.fetch_add(1, SeqCst);
        until("the channels of all", || open.load(SeqCst) == 3).await;
        let (from, to) = (thread * 4 * LARGE, (thread * 4 + 2) * LARGE);
        let mut buf = device.buffer(LARGE as usize)?;
        pattern::fill(&mut buf, BLOCK, from, 1);
        device
            .desc
            .write_blocks(&device.ch, &buf, from, LARGE)
            .await?;
        let (desc, ch, same) = (&device.desc, &device.ch, &buf);
        let compares = (0..24).map(|_| desc.compare_blocks(ch, same, from, LARGE));
        let copies = (0..24).map(|_| desc.copy_blocks(ch, to, from, LARGE));
        let (compares, copies) = futures_util::join!(try_join_all(compares), try_join_all(copies));
        compares?;
        copies?;
        // Some that nobody waits for.
        for _ in 0..24 {
            let _ = poll_once(pin!(desc.compare_blocks(ch, &buf, from, LARGE)));
        }
        let mut copy = device.buffer(LARGE as usize)?;
        desc.read_blocks(ch, &mut copy, to, LARGE).await?;
        assert!(copy.as_slice() == buf.as_slice());
        Ok(())
    })?;
    within("operations without buffers", try_join_all(each))
        .await
        .map(drop)
}

/// Fails if an operation that waits for one of SPDK's buffers waits for ever, or keeps it.
#[spdk::test(cores = "0x3", deadline = 60, subsystems(
    iobuf(iobuf_set_options(small_pool_count = 64, large_pool_count = 8)),
    accel(accel_set_options(small_cache_size = 1, large_cache_size = 1)),
    bdev(
        bdev_set_options(iobuf_small_cache_size = 1, iobuf_large_cache_size = 1),
        bdev_malloc_create(name = "M", num_blocks = 4096, block_size = BLOCK),
        bdev_raid_create(name = "R", raid_level = "raid0", strip_size_kb = 64, base_bdevs = ["M"]),
    ),
))]
async fn more_depth_than_iobufs() -> spdk::Result<()> {
    let threads = threads().await?;
    let counters = Counters::settled(buffers_of_spdk(&threads)).await?;
    for _ in 0..5 {
        buffers_of_spdk(&threads).await?;
        // Also before the next channels: what nobody waits for has what they need to begin with.
        counters.assert_back().await;
    }
    end(threads).await
}
