//! What changes a blob beside writes that give it clusters, on a device that ends I/O in any order.

use futures_util::future::{join, join_all};
use spdk::Errno;
use spdk::blob::{Blob, BlobId, Blobstore, Xattrs};
use spdk::task::yield_now;
use spdk_tests::memory::Memory;
use spdk_tests::random::Random;
use spdk_tests::stress::settings;

use crate::{CLUSTER, UNIT, check, new_blob, of, opts, write};

/// Of the blob, before.
const CLUSTERS: u64 = 4;

async fn pause(random: &mut Random) {
    for _ in 0..random.below(60) {
        yield_now().await;
    }
}

/// Writes a clone of a snapshot beside `change`, which returns how many clusters it has then; loads the store again, and
/// fails if that is not so, or an io unit has not what was written, or a cluster has no owner.
async fn each_round(
    rounds: u64,
    mut change: impl AsyncFnMut(&Blobstore, &Blob, BlobId) -> spdk::Result<u64>,
) -> spdk::Result<()> {
    let seed = settings::seed();
    println!("{}", settings::replay(seed));
    for round in 0..rounds {
        let mut random = Random::new(seed).fork(round);
        let memory = Memory::new(UNIT as u32, 4096);
        memory.scatter(Some(random.fork(0)));
        let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
        let is_plain = random.one_in(3);
        let blob = new_blob(&store, &of(CLUSTERS).use_extent_table(!is_plain)).await?;
        let id = blob.id();
        let ch = store.alloc_io_channel()?;
        write(&blob, &ch, 0, CLUSTERS * CLUSTER, 1).await?;
        let snapshot = store.create_snapshot(id, &Xattrs::new()).await?;

        let mut units: Vec<u64> = (0..CLUSTERS)
            .map(|cluster| cluster * CLUSTER + 1 + random.below(CLUSTER - 2))
            .collect();
        random.shuffle(&mut units);
        if random.one_in(2) {
            // Else it gets its page of clusters beside.
            write(&blob, &ch, units[0], 1, 2).await?;
        }
        let (mut one, mut other) = (random.fork(1), random.fork(2));
        let writes = async {
            pause(&mut one).await;
            join_all(units.iter().map(|unit| write(&blob, &ch, *unit, 1, 2))).await
        };
        let changed = async {
            pause(&mut other).await;
            change(&store, &blob, snapshot).await
        };
        let (written, clusters) = join(writes, changed).await;
        let clusters = clusters?;
        for (unit, result) in units.iter().zip(written) {
            // What is beyond the end is refused.
            let is_refused = result.is_err() && unit / CLUSTER >= clusters;
            assert!(result.is_ok() || is_refused, "round {round}: {result:?}");
        }
        drop(ch);
        blob.close().await?;
        store.unload().await?;

        let store = Blobstore::load_on(memory.clone(), None).await?;
        let (blob, ch) = (store.open_blob(id, None).await?, store.alloc_io_channel()?);
        let info = blob.info().await?;
        assert_eq!(info.num_clusters, clusters, "round {round}");
        units.sort_unstable();
        for (cluster, unit) in (0..clusters).zip(&units) {
            let (first, end) = (cluster * CLUSTER, (cluster + 1) * CLUSTER);
            check(&blob, &ch, first, unit - first, 1).await?;
            check(&blob, &ch, *unit, 1, 2).await?;
            check(&blob, &ch, unit + 1, end - unit - 1, 1).await?;
        }
        let kept = match store.open_blob(snapshot, None).await {
            Ok(snapshot) => snapshot.info().await?.num_allocated_clusters,
            Err(error) if error.errno() == Some(Errno::ENOENT) => 0,
            Err(error) => return Err(error),
        };
        let used = info.num_allocated_clusters + kept;
        let (free, total) = (store.free_clusters()?, store.total_clusters()?);
        assert_eq!(used + free, total, "round {round}");
        drop((blob, ch));
        store.unload().await?;
    }
    Ok(())
}

/// Fails if the deletion of a snapshot begins beside a write to its clone: SPDK 26.01 writes the page with the first cluster
/// of that without what the snapshot had.
#[spdk::test(deadline = 60 + settings::rounds(80, 4000))]
async fn a_snapshot_is_deleted() -> spdk::Result<()> {
    each_round(settings::rounds(80, 4000), async |store, _, snapshot| {
        store.delete_blob(snapshot).await?;
        Ok(CLUSTERS)
    })
    .await
}

/// Fails if clusters are cut off beside writes to them: SPDK 26.01 puts them down behind the end of its memory.
#[spdk::test(deadline = 60 + settings::rounds(80, 4000))]
async fn a_blob_becomes_smaller() -> spdk::Result<()> {
    each_round(settings::rounds(80, 4000), async |_, blob, _| {
        blob.resize(1).await?;
        Ok(1)
    })
    .await
}

/// Fails if a blob gets a size beside writes that have its metadata written: SPDK 26.01 takes it for written then.
#[spdk::test(deadline = 60 + settings::rounds(300, 4000))]
async fn a_blob_becomes_larger() -> spdk::Result<()> {
    each_round(settings::rounds(300, 4000), async |_, blob, _| {
        blob.resize(CLUSTERS + 3).await?;
        Ok(CLUSTERS + 3)
    })
    .await
}
