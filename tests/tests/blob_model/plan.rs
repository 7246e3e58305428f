//! What a step calls, what that must return, and what is there afterwards.

mod attributes;
mod blobs;
mod copies;
mod io;
mod open;
mod store;

use spdk::Errno;
use spdk::blob::{BlobId, Xattrs};
use spdk_tests::model::case::{Range, pick};
use spdk_tests::model::check::Returns;
use spdk_tests::model::store::{Failed, Model, Name, Open, ReadOnly, Unit};

use crate::externals;
use crate::steps::{Clear, External, Form, Kind, Op, Shape, Size, Step, Type};

/// How many blobs a sequence has at most: so that there is always room for metadata. SPDK 26.01 calls a sync a success that
/// it has no page for.
const BLOBS: usize = 12;
/// An ID that no blob gets.
const MISSING: BlobId = BlobId::new(1 << 32 | 0xffff);

/// A call on a blob or a store, as a thread makes it.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Create(Shape, Xattrs),
    Open(BlobId, Open, Clear),
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
    SetExternal(Open, External),
    SetExternalParent(Open, External),
    Snapshot(BlobId, Xattrs),
    Clone(BlobId, Xattrs),
    Inflate(BlobId),
    Decouple(BlobId),
    SetParent(BlobId, BlobId),
    /// With how many clusters are copied.
    ShallowCopy(BlobId, usize, u64),
    SetSuper(Option<BlobId>),
    SetType(Type),
    /// When the device has so many clusters more.
    Grow(u64),
    FailSync(Open, String, Vec<u8>),
    EndInUse {
        is_destroyed: bool,
    },
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
    /// Those whose external snapshot is found again when they are opened next, and is another one then.
    found_again: Vec<Name>,
    /// As code.
    pub(crate) text: String,
}

impl Plan {
    /// Whether it is known what is there next.
    ///
    /// SPDK 26.01 reports the end of a close before it has closed the parent (`blob_free`): what is opened before that has the
    /// device of the one that is closed. So it is for a blob that is dropped.
    fn is_certain(&self) -> bool {
        match self.call {
            Call::Close(_) => self
                .found_again
                .iter()
                .all(|name| self.about == Some(*name)),
            _ => self.found_again.is_empty(),
        }
    }
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

/// How many clusters the device of a store grows by if it does now.
pub(crate) fn next_growth(model: &Model, device: Kind) -> u64 {
    match device {
        Kind::Memory => model.next_growth(),
        Kind::Malloc => 0,
    }
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
    let plan = match step.op {
        Op::Create(shape) => planner.create(shape),
        Op::Open { blob, clear } => planner.open(blob, clear),
        Op::Delete { blob } => planner.delete(blob),
        Op::Snapshot { blob, xattr } => planner.snapshot(blob, xattr),
        Op::Clone { blob, xattr } => planner.clone_of(blob, xattr),
        Op::Inflate { blob } => planner.inflate(blob),
        Op::Decouple { blob } => planner.decouple(blob),
        Op::SetParent { blob, snapshot } => planner.set_parent(blob, snapshot),
        Op::ShallowCopy { blob, is_small } => planner.shallow_copy(blob, is_small),
        Op::SetSuper { blob } => planner.set_super(blob),
        Op::SetType { to } => Some(planner.set_type(to)),
        Op::Grow => Some(planner.grow(device)),
        Op::EndInUse { is_destroyed } => Some(planner.end_in_use(is_destroyed)),
        Op::Reload(_) => None,
        Op::On { open, call } => {
            let all = model.open.iter().map(|(open, of)| (*open, *of));
            let (open, (name, thread)) = pick(all, open)?;
            let planner = Planner { thread, ..planner };
            planner.on_open(open, name, call, device)
        }
    };
    plan.filter(Plan::is_certain)
}

impl Planner<'_> {
    /// The call changes nothing but what was said, whether it is dropped or not.
    fn plan(mut self, (call, returns, text): Planned, about: Option<Name>) -> Plan {
        let found_again = externals::find_again(&mut self.after);
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
            found_again,
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

    /// What is there when this was done to each of these; of those that fail, the others are done all the same.
    fn each_part(
        &mut self,
        parts: Vec<Range>,
        mut change: impl FnMut(&mut Model, Range) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
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
}
