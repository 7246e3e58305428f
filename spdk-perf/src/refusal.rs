//! Why a run cannot begin.

use spdk::BdevIoType;

/// What was asked for cannot be done, or SPDK says so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("--rwmixread is for the workloads rw and randrw, not for {workload}")]
    MixOfOne { workload: String },
    #[error("the configuration creates no bdev")]
    NoBdev,
    #[error(
        "--bdev names {name:?} twice; for more load on it use a larger --queue-depth or more cores"
    )]
    Twice { name: String },
    #[error("no bdev is named {name:?}; there {}", there(.others))]
    Unknown { name: String, others: Vec<String> },
    #[error("bdev {name:?} ({product}) cannot do what {workload} needs: {io_type:?}")]
    Unsupported {
        name: String,
        product: String,
        workload: String,
        io_type: BdevIoType,
    },
    #[error(
        "bdev {name:?} cannot be opened for {workload}: it is claimed, by a bdev that is built upon it \
         or by something else that writes to it"
    )]
    Claimed { name: String, workload: String },
    #[error("there is no NVMe controller at {place}")]
    NoController { place: String },
    #[error("{name} has no active namespace")]
    NoNamespace { name: String },
    #[error("--transport-id names {name} twice")]
    ControllerTwice { name: String },
    #[error("{name} has no namespace {id}; there are {others:?}")]
    UnknownNamespace {
        name: String,
        id: u32,
        others: Vec<u32>,
    },
    #[error("{name:?} has no command {command}, which {workload} needs")]
    NoCommand {
        name: String,
        workload: String,
        command: &'static str,
    },
    #[error("{name:?} keeps metadata among its data, which this program does not do I/O on")]
    Metadata { name: String },
    #[error(
        "an I/O of {io_size} bytes is not a whole number of the blocks of {name:?}, which have {block} bytes"
    )]
    NotBlocks {
        name: String,
        io_size: u64,
        block: u32,
    },
    #[error("{name:?} has {size} bytes, fewer than one I/O of {io_size} bytes")]
    TooSmall {
        name: String,
        size: u64,
        io_size: u64,
    },
    #[error(
        "verify needs a place of its own for each of {slots} I/Os in flight, and {name:?} has {places} places of that size; use a smaller --queue-depth or --io-size"
    )]
    TooFewPlaces {
        name: String,
        places: u64,
        slots: u64,
    },
    #[error(transparent)]
    Spdk(#[from] spdk::Error),
}

impl Refusal {
    /// Whether another command line would help: the exit code is 2 then.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Spdk(error) => matches!(error.kind(), spdk::ErrorKind::Option { .. }),
            _ => true,
        }
    }
}

fn there(others: &[String]) -> String {
    match others {
        [] => "is none at all".to_owned(),
        [one] => format!("is {one:?}"),
        many => format!("are {many:?}"),
    }
}
