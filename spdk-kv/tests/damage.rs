//! The store on a device that fails, and on one that changes what was written.
#![allow(missing_docs)]

use std::collections::BTreeMap;

use spdk::blob::Blobstore;
use spdk_kv::{Error, KvStore};
use spdk_tests::memory::Memory;
use spdk_tests::random::Random;
use spdk_tests::stress::settings;

const BLOCK: u32 = 4096;

async fn create(memory: &Memory) -> spdk_kv::Result<KvStore> {
    let opts = KvStore::options().cluster_size(4 * BLOCK);
    KvStore::open(Blobstore::init_on(memory.clone(), Some(&opts)).await?).await
}

async fn open(memory: &Memory) -> spdk_kv::Result<KvStore> {
    let opts = KvStore::options();
    KvStore::open(Blobstore::load_on(memory.clone(), Some(&opts)).await?).await
}

fn is_damaged<T>(result: spdk_kv::Result<T>) -> bool {
    matches!(result, Err(Error::Damaged { .. }))
}

/// Fails if bytes that have changed on the device are returned, by the store, by one that is opened later, or by a snapshot.
#[spdk::test]
async fn damage_is_told() -> spdk_kv::Result<()> {
    let memory = Memory::new(BLOCK, 2048);
    let store = create(&memory).await?;
    store.put(b"first", b"a value that is written").await?;
    store.snapshot("s").await?;
    store.put(b"second", b"another value").await?;
    store.sync().await?;
    let at = memory.find(b"a value that").expect("it was written");
    memory.damage(at);
    assert!(is_damaged(store.get(b"first").await));
    assert!(is_damaged(store.scan(b"", None).await));
    assert!(is_damaged(store.open_snapshot("s").await));
    assert_eq!(
        store.get(b"second").await?.as_deref(),
        Some(&b"another value"[..])
    );
    store.close().await?;
    assert!(is_damaged(open(&memory).await));
    memory.damage(at);
    // The end of a store that was closed is no batch that was cut.
    let at = memory.find(b"another value");
    memory.damage(at.expect("it was written"));
    assert!(is_damaged(open(&memory).await));
    Ok(())
}

/// Fails if a store is opened without what a blob has whose metadata could not be read at once.
#[spdk::test]
async fn a_read_that_fails_loses_nothing() -> spdk_kv::Result<()> {
    let memory = Memory::new(BLOCK, 2048);
    let store = create(&memory).await?;
    for key in [b"first", b"other"] {
        store.put(key, &[7; 60_000]).await?;
        store.snapshot(&String::from_utf8_lossy(key)).await?;
    }
    let (all, names) = (store.scan(b"", None).await?, store.snapshots().await?);
    store.close().await?;
    let (mut number, mut failed) = (0, 0);
    loop {
        let copy = memory.copy();
        copy.fail_read(number);
        let opened = open(&copy).await;
        if copy.reads() <= number {
            break;
        }
        match opened {
            Ok(store) => {
                assert_eq!(
                    store.scan(b"", None).await?.len(),
                    all.len(),
                    "read {number}"
                );
                assert_eq!(store.snapshots().await?, names, "read {number}");
                store.close().await?;
            }
            Err(Error::Spdk(_)) => failed += 1,
            Err(error) => return Err(error),
        }
        number += 1;
    }
    assert!(failed > 0, "none of {number} reads has failed");
    Ok(())
}

/// Fails if a call does something although it has failed, or if what was put before is lost then.
#[spdk::test(deadline = 60 + settings::rounds(40, 3000))]
async fn calls_that_fail_change_nothing() -> spdk_kv::Result<()> {
    let seed = settings::seed();
    println!("{}", settings::replay(seed));
    let mut random = Random::new(seed);
    let mut failed = 0;
    for round in 0..settings::rounds(40, 3000) {
        let memory = Memory::new(BLOCK, 2048);
        let mut store = create(&memory).await?;
        let (mut map, mut kept) = (BTreeMap::new(), None);
        for number in 0..random.below(200) {
            if random.one_in(4) {
                memory.fail_writes(random.below(6), 1 + random.below(3));
            }
            let key = format!("key {}", random.below(20)).into_bytes();
            let most = [50, 5000, 60_000, 400_000][random.below(4) as usize];
            let value = vec![number as u8; random.below(most) as usize];
            let result = match random.below(20) {
                0..10 => {
                    let put = store.put(&key, &value).await;
                    put.map(|()| drop(map.insert(key, value)))
                }
                10..15 => store.delete(&key).await.map(|()| drop(map.remove(&key))),
                15..18 => store.sync().await,
                18 => {
                    memory.heal();
                    match kept.take() {
                        None => store.snapshot("s").await.map(|()| kept = Some(map.clone())),
                        Some(kept) => {
                            let snapshot = store.open_snapshot("s").await?;
                            let found = snapshot.scan(b"", None).await?;
                            assert!(found.into_iter().eq(kept), "round {round}, call {number}");
                            drop(snapshot);
                            store.delete_snapshot("s").await
                        }
                    }
                }
                _ => {
                    memory.heal();
                    store.close().await?;
                    store = open(&memory).await?;
                    Ok(())
                }
            };
            match result {
                Ok(()) | Err(Error::Full { .. }) => {}
                Err(Error::Spdk(_)) => failed += 1,
                Err(error) => return Err(error),
            }
            let found = store.scan(b"", None).await?;
            assert!(
                found.into_iter().eq(map.clone()),
                "round {round}, call {number}"
            );
        }
        memory.heal();
        store.close().await?;
        let store = open(&memory).await?;
        let found = store.scan(b"", None).await?;
        assert!(found.into_iter().eq(map.clone()), "round {round}");
        // How much room there is does not count: in SPDK 26.01 a blob that could not be made keeps its clusters.
        store.close().await?;
    }
    println!("{failed} calls failed");
    assert!(failed > 0);
    Ok(())
}
