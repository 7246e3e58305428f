//! What a store and its blobs are, as the documentation of the calls says it.

use std::collections::BTreeMap;

use spdk::Errno;
use spdk::blob::{BlobId, BsType, Xattrs};

use super::CLUSTER;
pub use super::blob::{Blob, External, LOST, ReadOnly, UNKNOWN, Unit, ZEROES};
use super::case::Range;
use super::check::Returns;

/// A blob, for the model: its ID is known when it was made.
pub type Name = u32;
/// An open blob.
pub type Open = u32;

/// How many clusters a device grows by, and how often.
const GROWTH: u64 = 16;
const GROWTHS: u64 = 3;
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
    /// How many clusters the device has grown by.
    pub grown: u64,
    names: u32,
    opens: u32,
    generations: u32,
}

/// Why not all of it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// There was no free cluster for all of it.
    NoSpace,
    /// A part of what had to be copied is [`LOST`].
    Lost,
}

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

    /// How many clusters its device grows by if it does now; 0 if it is large enough.
    pub fn next_growth(&self) -> u64 {
        match self.grown < GROWTHS * GROWTH {
            true => GROWTH,
            false => 0,
        }
    }

    /// The device, and the store with it, has so many clusters more.
    pub fn grow(&mut self, clusters: u64) {
        self.grown += clusters;
        self.total = self.total.map(|total| total + clusters);
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

    /// Whether a device that it depends on is missing.
    pub fn is_degraded(&self, name: Name) -> bool {
        let blob = self.blob(name);
        match (blob.parent, blob.external) {
            (Some(parent), _) => self.is_degraded(parent),
            (None, external) => external.is_some_and(|external| external.value == LOST),
        }
    }

    /// What a cluster of a blob reads as.
    pub fn cluster(&self, name: Name, cluster: u64) -> Vec<Unit> {
        let blob = self.blob(name);
        match (blob.clusters.get(cluster as usize), blob.parent) {
            (Some(Some(units)), _) => units.clone(),
            (Some(None), Some(parent)) => self.cluster(parent, cluster),
            (Some(None), None) => match blob.external {
                Some(external) => external.cluster(cluster),
                None => zeroes(),
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
    ) -> Result<Name, Failed> {
        if !is_thin && !self.has_free(clusters) {
            return Err(Failed::NoSpace);
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

    fn allocate(&mut self, name: Name, cluster: u64) -> Result<&mut Vec<Unit>, Failed> {
        let is_new = self.blob(name).clusters[cluster as usize].is_none();
        if is_new && !self.has_free(1) {
            return Err(Failed::NoSpace);
        }
        let content = self.cluster(name, cluster);
        if content.contains(&LOST) {
            return Err(Failed::Lost);
        }
        let place = &mut self.blob_mut(name).clusters[cluster as usize];
        Ok(place.insert(content))
    }

    /// Writes a range, cluster after cluster; those before the one that there was no room for, or that could not be copied,
    /// are written.
    ///
    /// # Errors
    ///
    /// Not all are.
    pub fn write(&mut self, name: Name, range: Range, value: Unit) -> Result<(), Failed> {
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
    pub fn resize(&mut self, name: Name, clusters: u64) -> Result<(), Failed> {
        let blob = self.blob(name);
        let more = clusters.saturating_sub(blob.size());
        if !blob.is_thin && !self.has_free(more) {
            return Err(Failed::NoSpace);
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
    fn fill(&mut self, name: Name, wanted: impl Fn(usize) -> bool) -> Result<(), Failed> {
        let clusters = self.blob(name).clusters.iter().enumerate();
        let missing = clusters.filter(|(number, cluster)| cluster.is_none() && wanted(*number));
        let missing: Vec<_> = missing.map(|(number, _)| number as u64).collect();
        if !self.has_free(missing.len() as u64) {
            return Err(Failed::NoSpace);
        }
        for cluster in missing {
            self.allocate(name, cluster)?;
        }
        Ok(())
    }

    /// Gives it all of its clusters, one after the other.
    ///
    /// # Errors
    ///
    /// There is no room for them, or one could not be copied.
    pub fn inflate(&mut self, name: Name) -> Result<(), Failed> {
        self.fill(name, |_| true)?;
        let blob = self.blob_mut(name);
        (blob.is_thin, blob.parent, blob.external) = (false, None, None);
        Ok(())
    }

    /// Gives it what its parent has; returns what that must.
    pub fn decouple(&mut self, name: Name) -> Returns {
        let blob = self.blob(name);
        if blob.external.is_some() {
            return Returns::of(&self.inflate(name));
        }
        let parent = blob.parent.map(|parent| self.blob(parent));
        let parent = parent.filter(|parent| blob.size() <= parent.size());
        let Some(parent) = parent else {
            return Returns::Errno(Errno::EINVAL);
        };
        let (has, next, external) = (parent.clusters.clone(), parent.parent, parent.external);
        let filled = self.fill(name, |cluster| has[cluster].is_some());
        match Returns::of(&filled) {
            // It was copied, but SPDK 26.01 does not hand a device down.
            Returns::Ok if external.is_some() => Returns::Errno(Errno::ENOENT),
            Returns::Ok => {
                self.blob_mut(name).parent = next;
                Returns::Ok
            }
            failed => failed,
        }
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
