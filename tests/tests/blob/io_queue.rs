//! Queues of I/Os on a blob.
//!
//! Each of these faults was put into them, and these tests failed:
//!
//! - One that waits goes on counting, or one that has waited does not count: most.
//! - What is submitted in the last closure waits for an end that has been, or for one that does not come:
//!   `closures_share_a_room_for_one`.
//! - One that is refused in the middle of its work has failed: `refused_in_the_middle`.
//! - One that was tried alone is not told apart: `refused_for_good`.
//! - What waits goes on wherever a queue goes: `dropped_elsewhere`.
//! - It does not count as a use of the blob: `the_device_is_removed`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use spdk::blob::{Blob, BlobId, BlobOpts, Blobstore, Xattrs};
use spdk::task::yield_now;
use spdk::{Errno, ErrorKind, Gone, IoChannel, IoQueue, spawn_local};
use spdk_tests::memory::Memory;
use spdk_tests::wait::within;
use spdk_tests::{kind, pattern, poll_once, rpc, second, until};

use crate::{CLUSTER, UNIT, assert_errno, buffer, check, last_of_chain, new_blob, of, opts, write};

const BLOCKS: u64 = 16384;

fn memory() -> Memory {
    Memory::new(UNIT as u32, BLOCKS)
}

/// How often an I/O of this spdk_thread has had to wait.
async fn retries() -> spdk::Result<u64> {
    let here = spdk::SpdkThread::get_current().map(|thread| thread.name().to_owned());
    let metrics = spdk::metrics::snapshot().await?;
    let mut threads = metrics.threads.iter();
    let here = threads.find(|thread| Some(&thread.name) == here.as_ref());
    Ok(here.map_or(0, |thread| thread.retries))
}

/// Reads so many times eight io units at every place of a blob, by closures; fails if one of them is another generation's.
async fn read_again(blob: &Blob, ch: &IoChannel, generation: u64, times: u64) -> spdk::Result<()> {
    let places = blob.num_io_units()? / 8;
    let mut queue = IoQueue::of_blob(blob, ch)?;
    for place in 0..8 {
        queue.read_blocks(buffer(8)?, 8 * place, 8, (place, times));
    }
    let count = Rc::new(Cell::new(0));
    let counts = count.clone();
    let all = queue.for_each_ended(move |mut io| {
        io.take_result().expect("a read");
        let (place, times) = *io.tag();
        let buf = io.buf().as_mut().expect("its buffer");
        pattern::assert_is(buf, UNIT, 8 * place, generation);
        buf.fill(0);
        counts.set(counts.get() + 1);
        if times > 1 {
            let next = (place + 8) % places;
            *io.tag_mut() = (next, times - 1);
            io.read_blocks(8 * next, 8);
        }
    });
    within("the reads", all).await;
    assert_eq!(count.get(), 8 * times);
    assert!(queue.is_empty());
    Ok(())
}

/// Fails if an I/O does something else than its kind, goes elsewhere, or is not refused as it has to be.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT)))]
async fn every_kind() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts())).await?;
    let (blob, other) = (
        new_blob(&store, &of(2)).await?,
        new_blob(&store, &of(2)).await?,
    );
    let ch = store.alloc_io_channel()?;
    write(&other, &ch, 0, 2 * CLUSTER, 9).await?;
    let mut queue = IoQueue::of_blob(&blob, &ch)?;
    for place in 0..2 * CLUSTER / 8 {
        let mut buf = buffer(8)?;
        pattern::fill(&mut buf, UNIT, 8 * place, 1);
        queue.write_blocks(buf, 8 * place, 8, place);
    }
    while let Some(done) = queue.next().await {
        done.result?;
    }
    queue.write_zeroes_blocks(8, 8, 0);
    queue.unmap_blocks(CLUSTER, CLUSTER, 1);
    while let Some(done) = queue.next().await {
        done.result?;
    }
    check(&blob, &ch, 0, 8, 1).await?;
    check(&blob, &ch, 16, CLUSTER - 16, 1).await?;
    check(&other, &ch, 0, 2 * CLUSTER, 9).await?;
    let mut zeroes = buffer(CLUSTER)?;
    blob.read_io_units(&ch, &mut zeroes, CLUSTER, CLUSTER)
        .await?;
    pattern::assert_zero(&zeroes);

    let refused = [
        (2 * CLUSTER - 4, 8, "EINVAL"), // beyond the end
        (u64::MAX - 3, 8, "EINVAL"),    // and whose end is a small number
        (0, 4, "are 2048"),             // of another size than its buffer
    ];
    for (offset, units, said) in refused {
        queue.read_blocks(buffer(8)?, offset, units, 0);
        refusal(&mut queue, said).await;
    }
    queue.flush_blocks(0, 8, 0);
    refusal(&mut queue, "ENOTSUP").await;
    drop(queue);
    let snapshot = store.create_snapshot(blob.id(), &Xattrs::new()).await?;
    let snapshot = store.open_blob(snapshot, None).await?;
    let mut queue = IoQueue::of_blob(&snapshot, &ch)?;
    queue.write_blocks(buffer(8)?, 0, 8, 0);
    refusal(&mut queue, "EPERM").await;
    Ok(())
}

/// Fails unless the next I/O that ends says this.
async fn refusal(queue: &mut IoQueue<u64, Blob>, said: &str) {
    let done = within(said, queue.next()).await.expect("one more");
    let error = done.result.expect_err(said).to_string();
    assert!(
        error.contains(said) && error.contains("blob"),
        "{said}: {error}"
    );
}

/// Fails if an I/O that ends inside of the call that begins it is lost, or its closure is called inside of itself.
#[spdk::test]
async fn what_ends_at_once() -> spdk::Result<()> {
    let memory = memory();
    let store = Blobstore::init_on(memory.clone(), Some(&opts())).await?;
    // What was never written is zeroes, for which SPDK does not ask the device.
    let thin = BlobOpts::new().num_clusters(4).thin_provision(true);
    let blob = new_blob(&store, &thin).await?;
    let ch = store.alloc_io_channel()?;
    let mut queue = IoQueue::of_blob(&blob, &ch)?;
    for place in 0..4 {
        queue.read_blocks(buffer(8)?, 8 * place, 8, place);
    }
    let (count, inside) = (Rc::new(Cell::new(0)), Cell::new(false));
    let counts = count.clone();
    let all = queue.for_each_ended(move |mut io| {
        assert!(!inside.replace(true));
        io.take_result().expect("a read");
        let buf = io.buf().as_mut().expect("its buffer");
        pattern::assert_zero(buf);
        buf.fill(1);
        counts.set(counts.get() + 1);
        let place = *io.tag();
        if place < 40 {
            *io.tag_mut() += 4;
            io.read_blocks(8 * place, 8);
        }
        inside.set(false);
    });
    within("the reads", all).await;
    assert_eq!(count.get(), 44);
    assert_eq!(memory.in_flight(), 0);
    Ok(())
}

/// Fails if queues and calls have more in flight than their channel does at a time, or less, or one overtakes another.
#[spdk::test]
async fn the_room_is_shared() -> spdk::Result<()> {
    let memory = memory();
    let store = Blobstore::init_on(memory.clone(), Some(&opts().max_channel_ops(3))).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let (ch, same) = (store.alloc_io_channel()?, store.alloc_io_channel()?);
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    memory.hold(true);
    let (mut first, mut second) = (
        IoQueue::of_blob(&blob, &ch)?,
        IoQueue::of_blob(&blob, &same)?,
    );
    let mut buf = buffer(8)?;
    for place in 0..4 {
        first.read_blocks(buffer(8)?, 8 * place, 8, place);
    }
    let mut read = Box::pin(blob.read_io_units(&ch, &mut buf, 32, 8));
    assert!(poll_once(read.as_mut()).is_pending());
    for place in 5..8 {
        second.read_blocks(buffer(8)?, 8 * place, 8, place);
    }
    assert_eq!(memory.in_flight(), 3);
    // What waits in it is never done.
    let third = {
        let mut third = IoQueue::of_blob(&blob, &ch)?;
        third.read_blocks(buffer(8)?, 0, 8, ());
        third
    };
    drop(third);
    let reads = memory.reads();
    memory.hold(false);
    for (queue, places) in [(&mut first, 0..4), (&mut second, 5..8)] {
        for place in places {
            let done = within("a read", queue.next()).await.expect("one more");
            done.result?;
            assert_eq!(done.tag, place);
            pattern::assert_is(&done.buf.expect("its buffer"), UNIT, 8 * place, 1);
        }
    }
    within("the call", read).await?;
    pattern::assert_is(&buf, UNIT, 32, 1);
    assert_eq!(memory.reads() - reads, 8);
    // All of the room is there again.
    read_again(&blob, &ch, 1, 20).await?;
    memory.hold(true);
    for place in 0..4 {
        first.read_blocks(buffer(8)?, 8 * place, 8, place);
    }
    assert_eq!(memory.in_flight(), 3);
    memory.hold(false);
    while let Some(done) = within("the last", first.next()).await {
        done.result?;
    }
    Ok(())
}

/// Fails if an I/O waits for ever since the one whose closure submits it was the last in flight.
#[spdk::test]
async fn closures_share_a_room_for_one() -> spdk::Result<()> {
    for turns in [0, 1] {
        let memory = memory();
        memory.delay(turns);
        let store = Blobstore::init_on(memory.clone(), Some(&opts().max_channel_ops(1))).await?;
        let blob = new_blob(&store, &of(1)).await?;
        let ch = store.alloc_io_channel()?;
        write(&blob, &ch, 0, CLUSTER, 1).await?;
        for goes_on in [true, false] {
            let other = Rc::new(RefCell::new(IoQueue::of_blob(&blob, &ch)?));
            let mut queue = IoQueue::of_blob(&blob, &ch)?;
            queue.read_blocks(buffer(8)?, 0, 8, 0);
            let others = other.clone();
            let all = queue.for_each_ended(move |mut io| {
                io.take_result().expect("a read");
                let tag = *io.tag();
                let buf = buffer(8).expect("memory");
                others.borrow_mut().read_blocks(buf, 8 * tag, 8, tag);
                *io.tag_mut() += 1;
                if goes_on && tag < 9 {
                    io.read_blocks(8 * tag, 8);
                }
            });
            within("the closures", all).await;
            let mut ended = 0;
            let mut other = other.replace(IoQueue::of_blob(&blob, &ch)?);
            while let Some(done) = within("the others", other.next()).await {
                done.result?;
                pattern::assert_is(&done.buf.expect("its buffer"), UNIT, 8 * done.tag, 1);
                ended += 1;
            }
            assert_eq!(ended, if goes_on { 10 } else { 1 });
        }
        // A queue that goes has counted for a moment.
        let other = Rc::new(RefCell::new(IoQueue::of_blob(&blob, &ch)?));
        struct Submits(Rc<RefCell<IoQueue<u64, Blob>>>);
        impl Drop for Submits {
            fn drop(&mut self) {
                let buf = buffer(8).expect("memory");
                self.0.borrow_mut().read_blocks(buf, 0, 8, 0);
            }
        }
        let mut queue = IoQueue::of_blob(&blob, &ch)?;
        queue.flush_blocks(0, 1, Submits(other.clone())); // it has ended
        drop(queue);
        let mut other = other.replace(IoQueue::of_blob(&blob, &ch)?);
        let done = within("what it submits", other.next()).await.expect("it");
        done.result?;
    }
    Ok(())
}

thread_local! {
    static IDLE: RefCell<Option<IoQueue<u64, Blob>>> = const { RefCell::new(None) };
}

/// Fails if what waits goes on on another spdk_thread of the OS thread, where a queue of the channel goes.
#[spdk::test]
async fn dropped_elsewhere() -> spdk::Result<()> {
    let memory = memory();
    let store = Blobstore::init_on(memory.clone(), Some(&opts().max_channel_ops(1))).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    let second = second::spdk_thread("second").await;
    IDLE.set(Some(IoQueue::of_blob(&blob, &ch)?));
    memory.hold(true);
    let mut queue = IoQueue::of_blob(&blob, &ch)?;
    for place in 0..4 {
        queue.read_blocks(buffer(8)?, 8 * place, 8, place);
    }
    let elsewhere = second.spawn(|| async {
        drop(IDLE.take());
        // What that has left to do comes first.
        yield_now().await;
        yield_now().await;
    });
    within("the drop", elsewhere).await?;
    memory.hold(false);
    for _ in 0..4 {
        let done = within("a read", queue.next()).await.expect("one more");
        done.result?;
        pattern::assert_is(&done.buf.expect("its buffer"), UNIT, 8 * done.tag, 1);
    }
    Ok(())
}

/// Fails if I/Os for parts of which SPDK has not enough requests fail, or what is done beside them touches them.
#[spdk::test]
async fn refused_in_the_middle() -> spdk::Result<()> {
    let memory = memory();
    let opts = opts().max_channel_ops(8).num_md_pages(512);
    let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    let blob = last_of_chain(&store, blob, 60).await?;
    memory.delay(3);
    let before = retries().await?;
    read_again(&blob, &ch, 1, 40).await?;
    assert!(retries().await? > before, "none was refused");
    // A copy of its clusters waits until none is in flight, and they wait for it.
    let reads = read_again(&blob, &ch, 1, 40);
    let inflated = store.inflate_blob(blob.id());
    let (reads, inflated) = futures_util::future::join(reads, inflated).await;
    reads?;
    inflated?;
    read_again(&blob, &ch, 1, 40).await
}

/// Fails if an I/O that SPDK has not enough requests for at all waits for ever, or holds up the others.
#[spdk::test(deadline = 120)]
async fn refused_for_good() -> spdk::Result<()> {
    let memory = memory();
    let opts = opts().max_channel_ops(1).num_md_pages(1024);
    let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    // Each takes a request for the next one.
    let last = last_of_chain(&store, blob, 280).await?;
    let snapshot = store
        .open_blob(first_of_chain(&store, &last).await?, None)
        .await?;
    let (mut deep, mut plain) = (
        IoQueue::of_blob(&last, &ch)?,
        IoQueue::of_blob(&snapshot, &ch)?,
    );
    for place in 0..4 {
        deep.read_blocks(buffer(8)?, 8 * place, 8, place);
        plain.read_blocks(buffer(8)?, 8 * place, 8, place);
    }
    for _ in 0..4 {
        refusal(&mut deep, "ENOMEM").await;
        let done = within("a read", plain.next()).await.expect("one more");
        done.result?;
        pattern::assert_is(&done.buf.expect("its buffer"), UNIT, 8 * done.tag, 1);
    }
    Ok(())
}

/// The snapshot that all others come from.
async fn first_of_chain(store: &Blobstore, last: &Blob) -> spdk::Result<BlobId> {
    let mut id = last.id();
    loop {
        let blob = store.open_blob(id, None).await?;
        match blob.info().await?.parent {
            Some(parent) => id = parent,
            None => return Ok(id),
        }
    }
}

/// Fails if a blob or its channel goes while a queue has it, or I/Os that nobody waits for any more touch what is not theirs.
#[spdk::test]
async fn what_it_keeps() -> spdk::Result<()> {
    let memory = memory();
    let store = Blobstore::init_on(memory.clone(), Some(&opts().max_channel_ops(4))).await?;
    let elsewhere = Blobstore::init_on(self::memory(), None).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let id = blob.id();
    let ch = store.alloc_io_channel()?;
    let foreign = elsewhere.alloc_io_channel()?;
    let refused = IoQueue::<(), _>::of_blob(&blob, &foreign);
    let is_refused = matches!(kind(&refused), Some(ErrorKind::WrongChannel { .. }));
    assert!(is_refused, "{refused:?}");
    write(&blob, &ch, 0, CLUSTER, 1).await?;

    let mut queue = IoQueue::of_blob(&blob, &ch)?;
    assert_errno(blob.close().await, Errno::EBUSY);
    drop(ch);
    queue.read_blocks(buffer(8)?, 0, 8, 0);
    let done = within("a read", queue.next()).await.expect("it");
    done.result?;
    pattern::assert_is(&done.buf.expect("its buffer"), UNIT, 0, 1);

    memory.hold(true);
    for place in 0..8 {
        queue.read_blocks(buffer(8)?, 8 * place, 8, place);
    }
    assert_eq!(memory.in_flight(), 4);
    drop(queue);
    let others: Vec<_> = (0..16).map(|_| buffer(8)).collect::<Result<_, _>>()?;
    memory.hold(false);
    until("the I/O", || memory.in_flight() == 0).await;
    others.iter().for_each(|other| pattern::assert_zero(other));
    let blob = store.open_blob(id, None).await?;
    let ch = store.alloc_io_channel()?;
    read_again(&blob, &ch, 1, 8).await?;
    blob.close().await?;
    drop(ch);
    within("the unload", store.unload()).await?;
    drop(foreign);
    elsewhere.unload().await
}

/// Fails if a removal goes on under I/Os in flight, or those that wait, or waits for an idle queue.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT),
        bdev_delay_create(
            base_bdev_name = "M", name = "D",
            avg_read_latency = 50_000, p99_read_latency = 50_000,
            avg_write_latency = 0, p99_write_latency = 0,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn the_device_is_removed() -> spdk::Result<()> {
    let store = Blobstore::init("D", Some(&opts().max_channel_ops(4))).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    let idle = IoQueue::<(), _>::of_blob(&blob, &ch)?;
    let mut queue = IoQueue::of_blob(&blob, &ch)?;
    for place in 0..8 {
        queue.read_blocks(buffer(8)?, 8 * place, 8, place);
    }
    let dropped = {
        let mut dropped = IoQueue::of_blob(&blob, &ch)?;
        dropped.read_blocks(buffer(8)?, 0, 8, ());
        dropped
    };
    drop(dropped);
    let removal = spawn_local(rpc::call("bdev_delay_delete", json!({"name": "D"})))?;
    // They end, whichever way.
    for _ in 0..8 {
        let done = within("a read", queue.next()).await.expect("one more");
        drop(done);
    }
    within("the removal", removal).await?;
    queue.read_blocks(buffer(8)?, 0, 8, 0);
    let done = within("a refusal", queue.next()).await.expect("it");
    let is_removed = matches!(
        kind(&done.result),
        Some(ErrorKind::Gone {
            why: Gone::Removed,
            ..
        })
    );
    assert!(is_removed, "{:?}", done.result);
    assert!(ch.as_ptr().is_null() && blob.as_ptr().is_null());
    drop(idle);
    Ok(())
}
