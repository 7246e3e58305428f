//! Locks of ranges of blocks.
//!
//! Each of these faults was put into the crate, and these tests failed: a dropped lock is not unlocked
//! (`dropped`, `a_lock_waits_for_io_in_flight`, `io_of_all_threads_waits`), or its refusal is not reported
//! (`a_refused_unlock_is_reported`); the end of the application does not unlock before it waits for other spdk_threads
//! (`the_application_ends`).
#![allow(missing_docs)]

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use futures_util::future::join_all;
use serde_json::json;
use spdk::config::Malloc;
use spdk::task::yield_now;
use spdk::{Bdev, BdevEvent, Errno, ErrorKind, Gone, spawn_local, spawn_on};
use spdk_tests::turns::pass;
use spdk_tests::wait::within;
use spdk_tests::{Counters, Device, foreign, forget, kind, pattern, poll_once, traces, until};
use tracing::level_filters::LevelFilter;

const BLOCK: usize = 512;
/// The latency of the slow device in microseconds.
const LATENCY: u64 = 20_000;

async fn write(device: &Device, first: u64, blocks: u64, generation: u64) -> spdk::Result<()> {
    let mut buf = device.buffer(blocks as usize)?;
    pattern::fill(&mut buf, BLOCK, first, generation);
    device
        .desc
        .write_blocks(&device.ch, &buf, first, blocks)
        .await
}

async fn check(device: &Device, first: u64, blocks: u64, generation: u64) -> spdk::Result<()> {
    let mut buf = device.buffer(blocks as usize)?;
    device
        .desc
        .read_blocks(&device.ch, &mut buf, first, blocks)
        .await?;
    pattern::assert_is(&buf, BLOCK, first, generation);
    Ok(())
}

/// Writes and reads beside the range, again and again: time in which an I/O that is not held back ends.
async fn io_beside(device: &Device, first: u64) -> spdk::Result<()> {
    for generation in 1..=100 {
        within(
            "a write beside the range",
            write(device, first, 8, generation),
        )
        .await?;
        within(
            "a read beside the range",
            check(device, first, 8, generation),
        )
        .await?;
    }
    Ok(())
}

/// Fails if an I/O on the range gets through, one on other blocks does not, or one that waited is lost.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK),
    bdev_passthru_create(name = "P", base_bdev_name = "M"),
))]
async fn io_on_the_range_waits() -> spdk::Result<()> {
    let device = &Device::open("P")?;
    // A lock is one of this device, not of that below, through which one sees what has been done.
    let below = Bdev::find("M")?.open(false)?;
    let below_ch = below.get_io_channel()?;
    write(device, 92, 32, 1).await?;
    let range = device.desc.quiesce_range(100, 8).await?;
    assert_eq!((range.offset_blocks(), range.num_blocks()), (100, 8));
    let mut all = pin!(write(device, 100, 8, 2));
    let mut first = pin!(write(device, 96, 5, 2));
    let mut last = pin!(write(device, 107, 8, 2));
    let mut read = pin!(check(device, 104, 1, 2));
    let mut unmap = pin!(device.desc.unmap_blocks(&device.ch, 107, 1));
    let mut zeroes = pin!(device.desc.write_zeroes_blocks(&device.ch, 107, 1));
    assert!(poll_once(all.as_mut()).is_pending());
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(last.as_mut()).is_pending());
    assert!(poll_once(read.as_mut()).is_pending());
    assert!(poll_once(unmap.as_mut()).is_pending());
    assert!(poll_once(zeroes.as_mut()).is_pending());
    // Up to the first block, and from the one behind the last.
    io_beside(device, 92).await?;
    io_beside(device, 108).await?;
    within("a flush", device.desc.flush_blocks(&device.ch, 100, 8)).await?;
    let mut old = device.buffer(8)?;
    let read_below = below.read_blocks(&below_ch, &mut old, 100, 8);
    within("a read of the device below", read_below).await?;
    pattern::assert_is(&old, BLOCK, 100, 1);
    assert!(poll_once(all.as_mut()).is_pending());
    assert!(poll_once(read.as_mut()).is_pending());

    within("the unlock", range.unquiesce()).await?;
    within("the first write", all).await?;
    within("the second write", first).await?;
    within("the third write", last).await?;
    within("the read", read).await?;
    within("the unmap", unmap).await?;
    within("the write of zeroes", zeroes).await?;
    check(device, 96, 11, 2).await
}

/// Fails if only the channels of the owner's spdk_thread are held back, or a lock ends with the future that
/// waits for it and not with its guard.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)),
)]
async fn io_of_all_threads_waits() -> spdk::Result<()> {
    /// The steps, which the two cores take in turns.
    async fn step(steps: &AtomicU64, number: u64) {
        until("the other core", || steps.load(SeqCst) >= number).await;
    }
    let device = &Device::open("M")?;
    write(device, 0, 16, 1).await?;
    let steps = Arc::new(AtomicU64::new(0));
    let there = steps.clone();
    let other = spawn_local(spawn_on(1, move || async move {
        let before = &Device::open("M")?;
        check(before, 0, 16, 1).await?;
        there.store(1, SeqCst);
        step(&there, 2).await;
        // Another channel of this spdk_thread would be the same; one of another device of it is not.
        let mut held = pin!(write(before, 0, 8, 2));
        assert!(poll_once(held.as_mut()).is_pending());
        io_beside(before, 8).await?;
        assert!(poll_once(held.as_mut()).is_pending());
        there.store(3, SeqCst);
        within("the write", held).await?;
        check(before, 0, 8, 2).await
    }))?;
    step(&steps, 1).await;
    let range = device.desc.quiesce_range(0, 8).await?;
    steps.store(2, SeqCst);
    step(&steps, 3).await;
    // A channel that is made while the range is locked.
    let there = steps.clone();
    let later = spawn_local(async move {
        let late = spdk::ThreadHandle::on_core("late", 1).await?;
        let outcome = late
            .spawn(move || async move {
                let device = &Device::open("M")?;
                let mut held = pin!(write(device, 0, 8, 3));
                assert!(poll_once(held.as_mut()).is_pending());
                io_beside(device, 16).await?;
                assert!(poll_once(held.as_mut()).is_pending());
                there.store(4, SeqCst);
                within("the write of a new channel", held).await
            })
            .await?;
        late.exit().await?;
        outcome
    })?;
    step(&steps, 4).await;
    drop(range);
    other.await???;
    later.await??;
    Ok(())
}

/// Fails if a lock is there before the I/O on its blocks has ended, or waits for that on others.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn a_lock_waits_for_io_in_flight() -> spdk::Result<()> {
    let device = Rc::new(Device::open("D")?);
    let ended = Rc::new(std::cell::Cell::new(0));
    let writes = (0..4).map(|place| {
        let (device, ended) = (device.clone(), ended.clone());
        spawn_local(async move {
            write(&device, place * 8, 8, 1).await?;
            ended.set(ended.get() + 1);
            Ok::<_, spdk::Error>(())
        })
    });
    let writes = writes.collect::<spdk::Result<Vec<_>>>()?;
    yield_now().await;
    let beside = within("the lock", device.desc.quiesce_range(64, 8)).await?;
    assert_eq!(ended.get(), 0, "it has waited for other blocks");
    let range = within("the lock", device.desc.quiesce_range(0, 32)).await?;
    assert_eq!(ended.get(), 4, "it has not waited");
    drop((beside, range));
    for write in join_all(writes).await {
        write??;
    }
    Ok(())
}

/// Fails if two locks of the same block exist at once, one that waits is lost or keeps another up, or locks
/// of other blocks wait.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)))]
async fn locks_wait_for_each_other() -> spdk::Result<()> {
    let device = &Device::open("M")?;
    let second = &Device::open("M")?;
    let range = device.desc.quiesce_range(8, 8).await?;
    let beside =
        [(0, 8), (16, 8), (1000, 24)].map(|(at, count)| second.desc.quiesce_range(at, count));
    for lock in beside {
        drop(within("a lock of other blocks", lock).await?);
    }
    let mut same = pin!(second.desc.quiesce_range(8, 8));
    let mut over = pin!(device.desc.quiesce_range(0, 1024));
    let mut given_up = Box::pin(second.desc.quiesce_range(12, 16));
    assert!(poll_once(same.as_mut()).is_pending());
    assert!(poll_once(over.as_mut()).is_pending());
    assert!(poll_once(given_up.as_mut()).is_pending());
    io_beside(device, 32).await?;
    assert!(poll_once(same.as_mut()).is_pending());
    drop(given_up);
    drop(range);
    let same = within("the lock of the same blocks", same).await?;
    io_beside(device, 32).await?;
    assert!(poll_once(over.as_mut()).is_pending());
    same.unquiesce().await?;
    let over = within("the lock of all blocks", over).await?;
    let mut held = pin!(write(device, 1016, 8, 1));
    assert!(poll_once(held.as_mut()).is_pending());
    over.unquiesce().await?;
    within("the write", held).await
}

/// Fails if a lock stays whose future or guard was dropped, or leaves anything behind.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)))]
async fn dropped() -> spdk::Result<()> {
    async fn drop_at(step: u64) -> spdk::Result<()> {
        let Device { desc, ch, bdev } = Device::open("M")?;
        let mut lock = Box::pin(desc.quiesce_range(0, 8));
        match step {
            0 => {}
            1 => assert!(poll_once(lock.as_mut()).is_pending()),
            2 => {
                let range = lock.await?;
                drop((ch, desc, bdev));
                drop(range);
                return Ok(());
            }
            3 => drop(lock.await?.unquiesce()),
            4 => {
                let mut unlock = Box::pin(lock.await?.unquiesce());
                assert!(poll_once(unlock.as_mut()).is_pending());
            }
            _ => {
                // It waits for another lock.
                let range = lock.await?;
                let mut waits = Box::pin(desc.quiesce_range(4, 8));
                assert!(poll_once(waits.as_mut()).is_pending());
                drop((waits, range));
            }
        }
        Ok(())
    }
    let device = &Device::open("M")?;
    write(device, 0, 16, 1).await?;
    let counters = Counters::settled(drop_at(5)).await?;
    for round in 0..60 {
        drop_at(round % 6).await?;
        // At once, or after some turns.
        for _ in 0..round / 6 {
            yield_now().await;
        }
        within("the write", write(device, 0, 16, round)).await?;
        check(device, 0, 16, round).await?;
    }
    counters.assert_back().await;
    Ok(())
}

/// Fails if the removal of a device does not wait for its locks, or goes on before the last, or I/O that a lock
/// held back is lost.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)))]
async fn the_device_is_removed() -> spdk::Result<()> {
    let (device, other) = (&Device::open("M")?, &Device::open("M")?);
    let mut events = device.desc.events();
    let range = device.desc.quiesce_range(0, 8).await?;
    let mut held = pin!(write(device, 0, 8, 1));
    let mut waits = pin!(other.desc.quiesce_range(0, 16));
    let mut later = Box::pin(device.desc.quiesce_range(4, 16));
    assert!(poll_once(held.as_mut()).is_pending());
    assert!(poll_once(waits.as_mut()).is_pending());
    assert!(poll_once(later.as_mut()).is_pending());
    drop(later);
    let removed = Rc::new(std::cell::Cell::new(false));
    let delete = spawn_local({
        let removed = removed.clone();
        async move {
            let params = json!({"name": "M"});
            let delete = spdk::rpc::call::<bool>("bdev_malloc_delete", &params).await;
            removed.set(true);
            delete
        }
    })?;
    io_beside(device, 32).await?;
    assert!(!removed.get(), "the device was removed under a lock");
    range.unquiesce().await?;
    within("the write", held).await?;
    let late = within("the lock", waits).await?;
    io_beside(device, 32).await?;
    assert!(
        !removed.get(),
        "the device was removed under the second lock"
    );
    drop(late);
    within("the removal", delete).await??;
    assert_eq!(events.next().await, Some(BdevEvent::Remove));
    let gone = device.desc.quiesce_range(0, 8).await;
    assert!(
        matches!(
            kind(&gone),
            Some(ErrorKind::Gone {
                why: Gone::Removed,
                ..
            })
        ),
        "{gone:?}"
    );
    Ok(())
}

/// Fails if the application does not end: with locks that are held or were forgotten, and I/O of both cores
/// that they hold back.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)),
)]
async fn the_application_ends() -> spdk::Result<()> {
    let device = Rc::new(Device::open("M")?);
    forget(device.desc.quiesce_range(0, 8).await?);
    let range = device.desc.quiesce_range(64, 8).await?;
    let waiting = Arc::new(AtomicU64::new(0));
    for core in [0, 1] {
        let waiting = waiting.clone();
        drop(spawn_local(spawn_on(core, move || async move {
            let device = Device::open("M")?;
            let mut held = [0, 64].map(|at| Box::pin(write(&device, at, 8, 1)));
            for io in &mut held {
                assert!(poll_once(io.as_mut()).is_pending());
            }
            waiting.fetch_add(1, SeqCst);
            join_all(held)
                .await
                .into_iter()
                .collect::<spdk::Result<()>>()
        }))?);
    }
    until("the I/O of both cores", || waiting.load(SeqCst) == 2).await;
    let owner = device.clone();
    drop(spawn_local(async move {
        let _range = range;
        let held = write(&owner, 64, 1, 1).await;
        panic!("it got through: {held:?}");
    })?);
    yield_now().await;
    Ok(())
}

/// Fails if a range is taken that SPDK would not find again, or an error does not tell it.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)))]
async fn wrong_ranges_are_refused() -> spdk::Result<()> {
    let device = Device::open("M")?;
    for (at, count) in [(1020, 5), (1024, 1), (u64::MAX, 2)] {
        let refused = device.desc.quiesce_range(at, count).await;
        let error = refused.expect_err("it ends beyond the device");
        assert_eq!(error.errno(), Some(spdk::Errno::EINVAL));
        let text = format!("({count} blocks at block {at})");
        assert!(error.to_string().contains(&text), "{error}");
    }
    let refused = device.desc.quiesce_range(8, 0).await;
    assert!(
        matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. })),
        "{refused:?}"
    );
    // Nothing of them is locked.
    within("a write", write(&device, 1020, 4, 1)).await?;
    // A descriptor for reading is enough, and one range can be locked after another.
    let reader = device.bdev.open(false)?;
    for _ in 0..3 {
        reader.quiesce_range(1023, 1).await?.unquiesce().await?;
    }
    Ok(())
}

/// Fails if nobody hears of an unlock that SPDK refuses.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)))]
async fn a_refused_unlock_is_reported() -> spdk::Result<()> {
    traces::keep(LevelFilter::WARN);
    let reported = || {
        let lines = traces::lines("spdk::bdev_quiesce");
        let lines = lines
            .iter()
            .filter(|line| line.message().contains("was not unlocked"));
        lines.map(|line| line.field("device").to_owned()).collect()
    };
    let device = &Device::open("M")?;
    drop(device.desc.quiesce_range(0, 8).await?);
    device.desc.quiesce_range(0, 8).await?.unquiesce().await?;
    for lock in 0..2 {
        let range = device.desc.quiesce_range(lock * 8, 8).await?;
        foreign::unquiesce(&device.bdev, lock * 8, 8);
        within("the unlock", write(device, lock * 8, 8, 1)).await?;
        let before: Vec<String> = reported();
        match lock {
            0 => {
                let end = range.unquiesce().await;
                let errno = end.as_ref().err().and_then(spdk::Error::errno);
                assert_eq!(errno, Some(Errno::EINVAL), "{end:?}");
                assert_eq!(reported(), before);
            }
            _ => {
                drop(range);
                assert_eq!(reported(), ["bdev \"M\""]);
            }
        }
    }
    Ok(())
}

/// Removes a device while blocks of it are unlocked, and is closed, at all sorts of times.
async fn removals(compares: bool) -> spdk::Result<()> {
    for round in 0..300 {
        let name = Malloc::new("M", BLOCK as u32, 64).create().await?;
        let device = Device::open(&name)?;
        let removed = spawn_local(Malloc::delete("M"))?;
        let turns = pass(round % 60);
        if compares {
            turns.await;
            let blocks = [device.buffer(1)?];
            let Device { desc, ch, .. } = &device;
            let io = desc.compare_and_write_blocks(ch, &blocks, &blocks, 0, 1);
            let _ = poll_once(pin!(io));
        } else if let Ok(range) = device.desc.quiesce_range(0, 8).await {
            turns.await;
            drop(range);
        }
        // Both end in the background, and the descriptor with them.
        drop(device);
        within("the removal", removed).await??;
    }
    Ok(())
}

/// Fails, by a signal, if a descriptor is closed between the two times that SPDK goes on with a removal: at the end of its
/// look at the channels, and when the last blocks are unlocked meanwhile.
#[spdk::test(deadline = 120)]
async fn a_removal_beside_an_unlock() -> spdk::Result<()> {
    removals(false).await
}

/// The same of the unlock that SPDK does itself.
#[spdk::test(deadline = 120)]
async fn a_removal_beside_a_compare_and_write() -> spdk::Result<()> {
    removals(true).await
}
