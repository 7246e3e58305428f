//! Calls beside an open that has not ended, on a device that ends reads late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use spdk::Errno;
use spdk::blob::{BlobId, Blobstore, BlockDevice, ReadInto, WriteFrom};
use spdk::task::{JoinHandle, spawn_local, yield_now};
use spdk_tests::memory::{Channel, Memory};
use spdk_tests::poll_once;
use spdk_tests::wait::within;

use crate::{UNIT, assert_errno, new_blob, of, opts};

/// The reads of a device, some of which end late.
#[derive(Clone, Default)]
struct Reads(Arc<Counts>);

#[derive(Default)]
struct Counts {
    are_late: AtomicBool,
    begun: AtomicUsize,
    may_end: AtomicUsize,
}

impl Reads {
    /// Whether those that begin now end when they may, or at once.
    fn are_late(&self, are_late: bool) {
        self.0.are_late.store(are_late, Relaxed);
    }

    /// Until so many late ones have begun.
    async fn have_begun(&self, count: usize) {
        let begun = async {
            while self.0.begun.load(Relaxed) < count {
                yield_now().await;
            }
        };
        within("the beginning of a read", begun).await;
    }

    /// So many of the late ones may end.
    fn may_end(&self, count: usize) {
        self.0.may_end.store(count, Relaxed);
    }
}

/// What was there when a read began is what it reads, however late that ends.
#[derive(Clone)]
struct Device {
    memory: Memory,
    reads: Reads,
}

impl Device {
    fn new(reads: &Reads) -> Self {
        Device {
            memory: Memory::new(UNIT as u32, 16384),
            reads: reads.clone(),
        }
    }
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
        let counts = &self.reads.0;
        let number = match counts.are_late.load(Relaxed) {
            true => counts.begun.fetch_add(1, Relaxed) + 1,
            false => 0,
        };
        self.memory.read(ch, block, into).await?;
        while counts.may_end.load(Relaxed) < number {
            yield_now().await;
        }
        Ok(())
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

/// A thin blob, closed.
async fn thin_blob(store: &Blobstore) -> spdk::Result<BlobId> {
    let blob = new_blob(store, &of(2).use_extent_table(false).thin_provision(true)).await?;
    let id = blob.id();
    blob.close().await?;
    Ok(id)
}

/// Has a blob deleted.
fn delete(store: &Blobstore, id: BlobId) -> spdk::Result<JoinHandle<spdk::Result<()>>> {
    let store = store.clone();
    spawn_local(async move { store.delete_blob(id).await })
}

/// Has others begin what they can; what waits goes on waiting, however often it is polled.
async fn turns() {
    for _ in 0..1000 {
        yield_now().await;
    }
}

/// Fails if a blob is deleted that somebody is just opening, who has pages and clusters of others then.
#[spdk::test]
async fn a_delete() -> spdk::Result<()> {
    let reads = Reads::default();
    let store = Blobstore::init_on(Device::new(&reads), Some(&opts())).await?;
    let id = thin_blob(&store).await?;

    reads.are_late(true);
    let mut open = Box::pin(store.open_blob(id, None));
    assert!(poll_once(open.as_mut()).is_pending());
    reads.have_begun(1).await;
    reads.are_late(false);
    let deleted = delete(&store, id)?;
    turns().await;
    reads.may_end(1);
    let blob = within("the open", open).await?;
    assert_errno(within("the delete", deleted).await?, Errno::EBUSY);
    blob.close().await?;
    store.delete_blob(id).await?;
    store.unload().await
}

/// Fails if a blob is deleted that an iteration is just opening.
#[spdk::test]
async fn a_delete_beside_an_iteration() -> spdk::Result<()> {
    let reads = Reads::default();
    let store = Blobstore::init_on(Device::new(&reads), Some(&opts())).await?;
    let ids = [thin_blob(&store).await?, thin_blob(&store).await?];

    let mut blobs = store.blobs();
    for (n, id) in ids.into_iter().enumerate() {
        reads.are_late(true);
        let mut next = Box::pin(blobs.next());
        assert!(poll_once(next.as_mut()).is_pending());
        reads.have_begun(n + 1).await;
        reads.are_late(false);
        let deleted = delete(&store, id)?;
        turns().await;
        reads.may_end(n + 1);
        assert_eq!(within("the next one", next).await.transpose()?, Some(id));
        assert_errno(within("the delete", deleted).await?, Errno::EBUSY);
    }
    drop(blobs);
    for id in ids {
        store.delete_blob(id).await?;
    }
    store.unload().await
}
