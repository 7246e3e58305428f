//! What a blob is, and what it may depend on.

use spdk::blob::{BlobId, Xattrs};

use super::CLUSTER;
use super::store::Name;

/// What an io unit has: zeroes, or the pattern of a generation.
pub type Unit = u32;
/// It was not written.
pub const ZEROES: Unit = 0;
/// It cannot be read: it is on a device that is missing.
pub const LOST: Unit = Unit::MAX;
/// The ID of a blob that has not been made.
pub const UNKNOWN: BlobId = BlobId::new(0);

/// Whether nobody can write to a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    /// Everybody can.
    No,
    /// From the next sync on.
    Soon,
    /// For ever.
    Yes,
}

/// A device that a blob depends on: so many io units with one value, and zeroes beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    /// What the blob remembers of it.
    pub id: &'static str,
    /// What they have.
    pub value: Unit,
    /// How many there are.
    pub units: u64,
}

impl External {
    pub(super) fn cluster(self, cluster: u64) -> Vec<Unit> {
        let units = cluster * CLUSTER..(cluster + 1) * CLUSTER;
        let value = |unit| match unit < self.units {
            true => self.value,
            false => ZEROES,
        };
        units.map(value).collect()
    }
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// [`UNKNOWN`] until it was made.
    pub id: BlobId,
    /// Whether it gets clusters when they are written.
    pub is_thin: bool,
    /// Whether it has an extent table.
    pub has_table: bool,
    /// Whether nobody can write to it.
    pub read_only: ReadOnly,
    /// The snapshot that it depends on.
    pub parent: Option<Name>,
    /// The device that it depends on, if there is no such snapshot.
    pub external: Option<External>,
    /// Whether it has, or had, clones: SPDK forgets that when the store is unloaded.
    pub is_snapshot: bool,
    /// Its attributes.
    pub xattrs: Xattrs,
    /// What those clusters have that it has itself.
    pub clusters: Vec<Option<Vec<Unit>>>,
}

impl Blob {
    /// In clusters.
    pub fn size(&self) -> u64 {
        self.clusters.len() as u64
    }

    /// In io units.
    pub fn units(&self) -> u64 {
        self.size() * CLUSTER
    }

    /// How many clusters it has itself.
    pub fn allocated(&self) -> u64 {
        self.clusters.iter().flatten().count() as u64
    }
}
