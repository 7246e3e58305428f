//! An NVMe-oF target over TCP in a process of its own, which can be stopped while I/O is in flight.
//!
//! The malloc and delay bdevs move the data at submission. A target that is stopped with SIGSTOP
//! has not answered yet: what it sends after SIGCONT goes to the memory that the submission named,
//! and what it asks for comes from there. So a buffer that was freed or used again shows.
#![allow(unsafe_code)] // Ties the child's life to ours, between fork and exec, and sends it signals.

pub mod disk;
pub mod linux;
pub mod log;
pub mod program;
pub mod proxy;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spdk::nvme::TransportId;
use spdk::testing::NvmfTarget;
use tempfile::TempDir;

/// The name of the bdev that [`Target::attach`] makes in this process.
pub const BDEV: &str = "Nvme0n1";
/// The name of another one, whose blocks the target keeps in [`Target::file`].
pub const FILE_BDEV: &str = "Nvme0n2";
/// The size of their blocks.
pub const BLOCK_SIZE: usize = NvmfTarget::BLOCK_SIZE as usize;
/// How many blocks each has.
pub const BLOCKS: u64 = NvmfTarget::BLOCKS;

const NQN: &str = NvmfTarget::NQN;
/// Its name in the target's folder.
const FILE: &str = "disk";
const ANSWER: Duration = Duration::from_secs(20);
const SIGNAL: Duration = Duration::from_secs(5);

/// A running `nvmf_tgt` with a malloc and a file namespace, killed on drop and when this process dies.
#[derive(Debug)]
pub struct Target {
    child: NvmfTarget,
    folder: Rc<TempDir>,
}

impl Target {
    /// Starts a target on a free port of 127.0.0.1 and waits until it listens.
    ///
    /// # Panics
    ///
    /// With the target's own words, if it does not come up.
    pub fn start() -> Target {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::with_file(NvmfTarget::start(), Rc::new(folder))
    }

    /// Starts another one on the port of this one, which was killed, with the same file.
    ///
    /// # Panics
    ///
    /// As for [`Target::start`].
    pub fn start_again(&self) -> Target {
        Self::with_file(NvmfTarget::start_on(self.port()), self.folder.clone())
    }

    fn with_file(child: std::io::Result<NvmfTarget>, folder: Rc<TempDir>) -> Target {
        let child = child.unwrap_or_else(|error| panic!("{error}"));
        let target = Target { child, folder };
        let path = target.folder.path().join(FILE);
        let mut open = fs::File::options();
        let disk = open.write(true).create(true).truncate(false).open(&path);
        let disk = disk.expect("the target's file");
        disk.set_len(BLOCKS * BLOCK_SIZE as u64)
            .expect("the target's file grows");
        target.rpc(
            "bdev_aio_create",
            json!({"name": "File", "filename": path, "block_size": BLOCK_SIZE}),
        );
        target.rpc(
            "nvmf_subsystem_add_ns",
            json!({"nqn": NQN, "namespace": {"bdev_name": "File", "nsid": 2}}),
        );
        target
    }

    /// The JSON configuration that attaches this process to the target, as the bdev [`BDEV`].
    /// `options` are merged into the parameters of `bdev_nvme_attach_controller`.
    pub fn attach(&self, options: Value) -> String {
        let mut params = json!({
            "name": "Nvme0",
            "trtype": "TCP",
            "adrfam": "IPv4",
            "traddr": "127.0.0.1",
            "trsvcid": self.port().to_string(),
            "subnqn": NQN,
        });
        let more = options.as_object().cloned().unwrap_or_default();
        params.as_object_mut().expect("an object").extend(more);
        json!({"subsystems": [{"subsystem": "bdev", "config": [
            {"method": "bdev_nvme_attach_controller", "params": params},
        ]}]})
        .to_string()
    }

    /// Its port of 127.0.0.1.
    pub fn port(&self) -> u16 {
        let port = self.child.trid().service_id();
        port.parse().expect("the number of a port")
    }

    /// Where its subsystem is.
    pub fn trid(&self) -> TransportId {
        self.child.trid().clone()
    }

    /// Where a subsystem of this name would be.
    pub fn trid_of(&self, nqn: &str) -> TransportId {
        let trid = TransportId::tcp("127.0.0.1", self.child.trid().service_id(), nqn);
        trid.expect("an address of TCP")
    }

    /// The target's process, for signals from any thread.
    pub fn process(&self) -> Process {
        Process(self.child.id() as libc::pid_t)
    }

    /// Stops the target and waits until all its threads stand still.
    pub fn stop(&self) {
        self.process().stop();
    }

    /// Lets the target go on.
    pub fn cont(&self) {
        self.process().cont();
    }

    /// Kills the target, stopped or not, without a goodbye.
    pub fn kill(&self) {
        self.process().signal(libc::SIGKILL);
    }

    /// What is on [`FILE_BDEV`].
    pub fn file(&self) -> Vec<u8> {
        fs::read(self.folder.path().join(FILE)).expect("the target's file is read")
    }

    /// What the target has written to stdout and stderr.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Calls a JSON-RPC method of the target.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn rpc(&self, method: &str, params: Value) -> Value {
        let answer = rpc(&self.child.rpc_socket(), method, params);
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Has another bdev take the place of namespace 1, with 1,024 blocks of this size.
    pub fn replace_namespace(&self, block_size: usize) {
        let name = format!("Blocks{block_size}");
        let bdevs = self.rpc("bdev_get_bdevs", Value::Null);
        let mut bdevs = bdevs.as_array().into_iter().flatten();
        if !bdevs.any(|bdev| bdev["name"] == name.as_str()) {
            let disk = json!({"name": name, "num_blocks": 1024, "block_size": block_size});
            self.rpc("bdev_malloc_create", disk);
        }
        self.show(&name);
    }

    /// Has namespace 1 be another bdev.
    pub fn show(&self, bdev: &str) {
        let nqn = NvmfTarget::NQN;
        self.rpc("nvmf_subsystem_remove_ns", json!({"nqn": nqn, "nsid": 1}));
        let ns = json!({"nsid": 1, "bdev_name": bdev});
        self.rpc(
            "nvmf_subsystem_add_ns",
            json!({"nqn": nqn, "namespace": ns}),
        );
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the target wrote:\n{}", self.log());
        }
    }
}

/// The process of a [`Target`].
#[derive(Clone, Copy, Debug)]
pub struct Process(libc::pid_t);

impl Process {
    /// Stops it and waits until all its threads stand still.
    pub fn stop(self) {
        self.signal(libc::SIGSTOP);
        self.wait("stopped", |state| state == 'T');
    }

    /// Lets it go on.
    pub fn cont(self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(self, signal: libc::c_int) {
        // SAFETY: sends a signal to a child that has not been waited for, so the pid is its own.
        let rc = unsafe { libc::kill(self.0, signal) };
        assert_eq!(rc, 0, "kill: {}", std::io::Error::last_os_error());
    }

    fn wait(self, what: &str, is: impl Fn(char) -> bool) {
        let deadline = Instant::now() + SIGNAL;
        while !self.thread_states().iter().all(|state| is(*state)) {
            assert!(
                Instant::now() < deadline,
                "the target is not {what} after {SIGNAL:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The state letter of each thread, from the kernel.
    fn thread_states(self) -> Vec<char> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).expect("the target runs");
        tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok())
            .filter_map(|stat| stat.rsplit(") ").next()?.chars().next())
            .collect()
    }
}

/// Sends SIGINT to this process.
pub fn interrupt_self() {
    // SAFETY: sends a signal to this process, which SPDK has a handler for.
    let rc = unsafe { libc::kill(libc::getpid(), libc::SIGINT) };
    assert_eq!(rc, 0, "kill: {}", std::io::Error::last_os_error());
}

/// Calls a JSON-RPC method of the SPDK application that listens on `socket`.
///
/// # Errors
///
/// What went wrong on the way, or the application's error object.
pub fn rpc(socket: &Path, method: &str, params: Value) -> Result<Value, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = UnixStream::connect(socket).map_err(text)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(text)?;
    let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
    if params.as_object().is_some_and(|params| !params.is_empty()) {
        request["params"] = params;
    }
    stream
        .write_all(request.to_string().as_bytes())
        .map_err(text)?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        let n = match stream.read(&mut part) {
            // This process was stopped meanwhile.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map_err(text)?,
        };
        if n == 0 {
            return Err(format!("{method}: the connection was closed"));
        }
        answer.extend_from_slice(&part[..n]);
        // The answer has no length and no end mark: it is complete when it parses.
        let Ok(mut answer) = serde_json::from_slice::<Value>(&answer) else {
            continue;
        };
        return match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(format!("{method}: {}", answer["error"])),
        };
    }
}

/// A port that nobody listens on right now.
pub fn free_port() -> u16 {
    spdk::testing::free_port().expect("a port of 127.0.0.1")
}

/// Has the child be killed when the thread that starts it ends.
pub(crate) fn dies_with_us(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    // SAFETY: prctl, getppid and _exit are async-signal-safe, and touch no memory of the parent.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid() != parent as libc::pid_t {
                libc::_exit(1); // the parent died before the line above
            }
            Ok(())
        })
    }
}

/// A core for another process, in brackets: another one than the test's, where this process may use two.
pub fn core() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("this process's status");
    let mut lines = status.lines();
    let allowed = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let ends = allowed.unwrap_or("0").trim().split([',', '-']);
    let mut cores = ends.map(|core| format!("[{core}]"));
    let ours = std::env::var("SPDK_RS_TEST_CORES").unwrap_or_default();
    cores.find(|core| *core != ours).unwrap_or(ours)
}

/// SPDK's target application, from the SPDK that the tests are linked with.
///
/// # Panics
///
/// If it is not installed.
pub fn nvmf_tgt() -> PathBuf {
    let prefix = Path::new(env!("SPDK_PREFIX"));
    let places = ["bin/nvmf_tgt", "build/bin/nvmf_tgt"].map(|place| prefix.join(place));
    let found = places.iter().find(|path| path.is_file());
    found.cloned().unwrap_or_else(|| {
        panic!(
            "this test needs SPDK's nvmf_tgt, which is not in {}; `cargo xtask setup` installs it",
            places.map(|path| path.display().to_string()).join(" or ")
        )
    })
}
