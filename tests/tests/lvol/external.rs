//! Volumes that depend on bdevs.

use std::pin::pin;
use std::task::Poll;

use futures_util::future::join;
use serde_json::{Value, json};
use spdk::lvol::LvolStore;
use spdk::task::yield_now;
use spdk::{Bdev, Errno, ErrorKind};
use spdk_tests::model::check::text;
use spdk_tests::model::threads::{Threads, clear_desk, set_desk};
use spdk_tests::wait::within;
use spdk_tests::{Device, kind, pattern, poll_once};

use crate::{BYTES, CLUSTER, UNIT, assert_errno, check, init, names, thin, write};

/// Writes the pattern to a bdev.
async fn fill(bdev: &str, generation: u64) -> spdk::Result<()> {
    let device = Device::open(bdev)?;
    let mut buf = device.buffer(4 * CLUSTER as usize)?;
    pattern::fill(&mut buf, UNIT, 0, generation);
    device
        .desc
        .write_blocks(&device.ch, &buf, 0, 4 * CLUSTER)
        .await
}

/// Fails if a volume does not read as the bdev that it depends on, changes that, or lets others change it; or if a volume
/// whose bdev is not there crashes.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(
        name = "E", num_blocks = 512, block_size = UNIT, uuid = "6f5e8a52-7a2f-4b55-a5a1-000000000001",
    ),
    bdev_malloc_create(name = "F", num_blocks = 512, block_size = UNIT),
    bdev_malloc_create(name = "Odd", num_blocks = 500, block_size = UNIT),
    bdev_malloc_create(name = "Coarse", num_blocks = 128, block_size = 4096),
))]
async fn external_snapshots() -> spdk::Result<()> {
    fill("E", 1).await?;
    fill("F", 2).await?;
    let store = init("M").await?;
    let free = store.free_clusters()?;
    let ch = store.alloc_io_channel()?;
    assert_errno(store.create_esnap_clone("no", "Odd").await, Errno::EINVAL);
    let coarse = store.create_esnap_clone("no", "Coarse").await;
    assert!(
        matches!(kind(&coarse), Some(ErrorKind::InvalidArgument { .. })),
        "{coarse:?}"
    );
    let none = store.create_esnap_clone("no", "None").await;
    assert!(
        matches!(kind(&none), Some(ErrorKind::NoSuchBdev { .. })),
        "{none:?}"
    );
    let clone = store.create_esnap_clone("clone", "E").await?;
    assert_eq!(clone.size()?, 4 * BYTES);
    check(&clone, &ch, 0, 4 * CLUSTER, 1).await?;
    write(&clone, &ch, CLUSTER + 8, 8, 3).await?;
    check(&clone, &ch, 0, CLUSTER + 8, 1).await?;
    check(&clone, &ch, CLUSTER + 8, 8, 3).await?;
    check(&clone, &ch, CLUSTER + 16, 2 * CLUSTER, 1).await?;
    assert_errno(Bdev::find("E")?.open(true), Errno::EPERM);
    let info = clone.info().await?;
    assert!(info.is_esnap_clone && info.is_thin && info.parent.is_none());
    assert_eq!(info.num_allocated_clusters, 1);

    let second = store
        .create_lvol("second", 4 * BYTES, Some(&thin()))
        .await?;
    second.set_external_parent("F").await?;
    check(&second, &ch, 0, 4 * CLUSTER, 2).await?;
    assert_errno(second.set_external_parent("F").await, Errno::EEXIST);
    assert_errno(second.set_external_parent("Odd").await, Errno::EINVAL);
    second.set_external_parent("E").await?;
    check(&second, &ch, 0, 4 * CLUSTER, 1).await?;
    second.decouple_parent().await?;
    assert!(!second.info().await?.is_esnap_clone);
    check(&second, &ch, 0, 4 * CLUSTER, 1).await?;
    second.destroy().await?;
    drop(ch);
    clone.close().await?;
    // Nobody claims it any more.
    drop(Bdev::find("E")?.open(true)?);
    store.unload().await?;

    let delete =
        async || spdk::rpc::call::<Value>("bdev_malloc_delete", &json!({"name": "E"})).await;
    delete().await?;
    let store = LvolStore::load("M").await?;
    let clone = store.open_lvol("clone").await?;
    assert!(clone.is_degraded().await? && clone.info().await?.is_degraded);
    let ch = store.alloc_io_channel()?;
    for first in [0, CLUSTER + 8] {
        let result = check(&clone, &ch, first, 8, 1).await;
        assert!(result.is_err());
    }
    let snapshot = clone.create_snapshot("snapshot").await?;
    assert!(snapshot.is_degraded().await?);
    drop(ch);
    clone.close().await?;
    snapshot.close().await?;

    let params = json!({
        "name": "E", "num_blocks": 512, "block_size": UNIT,
        "uuid": "6f5e8a52-7a2f-4b55-a5a1-000000000001",
    });
    spdk::rpc::call::<Value>("bdev_malloc_create", &params).await?;
    fill("E", 1).await?;
    let clone = store.open_lvol("clone").await?;
    assert!(!clone.is_degraded().await?);
    let ch = store.alloc_io_channel()?;
    check(&clone, &ch, 0, CLUSTER + 8, 1).await?;
    check(&clone, &ch, CLUSTER + 8, 8, 3).await?;
    clone.inflate().await?;
    clone.destroy().await?;
    store.destroy_lvol("snapshot").await?;
    assert_eq!(store.free_clusters()?, free);
    delete().await?;
    Ok(())
}

/// Fails if what a clone gets a cluster for is copied from another device than the one that its snapshot depends on, which
/// SPDK's own device for bdevs takes for a part of the store.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "E", num_blocks = 512, block_size = UNIT),
))]
async fn snapshots_of_external_clones() -> spdk::Result<()> {
    fill("E", 1).await?;
    let store = init("M").await?;
    let ch = store.alloc_io_channel()?;
    let clone = store.create_esnap_clone("clone", "E").await?;
    let snapshot = clone.create_snapshot("snapshot").await?;
    for cluster in 0..4 {
        write(&clone, &ch, cluster * CLUSTER, 8, 2).await?;
        check(&clone, &ch, cluster * CLUSTER, 8, 2).await?;
        check(&clone, &ch, cluster * CLUSTER + 8, CLUSTER - 8, 1).await?;
    }
    check(&snapshot, &ch, 0, 4 * CLUSTER, 1).await?;
    drop(ch);
    clone.close().await?;
    snapshot.close().await?;
    store.unload().await
}

/// Fails if a snapshot is not destroyed, or forgotten, since SPDK still closes it when its last clone was closed: it gives
/// the channels of a bdev back first, on all spdk_threads.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "E", num_blocks = 512, block_size = UNIT),
))]
async fn snapshots_of_external_clones_are_destroyed_at_once() -> spdk::Result<()> {
    fill("E", 1).await?;
    let store = init("M").await?;
    let free = store.free_clusters()?;
    for by in 0..4 {
        let clone = store.create_esnap_clone("clone", "E").await?;
        let snapshot = clone.create_snapshot("snapshot").await?;
        match by {
            0 => {
                snapshot.close().await?;
                clone.close().await?;
                store.destroy_lvol("snapshot").await?;
            }
            1 => {
                snapshot.close().await?;
                clone.close().await?;
                assert_eq!(names(&store).await?, ["clone", "snapshot"]);
                store.destroy_lvol("snapshot").await?;
            }
            2 => {
                clone.close().await?;
                snapshot.destroy().await?;
            }
            _ => {
                let (closed, destroyed) = join(clone.close(), snapshot.destroy()).await;
                closed?;
                destroyed?;
            }
        }
        assert_eq!(names(&store).await?, ["clone"]);
        let clone = store.open_lvol("clone").await?;
        assert!(clone.info().await?.is_esnap_clone);
        clone.destroy().await?;
    }
    assert_eq!(store.free_clusters()?, free);
    Ok(())
}

/// Fails if a read-only volume keeps its parent, or is left without one, when another handle of it is
/// closed while it gets a new one: what writes its metadata then makes those read-only for SPDK in the middle of that.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "E", num_blocks = 512, block_size = UNIT),
    bdev_malloc_create(name = "F", num_blocks = 512, block_size = UNIT),
))]
async fn a_handle_closes_while_another_gets_a_parent() -> spdk::Result<()> {
    fill("E", 1).await?;
    fill("F", 2).await?;
    let store = init("M").await?;
    let ch = store.alloc_io_channel()?;
    let lvol = store.create_lvol("lvol", 4 * BYTES, Some(&thin())).await?;
    lvol.set_read_only().await?;
    for polls in 0..12 {
        let other = store.open_lvol("lvol").await?;
        let (bdev, generation) = [("E", 1), ("F", 2)][polls % 2];
        let mut set = pin!(lvol.set_external_parent(bdev));
        let mut is_set = false;
        for _ in 0..polls {
            is_set = is_set || poll_once(set.as_mut()).is_ready();
            yield_now().await;
        }
        other.close().await?;
        if !is_set {
            set.await?;
        }
        check(&lvol, &ch, 0, 4 * CLUSTER, generation).await?;
    }
    Ok(())
}

/// Fails if a snapshot is taken for open because its clone is closed just before it is deleted.
#[spdk::test(cores = "0x3", bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "E", num_blocks = 512, block_size = UNIT),
))]
async fn a_snapshot_goes_as_its_clone_is_closed() -> spdk::Result<()> {
    const ROUNDS: usize = 60;
    fill("E", 1).await?;
    let store = init("M").await?;
    // SPDK closes the snapshot on one spdk_thread after the other.
    let threads = Threads::new(3).await?;
    for thread in threads.numbers() {
        let there = store.clone();
        let set_up = async move || {
            set_desk(thread, there.alloc_io_channel().map_err(text)?);
            Ok(())
        };
        threads.on(thread, set_up).await.expect("a channel");
    }
    let there = store.clone();
    let rounds = async move || {
        for turns in 1..ROUNDS {
            let failed = destroy_and_close(&there, turns).await;
            failed.map_err(|error| format!("after {turns} turns: {error}"))?;
        }
        Ok(())
    };
    threads.on(1, rounds).await.expect("no failure");
    for thread in threads.numbers() {
        let clear = async move || {
            clear_desk(thread);
            Ok(())
        };
        threads.on(thread, clear).await.expect("no failure");
    }
    threads.end().await?;
    store.unload().await
}

/// Begins to destroy a snapshot, and drops all that there is some turns later.
async fn destroy_and_close(store: &LvolStore, turns: usize) -> spdk::Result<()> {
    let ch = store.alloc_io_channel()?;
    let clone = store.create_esnap_clone("clone", "E").await?;
    write(&clone, &ch, 0, 8, 2).await?;
    let snapshot = clone.create_snapshot("snapshot").await?;
    let mut destroy = Box::pin(snapshot.destroy());
    for _ in 0..turns {
        if let Poll::Ready(end) = poll_once(destroy.as_mut()) {
            end?;
            break;
        }
        yield_now().await;
    }
    drop((destroy, ch, clone));
    let end = async {
        loop {
            match store.destroy_lvol("clone").await {
                // It is open still, or has not got what the snapshot has.
                Err(error) if error.errno() == Some(Errno::EBUSY) => yield_now().await,
                end => return end,
            }
        }
    };
    within("the end of the clone", end).await
}
