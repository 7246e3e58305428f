//! Serves a bdev over NVMe/TCP, until it gets SIGINT: at a port of 127.0.0.1 that is its argument, or at a free one.
//!
//! It prints where, as `spdk::testing::NvmfTarget::run` reads it.
#![forbid(unsafe_code)]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use spdk::nvme::TransportId;
use spdk::nvmf::serve;

fn main() -> Result<(), Box<dyn Error>> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse()?,
        None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port(),
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    spdk_examples::app("nvmf_serve").block_on(async move {
        let server = serve("Malloc0", address.into()).await?;
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        println!("{}", TransportId::tcp(&ip, &port, server.nqn())?);
        // SPDK ends the application at SIGINT, and the server closes.
        std::future::pending::<()>().await;
        server.close().await
    })?;
    Ok(())
}
