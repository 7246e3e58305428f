//! The instructions of one I/O, counted by valgrind's callgrind.
//!
//! What starts and stops a program is most of what it executes there, so each program runs for a short and a long time:
//! the difference of the instructions, divided by the difference of the I/Os. valgrind knows no AVX-512; an SPDK that
//! was built for the machine that it runs on may have it, the one of `cargo xtask setup` has not.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Figure;
use crate::bench::case::{Bdev, Io, Load, Run, Workload};
use crate::bench::process;
use crate::bench::program::{Program, Setting, Times};
use crate::ui;

const SECONDS: [f64; 2] = [1.0, 3.0];

/// Runs of callgrind agree within this.
const NOISE: f64 = 0.01;

const PROGRAMS: [Program; 4] = [
    Program::SpdkPerf,
    Program::PlainTasks,
    Program::Bdevperf,
    Program::BdevLoop,
];
const DEPTHS: [u32; 2] = [1, 32];

pub(super) fn count(setting: &Setting<'_>, step: &ui::Step) -> Result<Vec<Figure>> {
    if !is_there() {
        step.note("instructions: valgrind is not installed (on Debian: apt-get install valgrind)");
        return Ok(Vec::new());
    }
    let mut figures = Vec::new();
    let runs = PROGRAMS
        .iter()
        .flat_map(|program| DEPTHS.map(|depth| (*program, depth)));
    let total = (PROGRAMS.len() * DEPTHS.len()) as u64;
    for (position, (program, depth)) in (0..).zip(runs) {
        step.progress(ui::Unit::Items, position, total);
        step.detail(program.name());
        let io = Io {
            workload: Workload::Read,
            size: 4096,
            depth,
        };
        let run = Run {
            program,
            cores: 1,
            load: Load::Io(Bdev::Null, io),
        };
        match each(setting, run) {
            Ok(value) => {
                let name = format!("instructions-{program}-qd{depth}");
                figures.push(Figure::new(name, value, "per I/O", NOISE));
            }
            Err(error) => step.note(&format!("instructions: not for {program}: {error:#}")),
        }
    }
    Ok(figures)
}

fn is_there() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

fn each(setting: &Setting<'_>, run: Run) -> Result<f64> {
    let [short, long] = SECONDS.map(|seconds| one(setting, run, seconds));
    per_io(short?, long?)
}

fn per_io(short: (f64, f64), long: (f64, f64)) -> Result<f64> {
    let (instructions, ios) = (long.0 - short.0, long.1 - short.1);
    if instructions <= 0.0 || ios <= 0.0 {
        bail!("the longer run did no more than the shorter one");
    }
    Ok(instructions / ios)
}

/// The instructions and the I/Os of a run.
fn one(setting: &Setting<'_>, run: Run, seconds: f64) -> Result<(f64, f64)> {
    let setting = Setting {
        times: Times {
            seconds,
            warmup: 0.0,
        },
        ..*setting
    };
    let plain = setting.command(run)?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--"])
        .arg(plain.get_program())
        .args(plain.get_args());
    let finished = process::finish(
        &mut command,
        Duration::from_secs_f64(60.0 + seconds),
        setting.scratch,
    )?;
    let instructions = collected(&finished.stderr)?;
    let sample = run.program.sample(&finished.stdout)?;
    Ok((
        instructions,
        sample.rate * sample.seconds.unwrap_or(seconds),
    ))
}

/// callgrind's last words: `==23265== Collected : 312755`
fn collected(stderr: &str) -> Result<f64> {
    let line = stderr
        .lines()
        .find_map(|line| line.split_once("Collected :"));
    let count = line.and_then(|(_, count)| count.trim().parse().ok());
    count.context("callgrind said no `Collected : N`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_program_does_not_count() {
        assert_eq!(per_io((1_000.0, 10.0), (2_000.0, 15.0)).unwrap(), 200.0);
        assert!(per_io((1_000.0, 10.0), (2_000.0, 10.0)).is_err());
    }

    #[test]
    fn callgrinds_count_is_found() {
        let text = "==7== Events    : Ir\n==7== Collected : 620252936\n==7== \n";
        assert_eq!(collected(text).unwrap(), 620_252_936.0);
        assert!(collected("valgrind: no such tool").is_err());
    }
}
