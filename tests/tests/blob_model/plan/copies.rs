//! Snapshots and clones, and what blobs get of their parents.

use spdk::Errno;
use spdk::blob::Xattrs;
use spdk_tests::model::check::Returns;
use spdk_tests::model::store::{Blob, Failed, Model, Name, ReadOnly, TARGETS};

use super::{Call, Plan, Planned, Planner, first_xattrs};
use crate::steps::Size;

impl Planner<'_> {
    pub(super) fn snapshot(mut self, number: u8, xattr: Option<Size>) -> Option<Plan> {
        let generation = self.after.generation();
        let (xattrs, mut returns) = first_xattrs(xattr, generation);
        let (name, id) = match self.settled(number)? {
            Ok(found) if self.has_room() => found,
            Ok(_) => return None,
            Err(missing) => {
                let call = Call::Snapshot(missing, Xattrs::new());
                return Some(self.missing(call, "store.create_snapshot(missing)"));
            }
        };
        if returns == Returns::Ok && self.before.blob(name).read_only == ReadOnly::Yes {
            returns = Returns::Errno(Errno::EINVAL);
        }
        let text = format!("store.create_snapshot(b{name}, xattr: {xattr:?})");
        let call = Call::Snapshot(id, xattrs.clone());
        let make = |model: &mut Model| model.snapshot(name, xattrs);
        // A snapshot that is deleted again leaves a thin blob.
        let delete = |model: &mut Model| {
            let snapshot = model.snapshot(name, Xattrs::new());
            model.delete(snapshot);
        };
        Some(self.making((call, returns, text), make, delete, Some(name)))
    }

    pub(super) fn clone_of(mut self, number: u8, xattr: Option<Size>) -> Option<Plan> {
        let generation = self.after.generation();
        let (xattrs, mut returns) = first_xattrs(xattr, generation);
        let (name, id) = match self.settled(number)? {
            Ok(found) if self.has_room() => found,
            Ok(_) => return None,
            Err(missing) => {
                let call = Call::Clone(missing, Xattrs::new());
                return Some(self.missing(call, "store.create_clone(missing)"));
            }
        };
        if returns == Returns::Ok && self.before.blob(name).read_only != ReadOnly::Yes {
            returns = Returns::Errno(Errno::EINVAL);
        }
        let text = format!("store.create_clone(b{name}, xattr: {xattr:?})");
        let call = Call::Clone(id, xattrs.clone());
        let make = |model: &mut Model| model.clone_of(name, xattrs);
        let delete = |model: &mut Model| {
            let clone = model.clone_of(name, Xattrs::new());
            model.delete(clone);
        };
        Some(self.making((call, returns, text), make, delete, Some(name)))
    }

    /// A call that opens the blob first: when it is dropped then, nothing more happens.
    fn copying(self, planned: Planned, about: Name) -> Plan {
        let before = self.before.clone();
        let mut plan = self.plan(planned, Some(about));
        plan.dropped.push(before);
        plan
    }

    pub(super) fn inflate(mut self, number: u8) -> Option<Plan> {
        let (name, id) = match self.settled(number)? {
            Ok(found) => found,
            Err(missing) => {
                return Some(self.missing(Call::Inflate(missing), "store.inflate_blob(missing)"));
            }
        };
        let inflated = self.after.inflate(name);
        if inflated == Err(Failed::Lost) {
            // See `On::change`.
            return None;
        }
        let returns = Returns::of(&inflated);
        let text = format!("store.inflate_blob(b{name})");
        Some(self.copying((Call::Inflate(id), returns, text), name))
    }

    pub(super) fn decouple(mut self, number: u8) -> Option<Plan> {
        let (name, id) = match self.settled(number)? {
            Ok(found) => found,
            Err(missing) => {
                let call = Call::Decouple(missing);
                return Some(self.missing(call, "store.decouple_parent(missing)"));
            }
        };
        let returns = self.after.decouple(name);
        if returns == Returns::Errno(Errno::EIO) {
            // See `On::change`.
            return None;
        }
        let text = format!("store.decouple_parent(b{name})");
        Some(self.copying((Call::Decouple(id), returns, text), name))
    }

    pub(super) fn set_parent(mut self, blob: u8, snapshot: u8) -> Option<Plan> {
        let (name, id) = match self.settled(blob)? {
            Ok(found) => found,
            Err(missing) => {
                let call = Call::SetParent(missing, missing);
                let returns = Returns::Errno(Errno::EINVAL);
                let text = "store.set_parent(missing, missing)".to_owned();
                return Some(self.plan((call, returns, text), None));
            }
        };
        let (parent, parent_id) = match self.settled(snapshot)? {
            Ok((name, id)) => (Some(name), id),
            Err(missing) => (None, missing),
        };
        let model = self.before;
        let blob = model.blob(name);
        let is_parent = |parent: &Blob| parent.is_snapshot && parent.size() == blob.size();
        let errno = match parent {
            Some(parent) if parent == name => Some(Errno::EINVAL),
            Some(parent) if blob.parent == Some(parent) => Some(Errno::EEXIST),
            _ if !blob.is_thin => Some(Errno::EINVAL),
            None => Some(Errno::ENOENT),
            Some(parent) if !is_parent(model.blob(parent)) => Some(Errno::EINVAL),
            Some(parent) if model.depends_on(parent, name) => Some(Errno::EINVAL),
            Some(_) => None,
        };
        let returns = match errno {
            Some(errno) => Returns::Errno(errno),
            None => {
                let blob = self.after.blob_mut(name);
                (blob.parent, blob.external) = (parent, None);
                Returns::Ok
            }
        };
        let parent = parent.map_or("missing".to_owned(), |parent| format!("b{parent}"));
        let text = format!("store.set_parent(b{name}, {parent})");
        Some(self.plan((Call::SetParent(id, parent_id), returns, text), Some(name)))
    }

    pub(super) fn shallow_copy(mut self, number: u8, is_small: bool) -> Option<Plan> {
        let target = usize::from(is_small);
        let (name, id) = match self.settled(number)? {
            Ok(found) => found,
            Err(missing) => {
                let call = Call::ShallowCopy(missing, target, 0);
                return Some(self.missing(call, "store.shallow_copy(missing)"));
            }
        };
        let blob = self.before.blob(name);
        let returns = if blob.read_only != ReadOnly::Yes {
            Returns::Errno(Errno::EPERM)
        } else if blob.size() > TARGETS[target] {
            Returns::Errno(Errno::EINVAL)
        } else {
            self.after.shallow_copy(name, target);
            Returns::Ok
        };
        let text = format!("store.shallow_copy(b{name}, target {target})");
        let call = Call::ShallowCopy(id, target, blob.allocated());
        Some(self.plan((call, returns, text), Some(name)))
    }
}
