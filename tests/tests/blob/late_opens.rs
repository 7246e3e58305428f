//! Calls beside an open that has not ended, on a device that ends reads late.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::Poll;

use spdk::Errno;
use spdk::blob::{Blobstore, BlockDevice, ReadInto, WriteFrom};
use spdk::task::{spawn_local, yield_now};
use spdk_tests::memory::{Channel, Memory};
use spdk_tests::poll_once;
use spdk_tests::wait::within;

use crate::{UNIT, assert_errno, new_blob, of, opts};

/// No read that begins now ends late.
const NOW: u8 = 0;
/// Those that begin now end when it is [`NOW`] again.
const LATE: u8 = 1;
/// Those that have begun before still do.
const OTHERS: u8 = 2;

/// What was there when a read began is what it reads, however late that ends.
#[derive(Clone)]
struct Device {
    memory: Memory,
    reads: Arc<AtomicU8>,
}

impl BlockDevice for Device {
    type Channel = Channel;

    fn block_size(&self) -> u32 {
        self.memory.block_size()
    }

    fn num_blocks(&self) -> u64 {
        self.memory.num_blocks()
    }

    fn channel(&self) -> Result<Channel, Errno> {
        self.memory.channel()
    }

    async fn read(&self, ch: &Channel, block: u64, into: &mut ReadInto<'_>) -> Result<(), Errno> {
        let is_late = self.reads.load(Relaxed) == LATE;
        self.memory.read(ch, block, into).await?;
        poll_fn(|cx| {
            if is_late && self.reads.load(Relaxed) != NOW {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    async fn write(&self, ch: &Channel, block: u64, from: &WriteFrom) -> Result<(), Errno> {
        self.memory.write(ch, block, from).await
    }

    async fn write_zeroes(&self, ch: &Channel, block: u64, count: u64) -> Result<(), Errno> {
        self.memory.write_zeroes(ch, block, count).await
    }

    async fn unmap(&self, ch: &Channel, block: u64, count: u64) -> Result<(), Errno> {
        self.memory.unmap(ch, block, count).await
    }
}

/// Fails if a blob is deleted that somebody is just opening, who has pages and clusters of others then.
#[spdk::test]
async fn a_delete() -> spdk::Result<()> {
    let reads = Arc::new(AtomicU8::new(NOW));
    let device = Device {
        memory: Memory::new(UNIT as u32, 16384),
        reads: reads.clone(),
    };
    let store = Blobstore::init_on(device, Some(&opts())).await?;
    let blob = new_blob(&store, &of(2).use_extent_table(false).thin_provision(true)).await?;
    let id = blob.id();
    blob.close().await?;

    reads.store(LATE, Relaxed);
    let mut open = Box::pin(store.open_blob(id, None));
    assert!(poll_once(open.as_mut()).is_pending());
    reads.store(OTHERS, Relaxed);
    let target = store.clone();
    let delete = spawn_local(async move { target.delete_blob(id).await })?;
    for _ in 0..1000 {
        yield_now().await; // the delete does not end before the open, however often it is polled
    }
    reads.store(NOW, Relaxed);
    let blob = within("the open", open).await?;
    let deleted = within("the delete", delete).await?;
    assert_errno(deleted, Errno::EBUSY);
    blob.close().await?;
    store.delete_blob(id).await?;
    store.unload().await
}
