//! Stores and volumes of other spdk_threads than the metadata thread.

use std::pin::pin;

use futures_util::future::try_join_all;
use spdk::lvol::LvolStore;
use spdk::{Errno, ErrorKind, SpdkApp, SpdkThread, ThreadHandle, spawn_on};
use spdk_tests::wait::within;
use spdk_tests::{kind, poll_once};

use crate::{BYTES, CLUSTER, UNIT, assert_errno, check, init, names, thin, write};

fn current() -> String {
    SpdkThread::get_current().map_or_else(String::new, |thread| thread.name().to_owned())
}

/// Everything that there is to do with a store.
async fn all(store: LvolStore, task: u64) -> spdk::Result<()> {
    let home = current();
    let [one, two] = [format!("lvol {task}"), format!("snapshot {task}")];
    let lvol = store.create_lvol(&one, 2 * BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, 2 * CLUSTER, task).await?;
    lvol.resize(3 * BYTES).await?;
    write(&lvol, &ch, 2 * CLUSTER, CLUSTER, task).await?;
    let snapshot = lvol.create_snapshot(&two).await?;
    write(&lvol, &ch, CLUSTER, 8, task + 1).await?;
    assert_eq!(snapshot.clones().await?.len(), 1);
    check(&snapshot, &ch, 0, 3 * CLUSTER, task).await?;
    snapshot.close().await?;
    lvol.inflate().await?;
    store.destroy_lvol(&two).await?;
    assert_errno(store.open_lvol(&two).await, Errno::ENOENT);
    check(&lvol, &ch, 0, CLUSTER, task).await?;
    check(&lvol, &ch, CLUSTER, 8, task + 1).await?;
    let again = store.open_lvol(&one).await?;
    again.rename(&two).await?;
    again.close().await?;
    assert_eq!(lvol.info().await?.name, two);
    lvol.close().await?;
    assert_eq!(current(), home);
    Ok(())
}

/// Fails if a call of another core runs there, or its answer does not come back there.
#[spdk::test(cores = "0x3", bdevs(bdev_malloc_create(name = "M", num_blocks = 65536, block_size = UNIT)))]
async fn two_cores() -> spdk::Result<()> {
    let store = init("M").await?;
    assert_eq!(store.metadata_thread().name(), current());
    let free = store.free_clusters()?;
    let mut tasks = Vec::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.push(spawn_on(task % 2, move || async move {
            all(store, u64::from(task) * 10).await
        }));
    }
    let ended = within("the tasks", try_join_all(tasks)).await?;
    ended.into_iter().collect::<spdk::Result<()>>()?;
    let ch = store.alloc_io_channel()?;
    for task in 0..8 {
        let lvol = store.open_lvol(&format!("snapshot {}", task * 10)).await?;
        check(&lvol, &ch, 2 * CLUSTER, CLUSTER, task * 10).await?;
        lvol.destroy().await?;
    }
    assert_eq!(store.free_clusters()?, free);
    drop(ch);
    // The last handle goes on the other core.
    spawn_on(1, move || async move { store.unload().await }).await?
}

/// Fails if stores of two threads get in each other's way: SPDK keeps one list of them.
#[spdk::test(cores = "0x3", deadline = 60, bdevs(
    bdev_malloc_create(name = "M0", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "M1", num_blocks = 16384, block_size = UNIT),
))]
async fn two_stores() -> spdk::Result<()> {
    let mut tasks = Vec::new();
    for task in 0..2 {
        tasks.push(spawn_on(task, move || async move {
            let bdev = format!("M{task}");
            for round in 0..20 {
                let opts = crate::opts();
                let name = format!("store {task}");
                let store = LvolStore::init(&bdev, &name, Some(&opts)).await?;
                let lvol = store.create_lvol("lvol", BYTES, None).await?;
                let ch = store.alloc_io_channel()?;
                write(&lvol, &ch, 0, 8, u64::from(task)).await?;
                store.rename(&format!("round {round} of {task}")).await?;
                drop(lvol);
                let lvol = store.open_lvol("lvol").await?;
                check(&lvol, &ch, 0, 8, u64::from(task)).await?;
                lvol.destroy().await?;
                drop(ch);
                store.destroy().await?;
            }
            Ok::<_, spdk::Error>(())
        }));
    }
    let ended = within("the tasks", try_join_all(tasks)).await?;
    ended.into_iter().collect::<spdk::Result<()>>()?;
    Ok(())
}

/// Fails if the end of a thread leaves its volumes open, or a store does not go with its metadata thread although another
/// one has volumes of it.
#[spdk::test(cores = "0x3", bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn threads_end() -> spdk::Result<()> {
    let home = ThreadHandle::on_core("home", 1).await?;
    let store = home.call_async(async || init("M").await).await??;
    let other = ThreadHandle::on_core("other", 0).await?;
    {
        let store = store.clone();
        let left = async move || {
            let lvol = store.create_lvol("left", BYTES, None).await?;
            let ch = store.alloc_io_channel()?;
            write(&lvol, &ch, 0, CLUSTER, 1).await?;
            std::mem::forget((lvol, ch));
            Ok::<_, spdk::Error>(())
        };
        other.call_async(left).await??;
    }
    assert_errno(store.unload().await, Errno::EBUSY);
    within("the end of a thread with a volume", other.exit()).await?;
    let lvol = store.open_lvol("left").await?;
    let ch = store.alloc_io_channel()?;
    check(&lvol, &ch, 0, CLUSTER, 1).await?;

    within("the end of the metadata thread", home.exit()).await?;
    let result = check(&lvol, &ch, 0, CLUSTER, 1).await;
    assert!(
        matches!(kind(&result), Some(ErrorKind::Gone { .. })),
        "{result:?}"
    );
    let result = store.open_lvol("left").await;
    assert!(
        matches!(kind(&result), Some(ErrorKind::Gone { .. })),
        "{result:?}"
    );
    let again = LvolStore::load("M").await?;
    assert_eq!(names(&again).await?, ["left"]);
    Ok(())
}

/// Fails if a volume that is not of the current spdk_thread reaches SPDK.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_volume_of_another_thread() -> spdk::Result<()> {
    let store = init("M").await?;
    let lvols = [
        store.create_lvol("one", BYTES, None).await?,
        store.create_lvol("two", BYTES, None).await?,
    ];
    let core = SpdkApp::cores()?[0];
    let other = ThreadHandle::on_core("other", core).await?;
    // On the same OS thread, so that a volume can get there without being `Send`.
    thread_local! {
        static LENT: std::cell::RefCell<Option<[spdk::lvol::Lvol; 2]>> =
            const { std::cell::RefCell::new(None) };
    }
    LENT.set(Some(lvols));
    let results = other
        .call_async(async || {
            let [one, two] = LENT.take().expect("it was lent");
            let copied = one.shallow_copy("M").next().await;
            vec![
                one.size().map(drop),
                one.rename("other").await,
                one.inflate().await,
                one.resize(0).await,
                one.create_snapshot("no").await.map(drop),
                copied.expect("an error").map(drop),
                one.close().await,
                two.destroy().await,
            ]
        })
        .await?;
    for result in results {
        assert!(
            matches!(kind(&result), Some(ErrorKind::WrongThread { .. })),
            "{result:?}"
        );
    }
    within("the unload", async {
        loop {
            match store.unload().await {
                Err(error) if error.errno() == Some(Errno::EBUSY) => spdk::task::yield_now().await,
                result => return result,
            }
        }
    })
    .await?;
    assert_eq!(names(&LvolStore::load("M").await?).await?, ["one", "two"]);
    Ok(())
}

/// Fails if a volume is decoupled from a snapshot that it has not had when it was looked for, and that is smaller.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn decoupled_from_another_parent() -> spdk::Result<()> {
    let store = init("M").await?;
    let other = ThreadHandle::on_core("other", SpdkApp::cores()?[0]).await?;
    other
        .call_async(move || async move {
            let lvol = store.create_lvol("lvol", BYTES, Some(&thin())).await?;
            let mut decoupled = pin!(lvol.decouple_parent());
            // The metadata thread is asked for the parent.
            assert!(poll_once(decoupled.as_mut()).is_pending());
            let snapshot = lvol.create_snapshot("snapshot").await?;
            lvol.resize(60 * BYTES).await?;
            assert_errno(within("the call", decoupled).await, Errno::EINVAL);
            assert_eq!(lvol.info().await?.num_allocated_clusters, 0);
            snapshot.close().await
        })
        .await?
}
