//! The switches of the plain programs: those of `spdk-perf`, as far as the programs go.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use spdk::{LogLevel, SpdkApp, SpdkAppBuilder};

/// Measures a bdev.
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// SPDK's JSON configuration with the bdev
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// The bdev
    #[arg(short = 'T', long, value_name = "NAME")]
    pub bdev: String,
    /// How many operations to keep in flight
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_depth: u32,
    /// Bytes of an operation
    #[arg(short = 'o', long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(512..))]
    pub io_size: u32,
    /// What to do
    #[arg(short, long)]
    pub workload: Kind,
    /// Reads among the operations of rw and randrw, in percent
    #[arg(short = 'M', long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(..=100))]
    pub mix: u8,
    /// How long
    #[command(flatten)]
    pub times: Times,
    /// SPDK's own options
    #[command(flatten)]
    pub spdk: Spdk,
}

/// The times of a run.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Times {
    /// Seconds to measure, after the warm-up
    #[arg(short, long, default_value = "1", value_parser = seconds)]
    pub time: Duration,
    /// Seconds to run before
    #[arg(long, default_value = "0.1", value_parser = seconds)]
    pub warmup: Duration,
}

/// The options of SPDK itself.
#[derive(clap::Args, Clone, Debug)]
pub struct Spdk {
    /// The cores, such as 0x1
    #[arg(
        short = 'm',
        long = "core-mask",
        value_name = "CORES",
        default_value = "0x1"
    )]
    pub cores: String,
    /// SPDK's memory in megabytes
    #[arg(
        short = 's',
        long = "mem-size",
        value_name = "MB",
        default_value_t = 512
    )]
    pub memory: i32,
    /// Use hugepages and PCI devices, for hardware such as local NVMe
    #[arg(long)]
    pub hardware: bool,
    /// Let other SPDK processes run on the same cores
    #[arg(long)]
    pub disable_cpumask_locks: bool,
}

/// What an operation does, and where.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Read,
    Write,
    Rw,
    Randread,
    Randwrite,
    Randrw,
}

impl Options {
    /// The application that the options ask for.
    pub fn app(&self, name: &str) -> SpdkAppBuilder {
        self.spdk.app(name).config_file(&self.config)
    }
}

impl Spdk {
    /// An application without a configuration.
    pub fn app(&self, name: &str) -> SpdkAppBuilder {
        SpdkApp::builder()
            .name(name)
            .reactor_mask(&self.cores)
            .mem_size_mb(self.memory)
            .no_huge(!self.hardware)
            .no_pci(!self.hardware)
            .disable_cpumask_locks(self.disable_cpumask_locks)
            .log_level(LogLevel::Warn)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds are a number")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
