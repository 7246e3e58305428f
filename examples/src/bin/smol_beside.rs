//! Tasks of smol's global executor, on smol's own OS threads, await SPDK's I/O: each asks the spdk_thread of the device
//! through its `ThreadHandle`.
#![forbid(unsafe_code)]

use futures_util::future::join_all;
use spdk::{SpdkThread, ThreadHandle};
use spdk_examples::{Store, app};

const TASKS: u64 = 16;

fn main() -> spdk::Result<()> {
    let verified = app("smol_beside").block_on(async {
        let home = SpdkThread::app_thread().expect("an application runs");
        spdk::smol::run(verify_all(home)).await?
    })?;
    println!("{verified} blocks verified by tasks of smol's threads");
    Ok(())
}

/// On the threads of smol.
async fn verify_all(home: ThreadHandle) -> spdk::Result<u64> {
    let tasks = (0..TASKS).map(|task| {
        let home = home.clone();
        smol::spawn(async move { home.call_async(async move || verify(task).await).await? })
    });
    join_all(tasks).await.into_iter().sum()
}

/// On the device's spdk_thread.
async fn verify(task: u64) -> spdk::Result<u64> {
    let store = Store::open()?;
    store.verify(task, TASKS).await
}
