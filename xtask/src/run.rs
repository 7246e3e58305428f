//! Child processes: captured into a log file, or in the foreground.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

use crate::interrupt;

const TAIL_LINES: usize = 20;
const TICK: Duration = Duration::from_millis(200);

/// What a running command reports to its watcher.
pub(crate) enum Event<'a> {
    /// One line of its output, without the line end.
    Line(&'a str),
    /// Time has passed.
    Tick,
}

/// The log of one step. Every command that the step runs is written to it with all it prints.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens `<dir>/<name>.log`, empty.
    pub(crate) fn create(dir: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot create the folder {}", dir.display()))?;
        let path = dir.join(format!("{name}.log"));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file })
    }

    pub(crate) fn note(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}")
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Runs `command` to its end with everything it prints in `log`. A failure carries its last lines.
///
/// The command gets a process group of its own, so that an interruption can end all of it, and no
/// standard input. Its messages are in English: some are parsed.
pub(crate) fn logged(
    command: &mut Command,
    log: &mut Log,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<()> {
    let text = describe(command);
    log.note(&format!("$ {text}"))?;
    let (reader, writer) = std::io::pipe().context("cannot create a pipe")?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("cannot copy a pipe's end")?)
        .stderr(writer)
        .env("LC_ALL", "C.UTF-8")
        .process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{text}`"))?;
    // The command holds the pipe's writing ends as its standard streams; with them open here the
    // reader would never see the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    interrupt::watch(i32::try_from(child.id()).ok().and_then(Pid::from_raw));

    let (sender, lines) = channel::<String>();
    let reading = std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            if sender.send(text.trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });

    let mut tail = VecDeque::with_capacity(TAIL_LINES);
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                log.note(&line)?;
                watch(Event::Line(&line));
                if tail.len() == TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Err(RecvTimeoutError::Timeout) => watch(Event::Tick),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{text}`"))?;
    let _ = reading.join();
    interrupt::yield_to_handler();
    interrupt::watch(None);
    if status.success() {
        return Ok(());
    }
    log.note(&format!("=> {status}"))?;
    let tail: String = tail.iter().map(|line| format!("    {line}\n")).collect();
    bail!(
        "`{text}` failed ({status}). Its last lines:\n{tail}The whole log: {}",
        log.path.display()
    )
}

/// Runs `command` in the foreground, with our own standard streams.
pub(crate) fn foreground(command: &mut Command) -> Result<()> {
    let text = describe(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{text}`"))?;
    if !status.success() {
        bail!("`{text}` failed ({status})");
    }
    Ok(())
}

/// Becomes `command`: signals and the terminal then belong to it alone. Returns only an error.
pub(crate) fn exec(command: &mut Command) -> anyhow::Error {
    let text = describe(command);
    anyhow::Error::new(command.exec()).context(format!("cannot start `{text}`"))
}

/// A subcommand of the cargo that runs us, for this workspace. The current folder stays the
/// user's, so that relative paths among its arguments mean what they say.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .arg(subcommand)
        .arg("--manifest-path")
        .arg(workspace().join("Cargo.toml"));
    cargo
}

/// The checkout's root.
pub(crate) fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

pub(crate) fn describe(command: &Command) -> String {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
