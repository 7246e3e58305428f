//! Devices need DMA memory: ordinary memory is not accepted.

use spdk::{BdevDesc, IoChannel, Result};

async fn read(desc: &BdevDesc, channel: &IoChannel, mut buf: Vec<u8>) -> Result<()> {
    desc.read(channel, &mut buf, 0).await
}

async fn write(desc: &BdevDesc, channel: &IoChannel, buf: &[u8]) -> Result<()> {
    desc.write(channel, buf, 0).await
}

async fn readv(desc: &BdevDesc, channel: &IoChannel, bufs: &mut [Vec<u8>]) -> Result<()> {
    desc.readv(channel, bufs, 0).await
}

fn main() {}
