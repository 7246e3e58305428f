//! What a run of the benchmark found, as it is written to JSON and read back as a baseline.

use serde::{Deserialize, Serialize};

use super::bars::Verdict;
use super::figure::Figure;
use super::program::Program;
use super::stats::Comparison;

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    /// The version of SPDK.
    pub(super) spdk: String,
    /// The cores that the programs ran on; a case for one core uses the first.
    pub(super) cores: Vec<usize>,
    /// Seconds of a run, and of the warm-up before.
    pub(super) seconds: f64,
    pub(super) warmup: f64,
    pub(super) cases: Vec<Measured>,
    pub(super) figures: Vec<Figure>,
    pub(super) bars: Vec<Verdict>,
}

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) family: String,
    pub(super) ours: Program,
    pub(super) theirs: Program,
    /// How many cores each of them used.
    pub(super) cores: [usize; 2],
    pub(super) pairs: usize,
    /// The median of `rate.ratio`, for who reads only one number.
    pub(super) ratio_median: f64,
    /// Operations, or round trips, per second.
    pub(super) rate: Comparison,
    /// Latencies in nanoseconds, where both programs report them.
    pub(super) p50: Option<Comparison>,
    pub(super) p99: Option<Comparison>,
    /// The part of the time in which SPDK's thread had something to do, where both programs report it.
    pub(super) busy: Option<Comparison>,
    /// Processor time of the whole process for each second of its life.
    pub(super) cpu: Option<Comparison>,
}
