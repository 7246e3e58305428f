//! Who does what right now, and a watchdog that tells it when nothing happens any more.

use std::fmt::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long nobody has to have done anything. An operation takes less, a stopped target included.
const HANG: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(250);

/// What each of the parts of a test does.
#[derive(Debug)]
pub struct Board {
    lines: Mutex<Vec<Line>>,
}

#[derive(Debug)]
struct Line {
    who: String,
    does: String,
    since: Instant,
}

impl Board {
    /// An empty one.
    pub fn new() -> Arc<Board> {
        Arc::new(Board {
            lines: Mutex::default(),
        })
    }

    /// Tells what somebody does from now on.
    pub fn say(&self, who: &str, does: impl Into<String>) {
        let mut lines = self.lines();
        let line = match lines.iter().position(|line| line.who == who) {
            Some(known) => &mut lines[known],
            None => {
                lines.push(Line {
                    who: who.to_owned(),
                    does: String::new(),
                    since: Instant::now(),
                });
                let last = lines.len() - 1;
                &mut lines[last]
            }
        };
        line.does = does.into();
        line.since = Instant::now();
    }

    /// All of it, and for how long.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Line { who, does, since } in &*self.lines() {
            // Writing to a `String` does not fail.
            let _ = writeln!(text, "  {who}: {does}, for {:?}", since.elapsed());
        }
        text
    }

    fn quiet_for(&self) -> Duration {
        let times = self.lines();
        let times = times.iter().map(|line| line.since.elapsed());
        times.min().unwrap_or_default()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Ends the process when nothing happens any more, from an OS thread of its own: the reactor may be
/// what hangs.
#[derive(Debug)]
pub struct Watchdog {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Watchdog {
    /// Begins to watch. `hint` is printed too.
    pub fn start(board: Arc<Board>, hint: String) -> Self {
        let (stop, stopped) = mpsc::channel();
        let watch = move || {
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if board.quiet_for() > HANG {
                    eprintln!(
                        "nothing has happened for {HANG:?} ({hint}):\n{}",
                        board.text()
                    );
                    std::process::abort();
                }
            }
        };
        let thread = std::thread::spawn(watch);
        Watchdog {
            thread: Some((stop, thread)),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            // It does not panic, and if it did there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}
