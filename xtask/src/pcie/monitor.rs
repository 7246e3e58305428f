//! QEMU's monitor, which plugs devices in and pulls them out.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long QEMU may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to it.
pub(super) struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// QEMU has connected; they greet each other.
    pub(super) fn greet(stream: UnixStream) -> Result<Self> {
        stream
            .set_read_timeout(Some(PATIENCE))
            .context("cannot set a time limit")?;
        let mut monitor = Monitor {
            reader: BufReader::new(stream),
        };
        let greeting = monitor.read()?;
        if greeting.get("QMP").is_none() {
            bail!("QEMU greets with {greeting}");
        }
        let answer = monitor.execute(&json!({"execute": "qmp_capabilities"}))?;
        match answer.get("return") {
            Some(_) => Ok(monitor),
            None => bail!("QEMU refuses its own protocol: {answer}"),
        }
    }

    /// Has QEMU execute a command. What it answers may be an error.
    pub(super) fn execute(&mut self, command: &Value) -> Result<Value> {
        writeln!(self.reader.get_mut(), "{command}").context("QEMU listens no more")?;
        loop {
            let answer = self.read()?;
            // It tells of events in between.
            if answer.get("return").is_some() || answer.get("error").is_some() {
                return Ok(answer);
            }
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        match read.context("QEMU does not answer")? {
            0 => bail!("QEMU has ended"),
            _ => serde_json::from_str(&line)
                .with_context(|| format!("QEMU says what is no JSON: {line}")),
        }
    }
}
