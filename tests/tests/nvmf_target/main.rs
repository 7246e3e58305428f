//! Targets of this crate, with hosts over TCP on the loopback: SPDK's own programs in processes of their own, and
//! controllers of this process.
#![allow(missing_docs)]

mod behind;
mod discovery;
mod host;
mod hot_removal;
mod keys;
mod life;
mod namespaces;
mod subsystem;
mod transport;
mod wire;

use std::fs;
use std::net::SocketAddr;

use serde_json::json;
use spdk::Errno;
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, TransportId};
use spdk::nvmf::{
    NvmfAddress, NvmfServer, NvmfSubsystem, NvmfTarget, NvmfTargetOpts, NvmfTransportOpts, serve,
};
use spdk_tests::nvmf::program::address;

const BLOCK: usize = 4096;
const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555";

/// A target with the transport that all but its own tests have.
async fn over_tcp(opts: &NvmfTargetOpts) -> spdk::Result<NvmfTarget> {
    let target = NvmfTarget::create(opts).await?;
    target.add_transport(&NvmfTransportOpts::tcp()).await?;
    Ok(target)
}

/// Starts a subsystem, which listens.
async fn listen(subsystem: &NvmfSubsystem) -> spdk::Result<NvmfAddress> {
    let at = address();
    subsystem.listen(at).await?;
    subsystem.start().await?;
    Ok(at)
}

/// Whether somebody listens there, as the kernel says. To connect would block the OS thread of a target
/// that has not accepted the connections before it: SPDK accepts 16 of them every 10 ms, and a listener has
/// room for 512.
fn listens(address: NvmfAddress) -> bool {
    const LISTEN: &str = "0A";
    let SocketAddr::V4(at) = address.socket_addr() else {
        panic!("{address} is not of IPv4");
    };
    let ip = u32::from_ne_bytes(at.ip().octets());
    let local = format!("{ip:08X}:{:04X}", at.port());
    let sockets = fs::read_to_string("/proc/net/tcp").expect("the sockets of the machine");
    sockets.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next() == Some(&local) && fields.nth(1) == Some(LISTEN)
    })
}

/// Until the target that served the bdev has closed, and another one can be made.
async fn closes(bdev: &str) -> NvmfServer {
    loop {
        match serve(bdev, address()).await {
            Ok(server) => return server,
            Err(error) => assert_eq!(error.errno(), Some(Errno::EEXIST), "{error}"),
        }
        spdk::task::yield_now().await;
    }
}

/// Where a subsystem is, as a controller of this process takes it.
fn trid(at: NvmfAddress, nqn: &str) -> spdk::Result<TransportId> {
    let at = at.socket_addr();
    TransportId::tcp(&at.ip().to_string(), &at.port().to_string(), nqn)
}

/// What `bdev_nvme_attach_controller` takes, for a subsystem at an address.
fn attach(name: &str, at: NvmfAddress, nqn: &str) -> serde_json::Value {
    let SocketAddr::V4(at) = at.socket_addr() else {
        panic!("{at} is not of IPv4");
    };
    json!({
        "name": name, "trtype": "TCP", "adrfam": "IPv4", "subnqn": nqn,
        "traddr": at.ip().to_string(), "trsvcid": at.port().to_string(),
    })
}

/// A controller of this process.
async fn connect(at: NvmfAddress, nqn: &str) -> spdk::Result<NvmeController> {
    connect_as(at, nqn, HOST).await
}

async fn connect_as(at: NvmfAddress, nqn: &str, host: &str) -> spdk::Result<NvmeController> {
    let opts = NvmeCtrlrOpts::new().hostnqn(host);
    NvmeController::connect(&trid(at, nqn)?, Some(&opts)).await
}
