//! Help for the tests of programs that use this crate: a target in a process of its own.
//!
//! A target and its host may share a process; see [`crate::nvmf`]. A test of what happens when the target
//! stands still, dies or comes back needs one that it can do these things to:
//!
//! ```no_run
//! use spdk::nvme::NvmeController;
//! use spdk::testing::NvmfTarget;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let target = NvmfTarget::start()?;
//!     let trid = target.trid().clone();
//!     spdk::SpdkApp::builder()
//!         .name("host")
//!         .block_on(async move {
//!             let controller = NvmeController::connect(&trid, None).await?;
//!             assert_eq!(controller.active_namespaces(), [1]);
//!             drop(target); // it is killed
//!             controller.detach().await
//!         })?;
//!     Ok(())
//! }
//! ```

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::__testing::{another_core, dies_with_us, remove_leftovers};
use crate::nvme::TransportId;

/// How long a target may take to say that it is ready.
const START: Duration = Duration::from_secs(20);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(10);
/// How long a started target is waited for when it answers.
const ANSWER: Duration = Duration::from_secs(5);
/// How often another port is tried: another process can take it before the target does.
const TRIES: u32 = 3;
/// Ports below those that Linux gives to connections by itself, which would take the port of a target that is about to
/// start, or to come back.
const PORTS: std::ops::Range<u32> = 20_000..32_768;
/// How many ports a process has before it gets to those of the process that was started next.
const PORTS_EACH: u32 = 16;

/// A TCP port of 127.0.0.1 that nobody listens on: another one each time, and another one than a test that runs beside
/// this one is given.
///
/// # Errors
///
/// What the system says, where none is free.
pub fn free_port() -> io::Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    let first = std::process::id().wrapping_mul(PORTS_EACH);
    let mut refused = None;
    for _ in PORTS {
        let next = first.wrapping_add(GIVEN.fetch_add(1, Relaxed)) % count;
        let port = (PORTS.start + next) as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// An NVMe-oF target over TCP in a child process, with a port of 127.0.0.1 of its own.
///
/// It is killed when it is dropped, and when the OS thread that started it ends, whatever ends that. So it
/// does not outlive a test, not even one that is killed.
///
/// # Thread
///
/// `Send` and `Sync`. To start one blocks the OS thread until the target is ready: what starts it does that before its
/// application, or beside it.
#[derive(Debug)]
pub struct NvmfTarget {
    child: Child,
    folder: Folder,
    trid: TransportId,
}

impl NvmfTarget {
    /// The subsystem of those that [`NvmfTarget::start`] starts.
    pub const NQN: &str = "nqn.2016-06.io.spdk:testing";
    /// Their bdev, which lives in memory and is namespace 1.
    pub const BDEV: &str = "Disk";
    /// How many bytes a block of it has.
    pub const BLOCK_SIZE: u32 = 4096;
    /// How many blocks it has.
    pub const BLOCKS: u64 = 8192;

    /// Starts SPDK's `nvmf_tgt`, that of the SPDK this program is linked with, on a free port.
    ///
    /// Any host may connect to its subsystem. It runs without huge pages and PCI devices, on another core than the
    /// application of a `#[spdk::test]`, where this process may use two.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](io::ErrorKind::NotFound): that SPDK has no `nvmf_tgt`.
    /// - [`TimedOut`](io::ErrorKind::TimedOut): it was not ready after 20 seconds.
    /// - Else what the system says, or how the target ended. Its last words are part of both.
    pub fn start() -> io::Result<Self> {
        let mut tried = 1;
        loop {
            match Self::start_on(free_port()?) {
                Err(error) if error.kind() == io::ErrorKind::Other && tried < TRIES => tried += 1,
                done => return done,
            }
        }
    }

    /// As [`NvmfTarget::start`], on a port that is known: that of one that was killed, and comes back.
    ///
    /// # Errors
    ///
    /// As for [`NvmfTarget::start`], and if the port is in use.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let folder = Folder::create()?;
        let config = folder.file("config.json");
        fs::write(&config, configuration(port))?;
        let mut command = Command::new(nvmf_tgt()?);
        command
            .args(["--no-huge", "--no-pci", "-s", "512"])
            .arg("--disable-cpumask-locks")
            // Its buffer in shared memory would outlive the target, which is killed.
            .args(["--num-trace-entries", "0"])
            .args(["-m", &another_core()])
            .args([OsStr::new("-r"), folder.file("rpc.sock").as_os_str()])
            .args([OsStr::new("-c"), config.as_os_str()]);
        let trid = TransportId::tcp("127.0.0.1", &port.to_string(), Self::NQN);
        let trid = trid.map_err(io::Error::other)?;
        let socket = folder.file("rpc.sock");
        // The server of RPCs answers when the configuration was loaded.
        let ready = |_: &str| is_listening(&socket, port).then(|| trid.clone());
        Self::spawn(&mut command, folder, ready)
    }

    /// Starts a target of one's own, which chooses its port.
    ///
    /// It says that it is ready by a line on stdout or stderr which is its [`TransportId`], as that displays:
    ///
    /// ```text
    /// trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:40123 subnqn:nqn.2016-06.io.spdk:Malloc0
    /// ```
    ///
    /// Its standard streams are replaced.
    ///
    /// # Errors
    ///
    /// As for [`NvmfTarget::start`].
    pub fn run(command: &mut Command) -> io::Result<Self> {
        let said = |log: &str| {
            let whole = log
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let mut ids = whole.filter(|line| line.starts_with("trtype:"));
            ids.find_map(|line| TransportId::parse(line.trim_end()).ok())
        };
        Self::spawn(command, Folder::create()?, said)
    }

    fn spawn(
        command: &mut Command,
        folder: Folder,
        mut ready: impl FnMut(&str) -> Option<TransportId>,
    ) -> io::Result<Self> {
        let log = File::create(folder.file("log"))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = Reaped(Some(dies_with_us(command).spawn()?));
        let start = Instant::now();
        loop {
            let ended = child.get().try_wait()?;
            let said = folder.log();
            if let Some(status) = ended {
                let text = format!("the target ended with {status}:\n{said}");
                return Err(io::Error::other(text));
            }
            if let Some(trid) = ready(&said) {
                let child = child.take();
                return Ok(NvmfTarget {
                    child,
                    folder,
                    trid,
                });
            }
            if start.elapsed() > START {
                let text = format!("the target is not ready after {START:?}:\n{said}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            sleep(LOOK);
        }
    }

    /// Where its subsystem is.
    pub fn trid(&self) -> &TransportId {
        &self.trid
    }

    /// Its process, for signals: `SIGSTOP` and `SIGCONT` are what a network looks like that is gone for a while.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout and stderr.
    pub fn log(&self) -> String {
        self.folder.log()
    }

    /// Where the `nvmf_tgt` of [`NvmfTarget::start`] takes RPCs. A target of one's own has none there.
    pub fn rpc_socket(&self) -> PathBuf {
        self.folder.file("rpc.sock")
    }

    /// Kills it, without a goodbye to its hosts, and waits for its end. Its port is free then.
    ///
    /// # Errors
    ///
    /// What the system says; none if it has ended before.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for NvmfTarget {
    fn drop(&mut self) {
        reap(&mut self.child);
    }
}

/// A child that is killed unless it is taken.
struct Reaped(Option<Child>);

impl Reaped {
    fn get(&mut self) -> &mut Child {
        self.0.as_mut().expect("it was not taken")
    }

    fn take(mut self) -> Child {
        self.0.take().expect("it was not taken")
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            reap(child);
        }
    }
}

fn reap(child: &mut Child) {
    // It may have ended already; then both do nothing.
    let _ = child.kill();
    let _ = child.wait();
    remove_leftovers(child.id());
}

/// A folder of a target, removed on drop.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn create() -> io::Result<Folder> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Relaxed);
            let name = format!("spdk-nvmf-target-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                // Of a process of the same ID that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created.map(|()| Folder(path)),
            }
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.file("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The `nvmf_tgt` of the SPDK that this crate is linked with.
fn nvmf_tgt() -> io::Result<PathBuf> {
    let prefix = Path::new(env!("SPDK_PREFIX"));
    let places = ["bin/nvmf_tgt", "build/bin/nvmf_tgt"].map(|place| prefix.join(place));
    match places.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => {
            let places = places.map(|path| path.display().to_string()).join(" or ");
            let text = format!("SPDK's nvmf_tgt is not there: not in {places}");
            Err(io::Error::new(io::ErrorKind::NotFound, text))
        }
    }
}

fn configuration(port: u16) -> String {
    let (nqn, bdev) = (NvmfTarget::NQN, NvmfTarget::BDEV);
    let (blocks, size) = (NvmfTarget::BLOCKS, NvmfTarget::BLOCK_SIZE);
    format!(
        r#"{{"subsystems": [
        {{"subsystem": "bdev", "config": [
            {{"method": "bdev_malloc_create",
             "params": {{"name": "{bdev}", "num_blocks": {blocks}, "block_size": {size}}}}}]}},
        {{"subsystem": "nvmf", "config": [
            {{"method": "nvmf_create_transport", "params": {{"trtype": "TCP"}}}},
            {{"method": "nvmf_create_subsystem", "params":
                {{"nqn": "{nqn}", "allow_any_host": true, "serial_number": "SPDK0001"}}}},
            {{"method": "nvmf_subsystem_add_ns", "params":
                {{"nqn": "{nqn}", "namespace": {{"bdev_name": "{bdev}", "nsid": 1}}}}}},
            {{"method": "nvmf_subsystem_add_listener", "params":
                {{"nqn": "{nqn}", "listen_address": {{"trtype": "TCP", "adrfam": "IPv4",
                    "traddr": "127.0.0.1", "trsvcid": "{port}"}}}}}}]}}]}}"#
    )
}

/// Whether the target behind an RPC socket says that it listens on a port.
fn is_listening(socket: &Path, port: u16) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(br#"{"jsonrpc": "2.0", "id": 1, "method": "nvmf_get_subsystems"}"#)?;
        let port = format!("\"trsvcid\":\"{port}\"");
        let (mut said, mut part) = (String::new(), [0; 4096]);
        // The answer has no mark at its end, and need not be read to that.
        loop {
            let length = stream.read(&mut part)?;
            let text = String::from_utf8_lossy(&part[..length]);
            said.extend(text.chars().filter(|char| !char.is_whitespace()));
            if said.contains(&port) {
                return Ok(true);
            }
            if length == 0 || said.contains("\"error\"") || said.ends_with("]}") {
                return Ok(false);
            }
        }
    };
    ask().unwrap_or(false)
}
