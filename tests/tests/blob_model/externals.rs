//! The devices that blobs may depend on.

use spdk::Errno;
use spdk::blob::ExternalSnapshot;
use spdk_tests::memory::Memory;
use spdk_tests::model::check::Returns;
use spdk_tests::model::content::fill_bdev;
use spdk_tests::model::store::{self, LOST, Model, Name};
use spdk_tests::model::{CLUSTER, UNIT};

use crate::steps::External;

/// The bdev among them, and how many clusters it has.
pub(crate) const BDEV: &str = "External";
pub(crate) const CLUSTERS: u64 = 4;
/// The longest ID, and one that is too long.
const LONGEST: &str = ascii(&[b'l'; 1024]);
const TOO_LONG: &str = ascii(&[b'l'; 1025]);

const fn ascii(bytes: &[u8]) -> &str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("it is not text"),
    }
}

impl External {
    /// What a blob remembers of it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            External::Large => "large",
            External::Small => "small",
            External::Odd => "odd",
            External::Bdev => LONGEST,
            External::Missing => "missing",
            External::Coarse => "coarse",
            External::NoBdev => "no bdev",
            External::NoId => "",
            External::LongId => TOO_LONG,
        }
    }

    /// Whether a blob can remember it.
    pub(crate) fn has_id(self) -> bool {
        !matches!(self, External::NoId | External::LongId)
    }

    /// What it has.
    pub(crate) fn what(self) -> store::External {
        self.what_by(self.id())
    }

    /// The same, for a blob that remembers something else.
    pub(crate) fn what_by(self, id: &'static str) -> store::External {
        let (value, units) = match self {
            External::Large => (901, 8 * CLUSTER),
            External::Small => (902, 2 * CLUSTER),
            External::Odd => (903, 2 * CLUSTER + 5),
            External::Bdev => (904, CLUSTERS * CLUSTER),
            External::Missing => (LOST, u64::MAX),
            External::Coarse | External::NoBdev => (0, 0),
            External::NoId | External::LongId => (905, CLUSTER),
        };
        store::External { id, value, units }
    }

    /// Why no blob of these stores can have it.
    pub(crate) fn refused(self) -> Option<Returns> {
        match self {
            External::NoBdev => Some(Returns::Errno(Errno::ENODEV)),
            External::Coarse => Some(Returns::Errno(Errno::EINVAL)),
            _ => None,
        }
    }

    pub(crate) fn has_whole_clusters(self) -> bool {
        !matches!(self, External::Odd | External::Missing)
    }
}

/// Those that a blob can be made for.
const ALL: [External; 5] = [
    External::Large,
    External::Small,
    External::Odd,
    External::Bdev,
    External::Missing,
];

/// The devices of blobs that nobody has open are found again by their IDs; returns the blobs for which these are others.
pub(crate) fn find_again(model: &mut Model) -> Vec<Name> {
    let is_closed = |name: &Name| {
        let mut open = model.open.values();
        !open.any(|(open, _)| model.depends_on(*open, *name))
    };
    let closed: Vec<_> = model.blobs.keys().copied().filter(is_closed).collect();
    let has_changed = |name: &Name| {
        let external = &mut model.blob_mut(*name).external;
        let found = external.and_then(|has| ALL.into_iter().find(|one| one.id() == has.id));
        let found = found.map(External::what);
        std::mem::replace(external, found) != found
    };
    closed.into_iter().filter(has_changed).collect()
}

/// Those in memory.
#[derive(Clone)]
pub(crate) struct Externals {
    large: Memory,
    small: Memory,
    odd: Memory,
    coarse: Memory,
    one: Memory,
}

impl Externals {
    pub(crate) async fn new() -> spdk::Result<Self> {
        let store::External { value, units, .. } = External::Bdev.what();
        fill_bdev(BDEV, units, value).await?;
        let memory = |external: External| {
            let what = external.what();
            let memory = Memory::new(UNIT as u32, what.units);
            memory.fill(what.value.into());
            memory
        };
        let large = memory(External::Large);
        // So that something can happen while it is read.
        large.delay(2);
        Ok(Externals {
            large,
            small: memory(External::Small),
            odd: memory(External::Odd),
            coarse: Memory::new(4096, 64),
            one: memory(External::NoId),
        })
    }

    /// One of them.
    pub(crate) fn get(&self, external: External) -> ExternalSnapshot {
        let memory = match external {
            External::Large => &self.large,
            External::Small => &self.small,
            External::Odd => &self.odd,
            External::Coarse => &self.coarse,
            External::NoId | External::LongId => &self.one,
            External::Bdev => return ExternalSnapshot::bdev(BDEV),
            External::NoBdev => return ExternalSnapshot::bdev("None"),
            External::Missing => return ExternalSnapshot::missing(),
        };
        ExternalSnapshot::new(memory.clone())
    }

    /// The one of an ID.
    pub(crate) fn find(&self, id: &[u8]) -> ExternalSnapshot {
        let found = ALL.into_iter().find(|one| one.id().as_bytes() == id);
        self.get(found.unwrap_or(External::NoBdev))
    }

    /// How many handles and channels there are of them.
    pub(crate) fn users(&self) -> u64 {
        let all = [&self.large, &self.small, &self.odd, &self.coarse, &self.one];
        all.iter()
            .map(|memory| memory.handles() as u64 + memory.channels())
            .sum()
    }
}
