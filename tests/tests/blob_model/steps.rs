//! What a case is made of, and how random ones are made.

use proptest::collection::vec;
use proptest::prelude::*;

/// The io units of a cluster.
pub(crate) const CLUSTER: u64 = 32;
/// The most clusters that a blob is asked to have. A store has about four times as many.
const MOST: u64 = 12;

/// A sequence of calls, or several that run beside each other on one store.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) device: Kind,
    pub(crate) lanes: Vec<Vec<Step>>,
}

/// What the store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SPDK's malloc bdev.
    Malloc,
    /// A device in Rust, which can grow and fail.
    Memory,
}

/// A call, or a few that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Which spdk_thread makes it, of those that the test has. A call on an open blob is made where that was opened.
    pub(crate) thread: u8,
    pub(crate) op: Op,
    /// After how many polls its future is dropped, if it is not ready by then.
    pub(crate) dropped: Option<u8>,
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

/// So many io units from the first one on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) units: u64,
}

/// Which of the methods is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Units,
    Bytes,
    /// With so many buffers.
    VectorUnits(u8),
    VectorBytes(u8),
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

fn clusters() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..=6u64, 2 => 0..=MOST]
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

fn range() -> impl Strategy<Value = Range> {
    let cluster = 0..MOST / 2;
    prop_oneof![
        // Anywhere, which may be beyond the end.
        4 => (0..MOST / 2 * CLUSTER, 1..3 * CLUSTER),
        // Whole clusters.
        3 => (cluster.clone(), 1..4u64).prop_map(|(first, count)| (first * CLUSTER, count * CLUSTER)),
        // Around the border of one.
        3 => (cluster, 0..4u64, 1..8u64).prop_map(|(cluster, before, units)| {
            ((cluster * CLUSTER).saturating_sub(before), units)
        }),
        1 => Just((u64::MAX - 1, 1)),
    ]
    .prop_map(|(first, units)| Range { first, units })
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        Just(Form::Units),
        Just(Form::Bytes),
        (2..5u8).prop_map(Form::VectorUnits),
        (2..5u8).prop_map(Form::VectorBytes),
    ]
}

/// Any of those that there are.
fn any_of() -> impl Strategy<Value = u8> {
    any::<u8>()
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

fn step(op: impl Strategy<Value = Op>, threads: u8) -> impl Strategy<Value = Step> {
    let dropped = prop_oneof![9 => Just(None), 1 => (0..12u8).prop_map(Some)];
    (0..threads, op, dropped).prop_map(|(thread, op, dropped)| Step {
        thread,
        op,
        dropped,
    })
}

/// Most steps need an open blob, so that is what a lane begins with.
fn lane(
    op: impl Strategy<Value = Op>,
    threads: u8,
    steps: usize,
) -> impl Strategy<Value = Vec<Step>> {
    let first = (shape(), 0..threads).prop_map(|(shape, thread)| {
        let step = |op| Step {
            thread,
            op,
            dropped: None,
        };
        [step(Op::Create(shape)), step(Op::Open { blob: 0 })]
    });
    (first, vec(step(op, threads), 1..steps))
        .prop_map(|(first, rest)| first.into_iter().chain(rest).collect())
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
