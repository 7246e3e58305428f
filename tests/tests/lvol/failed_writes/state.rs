//! What of a store lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use spdk::blob::BlobId;
use spdk::lvol::{LvolInfo, LvolStore};
use spdk::{Errno, IoChannel};
use spdk_tests::pattern;
use spdk_tests::wait::within;

use crate::{BYTES, CLUSTER, UNIT, buffer, write};

/// What the volumes that there were at first were called, by their UUIDs.
pub(super) type Known = BTreeMap<[u8; 16], String>;

/// A store; without one, nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// And how many clusters it has.
    store: Option<(String, u64)>,
    /// By the names that they had at first; those of new ones begin with a `+`.
    volumes: BTreeMap<String, Volume>,
}

#[derive(Clone, Debug, PartialEq)]
struct Volume {
    name: String,
    clusters: Vec<Content>,
    num_allocated: u64,
    is_read_only: bool,
    is_thin: bool,
    is_esnap_clone: bool,
    parent: Option<String>,
}

/// What a cluster reads as.
#[derive(Clone, Debug, PartialEq)]
enum Content {
    Zeroes,
    Generation(u64),
    Other,
}

pub(super) async fn known(store: &LvolStore) -> spdk::Result<Known> {
    let lvols = store.lvols().await?.into_iter();
    Ok(lvols
        .filter_map(|lvol| Some((lvol.uuid?, lvol.name)))
        .collect())
}

impl State {
    /// Loads the store, reads it, has its free clusters used, and reads it again; tells how many clusters no volume has
    /// that are not free.
    pub(super) async fn load(known: &Known) -> spdk::Result<(Self, i64)> {
        let store = match within("the load", LvolStore::load("M")).await {
            Ok(store) => store,
            Err(error) if matches!(error.errno(), Some(Errno::EILSEQ | Errno::ENODEV)) => {
                return Ok((State::default(), 0));
            }
            Err(error) => return Err(error),
        };
        let state = State::read(&store, known, false).await?;
        let free = store.free_clusters()?;
        fill(&store, free).await?;
        assert_eq!(State::read(&store, known, false).await?, state);
        store.destroy_lvol("fill").await?;
        store.unload().await?;
        let used: u64 = state.allocated().values().sum();
        let total = state.store.as_ref().map_or(0, |(_, total)| *total);
        Ok((state, total as i64 - (used + free) as i64))
    }

    /// Takes a volume from another one.
    pub(super) fn replace(&mut self, key: &str, other: &State) {
        self.volumes
            .insert(key.to_owned(), other.volumes[key].clone());
    }

    /// How many clusters the volumes have.
    fn allocated(&self) -> BTreeMap<&str, u64> {
        let volumes = self.volumes.iter();
        volumes
            .map(|(key, volume)| (key.as_str(), volume.num_allocated))
            .collect()
    }

    /// How many clusters volumes have got or lost since.
    pub(super) fn moved_since(&self, before: &State) -> i64 {
        let (before, after) = (before.allocated(), self.allocated());
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let of = |map: &BTreeMap<&str, u64>, key| map.get(key).copied().unwrap_or_default();
        keys.into_iter()
            .map(|key| of(&before, *key).abs_diff(of(&after, *key)) as i64)
            .sum()
    }

    /// Reads a store that was just loaded, or one that is used.
    pub(super) async fn read(
        store: &LvolStore,
        known: &Known,
        is_used: bool,
    ) -> spdk::Result<Self> {
        let lvols: Vec<LvolInfo> = store.lvols().await?;
        let keys: BTreeMap<BlobId, String> = lvols
            .iter()
            .map(|lvol| {
                let first = lvol.uuid.and_then(|uuid| known.get(&uuid)).cloned();
                let key = first.unwrap_or_else(|| format!("+{}", lvol.name));
                (lvol.blob_id, key)
            })
            .collect();
        let ch = store.alloc_io_channel()?;
        let mut volumes = BTreeMap::new();
        for lvol in lvols.iter().filter(|lvol| lvol.name != "fill") {
            let clusters = match clusters(store, &ch, lvol).await {
                Ok(clusters) => clusters,
                // A blob that has become no volume, or is none any more: so it is until the store is loaded again.
                Err(error) if is_used && error.errno() == Some(Errno::ENOENT) => continue,
                Err(error) => return Err(error),
            };
            let volume = Volume {
                name: lvol.name.clone(),
                clusters,
                num_allocated: lvol.num_allocated_clusters,
                is_read_only: lvol.is_read_only,
                is_thin: lvol.is_thin,
                is_esnap_clone: lvol.is_esnap_clone,
                parent: lvol
                    .parent
                    .map(|id| keys.get(&id).cloned().unwrap_or_default()),
            };
            volumes.insert(keys[&lvol.blob_id].clone(), volume);
        }
        Ok(State {
            store: Some((store.name(), store.total_clusters()?)),
            volumes,
        })
    }

    /// Fails unless each thing is as in one of them.
    pub(super) fn assert_is_between(&self, before: &State, after: &State, is_used: bool) {
        let is_one = |found: &dyn Debug, one: &dyn Debug, other: &dyn Debug| {
            let [found, one, other] = [found, one, other].map(|value| format!("{value:?}"));
            assert!(
                found == one || found == other,
                "{found}, not {one} or {other}"
            );
        };
        is_one(&self.store, &before.store, &after.store);
        if self.store.is_none() {
            return;
        }
        for (key, before) in &before.volumes {
            let is_kept =
                is_used || self.volumes.contains_key(key) || !after.volumes.contains_key(key);
            assert!(is_kept, "{before:?} is lost");
        }
        for (key, found) in &self.volumes {
            let (before, after) = (before.volumes.get(key), after.volumes.get(key));
            let Some(one) = before.or(after) else {
                panic!("there is no {found:?}");
            };
            let other = after.unwrap_or(one);
            is_one(&found.name, &one.name, &other.name);
            is_one(
                &found.num_allocated,
                &one.num_allocated,
                &other.num_allocated,
            );
            is_one(&found.is_read_only, &one.is_read_only, &other.is_read_only);
            is_one(&found.is_thin, &one.is_thin, &other.is_thin);
            is_one(
                &found.is_esnap_clone,
                &one.is_esnap_clone,
                &other.is_esnap_clone,
            );
            // SPDK forgets the parent of a volume of which a snapshot has failed, until the store is loaded again.
            if !is_used {
                is_one(&found.parent, &one.parent, &other.parent);
            }
            is_one(
                &found.clusters.len(),
                &one.clusters.len(),
                &other.clusters.len(),
            );
            for (number, cluster) in found.clusters.iter().enumerate() {
                let (one, other) = (one.clusters.get(number), other.clusters.get(number));
                is_one(&Some(cluster), &one, &other);
            }
        }
    }
}

/// Has each volume that can be written be written.
pub(super) async fn touch(store: &LvolStore) -> spdk::Result<()> {
    for info in store.lvols().await? {
        let Ok(lvol) = store.open_lvol(&info.name).await else {
            continue;
        };
        if !info.is_read_only {
            lvol.blob().set_xattr("touched", &[1]).await?;
        }
        lvol.close().await?;
    }
    Ok(())
}

/// Gives one volume all clusters that are free, and writes there.
async fn fill(store: &LvolStore, clusters: u64) -> spdk::Result<()> {
    let lvol = store.create_lvol("fill", clusters * BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    for cluster in 0..clusters {
        write(&lvol, &ch, cluster * CLUSTER, CLUSTER, 8).await?;
    }
    drop(ch);
    lvol.close().await
}

async fn clusters(
    store: &LvolStore,
    ch: &IoChannel,
    info: &LvolInfo,
) -> spdk::Result<Vec<Content>> {
    let lvol = store.open_lvol(&info.name).await?;
    let mut buf = buffer(CLUSTER)?;
    let mut contents = Vec::new();
    for first in (0..info.size / UNIT as u64).step_by(CLUSTER as usize) {
        lvol.blob()
            .read_io_units(ch, &mut buf, first, CLUSTER)
            .await?;
        let generation = (1..10).find(|number| pattern::check(&buf, UNIT, first, *number).is_ok());
        contents.push(match generation {
            Some(generation) => Content::Generation(generation),
            None if buf.iter().all(|byte| *byte == 0) => Content::Zeroes,
            None => Content::Other,
        });
    }
    lvol.close().await?;
    Ok(contents)
}
