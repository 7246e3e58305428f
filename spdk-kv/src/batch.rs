//! Batches of records: what is written at once, and is there as a whole or not at all.
//!
//! ```text
//! batch:  crc32c u32 | length u32 | count u32 | 0 u32          of the header; then records, then zeroes to the unit
//! record: crc32c u32 | kind u8, 0 | key length u16 | value length u32 | key | value
//! ```
//!
//! Each checksum starts from the salt of the segment and the place in it, so that what another segment has left in the
//! same cluster is no record.

use crate::{Key, Value};

pub(crate) const BATCH_HEADER: usize = 16;
const RECORD_HEADER: usize = 12;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// What is wrong with bytes that should be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The checksum of its bytes is another one.
    #[error("the checksum is wrong")]
    Checksum,
    /// It ends too early.
    #[error("it is cut off")]
    Cut,
    /// It is whole, but of another key.
    #[error("it is the record of another key")]
    Key,
}

/// A record, and where it is in its segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Key,
    /// `None`: it was deleted.
    pub(crate) value: Option<Value>,
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

/// How long the record is.
pub(crate) fn record_length(key: &[u8], value: Option<&[u8]>) -> usize {
    RECORD_HEADER + key.len() + value.map_or(0, <[u8]>::len)
}

/// The bytes from the fifth on, for a place in a segment.
fn checksum(salt: u64, offset: u64, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
    crc32c::crc32c_append(crc, bytes)
}

fn seal(salt: u64, offset: u64, bytes: &mut [u8]) {
    let crc = checksum(salt, offset, &bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
}

fn is_sealed(salt: u64, offset: u64, bytes: &[u8]) -> bool {
    bytes[..4] == checksum(salt, offset, &bytes[4..]).to_le_bytes()
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    let [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    u32::from_le_bytes([a, b, c, d]) as usize
}

/// Makes a batch for this place in a segment, and tells where its records are: their offsets and lengths.
pub(crate) fn encode<'a>(
    salt: u64,
    offset: u64,
    records: impl Iterator<Item = (&'a Key, Option<&'a [u8]>)>,
) -> (Vec<u8>, Vec<(u64, u32)>) {
    let mut bytes = vec![0; BATCH_HEADER];
    let mut places = Vec::new();
    for (key, value) in records {
        let start = bytes.len();
        let (kind, value) = value.map_or((DELETE, &[][..]), |value| (PUT, value));
        bytes.extend([0; 4]);
        bytes.extend([kind, 0]);
        bytes.extend((key.len() as u16).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(key);
        bytes.extend(value);
        let place = offset + start as u64;
        seal(salt, place, &mut bytes[start..]);
        places.push((place, (bytes.len() - start) as u32));
    }
    let length = (bytes.len() - BATCH_HEADER) as u32;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..12].copy_from_slice(&(places.len() as u32).to_le_bytes());
    seal(salt, offset, &mut bytes[..BATCH_HEADER]);
    (bytes, places)
}

/// How long a batch is without its header, if there is one.
pub(crate) fn batch_length(salt: u64, offset: u64, header: &[u8]) -> Option<usize> {
    let header = header.get(..BATCH_HEADER)?;
    is_sealed(salt, offset, header).then(|| u32_at(header, 4))
}

/// The records of a batch, if all of them are whole.
pub(crate) fn decode(salt: u64, offset: u64, bytes: &[u8]) -> Result<Vec<Record>, Damage> {
    let length = batch_length(salt, offset, bytes).ok_or(Damage::Checksum)?;
    let end = BATCH_HEADER + length;
    let bytes = bytes.get(..end).ok_or(Damage::Cut)?;
    let mut records = Vec::new();
    let mut at = BATCH_HEADER;
    while at < end {
        let record = decode_record(salt, offset + at as u64, &bytes[at..])?;
        at += record.length as usize;
        records.push(record);
    }
    match records.len() == u32_at(bytes, 8) {
        true => Ok(records),
        false => Err(Damage::Cut),
    }
}

/// The record at the begin of these bytes.
pub(crate) fn decode_record(salt: u64, offset: u64, bytes: &[u8]) -> Result<Record, Damage> {
    let header = bytes.get(..RECORD_HEADER).ok_or(Damage::Cut)?;
    let key_length = usize::from(u16::from_le_bytes([header[6], header[7]]));
    let length = RECORD_HEADER + key_length + u32_at(header, 8);
    let bytes = bytes.get(..length).ok_or(Damage::Cut)?;
    if !is_sealed(salt, offset, bytes) {
        return Err(Damage::Checksum);
    }
    let (key, value) = bytes[RECORD_HEADER..].split_at(key_length);
    Ok(Record {
        key: key.to_vec(),
        value: (header[4] == PUT).then(|| value.to_vec()),
        offset,
        length: length as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Vec<u8> {
        let keys = [b"a".to_vec(), b"bc".to_vec()];
        let values = [Some(&b"value"[..]), None];
        encode(7, 512, keys.iter().zip(values)).0
    }

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let records = decode(7, 512, &batch()).expect("it is whole");
        let found: Vec<_> = records
            .iter()
            .map(|r| (&*r.key, r.value.as_deref()))
            .collect();
        assert_eq!(found, [(&b"a"[..], Some(&b"value"[..])), (b"bc", None)]);
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_seen() {
        let whole = batch();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert!(decode(7, 512, &bytes).is_err(), "byte {at}, bit {bit}");
            }
            assert!(decode(7, 512, &whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_batch_of_another_place_or_segment_is_none() {
        assert!(decode(7, 1024, &batch()).is_err());
        assert!(decode(8, 512, &batch()).is_err());
    }
}
