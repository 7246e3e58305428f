//! Blobs are made, opened and deleted.

use spdk::Errno;
use spdk_tests::model::check::Returns;
use spdk_tests::model::store::{Model, Name, ReadOnly};

use super::{Call, MISSING, Plan, Planner, first_xattrs};
use crate::steps::{Clear, External, Shape};

impl Planner<'_> {
    pub(super) fn create(mut self, shape: Shape) -> Option<Plan> {
        if !self.has_room() {
            return None;
        }
        let generation = self.after.generation();
        let (xattrs, mut returns) = first_xattrs(shape.xattr, generation);
        let Shape {
            is_thin,
            has_table,
            clusters,
            xattr,
            external,
            clear,
        } = shape;
        let text = format!(
            "store.create_blob(clusters: {clusters}, thin: {is_thin}, extent table: {has_table}, xattr: {xattr:?}, \
             external snapshot: {external:?}, clear method: {clear:?})"
        );
        if external.is_some_and(|external| !external.has_id()) {
            returns = Returns::Invalid;
        }
        let mut after = self.after.clone();
        let made = after.create(
            is_thin || external.is_some(),
            has_table,
            clusters,
            xattrs.clone(),
        );
        if let Ok(name) = made {
            after.blob_mut(name).external = external.map(External::what);
        }
        if returns == Returns::Ok {
            returns = Returns::of(&made);
        }
        let call = Call::Create(shape, xattrs);
        let make = |model: &mut Model| match made {
            Ok(name) => {
                *model = after;
                name
            }
            Err(_) => unreachable!("it returns an error"),
        };
        Some(self.making((call, returns, text), make, |_| {}, None))
    }

    pub(super) fn open(mut self, number: u8, clear: Clear) -> Option<Plan> {
        let Some((name, id)) = self.blob(number) else {
            let text = "store.open_blob(missing)";
            return Some(self.missing(Call::Open(MISSING, 0, clear), text));
        };
        let dropped = self.before.clone();
        let open = self.after.open(name, self.thread);
        let text = format!("let o{open} = store.open_blob(b{name}, clear method: {clear:?})");
        let mut plan = self.plan((Call::Open(id, open, clear), Returns::Ok, text), Some(name));
        plan.dropped = vec![dropped];
        Some(plan)
    }

    pub(super) fn delete(mut self, number: u8) -> Option<Plan> {
        let Some((name, id)) = self.blob(number) else {
            return Some(self.missing(Call::Delete(MISSING), "store.delete_blob(missing)"));
        };
        let before = self.before.clone();
        let clones = before.clones(name);
        let mut dropped = Vec::new();
        let returns = if clones.len() > 1 {
            Returns::Errno(Errno::EBUSY)
        } else if let Some(clone) = clones
            .iter()
            .find(|clone| before.blob(**clone).size() != before.blob(name).size())
        {
            // It was opened for a look, and closing syncs it.
            self.after.sync(*clone);
            Returns::Errno(Errno::ENOTSUP)
        } else {
            self.after.delete(name);
            if clones.iter().any(|clone| self.is_harmed(name, *clone)) {
                return None;
            }
            if before.is_open(name) {
                // If nobody waits for it, it may come after the blob was closed.
                dropped.push(std::mem::replace(&mut self.after, before));
                Returns::Errno(Errno::EBUSY)
            } else {
                Returns::Ok
            }
        };
        let text = format!("store.delete_blob(b{name})");
        let mut plan = self.plan((Call::Delete(id), returns, text), None);
        plan.dropped.append(&mut dropped);
        Some(plan)
    }

    /// Whether SPDK 26.01 harms a clone when its snapshot is deleted.
    fn is_harmed(&self, snapshot: Name, clone: Name) -> bool {
        let (before, blob) = (self.before, self.before.blob(clone));
        let snapshot = before.blob(snapshot);
        // The clone, whose parent was set, gets clusters that it has no extent page for.
        let no_pages = blob.has_table != snapshot.has_table;
        // What the snapshot had no room for is read from the parent of that from then on.
        let reads_else = before.all_content(clone) != self.after.all_content(clone);
        // See `settled`.
        let is_soon = blob.read_only == ReadOnly::Soon;
        no_pages || reads_else || is_soon
    }
}
