//! Blobs on malloc bdevs: those whose memory the data are copied to and from directly, and those where something is on
//! the way.

use futures_util::future::{join, join_all, try_join_all};
use spdk::bdev::{QosLimits, ResetStat};
use spdk::blob::{Blobstore, BsOpts};
use spdk::{Bdev, Errno};
use spdk_tests::pattern;

use crate::{UNIT, assert_errno, buffer, check, new_blob, of, write};

/// A cluster, which is larger than the buffers that SPDK has for reads without one.
const UNITS: u64 = 1024;

/// Writes of several lengths in flight together, some of them over the boundaries of the device; then their reads.
async fn io_on(bdev: &str) -> spdk::Result<Blobstore> {
    let store = Blobstore::init(
        bdev,
        Some(&BsOpts::new().cluster_size(UNITS as u32 * UNIT as u32)),
    )
    .await?;
    let blob = &new_blob(&store, &of(1)).await?;
    let ch = &store.alloc_io_channel()?;
    write(blob, ch, 0, UNITS, 99).await?;
    let places = || (0..UNITS / 8).map(|number| (8 * number + number % 4, 1 + number % 5, number));
    try_join_all(places().map(|(first, units, number)| write(blob, ch, first, units, number)))
        .await?;
    try_join_all(places().map(|(first, units, number)| check(blob, ch, first, units, number)))
        .await?;

    let mut whole = buffer(UNITS)?;
    blob.read_io_units(ch, &mut whole, 0, UNITS).await?;
    let mut written = places().peekable();
    for (unit, bytes) in (0..UNITS).zip(whole.chunks(UNIT)) {
        written.next_if(|(first, units, _)| first + units <= unit);
        let place = written.peek().filter(|(first, ..)| *first <= unit);
        let generation = place.map_or(99, |(.., number)| *number);
        pattern::assert_is(bytes, UNIT, unit, generation);
    }
    Ok(store)
}

/// Fails if data go elsewhere, or if a device counts other I/Os than it was asked for.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn lent() -> spdk::Result<()> {
    let store = io_on("M").await?;
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    let bdev = Bdev::find("M")?;
    let before = bdev.device_stat(ResetStat::None).await?;
    for _ in 0..3 {
        write(&blob, &ch, 4, 2, 1).await?;
    }
    for _ in 0..5 {
        check(&blob, &ch, 4, 2, 1).await?;
    }
    let after = bdev.device_stat(ResetStat::None).await?;
    assert_eq!(after.num_write_ops - before.num_write_ops, 3);
    assert_eq!(
        after.bytes_written - before.bytes_written,
        3 * 2 * UNIT as u64
    );
    assert_eq!(after.num_read_ops - before.num_read_ops, 5);
    assert_eq!(after.bytes_read - before.bytes_read, 5 * 2 * UNIT as u64);
    Ok(())
}

/// Fails if limits of the device are passed by, or if an I/O that waits until they let it go does not end.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn limited() -> spdk::Result<()> {
    let limits = QosLimits {
        rw_ios_per_sec: 1000,
        ..QosLimits::default()
    };
    let bdev = Bdev::find("M")?;
    bdev.set_qos_limits(limits).await?;
    let before = spdk::ticks();
    let store = io_on("M").await?;
    // More than 256 I/Os.
    let took = spdk::ticks() - before;
    assert!(took >= spdk::ticks_hz()? / 5, "too early");
    store.unload().await
}

/// Fails if a reset of the device hangs what is in flight, or a write that it broke off cannot be made again.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn reset() -> spdk::Result<()> {
    let store = io_on("M").await?;
    let blob = &new_blob(&store, &of(1)).await?;
    let ch = &store.alloc_io_channel()?;
    let desc = Bdev::find("M")?.open(false)?;
    let channel = desc.get_io_channel()?;
    let mut broken_off = 0;
    for round in 0..64 {
        let writes = join_all((0..16).map(|number| write(blob, ch, 4 * number, 4, round)));
        let (results, reset) = join(writes, desc.reset(&channel)).await;
        reset?;
        for (number, result) in (0..16).zip(results) {
            if result.is_err() {
                assert_errno(result, Errno::EIO);
                broken_off += 1;
                write(blob, ch, 4 * number, 4, round).await?;
            }
        }
        check(blob, ch, 0, 64, round).await?;
    }
    assert!(broken_off > 0, "nothing was in flight");
    Ok(())
}

/// Fails if an I/O that SPDK splits does not have its own buffer.
#[spdk::test(bdevs(bdev_malloc_create(
    name = "M", num_blocks = 16384, block_size = UNIT, optimal_io_boundary = 8,
)))]
async fn split() -> spdk::Result<()> {
    io_on("M").await?.unload().await
}

/// Fails if a read that is passed on does not have its own buffer.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_passthru_create(name = "P", base_bdev_name = "M"),
))]
async fn passed_on() -> spdk::Result<()> {
    io_on("P").await?.unload().await
}
