//! The allocations of I/Os, once the first ones have filled the pools.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};
use spdk::task::yield_now;
use spdk::{BdevDesc, DmaBuf, Result};

use crate::{dma, heap};

const WARMUP: u64 = 100_000;
const IOS: u64 = 1_000_000;

/// Counts with `depth` tasks that read or write the first block.
pub(crate) async fn count(bdev: &str, depth: u32, is_write: bool) -> Result<Value> {
    let desc = Rc::new(BdevDesc::open(bdev, true)?);
    let channel = Rc::new(desc.get_io_channel()?);
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));
    let mut tasks = Vec::new();
    for _ in 0..depth {
        let (desc, channel) = (desc.clone(), channel.clone());
        let (done, stop) = (done.clone(), stop.clone());
        let mut buf = DmaBuf::alloc(4096, 4096)?;
        tasks.push(spdk::spawn_local(async move {
            while !stop.get() {
                if is_write {
                    desc.write(&channel, &buf, 0).await?;
                } else {
                    desc.read(&channel, &mut buf, 0).await?;
                }
                done.set(done.get() + 1);
            }
            Ok::<_, spdk::Error>(())
        })?);
    }
    // A task that has failed has ended, and the others go on; with none left this would wait for ever.
    let reaches = async |count| {
        while done.get() < count && !tasks.iter().all(|task| task.is_finished()) {
            yield_now().await;
        }
    };
    reaches(WARMUP).await;
    let before = (done.get(), heap::allocations(), dma::calls());
    reaches(WARMUP + IOS).await;
    let after = (done.get(), heap::allocations(), dma::calls());
    stop.set(true);
    for task in tasks {
        task.await??;
    }
    Ok(json!({
        "bdev": bdev,
        "queue_depth": depth,
        "operation": if is_write { "write" } else { "read" },
        "ios": after.0 - before.0,
        "heap": after.1 - before.1,
        "dma": after.2 - before.2,
    }))
}
