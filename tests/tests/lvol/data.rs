//! What stores and volumes keep, and what they tell.

use std::fs::OpenOptions;

use serde_json::{Value, json};
use spdk::Errno;
use spdk::lvol::LvolStore;
use spdk_tests::{Device, pattern};

use crate::{BYTES, CLUSTER, UNIT, assert_errno, check, file, init, names, new_file, thin, write};

/// Fails if a snapshot is destroyed whose clone has got another size, which harms that; or if it cannot be when the clone
/// depends on it no more.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 32768, block_size = UNIT)))]
async fn a_clone_of_another_size_is_not_merged() -> spdk::Result<()> {
    let store = init("M").await?;
    let ch = store.alloc_io_channel()?;
    let lvol = store.create_lvol("lvol", 3 * BYTES, None).await?;
    write(&lvol, &ch, 0, 3 * CLUSTER, 1).await?;
    let snapshot = lvol.create_snapshot("snapshot").await?;
    lvol.resize(5 * BYTES).await?;
    assert_errno(snapshot.destroy().await, Errno::ENOTSUP);
    assert_errno(store.destroy_lvol("snapshot").await, Errno::ENOTSUP);
    assert_eq!(names(&store).await?, ["lvol", "snapshot"]);
    lvol.inflate().await?;
    store.destroy_lvol("snapshot").await?;
    drop((lvol, ch));
    store.unload().await?;
    let store = LvolStore::load("M").await?;
    let lvol = store.open_lvol("lvol").await?;
    assert_eq!(lvol.size()?, 5 * BYTES);
    let ch = store.alloc_io_channel()?;
    check(&lvol, &ch, 0, 3 * CLUSTER, 1).await
}

/// Fails if a store or its volumes are other ones after they were loaded again.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn what_a_store_keeps() -> spdk::Result<()> {
    let store = init("M").await?;
    let uuid = store.uuid();
    assert_eq!((store.name().as_str(), store.bdev_name()), ("store", "M"));
    assert_eq!((store.cluster_size(), store.io_unit_size()), (BYTES, 512));
    assert_ne!(uuid, [0; 16]);
    let free = store.free_clusters()?;
    assert_eq!(free, store.total_clusters()?);
    assert!(free > 100, "{free}");
    assert_eq!(names(&store).await?, [""; 0]);

    // Rounded up.
    let thick = store.create_lvol("thick", 2 * BYTES - 1, None).await?;
    assert_eq!(store.free_clusters()?, free - 2);
    let other = store
        .create_lvol("thin", 1000 * BYTES, Some(&thin()))
        .await?;
    assert_eq!(store.free_clusters()?, free - 2);
    let ch = store.alloc_io_channel()?;
    write(&thick, &ch, 0, 2 * CLUSTER, 1).await?;
    write(&other, &ch, 500 * CLUSTER, CLUSTER, 2).await?;
    assert_eq!(store.free_clusters()?, free - 3);
    let uuids = (thick.uuid(), other.uuid());
    assert_ne!(uuids.0, uuids.1);
    thick.rename("new name").await?;
    thick.rename("new name").await?;
    assert_errno(thick.rename("thin").await, Errno::EEXIST);
    thick.resize(3 * BYTES).await?;
    assert_eq!(thick.size()?, 3 * BYTES);
    write(&thick, &ch, 2 * CLUSTER, CLUSTER, 1).await?;
    store.rename("shop").await?;
    assert_eq!(store.name(), "shop");
    other.set_read_only().await?;
    assert_errno(write(&other, &ch, 0, 1, 9).await, Errno::EPERM);
    drop(ch);
    thick.close().await?;
    other.close().await?;
    store.unload().await?;

    let store = LvolStore::load("M").await?;
    assert_eq!((store.name(), store.uuid()), ("shop".to_owned(), uuid));
    assert_eq!(names(&store).await?, ["new name", "thin"]);
    let lvols = store.lvols().await?;
    let told = lvols.iter().find(|lvol| lvol.name == "thin");
    let told = told.expect("it is there");
    assert_eq!(
        (told.size, told.num_allocated_clusters, told.uuid),
        (1000 * BYTES, 1, uuids.1)
    );
    assert!(told.is_thin && told.is_read_only && !told.is_degraded && told.parent.is_none());
    assert_errno(store.open_lvol("thick").await, Errno::ENOENT);
    assert_errno(store.open_lvol_by_uuid([1; 16]).await, Errno::ENOENT);
    let thick = store.open_lvol("new name").await?;
    let other = store.open_lvol_by_uuid(told.uuid.expect("a UUID")).await?;
    assert_eq!((thick.uuid(), other.uuid()), uuids);
    assert_eq!(thick.info().await?.name, "new name");
    let ch = store.alloc_io_channel()?;
    check(&thick, &ch, 0, 3 * CLUSTER, 1).await?;
    check(&other, &ch, 500 * CLUSTER, CLUSTER, 2).await?;
    assert_errno(write(&other, &ch, 0, 1, 9).await, Errno::EPERM);
    assert_errno(store.destroy_lvol("thin").await, Errno::EBUSY);
    other.destroy().await?;
    thick.close().await?;
    store.destroy_lvol("new name").await?;
    assert_eq!(store.free_clusters()?, free);
    drop(ch);
    store.destroy().await?;
    assert_errno(LvolStore::load("M").await, Errno::EILSEQ);
    Ok(())
}

/// Fails if a snapshot changes, or the tree is told wrong.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 32768, block_size = UNIT),
    bdev_malloc_create(name = "T", num_blocks = 1024, block_size = UNIT),
    bdev_malloc_create(name = "Coarse", num_blocks = 1024, block_size = 4096),
))]
async fn snapshots_and_clones() -> spdk::Result<()> {
    let store = init("M").await?;
    let free = store.free_clusters()?;
    let ch = store.alloc_io_channel()?;
    let lvol = store.create_lvol("lvol", 4 * BYTES, None).await?;
    write(&lvol, &ch, 0, 4 * CLUSTER, 1).await?;
    let first = lvol.create_snapshot("first").await?;
    write(&lvol, &ch, 0, CLUSTER, 2).await?;
    let second = lvol.create_snapshot("second").await?;
    write(&lvol, &ch, CLUSTER, CLUSTER, 3).await?;
    check(&first, &ch, 0, 4 * CLUSTER, 1).await?;
    check(&second, &ch, 0, CLUSTER, 2).await?;
    check(&second, &ch, CLUSTER, 3 * CLUSTER, 1).await?;
    assert_errno(write(&first, &ch, 0, 1, 9).await, Errno::EPERM);
    assert_errno(first.rename("other").await, Errno::EPERM);
    assert_errno(lvol.create_clone("no").await, Errno::EINVAL);
    assert_errno(lvol.create_snapshot("first").await, Errno::EEXIST);
    assert_errno(first.create_clone("lvol").await, Errno::EEXIST);

    let clone = first.create_clone("clone").await?;
    check(&clone, &ch, 0, 4 * CLUSTER, 1).await?;
    let found = |of: Vec<spdk::lvol::LvolInfo>| {
        let mut names: Vec<_> = of.into_iter().map(|lvol| lvol.name).collect();
        names.sort();
        names
    };
    assert_eq!(found(first.clones().await?), ["clone", "second"]);
    assert_eq!(found(second.clones().await?), ["lvol"]);
    assert_eq!(found(lvol.clones().await?), [""; 0]);
    assert!(!first.is_deletable().await? && lvol.is_deletable().await?);
    assert!(!clone.is_degraded().await?);
    let info = clone.info().await?;
    assert_eq!(info.parent, Some(first.info().await?.blob_id));
    assert!(info.is_thin && !info.is_snapshot && info.num_allocated_clusters == 0);
    assert!(first.info().await?.is_snapshot);

    // With two clones, and then with one.
    let result = first.destroy().await;
    assert_errno(result, Errno::EBUSY);
    clone.inflate().await?;
    assert_eq!(clone.info().await?.num_allocated_clusters, 4);
    check(&clone, &ch, 0, 4 * CLUSTER, 1).await?;
    assert_eq!(names(&store).await?, ["clone", "first", "lvol", "second"]);
    store.destroy_lvol("first").await?;
    check(&second, &ch, CLUSTER, 3 * CLUSTER, 1).await?;
    lvol.decouple_parent().await?;
    assert_eq!(lvol.info().await?.parent, None);
    assert_errno(lvol.decouple_parent().await, Errno::EINVAL);
    check(&lvol, &ch, 0, CLUSTER, 2).await?;
    check(&lvol, &ch, CLUSTER, CLUSTER, 3).await?;
    check(&lvol, &ch, 2 * CLUSTER, 2 * CLUSTER, 1).await?;
    let empty = store.create_lvol("empty", 4 * BYTES, Some(&thin())).await?;
    empty.set_parent(&second).await?;
    check(&empty, &ch, CLUSTER, 3 * CLUSTER, 1).await?;
    assert_errno(empty.set_parent(&second).await, Errno::EEXIST);

    // What it has itself, but not what its parent has.
    let mut copy = lvol.shallow_copy("T");
    assert_errno(copy.next().await.expect("an error"), Errno::EPERM);
    assert!(copy.next().await.is_none());
    drop(copy);
    lvol.set_read_only().await?;
    for (bdev, errno) in [("Coarse", Errno::EINVAL), ("M", Errno::EPERM)] {
        let result = lvol.shallow_copy(bdev).next().await;
        assert_errno(result.expect("an error"), errno);
    }
    let mut copy = lvol.shallow_copy("T");
    let mut last = 0;
    while let Some(copied) = copy.next().await {
        let copied = copied?;
        assert!(copied > last, "{copied} after {last}");
        last = copied;
    }
    drop(copy);
    assert_eq!(last, 4);
    let device = Device::open("T")?;
    let mut buf = device.buffer(CLUSTER as usize)?;
    device
        .desc
        .read_blocks(&device.ch, &mut buf, CLUSTER, CLUSTER)
        .await?;
    pattern::assert_is(&buf, UNIT, CLUSTER, 3);

    for lvol in [empty, lvol, clone, second] {
        lvol.destroy().await?;
    }
    assert_eq!(store.free_clusters()?, free);
    Ok(())
}

/// Fails if a store does not use what its bdev has got, or loses what it had.
#[spdk::test(bdevs(bdev_aio_create(name = "A", filename = new_file(), block_size = UNIT)))]
async fn a_store_grows() -> spdk::Result<()> {
    let larger = async |size: u64| {
        let file = OpenOptions::new().write(true).open(file());
        file.and_then(|file| file.set_len(size))
            .expect("a larger file");
        spdk::rpc::call::<Value>("bdev_aio_rescan", &json!({"name": "A"})).await
    };
    let opts = crate::opts().num_md_pages_per_cluster_ratio(1000);
    let store = LvolStore::init("A", "store", Some(&opts)).await?;
    let lvol = store.create_lvol("lvol", BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, CLUSTER, 1).await?;
    let total = store.total_clusters()?;
    larger(12 << 20).await?;
    store.grow().await?;
    assert_eq!(store.total_clusters()?, total + 64);
    check(&lvol, &ch, 0, CLUSTER, 1).await?;
    lvol.resize((total + 10) * BYTES).await?;
    drop(ch);
    lvol.close().await?;
    store.unload().await?;

    larger(16 << 20).await?;
    let store = LvolStore::load_grown("A").await?;
    assert!(std::fs::remove_file(file()).is_ok());
    assert_eq!(store.total_clusters()?, total + 128);
    let lvol = store.open_lvol("lvol").await?;
    let ch = store.alloc_io_channel()?;
    check(&lvol, &ch, 0, CLUSTER, 1).await?;
    assert_eq!(lvol.size()?, (total + 10) * BYTES);
    Ok(())
}

/// Fails if lists of a store are overwritten that has other pages of metadata than SPDK expects when it grows.
#[spdk::test(bdevs(bdev_aio_create(name = "A", filename = new_file(), block_size = UNIT)))]
async fn a_store_of_other_pages_grows() -> spdk::Result<()> {
    let opts = crate::opts()
        .num_md_pages_per_cluster_ratio(16)
        .md_page_size(8192);
    let store = LvolStore::init("A", "store", Some(&opts)).await?;
    let (total, free) = (store.total_clusters()?, store.free_clusters()?);
    store.unload().await?;
    let file = OpenOptions::new().write(true).open(file());
    file.and_then(|file| file.set_len(12 << 20))
        .expect("a larger file");
    spdk::rpc::call::<Value>("bdev_aio_rescan", &json!({"name": "A"})).await?;
    assert!(std::fs::remove_file(crate::file()).is_ok());
    assert_errno(LvolStore::load_grown("A").await, Errno::ENOTSUP);
    let store = LvolStore::load("A").await?;
    store.grow().await?;
    assert_eq!(store.total_clusters()?, total + 64);
    assert_eq!(store.free_clusters()?, free + 64);
    Ok(())
}
