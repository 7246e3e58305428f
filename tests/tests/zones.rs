//! Zones, on a zoned bdev over a malloc bdev.
#![allow(missing_docs)]

use std::mem;

use spdk::bdev::{ZoneAction, ZoneInfo, ZoneState, ZoneType};
use spdk::{Errno, ErrorKind};
use spdk_tests::{Device, dma, kind, pattern, poll_once, until};

const BLOCK: usize = 512;
const ZONES: u64 = 8;
/// Blocks from one zone to the next, and those of them that can be written.
const ZONE: u64 = 128;
const CAPACITY: u64 = 100;

async fn zone(device: &Device, zone: u64) -> spdk::Result<ZoneInfo> {
    let zones = device.desc.zone_info(&device.ch, zone * ZONE, 1).await?;
    assert_eq!(zones.len(), 1);
    Ok(zones[0])
}

async fn act(device: &Device, zone: u64, action: ZoneAction) -> spdk::Result<()> {
    device
        .desc
        .zone_management(&device.ch, zone * ZONE, action)
        .await
}

/// Fails if a property is another one's, or a zone is described with the fields mixed up.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = ZONES * ZONE, block_size = BLOCK),
    bdev_zone_block_create(
        name = "D", base_bdev = "Malloc0", zone_capacity = CAPACITY, optimal_open_zones = 3,
    ),
))]
async fn properties_and_report() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    assert!(bdev.is_zoned()?);
    assert_eq!((bdev.zone_size()?, bdev.num_zones()?), (ZONE, ZONES));
    assert_eq!(bdev.optimal_open_zones()?, 3);
    assert_eq!((bdev.max_open_zones()?, bdev.max_active_zones()?), (0, 0));
    assert_eq!(bdev.max_zone_append_size()?, 0);
    for (block, first) in [(0, 0), (127, 0), (128, 128), (1000, 896)] {
        assert_eq!(bdev.zone_id(block)?, first, "{block}");
    }
    let zones = desc.zone_info(ch, 2 * ZONE, 3).await?;
    assert_eq!(zones.len(), 3);
    for (zone, number) in zones.iter().zip(2..) {
        assert_eq!(zone.zone_id, number * ZONE);
        assert_eq!(zone.capacity, CAPACITY);
        // A zone of this device begins as a full one.
        assert_eq!(zone.write_pointer, number * ZONE + CAPACITY);
        assert_eq!(
            (zone.state, zone.zone_type),
            (ZoneState::Full, ZoneType::SequentialRequired)
        );
    }
    // No zone begins there, or there are not so many.
    for (at, count) in [(1, 1), (7 * ZONE, 2)] {
        let wrong = desc.zone_info(ch, at, count).await;
        assert!(
            matches!(kind(&wrong), Some(ErrorKind::Device { .. })),
            "{wrong:?}"
        );
    }
    let huge = desc.zone_info(ch, 0, usize::MAX / 2).await;
    assert_eq!(
        huge.as_ref().err().and_then(spdk::Error::errno),
        Some(Errno::ENOMEM)
    );
    Ok(())
}

/// Fails if an action is another one.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = ZONES * ZONE, block_size = BLOCK),
    bdev_zone_block_create(
        name = "D", base_bdev = "Malloc0", zone_capacity = CAPACITY, optimal_open_zones = 3,
    ),
))]
async fn a_zone_goes_through_its_states() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    act(&device, 1, ZoneAction::Reset).await?;
    assert_eq!(zone(&device, 1).await?.state, ZoneState::Empty);
    assert_eq!(zone(&device, 1).await?.write_pointer, ZONE);
    act(&device, 1, ZoneAction::Open).await?;
    assert_eq!(zone(&device, 1).await?.state, ZoneState::ImplicitlyOpen);
    let mut buf = device.buffer(4)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    desc.write_blocks(ch, &buf, ZONE, 4).await?;
    assert_eq!(zone(&device, 1).await?.write_pointer, ZONE + 4);
    act(&device, 1, ZoneAction::Close).await?;
    assert_eq!(zone(&device, 1).await?.state, ZoneState::Closed);
    act(&device, 1, ZoneAction::Finish).await?;
    assert_eq!(zone(&device, 1).await?.state, ZoneState::Full);
    // The others are as they were.
    assert_eq!(zone(&device, 2).await?.state, ZoneState::Full);
    let wrong = act(&device, 1, ZoneAction::Offline).await;
    assert!(
        matches!(kind(&wrong), Some(ErrorKind::Device { .. })),
        "{wrong:?}"
    );
    let wrong = desc.zone_management(ch, ZONE + 1, ZoneAction::Reset).await;
    let text = wrong.map_err(|error| error.to_string());
    let expected = "spdk_bdev_zone_management on bdev \"D\" (at block 129): INTERNAL DEVICE ERROR (SCT 0x0 \
                    GENERIC, SC 0x06)";
    assert_eq!(text, Err(expected.to_owned()));
    Ok(())
}

/// Fails if an append says another place than it wrote to.
async fn appends(name: &str, md_size: usize) -> spdk::Result<()> {
    let device = Device::open(name)?;
    let Device { desc, ch, .. } = &device;
    let first = 3 * ZONE;
    act(&device, 3, ZoneAction::Reset).await?;
    let (mut at, mut generation) = (first, 0);
    for form in 0..if md_size > 0 { 4 } else { 2 } {
        for blocks in [1, 5] {
            generation += 1;
            let mut bufs = [device.buffer(blocks)?];
            pattern::fill(&mut bufs[0], BLOCK, at, generation);
            let mut md = spdk::DmaBuf::alloc(blocks * md_size.max(1), 64)?;
            md.fill(generation as u8);
            let count = blocks as u64;
            let place = match form {
                0 => desc.zone_append(ch, &bufs[0], first, count).await?,
                1 => desc.zone_appendv(ch, &bufs, first, count).await?,
                2 => {
                    desc.zone_append_with_md(ch, &bufs[0], &md, first, count)
                        .await?
                }
                _ => {
                    desc.zone_appendv_with_md(ch, &bufs, &md, first, count)
                        .await?
                }
            };
            assert_eq!(place, at, "form {form}");
            bufs[0].fill(0xee);
            if form < 2 {
                desc.read_blocks(ch, &mut bufs[0], at, count).await?;
            } else {
                md.fill(0xee);
                desc.read_blocks_with_md(ch, &mut bufs[0], &mut md, at, count)
                    .await?;
                assert!(
                    md.iter().all(|byte| *byte == generation as u8),
                    "form {form}"
                );
            }
            pattern::assert_is(&bufs[0], BLOCK, at, generation);
            at += count;
        }
    }
    assert_eq!(zone(&device, 3).await?.write_pointer, at);
    // More than there is room for.
    let buf = device.buffer(CAPACITY as usize)?;
    let error = desc
        .zone_append(ch, &buf, first, CAPACITY)
        .await
        .expect_err("it is too much");
    let text = error.to_string();
    let expected =
        format!("spdk_bdev_zone_append on bdev {name:?} ({CAPACITY} blocks at block {first}): ");
    assert!(text.starts_with(&expected), "{text}");
    let short = desc.zone_append(ch, &buf, first, 2).await;
    assert!(
        matches!(kind(&short), Some(ErrorKind::InvalidArgument { .. })),
        "{short:?}"
    );
    Ok(())
}

#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = ZONES * ZONE, block_size = BLOCK),
    bdev_zone_block_create(
        name = "D", base_bdev = "Malloc0", zone_capacity = CAPACITY, optimal_open_zones = 3,
    ),
))]
async fn append() -> spdk::Result<()> {
    appends("D", 0).await
}

#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "Malloc0", num_blocks = ZONES * ZONE, block_size = BLOCK, md_size = 16, md_interleave = false,
    ),
    bdev_zone_block_create(
        name = "D", base_bdev = "Malloc0", zone_capacity = CAPACITY, optimal_open_zones = 3,
    ),
))]
async fn append_with_metadata() -> spdk::Result<()> {
    appends("D", 16).await
}

/// Fails if a device without zones is divided by their size, or reported to have some.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 64, block_size = BLOCK)))]
async fn a_device_without_zones() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    assert!(!bdev.is_zoned()?);
    assert_eq!((bdev.zone_size()?, bdev.num_zones()?), (0, 0));
    let id = bdev.zone_id(1);
    assert!(
        matches!(kind(&id), Some(ErrorKind::InvalidArgument { .. })),
        "{id:?}"
    );
    let info = desc.zone_info(ch, 0, 1).await;
    assert!(
        matches!(kind(&info), Some(ErrorKind::Device { .. })),
        "{info:?}"
    );
    let append = desc.zone_append(ch, &device.buffer(1)?, 0, 1).await;
    assert!(
        matches!(kind(&append), Some(ErrorKind::Device { .. })),
        "{append:?}"
    );
    Ok(())
}

/// Fails if the array that C fills, or a buffer, goes with the future.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = ZONES * ZONE, block_size = BLOCK),
    bdev_zone_block_create(
        name = "D", base_bdev = "Malloc0", zone_capacity = CAPACITY, optimal_open_zones = 3,
    ),
))]
async fn abandoned() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    act(&device, 0, ZoneAction::Reset).await?;
    for turn in 0..32 {
        let mut report = Box::pin(desc.zone_info(ch, 0, 4));
        assert!(poll_once(report.as_mut()).is_pending());
        match turn % 2 {
            0 => drop(report),
            _ => mem::forget(report),
        }
        // Memory that was freed is used again, and must not change.
        let bystanders: Vec<_> = (0..16).map(|_| vec![0x5a_u8; 160]).collect();
        let before = dma::pieces();
        let buf = device.buffer(1)?;
        let mut append = Box::pin(desc.zone_append(ch, &buf, 0, 1));
        assert!(poll_once(append.as_mut()).is_pending());
        match turn % 2 {
            0 => drop(append),
            _ => mem::forget(append),
        }
        drop(buf);
        assert_eq!(
            dma::pieces(),
            before + 1,
            "memory was freed under an append"
        );
        until("the append to end", || dma::pieces() == before).await;
        let untouched = bystanders.iter().flatten().all(|byte| *byte == 0x5a);
        assert!(untouched, "C wrote where its array was");
    }
    assert_eq!(zone(&device, 0).await?.write_pointer, 32);
    Ok(())
}
