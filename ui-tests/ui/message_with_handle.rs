//! A message to another spdk_thread cannot carry a handle of this one, and a task that is spawned
//! there cannot either.

use spdk::{BdevDesc, IoChannel, Result, ThreadHandle};

fn message(thread: &ThreadHandle, desc: BdevDesc) -> Result<()> {
    thread.send(move || drop(desc))
}

async fn task(thread: &ThreadHandle, desc: BdevDesc, channel: IoChannel) -> Result<()> {
    thread
        .spawn(move || async move { desc.reset(&channel).await })
        .await?
}

fn main() {}
