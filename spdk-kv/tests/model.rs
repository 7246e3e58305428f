//! The store against a map, by random calls.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::pin::pin;

use spdk::blob::Blobstore;
use spdk_kv::{Error, KvStore};
use spdk_tests::poll_once;
use spdk_tests::random::Random;
use spdk_tests::stress::settings;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

async fn create() -> spdk_kv::Result<KvStore> {
    let opts = KvStore::options().cluster_size(16384);
    KvStore::open(Blobstore::init("M", Some(&opts)).await?).await
}

async fn open() -> spdk_kv::Result<KvStore> {
    KvStore::open(Blobstore::load("M", Some(&KvStore::options())).await?).await
}

async fn all(store: &KvStore) -> spdk_kv::Result<Map> {
    Ok(store.scan(b"", None).await?.into_iter().collect())
}

/// Whether there was room.
fn unless_full(result: spdk_kv::Result<()>) -> spdk_kv::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Error::Full { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Fails if a call does something else than with a map, before or after the store is opened again, or changes a snapshot, or
/// if room is lost.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = 512)))]
async fn random_calls() -> spdk_kv::Result<()> {
    let (store, map) = call(false).await?;
    has_all_its_room(store, map).await
}

/// Fails if a call that is dropped is not done, is done after a later one, or loses something, be it room.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = 512)))]
async fn random_calls_that_are_dropped() -> spdk_kv::Result<()> {
    let (store, map) = call(true).await?;
    assert!(all(&store).await? == map);
    has_all_its_room(store, map).await
}

async fn has_all_its_room(store: KvStore, map: Map) -> spdk_kv::Result<()> {
    for key in map.keys() {
        store.delete(key).await?;
    }
    // Several times what the device has, each of them dropped once too.
    for number in 0..20 {
        let value = vec![number; 900_000];
        let _ = poll_once(pin!(store.put(b"key", &value)));
        assert_eq!(store.get(b"key").await?.as_ref(), Some(&value));
        store.put(b"key", &value).await?;
        let _ = poll_once(pin!(store.sync()));
    }
    assert_eq!(store.scan(b"", None).await?.len(), 1);
    store.close().await
}

/// Returns the store without snapshots, and what is in it.
async fn call(drops: bool) -> spdk_kv::Result<(KvStore, Map)> {
    let seed = settings::seed();
    println!("{}", settings::replay(seed));
    let mut random = Random::new(seed);
    let mut store = create().await?;
    let mut map = Map::new();
    let mut kept: Option<Map> = None;
    let (mut full, mut dropped) = (0, 0);
    for number in 0..settings::rounds(4000, 200_000) {
        let key = format!("key {}", random.below(60)).into_bytes();
        match random.below(100) {
            0..50 => {
                let most =
                    [50, 3000, 40_000, 1_500_000][random.below(50).saturating_sub(46) as usize];
                let value = vec![number as u8; random.below(most) as usize];
                if drops && random.one_in(20) {
                    // It has put it, or not.
                    dropped += 1;
                    let is_done = poll_once(pin!(store.put(&key, &value))).is_ready();
                    let found = store.get(&key).await?;
                    let is_as_before = found == map.get(&key).cloned();
                    assert!(
                        is_as_before || found.as_ref() == Some(&value),
                        "call {number}"
                    );
                    if is_done || !is_as_before {
                        map.extend(found.map(|value| (key, value)));
                    }
                    continue;
                }
                match unless_full(store.put(&key, &value).await)? {
                    true => drop(map.insert(key, value)),
                    false => full += 1,
                }
            }
            50..70 => {
                if unless_full(store.delete(&key).await)? {
                    map.remove(&key);
                }
            }
            70..85 => assert_eq!(
                store.get(&key).await?.as_ref(),
                map.get(&key),
                "call {number}"
            ),
            85..88 => {
                let found = store.scan(&key, Some(b"key 5")).await?;
                let expected = map
                    .range(key..)
                    .take_while(|(key, _)| key.as_slice() < b"key 5".as_slice());
                assert!(
                    found.iter().map(|(k, v)| (k, v)).eq(expected),
                    "call {number}"
                );
            }
            88..95 if drops && random.one_in(3) => {
                dropped += 1;
                let _ = poll_once(pin!(store.sync()));
            }
            88..95 => drop(unless_full(store.sync().await)?),
            95..97 => {
                if !unless_full(store.sync().await)? {
                    continue;
                }
                store.close().await?;
                store = open().await?;
                assert!(all(&store).await? == map, "call {number}");
            }
            _ => match kept.take() {
                None => {
                    if unless_full(store.snapshot("s").await)? {
                        kept = Some(map.clone());
                    }
                }
                Some(kept) => {
                    let snapshot = store.open_snapshot("s").await?;
                    let found = snapshot.scan(b"", None).await?;
                    assert!(found.into_iter().eq(kept), "call {number}");
                    drop(snapshot);
                    store.delete_snapshot("s").await?;
                }
            },
        }
    }
    println!("{full} puts found it full, {dropped} calls were dropped");
    assert!(full > 0 && all(&store).await? == map);
    if kept.is_some() {
        store.delete_snapshot("s").await?;
    }
    Ok((store, map))
}
