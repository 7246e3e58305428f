//! Comparing, copying, seeking, and making blocks unreadable.
#![allow(missing_docs)]

use serde_json::json;
use spdk::{BdevIoType, Errno, ErrorKind};
use spdk_tests::{Device, assert_errno, kind, pattern, rpc};

const BLOCK: usize = 512;

/// Fails if a comparison is of other blocks, says that different data are equal, or is told as another
/// failure of the device.
async fn compares(name: &str) -> spdk::Result<()> {
    let device = Device::open(name)?;
    let Device { desc, ch, .. } = &device;
    let mut whole = device.buffer(8)?;
    pattern::fill(&mut whole, BLOCK, 16, 1);
    desc.write_blocks(ch, &whole, 16, 8).await?;
    let mut parts = [device.buffer(1)?, device.buffer(7)?];
    parts[0].copy_from_slice(&whole[..BLOCK]);
    parts[1].copy_from_slice(&whole[BLOCK..]);
    desc.compare_blocks(ch, &whole, 16, 8).await?;
    desc.comparev_blocks(ch, &parts, 16, 8).await?;
    // The last byte differs, then all of them: the next blocks are zeroes.
    parts[1][7 * BLOCK - 1] ^= 1;
    for compared in [
        desc.comparev_blocks(ch, &parts, 16, 8).await,
        desc.compare_blocks(ch, &whole, 17, 8).await,
    ] {
        let error = compared.expect_err("they differ");
        let status = error.nvme_status();
        assert!(
            status.is_some_and(|status| status.is_compare_failure()),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.ends_with("COMPARE FAILURE (SCT 0x2 MEDIA ERROR, SC 0x85)"),
            "{text}"
        );
    }
    let beyond = desc.compare_blocks(ch, &whole, 1020, 8).await;
    assert_eq!(
        beyond.as_ref().err().and_then(spdk::Error::errno),
        Some(Errno::EINVAL)
    );
    let short = desc.compare_blocks(ch, &whole, 0, 9).await;
    assert!(
        matches!(kind(&short), Some(ErrorKind::InvalidArgument { .. })),
        "{short:?}"
    );
    Ok(())
}

#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn compare_on_malloc() -> spdk::Result<()> {
    compares("D").await
}

#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 2048, block_size = BLOCK),
    bdev_split_create(base_bdev = "Malloc0", split_count = 2),
))]
async fn compare_on_split() -> spdk::Result<()> {
    compares("Malloc0p0").await
}

/// Fails if SPDK is asked to compare more than its buffers have, where it splits the read: it then counts one I/O less than
/// none in flight.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "A", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "B", num_blocks = 1024, block_size = BLOCK),
    bdev_raid_create(name = "R", raid_level = "raid0", base_bdevs = ["A", "B"], strip_size_kb = 4),
    bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK),
))]
async fn more_than_a_buffer() -> spdk::Result<()> {
    let most = u64::from(spdk::iobuf::pools()?.large_size) / BLOCK as u64;
    let raid = Device::open("R")?;
    let Device { desc, ch, .. } = &raid;
    let zeroes = raid.buffer(most as usize)?;
    desc.compare_blocks(ch, &zeroes, 1, most).await?;
    let more = [raid.buffer(most as usize)?, raid.buffer(1)?];
    let one = raid.buffer(most as usize + 1)?;
    for end in [
        desc.compare_blocks(ch, &one, 1, most + 1).await,
        desc.comparev_blocks(ch, &more, 1, most + 1).await,
    ] {
        assert!(
            matches!(kind(&end), Some(ErrorKind::InvalidArgument { .. })),
            "{end:?}"
        );
    }
    let devices = spdk::metrics::snapshot().await?.devices;
    let depths: Vec<u64> = devices.iter().map(|device| device.queue_depth).collect();
    assert_eq!(depths, vec![0; devices.len()]);
    // A device that reads into its own memory needs no buffer.
    let malloc = Device::open("M")?;
    malloc
        .desc
        .compare_blocks(&malloc.ch, &one, 1, most + 1)
        .await
}

/// Fails if it writes although the data differ, does not although they are equal, or takes one of the two
/// buffers for the other.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn compare_and_write() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    assert!(bdev.acwu()? >= 1);
    let generation = |generation| -> spdk::Result<_> {
        let mut buf = device.buffer(1)?;
        pattern::fill(&mut buf, BLOCK, 3, generation);
        Ok([buf])
    };
    let (old, new, other) = (generation(1)?, generation(2)?, generation(3)?);
    desc.write_blocks(ch, &old[0], 3, 1).await?;
    let mut on_device = device.buffer(1)?;

    let failed = desc.compare_and_write_blocks(ch, &other, &new, 3, 1).await;
    let error = failed.expect_err("they differ");
    let status = error.nvme_status();
    assert!(
        status.is_some_and(|status| status.is_compare_failure()),
        "{error}"
    );
    desc.read_blocks(ch, &mut on_device, 3, 1).await?;
    pattern::assert_is(&on_device, BLOCK, 3, 1);

    desc.compare_and_write_blocks(ch, &old, &new, 3, 1).await?;
    desc.read_blocks(ch, &mut on_device, 3, 1).await?;
    pattern::assert_is(&on_device, BLOCK, 3, 2);

    let blocks = u64::from(bdev.acwu()?) + 1;
    let buf = [device.buffer(blocks as usize)?];
    let many = desc
        .compare_and_write_blocks(ch, &buf, &buf, 0, blocks)
        .await;
    assert_eq!(
        many.as_ref().err().and_then(spdk::Error::errno),
        Some(Errno::EINVAL)
    );
    for (compare, write) in [(&old[..], &buf[..]), (&buf[..], &new[..]), (&[], &new[..])] {
        let wrong = desc
            .compare_and_write_blocks(ch, compare, write, 3, 1)
            .await;
        assert!(
            matches!(kind(&wrong), Some(ErrorKind::InvalidArgument { .. })),
            "{wrong:?}"
        );
    }
    Ok(())
}

/// Fails if a copy is from, or to, another place.
async fn copies(name: &str) -> spdk::Result<()> {
    let device = Device::open(name)?;
    let Device { desc, ch, .. } = &device;
    let mut buf = device.buffer(64)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    desc.write_blocks(ch, &buf, 0, 64).await?;
    desc.copy_blocks(ch, 500, 8, 32).await?;
    desc.read_blocks(ch, &mut buf, 490, 64).await?;
    pattern::assert_zero(&buf[..10 * BLOCK]);
    pattern::assert_is(&buf[10 * BLOCK..42 * BLOCK], BLOCK, 8, 1);
    pattern::assert_zero(&buf[42 * BLOCK..]);
    for (to, from) in [(1000, 0), (0, 1000)] {
        let beyond = desc.copy_blocks(ch, to, from, 32).await;
        let error = beyond.expect_err("it ends beyond the device");
        assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("(32 blocks from block {from} to block {to})")),
            "{error}"
        );
    }
    Ok(())
}

#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn copy_on_malloc() -> spdk::Result<()> {
    copies("D").await
}

/// As above, where SPDK reads and writes.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Malloc0"),
))]
async fn copy_on_error() -> spdk::Result<()> {
    copies("EE_Malloc0").await
}

/// Fails if what is found is not read off the operation: on a volume with a hole, or on a device that says
/// that it has none.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 65536, block_size = BLOCK),
        bdev_malloc_create(name = "Plain", num_blocks = 64, block_size = BLOCK),
    ),
    rpc_addr = &rpc::address(),
)]
async fn seek() -> spdk::Result<()> {
    let plain = Device::open("Plain")?;
    assert_eq!(plain.desc.seek_data(&plain.ch, 5).await?, 5);
    assert_eq!(plain.desc.seek_hole(&plain.ch, 5).await?, u64::MAX);
    let beyond = plain.desc.seek_data(&plain.ch, 64).await;
    assert_eq!(
        beyond.as_ref().err().and_then(spdk::Error::errno),
        Some(Errno::EINVAL)
    );
    drop(plain);

    let store = json!({"bdev_name": "Malloc0", "lvs_name": "store", "cluster_sz": 1 << 20});
    rpc::call("bdev_lvol_create_lvstore", store).await;
    let volume = json!({
        "lvs_name": "store", "lvol_name": "volume", "size_in_mib": 8, "thin_provision": true,
    });
    rpc::call("bdev_lvol_create", volume).await;
    let device = Device::open("store/volume")?;
    let Device { bdev, desc, ch } = &device;
    assert!(bdev.io_type_supported(BdevIoType::SeekData)?);
    // One cluster in the middle, of 8.
    let cluster = (1 << 20) / bdev.block_size() as u64;
    let buf = device.buffer(1)?;
    desc.write_blocks(ch, &buf, 3 * cluster + 7, 1).await?;
    assert_eq!(desc.seek_data(ch, 0).await?, 3 * cluster);
    assert_eq!(desc.seek_data(ch, 3 * cluster + 9).await?, 3 * cluster + 9);
    assert_eq!(desc.seek_data(ch, 4 * cluster).await?, u64::MAX);
    assert_eq!(desc.seek_hole(ch, 5).await?, 5);
    assert_eq!(desc.seek_hole(ch, 3 * cluster).await?, 4 * cluster);
    // The names of the volume: its own is a UUID.
    assert_eq!(bdev.aliases()?, ["store/volume"]);
    Ok(())
}

/// Fails if an NVMe device may be given a part of the blocks that it was to be given: the driver counts them in 32 bits.
#[spdk::test(bdevs(bdev_null_create(name = "large", num_blocks = 1_u64 << 33, block_size = BLOCK)))]
async fn blocks_that_32_bits_cannot_count() -> spdk::Result<()> {
    let Device { desc, ch, .. } = Device::open("large")?;
    let most = u64::from(u32::MAX);
    let refused = desc.write_uncorrectable_blocks(&ch, 0, most + 1).await;
    assert_errno(refused, Errno::EINVAL);
    let refused = desc.write_uncorrectable_blocks(&ch, 0, most).await;
    assert_errno(refused, Errno::ENOTSUP); // as this device refuses all
    Ok(())
}

/// Fails if it is not said which call the device cannot do.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 64, block_size = BLOCK)))]
async fn what_no_device_here_can_do() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    assert!(!bdev.io_type_supported(BdevIoType::WriteUncorrectable)?);
    let errors = [
        desc.write_uncorrectable_blocks(ch, 1, 2).await,
        desc.nvme_nssr(ch).await,
    ];
    let texts = errors.map(|result| result.map_err(|error| error.to_string()));
    let why = "Operation not supported (ENOTSUP)";
    let expected = [
        format!("spdk_bdev_write_uncorrectable_blocks on bdev \"D\" (2 blocks at block 1): {why}"),
        format!("spdk_bdev_nvme_nssr on bdev \"D\": {why}"),
    ];
    assert_eq!(texts, expected.map(Err));
    Ok(())
}
