//! The allocations of I/Os, once the first ones have filled the pools.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};
use spdk::blob::{BlobOpts, Blobstore};
use spdk::task::yield_now;
use spdk::{BdevDesc, DmaBuf, Result};

use crate::{dma, heap};

/// How many I/Os go before, and how many are counted.
#[derive(Clone, Copy)]
pub(crate) struct Steady {
    pub(crate) warmup: u64,
    pub(crate) ios: u64,
}

/// What was counted.
pub(crate) struct Counted {
    ios: u64,
    heap: u64,
    dma: u64,
}

impl Counted {
    /// As a part of the report.
    pub(crate) fn report(&self, device: &str, depth: u32, is_write: bool) -> Value {
        json!({
            "bdev": device,
            "queue_depth": depth,
            "operation": if is_write { "write" } else { "read" },
            "ios": self.ios,
            "heap": self.heap,
            "dma": self.dma,
        })
    }
}

const TIMES: Steady = Steady {
    warmup: 100_000,
    ios: 1_000_000,
};

/// Counts with `depth` tasks that read or write the first block of a bdev.
pub(crate) async fn bdev(name: &str, depth: u32, is_write: bool) -> Result<Value> {
    let desc = Rc::new(BdevDesc::open(name, true)?);
    let channel = Rc::new(desc.get_io_channel()?);
    let counted = measure(TIMES, depth, || {
        let (desc, channel) = (desc.clone(), channel.clone());
        let mut buf = DmaBuf::alloc(4096, 4096)?;
        Ok(async move || match is_write {
            true => desc.write(&channel, &buf, 0).await,
            false => desc.read(&channel, &mut buf, 0).await,
        })
    });
    Ok(counted.await?.report(name, depth, is_write))
}

/// The same of a blob on that bdev.
pub(crate) async fn blob(bdev: &str, depth: u32, is_write: bool) -> Result<Value> {
    let store = Blobstore::init(bdev, None).await?;
    let opts = BlobOpts::new().num_clusters(1);
    let id = store.create_blob(Some(&opts)).await?;
    let blob = Rc::new(store.open_blob(id, None).await?);
    let channel = Rc::new(store.alloc_io_channel()?);
    let counted = measure(TIMES, depth, || {
        let (blob, channel) = (blob.clone(), channel.clone());
        let mut buf = DmaBuf::alloc(4096, 4096)?;
        Ok(async move || match is_write {
            true => blob.write(&channel, &buf, 0).await,
            false => blob.read(&channel, &mut buf, 0).await,
        })
    });
    let report = counted.await?.report("blob", depth, is_write);
    drop((blob, channel));
    store.unload().await?;
    Ok(report)
}

/// Counts with `depth` tasks, each of which does one I/O after the other.
pub(crate) async fn measure<I>(
    times: Steady,
    depth: u32,
    mut io: impl FnMut() -> Result<I>,
) -> Result<Counted>
where
    I: AsyncFnMut() -> Result<()> + 'static,
{
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));
    let mut tasks = Vec::new();
    for _ in 0..depth {
        let (done, stop) = (done.clone(), stop.clone());
        let mut io = io()?;
        tasks.push(spdk::spawn_local(async move {
            while !stop.get() {
                io().await?;
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
    reaches(times.warmup).await;
    let before = (done.get(), heap::allocations(), dma::calls());
    reaches(times.warmup + times.ios).await;
    let after = (done.get(), heap::allocations(), dma::calls());
    stop.set(true);
    for task in tasks {
        task.await??;
    }
    Ok(Counted {
        ios: after.0 - before.0,
        heap: after.1 - before.1,
        dma: after.2 - before.2,
    })
}
