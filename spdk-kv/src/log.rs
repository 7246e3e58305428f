//! The log: segments, which are blobs that batches of records are appended to, and where the records are that count.
//!
//! ```text
//! batch: crc32c u32 | length of the records u32 | records | zeroes to the io unit
//! ```
//!
//! The checksum starts from the salt of the segment and the place in it: what another segment has left in the same cluster
//! is no batch. Labels of blobs and records are encoded by postcard.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use spdk::blob::Blob;
use spdk::{DmaBuf, IoChannel};

use crate::{Error, Pair, Result};

/// What a batch has before its records.
pub(crate) const HEADER: usize = 8;
/// Bytes of one I/O, at most: what it needs of SPDK's memory.
const CHUNK: u64 = 1 << 20;
/// The attribute that is a blob's label.
pub(crate) const LABEL: &str = "kv";

/// What a blob is.
#[derive(Serialize, Deserialize)]
pub(crate) enum Label {
    Segment(Header),
    /// Its name, and the numbers of its segments.
    Snapshot(String, Range<u64>),
}

/// What the label tells of a segment.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    /// So many bytes of it are whole batches, at least.
    pub(crate) used: u64,
    /// Whether it counts for snapshots only.
    pub(crate) is_stale: bool,
}

impl Label {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a label can be encoded")
    }

    pub(crate) async fn of(blob: &Blob) -> Result<Self> {
        let bytes = blob.xattr(LABEL).await?.unwrap_or_default();
        postcard::from_bytes(&bytes).map_err(|_| Error::Foreign(blob.id()))
    }
}

/// An open segment.
pub(crate) struct Segment {
    /// It is saved when nothing is appended any more.
    pub(crate) header: Header,
    pub(crate) blob: Blob,
    /// In bytes.
    pub(crate) size: u64,
    /// Whether nothing is appended any more.
    pub(crate) is_sealed: bool,
    /// What is appended next, behind what is used. Its header is filled in when it is written.
    pub(crate) batch: Vec<u8>,
}

impl Segment {
    pub(crate) fn new(header: Header, blob: Blob) -> Result<Self> {
        Ok(Segment {
            header,
            size: blob.size()?,
            blob,
            is_sealed: false,
            batch: vec![0; HEADER],
        })
    }

    /// Makes its header durable.
    pub(crate) async fn save(&self) -> Result<()> {
        let label = Label::Segment(self.header.clone());
        self.blob.set_xattr(LABEL, &label.bytes()).await?;
        Ok(self.blob.sync().await?)
    }

    fn in_io_units(&self, bytes: u64) -> u64 {
        bytes.next_multiple_of(self.blob.io_unit_size().into())
    }

    /// The checksum of a batch, of what follows that.
    fn checksum(&self, at: u64, bytes: &[u8]) -> [u8; 4] {
        let crc = crc32c::crc32c(&self.header.salt.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &at.to_le_bytes());
        crc32c::crc32c_append(crc, bytes).to_le_bytes()
    }

    /// Writes the next batch, if it has records. After an error it is the next one still.
    pub(crate) async fn flush(&mut self, ch: &IoChannel) -> Result<()> {
        let records = self.batch.len() - HEADER;
        if records == 0 {
            return Ok(());
        }
        self.batch[4..HEADER].copy_from_slice(&(records as u32).to_le_bytes());
        let checksum = self.checksum(self.header.used, &self.batch[4..]);
        self.batch[..4].copy_from_slice(&checksum);
        let mut at = self.header.used;
        for chunk in self.batch.chunks(CHUNK as usize) {
            let length = self.in_io_units(chunk.len() as u64);
            let mut buf = DmaBuf::alloc(length as usize, 4096)?;
            buf[..chunk.len()].copy_from_slice(chunk);
            self.blob.write(ch, &buf, at).await?;
            at += length;
        }
        self.header.used = at;
        self.batch = vec![0; HEADER];
        Ok(())
    }

    /// Reads bytes, of the next batch too.
    pub(crate) async fn read(&self, ch: &IoChannel, offset: u64, length: usize) -> Result<Vec<u8>> {
        if offset >= self.header.used && self.batch.len() > HEADER {
            let bytes = &self.batch[(offset - self.header.used) as usize..];
            return Ok(bytes[..length].to_vec());
        }
        let start = offset % u64::from(self.blob.io_unit_size());
        let end = self.in_io_units(offset + length as u64);
        let mut at = offset - start;
        let mut bytes = Vec::new();
        while at < end {
            let mut buf = DmaBuf::alloc((end - at).min(CHUNK) as usize, 4096)?;
            self.blob.read(ch, &mut buf, at).await?;
            at += buf.len() as u64;
            bytes.extend_from_slice(&buf);
        }
        Ok(bytes[start as usize..][..length].to_vec())
    }

    /// The records of the batch at this place of the segment's bytes, and where it ends. There is none behind the last
    /// one, and one that was cut by a loss of power is none.
    pub(crate) fn batch_at<'a>(&self, at: u64, bytes: &'a [u8]) -> Option<(&'a [u8], u64)> {
        let (checksum, bytes) = bytes.get(at as usize..)?.split_first_chunk::<4>()?;
        let (length, records) = bytes.split_first_chunk::<4>()?;
        let records = records.get(..u32::from_le_bytes(*length) as usize)?;
        let end = at + self.in_io_units((HEADER + records.len()) as u64);
        let found = self.checksum(at, &bytes[..length.len() + records.len()]);
        (found == *checksum).then_some((records, end))
    }
}

/// A key and its value; without one it was deleted.
pub(crate) type Record<'a> = (&'a Bytes, Option<&'a Bytes>);

/// Where a record is, and the checksum of its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    offset: u64,
    pub(crate) length: usize,
    checksum: u32,
}

/// A store as it was when a snapshot was made.
pub struct Log {
    ch: IoChannel,
    /// Records are appended to the last one, unless that is sealed.
    pub(crate) segments: BTreeMap<u64, Segment>,
    pub(crate) index: BTreeMap<Vec<u8>, Place>,
}

impl Log {
    /// An empty one.
    pub(crate) fn new(ch: IoChannel) -> Self {
        Log {
            ch,
            segments: BTreeMap::new(),
            index: BTreeMap::new(),
        }
    }

    /// Has the index know the record that these bytes begin with, which is newer than all others. Returns the bytes
    /// behind it, or `None` if it is no record.
    fn note<'a>(&mut self, segment: u64, offset: u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let ((key, value), rest): (Record, _) = postcard::take_from_bytes(bytes).ok()?;
        let length = bytes.len() - rest.len();
        let place = Place {
            segment,
            offset,
            length,
            checksum: crc32c::crc32c(&bytes[..length]),
        };
        match value {
            Some(_) => self.index.insert(key.to_vec(), place),
            None => self.index.remove(&**key),
        };
        Some(rest)
    }

    /// Reads a segment, whose records are newer than those before.
    pub(crate) async fn add(&mut self, mut segment: Segment) -> Result<()> {
        let bytes = segment.read(&self.ch, 0, segment.size as usize).await?;
        let mut at = 0;
        while let Some((mut records, end)) = segment.batch_at(at, &bytes) {
            let all = HEADER + records.len();
            while !records.is_empty() {
                let offset = at + (all - records.len()) as u64;
                let rest = self.note(segment.header.number, offset, records);
                records = rest.ok_or(Error::Damaged(segment.header.number, offset))?;
            }
            at = end;
        }
        if at < segment.header.used {
            return Err(Error::Damaged(segment.header.number, at));
        }
        if at > segment.header.used {
            segment.header.used = at;
            segment.save().await?;
        }
        segment.is_sealed = true;
        self.segments.insert(segment.header.number, segment);
        Ok(())
    }

    fn last(&mut self) -> Option<&mut Segment> {
        self.segments.values_mut().next_back()
    }

    /// Whether the next batch may have another record, of this length.
    pub(crate) fn has_room(&self, record: usize) -> bool {
        let last = self.segments.values().next_back();
        last.is_some_and(|last| {
            let batch = last.in_io_units((last.batch.len() + record) as u64);
            !last.is_sealed && last.header.used + batch <= last.size
        })
    }

    /// Adds a record to the next batch of the last segment, which has room for it.
    pub(crate) fn push(&mut self, record: &[u8]) {
        let segment = self.last().expect("there is room in it");
        let offset = segment.header.used + segment.batch.len() as u64;
        segment.batch.extend(record);
        let number = segment.header.number;
        self.note(number, offset, record);
    }

    /// Writes the next batch.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        match self.segments.values_mut().next_back() {
            Some(segment) => segment.flush(&self.ch).await,
            None => Ok(()),
        }
    }

    /// Writes the next batch, and has nothing be appended to its segment any more. From now on that tells how long it is:
    /// without that, a batch that is damaged could be one that was cut.
    pub(crate) async fn seal(&mut self) -> Result<()> {
        self.flush().await?;
        if let Some(segment) = self.last().filter(|segment| !segment.is_sealed) {
            segment.save().await?;
            segment.is_sealed = true;
        }
        Ok(())
    }

    /// The bytes of a record.
    pub(crate) async fn read(&self, place: &Place) -> Result<Vec<u8>> {
        let segment = &self.segments[&place.segment];
        let bytes = segment.read(&self.ch, place.offset, place.length).await?;
        match crc32c::crc32c(&bytes) == place.checksum {
            true => Ok(bytes),
            false => Err(Error::Damaged(place.segment, place.offset)),
        }
    }

    async fn value(&self, place: &Place) -> Result<Vec<u8>> {
        let bytes = self.read(place).await?;
        let (_, value): Record = postcard::from_bytes(&bytes).expect("it is a record");
        Ok(value.expect("it is that of a put").to_vec())
    }

    /// The value of a key: [`Error::Damaged`] if the device has changed it.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.index.get(key) {
            Some(place) => self.value(place).await.map(Some),
            None => Ok(None),
        }
    }

    /// The keys from `from` on and before `to`, if that is given, with their values: [`Error::Damaged`] as for [`Log::get`].
    pub async fn scan(&self, from: &[u8], to: Option<&[u8]>) -> Result<Vec<Pair>> {
        let mut found = Vec::new();
        let rest = (Bound::Included(from), Bound::Unbounded);
        for (key, place) in self.index.range::<[u8], _>(rest) {
            if to.is_some_and(|to| key.as_slice() >= to) {
                break;
            }
            found.push((key.clone(), self.value(place).await?));
        }
        Ok(found)
    }

    /// How many bytes of the segments count.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.index.values().map(|place| place.length as u64).sum()
    }
}
