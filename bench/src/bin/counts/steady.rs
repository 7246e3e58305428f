//! The allocations of I/Os, once the first ones have filled the pools.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};
use spdk::blob::{BlobOpts, Blobstore};
use spdk::task::yield_now;
use spdk::{BdevDesc, DmaBuf, Result};

use crate::{dma, heap};

const WARMUP: u64 = 100_000;
const IOS: u64 = 1_000_000;

/// Counts with `depth` tasks that read or write the first block of a bdev.
pub(crate) async fn bdev(name: &str, depth: u32, is_write: bool) -> Result<Value> {
    let desc = BdevDesc::open(name, true)?;
    let channel = desc.get_io_channel()?;
    let io = async move |buf: &mut DmaBuf| match is_write {
        true => desc.write(&channel, buf, 0).await,
        false => desc.read(&channel, buf, 0).await,
    };
    count(name, depth, is_write, io).await
}

/// The same of a blob on that bdev.
pub(crate) async fn blob(bdev: &str, depth: u32, is_write: bool) -> Result<Value> {
    let store = Blobstore::init(bdev, None).await?;
    let id = store
        .create_blob(Some(&BlobOpts::new().num_clusters(1)))
        .await?;
    let blob = store.open_blob(id, None).await?;
    let channel = store.alloc_io_channel()?;
    let io = async move |buf: &mut DmaBuf| match is_write {
        true => blob.write(&channel, buf, 0).await,
        false => blob.read(&channel, buf, 0).await,
    };
    let counted = count("blob", depth, is_write, io).await?;
    store.unload().await?;
    Ok(counted)
}

async fn count(
    what: &str,
    depth: u32,
    is_write: bool,
    io: impl AsyncFn(&mut DmaBuf) -> Result<()> + 'static,
) -> Result<Value> {
    let io = Rc::new(io);
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));
    let mut tasks = Vec::new();
    for _ in 0..depth {
        let (io, done, stop) = (io.clone(), done.clone(), stop.clone());
        let mut buf = DmaBuf::alloc(4096, 4096)?;
        tasks.push(spdk::spawn_local(async move {
            while !stop.get() {
                io(&mut buf).await?;
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
        "bdev": what,
        "queue_depth": depth,
        "operation": if is_write { "write" } else { "read" },
        "ios": after.0 - before.0,
        "heap": after.1 - before.1,
        "dma": after.2 - before.2,
    }))
}
