//! The process that the user started: it runs the test in another one and tells how that ended.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::resume_unwind;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::child::{FAILED, PASSED};
use super::cores::Core;
use super::{CHILD, CORES, leftovers, process};

/// How long the output is waited for after the test has ended.
const OUTPUT: Duration = Duration::from_secs(5);

/// Runs the test `name` of this binary in a process of its own; panics as it did.
pub(super) fn run(name: &str, deadline: u64) {
    let core = Core::claim();
    let failure = match watch(name, deadline, &core) {
        Ok(End::Passed) => return,
        // The test has printed its message.
        Ok(End::Failed(reason)) => reason,
        Ok(End::Broken(reason)) => {
            tell(&reason);
            reason
        }
        Err(error) => {
            let reason = format!("cannot run {name} in a process of its own: {error}");
            tell(&reason);
            reason
        }
    };
    // No panic message of this process: it would name this file.
    resume_unwind(Box::new(failure));
}

fn tell(text: &str) {
    eprintln!("{text}");
}

enum End {
    Passed,
    /// The body said so.
    Failed(String),
    /// The process ended in another way than by the end of the body.
    Broken(String),
}

fn watch(name: &str, deadline: u64, core: &Core) -> io::Result<End> {
    let start = Instant::now();
    let limit = Duration::from_secs(deadline);
    let (mut report, child_end) = UnixStream::pair()?;
    let mut child = start_child(name, core, child_end)?;
    let output = child.stderr.take().map(forward);

    let mut said = Vec::new();
    let in_time = read_all(&mut report, &mut said, start, limit)?;
    if in_time {
        process::wait_for_end(child.id())?;
    }
    // The test itself, when it hangs, and what it started and left behind.
    process::kill_group(child.id());
    let status = child.wait()?;
    leftovers::remove(child.id());
    if let Some(done) = output {
        // Longer only if a process that left the group holds the stream: then without the rest.
        let _ = done.recv_timeout(OUTPUT);
    }
    if !in_time {
        return Ok(End::Broken(format!(
            "deadline exceeded: {name} hung for {deadline} s"
        )));
    }
    Ok(judge(name, status, &said))
}

fn start_child(name: &str, core: &Core, report: UnixStream) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([
            name,
            "--exact",
            "--nocapture",
            "--include-ignored",
            "--test-threads=1",
        ])
        .env(CHILD, name)
        .env(CORES, core.mask())
        .stdin(OwnedFd::from(report))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Prints what the child prints, into the output of this test. The channel closes at the end.
fn forward(mut stderr: ChildStderr) -> Receiver<()> {
    let (done, wait) = channel::<()>();
    // A new thread inherits the capture of the test framework.
    thread::spawn(move || {
        let _done = done;
        let mut chunk = [0; 8192];
        let mut rest = Vec::new();
        while let Ok(length @ 1..) = stderr.read(&mut chunk) {
            rest.extend_from_slice(&chunk[..length]);
            // Whole lines, so that no character is cut in two.
            if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
                let lines: Vec<u8> = rest.drain(..=end).collect();
                tell(String::from_utf8_lossy(&lines).trim_end_matches('\n'));
            }
        }
        if !rest.is_empty() {
            tell(&String::from_utf8_lossy(&rest));
        }
    });
    wait
}

/// Reads until the child has closed its end; `false` if the time is up before.
fn read_all(
    report: &mut UnixStream,
    said: &mut Vec<u8>,
    start: Instant,
    limit: Duration,
) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        report.set_read_timeout(Some(left))?;
        match report.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(length) => said.extend_from_slice(&chunk[..length]),
            // A child that left words unread resets the connection instead of closing it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// What the report and the way the process ended say together.
fn judge(name: &str, status: ExitStatus, said: &[u8]) -> End {
    if let Some(signal) = status.signal() {
        let after = if said.is_empty() {
            ""
        } else {
            ", after its body had ended"
        };
        return End::Broken(format!(
            "{name} was killed by {}{after}",
            signal_name(signal)
        ));
    }
    match said.split_first() {
        Some((&FAILED, reason)) => End::Failed(String::from_utf8_lossy(reason).into_owned()),
        Some((&PASSED, [])) if status.success() => End::Passed,
        Some(_) => End::Broken(format!(
            "{name} passed, but its process ended with {status}"
        )),
        None if status.success() => End::Broken(format!(
            "{name} did not run to its end: either its process exited by itself, or the test \
             framework has no test of this name"
        )),
        None => End::Broken(format!("{name} did not run to its end: {status}")),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGALRM => "SIGALRM",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXCPU => "SIGXCPU",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}
