//! `spdk-perf`: how many I/Os per second a bdev does, and how long one takes.
//!
//! It is written as a user of the `spdk` crate would write it: each I/O in flight is a task that
//! reads or writes, waits, and does it again.
#![forbid(unsafe_code)]

mod args;
mod job;
mod latency;
mod pattern;
mod plan;
mod progress;
mod refusal;
mod report;
mod slot;
mod verify;
mod workload;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Sender, channel};

use clap::Parser;
use futures_util::future::try_join_all;
use spdk::{LogLevel, SpdkApp};

use crate::args::Args;
use crate::job::{Outcome, Run};
use crate::refusal::Refusal;
use crate::report::Report;

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(&args) {
        Ok(report) => {
            if args.json {
                match serde_json::to_string(&report) {
                    Ok(json) => println!("{json}"),
                    Err(error) => unreachable!("a report is plain data: {error}"),
                }
            } else {
                print!("{report}");
            }
            if report.errors + report.mismatches == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(refusal) => {
            eprintln!("spdk-perf: {refusal}");
            ExitCode::from(if refusal.is_usage() { 2 } else { 1 })
        }
    }
}

fn measure(args: &Args) -> Result<Report, Refusal> {
    plan::check(args)?;
    let app = SpdkApp::builder()
        .name("spdk-perf")
        .config_file(&args.config)
        .reactor_mask(&args.core_mask)
        .mem_size_mb(args.mem_size)
        .no_huge(!args.hardware)
        .no_pci(!args.hardware)
        .disable_cpumask_locks(args.disable_cpumask_locks)
        .log_level(LogLevel::Warn);
    let (start, lines) = progress::spawn(args.io_size, args.warmup);
    let (sender, outcomes) = channel();
    let ended = app.block_on({
        let args = args.clone();
        async move { Ok(run(&args, &start, &sender).await) }
    });
    // It ends, since `start` is gone; it has no other result.
    let _ = lines.join();
    let outcomes: Vec<Outcome> = outcomes.try_iter().collect();
    let interrupted = match ended {
        Ok(result) => result.map(|()| false)?,
        // SIGINT or SIGTERM: there is what was measured until then.
        Err(spdk::Error::Cancelled) if !outcomes.is_empty() => true,
        Err(error) => return Err(error.into()),
    };
    let hz = spdk::ticks_hz()?;
    Ok(Report::new(args, outcomes, hz, interrupted))
}

/// Runs every job to its end, each on its core.
async fn run(
    args: &Args,
    start: &progress::Start,
    outcome: &Sender<Outcome>,
) -> Result<(), Refusal> {
    let specs = plan::jobs(args, &SpdkApp::cores()?)?;
    let counts: progress::Counts = specs.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
    // Whoever shows them may have failed; the measurement goes on.
    let _ = start.send(counts.clone());
    let hz = spdk::ticks_hz()? as f64;
    let begin = spdk::ticks() + (args.warmup.as_secs_f64() * hz) as u64;
    let run = Arc::new(Run {
        begin,
        end: begin + (args.time.as_secs_f64() * hz) as u64,
        stop: AtomicBool::new(false),
    });
    let jobs = specs.into_iter().zip(counts).map(|(spec, count)| {
        let (run, outcome) = (run.clone(), outcome.clone());
        spdk::spawn_on(spec.core, move || job::run(spec, run, count, outcome))
    });
    let ends: Vec<spdk::Result<()>> = try_join_all(jobs).await?;
    ends.into_iter().collect::<spdk::Result<()>>()?;
    Ok(())
}
