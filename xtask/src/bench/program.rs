//! The programs that are measured: where they are, how they are called, what they print.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::case::{Io, Load, MIX_PERCENT, Run, Workload};
use super::sample::Sample;
use super::{bdevperf, build::Built};

/// Megabytes of SPDK's memory, for every program alike.
const MEMORY: &str = "512";

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Program {
    /// Ours, with everything that it reports.
    #[serde(rename = "spdk-perf")]
    SpdkPerf,
    /// One task for each operation in flight.
    PlainTasks,
    /// A `FuturesUnordered` of the operations in flight.
    PlainUnordered,
    /// One task for each operation in flight, on a blob.
    BlobTasks,
    /// Counts allocations.
    Counts,
    /// Messages between spdk_threads, in Rust.
    PingPong,
    /// SPDK's own benchmark.
    Bdevperf,
    /// C that submits from its completion callbacks and keeps no statistics.
    BdevLoop,
    /// The same on a blob.
    BlobLoop,
    /// Messages between spdk_threads, in C.
    PingPongC,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Program {
    /// The name of its executable.
    pub(super) fn name(self) -> &'static str {
        match self {
            Program::SpdkPerf => "spdk-perf",
            Program::PlainTasks => "plain_tasks",
            Program::PlainUnordered => "plain_unordered",
            Program::BlobTasks => "blob_tasks",
            Program::Counts => "counts",
            Program::PingPong => "ping_pong",
            Program::Bdevperf => "bdevperf",
            Program::BdevLoop => "bdev_loop",
            Program::BlobLoop => "blob_loop",
            Program::PingPongC => "ping_pong_c",
        }
    }

    /// Whether it takes the switches of SPDK's application framework in C.
    fn is_c(self) -> bool {
        matches!(
            self,
            Program::Bdevperf | Program::BdevLoop | Program::BlobLoop | Program::PingPongC
        )
    }
}

/// How every run goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) seconds: f64,
    pub(super) warmup: f64,
}

/// What a run needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) built: &'a Built,
    /// The cores that this process may use.
    pub(super) cores: &'a [usize],
    /// A folder for the configurations.
    pub(super) scratch: &'a Path,
    pub(super) times: Times,
}

impl Setting<'_> {
    /// A program with SPDK's own options.
    pub(super) fn start(&self, program: Program, cores: usize) -> Result<Command> {
        let mut command = Command::new(self.built.executable(program)?);
        command.args(["-s", MEMORY, "-m", &mask(&self.cores[..cores])]);
        command.arg("--disable-cpumask-locks");
        if program.is_c() {
            command.args(["--no-huge", "--no-pci"]);
        }
        Ok(command)
    }

    /// The command for a run.
    pub(super) fn command(&self, run: Run) -> Result<Command> {
        let mut command = self.start(run.program, run.cores)?;
        if run.program == Program::Bdevperf {
            // It takes whole seconds and always serves RPCs. `-l` has it print the histogram that it always keeps.
            command.args(["-t", &self.times.seconds.ceil().max(1.0).to_string(), "-l"]);
            command.arg("-r").arg(self.scratch.join("rpc.sock"));
        } else {
            command.args(["-t", &self.times.seconds.to_string()]);
            command.args(["--warmup", &self.times.warmup.to_string()]);
        }
        if run.program == Program::SpdkPerf {
            command.arg("--json");
        }
        if let Load::Io(io) = run.load {
            self.io(&mut command, run, io)?;
        }
        Ok(command)
    }

    fn io(&self, command: &mut Command, run: Run, io: Io) -> Result<()> {
        let config = self.scratch.join(format!("{}.json", io.bdev.key()));
        std::fs::write(&config, io.bdev.config().to_string())
            .with_context(|| format!("cannot write {}", config.display()))?;
        command.arg("-c").arg(config).args(["-T", io.bdev.name()]);
        command.args(["-q", &io.depth.to_string(), "-o", &io.size.to_string()]);
        command.args(["-w", io.workload.switch()]);
        if io.workload == Workload::Mix {
            command.args(["-M", &MIX_PERCENT.to_string()]);
        }
        if run.program == Program::Bdevperf && run.cores > 1 {
            // Every core on every bdev, as the others do unasked.
            command.arg("-C");
        }
        Ok(())
    }
}

impl Program {
    /// Reads what it printed.
    pub(super) fn sample(self, output: &str) -> Result<Sample> {
        match self {
            Program::Bdevperf => bdevperf::parse(output),
            _ => Sample::parse(output),
        }
    }
}

/// A core mask, in hexadecimal.
fn mask(cores: &[usize]) -> String {
    let digits = cores.iter().max().map_or(1, |core| core / 4 + 1);
    let mut nibbles = vec![0_u8; digits];
    for core in cores {
        nibbles[core / 4] |= 1 << (core % 4);
    }
    let digits = nibbles.iter().rev();
    digits.fold("0x".to_owned(), |mask, nibble| {
        mask + &format!("{nibble:x}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_name_the_cores() {
        assert_eq!(mask(&[0]), "0x1");
        assert_eq!(mask(&[1, 0]), "0x3");
        assert_eq!(mask(&[4, 71]), "0x800000000000000010");
    }
}
