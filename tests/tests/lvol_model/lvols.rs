//! What a store and its volumes are, and what has to do with bdevs besides.

use std::collections::BTreeMap;

use spdk::Errno;
use spdk_tests::model::check::Returns;
use spdk_tests::model::store::{self, Model, Name};
use spdk_tests::model::{CLUSTER, UNIT};

use crate::desk::{New, Uuid};
use crate::steps::{Called, End, External, Kind, Size};

/// The size of a cluster in bytes.
pub(crate) const BYTES: u64 = CLUSTER * UNIT as u64;
/// How many volumes a sequence has at most: so that there is always room for metadata.
pub(crate) const VOLUMES: usize = 12;
/// The bdevs that volumes may depend on, and what they have.
pub(crate) const LARGE: (&str, store::External) = ("Large", of_value("large", 901, 8));
pub(crate) const SMALL: (&str, store::External) = ("Small", of_value("small", 902, 2));
/// The bdevs that volumes are copied to.
pub(crate) const COPIES: [&str; 2] = ["LargeCopy", "SmallCopy"];
/// The store that is loaded besides.
pub(crate) const NEIGHBOR: Called = Called::Number(0);

const fn of_value(id: &'static str, value: u32, clusters: u64) -> store::External {
    store::External {
        id,
        value,
        units: clusters * CLUSTER,
    }
}

/// A store with its volumes, or a part of one that a sequence has to itself.
#[derive(Clone, Debug)]
pub(crate) struct Lvols {
    /// Each volume is a blob, in an extent table.
    pub(crate) store: Model,
    /// Also of those that were destroyed.
    pub(crate) volumes: BTreeMap<Name, Volume>,
    pub(crate) name: String,
    pub(crate) lane: u32,
}

/// What a volume has besides its blob.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) uuid: Option<Uuid>,
}

impl Lvols {
    /// Of the sequence of this number: those that run beside each other have volumes with other names.
    pub(crate) fn new(name: &str, total: Option<u64>, lane: u32) -> Self {
        Lvols {
            store: Model::new(total, lane),
            volumes: BTreeMap::new(),
            name: name.to_owned(),
            lane,
        }
    }

    pub(crate) fn volume(&self, name: Name) -> &Volume {
        match self.volumes.get(&name) {
            Some(volume) => volume,
            None => panic!("the model has no v{name}"),
        }
    }

    /// Whether no other sequence uses the store.
    pub(crate) fn is_alone(&self) -> bool {
        self.store.total.is_some()
    }

    /// A volume was made.
    pub(crate) fn made(&mut self, name: Name, New { id, uuid }: New) {
        self.store.blob_mut(name).id = id;
        if let Some(volume) = self.volumes.get_mut(&name) {
            volume.uuid = uuid;
        }
    }

    pub(crate) fn is_taken(&self, name: &str) -> bool {
        let mut volumes = self.store.blobs.keys();
        volumes.any(|volume| self.volume(*volume).name == name)
    }

    /// The store was given back, in this way, and loaded with all of a bdev that has become so much larger.
    pub(crate) fn reload(&mut self, end: End, growth: u64) {
        self.store.reload();
        if end == End::Destroy {
            self.store.blobs.clear();
        }
        self.store.grow(growth);
    }

    /// How much the bdev becomes larger if somebody has that.
    pub(crate) fn next_growth(&self, device: Kind) -> Option<u64> {
        let growth = self.store.next_growth();
        (device == Kind::File && growth > 0).then_some(growth)
    }
}

/// A name, and whether it is one.
pub(crate) fn named(prefix: &str, called: Called) -> (String, bool) {
    match called {
        Called::Number(number) => (format!("{prefix}{number}"), true),
        Called::Longest => (format!("{prefix:l<63}"), true),
        Called::TooLong => (format!("{prefix:l<64}"), false),
        Called::Empty => (String::new(), false),
        Called::HasNul => ("no\0name".to_owned(), false),
    }
}

impl Size {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Size::Clusters(clusters) => clusters * BYTES,
            Size::More(clusters, more) => clusters * BYTES + more,
            Size::Largest => u64::MAX,
        }
    }
}

impl External {
    pub(crate) fn bdev(self) -> &'static str {
        match self {
            External::Large => LARGE.0,
            External::Small => SMALL.0,
            External::Odd => "Odd",
            External::Coarse => "Coarse",
            External::Missing => "Missing",
        }
    }

    /// What it is, or what comes of it: first that which has nothing to do with the store.
    pub(crate) fn known(self) -> Result<Result<store::External, Returns>, Returns> {
        match self {
            External::Large => Ok(Ok(LARGE.1)),
            External::Small => Ok(Ok(SMALL.1)),
            External::Odd => Ok(Err(Returns::Errno(Errno::EINVAL))),
            External::Coarse => Err(Returns::Invalid),
            External::Missing => Err(Returns::Errno(Errno::ENODEV)),
        }
    }
}
