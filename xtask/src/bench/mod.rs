//! `cargo xtask bench`: this crate beside C, on the same bdevs, in one run.

mod bdevperf;
mod build;
mod case;
mod pairs;
mod process;
mod program;
mod report;
mod sample;
mod stats;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::find::{self, Found};
use crate::{interrupt, setup, ui};
use case::Case;
use program::{Setting, Times};
use report::Report;

/// What `cargo xtask bench` is asked for.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Measure this case, or this family of cases (may be given several times; default: all).
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,

    /// List the cases and measure nothing.
    #[arg(long)]
    list: bool,

    /// How many pairs of runs a case gets.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,

    /// How long each run measures. bdevperf takes whole seconds, so for it this is rounded up.
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    seconds: f64,

    /// How long each run of ours warms up before.
    #[arg(long, value_name = "S", default_value = "0.2", value_parser = warmup)]
    warmup: f64,

    /// Print the report as JSON on standard output, and the table on standard error.
    #[arg(long)]
    json: bool,

    /// SPDK's bdevperf, if it is not where SPDK's builds and installations have it.
    #[arg(long, value_name = "FILE")]
    bdevperf: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.01..=3600.0).contains(&value) => Ok(value),
        _ => Err("seconds from 0.01 to 3600".to_owned()),
    }
}

fn warmup(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=3600.0).contains(&value) => Ok(value),
        _ => Err("seconds from 0 to 3600".to_owned()),
    }
}

/// Runs the subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    let cases = case::select(case::all(), &options.cases)?;
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(());
    }
    setup::ensure()?;
    let found = find::find().map_err(|page| anyhow::anyhow!("{page}"))?;
    interrupt::install("What was measured is lost; the command starts anew.");
    let report = measure(options, &found, &cases)?;
    let text = table::cases(&report) + &table::legend(&report);
    if options.json {
        eprint!("{text}");
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{text}");
    }
    Ok(())
}

fn measure(options: &Options, found: &Found, cases: &[Case]) -> Result<Report> {
    let cores = allowed_cores()?;
    let (cases, too_many): (Vec<_>, Vec<_>) =
        cases.iter().partition(|case| case.cores() <= cores.len());
    for case in too_many {
        eprintln!("{}: left out, it takes {} cores", case.name, case.cores());
    }
    if cases.is_empty() {
        bail!("there is no case that {} cores are enough for", cores.len());
    }
    ui::headline("Building the programs");
    let built = build::build(found, options.bdevperf.as_deref())?;
    let scratch = scratch()?;
    let setting = Setting {
        built: &built,
        cores: &cores,
        scratch: scratch.path(),
        times: Times {
            seconds: options.seconds,
            warmup: options.warmup,
        },
    };
    let pairs = options.pairs as usize;
    let total = (cases.len() * pairs * 2) as u64;
    let step = ui::Step::begin(1, 1, "measure");
    let mut position = 0;
    let mut measured = Vec::with_capacity(cases.len());
    for case in cases {
        step.detail(&case.name);
        let result = pairs::measure(&setting, case, pairs, || {
            position += 1;
            step.progress(ui::Unit::Items, position, total);
        })?;
        step.note(&table::line(&result));
        measured.push(result);
    }
    step.done("");
    Ok(Report {
        spdk: found.version.to_string(),
        cores: cores.clone(),
        seconds: options.seconds,
        warmup: options.warmup,
        cases: measured,
    })
}

/// The cores that this process may use, fewer than which no program gets.
fn allowed_cores() -> Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None).context("cannot ask for the cores")?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect())
}

/// A folder for what the programs read and write, which an interruption removes, too.
fn scratch() -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("spdk-bench-")
        .tempdir()
        .context("cannot create a folder for temporary files")?;
    interrupt::remove_at_end(folder.path());
    Ok(folder)
}
