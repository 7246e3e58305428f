//! Measures a case: pairs of runs, one program after the other, and who goes first alternates.

use std::time::Duration;

use anyhow::{Context, Result};

use super::case::{Case, Load, Run};
use super::program::{Program, Setting};
use super::report::Measured;
use super::sample::Sample;
use super::stats::Comparison;
use super::tcp::Target;
use super::{machine, process};

/// One run with its cost.
#[derive(Clone, Copy, Debug)]
struct Point {
    sample: Sample,
    /// Processor time for each second of real time, if it is that of the program.
    cpu: Option<f64>,
}

/// Measures `case`; `tick` is called after each run.
pub(super) fn measure(
    setting: &Setting<'_>,
    case: &Case,
    pairs: usize,
    mut tick: impl FnMut(),
) -> Result<Measured> {
    let order: Vec<Run> = (0..pairs)
        .flat_map(|pair| match pair % 2 {
            0 => [case.ours, case.theirs],
            _ => [case.theirs, case.ours],
        })
        .collect();
    let points = points(setting, case, &order, &mut tick);
    let points = points.with_context(|| format!("case {}", case.name))?;
    let points: Vec<(Point, Point)> = (0..)
        .zip(points.chunks_exact(2))
        .map(|(pair, points)| match pair % 2 {
            0 => (points[0], points[1]),
            _ => (points[1], points[0]),
        })
        .collect();
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
        cpu: compare(|point| point.cpu),
    })
}

/// Runs the programs in this order.
fn points(
    setting: &Setting<'_>,
    case: &Case,
    order: &[Run],
    tick: &mut dyn FnMut(),
) -> Result<Vec<Point>> {
    if let Load::Pcie(io) = case.ours.load {
        let programs: Vec<Program> = order.iter().map(|run| run.program).collect();
        let samples = machine::samples(setting, io, &programs, tick)?;
        // The machine's processor time says nothing about a program.
        let points = samples.into_iter();
        return Ok(points.map(|sample| Point { sample, cpu: None }).collect());
    }
    let target = match case.ours.load {
        Load::Host(bdev, _) => Some(Target::start(setting, Program::NvmfTgt, bdev)?),
        _ => None,
    };
    let points = order.iter().map(|run| {
        let point = point(setting, *run, target.as_ref());
        tick();
        point
    });
    points.collect()
}

fn point(setting: &Setting<'_>, run: Run, target: Option<&Target>) -> Result<Point> {
    let own;
    let (program, mut command) = match (run.load, target) {
        (Load::Host(_, io), Some(target)) => {
            (run.program, setting.host(run.program, &target.place(), io)?)
        }
        (Load::Target(bdev, io), _) => {
            own = Target::start(setting, run.program, bdev)?;
            let host = Program::SpdkNvmePerf;
            (host, setting.host(host, &own.place(), io)?)
        }
        _ => (run.program, setting.command(run)?),
    };
    let time = Duration::from_secs_f64(setting.times.seconds.max(1.0) + setting.times.warmup);
    let finished = process::finish(&mut command, time, setting.scratch)?;
    let sample = program
        .sample(&finished.stdout)
        .with_context(|| format!("the report of {program} cannot be used"))?;
    let cpu = finished.cpu / finished.elapsed;
    Ok(Point {
        sample,
        cpu: (program == run.program).then_some(cpu),
    })
}
