//! Power cuts: a process that works on a device is killed at a random moment, again and again.
//!
//! The worker is a process of its own, since SPDK dies with it. It says on a pipe what it begins and what has ended,
//! and what it has found when it started: the test, at the other end, knows what must be there after each cut.
//!
//! What a killed process has handed to the kernel is written all the same: these tests are about the order in which
//! things are written and acknowledged, and not about a device that loses what it had acknowledged.

pub mod blobs;
pub mod model;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::random::Random;

/// SIGKILL.
const KILL: i32 = 9;

/// When a worker is killed.
#[derive(Debug)]
pub enum Cut {
    /// So long after it was started, which is before or while it loads.
    Loading(Duration),
    /// So long after it has written so many lines, the one of its start not counted.
    Working(u64, Duration),
}

impl Cut {
    /// A random moment for a worker that starts in this time, and writes so many lines at most.
    pub fn random(random: &mut Random, start: Duration, lines: u64) -> Self {
        if random.one_in(10) {
            let most = start.as_micros() as u64 + 1;
            return Cut::Loading(Duration::from_micros(random.below(most)));
        }
        // Mostly at once, when what was said last has hardly begun.
        let wait = match random.below(3) {
            0 => 0,
            1 => random.below(50),
            _ => random.below(2000),
        };
        Cut::Working(random.below(lines), Duration::from_micros(wait))
    }
}

/// A process that is to be killed.
pub struct Worker {
    child: Child,
    lines: BufReader<ChildStdout>,
    started: Instant,
}

impl Worker {
    /// Starts it. It says on its stdout what it does.
    ///
    /// # Panics
    ///
    /// When there is no such program.
    pub fn start(command: &mut Command) -> Self {
        let started = Instant::now();
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let Some(out) = child.stdout.take() else {
            unreachable!("it was asked for");
        };
        Worker {
            child,
            lines: BufReader::new(out),
            started,
        }
    }

    /// The process, to write to it.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The next line that it says, until it ends.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            // Without an end it was cut.
            Ok(_) => line.ends_with('\n').then(|| line.trim_end().to_owned()),
            Err(error) => panic!("cannot read what a worker says: {error}"),
        }
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Kills it.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        if let Err(error) = self.child.kill() {
            panic!("cannot kill a worker: {error}");
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// How it has ended, if it was not killed.
    pub fn killed(&mut self) -> Result<(), String> {
        match self.child.wait() {
            Ok(status) if status.signal() == Some(KILL) => Ok(()),
            Ok(status) => Err(format!("the worker has ended by itself: {status}")),
            Err(error) => Err(format!("cannot wait for a worker: {error}")),
        }
    }

    /// Kills it as planned, and adds all that it has said.
    ///
    /// # Errors
    ///
    /// How it has ended, if it was not killed.
    pub fn cut(mut self, cut: &Cut, said: &mut Vec<String>) -> Result<(), String> {
        let wait = match cut {
            Cut::Loading(wait) => wait.saturating_sub(self.age()),
            Cut::Working(lines, wait) => {
                while said.len() as u64 <= *lines {
                    let Some(line) = self.line() else {
                        self.killed()?;
                        return Err("somebody else has killed the worker".to_owned());
                    };
                    said.push(line);
                }
                *wait
            }
        };
        std::thread::sleep(wait);
        self.kill();
        said.extend(std::iter::from_fn(|| self.line()));
        self.killed()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Of no effect on one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        spdk::__testing::remove_leftovers(self.child.id());
    }
}
