//! What must be in a blobstore after a cut.

use std::collections::{BTreeMap, BTreeSet};

use super::blobs::{CLUSTER, Event, Found, FoundBlob, Op, Range};

/// What is known of a store, of which a part may have happened or not.
#[derive(Default)]
pub struct Model {
    blobs: BTreeMap<u64, Blob>,
    /// What has begun, by its number.
    open: BTreeMap<u64, Op>,
}

#[derive(Clone, Default)]
struct Blob {
    /// Whether it is there, and not only perhaps.
    is_sure: bool,
    is_snapshot: bool,
    /// It was made independent of what it was a clone of.
    is_inflated: bool,
    /// Whether it may get clusters by writes.
    is_thin: bool,
    /// What it was when it was synced, and since: one of these is on the device, and the last is the newest.
    states: Vec<State>,
    units: Vec<Unit>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    clusters: u64,
    xattrs: BTreeMap<String, u64>,
}

/// What may be in an io unit. Empty: anything.
type Unit = BTreeSet<u64>;

impl Blob {
    fn now(&self) -> State {
        self.states.last().cloned().unwrap_or_default()
    }

    /// It has changed, or perhaps.
    fn change(&mut self, f: impl FnOnce(&mut State)) {
        let mut state = self.now();
        f(&mut state);
        let most = state.clusters.max(self.now().clusters) * CLUSTER;
        // What a resize has cut off, or added, may be anything.
        let least = state.clusters.min(self.now().clusters) * CLUSTER;
        if least < most {
            self.units.truncate(least as usize);
            self.units.resize(most as usize, Unit::new());
        }
        self.states.push(state);
    }

    fn units(&mut self, range: &Range) -> &mut [Unit] {
        &mut self.units[range.first as usize..(range.first + range.units) as usize]
    }

    /// The range is being written with this.
    fn begin_write(&mut self, range: &Range, generation: u64) {
        if self.is_thin {
            // What has no cluster gets one, of which nobody has cleared the rest.
            let first = (range.first / CLUSTER * CLUSTER) as usize;
            let end = (range.first + range.units).next_multiple_of(CLUSTER) as usize;
            for unit in &mut self.units[first..end] {
                if unit.contains(&0) {
                    unit.clear();
                }
            }
        }
        for unit in self.units(range) {
            if !unit.is_empty() {
                unit.insert(generation);
            }
        }
    }

    fn end_write(&mut self, range: &Range, generation: u64) {
        self.units(range).fill(Unit::from([generation]));
    }

    /// Compares it with what was found, of which it becomes a copy.
    fn settle(&mut self, found: &FoundBlob) -> Result<(), String> {
        let state = State {
            clusters: found.clusters,
            xattrs: found.xattrs.clone(),
        };
        // The size of a blob with an extent table is written first.
        let has_size = |known: &State| known.clusters == state.clusters;
        let has_xattrs = |known: &State| known.xattrs == state.xattrs;
        if !(self.states.iter().any(has_size) && self.states.iter().any(has_xattrs)) {
            let expected = &self.states;
            return Err(format!("it is {state:?}, and none of {expected:?}"));
        }
        if found.is_snapshot && !self.is_snapshot {
            return Err("it is a snapshot, and was none".to_owned());
        }
        if found.is_clone && self.is_inflated {
            return Err("it depends on a snapshot, and was made independent".to_owned());
        }
        for (number, unit) in found.units.iter().enumerate() {
            match self.units.get(number) {
                Some(known) if !known.is_empty() && !known.contains(unit) => {
                    return Err(format!("io unit {number} is {unit}, not {known:?}"));
                }
                _ => {}
            }
        }
        self.units = found.units.iter().map(|unit| Unit::from([*unit])).collect();
        self.states = vec![state];
        self.is_sure = true;
        Ok(())
    }
}

impl Model {
    fn blob(&mut self, name: u64) -> &mut Blob {
        match self.blobs.get_mut(&name) {
            Some(blob) => blob,
            None => panic!("the worker uses blob {name}, which is not there"),
        }
    }

    /// Learns what the worker says.
    ///
    /// # Errors
    ///
    /// What should not be so.
    pub fn hear(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Found(found) => return self.settle(&found),
            Event::Begin { number, op } => {
                self.begin(&op);
                self.open.insert(number, op);
            }
            Event::End { number, errno } => {
                let op = self.open.remove(&number);
                let op = op.ok_or("something has ended that had not begun")?;
                match errno {
                    0 => self.end(&op),
                    _ => self.fail(&op),
                }
            }
        }
        Ok(())
    }

    /// It may happen from now on.
    fn begin(&mut self, op: &Op) {
        match op {
            Op::Create { name, clusters } => {
                let units = vec![Unit::new(); (clusters * CLUSTER) as usize];
                let state = State {
                    clusters: *clusters,
                    ..State::default()
                };
                let blob = Blob {
                    // Perhaps.
                    is_thin: true,
                    states: vec![state],
                    units,
                    ..Blob::default()
                };
                self.blobs.insert(*name, blob);
            }
            Op::Snapshot { of, name } | Op::Clone { of, name } => {
                let is_snapshot = matches!(op, Op::Snapshot { .. });
                let from = self.blob(*of);
                if is_snapshot {
                    from.is_thin = true;
                    from.is_inflated = false;
                }
                let state = State {
                    clusters: from.now().clusters,
                    ..State::default()
                };
                let mut units = from.units.clone();
                units.truncate((state.clusters * CLUSTER) as usize);
                let blob = Blob {
                    is_snapshot,
                    is_thin: true,
                    states: vec![state],
                    units,
                    ..Blob::default()
                };
                self.blobs.insert(*name, blob);
            }
            Op::Delete { name } => self.blob(*name).is_sure = false,
            Op::Resize { name, clusters } => {
                self.blob(*name).change(|state| state.clusters = *clusters);
            }
            Op::SetXattr { name, key, value } => self.blob(*name).change(|state| {
                state.xattrs.insert(key.clone(), *value);
            }),
            Op::RemoveXattr { name, key } => self.blob(*name).change(|state| {
                state.xattrs.remove(key);
            }),
            Op::Write { name, ranges } => {
                for range in ranges {
                    self.blob(*name).begin_write(range, range.generation);
                }
            }
            Op::WriteZeroes { name, range } => self.blob(*name).begin_write(range, 0),
            // Bytes that are not needed may be anything.
            Op::Unmap { name, range } => self.blob(*name).units(range).fill(Unit::new()),
            Op::Inflate { name } | Op::Decouple { name } => {
                // What has no cluster gets one, which nobody has cleared.
                let units = self.blob(*name).units.iter_mut();
                units.filter(|unit| unit.contains(&0)).for_each(Unit::clear);
            }
            Op::Sync { .. } | Op::Reopen { .. } => {}
        }
    }

    /// It has happened, for ever.
    fn end(&mut self, op: &Op) {
        match op {
            Op::Create { name, .. } | Op::Snapshot { name, .. } | Op::Clone { name, .. } => {
                self.blob(*name).is_sure = true;
            }
            Op::Delete { name } => drop(self.blobs.remove(name)),
            Op::Sync { name } | Op::Reopen { name } | Op::Resize { name, .. } => {
                let blob = self.blob(*name);
                blob.states = vec![blob.now()];
            }
            Op::Inflate { name } => self.blob(*name).is_inflated = true,
            Op::Write { name, ranges } => {
                for range in ranges {
                    self.blob(*name).end_write(range, range.generation);
                }
            }
            Op::WriteZeroes { name, range } => self.blob(*name).end_write(range, 0),
            Op::SetXattr { .. }
            | Op::RemoveXattr { .. }
            | Op::Unmap { .. }
            | Op::Decouple { .. } => {}
        }
    }

    /// It was refused.
    fn fail(&mut self, op: &Op) {
        match op {
            Op::Create { name, .. } | Op::Snapshot { name, .. } | Op::Clone { name, .. } => {
                drop(self.blobs.remove(name));
            }
            Op::Delete { name } => self.blob(*name).is_sure = true,
            Op::Resize { name, .. } | Op::SetXattr { name, .. } | Op::RemoveXattr { name, .. } => {
                let blob = self.blob(*name);
                let before = blob.states.len().checked_sub(2);
                let before = before.map(|at| blob.states[at].clone());
                blob.states.extend(before);
            }
            _ => {}
        }
    }

    /// Compares with what was found after a cut, which is known from now on.
    fn settle(&mut self, found: &Found) -> Result<(), String> {
        let open = std::mem::take(&mut self.open);
        let moves = |op: &Op| matches!(op, Op::Snapshot { .. } | Op::Delete { .. });
        if found.is_recounted && !open.values().any(moves) {
            return Err("the free clusters did not add up".to_owned());
        }
        let used = found.used();
        if found.free.checked_add(used) != Some(found.total) {
            let Found { total, free, .. } = found;
            return Err(format!(
                "{free} of {total} clusters are free, and {used} in blobs"
            ));
        }
        let mut known = std::mem::take(&mut self.blobs);
        for blob in &found.blobs {
            let name = blob.name;
            let model = known.remove(&name);
            let mut model = model.ok_or_else(|| format!("blob {name} should not be there"))?;
            let settled = model.settle(blob);
            settled.map_err(|wrong| format!("blob {name}: {wrong}"))?;
            self.blobs.insert(name, model);
        }
        match known.iter().find(|(_, blob)| blob.is_sure) {
            Some((name, _)) => Err(format!("blob {name} is lost")),
            None => Ok(()),
        }
    }
}
