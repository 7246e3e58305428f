//! Snapshots and clones.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use futures_util::future::join;
use spdk::blob::{BlobOpts, Blobstore, SnapshotTree, Xattrs};
use spdk::task::yield_now;
use spdk::{Bdev, Errno, ErrorKind, IoQueue};
use spdk_tests::memory::Memory;
use spdk_tests::wait::within;
use spdk_tests::{kind, pattern, poll_once};

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
    let tree = store.snapshot_tree().await?;
    assert_eq!(tree.blobs().count(), 3);
    assert_eq!(tree.clones(snapshot), clones);
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

/// Fails if the tree of a chain is told or printed as another one, by a store as it was or that was loaded again.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 65536, block_size = UNIT)))]
async fn a_tree_as_data() -> spdk::Result<()> {
    let mut store = Blobstore::init("M", Some(&opts())).await?;
    assert_eq!(store.snapshot_tree().await?, SnapshotTree::default());
    let none = Xattrs::new();
    let blob = store.create_blob(Some(&of(1))).await?;
    let first = store.create_snapshot(blob, &none).await?;
    let second = store.create_snapshot(blob, &none).await?;
    let clone = store.create_clone(first, &none).await?;
    let alone = store.create_blob(Some(&of(1))).await?;
    for _ in 0..2 {
        let tree = store.snapshot_tree().await?;
        let mut all = [blob, first, second, clone, alone];
        all.sort_unstable();
        assert!(tree.blobs().eq(all), "{tree}");
        assert!(tree.roots().eq([first.min(alone), first.max(alone)]));
        assert!(tree.ancestors(blob).eq([second, first]));
        assert_eq!(tree.clones(first), [second.min(clone), second.max(clone)]);
        assert_eq!(
            (tree.clones(second), tree.clones(blob)),
            (&[blob][..], &[][..])
        );
        assert_eq!(
            (tree.parent(second), tree.parent(alone)),
            (Some(first), None)
        );
        assert_eq!(
            tree.to_string(),
            format!("{first}\n  {second}\n    {blob}\n  {clone}\n{alone}\n")
        );
        store.unload().await?;
        store = Blobstore::load("M", None).await?;
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

/// Fails if other I/O of the store waits until a blob has got all of its clusters.
#[spdk::test]
async fn io_beside_copies() -> spdk::Result<()> {
    const CLUSTERS: u64 = 32;
    let memory = Memory::new(UNIT as u32, 32768);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    let other = new_blob(&store, &of(2)).await?;
    write(&other, &ch, 0, 2 * CLUSTER, 3).await?;
    memory.delay(2);
    for is_inflated in [true, false] {
        let blob = new_blob(&store, &of(CLUSTERS).thin_provision(true)).await?;
        write(&blob, &ch, 0, CLUSTERS * CLUSTER, 1).await?;
        store.create_snapshot(blob.id(), &Xattrs::new()).await?;
        write(&blob, &ch, CLUSTER, 1, 2).await?;
        let (has_ended, reads) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let copy = async {
            let copied = match is_inflated {
                true => store.inflate_blob(blob.id()).await,
                false => store.decouple_parent(blob.id()).await,
            };
            has_ended.set(true);
            copied
        };
        let mut generation = 3;
        let io = async {
            while !has_ended.get() {
                check(&other, &ch, 0, CLUSTER, generation).await?;
                generation += 1;
                write(&other, &ch, 0, CLUSTER, generation).await?;
            }
            check(&other, &ch, 0, CLUSTER, generation).await
        };
        let mut queue = IoQueue::of_blob(&other, &ch)?;
        for _ in 0..4 {
            queue.read_blocks(buffer(1)?, CLUSTER, 1, ());
        }
        let (until, count) = (has_ended.clone(), reads.clone());
        let all = queue.for_each_ended(move |mut io| {
            if io.take_result().is_ok() && !until.get() {
                count.set(count.get() + 1);
                io.read_blocks(CLUSTER, 1);
            }
        });
        let all = async {
            all.await;
            Ok(())
        };
        let both = async { futures_util::try_join!(copy, io, all) };
        within("the copy", both).await?;
        let (writes, reads) = (generation - 3, reads.get());
        assert!(writes > CLUSTERS / 4, "{writes} writes meanwhile");
        assert!(reads > CLUSTERS, "{reads} reads meanwhile");
        let clusters = blob.info().await?.num_allocated_clusters;
        assert_eq!(clusters, CLUSTERS);
        check(&blob, &ch, 0, CLUSTER, 1).await?;
        check(&blob, &ch, CLUSTER, 1, 2).await?;
        check(&blob, &ch, CLUSTER + 1, (CLUSTERS - 1) * CLUSTER - 1, 1).await?;
        write(&other, &ch, 0, CLUSTER, 3).await?;
    }
    Ok(())
}

/// Fails if a blob that cannot be written does not get its clusters.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn inflated_though_read_only() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    let blob = new_blob(&store, &of(4)).await?;
    write(&blob, &ch, 0, 4 * CLUSTER, 1).await?;
    store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    write(&blob, &ch, CLUSTER, 1, 2).await?;
    let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    let snapshot = store.open_blob(snapshot, None).await?;
    assert_eq!(snapshot.info().await?.num_allocated_clusters, 1);
    store.inflate_blob(snapshot.id()).await?;
    assert_eq!(snapshot.info().await?.num_allocated_clusters, 4);
    assert_eq!(store.parent(snapshot.id()).await?, None);
    check(&snapshot, &ch, 0, CLUSTER, 1).await?;
    check(&snapshot, &ch, CLUSTER, 1, 2).await?;
    check(&snapshot, &ch, CLUSTER + 1, 3 * CLUSTER - 1, 1).await
}

/// Fails if a read into several buffers, beyond the end of the parent of a larger clone, writes zeroes behind one of them.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn read_into_buffers_beyond_the_parent() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    let blob = new_blob(&store, &of(1)).await?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    blob.resize(2).await?;
    // Each second one is read into, and what is between them belongs to somebody else.
    let mut all: Vec<_> = (0..64).map(|_| buffer(1)).collect::<Result<_, _>>()?;
    all.iter_mut()
        .for_each(|buf| pattern::fill(buf, UNIT, 0, 9));
    let (mut read, mut others) = (Vec::new(), Vec::new());
    for (number, buf) in all.into_iter().enumerate() {
        match number % 2 {
            0 => read.push(buf),
            _ => others.push(buf),
        }
    }
    blob.readv_io_units(&ch, &mut read, CLUSTER - 8, 32).await?;
    others
        .iter()
        .for_each(|buf| pattern::assert_is(buf, UNIT, 0, 9));
    for (buf, unit) in read.iter().zip(CLUSTER - 8..) {
        match unit < CLUSTER {
            true => pattern::assert_is(buf, UNIT, unit, 1),
            false => pattern::assert_zero(buf),
        }
    }
    Ok(())
}

/// Fails if a snapshot becomes the parent of what it depends on: SPDK does not come to an end when that is read.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn no_parent_of_its_own() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    let blob = new_blob(&store, &of(2).thin_provision(true)).await?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    let first = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    let second = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    let third = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    for snapshot in [first, second, third] {
        assert_errno(store.set_parent(first, snapshot).await, Errno::EINVAL);
    }
    // Both at once are one after the other.
    let other = new_blob(&store, &of(2).thin_provision(true)).await?;
    let of_other = store.create_snapshot(other.id(), &Xattrs::new()).await?;
    let both = join(
        store.set_parent(first, of_other),
        store.set_parent(of_other, third),
    );
    let (one, two) = both.await;
    one?;
    assert_errno(two, Errno::EINVAL);
    assert_eq!(store.parent(first).await?, Some(of_other));
    check(&blob, &ch, 0, CLUSTER, 1).await
}

/// Fails if an attribute that does not fit reaches SPDK, which does not survive that a clone is not made.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn attributes_that_do_not_fit() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    // A page has 4072 bytes for an attribute, of which 9 are for its lengths.
    let xattrs = |length| Xattrs::from([("name".to_owned(), vec![7; length])]);
    let fits = xattrs(4072 - 9 - 4);
    let clone = store.create_clone(snapshot, &fits).await?;
    assert_eq!(store.open_blob(clone, None).await?.xattrs().await?, fits);
    let one_more = xattrs(4072 - 9 - 3);
    assert_errno(store.create_clone(snapshot, &one_more).await, Errno::ENOMEM);
    assert_errno(
        store.create_snapshot(blob.id(), &one_more).await,
        Errno::ENOMEM,
    );
    let opts = of(1).xattrs(one_more);
    assert_errno(store.create_blob(Some(&opts)).await, Errno::ENOMEM);
    Ok(())
}

/// Fails if a snapshot is deleted whose clone has got another size: SPDK then gives the clone clusters that it loses, or the
/// size of the snapshot, when the store is loaded the next time.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_clone_of_another_size_is_not_merged() -> spdk::Result<()> {
    let mut store = Blobstore::init("M", Some(&opts())).await?;
    for (table, size) in [(false, 5), (true, 5), (false, 2), (true, 2)] {
        let ch = store.alloc_io_channel()?;
        let blob = new_blob(&store, &of(3).use_extent_table(table)).await?;
        let id = blob.id();
        write(&blob, &ch, 0, 3 * CLUSTER, 1).await?;
        let snapshot = store.create_snapshot(id, &Xattrs::new()).await?;
        blob.resize(size).await?;
        write(&blob, &ch, (size - 1) * CLUSTER, CLUSTER, 2).await?;
        assert_errno(store.delete_blob(snapshot).await, Errno::ENOTSUP);
        blob.close().await?;
        assert_errno(store.delete_blob(snapshot).await, Errno::ENOTSUP);
        store.inflate_blob(id).await?;
        store.delete_blob(snapshot).await?;
        drop(ch);
        store.unload().await?;
        store = Blobstore::load("M", None).await?;
        let ch = store.alloc_io_channel()?;
        let blob = store.open_blob(id, None).await?;
        assert_eq!(blob.num_clusters()?, size);
        check(&blob, &ch, 0, (size - 1).min(3) * CLUSTER, 1).await?;
        check(&blob, &ch, (size - 1) * CLUSTER, CLUSTER, 2).await?;
        blob.close().await?;
        store.delete_blob(id).await?;
    }
    Ok(())
}

/// Fails if a blob is decoupled from a snapshot that it has not had when it was looked for, and that is smaller: SPDK takes what
/// lies behind its table for clusters.
#[spdk::test]
async fn decoupled_from_another_parent() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 16384);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let blob = new_blob(&store, &of(2).thin_provision(true)).await?;
    let id = blob.id();
    blob.close().await?;
    // It has no parent, and is being opened.
    memory.hold(true);
    let mut decoupled = pin!(store.decouple_parent(id));
    assert!(poll_once(decoupled.as_mut()).is_pending());
    memory.hold(false);
    let blob = store.open_blob(id, None).await?;
    store.create_snapshot(id, &Xattrs::new()).await?;
    blob.resize(60).await?;
    assert_errno(within("the call", decoupled).await, Errno::EINVAL);
    assert_eq!(blob.info().await?.num_allocated_clusters, 0);
    Ok(())
}

/// Fails if the one clone of a snapshot gets another size while that is deleted: then it cannot be opened any more, or has the
/// size of the snapshot, when the store is loaded the next time.
#[spdk::test]
async fn a_clone_is_resized_while_its_snapshot_is_deleted() -> spdk::Result<()> {
    for turns in 0..16 {
        let memory = Memory::new(UNIT as u32, 16384);
        let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
        let blob = new_blob(&store, &of(4)).await?;
        let (id, ch) = (blob.id(), store.alloc_io_channel()?);
        write(&blob, &ch, 0, 4 * CLUSTER, 1).await?;
        let snapshot = store.create_snapshot(id, &Xattrs::new()).await?;
        blob.close().await?;
        memory.delay(3);
        let resized = async {
            for _ in 0..turns {
                yield_now().await;
            }
            let blob = store.open_blob(id, None).await?;
            blob.resize(2).await?;
            blob.close().await
        };
        let both = join(store.delete_blob(snapshot), resized);
        let (_, resized) = within("both", both).await;
        resized?;
        memory.delay(0);
        drop(ch);
        store.unload().await?;
        let store = Blobstore::load_on(memory.clone(), Some(&opts())).await?;
        let blob = store.open_blob(id, None).await?;
        assert_eq!(blob.num_clusters()?, 2);
        let ch = store.alloc_io_channel()?;
        check(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    }
    Ok(())
}

/// Fails if a write that has ended is lost by a crash, because it gave the blob a cluster while a snapshot was made.
#[spdk::test]
async fn a_crash_after_writes_beside_a_snapshot() -> spdk::Result<()> {
    let opts = opts().num_md_pages(64);
    let xattrs = Xattrs::new();
    let after = async |turns: u32| {
        for _ in 0..turns {
            yield_now().await;
        }
    };
    let cases = (0..3).flat_map(|delay| (0..40).map(move |turns| (delay, turns)));
    for (delay, turns) in cases {
        let memory = Memory::new(UNIT as u32, 16384);
        let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
        let thin = BlobOpts::new().num_clusters(4).thin_provision(true);
        let blob = new_blob(&store, &thin).await?;
        let ch = store.alloc_io_channel()?;
        memory.delay(delay);
        let snapshot = async {
            after(20).await;
            store.create_snapshot(blob.id(), &xattrs).await
        };
        let writes = async {
            after(turns).await;
            write(&blob, &ch, 0, CLUSTER, 1).await
        };
        let (snapshot, written) = join(snapshot, writes).await;
        written.and(snapshot)?;
        write(&blob, &ch, CLUSTER, CLUSTER, 2).await?;
        store.create_snapshot(blob.id(), &xattrs).await?;
        write(&blob, &ch, 2 * CLUSTER, CLUSTER, 3).await?;
        let (id, free) = (blob.id(), store.free_clusters()?);
        let copy = Blobstore::load_on(memory.copy(), Some(&opts)).await?;
        let blob = copy.open_blob(id, None).await?;
        let ch = copy.alloc_io_channel()?;
        for (cluster, generation) in [(0, 1), (1, 2), (2, 3)] {
            check(&blob, &ch, cluster * CLUSTER, CLUSTER, generation).await?;
        }
        assert_eq!(copy.free_clusters()?, free, "{delay} {turns}");
    }
    Ok(())
}
