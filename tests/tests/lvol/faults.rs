//! Devices that fail, are full or are removed, and names that are none.

use serde_json::json;
use spdk::blob::{Blobstore, BsOpts, BsType};
use spdk::config::Aio;
use spdk::lvol::LvolStore;
use spdk::{Bdev, DmaBuf, Errno, ErrorKind, Gone, spawn_local};
use spdk_tests::wait::within;
use spdk_tests::{kind, poll_once, rpc};

use crate::{
    BYTES, CLUSTER, UNIT, assert_errno, buffer, check, file, init, names, new_file, opts, thin,
    write,
};

/// Fails if something is given that is not there, or what is there cannot be used any more afterwards.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn out_of_space() -> spdk::Result<()> {
    let opts = opts().num_md_pages_per_cluster_ratio(4);
    let store = LvolStore::init("M", "store", Some(&opts)).await?;
    let free = store.free_clusters()?;
    let result = store.create_lvol("large", (free + 1) * BYTES, None).await;
    assert_errno(result, Errno::ENOSPC);
    assert_errno(store.create_lvol("no", u64::MAX, None).await, Errno::ENOSPC);
    assert_eq!(store.free_clusters()?, free);
    let lvol = store.create_lvol("lvol", BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, CLUSTER, 1).await?;
    assert_errno(lvol.resize((free + 1) * BYTES).await, Errno::ENOSPC);
    assert_eq!(lvol.size()?, BYTES);
    let large = store
        .create_lvol("thin", 2 * free * BYTES, Some(&thin()))
        .await?;
    let mut cluster = 0;
    let full = loop {
        match write(&large, &ch, cluster * CLUSTER, 8, 2).await {
            Ok(()) => cluster += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.errno(), Some(Errno::ENOSPC), "{full}");
    assert!(cluster > free / 2, "{cluster} of {free}");
    check(&large, &ch, 0, 8, 2).await?;
    check(&lvol, &ch, 0, CLUSTER, 1).await?;
    assert_errno(large.inflate().await, Errno::ENOSPC);
    large.destroy().await?;
    assert_eq!(store.free_clusters()?, free - 1);

    // No page for the metadata of another one.
    let mut made = Vec::new();
    let none = loop {
        let name = format!("lvol {}", made.len());
        match store.create_lvol(&name, 0, None).await {
            Ok(lvol) => made.push(lvol),
            Err(error) => break error,
        }
        assert!(made.len() < 10, "{made:?}");
    };
    assert_eq!(none.errno(), Some(Errno::ENOMEM), "{none}");
    assert_errno(lvol.create_snapshot("no").await, Errno::ENOMEM);
    made.remove(0).destroy().await?;
    let snapshot = lvol.create_snapshot("snapshot").await?;
    assert_errno(snapshot.create_clone("no").await, Errno::ENOMEM);
    made.remove(0).destroy().await?;
    snapshot.create_clone("another").await?;
    check(&lvol, &ch, 0, CLUSTER, 1).await
}

/// Fails if a volume is made or becomes larger without the pages for its clusters: see the tests of blobs.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn no_pages_for_its_clusters() -> spdk::Result<()> {
    const BYTES: u64 = 4096;
    let opts = opts().cluster_size(BYTES as u32);
    let opts = opts.num_md_pages_per_cluster_ratio(1);
    let store = LvolStore::init("M", "store", Some(&opts)).await?;
    let free = store.free_clusters()?;
    let mut made = Vec::new();
    while let Ok(lvol) = store.create_lvol(&made.len().to_string(), 0, None).await {
        made.push(lvol);
    }
    for _ in 0..2 {
        made.remove(0).destroy().await?;
    }
    let large = store.create_lvol("large", 1024 * BYTES, None).await;
    assert_errno(large, Errno::ENOMEM);
    assert_errno(made[0].resize(3 * 512 * BYTES).await, Errno::ENOSPC);
    assert_eq!((made[0].size()?, store.free_clusters()?), (0, free));
    made.remove(1).destroy().await?;
    let large = store.create_lvol("large", 1024 * BYTES, None).await?;
    assert_eq!(store.free_clusters()?, free - 1024);
    large.close().await?;
    store.open_lvol("large").await?;
    Ok(())
}

/// Fails if a volume can be read beyond its new end, or loses what is before that.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_resize_below_the_content() -> spdk::Result<()> {
    let store = init("M").await?;
    let free = store.free_clusters()?;
    let lvol = store.create_lvol("lvol", 4 * BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, 4 * CLUSTER, 1).await?;
    lvol.resize(BYTES).await?;
    assert_eq!(store.free_clusters()?, free - 1);
    assert_errno(check(&lvol, &ch, CLUSTER, 1, 1).await, Errno::EINVAL);
    assert_errno(check(&lvol, &ch, CLUSTER - 1, 2, 1).await, Errno::EINVAL);
    check(&lvol, &ch, 0, CLUSTER, 1).await?;
    lvol.resize(0).await?;
    assert_errno(check(&lvol, &ch, 0, 1, 1).await, Errno::EINVAL);
    Ok(())
}

/// Fails if a name is written that SPDK does not load a store with, or that is taken.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "N", num_blocks = 16384, block_size = UNIT),
))]
async fn names_that_are_none() -> spdk::Result<()> {
    let longest = "n".repeat(63);
    let bad = ["", &"n".repeat(64), "a\0b"];
    for name in bad {
        let result = LvolStore::init("M", name, None).await;
        assert!(
            matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
            "{result:?}"
        );
    }
    let store = LvolStore::init("M", &longest, Some(&opts())).await?;
    let lvol = store.create_lvol(&longest, BYTES, None).await?;
    let snapshot = lvol.create_snapshot("snapshot").await?;
    for name in bad {
        for result in [
            store.rename(name).await,
            store.create_lvol(name, BYTES, None).await.map(drop),
            store.open_lvol(name).await.map(drop),
            store.destroy_lvol(name).await,
            store.create_esnap_clone(name, "N").await.map(drop),
            lvol.rename(name).await,
            lvol.create_snapshot(name).await.map(drop),
            snapshot.create_clone(name).await.map(drop),
        ] {
            assert!(
                matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
                "{result:?}"
            );
        }
    }
    // The other store keeps what was on its bdev.
    let other = LvolStore::init("N", "other", Some(&opts())).await?;
    other.create_lvol("kept", BYTES, None).await?;
    assert_errno(other.rename(&longest).await, Errno::EEXIST);
    other.unload().await?;
    assert_errno(LvolStore::init("N", &longest, None).await, Errno::EEXIST);
    let other = LvolStore::load("N").await?;
    assert_eq!(names(&other).await?, ["kept"]);
    other.unload().await?;
    store.rename("other").await?;
    assert_errno(LvolStore::load("N").await, Errno::EEXIST);
    drop((lvol, snapshot));
    store.rename(&longest).await?;
    store.unload().await?;
    let store = LvolStore::load("M").await?;
    assert_eq!(store.name(), longest);
    assert_eq!(names(&store).await?, [longest.as_str(), "snapshot"]);
    Ok(())
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

/// Fails if what the device did not write is reported as written, or if the store cannot go on: SPDK keeps a volume whose
/// blob failed to close for open, with a pointer to memory that it has freed.
#[spdk::test(
    bdevs(
        // One that writes zeroes as other data, for which an error can be asked.
        bdev_aio_create(name = "M", filename = new_file(), block_size = UNIT),
        bdev_error_create(base_name = "M"),
    ),
    rpc_addr = &rpc::address(),
)]
async fn the_device_fails() -> spdk::Result<()> {
    let store = LvolStore::init("EE_M", "store", Some(&opts())).await;
    assert!(std::fs::remove_file(file()).is_ok());
    let store = store?;
    let lvol = store.create_lvol("lvol", 2 * BYTES, None).await?;
    let other = store.create_lvol("other", BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, CLUSTER, 1).await?;
    inject("write", 1000).await?;
    assert_errno(write(&lvol, &ch, 0, 8, 2).await, Errno::EIO);
    assert_errno(lvol.rename("renamed").await, Errno::EIO);
    assert_errno(lvol.resize(3 * BYTES).await, Errno::EIO);
    for result in [
        store.create_lvol("new", BYTES, None).await.map(drop),
        lvol.create_snapshot("new").await.map(drop),
        store.rename("renamed").await,
    ] {
        assert!(result.is_err());
    }
    assert_eq!(store.name(), "store");
    // The last handle, and one of two.
    other.blob().set_xattr("not", b"synced").await?;
    assert_errno(other.close().await, Errno::EIO);
    let again = store.open_lvol("lvol").await?;
    lvol.blob().set_xattr("synced", b"later").await?;
    assert_errno(again.close().await, Errno::EIO);
    inject("clear", 1).await?;
    lvol.blob().sync().await?;
    check(&lvol, &ch, 8, CLUSTER - 8, 1).await?;
    assert_eq!(lvol.info().await?.name, "lvol");
    let other = store.open_lvol("other").await?;
    assert_eq!(other.blob().xattr("not").await?, Some(b"synced".to_vec()));
    other.rename("renamed").await?;
    assert_errno(store.open_lvol("other").await, Errno::ENOENT);

    // A volume whose blob cannot be deleted is forgotten until the store is loaded again.
    other.close().await?;
    inject("all", 1000).await?;
    let result = store.destroy_lvol("renamed").await;
    assert!(result.is_err());
    inject("clear", 1).await?;
    assert_errno(store.open_lvol("renamed").await, Errno::ENOENT);
    lvol.close().await?;
    drop(ch);
    store.unload().await?;
    let store = LvolStore::load("EE_M").await?;
    let lvol = store.open_lvol("lvol").await?;
    assert_eq!(lvol.blob().xattr("synced").await?, Some(b"later".to_vec()));
    assert_eq!(lvol.size()?, 3 * BYTES);
    let ch = store.alloc_io_channel()?;
    check(&lvol, &ch, 8, CLUSTER - 8, 1).await?;
    drop(ch);
    lvol.close().await?;

    // A store that cannot be destroyed lets go of its bdev all the same.
    inject("all", 1000).await?;
    assert_errno(store.destroy().await, Errno::EIO);
    inject("clear", 1).await?;
    let result = store.lvols().await;
    assert!(
        matches!(kind(&result), Some(ErrorKind::Gone { .. })),
        "{result:?}"
    );
    Bdev::find("EE_M")?.open(true)?;
    Ok(())
}

/// Fails if a store whose device fails for good, or is removed then, is never unloaded: SPDK does not close what it could
/// not write.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
        bdev_error_create(base_name = "M"),
    ),
    rpc_addr = &rpc::address(),
)]
async fn the_device_fails_for_good() -> spdk::Result<()> {
    let store = init("EE_M").await?;
    let lvol = store.create_lvol("lvol", 2 * BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, 2 * CLUSTER, 1).await?;
    drop((lvol, ch));
    store.unload().await?;
    for is_removed in [false, true] {
        // Nothing was written to it since, so that it is not marked as in use.
        let store = LvolStore::load("EE_M").await?;
        let [one, two] = [
            store.open_lvol("lvol").await?,
            store.open_lvol("lvol").await?,
        ];
        one.blob().set_xattr("not", b"synced").await?;
        inject("write", 100_000).await?;
        assert_errno(two.resize(4 * BYTES).await, Errno::EIO);
        if is_removed {
            drop(two);
            let removal = rpc::call("bdev_error_delete", json!({"name": "EE_M"}));
            within("the removal", removal).await;
            let result = one.close().await;
            assert!(
                matches!(kind(&result), Some(ErrorKind::Gone { .. })),
                "{result:?}"
            );
        } else {
            assert_errno(one.close().await, Errno::EIO);
            assert_errno(two.close().await, Errno::EIO);
            // SPDK has it open still.
            assert_errno(store.destroy_lvol("lvol").await, Errno::EBUSY);
            let again = store.open_lvol("lvol").await?;
            assert_eq!(again.size()?, 4 * BYTES);
            assert_errno(again.destroy().await, Errno::EIO);
            assert_errno(store.unload().await, Errno::EIO);
            inject("clear", 1).await?;
        }
        let bdev = if is_removed { "M" } else { "EE_M" };
        let store = LvolStore::load(bdev).await?;
        let lvol = store.open_lvol("lvol").await?;
        assert_eq!(lvol.size()?, 2 * BYTES);
        assert_eq!(lvol.blob().xattr("not").await?, None);
        let ch = store.alloc_io_channel()?;
        check(&lvol, &ch, 0, 2 * CLUSTER, 1).await?;
        drop((lvol, ch));
        store.unload().await?;
    }
    Ok(())
}

/// Fails if a bdev that has no lvol store is taken for one, or two owners get one.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "N", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "Tiny", num_blocks = 16, block_size = UNIT),
))]
async fn foreign_and_taken_devices() -> spdk::Result<()> {
    assert_errno(LvolStore::load("M").await, Errno::EILSEQ);
    assert_errno(LvolStore::load_grown("M").await, Errno::EILSEQ);
    for result in [
        LvolStore::init("None", "store", None).await,
        LvolStore::load("None").await,
        LvolStore::load("a name with a \0").await,
    ] {
        assert!(
            matches!(kind(&result), Some(ErrorKind::NoSuchBdev { .. })),
            "{result:?}"
        );
    }
    let wrong = LvolStore::init("M", "store", Some(&opts().cluster_size(1000))).await;
    assert_errno(wrong, Errno::EINVAL);
    let tiny = LvolStore::init("Tiny", "store", Some(&opts())).await;
    assert_errno(tiny, Errno::EINVAL);

    // A blobstore that is none of volumes, and one that says that it is, and is empty.
    let bs = BsOpts::new().cluster_size(BYTES as u32);
    Blobstore::init("M", Some(&bs)).await?.unload().await?;
    Blobstore::load("M", None).await?.unload().await?;
    let bstype = BsType::new("OTHER").expect("a short name");
    Blobstore::init("M", Some(&bs.clone().bstype(bstype)))
        .await?
        .unload()
        .await?;
    assert_errno(LvolStore::load("M").await, Errno::ENXIO);
    let bstype = BsType::new("LVOLSTORE").expect("a short name");
    let blobs = Blobstore::init("M", Some(&bs.bstype(bstype))).await?;
    let id = blobs.create_blob(None).await?;
    blobs.unload().await?;
    assert_errno(LvolStore::load("M").await, Errno::ENODEV);
    let blobs = Blobstore::load("M", None).await?;
    blobs.set_super_blob(Some(id)).await?;
    blobs.unload().await?;
    assert_errno(LvolStore::load("M").await, Errno::EINVAL);

    let store = init("M").await?;
    assert_errno(LvolStore::load("M").await, Errno::EPERM);
    assert_errno(LvolStore::init("M", "other", None).await, Errno::EPERM);
    assert_errno(LvolStore::init("N", "store", None).await, Errno::EEXIST);
    assert_errno(Bdev::find("M")?.open(true), Errno::EPERM);
    store.unload().await?;

    // A super block with a byte that is wrong.
    let desc = Bdev::find("M")?.open(true)?;
    let ch = desc.get_io_channel()?;
    let mut buf = DmaBuf::alloc(4096, 4096)?;
    desc.read(&ch, &mut buf, 0).await?;
    buf[100] ^= 1;
    desc.write(&ch, &buf, 0).await?;
    drop((ch, desc));
    assert_errno(LvolStore::load("M").await, Errno::EILSEQ);
    Ok(())
}

/// Fails if SPDK gets blocks of another size than those that the store was made on, or a list of what is used that is longer
/// than it is: see the tests of blobs.
#[spdk::test(bdevs(
    bdev_set_options(bdev_auto_examine = false),
    bdev_aio_create(name = "A", filename = new_file(), block_size = UNIT),
))]
async fn what_spdk_takes_on_trust() -> spdk::Result<()> {
    init("A").await?.unload().await?;
    Aio::delete("A").await?;
    Aio::new("A", file()).block_size(4096).create().await?;
    assert_errno(LvolStore::load("A").await, Errno::EINVAL);
    assert_errno(LvolStore::load_grown("A").await, Errno::EINVAL);
    // The first list is behind the super block, and its length behind what it is.
    let desc = Bdev::find("A")?.open(true)?;
    let ch = desc.get_io_channel()?;
    let mut buf = DmaBuf::alloc(4096, 4096)?;
    desc.read(&ch, &mut buf, 4096).await?;
    buf[3] = 0x55;
    desc.write(&ch, &buf, 4096).await?;
    drop((ch, desc));
    Aio::delete("A").await?;
    Aio::new("A", file()).block_size(512).create().await?;
    assert_errno(LvolStore::load("A").await, Errno::EILSEQ);
    assert_errno(LvolStore::load_grown("A").await, Errno::EILSEQ);
    Ok(())
}

/// Fails if a bdev whose super block was overwritten below its store stays open for ever, and with that the application.
#[spdk::test(bdevs(bdev_aio_create(name = "A", filename = new_file(), block_size = UNIT)))]
async fn the_super_block_is_overwritten() -> spdk::Result<()> {
    let store = init("A").await?;
    std::fs::write(file(), vec![0; 8 << 20]).expect("the file");
    assert_errno(store.unload().await, Errno::EILSEQ);
    Bdev::find("A")?.open(true)?;
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
    let store = init("D").await?;
    let lvol = store.create_lvol("lvol", 2 * BYTES, None).await?;
    let closed = store.create_lvol("closed", BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, CLUSTER, 1).await?;
    let mut buf = buffer(8)?;
    let mut read = Box::pin(lvol.blob().read_io_units(&ch, &mut buf, 0, 8));
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
    removed(lvol.blob().read_io_units(&ch, &mut buf, 0, 8).await);
    removed(lvol.resize(BYTES).await);
    removed(lvol.rename("no").await);
    removed(lvol.create_snapshot("no").await.map(drop));
    removed(lvol.size().map(drop));
    removed(lvol.close().await);
    removed(closed.destroy().await);
    removed(store.create_lvol("no", BYTES, None).await.map(drop));
    removed(store.lvols().await.map(drop));
    removed(store.free_clusters().map(drop));
    removed(store.alloc_io_channel().map(drop));
    removed(store.unload().await);
    let again = LvolStore::load("D").await;
    assert!(
        matches!(kind(&again), Some(ErrorKind::NoSuchBdev { .. })),
        "{again:?}"
    );

    let store = LvolStore::load("M").await?;
    assert_eq!(names(&store).await?, ["closed", "lvol"]);
    let lvol = store.open_lvol("lvol").await?;
    let ch = store.alloc_io_channel()?;
    check(&lvol, &ch, 0, CLUSTER, 1).await
}
