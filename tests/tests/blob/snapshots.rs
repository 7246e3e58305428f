//! Snapshots and clones.

use spdk::blob::{BlobOpts, Blobstore, Xattrs};
use spdk::{Bdev, Errno, ErrorKind};
use spdk_tests::{kind, pattern};

use crate::{CLUSTER, UNIT, assert_errno, buffer, check, new_blob, of, opts, write};

/// Fails if a snapshot is written, a clone reads something else, or the tree is not told as it is.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_tree() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let free = store.free_clusters()?;
    let blob = new_blob(&store, &of(2)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;

    let xattrs = Xattrs::from([("of".to_owned(), b"generation 1".to_vec())]);
    let snapshot = store.create_snapshot(blob.id(), &xattrs).await?;
    write(&blob, &ch, 0, 8, 2).await?;
    let old = store.open_blob(snapshot, None).await?;
    assert_eq!(old.xattrs().await?, xattrs);
    check(&old, &ch, 0, 2 * CLUSTER, 1).await?;
    check(&blob, &ch, 0, 8, 2).await?;
    check(&blob, &ch, 8, 2 * CLUSTER - 8, 1).await?;
    assert_errno(write(&old, &ch, 0, 8, 3).await, Errno::EPERM);

    let clone = store.create_clone(snapshot, &Xattrs::new()).await?;
    assert_errno(store.create_clone(blob.id(), &xattrs).await, Errno::EINVAL);
    let mut clones = store.clones(snapshot).await?;
    clones.sort_unstable();
    assert_eq!(clones, [blob.id(), clone]);
    assert_eq!(store.clones(clone).await?, []);
    assert_eq!(store.parent(clone).await?, Some(snapshot));
    assert_eq!(store.parent(snapshot).await?, None);
    let info = old.info().await?;
    assert!(
        info.is_snapshot && info.is_read_only && !info.is_clone,
        "{info:?}"
    );
    assert_eq!(info.parent, None);
    let info = blob.info().await?;
    assert!(
        info.is_clone && info.is_thin_provisioned && !info.is_snapshot,
        "{info:?}"
    );
    assert_eq!(
        (info.parent, info.num_allocated_clusters),
        (Some(snapshot), 1)
    );
    drop(old);
    assert_errno(store.delete_blob(snapshot).await, Errno::EBUSY); // it has two clones

    // A clone of its own, then one of another snapshot.
    let other = store.open_blob(clone, None).await?;
    store.decouple_parent(clone).await?;
    assert_errno(store.decouple_parent(clone).await, Errno::EINVAL);
    assert_eq!(other.info().await?.parent, None);
    check(&other, &ch, 0, 2 * CLUSTER, 1).await?;
    store.set_parent(clone, snapshot).await?;
    assert_eq!(store.parent(clone).await?, Some(snapshot));
    store.inflate_blob(clone).await?;
    let info = other.info().await?;
    assert!(!info.is_clone && !info.is_thin_provisioned, "{info:?}");
    assert_eq!(info.num_allocated_clusters, 2);
    write(&other, &ch, 0, 2 * CLUSTER, 4).await?;

    // With one clone, a snapshot can go; what it had is the clone's.
    store.delete_blob(snapshot).await?;
    assert_eq!(store.parent(blob.id()).await?, None);
    check(&blob, &ch, 0, 8, 2).await?;
    check(&blob, &ch, 8, 2 * CLUSTER - 8, 1).await?;
    check(&other, &ch, 0, 2 * CLUSTER, 4).await?;
    let id = blob.id();
    drop((blob, other));
    store.delete_blob(id).await?;
    store.delete_blob(clone).await?;
    assert_eq!(store.free_clusters()?, free);
    Ok(())
}

/// Fails if a copy has something else, or more, than the blob itself, or its progress is not told.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "T", num_blocks = 1024, block_size = UNIT),
    bdev_malloc_create(name = "Small", num_blocks = 256, block_size = UNIT),
    bdev_malloc_create(name = "Large", num_blocks = 1024, block_size = 4096),
))]
async fn shallow_copy() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let thin = BlobOpts::new().num_clusters(6).thin_provision(true);
    let blob = new_blob(&store, &thin).await?;
    let ch = store.alloc_io_channel()?;
    for cluster in [1, 2, 5] {
        write(&blob, &ch, cluster * CLUSTER, CLUSTER, 1).await?;
    }
    let id = blob.id();
    let copy = |bdev: &'static str| {
        let store = store.clone();
        async move {
            let (mut copy, mut told) = (store.shallow_copy(id, bdev), Vec::new());
            while let Some(copied) = copy.next().await {
                told.push(copied?);
            }
            assert!(copy.next().await.is_none());
            Ok::<_, spdk::Error>(told)
        }
    };
    assert_errno(copy("T").await, Errno::EPERM);
    blob.set_read_only().await?;
    blob.sync().await?;
    assert_errno(copy("Small").await, Errno::EINVAL);
    assert_errno(copy("Large").await, Errno::EINVAL);
    assert!(matches!(
        kind(&copy("None").await),
        Some(ErrorKind::NoSuchBdev { .. })
    ));
    assert_errno(copy("M").await, Errno::EPERM); // it is claimed

    let told = copy("T").await?;
    assert_eq!(told.last(), Some(&3), "{told:?}");
    assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
    let desc = Bdev::find("T")?.open(true)?; // it is not claimed any more
    let target = desc.get_io_channel()?;
    for cluster in 0..6 {
        let mut buf = buffer(CLUSTER)?;
        desc.read(&target, &mut buf, cluster * CLUSTER * 512)
            .await?;
        match cluster {
            1 | 2 | 5 => pattern::assert_is(&buf, UNIT, cluster * CLUSTER, 1),
            _ => pattern::assert_zero(&buf),
        }
    }
    Ok(())
}

/// Fails if SPDK uses the clusters of a blob beyond its end: of one that has just become smaller, or that is larger than its
/// parent.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn sizes_that_differ() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    for table in [false, true] {
        let blob = new_blob(&store, &of(7).use_extent_table(table)).await?;
        write(&blob, &ch, 0, 7 * CLUSTER, 1).await?;
        blob.resize(3).await?;
        let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
        write(&blob, &ch, 0, CLUSTER, 2).await?;
        blob.resize(5).await?;
        assert_errno(store.decouple_parent(blob.id()).await, Errno::EINVAL);
        store.inflate_blob(blob.id()).await?;
        assert_eq!(store.parent(blob.id()).await?, None);
        assert_eq!(blob.info().await?.num_allocated_clusters, 5);
        check(&blob, &ch, 0, CLUSTER, 2).await?;
        check(&blob, &ch, CLUSTER, 2 * CLUSTER, 1).await?;
        let snapshot = store.open_blob(snapshot, None).await?;
        check(&snapshot, &ch, 0, 3 * CLUSTER, 1).await?;
    }
    Ok(())
}

/// Fails if clusters are left out when others are allocated at the same time.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn inflated_beside_writes() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    let blob = new_blob(&store, &of(8)).await?;
    write(&blob, &ch, 0, 8 * CLUSTER, 1).await?;
    store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    let thin = new_blob(&store, &of(8).thin_provision(true)).await?;
    let writes = (0..8).map(|cluster| write(&thin, &ch, cluster * CLUSTER, 1, 2));
    let writes = futures_util::future::try_join_all(writes);
    let decouple = store.decouple_parent(blob.id());
    futures_util::try_join!(writes, decouple)?;
    check(&blob, &ch, 0, 8 * CLUSTER, 1).await?;
    assert_eq!(blob.info().await?.num_allocated_clusters, 8);
    Ok(())
}
