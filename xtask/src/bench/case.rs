//! The cases: what is measured against what.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::figure::Source;
use super::program::Program;

pub(super) const DEPTHS: [u32; 3] = [1, 32, 128];

/// One comparison.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What the command line calls it and its relatives, such as `null-randread-4k`.
    pub(super) family: String,
    /// What the report calls it, such as `null-randread-4k-qd32`.
    pub(super) name: String,
    pub(super) ours: Run,
    pub(super) theirs: Run,
}

/// One program with its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) program: Program,
    pub(super) cores: usize,
    pub(super) load: Load,
}

/// What a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// I/O on a bdev.
    Io(Bdev, Io),
    /// Messages between two spdk_threads, one on the first core and one on the last.
    Messages,
    /// I/O over NVMe/TCP, on the last core. SPDK's target has the bdev, on the first one, for all of the case.
    Host(Bdev, Io),
    /// The target of the same, for SPDK's program.
    Target(Bdev, Io),
    /// I/O on an NVMe controller of a virtual machine, in it.
    Pcie(Io),
}

/// I/O: what, how large, and how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Io {
    pub(super) workload: Workload,
    pub(super) size: u32,
    pub(super) depth: u32,
}

/// The bdevs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bdev {
    Null,
    Malloc,
    Delay,
}

/// The workloads; all at random places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    Read,
    Write,
    /// 70 % reads.
    Mix,
}

/// Reads among the operations of [`Workload::Mix`].
pub(super) const MIX_PERCENT: u32 = 70;

impl Bdev {
    pub(super) fn key(self) -> &'static str {
        match self {
            Bdev::Null => "null",
            Bdev::Malloc => "malloc",
            Bdev::Delay => "delay",
        }
    }

    /// The name of the bdev in its configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Bdev::Null => "Null0",
            Bdev::Malloc => "Malloc0",
            Bdev::Delay => "Delay0",
        }
    }

    /// SPDK's configuration with it.
    pub(super) fn config(self) -> serde_json::Value {
        use serde_json::json;
        let null = json!({
            "method": "bdev_null_create",
            "params": {"name": "Null0", "num_blocks": 262_144, "block_size": 4096},
        });
        let mut calls = match self {
            Bdev::Null => vec![null],
            Bdev::Malloc => vec![json!({
                "method": "bdev_malloc_create",
                "params": {"name": "Malloc0", "num_blocks": 16_384, "block_size": 4096},
            })],
            // Latencies in microseconds.
            Bdev::Delay => vec![
                null,
                json!({
                    "method": "bdev_delay_create",
                    "params": {
                        "name": "Delay0", "base_bdev_name": "Null0",
                        "avg_read_latency": 100, "p99_read_latency": 100,
                        "avg_write_latency": 100, "p99_write_latency": 100,
                    },
                }),
            ],
        };
        calls.push(json!({"method": "bdev_wait_for_examine"}));
        json!({"subsystems": [{"subsystem": "bdev", "config": calls}]})
    }
}

impl Workload {
    pub(super) fn key(self) -> &'static str {
        match self {
            Workload::Read => "randread",
            Workload::Write => "randwrite",
            Workload::Mix => "randrw70",
        }
    }

    /// The value of the programs' switch `-w`.
    pub(super) fn switch(self) -> &'static str {
        match self {
            Workload::Read => "randread",
            Workload::Write => "randwrite",
            Workload::Mix => "randrw",
        }
    }
}

impl Load {
    fn io(self) -> Option<Io> {
        match self {
            Load::Io(_, io) | Load::Host(_, io) | Load::Target(_, io) | Load::Pcie(io) => Some(io),
            Load::Messages => None,
        }
    }
}

impl Case {
    /// The same by two programs, on as many cores each.
    fn new(family: &str, load: Load, cores: usize, ours: Program, theirs: Program) -> Self {
        let run = |program| Run {
            program,
            cores,
            load,
        };
        let name = match load.io() {
            Some(io) => format!("{family}-qd{}", io.depth),
            None => family.to_owned(),
        };
        Case {
            family: family.to_owned(),
            name,
            ours: run(ours),
            theirs: run(theirs),
        }
    }

    /// The same I/O on a bdev by two programs, on as many cores.
    fn io(
        family: &str,
        (bdev, io): (Bdev, Io),
        cores: usize,
        ours: Program,
        theirs: Program,
    ) -> Self {
        Self::new(family, Load::Io(bdev, io), cores, ours, theirs)
    }

    /// The cores that it takes.
    pub(super) fn cores(&self) -> usize {
        let peer = usize::from(matches!(self.ours.load, Load::Host(..) | Load::Target(..)));
        self.ours.cores.max(self.theirs.cores) + peer
    }

    /// Whether a program takes a part in it.
    pub(super) fn has(&self, program: Program) -> bool {
        let peer = match self.ours.load {
            Load::Host(..) => Some(Program::NvmfTgt),
            Load::Target(..) => Some(Program::SpdkNvmePerf),
            _ => None,
        };
        [Some(self.ours.program), Some(self.theirs.program), peer].contains(&Some(program))
    }

    /// Whether it is measured in a virtual machine.
    pub(super) fn is_in_machine(&self) -> bool {
        matches!(self.ours.load, Load::Pcie(_))
    }
}

/// Every case, in the order of the report.
pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let read_4k = |depth| Io {
        workload: Workload::Read,
        size: 4096,
        depth,
    };
    for bdev in [Bdev::Null, Bdev::Malloc] {
        for workload in [Workload::Read, Workload::Write, Workload::Mix] {
            for (size, size_key) in [(4 << 10, "4k"), (128 << 10, "128k")] {
                let family = format!("{}-{}-{size_key}", bdev.key(), workload.key());
                cases.extend(DEPTHS.map(|depth| {
                    let io = Io {
                        workload,
                        size,
                        depth,
                    };
                    Case::io(&family, (bdev, io), 1, Program::SpdkPerf, Program::Bdevperf)
                }));
            }
        }
    }
    for depth in DEPTHS {
        let io = (Bdev::Delay, read_4k(depth));
        let (ours, theirs) = (Program::SpdkPerf, Program::Bdevperf);
        cases.push(Case::io("delay-randread-4k", io, 1, ours, theirs));
        // bdevperf does not tell how busy it was; these do.
        for (family, ours) in [
            ("delay-randread-4k-loop", Program::SpdkPerf),
            ("delay-randread-4k-tasks", Program::PlainTasks),
        ] {
            cases.push(Case::io(family, io, 1, ours, Program::BdevLoop));
        }
    }
    for bdev in [Bdev::Null, Bdev::Malloc] {
        let family = format!("{}-randread-4k-2cores", bdev.key());
        for depth in DEPTHS {
            let (ours, theirs) = (Program::SpdkPerf, Program::Bdevperf);
            let io = (bdev, read_4k(depth));
            cases.push(Case::io(&family, io, 2, ours, theirs));
        }
    }
    let against = [
        (
            "null-randread-4k-loop",
            Program::SpdkPerf,
            Program::BdevLoop,
        ),
        (
            "null-randread-4k-tasks",
            Program::PlainTasks,
            Program::SpdkPerf,
        ),
        (
            "null-randread-4k-bare-tasks",
            Program::BareTasks,
            Program::SpdkPerf,
        ),
        (
            "null-randread-4k-unordered",
            Program::PlainUnordered,
            Program::SpdkPerf,
        ),
    ];
    for (family, ours, theirs) in against {
        for depth in DEPTHS {
            let io = (Bdev::Null, read_4k(depth));
            cases.push(Case::io(family, io, 1, ours, theirs));
        }
    }
    // What a task costs beside an I/O that does something.
    for depth in DEPTHS {
        let io = (Bdev::Malloc, read_4k(depth));
        let (ours, theirs) = (Program::PlainTasks, Program::SpdkPerf);
        cases.push(Case::io("malloc-randread-4k-tasks", io, 1, ours, theirs));
    }
    for workload in [Workload::Read, Workload::Write] {
        for (suffix, ours) in [("", Program::BlobQueue), ("-tasks", Program::BlobTasks)] {
            let family = format!("blob-{}-4k{suffix}", workload.key());
            for depth in DEPTHS {
                let io = Io {
                    workload,
                    ..read_4k(depth)
                };
                let io = (Bdev::Malloc, io);
                cases.push(Case::io(&family, io, 1, ours, Program::BlobLoop));
            }
        }
    }
    for (family, program) in [
        ("null-scaling", Program::SpdkPerf),
        ("null-scaling-bdevperf", Program::Bdevperf),
    ] {
        let io = (Bdev::Null, read_4k(32));
        let mut case = Case::io(family, io, 2, program, program);
        case.theirs.cores = 1;
        cases.push(case);
    }
    for (name, cores) in [("message-1core", 1), ("message-2cores", 2)] {
        let (ours, theirs) = (Program::PingPong, Program::PingPongC);
        cases.push(Case::new(name, Load::Messages, cores, ours, theirs));
    }
    for depth in DEPTHS {
        let load = Load::Host(Bdev::Null, read_4k(depth));
        let (ours, theirs) = (Program::SpdkPerf, Program::SpdkNvmePerf);
        cases.push(Case::new("tcp-randread-4k", load, 1, ours, theirs));
    }
    for depth in DEPTHS {
        let load = Load::Target(Bdev::Null, read_4k(depth));
        let (ours, theirs) = (Program::ServeBdev, Program::NvmfTgt);
        cases.push(Case::new("tcp-target-randread-4k", load, 1, ours, theirs));
    }
    let load = Load::Pcie(read_4k(32));
    let (ours, theirs) = (Program::SpdkPerf, Program::SpdkNvmePerf);
    cases.push(Case::new("pcie-randread-4k", load, 1, ours, theirs));
    cases
}

/// What to measure.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) cases: Vec<Case>,
    pub(super) sources: Vec<Source>,
}

impl Selection {
    /// Whether a program takes a part.
    pub(super) fn has(&self, program: Program) -> bool {
        self.cases.iter().any(|case| case.has(program))
            || self.sources.iter().any(|source| source.has(program))
    }
}

/// What has one of these names, or is of one of these families; everything if there is no name. With `bars`, only what
/// a bar needs.
pub(super) fn select(names: &[String], bars: bool) -> Result<Selection> {
    let (mut cases, mut sources) = (all(), Source::ALL.to_vec());
    for name in names {
        let known = cases.iter().any(|c| c.name == *name || c.family == *name)
            || sources.iter().any(|source| source.name() == name);
        if !known {
            let families: BTreeSet<_> = cases.iter().map(|case| case.family.as_str()).collect();
            let names = families.into_iter().chain(Source::ALL.map(Source::name));
            bail!(
                "there is no case `{name}`; there are {} (followed by `-qd1`, `-qd32` or `-qd128` for one queue depth \
                 of I/O)",
                names.collect::<Vec<_>>().join(", ")
            );
        }
    }
    let wanted = |name: &String| names.is_empty() || names.contains(name);
    let needed = |name: &str| !bars || super::bars::needs(name);
    cases.retain(|case| (wanted(&case.name) || wanted(&case.family)) && needed(&case.name));
    sources.retain(|source| wanted(&source.name().to_owned()) && needed(source.name()));
    Ok(Selection { cases, sources })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different() {
        let cases = all();
        let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len());
    }

    fn names(names: &[&str], bars: bool) -> Vec<String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let selection = select(&names, bars).unwrap();
        let cases = selection.cases.into_iter().map(|case| case.name);
        let sources = selection
            .sources
            .iter()
            .map(|source| source.name().to_owned());
        cases.chain(sources).collect()
    }

    #[test]
    fn a_family_is_its_queue_depths() {
        let expected = [
            "null-randread-4k-qd1",
            "null-randread-4k-qd32",
            "null-randread-4k-qd128",
        ];
        assert_eq!(names(&["null-randread-4k"], false), expected);
        let family = select(&["null-randread-4k".to_owned()], false).unwrap();
        assert!(
            family
                .cases
                .iter()
                .all(|case| case.theirs.program == Program::Bdevperf)
        );
    }

    #[test]
    fn the_other_side_of_nvme_takes_a_core_and_a_program() {
        let cases = select(&["tcp-target-randread-4k-qd32".to_owned()], false).unwrap();
        let case = &cases.cases[0];
        assert_eq!(case.cores(), 2);
        assert!(case.has(Program::ServeBdev) && case.has(Program::SpdkNvmePerf));
        assert!(cases.has(Program::NvmfTgt) && !cases.has(Program::Bdevperf));
    }

    #[test]
    fn one_case_can_be_chosen() {
        let one = "malloc-randrw70-128k-qd32";
        assert_eq!(names(&[one], false), [one]);
        assert_eq!(names(&["allocations"], false), ["allocations"]);
    }

    #[test]
    fn bars_take_what_they_need() {
        let all = names(&[], true);
        for needed in [
            "malloc-randwrite-4k-qd32",
            "message-2cores",
            "clean-build",
            "allocations",
            "tcp-randread-4k-qd128",
            "pcie-randread-4k-qd32",
        ] {
            assert!(all.iter().any(|name| name == needed), "{needed}");
        }
        assert!(
            !all.iter()
                .any(|name| name.contains("128k") || name == "instructions")
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = select(&["nul".to_owned()], false).unwrap_err().to_string();
        assert!(
            error.contains("`nul`") && error.contains("null-randread-4k"),
            "{error}"
        );
        assert!(error.contains("clean-build"), "{error}");
    }
}
