//! Measures a case: pairs of runs, one program after the other, and who goes first alternates.

use std::time::Duration;

use anyhow::{Context, Result};

use super::case::{Case, Run};
use super::process;
use super::program::Setting;
use super::report::Measured;
use super::sample::Sample;
use super::stats::Comparison;

/// One run with its cost.
#[derive(Clone, Copy, Debug)]
struct Point {
    sample: Sample,
    /// Processor time for each second of real time.
    cpu: f64,
}

/// Measures `case`; `tick` is called after each run.
pub(super) fn measure(
    setting: &Setting<'_>,
    case: &Case,
    pairs: usize,
    mut tick: impl FnMut(),
) -> Result<Measured> {
    let mut points: Vec<(Point, Point)> = Vec::with_capacity(pairs);
    for pair in 0..pairs {
        let mut run = |run: Run| {
            let point = point(setting, run).with_context(|| format!("case {}", case.name));
            tick();
            point
        };
        points.push(if pair % 2 == 0 {
            let ours = run(case.ours)?;
            (ours, run(case.theirs)?)
        } else {
            let theirs = run(case.theirs)?;
            (run(case.ours)?, theirs)
        });
    }
    let compare = |value: fn(&Point) -> Option<f64>| {
        let both = |(ours, theirs): &(Point, Point)| Some((value(ours)?, value(theirs)?));
        let values: Option<Vec<_>> = points.iter().map(both).collect();
        Comparison::of(&values?)
    };
    let rate = compare(|point| Some(point.sample.rate))
        .with_context(|| format!("case {}: a program did nothing", case.name))?;
    Ok(Measured {
        name: case.name.clone(),
        family: case.family.clone(),
        ours: case.ours.program,
        theirs: case.theirs.program,
        cores: [case.ours.cores, case.theirs.cores],
        pairs,
        ratio_median: rate.ratio.median,
        rate,
        p50: compare(|point| point.sample.p50_ns),
        p99: compare(|point| point.sample.p99_ns),
        busy: compare(|point| point.sample.busy),
        cpu: compare(|point| Some(point.cpu)),
    })
}

fn point(setting: &Setting<'_>, run: Run) -> Result<Point> {
    let mut command = setting.command(run)?;
    let time = Duration::from_secs_f64(setting.times.seconds.max(1.0) + setting.times.warmup);
    let finished = process::finish(&mut command, time, setting.scratch)?;
    let sample = run
        .program
        .sample(&finished.stdout)
        .with_context(|| format!("the report of {} cannot be used", run.program))?;
    Ok(Point {
        sample,
        cpu: finished.cpu / finished.elapsed,
    })
}
