//! Devices that fail, are full or are removed.

use std::pin::pin;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use serde_json::json;
use spdk::blob::{BlobId, BlobOpts, Blobstore, BsOpts, Xattrs};
use spdk::task::yield_now;
use spdk::{Bdev, DmaBuf, Errno, ErrorKind, Gone, spawn_local};
use spdk_tests::memory::Memory;
use spdk_tests::wait::within;
use spdk_tests::{kind, pattern, poll_once, rpc, until};

use crate::life::ids;
use crate::{CLUSTER, UNIT, assert_errno, buffer, check, new_blob, of, opts, write};

/// Fails if a blob can be read beyond its new end, or loses what is before that.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_resize_below_the_content() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let free = store.free_clusters()?;
    let blob = new_blob(&store, &of(4)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 4 * CLUSTER, 1).await?;
    blob.resize(1).await?;
    blob.sync().await?;
    assert_eq!(store.free_clusters()?, free - 1);
    assert_errno(check(&blob, &ch, CLUSTER, 1, 1).await, Errno::EINVAL);
    assert_errno(check(&blob, &ch, CLUSTER - 1, 2, 1).await, Errno::EINVAL);
    check(&blob, &ch, 0, CLUSTER, 1).await?;
    blob.resize(0).await?;
    assert_errno(check(&blob, &ch, 0, 1, 1).await, Errno::EINVAL);
    blob.close().await?;
    drop(ch);
    store.unload().await
}

/// So many operations of a kind fail from now on; those of the kind `clear` do not.
async fn inject(io_type: &str, num: u32) -> spdk::Result<()> {
    let params = json!({
        "name": "EE_M", "io_type": io_type, "error_type": "failure", "num": num,
    });
    spdk::rpc::call::<bool>("bdev_error_inject_error", &params)
        .await
        .map(drop)
}

/// Fails if what the device did not write is reported as written, at once or by the next sync, or if the store cannot go
/// on.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
        bdev_error_create(base_name = "M"),
    ),
    rpc_addr = &rpc::address(),
)]
async fn the_device_fails() -> spdk::Result<()> {
    let store = Blobstore::init("EE_M", Some(&opts())).await?;
    let blob = new_blob(&store, &of(2)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    inject("write", 1000).await?;
    assert_errno(write(&blob, &ch, 0, 8, 2).await, Errno::EIO);
    blob.set_xattr("name", b"value").await?;
    assert_errno(blob.sync().await, Errno::EIO);
    let created = store.create_blob(Some(&of(1))).await;
    assert!(created.is_err(), "{created:?}");
    assert_errno(store.set_super_blob(Some(blob.id())).await, Errno::EIO);
    inject("clear", 1).await?;
    blob.sync().await?;
    inject("read", 1).await?;
    assert_errno(check(&blob, &ch, 0, 8, 1).await, Errno::EIO);
    check(&blob, &ch, 8, CLUSTER - 8, 1).await?;

    // A close writes too.
    blob.set_xattr("name", b"another value").await?;
    let id = blob.id();
    inject("write", 1000).await?;
    assert_errno(blob.close().await, Errno::EIO);
    inject("clear", 1).await?;
    let blob = store.open_blob(id, None).await?;
    assert_eq!(
        blob.xattrs().await?,
        Xattrs::from([("name".to_owned(), b"value".to_vec())])
    );
    check(&blob, &ch, 8, CLUSTER - 8, 1).await?;
    blob.close().await?;
    drop(ch);
    store.unload().await?;
    let store = Blobstore::load("EE_M", Some(&opts())).await?;
    let blob = store.open_blob(id, None).await?;
    let ch = store.alloc_io_channel()?;
    check(&blob, &ch, 8, CLUSTER - 8, 1).await
}

/// Fails if a blob is left out of all blobs since it could not be opened at once, and nobody is told.
#[spdk::test]
async fn all_blobs_or_an_error() -> spdk::Result<()> {
    let memory = Memory::new(4096, 8192);
    // More pages than are looked at in a turn of the metadata thread, and few requests.
    let opts = opts().cluster_size(2 * 4096).max_channel_ops(1);
    let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(store.create_blob(None).await?);
    }
    for gap in [0, 2] {
        store.delete_blob(all.remove(gap)).await?;
    }
    all_or_errors(&store, &memory, &all).await?;
    store.unload().await?;
    let store = Blobstore::load_on(memory.clone(), Some(&opts)).await?;
    all_or_errors(&store, &memory, &all).await?;
    // A stream that is dropped leaves nothing open.
    memory.delay(3);
    for polls in 0.. {
        let mut blobs = store.blobs();
        let mut is_read = false;
        for _ in 0..polls {
            is_read = matches!(poll_once(pin!(blobs.next())), Poll::Ready(None));
            yield_now().await;
        }
        drop(blobs);
        if is_read {
            break;
        }
    }
    within("the unload", store.unload()).await
}

async fn all_or_errors(store: &Blobstore, memory: &Memory, all: &[BlobId]) -> spdk::Result<()> {
    for read in 0.. {
        memory.fail_read(read);
        let before = memory.reads();
        assert_eq!(ids(store).await?, all, "read {read}");
        if memory.reads() - before <= read {
            break;
        }
    }
    memory.fail_reads(true);
    let mut blobs = store.blobs();
    for id in all {
        let error = blobs.next().await.expect("a blob").unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EIO), "{error}");
        assert!(
            error.to_string().contains(&format!("blob {id} ")),
            "{error}"
        );
    }
    assert!(blobs.next().await.is_none());
    assert!(store.snapshot_tree().await?.blobs().eq(all.iter().copied()));
    memory.fail_reads(false);
    // More calls than there are requests for.
    let opens = join_all((0..500).map(|_| store.open_blob(all[0], None)));
    let (opened, found) = join(opens, store.blobs().collect::<Vec<_>>()).await;
    assert!(opened.iter().any(Result::is_err), "no call was refused");
    assert_eq!(found.len(), all.len());
    for (found, id) in found.into_iter().zip(all) {
        match found {
            Ok(found) => assert_eq!(found, *id),
            Err(error) => assert_eq!(error.errno(), Some(Errno::ENOMEM), "{error}"),
        }
    }
    Ok(())
}

/// Fails if a bdev that is no blobstore is taken for one, or two stores get one.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "Tiny", num_blocks = 16, block_size = UNIT),
))]
async fn foreign_and_taken_devices() -> spdk::Result<()> {
    assert_errno(Blobstore::load("M", None).await, Errno::EILSEQ);
    let dump = Blobstore::dump("M").await?;
    assert!(dump.contains("Mismatch"), "{dump}");
    for result in [
        Blobstore::init("None", None).await,
        Blobstore::load("a name with a \0", None).await,
    ] {
        assert!(
            matches!(kind(&result), Some(ErrorKind::NoSuchBdev { .. })),
            "{result:?}"
        );
    }
    let wrong = Blobstore::init("M", Some(&opts().cluster_size(1000))).await;
    assert_errno(wrong, Errno::EINVAL);
    assert!(Blobstore::init("Tiny", Some(&opts())).await.is_err());

    let store = Blobstore::init("M", Some(&opts())).await?;
    assert_errno(Blobstore::load("M", None).await, Errno::EPERM);
    assert_errno(Blobstore::init("M", None).await, Errno::EPERM);
    assert_errno(Bdev::find("M")?.open(true), Errno::EPERM);
    store.create_blob(None).await?;
    store.unload().await?;

    // A super block with a byte that is wrong.
    let desc = Bdev::find("M")?.open(true)?;
    let ch = desc.get_io_channel()?;
    let mut buf = DmaBuf::alloc(4096, 4096)?;
    desc.read(&ch, &mut buf, 0).await?;
    buf[100] ^= 1;
    desc.write(&ch, &buf, 0).await?;
    drop((ch, desc));
    assert_errno(Blobstore::load("M", None).await, Errno::EILSEQ);
    Ok(())
}

/// Fails if SPDK gets blocks of another size than those that the store was made on: it would read and write more memory than it
/// was given, or less.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 2048, block_size = 8192),
    bdev_malloc_create(name = "N", num_blocks = 8192, block_size = 1536),
))]
async fn blocks_of_another_size() -> spdk::Result<()> {
    for (one, other) in [(512, 4096), (4096, 512), (1024, 2048)] {
        let memory = Memory::new(one, (8 << 20) / u64::from(one));
        let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
        store.unload().await?;
        let other = memory.in_blocks_of(other);
        for loaded in [
            Blobstore::load_on(other.clone(), None).await,
            Blobstore::load_grown_on(other.clone(), None).await,
            Blobstore::load_on(other.clone(), Some(&opts().force_recover(true))).await,
        ] {
            assert_errno(loaded, Errno::EINVAL);
        }
        until("the device", || other.handles() == 1).await;
        Blobstore::load_on(memory, None).await?.unload().await?;
    }
    // SPDK makes a store on these, and does not find it again.
    for name in ["M", "N"] {
        let opts = BsOpts::new().cluster_size(1536 * 1024);
        assert_errno(Blobstore::init(name, Some(&opts)).await, Errno::EINVAL);
        assert_errno(Blobstore::load(name, None).await, Errno::EINVAL);
        Bdev::find(name)?.open(true)?;
    }
    Ok(())
}

/// Fails if SPDK gets a list that says that it is longer than it is, or another one: it would read beyond its memory; or if the
/// store is lost with that.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn damaged_lists() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let blob = new_blob(&store, &of(4)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 4 * CLUSTER, 1).await?;
    let (id, free) = (blob.id(), store.free_clusters()?);
    drop((blob, ch));
    store.unload().await?;
    // The pages behind the super block; each begins with what it is, and its length.
    for page in 1..4 {
        for byte in 0..5 {
            let desc = Bdev::find("M")?.open(true)?;
            let ch = desc.get_io_channel()?;
            let mut buf = DmaBuf::alloc(UNIT, 4096)?;
            desc.read(&ch, &mut buf, page * 4096).await?;
            // Of the list of clusters, SPDK leaves out what is too much.
            buf[byte] = if page == 2 && byte > 0 {
                0
            } else {
                buf[byte] ^ 0x55
            };
            desc.write(&ch, &buf, page * 4096).await?;
            drop((ch, desc));
            if page != 2 || byte < 2 {
                assert_errno(Blobstore::load("M", None).await, Errno::EILSEQ);
                assert_errno(Blobstore::load_grown("M", None).await, Errno::EILSEQ);
                assert_errno(Blobstore::dump("M").await, Errno::EILSEQ);
            }
            let store = Blobstore::load("M", Some(&opts().force_recover(true))).await?;
            assert_eq!(store.free_clusters()?, free);
            let blob = store.open_blob(id, None).await?;
            let ch = store.alloc_io_channel()?;
            check(&blob, &ch, 0, 4 * CLUSTER, 1).await?;
            drop((blob, ch));
            store.unload().await?;
        }
    }
    Blobstore::dump("M").await?;
    Ok(())
}

/// Fails if the removal of a device waits until a blob has got all of its clusters, which may take hours.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 131_072, block_size = UNIT)))]
async fn a_removal_beside_a_copy() -> spdk::Result<()> {
    let opts = BsOpts::new().cluster_size(4096).num_md_pages(128);
    let store = Blobstore::init("M", Some(&opts)).await?;
    let thin = BlobOpts::new().num_clusters(12_000).thin_provision(true);
    let blob = new_blob(&store, &thin).await?;
    let (id, copied) = (blob.id(), store.clone());
    let inflated = spawn_local(async move { copied.inflate_blob(id).await })?;
    while blob.info().await?.num_allocated_clusters < 10 {
        yield_now().await;
    }
    let name = json!({"name": "M"});
    let removal = spdk::rpc::call::<bool>("bdev_malloc_delete", &name);
    let (removal, inflated) = join(within("the removal", removal), inflated).await;
    removal?;
    assert_errno(inflated?, Errno::ENODEV);
    Ok(())
}

/// Fails if a device whose super block was overwritten below its store stays open for ever, and with that the application.
#[spdk::test]
async fn the_super_block_is_overwritten() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 16384);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    memory.edit(|bytes| bytes[..4096].fill(0));
    assert_errno(store.unload().await, Errno::EILSEQ);
    // It stays loaded.
    store.create_blob(None).await?;
    drop(store);
    until("the device", || memory.handles() == 1).await;
    Ok(())
}

/// Fails if a removal waits for handles, or loses operations in flight, or a handle reaches what is gone.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
        bdev_delay_create(
            base_bdev_name = "M", name = "D",
            avg_read_latency = 50_000, p99_read_latency = 50_000,
            avg_write_latency = 0, p99_write_latency = 0,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn the_device_is_removed() -> spdk::Result<()> {
    let store = Blobstore::init("D", Some(&opts())).await?;
    let blob = new_blob(&store, &of(2)).await?;
    let dirty = new_blob(&store, &of(1)).await?;
    dirty.set_xattr("not", b"synced").await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    let mut buf = buffer(8)?;
    let mut read = Box::pin(blob.read_io_units(&ch, &mut buf, 0, 8));
    assert!(poll_once(read.as_mut()).is_pending());
    let removal = spawn_local(rpc::call("bdev_delay_delete", json!({"name": "D"})))?;
    // It ends, whichever way.
    let _ = within("the read in flight", read).await;
    within("the removal", removal).await?;

    let removed = |result: spdk::Result<()>| {
        let is_removed = matches!(
            kind(&result),
            Some(ErrorKind::Gone {
                why: Gone::Removed,
                ..
            })
        );
        assert!(is_removed, "{result:?}");
    };
    removed(blob.read_io_units(&ch, &mut buf, 0, 8).await);
    removed(blob.resize(1).await);
    removed(blob.num_clusters().map(drop));
    removed(dirty.close().await);
    removed(store.create_blob(None).await.map(drop));
    removed(store.free_clusters().map(drop));
    removed(store.alloc_io_channel().map(drop));
    removed(store.unload().await);
    assert!(ch.as_ptr().is_null() && blob.as_ptr().is_null());
    let again = Blobstore::load("D", None).await;
    assert!(
        matches!(kind(&again), Some(ErrorKind::NoSuchBdev { .. })),
        "{again:?}"
    );

    // What was synced, or closed, is on the device below.
    let store = Blobstore::load("M", Some(&opts())).await?;
    let id = blob.id();
    let blob = store.open_blob(id, None).await?;
    let ch = store.alloc_io_channel()?;
    check(&blob, &ch, 0, CLUSTER, 1).await
}

/// Fails if an I/O that its channel has no room for is refused, waits for ever, or is lost.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn more_than_a_channel_takes() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().max_channel_ops(4))).await?;
    let blob = new_blob(&store, &of(2)).await?;
    let ch = store.alloc_io_channel()?;
    // Another handle of the same channel.
    let same = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    let mut bufs: Vec<DmaBuf> = (0..32).map(|_| buffer(8)).collect::<Result<_, _>>()?;
    let reads = bufs.iter_mut().zip(0..).map(|(buf, place)| {
        let ch = if place % 2 == 0 { &ch } else { &same };
        // Over the end of the cluster for some.
        blob.read_io_units(ch, buf, place * 8 - place % 3, 8)
    });
    let ends = within("all reads", futures_util::future::join_all(reads)).await;
    ends.into_iter().collect::<spdk::Result<()>>()?;
    for (buf, place) in bufs.iter().zip(0..) {
        pattern::assert_is(buf, UNIT, place * 8 - place % 3, 1);
    }

    // Those that are dropped while they wait do not hold up the others, and those that others wait for may go too.
    let mut reads: Vec<_> = bufs
        .iter_mut()
        .zip(0..)
        .map(|(buf, place)| Box::pin(blob.read_io_units(&ch, buf, place * 8, 8)))
        .collect();
    for read in &mut reads {
        assert!(poll_once(read.as_mut()).is_pending());
    }
    let rest: Vec<_> = reads.into_iter().skip(1).step_by(2).collect();
    let ends = within("the rest", futures_util::future::join_all(rest)).await;
    ends.into_iter().collect::<spdk::Result<()>>()?;
    for (buf, place) in bufs.iter().zip(0..).skip(1).step_by(2) {
        pattern::assert_is(buf, UNIT, place * 8, 1);
    }
    check(&blob, &ch, 0, CLUSTER, 1).await
}

/// Fails if writes that need several requests each are refused or never end, or if what they do to the metadata is.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn writes_that_need_several_requests() -> spdk::Result<()> {
    for ops in 1..5 {
        let store = Blobstore::init("M", Some(&opts().max_channel_ops(ops))).await?;
        let thin = BlobOpts::new().num_clusters(16).thin_provision(true);
        let blob = new_blob(&store, &thin).await?;
        let ch = store.alloc_io_channel()?;
        let writes = (1..16).map(|cluster| write(&blob, &ch, cluster * CLUSTER - 4, 8, ops.into()));
        let ends = within("all writes", futures_util::future::join_all(writes)).await;
        ends.into_iter().collect::<spdk::Result<()>>()?;
        for cluster in 1..16 {
            check(&blob, &ch, cluster * CLUSTER - 4, 8, ops.into()).await?;
        }
        blob.close().await?;
        drop(ch);
        store.unload().await?;
    }
    Ok(())
}

/// Fails if reads that SPDK has not enough requests for are refused, which one after the other is not.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn reads_through_many_snapshots() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().max_channel_ops(8))).await?;
    let mut blob = new_blob(&store, &of(2)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    // More than SPDK has requests, for 8 of them.
    for _ in 0..50 {
        let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
        let clone = store.create_clone(snapshot, &Xattrs::new()).await?;
        blob = store.open_blob(clone, None).await?;
    }
    let reads = (0..24).map(|read| check(&blob, &ch, CLUSTER - 9 * read % 64, 8, 1));
    let ends = within("all reads", futures_util::future::join_all(reads)).await;
    ends.into_iter().collect::<spdk::Result<()>>()
}

/// Fails if what a store does not have is found.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn blobs_that_are_not_there() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    store.create_blob(None).await?;
    for id in [0, 1, 1 << 32 | 77, u64::MAX - 2, u64::MAX].map(BlobId::new) {
        assert_errno(store.open_blob(id, None).await, Errno::ENOENT);
        assert_errno(store.delete_blob(id).await, Errno::ENOENT);
        assert_errno(store.inflate_blob(id).await, Errno::ENOENT);
        assert_eq!(store.clones(id).await?, []);
        assert_eq!(store.parent(id).await?, None);
    }
    Ok(())
}

/// Fails if a sync of a blob does nothing since SPDK takes it for read-only, although it could not write that.
#[spdk::test]
async fn what_is_read_only_is_not_written() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 4096);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let id = blob.id();
    let is_read_only = async || {
        let copy = Blobstore::load_on(memory.copy(), Some(&opts())).await?;
        let kept = copy.open_blob(id, None).await?;
        Ok::<_, spdk::Error>(kept.info().await?.is_read_only)
    };
    blob.set_read_only().await?;
    memory.fail_writes(0, u64::MAX);
    assert_errno(blob.sync().await, Errno::EIO);
    assert_errno(blob.sync().await, Errno::EIO);
    memory.heal();
    assert!(!is_read_only().await?);
    blob.sync().await?;
    assert!(is_read_only().await?);
    blob.close().await?;
    store.unload().await
}
