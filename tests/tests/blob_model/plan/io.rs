//! What is read and written of an open blob.

use spdk::Errno;
use spdk_tests::model::CLUSTER;
use spdk_tests::model::case::Range;
use spdk_tests::model::check::Returns;
use spdk_tests::model::store::{Blob, Failed, LOST, Model, ZEROES};

use super::open::On;
use super::{Call, Planned};
use crate::queue::parts;
use crate::steps::Form;

fn place(range: Range, form: Form) -> String {
    format!("io units {}+{}, {form:?}", range.first, range.units)
}

impl On<'_> {
    pub(super) fn read(&mut self, range: Range, form: Form) -> Planned {
        let (returns, content) = match self.is_inside(range) {
            true => {
                let content = self.planner.before.content(self.name, range);
                let returns = match content.contains(&LOST) {
                    true => Returns::Errno(Errno::EIO),
                    false => Returns::Ok,
                };
                (returns, content)
            }
            false => (Returns::Errno(Errno::EINVAL), Vec::new()),
        };
        let text = self.of(&format!("read({})", place(range, form)));
        (Call::Read(self.open, range, form, content), returns, text)
    }

    /// Changes a range, in the parts that it has in this form.
    fn change(
        &mut self,
        range: Range,
        form: Form,
        change: impl FnMut(&mut Model, Range) -> Result<(), Failed>,
    ) -> Option<Returns> {
        if self.is_soon() {
            return None;
        }
        let returns = match self.is_inside(range) {
            true => self.changes(Returns::Ok),
            false => self.changes(Returns::Errno(Errno::EINVAL)),
        };
        if returns != Returns::Ok {
            return Some(returns);
        }
        let parts = parts(range, form, self.blob.units());
        match self.planner.each_part(parts, change) {
            // SPDK 26.01 loses the cluster that it would have copied to (`blob_write_copy`), until a recovery.
            Err(Failed::Lost) => None,
            changed => Some(Returns::of(&changed)),
        }
    }

    pub(super) fn write(&mut self, range: Range, form: Form) -> Option<Planned> {
        let (name, value) = (self.name, self.planner.after.generation());
        if form == Form::Domain {
            // Dropped before the domain has given it, it is not written.
            self.planner.between.push(self.planner.before.clone());
        }
        let returns = self.change(range, form, |model, part| model.write(name, part, value))?;
        let text = self.of(&format!("write({}, {value})", place(range, form)));
        Some((Call::Write(self.open, range, form, value), returns, text))
    }

    pub(super) fn write_zeroes(&mut self, range: Range, form: Form) -> Option<Planned> {
        let name = self.name;
        let returns = self.change(range, form, |model, part| model.write(name, part, ZEROES))?;
        let text = self.of(&format!("write_zeroes({})", place(range, form)));
        Some((Call::WriteZeroes(self.open, range, form), returns, text))
    }

    pub(super) fn unmap(&mut self, range: Range, form: Form) -> Option<Planned> {
        let name = self.name;
        let unmap = |model: &mut Model, part| {
            model.unmap(name, part);
            Ok(())
        };
        let returns = self.change(range, form, unmap)?;
        let text = self.of(&format!("unmap({})", place(range, form)));
        Some((Call::Unmap(self.open, range, form), returns, text))
    }

    pub(super) fn misaligned(&mut self, range: Range) -> Planned {
        let text = self.of("write(at a part of an io unit)");
        (Call::Misaligned(self.open, range), Returns::Invalid, text)
    }

    pub(super) fn allocated(&mut self, unit: u64) -> Planned {
        let next = [true, false].map(|has| next_unit(&self.blob, unit, has));
        let text = self.of(&format!("next_(un)allocated_io_unit({unit})"));
        (Call::Allocated(self.open, unit, next), Returns::Ok, text)
    }
}

/// The first unit from this one on that has a cluster of its own, or has none.
fn next_unit(blob: &Blob, unit: u64, has: bool) -> Option<u64> {
    (unit..blob.units()).find(|unit| {
        let cluster = (unit / CLUSTER) as usize;
        blob.clusters[cluster].is_some() == has
    })
}
