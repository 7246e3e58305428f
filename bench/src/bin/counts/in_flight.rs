//! The bytes of operations in flight.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};
use spdk::task::yield_now;
use spdk::{BdevDesc, DmaBuf, IoChannel, Result};

use crate::heap;

const MANY: u64 = 4096;

/// Compares one operation in flight with many, each in a task of its own. `bdev` has to be slow: the operations must
/// all be in flight at once.
pub(crate) async fn count(bdev: &str) -> Result<Value> {
    let desc = Rc::new(BdevDesc::open(bdev, false)?);
    let channel = Rc::new(desc.get_io_channel()?);
    let future = {
        let mut buf = DmaBuf::alloc(4096, 4096)?;
        size_of_val(&desc.read(&channel, &mut buf, 0))
    };
    let one = in_flight(&desc, &channel, 1).await?;
    let many = in_flight(&desc, &channel, MANY).await?;
    Ok(json!({
        "operations": MANY,
        "heap_bytes_each": (many - one) as f64 / (MANY - 1) as f64,
        "future_bytes": future,
    }))
}

/// The bytes that `count` operations take on the heap while they are in flight, beside their buffers.
async fn in_flight(desc: &Rc<BdevDesc>, channel: &Rc<IoChannel>, count: u64) -> Result<u64> {
    let buffers: Vec<_> = (0..count)
        .map(|_| DmaBuf::alloc(4096, 4096))
        .collect::<Result<_>>()?;
    let mut tasks = Vec::with_capacity(buffers.len());
    let submitted = Rc::new(Cell::new(0));
    let before = heap::in_use();
    for mut buf in buffers {
        let (desc, channel, submitted) = (desc.clone(), channel.clone(), submitted.clone());
        tasks.push(spdk::spawn_local(async move {
            submitted.set(submitted.get() + 1);
            desc.read(&channel, &mut buf, 0).await
        })?);
    }
    while submitted.get() < count {
        yield_now().await;
    }
    // Those that were submitted first were not done before the last one was.
    assert!(
        !tasks.iter().any(|task| task.is_finished()),
        "the bdev is too fast"
    );
    let bytes = heap::in_use() - before;
    for task in tasks {
        task.await??;
    }
    Ok(bytes)
}
