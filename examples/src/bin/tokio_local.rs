//! Tasks of a Tokio `LocalSet` await SPDK's I/O. The set is polled by a task of SPDK's reactor.
#![forbid(unsafe_code)]

use std::rc::Rc;

use futures_util::future::try_join_all;
use spdk_examples::{Store, app};
use tokio::task::{LocalSet, spawn_local};

const TASKS: u64 = 16;

fn main() -> spdk::Result<()> {
    let verified = app("tokio_local").block_on(async {
        let store = Rc::new(Store::open()?);
        let tasks = LocalSet::new();
        let verified = tasks.run_until(async {
            let tasks = (0..TASKS).map(|task| {
                let store = store.clone();
                spawn_local(async move { store.verify(task, TASKS).await })
            });
            let results = try_join_all(tasks).await.expect("no task panics");
            results.into_iter().sum::<spdk::Result<u64>>()
        });
        verified.await
    })?;
    println!("{verified} blocks verified by tasks of a LocalSet");
    Ok(())
}
