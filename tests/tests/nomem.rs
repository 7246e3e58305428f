//! More operations than SPDK has `spdk_bdev_io`s for: the rest waits, and nobody sees `ENOMEM`.
//!
//! The malloc bdev completes in a poller, so what one task starts at once is in flight together. A
//! bdev on top of another one, such as delay, would be no use: its operations take the pool and then
//! wait for each other's.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::future::join_all;
use spdk::DmaBuf;
use spdk::blob::{BlobOpts, Blobstore};
use spdk_tests::{Device, dma, pattern, poll_once, until};

const BLOCK: usize = 512;
/// The `spdk_bdev_io`s of the whole process.
const POOL: u32 = 8;
/// Many more operations at once.
const MANY: u64 = 64;

type Io<'a> = Pin<Box<dyn Future<Output = spdk::Result<()>> + 'a>>;

async fn many_at_once(name: &str) -> spdk::Result<()> {
    let device = Rc::new(Device::open(name)?);
    for generation in 1..4 {
        let writes: Vec<_> = (0..MANY)
            .map(|block| {
                let device = device.clone();
                spdk::spawn_local(async move {
                    let mut buf = device.buffer(1)?;
                    pattern::fill(&mut buf, BLOCK, block, generation);
                    device
                        .desc
                        .write(&device.ch, &buf, block * BLOCK as u64)
                        .await
                })
            })
            .collect::<spdk::Result<_>>()?;
        for written in join_all(writes).await {
            written??;
        }
        // Vectored and plain, in one task.
        let mut bufs: Vec<DmaBuf> = (0..MANY)
            .map(|_| device.buffer(1))
            .collect::<spdk::Result<_>>()?;
        let reads = bufs
            .chunks_mut(1)
            .zip(0_u64..)
            .map(|(bufs, block)| -> Io<'_> {
                match block % 2 {
                    0 => Box::pin(device.desc.read_blocks(&device.ch, &mut bufs[0], block, 1)),
                    _ => Box::pin(device.desc.readv_blocks(&device.ch, bufs, block, 1)),
                }
            });
        for read in join_all(reads).await {
            read?;
        }
        for (buf, block) in bufs.iter().zip(0..) {
            pattern::assert_is(buf, BLOCK, block, generation);
        }
    }
    Ok(())
}

/// Fails if `ENOMEM` reaches the caller, or if an operation is lost in the queue (the deadline).
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn all_complete() -> spdk::Result<()> {
    many_at_once("Malloc0").await
}

/// As above, of a blob.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 16384, block_size = BLOCK),
))]
async fn all_complete_on_a_blob() -> spdk::Result<()> {
    let store = Blobstore::init("Malloc0", None).await?;
    let opts = BlobOpts::new().num_clusters(1);
    let id = store.create_blob(Some(&opts)).await?;
    let blob = store.open_blob(id, None).await?;
    let ch = store.alloc_io_channel()?;
    let new = |_| DmaBuf::alloc(BLOCK, BLOCK);
    for generation in 1..4 {
        let mut bufs = (0..MANY).map(new).collect::<spdk::Result<Vec<_>>>()?;
        for (buf, block) in bufs.iter_mut().zip(0..) {
            pattern::fill(buf, BLOCK, block, generation);
        }
        // Vectored and plain.
        let writes = bufs.chunks(1).zip(0_u64..).map(|(bufs, block)| -> Io<'_> {
            match block % 2 {
                0 => Box::pin(blob.write_io_units(&ch, &bufs[0], block, 1)),
                _ => Box::pin(blob.writev_io_units(&ch, bufs, block, 1)),
            }
        });
        for written in join_all(writes).await {
            written?;
        }
        let mut bufs = (0..MANY).map(new).collect::<spdk::Result<Vec<_>>>()?;
        let reads = bufs
            .chunks_mut(1)
            .zip(0_u64..)
            .map(|(bufs, block)| -> Io<'_> {
                match block % 2 {
                    0 => Box::pin(blob.read_io_units(&ch, &mut bufs[0], block, 1)),
                    _ => Box::pin(blob.readv_io_units(&ch, bufs, block, 1)),
                }
            });
        for read in join_all(reads).await {
            read?;
        }
        for (buf, block) in bufs.iter().zip(0..) {
            pattern::assert_is(buf, BLOCK, block, generation);
        }
    }
    Ok(())
}

/// As above, where the operations of an idle channel wait for those of another one.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 1024, block_size = BLOCK),
    bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK),
))]
async fn all_complete_on_several_devices() -> spdk::Result<()> {
    let null = async {
        let device = Device::open("Null0")?;
        let bufs: Vec<_> = (0..MANY)
            .map(|_| device.buffer(1))
            .collect::<spdk::Result<_>>()?;
        for written in join_all(start_writes(&device, &bufs)).await {
            written?;
        }
        Ok(())
    };
    let (one, two, three) =
        futures_util::join!(many_at_once("Malloc0"), many_at_once("Malloc1"), null);
    one.and(two).and(three)
}

/// Starts a write of one block in each buffer, more than the pool has room for. The first ones are
/// in flight, the others wait.
fn start_writes<'a>(device: &'a Device, bufs: &'a [DmaBuf]) -> Vec<Io<'a>> {
    let mut writes: Vec<Io<'a>> = bufs
        .iter()
        .zip(0..)
        .map(|(buf, block)| -> Io<'a> {
            Box::pin(device.desc.write_blocks(&device.ch, buf, block, 1))
        })
        .collect();
    for write in &mut writes {
        assert!(poll_once(write.as_mut()).is_pending());
    }
    writes
}

/// What a block of the device holds: 0 or a generation.
async fn generations(device: &Device) -> spdk::Result<Vec<u64>> {
    let mut all = device.buffer(MANY as usize)?;
    device.desc.read(&device.ch, &mut all, 0).await?;
    let blocks = all.chunks(BLOCK).zip(0..);
    Ok(blocks
        .map(
            |(block, number)| match pattern::check(block, BLOCK, number, 1) {
                Ok(()) => 1,
                Err(_) => {
                    pattern::assert_zero(block);
                    0
                }
            },
        )
        .collect())
}

fn written_buffers(device: &Device) -> spdk::Result<Vec<DmaBuf>> {
    (0..MANY)
        .map(|block| {
            let mut buf = device.buffer(1)?;
            pattern::fill(&mut buf, BLOCK, block, 1);
            Ok(buf)
        })
        .collect()
}

/// Fails if a future that is dropped while it waits stays in the queue: its block is written. Fails
/// if it takes others with it: theirs is not.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn a_future_dropped_in_the_queue_leaves_it() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    device.desc.write(&device.ch, &device.buffer(1)?, 0).await?;
    let pieces = dma::pieces();
    let bufs = written_buffers(&device)?;
    let mut kept = Vec::new();
    let mut dropped = Vec::new();
    for (write, block) in start_writes(&device, &bufs).into_iter().zip(0_u64..) {
        // The first ones may be in flight already: SPDK has at most this many.
        if block < u64::from(POOL) || block % 3 == 0 {
            kept.push((write, block));
        } else {
            dropped.push(block);
        }
    }
    assert!(dropped.len() > 30);
    let kept_blocks: Vec<u64> = kept.iter().map(|(_, block)| *block).collect();
    for written in join_all(kept.into_iter().map(|(write, _)| write)).await {
        written?;
    }
    drop(bufs);
    until("the memory to be freed", || dma::pieces() == pieces).await;
    let found = generations(&device).await?;
    for block in kept_blocks {
        assert_eq!(found[block as usize], 1, "block {block} was not written");
    }
    for block in dropped {
        assert_eq!(
            found[block as usize], 0,
            "block {block} was written by a dropped future"
        );
    }
    Ok(())
}

/// Fails if the operation of a forgotten future is lost, keeps its memory, or blocks the queue.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn a_future_forgotten_in_the_queue_runs_all_the_same() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    device.desc.write(&device.ch, &device.buffer(1)?, 0).await?;
    let pieces = dma::pieces();
    let bufs = written_buffers(&device)?;
    start_writes(&device, &bufs)
        .into_iter()
        .for_each(std::mem::forget);
    drop(bufs);
    assert!(
        dma::pieces() > pieces,
        "memory was freed under operations that wait"
    );
    until("the memory to be freed", || dma::pieces() == pieces).await;
    assert_eq!(generations(&device).await?, vec![1; MANY as usize]);
    Ok(())
}

/// Fails if the channel or the descriptor goes under operations that wait, or never goes.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn the_device_is_closed_while_operations_wait() -> spdk::Result<()> {
    drop(Device::open("Malloc0")?);
    let pieces = dma::pieces();
    for forget in [true, false] {
        let device = Device::open("Malloc0")?;
        let bufs = written_buffers(&device)?;
        let writes = start_writes(&device, &bufs);
        if forget {
            writes.into_iter().for_each(std::mem::forget);
        } else {
            drop(writes);
        }
        drop(device);
        drop(bufs);
        until("everything to go", || dma::pieces() <= pieces).await;
    }
    Ok(())
}

/// Fails if the end of the application forgets the queue: SPDK would abort, or never stop.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn the_application_ends_while_operations_wait() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let bufs = written_buffers(&device)?;
    let writes = start_writes(&device, &bufs);
    for (write, number) in writes.into_iter().zip(0..) {
        if number % 2 == 0 {
            std::mem::forget(write);
        }
    }
    Ok(())
}

/// Fails if the future of a waiting operation is woken without end: its task would be polled more
/// often than anything happens.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn waiting_costs_no_polls() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let bufs = written_buffers(&device)?;
    let in_flight = start_writes(&device, &bufs[1..]);
    let polls = RefCell::new(0);
    let mut write: Io<'_> = Box::pin(device.desc.write_blocks(&device.ch, &bufs[0], 0, 1));
    std::future::poll_fn(|cx| {
        *polls.borrow_mut() += 1;
        write
            .as_mut()
            .poll(cx)
            .map(|written| assert!(written.is_ok()))
    })
    .await;
    let polls = polls.into_inner();
    assert!(polls <= 4, "{polls} polls of one operation");
    let mut in_flight = in_flight;
    let waited = in_flight
        .iter_mut()
        .all(|write| matches!(poll_once(write.as_mut()), Poll::Ready(Ok(()))));
    assert!(
        waited,
        "an operation that was in the queue before it has not ended"
    );
    Ok(())
}
