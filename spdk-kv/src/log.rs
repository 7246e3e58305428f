//! What a store is made of: its segments, and what is not written yet.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Bound;

use futures_util::TryStreamExt;
use spdk::blob::{BlobId, Blobstore};
use spdk::{Errno, IoChannel};

use crate::batch::{BATCH_HEADER, Damage, encode, record_length};
use crate::error::{Error, Result};
use crate::segment::{self, Part, Segment};
use crate::store::{Snapshot, Stats};
use crate::{Key, MAX_KEY, Value};

/// What was put and is not written yet may have so many bytes.
const MEMORY: u64 = 256 << 10;
/// The size of a segment, if no value is larger.
const SEGMENT: u64 = 1 << 20;

/// Where a record is.
pub(crate) struct Place {
    segment: u64,
    offset: u64,
    length: u32,
}

/// Segments, and where in them the records are that count.
#[derive(Default)]
pub(crate) struct Log {
    segments: BTreeMap<u64, Segment>,
    pub(crate) index: BTreeMap<Key, Place>,
}

/// Records by their keys, of which `None` was deleted.
type Records = BTreeMap<Key, Option<Value>>;

/// The store, whose calls are done to their ends.
pub(crate) struct Store {
    ch: IoChannel,
    log: Log,
    /// What is newer than the log.
    memory: Records,
    /// How many bytes its records have.
    memory_bytes: u64,
    /// The segment that is appended to, but not after a write that has failed.
    active: Option<u64>,
    next_number: u64,
    /// Their blobs, and the segments that they need.
    pub(crate) snapshots: BTreeMap<String, (BlobId, BTreeSet<u64>)>,
    /// Segments that count for snapshots only, or for nothing any more.
    stale: BTreeMap<u64, BlobId>,
    blobs: Blobstore,
}

impl Log {
    /// Reads a segment, whose records are newer than those before.
    async fn add(&mut self, ch: &IoChannel, mut segment: Segment) -> Result<()> {
        while let Some((records, next)) = segment.batch(ch, segment.used).await? {
            for record in records {
                let place = (record.offset, record.length);
                self.note(segment.number, place, record.key, record.value.is_some());
            }
            segment.used = next;
        }
        self.segments.insert(segment.number, segment);
        Ok(())
    }

    /// There is a newer record of a key.
    fn note(&mut self, segment: u64, (offset, length): (u64, u32), key: Key, is_put: bool) {
        let place = Place {
            segment,
            offset,
            length,
        };
        match is_put {
            true => drop(self.index.insert(key, place)),
            false => drop(self.index.remove(&key)),
        }
    }

    pub(crate) async fn get(&self, ch: &IoChannel, key: &[u8]) -> Result<Option<Value>> {
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
}

impl Store {
    /// An empty one.
    pub(crate) fn of(blobs: Blobstore) -> Result<Self> {
        Ok(Store {
            ch: blobs.alloc_io_channel()?,
            log: Log::default(),
            memory: Records::new(),
            memory_bytes: 0,
            active: None,
            next_number: 1,
            snapshots: BTreeMap::new(),
            stale: BTreeMap::new(),
            blobs,
        })
    }

    /// What a blobstore has.
    pub(crate) async fn open(blobs: Blobstore) -> Result<Self> {
        let mut this = Self::of(blobs)?;
        let mut segments = BTreeMap::new();
        let ids: Vec<BlobId> = this.blobs.blobs().try_collect().await?;
        for id in ids {
            match segment::open(&this.blobs, id).await? {
                Part::Segment(segment) if segment.is_stale => {
                    this.stale.insert(segment.number, id);
                }
                Part::Segment(segment) => drop(segments.insert(segment.number, segment)),
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
                this.stale.insert(number, id);
            }
        }
        this.delete_stale().await?;
        Ok(this)
    }

    pub(crate) async fn set(&mut self, key: Key, value: Option<Value>) -> Result<()> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::Key(key.len()));
        }
        if value.is_none() && !self.memory.contains_key(&key) && !self.log.index.contains_key(&key)
        {
            return Ok(());
        }
        let bytes = record_length(&key, value.as_deref()) as u64;
        if self.memory_bytes + bytes > MEMORY {
            self.flush().await?;
        }
        // Room is found first, so that what was accepted is not refused later.
        let bytes_then = self.memory_bytes + bytes;
        match value {
            Some(_) => self.make_room(bytes_then, 2).await?,
            None => self.make_some_room(bytes_then).await?,
        }
        let before = self.memory.get(&key);
        let before = before.map_or(0, |before| record_length(&key, before.as_deref()) as u64);
        self.memory.insert(key, value);
        self.memory_bytes = bytes_then - before;
        Ok(())
    }

    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        match self.memory.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.log.get(&self.ch, key).await,
        }
    }

    /// The first key from there on, with its value.
    pub(crate) async fn from(&self, mut bound: Bound<Key>) -> Result<Option<(Key, Value)>> {
        loop {
            let bounds = (bound.as_ref().map(|key| &**key), Bound::Unbounded);
            let newer = self.memory.range::<[u8], _>(bounds).map(|(key, _)| key);
            let older = self.log.index.range::<[u8], _>(bounds).map(|(key, _)| key);
            let Some(key) = newer.take(1).chain(older.take(1)).min().cloned() else {
                return Ok(None);
            };
            match self.get(&key).await? {
                Some(value) => return Ok(Some((key, value))),
                None => bound = Bound::Excluded(key),
            }
        }
    }

    /// Writes what is in memory, as one batch.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        if self.memory.is_empty() {
            return Ok(());
        }
        self.make_some_room(self.memory_bytes).await?;
        let records = mem::take(&mut self.memory);
        let appended = self.append(&records).await;
        match appended {
            Ok(()) => self.memory_bytes = 0,
            Err(_) => self.memory = records,
        }
        appended
    }

    /// Appends a batch, for which there is room.
    async fn append(&mut self, records: &Records) -> Result<()> {
        // Where a write has failed nothing else is written.
        let number = self.active.take().expect("there is room in a segment");
        let segment = self.log.segments.get_mut(&number);
        let segment = segment.expect("the segment that is appended to is there");
        let with_values = records.iter().map(|(key, value)| (key, value.as_deref()));
        let (bytes, places) = encode(segment.salt, segment.used, with_values);
        segment.append(&self.ch, &bytes).await?;
        self.active = Some(number);
        for ((key, value), place) in records.iter().zip(places) {
            self.log.note(number, place, key.clone(), value.is_some());
        }
        Ok(())
    }

    /// [`Store::make_room`] with a segment kept free, or with none if that is too much.
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
        let bytes = bytes.next_multiple_of(self.blobs.io_unit_size().into());
        // Each pass frees a segment, or its live records are in a new one: twice the log is the end of it.
        let mut passes = 2 * self.log.segments.len() + 2;
        let mut cleans = spare > 0 && self.is_half_stale();
        loop {
            let segments = &self.log.segments;
            let active = self.active.and_then(|number| segments.get(&number));
            if active.is_some_and(|segment| segment.room(&self.blobs) >= bytes) {
                return Ok(());
            }
            self.delete_stale().await?;
            let free = self.blobs.free_clusters()?;
            let cluster = self.blobs.cluster_size();
            // A small one is better than none: what is cleaned makes room.
            let small = (free / 2).min(SEGMENT / cluster);
            let segment = match spare {
                0 => bytes.div_ceil(cluster).max(small),
                _ => SEGMENT.max(bytes).div_ceil(cluster),
            };
            let largest = self.clusters().max();
            let kept = spare * largest.unwrap_or(0).max(segment);
            let fits = free >= segment + kept;
            if fits && !cleans {
                let number = self.next_number;
                self.next_number += 1;
                let new = Segment::create(&self.blobs, number, segment).await?;
                self.log.segments.insert(number, new);
                self.active = Some(number);
                return Ok(());
            }
            let may_clean = spare > 0 && passes > 0 && self.log.segments.len() > 1;
            // Cleaning frees so many bytes some time.
            let stale = self.log_bytes() - self.live_bytes();
            if !(fits || may_clean && stale > (segment + 1) * cluster) {
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

    /// How many clusters the segments have.
    fn clusters(&self) -> impl Iterator<Item = u64> {
        self.log.segments.values().map(|segment| segment.clusters)
    }

    fn live_bytes(&self) -> u64 {
        let live = self.log.index.values();
        live.map(|place| u64::from(place.length)).sum()
    }

    fn log_bytes(&self) -> u64 {
        self.clusters().sum::<u64>() * self.blobs.cluster_size()
    }

    fn is_half_stale(&self) -> bool {
        self.log.segments.len() > 3 && self.log_bytes() > 2 * self.live_bytes() + 2 * SEGMENT
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
        let (mut records, mut bytes) = (Records::new(), 0);
        let index = self.log.index.iter();
        for (key, place) in index.filter(|(_, place)| place.segment == oldest) {
            let record = segment.record(&self.ch, place.offset, place.length).await?;
            bytes += u64::from(record.length);
            records.insert(key.clone(), record.value);
        }
        if !records.is_empty() {
            Box::pin(self.make_room(bytes, 0)).await?;
            self.append(&records).await?;
        }
        // From here on it does no harm if it stays.
        let segment = &self.log.segments[&oldest];
        segment.retire().await?;
        self.stale.insert(oldest, segment.blob.id());
        self.log.segments.remove(&oldest);
        self.delete_stale().await
    }

    /// Deletes the segments that nothing needs any more, but not those of a snapshot that is still open.
    async fn delete_stale(&mut self) -> Result<()> {
        let needed = self.snapshots.values().flat_map(|(_, numbers)| numbers);
        let needed: BTreeSet<u64> = needed.copied().collect();
        let stale = self.stale.keys().copied();
        let free: Vec<u64> = stale.filter(|number| !needed.contains(number)).collect();
        for number in free {
            let is_it =
                |part: &Part| matches!(part, Part::Segment(segment) if segment.number == number);
            match delete(&self.blobs, self.stale[&number], is_it).await {
                Err(Error::Spdk(error)) if error.errno() == Some(Errno::EBUSY) => {}
                deleted => {
                    deleted?;
                    self.stale.remove(&number);
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn snapshot(&mut self, name: String) -> Result<()> {
        if self.snapshots.contains_key(&name) {
            return Err(Error::SnapshotExists(name));
        }
        self.flush().await?;
        // What is kept stays as it is: its segments are not appended to any more.
        self.active = None;
        let numbers = self.log.segments.keys().copied().collect();
        let id = segment::snapshot(&self.blobs, &name, &numbers).await?;
        self.snapshots.insert(name, (id, numbers));
        Ok(())
    }

    pub(crate) async fn delete_snapshot(&mut self, name: String) -> Result<()> {
        let Some((id, _)) = self.snapshots.get(&name) else {
            return Err(Error::NoSnapshot(name));
        };
        let is_it = |part: &Part| matches!(part, Part::Snapshot(found, _) if *found == name);
        delete(&self.blobs, *id, is_it).await?;
        self.snapshots.remove(&name);
        self.delete_stale().await
    }

    pub(crate) async fn open_snapshot(&self, name: String) -> Result<Snapshot> {
        let Some((id, numbers)) = self.snapshots.get(&name) else {
            return Err(Error::NoSnapshot(name));
        };
        let (ch, mut log) = (self.blobs.alloc_io_channel()?, Log::default());
        for number in numbers {
            let current = self.log.segments.get(number);
            let current = current.map(|segment| segment.blob.id());
            let part = current.or_else(|| self.stale.get(number).copied());
            match segment::open(&self.blobs, part.ok_or(Error::Foreign(*id))?).await? {
                Part::Segment(segment) => log.add(&ch, segment).await?,
                Part::Snapshot(..) => return Err(Error::Foreign(*id)),
            }
        }
        Ok(Snapshot { ch, log })
    }

    pub(crate) fn stats(&self) -> Result<Stats> {
        let memory = &self.memory;
        let older = self
            .log
            .index
            .keys()
            .filter(|key| !memory.contains_key(*key));
        Ok(Stats {
            keys: older.count() + memory.values().flatten().count(),
            segments: self.log.segments.len(),
            log_bytes: self.log_bytes(),
            live_bytes: self.live_bytes(),
            free_bytes: self.blobs.free_clusters()? * self.blobs.cluster_size(),
        })
    }

    /// Writes what is in memory, and unloads the blobstore.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.flush().await?;
        let Store { ch, log, blobs, .. } = self;
        drop((ch, log));
        Ok(blobs.unload().await?)
    }
}

/// Deletes a blob, unless that was done although it was told as failed, and the ID is another one's by now.
async fn delete(blobs: &Blobstore, id: BlobId, is_it: impl Fn(&Part) -> bool) -> Result<()> {
    match segment::open(blobs, id).await {
        Ok(part) if is_it(&part) => {}
        Err(Error::Spdk(error)) if error.errno() != Some(Errno::ENOENT) => return Err(error.into()),
        _ => return Ok(()),
    }
    Ok(blobs.delete_blob(id).await?)
}
