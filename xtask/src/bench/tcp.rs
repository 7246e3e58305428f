//! A target of NVMe/TCP on loopback, on the first core.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use serde_json::json;

use super::case::Bdev;
use super::process::Beside;
use super::program::{Program, Setting};

const NQN: &str = "nqn.2016-06.io.spdk:bench";

/// A target that runs. It ends when it is dropped.
pub(super) struct Target {
    address: SocketAddr,
    _process: Beside,
}

impl Target {
    /// Has `program` serve a bdev.
    pub(super) fn start(setting: &Setting<'_>, program: Program, bdev: Bdev) -> Result<Self> {
        let address = free_address()?;
        let mut command = setting.start(program, 1)?;
        match program {
            Program::NvmfTgt => {
                let config = setting.config("nvmf_tgt", &config(bdev, address))?;
                command.arg("-c").arg(config);
                command.arg("-r").arg(setting.scratch.join("target.sock"));
                // The buffer of its trace would outlive it in /dev/shm, and nobody reads that.
                command.args(["--num-trace-entries", "0"]);
            }
            _ => {
                command
                    .arg("-c")
                    .arg(setting.config(bdev.key(), &bdev.config())?);
                command.args(["-T", bdev.name(), "-n", NQN]);
                command.args(["-a", &address.to_string()]);
            }
        }
        let mut process = Beside::start(&mut command, setting.scratch)?;
        // Both listen when all else is done.
        process.until(|| TcpStream::connect(address).is_ok())?;
        Ok(Target {
            address,
            _process: process,
        })
    }

    /// Where hosts find it.
    pub(super) fn place(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        format!("trtype:TCP adrfam:IPv4 traddr:{ip} trsvcid:{port} subnqn:{NQN}")
    }
}

/// A port that nobody has, and that nobody gets by chance for a while.
fn free_address() -> Result<SocketAddr> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = socket.and_then(|socket| socket.local_addr());
    address.context("there is no free port at 127.0.0.1")
}

/// The configuration of SPDK's target: what ours does by itself.
fn config(bdev: Bdev, address: SocketAddr) -> serde_json::Value {
    let mut config = bdev.config();
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let nvmf = json!({"subsystem": "nvmf", "config": [
        {"method": "nvmf_create_transport", "params": {"trtype": "TCP"}},
        {"method": "nvmf_create_subsystem", "params": {
            "nqn": NQN, "allow_any_host": true, "serial_number": "BENCH"}},
        {"method": "nvmf_subsystem_add_ns", "params": {
            "nqn": NQN, "namespace": {"bdev_name": bdev.name(), "nsid": 1}}},
        {"method": "nvmf_subsystem_add_listener", "params": {"nqn": NQN, "listen_address": {
            "trtype": "TCP", "adrfam": "IPv4", "traddr": ip, "trsvcid": port}}},
    ]});
    if let Some(subsystems) = config["subsystems"].as_array_mut() {
        subsystems.push(nvmf);
    }
    config
}
