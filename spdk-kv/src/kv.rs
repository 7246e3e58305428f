//! The store as it is used.

use std::rc::Rc;

use spdk::blob::{Blobstore, BsOpts, BsType};
use spdk::spawn_local;
use tokio::sync::Mutex;

use crate::store::Store;
use crate::{Error, MAX_VALUE, Pair, Result, Snapshot};

/// A key-value store on a blobstore.
///
/// What is put is in memory, where [`KvStore::get`] finds it, until a batch is full or [`KvStore::sync`] is called. A
/// batch is written at once, and after a crash it is there as a whole or not at all: so the store is then as it was
/// after one of the calls since the last sync. It is a log: batches are appended to segments, which are blobs. When more
/// than half of it is out of date, or there is no room, the oldest segment is cleaned: what counts of it is appended
/// again, and its blob is deleted.
///
/// Calls are tasks of the current spdk_thread, one after the other. One whose future is dropped after its first poll is done
/// all the same, and those after it wait for that; so it costs nothing that is not known. Every call returns [`Error::Spdk`]
/// if the device or the blobstore fails, and the errors that it names. Nothing has changed then, and what was put before is
/// still in memory, and written by the next call.
pub struct KvStore(Rc<Mutex<Store>>);

impl KvStore {
    /// With these a blobstore is made and loaded, so that one is not taken that is for something else.
    pub fn options() -> BsOpts {
        BsOpts::new().bstype(BsType::new("spdk-kv").expect("it is short"))
    }

    /// Opens the store that a blobstore has, after a crash too, or an empty one if it has no blobs: [`Error::Foreign`], and
    /// [`Error::Damaged`] if a batch is not as it was written, but for the last one before a crash. Writes to its device must
    /// be durable when they have ended.
    /// A blob whose metadata are damaged, or the lists of what is used, is none for SPDK: what its segment or snapshot had is
    /// missing. [`BsOpts::force_recover`] has those lists, which have no checksum, made anew.
    pub async fn open(blobs: Blobstore) -> Result<Self> {
        Ok(KvStore(Rc::new(Mutex::new(Store::open(blobs).await?))))
    }

    /// Does something after the calls before, as a task: also if this future is dropped.
    async fn call<T: 'static>(
        &self,
        f: impl AsyncFnOnce(&mut Store) -> Result<T> + 'static,
    ) -> Result<T> {
        let store = self.0.clone();
        spawn_local(async move { f(&mut *store.lock().await).await })?.await?
    }

    /// Gives a key a value, durably after [`KvStore::sync`]: [`Error::Full`], [`Error::Length`].
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if value.len() > MAX_VALUE {
            return Err(Error::Length(value.len()));
        }
        self.set(key, Some(value.to_vec())).await
    }

    /// Takes a key away, if it is there, durably after [`KvStore::sync`]: [`Error::Full`], [`Error::Length`]. In a store that
    /// puts have filled there is room for deletes, if no snapshot keeps it.
    pub async fn delete(&self, key: &[u8]) -> Result<()> {
        self.set(key, None).await
    }

    async fn set(&self, key: &[u8], value: Option<Vec<u8>>) -> Result<()> {
        let key = key.to_vec();
        let set = async move |store: &mut Store| store.set(&key, value.as_deref()).await;
        self.call(set).await
    }

    /// The value of a key: [`Error::Damaged`] if the device has changed it.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let key = key.to_vec();
        let get = async move |store: &mut Store| store.log.get(&key).await;
        self.call(get).await
    }

    /// The keys from `from` on and before `to`, if that is given, with their values: [`Error::Damaged`] as for
    /// [`KvStore::get`].
    pub async fn scan(&self, from: &[u8], to: Option<&[u8]>) -> Result<Vec<Pair>> {
        let (from, to) = (from.to_vec(), to.map(<[u8]>::to_vec));
        let scan = async move |store: &mut Store| store.log.scan(&from, to.as_deref()).await;
        self.call(scan).await
    }

    /// Makes durable what was put and deleted.
    pub async fn sync(&self) -> Result<()> {
        self.call(async |store| store.log.flush().await).await
    }

    /// Keeps the store as it is now under a name, durably: [`Error::SnapshotExists`]. It costs nothing but that the segments
    /// stay until no snapshot needs them.
    pub async fn snapshot(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.call(async |store| store.snapshot(name).await).await
    }

    /// Deletes a snapshot, and the segments that only that needed, durably: [`Error::NoSnapshot`]. Those of a snapshot that
    /// is still open go later. What was put before is not made durable by that.
    pub async fn delete_snapshot(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let delete = async move |store: &mut Store| store.delete_snapshot(&name).await;
        self.call(delete).await
    }

    /// The names of the snapshots.
    pub async fn snapshots(&self) -> Result<Vec<String>> {
        let names = async |store: &mut Store| Ok(store.snapshots.keys().cloned().collect());
        self.call(names).await
    }

    /// Opens a snapshot, for reading: [`Error::NoSnapshot`], and [`Error::Damaged`] as for [`KvStore::open`].
    pub async fn open_snapshot(&self, name: &str) -> Result<Snapshot> {
        let name = name.to_owned();
        let open = async move |store: &mut Store| store.open_snapshot(&name).await;
        self.call(open).await
    }

    /// Writes what is in memory and unloads the blobstore: `EBUSY` as long as a snapshot is open, or read. Without it, what
    /// was not synced is lost.
    pub async fn close(self) -> Result<()> {
        let blobs = self.call(async |store| Ok(store.blobs.clone())).await?;
        self.call(async |store| store.log.seal().await).await?;
        drop(self);
        Ok(blobs.unload().await?)
    }
}
