//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::controllers::Place;
use crate::workload::Workload;

/// Measures bdevs and NVMe controllers with SPDK: how many I/Os per second they do, and how long one takes.
///
/// Every core of the mask runs a job on every bdev, or on every namespace of every controller, and each job
/// keeps `--queue-depth` I/Os in flight. The jobs on the same one have equal parts of it. All workloads but
/// `read` and `randread` overwrite data.
///
/// It drives the bdevs of a configuration, or NVMe controllers without the bdev layer, named by
/// `--transport-id`; both, if bdevs are named too. Local NVMe needs `--hardware`.
///
/// Exit codes: 0 when all went well, 1 when an I/O failed or did not end, data was wrong, or SPDK did not start, and
/// 2 when what was asked for cannot be done.
#[derive(Parser, Clone, Debug)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    /// SPDK's JSON configuration, with the bdevs to create
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present = "controllers"
    )]
    pub(crate) config: Option<PathBuf>,

    /// NVMe controllers to measure, such as 'trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:4420'; may be given
    /// several times
    ///
    /// Without `subnqn`, those of all subsystems that are discovered there; `trtype:PCIe` without `traddr`, all
    /// of this machine. `ns:1` takes one namespace instead of all.
    #[arg(short = 'r', long = "transport-id", value_name = "ID")]
    pub(crate) controllers: Vec<Place>,

    /// A bdev to measure; may be given several times [default: each that no other bdev is built upon, or none
    /// with `--transport-id`]
    #[arg(short = 'T', long = "bdev", value_name = "NAME")]
    pub(crate) bdevs: Vec<String>,

    /// How many I/Os each job keeps in flight
    #[arg(short, long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) queue_depth: u32,

    /// The size of an I/O: bytes, or with a suffix as in 4k and 1m
    #[arg(short = 'o', long, default_value = "4096", value_name = "SIZE", value_parser = size)]
    pub(crate) io_size: u64,

    /// What to do
    #[arg(short, long, default_value = "randread")]
    pub(crate) workload: Workload,

    /// How many of 100 I/Os are reads, for rw and randrw [default: 50]
    #[arg(short = 'M', long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) rwmixread: Option<u8>,

    /// How many seconds to measure, such as 10 or 0.5
    ///
    /// I/Os that are in flight then are waited for, until none has ended for 10 seconds.
    #[arg(short, long, default_value = "10", value_name = "SECONDS", value_parser = positive_seconds)]
    pub(crate) time: Duration,

    /// How many seconds to do I/O before the measurement begins
    #[arg(long, default_value = "0", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warmup: Duration,

    /// The cores to run jobs on, as a mask such as 0x3 or a list such as [0,2-3]
    #[arg(short = 'm', long, default_value = "0x1", value_name = "CORES")]
    pub(crate) core_mask: String,

    /// Go on after I/Os that failed and data that was wrong; without this the first one ends the run
    #[arg(short = 'f', long)]
    pub(crate) continue_on_failure: bool,

    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,

    /// What the random places start from, and which I/Os read: the same seed makes the same choices
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// SPDK's memory in megabytes
    #[arg(short = 's', long, default_value_t = 512, value_name = "MB", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) mem_size: i32,

    /// Use hugepages and PCI devices, for hardware such as local NVMe
    #[arg(long)]
    pub(crate) hardware: bool,

    /// Let other SPDK processes run on the same cores
    #[arg(long)]
    pub(crate) disable_cpumask_locks: bool,
}

/// A number of bytes, such as `4096`, `4k` or `1M`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        suffix => {
            return Err(format!(
                "`{suffix}` is not a suffix of a size; there are k, m and g"
            ));
        }
    };
    let number: u64 = digits
        .parse()
        .map_err(|error| format!("`{digits}` is not a number of bytes: {error}"))?;
    match number.checked_mul(1 << shift) {
        Some(0) => Err("an I/O has at least one block".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("larger than any device".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds, such as 10 or 0.5".to_owned())?;
    // A year: what is longer would not fit the clock's ticks everywhere.
    if number > 31_536_000.0 {
        return Err("longer than a year".to_owned());
    }
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn positive_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("there is nothing to measure in no time".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("4k"), Ok(4096));
        assert_eq!(size("128KiB"), Ok(128 << 10));
        assert_eq!(size("1M"), Ok(1 << 20));
        for wrong in ["", "k", "4x", "-1", "0", "0k", "99999999999g", "4.5k"] {
            assert!(size(wrong).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn times_have_fractions() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for wrong in ["", "-1", "x", "inf", "NaN", "1e30"] {
            assert!(seconds(wrong).is_err(), "{wrong:?} was accepted");
        }
        assert!(positive_seconds("0").is_err());
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
