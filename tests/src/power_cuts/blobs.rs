//! What a worker does with blobs, and how it says that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pattern;

/// The size of an io unit.
pub const UNIT: usize = 512;
/// The size of a cluster in io units.
pub const CLUSTER: u64 = 32;
/// How many tasks work at a time. A blob belongs to one, and so do its snapshots and clones: by their names.
pub const TASKS: u64 = 3;

/// What a worker does. Blobs have numbers for names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they say it")]
pub enum Op {
    Create { name: u64, clusters: u64 },
    Snapshot { of: u64, name: u64 },
    Clone { of: u64, name: u64 },
    Delete { name: u64 },
    Resize { name: u64, clusters: u64 },
    SetXattr { name: u64, key: String, value: u64 },
    RemoveXattr { name: u64, key: String },
    Sync { name: u64 },
    Reopen { name: u64 },
    Inflate { name: u64 },
    Decouple { name: u64 },
    Write { name: u64, ranges: Vec<Range> },
    WriteZeroes { name: u64, range: Range },
    Unmap { name: u64, range: Range },
}

/// Some io units of a blob, and what is in them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// How many.
    pub units: u64,
    /// The number of the write: see [`fill`].
    pub generation: u64,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    /// What it has found.
    Found(Found),
    /// It begins something. What has the same number ends it.
    Begin {
        /// Its number.
        number: u64,
        /// What it is.
        op: Op,
    },
    /// That has ended.
    End {
        /// Its number.
        number: u64,
        /// The errno, or 0.
        errno: i32,
    },
}

/// A store.
#[derive(Debug, Serialize, Deserialize)]
pub struct Found {
    /// How many clusters it has.
    pub total: u64,
    /// How many of them are free.
    pub free: u64,
    /// Whether it had to be loaded a second time for that.
    pub is_recounted: bool,
    /// Its blobs.
    pub blobs: Vec<FoundBlob>,
}

impl Found {
    /// How many clusters its blobs have.
    pub fn used(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.allocated).sum()
    }
}

/// A blob.
#[derive(Debug, Serialize, Deserialize)]
pub struct FoundBlob {
    /// Its name.
    pub name: u64,
    /// Its size in clusters.
    pub clusters: u64,
    /// How many it has.
    pub allocated: u64,
    /// Whether it is a snapshot.
    pub is_snapshot: bool,
    /// Whether it has a parent.
    pub is_clone: bool,
    /// Its attributes but for its name, by [`value`].
    pub xattrs: BTreeMap<String, u64>,
    /// What is in each io unit, by [`tell`].
    pub units: Vec<u64>,
}

/// The bytes of an attribute. Some need pages of metadata of their own.
pub fn value(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 8 + (number % 1500) as usize];
    pattern::fill(&mut bytes, UNIT, 0, number);
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The number of the bytes of an attribute, if they are whole.
pub fn tell_value(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(*bytes.first_chunk()?);
    (value(number) == bytes).then_some(number)
}

/// Fills a buffer with what the write of this generation, which is not 0, writes to the io units from `first` on.
pub fn fill(bytes: &mut [u8], first: u64, generation: u64) {
    pattern::fill(bytes, UNIT, first, generation);
    for unit in bytes.chunks_mut(UNIT) {
        unit[..8].copy_from_slice(&generation.to_le_bytes());
    }
}

/// The generation of an io unit; 0 if it is all zeroes. A number that is no generation tells other bytes.
pub fn tell(unit: &[u8], number: u64) -> u64 {
    let Some(generation) = unit.first_chunk().map(|first| u64::from_le_bytes(*first)) else {
        unreachable!("an io unit has {UNIT} bytes");
    };
    if unit.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let mut expected = [0; UNIT];
    fill(&mut expected, number, generation);
    match unit == expected && generation < FOREIGN {
        true => generation,
        false => unit.iter().fold(FOREIGN, |hash, byte| {
            (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | FOREIGN
        }),
    }
}

/// What is no generation.
const FOREIGN: u64 = 1 << 63;
