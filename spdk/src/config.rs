//! SPDK's JSON configuration: built from types, read from a file, saved, checked.
//!
//! For the feature `config`.
//!
//! A [`Config`] is a list of JSON-RPC methods with their parameters, for each subsystem of SPDK. Each
//! method that matters for bdevs is a struct of this module, named after what it makes, with a setter
//! for each optional parameter. The same struct makes it at the start of an application, by
//! [`SpdkAppBuilder::config`](crate::SpdkAppBuilder::config), or while it runs:
//!
//! ```no_run
//! use spdk::config::{Config, Delay, Malloc};
//! use spdk::{Bdev, SpdkApp};
//!
//! # fn main() -> spdk::Result<()> {
//! SpdkApp::builder()
//!     .config(Config::new().with(Malloc::new("Malloc0", 512, 8192)))
//!     .block_on(async {
//!         let name = Delay::new("Slow", "Malloc0").avg_read_latency(1000).create().await?;
//!         let bdev = Bdev::find(&name)?;
//!         # drop(bdev);
//!         Delay::delete(&name).await
//!     })
//! # }
//! ```
//!
//! `#[spdk::main]` takes one too:
//!
//! ```no_run
//! use spdk::config::{Config, Uring};
//!
//! #[spdk::main(config = Config::new().with(Uring::new("Disk", "/dev/sdb")), no_huge, no_pci, mem_size_mb = 512)]
//! async fn main() -> spdk::Result<()> {
//!     Config::running().await?.save("running.json")
//! }
//! ```
//!
//! What has no struct here is added by [`Config::with_call`], and called by
//! [`rpc::call`](crate::rpc::call). The parameters are those of SPDK 26.01; an older SPDK refuses a
//! method with a parameter that it does not know.
//!
//! | bdevs | structs |
//! | --- | --- |
//! | memory, files, nothing | [`Malloc`], [`Aio`], [`Uring`], [`Null`] |
//! | upon another bdev | [`ErrorBdev`], [`Delay`], [`Passthru`], [`Split`], [`ZoneBlock`] |
//! | upon several | [`Raid`], [`Ftl`] |
//! | logical volumes | [`LvolStore`], [`Lvol`], [`LvolSnapshot`], [`LvolClone`], [`LvolCloneBdev`] |
//! | NVMe | [`NvmeController`], [`NvmeDiscovery`], [`NvmeOptions`], [`OpalBdev`] |
//!
//! GPT partitions need nothing: they are found when a bdev appears. [`Bdev`](crate::Bdev) says how far they are trusted.
//!
//! A bdev upon others is made when these are there. Until then its `create` is a success all the same, and
//! [`Bdev::find`](crate::Bdev::find) does not find what it has named; that of [`Split`] names nothing.

mod disks;
mod file;
mod layers;
mod lvol;
mod method;
mod names;
mod nvme;
mod options;
mod running;
mod text;
mod validate;

use std::fmt;

use serde_core::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{ErrorKind, Result};
use crate::options::refuse;

pub use disks::{Aio, AioRescan, Malloc, Null, NullResize, Uring, UringRescan};
pub use layers::{
    Delay, DelayLatency, ErrorBdev, InjectError, InjectInto, InjectedError, Latency, Passthru,
    Raid, RaidAddBase, RaidLevel, RaidOptions, RaidRemoveBase, Split, ZoneBlock,
};
pub use lvol::{
    ClearMethod, Ftl, FtlDelete, FtlDevice, FtlLoad, FtlProperty, FtlUnload, Lvol, LvolClone,
    LvolCloneBdev, LvolDecouple, LvolInflate, LvolParent, LvolParentBdev, LvolReadOnly, LvolRename,
    LvolResize, LvolSnapshot, LvolStore, LvolStoreDelete, LvolStoreGrow, LvolStoreRename,
};
pub use method::Method;
#[doc(hidden)]
pub use method::{Entry, Kind, Param};
pub use nvme::{
    ActionOnTimeout, AddressFamily, Multipath, MultipathPolicy, MultipathSelector, NvmeController,
    NvmeDetach, NvmeDisable, NvmeDiscovery, NvmeEnable, NvmeHotplug, NvmeKeys, NvmeMdnsDiscovery,
    NvmeMultipathPolicy, NvmeOptions, NvmePreferredPath, NvmeReset, NvmeTransport, OpalBdev,
    OpalDelete,
};
pub use options::{
    AccelAssign, AccelOptions, BdevOptions, Examine, IobufOptions, KeyFile, QosLimit, SockDefault,
    SockOptions, WaitForExamine,
};
pub use validate::Problem;
pub(crate) use validate::{describe, explain, fatal, odd_blocks};

/// The order that subsystems are configured in: each after those that it uses.
const ORDER: &[&str] = &[
    "scheduler",
    "fsdev",
    "vmd",
    "keyring",
    "iobuf",
    "sock",
    "accel",
    "bdev",
    "nvmf",
    "scsi",
    "iscsi",
    "nbd",
];

/// A configuration of SPDK.
///
/// The methods of a subsystem run in the order they were added in. Those that are for the start only run
/// before all others, whatever their place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    subsystems: Vec<Subsystem>,
    /// Where it was read, for messages.
    file: File,
}

#[derive(Clone, Debug, PartialEq)]
struct Subsystem {
    name: String,
    calls: Vec<Call>,
}

/// A method with its parameters.
#[derive(Clone, Debug)]
struct Call {
    method: String,
    params: Map<String, Value>,
    places: Places,
}

/// Where a call and its parameters were read: line and column.
#[derive(Clone, Debug, Default)]
struct Places {
    method: Option<Place>,
    /// Each, also one that is there twice.
    params: Vec<(String, Place)>,
}

type Place = (usize, usize);

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.method == other.method && self.params == other.params
    }
}

/// The name of a file, which is no part of the configuration.
#[derive(Clone, Debug, Default)]
struct File(Option<String>);

impl PartialEq for File {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Config {
    /// A configuration without methods.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method.
    #[must_use]
    pub fn with(mut self, method: impl Method) -> Self {
        self.push(method);
        self
    }

    /// Adds a method.
    pub fn push<M: Method>(&mut self, method: M) {
        let call = Call {
            method: M::TABLE.method.to_owned(),
            params: method.params(),
            places: Places::default(),
        };
        self.add(M::TABLE.subsystem, call);
    }

    /// Adds a method that has no struct, of the subsystem that it belongs to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Option`] for parameters that are not an object; `&()` stands for none.
    pub fn with_call(
        mut self,
        subsystem: &str,
        method: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<Self> {
        const OPTION: &str = "with_call";
        let params = match serde_json::to_value(params) {
            Ok(Value::Object(params)) => params,
            Ok(Value::Null) => Map::new(),
            Ok(other) => {
                let reason = format!("the parameters of {method} are {other}, not an object");
                return Err(refuse(OPTION, reason));
            }
            Err(error) => {
                let reason = format!("the parameters of {method} are no JSON: {error}");
                return Err(refuse(OPTION, reason));
            }
        };
        let call = Call {
            method: method.to_owned(),
            params,
            places: Places::default(),
        };
        self.add(subsystem, call);
        Ok(self)
    }

    fn add(&mut self, subsystem: &str, call: Call) {
        let found = self.subsystems.iter().position(|one| one.name == subsystem);
        let index = found.unwrap_or_else(|| {
            let rank = |name: &str| ORDER.iter().position(|one| *one == name);
            let own = rank(subsystem).unwrap_or(ORDER.len());
            let mut later = self.subsystems.iter();
            let index = later.position(|one| rank(&one.name).unwrap_or(ORDER.len()) > own);
            let index = index.unwrap_or(self.subsystems.len());
            let name = subsystem.to_owned();
            let calls = Vec::new();
            self.subsystems.insert(index, Subsystem { name, calls });
            index
        });
        self.subsystems[index].calls.push(call);
    }

    /// The methods with the subsystems that they belong to and their parameters, in order.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &str, &Map<String, Value>)> {
        self.subsystems.iter().flat_map(|subsystem| {
            let calls = subsystem.calls.iter();
            calls.map(|call| (&*subsystem.name, &*call.method, &call.params))
        })
    }

    /// The JSON text, as SPDK's own applications take it.
    pub fn to_json(&self) -> String {
        format!("{:#}", self.value())
    }

    fn value(&self) -> Value {
        let subsystems = self.subsystems.iter().map(|subsystem| {
            let calls = subsystem.calls.iter().map(|call| {
                if call.params.is_empty() {
                    json!({"method": call.method})
                } else {
                    json!({"method": call.method, "params": call.params})
                }
            });
            json!({"subsystem": subsystem.name, "config": calls.collect::<Vec<_>>()})
        });
        json!({"subsystems": subsystems.collect::<Vec<_>>()})
    }
}

impl fmt::Display for Config {
    /// The JSON text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// Every method that the tables know.
fn tables() -> impl Iterator<Item = &'static Entry> {
    let bdevs = [disks::TABLE, layers::TABLE, lvol::TABLE, nvme::TABLE];
    bdevs.into_iter().chain(options::TABLES).flatten()
}

/// The tables, for the tests that compare them with SPDK.
#[doc(hidden)]
pub fn __tables() -> Vec<Entry> {
    tables().copied().collect()
}

impl Config {
    /// The text for the start of an application, which then waits for the modules that look at each new
    /// bdev: what they find is there when the main function runs, and they have closed the rest.
    pub(crate) fn for_start(&self) -> Result<Vec<u8>> {
        let mut config = self.clone();
        let problems = config.mistakes();
        if !problems.is_empty() {
            return Err(ErrorKind::Config { problems }.into());
        }
        for problem in config.missing_bases() {
            tracing::warn!(%problem, "a configuration");
        }
        let bdev = config.subsystems.iter_mut().find(|one| one.name == "bdev");
        if let Some(bdev) = bdev
            && bdev
                .calls
                .last()
                .is_some_and(|call| call.method != WaitForExamine::METHOD)
        {
            config.push(WaitForExamine::new());
        }
        Ok(config.value().to_string().into_bytes())
    }
}

impl WaitForExamine {
    const METHOD: &'static str = <Self as method::Table>::TABLE.method;
}
