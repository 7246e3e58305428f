//! What a case is made of, and how random ones are made.

use proptest::collection::vec;
use proptest::prelude::*;
use spdk_tests::model::case::{self, Range, any_of, clusters, range};

pub(crate) type Case = case::Case<Kind, Op>;
pub(crate) type Step = case::Step<Op>;

/// What the store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SPDK's malloc bdev.
    Malloc,
    /// An aio bdev, which can grow.
    File,
}

/// What numbers select is among the volumes, or the open ones, that there are when it is their turn.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create {
        name: Called,
        is_thin: bool,
        size: Size,
    },
    CreateExternal {
        name: Called,
        bdev: External,
    },
    Open {
        lvol: u8,
        by_uuid: bool,
    },
    Destroy {
        lvol: u8,
    },
    /// On an open volume.
    On {
        open: u8,
        call: OnOpen,
    },
    RenameStore {
        name: Called,
    },
    /// The bdev becomes larger, and the store with it.
    Grow,
    /// Somebody asks for the unload, or the destroy, of a store that is in use.
    EndInUse {
        is_destroyed: bool,
    },
    /// Everything is given back, and the store loaded again.
    Reload {
        end: End,
        has_grown: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum OnOpen {
    Close,
    Drop,
    Destroy,
    Rename(Called),
    Resize(Size),
    SetReadOnly,
    Snapshot(Called),
    Clone(Called),
    Inflate,
    Decouple,
    /// Which of the volumes that are open on the same spdk_thread becomes its parent.
    SetParent(u8),
    SetExternalParent(External),
    ShallowCopy(Target),
    Read(Range),
    Io(Io, Range),
}

/// What changes the content of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    Write,
    WriteZeroes,
    Unmap,
}

/// How a store is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Drop,
    Unload,
    /// A new one is made.
    Destroy,
}

/// A name of a volume or a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// One of a few.
    Number(u8),
    /// The longest one.
    Longest,
    Empty,
    TooLong,
    HasNul,
}

/// How large a volume is asked to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    Clusters(u64),
    /// So many bytes more than that.
    More(u64, u64),
    Largest,
}

/// What a volume is asked to depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum External {
    Large,
    Small,
    /// No multiple of a cluster.
    Odd,
    /// Its blocks are larger.
    Coarse,
    Missing,
}

/// What a volume is copied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Large,
    Small,
    /// Somebody has claimed it.
    Claimed,
    Missing,
}

fn called() -> impl Strategy<Value = Called> {
    prop_oneof![
        20 => (0..6u8).prop_map(Called::Number),
        1 => Just(Called::Longest),
        1 => Just(Called::Empty),
        1 => Just(Called::TooLong),
        1 => Just(Called::HasNul),
    ]
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![
        8 => clusters().prop_map(Size::Clusters),
        3 => (0..6u64, prop_oneof![1..3u64, 1..16000u64]).prop_map(|(c, more)| Size::More(c, more)),
        1 => Just(Size::Largest),
    ]
}

fn external() -> impl Strategy<Value = External> {
    prop_oneof![
        6 => Just(External::Large),
        6 => Just(External::Small),
        1 => Just(External::Odd),
        1 => Just(External::Coarse),
        1 => Just(External::Missing),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        4 => Just(Target::Large),
        2 => Just(Target::Small),
        1 => Just(Target::Claimed),
        1 => Just(Target::Missing),
    ]
}

fn create() -> impl Strategy<Value = Op> {
    let create = (called(), any::<bool>(), size()).prop_map(|(name, is_thin, size)| Op::Create {
        name,
        is_thin,
        size,
    });
    let external =
        (called(), external()).prop_map(|(name, bdev)| Op::CreateExternal { name, bdev });
    prop_oneof![3 => create, 1 => external]
}

fn of_open() -> impl Strategy<Value = Op> {
    let call = prop_oneof![
        6 => range().prop_map(|range| OnOpen::Io(Io::Write, range)),
        2 => range().prop_map(|range| OnOpen::Io(Io::WriteZeroes, range)),
        3 => range().prop_map(|range| OnOpen::Io(Io::Unmap, range)),
        3 => range().prop_map(OnOpen::Read),
        4 => size().prop_map(OnOpen::Resize),
        5 => called().prop_map(OnOpen::Snapshot),
        4 => called().prop_map(OnOpen::Clone),
        3 => called().prop_map(OnOpen::Rename),
        3 => Just(OnOpen::Close),
        2 => Just(OnOpen::Drop),
        2 => Just(OnOpen::Destroy),
        2 => Just(OnOpen::Inflate),
        2 => Just(OnOpen::Decouple),
        2 => any_of().prop_map(OnOpen::SetParent),
        2 => external().prop_map(OnOpen::SetExternalParent),
        1 => target().prop_map(OnOpen::ShallowCopy),
        1 => Just(OnOpen::SetReadOnly),
    ];
    (any_of(), call).prop_map(|(open, call)| Op::On { open, call })
}

fn of_volume() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (any_of(), any::<bool>()).prop_map(|(lvol, by_uuid)| Op::Open { lvol, by_uuid }),
        1 => any_of().prop_map(|lvol| Op::Destroy { lvol }),
    ]
}

fn of_store() -> impl Strategy<Value = Op> {
    let end = prop_oneof![4 => Just(End::Drop), 4 => Just(End::Unload), 1 => Just(End::Destroy)];
    prop_oneof![
        2 => called().prop_map(|name| Op::RenameStore { name }),
        1 => Just(Op::Grow),
        1 => any::<bool>().prop_map(|is_destroyed| Op::EndInUse { is_destroyed }),
        3 => (end, any::<bool>()).prop_map(|(end, has_grown)| Op::Reload { end, has_grown }),
    ]
}

/// Most steps need a volume, so that is what a lane begins with.
fn lane(
    op: impl Strategy<Value = Op>,
    threads: u8,
    steps: usize,
) -> impl Strategy<Value = Vec<Step>> {
    case::lane(create().prop_map(|op| vec![op]), op, threads, steps)
}

fn device() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Malloc), Just(Kind::File)]
}

/// One sequence, whose calls come from so many spdk_threads.
pub(crate) fn sequence(threads: u8) -> impl Strategy<Value = Case> {
    let op = prop_oneof![3 => create(), 14 => of_open(), 4 => of_volume(), 1 => of_store()];
    (device(), lane(op, threads, 40)).prop_map(|(device, lane)| Case {
        device,
        lanes: vec![lane],
    })
}

/// Several sequences beside each other, each on volumes of its own.
pub(crate) fn concurrent(threads: u8) -> impl Strategy<Value = Case> {
    let op = prop_oneof![3 => create(), 14 => of_open(), 4 => of_volume()];
    (device(), vec(lane(op, threads, 20), 2..5)).prop_map(|(device, lanes)| Case { device, lanes })
}
