//! What a store and its blobs are, as the documentation of the calls says it.

use std::collections::BTreeMap;

use spdk::blob::{BlobId, BsType, Xattrs};

use super::CLUSTER;
use super::case::Range;

/// What an io unit has: zeroes, or the pattern of a generation.
pub type Unit = u32;
/// A blob, for the model: its ID is known when it was made.
pub type Name = u32;
/// An open blob.
pub type Open = u32;

/// It was not written.
pub const ZEROES: Unit = 0;
/// How many clusters the targets of copies have.
pub const TARGETS: [u64; 2] = [12, 2];

/// A store, or the part of one that a sequence has to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Those that there are.
    pub blobs: BTreeMap<Name, Blob>,
    /// The open ones: which blob, and on which spdk_thread.
    pub open: BTreeMap<Open, (Name, u8)>,
    /// How many clusters there are; `None` if the store is not this model's alone.
    pub total: Option<u64>,
    /// What the store says it is.
    pub super_blob: Option<BlobId>,
    /// What the store is for.
    pub bstype: BsType,
    /// What the targets of copies have.
    pub targets: [Vec<Unit>; 2],
    /// How often the device has grown.
    pub grown: u64,
    names: u32,
    opens: u32,
    generations: u32,
}

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

/// A device that a blob depends on: so many clusters with one value, and zeroes beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    /// What they have.
    pub value: Unit,
    /// How many there are.
    pub clusters: u64,
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

/// There was no free cluster for all of it.
#[derive(Debug)]
pub struct NoSpace;

fn zeroes() -> Vec<Unit> {
    vec![ZEROES; CLUSTER as usize]
}

impl Model {
    /// Of the sequence of this number: those that run beside each other have other names.
    pub fn new(total: Option<u64>, lane: u32) -> Self {
        Model {
            blobs: BTreeMap::new(),
            open: BTreeMap::new(),
            total,
            super_blob: None,
            bstype: BsType::default(),
            targets: TARGETS.map(|clusters| vec![ZEROES; (clusters * CLUSTER) as usize]),
            grown: 0,
            names: lane * 100,
            opens: lane * 100,
            generations: 0,
        }
    }

    /// Another one than all before.
    pub fn generation(&mut self) -> Unit {
        self.generations += 1;
        self.generations
    }

    /// The blob of this name.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn blob(&self, name: Name) -> &Blob {
        match self.blobs.get(&name) {
            Some(blob) => blob,
            None => panic!("the model has no b{name}"),
        }
    }

    /// As [`Model::blob`].
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn blob_mut(&mut self, name: Name) -> &mut Blob {
        match self.blobs.get_mut(&name) {
            Some(blob) => blob,
            None => panic!("the model has no b{name}"),
        }
    }

    /// How many clusters are free, if the store is this model's alone.
    pub fn free(&self) -> Option<u64> {
        let allocated: u64 = self.blobs.values().map(Blob::allocated).sum();
        self.total.map(|total| total - allocated)
    }

    fn has_free(&self, clusters: u64) -> bool {
        self.free().is_none_or(|free| clusters <= free)
    }

    /// The blobs that depend on this one.
    pub fn clones(&self, name: Name) -> Vec<Name> {
        let is_clone = |blob: &Blob| blob.parent == Some(name);
        let clones = self.blobs.iter().filter(|(_, blob)| is_clone(blob));
        clones.map(|(clone, _)| *clone).collect()
    }

    /// Whether anybody has it open.
    pub fn is_open(&self, name: Name) -> bool {
        self.open.values().any(|(blob, _)| *blob == name)
    }

    /// Whether a blob is this one, or depends on it.
    pub fn depends_on(&self, blob: Name, on: Name) -> bool {
        let parents = std::iter::successors(Some(blob), |name| self.blob(*name).parent);
        parents.into_iter().any(|name| name == on)
    }

    /// What a cluster of a blob reads as.
    pub fn cluster(&self, name: Name, cluster: u64) -> Vec<Unit> {
        let blob = self.blob(name);
        match (blob.clusters.get(cluster as usize), blob.parent) {
            (Some(Some(units)), _) => units.clone(),
            (Some(None), Some(parent)) => self.cluster(parent, cluster),
            (Some(None), None) => match blob.external {
                Some(External { value, clusters }) if cluster < clusters => {
                    vec![value; CLUSTER as usize]
                }
                _ => zeroes(),
            },
            (None, _) => zeroes(),
        }
    }

    /// What a part of a blob reads as, which ends in it.
    pub fn content(&self, name: Name, range: Range) -> Vec<Unit> {
        let clusters = range.first / CLUSTER..(range.first + range.units).div_ceil(CLUSTER);
        let units = clusters.flat_map(|cluster| self.cluster(name, cluster));
        let skipped = range.first % CLUSTER;
        units
            .skip(skipped as usize)
            .take(range.units as usize)
            .collect()
    }

    /// What all of it reads as.
    pub fn all_content(&self, name: Name) -> Vec<Unit> {
        let units = self.blob(name).units();
        self.content(name, Range { first: 0, units })
    }

    fn insert(&mut self, blob: Blob) -> Name {
        self.names += 1;
        self.blobs.insert(self.names, blob);
        self.names
    }

    /// Makes a blob.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn create(
        &mut self,
        is_thin: bool,
        has_table: bool,
        clusters: u64,
        xattrs: Xattrs,
    ) -> Result<Name, NoSpace> {
        if !is_thin && !self.has_free(clusters) {
            return Err(NoSpace);
        }
        let cluster = (!is_thin).then(zeroes);
        Ok(self.insert(Blob {
            id: UNKNOWN,
            is_thin,
            has_table,
            read_only: ReadOnly::No,
            parent: None,
            external: None,
            is_snapshot: false,
            xattrs,
            clusters: vec![cluster; clusters as usize],
        }))
    }

    /// Opens it, on this spdk_thread.
    pub fn open(&mut self, name: Name, thread: u8) -> Open {
        self.opens += 1;
        self.open.insert(self.opens, (name, thread));
        self.opens
    }

    /// It has written what was not synced.
    pub fn sync(&mut self, name: Name) {
        let read_only = &mut self.blob_mut(name).read_only;
        if *read_only == ReadOnly::Soon {
            *read_only = ReadOnly::Yes;
        }
    }

    /// Closes one of those that are open.
    pub fn close(&mut self, open: Open) {
        if let Some((name, _)) = self.open.remove(&open) {
            self.sync(name);
        }
    }

    /// The store was unloaded and loaded.
    pub fn reload(&mut self) {
        while let Some((open, _)) = self.open.first_key_value() {
            self.close(*open);
        }
        let parents: Vec<_> = self.blobs.values().filter_map(|blob| blob.parent).collect();
        for (name, blob) in &mut self.blobs {
            blob.is_snapshot = parents.contains(name);
        }
    }

    fn allocate(&mut self, name: Name, cluster: u64) -> Result<&mut Vec<Unit>, NoSpace> {
        let is_new = self.blob(name).clusters[cluster as usize].is_none();
        if is_new && !self.has_free(1) {
            return Err(NoSpace);
        }
        let content = self.cluster(name, cluster);
        let place = &mut self.blob_mut(name).clusters[cluster as usize];
        Ok(place.insert(content))
    }

    /// Writes a range, cluster after cluster; those before the one that there was no room for are written.
    ///
    /// # Errors
    ///
    /// There was none for all.
    pub fn write(&mut self, name: Name, range: Range, value: Unit) -> Result<(), NoSpace> {
        for unit in range.first..range.first + range.units {
            self.allocate(name, unit / CLUSTER)?[(unit % CLUSTER) as usize] = value;
        }
        Ok(())
    }

    /// The devices here read as zeroes where they were unmapped.
    pub fn unmap(&mut self, name: Name, range: Range) {
        let blob = self.blob_mut(name);
        let end = range.first + range.units;
        for (cluster, first) in blob
            .clusters
            .iter_mut()
            .zip((0..).step_by(CLUSTER as usize))
        {
            let (from, to) = (range.first.max(first), end.min(first + CLUSTER));
            let Some(units) = cluster.as_mut().filter(|_| from < to) else {
                continue;
            };
            units[(from - first) as usize..(to - first) as usize].fill(ZEROES);
            if to - from == CLUSTER
                && blob.is_thin
                && blob.parent.is_none()
                && blob.external.is_none()
            {
                *cluster = None;
            }
        }
    }

    /// Makes it larger or smaller.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn resize(&mut self, name: Name, clusters: u64) -> Result<(), NoSpace> {
        let blob = self.blob(name);
        let more = clusters.saturating_sub(blob.size());
        if !blob.is_thin && !self.has_free(more) {
            return Err(NoSpace);
        }
        let blob = self.blob_mut(name);
        let cluster = (!blob.is_thin).then(zeroes);
        blob.clusters.resize(clusters as usize, cluster);
        Ok(())
    }

    /// Deletes a blob that has one clone at most, which gets what it has.
    pub fn delete(&mut self, name: Name) {
        let Some(deleted) = self.blobs.remove(&name) else {
            return;
        };
        self.open.retain(|_, (blob, _)| *blob != name);
        for clone in self.clones(name) {
            let clone = self.blob_mut(clone);
            (clone.parent, clone.external) = (deleted.parent, deleted.external);
            for (cluster, units) in clone.clusters.iter_mut().zip(&deleted.clusters) {
                if cluster.is_none() {
                    *cluster = units.clone();
                }
            }
        }
    }

    /// Makes a snapshot of it.
    pub fn snapshot(&mut self, name: Name, xattrs: Xattrs) -> Name {
        let blob = self.blob(name).clone();
        let size = blob.clusters.len();
        let snapshot = self.insert(Blob {
            id: UNKNOWN,
            read_only: ReadOnly::Yes,
            is_snapshot: true,
            xattrs,
            ..blob
        });
        let blob = self.blob_mut(name);
        blob.clusters = vec![None; size];
        blob.is_thin = true;
        (blob.parent, blob.external) = (Some(snapshot), None);
        snapshot
    }

    /// Makes a clone of it.
    pub fn clone_of(&mut self, name: Name, xattrs: Xattrs) -> Name {
        let blob = self.blob_mut(name);
        blob.is_snapshot = true;
        let clone = Blob {
            id: UNKNOWN,
            is_thin: true,
            has_table: blob.has_table,
            read_only: ReadOnly::No,
            parent: Some(name),
            external: None,
            is_snapshot: false,
            xattrs,
            clusters: vec![None; blob.clusters.len()],
        };
        self.insert(clone)
    }

    /// Gives a blob the clusters that it has not, if there are as many.
    fn fill(&mut self, name: Name, wanted: impl Fn(usize) -> bool) -> Result<(), NoSpace> {
        let clusters = self.blob(name).clusters.iter().enumerate();
        let missing = clusters.filter(|(number, cluster)| cluster.is_none() && wanted(*number));
        let missing: Vec<_> = missing.map(|(number, _)| number as u64).collect();
        if !self.has_free(missing.len() as u64) {
            return Err(NoSpace);
        }
        for cluster in missing {
            self.allocate(name, cluster)?;
        }
        Ok(())
    }

    /// Gives it all of its clusters.
    ///
    /// # Errors
    ///
    /// There is no room for them.
    pub fn inflate(&mut self, name: Name) -> Result<(), NoSpace> {
        self.fill(name, |_| true)?;
        let blob = self.blob_mut(name);
        (blob.is_thin, blob.parent, blob.external) = (false, None, None);
        Ok(())
    }

    /// Of a blob with this parent, which is as large at least: gives it what that has.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn decouple(&mut self, name: Name, parent: Name) -> Result<(), NoSpace> {
        let parent = self.blob(parent);
        let (has, next) = (parent.clusters.clone(), parent.parent);
        self.fill(name, |cluster| has[cluster].is_some())?;
        self.blob_mut(name).parent = next;
        Ok(())
    }

    /// Copies what a blob has itself.
    pub fn shallow_copy(&mut self, name: Name, target: usize) {
        let clusters = self.blob(name).clusters.clone();
        let places = self.targets[target].chunks_mut(CLUSTER as usize);
        for (units, place) in clusters.iter().zip(places) {
            if let Some(units) = units {
                place.copy_from_slice(units);
            }
        }
    }
}

/// The ID of a blob that has not been made.
pub const UNKNOWN: BlobId = BlobId::new(0);
