//! How blobstores and blobs are made and opened.

use spdk::bdev::ResetStat;
use spdk::blob::{BlobClearMethod, BlobOpenOpts, BlobOpts, Blobstore, BsClearMethod, BsOpts};
use spdk::{Bdev, Errno};
use spdk_tests::memory::Memory;
use spdk_tests::{Device, assert_kind, pattern};

use crate::{CLUSTER, UNIT, assert_errno, buffer, check, new_blob, of, opts, write};

const BLOCKS: u64 = 16384;

/// How many blocks of the device have the pattern of this generation, as those of a blob or of the device itself.
async fn blocks_of(generation: u64) -> spdk::Result<u64> {
    let desc = Bdev::find("M")?.open(false)?;
    let mut buf = buffer(BLOCKS)?;
    desc.read(&desc.get_io_channel()?, &mut buf, 0).await?;
    let is_one = |(block, number): &(&[u8], u64)| {
        let in_cluster = number % CLUSTER;
        let numbers = [*number, in_cluster, CLUSTER + in_cluster];
        numbers
            .iter()
            .any(|first| pattern::check(block, UNIT, *first, generation).is_ok())
    };
    Ok(buf.chunks(UNIT).zip(0..).filter(is_one).count() as u64)
}

async fn fill(generation: u64) -> spdk::Result<()> {
    let device = Device::open("M")?;
    let mut buf = device.buffer(BLOCKS as usize)?;
    pattern::fill(&mut buf, UNIT, 0, generation);
    device.desc.write(&device.ch, &buf, 0).await
}

/// How many unmaps the device had since this was asked last.
async fn unmaps() -> spdk::Result<u64> {
    let stat = Bdev::find("M")?.device_stat(ResetStat::All).await?;
    Ok(stat.num_unmap_ops)
}

/// Fails if a device is cleared in another way than the one that is asked for.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT)))]
async fn a_device_is_cleared() -> spdk::Result<()> {
    let of_method = async |method| {
        fill(1).await?;
        unmaps().await?;
        let opts = match method {
            Some(method) => opts().clear_method(method),
            None => opts(),
        };
        let store = Blobstore::init("M", Some(&opts)).await?;
        let clusters = store.total_clusters()?;
        store.unload().await?;
        let is_kept = blocks_of(1).await? >= clusters * CLUSTER;
        Ok::<_, spdk::Error>((is_kept, unmaps().await? > 0))
    };
    assert_eq!(of_method(None).await?, (false, true));
    assert_eq!(of_method(Some(BsClearMethod::Unmap)).await?, (false, true));
    let zeroes = of_method(Some(BsClearMethod::WriteZeroes)).await?;
    assert_eq!(zeroes, (false, false));
    assert_eq!(of_method(Some(BsClearMethod::None)).await?, (true, false));
    Ok(())
}

/// Fails if the clusters of a blob are cleared in another way than the one that it was made or opened with.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT)))]
async fn clusters_are_cleared() -> spdk::Result<()> {
    use BlobClearMethod::{Default, None, Unmap, WriteZeroes};
    let cleared = |method| match method {
        None => (true, false),
        WriteZeroes => (false, false),
        _ => (false, true),
    };
    for made in [Default, None, Unmap, WriteZeroes] {
        for opened in [Default, None, Unmap, WriteZeroes] {
            let store = Blobstore::init("M", Some(&opts())).await?;
            let blob = new_blob(&store, &of(2).clear_method(made)).await?;
            let ch = store.alloc_io_channel()?;
            for first in [0, CLUSTER] {
                write(&blob, &ch, first, CLUSTER, 2).await?;
            }
            let id = blob.id();
            blob.close().await?;
            drop(ch);
            let open = BlobOpenOpts::new().clear_method(opened);
            let blob = store.open_blob(id, Some(&open)).await?;
            unmaps().await?;
            blob.resize(1).await?;
            blob.sync().await?;
            blob.close().await?;
            let found = (blocks_of(2).await? == 2 * CLUSTER, unmaps().await? > 0);
            let method = if opened == Default { made } else { opened };
            assert_eq!(found, cleared(method), "{made:?}, {opened:?}");
            store.delete_blob(id).await?;
            let is_kept = (blocks_of(2).await? > 0, unmaps().await? > 0);
            assert_eq!(is_kept.1, cleared(made).1, "{made:?}, {opened:?}");
            store.unload().await?;
        }
    }
    Ok(())
}

/// Fails if a store cannot become as large as it says, or can become larger.
#[spdk::test]
async fn the_largest_store() -> spdk::Result<()> {
    const BLOCK: u32 = 4096;
    let memory = Memory::new(BLOCK, 256);
    let options = BsOpts::new().cluster_size(BLOCK).num_md_pages(64);
    let store = Blobstore::init_on(memory.clone(), Some(&options)).await?;
    let used = 256 - store.total_clusters()?;
    let size = store.max_growable_size().await?;
    let blocks = size / u64::from(BLOCK);
    assert!(blocks > 256 && size.is_multiple_of(BLOCK.into()), "{size}");
    memory.grow(blocks - 256);
    store.grow().await?;
    assert_eq!(store.total_clusters()?, blocks - used);
    assert_eq!(store.max_growable_size().await?, size);
    memory.grow(1);
    assert_errno(store.grow().await, Errno::ENOSPC);
    assert_eq!(store.total_clusters()?, blocks - used);
    store.unload().await
}

/// Fails if pages of metadata have another size than the one that is asked for, if it is lost when the store is loaded, or
/// if one is taken that SPDK does not survive.
#[spdk::test]
async fn pages_of_metadata() -> spdk::Result<()> {
    let mut clusters = Vec::new();
    for size in [4096, 8192, 65536] {
        let memory = Memory::new(UNIT as u32, BLOCKS);
        let options = opts().num_md_pages(16).md_page_size(size);
        let store = Blobstore::init_on(memory.clone(), Some(&options)).await?;
        assert_eq!(store.page_size(), u64::from(size));
        clusters.push(store.total_clusters()?);
        let blob = new_blob(&store, &of(2)).await?;
        blob.set_xattr("long", &[7; 3000]).await?;
        blob.set_xattr("longer", &[8; 3500]).await?;
        let id = blob.id();
        blob.close().await?;
        store.unload().await?;
        let store = Blobstore::load_on(memory, Some(&opts())).await?;
        assert_eq!(store.page_size(), u64::from(size));
        let blob = store.open_blob(id, None).await?;
        assert_eq!(blob.xattr("longer").await?, Some(vec![8; 3500]));
    }
    assert!(
        clusters.is_sorted_by(|one, other| one > other),
        "{clusters:?}"
    );
    for size in [0, 2048, 6000, 12288] {
        let options = opts().md_page_size(size);
        let made = Blobstore::init_on(Memory::new(UNIT as u32, BLOCKS), Some(&options)).await;
        assert_kind!(made, InvalidArgument);
    }
    let options = opts().md_page_size(1 << 17);
    let larger = Blobstore::init_on(Memory::new(UNIT as u32, BLOCKS), Some(&options)).await;
    assert_errno(larger, Errno::EINVAL);
    Ok(())
}

/// Fails if the memory that SPDK has for the clusters of a thin blob is smaller than its size says, as with one that overflows, or
/// if a blob that was to become so large is another one afterwards.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 65536, block_size = UNIT)))]
async fn larger_than_any() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().num_md_pages(2048))).await?;
    let ch = store.alloc_io_channel()?;
    for table in [true, false] {
        let thin = BlobOpts::new().thin_provision(true).use_extent_table(table);
        let blob = new_blob(&store, &thin.clone().num_clusters(4)).await?;
        // Eight bytes for each of these are a few bytes, for a usize.
        for clusters in [(1 << 61) + 1, (1 << 61) + 5, 1 << 32, u64::MAX] {
            let large = thin.clone().num_clusters(clusters);
            assert_errno(store.create_blob(Some(&large)).await, Errno::ENOSPC);
            assert_errno(blob.resize(clusters).await, Errno::ENOSPC);
            assert_eq!(blob.num_clusters()?, 4);
        }
        blob.resize(1000).await?;
        write(&blob, &ch, 999 * CLUSTER, 8, 1).await?;
        check(&blob, &ch, 999 * CLUSTER, 8, 1).await?;
    }
    Ok(())
}
