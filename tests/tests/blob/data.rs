//! What is written is read, also after the store was unloaded.

use std::ops::Range;

use futures_util::future::try_join_all;
use spdk::blob::{Blob, BlobId, BlobOpts, Blobstore, BsType, Xattrs};
use spdk::{Errno, ErrorKind, IoChannel, IoQueue};
use spdk_tests::memory::Memory;
use spdk_tests::{kind, pattern};

use crate::{
    CLUSTER, UNIT, assert_errno, buffer, check, file, new_blob, new_file, of, opts, write,
};

/// Fails if a form of I/O writes or reads elsewhere, or if the units are not those of the call.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn every_form_of_io() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let (blob, other) = (
        new_blob(&store, &of(4)).await?,
        new_blob(&store, &of(4)).await?,
    );
    let ch = store.alloc_io_channel()?;
    let units = 4 * CLUSTER;
    assert_eq!(blob.num_io_units()?, units);
    assert_eq!((blob.size()?, blob.io_unit_size()), (units * 512, 512));
    write(&other, &ch, 0, units, 9).await?;
    write(&blob, &ch, 0, units, 1).await?;
    check(&blob, &ch, 0, units, 1).await?;

    // Over the end of a cluster, in one buffer and in several, in io units and in bytes.
    write(&blob, &ch, CLUSTER - 1, 3, 2).await?;
    let mut bufs = [buffer(1)?, buffer(2)?, buffer(5)?];
    let first = 2 * CLUSTER - 4;
    for (buf, place) in bufs.iter_mut().zip([0, 1, 3]) {
        pattern::fill(buf, UNIT, first + place, 3);
    }
    blob.writev_io_units(&ch, &bufs, first, 8).await?;
    let mut whole = buffer(8)?;
    pattern::fill(&mut whole, UNIT, first + 16, 4);
    blob.write(&ch, &whole, (first + 16) * 512).await?;
    for buf in &mut bufs {
        buf.fill(0);
    }
    blob.readv(&ch, &mut bufs, first * 512).await?;
    for (buf, place) in bufs.iter().zip([0, 1, 3]) {
        pattern::assert_is(buf, UNIT, first + place, 3);
    }
    blob.readv_io_units(&ch, &mut bufs, first + 16, 8).await?;
    for (buf, place) in bufs.iter().zip([16, 17, 19]) {
        pattern::assert_is(buf, UNIT, first + place, 4);
    }
    blob.writev(&ch, &bufs, (first + 16) * 512).await?;
    whole.fill(0);
    blob.read(&ch, &mut whole, (first + 16) * 512).await?;
    pattern::assert_is(&whole, UNIT, first + 16, 4);

    // What was not written is as it was.
    for (first, units, generation) in [
        (0, CLUSTER - 1, 1),
        (CLUSTER - 1, 3, 2),
        (CLUSTER + 2, CLUSTER - 6, 1),
        (2 * CLUSTER - 4, 8, 3),
        (2 * CLUSTER + 4, 8, 1),
        (2 * CLUSTER + 12, 8, 4),
        (2 * CLUSTER + 20, 2 * CLUSTER - 20, 1),
    ] {
        check(&blob, &ch, first, units, generation).await?;
    }

    blob.write_zeroes_io_units(&ch, CLUSTER - 2, 4).await?;
    blob.write_zeroes(&ch, 512 * (3 * CLUSTER), 1024).await?;
    for first in [CLUSTER - 2, 3 * CLUSTER] {
        let mut buf = buffer(2)?;
        blob.read_io_units(&ch, &mut buf, first, 2).await?;
        pattern::assert_zero(&buf);
    }
    check(&blob, &ch, 0, CLUSTER - 2, 1).await?;
    check(&blob, &ch, CLUSTER + 2, CLUSTER - 6, 1).await?;
    // A malloc bdev reads as zeroes where it was unmapped.
    blob.unmap_io_units(&ch, 0, 8).await?;
    blob.unmap(&ch, 8 * 512, 512).await?;
    let mut buf = buffer(9)?;
    blob.read_io_units(&ch, &mut buf, 0, 9).await?;
    pattern::assert_zero(&buf);
    check(&blob, &ch, 9, CLUSTER - 11, 1).await?;
    check(&other, &ch, 0, units, 9).await?;

    drop(ch);
    blob.close().await?;
    other.close().await?;
    store.unload().await
}

/// Fails if a range reaches SPDK that it does not survive, or an error does not tell what is wrong.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "N", num_blocks = 16384, block_size = UNIT),
))]
async fn wrong_ranges() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    let mut buf = buffer(2)?;
    for offset in [CLUSTER - 1, CLUSTER, u64::MAX - 1, u64::MAX, 1 << 63] {
        assert_errno(
            blob.read_io_units(&ch, &mut buf, offset, 2).await,
            Errno::EINVAL,
        );
        assert_errno(
            blob.write_io_units(&ch, &buf, offset, 2).await,
            Errno::EINVAL,
        );
        assert_errno(blob.unmap_io_units(&ch, offset, 2).await, Errno::EINVAL);
        assert_errno(
            blob.write_zeroes_io_units(&ch, offset, 2).await,
            Errno::EINVAL,
        );
        let vector = std::slice::from_mut(&mut buf);
        assert_errno(
            blob.readv_io_units(&ch, vector, offset, 2).await,
            Errno::EINVAL,
        );
        assert_errno(
            blob.writev_io_units(&ch, vector, offset, 2).await,
            Errno::EINVAL,
        );
    }
    assert_errno(blob.unmap_io_units(&ch, 1, u64::MAX).await, Errno::EINVAL);
    assert_errno(
        blob.write_zeroes_io_units(&ch, 2, u64::MAX - 1).await,
        Errno::EINVAL,
    );
    let error = blob
        .read(&ch, &mut buf, CLUSTER * 512)
        .await
        .map_err(|e| e.to_string());
    let error = error.expect_err("beyond the end");
    assert!(
        error.contains("the device ends after 128 blocks of 512 bytes"),
        "{error}"
    );

    for result in [
        blob.read(&ch, &mut buf, 100).await,
        blob.write(&ch, &buf, 513).await,
        blob.unmap(&ch, 0, 100).await,
        blob.read_io_units(&ch, &mut buf, 0, 1).await,
    ] {
        let is_refused = matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. }));
        assert!(is_refused, "{result:?}");
    }
    for offset in [CLUSTER, u64::MAX] {
        assert_eq!(blob.next_allocated_io_unit(offset).await?, None);
        assert_eq!(blob.next_unallocated_io_unit(offset).await?, None);
    }

    // A channel of another store.
    let other = Blobstore::init("N", Some(&opts())).await?;
    let elsewhere = other.alloc_io_channel()?;
    let result = blob.read_io_units(&elsewhere, &mut buf, 0, 2).await;
    assert!(
        matches!(kind(&result), Some(ErrorKind::WrongChannel { .. })),
        "{result:?}"
    );
    // Nothing of it has done any harm.
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    check(&blob, &ch, 0, CLUSTER, 1).await
}

/// Fails if something is not there again: what blobs have, how large they are, their attributes, and the store's own.
#[spdk::test(bdevs(bdev_aio_create(name = "A", filename = new_file(), block_size = UNIT)))]
async fn all_is_there_again() -> spdk::Result<()> {
    let bstype = BsType::new("a test").expect("it is short");
    let store = Blobstore::init("A", Some(&opts().bstype(bstype))).await?;
    assert!(std::fs::remove_file(file()).is_ok());
    assert_eq!(store.cluster_size(), CLUSTER * 512);
    assert_eq!((store.io_unit_size(), store.page_size()), (512, 4096));
    let (free, total) = (store.free_clusters()?, store.total_clusters()?);
    assert_eq!(free, total);
    assert_eq!(store.super_blob().await?, None);

    let empty = Xattrs::from([("empty".to_owned(), Vec::new())]);
    let result = store.create_blob(Some(&of(1).xattrs(empty))).await;
    assert!(
        matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
        "{result:?}"
    );
    let xattrs = Xattrs::from([("name".to_owned(), b"first\0\xff".to_vec())]);
    let thin = BlobOpts::new()
        .num_clusters(6)
        .thin_provision(true)
        .xattrs(xattrs.clone());
    let (first, second) = (
        new_blob(&store, &of(3)).await?,
        new_blob(&store, &thin).await?,
    );
    assert_eq!(second.xattrs().await?, xattrs);
    let ch = store.alloc_io_channel()?;
    write(&first, &ch, 0, 3 * CLUSTER, 1).await?;
    write(&second, &ch, 2 * CLUSTER - 1, 2, 2).await?;
    first.resize(5).await?;
    write(&first, &ch, 4 * CLUSTER, CLUSTER, 3).await?;
    second.set_xattr("name", b"second").await?;
    second.set_xattr("large", &[7; 3000]).await?;
    second.set_xattr("empty", b"").await?;
    assert_eq!(second.xattr("empty").await?, Some(Vec::new()));
    second.remove_xattr("empty").await?;
    assert_errno(second.remove_xattr("empty").await, Errno::ENOENT);
    assert_errno(
        second.set_xattr("too large", &[7; 4096]).await,
        Errno::ENOMEM,
    );
    let result = second.set_xattr("much too large", &[7; 65536]).await;
    assert!(
        matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
        "{result:?}"
    );
    assert_eq!(second.xattr("empty").await?, None);
    second.sync().await?;
    let (one, two) = (first.id(), second.id());
    store.set_super_blob(Some(two)).await?;
    assert_eq!(two.to_string().parse(), Ok(two));
    assert_eq!(two.get().to_string().parse(), Ok(two));
    drop((ch, first, second)); // which syncs, and the unload waits for it
    store.unload().await?;

    let wrong = opts().bstype(BsType::new("another").expect("it is short"));
    assert_errno(Blobstore::load("A", Some(&wrong)).await, Errno::ENXIO);
    for recover in [false, true] {
        let store = Blobstore::load("A", Some(&opts().force_recover(recover))).await?;
        assert_eq!(store.bstype().await?, bstype);
        // Another one would keep it from being unloaded.
        let other = BsType::new("another").expect("it is short");
        assert_errno(store.set_bstype(other).await, Errno::ENOTSUP);
        store.set_bstype(bstype).await?;
        assert_eq!(store.super_blob().await?, Some(two));
        assert_eq!(store.free_clusters()?, total - 5 - 2);
        let mut ids: Vec<BlobId> = Vec::new();
        let mut blobs = store.blobs();
        while let Some(id) = blobs.next().await {
            ids.push(id?);
        }
        assert_eq!(ids, [one, two]);
        let first = store.open_blob(one, None).await?;
        let second = store.open_blob(two, None).await?;
        let ch = store.alloc_io_channel()?;
        check(&first, &ch, 0, 3 * CLUSTER, 1).await?;
        check(&first, &ch, 4 * CLUSTER, CLUSTER, 3).await?;
        check(&second, &ch, 2 * CLUSTER - 1, 2, 2).await?;
        let info = second.info().await?;
        assert_eq!((info.num_clusters, info.num_allocated_clusters), (6, 2));
        assert!(
            info.is_thin_provisioned && !info.is_snapshot && !info.is_clone,
            "{info:?}"
        );
        assert_eq!(second.next_allocated_io_unit(0).await?, Some(CLUSTER));
        assert_eq!(
            second.next_unallocated_io_unit(CLUSTER).await?,
            Some(3 * CLUSTER)
        );
        assert_eq!(second.next_allocated_io_unit(3 * CLUSTER).await?, None);
        let expected = [("large", vec![7; 3000]), ("name", b"second".to_vec())];
        let expected = Xattrs::from(expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(second.xattrs().await?, expected);
        assert_eq!(first.xattrs().await?, Xattrs::new());
        drop((ch, first, second, blobs));
        store.unload().await?;
    }
    let store = Blobstore::load("A", Some(&opts())).await?;
    store.set_bstype(BsType::default()).await?;
    store.unload().await?;
    let store = Blobstore::load("A", Some(&opts())).await?;
    assert_eq!(store.bstype().await?, BsType::default());
    store.unload().await?;
    let dump = Blobstore::dump("A").await?;
    assert!(
        dump.contains("name: name") || dump.contains("\"name\""),
        "{dump}"
    );
    assert!(dump.contains("second"), "{dump}");
    Ok(())
}

/// Fails if a read-only blob can be written, or stays writable after it was synced.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn read_only() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 8, 1).await?;
    blob.set_read_only().await?;
    blob.sync().await?;
    assert!(blob.info().await?.is_read_only);
    assert_errno(write(&blob, &ch, 0, 8, 2).await, Errno::EPERM);
    assert_errno(blob.unmap_io_units(&ch, 0, 8).await, Errno::EPERM);
    assert_errno(blob.set_xattr("name", b"").await, Errno::EPERM);
    assert_errno(blob.resize(2).await, Errno::EPERM);
    blob.sync().await?;
    check(&blob, &ch, 0, 8, 1).await
}

/// Fails if the metadata of a blob is lost that gives up a cluster while another one does on the same channel: SPDK writes
/// both from one piece of memory.
#[spdk::test]
async fn clusters_are_given_up_beside_each_other() -> spdk::Result<()> {
    const BLOBS: u64 = 8;
    let memory = Memory::new(UNIT as u32, 65536);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    let mut blobs = Vec::new();
    for generation in 1..=BLOBS {
        let blob = new_blob(&store, &of(3).thin_provision(true)).await?;
        write(&blob, &ch, 0, 3 * CLUSTER, generation).await?;
        blobs.push(blob);
    }
    let ids: Vec<_> = blobs.iter().map(Blob::id).collect();
    let free = store.free_clusters()?;

    memory.delay(3);
    let unmaps = blobs
        .iter()
        .map(|blob| blob.unmap_io_units(&ch, 0, CLUSTER));
    let unmapped = try_join_all(unmaps).await;
    memory.delay(0);
    unmapped?;
    let store = are_there(store, &memory, (blobs, ch), &ids, 1..3).await?;
    assert_eq!(store.free_clusters()?, free + BLOBS);

    let ch = store.alloc_io_channel()?;
    let opens = ids.iter().map(|id| store.open_blob(*id, None));
    let blobs = try_join_all(opens).await?;
    let queue = |blob| IoQueue::of_blob(blob, &ch);
    let mut queues: Vec<_> = blobs.iter().map(queue).collect::<spdk::Result<_>>()?;
    memory.delay(3);
    for queue in &mut queues {
        queue.unmap_blocks(CLUSTER - 8, CLUSTER + 8, ());
    }
    for queue in &mut queues {
        queue.next().await.expect("it has one").result?;
    }
    memory.delay(0);
    drop(queues);
    let store = are_there(store, &memory, (blobs, ch), &ids, 2..3).await?;
    assert_eq!(store.free_clusters()?, free + 2 * BLOBS);
    Ok(())
}

/// Loads a store again, and looks whether its blobs have these clusters, each of its own generation.
async fn are_there(
    store: Blobstore,
    memory: &Memory,
    open: (Vec<Blob>, IoChannel),
    ids: &[BlobId],
    clusters: Range<u64>,
) -> spdk::Result<Blobstore> {
    drop(open);
    store.unload().await?;
    let opts = opts().force_recover(true);
    let store = Blobstore::load_on(memory.clone(), Some(&opts)).await?;
    let ch = store.alloc_io_channel()?;
    for (id, generation) in ids.iter().zip(1..) {
        let blob = store.open_blob(*id, None).await?;
        let info = blob.info().await?;
        assert_eq!(info.num_allocated_clusters, clusters.clone().count() as u64);
        for cluster in clusters.clone() {
            check(&blob, &ch, cluster * CLUSTER, CLUSTER, generation).await?;
        }
    }
    Ok(store)
}
