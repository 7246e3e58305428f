//! The store as it is used.

use std::ops::Bound;

use spdk::IoChannel;
use spdk::blob::{Blobstore, BsOpts, BsType};

use crate::calls::Calls;
use crate::error::{Error, Result};
use crate::log::{Log, Store};
use crate::{Key, MAX_VALUE, Value};

/// A key-value store on a blobstore.
///
/// What is put is in memory, where [`KvStore::get`] finds it, until a batch is full or [`KvStore::sync`] is called. A
/// batch is written at once, and after a crash it is there as a whole or not at all: so the store is then as it was
/// after one of the calls since the last sync.
///
/// It is a log: batches are appended to segments, which are blobs. When more than half of it is out of date, or there is no
/// room, the oldest segment is cleaned: what counts of it is appended again, and its blob is deleted.
///
/// Calls are done by a task of the spdk_thread that the store was opened on, one after the other. One whose future is dropped
/// after its first poll is done all the same, and those after it wait for that; so it costs nothing that is not known.
pub struct KvStore(Calls);

/// What a store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// How many keys there are.
    pub keys: usize,
    /// How many segments.
    pub segments: usize,
    /// The bytes of the segments.
    pub log_bytes: u64,
    /// The bytes of them that count.
    pub live_bytes: u64,
    /// The bytes that no blob has.
    pub free_bytes: u64,
}

impl KvStore {
    /// With these a blobstore is made and loaded, so that one is not taken that is for something else.
    pub fn options() -> BsOpts {
        BsOpts::new().bstype(BsType::new("spdk-kv").expect("it is short"))
    }

    /// Makes a store on a blobstore without blobs.
    ///
    /// # Errors
    ///
    /// Those of [`Blobstore::alloc_io_channel`].
    pub fn create(blobs: Blobstore) -> Result<Self> {
        Ok(KvStore(Calls::of(Store::of(blobs)?)?))
    }

    /// Opens the store that a blobstore has, after a crash too. Writes to its device must be durable when they have ended.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`], and those of the blobstore.
    pub async fn open(blobs: Blobstore) -> Result<Self> {
        Ok(KvStore(Calls::of(Store::open(blobs).await?)?))
    }

    /// Gives a key a value. It is durable after [`KvStore::sync`].
    ///
    /// # Errors
    ///
    /// [`Error::Full`], [`Error::Key`], [`Error::Value`]: nothing has changed. If the device fails, neither: what was put
    /// before is still in memory, and written by the next call.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if value.len() > MAX_VALUE {
            return Err(Error::Value(value.len()));
        }
        self.set(key, Some(value.to_vec())).await
    }

    /// Takes a key away, if it is there. It is durable after [`KvStore::sync`].
    ///
    /// # Errors
    ///
    /// As for [`KvStore::put`]. In a store that puts have filled there is room for deletes, if no snapshot keeps it.
    pub async fn delete(&self, key: &[u8]) -> Result<()> {
        self.set(key, None).await
    }

    async fn set(&self, key: &[u8], value: Option<Value>) -> Result<()> {
        let key = key.to_vec();
        self.0.call(async |store| store.set(key, value).await).await
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if the device has changed it, and the device's own.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        let key = key.to_vec();
        self.0.call(async move |store| store.get(&key).await).await
    }

    /// The first key after this one, with its value; from the first one of all on with an empty key.
    ///
    /// # Errors
    ///
    /// As for [`KvStore::get`].
    pub async fn next(&self, after: &[u8]) -> Result<Option<(Key, Value)>> {
        self.from(Bound::Excluded(after.to_vec())).await
    }

    async fn from(&self, bound: Bound<Key>) -> Result<Option<(Key, Value)>> {
        self.0.call(async |store| store.from(bound).await).await
    }

    /// The keys from `from` on and before `to`, if that is given, with their values. Each is found by a call of its own,
    /// and others may change the store between them.
    ///
    /// # Errors
    ///
    /// As for [`KvStore::get`].
    pub async fn scan(&self, from: &[u8], to: Option<&[u8]>) -> Result<Vec<(Key, Value)>> {
        let (mut bound, mut found) = (Bound::Included(from.to_vec()), Vec::new());
        while let Some((key, value)) = self.from(bound).await?
            && to.is_none_or(|to| *key < *to)
        {
            bound = Bound::Excluded(key.clone());
            found.push((key, value));
        }
        Ok(found)
    }

    /// Makes durable what was put and deleted.
    ///
    /// # Errors
    ///
    /// Those of the device, or [`Error::Full`] if a write has failed before: it is all still in memory, and another try
    /// writes it.
    pub async fn sync(&self) -> Result<()> {
        self.0.call(async |store| store.flush().await).await
    }

    /// Keeps the store as it is now under a name, durably.
    ///
    /// It costs nothing but that the segments stay until no snapshot needs them.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotExists`], and those of [`KvStore::sync`] and of
    /// [`Blobstore::create_blob`].
    pub async fn snapshot(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.0.call(async |store| store.snapshot(name).await).await
    }

    /// Deletes a snapshot, and the segments that only that needed, durably; those of a snapshot that is still open go
    /// later. What was put before is not made durable by that.
    ///
    /// # Errors
    ///
    /// [`Error::NoSnapshot`], and those of [`Blobstore::delete_blob`].
    pub async fn delete_snapshot(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let delete = async |store: &mut Store| store.delete_snapshot(name).await;
        self.0.call(delete).await
    }

    /// The names of the snapshots.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`].
    pub async fn snapshots(&self) -> Result<Vec<String>> {
        let names = async |store: &mut Store| Ok(store.snapshots.keys().cloned().collect());
        self.0.call(names).await
    }

    /// Opens a snapshot, for reading.
    ///
    /// # Errors
    ///
    /// [`Error::NoSnapshot`], and those of [`KvStore::open`].
    pub async fn open_snapshot(&self, name: &str) -> Result<Snapshot> {
        let name = name.to_owned();
        self.0
            .call(async |store| store.open_snapshot(name).await)
            .await
    }

    /// What the store has.
    ///
    /// # Errors
    ///
    /// When the blobstore is gone.
    pub async fn stats(&self) -> Result<Stats> {
        self.0.call(async |store| store.stats()).await
    }

    /// Writes what is in memory and unloads the blobstore. Without it, what was not synced is lost.
    ///
    /// # Errors
    ///
    /// Those of [`KvStore::sync`] and of [`Blobstore::unload`]: `EBUSY` as long as a snapshot
    /// is open, or read.
    pub async fn close(self) -> Result<()> {
        self.0.end().await?.close().await
    }
}

/// A store as it was when a snapshot was made.
pub struct Snapshot {
    pub(crate) ch: IoChannel,
    pub(crate) log: Log,
}

impl Snapshot {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// As for [`KvStore::get`].
    pub async fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        self.log.get(&self.ch, key).await
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.log.index.keys()
    }
}
