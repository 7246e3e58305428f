//! Stores and volumes that are dropped, forgotten and closed in any order.

use std::future::Future;
use std::mem;
use std::pin::Pin;

use spdk::lvol::{Lvol, LvolStore};
use spdk::{Errno, ErrorKind, Gone, IoChannel};
use spdk_tests::wait::within;
use spdk_tests::{kind, poll_once};

use crate::{
    BYTES, CLUSTER, UNIT, assert_errno, check, file, init, names, new_file, opts, thin, write,
};

/// Loads the store as soon as another one of the same device has let go of that.
async fn load() -> spdk::Result<LvolStore> {
    let load = async {
        loop {
            match LvolStore::load("M").await {
                Err(error) if matches!(error.errno(), Some(Errno::EPERM | Errno::EEXIST)) => {
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
    drop(init("M").await?);
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (order, generation) in orders.iter().zip(1..) {
        let name = format!("lvol {generation}");
        let store = load().await?;
        let lvol = store.create_lvol(&name, 2 * BYTES, None).await?;
        let ch = store.alloc_io_channel()?;
        write(&lvol, &ch, 0, 2 * CLUSTER, generation).await?;
        lvol.blob().set_xattr("order", &[generation as u8]).await?;
        let (mut store, mut lvol, mut ch) = (Some(store), Some(lvol), Some(ch));
        for part in order {
            match part {
                0 => drop(store.take()),
                1 => drop(lvol.take()),
                _ => drop(ch.take()),
            }
            spdk::task::yield_now().await;
        }
        let store = load().await?;
        let lvol = store.open_lvol(&name).await?;
        let ch = store.alloc_io_channel()?;
        check(&lvol, &ch, 0, 2 * CLUSTER, generation).await?;
        assert_eq!(
            lvol.blob().xattr("order").await?,
            Some(vec![generation as u8])
        );
    }
    assert_eq!(names(&load().await?).await?.len(), orders.len());
    Ok(())
}

/// Fails if a volume that was dropped cannot be destroyed at once, one that is open is destroyed, or a store cannot go on
/// after an unload was refused.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn what_comes_after_a_drop_waits_for_it() -> spdk::Result<()> {
    let store = init("M").await?;
    let free = store.free_clusters()?;
    for _ in 0..50 {
        let lvol = store.create_lvol("lvol", 2 * BYTES, None).await?;
        lvol.blob().set_xattr("dirty", b"").await?;
        assert_errno(store.destroy_lvol("lvol").await, Errno::EBUSY);
        drop(lvol);
        store.destroy_lvol("lvol").await?;
        assert_errno(store.open_lvol("lvol").await, Errno::ENOENT);
    }
    assert_eq!(store.free_clusters()?, free);

    let lvol = store.create_lvol("lvol", BYTES, None).await?;
    assert_errno(store.unload().await, Errno::EBUSY);
    assert_errno(store.destroy().await, Errno::EBUSY);
    let again = store.open_lvol("lvol").await?;
    // It is open elsewhere, and closed only.
    assert_errno(lvol.destroy().await, Errno::EBUSY);
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
        other.create_lvol("no", BYTES, None).await.map(drop),
        other.lvols().await.map(drop),
        other.rename("no").await,
    ] {
        let why = match kind(&result) {
            Some(ErrorKind::Gone { why, .. }) => *why,
            _ => panic!("{result:?}"),
        };
        assert_eq!(why, Gone::Closed);
    }
    let store = load().await?;
    assert_eq!(names(&store).await?, ["lvol"]);
    Ok(())
}

/// Fails if calls that take turns do not: SPDK then frees what is in use.
#[spdk::test(bdevs(bdev_aio_create(name = "M", filename = new_file(), block_size = UNIT)))]
async fn many_at_a_time() -> spdk::Result<()> {
    let store = init("M").await;
    assert!(std::fs::remove_file(file()).is_ok());
    let store = store?;
    let free = store.free_clusters()?;
    for _ in 0..20 {
        let name = async |name: &str| {
            let lvol = store.create_lvol(name, BYTES, Some(&thin())).await?;
            lvol.close().await
        };
        let ends = futures_util::future::join_all((0..4).map(|_| name("one"))).await;
        let refused: Vec<_> = ends.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 3);
        assert!(
            refused
                .iter()
                .all(|error| error.errno() == Some(Errno::EEXIST))
        );

        // Two opens of one that is closed, and closes, each in flight together.
        let opens = (0..4).map(|_| store.open_lvol("one"));
        let open = futures_util::future::try_join_all(opens).await?;
        let taken = store.create_lvol("two", BYTES, None);
        let (taken, renamed) = futures_util::join!(taken, open[0].rename("two"));
        assert!(taken.is_ok() != renamed.is_ok(), "{taken:?} {renamed:?}");
        drop(taken);
        let closes = open.into_iter().map(Lvol::close);
        futures_util::future::try_join_all(closes).await?;

        // Opens, and destroys, of one volume together.
        let name = if renamed.is_ok() { "two" } else { "one" };
        let (a, b, c) = futures_util::join!(
            store.destroy_lvol(name),
            store.destroy_lvol(name),
            store.open_lvol(name)
        );
        a?;
        assert_errno(b, Errno::ENOENT);
        assert_errno(c, Errno::ENOENT);
        if renamed.is_err() {
            store.destroy_lvol("two").await?;
        }
        assert_eq!(names(&store).await?, [""; 0]);
        assert_eq!(store.free_clusters()?, free);

        // A destroy of a snapshot waits for a copy of what it has.
        let lvol = store.create_lvol("lvol", 4 * BYTES, None).await?;
        let ch = store.alloc_io_channel()?;
        write(&lvol, &ch, 0, 4 * CLUSTER, 1).await?;
        lvol.create_snapshot("snapshot").await?.close().await?;
        let (inflated, destroyed) =
            futures_util::join!(lvol.inflate(), store.destroy_lvol("snapshot"));
        inflated?;
        destroyed?;
        check(&lvol, &ch, 0, 4 * CLUSTER, 1).await?;
        lvol.destroy().await?;
        assert_eq!(store.free_clusters()?, free);
    }
    store.unload().await
}

type Call<'a> = Pin<Box<dyn Future<Output = spdk::Result<()>> + 'a>>;

/// What calls are made on.
struct Parts {
    store: LvolStore,
    lvol: Lvol,
    /// A clone of `snapshot`.
    clone: Lvol,
    snapshot: Lvol,
    thin: Lvol,
    ch: IoChannel,
}

impl Parts {
    async fn new(store: LvolStore) -> spdk::Result<Self> {
        let lvol = store.create_lvol("lvol", 2 * BYTES, None).await?;
        let clone = store.create_lvol("clone", 4 * BYTES, None).await?;
        let thin = store.create_lvol("thin", 4 * BYTES, Some(&thin())).await?;
        store
            .create_lvol("closed", BYTES, None)
            .await?
            .close()
            .await?;
        let ch = store.alloc_io_channel()?;
        write(&lvol, &ch, 0, 2 * CLUSTER, 1).await?;
        write(&clone, &ch, 0, 4 * CLUSTER, 2).await?;
        let snapshot = clone.create_snapshot("snapshot").await?;
        Ok(Parts {
            store,
            lvol,
            clone,
            snapshot,
            thin,
            ch,
        })
    }
}

const CALLS: usize = 18;

/// The call of this number.
fn call(number: usize, parts: &Parts) -> Call<'_> {
    let Parts {
        store,
        lvol,
        clone,
        snapshot,
        thin,
        ch,
    } = parts;
    match number {
        0 => Box::pin(async { store.create_lvol("new", BYTES, None).await.map(drop) }),
        1 => Box::pin(async { lvol.create_snapshot("new").await.map(drop) }),
        2 => Box::pin(async { snapshot.create_clone("new").await.map(drop) }),
        3 => Box::pin(async { store.create_esnap_clone("new", "T").await.map(drop) }),
        4 => Box::pin(async { store.open_lvol("lvol").await.map(drop) }),
        5 => Box::pin(async { store.open_lvol("closed").await.map(drop) }),
        6 => Box::pin(store.destroy_lvol("closed")),
        7 => Box::pin(lvol.rename("renamed")),
        8 => Box::pin(store.rename("renamed")),
        9 => Box::pin(lvol.resize(3 * BYTES)),
        10 => Box::pin(clone.inflate()),
        11 => Box::pin(clone.decouple_parent()),
        12 => Box::pin(thin.set_parent(snapshot)),
        13 => Box::pin(thin.set_external_parent("T")),
        14 => Box::pin(async move {
            let mut copy = snapshot.shallow_copy("T");
            while let Some(copied) = copy.next().await {
                copied?;
            }
            Ok(())
        }),
        15 => Box::pin(async { store.lvols().await.map(drop) }),
        16 => Box::pin(async { store.open_lvol("closed").await?.destroy().await }),
        _ => Box::pin(write(lvol, ch, 0, 8, 1)),
    }
}

/// Fails if a call whose future is dropped while it is in flight harms memory or the store, keeps that from being
/// unloaded, or leaves a volume that nobody knows of.
#[spdk::test(deadline = 60, bdevs(
    bdev_aio_create(name = "M", filename = new_file(), block_size = UNIT),
    bdev_malloc_create(name = "T", num_blocks = 16384, block_size = UNIT),
))]
async fn calls_are_dropped() -> spdk::Result<()> {
    let store = LvolStore::init("M", "store", Some(&opts())).await;
    assert!(std::fs::remove_file(file()).is_ok());
    drop(store?);
    for number in 0..CALLS {
        // In its first step, and in later ones.
        for polls in [1, 2, 4, 8] {
            let store = load().await?;
            let free = store.free_clusters()?;
            let parts = Parts::new(store).await?;
            let mut future = call(number, &parts);
            let mut is_over = false;
            for _ in 0..polls {
                is_over = poll_once(future.as_mut()).is_ready();
                if is_over {
                    break;
                }
                spdk::task::yield_now().await;
            }
            drop(future);
            drop(parts);

            let store = load().await?;
            let mut left = names(&store).await?;
            // One that was dropped after it had ended was told of what it made.
            if is_over {
                left.retain(|name| name != "new");
            }
            let mut expected = vec!["clone", "closed", "lvol", "snapshot", "thin"];
            match number {
                6 => drop(expected.remove(1)),
                // Dropped before the destroy, it was only opened.
                16 if !left.iter().any(|name| name == "closed") => drop(expected.remove(1)),
                7 => expected[2] = "renamed",
                _ => {}
            }
            expected.sort_unstable();
            assert_eq!(left, expected, "call {number}");
            let lvol = store
                .open_lvol(if number == 7 { "renamed" } else { "lvol" })
                .await?;
            let ch = store.alloc_io_channel()?;
            check(&lvol, &ch, 0, 2 * CLUSTER, 1).await?;
            drop((lvol, ch));
            // Children first.
            let mut left = names(&store).await?;
            left.sort_by_key(|name| name == "snapshot");
            for name in left {
                store.destroy_lvol(&name).await?;
            }
            assert_eq!(store.free_clusters()?, free, "call {number}");
        }
    }
    Ok(())
}

/// Fails if a call whose future is forgotten harms memory or the store, or keeps the application from its end.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 65536, block_size = UNIT),
    bdev_malloc_create(name = "T", num_blocks = 16384, block_size = UNIT),
))]
async fn calls_are_forgotten() -> spdk::Result<()> {
    let store = init("M").await?;
    let witness = store.create_lvol("witness", 4 * BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&witness, &ch, 0, 4 * CLUSTER, 7).await?;
    let parts = &*Box::leak(Box::new(Parts::new(store.clone()).await?));
    for number in 0..CALLS {
        let mut future = call(number, parts);
        let _ = poll_once(future.as_mut());
        mem::forget(future);
        check(&witness, &ch, 0, 4 * CLUSTER, 7).await?;
        witness.blob().sync().await?;
    }
    Ok(())
}
