//! Devices that fail a write, lose what they have cached, or are damaged.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use spdk::Errno;
use spdk::blob::{Blob, BlobId, BlobOpts, Blobstore, BsOpts, Xattrs};
use spdk_tests::memory::Memory;
use spdk_tests::random::Random;
use spdk_tests::stress::settings;
use spdk_tests::until;
use spdk_tests::wait::within;

use crate::{CLUSTER, UNIT, assert_errno, check, new_blob, opts, write};

/// A blob that SPDK 26.01 does not lose when a page with its clusters was not written: with such pages it reports success.
fn plain(clusters: u64) -> BlobOpts {
    BlobOpts::new()
        .num_clusters(clusters)
        .use_extent_table(false)
}

/// What is known of the blob after the calls that have succeeded.
#[derive(Default)]
struct Known {
    id: Option<BlobId>,
    /// The attribute that was synced, and the one that may have been.
    synced: u8,
    set: u8,
    /// The generation of the first cluster, and whether another one may have been written to it.
    generation: u64,
    is_torn: bool,
    /// With the generation of its first cluster.
    snapshot: Option<(BlobId, u64)>,
    /// Whether the attribute was removed, and whether that is durable.
    is_unnamed: bool,
    is_told_unnamed: bool,
}

/// Uses all that writes, up to the first error.
async fn use_store(store: &Blobstore, opts: &BlobOpts, known: &mut Known) -> spdk::Result<()> {
    let blob = new_blob(store, opts).await?;
    known.id = Some(blob.id());
    let ch = store.alloc_io_channel()?;
    let result = use_blob(store, &blob, &ch, known).await;
    drop(ch);
    let closed = blob.close().await;
    if closed.is_ok() {
        known.synced = known.set;
    }
    result.and(closed)
}

async fn use_blob(
    store: &Blobstore,
    blob: &Blob,
    ch: &spdk::IoChannel,
    known: &mut Known,
) -> spdk::Result<()> {
    known.is_torn = true;
    write(blob, ch, 0, 2 * CLUSTER, 1).await?;
    (known.generation, known.is_torn) = (1, false);
    known.set = 1;
    blob.set_xattr("name", &[1]).await?;
    blob.sync().await?;
    known.synced = 1;
    blob.resize(3).await?;
    blob.sync().await?;
    write(blob, ch, 2 * CLUSTER, CLUSTER, 1).await?;
    let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    known.snapshot = Some((snapshot, 1));
    known.is_torn = true;
    write(blob, ch, 0, CLUSTER, 2).await?;
    (known.generation, known.is_torn) = (2, false);
    blob.unmap_io_units(ch, 2 * CLUSTER, CLUSTER).await?;
    known.set = 2;
    blob.set_xattr("name", &[2]).await?;
    blob.sync().await?;
    known.synced = 2;
    known.snapshot = None;
    store.delete_blob(snapshot).await?;
    let (snapshot, id) = (
        store.create_snapshot(blob.id(), &Xattrs::new()).await?,
        blob.id(),
    );
    known.snapshot = Some((snapshot, 2));
    write(blob, ch, 2 * CLUSTER, 8, 3).await?;
    store.decouple_parent(id).await?;
    store.set_parent(id, snapshot).await?;
    store.inflate_blob(id).await?;
    blob.write_zeroes_io_units(ch, 2 * CLUSTER, CLUSTER).await?;
    blob.remove_xattr("name").await?;
    known.is_unnamed = true;
    blob.sync().await?;
    known.is_told_unnamed = true;
    store.set_super_blob(Some(id)).await?;
    blob.set_read_only().await?;
    blob.sync().await
}

async fn check_known(store: &Blobstore, known: &Known) -> spdk::Result<()> {
    let Some(id) = known.id else { return Ok(()) };
    if known.synced == 0 {
        return Ok(()); // it may not be there
    }
    let blob = store.open_blob(id, None).await?;
    let name = blob.xattr("name").await?;
    let (synced, set) = (Some(vec![known.synced]), Some(vec![known.set]));
    let is_as_set = (name == synced || name == set) && !known.is_told_unnamed;
    let is_gone = name.is_none() && known.is_unnamed;
    assert!(
        is_as_set || is_gone,
        "{name:?}, {synced:?}, {set:?}, {}",
        known.is_told_unnamed
    );
    let ch = store.alloc_io_channel()?;
    check(&blob, &ch, CLUSTER, CLUSTER, 1).await?;
    if !known.is_torn {
        check(&blob, &ch, 0, CLUSTER, known.generation).await?;
    }
    if let Some((snapshot, generation)) = known.snapshot {
        let snapshot = store.open_blob(snapshot, None).await?;
        check(&snapshot, &ch, 0, CLUSTER, generation).await?;
        check(&snapshot, &ch, CLUSTER, CLUSTER, 1).await?;
    }
    Ok(())
}

/// Fails if a write that the device fails, whichever it is, is reported as done, hangs what comes after it, loses what was
/// synced before, or leaks.
#[spdk::test]
async fn each_write_fails() -> spdk::Result<()> {
    // The next ones fail too, or not.
    for count in [1, u64::MAX] {
        for first in 0.. {
            let failing = failing_from(first, count, &plain(2)).await?;
            let is_told = failing.used.is_err() || failing.unloaded.is_err();
            assert!(
                !failing.was_hit || is_told,
                "the failure of write {first} is not told"
            );
            // An unload that fails is one, if the error is that of the device.
            if failing.unloaded.is_err() {
                assert_errno(failing.unloaded, Errno::EIO);
            } else if !failing.was_hit {
                failing.used?;
            }
            let store = Blobstore::load_on(failing.memory.clone(), Some(&opts())).await?;
            check_known(&store, &failing.known).await?;
            store_works(&store).await?;
            store.unload().await?;
            if !failing.was_hit {
                assert!(first > 20, "{first} writes");
                break;
            }
        }
    }
    Ok(())
}

/// The same of blobs with an extent table, of which SPDK 26.01 loses what a page of clusters has that was not written: so
/// that nothing hangs or crashes is all that is asked for.
#[spdk::test]
async fn each_write_of_a_table_fails() -> spdk::Result<()> {
    for (count, thin) in [(1, false), (1, true), (u64::MAX, false), (u64::MAX, true)] {
        let opts = BlobOpts::new().num_clusters(2).thin_provision(thin);
        for first in 0.. {
            let failing = failing_from(first, count, &opts).await?;
            if !failing.was_hit {
                failing.used.and(failing.unloaded)?;
                break;
            }
        }
    }
    Ok(())
}

/// What has become of a store, and its device.
struct Failing {
    memory: Memory,
    known: Known,
    used: spdk::Result<()>,
    unloaded: spdk::Result<()>,
    was_hit: bool,
}

/// Uses a store, on a device where so many writes fail from this one on.
async fn failing_from(first: u64, count: u64, blob: &BlobOpts) -> spdk::Result<Failing> {
    let memory = Memory::new(UNIT as u32, 4096);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let before = memory.writes();
    memory.fail_writes(first, count);
    let mut known = Known::default();
    let used = within("the use", use_store(&store, blob, &mut known)).await;
    let unloaded = within("the unload", store.unload()).await;
    let was_hit = memory.writes() > before + first;
    until("the device", || memory.handles() == 1).await;
    memory.heal();
    Ok(Failing {
        memory,
        known,
        used,
        unloaded,
        was_hit,
    })
}

async fn store_works(store: &Blobstore) -> spdk::Result<()> {
    let blob = new_blob(store, &plain(2)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 2 * CLUSTER, 7).await?;
    check(&blob, &ch, 0, 2 * CLUSTER, 7).await
}

/// Fails if an init whose last write fails, that of the super block, hangs or succeeds.
#[spdk::test]
async fn an_init_fails() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 4096);
    let store = Blobstore::init_on(memory.copy(), Some(&opts())).await?;
    store.unload().await?;
    memory.fail_writes(0, u64::MAX);
    let made = within(
        "the init",
        Blobstore::init_on(memory.clone(), Some(&opts())),
    )
    .await;
    assert_errno(made, Errno::EIO);
    let copy = memory.copy();
    assert_errno(Blobstore::load_on(copy, Some(&opts())).await, Errno::EILSEQ);
    Ok(())
}

/// Fails if a damaged super block is used, or damaged metadata do harm.
#[spdk::test]
async fn damage() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 4096);
    let options = opts().num_md_pages(16);
    let store = Blobstore::init_on(memory.clone(), Some(&options)).await?;
    let blob = new_blob(&store, &BlobOpts::new().num_clusters(2)).await?;
    blob.set_xattr("large", &[1; 3000]).await?;
    blob.set_xattr("larger", &[2; 3500]).await?;
    let id = blob.id();
    blob.close().await?;
    store.unload().await?;
    let mut refused = 0;
    for at in (0..96 * 1024).step_by(641) {
        let memory = memory.copy();
        memory.damage(at);
        for recover in [false, true] {
            let options = options.clone().force_recover(recover);
            match within(
                "the load",
                Blobstore::load_on(memory.clone(), Some(&options)),
            )
            .await
            {
                Ok(store) => {
                    assert!(at >= 4096, "a super block with a wrong byte {at}");
                    let _ = within("the open", store.open_blob(id, None)).await;
                    within("the unload", store.unload()).await?;
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.errno().is_some(), "{error}");
                }
            }
            until("the device", || memory.handles() == 1).await;
        }
    }
    assert!(refused >= 14, "{refused}");
    Ok(())
}

/// The size of a block of a device that loses power: what is written of a page of metadata is all of it or nothing. SPDK
/// does not survive less.
const BLOCK: u32 = 4096;
const BLOCKS: u64 = 16;

fn options() -> BsOpts {
    BsOpts::new().cluster_size(BLOCK * BLOCKS as u32)
}

/// A blob as it was when the device was last flushed.
#[derive(Clone, Debug, Default)]
struct Model {
    clusters: u64,
    name: Option<u64>,
    /// The generation of each cluster that was written.
    written: BTreeMap<u64, u64>,
}

struct PowerCut {
    random: Random,
    store: Blobstore,
    models: BTreeMap<BlobId, Model>,
    generation: u64,
}

impl PowerCut {
    /// Does something with a blob, and syncs it: what it is now, or `None` if it is gone.
    async fn step(&mut self) -> spdk::Result<(BlobId, Option<Model>)> {
        self.generation += 1;
        let is_new = self.models.is_empty() || self.random.one_in(4);
        if is_new {
            let model = Model {
                clusters: 1 + self.random.below(3),
                ..Model::default()
            };
            let thin = self.random.one_in(2);
            let opts = plain(model.clusters).thin_provision(thin);
            let id = self.store.create_blob(Some(&opts)).await?;
            return Ok((id, Some(model)));
        }
        let nth = self.random.below(self.models.len() as u64) as usize;
        let (id, model) = self.models.iter().nth(nth).expect("there are so many");
        let (id, mut model) = (*id, model.clone());
        if self.random.one_in(8) {
            self.store.delete_blob(id).await?;
            return Ok((id, None));
        }
        let blob = self.store.open_blob(id, None).await?;
        match self.random.below(3) {
            0 => {
                model.name = Some(self.generation);
                let name = self.generation.to_le_bytes();
                blob.set_xattr("name", &name).await?;
            }
            1 => {
                model.clusters = 1 + self.random.below(4);
                blob.resize(model.clusters).await?;
                model.written.retain(|cluster, _| *cluster < model.clusters);
            }
            _ => {
                let ch = self.store.alloc_io_channel()?;
                let cluster = self.random.below(model.clusters);
                let buf = cluster_of(self.generation)?;
                blob.write_io_units(&ch, &buf, cluster * BLOCKS, BLOCKS)
                    .await?;
                model.written.insert(cluster, self.generation);
            }
        }
        blob.sync().await?;
        blob.close().await?;
        Ok((id, Some(model)))
    }
}

fn cluster_of(generation: u64) -> spdk::Result<spdk::DmaBuf> {
    let mut buf = spdk::DmaBuf::alloc(BLOCK as usize * BLOCKS as usize, 4096)?;
    spdk_tests::pattern::fill(&mut buf, BLOCK as usize, 0, generation);
    Ok(buf)
}

async fn check_model(store: &Blobstore, id: BlobId, model: &Model) -> spdk::Result<()> {
    let blob = store.open_blob(id, None).await?;
    assert_eq!(blob.num_clusters()?, model.clusters, "{id} {model:?}");
    let name = model.name.map(|name| name.to_le_bytes().to_vec());
    assert_eq!(blob.xattr("name").await?, name, "{id} {model:?}");
    let ch = store.alloc_io_channel()?;
    for (cluster, generation) in &model.written {
        let mut buf = cluster_of(0)?;
        blob.read_io_units(&ch, &mut buf, cluster * BLOCKS, BLOCKS)
            .await?;
        spdk_tests::pattern::assert_is(&buf, BLOCK as usize, 0, *generation);
    }
    blob.close().await
}

/// The blob that was changed last is what it was, or what it has become, each block of its data by itself; it is not there
/// if one of both is that.
async fn check_last(
    store: &Blobstore,
    id: BlobId,
    before: Option<&Model>,
    after: Option<&Model>,
) -> Result<(), String> {
    let text = |error: spdk::Error| error.to_string();
    let models: Vec<_> = before.into_iter().chain(after).collect();
    let blob = match store.open_blob(id, None).await {
        Ok(blob) => blob,
        Err(error) if models.len() == 2 => return Err(text(error)),
        Err(_) => return Ok(()),
    };
    let clusters = blob.num_clusters().map_err(text)?;
    let name = blob.xattr("name").await.map_err(text)?;
    let is_one = models.iter().any(|model| {
        let expected = model.name.map(|name| name.to_le_bytes().to_vec());
        (model.clusters, &expected) == (clusters, &name)
    });
    if !is_one {
        return Err(format!("{clusters} clusters, {name:?}, and not {models:?}"));
    }
    let ch = store.alloc_io_channel().map_err(text)?;
    // What was to go may have lost its data first.
    let kept = after.map_or(0, |model| model.clusters);
    for cluster in 0..clusters.min(kept) {
        let Some(sure) = before.and_then(|model| model.written.get(&cluster)) else {
            continue; // it has never been durable
        };
        let mut buf = cluster_of(0).map_err(text)?;
        blob.read_io_units(&ch, &mut buf, cluster * BLOCKS, BLOCKS)
            .await
            .map_err(text)?;
        let maybe = after.and_then(|model| model.written.get(&cluster));
        for (block, number) in buf.chunks(BLOCK as usize).zip(0..) {
            let is = |generation: &u64| {
                spdk_tests::pattern::check(block, BLOCK as usize, number, *generation).is_ok()
            };
            if !is(sure) && !maybe.is_some_and(is) {
                return Err(format!("block {number} of cluster {cluster} is lost"));
            }
        }
    }
    blob.close().await.map_err(text)
}

/// Fails if what was synced, and flushed by the owner of the device, is not there after a loss of power in the middle of
/// another change, of which each block is lost or not.
#[spdk::test(deadline = 60 + settings::rounds(600, 30_000))]
async fn a_loss_of_power() -> spdk::Result<()> {
    let first = settings::seed();
    for seed in first..first + settings::rounds(600, 30_000) {
        let memory = Memory::new(BLOCK, 64 * BLOCKS);
        let store = Blobstore::init_on(memory.clone(), Some(&options())).await?;
        memory.cache_writes();
        let mut cut = PowerCut {
            random: Random::new(seed),
            store,
            models: BTreeMap::new(),
            generation: 0,
        };
        for _ in 0..cut.random.below(16) {
            let (id, model) = cut.step().await?;
            memory.flush();
            match model {
                Some(model) => cut.models.insert(id, model),
                None => cut.models.remove(&id),
            };
        }
        let (last, model) = cut.step().await?;
        let after = memory.after_power_loss(&mut cut.random);
        cut.store.unload().await?;

        let store = Blobstore::load_on(after.clone(), Some(&options())).await?;
        for (id, model) in cut.models.iter().filter(|(id, _)| **id != last) {
            check_model(&store, *id, model).await?;
        }
        check_last(&store, last, cut.models.get(&last), model.as_ref())
            .await
            .map_err(|wrong| format!("seed {seed}, blob {last}: {wrong}"))
            .unwrap_or_else(|wrong| panic!("{wrong}"));
        // Clusters are free or some blob's.
        let mut allocated = 0;
        let mut blobs = store.blobs();
        while let Some(id) = blobs.next().await {
            let blob = store.open_blob(id?, None).await?;
            allocated += blob.info().await?.num_allocated_clusters;
        }
        drop(blobs);
        assert_eq!(
            store.free_clusters()? + allocated,
            store.total_clusters()?,
            "{seed}"
        );
        within("the unload", store.unload()).await?;
    }
    Ok(())
}

/// Fails if SPDK begins to flush its device: then less has to be asked of its owner.
#[spdk::test]
async fn a_sync_is_not_durable_on_a_volatile_cache() -> spdk::Result<()> {
    let memory = Memory::new(BLOCK, 64 * BLOCKS);
    let store = Blobstore::init_on(memory.clone(), Some(&options())).await?;
    let blob = new_blob(&store, &plain(1)).await?;
    let id = blob.id();
    memory.cache_writes();
    blob.set_xattr("name", &[1]).await?;
    blob.sync().await?;
    // Without anything of the cache.
    let lost = Blobstore::load_on(memory.copy(), Some(&options())).await?;
    assert_eq!(lost.open_blob(id, None).await?.xattr("name").await?, None);
    memory.flush();
    let kept = Blobstore::load_on(memory.copy(), Some(&options())).await?;
    let kept = kept.open_blob(id, None).await?;
    assert_eq!(kept.xattr("name").await?, Some(vec![1]));
    Ok(())
}

/// Fails if a blob whose new parent could not be written reads what was closed, or has the snapshot open once too often.
#[spdk::test]
async fn a_parent_that_is_not_written() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 4096);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let ch = store.alloc_io_channel()?;
    let blob = new_blob(&store, &plain(2)).await?;
    let id = blob.id();
    write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    let snapshot = store.create_snapshot(id, &Xattrs::new()).await?;
    let other = new_blob(&store, &plain(2).thin_provision(true)).await?;
    let its = other.id();
    memory.fail_writes(0, u64::MAX);
    assert_errno(store.set_parent(its, snapshot).await, Errno::EIO);
    memory.heal();
    assert_eq!(other.info().await?.parent, Some(snapshot));
    check(&other, &ch, 0, 2 * CLUSTER, 1).await?;
    assert_errno(store.set_parent(its, snapshot).await, Errno::EEXIST);
    other.sync().await?;
    other.close().await?;
    let other = store.open_blob(its, None).await?;
    check(&other, &ch, 0, 2 * CLUSTER, 1).await?;
    other.close().await?;
    blob.close().await?;
    for id in [its, id, snapshot] {
        store.delete_blob(id).await?;
    }
    drop(ch);
    store.unload().await
}

/// Fails if a sync does nothing since somebody else, who could not write, has closed the blob.
#[spdk::test]
async fn a_close_that_fails_beside_a_sync() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 4096);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let blob = new_blob(&store, &plain(1)).await?;
    let id = blob.id();
    let other = store.open_blob(id, None).await?;
    blob.set_xattr("name", &[1]).await?;
    memory.fail_writes(0, u64::MAX);
    assert_errno(other.close().await, Errno::EIO);
    memory.heal();
    blob.sync().await?;
    let copy = Blobstore::load_on(memory.copy(), Some(&opts())).await?;
    let kept = copy.open_blob(id, None).await?;
    assert_eq!(kept.xattr("name").await?, Some(vec![1]));
    Ok(())
}

/// Fails if a sync does nothing since a walk over all blobs has closed the blob, and could not write it.
#[spdk::test]
async fn a_walk_that_fails_beside_a_sync() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 4096);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let blob = new_blob(&store, &plain(1)).await?;
    let id = blob.id();
    blob.set_xattr("name", &[1]).await?;
    memory.fail_writes(0, u64::MAX);
    let walked: Vec<_> = store.blobs().try_collect().await?;
    assert_eq!(walked, [id]);
    memory.heal();
    blob.sync().await?;
    let copy = Blobstore::load_on(memory.copy(), Some(&opts())).await?;
    let kept = copy.open_blob(id, None).await?;
    assert_eq!(kept.xattr("name").await?, Some(vec![1]));
    blob.close().await?;
    store.unload().await
}
