//! Runs a measured program to its end.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{interrupt, run};

/// How often it is asked whether the program has ended. The answer costs microseconds, also on its own core.
const TICK: Duration = Duration::from_millis(20);

/// What SPDK may take to start and to stop, on a busy machine.
const MARGIN: Duration = Duration::from_secs(90);

/// What a program may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// What a program may take until others can begin.
const START: Duration = Duration::from_secs(60);

const TAIL_LINES: usize = 15;

/// What came of a program.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// Seconds of processor time, its start and end included.
    pub(super) cpu: f64,
    /// Seconds of real time.
    pub(super) elapsed: f64,
}

/// A program that runs beside those that are measured. It ends when this is dropped.
pub(super) struct Beside {
    child: Child,
    text: String,
    log: PathBuf,
}

impl Beside {
    /// Starts `command`, with what it prints in a file of `scratch`.
    pub(super) fn start(command: &mut Command, scratch: &Path) -> Result<Self> {
        let text = run::describe(command);
        let log = scratch.join("beside");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let both = file
            .try_clone()
            .context("cannot copy a file's descriptor")?;
        command
            .stdin(Stdio::null())
            .stdout(both)
            .stderr(file)
            .env("LC_ALL", "C.UTF-8")
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{text}`"))?;
        interrupt::watch_beside(group(&child));
        Ok(Beside { child, text, log })
    }

    /// Waits until it is ready.
    pub(super) fn until(&mut self, is_ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + START;
        while !is_ready() {
            let status = self.child.try_wait().context("cannot wait for a program")?;
            let what = match status {
                Some(status) => format!("has ended ({status})"),
                None if Instant::now() > deadline => {
                    format!("is not ready after {} s", START.as_secs())
                }
                None => {
                    std::thread::sleep(TICK);
                    continue;
                }
            };
            let said = read(&self.log)?;
            bail!("`{}` {what}:\n{}", self.text, tail(&said, ""));
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(group) = group(&self.child) {
            let deadline = Instant::now() + GRACE;
            // It may have ended; then there is nobody to hear it.
            let _ = kill_process_group(group, Signal::TERM);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(TICK);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        interrupt::watch_beside(None);
    }
}

fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Runs `command`, which should take `time`, with what it prints in files of `scratch`.
pub(super) fn finish(command: &mut Command, time: Duration, scratch: &Path) -> Result<Finished> {
    let text = run::describe(command);
    let (out, err) = (scratch.join("stdout"), scratch.join("stderr"));
    let create = |path: &Path| {
        File::create(path).with_context(|| format!("cannot write {}", path.display()))
    };
    command
        .stdin(Stdio::null())
        .stdout(create(&out)?)
        .stderr(create(&err)?)
        .env("LC_ALL", "C.UTF-8")
        .process_group(0);
    let before = children_cpu()?;
    let start = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{text}`"))?;
    let group = group(&child);
    interrupt::watch(group);
    let deadline = start + time + MARGIN;
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for a program")? {
            break Some(status);
        }
        if Instant::now() > deadline {
            if let Some(group) = group {
                interrupt::end(group);
            }
            child.wait().context("cannot wait for a program")?;
            break None;
        }
        std::thread::sleep(TICK);
    };
    let elapsed = start.elapsed().as_secs_f64();
    interrupt::yield_to_handler();
    interrupt::watch(None);
    let (stdout, stderr) = (read(&out)?, read(&err)?);
    match status {
        Some(status) if status.success() => Ok(Finished {
            stdout,
            stderr,
            cpu: children_cpu()? - before,
            elapsed,
        }),
        Some(status) => bail!("`{text}` failed ({status}):\n{}", tail(&stdout, &stderr)),
        None => bail!(
            "`{text}` did not end within {} s:\n{}",
            (time + MARGIN).as_secs(),
            tail(&stdout, &stderr)
        ),
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Seconds of processor time of all children that have ended.
fn children_cpu() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot ask for processor times")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}

fn tail(stdout: &str, stderr: &str) -> String {
    let lines: Vec<&str> = stdout.lines().chain(stderr.lines()).collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    last.iter().map(|line| format!("    {line}\n")).collect()
}
