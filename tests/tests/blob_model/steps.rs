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
        clear: Clear,
    },
    Delete {
        blob: u8,
    },
    /// On an open blob.
    On {
        open: u8,
        call: OnOpen,
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
    /// Somebody asks for the unload, or the destroy, of a store that is in use.
    EndInUse {
        is_destroyed: bool,
    },
    /// Everything is given back, and the store loaded again.
    Reload(Reload),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum OnOpen {
    Close,
    Drop,
    Resize(u64),
    Sync,
    SetReadOnly,
    Read(Range, Form),
    Write(Range, Form),
    WriteZeroes(Range, Form),
    Unmap(Range, Form),
    Misaligned(Range),
    Allocated(u64),
    SetXattr(u8, Size),
    RemoveXattr(u8),
    Xattr(u8),
    /// The writes of the device fail while an attribute is synced.
    FailSync(u8),
    SetExternal(External),
    SetExternalParent(External),
}

/// How a store is given back, and loaded again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reload {
    pub(crate) end: End,
    pub(crate) recover: bool,
    /// The device becomes larger, and the store with it.
    pub(crate) has_grown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Drop,
    Unload,
    /// A new one is made.
    Destroy,
}

/// What a blob is asked to depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum External {
    /// Devices in Rust.
    Large,
    Small,
    /// No multiple of a cluster.
    Odd,
    Bdev,
    /// A device that is not there.
    Missing,
    /// Its blocks are larger than those of the stores.
    Coarse,
    /// A bdev that is not there.
    NoBdev,
    NoId,
    LongId,
}

/// What becomes of clusters that are given up; they are zeroes in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clear {
    Default,
    Unmap,
    WriteZeroes,
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
    pub(crate) external: Option<External>,
    pub(crate) clear: Clear,
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
    /// Memory of a domain, for what is read or written.
    Domain,
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

fn clear() -> impl Strategy<Value = Clear> {
    prop_oneof![
        Just(Clear::Default),
        Just(Clear::Unmap),
        Just(Clear::WriteZeroes)
    ]
}

/// What a blob can be made for, or cannot.
fn first_external() -> impl Strategy<Value = External> {
    prop_oneof![
        6 => Just(External::Large),
        6 => Just(External::Small),
        4 => Just(External::Odd),
        6 => Just(External::Bdev),
        3 => Just(External::Missing),
        1 => Just(External::NoId),
        1 => Just(External::LongId),
    ]
}

fn external() -> impl Strategy<Value = External> {
    prop_oneof![
        8 => first_external(),
        1 => Just(External::Coarse),
        1 => Just(External::NoBdev),
    ]
}

/// Boxed, as the others below: what a strategy of them all keeps on the stack is too large else.
fn shape() -> BoxedStrategy<Shape> {
    let external = prop_oneof![2 => Just(None), 1 => first_external().prop_map(Some)];
    let of = (
        any::<bool>(),
        any::<bool>(),
        clusters(),
        xattr(),
        external,
        clear(),
    );
    of.prop_map(
        |(is_thin, has_table, clusters, xattr, external, clear)| Shape {
            is_thin,
            has_table,
            clusters,
            xattr,
            external,
            clear,
        },
    )
    .boxed()
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        Just(Form::Units),
        Just(Form::Bytes),
        (2..5u8).prop_map(Form::VectorUnits),
        (2..5u8).prop_map(Form::VectorBytes),
        most().prop_map(Form::Queue),
        most().prop_map(Form::Closures),
        Just(Form::Domain),
    ]
}

/// How many io units an I/O of a queue has at most: a cluster's, or a few.
fn most() -> impl Strategy<Value = u8> {
    prop_oneof![Just(CLUSTER as u8), 5..CLUSTER as u8]
}

fn io() -> BoxedStrategy<Op> {
    let of = || (range(), form());
    let call = prop_oneof![
        3 => of().prop_map(|(range, form)| OnOpen::Write(range, form)),
        2 => of().prop_map(|(range, form)| OnOpen::Read(range, form)),
        1 => of().prop_map(|(range, form)| OnOpen::WriteZeroes(range, form)),
        2 => of().prop_map(|(range, form)| OnOpen::Unmap(range, form)),
    ];
    (any_of(), call)
        .prop_map(|(open, call)| Op::On { open, call })
        .boxed()
}

/// What is done to an open blob besides.
fn of_open() -> BoxedStrategy<Op> {
    let call = prop_oneof![
        4 => clusters().prop_map(OnOpen::Resize),
        3 => Just(OnOpen::Close),
        2 => Just(OnOpen::Drop),
        2 => Just(OnOpen::Sync),
        1 => Just(OnOpen::SetReadOnly),
        3 => (0..3u8, size()).prop_map(|(name, size)| OnOpen::SetXattr(name, size)),
        1 => (0..3u8).prop_map(OnOpen::RemoveXattr),
        1 => (0..3u8).prop_map(OnOpen::Xattr),
        1 => range().prop_map(OnOpen::Misaligned),
        1 => (0..MOST * CLUSTER).prop_map(OnOpen::Allocated),
        3 => external().prop_map(OnOpen::SetExternal),
        2 => external().prop_map(OnOpen::SetExternalParent),
    ];
    (any_of(), call)
        .prop_map(|(open, call)| Op::On { open, call })
        .boxed()
}

/// What is done to a blob by its ID.
fn of_blob() -> BoxedStrategy<Op> {
    prop_oneof![
        8 => (any_of(), clear()).prop_map(|(blob, clear)| Op::Open { blob, clear }),
        3 => any_of().prop_map(|blob| Op::Delete { blob }),
        4 => (any_of(), xattr()).prop_map(|(blob, xattr)| Op::Snapshot { blob, xattr }),
        3 => (any_of(), xattr()).prop_map(|(blob, xattr)| Op::Clone { blob, xattr }),
        2 => any_of().prop_map(|blob| Op::Inflate { blob }),
        2 => any_of().prop_map(|blob| Op::Decouple { blob }),
        2 => (any_of(), any_of())
            .prop_map(|(blob, snapshot)| Op::SetParent { blob, snapshot }),
    ]
    .boxed()
}

fn reload() -> impl Strategy<Value = Op> {
    let end = prop_oneof![4 => Just(End::Drop), 4 => Just(End::Unload), 1 => Just(End::Destroy)];
    (end, any::<bool>(), any::<bool>()).prop_map(|(end, recover, has_grown)| {
        Op::Reload(Reload {
            end,
            recover,
            has_grown,
        })
    })
}

fn of_store() -> BoxedStrategy<Op> {
    let fail_sync = (any_of(), 0..3u8).prop_map(|(open, name)| Op::On {
        open,
        call: OnOpen::FailSync(name),
    });
    prop_oneof![
        1 => proptest::option::of(any_of()).prop_map(|blob| Op::SetSuper { blob }),
        1 => prop_oneof![Just(Type::First), Just(Type::Other), Just(Type::Empty)]
            .prop_map(|to| Op::SetType { to }),
        1 => (any_of(), any::<bool>())
            .prop_map(|(blob, is_small)| Op::ShallowCopy { blob, is_small }),
        1 => Just(Op::Grow),
        1 => any::<bool>().prop_map(|is_destroyed| Op::EndInUse { is_destroyed }),
        1 => fail_sync,
        3 => reload(),
    ]
    .boxed()
}

/// Most steps need an open blob, so that is what a lane begins with.
fn lane(
    op: impl Strategy<Value = Op>,
    threads: u8,
    steps: usize,
) -> impl Strategy<Value = Vec<Step>> {
    let open = Op::Open {
        blob: 0,
        clear: Clear::Default,
    };
    let first = shape().prop_map(move |shape| vec![Op::Create(shape), open.clone()]);
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
