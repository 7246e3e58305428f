//! Blobs that depend on a device outside of their store.

use std::sync::{Arc, Mutex};

use futures_util::future::{join, try_join_all};
use spdk::blob::{Blob, BlobOpts, Blobstore, BsOpts, ExternalSnapshot, Xattrs};
use spdk::task::yield_now;
use spdk::{Bdev, Errno, ErrorKind, IoChannel, ThreadHandle};
use spdk_tests::memory::Memory;
use spdk_tests::wait::within;
use spdk_tests::{kind, pattern, poll_once, until};

use crate::{CLUSTER, UNIT, assert_errno, buffer, check, new_blob, of, opts, write};

/// A device of so many clusters with the pattern of a generation.
async fn base(clusters: u64, generation: u64) -> spdk::Result<Memory> {
    let units = clusters * CLUSTER;
    let memory = Memory::new(UNIT as u32, units);
    memory.fill(generation);
    Ok(memory)
}

/// Finds this device, whatever the ID.
fn finding(memory: &Memory) -> BsOpts {
    let memory = memory.clone();
    opts().external_snapshots(move |_| ExternalSnapshot::new(memory.clone()))
}

fn depending(id: &[u8], clusters: u64) -> BlobOpts {
    BlobOpts::new().num_clusters(clusters).external_snapshot(id)
}

async fn check_zero(blob: &Blob, ch: &IoChannel, first: u64, units: u64) -> spdk::Result<()> {
    let mut buf = buffer(units)?;
    buf.fill(1);
    blob.read_io_units(ch, &mut buf, first, units).await?;
    pattern::assert_zero(&buf);
    Ok(())
}

/// Fails if a blob does not read as the device that it depends on, or a write of a part of a cluster loses the rest; also
/// through snapshots, on a device that copies, and beyond the end.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "Base", num_blocks = 384, block_size = UNIT),
))]
async fn reads_as_its_device() -> spdk::Result<()> {
    let desc = Bdev::find("Base")?.open(true)?;
    let channel = desc.get_io_channel()?;
    let mut buf = buffer(3 * CLUSTER)?;
    pattern::fill(&mut buf, UNIT, 0, 1);
    desc.write(&channel, &buf, 0).await?;
    let memory = base(3, 1).await?;
    let device = memory.clone();
    let find = move |id: &[u8]| match id {
        b"memory" => ExternalSnapshot::new(device.clone()),
        b"bdev" => ExternalSnapshot::bdev("Base"),
        _ => ExternalSnapshot::bdev("None"),
    };
    let options = opts().external_snapshots(find);
    for id in [&b"memory"[..], b"bdev"] {
        let store = Blobstore::init("M", Some(&options)).await?;
        // What the store has where the device has something else.
        let other = new_blob(&store, &of(8)).await?;
        let ch = store.alloc_io_channel()?;
        write(&other, &ch, 0, 8 * CLUSTER, 9).await?;
        let blob = new_blob(&store, &depending(id, 4)).await?;
        assert_eq!(blob.external_snapshot_id().await?, Some(id.to_vec()));
        assert_eq!(other.external_snapshot_id().await?, None);
        let info = blob.info().await?;
        assert!(info.is_esnap_clone && !info.is_clone && info.is_thin_provisioned);
        assert!(!info.is_degraded && info.parent.is_none(), "{info:?}");
        check(&blob, &ch, 0, 3 * CLUSTER, 1).await?;
        check_zero(&blob, &ch, 3 * CLUSTER, CLUSTER).await?;
        // Over the end of the device in one read.
        let mut buf = buffer(4)?;
        blob.read_io_units(&ch, &mut buf, 3 * CLUSTER - 2, 4)
            .await?;
        pattern::assert_is(&buf[..2 * UNIT], UNIT, 3 * CLUSTER - 2, 1);
        pattern::assert_zero(&buf[2 * UNIT..]);

        write(&blob, &ch, CLUSTER + 4, 8, 2).await?;
        write(&blob, &ch, 3 * CLUSTER + 4, 8, 2).await?;
        let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
        let clone = store.create_clone(snapshot, &Xattrs::new()).await?;
        let clone = store.open_blob(clone, None).await?;
        // From the device by way of the snapshot, into a cluster of its own.
        write(&clone, &ch, 4, 8, 3).await?;
        for (blob, generation) in [(&blob, 1), (&clone, 3)] {
            check(blob, &ch, 0, 4, 1).await?;
            check(blob, &ch, 4, 8, generation).await?;
            check(blob, &ch, 12, CLUSTER - 8, 1).await?;
            check(blob, &ch, CLUSTER + 4, 8, 2).await?;
            check(blob, &ch, CLUSTER + 12, 2 * CLUSTER - 12, 1).await?;
            check_zero(blob, &ch, 3 * CLUSTER, 4).await?;
            check(blob, &ch, 3 * CLUSTER + 4, 8, 2).await?;
        }
        check(&other, &ch, 0, 8 * CLUSTER, 9).await?;
        let (id, clone_id) = (blob.id(), clone.id());
        drop((blob, clone, other, ch));
        store.unload().await?;
        until("the device", || {
            memory.handles() == 2 && memory.channels() == 0
        })
        .await;

        // It is there again, and depends on nothing once it has all clusters.
        let store = Blobstore::load("M", Some(&options)).await?;
        store.inflate_blob(id).await?;
        // SPDK does not hand the device of its parent down.
        assert_errno(store.decouple_parent(clone_id).await, Errno::ENOENT);
        store.inflate_blob(clone_id).await?;
        let clone = store.open_blob(clone_id, None).await?;
        let blob = store.open_blob(id, None).await?;
        assert_eq!(blob.external_snapshot_id().await?, None);
        let ch = store.alloc_io_channel()?;
        check(&blob, &ch, CLUSTER + 4, 8, 2).await?;
        check(&blob, &ch, CLUSTER + 12, 2 * CLUSTER - 12, 1).await?;
        check(&clone, &ch, 12, CLUSTER - 8, 1).await?;
        drop((blob, clone, ch));
        store.unload().await?;
    }
    // A device that is not there.
    let store = Blobstore::init("M", Some(&options)).await?;
    let id = store.create_blob(Some(&depending(b"none", 1))).await?;
    assert_errno(store.open_blob(id, None).await, Errno::ENODEV);
    store.delete_blob(id).await.ok();
    store.unload().await?;
    drop(options);
    until("the device", || memory.handles() == 1).await;
    Ok(())
}

/// Fails if a blob whose device is missing does harm, or does not come back with the device.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_missing_device() -> spdk::Result<()> {
    let memory = base(2, 1).await?;
    let store = Blobstore::init("M", Some(&finding(&memory))).await?;
    let blob = new_blob(&store, &depending(b"base", 2)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 8, 2).await?;
    let id = blob.id();
    drop((blob, ch));
    store.unload().await?;

    // Without a way to find it, the store is loaded or it is not; it is an error, and no more.
    match Blobstore::load("M", Some(&opts())).await {
        Ok(store) => {
            assert_errno(store.open_blob(id, None).await, Errno::ENOTSUP);
            store.unload().await?;
        }
        Err(error) => assert!(error.errno().is_some(), "{error}"),
    }

    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let find = move |id: &[u8]| {
        if let Ok(mut seen) = seen.lock() {
            seen.push(id.to_vec());
        }
        ExternalSnapshot::missing()
    };
    let store = Blobstore::load("M", Some(&opts().external_snapshots(find))).await?;
    let blob = store.open_blob(id, None).await?;
    assert!(
        asked
            .lock()
            .is_ok_and(|asked| asked.iter().all(|id| id == b"base"))
    );
    assert!(blob.info().await?.is_degraded);
    let ch = store.alloc_io_channel()?;
    check(&blob, &ch, 0, 8, 2).await?;
    assert_errno(check(&blob, &ch, CLUSTER, 8, 1).await, Errno::EIO);
    assert_errno(write(&blob, &ch, CLUSTER + 8, 8, 1).await, Errno::EIO);
    let clone = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    assert_errno(check(&blob, &ch, CLUSTER, 8, 1).await, Errno::EIO);
    store.delete_blob(clone).await?;

    let larger = Memory::new(4096, 64);
    let wrong = blob.set_external_snapshot(ExternalSnapshot::new(larger.clone()));
    assert_errno(wrong.await, Errno::EINVAL);
    let wrong = blob.set_external_snapshot(ExternalSnapshot::bdev("None"));
    assert_errno(wrong.await, Errno::ENODEV);
    let plain = new_blob(&store, &of(1)).await?;
    let wrong = plain.set_external_snapshot(ExternalSnapshot::new(larger.clone()));
    assert_errno(wrong.await, Errno::EINVAL);
    until("the wrong devices", || larger.handles() == 1).await;

    blob.set_external_snapshot(ExternalSnapshot::new(memory.clone()))
        .await?;
    assert!(!blob.info().await?.is_degraded);
    check(&blob, &ch, 0, 8, 2).await?;
    check(&blob, &ch, 8, 2 * CLUSTER - 8, 1).await?;
    write(&blob, &ch, CLUSTER + 8, 8, 3).await?;
    check(&blob, &ch, CLUSTER + 8, 8, 3).await?;
    check(&blob, &ch, CLUSTER, 8, 1).await
}

/// Fails if a device goes while it is read, when a blob gets another one, a snapshot, or all of its clusters.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn replaced_under_reads() -> spdk::Result<()> {
    let store = Blobstore::init(
        "M",
        Some(&opts().external_snapshots(|_| ExternalSnapshot::missing())),
    )
    .await?;
    let blob = new_blob(&store, &depending(b"base", 2)).await?;
    let ch = store.alloc_io_channel()?;
    let xattrs = Xattrs::new();
    for what in 0..4 {
        let old = base(2, 1).await?;
        blob.set_external_snapshot(ExternalSnapshot::new(old.clone()))
            .await?;
        old.hold(true);
        let mut buf = buffer(8)?;
        let mut read = Box::pin(blob.read_io_units(&ch, &mut buf, CLUSTER, 8));
        assert!(poll_once(read.as_mut()).is_pending());
        until("the read", || old.in_flight() == 1).await;
        let mut snapshot = Box::pin(store.create_snapshot(blob.id(), &xattrs));
        match what {
            0 => {
                let new = ExternalSnapshot::new(base(2, 2).await?);
                within("the change", blob.set_external_snapshot(new)).await?;
                check(&blob, &ch, 0, 8, 2).await?;
            }
            // It waits for the read.
            1 => assert!(poll_once(snapshot.as_mut()).is_pending()),
            2 => {
                let new = ExternalSnapshot::new(base(2, 2).await?);
                within("the change", blob.set_external_parent(b"other", new)).await?;
                check(&blob, &ch, 0, 8, 2).await?;
            }
            _ => {}
        }
        old.hold(false);
        within("the read in flight", read).await?;
        pattern::assert_is(&buf, UNIT, CLUSTER, 1);
        if what == 1 {
            let snapshot = within("the snapshot", snapshot).await?;
            within("the delete", store.delete_blob(snapshot)).await?;
        }
        if what == 3 {
            within("the inflate", store.inflate_blob(blob.id())).await?;
            check(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
        }
        if what != 1 {
            until("the old device", || {
                old.handles() == 1 && old.channels() == 0
            })
            .await;
        }
    }
    Ok(())
}

/// Fails if a device is dropped twice, or used after that, since its blob gets another one beside it, or a parent, a snapshot or
/// all of its clusters.
#[spdk::test]
async fn replaced_beside_other_changes() -> spdk::Result<()> {
    let store = Memory::new(UNIT as u32, 16384);
    store.delay(1);
    let missing = opts().external_snapshots(|_| ExternalSnapshot::missing());
    let store = Blobstore::init_on(store, Some(&missing)).await?;
    let thick = new_blob(&store, &of(2)).await?;
    let xattrs = Xattrs::new();
    let parent = store.create_snapshot(thick.id(), &xattrs).await?;
    let ch = store.alloc_io_channel()?;
    for (what, turns) in (0..5).flat_map(|what| (0..12).map(move |turns| (what, turns))) {
        let devices = [1, 1, 1].map(|generation| base(2, generation));
        let devices = try_join_all(devices).await?;
        let new = |number: usize| ExternalSnapshot::new(devices[number].clone());
        let blob = new_blob(&store, &depending(b"base", 2)).await?;
        blob.set_external_snapshot(new(0)).await?;
        let id = blob.id();
        let late = async {
            for _ in 0..turns {
                yield_now().await;
            }
            blob.set_external_snapshot(new(1)).await
        };
        let other = async {
            match what {
                0 => blob.set_external_snapshot(new(2)).await,
                1 => blob.set_external_parent(b"other", new(2)).await,
                2 => store.inflate_blob(id).await,
                3 => store.set_parent(id, parent).await,
                _ => store.create_snapshot(id, &xattrs).await.map(drop),
            }
        };
        let (other, late) = within("both", join(other, late)).await;
        other?;
        // Of those, three leave it without an external snapshot.
        if what < 2 {
            late?;
        } else if let Err(error) = late {
            assert_errno(Err::<(), _>(error), Errno::EINVAL);
        }
        match what {
            3 => check_zero(&blob, &ch, 0, 8).await?,
            _ => check(&blob, &ch, 0, 2 * CLUSTER, 1).await?,
        }
        let snapshot = store.parent(id).await?.filter(|of| *of != parent);
        blob.close().await?;
        store.delete_blob(id).await?;
        if let Some(snapshot) = snapshot {
            store.delete_blob(snapshot).await?;
        }
        until("the devices", || {
            let is_free = |device: &Memory| device.handles() == 1 && device.channels() == 0;
            devices.iter().all(is_free)
        })
        .await;
    }
    Ok(())
}

/// Fails if a blob does not depend on what it is told to, or a device that is refused is kept or dropped twice.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn another_parent() -> spdk::Result<()> {
    let memory = base(2, 1).await?;
    let options = finding(&memory);
    let store = Blobstore::init("M", Some(&options)).await?;
    let ch = store.alloc_io_channel()?;
    let thin = BlobOpts::new().num_clusters(2).thin_provision(true);
    let thin = new_blob(&store, &thin).await?;
    let thick = new_blob(&store, &of(2)).await?;
    write(&thin, &ch, 0, 8, 2).await?;

    let refused = base(2, 3).await?;
    let odd = Memory::new(UNIT as u32, CLUSTER + 1);
    let new = |memory: &Memory| ExternalSnapshot::new(memory.clone());
    for id in [&b""[..], &[1; 1025]] {
        let result = thin.set_external_parent(id, new(&refused)).await;
        assert!(
            matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
            "{result:?}"
        );
        let result = store.create_blob(Some(&depending(id, 1))).await;
        assert!(
            matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
            "{result:?}"
        );
    }
    assert_errno(
        thick.set_external_parent(b"id", new(&refused)).await,
        Errno::EINVAL,
    );
    assert_errno(
        thin.set_external_parent(b"id", new(&odd)).await,
        Errno::EINVAL,
    );
    until("the refused", || {
        refused.handles() == 1 && odd.handles() == 1
    })
    .await;

    thin.set_external_parent(b"id", new(&memory)).await?;
    assert_errno(
        thin.set_external_parent(b"id", new(&refused)).await,
        Errno::EEXIST,
    );
    until("the refused", || refused.handles() == 1).await;
    assert_eq!(thin.external_snapshot_id().await?, Some(b"id".to_vec()));
    // It has the first cluster itself.
    check(&thin, &ch, 0, 8, 2).await?;
    check_zero(&thin, &ch, 8, CLUSTER - 8).await?;
    check(&thin, &ch, CLUSTER, CLUSTER, 1).await?;

    // A clone of a snapshot becomes one of a device, and the other way round.
    write(&thick, &ch, 0, 2 * CLUSTER, 4).await?;
    let snapshot = store.create_snapshot(thick.id(), &Xattrs::new()).await?;
    let longest = [7; 1024];
    thick.set_external_parent(&longest, new(&memory)).await?;
    assert!(store.clones(snapshot).await?.is_empty());
    check(&thick, &ch, 0, 2 * CLUSTER, 1).await?;
    store.set_parent(thin.id(), snapshot).await?;
    assert_eq!(thin.external_snapshot_id().await?, None);
    check(&thin, &ch, CLUSTER, CLUSTER, 4).await?;

    let (thin_id, thick_id) = (thin.id(), thick.id());
    drop((thin, thick, ch));
    store.unload().await?;
    let store = Blobstore::load("M", Some(&options)).await?;
    let (thin, thick) = (
        store.open_blob(thin_id, None).await?,
        store.open_blob(thick_id, None).await?,
    );
    let ch = store.alloc_io_channel()?;
    check(&thin, &ch, CLUSTER, CLUSTER, 4).await?;
    check(&thick, &ch, 0, 2 * CLUSTER, 1).await?;
    assert_eq!(thick.external_snapshot_id().await?, Some(longest.to_vec()));
    drop((thin, thick, ch));
    store.unload().await?;
    drop(options);
    until("the device", || memory.handles() == 1).await;
    Ok(())
}

/// Fails if a snapshot is not deleted since SPDK still closes it when its last clone was closed: it gives the channels of the
/// external one back first.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_snapshot_is_deleted_at_once() -> spdk::Result<()> {
    let memory = base(3, 1).await?;
    let store = Blobstore::init("M", Some(&finding(&memory))).await?;
    let id = store.create_blob(Some(&depending(b"device", 3))).await?;
    let snapshot = store.create_snapshot(id, &Xattrs::new()).await?;
    store.open_blob(id, None).await?.close().await?;
    store.delete_blob(snapshot).await?;
    assert_errno(store.open_blob(snapshot, None).await, Errno::ENOENT);
    let blob = store.open_blob(id, None).await?;
    let device = blob.external_snapshot_id().await?;
    assert_eq!(device.as_deref(), Some(&b"device"[..]));
    blob.close().await
}

/// Fails if a snapshot is not deleted since its clone, and with that SPDK the snapshot, is closed after the delete was asked for.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_clone_is_closed_while_its_snapshot_is_deleted() -> spdk::Result<()> {
    let memory = base(3, 1).await?;
    let store = Blobstore::init("M", Some(&finding(&memory))).await?;
    let blob = new_blob(&store, &depending(b"device", 3)).await?;
    let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    let mut delete = Box::pin(store.delete_blob(snapshot));
    assert!(poll_once(delete.as_mut()).is_pending());
    drop(blob);
    within("the delete", delete).await?;
    assert_errno(store.open_blob(snapshot, None).await, Errno::ENOENT);
    Ok(())
}

/// Fails if a blob is read on the channel of a device that another one had with its ID, and that is of another type.
#[spdk::test(cores = "0x3", bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "Base", num_blocks = 384, block_size = UNIT),
))]
async fn the_id_of_an_inflated_blob() -> spdk::Result<()> {
    let desc = Bdev::find("Base")?.open(true)?;
    let mut buf = buffer(3 * CLUSTER)?;
    pattern::fill(&mut buf, UNIT, 0, 2);
    desc.write(&desc.get_io_channel()?, &buf, 0).await?;
    let memory = base(3, 1).await?;
    let find = move |id: &[u8]| match id {
        b"memory" => ExternalSnapshot::new(memory.clone()),
        _ => ExternalSnapshot::bdev("Base"),
    };
    let store = Blobstore::init("M", Some(&opts().external_snapshots(find))).await?;
    // SPDK keeps no channels of the metadata thread, which has copied the clusters.
    let away = ThreadHandle::on_core("away", 1).await?;
    let there = store.clone();
    let reads = away.call_async(async move || {
        let ch = there.alloc_io_channel()?;
        let mut ids = Vec::new();
        for (id, generation) in [(&b"memory"[..], 1), (b"bdev", 2), (b"memory", 1)] {
            let blob = new_blob(&there, &depending(id, 3)).await?;
            check(&blob, &ch, 0, 3 * CLUSTER, generation).await?;
            there.inflate_blob(blob.id()).await?;
            check(&blob, &ch, 0, 3 * CLUSTER, generation).await?;
            ids.push(blob.id());
            blob.close().await?;
            there.delete_blob(ids[0]).await?;
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        Ok::<(), spdk::Error>(())
    });
    within("the reads", reads).await??;
    within("the end of the spdk_thread", away.exit()).await?;
    within("the unload", store.unload()).await
}
