//! SPDK's own programs as hosts of a target, each in a process of its own.

use std::fs;
use std::process::ExitStatus;

use serde_json::json;
use spdk::nvmf::{NvmfAddress, NvmfServer};
use spdk_tests::nvmf::program::{self, Program};
use spdk_tests::wait::within;
use tempfile::TempDir;

use crate::attach;

/// A host: `bdevperf`, which writes, reads back and compares. Killed on drop.
pub(crate) struct Host {
    program: Program,
    _folder: TempDir,
}

impl Host {
    pub(crate) fn start(nqn: &str, host: Option<&str>, address: NvmfAddress, seconds: u32) -> Host {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut params = attach("Nvme0", address, nqn);
        if let Some(host) = host {
            params["hostnqn"] = host.into();
        }
        let config = json!({"subsystems": [{"subsystem": "bdev", "config": [
            {"method": "bdev_nvme_attach_controller", "params": params},
        ]}]});
        let path = folder.path().join("config.json");
        fs::write(&path, config.to_string()).expect("the configuration is written");
        let (path, rpc) = (path.display(), folder.path().join("rpc.sock"));
        let arguments = format!(
            "--no-huge --no-pci -s 512 --disable-cpumask-locks --num-trace-entries 0 \
             -q 16 -o 4096 -w verify -t {seconds} -m {} -r {} -c {path}",
            spdk_tests::nvmf::core(),
            rpc.display(),
        );
        let arguments: Vec<_> = arguments.split(' ').collect();
        Host {
            program: Program::start("bdevperf", &arguments),
            _folder: folder,
        }
    }

    pub(crate) fn of(server: &NvmfServer, seconds: u32) -> Host {
        Host::start(server.nqn(), None, server.address(), seconds)
    }

    /// Until it is connected, and its I/O runs.
    pub(crate) async fn runs(&mut self, server: &NvmfServer) -> spdk::Result<()> {
        self.program.says("Running I/O").await;
        let io = async || -> spdk::Result<u64> {
            let groups = server.target().stat().await?;
            Ok(groups.iter().map(|group| group.completed_nvme_io).sum())
        };
        let before = io().await?;
        let more = async {
            while io().await? < before + 1000 {
                spdk::task::yield_now().await;
            }
            Ok(())
        };
        within("the I/O of a host", more).await
    }

    pub(crate) async fn ends(&mut self) -> ExitStatus {
        self.program.ends().await
    }

    pub(crate) async fn succeeds(self) {
        self.program.succeeds().await;
    }

    pub(crate) fn log(&self) -> String {
        self.program.said()
    }
}

/// What `spdk_nvme_identify` says.
pub(crate) async fn identify(at: NvmfAddress, nqn: &str) -> String {
    let arguments = ["--no-huge", "-s", "512", "-r", &program::trid(at, nqn)];
    Program::start("spdk_nvme_identify", &arguments)
        .succeeds()
        .await
}
