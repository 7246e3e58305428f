//! Tasks of a Tokio `LocalSet` on SPDK's reactor await SPDK's I/O, and Tokio's timers.
#![forbid(unsafe_code)]

use std::rc::Rc;

use futures_util::future::try_join_all;
use spdk_examples::{Store, app};
use tokio::runtime::Builder;
use tokio::task::spawn_local;
use tokio::time::{Duration, sleep};

const TASKS: u64 = 16;

fn main() -> spdk::Result<()> {
    let verified = app("tokio_local").block_on(async {
        let store = Rc::new(Store::open()?);
        let verify = async {
            let tasks = (0..TASKS).map(|task| {
                let store = store.clone();
                spawn_local(async move {
                    sleep(Duration::from_millis(task)).await;
                    store.verify(task, TASKS).await
                })
            });
            let results = try_join_all(tasks).await.expect("no task panics");
            results.into_iter().sum::<spdk::Result<u64>>()
        };
        spdk::tokio::run_local(Builder::new_multi_thread().enable_time(), verify).await?
    })?;
    println!("{verified} blocks verified by tasks of a LocalSet");
    Ok(())
}
