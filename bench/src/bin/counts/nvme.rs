//! The allocations of I/Os over NVMe/TCP, once the first ones have filled the pools.
//!
//! The target is in this process too: what it allocates counts.

use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;

use serde_json::Value;
use spdk::nvme::{NvmeController, TransportId};
use spdk::nvmf::serve;
use spdk::{DmaBuf, Result};

use crate::steady::{self, Steady};

/// Each takes microseconds, where those of a bdev take a part of one.
const TIMES: Steady = Steady {
    warmup: 10_000,
    ios: 100_000,
};

/// The last is one more than the target has room for in a queue.
const DEPTHS: [u32; 3] = [1, 32, 128];

/// Counts with the bdev served, and as many tasks that read or write its first block.
pub(crate) async fn count(bdev: &str) -> Result<Vec<Value>> {
    // Nobody takes it meanwhile, on a machine that measures.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let address = free.expect("an address of this machine");
    let server = serve(bdev, address.into()).await?;
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let trid = TransportId::tcp(&ip, &port, server.nqn())?;
    let controller = NvmeController::connect(&trid, None).await?;
    let mut all = Vec::new();
    for depth in DEPTHS {
        for is_write in [false, true] {
            all.push(one(&controller, depth, is_write).await?);
        }
    }
    controller.detach().await?;
    server.close().await?;
    Ok(all)
}

async fn one(controller: &NvmeController, depth: u32, is_write: bool) -> Result<Value> {
    let qpair = Rc::new(controller.alloc_io_qpair(None).await?);
    let ns = controller.namespace(1).expect("what is served is there");
    let ns = Rc::new(ns);
    let counted = steady::measure(TIMES, depth, || {
        let (ns, qpair) = (ns.clone(), qpair.clone());
        let mut buf = DmaBuf::alloc(4096, 4096)?;
        Ok(async move || match is_write {
            true => ns.write(&qpair, &buf, 0, 1).await,
            false => ns.read(&qpair, &mut buf, 0, 1).await,
        })
    });
    Ok(counted.await?.report("tcp", depth, is_write))
}
