//! What a step calls, what that must return, and what is there afterwards.

use spdk::Errno;
use spdk::blob::{BlobId, Xattrs};
use spdk_tests::model::CLUSTER;
use spdk_tests::model::case::{Range, pick};
use spdk_tests::model::check::Returns;
use spdk_tests::model::store::{Blob, Model, Name, NoSpace, Open, ReadOnly, TARGETS, Unit, ZEROES};

use crate::desk;
use crate::queue::parts;
use crate::steps::{Form, Kind, Op, Shape, Size, Step, Type};

/// How many blobs a sequence has at most: so that there is always room for metadata. SPDK 26.01 calls a sync a success that
/// it has no page for.
const BLOBS: usize = 12;
/// How many clusters the device grows by, and how often.
pub(crate) const GROWTH: u64 = 16;
const GROWTHS: u64 = 3;
/// An ID that no blob gets.
const MISSING: BlobId = BlobId::new(1 << 32 | 0xffff);

/// A call on a blob or a store, as a thread makes it.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Create(Shape, Xattrs),
    Open(BlobId, Open),
    Close(Open),
    Drop(Open),
    Delete(BlobId),
    Resize(Open, u64),
    Sync(Open),
    SetReadOnly(Open),
    /// With what has to be read, if it can be.
    Read(Open, Range, Form, Vec<Unit>),
    Write(Open, Range, Form, Unit),
    WriteZeroes(Open, Range, Form),
    Unmap(Open, Range, Form),
    Misaligned(Open, Range),
    /// With the next unit that has a cluster, and the next that has none.
    Allocated(Open, u64, [Option<u64>; 2]),
    SetXattr(Open, String, Vec<u8>),
    RemoveXattr(Open, String),
    Xattr(Open, String, Option<Vec<u8>>),
    Snapshot(BlobId, Xattrs),
    Clone(BlobId, Xattrs),
    Inflate(BlobId),
    Decouple(BlobId),
    SetParent(BlobId, BlobId),
    /// With how many clusters are copied.
    ShallowCopy(BlobId, usize, u64),
    SetSuper(Option<BlobId>),
    SetType(Type),
    Grow,
    FailSync(Open, String, Vec<u8>),
    UnloadInUse,
}

impl Call {
    /// Whether it changes what a blob has, on its own spdk_thread.
    pub(crate) fn is_io(&self) -> bool {
        matches!(
            self,
            Call::Write(..) | Call::WriteZeroes(..) | Call::Unmap(..)
        )
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) thread: u8,
    pub(crate) call: Call,
    pub(crate) returns: Returns,
    /// When it has returned that.
    pub(crate) after: Model,
    /// When its future was dropped after the first poll: one of these.
    pub(crate) dropped: Vec<Model>,
    /// The blob that it makes.
    pub(crate) new: Option<Name>,
    /// The blob that it is about.
    pub(crate) about: Option<Name>,
    /// As code.
    pub(crate) text: String,
}

fn xattr_name(number: u8) -> String {
    format!("name {number}")
}

/// What a blob is made with, and what the size of that leads to.
fn first_xattrs(size: Option<Size>, generation: Unit) -> (Xattrs, Returns) {
    let Some(size) = size else {
        return (Xattrs::new(), Returns::Ok);
    };
    let returns = match size {
        Size::Small | Size::Large => Returns::Ok,
        Size::TooLarge => Returns::Errno(Errno::ENOMEM),
        Size::Empty | Size::MuchTooLarge => Returns::Invalid,
    };
    // All of this is found before SPDK is called.
    let value = vec![generation as u8; size.bytes()];
    (Xattrs::from([(xattr_name(0), value)]), returns)
}

/// What makes the plan of a step.
struct Planner<'a> {
    before: &'a Model,
    after: Model,
    thread: u8,
    /// What is there when some of its parts are done.
    between: Vec<Model>,
}

/// A call, its result, and how it looks as code.
type Planned = (Call, Returns, String);

/// What a step does, if it does anything.
pub(crate) fn plan(model: &Model, step: &Step, device: Kind) -> Option<Plan> {
    let planner = Planner {
        before: model,
        after: model.clone(),
        thread: step.thread,
        between: Vec::new(),
    };
    match step.op {
        Op::Create(shape) => planner.create(shape),
        Op::Open { blob } => planner.open(blob),
        Op::Delete { blob } => planner.delete(blob),
        Op::Snapshot { blob, xattr } => planner.snapshot(blob, xattr),
        Op::Clone { blob, xattr } => planner.clone_of(blob, xattr),
        Op::Inflate { blob } => planner.inflate(blob),
        Op::Decouple { blob } => planner.decouple(blob),
        Op::SetParent { blob, snapshot } => planner.set_parent(blob, snapshot),
        Op::ShallowCopy { blob, is_small } => planner.shallow_copy(blob, is_small),
        Op::SetSuper { blob } => planner.set_super(blob),
        Op::SetType { to } => Some(planner.set_type(to)),
        Op::Grow => planner.grow(device),
        Op::UnloadInUse => Some(planner.unload_in_use()),
        Op::Reload { .. } => None,
        Op::Close { open }
        | Op::Drop { open }
        | Op::Resize { open, .. }
        | Op::Sync { open }
        | Op::SetReadOnly { open }
        | Op::Read { open, .. }
        | Op::Write { open, .. }
        | Op::WriteZeroes { open, .. }
        | Op::Unmap { open, .. }
        | Op::Misaligned { open, .. }
        | Op::Allocated { open, .. }
        | Op::SetXattr { open, .. }
        | Op::RemoveXattr { open, .. }
        | Op::Xattr { open, .. }
        | Op::FailSync { open, .. } => {
            let (open, (name, thread)) =
                pick(model.open.iter().map(|(open, of)| (*open, *of)), open)?;
            let is_allowed = match step.op {
                Op::FailSync { .. } => device == Kind::Memory,
                _ => true,
            };
            let planner = Planner { thread, ..planner };
            is_allowed.then(|| planner.on_open(&step.op, open, name))?
        }
    }
}

impl Planner<'_> {
    /// The call changes nothing but what was said, whether it is dropped or not.
    fn plan(self, (call, returns, text): Planned, about: Option<Name>) -> Plan {
        let mut dropped = self.between;
        dropped.push(self.after.clone());
        Plan {
            thread: self.thread,
            call,
            returns,
            after: self.after,
            dropped,
            new: None,
            about,
            text,
        }
    }

    /// The blob that a number selects, and its ID: that of none, if there is none.
    fn blob(&self, number: u8) -> Option<(Name, BlobId)> {
        let blobs = self.before.blobs.iter();
        pick(blobs.map(|(name, blob)| (*name, blob.id)), number)
    }

    /// The same; `Err` is a blob that cannot take most calls now.
    ///
    /// SPDK makes one that becomes read-only with the next sync read-only in the middle of other calls too: a write that it
    /// gets a cluster for, or a snapshot.
    fn settled(&self, number: u8) -> Option<Result<(Name, BlobId), BlobId>> {
        match self.blob(number) {
            Some((name, _)) if self.before.blob(name).read_only == ReadOnly::Soon => None,
            Some(found) => Some(Ok(found)),
            None => Some(Err(MISSING)),
        }
    }

    /// A call on a blob that does not exist.
    fn missing(self, call: Call, text: &str) -> Plan {
        let returns = Returns::Errno(Errno::ENOENT);
        self.plan((call, returns, text.to_owned()), None)
    }

    /// A call that makes a blob, which is deleted again if nobody hears of it.
    fn making(
        mut self,
        (call, returns, text): Planned,
        made: impl FnOnce(&mut Model) -> Name,
        deleted: impl FnOnce(&mut Model),
        about: Option<Name>,
    ) -> Plan {
        if returns != Returns::Ok {
            return self.plan((call, returns, text), about);
        }
        let mut dropped = self.before.clone();
        deleted(&mut dropped);
        let new = made(&mut self.after);
        let mut plan = self.plan((call, returns, format!("let b{new} = {text}")), about);
        plan.new = Some(new);
        plan.dropped = vec![dropped];
        plan
    }

    fn has_room(&self) -> bool {
        self.before.blobs.len() < BLOBS
    }

    fn create(mut self, shape: Shape) -> Option<Plan> {
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
        } = shape;
        let text = format!(
            "store.create_blob(clusters: {clusters}, thin: {is_thin}, extent table: {has_table}, xattr: {xattr:?})"
        );
        let mut after = self.after.clone();
        let made = after.create(is_thin, has_table, clusters, xattrs.clone());
        if returns == Returns::Ok && made.is_err() {
            returns = Returns::Errno(Errno::ENOSPC);
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

    fn open(mut self, number: u8) -> Option<Plan> {
        let Some((name, id)) = self.blob(number) else {
            let text = "store.open_blob(missing)";
            return Some(self.missing(Call::Open(MISSING, 0), text));
        };
        let dropped = self.before.clone();
        let open = self.after.open(name, self.thread);
        let text = format!("let o{open} = store.open_blob(b{name})");
        let mut plan = self.plan((Call::Open(id, open), Returns::Ok, text), Some(name));
        plan.dropped = vec![dropped];
        Some(plan)
    }

    fn delete(mut self, number: u8) -> Option<Plan> {
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

    fn snapshot(mut self, number: u8, xattr: Option<Size>) -> Option<Plan> {
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

    fn clone_of(mut self, number: u8, xattr: Option<Size>) -> Option<Plan> {
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

    fn inflate(mut self, number: u8) -> Option<Plan> {
        let (name, id) = match self.settled(number)? {
            Ok(found) => found,
            Err(missing) => {
                return Some(self.missing(Call::Inflate(missing), "store.inflate_blob(missing)"));
            }
        };
        let returns = match self.after.inflate(name) {
            Ok(()) => Returns::Ok,
            Err(_) => Returns::Errno(Errno::ENOSPC),
        };
        let text = format!("store.inflate_blob(b{name})");
        Some(self.copying((Call::Inflate(id), returns, text), name))
    }

    fn decouple(mut self, number: u8) -> Option<Plan> {
        let (name, id) = match self.settled(number)? {
            Ok(found) => found,
            Err(missing) => {
                let call = Call::Decouple(missing);
                return Some(self.missing(call, "store.decouple_parent(missing)"));
            }
        };
        let blob = self.before.blob(name);
        let parent = blob
            .parent
            .filter(|parent| blob.size() <= self.before.blob(*parent).size());
        let returns = match parent {
            None => Returns::Errno(Errno::EINVAL),
            Some(parent) => match self.after.decouple(name, parent) {
                Ok(()) => Returns::Ok,
                Err(_) => Returns::Errno(Errno::ENOSPC),
            },
        };
        let text = format!("store.decouple_parent(b{name})");
        Some(self.copying((Call::Decouple(id), returns, text), name))
    }

    fn set_parent(mut self, blob: u8, snapshot: u8) -> Option<Plan> {
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
                self.after.blob_mut(name).parent = parent;
                Returns::Ok
            }
        };
        let parent = parent.map_or("missing".to_owned(), |parent| format!("b{parent}"));
        let text = format!("store.set_parent(b{name}, {parent})");
        Some(self.plan((Call::SetParent(id, parent_id), returns, text), Some(name)))
    }

    fn shallow_copy(mut self, number: u8, is_small: bool) -> Option<Plan> {
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

    fn set_super(mut self, number: Option<u8>) -> Option<Plan> {
        let blob = match number {
            Some(number) => Some(self.blob(number)?),
            None => None,
        };
        let id = blob.map(|(_, id)| id);
        self.after.super_blob = id;
        let text = match blob {
            Some((name, _)) => format!("store.set_super_blob(b{name})"),
            None => "store.set_super_blob(None)".to_owned(),
        };
        Some(self.plan((Call::SetSuper(id), Returns::Ok, text), None))
    }

    fn set_type(mut self, to: Type) -> Plan {
        let bstype = desk::bstype(to);
        let returns = if to == Type::Empty || bstype == self.before.bstype {
            self.after.bstype = bstype;
            Returns::Ok
        } else {
            Returns::Errno(Errno::ENOTSUP)
        };
        let text = format!("store.set_bstype({to:?})");
        self.plan((Call::SetType(to), returns, text), None)
    }

    fn grow(mut self, device: Kind) -> Option<Plan> {
        if device != Kind::Memory || self.before.grown == GROWTHS {
            return None;
        }
        self.after.grown += 1;
        self.after.total = self.after.total.map(|total| total + GROWTH);
        Some(self.plan((Call::Grow, Returns::Ok, "store.grow()".to_owned()), None))
    }

    fn unload_in_use(self) -> Plan {
        let returns = Returns::Errno(Errno::EBUSY);
        self.plan(
            (Call::UnloadInUse, returns, "store.unload()".to_owned()),
            None,
        )
    }

    /// What is there when this was done to each of these; of those that fail, the others are done all the same.
    fn each_part(
        &mut self,
        parts: Vec<Range>,
        mut change: impl FnMut(&mut Model, Range) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        let mut result = Ok(());
        let several = parts.len() > 1;
        for part in parts {
            if several {
                self.between.push(self.after.clone());
            }
            result = result.and(change(&mut self.after, part));
        }
        result
    }

    /// A call on an open blob.
    fn on_open(mut self, op: &Op, open: Open, name: Name) -> Option<Plan> {
        let blob = self.before.blob(name).clone();
        let (size, read_only) = (blob.units(), blob.read_only);
        let is_inside = |range: Range| {
            let end = range.first.checked_add(range.units);
            end.is_some_and(|end| end <= size)
        };
        // What changes a blob.
        let changes = |then: Returns| match read_only {
            ReadOnly::Yes => Returns::Errno(Errno::EPERM),
            _ => then,
        };
        let writes = |range: Range| {
            changes(match is_inside(range) {
                true => Returns::Ok,
                false => Returns::Errno(Errno::EINVAL),
            })
        };
        let is_soon = read_only == ReadOnly::Soon;
        let full = |written: Result<(), _>| match written {
            Ok(()) => Returns::Ok,
            Err(_) => Returns::Errno(Errno::ENOSPC),
        };
        let of = |call: &str| format!("o{open}.{call}");
        let place = |range: Range, form: Form| {
            format!("io units {}+{}, {form:?}", range.first, range.units)
        };
        let planned = match *op {
            Op::Close { .. } => {
                self.after.close(open);
                (Call::Close(open), Returns::Ok, of("close()"))
            }
            Op::Drop { .. } => {
                self.after.close(open);
                (Call::Drop(open), Returns::Ok, format!("drop(o{open})"))
            }
            Op::Sync { .. } => {
                self.after.sync(name);
                (Call::Sync(open), Returns::Ok, of("sync()"))
            }
            Op::SetReadOnly { .. } => {
                if read_only == ReadOnly::No {
                    self.after.blob_mut(name).read_only = ReadOnly::Soon;
                }
                (Call::SetReadOnly(open), Returns::Ok, of("set_read_only()"))
            }
            Op::Resize { clusters, .. } => {
                if is_soon {
                    return None;
                }
                let mut returns = changes(Returns::Ok);
                if returns == Returns::Ok {
                    returns = full(self.after.resize(name, clusters));
                }
                let text = of(&format!("resize({clusters})"));
                (Call::Resize(open, clusters), returns, text)
            }
            Op::Read { range, form, .. } => {
                let (returns, content) = match is_inside(range) {
                    true => (Returns::Ok, self.before.content(name, range)),
                    false => (Returns::Errno(Errno::EINVAL), Vec::new()),
                };
                let text = of(&format!("read({})", place(range, form)));
                (Call::Read(open, range, form, content), returns, text)
            }
            Op::Write { range, form, .. } => {
                if is_soon {
                    return None;
                }
                let value = self.after.generation();
                let mut returns = writes(range);
                if returns == Returns::Ok {
                    returns = full(self.each_part(parts(range, form, size), |model, part| {
                        model.write(name, part, value)
                    }));
                }
                let text = of(&format!("write({}, {value})", place(range, form)));
                (Call::Write(open, range, form, value), returns, text)
            }
            Op::WriteZeroes { range, form, .. } => {
                if is_soon {
                    return None;
                }
                let mut returns = writes(range);
                if returns == Returns::Ok {
                    returns = full(self.each_part(parts(range, form, size), |model, part| {
                        model.write(name, part, ZEROES)
                    }));
                }
                let text = of(&format!("write_zeroes({})", place(range, form)));
                (Call::WriteZeroes(open, range, form), returns, text)
            }
            Op::Unmap { range, form, .. } => {
                if is_soon {
                    return None;
                }
                let mut returns = writes(range);
                if returns == Returns::Ok {
                    returns = full(self.each_part(parts(range, form, size), |model, part| {
                        model.unmap(name, part);
                        Ok(())
                    }));
                }
                let text = of(&format!("unmap({})", place(range, form)));
                (Call::Unmap(open, range, form), returns, text)
            }
            Op::Misaligned { range, .. } => {
                let call = Call::Misaligned(open, range);
                (call, Returns::Invalid, of("write(at a part of an io unit)"))
            }
            Op::Allocated { unit, .. } => {
                let next = [true, false].map(|has| next_unit(&blob, unit, has));
                let text = of(&format!("next_(un)allocated_io_unit({unit})"));
                (Call::Allocated(open, unit, next), Returns::Ok, text)
            }
            Op::SetXattr {
                name: number, size, ..
            } => {
                let value = vec![self.after.generation() as u8; size.bytes()];
                let returns = match size {
                    Size::MuchTooLarge => Returns::Invalid,
                    Size::TooLarge => changes(Returns::Errno(Errno::ENOMEM)),
                    _ => changes(Returns::Ok),
                };
                let key = xattr_name(number);
                if returns == Returns::Ok {
                    let xattrs = &mut self.after.blob_mut(name).xattrs;
                    xattrs.insert(key.clone(), value.clone());
                }
                let text = of(&format!("set_xattr({key:?}, {size:?})"));
                (Call::SetXattr(open, key, value), returns, text)
            }
            Op::RemoveXattr { name: number, .. } => {
                let key = xattr_name(number);
                let mut returns = changes(Returns::Ok);
                if returns == Returns::Ok && self.after.blob_mut(name).xattrs.remove(&key).is_none()
                {
                    returns = Returns::Errno(Errno::ENOENT);
                }
                let text = of(&format!("remove_xattr({key:?})"));
                (Call::RemoveXattr(open, key), returns, text)
            }
            Op::Xattr { name: number, .. } => {
                let key = xattr_name(number);
                let value = blob.xattrs.get(&key).cloned();
                let text = of(&format!("xattr({key:?})"));
                (Call::Xattr(open, key, value), Returns::Ok, text)
            }
            Op::FailSync { name: number, .. } => {
                if is_soon {
                    return None;
                }
                let key = xattr_name(number);
                let value = vec![self.after.generation() as u8; Size::Small.bytes()];
                let returns = changes(Returns::Errno(Errno::EIO));
                if returns == Returns::Errno(Errno::EIO) {
                    let xattrs = &mut self.after.blob_mut(name).xattrs;
                    xattrs.insert(key.clone(), value.clone());
                }
                let text = of(&format!(
                    "set_xattr({key:?}, Small), .sync() on a device that fails"
                ));
                (Call::FailSync(open, key, value), returns, text)
            }
            _ => unreachable!("it is not about an open blob"),
        };
        Some(self.plan(planned, Some(name)))
    }
}

/// The first unit from this one on that has a cluster of its own, or has none.
fn next_unit(blob: &Blob, unit: u64, has: bool) -> Option<u64> {
    (unit..blob.units()).find(|unit| {
        let cluster = (unit / CLUSTER) as usize;
        blob.clusters[cluster].is_some() == has
    })
}
