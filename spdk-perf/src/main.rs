//! `spdk-perf`: how many I/Os per second a bdev or an NVMe controller does, and how long one takes.
//!
//! It is written as a user of the `spdk` crate would write it: with an `IoQueue`, whose closure submits the next I/O of a bdev
//! as one ends; for NVMe, a task takes the commands that have ended, and submits the next ones.
#![forbid(unsafe_code)]

mod args;
mod controllers;
mod device;
mod job;
mod latency;
mod load;
mod pattern;
mod plan;
mod progress;
mod refusal;
mod report;
mod verify;
mod workload;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use clap::Parser;
use futures_util::future::{Either, pending, select, try_join_all};
use spdk::{LogLevel, SpdkApp};

use crate::args::Args;
use crate::job::{Gate, Outcome, Run, Start};
use crate::refusal::Refusal;
use crate::report::Report;

/// How long after the end of the measurement no I/O may end until those that are left are given up.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(&args) {
        Ok(report) => {
            let shown = match args.json {
                true => serde_json::to_string(&report).map(|json| json + "\n"),
                false => Ok(report.to_string()),
            };
            let shown = match shown {
                Ok(shown) => io::stdout().write_all(shown.as_bytes()),
                Err(error) => unreachable!("a report is plain data: {error}"),
            };
            if let Err(error) = &shown {
                tell(&format!("cannot print the report: {error}"));
            }
            if shown.is_ok() && report.errors + report.mismatches == 0 && !report.unanswered {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(refusal) => {
            tell(&refusal.to_string());
            ExitCode::from(if refusal.is_usage() { 2 } else { 1 })
        }
    }
}

/// Says it on standard error. Nobody may read that any more, and the run goes on.
fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "spdk-perf: {what}");
}

fn measure(args: &Args) -> Result<Report, Refusal> {
    plan::check(args)?;
    let mut app = SpdkApp::builder();
    if let Some(config) = &args.config {
        app = app.config_file(config);
    }
    let app = app
        .name("spdk-perf")
        .reactor_mask(&args.core_mask)
        .mem_size_mb(args.mem_size)
        .no_huge(!args.hardware)
        .no_pci(!args.hardware)
        .disable_cpumask_locks(args.disable_cpumask_locks)
        .log_level(LogLevel::Warn);
    let (start, lines) = progress::spawn(args.io_size, args.warmup);
    let (sender, outcomes) = channel();
    let unanswered = Arc::new(AtomicBool::new(false));
    let ended = app.block_on({
        let (args, unanswered) = (args.clone(), unanswered.clone());
        async move { Ok(run(&args, &start, &sender, &unanswered).await) }
    });
    // It ends, since `start` is gone; it has no other result.
    let _ = lines.join();
    let outcomes: Vec<Outcome> = outcomes.try_iter().collect();
    let unanswered = unanswered.load(Relaxed);
    let interrupted = match ended {
        Ok(result) => result.map(|()| false)?,
        Err(error) => match error.kind() {
            // SIGINT or SIGTERM: there is what was measured until then.
            spdk::ErrorKind::Cancelled if !outcomes.is_empty() => true,
            _ if unanswered => {
                tell(&error.to_string());
                false
            }
            _ => return Err(error.into()),
        },
    };
    let hz = spdk::ticks_hz()?;
    Ok(Report::new(args, outcomes, hz, interrupted, unanswered))
}

/// Runs every job to its end, each on its core. If I/Os are left that do not end, it says so, and leaves them to the end of
/// the application, which resets their devices.
async fn run(
    args: &Args,
    start: &progress::Start,
    outcome: &Sender<Outcome>,
    unanswered: &AtomicBool,
) -> Result<(), Refusal> {
    let groups = plan::jobs(args, &SpdkApp::cores()?).await?;
    let hz = spdk::ticks_hz()? as f64;
    let (mut counts, mut ready, mut go) = (Vec::new(), Vec::new(), Vec::new());
    let mut jobs = Vec::new();
    for group in groups {
        let core = group.first().map_or(0, |spec| spec.core);
        let starts = group.into_iter().map(|spec| {
            let count = Arc::new(AtomicU64::new(0));
            counts.push(count.clone());
            let (is_ready, waits_for_job) = spdk::completion();
            ready.push(waits_for_job);
            let (goes, waits_for_all) = spdk::completion();
            go.push(goes);
            let gate = Gate {
                ready: is_ready,
                go: waits_for_all,
            };
            Start {
                spec,
                gate,
                count,
                outcome: outcome.clone(),
            }
        });
        let starts: Vec<_> = starts.collect();
        jobs.push(spdk::spawn_on(core, move || job::run(starts)));
    }
    let begin = async move {
        // A job that cannot begin lets go of its gate, and so does this of the others'.
        if try_join_all(ready).await.is_err() {
            return;
        }
        let begin = spdk::ticks() + (args.warmup.as_secs_f64() * hz) as u64;
        let run = Arc::new(Run {
            begin,
            end: begin + (args.time.as_secs_f64() * hz) as u64,
            stop: AtomicBool::new(false),
        });
        // Whoever shows them may have failed; the measurement goes on.
        let _ = start.send(counts.clone());
        go.into_iter().for_each(|go| go.success(run.clone()));
        if standstill(args, &counts).await.is_ok() {
            unanswered.store(true, Relaxed);
        } else {
            pending().await
        }
    };
    let (jobs, begin) = (std::pin::pin!(try_join_all(jobs)), std::pin::pin!(begin));
    match select(jobs, begin).await {
        Either::Left((ends, _)) => ends?.into_iter().collect(),
        Either::Right(((), jobs)) if !unanswered.load(Relaxed) => jobs.await?.into_iter().collect(),
        Either::Right(_) => {
            let seconds = PATIENCE.as_secs();
            tell(&format!(
                "no I/O has ended for {seconds} s after the time: those in flight are given up"
            ));
            Ok(())
        }
    }
}

/// Ready when the time is over, and nothing has ended for a while.
async fn standstill(args: &Args, counts: &progress::Counts) -> spdk::Result<()> {
    spdk::time::sleep(args.warmup + args.time).await?;
    let mut before = None;
    loop {
        let count: u64 = counts.iter().map(|count| count.load(Relaxed)).sum();
        if before.replace(count) == Some(count) {
            return Ok(());
        }
        spdk::time::sleep(PATIENCE).await?;
    }
}
