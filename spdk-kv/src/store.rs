//! The store: a log, and the blobs that it and its snapshots need.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_bytes::Bytes;
use spdk::Errno;
use spdk::blob::{BlobId, BlobOpts, Blobstore, Xattrs};

use crate::log::{HEADER, Header, LABEL, Label, Log, Place, Record, Segment};
use crate::{Error, MAX_KEY, Result};

/// The size of a segment, if no value is larger.
const SEGMENT: u64 = 1 << 20;

/// The store, whose calls are done to their ends.
pub(crate) struct Store {
    pub(crate) log: Log,
    /// How many segments of the largest size are free, at least.
    spare: u64,
    next_number: u64,
    /// The blobs of all segments: of the log, of snapshots, and of those that are to be deleted.
    segments: BTreeMap<u64, BlobId>,
    /// Their blobs, and the numbers of their segments.
    pub(crate) snapshots: BTreeMap<String, (BlobId, Range<u64>)>,
    pub(crate) blobs: Blobstore,
}

impl Store {
    /// What a blobstore has.
    pub(crate) async fn open(blobs: Blobstore) -> Result<Self> {
        let mut this = Store {
            log: Log::new(blobs.alloc_io_channel()?),
            spare: 0,
            next_number: 1,
            segments: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            blobs,
        };
        let mut log = BTreeMap::new();
        let mut ids = this.blobs.blobs();
        while let Some(id) = ids.next().await {
            let id = id?;
            let blob = this.blobs.open_blob(id, None).await?;
            match Label::of(&blob).await? {
                Label::Segment(header) => {
                    this.next_number = this.next_number.max(header.number + 1);
                    this.segments.insert(header.number, id);
                    log.insert(header.number, Segment::new(header, blob)?);
                }
                Label::Snapshot(name, numbers) => {
                    this.next_number = this.next_number.max(numbers.end);
                    this.snapshots.insert(name, (id, numbers));
                }
            }
        }
        for segment in log.into_values().filter(|segment| !segment.header.is_stale) {
            this.log.add(segment).await?;
        }
        this.delete_stale().await?;
        Ok(this)
    }

    /// Puts a value, or deletes a key.
    pub(crate) async fn set(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::Length(key.len()));
        }
        if value.is_none() && !self.log.index.contains_key(key) {
            return Ok(());
        }
        let record: Record = (Bytes::new(key), value.map(Bytes::new));
        let record = postcard::to_stdvec(&record).expect("a record can be encoded");
        let spare = if value.is_some() { 2 } else { 1 };
        // Room is found first, so that what was accepted is not refused later.
        if spare > self.spare || !self.log.has_room(record.len()) {
            self.log.flush().await?;
            self.make_room(record.len(), spare).await?;
        }
        self.log.push(&record);
        Ok(())
    }

    /// Has the last segment have room for a record, when its batch was written.
    ///
    /// A segment is made if `spare` others of the largest size stay free: two for a put, so that one is left for deletes,
    /// which make room, and one for a delete, which is left for cleaning, and that gives back what it takes. If there are
    /// not so many, or if more than half of the log is stale, segments are cleaned from the oldest on, each once at most.
    async fn make_room(&mut self, record: usize, spare: u64) -> Result<()> {
        let (end, cluster) = (self.next_number, self.blobs.cluster_size());
        loop {
            self.delete_stale().await?;
            let (free, new) = (self.blobs.free_clusters()?, self.clusters(record)?);
            let sizes = self.log.segments.values().map(|segment| segment.size);
            let largest = sizes.max().map_or(1, |size| size / cluster);
            self.spare = free / largest;
            if self.spare >= spare && self.log.has_room(record) {
                return Ok(());
            }
            let kept = spare * largest.max(new);
            let needed = (new + kept).saturating_sub(free);
            let should_clean = match needed {
                0 => self.stale_bytes() > self.log.live_bytes() + 2 * new * cluster,
                _ => self.stale_bytes() >= needed * cluster,
            };
            let fits = |(number, oldest): &(&u64, &Segment)| {
                **number < end && oldest.size <= free * cluster
            };
            match self.log.segments.first_key_value().filter(fits) {
                Some((oldest, _)) if should_clean => self.clean(*oldest).await?,
                _ if needed == 0 => self.add_segment(new).await?,
                _ => return Err(Error::Full(needed, free.saturating_sub(kept))),
            }
        }
    }

    /// How many clusters a new segment for these records has.
    fn clusters(&self, records: usize) -> Result<u64> {
        let cluster = self.blobs.cluster_size();
        let usual = (SEGMENT / cluster).min(self.blobs.total_clusters()? / 64);
        Ok(((HEADER + records) as u64).div_ceil(cluster).max(usual))
    }

    /// Makes a segment, which is the last one then.
    async fn add_segment(&mut self, clusters: u64) -> Result<()> {
        self.log.seal().await?;
        let number = self.next_number;
        self.next_number += 1;
        let header = Header {
            number,
            salt: fastrand::u64(..),
            used: 0,
            is_stale: false,
        };
        let label = Label::Segment(header.clone());
        let id = self.create_blob(&label, clusters).await?;
        self.segments.insert(number, id);
        let segment = Segment::new(header, self.blobs.open_blob(id, None).await?)?;
        self.log.segments.insert(number, segment);
        self.spare = 0; // until it is counted
        Ok(())
    }

    /// Appends what counts of the oldest segment, which is stale then. What it says of deleted keys is about older
    /// records, and there are none.
    async fn clean(&mut self, oldest: u64) -> Result<()> {
        let places = self.log.index.values();
        let places = places.filter(|place| place.segment == oldest);
        let places: Vec<Place> = places.copied().collect();
        let mut left: usize = places.iter().map(|place| place.length).sum();
        if let Some(segment) = self.log.segments.get_mut(&oldest) {
            segment.is_sealed = true;
        }
        for place in places {
            if !self.log.has_room(place.length) {
                self.add_segment(self.clusters(left)?).await?;
            }
            let record = self.log.read(&place).await?;
            self.log.push(&record);
            left -= place.length;
        }
        self.log.flush().await?;
        // From here on it does no harm if it stays.
        if let Some(segment) = self.log.segments.get_mut(&oldest) {
            segment.header.is_stale = true;
            segment.save().await?;
            self.log.segments.remove(&oldest);
        }
        Ok(())
    }

    /// What cleaning the whole log gives back, at most: not the segments that snapshots need.
    fn stale_bytes(&self) -> u64 {
        let segments = self.log.segments.values();
        let own = segments.filter(|segment| !self.is_kept(segment.header.number));
        let own: u64 = own.map(|segment| segment.size).sum();
        own.saturating_sub(self.log.live_bytes())
    }

    /// Whether a snapshot needs a segment.
    fn is_kept(&self, number: u64) -> bool {
        let mut snapshots = self.snapshots.values();
        snapshots.any(|(_, numbers)| numbers.contains(&number))
    }

    /// Deletes the segments that nothing needs any more.
    async fn delete_stale(&mut self) -> Result<()> {
        for (number, id) in self.segments.clone() {
            let is_needed = self.log.segments.contains_key(&number) || self.is_kept(number);
            if !is_needed && self.delete_blob(id).await? {
                self.segments.remove(&number);
            }
        }
        Ok(())
    }

    /// Makes a blob, durably. All its clusters belong to it then: a write does not find the blobstore full.
    async fn create_blob(&mut self, label: &Label, clusters: u64) -> Result<BlobId> {
        let xattrs = Xattrs::from([(LABEL.to_owned(), label.bytes())]);
        let opts = BlobOpts::new().num_clusters(clusters).xattrs(xattrs);
        let id = self.blobs.create_blob(Some(&opts)).await?;
        // What had this ID before is gone, even if its deletion was told as failed.
        self.segments.retain(|_, old| *old != id);
        self.snapshots.retain(|_, (old, _)| *old != id);
        Ok(id)
    }

    /// Deletes a blob, and tells whether it is gone, or kept by a snapshot that is open.
    async fn delete_blob(&self, id: BlobId) -> Result<bool> {
        match self.blobs.delete_blob(id).await {
            Err(error) if error.errno() == Some(Errno::EBUSY) => Ok(false),
            // It was deleted before, though it was told as failed.
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(true),
            deleted => Ok(deleted.map(|()| true)?),
        }
    }

    pub(crate) async fn snapshot(&mut self, name: String) -> Result<()> {
        if self.snapshots.contains_key(&name) {
            return Err(Error::SnapshotExists(name));
        }
        // What is kept stays as it is: nothing is appended to its segments any more.
        self.log.seal().await?;
        let oldest = self.log.segments.keys().next();
        let numbers = *oldest.unwrap_or(&self.next_number)..self.next_number;
        let label = Label::Snapshot(name.clone(), numbers.clone());
        let id = self.create_blob(&label, 0).await?;
        self.snapshots.insert(name, (id, numbers));
        Ok(())
    }

    fn find(&self, name: &str) -> Result<&(BlobId, Range<u64>)> {
        let found = self.snapshots.get(name);
        found.ok_or_else(|| Error::NoSnapshot(name.to_owned()))
    }

    pub(crate) async fn delete_snapshot(&mut self, name: &str) -> Result<()> {
        let (id, _) = self.find(name)?;
        self.delete_blob(*id).await?;
        self.snapshots.remove(name);
        self.delete_stale().await
    }

    /// What the log was when a snapshot was made.
    pub(crate) async fn open_snapshot(&self, name: &str) -> Result<Log> {
        let (_, numbers) = self.find(name)?;
        let mut log = Log::new(self.blobs.alloc_io_channel()?);
        for (_, id) in self.segments.range(numbers.clone()) {
            let blob = self.blobs.open_blob(*id, None).await?;
            let Label::Segment(header) = Label::of(&blob).await? else {
                return Err(Error::Foreign(*id));
            };
            log.add(Segment::new(header, blob)?).await?;
        }
        Ok(log)
    }
}
