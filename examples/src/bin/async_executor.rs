//! Tasks of an `async_executor::Executor`, which other OS threads run, await SPDK's I/O: each asks the spdk_thread
//! of the device through its `ThreadHandle`.
#![forbid(unsafe_code)]

use std::sync::Arc;

use async_executor::Executor;
use futures_util::future::join_all;
use spdk::{SpdkThread, ThreadHandle};
use spdk_examples::{Store, app};

const TASKS: u64 = 16;

fn main() -> spdk::Result<()> {
    let verified = app("async_executor").block_on(async {
        let home = SpdkThread::app_thread().expect("an application runs");
        let (ended, result) = spdk::completion();
        let others = std::thread::spawn(move || ended.success(elsewhere(&home)));
        let verified = result.await?;
        others.join().expect("it has ended");
        verified
    })?;
    println!("{verified} blocks verified by tasks of other OS threads");
    Ok(())
}

/// Runs the tasks on two OS threads that SPDK knows nothing of.
fn elsewhere(home: &ThreadHandle) -> spdk::Result<u64> {
    let executor = Arc::new(Executor::new());
    let tasks = (0..TASKS).map(|task| {
        let home = home.clone();
        executor.spawn(async move { home.call_async(async move || verify(task).await).await? })
    });
    let tasks: Vec<_> = tasks.collect();
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let worker = {
        let executor = executor.clone();
        std::thread::spawn(move || smol::block_on(executor.run(stopped.recv())))
    };
    let results = smol::block_on(executor.run(join_all(tasks)));
    drop(stop);
    let _ = worker.join().expect("it has ended");
    results.into_iter().sum()
}

/// On the device's spdk_thread.
async fn verify(task: u64) -> spdk::Result<u64> {
    let store = Store::open()?;
    store.verify(task, TASKS).await
}
