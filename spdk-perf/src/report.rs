//! What a run has measured, as text and as JSON.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::args::Args;
use crate::job::Outcome;
use crate::latency;

/// The results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    spdk: String,
    workload: String,
    io_size: u64,
    queue_depth: u32,
    cores: Vec<u32>,
    seconds: f64,
    ios: u64,
    pub(crate) errors: u64,
    pub(crate) mismatches: u64,
    /// Whether SIGINT or SIGTERM ended it early.
    interrupted: bool,
    /// Whether I/Os did not end after the time, and were given up.
    pub(crate) unanswered: bool,
    iops: f64,
    bytes_per_second: f64,
    /// The mean of the jobs'.
    busy: Option<f64>,
    latency_ns: Latency,
    jobs: Vec<JobReport>,
}

#[derive(Debug, Serialize)]
struct JobReport {
    bdev: String,
    core: u32,
    seconds: f64,
    ios: u64,
    iops: f64,
    errors: u64,
    mismatches: u64,
    /// The part of the time in which the polls of its core's spdk_thread had something to do, if it has come to the measurement.
    busy: Option<f64>,
    latency_ns: Latency,
}

/// Nanoseconds.
#[derive(Debug, Serialize)]
struct Latency {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    p99_99: f64,
    max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>, hz: f64) -> Self {
        let ns = |ticks: f64| ticks * 1e9 / hz;
        let quantile = |quantile| ns(histogram.value_at_quantile(quantile) as f64);
        Latency {
            min: ns(histogram.min() as f64),
            mean: ns(histogram.mean()),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            p99_99: quantile(0.9999),
            max: ns(histogram.max() as f64),
        }
    }

    /// What the text shows.
    fn columns(&self) -> [f64; 6] {
        [
            self.mean,
            self.p50,
            self.p99,
            self.p99_9,
            self.p99_99,
            self.max,
        ]
    }
}

/// How many per second; 0 in no time.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

impl Report {
    /// `hz` is the number of ticks in a second.
    pub(crate) fn new(
        args: &Args,
        mut outcomes: Vec<Outcome>,
        hz: u64,
        interrupted: bool,
        unanswered: bool,
    ) -> Self {
        let hz = hz as f64;
        outcomes.sort_by(|a, b| (a.core, &a.name).cmp(&(b.core, &b.name)));
        let begin = outcomes.iter().map(|job| job.begin).min().unwrap_or(0);
        let end = outcomes.iter().map(|job| job.end).max().unwrap_or(0);
        let seconds = (end - begin) as f64 / hz;
        let mut cores: Vec<u32> = outcomes.iter().map(|job| job.core).collect();
        cores.dedup();
        let mut latency = latency::empty();
        for job in &outcomes {
            latency += &job.latency;
        }
        let iops = rate(latency.len(), seconds);
        Report {
            spdk: spdk::version(),
            workload: args.workload.name(),
            io_size: args.io_size,
            queue_depth: args.queue_depth,
            cores,
            seconds,
            ios: latency.len(),
            errors: outcomes.iter().map(|job| job.errors).sum(),
            mismatches: outcomes.iter().map(|job| job.mismatches).sum(),
            interrupted,
            unanswered,
            iops,
            bytes_per_second: iops * args.io_size as f64,
            busy: mean(outcomes.iter().filter_map(|job| job.busy)),
            latency_ns: Latency::of(&latency, hz),
            jobs: outcomes
                .into_iter()
                .map(|job| JobReport::of(job, hz))
                .collect(),
        }
    }
}

impl JobReport {
    fn of(job: Outcome, hz: f64) -> Self {
        let seconds = (job.end - job.begin) as f64 / hz;
        JobReport {
            seconds,
            ios: job.latency.len(),
            iops: rate(job.latency.len(), seconds),
            errors: job.errors,
            mismatches: job.mismatches,
            busy: job.busy,
            latency_ns: Latency::of(&job.latency, hz),
            bdev: job.name,
            core: job.core,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {}, {} bytes, queue depth {}, {:.2} s{}; latency in µs",
            self.spdk,
            self.workload,
            self.io_size,
            self.queue_depth,
            self.seconds,
            match (self.interrupted, self.unanswered) {
                (true, _) => " (interrupted)",
                (_, true) => " (I/Os did not end)",
                _ => "",
            },
        )?;
        let width = self.jobs.iter().map(|job| job.bdev.len()).max();
        let width = width.unwrap_or(0).max("total".len());
        writeln!(
            f,
            "{:width$} core {:>12} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
            "bdev", "IO/s", "MiB/s", "mean", "p50", "p99", "p99.9", "p99.99", "max", "errors"
        )?;
        let line = |f: &mut fmt::Formatter<'_>,
                    bdev: &str,
                    core: &str,
                    iops: f64,
                    latency: &Latency,
                    errors: u64| {
            let rate = iops * self.io_size as f64 / f64::from(1 << 20);
            write!(f, "{bdev:width$} {core:>4} {iops:>12.0} {rate:>10.1}")?;
            for ns in latency.columns() {
                write!(f, " {:>9.2}", ns / 1000.0)?;
            }
            writeln!(f, " {errors:>7}")
        };
        for job in &self.jobs {
            let core = job.core.to_string();
            let errors = job.errors + job.mismatches;
            line(f, &job.bdev, &core, job.iops, &job.latency_ns, errors)?;
        }
        if self.jobs.len() > 1 {
            let errors = self.errors + self.mismatches;
            line(f, "total", "", self.iops, &self.latency_ns, errors)?;
        }
        Ok(())
    }
}
