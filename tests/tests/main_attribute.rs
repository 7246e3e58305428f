//! `#[spdk::main]`, seen from outside: exit codes, signals, and what is printed.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(30);

struct Daemon {
    child: Child,
    out: BufReader<ChildStdout>,
}

/// How it ended.
struct End {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Daemon {
    fn start(argument: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_daemon"))
            .arg(argument)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => panic!("{error}"),
        };
        match child.stdout.take() {
            Some(out) => Daemon {
                child,
                out: BufReader::new(out),
            },
            None => panic!("it has no stdout"),
        }
    }

    /// Waits until it says this line.
    fn wait_for(&mut self, expected: &str) {
        let mut line = String::new();
        match self.out.read_line(&mut line) {
            Ok(_) => assert_eq!(line.trim_end(), expected),
            Err(error) => panic!("{error}"),
        }
    }

    fn signal(&self, signal: Signal) {
        let sent = kill_process(Pid::from_child(&self.child), signal);
        assert!(sent.is_ok(), "{sent:?}");
    }

    fn end(mut self) -> End {
        let (tx, rx) = mpsc::channel();
        let mut stderr = self.child.stderr.take();
        // Both streams are read at once, and the end of both is the end of the process.
        let readers = std::thread::spawn(move || {
            let errors = std::thread::spawn(move || {
                let mut err = String::new();
                stderr
                    .as_mut()
                    .map(|stderr| stderr.read_to_string(&mut err));
                err
            });
            let mut out = String::new();
            let read = self.out.read_to_string(&mut out);
            // The receiver may have lost its patience.
            let _ = tx.send((read.is_ok(), out, errors.join().unwrap_or_default()));
        });
        let start = Instant::now();
        let Ok((true, out, err)) = rx.recv_timeout(PATIENCE) else {
            let killed = self.child.kill();
            panic!("it did not end within {:?} ({killed:?})", start.elapsed());
        };
        assert!(readers.join().is_ok());
        match self.child.wait() {
            Ok(status) => End {
                code: status.code(),
                out,
                err,
            },
            Err(error) => panic!("{error}"),
        }
    }
}

/// Fails if the result of the function is not the exit code's.
#[test]
fn the_result_is_the_exit_code() {
    let end = Daemon::start("return").end();
    assert_eq!(
        (end.code, end.out.as_str()),
        (Some(0), "dropped\n"),
        "{}",
        end.err
    );
    let end = Daemon::start("error").end();
    assert_eq!((end.code, end.out.as_str()), (Some(1), "dropped\n"));
    assert!(
        end.err.contains("NoSuchBdev { name: \"Malloc1\" }"),
        "{}",
        end.err
    );
    let end = Daemon::start("panic").end();
    assert_eq!((end.code, end.out.as_str()), (Some(101), "dropped\n"));
    assert!(end.err.contains("on purpose"), "{}", end.err);
}

/// Fails if SPDK's flags of logging are not those of the attribute.
#[test]
fn log_flags_are_set() {
    let end = Daemon::start("flags").end();
    assert_eq!(
        (end.code, end.out.as_str()),
        (Some(0), "aio\ndropped\n"),
        "{}",
        end.err
    );
}

/// Fails if an application that does not start is a success, or does not say why.
#[test]
fn a_failed_start_is_an_error() {
    let end = Daemon::start("bad-config").end();
    assert_eq!((end.code, end.out.as_str()), (Some(1), ""));
    assert!(
        end.err
            .contains("Method 'bdev_no_such_create' was not found"),
        "{}",
        end.err
    );
}

/// Fails if a signal kills the process, leaves the main function undropped, or is no success.
#[test]
fn signals_end_it_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut daemon = Daemon::start("run");
        daemon.wait_for("ready");
        daemon.signal(signal);
        let end = daemon.end();
        assert_eq!(
            (end.code, end.out.as_str()),
            (Some(0), "dropped\n"),
            "{signal:?}: {}",
            end.err
        );
    }
}
