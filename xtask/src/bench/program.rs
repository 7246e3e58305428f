//! The programs that are measured: where they are, how they are called, what they print.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::case::{Io, Load, MIX_PERCENT, Run, Workload};
use super::sample::Sample;
use super::{bdevperf, build::Built, nvme_perf};
use crate::setup::Kernel;

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
    /// The same by futures that follow no rule.
    BareTasks,
    /// A `FuturesUnordered` of the operations in flight.
    PlainUnordered,
    /// Completions that submit the next I/O, on a blob.
    BlobQueue,
    /// One task for each operation in flight, on a blob.
    BlobTasks,
    /// Counts allocations.
    Counts,
    /// Messages between spdk_threads, in Rust.
    PingPong,
    /// An NVMe-oF target of ours.
    ServeBdev,
    /// SPDK's own benchmark of bdevs.
    Bdevperf,
    /// SPDK's own benchmark of NVMe controllers.
    #[serde(rename = "spdk_nvme_perf")]
    SpdkNvmePerf,
    /// SPDK's own NVMe-oF target.
    NvmfTgt,
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
            Program::BareTasks => "bare_tasks",
            Program::PlainUnordered => "plain_unordered",
            Program::BlobQueue => "blob_queue",
            Program::BlobTasks => "blob_tasks",
            Program::Counts => "counts",
            Program::PingPong => "ping_pong",
            Program::ServeBdev => "serve_bdev",
            Program::Bdevperf => "bdevperf",
            Program::SpdkNvmePerf => "spdk_nvme_perf",
            Program::NvmfTgt => "nvmf_tgt",
            Program::BdevLoop => "bdev_loop",
            Program::BlobLoop => "blob_loop",
            Program::PingPongC => "ping_pong_c",
        }
    }

    /// Whether it takes the switches of SPDK's application framework in C.
    fn is_c(self) -> bool {
        matches!(
            self,
            Program::Bdevperf
                | Program::BdevLoop
                | Program::BlobLoop
                | Program::PingPongC
                | Program::NvmfTgt
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
    /// What the virtual machine runs, if one is needed.
    pub(super) kernel: Option<&'a Kernel>,
    pub(super) times: Times,
}

impl Setting<'_> {
    /// A program with SPDK's own options, on the first cores.
    pub(super) fn start(&self, program: Program, cores: usize) -> Result<Command> {
        let mut command = Command::new(self.built.executable(program)?);
        command.args(["-s", MEMORY, "-m", &mask(&self.cores[..cores])]);
        command.arg("--disable-cpumask-locks");
        if program.is_c() {
            command.args(["--no-huge", "--no-pci"]);
        }
        Ok(command)
    }

    /// The command for a run on a bdev, or with messages.
    pub(super) fn command(&self, run: Run) -> Result<Command> {
        let mut command = self.start(run.program, run.cores)?;
        if run.program == Program::Bdevperf {
            // It always serves RPCs. `-l` has it print the histogram that it always keeps.
            command.args(["-t", &self.times.whole_seconds(), "-l"]);
            command.arg("-r").arg(self.scratch.join("rpc.sock"));
        } else {
            command.args(["-t", &self.times.seconds.to_string()]);
            command.args(["--warmup", &self.times.warmup.to_string()]);
        }
        if run.program == Program::SpdkPerf {
            command.arg("--json");
        }
        if let Load::Io(bdev, io) = run.load {
            command
                .arg("-c")
                .arg(self.config(bdev.key(), &bdev.config())?);
            command.args(["-T", bdev.name()]).args(io.switches());
            if run.program == Program::Bdevperf && run.cores > 1 {
                // Every core on every bdev, as the others do unasked.
                command.arg("-C");
            }
        }
        Ok(command)
    }

    /// The command for a host of the controller at `place`, on the last core.
    pub(super) fn host(&self, program: Program, place: &str, io: Io) -> Result<Command> {
        let mut command = Command::new(self.built.executable(program)?);
        let core = &self.cores[self.cores.len() - 1..];
        command.args(host(program, core, place, io, self.times));
        match program {
            Program::SpdkPerf => command.arg("--disable-cpumask-locks"),
            _ => command.arg("--no-huge"),
        };
        Ok(command)
    }

    /// A file with a configuration of SPDK's.
    pub(super) fn config(&self, name: &str, config: &serde_json::Value) -> Result<PathBuf> {
        let path = self.scratch.join(format!("{name}.json"));
        std::fs::write(&path, config.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Times {
    /// For SPDK's own programs, which take no others.
    fn whole_seconds(self) -> String {
        self.seconds.ceil().max(1.0).to_string()
    }
}

impl Io {
    fn switches(self) -> Vec<String> {
        let mut switches = vec!["-q".to_owned(), self.depth.to_string()];
        switches.extend(["-o".to_owned(), self.size.to_string()]);
        switches.extend(["-w", self.workload.switch()].map(str::to_owned));
        if self.workload == Workload::Mix {
            switches.extend(["-M".to_owned(), MIX_PERCENT.to_string()]);
        }
        switches
    }
}

/// The switches of a host of the NVMe controller at `place`.
pub(super) fn host(
    program: Program,
    cores: &[usize],
    place: &str,
    io: Io,
    times: Times,
) -> Vec<String> {
    let mask = mask(cores);
    let seconds = times.seconds.to_string();
    let warmup = times.warmup.to_string();
    let whole_seconds = times.whole_seconds();
    let own: &[&str] = match program {
        Program::SpdkPerf => &["-m", &mask, "-t", &seconds, "--warmup", &warmup, "--json"],
        // `-L` has it keep latencies, as the other does.
        _ => &["-c", &mask, "-t", &whole_seconds, "-L"],
    };
    let both = ["-s", MEMORY, "-r", place];
    let mut switches: Vec<String> = own.iter().copied().chain(both).map(str::to_owned).collect();
    switches.extend(io.switches());
    switches
}

impl Program {
    /// Reads what it printed.
    pub(super) fn sample(self, output: &str) -> Result<Sample> {
        match self {
            Program::Bdevperf => bdevperf::parse(output),
            Program::SpdkNvmePerf => nvme_perf::parse(output),
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
