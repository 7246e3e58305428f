//! What a case is made of, and how random ones are made.

use proptest::collection::vec;
use proptest::prelude::*;
use spdk_tests::model::case::{self, Range, any_of, clusters, range};
use spdk_tests::model::{CLUSTER, MOST};

pub(crate) type Case = case::Case<Kind, Op>;
pub(crate) type Step = case::Step<Op>;

/// What the store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SPDK's malloc bdev.
    Malloc,
    /// A device in Rust, which can grow and fail.
    Memory,
}

/// What numbers select is among the blobs, or the open ones, that there are when it is their turn: so a sequence stays one
/// when a part of it is left out.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(Shape),
    Open {
        blob: u8,
    },
    Close {
        open: u8,
    },
    Drop {
        open: u8,
    },
    Delete {
        blob: u8,
    },
    Resize {
        open: u8,
        clusters: u64,
    },
    Sync {
        open: u8,
    },
    SetReadOnly {
        open: u8,
    },
    Read {
        open: u8,
        range: Range,
        form: Form,
    },
    Write {
        open: u8,
        range: Range,
        form: Form,
    },
    WriteZeroes {
        open: u8,
        range: Range,
        form: Form,
    },
    Unmap {
        open: u8,
        range: Range,
        form: Form,
    },
    Misaligned {
        open: u8,
        range: Range,
    },
    Allocated {
        open: u8,
        unit: u64,
    },
    SetXattr {
        open: u8,
        name: u8,
        size: Size,
    },
    RemoveXattr {
        open: u8,
        name: u8,
    },
    Xattr {
        open: u8,
        name: u8,
    },
    Snapshot {
        blob: u8,
        xattr: Option<Size>,
    },
    Clone {
        blob: u8,
        xattr: Option<Size>,
    },
    Inflate {
        blob: u8,
    },
    Decouple {
        blob: u8,
    },
    SetParent {
        blob: u8,
        snapshot: u8,
    },
    ShallowCopy {
        blob: u8,
        is_small: bool,
    },
    SetSuper {
        blob: Option<u8>,
    },
    SetType {
        to: Type,
    },
    /// The device becomes larger, and the store with it.
    Grow,
    /// The writes of the device fail while an attribute is synced.
    FailSync {
        open: u8,
        name: u8,
    },
    /// Somebody asks for the unload of a store that is in use.
    UnloadInUse,
    /// Everything is given back, in some way, and the store loaded again.
    Reload {
        recover: bool,
        is_dropped: bool,
    },
}

/// What the store is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// What it was made for.
    First,
    Other,
    Empty,
}

/// How a blob is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) is_thin: bool,
    pub(crate) has_table: bool,
    pub(crate) clusters: u64,
    pub(crate) xattr: Option<Size>,
}

/// Which of the methods is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Units,
    Bytes,
    /// With so many buffers.
    VectorUnits(u8),
    VectorBytes(u8),
    /// An `IoQueue`, whose I/Os have so many io units at most and are in flight at once.
    Queue(u8),
    /// The same, but its closures submit most of them.
    Closures(u8),
}

impl Form {
    pub(crate) fn is_queue(self) -> bool {
        matches!(self, Form::Queue(_) | Form::Closures(_))
    }
}

/// How large the value of an attribute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Empty,
    Small,
    Large,
    /// Larger than a page.
    TooLarge,
    /// Larger than SPDK can be told.
    MuchTooLarge,
}

impl Size {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Size::Empty => 0,
            Size::Small => 5,
            Size::Large => 3000,
            Size::TooLarge => 5000,
            Size::MuchTooLarge => 1 << 16,
        }
    }
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![
        8 => Just(Size::Small),
        3 => Just(Size::Large),
        1 => Just(Size::Empty),
        1 => Just(Size::TooLarge),
        1 => Just(Size::MuchTooLarge),
    ]
}

fn xattr() -> impl Strategy<Value = Option<Size>> {
    prop_oneof![3 => Just(None), 1 => size().prop_map(Some)]
}

fn shape() -> impl Strategy<Value = Shape> {
    (any::<bool>(), any::<bool>(), clusters(), xattr()).prop_map(
        |(is_thin, has_table, clusters, xattr)| Shape {
            is_thin,
            has_table,
            clusters,
            xattr,
        },
    )
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        Just(Form::Units),
        Just(Form::Bytes),
        (2..5u8).prop_map(Form::VectorUnits),
        (2..5u8).prop_map(Form::VectorBytes),
        most().prop_map(Form::Queue),
        most().prop_map(Form::Closures),
    ]
}

/// How many io units an I/O of a queue has at most: a cluster's, or a few.
fn most() -> impl Strategy<Value = u8> {
    prop_oneof![Just(CLUSTER as u8), 5..CLUSTER as u8]
}

fn io() -> impl Strategy<Value = Op> {
    let of = || (any_of(), range(), form());
    prop_oneof![
        3 => of().prop_map(|(open, range, form)| Op::Write { open, range, form }),
        2 => of().prop_map(|(open, range, form)| Op::Read { open, range, form }),
        1 => of().prop_map(|(open, range, form)| Op::WriteZeroes { open, range, form }),
        2 => of().prop_map(|(open, range, form)| Op::Unmap { open, range, form }),
    ]
}

/// What is done to an open blob besides.
fn of_open() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any_of(), clusters()).prop_map(|(open, clusters)| Op::Resize { open, clusters }),
        3 => any_of().prop_map(|open| Op::Close { open }),
        2 => any_of().prop_map(|open| Op::Drop { open }),
        2 => any_of().prop_map(|open| Op::Sync { open }),
        1 => any_of().prop_map(|open| Op::SetReadOnly { open }),
        3 => (any_of(), 0..3u8, size())
            .prop_map(|(open, name, size)| Op::SetXattr { open, name, size }),
        1 => (any_of(), 0..3u8).prop_map(|(open, name)| Op::RemoveXattr { open, name }),
        1 => (any_of(), 0..3u8).prop_map(|(open, name)| Op::Xattr { open, name }),
        1 => (any_of(), range()).prop_map(|(open, range)| Op::Misaligned { open, range }),
        1 => (any_of(), 0..MOST * CLUSTER).prop_map(|(open, unit)| Op::Allocated { open, unit }),
    ]
}

/// What is done to a blob by its ID.
fn of_blob() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any_of().prop_map(|blob| Op::Open { blob }),
        3 => any_of().prop_map(|blob| Op::Delete { blob }),
        4 => (any_of(), xattr()).prop_map(|(blob, xattr)| Op::Snapshot { blob, xattr }),
        3 => (any_of(), xattr()).prop_map(|(blob, xattr)| Op::Clone { blob, xattr }),
        2 => any_of().prop_map(|blob| Op::Inflate { blob }),
        2 => any_of().prop_map(|blob| Op::Decouple { blob }),
        2 => (any_of(), any_of())
            .prop_map(|(blob, snapshot)| Op::SetParent { blob, snapshot }),
    ]
}

fn of_store() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => proptest::option::of(any_of()).prop_map(|blob| Op::SetSuper { blob }),
        1 => prop_oneof![Just(Type::First), Just(Type::Other), Just(Type::Empty)]
            .prop_map(|to| Op::SetType { to }),
        1 => (any_of(), any::<bool>())
            .prop_map(|(blob, is_small)| Op::ShallowCopy { blob, is_small }),
        1 => Just(Op::Grow),
        1 => Just(Op::UnloadInUse),
        1 => (any_of(), 0..3u8).prop_map(|(open, name)| Op::FailSync { open, name }),
        2 => (any::<bool>(), any::<bool>())
            .prop_map(|(recover, is_dropped)| Op::Reload { recover, is_dropped }),
    ]
}

/// Most steps need an open blob, so that is what a lane begins with.
fn lane(
    op: impl Strategy<Value = Op>,
    threads: u8,
    steps: usize,
) -> impl Strategy<Value = Vec<Step>> {
    let first = shape().prop_map(|shape| vec![Op::Create(shape), Op::Open { blob: 0 }]);
    case::lane(first, op, threads, steps)
}

fn device() -> impl Strategy<Value = Kind> {
    // The first one is the simplest: each case has a new one, whatever became of those before.
    prop_oneof![Just(Kind::Memory), Just(Kind::Malloc)]
}

/// One sequence, whose calls come from so many spdk_threads.
pub(crate) fn sequence(threads: u8) -> impl Strategy<Value = Case> {
    let op = prop_oneof![
        2 => shape().prop_map(Op::Create),
        8 => io(),
        5 => of_open(),
        6 => of_blob(),
        2 => of_store(),
    ];
    (device(), lane(op, threads, 40)).prop_map(|(device, lane)| Case {
        device,
        lanes: vec![lane],
    })
}

/// Several sequences beside each other, each on blobs of its own.
pub(crate) fn concurrent(threads: u8) -> impl Strategy<Value = Case> {
    let op = prop_oneof![
        2 => shape().prop_map(Op::Create),
        8 => io(),
        5 => of_open(),
        6 => of_blob(),
    ];
    (device(), vec(lane(op, threads, 20), 2..5)).prop_map(|(device, lanes)| Case { device, lanes })
}
