//! Tasks of a `smol::LocalExecutor` on SPDK's reactor await SPDK's I/O. It needs no bridge: its `run` is awaited.
#![forbid(unsafe_code)]

use std::rc::Rc;

use futures_util::future::join_all;
use smol::LocalExecutor;
use spdk_examples::{Store, app};

const TASKS: u64 = 16;

fn main() -> spdk::Result<()> {
    let verified = app("smol_local").block_on(async {
        let store = Rc::new(Store::open()?);
        let executor = LocalExecutor::new();
        let tasks = (0..TASKS).map(|task| {
            let store = store.clone();
            executor.spawn(async move { store.verify(task, TASKS).await })
        });
        let tasks: Vec<_> = tasks.collect();
        let results = executor.run(join_all(tasks)).await;
        results.into_iter().sum::<spdk::Result<u64>>()
    })?;
    println!("{verified} blocks verified by tasks of smol");
    Ok(())
}
