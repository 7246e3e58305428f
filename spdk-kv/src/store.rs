//! The store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use spdk::blob::{BlobId, Blobstore, BsOpts, BsType};
use spdk::{Errno, IoChannel};

use crate::batch::{BATCH_HEADER, Damage, encode, record_length};
use crate::error::{Error, Result};
use crate::segment::{self, Part, Segment};
use crate::{Key, MAX_KEY, MAX_VALUE, Value};

/// What was put and is not written yet may have so many bytes.
const MEMORY: u64 = 256 << 10;
/// The size of a segment, if no value is larger.
const SEGMENT: u64 = 1 << 20;
/// How long what is in flight is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a record is.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    offset: u64,
    length: u32,
}

/// Segments, and where in them the records are that count.
#[derive(Default)]
struct Log {
    segments: BTreeMap<u64, Segment>,
    index: BTreeMap<Key, Place>,
}

/// A key-value store on a blobstore.
///
/// What is put is in memory, where [`KvStore::get`] finds it, until a batch is full or [`KvStore::sync`] is called. A
/// batch is written at once, and after a crash it is there as a whole or not at all: so the store is then as it was
/// after one of the calls since the last sync.
///
/// It is a log: batches are appended to segments, which are blobs. When more than half of it is out of date, or there is no
/// room, the oldest segment is cleaned: what counts of it is appended again, and its blob is deleted.
///
/// A future of a call that is dropped leaves the store in order: what was in flight is written again. Each may take
/// room, also of what is kept for cleaning, so that a store is full earlier.
pub struct KvStore {
    ch: IoChannel,
    log: Log,
    /// What is newer than the log.
    memory: BTreeMap<Key, Option<Value>>,
    /// How many bytes its records have.
    memory_bytes: u64,
    /// The segment that is appended to, but not after a write that may not have ended.
    active: Option<u64>,
    next_number: u64,
    /// Their blobs, and the segments that they need.
    snapshots: BTreeMap<String, (BlobId, BTreeSet<u64>)>,
    /// Segments that only they need.
    stale: BTreeMap<u64, BlobId>,
    /// Blobs that are to be deleted before anything else is cleaned.
    doomed: Vec<(u64, BlobId)>,
    store: Blobstore,
}

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

fn bstype() -> BsType {
    BsType::new("spdk-kv").expect("it is short")
}

impl Log {
    /// Reads a segment, whose records are newer than those before.
    async fn add(&mut self, ch: &IoChannel, mut segment: Segment) -> Result<()> {
        while let Some((records, next)) = segment.batch(ch, segment.used).await? {
            for record in records {
                let place = Place {
                    segment: segment.number,
                    offset: record.offset,
                    length: record.length,
                };
                match record.value {
                    Some(_) => drop(self.index.insert(record.key, place)),
                    None => drop(self.index.remove(&record.key)),
                }
            }
            segment.used = next;
        }
        self.segments.insert(segment.number, segment);
        Ok(())
    }

    async fn get(&self, ch: &IoChannel, key: &[u8]) -> Result<Option<Value>> {
        let Some(place) = self.index.get(key) else {
            return Ok(None);
        };
        let segment = &self.segments[&place.segment];
        let record = segment.record(ch, place.offset, place.length).await?;
        match record.value {
            Some(value) if record.key == key => Ok(Some(value)),
            _ => Err(segment.damaged(place.offset, Damage::Key)),
        }
    }

    fn after(&self, bound: Bound<&[u8]>) -> Option<&Key> {
        self.index
            .range::<[u8], _>((bound, Bound::Unbounded))
            .next()
            .map(|(key, _)| key)
    }
}

impl KvStore {
    /// Makes an empty store on a bdev. What was on that is lost.
    ///
    /// # Errors
    ///
    /// Those of [`Blobstore::init`].
    pub async fn create(bdev: &str, cluster_size: u32) -> Result<Self> {
        let opts = BsOpts::new().bstype(bstype()).cluster_size(cluster_size);
        Self::of(Blobstore::init(bdev, Some(&opts)).await?)
    }

    fn of(store: Blobstore) -> Result<Self> {
        Ok(KvStore {
            ch: store.alloc_io_channel()?,
            log: Log::default(),
            memory: BTreeMap::new(),
            memory_bytes: 0,
            active: None,
            next_number: 1,
            snapshots: BTreeMap::new(),
            stale: BTreeMap::new(),
            doomed: Vec::new(),
            store,
        })
    }

    /// Opens the store that a bdev has, after a crash too.
    ///
    /// # Errors
    ///
    /// Those of [`Blobstore::load`]; `ENXIO` if the blobstore of the bdev is for something else.
    pub async fn open(bdev: &str) -> Result<Self> {
        let opts = BsOpts::new().bstype(bstype());
        let mut this = Self::of(Blobstore::load(bdev, Some(&opts)).await?)?;
        let mut segments = BTreeMap::new();
        for id in ids(&this.store).await? {
            match segment::open(&this.store, id).await? {
                Part::Segment(segment) => drop(segments.insert(segment.number, segment)),
                Part::Stale(segment) => drop(this.stale.insert(segment.number, id)),
                Part::Snapshot(name, numbers) => {
                    this.snapshots.insert(name, (id, numbers));
                }
            }
        }
        let last = segments.keys().chain(this.stale.keys()).max();
        this.next_number = last.map_or(1, |last| last + 1);
        for (number, segment) in segments {
            let id = segment.blob.id();
            this.log.add(&this.ch, segment).await?;
            if this.log.segments[&number].used == 0 {
                this.log.segments.remove(&number);
                this.doomed.push((number, id));
            }
        }
        this.forget_stale();
        this.delete_doomed().await?;
        Ok(this)
    }

    /// Gives a key a value. It is durable after [`KvStore::sync`].
    ///
    /// # Errors
    ///
    /// [`Error::Full`], [`Error::Key`], [`Error::Value`]: nothing has changed. If the device fails, neither: what was put
    /// before is still in memory, and written by the next call.
    pub async fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if value.len() > MAX_VALUE {
            return Err(Error::Value(value.len()));
        }
        self.set(key, Some(value)).await
    }

    /// Takes a key away, if it is there. It is durable after [`KvStore::sync`].
    ///
    /// # Errors
    ///
    /// As for [`KvStore::put`]. In a store that puts have filled there is room for deletes, if no snapshot keeps it.
    pub async fn delete(&mut self, key: &[u8]) -> Result<()> {
        match self.memory.contains_key(key) || self.log.index.contains_key(key) {
            true => self.set(key, None).await,
            false => Ok(()),
        }
    }

    async fn set(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::Key(key.len()));
        }
        let bytes = record_length(key, value) as u64;
        if self.memory_bytes + bytes > MEMORY {
            self.flush().await?;
        }
        // Room is found first, so that what was accepted is not refused later.
        let bytes_then = self.memory_bytes + bytes;
        match value {
            Some(_) => self.make_room(bytes_then, 2).await?,
            None => self.make_some_room(bytes_then).await?,
        }
        let before = self.memory.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        let before = before.map_or(0, |before| record_length(key, before.as_deref()) as u64);
        self.memory_bytes = self.memory_bytes + bytes - before;
        Ok(())
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if the device has changed it, and the device's own.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        match self.memory.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.log.get(&self.ch, key).await,
        }
    }

    /// The first key after this one, with its value; from the first one of all on with an empty key.
    ///
    /// # Errors
    ///
    /// As for [`KvStore::get`].
    pub async fn next(&self, after: &[u8]) -> Result<Option<(Key, Value)>> {
        let mut after = after.to_vec();
        loop {
            let bound = Bound::Excluded(&*after);
            let newer = self
                .memory
                .range::<[u8], _>((bound, Bound::Unbounded))
                .next();
            let newer = newer.map(|(key, _)| key);
            let Some(key) = newer
                .into_iter()
                .chain(self.log.after(bound))
                .min()
                .cloned()
            else {
                return Ok(None);
            };
            match self.get(&key).await? {
                Some(value) => return Ok(Some((key, value))),
                None => after = key,
            }
        }
    }

    /// The keys from `from` on and before `to`, if that is given, with their values.
    ///
    /// # Errors
    ///
    /// As for [`KvStore::get`].
    pub async fn scan(&self, from: &[u8], to: Option<&[u8]>) -> Result<Vec<(Key, Value)>> {
        let mut found = Vec::new();
        let is_before = |key: &[u8]| to.is_none_or(|to| key < to);
        if !from.is_empty()
            && is_before(from)
            && let Some(value) = self.get(from).await?
        {
            found.push((from.to_vec(), value));
        }
        let mut last = from.to_vec();
        while let Some((key, value)) = self.next(&last).await?
            && is_before(&key)
        {
            last.clone_from(&key);
            found.push((key, value));
        }
        Ok(found)
    }

    /// Makes durable what was put and deleted.
    ///
    /// # Errors
    ///
    /// Those of the device, or [`Error::Full`] if a write before was dropped in flight: it is all still in memory, and
    /// another try writes it.
    pub async fn sync(&mut self) -> Result<()> {
        self.flush().await
    }

    /// Writes what is in memory, as one batch.
    async fn flush(&mut self) -> Result<()> {
        if self.memory.is_empty() {
            return Ok(());
        }
        self.make_some_room(self.memory_bytes).await?;
        let records = self
            .memory
            .iter()
            .map(|(key, value)| (key, value.as_deref()));
        let records: Vec<_> = records
            .map(|(key, value)| (key.clone(), value.map(<[u8]>::to_vec)))
            .collect();
        self.append(&records).await?;
        self.memory.clear();
        self.memory_bytes = 0;
        Ok(())
    }

    /// Appends a batch, for which there is room.
    async fn append(&mut self, records: &[(Key, Option<Value>)]) -> Result<()> {
        // Until it has ended, nobody else may write there: its future may be dropped.
        let active = self.active.take();
        let number = active.expect("there is room in a segment");
        let segment = self.log.segments.get_mut(&number);
        let segment = segment.expect("the segment that is appended to is there");
        let with_values = records.iter().map(|(key, value)| (key, value.as_deref()));
        let (bytes, places) = encode(segment.salt(), segment.used, with_values);
        segment.append(&self.ch, &bytes).await?;
        self.active = Some(number);
        for ((key, value), (offset, length)) in records.iter().zip(places) {
            let place = Place {
                segment: number,
                offset,
                length,
            };
            match value {
                Some(_) => drop(self.log.index.insert(key.clone(), place)),
                None => drop(self.log.index.remove(key)),
            }
        }
        Ok(())
    }

    /// [`KvStore::make_room`] with a segment kept free, or with none if that is too much.
    async fn make_some_room(&mut self, bytes: u64) -> Result<()> {
        match self.make_room(bytes, 1).await {
            Err(Error::Full { .. }) => self.make_room(bytes, 0).await,
            made => made,
        }
    }

    /// Has the active segment have room for a batch of so many bytes of records, with so many segments kept free for
    /// deletes and for cleaning.
    async fn make_room(&mut self, bytes: u64, spare: u64) -> Result<()> {
        let bytes = BATCH_HEADER as u64 + bytes;
        let bytes = bytes.next_multiple_of(self.store.io_unit_size().into());
        // Each pass frees a segment, or its live records are in a new one: twice the log is the end of it.
        let mut passes = 2 * self.log.segments.len() + 2;
        let mut cleans = spare > 0 && self.is_half_stale();
        loop {
            let active = self
                .active
                .and_then(|number| self.log.segments.get(&number));
            if active.is_some_and(|segment| segment.room(&self.store) >= bytes) {
                return Ok(());
            }
            let free = self.store.free_clusters()?;
            let cluster = self.store.cluster_size();
            let segment = match spare {
                // A small one is better than none: what is cleaned makes room.
                0 => bytes
                    .div_ceil(cluster)
                    .max((free / 2).min(SEGMENT / cluster)),
                _ => SEGMENT.max(bytes).div_ceil(cluster),
            };
            let largest = self
                .log
                .segments
                .values()
                .map(|segment| segment.clusters)
                .max();
            let kept = spare * largest.unwrap_or(0).max(segment);
            let fits = free >= segment + kept;
            if fits && !cleans {
                let number = self.next_number;
                self.next_number += 1;
                let new = Segment::create(&self.store, number, segment).await?;
                self.log.segments.insert(number, new);
                self.active = Some(number);
                return Ok(());
            }
            let may_clean = spare > 0 && passes > 0 && self.log.segments.len() > 1;
            if !(fits || may_clean && self.has_stale(segment)) {
                return Err(Error::Full {
                    needed: (segment + kept).saturating_sub(free),
                    free: free.saturating_sub(kept),
                });
            }
            passes = passes.saturating_sub(1);
            if may_clean {
                match Box::pin(self.clean_oldest()).await {
                    // What the oldest has is too large to be moved now, as long as it is not deleted.
                    Err(Error::Full { .. }) => passes = 0,
                    cleaned => cleaned?,
                }
            }
            cleans = may_clean && passes > 0 && self.is_half_stale();
        }
    }

    fn live_bytes(&self) -> u64 {
        let live = self.log.index.values();
        live.map(|place| u64::from(place.length)).sum()
    }

    fn log_bytes(&self) -> u64 {
        let clusters: u64 = self
            .log
            .segments
            .values()
            .map(|segment| segment.clusters)
            .sum();
        clusters * self.store.cluster_size()
    }

    fn is_half_stale(&self) -> bool {
        self.log.segments.len() > 3 && self.log_bytes() > 2 * self.live_bytes() + 2 * SEGMENT
    }

    /// Whether cleaning frees so many clusters some time.
    fn has_stale(&self, clusters: u64) -> bool {
        let stale = self.log_bytes() - self.live_bytes();
        stale > (clusters + 1) * self.store.cluster_size()
    }

    /// Appends what counts of the oldest segment, and deletes that. What it says of deleted keys is about older records,
    /// and there are none.
    async fn clean_oldest(&mut self) -> Result<()> {
        let Some((&oldest, segment)) = self.log.segments.first_key_value() else {
            return Ok(());
        };
        if self.active == Some(oldest) {
            self.active = None;
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        let live = self
            .log
            .index
            .iter()
            .filter(|(_, place)| place.segment == oldest);
        for (key, place) in live {
            let record = segment.record(&self.ch, place.offset, place.length).await?;
            bytes += u64::from(record.length);
            records.push((key.clone(), record.value));
        }
        if !records.is_empty() {
            Box::pin(self.make_room(bytes, 0)).await?;
            self.append(&records).await?;
        }
        let segment = &self.log.segments[&oldest];
        let id = segment.blob.id();
        if self
            .snapshots
            .values()
            .any(|(_, numbers)| numbers.contains(&oldest))
        {
            segment.retire().await?;
            self.stale.insert(oldest, id);
        } else {
            self.doomed.push((oldest, id));
        }
        self.log.segments.remove(&oldest);
        self.delete_doomed().await
    }

    /// Deletes the blobs that nobody needs. They are closed.
    async fn delete_doomed(&mut self) -> Result<()> {
        while let Some((number, id)) = self.doomed.last() {
            let is_it = |part: &Part| match part {
                Part::Segment(segment) | Part::Stale(segment) => segment.number == *number,
                Part::Snapshot(..) => false,
            };
            delete(&self.store, *id, is_it).await?;
            self.doomed.pop();
        }
        Ok(())
    }

    /// Dooms the segments that no snapshot needs any more.
    fn forget_stale(&mut self) {
        let snapshots = &self.snapshots;
        let is_free = |number: &u64| {
            !snapshots
                .values()
                .any(|(_, numbers)| numbers.contains(number))
        };
        let free: Vec<_> = self.stale.keys().copied().filter(is_free).collect();
        for number in free {
            self.doomed.extend(self.stale.remove_entry(&number));
        }
    }

    /// Keeps the store as it is now under a name, durably.
    ///
    /// It costs nothing but that the segments stay until no snapshot needs them.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotExists`], and those of [`KvStore::sync`] and of [`Blobstore::create_blob`].
    pub async fn snapshot(&mut self, name: &str) -> Result<()> {
        if self.snapshots.contains_key(name) {
            return Err(Error::SnapshotExists(name.to_owned()));
        }
        self.flush().await?;
        // What is kept stays as it is: its segments are not appended to any more.
        self.active = None;
        let numbers = self.log.segments.keys().copied().collect();
        let id = segment::snapshot(&self.store, name, &numbers).await?;
        self.snapshots.insert(name.to_owned(), (id, numbers));
        Ok(())
    }

    /// Deletes a snapshot, and the segments that only that needed, durably. What was put before is not
    /// for that.
    ///
    /// # Errors
    ///
    /// [`Error::NoSnapshot`], and those of [`Blobstore::delete_blob`].
    pub async fn delete_snapshot(&mut self, name: &str) -> Result<()> {
        let (id, _) = self
            .snapshots
            .get(name)
            .ok_or_else(|| Error::NoSnapshot(name.to_owned()))?;
        let is_it = |part: &Part| matches!(part, Part::Snapshot(found, _) if found == name);
        delete(&self.store, *id, is_it).await?;
        self.snapshots.remove(name);
        self.forget_stale();
        self.delete_doomed().await
    }

    /// The names of the snapshots.
    pub fn snapshots(&self) -> impl Iterator<Item = &str> {
        self.snapshots.keys().map(String::as_str)
    }

    /// Opens a snapshot, for reading.
    ///
    /// # Errors
    ///
    /// [`Error::NoSnapshot`], and those of [`KvStore::open`].
    pub async fn open_snapshot(&self, name: &str) -> Result<Snapshot> {
        let snapshot = self.snapshots.get(name);
        let (_, numbers) = snapshot.ok_or_else(|| Error::NoSnapshot(name.to_owned()))?;
        let ch = self.store.alloc_io_channel()?;
        let mut log = Log::default();
        for number in numbers {
            let current = self
                .log
                .segments
                .get(number)
                .map(|segment| segment.blob.id());
            // One without batches was not kept.
            let Some(id) = current.or_else(|| self.stale.get(number).copied()) else {
                continue;
            };
            match segment::open(&self.store, id).await? {
                Part::Segment(segment) | Part::Stale(segment) => log.add(&ch, segment).await?,
                Part::Snapshot(..) => return Err(Error::Foreign(id)),
            }
        }
        Ok(Snapshot { ch, log })
    }

    /// What the store has.
    ///
    /// # Errors
    ///
    /// When the blobstore is gone.
    pub fn stats(&self) -> Result<Stats> {
        let new = self.memory.iter().filter(|(_, value)| value.is_some());
        let new = new
            .filter(|(key, _)| !self.log.index.contains_key(*key))
            .count();
        let gone = self.memory.iter().filter(|(_, value)| value.is_none());
        let gone = gone
            .filter(|(key, _)| self.log.index.contains_key(*key))
            .count();
        Ok(Stats {
            keys: self.log.index.len() + new - gone,
            segments: self.log.segments.len(),
            log_bytes: self.log_bytes(),
            live_bytes: self.live_bytes(),
            free_bytes: self.store.free_clusters()? * self.store.cluster_size(),
        })
    }

    /// Writes what is in memory and unloads the blobstore.
    ///
    /// # Errors
    ///
    /// Those of [`KvStore::sync`] and of [`Blobstore::unload`].
    pub async fn close(mut self) -> Result<()> {
        self.flush().await?;
        let KvStore { ch, log, store, .. } = self;
        drop((ch, log));
        Ok(when_idle(async || store.unload().await).await?)
    }
}

/// A store as it was when a snapshot was made.
pub struct Snapshot {
    ch: IoChannel,
    log: Log,
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

/// Tries again while something is in flight, which may be of a call that was dropped.
async fn when_idle(f: impl AsyncFn() -> spdk::Result<()>) -> spdk::Result<()> {
    let latest = Instant::now() + PATIENCE;
    loop {
        match f().await {
            Err(error) if error.errno() == Some(Errno::EBUSY) && Instant::now() < latest => {
                spdk::task::yield_now().await;
            }
            result => return result,
        }
    }
}

/// Deletes a blob, unless a call that was dropped has done that, and the ID is another one's by now.
async fn delete(store: &Blobstore, id: BlobId, is_it: impl Fn(&Part) -> bool) -> Result<()> {
    match segment::open(store, id).await {
        Ok(part) if is_it(&part) => {}
        Err(Error::Spdk(error)) if error.errno() != Some(Errno::ENOENT) => return Err(error.into()),
        _ => return Ok(()),
    }
    Ok(when_idle(async || store.delete_blob(id).await).await?)
}

async fn ids(store: &Blobstore) -> Result<Vec<BlobId>> {
    let (mut blobs, mut ids) = (store.blobs(), Vec::new());
    while let Some(id) = blobs.next().await {
        ids.push(id?);
    }
    Ok(ids)
}
