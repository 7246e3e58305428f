//! The heap allocations of an I/O: none, once the first ones have filled the pools.
#![allow(missing_docs)]
#![cfg(not(spdk_asan))] // slots come from the allocator then
#![allow(unsafe_code)] // A global allocator that counts passes on what the system's does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::join;
use serde_json::{Value, json};
use spdk::blob::{BlobOpts, Blobstore};
use spdk::{DmaBuf, Error, IoQueue, IoTarget, rpc, spawn_local};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::BLOCK_SIZE;
use spdk_tests::nvmf::disk::{Bystanders, buffer};
use spdk_tests::{Device, dma, pattern};

const BLOCK: usize = 512;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        FREED.fetch_add(1, Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        FREED.fetch_add(1, Relaxed);
        // SAFETY: passed on.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs an operation a few times, and then counts what many more allocate.
async fn allocations(mut io: impl AsyncFnMut() -> spdk::Result<()>) -> spdk::Result<u64> {
    for _ in 0..64 {
        io().await?;
    }
    let before = ALLOCATIONS.load(Relaxed);
    for _ in 0..10_000 {
        io().await?;
    }
    Ok(ALLOCATIONS.load(Relaxed) - before)
}

/// The same of the I/Os of a queue, which are reads and writes of one block in turn: of a task that takes them, and of
/// closures.
async fn allocations_of<D: IoTarget>(queue: &mut IoQueue<u64, D>) -> [u64; 2] {
    let by_task = allocations_by_task(queue).await;
    let ended = Rc::new(Cell::new(0));
    let before = Rc::new(Cell::new(0));
    let after = Rc::new(Cell::new(0));
    let (counts, begins, ends) = (ended.clone(), before.clone(), after.clone());
    let all = queue.for_each_ended(move |mut io| {
        io.take_result().expect("the device works");
        counts.set(counts.get() + 1);
        match counts.get() {
            2_000 => begins.set(ALLOCATIONS.load(Relaxed)),
            20_000 => ends.set(ALLOCATIONS.load(Relaxed)),
            20_001.. => return,
            _ => {}
        }
        let block = *io.tag();
        match counts.get() % 2 {
            0 => io.read_blocks(block, 1),
            _ => io.write_blocks(block, 1),
        }
    });
    all.await;
    assert!(ended.get() > 20_000, "only {} have ended", ended.get());
    [by_task, after.get() - before.get()]
}

async fn allocations_by_task<D: IoTarget>(queue: &mut IoQueue<u64, D>) -> u64 {
    let (mut ended, mut before) = (0, None);
    while ended < 20_000 {
        assert!(queue.ended().await);
        while let Some(mut io) = queue.pop() {
            io.take_result().expect("the device works");
            ended += 1;
            let block = *io.tag();
            match ended % 2 {
                0 => io.read_blocks(block, 1),
                _ => io.write_blocks(block, 1),
            }
        }
        if ended >= 2_000 {
            before.get_or_insert_with(|| ALLOCATIONS.load(Relaxed));
        }
    }
    ALLOCATIONS.load(Relaxed) - before.unwrap_or_default()
}

/// The same of commands on a queue pair of an NVMe controller.
#[spdk::test(no_app, deadline = 60)]
fn an_nvme_command_allocates_nothing() {
    beside_target(|target| async move {
        let link = Link::to(&target).await;
        let (ns, qpair) = (&link.ns, &link.qpair);
        let mut buf = buffer();
        let block = || spdk::DmaBuf::alloc(BLOCK_SIZE, BLOCK_SIZE).expect("DMA memory");
        let mut bufs = [block(), block(), block(), block()];
        let counts = [
            allocations(async || ns.read(qpair, &mut buf, 0, 4).await).await,
            allocations(async || ns.write(qpair, &buf, 0, 4).await).await,
            allocations(async || ns.readv(qpair, &mut bufs, 0, 4).await).await,
            allocations(async || ns.writev(qpair, &bufs, 0, 4).await).await,
            allocations(async || ns.write_zeroes(qpair, 0, 4, 0).await).await,
        ];
        let counts = counts.map(|count| count.expect("the target runs"));
        assert_eq!(counts, [0; 5]);
        let mut queue = IoQueue::of_namespace(ns, qpair).expect("it is connected");
        for lba in 0..32 {
            queue.write_blocks(block(), lba, 1, lba);
        }
        assert_eq!(allocations_of(&mut queue).await, [0, 0]);
        drop(queue);
        link.close().await;
        Bystanders::new()
    });
}

/// Fails if an operation allocates: a slot that is not pooled, an iovec array that is not inline, a
/// boxed future, the description of an error that did not happen.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK),
    ),
    deadline = 60,
)]
async fn an_io_allocates_nothing() -> spdk::Result<()> {
    for name in ["Null0", "Malloc0"] {
        let device = Device::open(name)?;
        let Device { desc, ch, .. } = &device;
        let mut buf = device.buffer(8)?;
        let mut bufs = [
            device.buffer(1)?,
            device.buffer(2)?,
            device.buffer(5)?,
            device.buffer(8)?,
        ];
        let counts = [
            (
                "read",
                allocations(async || desc.read(ch, &mut buf, 0).await).await?,
            ),
            (
                "read_blocks",
                allocations(async || desc.read_blocks(ch, &mut buf, 0, 8).await).await?,
            ),
            (
                "write",
                allocations(async || desc.write(ch, &buf, 0).await).await?,
            ),
            (
                "write_blocks",
                allocations(async || desc.write_blocks(ch, &buf, 0, 8).await).await?,
            ),
            (
                "readv",
                allocations(async || desc.readv(ch, &mut bufs, 0).await).await?,
            ),
            (
                "writev",
                allocations(async || desc.writev(ch, &bufs, 0).await).await?,
            ),
            (
                "readv_blocks",
                allocations(async || desc.readv_blocks(ch, &mut bufs, 0, 16).await).await?,
            ),
            (
                "writev_blocks",
                allocations(async || desc.writev_blocks(ch, &bufs, 0, 16).await).await?,
            ),
            (
                "write_zeroes",
                allocations(async || desc.write_zeroes(ch, 0, 4096).await).await?,
            ),
        ];
        assert!(
            counts.iter().all(|(_, count)| *count == 0),
            "{name}: {counts:?}"
        );
        // What was counted did work.
        pattern::fill(&mut buf, BLOCK, 0, 1);
        desc.write(ch, &buf, 0).await?;
        desc.read(ch, &mut buf, 0).await?;
        if name == "Malloc0" {
            pattern::assert_is(&buf, BLOCK, 0, 1);
        }
    }
    Ok(())
}

/// The same of an I/O on a blob, alone and among others: what waits for room in the channel is none of these.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 16384, block_size = BLOCK)),
    deadline = 60,
)]
async fn an_io_on_a_blob_allocates_nothing() -> spdk::Result<()> {
    let store = Blobstore::init("Malloc0", None).await?;
    let opts = BlobOpts::new().num_clusters(2);
    let blob = store.open_blob(store.create_blob(Some(&opts)).await?, None);
    let (blob, ch) = (blob.await?, store.alloc_io_channel()?);
    let buffer = |blocks| DmaBuf::alloc(blocks * BLOCK, 4096);
    let (mut buf, mut other) = (buffer(8)?, buffer(8)?);
    let mut bufs = [buffer(1)?, buffer(2)?, buffer(5)?, buffer(8)?];
    let counts = [
        allocations(async || blob.read(&ch, &mut buf, 0).await).await?,
        allocations(async || blob.read_io_units(&ch, &mut buf, 0, 8).await).await?,
        allocations(async || blob.write(&ch, &buf, 0).await).await?,
        allocations(async || blob.write_io_units(&ch, &buf, 0, 8).await).await?,
        allocations(async || blob.readv(&ch, &mut bufs, 0).await).await?,
        allocations(async || blob.writev(&ch, &bufs, 0).await).await?,
        allocations(async || blob.write_zeroes(&ch, 0, 4096).await).await?,
        allocations(async || blob.unmap(&ch, 0, 4096).await).await?,
        allocations(async || {
            let ios = join!(blob.read(&ch, &mut buf, 0), blob.write(&ch, &other, 4096));
            ios.0.and(ios.1)
        })
        .await?,
    ];
    assert_eq!(counts, [0; 9]);
    // What was counted did work.
    pattern::fill(&mut buf, BLOCK, 0, 1);
    blob.write(&ch, &buf, 0).await?;
    blob.read(&ch, &mut other, 0).await?;
    pattern::assert_is(&other, BLOCK, 0, 1);
    let mut queue = IoQueue::of_blob(&blob, &ch)?;
    for unit in 0..32 {
        queue.write_blocks(buffer(1)?, unit, 1, unit);
    }
    assert_eq!(allocations_of(&mut queue).await, [0, 0]);
    while let Some(done) = queue.next().await {
        done.result?;
    }
    drop((queue, blob, ch));
    store.unload().await
}

/// As above of a bdev, with more operations at once, in more tasks, than one.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    deadline = 60,
)]
async fn a_queue_of_ios_allocates_nothing() -> spdk::Result<()> {
    let device = Rc::new(Device::open("Malloc0")?);
    let (warm, counted) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut tasks = Vec::new();
    for place in 0..32 {
        let (device, warm, counted) = (device.clone(), warm.clone(), counted.clone());
        tasks.push(spawn_local(async move {
            let Device { desc, ch, .. } = &*device;
            let (mut one, mut two) = (device.buffer(1)?, device.buffer(1)?);
            for round in 0..600 {
                let ios = join!(
                    desc.read_blocks(ch, &mut one, place * 2, 1),
                    desc.write_blocks(ch, &two, place * 2 + 1, 1),
                );
                ios.0.and(ios.1)?;
                std::mem::swap(&mut one, &mut two);
                // The first task to be warm begins to count, the first to be done ends it.
                if round == 100 && warm.get() == 0 {
                    warm.set(ALLOCATIONS.load(Relaxed));
                }
                if round == 500 && counted.get() == 0 {
                    counted.set(ALLOCATIONS.load(Relaxed));
                }
            }
            Ok::<_, Error>(())
        })?);
    }
    for task in tasks {
        task.await??;
    }
    assert_eq!(
        counted.get() - warm.get(),
        0,
        "allocations of 25,600 operations"
    );
    Ok(())
}

/// Fails if an I/O of an [`IoQueue`] allocates once its slots are there: on the heap, or SPDK's memory.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK),
    ),
    deadline = 60,
)]
async fn an_io_queue_allocates_nothing() -> spdk::Result<()> {
    const WARM: u64 = 2_000;
    const COUNTED: u64 = 20_000;
    for (name, in_place) in [
        ("Null0", false),
        ("Null0", true),
        ("Malloc0", false),
        ("Malloc0", true),
    ] {
        let device = Device::open(name)?;
        let mut queue = IoQueue::new(&device.ch)?;
        for block in 0..64 {
            let mut buf = device.buffer(1)?;
            pattern::fill(&mut buf, BLOCK, block, 1);
            queue.write_blocks(buf, block, 1, block);
        }
        let (mut ended, mut before) = (0, (0, 0));
        let now = || (ALLOCATIONS.load(Relaxed), dma::pieces());
        while ended < WARM + COUNTED {
            assert!(queue.ended().await);
            if in_place {
                while let Some(mut io) = queue.pop() {
                    io.take_result()?;
                    ended += 1;
                    let block = *io.tag();
                    match ended % 3 {
                        0 => io.read_blocks(block, 1),
                        1 => io.write_blocks(block, 1),
                        _ if name == "Malloc0" => io.flush_blocks(0, 1),
                        _ => io.write_zeroes_blocks(block, 1),
                    }
                }
            } else if let Some(done) = queue.next().await {
                done.result?;
                ended += 1;
                let buf = done.buf.expect("its buffer");
                match ended % 2 {
                    0 => queue.read_blocks(buf, done.tag, 1, done.tag),
                    _ => queue.write_blocks(buf, done.tag, 1, done.tag),
                }
            }
            if ended >= WARM && before.0 == 0 {
                before = now();
            }
        }
        assert_eq!(now(), before, "{name}, in place: {in_place}");
        assert_eq!(allocations_of(&mut queue).await, [0, 0], "{name}");
        // What was counted did work.
        while let Some(done) = queue.next().await {
            done.result?;
            let buf = done.buf.expect("its buffer");
            if name == "Malloc0" {
                pattern::assert_is(&buf, BLOCK, done.tag, 1);
            }
        }
    }
    Ok(())
}

/// Fails if something stays of the handles of each device that was removed before they were dropped.
#[spdk::test(deadline = 60)]
async fn handles_of_removed_devices_leave_nothing() -> spdk::Result<()> {
    const ROUNDS: u64 = 200;
    let mut before = 0;
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = ALLOCATIONS.load(Relaxed) - FREED.load(Relaxed);
        }
        for name in ["Malloc0", "Malloc1"] {
            let params = json!({"name": name, "num_blocks": 4096, "block_size": BLOCK});
            let _: Value = rpc::call("bdev_malloc_create", &params).await?;
        }
        let _: bool = rpc::call("bdev_wait_for_examine", &()).await?;
        let device = Device::open("Malloc0")?;
        let store = Blobstore::init("Malloc1", None).await?;
        let blob = store.open_blob(store.create_blob(None).await?, None);
        let (blob, ch) = (blob.await?, store.alloc_io_channel()?);
        for name in ["Malloc0", "Malloc1"] {
            let _: bool = rpc::call("bdev_malloc_delete", &json!({"name": name})).await?;
        }
        drop((device, ch, blob, store));
    }
    let left = (ALLOCATIONS.load(Relaxed) - FREED.load(Relaxed)).saturating_sub(before);
    assert!(left < ROUNDS / 2, "{left} pieces of memory are left");
    Ok(())
}
