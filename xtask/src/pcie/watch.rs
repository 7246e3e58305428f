//! A machine, from its start to its end: what its tests say is printed, what they ask for is done, and a machine
//! that says nothing more is a failure.
//!
//! The machine writes lines to its third serial port: `ready` when its tests begin, `exit N` when they have ended,
//! and commands for QEMU's monitor, each of which is answered by a line.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use rustix::process::Pid;
use serde_json::{Value, json};

use super::machine::{Machine, Sockets};
use super::monitor::Monitor;
use crate::interrupt;

/// How long the machine may take until its tests begin. It is emulated, and others may use the processors too.
pub(super) const BOOT: Duration = Duration::from_secs(180);
/// How long the tests may say nothing. A test that hangs is ended by itself before that.
const SILENCE: Duration = Duration::from_secs(200);
/// How long QEMU may take to connect to us.
const START: Duration = Duration::from_secs(30);
/// How long QEMU may take to end after its ports were closed.
const MOMENT: Duration = Duration::from_secs(5);
/// How it ends by a fault of its own.
const CRASHES: [Signal; 5] = [
    Signal::SIGSEGV,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
];
/// How long the machine may take to turn itself off.
const END: Duration = Duration::from_secs(30);

/// QEMU has ended by this signal, as none of what runs in the machine may have it end.
#[derive(Debug)]
pub(super) struct Crashed(Signal);

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QEMU itself has crashed ({})", self.0)
    }
}

/// What the machine has done.
enum Event {
    Output(Vec<u8>),
    Control(String),
    /// One of its ports is closed.
    Closed,
}

/// Runs the machine, for as long as all of it may take, and hands over its output. If that is not to blame, the error is
/// that QEMU has [`Crashed`].
pub(super) fn run(
    machine: &Machine<'_>,
    whole: Duration,
    mut output: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<()> {
    // The name of a socket cannot be as long as that of a file.
    let folder = tempfile::tempdir().context("cannot create a folder for sockets")?;
    interrupt::remove_at_end(folder.path());
    let at = |name| folder.path().join(name);
    let sockets = Sockets {
        output: at("output"),
        control: at("control"),
        monitor: at("monitor"),
    };
    let listen = |path: &Path| {
        UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))
    };
    let said = listen(&sockets.output)?;
    let control = listen(&sockets.control)?;
    let monitor = listen(&sockets.monitor)?;

    let mut running = Running::start(machine, &sockets)?;
    let (sender, events) = channel();
    let said = running.accept(&said)?;
    let control = running.accept(&control)?;
    let monitor = running.accept(&monitor)?;
    let words = control.try_clone().context("cannot copy a socket")?;
    let both = sender.clone();
    thread::spawn(move || read_output(said, &both));
    thread::spawn(move || read_control(words, &sender));
    let monitor = Monitor::greet(monitor).map_err(|error| running.explain(error))?;
    let watch = Watch {
        running: &mut running,
        control,
        monitor,
        output: &mut output,
        tail: Vec::new(),
    };
    let end = watch.until_the_end(&events, whole);
    end.map_err(|error| match running.crash() {
        Some(crash) => error.context(crash),
        None => error,
    })
}

/// QEMU, which ends with this.
struct Running<'a> {
    child: Child,
    machine: &'a Machine<'a>,
}

impl<'a> Running<'a> {
    fn start(machine: &'a Machine<'a>, sockets: &Sockets) -> Result<Self> {
        let log = std::fs::File::create(&machine.files.qemu);
        let log = log.with_context(|| format!("cannot write {}", machine.files.qemu.display()))?;
        // That of another run must not be taken for this one's.
        std::fs::write(&machine.files.console, "")
            .with_context(|| format!("cannot write {}", machine.files.console.display()))?;
        let mut qemu = machine.command(sockets);
        qemu.stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot copy a file's handle")?)
            .stderr(log)
            .process_group(0);
        let child = qemu.spawn();
        let child = child.context("cannot start qemu-system-x86_64: is QEMU installed?")?;
        interrupt::watch(i32::try_from(child.id()).ok().and_then(Pid::from_raw));
        Ok(Running { child, machine })
    }

    /// QEMU connects, unless it has ended before.
    fn accept(&mut self, listener: &UnixListener) -> Result<UnixStream> {
        listener
            .set_nonblocking(true)
            .context("cannot set up a socket")?;
        let started = Instant::now();
        loop {
            if let Ok((stream, _)) = listener.accept() {
                stream
                    .set_nonblocking(false)
                    .context("cannot set up a socket")?;
                return Ok(stream);
            }
            if self.has_ended()? {
                return Err(self.explain(anyhow::anyhow!("QEMU did not start")));
            }
            if started.elapsed() > START {
                bail!("QEMU did not start: it has not connected after {START:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn has_ended(&mut self) -> Result<bool> {
        let status = self.child.try_wait().context("cannot wait for QEMU")?;
        Ok(status.is_some())
    }

    /// Whether it has crashed.
    fn crash(&mut self) -> Option<Crashed> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().ok()? {
                let signal = Signal::try_from(status.signal()?).ok()?;
                return CRASHES.contains(&signal).then_some(Crashed(signal));
            }
            if started.elapsed() > MOMENT {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// An error, with what QEMU said.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let said = std::fs::read_to_string(&self.machine.files.qemu).unwrap_or_default();
        match said.trim() {
            "" => error,
            said => error.context(format!("QEMU says: {said}")),
        }
    }

    /// Waits for the machine to turn itself off.
    fn end(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.has_ended()? {
            if started.elapsed() > END {
                bail!("all has gone well, but the machine does not turn itself off");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        interrupt::watch(None);
    }
}

fn read_output(mut stream: UnixStream, to: &Sender<Event>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        if to.send(Event::Output(chunk[..length].to_vec())).is_err() {
            return;
        }
    }
    let _ = to.send(Event::Closed); // nobody may listen any more
}

fn read_control(stream: UnixStream, to: &Sender<Event>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if to.send(Event::Control(line)).is_err() {
            return;
        }
    }
    let _ = to.send(Event::Closed);
}

struct Watch<'a, 'b> {
    running: &'a mut Running<'b>,
    output: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    control: UnixStream,
    monitor: Monitor,
    /// The last line of the output, which may have begun only.
    tail: Vec<u8>,
}

impl Watch<'_, '_> {
    fn until_the_end(mut self, events: &Receiver<Event>, time: Duration) -> Result<()> {
        let whole = Instant::now() + time;
        let mut limit = BOOT;
        loop {
            let left = whole.saturating_duration_since(Instant::now());
            match events.recv_timeout(limit.min(left)) {
                Ok(Event::Output(bytes)) => self.print(&bytes)?,
                Ok(Event::Control(line)) if line == "ready" => limit = SILENCE,
                Ok(Event::Control(line)) => {
                    if let Some(status) = line.strip_prefix("exit ") {
                        return self.conclude(status, events);
                    }
                    self.answer(&line)?;
                }
                Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.failure("ended in the middle"));
                }
                Err(RecvTimeoutError::Timeout) if limit == BOOT => {
                    return Err(self.failure(&format!("has not begun its work after {BOOT:?}")));
                }
                Err(RecvTimeoutError::Timeout) if left < limit => {
                    return Err(self.failure(&format!("has not ended after {time:?}")));
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failure(&format!("has said nothing for {SILENCE:?}")));
                }
            }
        }
    }

    /// All tests have run.
    fn conclude(mut self, status: &str, events: &Receiver<Event>) -> Result<()> {
        // The ports close when the machine is off.
        let ended = self.running.end();
        for event in events.try_iter() {
            if let Event::Output(bytes) = event {
                self.print(&bytes)?;
            }
        }
        match status {
            "0" => ended,
            "101" => bail!(
                "tests failed in the machine; what its kernel said: {}",
                self.console()
            ),
            _ => bail!(
                "what ran in the machine ended with the status {status}; what the machine's kernel said: {}",
                self.console()
            ),
        }
    }

    /// Does what the machine asks QEMU for.
    fn answer(&mut self, line: &str) -> Result<()> {
        let answer = match serde_json::from_str::<Value>(line) {
            Ok(command) => self.monitor.execute(&command)?,
            Err(error) => json!({"error": {"desc": format!("no JSON: {error}: {line}")}}),
        };
        writeln!(self.control, "{answer}").context("the machine does not listen")
    }

    fn print(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.tail.ends_with(b"\n") {
                self.tail.clear();
            }
            self.tail.extend_from_slice(piece);
        }
        (self.output)(bytes).context("cannot print what the machine says")
    }

    fn console(&self) -> String {
        self.running.machine.files.console.display().to_string()
    }

    /// Why there is no result, with what is known of the reason.
    fn failure(&self, what: &str) -> anyhow::Error {
        println!(); // the name of a test may stand there
        let tail = String::from_utf8_lossy(&self.tail);
        let during = match running_test(&tail) {
            Some(test) => format!(", in the test {test}"),
            None => String::new(),
        };
        let console = std::fs::read(&self.running.machine.files.console).unwrap_or_default();
        let why = match panic_of(&String::from_utf8_lossy(&console)) {
            Some(line) => format!(": {line}"),
            None => String::new(),
        };
        let log = self.console();
        let text = format!("the machine {what}{during}{why}\nWhat its kernel said: {log}");
        self.running.explain(anyhow::Error::msg(text))
    }
}

/// `test hot_plug::pulled ... `, without its end.
fn running_test(tail: &str) -> Option<&str> {
    let (name, end) = tail.strip_prefix("test ")?.split_once(" ... ")?;
    end.is_empty().then_some(name)
}

/// Why the kernel gave up.
fn panic_of(console: &str) -> Option<&str> {
    let mut lines = console.lines();
    let line =
        lines.find(|line| line.contains("Kernel panic") || line.contains("Out of memory"))?;
    Some(line.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_that_runs_is_known() {
        assert_eq!(running_test("test hot::plug ... "), Some("hot::plug"));
        assert_eq!(running_test("test hot::plug ... ok\n"), None);
        assert_eq!(running_test("running 3 tests\n"), None);
    }

    #[test]
    fn a_panic_is_found() {
        let console = "[ 1.0] x\r\n[ 1.2] Kernel panic - not syncing: no init\r\n[ 1.3] y\r\n";
        let why = "[ 1.2] Kernel panic - not syncing: no init";
        assert_eq!(panic_of(console), Some(why));
        assert_eq!(panic_of("fine"), None);
    }
}
