//! How stores and volumes are made.

use spdk::bdev::ResetStat;
use spdk::blob::{BlobClearMethod, BsClearMethod};
use spdk::lvol::{LvolOpts, LvolStore};
use spdk::{Bdev, Errno, ErrorKind};
use spdk_tests::{Device, assert_kind, pattern};

use crate::{BYTES, CLUSTER, UNIT, assert_errno, buffer, check, init, names, opts, write};

const BLOCKS: u64 = 16384;

/// How many blocks of the device have the pattern of this generation: as its own, or as those of the first cluster of a
/// volume.
async fn blocks_of(generation: u64) -> spdk::Result<u64> {
    let desc = Bdev::find("M")?.open(false)?;
    let mut buf = buffer(BLOCKS)?;
    desc.read(&desc.get_io_channel()?, &mut buf, 0).await?;
    let is_one = |(block, number): &(&[u8], u64)| {
        [*number, *number % CLUSTER]
            .iter()
            .any(|first| pattern::check(block, UNIT, *first, generation).is_ok())
    };
    Ok(buf.chunks(UNIT).zip(0..).filter(is_one).count() as u64)
}

/// How many unmaps the device had since this was asked last.
async fn unmaps() -> spdk::Result<u64> {
    let stat = Bdev::find("M")?.device_stat(ResetStat::All).await?;
    Ok(stat.num_unmap_ops)
}

/// Fails if a store clears its device, or a volume its clusters, in another way than the one that is asked for, also after
/// it was loaded.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT)))]
async fn what_is_cleared() -> spdk::Result<()> {
    for (store_method, method, is_kept, is_unmapped) in [
        (BsClearMethod::Unmap, BlobClearMethod::Default, false, true),
        (BsClearMethod::Unmap, BlobClearMethod::Unmap, false, true),
        (
            BsClearMethod::WriteZeroes,
            BlobClearMethod::WriteZeroes,
            false,
            false,
        ),
        (BsClearMethod::None, BlobClearMethod::None, true, false),
    ] {
        let device = Device::open("M")?;
        let mut buf = device.buffer(BLOCKS as usize)?;
        pattern::fill(&mut buf, UNIT, 0, 1);
        device.desc.write(&device.ch, &buf, 0).await?;
        drop(device);
        unmaps().await?;
        let opts = opts().clear_method(store_method);
        let store = LvolStore::init("M", "store", Some(&opts)).await?;
        let found = (
            blocks_of(1).await? >= store.total_clusters()? * CLUSTER,
            unmaps().await? > 0,
        );
        assert_eq!(found, (is_kept, is_unmapped), "{store_method:?}");

        let opts = LvolOpts::new().clear_method(method);
        let lvol = store.create_lvol("lvol", BYTES, Some(&opts)).await?;
        let ch = store.alloc_io_channel()?;
        write(&lvol, &ch, 0, CLUSTER, 2).await?;
        drop((lvol, ch));
        store.unload().await?;
        assert_eq!(blocks_of(2).await?, CLUSTER);
        let store = LvolStore::load("M").await?;
        unmaps().await?;
        store.destroy_lvol("lvol").await?;
        let found = (blocks_of(2).await? == CLUSTER, unmaps().await? > 0);
        assert_eq!(found, (is_kept, is_unmapped), "{method:?}");
        store.unload().await?;
    }
    Ok(())
}

/// Fails if pages of metadata have another size than the one that is asked for, if it is lost when the store is loaded, or
/// if one is taken that SPDK does not survive.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT)))]
async fn pages_of_metadata() -> spdk::Result<()> {
    let mut clusters = Vec::new();
    for size in [4096, 8192, 65536] {
        let opts = opts().num_md_pages_per_cluster_ratio(16).md_page_size(size);
        let store = LvolStore::init("M", "store", Some(&opts)).await?;
        clusters.push(store.total_clusters()?);
        let lvol = store.create_lvol("lvol", 2 * BYTES, None).await?;
        let ch = store.alloc_io_channel()?;
        write(&lvol, &ch, 0, 2 * CLUSTER, 1).await?;
        drop((lvol, ch));
        store.unload().await?;
        let store = LvolStore::load("M").await?;
        assert_eq!(clusters.last(), Some(&store.total_clusters()?));
        let lvol = store.open_lvol("lvol").await?;
        let ch = store.alloc_io_channel()?;
        check(&lvol, &ch, 0, 2 * CLUSTER, 1).await?;
        drop((lvol, ch));
        store.unload().await?;
    }
    assert!(
        clusters.is_sorted_by(|one, other| one > other),
        "{clusters:?}"
    );
    for size in [0, 2048, 6000, 12288] {
        let opts = opts().md_page_size(size);
        assert_kind!(
            LvolStore::init("M", "store", Some(&opts)).await,
            InvalidArgument
        );
    }
    let opts = opts().md_page_size(1 << 17);
    assert_errno(
        LvolStore::init("M", "store", Some(&opts)).await,
        Errno::EINVAL,
    );
    LvolStore::load("M").await?.unload().await
}

/// Fails if a volume can lose what SPDK knows it by: then the store is not loaded any more.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn own_attributes_of_a_volume_stay() -> spdk::Result<()> {
    let store = init("M").await?;
    let lvol = store.create_lvol("lvol", BYTES, None).await?;
    let blob = lvol.blob();
    for name in ["name", "uuid"] {
        for result in [
            blob.set_xattr(name, &[b'x'; 64]).await,
            blob.set_xattr(name, b"").await,
            blob.remove_xattr(name).await,
        ] {
            assert_kind!(result, InvalidArgument);
        }
    }
    blob.set_xattr("other", b"value").await?;
    blob.remove_xattr("other").await?;
    lvol.close().await?;
    store.unload().await?;
    assert_eq!(names(&LvolStore::load("M").await?).await?, ["lvol"]);
    Ok(())
}

/// Fails if a store has fewer clusters or pages of metadata than are asked for, since SPDK cannot count so many.
#[spdk::test(bdevs(bdev_null_create(name = "large", num_blocks = (1_u64 << 32) + 100_000, block_size = 4096)))]
async fn more_than_32_bits_count() -> spdk::Result<()> {
    let of = |cluster_size, ratio| {
        let opts = opts().cluster_size(cluster_size);
        opts.num_md_pages_per_cluster_ratio(ratio)
    };
    for (opts, is_refused) in [
        (of(4096, 1), true),
        (of(4 << 20, 1025), true),
        (of(4 << 20, 100), false),
    ] {
        let error = LvolStore::init("large", "store", Some(&opts)).await;
        let error = error.expect_err("a null bdev keeps no store");
        let kind = matches!(error.kind(), ErrorKind::InvalidArgument { .. });
        assert_eq!(kind, is_refused, "{error}");
    }
    Ok(())
}
