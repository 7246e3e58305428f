//! Devices whose size changes while they are used.

use super::*;

/// The device's file: so many bytes for a block.
const SIZE: u64 = BLOCK as u64;

async fn rescan() -> spdk::Result<Value> {
    rpc("bdev_aio_rescan", json!({"name": "A"})).await
}

/// Writes blocks and reads them back.
async fn round_trip(device: &Device, first: u64, blocks: u64, generation: u64) -> spdk::Result<()> {
    let mut buf = device.buffer(blocks as usize)?;
    pattern::fill(&mut buf, BLOCK, first, generation);
    device
        .desc
        .write_blocks(&device.ch, &buf, first, blocks)
        .await?;
    buf.fill(0);
    device
        .desc
        .read_blocks(&device.ch, &mut buf, first, blocks)
        .await?;
    pattern::assert_is(&buf, BLOCK, first, generation);
    Ok(())
}

/// What a write across the end says.
#[track_caller]
fn beyond(end: spdk::Result<()>, first: u64, blocks: u64, size: u64) {
    let text = end.map_err(|error| error.to_string());
    let expected = format!(
        "spdk_bdev_write_blocks on bdev \"A\" ({blocks} blocks at block {first}): Invalid argument \
         (EINVAL); the device ends after {size} blocks of {BLOCK} bytes, at byte {}",
        size * SIZE
    );
    assert_eq!(text, Err(expected));
}

/// I/O that goes on over the whole of what the device had before, whatever happens to its end.
async fn load(first: u64, stop: Arc<AtomicBool>) -> spdk::Result<()> {
    let device = Device::open("A")?;
    let mut generation = 0;
    while !stop.load(SeqCst) {
        generation += 1;
        round_trip(&device, first, 4, generation).await?;
        yield_now().await;
    }
    Ok(())
}

/// Fails if the new size is not told, or not heeded: where it is larger, I/O goes across the old end; and
/// what was in flight meanwhile is lost.
///
/// SPDK makes no device smaller that somebody has open. What its file has lost is an error of the device
/// then, and the others work.
#[spdk::test(cores = "0x3", deadline = 60, bdevs(
    bdev_aio_create(name = "A", filename = file(256 * SIZE), block_size = BLOCK),
))]
async fn a_file_grows_and_shrinks() -> spdk::Result<()> {
    let threads = threads().await?;
    let counters =
        Counters::settled(async { round_trip(&Device::open("A")?, 0, 8, 1).await }).await?;
    {
        let device = Device::open("A")?;
        let mut events = device.desc.events();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let loads = on_each(&threads, move |thread| load(8 * thread, stopped))?;
        let across = device.buffer(8)?;
        let mut size = 256;
        for _ in 0..10 {
            let old = size;
            size += 64;
            file(size * SIZE);
            // The file alone changes nothing.
            assert_eq!(device.bdev.num_blocks(), old);
            beyond(
                device
                    .desc
                    .write_blocks(&device.ch, &across, old - 4, 8)
                    .await,
                old - 4,
                8,
                old,
            );
            rescan().await?;
            assert_eq!(
                within("the event", events.next()).await,
                Some(BdevEvent::Resize)
            );
            assert_eq!(device.bdev.num_blocks(), size);
            round_trip(&device, old - 4, 8, size).await?;
            round_trip(&device, size - 1, 1, size).await?;
            beyond(
                device
                    .desc
                    .write_blocks(&device.ch, &across, size - 4, 8)
                    .await,
                size - 4,
                8,
                size,
            );
        }
        // Nobody is told of a rescan that finds nothing.
        rescan().await?;
        assert_eq!(events.next().now_or_never(), None);

        file(128 * SIZE);
        let refused = rescan().await;
        assert_eq!(
            refused.as_ref().err().and_then(Error::errno),
            Some(Errno::EBUSY),
            "{refused:?}"
        );
        assert_eq!(device.bdev.num_blocks(), size);
        assert_eq!(events.next().now_or_never(), None);
        round_trip(&device, 120, 8, 7).await?;
        let mut lost = device.buffer(8)?;
        for first in [124, 128, size - 8] {
            let read = device.desc.read_blocks(&device.ch, &mut lost, first, 8);
            let error = within("a read of what is lost", read)
                .await
                .expect_err("it is lost");
            let place = format!("on bdev \"A\" (8 blocks at block {first}): ");
            assert!(error.to_string().contains(&place), "{error}");
            assert!(
                matches!(error.kind(), ErrorKind::Device { .. }),
                "{error:?}"
            );
        }
        stop.store(true, SeqCst);
        within("the loads", try_join_all(loads)).await?;
    }
    counters.assert_back().await;
    // The rescan has it open itself, so only a new device has the new size.
    let refused = rescan().await;
    assert_eq!(
        refused.as_ref().err().and_then(Error::errno),
        Some(Errno::EBUSY),
        "{refused:?}"
    );
    rpc("bdev_aio_delete", json!({"name": "A"})).await?;
    let params = json!({"name": "A", "filename": file(128 * SIZE), "block_size": BLOCK});
    rpc("bdev_aio_create", params).await?;
    let device = Device::open("A")?;
    assert_eq!(device.bdev.num_blocks(), 128);
    let across = device.buffer(8)?;
    beyond(
        device.desc.write_blocks(&device.ch, &across, 124, 8).await,
        124,
        8,
        128,
    );
    round_trip(&device, 120, 8, 9).await?;
    drop((device, across));
    counters.assert_back().await;
    end(threads).await
}

/// Fails if the event of one device is that of another, comes when its size is not known yet, or does not
/// come to each stream, or if a queue keeps to the old end.
#[spdk::test(bdevs(
    bdev_null_create(name = "A", num_blocks = 2048, block_size = BLOCK),
    bdev_null_create(name = "B", num_blocks = 2048, block_size = BLOCK),
))]
async fn a_null_device_grows() -> spdk::Result<()> {
    let counters = Counters::settled(async { Device::open("A").map(drop) }).await?;
    {
        let (device, other) = (Device::open("A")?, Device::open("B")?);
        let mut events = [device.desc.events(), device.desc.events()];
        let mut queue = IoQueue::new(&device.ch)?;
        for size in 2..6_u64 {
            let blocks = (size << 20) / SIZE;
            queue.write_blocks(device.buffer(8)?, blocks - 8, 8, ());
            let done = within("a queue", queue.next()).await.expect("an I/O");
            beyond(done.result, blocks - 8, 8, device.bdev.num_blocks());
            rpc("bdev_null_resize", json!({"name": "A", "new_size": size})).await?;
            for events in &mut events {
                assert_eq!(
                    within("the event", events.next()).await,
                    Some(BdevEvent::Resize)
                );
                assert_eq!(device.bdev.num_blocks(), blocks);
            }
            queue.write_blocks(device.buffer(8)?, blocks - 8, 8, ());
            within("a queue", queue.next())
                .await
                .expect("an I/O")
                .result?;
        }
        let smaller = rpc("bdev_null_resize", json!({"name": "A", "new_size": 1})).await;
        assert!(
            matches!(kind(&smaller), Some(ErrorKind::Rpc { .. })),
            "{smaller:?}"
        );
        assert_eq!(
            (device.bdev.num_blocks(), other.bdev.num_blocks()),
            ((5 << 20) / SIZE, 2048)
        );
        assert_eq!(other.desc.events().next().now_or_never(), None);
    }
    counters.assert_back().await;
    Ok(())
}
