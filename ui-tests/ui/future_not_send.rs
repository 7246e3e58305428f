//! The future of an operation stays on its OS thread, so a multi-threaded executor refuses it.

use spdk::{BdevDesc, DmaBuf, IoChannel};

fn spawn_anywhere<F: Future + Send + 'static>(_: F) {}

fn main() {}

fn submit(desc: BdevDesc, channel: IoChannel, mut buf: DmaBuf) {
    spawn_anywhere(async move { desc.read(&channel, &mut buf, 0).await });
}
