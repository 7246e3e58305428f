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
    Io(Io),
    /// Messages between two spdk_threads, one on the first core and one on the last.
    Messages,
}

/// I/O on a bdev.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Io {
    pub(super) bdev: Bdev,
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

impl Case {
    /// The same I/O by two programs, on as many cores.
    fn io(family: &str, io: Io, cores: usize, ours: Program, theirs: Program) -> Self {
        let run = |program| Run {
            program,
            cores,
            load: Load::Io(io),
        };
        Case {
            family: family.to_owned(),
            name: format!("{family}-qd{}", io.depth),
            ours: run(ours),
            theirs: run(theirs),
        }
    }

    /// The cores that it takes.
    pub(super) fn cores(&self) -> usize {
        self.ours.cores.max(self.theirs.cores)
    }
}

/// Every case, in the order of the report.
pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let read_4k = |bdev, depth| Io {
        bdev,
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
                        bdev,
                        workload,
                        size,
                        depth,
                    };
                    Case::io(&family, io, 1, Program::SpdkPerf, Program::Bdevperf)
                }));
            }
        }
    }
    for depth in DEPTHS {
        let io = read_4k(Bdev::Delay, depth);
        let (ours, theirs) = (Program::SpdkPerf, Program::Bdevperf);
        cases.push(Case::io("delay-randread-4k", io, 1, ours, theirs));
        // bdevperf does not tell how busy it was; these two do.
        let (ours, theirs) = (Program::PlainTasks, Program::BdevLoop);
        cases.push(Case::io("delay-randread-4k-loop", io, 1, ours, theirs));
    }
    for bdev in [Bdev::Null, Bdev::Malloc] {
        let family = format!("{}-randread-4k-2cores", bdev.key());
        for depth in DEPTHS {
            let (ours, theirs) = (Program::SpdkPerf, Program::Bdevperf);
            cases.push(Case::io(&family, read_4k(bdev, depth), 2, ours, theirs));
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
            "null-randread-4k-unordered",
            Program::PlainUnordered,
            Program::SpdkPerf,
        ),
    ];
    for (family, ours, theirs) in against {
        for depth in DEPTHS {
            let io = read_4k(Bdev::Null, depth);
            cases.push(Case::io(family, io, 1, ours, theirs));
        }
    }
    for workload in [Workload::Read, Workload::Write] {
        let family = format!("blob-{}-4k", workload.key());
        for depth in DEPTHS {
            let io = Io {
                workload,
                ..read_4k(Bdev::Malloc, depth)
            };
            let (ours, theirs) = (Program::BlobTasks, Program::BlobLoop);
            cases.push(Case::io(&family, io, 1, ours, theirs));
        }
    }
    for (family, program) in [
        ("null-scaling", Program::SpdkPerf),
        ("null-scaling-bdevperf", Program::Bdevperf),
    ] {
        let mut case = Case::io(family, read_4k(Bdev::Null, 32), 2, program, program);
        case.theirs.cores = 1;
        cases.push(case);
    }
    for (name, cores) in [("message-1core", 1), ("message-2cores", 2)] {
        let run = |program| Run {
            program,
            cores,
            load: Load::Messages,
        };
        cases.push(Case {
            family: name.to_owned(),
            name: name.to_owned(),
            ours: run(Program::PingPong),
            theirs: run(Program::PingPongC),
        });
    }
    cases
}

/// What to measure.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) cases: Vec<Case>,
    pub(super) sources: Vec<Source>,
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
