//! A buffer cannot be looked at while a read into it is in flight.

use spdk::{BdevDesc, DmaBuf, IoChannel, Result};

async fn peek(desc: &BdevDesc, channel: &IoChannel, buf: &mut DmaBuf) -> Result<u8> {
    let read = desc.read(channel, buf, 0);
    let first = buf[0];
    read.await?;
    Ok(first)
}

async fn twice(desc: &BdevDesc, channel: &IoChannel, buf: &mut DmaBuf) -> Result<()> {
    let first = desc.read(channel, buf, 0);
    let second = desc.read(channel, buf, 4096);
    first.await?;
    second.await
}

async fn change(desc: &BdevDesc, channel: &IoChannel, mut buf: DmaBuf) -> Result<()> {
    let write = desc.write(channel, &buf, 0);
    buf.fill(0);
    write.await
}

fn main() {}
