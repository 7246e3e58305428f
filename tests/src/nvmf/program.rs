//! SPDK's own programs, as hosts of a target.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use spdk::nvmf::NvmfAddress;
use tempfile::NamedTempFile;

use super::{dies_with_us, nvmf_tgt};
use crate::until;

/// A program that runs. Killed on drop, and when the thread that started it ends.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: NamedTempFile,
}

impl Program {
    /// Starts one of the programs that SPDK installs.
    ///
    /// # Panics
    ///
    /// If it is not there.
    pub fn start(name: &str, arguments: &[&str]) -> Program {
        let path = nvmf_tgt().with_file_name(name);
        Self::start_at(&path, arguments)
    }

    /// Starts the program in a file.
    ///
    /// # Panics
    ///
    /// If it is not there.
    pub fn start_at(path: &Path, arguments: &[&str]) -> Program {
        assert!(path.is_file(), "{} is not there", path.display());
        let log = NamedTempFile::new().expect("a temporary file");
        let out = || log.reopen().expect("another descriptor of the log");
        let mut command = Command::new(path);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out())
            .stderr(out());
        let child = dies_with_us(&mut command).spawn();
        Program {
            name: path.display().to_string(),
            child: child.expect("it starts"),
            log,
        }
    }

    /// What it has said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_some()
    }

    /// Until it has said this. What goes to stdout may be said at the end only, as stdout is a file.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn says(&mut self, text: &str) {
        until(text, || {
            let ended = self.has_ended();
            let said = self.said().contains(text);
            assert!(said || !ended, "{text:?} is missing:\n{}", self.said());
            said
        })
        .await;
    }

    /// Until its end.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        let what = format!("the end of {}", self.name);
        until(&what, || {
            status = self.child.try_wait().expect("our child");
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }

    /// Until its end. Returns what it has said.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub async fn succeeds(mut self) -> String {
        let status = self.ends().await;
        assert!(status.success(), "{}: {status}\n{}", self.name, self.said());
        self.said()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A subsystem at an address, as SPDK's programs take it.
pub fn trid(address: NvmfAddress, nqn: &str) -> String {
    let (ip, port) = (address.socket_addr().ip(), address.socket_addr().port());
    format!("trtype:TCP adrfam:IPv4 traddr:{ip} trsvcid:{port} subnqn:{nqn}")
}

/// An address that nobody listens at right now.
pub fn address() -> NvmfAddress {
    std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, super::free_port())).into()
}
