//! Segments: blobs that batches are appended to.

use std::collections::BTreeSet;

use spdk::blob::{Blob, BlobId, BlobOpts, Blobstore, Xattrs};
use spdk::{DmaBuf, IoChannel};

use crate::batch::{BATCH_HEADER, Damage, Record, batch_length, decode, decode_record};
use crate::error::{Error, Result};

/// Bytes of one I/O, at most: what it needs of SPDK's memory.
const CHUNK: u64 = 1 << 20;

const NUMBER: &str = "kv.segment";
const SALT: &str = "kv.salt";
const STALE: &str = "kv.stale";
const SNAPSHOT: &str = "kv.snapshot";
const SEGMENTS: &str = "kv.segments";
/// How many numbers of segments an attribute has, at most: it fits in a page.
const NUMBERS: usize = 256;

/// Its records, and where it ends.
pub(crate) type Batch = (Vec<Record>, u64);

/// An open segment.
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    pub(crate) blob: Blob,
    /// In clusters.
    pub(crate) clusters: u64,
    /// How many bytes of it are batches.
    pub(crate) used: u64,
    /// Whether it counts for snapshots only.
    pub(crate) is_stale: bool,
}

/// What a blob is.
pub(crate) enum Part {
    Segment(Segment),
    /// The segments of a snapshot, which has a name.
    Snapshot(String, BTreeSet<u64>),
}

impl Segment {
    /// Makes one.
    pub(crate) async fn create(store: &Blobstore, number: u64, clusters: u64) -> Result<Self> {
        let salt = fastrand::u64(..);
        let xattrs = Xattrs::from([
            (NUMBER.to_owned(), number.to_le_bytes().to_vec()),
            (SALT.to_owned(), salt.to_le_bytes().to_vec()),
        ]);
        // All of it belongs to the store from now on: a write does not find it full.
        let opts = BlobOpts::new().num_clusters(clusters).xattrs(xattrs);
        let id = store.create_blob(Some(&opts)).await?;
        Ok(Segment {
            number,
            salt,
            blob: store.open_blob(id, None).await?,
            clusters,
            used: 0,
            is_stale: false,
        })
    }

    /// Says, durably, that only snapshots need it.
    pub(crate) async fn retire(&self) -> Result<()> {
        self.blob.set_xattr(STALE, b"").await?;
        Ok(self.blob.sync().await?)
    }

    /// The room for batches, in bytes.
    pub(crate) fn room(&self, store: &Blobstore) -> u64 {
        self.clusters * store.cluster_size() - self.used
    }

    /// Writes a batch behind the others.
    pub(crate) async fn append(&mut self, ch: &IoChannel, bytes: &[u8]) -> Result<()> {
        let unit = u64::from(self.blob.io_unit_size());
        let mut at = self.used;
        for chunk in bytes.chunks(CHUNK as usize) {
            let length = (chunk.len() as u64).next_multiple_of(unit);
            let mut buf = DmaBuf::alloc(length as usize, 4096)?;
            buf[..chunk.len()].copy_from_slice(chunk);
            self.blob.write(ch, &buf, at).await?;
            at += length;
        }
        self.used = at;
        Ok(())
    }

    /// Reads bytes of any place.
    async fn read(&self, ch: &IoChannel, offset: u64, length: u64) -> Result<Vec<u8>> {
        let unit = u64::from(self.blob.io_unit_size());
        let end = (offset + length).next_multiple_of(unit);
        let mut at = offset / unit * unit;
        let mut bytes = Vec::with_capacity((end - at) as usize);
        while at < end {
            let mut buf = DmaBuf::alloc((end - at).min(CHUNK) as usize, 4096)?;
            self.blob.read(ch, &mut buf, at).await?;
            at += buf.len() as u64;
            bytes.extend_from_slice(&buf);
        }
        bytes.drain(..(offset % unit) as usize);
        bytes.truncate(length as usize);
        Ok(bytes)
    }

    pub(crate) async fn record(&self, ch: &IoChannel, offset: u64, length: u32) -> Result<Record> {
        let bytes = self.read(ch, offset, length.into()).await?;
        decode_record(self.salt, offset, &bytes).map_err(|damage| self.damaged(offset, damage))
    }

    pub(crate) fn damaged(&self, offset: u64, damage: Damage) -> Error {
        Error::Damaged {
            segment: self.number,
            offset,
            damage,
        }
    }

    /// Reads the batch at this place. There is none behind the last one, and one that was
    /// cut by a loss of power is none.
    pub(crate) async fn batch(&self, ch: &IoChannel, at: u64) -> Result<Option<Batch>> {
        let size = self.blob.size()?;
        let unit = u64::from(self.blob.io_unit_size());
        if at + unit > size {
            return Ok(None);
        }
        let header = self.read(ch, at, BATCH_HEADER as u64).await?;
        let Some(length) = batch_length(self.salt, at, &header) else {
            return Ok(None);
        };
        let length = (BATCH_HEADER + length) as u64;
        if at + length > size {
            return Ok(None);
        }
        let bytes = self.read(ch, at, length).await?;
        let records = decode(self.salt, at, &bytes).ok();
        Ok(records.map(|records| (records, at + length.next_multiple_of(unit))))
    }
}

/// Opens a blob.
pub(crate) async fn open(store: &Blobstore, id: BlobId) -> Result<Part> {
    let blob = store.open_blob(id, None).await?;
    let xattrs = blob.xattrs().await?;
    let number = |name| {
        let bytes: &Vec<u8> = xattrs.get(name)?;
        Some(u64::from_le_bytes(bytes.as_slice().try_into().ok()?))
    };
    match (number(NUMBER), number(SALT), xattrs.get(SNAPSHOT)) {
        (Some(number), Some(salt), None) => Ok(Part::Segment(Segment {
            number,
            salt,
            clusters: blob.info().await?.num_clusters,
            blob,
            used: 0,
            is_stale: xattrs.contains_key(STALE),
        })),
        (None, None, Some(name)) => {
            let name = String::from_utf8(name.clone()).map_err(|_| Error::Foreign(id))?;
            let lists = xattrs.iter().filter(|(key, _)| key.starts_with(SEGMENTS));
            let numbers = lists.flat_map(|(_, list)| list.as_chunks().0);
            let numbers = numbers.map(|bytes| u64::from_le_bytes(*bytes));
            Ok(Part::Snapshot(name, numbers.collect()))
        }
        _ => Err(Error::Foreign(id)),
    }
}

/// Makes a snapshot of these segments, durably.
pub(crate) async fn snapshot(
    store: &Blobstore,
    name: &str,
    numbers: &BTreeSet<u64>,
) -> Result<BlobId> {
    let mut xattrs = Xattrs::from([(SNAPSHOT.to_owned(), name.as_bytes().to_vec())]);
    let numbers: Vec<_> = numbers.iter().map(|number| number.to_le_bytes()).collect();
    for (place, list) in numbers.chunks(NUMBERS).enumerate() {
        xattrs.insert(format!("{SEGMENTS}.{place}"), list.concat());
    }
    let opts = BlobOpts::new().xattrs(xattrs);
    Ok(store.create_blob(Some(&opts)).await?)
}
