//! Memory that a device lends.
#![allow(missing_docs)]

use std::mem;

use serde_json::json;
use spdk::{Errno, ErrorKind, Zcopy};
use spdk_tests::{Device, dma, kind, pattern, poll_once, rpc, until};

const BLOCK: usize = 512;
const LATENCY: u64 = 10_000;

async fn check(device: &Device, first: u64, blocks: usize, generation: u64) -> spdk::Result<()> {
    let mut buf = device.buffer(blocks)?;
    device
        .desc
        .read_blocks(&device.ch, &mut buf, first, blocks as u64)
        .await?;
    match generation {
        0 => pattern::assert_zero(&buf),
        _ => pattern::assert_is(&buf, BLOCK, first, generation),
    }
    Ok(())
}

fn write(zcopy: &mut Zcopy, generation: u64) -> spdk::Result<()> {
    let mut bytes = vec![0; zcopy.len()?];
    pattern::fill(&mut bytes, BLOCK, zcopy.offset_blocks(), generation);
    // In pieces of any size.
    for (piece, at) in bytes.chunks(700).zip((0..).step_by(700)) {
        zcopy.write(at, piece)?;
    }
    Ok(())
}

/// Fails if the memory is that of other blocks, is written back although it was given up, or is not although
/// it was committed. This memory is the device's own, where what is written is there at once.
async fn commit_and_abort(name: &str) -> spdk::Result<()> {
    let device = Device::open(name)?;
    let Device { desc, ch, .. } = &device;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 16, 1);
    desc.write_blocks(ch, &buf, 16, 8).await?;

    let mut zcopy = desc.zcopy_start(ch, 16, 8, true).await?;
    assert_eq!((zcopy.offset_blocks(), zcopy.num_blocks()), (16, 8));
    assert_eq!(zcopy.len()?, 8 * BLOCK);
    let total: usize = zcopy.parts()?.iter().map(|(_, len)| len).sum();
    assert_eq!(total, 8 * BLOCK);
    let mut bytes = vec![0; 8 * BLOCK];
    zcopy.read(0, &mut bytes)?;
    pattern::assert_is(&bytes, BLOCK, 16, 1);
    zcopy.read(3 * BLOCK, &mut bytes[..BLOCK])?;
    pattern::assert_is(&bytes[..BLOCK], BLOCK, 19, 1);
    for (at, len) in [(0, 8 * BLOCK + 1), (8 * BLOCK, 1), (usize::MAX, 2)] {
        let beyond = zcopy.read(at, &mut vec![0; len]);
        assert!(
            matches!(kind(&beyond), Some(ErrorKind::InvalidArgument { .. })),
            "{beyond:?}"
        );
        let beyond = zcopy.write(at, &vec![0; len]);
        assert!(
            matches!(kind(&beyond), Some(ErrorKind::InvalidArgument { .. })),
            "{beyond:?}"
        );
    }
    write(&mut zcopy, 2)?;
    zcopy.commit().await?;
    check(&device, 16, 8, 2).await?;

    let mut zcopy = desc.zcopy_start(ch, 64, 4, false).await?;
    write(&mut zcopy, 3)?;
    zcopy.commit().await?;
    check(&device, 64, 4, 3).await?;
    check(&device, 68, 4, 0).await?;

    let mut zcopy = desc.zcopy_start(ch, 16, 8, true).await?;
    write(&mut zcopy, 4)?;
    zcopy.abort().await?;
    check(&device, 16, 8, 4).await?;

    let mut zcopy = desc.zcopy_start(ch, 64, 4, true).await?;
    write(&mut zcopy, 5)?;
    // A future that was never polled does not commit.
    drop(zcopy.commit());
    check(&device, 64, 4, 5).await?;

    let error = desc
        .zcopy_start(ch, 1020, 8, true)
        .await
        .expect_err("it ends beyond the device");
    assert_eq!(error.errno(), Some(Errno::EINVAL));
    assert!(
        error.to_string().contains("(8 blocks at block 1020)"),
        "{error}"
    );
    let read_only = device.bdev.open(false)?;
    let error = read_only
        .zcopy_start(ch, 0, 1, true)
        .await
        .expect_err("it cannot be written");
    assert_eq!(error.errno(), Some(Errno::EBADF));
    Ok(())
}

#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = 100, p99_read_latency = 100,
        avg_write_latency = 100, p99_write_latency = 100,
    ),
))]
async fn the_memory_is_that_of_the_device_below() -> spdk::Result<()> {
    commit_and_abort("D").await
}

#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn the_memory_is_the_devices() -> spdk::Result<()> {
    commit_and_abort("D").await
}

/// Fails if it is not given back: by a drop, by a drop of the future that makes it, when it is forgotten and
/// the application ends, or in another order than the channel and the descriptor.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "D",
            avg_read_latency = LATENCY, p99_read_latency = LATENCY,
            avg_write_latency = LATENCY, p99_write_latency = LATENCY,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn dropped() -> spdk::Result<()> {
    for order in [0, 2, 3, 4, 5] {
        let Device { bdev, desc, ch } = Device::open("D")?;
        let mut start = Box::pin(desc.zcopy_start(&ch, 0, 4, true));
        assert!(poll_once(start.as_mut()).is_pending());
        match order {
            0 => drop(start),
            2 => {
                let zcopy = start.await?;
                drop((ch, desc, bdev));
                let mut bytes = [0; 4 * BLOCK];
                zcopy.read(0, &mut bytes)?;
                drop(zcopy);
            }
            3 => {
                let mut end = Box::pin(start.await?.commit());
                assert!(poll_once(end.as_mut()).is_pending());
                drop(end);
            }
            4 => {
                let mut end = Box::pin(start.await?.abort());
                assert!(poll_once(end.as_mut()).is_pending());
                mem::forget(end);
            }
            _ => {
                let zcopy = start.await?;
                zcopy.abort().await?;
            }
        }
    }
    let deadline = std::time::Instant::now() + spdk_tests::wait::PATIENCE;
    while rpc::channels("bdev_D").await > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "memory was not given back"
        );
    }
    // What is forgotten goes with the spdk_thread.
    let device = Device::open("D")?;
    let mut start = Box::pin(device.desc.zcopy_start(&device.ch, 0, 4, true));
    assert!(poll_once(start.as_mut()).is_pending());
    mem::forget(start);
    mem::forget(device.desc.zcopy_start(&device.ch, 0, 4, true).await?);
    Ok(())
}

/// Fails if a removal waits for memory that is held, or memory of a device that is gone is reached.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn the_device_is_removed() -> spdk::Result<()> {
    let pieces = dma::pieces();
    let device = Device::open("D")?;
    let mut held = device.desc.zcopy_start(&device.ch, 0, 4, true).await?;
    let other = device.desc.zcopy_start(&device.ch, 8, 4, true).await?;
    rpc::call("bdev_malloc_delete", json!({"name": "D"})).await;
    assert!(!rpc::bdevs().await.contains(&"D".to_owned()));
    let results = [
        held.read(0, &mut [0; 4]),
        held.write(0, &[0; 4]),
        held.parts().map(drop),
        held.commit().await,
        other.abort().await,
    ];
    for result in &results {
        assert!(
            matches!(kind(result), Some(ErrorKind::Gone { .. })),
            "{result:?}"
        );
    }
    drop(device);
    until("its memory to be free", || dma::pieces() < pieces).await;
    Ok(())
}

/// Fails if a bdev lends memory whose module cannot give it back: SPDK crashes, or whoever gives it back, and the end
/// of the application, waits for ever.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "A", num_blocks = 64, block_size = BLOCK),
    bdev_error_create(base_name = "A"),
    bdev_malloc_create(name = "B", num_blocks = 64, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "B", name = "Slow",
        avg_read_latency = 1, p99_read_latency = 1, avg_write_latency = 1, p99_write_latency = 1,
    ),
    bdev_passthru_create(base_bdev_name = "Slow", name = "Passthru"),
    bdev_malloc_create(name = "C", num_blocks = 64, block_size = BLOCK),
    bdev_split_create(base_bdev = "C", split_count = 2),
))]
async fn what_cannot_be_given_back_is_not_lent() -> spdk::Result<()> {
    for name in ["EE_A", "Passthru", "Cp0"] {
        let device = Device::open(name)?;
        let lent = device.desc.zcopy_start(&device.ch, 0, 8, true).await;
        let errno = lent.err().and_then(|error| error.errno());
        assert_eq!(errno, Some(Errno::ENOTSUP), "{name}");
    }
    Ok(())
}
