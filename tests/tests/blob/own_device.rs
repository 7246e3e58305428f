//! Stores on a device written in Rust.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;

use futures_util::TryStreamExt;
use futures_util::future::{join, try_join_all};
use spdk::blob::{BlobOpts, Blobstore, BlockDevice, ReadInto, WriteFrom, Xattrs};
use spdk::task::yield_now;
use spdk::{Errno, ErrorKind, ThreadHandle, spawn_on};
use spdk_tests::memory::Memory;
use spdk_tests::wait::within;
use spdk_tests::{forget, pattern, poll_once, until};

use crate::{CLUSTER, UNIT, assert_errno, buffer, check, last_of_chain, new_blob, of, opts, write};

const BLOCKS: u64 = 16384;

fn memory() -> Memory {
    Memory::new(UNIT as u32, BLOCKS)
}

/// The device has been dropped by its store, and so have its channels.
async fn is_given_back(memory: &Memory) {
    until("the device", || {
        memory.handles() == 1 && memory.channels() == 0
    })
    .await;
}

/// Fails if a form of I/O does not reach the device, or reaches it elsewhere, at once or later; or if the device is kept.
#[spdk::test]
async fn everything_there_is() -> spdk::Result<()> {
    for turns in [0, 3] {
        let memory = memory();
        memory.delay(turns);
        let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
        assert!(store.bdev_name().contains("Memory"), "{store:?}");
        let thick = new_blob(&store, &of(3)).await?;
        let thin = BlobOpts::new().num_clusters(4).thin_provision(true);
        let thin = new_blob(&store, &thin).await?;
        let ch = store.alloc_io_channel()?;
        write(&thick, &ch, 0, 3 * CLUSTER, 1).await?;
        write(&thin, &ch, CLUSTER - 4, 8, 2).await?;
        let mut bufs = [buffer(1)?, buffer(2)?, buffer(5)?];
        for (buf, place) in bufs.iter_mut().zip([0, 1, 3]) {
            pattern::fill(buf, UNIT, CLUSTER + 8 + place, 3);
        }
        thick.writev_io_units(&ch, &bufs, CLUSTER + 8, 8).await?;
        bufs.iter_mut().for_each(|buf| buf.fill(0));
        thick.readv_io_units(&ch, &mut bufs, CLUSTER + 8, 8).await?;
        for (buf, place) in bufs.iter().zip([0, 1, 3]) {
            pattern::assert_is(buf, UNIT, CLUSTER + 8 + place, 3);
        }
        thick.write_zeroes_io_units(&ch, 0, 4).await?;
        thick.unmap_io_units(&ch, 4, 4).await?;
        let snapshot = store.create_snapshot(thin.id(), &Xattrs::new()).await?;
        write(&thin, &ch, CLUSTER, 2, 4).await?;
        thick.set_xattr("name", b"thick").await?;
        let (thick_id, thin_id) = (thick.id(), thin.id());
        drop((thick, thin, ch));
        store.unload().await?;
        is_given_back(&memory).await;

        let store = Blobstore::load_on(memory.clone(), Some(&opts())).await?;
        let (thick, thin) = (
            store.open_blob(thick_id, None).await?,
            store.open_blob(thin_id, None).await?,
        );
        let ch = store.alloc_io_channel()?;
        let mut buf = buffer(8)?;
        thick.read_io_units(&ch, &mut buf, 0, 8).await?;
        pattern::assert_zero(&buf);
        check(&thick, &ch, 8, CLUSTER, 1).await?;
        check(&thick, &ch, CLUSTER + 8, 8, 3).await?;
        check(&thick, &ch, CLUSTER + 16, 2 * CLUSTER - 16, 1).await?;
        check(&thin, &ch, CLUSTER - 4, 4, 2).await?;
        check(&thin, &ch, CLUSTER, 2, 4).await?;
        check(&thin, &ch, CLUSTER + 2, 2, 2).await?;
        let old = store.open_blob(snapshot, None).await?;
        check(&old, &ch, CLUSTER - 4, 8, 2).await?;
        assert_eq!(thick.xattr("name").await?, Some(b"thick".to_vec()));
        drop((thick, thin, old, ch));
        store.destroy().await?;
        is_given_back(&memory).await;
        assert_errno(
            Blobstore::load_on(memory.clone(), None).await,
            Errno::EILSEQ,
        );
        is_given_back(&memory).await;
    }
    Ok(())
}

/// Fails if an spdk_thread does not have a channel of its own, or that is not dropped there.
#[spdk::test(cores = "0x3")]
async fn two_cores() -> spdk::Result<()> {
    let memory = memory();
    memory.delay(1);
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let mut tasks = Vec::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.push(spawn_on(task as u32 % 2, move || async move {
            let blob = new_blob(&store, &of(2)).await?;
            let ch = store.alloc_io_channel()?;
            write(&blob, &ch, 0, 2 * CLUSTER, task).await?;
            check(&blob, &ch, 0, 2 * CLUSTER, task).await?;
            let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
            write(&blob, &ch, CLUSTER - 2, 4, task + 8).await?;
            check(&blob, &ch, CLUSTER - 2, 4, task + 8).await?;
            let old = store.open_blob(snapshot, None).await?;
            check(&old, &ch, 0, 2 * CLUSTER, task).await
        }));
    }
    let ended = within("the tasks", try_join_all(tasks)).await?;
    ended.into_iter().collect::<spdk::Result<()>>()?;
    within("the unload", async {
        loop {
            match store.unload().await {
                Err(error) if error.errno() == Some(Errno::EBUSY) => yield_now().await,
                result => return result,
            }
        }
    })
    .await?;
    is_given_back(&memory).await;
    Ok(())
}

/// Fails if an I/O that nobody waits for any more touches memory that is somebody else's, or its blob closes before.
#[spdk::test]
async fn abandoned_io() -> spdk::Result<()> {
    let memory = memory();
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let blob = new_blob(&store, &of(2)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    memory.hold(true);
    for forgotten in [false, true] {
        let mut buf = buffer(8)?;
        let mut read = Box::pin(blob.read_io_units(&ch, &mut buf, 0, 8));
        assert!(poll_once(read.as_mut()).is_pending());
        match forgotten {
            true => forget(read),
            false => drop(read),
        }
        drop(buf);
    }
    let mut buf = buffer(8)?;
    pattern::fill(&mut buf, UNIT, 8, 2);
    let mut write = Box::pin(blob.write_io_units(&ch, &buf, 8, 8));
    assert!(poll_once(write.as_mut()).is_pending());
    drop(write);
    // What is written is what the buffer had.
    buf.fill(0xff);
    let mut others: Vec<_> = (0..4).map(|_| buffer(8)).collect::<Result<_, _>>()?;
    others.iter_mut().for_each(|other| other.fill(0xee));
    assert_eq!(memory.in_flight(), 3);
    memory.hold(false);
    until("the I/O", || memory.in_flight() == 0).await;
    assert!(
        others
            .iter()
            .all(|other| other.iter().all(|byte| *byte == 0xee))
    );
    check(&blob, &ch, 8, 8, 2).await?;
    blob.close().await?;
    drop(ch);
    store.unload().await?;
    is_given_back(&memory).await;
    Ok(())
}

/// Fails if more is in flight than a channel does at a time, or less, or one overtakes another.
#[spdk::test]
async fn the_room_on_a_channel() -> spdk::Result<()> {
    let memory = memory();
    let store = Blobstore::init_on(memory.clone(), Some(&opts().max_channel_ops(3))).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let (ch, same) = (store.alloc_io_channel()?, store.alloc_io_channel()?);
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    memory.hold(true);
    let mut bufs: Vec<_> = (0..10).map(|_| buffer(8)).collect::<Result<_, _>>()?;
    let mut reads: Vec<_> = bufs
        .iter_mut()
        .zip(0..)
        .map(|(buf, place)| {
            let ch = if place % 2 == 0 { &ch } else { &same };
            Box::pin(blob.read_io_units(ch, buf, 8 * place, 8))
        })
        .collect();
    for read in &mut reads {
        assert!(poll_once(read.as_mut()).is_pending());
    }
    assert_eq!(memory.in_flight(), 3);
    // One that is in flight and one that waits.
    drop(reads.remove(4));
    drop(reads.remove(0));
    let read = memory.reads();
    memory.hold(false);
    for read in reads {
        within("a read", read).await?;
    }
    // The one that waited was never done.
    assert_eq!(memory.reads() - read, 9);
    for (buf, place) in bufs
        .iter()
        .zip(0..)
        .filter(|(_, place)| ![0, 4].contains(place))
    {
        pattern::assert_is(buf, UNIT, 8 * place, 1);
    }
    Ok(())
}

/// Fails if reads that a snapshot holds back, and for which SPDK has not enough requests when it lets them go on, are
/// refused.
#[spdk::test]
async fn refused_after_a_snapshot() -> spdk::Result<()> {
    let memory = memory();
    let opts = opts().max_channel_ops(8).num_md_pages(512);
    let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    let blob = last_of_chain(&store, blob, 50).await?;
    let xattrs = Xattrs::new();
    memory.delay(3);
    // They begin before the snapshot holds them back, meanwhile, or after.
    for turns in 0..24 {
        let reads = async {
            for _ in 0..turns {
                yield_now().await;
            }
            let reads = (0..8).map(|read| check(&blob, &ch, 8 * read, 8, 1));
            within("all reads", futures_util::future::join_all(reads)).await
        };
        let snapshot = store.create_snapshot(blob.id(), &xattrs);
        let (snapshot, reads) = futures_util::future::join(snapshot, reads).await;
        // Calls of the metadata thread do not wait: the reads may have all requests.
        if snapshot.is_err() {
            assert_errno(snapshot, Errno::ENOMEM);
        }
        reads.into_iter().collect::<spdk::Result<()>>()?;
    }
    Ok(())
}

/// Fails if the end of an spdk_thread waits for an I/O that its device never ends, or what can be written is not.
#[spdk::test]
async fn threads_end() -> spdk::Result<()> {
    let core = spdk::SpdkApp::cores()?[0];
    for is_held in [false, true] {
        let memory = memory();
        let home = ThreadHandle::on_core("home", core).await?;
        let device = memory.clone();
        let id = home
            .call_async(async move || {
                let store = Blobstore::init_on(device.clone(), Some(&opts())).await?;
                let blob = new_blob(&store, &of(1)).await?;
                let ch = store.alloc_io_channel()?;
                write(&blob, &ch, 0, 8, 1).await?;
                blob.sync().await?;
                blob.set_xattr("left", b"open").await?;
                if is_held {
                    device.hold(true);
                    let mut buf = buffer(8)?;
                    let mut read = Box::pin(blob.read_io_units(&ch, &mut buf, 0, 8));
                    assert!(poll_once(read.as_mut()).is_pending());
                }
                let id = blob.id();
                forget((store, blob, ch));
                Ok::<_, spdk::Error>(id)
            })
            .await??;
        within("the end of the metadata thread", home.exit()).await?;
        memory.hold(false);
        is_given_back(&memory).await;
        let store = Blobstore::load_on(memory.clone(), Some(&opts())).await?;
        let blob = store.open_blob(id, None).await?;
        let ch = store.alloc_io_channel()?;
        check(&blob, &ch, 0, 8, 1).await?;
        let left = (!is_held).then(|| b"open".to_vec());
        assert_eq!(blob.xattr("left").await?, left);
    }
    Ok(())
}

/// A device that is only read, and how.
struct Odd {
    block_size: u32,
    num_blocks: u64,
    read: fn() -> bool,
}

impl BlockDevice for Odd {
    type Channel = Rc<Cell<u32>>;

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn num_blocks(&self) -> u64 {
        self.num_blocks
    }

    fn channel(&self) -> Result<Self::Channel, Errno> {
        Ok(Rc::default())
    }

    async fn read(&self, ch: &Self::Channel, _: u64, into: &mut ReadInto<'_>) -> Result<(), Errno> {
        ch.set(ch.get() + 1);
        if (self.read)() {
            yield_now().await;
        }
        assert!(into.copy_from(into.len() - 1, &[1, 2]).is_err());
        assert!(into.copy_from(usize::MAX, &[1, 2]).is_err());
        panic!("on purpose")
    }
}

/// Fails if what a device does wrong is not an error.
#[spdk::test]
async fn odd_devices() -> spdk::Result<()> {
    let odd = |block_size, num_blocks| Odd {
        block_size,
        num_blocks,
        read: || false,
    };
    for device in [
        odd(0, 1000),
        odd(100, 1000),
        odd(256, 1000),
        odd(8192, 1000),
        odd(512, u64::MAX),
        odd(512, 1 << 50),
    ] {
        assert_errno(
            Blobstore::load_on(device, Some(&opts())).await,
            Errno::EINVAL,
        );
    }
    assert!(
        Blobstore::load_on(odd(512, 8), Some(&opts()))
            .await
            .is_err()
    );
    // A panic, at once and in a task.
    for read in [|| false, || true] {
        let device = Odd {
            read,
            ..odd(512, BLOCKS)
        };
        let loaded = within("the load", Blobstore::load_on(device, Some(&opts()))).await;
        assert_errno(loaded, Errno::EIO);
    }

    let memory = memory();
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    let id = store.create_blob(Some(&of(1))).await?;
    store.unload().await?;
    memory.refuse_channels();
    assert_errno(
        Blobstore::load_on(memory.clone(), Some(&opts())).await,
        Errno::EIO,
    );
    is_given_back(&memory).await;

    let memory = memory.copy();
    let store = Blobstore::load_on(memory.clone(), Some(&opts())).await?;
    let blob = store.open_blob(id, None).await?;
    assert!(!blob.info().await?.is_degraded);
    memory.degrade(true);
    assert!(blob.info().await?.is_degraded);
    memory.degrade(false);
    let ch = store.alloc_io_channel()?;
    memory.fail_reads(true);
    assert_errno(check(&blob, &ch, 0, 8, 1).await, Errno::EIO);
    memory.fail_reads(false);
    write(&blob, &ch, 0, 8, 1).await?;
    check(&blob, &ch, 0, 8, 1).await
}

/// Fails if a store does not use what its device has become larger by, or loses what it had.
#[spdk::test]
async fn a_device_that_grows() -> spdk::Result<()> {
    // Room for the metadata of a larger store is there if it is not all used: masks have whole pages.
    let memory = memory();
    let opts = opts().num_md_pages(64);
    let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
    let total = store.total_clusters()?;
    let blob = new_blob(&store, &of(2)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    memory.grow(BLOCKS);
    assert_eq!(store.total_clusters()?, total);
    store.grow().await?;
    let grown = store.total_clusters()?;
    assert_eq!(grown, total + BLOCKS / CLUSTER);
    assert_eq!(store.free_clusters()?, grown - 2);
    // Nothing new.
    store.grow().await?;
    assert_eq!(store.total_clusters()?, grown);
    // A blob that goes over the old end.
    let large = new_blob(&store, &of(total + 4)).await?;
    write(&large, &ch, (total + 3) * CLUSTER, CLUSTER, 2).await?;
    let (id, large_id) = (blob.id(), large.id());
    blob.close().await?;
    large.close().await?;
    drop(ch);
    store.unload().await?;

    let check_all = async |store: &Blobstore, total: u64| {
        assert_eq!(store.total_clusters()?, total);
        let blob = store.open_blob(id, None).await?;
        let large = store.open_blob(large_id, None).await?;
        let ch = store.alloc_io_channel()?;
        check(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
        check(
            &large,
            &ch,
            (large.num_clusters()? - 1) * CLUSTER,
            CLUSTER,
            2,
        )
        .await?;
        blob.close().await?;
        large.close().await
    };
    memory.grow(BLOCKS);
    let store = Blobstore::load_on(memory.clone(), Some(&opts)).await?;
    check_all(&store, grown).await?;
    store.unload().await?;
    let store = Blobstore::load_grown_on(memory.clone(), Some(&opts)).await?;
    let grown = grown + BLOCKS / CLUSTER;
    check_all(&store, grown).await?;
    assert_eq!(store.free_clusters()?, grown - 2 - total - 4);
    store.unload().await?;
    for recover in [false, true] {
        let opts = opts.clone().force_recover(recover);
        let store = Blobstore::load_on(memory.clone(), Some(&opts)).await?;
        check_all(&store, grown).await?;
        store.unload().await?;
    }
    Ok(())
}

/// Fails if the process ends when a store grows whose super block says nothing of pages of metadata, as those of SPDK before
/// 26.01, or its lists are overwritten when it has others than the options say.
#[spdk::test]
async fn stores_of_any_pages_grow() -> spdk::Result<()> {
    const PAGE_SIZE: usize = 92;
    const CHECKSUM: usize = 4092;
    for (page, is_loaded) in [
        (0, true),
        (0, false),
        (4096, false),
        (8192, true),
        (8192, false),
    ] {
        let memory = memory();
        let opts = opts().num_md_pages(64);
        let made = opts.clone().md_page_size(page.max(4096));
        let store = Blobstore::init_on(memory.clone(), Some(&made)).await?;
        let blob = new_blob(&store, &of(2)).await?;
        let ch = store.alloc_io_channel()?;
        write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
        let (id, free) = (blob.id(), store.free_clusters()?);
        drop((blob, ch));
        store.unload().await?;
        memory.edit(|bytes| {
            bytes[PAGE_SIZE..][..4].copy_from_slice(&page.to_le_bytes());
            let checksum = crc32c::crc32c(&bytes[..CHECKSUM]);
            bytes[CHECKSUM..][..4].copy_from_slice(&checksum.to_le_bytes());
        });
        memory.grow(BLOCKS);
        let store = if is_loaded {
            let store = Blobstore::load_on(memory.clone(), Some(&opts)).await?;
            store.grow().await?;
            store
        } else {
            let other = opts.clone().md_page_size(12288 - page.max(4096));
            Blobstore::load_grown_on(memory.clone(), Some(&other)).await?
        };
        assert_eq!(store.free_clusters()?, free + BLOCKS / CLUSTER, "{page}");
        store.unload().await?;
        let store = Blobstore::load_on(memory.clone(), Some(&opts)).await?;
        assert_eq!(store.free_clusters()?, free + BLOCKS / CLUSTER, "{page}");
        let (blob, ch) = (store.open_blob(id, None).await?, store.alloc_io_channel()?);
        check(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    }
    Ok(())
}

/// Fails if a call that writes the super block takes back what another one wrote there: the size of a store that grows, or, with
/// the first metadata after a load, that it is in use, without which it is not recovered.
#[spdk::test]
async fn the_super_block_beside_other_writes() -> spdk::Result<()> {
    let opts = opts().num_md_pages(64);
    for (what, turns) in (0..3).flat_map(|what| (0..12).map(move |turns| (what, turns))) {
        let memory = memory();
        let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
        let thin = BlobOpts::new().num_clusters(4).thin_provision(true);
        let id = store.create_blob(Some(&thin)).await?;
        store.unload().await?;
        let store = Blobstore::load_on(memory.clone(), Some(&opts)).await?;
        let blob = store.open_blob(id, None).await?;
        let ch = store.alloc_io_channel()?;
        memory.grow(BLOCKS);
        memory.delay(2);
        let first = async {
            for _ in 0..turns {
                yield_now().await;
            }
            match what {
                0 | 1 => store.grow().await,
                _ => store.set_super_blob(Some(id)).await,
            }
        };
        let second = async {
            match what {
                0 => store.set_super_blob(Some(id)).await,
                _ => write(&blob, &ch, 0, 8, 1).await,
            }
        };
        let (first, second) = within("both", join(first, second)).await;
        first.and(second)?;
        memory.delay(0);
        let total = store.total_clusters()?;
        let large = store.create_blob(Some(&of(total - 1))).await?;
        // As after a crash.
        let copy = Blobstore::load_on(memory.copy(), Some(&opts)).await?;
        assert_eq!(copy.total_clusters()?, total, "{what} {turns}");
        let large = copy.open_blob(large, None).await?;
        assert_eq!(large.num_clusters()?, total - 1, "{what} {turns}");
        if what > 0 {
            let blob = copy.open_blob(id, None).await?;
            let ch = copy.alloc_io_channel()?;
            check(&blob, &ch, 0, 8, 1).await?;
        }
        drop((blob, ch));
        store.unload().await?;
        let store = Blobstore::load_on(memory.clone(), Some(&opts)).await?;
        assert_eq!(store.total_clusters()?, total);
        store.unload().await?;
    }
    Ok(())
}

thread_local! {
    /// What an spdk_thread does when it makes its channel of [`Reentrant`].
    static INSIDE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A device that uses the store on it while a channel is made.
struct Reentrant(Memory);

impl BlockDevice for Reentrant {
    type Channel = <Memory as BlockDevice>::Channel;

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn num_blocks(&self) -> u64 {
        self.0.num_blocks()
    }

    fn channel(&self) -> Result<Self::Channel, Errno> {
        if let Some(inside) = INSIDE.take() {
            inside();
        }
        self.0.channel()
    }

    async fn read(
        &self,
        ch: &Self::Channel,
        block: u64,
        into: &mut ReadInto<'_>,
    ) -> Result<(), Errno> {
        self.0.read(ch, block, into).await
    }

    async fn write(&self, ch: &Self::Channel, block: u64, from: &WriteFrom) -> Result<(), Errno> {
        self.0.write(ch, block, from).await
    }

    async fn write_zeroes(&self, ch: &Self::Channel, block: u64, count: u64) -> Result<(), Errno> {
        self.0.write_zeroes(ch, block, count).await
    }
}

/// Fails if a device gets the channel of its store that is being made, which SPDK does not survive the use of.
#[spdk::test]
async fn a_channel_inside_of_itself() -> spdk::Result<()> {
    let store = Blobstore::init_on(Reentrant(memory()), Some(&opts())).await?;
    let core = spdk::SpdkApp::cores()?[0];
    let other = ThreadHandle::on_core("other", core).await?;
    let inside = store.clone();
    other
        .call_async(async move || {
            let thin = BlobOpts::new().num_clusters(4).thin_provision(true);
            let blob = Rc::new(new_blob(&inside, &thin).await?);
            let (store, writer) = (inside.clone(), blob.clone());
            let told = Rc::new(Cell::new(None));
            let tells = told.clone();
            INSIDE.set(Some(Box::new(move || {
                let ch = store.alloc_io_channel();
                if let (Ok(ch), Ok(buf)) = (&ch, buffer(8)) {
                    let write = writer.write_io_units(ch, &buf, 0, 8);
                    let _ = poll_once(Box::pin(write).as_mut());
                }
                tells.set(Some(ch.map(drop)));
            })));
            let ch = inside.alloc_io_channel()?;
            let told = told.take();
            let refused = told.is_some_and(|told| {
                told.is_err_and(|error| matches!(error.kind(), ErrorKind::InvalidArgument { .. }))
            });
            assert!(refused);
            write(&blob, &ch, 0, 8, 1).await?;
            check(&blob, &ch, 0, 8, 1).await
        })
        .await??;
    other.exit().await?;
    store.unload().await
}

/// Fails if a copy that is refused does not survive that SPDK has no request for its end, or keeps the blob open.
#[spdk::test(bdevs(bdev_malloc_create(name = "T", num_blocks = 1024, block_size = UNIT)))]
async fn a_refused_copy_without_requests() -> spdk::Result<()> {
    let memory = memory();
    let store = Blobstore::init_on(memory.clone(), Some(&opts().max_channel_ops(1))).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let closed = store.create_blob(Some(&of(1))).await?;
    memory.hold(true);
    let mut opens: Vec<_> = (0..400)
        .map(|_| Box::pin(store.open_blob(closed, None)))
        .collect();
    let mut refused = 0;
    for open in &mut opens {
        refused += usize::from(poll_once(open.as_mut()).is_ready());
    }
    assert!(refused > 0);
    let mut copy = Box::pin(
        store
            .shallow_copy(blob.id(), "T")
            .try_for_each(async |_| Ok(())),
    );
    let copied = poll_once(copy.as_mut());
    memory.hold(false);
    match copied {
        Poll::Ready(copied) => assert_errno(copied, Errno::EPERM),
        Poll::Pending => assert_errno(within("the copy", copy).await, Errno::EPERM),
    }
    drop(opens);
    let id = blob.id();
    blob.close().await?;
    store.delete_blob(id).await?;
    store.unload().await
}
