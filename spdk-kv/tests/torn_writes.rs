//! The store after a loss of power on a device that has written only some blocks of what was in flight.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::pin::pin;

use spdk::blob::Blobstore;
use spdk::task::yield_now;
use spdk_kv::{Error, KvStore};
use spdk_tests::memory::Memory;
use spdk_tests::poll_once;
use spdk_tests::random::Random;
use spdk_tests::stress::settings;

/// SPDK takes it for granted that a page of metadata is written as a whole.
const BLOCK: u32 = 4096;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

struct Step {
    key: Vec<u8>,
    /// `None`: delete it.
    value: Option<Vec<u8>>,
}

impl Step {
    fn random(random: &mut Random, number: u64) -> Step {
        let most = [50, 5000, 60_000, 400_000][random.below(4) as usize];
        let value = vec![number as u8; random.below(most) as usize];
        Step {
            key: format!("key {}", random.below(20)).into_bytes(),
            value: (!random.one_in(4)).then_some(value),
        }
    }

    async fn call(&self, store: &KvStore) -> spdk_kv::Result<()> {
        match &self.value {
            Some(value) => store.put(&self.key, value).await,
            None => store.delete(&self.key).await,
        }
    }

    fn apply(self, map: &mut Map) {
        match self.value {
            Some(value) => drop(map.insert(self.key, value)),
            None => drop(map.remove(&self.key)),
        }
    }
}

/// Fails if what was synced is lost, or what is there is not what the store was at one moment since.
#[spdk::test(deadline = 60 + settings::rounds(40, 3000))]
async fn a_batch_is_whole_or_not_there() -> spdk_kv::Result<()> {
    let seed = settings::seed();
    println!("{}", settings::replay(seed));
    let mut random = Random::new(seed);
    let (mut old, mut new) = (0, 0);
    for round in 0..settings::rounds(40, 3000) {
        let memory = Memory::new(BLOCK, 2048);
        memory.write_through();
        let opts = KvStore::options().cluster_size(16 * BLOCK);
        let store = KvStore::open(Blobstore::init_on(memory.clone(), Some(&opts)).await?).await?;
        let mut map = Map::new();
        // What it was since it was synced last.
        let mut past = vec![map.clone()];
        for number in 0..random.below(60) {
            if random.one_in(6) {
                store.sync().await?;
                past = vec![map.clone()];
                continue;
            }
            let step = Step::random(&mut random, number);
            match step.call(&store).await {
                Ok(()) => step.apply(&mut map),
                Err(Error::Full { .. }) => {}
                Err(error) => return Err(error),
            }
            past.push(map.clone());
        }
        // What is cut, in one turn of its many.
        let last = Step::random(&mut random, round);
        let before = past.last().cloned();
        memory.delay(2);
        {
            let mut last = pin!(async {
                last.call(&store).await?;
                store.sync().await
            });
            for _ in 0..random.below(24) {
                if poll_once(last.as_mut()).is_ready() {
                    break;
                }
                yield_now().await;
            }
        }
        let after = memory.after_power_loss(&mut random);
        last.apply(&mut map);
        past.push(map);
        memory.delay(0);
        store.close().await?;

        let store = KvStore::open(Blobstore::load_on(after, Some(&opts)).await?).await?;
        let found: Map = store.scan(b"", None).await?.into_iter().collect();
        let place = past.iter().rposition(|map| *map == found);
        let Some(place) = place else {
            panic!(
                "round {round}: {} keys as they have never been",
                found.len()
            );
        };
        match place + 1 == past.len() {
            true => new += 1,
            false => old += u64::from(before == Some(found)),
        }
        store.put(b"key", b"value").await?;
        store.close().await?;
    }
    println!("{old} as before the last call, {new} as after it");
    Ok(())
}
