//! The process that runs the body of the test.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Verdict, process};
use crate::panic;

/// What the report starts with.
pub(super) const PASSED: u8 = b'P';
pub(super) const FAILED: u8 = b'F';

/// Runs the body and reports how it ended. Its stdout goes where stderr does, so that the parent has
/// both in order and without the words of the test framework.
pub(super) fn run(body: impl FnOnce() -> Verdict) {
    let mut report = match prepare() {
        Ok(report) => report,
        Err(error) => panic!("cannot prepare the process of the test: {error}"),
    };
    let end = catch_unwind(AssertUnwindSafe(body));
    let reported = match &end {
        Ok(None) => report.write_all(&[PASSED]),
        Ok(Some(reason)) => {
            eprintln!("{reason}");
            fail(&mut report, reason)
        }
        Err(payload) => fail(&mut report, &panic::text(&**payload)),
    };
    if let Err(error) = reported.and_then(|()| silence()) {
        panic!("cannot report how the test ended: {error}");
    }
    match end {
        Ok(None) => {}
        Ok(Some(reason)) => resume_unwind(Box::new(reason)),
        Err(payload) => resume_unwind(payload),
    }
}

/// Takes the report's socket, which the parent passed as stdin, and sets the standard streams.
fn prepare() -> io::Result<UnixStream> {
    process::die_with_parent()?;
    let stdin = io::stdin();
    let report: OwnedFd = stdin.as_fd().try_clone_to_owned()?;
    // Processes that the test starts must not inherit the socket: its end is the end of this one.
    process::redirect(File::open("/dev/null")?.as_fd(), stdin.as_fd())?;
    io::stdout().flush()?;
    process::redirect(io::stderr().as_fd(), io::stdout().as_fd())?;
    Ok(UnixStream::from(report))
}

/// Keeps what the test framework says from now on to itself.
fn silence() -> io::Result<()> {
    io::stdout().flush()?;
    let null = File::options().write(true).open("/dev/null")?;
    process::redirect(null.as_fd(), io::stdout().as_fd())
}

fn fail(report: &mut UnixStream, reason: &str) -> io::Result<()> {
    report.write_all(&[FAILED])?;
    report.write_all(reason.as_bytes())
}
