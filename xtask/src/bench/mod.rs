//! `cargo xtask bench`: this crate beside C, on the same bdevs, in one run.

mod bars;
mod baseline;
mod bdevperf;
mod build;
mod case;
mod chart;
mod figure;
mod machine;
mod nvme_perf;
mod pairs;
mod process;
mod program;
mod report;
mod sample;
mod stats;
mod table;
mod tcp;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::find::{self, Found};
use crate::{interrupt, setup, ui};
use baseline::Change;
use build::Built;
use case::Selection;
use program::{Setting, Times};
use report::Report;

/// What `cargo xtask bench` is asked for.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Measure this case, or this family of cases (may be given several times; default: all).
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,

    /// Measure what the bars need, and nothing else.
    #[arg(long)]
    bars: bool,

    /// List the cases and measure nothing.
    #[arg(long)]
    list: bool,

    /// How many pairs of runs a case gets.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,

    /// How long each run measures. SPDK's own programs take whole seconds, so for them this is rounded up.
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    seconds: f64,

    /// How long each run of ours warms up before.
    #[arg(long, value_name = "S", default_value = "0.2", value_parser = warmup)]
    warmup: f64,

    /// Print the report as JSON on standard output, and the table on standard error.
    #[arg(long)]
    json: bool,

    /// Where to write `report.json` and `chart.svg` [default: `bench` in cargo's target folder].
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Say what has changed since this report, which an earlier run printed with --json.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Fail if a bar was not met, or with --bars not measured whole, by five pairs or more, or if something got slower than
    /// the baseline beyond the spread.
    #[arg(long)]
    check: bool,

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
    let selection = case::select(&options.cases, options.bars)?;
    if options.list {
        list(&selection);
        return Ok(());
    }
    // Found out before minutes are spent.
    let baseline = options
        .baseline
        .as_deref()
        .map(baseline::read)
        .transpose()?;
    setup::ensure()?;
    let found = find::find().map_err(|page| anyhow::anyhow!("{page}"))?;
    interrupt::install("What was measured is lost.");
    ui::headline("Building the programs");
    let built = build::build(&found, &selection, options.bdevperf.as_deref())?;
    let report = measure(options, &found, &built, &selection)?;
    let changes = baseline.map(|baseline| baseline::compare(&baseline, &report));
    let parts = [
        table::cases(&report),
        table::legend(&report),
        table::figures(&report),
        table::bars(&report),
        changes.as_deref().map_or_else(String::new, table::changes),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let text = parts.join("\n");
    if options.json {
        eprint!("{text}");
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{text}");
    }
    let output = match &options.output {
        Some(folder) => folder.clone(),
        None => built.folder()?,
    };
    save(&report, &output)?;
    match options.check {
        true => check(
            &report,
            changes.as_deref().unwrap_or_default(),
            options.bars,
        ),
        false => Ok(()),
    }
}

fn list(selection: &Selection) {
    let cases = selection.cases.iter().map(|case| case.name.as_str());
    for name in cases.chain(selection.sources.iter().map(|source| source.name())) {
        println!("{name}");
    }
}

/// Fails if a bar was missed, or something is worse than the baseline; also if a bar was not measured whole, when that was to be
/// (`all`).
fn check(report: &Report, changes: &[Change], all: bool) -> Result<()> {
    let count = |met| report.bars.iter().filter(|bar| bar.met == met).count();
    let (missed, incomplete) = (count(Some(false)), if all { count(None) } else { 0 });
    let worse = changes.iter().filter(|change| change.worse).count();
    if (missed, incomplete, worse) == (0, 0, 0) {
        return Ok(());
    }
    bail!(
        "{missed} bars were not met, {incomplete} not measured whole, and {worse} results are worse than the baseline"
    )
}

/// Keeps the report for a later comparison, and draws the chart.
fn save(report: &Report, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let json = folder.join("report.json");
    std::fs::write(&json, serde_json::to_string_pretty(report)?)
        .with_context(|| format!("cannot write {}", json.display()))?;
    eprintln!("Written: {}", json.display());
    if !report.cases.is_empty() {
        let svg = folder.join("chart.svg");
        chart::write(report, &svg)?;
        eprintln!("Written: {}", svg.display());
    }
    Ok(())
}

fn measure(
    options: &Options,
    found: &Found,
    built: &Built,
    selection: &Selection,
) -> Result<Report> {
    let cores = allowed_cores()?;
    let (cases, too_many): (Vec<_>, Vec<_>) = selection
        .cases
        .iter()
        .partition(|case| case.cores() <= cores.len());
    for case in too_many {
        eprintln!("{}: left out, it takes {} cores", case.name, case.cores());
    }
    let (cases, kernel) = machine::kernel(cases);
    let scratch = scratch()?;
    let setting = Setting {
        built,
        cores: &cores,
        scratch: scratch.path(),
        kernel: kernel.as_ref(),
        times: Times {
            seconds: options.seconds,
            warmup: options.warmup,
        },
    };
    let mut report = Report {
        spdk: found.version.to_string(),
        cores: cores.clone(),
        seconds: options.seconds,
        warmup: options.warmup,
        cases: Vec::with_capacity(cases.len()),
        figures: Vec::new(),
        bars: Vec::new(),
    };
    let steps = usize::from(!cases.is_empty()) + selection.sources.len();
    if !cases.is_empty() {
        let step = ui::Step::begin(1, steps, "pairs");
        let pairs = options.pairs as usize;
        let total = (cases.len() * pairs * 2) as u64;
        let mut position = 0;
        for case in &cases {
            step.detail(&case.name);
            let measured = pairs::measure(&setting, case, pairs, || {
                position += 1;
                step.progress(ui::Unit::Items, position, total);
            })?;
            step.note(&table::line(&measured));
            report.cases.push(measured);
        }
        step.done("");
    }
    let first = steps - selection.sources.len() + 1;
    for (index, source) in (first..).zip(&selection.sources) {
        let step = ui::Step::begin(index, steps, source.name());
        let figures = source.figures(&setting, &step)?;
        report.figures.extend(figures);
        step.done("");
    }
    report.bars = bars::judge(&report);
    Ok(report)
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
