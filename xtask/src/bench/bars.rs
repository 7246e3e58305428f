//! The bars: what this crate wants to reach, and whether it did.

use serde::{Deserialize, Serialize};

use super::report::Report;

/// One bar with what was measured for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) what: String,
    pub(super) bound: Bound,
    /// What was measured. Of the values of one group the best counts, and every group has to reach the bar.
    pub(super) groups: Vec<Vec<Value>>,
    /// `None` if not all of it was measured, or by too few pairs.
    pub(super) met: Option<bool>,
}

/// With fewer pairs of runs nothing is said of a bar.
const PAIRS: usize = 5;

/// A bar's value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Value {
    pub(super) name: String,
    /// `None` if it was not measured.
    pub(super) value: Option<f64>,
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        }
    }
}

/// Which number of a case or which figure.
#[derive(Clone, Copy)]
enum Source {
    Rate(&'static str),
    P99(&'static str),
    Figure(&'static str),
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Source::Rate(name) | Source::P99(name) | Source::Figure(name) => name,
        }
    }

    /// Whether there were enough pairs of runs for it, if it comes from any.
    fn is_settled(self, report: &Report) -> bool {
        let mut cases = report.cases.iter();
        cases.all(|case| case.name != self.name() || case.pairs >= PAIRS)
    }

    fn value(self, report: &Report) -> Option<f64> {
        let case = |name| report.cases.iter().find(|case| case.name == name);
        match self {
            Source::Rate(name) => Some(case(name)?.ratio_median),
            Source::P99(name) => Some(case(name)?.p99.as_ref()?.ratio.median),
            Source::Figure(name) => {
                let figure = report.figures.iter().find(|figure| figure.name == name);
                Some(figure?.value)
            }
        }
    }
}

struct Bar {
    what: &'static str,
    bound: Bound,
    groups: &'static [&'static [Source]],
}

use Source::{Figure, P99, Rate};

const BARS: [Bar; 14] = [
    Bar {
        what: "IO/s to bdevperf: null bdev, 4 KiB random reads, one core",
        bound: Bound::AtLeast(1.05),
        groups: &[
            &[Rate("null-randread-4k-qd1")],
            &[Rate("null-randread-4k-qd32")],
            &[Rate("null-randread-4k-qd128")],
        ],
    },
    Bar {
        what: "the same to the bare callback loop in C",
        bound: Bound::AtLeast(0.85),
        groups: &[
            &[Rate("null-randread-4k-loop-qd1")],
            &[Rate("null-randread-4k-loop-qd32")],
            &[Rate("null-randread-4k-loop-qd128")],
        ],
    },
    Bar {
        what: "IO/s to bdevperf: malloc bdev, 4 KiB random reads and writes, queue depth 32",
        bound: Bound::AtLeast(1.0),
        groups: &[
            &[Rate("malloc-randread-4k-qd32")],
            &[Rate("malloc-randwrite-4k-qd32")],
        ],
    },
    Bar {
        what: "heap allocations per I/O in steady state",
        bound: Bound::AtMost(0.0),
        groups: &[
            &[Figure("allocations-heap-null0-read-qd1")],
            &[Figure("allocations-heap-null0-write-qd1")],
            &[Figure("allocations-heap-null0-read-qd32")],
            &[Figure("allocations-heap-null0-write-qd32")],
            &[Figure("allocations-heap-malloc0-read-qd1")],
            &[Figure("allocations-heap-malloc0-write-qd1")],
            &[Figure("allocations-heap-malloc0-read-qd32")],
            &[Figure("allocations-heap-malloc0-write-qd32")],
            &[Figure("allocations-heap-blob-read-qd1")],
            &[Figure("allocations-heap-blob-write-qd1")],
            &[Figure("allocations-heap-blob-read-qd32")],
            &[Figure("allocations-heap-blob-write-qd32")],
            &[Figure("allocations-heap-tcp-read-qd1")],
            &[Figure("allocations-heap-tcp-write-qd1")],
            &[Figure("allocations-heap-tcp-read-qd32")],
            &[Figure("allocations-heap-tcp-write-qd32")],
            &[Figure("allocations-heap-tcp-read-qd128")],
            &[Figure("allocations-heap-tcp-write-qd128")],
        ],
    },
    Bar {
        what: "IO/s on a blob to the bare callback loop in C: malloc bdev, 4 KiB random reads and writes",
        bound: Bound::AtLeast(1.0),
        groups: &[
            &[Rate("blob-randread-4k-qd1")],
            &[Rate("blob-randread-4k-qd32")],
            &[Rate("blob-randread-4k-qd128")],
            &[Rate("blob-randwrite-4k-qd1")],
            &[Rate("blob-randwrite-4k-qd32")],
            &[Rate("blob-randwrite-4k-qd128")],
        ],
    },
    Bar {
        what: "IO/s of two cores to one: null bdev, queue depth 32 per core",
        bound: Bound::AtLeast(1.95),
        groups: &[&[Rate("null-scaling-qd32")]],
    },
    Bar {
        what: "99th percentile of the latency to bdevperf's: null bdev, 4 KiB random reads",
        bound: Bound::AtMost(1.0),
        groups: &[
            &[P99("null-randread-4k-qd1")],
            &[P99("null-randread-4k-qd32")],
        ],
    },
    Bar {
        what: "IO/s of a plain program (tasks, or FuturesUnordered) to spdk-perf",
        bound: Bound::AtLeast(0.95),
        groups: &[
            &[
                Rate("null-randread-4k-tasks-qd1"),
                Rate("null-randread-4k-unordered-qd1"),
            ],
            &[
                Rate("null-randread-4k-tasks-qd32"),
                Rate("null-randread-4k-unordered-qd32"),
            ],
            &[
                Rate("null-randread-4k-tasks-qd128"),
                Rate("null-randread-4k-unordered-qd128"),
            ],
        ],
    },
    Bar {
        what: "message round trips between two cores to spdk_thread_send_msg in C",
        bound: Bound::AtLeast(1.0),
        groups: &[&[Rate("message-2cores")]],
    },
    Bar {
        what: "IO/s to spdk_nvme_perf: NVMe/TCP on loopback, 4 KiB random reads of a null bdev",
        bound: Bound::AtLeast(1.0),
        groups: &[
            &[Rate("tcp-randread-4k-qd1")],
            &[Rate("tcp-randread-4k-qd32")],
            &[Rate("tcp-randread-4k-qd128")],
        ],
    },
    Bar {
        what: "the same of targets: ours to nvmf_tgt, with spdk_nvme_perf as the host",
        bound: Bound::AtLeast(1.0),
        groups: &[
            &[Rate("tcp-target-randread-4k-qd1")],
            &[Rate("tcp-target-randread-4k-qd32")],
            &[Rate("tcp-target-randread-4k-qd128")],
        ],
    },
    Bar {
        what: "IO/s to spdk_nvme_perf: emulated NVMe controller, 4 KiB random reads, queue depth 32",
        bound: Bound::AtLeast(1.0),
        groups: &[&[Rate("pcie-randread-4k-qd32")]],
    },
    Bar {
        what: "seconds of a clean release build of hello_bdev (two processors)",
        bound: Bound::AtMost(40.0),
        groups: &[&[Figure("clean-build")]],
    },
    Bar {
        what: "seconds to make all wrappers",
        bound: Bound::AtMost(2.0),
        groups: &[&[Figure("codegen")]],
    },
];

/// Whether a case, or a source of figures, is needed for a bar.
pub(super) fn needs(name: &str) -> bool {
    let sources = BARS
        .iter()
        .flat_map(|bar| bar.groups.iter().copied().flatten());
    let mut names = sources.map(|source| source.name());
    // `allocations` is the source of `allocations-heap-...`.
    names.any(|needed| needed == name || needed.starts_with(&format!("{name}-heap")))
}

/// Judges every bar that something was measured for.
pub(super) fn judge(report: &Report) -> Vec<Verdict> {
    let verdicts = BARS.iter().map(|bar| verdict(bar, report));
    let measured = |verdict: &Verdict| verdict.groups.iter().flatten().any(|v| v.value.is_some());
    verdicts.filter(measured).collect()
}

fn verdict(bar: &Bar, report: &Report) -> Verdict {
    let groups: Vec<Vec<Value>> = bar
        .groups
        .iter()
        .map(|group| {
            let value = |source: &Source| Value {
                name: source.name().to_owned(),
                value: source.value(report),
            };
            group.iter().map(value).collect()
        })
        .collect();
    let mut sources = bar.groups.iter().copied().flatten();
    let is_settled = sources.all(|source| source.is_settled(report));
    Verdict {
        what: bar.what.to_owned(),
        bound: bar.bound,
        met: met(bar.bound, &groups).filter(|_| is_settled),
        groups,
    }
}

/// A group that misses the bar decides, whatever was not measured.
fn met(bound: Bound, groups: &[Vec<Value>]) -> Option<bool> {
    let group = |group: &Vec<Value>| {
        let mut values = group.iter().map(|value| value.value);
        if values.clone().flatten().any(|value| bound.holds(value)) {
            Some(true)
        } else if values.all(|value| value.is_some()) {
            Some(false)
        } else {
            None
        }
    };
    let results: Vec<Option<bool>> = groups.iter().map(group).collect();
    if results.contains(&Some(false)) {
        Some(false)
    } else if results.contains(&None) {
        None
    } else {
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::case;
    use crate::bench::figure;

    fn group(values: &[Option<f64>]) -> Vec<Value> {
        let value = |value: &Option<f64>| Value {
            name: String::new(),
            value: *value,
        };
        values.iter().map(value).collect()
    }

    #[test]
    fn every_group_counts_and_in_it_the_best() {
        let bound = Bound::AtLeast(0.95);
        let (good, bad, none) = (Some(0.95), Some(0.94), None);
        assert_eq!(
            met(bound, &[group(&[bad, good]), group(&[good, none])]),
            Some(true)
        );
        assert_eq!(
            met(bound, &[group(&[bad, bad]), group(&[good])]),
            Some(false)
        );
        assert_eq!(met(bound, &[group(&[bad, none]), group(&[good])]), None);
        assert_eq!(met(bound, &[group(&[none]), group(&[bad])]), Some(false));
    }

    #[test]
    fn an_upper_bound_holds_below() {
        assert_eq!(met(Bound::AtMost(0.0), &[group(&[Some(0.0)])]), Some(true));
        assert_eq!(
            met(Bound::AtMost(0.0), &[group(&[Some(0.001)])]),
            Some(false)
        );
    }

    /// A bar whose case was renamed would be left out without a word.
    #[test]
    fn every_bar_names_cases_that_exist() {
        let cases = case::all();
        for source in BARS
            .iter()
            .flat_map(|bar| bar.groups.iter().copied().flatten())
        {
            let name = source.name();
            let known = match source {
                Rate(_) | P99(_) => cases.iter().any(|case| case.name == name),
                Figure(_) => {
                    let mut sources = figure::Source::ALL.iter().map(|source| source.name());
                    sources.any(|source| name.starts_with(source))
                }
            };
            assert!(known, "{name}");
        }
    }
}
