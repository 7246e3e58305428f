//! Calls on an open blob.

use spdk::Errno;
use spdk_tests::model::case::Range;
use spdk_tests::model::check::Returns;
use spdk_tests::model::store::{Blob, Name, Open, ReadOnly};

use super::{Call, Plan, Planned, Planner};
use crate::steps::{External, Kind, OnOpen};

/// What makes the plan of one.
pub(super) struct On<'a> {
    pub(super) planner: Planner<'a>,
    pub(super) open: Open,
    pub(super) name: Name,
    /// As it was before.
    pub(super) blob: Blob,
}

impl Planner<'_> {
    pub(super) fn on_open(
        self,
        open: Open,
        name: Name,
        call: OnOpen,
        device: Kind,
    ) -> Option<Plan> {
        let mut on = On {
            open,
            name,
            blob: self.before.blob(name).clone(),
            planner: self,
        };
        let planned = match call {
            OnOpen::Close => on.close(),
            OnOpen::Drop => on.drop(),
            OnOpen::Sync => on.sync(),
            OnOpen::SetReadOnly => on.set_read_only(),
            OnOpen::Resize(clusters) => on.resize(clusters)?,
            OnOpen::SetExternal(external) => on.set_external(external),
            OnOpen::SetExternalParent(external) => on.set_external_parent(external)?,
            OnOpen::Read(range, form) => on.read(range, form),
            OnOpen::Write(range, form) => on.write(range, form)?,
            OnOpen::WriteZeroes(range, form) => on.write_zeroes(range, form)?,
            OnOpen::Unmap(range, form) => on.unmap(range, form)?,
            OnOpen::Misaligned(range) => on.misaligned(range),
            OnOpen::Allocated(unit) => on.allocated(unit),
            OnOpen::SetXattr(number, size) => on.set_xattr(number, size),
            OnOpen::RemoveXattr(number) => on.remove_xattr(number),
            OnOpen::Xattr(number) => on.xattr(number),
            OnOpen::FailSync(number) => on.fail_sync(number, device)?,
        };
        Some(on.planner.plan(planned, Some(name)))
    }
}

impl On<'_> {
    /// As code.
    pub(super) fn of(&self, call: &str) -> String {
        format!("o{}.{call}", self.open)
    }

    /// Whether it becomes read-only with the next sync; see [`Planner::settled`].
    pub(super) fn is_soon(&self) -> bool {
        self.blob.read_only == ReadOnly::Soon
    }

    /// Of what changes a blob.
    pub(super) fn changes(&self, then: Returns) -> Returns {
        match self.blob.read_only {
            ReadOnly::Yes => Returns::Errno(Errno::EPERM),
            _ => then,
        }
    }

    pub(super) fn is_inside(&self, range: Range) -> bool {
        let end = range.first.checked_add(range.units);
        end.is_some_and(|end| end <= self.blob.units())
    }

    fn close(&mut self) -> Planned {
        self.planner.after.close(self.open);
        (Call::Close(self.open), Returns::Ok, self.of("close()"))
    }

    fn drop(&mut self) -> Planned {
        self.planner.after.close(self.open);
        let text = format!("drop(o{})", self.open);
        (Call::Drop(self.open), Returns::Ok, text)
    }

    fn sync(&mut self) -> Planned {
        self.planner.after.sync(self.name);
        (Call::Sync(self.open), Returns::Ok, self.of("sync()"))
    }

    fn set_read_only(&mut self) -> Planned {
        if self.blob.read_only == ReadOnly::No {
            self.planner.after.blob_mut(self.name).read_only = ReadOnly::Soon;
        }
        let text = self.of("set_read_only()");
        (Call::SetReadOnly(self.open), Returns::Ok, text)
    }

    fn resize(&mut self, clusters: u64) -> Option<Planned> {
        if self.is_soon() {
            return None;
        }
        let mut returns = self.changes(Returns::Ok);
        if returns == Returns::Ok {
            returns = Returns::of(&self.planner.after.resize(self.name, clusters));
        }
        let text = self.of(&format!("resize({clusters})"));
        Some((Call::Resize(self.open, clusters), returns, text))
    }

    fn set_external(&mut self, to: External) -> Planned {
        let returns = match (to.refused(), self.blob.external) {
            (Some(refused), _) => refused,
            (None, None) => Returns::Errno(Errno::EINVAL),
            (None, Some(external)) => {
                let id = external.id;
                self.planner.after.blob_mut(self.name).external = Some(to.what_by(id));
                Returns::Ok
            }
        };
        let text = self.of(&format!("set_external_snapshot({to:?})"));
        (Call::SetExternal(self.open, to), returns, text)
    }

    fn set_external_parent(&mut self, to: External) -> Option<Planned> {
        if self.is_soon() {
            return None;
        }
        let invalid = Returns::Errno(Errno::EINVAL);
        let has_it = |blob: &Blob| blob.external.is_some_and(|has| has.id == to.id());
        let returns = if !to.has_id() {
            Returns::Invalid
        } else if let Some(refused) = to.refused() {
            refused
        } else if !to.has_whole_clusters() {
            invalid
        } else if has_it(&self.blob) {
            Returns::Errno(Errno::EEXIST)
        } else if !self.blob.is_thin {
            invalid
        } else {
            let blob = self.planner.after.blob_mut(self.name);
            (blob.parent, blob.external) = (None, Some(to.what()));
            Returns::Ok
        };
        let text = self.of(&format!("set_external_parent({to:?})"));
        Some((Call::SetExternalParent(self.open, to), returns, text))
    }
}
