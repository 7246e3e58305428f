//! Stores and blobs that are dropped, forgotten and closed in any order.

use std::future::Future;
use std::mem;
use std::pin::Pin;

use futures_util::future::join;
use spdk::blob::{Blob, BlobId, Blobstore, Xattrs};
use spdk::{DmaBuf, Errno, ErrorKind, Gone, IoChannel};
use spdk_tests::wait::within;
use spdk_tests::{kind, pattern, poll_once};

use crate::{
    CLUSTER, UNIT, assert_errno, buffer, check, file, new_blob, new_file, of, opts, write,
};

pub(crate) async fn ids(store: &Blobstore) -> spdk::Result<Vec<BlobId>> {
    let (mut blobs, mut ids) = (store.blobs(), Vec::new());
    while let Some(id) = blobs.next().await {
        ids.push(id?);
    }
    Ok(ids)
}

/// Loads the store as soon as another one of the same device has let go of that.
async fn load() -> spdk::Result<Blobstore> {
    let load = async {
        loop {
            match Blobstore::load("M", Some(&opts())).await {
                Err(error) if error.errno() == Some(Errno::EPERM) => {
                    spdk::task::yield_now().await;
                }
                result => return result,
            }
        }
    };
    within("the unload of the store before", load).await
}

/// Fails if an order leaves the store loaded, loses what was written, or crashes.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn dropped_in_every_order() -> spdk::Result<()> {
    drop(Blobstore::init("M", Some(&opts())).await?);
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (order, generation) in orders.iter().zip(1..) {
        let store = load().await?;
        let blob = new_blob(&store, &of(2)).await?;
        let id = blob.id();
        let ch = store.alloc_io_channel()?;
        write(&blob, &ch, 0, 2 * CLUSTER, generation).await?;
        blob.set_xattr("order", &[generation as u8]).await?;
        let (mut store, mut blob, mut ch) = (Some(store), Some(blob), Some(ch));
        for part in order {
            match part {
                0 => drop(store.take()),
                1 => drop(blob.take()),
                _ => drop(ch.take()),
            }
            spdk::task::yield_now().await;
        }
        let store = load().await?;
        let blob = store.open_blob(id, None).await?;
        let ch = store.alloc_io_channel()?;
        check(&blob, &ch, 0, 2 * CLUSTER, generation).await?;
        assert_eq!(blob.xattr("order").await?, Some(vec![generation as u8]));
    }
    assert_eq!(ids(&load().await?).await?.len(), orders.len());
    Ok(())
}

/// Fails if a blob that was dropped cannot be deleted at once, or a store cannot go on after an unload was refused.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn what_comes_after_a_drop_waits_for_it() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let free = store.free_clusters()?;
    for _ in 0..50 {
        let blob = new_blob(&store, &of(2)).await?;
        let id = blob.id();
        blob.set_xattr("dirty", b"").await?;
        assert_errno(store.delete_blob(id).await, Errno::EBUSY);
        drop(blob);
        store.delete_blob(id).await?;
        assert_errno(store.open_blob(id, None).await, Errno::ENOENT);
    }
    assert_eq!(store.free_clusters()?, free);

    let blob = new_blob(&store, &of(1)).await?;
    assert_errno(store.unload().await, Errno::EBUSY);
    assert_errno(store.destroy().await, Errno::EBUSY);
    let again = store.open_blob(blob.id(), None).await?;
    blob.close().await?;
    assert_errno(store.unload().await, Errno::EBUSY);
    let ch = store.alloc_io_channel()?;
    write(&again, &ch, 0, 8, 1).await?;
    again.close().await?;
    assert_errno(store.unload().await, Errno::EBUSY);
    drop(ch);
    let other = store.clone();
    store.unload().await?;
    for result in [
        other.unload().await,
        other.create_blob(None).await.map(drop),
    ] {
        let why = match kind(&result) {
            Some(ErrorKind::Gone { why, .. }) => *why,
            _ => panic!("{result:?}"),
        };
        assert_eq!(why, Gone::Closed);
    }
    let store = load().await?;
    assert_eq!(ids(&store).await?.len(), 1);
    store.destroy().await?;
    assert_errno(Blobstore::load("M", None).await, Errno::EILSEQ);
    Ok(())
}

pub(crate) type Call<'a> = Pin<Box<dyn Future<Output = spdk::Result<()>> + 'a>>;

/// What calls are made on.
pub(crate) struct Parts {
    pub(crate) store: Blobstore,
    pub(crate) blob: Blob,
    ch: IoChannel,
    /// A clone of `snapshot`, which is not open.
    pub(crate) other: BlobId,
    pub(crate) snapshot: BlobId,
    one: DmaBuf,
    two: [DmaBuf; 2],
}

impl Parts {
    pub(crate) async fn new(store: Blobstore) -> spdk::Result<Self> {
        let (blob, other) = (
            new_blob(&store, &of(2)).await?,
            new_blob(&store, &of(1)).await?,
        );
        let snapshot = store.create_snapshot(other.id(), &Xattrs::new()).await?;
        let ch = store.alloc_io_channel()?;
        write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
        let mut one = buffer(8)?;
        pattern::fill(&mut one, UNIT, 8, 2);
        Ok(Parts {
            store,
            blob,
            ch,
            other: other.id(),
            snapshot,
            one,
            two: [buffer(3)?, buffer(5)?],
        })
    }
}

pub(crate) const CALLS: usize = 20;

/// The call of this number.
pub(crate) fn call(number: usize, parts: &mut Parts) -> Call<'_> {
    let Parts {
        store,
        blob,
        ch,
        other,
        snapshot,
        one,
        two,
    } = parts;
    let (store, blob, ch, other, snapshot) = (&*store, &*blob, &*ch, *other, *snapshot);
    match number {
        0 => Box::pin(blob.read_io_units(ch, one, 0, 8)),
        1 => Box::pin(blob.write_io_units(ch, one, 8, 8)),
        2 => Box::pin(blob.readv_io_units(ch, two, 0, 8)),
        3 => Box::pin(blob.writev_io_units(ch, two, 16, 8)),
        4 => Box::pin(blob.unmap_io_units(ch, 16, 8)),
        5 => Box::pin(blob.write_zeroes_io_units(ch, 16, 8)),
        6 => Box::pin(blob.resize(3)),
        7 => Box::pin(blob.sync()),
        8 => Box::pin(blob.set_xattr("name", b"value")),
        9 => Box::pin(async { blob.xattrs().await.map(drop) }),
        10 => Box::pin(async { blob.info().await.map(drop) }),
        11 => Box::pin(async { store.create_blob(Some(&of(1))).await.map(drop) }),
        12 => Box::pin(async move { store.open_blob(other, None).await.map(drop) }),
        13 => Box::pin(store.delete_blob(other)),
        14 => Box::pin(store.set_super_blob(Some(other))),
        15 => Box::pin(async {
            let none = Xattrs::new();
            store.create_snapshot(blob.id(), &none).await.map(drop)
        }),
        16 => Box::pin(async move {
            let none = Xattrs::new();
            store.create_clone(snapshot, &none).await.map(drop)
        }),
        17 => Box::pin(store.inflate_blob(other)),
        18 => Box::pin(async move {
            let mut copy = store.shallow_copy(snapshot, "T");
            while let Some(copied) = copy.next().await {
                copied?;
            }
            Ok(())
        }),
        _ => Box::pin(async { ids(store).await.map(drop) }),
    }
}

/// Fails if a call whose future is dropped while it is in flight harms memory or the store, keeps that from being
/// unloaded, or leaves a blob that nobody knows of.
#[spdk::test(bdevs(
    bdev_aio_create(name = "M", filename = new_file(), block_size = UNIT),
    bdev_malloc_create(name = "T", num_blocks = 16384, block_size = UNIT),
))]
async fn calls_are_dropped() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await;
    assert!(std::fs::remove_file(file()).is_ok());
    drop(store?);
    for number in 0..CALLS {
        // In its first step, and in a later one.
        for polls in [1, 3] {
            let store = load().await?;
            let free = store.free_clusters()?;
            let mut parts = Parts::new(store).await?;
            let known = [parts.blob.id(), parts.other, parts.snapshot];
            let mut future = call(number, &mut parts);
            for _ in 0..polls {
                if poll_once(future.as_mut()).is_ready() {
                    break;
                }
                spdk::task::yield_now().await;
            }
            drop(future);
            drop(parts);

            let store = load().await?;
            let left = ids(&store).await?;
            let is_deleted = number == 13;
            let expected: Vec<_> = known
                .into_iter()
                .filter(|id| !(is_deleted && *id == known[1]))
                .collect();
            let mut found = left.clone();
            found.retain(|id| expected.contains(id));
            assert_eq!(
                left.len(),
                expected.len(),
                "call {number}: {left:?}, not {expected:?}"
            );
            assert_eq!(found.len(), expected.len(), "call {number}");
            let blob = store.open_blob(known[0], None).await?;
            let ch = store.alloc_io_channel()?;
            check(&blob, &ch, CLUSTER, CLUSTER, 1).await?;
            drop((blob, ch));
            for id in [known[1], known[0], known[2]] {
                if expected.contains(&id) {
                    store.delete_blob(id).await?;
                }
            }
            assert_eq!(store.free_clusters()?, free, "call {number}");
        }
    }
    Ok(())
}

/// Fails if a call whose future is forgotten harms memory or the store, or keeps the application from its end.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "T", num_blocks = 16384, block_size = UNIT),
))]
async fn calls_are_forgotten() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let witness = new_blob(&store, &of(4)).await?;
    let ch = store.alloc_io_channel()?;
    write(&witness, &ch, 0, 4 * CLUSTER, 7).await?;
    for number in 0..CALLS {
        let parts = Box::leak(Box::new(Parts::new(store.clone()).await?));
        let mut future = call(number, parts);
        let _ = poll_once(future.as_mut());
        mem::forget(future);
        check(&witness, &ch, 0, 4 * CLUSTER, 7).await?;
        witness.sync().await?;
    }
    Ok(())
}

/// Fails if a blob is lost whose making was forgotten: it stays, and can be deleted.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_forgotten_blob_is_found() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let witness = new_blob(&store, &of(1)).await?;
    let opts = of(1);
    let mut create = Box::pin(store.create_blob(Some(&opts)));
    assert!(poll_once(create.as_mut()).is_pending());
    mem::forget(create);
    let mut found = Vec::new();
    within("the blob", async {
        while found.len() < 2 {
            found = ids(&store).await?;
        }
        Ok::<_, spdk::Error>(())
    })
    .await?;
    found.retain(|id| *id != witness.id());
    assert_eq!(found.len(), 1, "{found:?}");
    store.delete_blob(found[0]).await
}

/// Fails if a size is never written that a blob gets while its metadata are being written.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_delay_create(
        base_bdev_name = "M", name = "D",
        avg_read_latency = 0, p99_read_latency = 0,
        avg_write_latency = 5_000, p99_write_latency = 5_000,
    ),
))]
async fn resized_beside_syncs() -> spdk::Result<()> {
    let store = Blobstore::init("D", Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    let mut blobs = Vec::new();
    // Beside a sync that has begun before; and beside the close of a handle that is dropped so many turns later.
    for later in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
        let blob = new_blob(&store, &of(1)).await?;
        let other = store.open_blob(blob.id(), None).await?;
        other.set_xattr("is", b"dirty").await?;
        if let Some(turns) = later {
            let mut resize = Box::pin(blob.resize(4));
            assert!(poll_once(resize.as_mut()).is_pending());
            for _ in 0..turns {
                spdk::task::yield_now().await;
            }
            drop(other);
            resize.await?;
        } else {
            let (synced, resized) = join(other.sync(), blob.resize(4)).await;
            synced.and(resized)?;
        }
        write(&blob, &ch, 3 * CLUSTER, 8, 1).await?;
        blobs.push(blob.id());
        blob.close().await?;
    }
    drop(ch);
    store.unload().await?;
    let store = Blobstore::load("D", Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    for id in blobs {
        let blob = store.open_blob(id, None).await?;
        assert_eq!(blob.num_clusters()?, 4);
        check(&blob, &ch, 3 * CLUSTER, 8, 1).await?;
    }
    Ok(())
}
