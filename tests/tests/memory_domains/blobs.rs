//! The same on blobs.
//!
//! With `spdk_blob_io_readv_ext` in the place of a read and a copy, these tests failed: `while_a_blob_is_frozen`, by
//! SIGSEGV, `bytes_of_a_blob_arrive` and `abandoned_on_a_blob`.

use std::cell::Cell;

use futures_util::future::join;
use spdk::blob::{Blob, BlobOpts, Blobstore, BsOpts, Xattrs};
use spdk::{DmaBuf, IoChannel, Result};
use spdk_tests::memory::Memory;

use super::*;

/// The size of a cluster in io units, which are the blocks.
const CLUSTER: u64 = 128;
/// How many io units the I/Os here have.
const UNITS: usize = 64;

fn opts() -> BsOpts {
    BsOpts::new().cluster_size(CLUSTER as u32 * BLOCK as u32)
}

async fn new_blob(store: &Blobstore, opts: &BlobOpts) -> Result<Blob> {
    let id = store.create_blob(Some(opts)).await?;
    store.open_blob(id, None).await
}

fn thin(clusters: u64) -> BlobOpts {
    BlobOpts::new().num_clusters(clusters).thin_provision(true)
}

async fn read(blob: &Blob, ch: &IoChannel, first: u64) -> Result<DmaBuf> {
    let mut buf = DmaBuf::alloc(UNITS * BLOCK, 4096)?;
    blob.read_io_units(ch, &mut buf, first, UNITS as u64)
        .await?;
    Ok(buf)
}

/// Writes from a domain and reads into it, and compares with ordinary memory.
async fn both_ways(
    blob: &Blob,
    ch: &IoChannel,
    first: u64,
    memory: &DomainBytes,
    domain: &MemoryDomain,
) -> Result<()> {
    let (ranges, units) = (ranges(UNITS, BLOCK), UNITS as u64);
    for generation in 1..=2 {
        let mut bytes = vec![0; UNITS * BLOCK];
        pattern::fill(&mut bytes, BLOCK, first, generation);
        scatter(memory, &ranges, &bytes);
        let context = usize::MAX - 1 - first as usize;
        let write = blob.writev_io_units_domain(ch, domain, context, &ranges, first, units);
        within("the write", write).await?;
        pattern::assert_is(&read(blob, ch, first).await?, BLOCK, first, generation);
        memory.bytes.borrow_mut().fill(0);
        let read = blob.readv_io_units_domain(ch, domain, context + 1, &ranges, first, units);
        within("the read", read).await?;
        pattern::assert_is(&gathered(memory, &ranges), BLOCK, first, generation);
        let contexts = memory.contexts.take();
        assert_eq!(contexts, [context, context + 1]);
    }
    Ok(())
}

/// On all kinds of clusters.
async fn everywhere(store: &Blobstore, way: Way) -> Result<()> {
    let ch = &store.alloc_io_channel()?;
    let memory = &DomainBytes::new(UNITS * BLOCK, way);
    let domain = &memory.domain()?;
    serve(memory)?;
    let blob = &new_blob(store, &BlobOpts::new().num_clusters(3)).await?;
    for first in [0, CLUSTER - 32, 3 * CLUSTER - UNITS as u64] {
        both_ways(blob, ch, first, memory, domain).await?;
    }
    let blob = &new_blob(store, &thin(3)).await?;
    // From clusters that are not there.
    memory.bytes.borrow_mut().fill(1);
    let ranges = ranges(UNITS, BLOCK);
    let empty = blob.readv_io_units_domain(ch, domain, 0, &ranges, CLUSTER - 32, UNITS as u64);
    within("the read", empty).await?;
    assert!(memory.bytes.borrow().iter().all(|byte| *byte == 0));
    memory.contexts.take();
    both_ways(blob, ch, CLUSTER - 32, memory, domain).await?;
    // From its snapshot, and from beyond the end of that.
    store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    blob.resize(5).await?;
    let before = read(blob, ch, 3 * CLUSTER - 32).await?;
    memory.bytes.borrow_mut().fill(1);
    let both = blob.readv_io_units_domain(ch, domain, 0, &ranges, 3 * CLUSTER - 32, UNITS as u64);
    within("the read", both).await?;
    assert!(gathered(memory, &ranges)[..] == before[..]);
    memory.contexts.take();
    for first in [CLUSTER, 3 * CLUSTER - 32, 4 * CLUSTER] {
        both_ways(blob, ch, first, memory, domain).await?;
    }
    Ok(())
}

/// Fails if the bytes are not those that the blob has, at once or later, in clusters of its own, none, a snapshot's, and beyond that.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = BLOCK)))]
async fn bytes_of_a_blob_arrive() -> Result<()> {
    for way in [Way::Now, Way::Later] {
        let store = Blobstore::init("M", Some(&opts())).await?;
        everywhere(&store, way).await?;
        store.destroy().await?;
    }
    let store = Blobstore::init_on(Memory::new(BLOCK as u32, 16384), Some(&opts())).await?;
    everywhere(&store, Way::Later).await
}

/// Fails if an I/O that SPDK keeps while a snapshot is made, or a blob gets another size, takes the domain's addresses for
/// those of this process.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 65536, block_size = BLOCK)))]
async fn while_a_blob_is_frozen() -> Result<()> {
    let store = &Blobstore::init("M", Some(&opts())).await?;
    let ch = &store.alloc_io_channel()?;
    let memory = &DomainBytes::new(UNITS * BLOCK, Way::Now);
    let domain = &memory.domain()?;
    let blob = &new_blob(store, &thin(2)).await?;
    let is_done = &Cell::new(false);
    let changes = async {
        for size in [3, 2, 4, 2] {
            store.create_snapshot(blob.id(), &Xattrs::new()).await?;
            blob.resize(size).await?;
        }
        is_done.set(true);
        Ok::<_, spdk::Error>(())
    };
    let ios = async {
        while !is_done.get() {
            both_ways(blob, ch, CLUSTER - 32, memory, domain).await?;
        }
        Ok::<_, spdk::Error>(())
    };
    let (changes, ios) = within("both", join(changes, ios)).await;
    changes.and(ios)
}

/// Fails if an I/O succeeds whose domain or blob failed it, or one of the two is asked for what the other one has not got.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = BLOCK),
    bdev_malloc_create(name = "N", num_blocks = 16384, block_size = BLOCK),
))]
async fn blobs_or_domains_fail() -> Result<()> {
    let store = &Blobstore::init("M", Some(&opts())).await?;
    let ch = &store.alloc_io_channel()?;
    let blob = &new_blob(store, &BlobOpts::new().num_clusters(2)).await?;
    let range = |address, len| DomainRange { address, len };
    let whole = &[range(BASE, BLOCK)];
    for (way, errno) in [(Way::Fail, Errno::EIO), (Way::Drop, Errno::EIO)] {
        let memory = &DomainBytes::new(BLOCK, way);
        memory.bytes.borrow_mut().fill(7);
        let domain = &memory.domain()?;
        let write = blob.writev_io_units_domain(ch, domain, 0, whole, 0, 1);
        let error = within("the write", write).await.expect_err("it failed");
        assert_eq!(error.errno(), Some(errno), "{error}");
        let read = blob.readv_io_units_domain(ch, domain, 0, whole, 0, 1);
        let error = within("the read", read).await.expect_err("it failed");
        assert_eq!(error.errno(), Some(errno), "{error}");
        assert!(memory.bytes.borrow().iter().all(|byte| *byte == 7));
    }
    pattern::assert_zero(&read(blob, ch, 0).await?);

    let memory = &DomainBytes::new(BLOCK, Way::Now);
    let domain = &memory.domain()?;
    for (ranges, units) in [
        (vec![], 0),
        (vec![], 1),
        (vec![range(BASE, BLOCK)], 2),
        (vec![range(BASE, BLOCK), range(BASE, 1)], 1),
        (vec![range(BASE, BLOCK), range(BASE, 0)], 1),
        (vec![range(0, BLOCK)], 1),
        (vec![range(usize::MAX - 10, BLOCK)], 1),
        (
            vec![range(1, usize::MAX - 1), range(1, usize::MAX - 1)],
            u64::MAX,
        ),
    ] {
        let write = blob
            .writev_io_units_domain(ch, domain, 0, &ranges, 0, units)
            .await;
        let read = blob
            .readv_io_units_domain(ch, domain, 0, &ranges, 0, units)
            .await;
        for result in [write, read] {
            assert!(
                matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
                "{ranges:?}: {result:?}"
            );
        }
    }
    let other = Blobstore::init("N", Some(&opts())).await?;
    let others = &other.alloc_io_channel()?;
    let write = blob
        .writev_io_units_domain(others, domain, 0, whole, 0, 1)
        .await;
    let read = blob
        .readv_io_units_domain(others, domain, 0, whole, 0, 1)
        .await;
    for result in [write, read] {
        assert!(
            matches!(kind(&result), Some(ErrorKind::WrongChannel { .. })),
            "{result:?}"
        );
    }
    let beyond = blob
        .readv_io_units_domain(ch, domain, 0, whole, 2 * CLUSTER, 1)
        .await;
    assert_eq!(
        beyond.expect_err("it ends there").errno(),
        Some(Errno::EINVAL)
    );
    assert!(memory.contexts.borrow().is_empty());
    let beyond = blob
        .writev_io_units_domain(ch, domain, 0, whole, 2 * CLUSTER, 1)
        .await;
    assert_eq!(
        beyond.expect_err("it ends there").errno(),
        Some(Errno::EINVAL)
    );
    blob.set_read_only().await?;
    blob.sync().await?;
    let denied = blob
        .writev_io_units_domain(ch, domain, 0, whole, 0, 1)
        .await;
    assert_eq!(
        denied.expect_err("it is read-only").errno(),
        Some(Errno::EPERM)
    );
    Ok(())
}

/// Fails if an abandoned I/O loses its domain or its memory: in any order of the drops, while the domain has the transfer; or
/// if what is abandoned is written.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = BLOCK)))]
async fn abandoned_on_a_blob() -> Result<()> {
    async fn abandon(round: u64) -> Result<()> {
        let store = Blobstore::load("M", None).await?;
        let id = store.blobs().next().await.expect("a blob")?;
        let blob = store.open_blob(id, None).await?;
        let ch = store.alloc_io_channel()?;
        let memory = DomainBytes::new(UNITS * BLOCK, Way::Later);
        let domain = memory.domain()?;
        let (ranges, units) = (ranges(UNITS, BLOCK), UNITS as u64);
        let mut bytes = vec![0; UNITS * BLOCK];
        pattern::fill(&mut bytes, BLOCK, 0, 2);
        scatter(&memory, &ranges, &bytes);
        if round.is_multiple_of(2) {
            let write = blob.writev_io_units_domain(&ch, &domain, 0, &ranges, 0, units);
            let mut write = Box::pin(write);
            assert!(poll_once(write.as_mut()).is_pending());
            until("the pull", || !memory.kept.borrow().is_empty()).await;
        } else {
            let mut read = Box::pin(blob.readv_io_units_domain(&ch, &domain, 0, &ranges, 0, units));
            until("the push", || {
                assert!(poll_once(read.as_mut()).is_pending());
                !memory.kept.borrow().is_empty()
            })
            .await;
        }
        match round / 2 % 2 {
            0 => {
                drop((blob, ch, domain));
                store.unload().await?;
                assert!(memory.end_one()?);
            }
            _ => {
                drop(domain);
                assert!(memory.end_one()?);
                // The data of the blob, or what was there.
                let generation = if round.is_multiple_of(2) { 2 } else { 1 };
                pattern::assert_is(&gathered(&memory, &ranges), BLOCK, 0, generation);
                pattern::assert_is(&read(&blob, &ch, 0).await?, BLOCK, 0, 1);
                drop((blob, ch));
                store.unload().await?;
            }
        }
        until("the domain to go", || Rc::strong_count(&memory) == 1).await;
        Ok(())
    }
    let store = Blobstore::init("M", Some(&opts())).await?;
    let blob = new_blob(&store, &BlobOpts::new().num_clusters(1)).await?;
    let ch = store.alloc_io_channel()?;
    let mut buf = DmaBuf::alloc(UNITS * BLOCK, 4096)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    blob.write_io_units(&ch, &buf, 0, UNITS as u64).await?;
    drop((blob, ch));
    store.unload().await?;
    let counters = Counters::settled(abandon(0)).await?;
    for round in 0..12 {
        abandon(round).await?;
    }
    counters.assert_back().await;
    Ok(())
}

/// Fails if the domain of another spdk_thread is used.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = BLOCK)))]
async fn a_domain_of_another_thread() -> Result<()> {
    thread_local! {
        static DOMAIN: RefCell<Option<MemoryDomain>> = const { RefCell::new(None) };
    }
    let store = Blobstore::init("M", Some(&opts())).await?;
    let blob = new_blob(&store, &BlobOpts::new().num_clusters(1)).await?;
    let ch = store.alloc_io_channel()?;
    let other = spdk::ThreadHandle::on_core("other", spdk::SpdkApp::cores()?[0]).await?;
    let made = other.spawn(|| async {
        // Both spdk_threads are of one OS thread.
        let domain = DomainBytes::new(BLOCK, Way::Now).domain()?;
        DOMAIN.with(|place| *place.borrow_mut() = Some(domain));
        Ok::<_, spdk::Error>(())
    });
    within("the domain", made).await??;
    let domain = DOMAIN.with(|place| place.borrow_mut().take());
    let domain = &domain.expect("it is there");
    let whole = &[DomainRange {
        address: BASE,
        len: BLOCK,
    }];
    let write = blob
        .writev_io_units_domain(&ch, domain, 0, whole, 0, 1)
        .await;
    let read = blob
        .readv_io_units_domain(&ch, domain, 0, whole, 0, 1)
        .await;
    for result in [write, read] {
        assert!(
            matches!(kind(&result), Some(ErrorKind::WrongThread { .. })),
            "{result:?}"
        );
    }
    Ok(())
}
