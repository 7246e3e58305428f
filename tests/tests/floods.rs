//! More in one turn of an spdk_thread than SPDK's queue of its messages has room for: SPDK aborts the process then.
//!
//! What begins waits for its turn, or is refused; what is given back is so in one of the next turns. Without the limits
//! each of these tests was killed by a signal 6.
#![allow(missing_docs)]

use std::fmt::Debug;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;

use futures_util::future::join_all;
use spdk::bdev::ResetStat;
use spdk::task::yield_now;
use spdk::{BdevDesc, Errno, IoDevice, IoDeviceChannel, Result, for_each_thread};
use spdk_tests::census::{Alive, Census};
use spdk_tests::{Device, forget, poll_once, until};

/// The queue has room for 65,535.
const MANY: usize = 70_000;

/// Begins them all in one turn, and drops some, which wait or are on their way.
async fn flood<F: Future<Output = Result<T>>, T: Debug>(begin: impl Fn() -> F) -> Result<()> {
    let mut all: Vec<_> = (0..MANY).map(|_| Box::pin(begin())).collect();
    for one in &mut all {
        assert!(poll_once(one.as_mut()).is_pending());
    }
    let mut number = 0;
    all.retain(|_| {
        number += 1;
        number % 7 != 0
    });
    for end in join_all(all).await {
        end?;
    }
    Ok(())
}

/// Makes something and gives it back until that is refused, which it is in time, and not for long.
async fn give_back<T>(make: impl Fn() -> Result<T>) -> Result<()> {
    let mut made = 0;
    for round in 0..2 {
        loop {
            match make() {
                Ok(one) => drop(one),
                Err(error) => {
                    assert_eq!(error.errno(), Some(Errno::EAGAIN), "{error}");
                    break;
                }
            }
            made += 1;
            assert!(made < MANY * (round + 1), "not refused");
        }
        // More in each turn than SPDK runs in one.
        for _ in 0..5000 {
            for _ in 0..20 {
                drop(make());
            }
            yield_now().await;
        }
        while make().is_err() {
            yield_now().await;
        }
    }
    Ok(())
}

#[spdk::test(deadline = 50)]
async fn iterations_over_spdk_threads() -> Result<()> {
    flood(|| for_each_thread(|_| ())).await
}

#[spdk::test(deadline = 50)]
async fn iterations_over_channels() -> Result<()> {
    let device = IoDevice::register("device", || 0)?;
    let _channel = device.get_channel()?;
    flood(|| device.for_each_channel(|_| ())).await
}

#[spdk::test(
    deadline = 50,
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = 512),)
)]
async fn iterations_over_channels_of_a_bdev() -> Result<()> {
    let Device { bdev, ch: _ch, .. } = &Device::open("Malloc0")?;
    flood(|| bdev.for_each_channel(|_| ControlFlow::Continue(()))).await?;
    flood(|| bdev.device_stat(ResetStat::None)).await
}

#[spdk::test(
    deadline = 50,
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = 512),)
)]
async fn channels() -> Result<()> {
    let desc = BdevDesc::open("Malloc0", false)?;
    give_back(|| desc.get_io_channel()).await?;
    let device = IoDevice::register("device", || 0)?;
    give_back(|| device.get_channel()).await?;
    give_back(|| IoDevice::register("short", || 0)).await?;
    Ok(())
}

/// Makes io_devices, each with a channel.
fn many(census: &Census) -> Result<Vec<(IoDeviceChannel<Alive>, IoDevice<Alive>)>> {
    let mut all = Vec::new();
    for _ in 0..MANY {
        let census = census.clone();
        let device = IoDevice::register("device", move || census.one())?;
        let channel = device.get_channel()?;
        all.push((channel, device));
    }
    Ok(all)
}

#[spdk::test(deadline = 50)]
async fn many_channels_at_once() -> Result<()> {
    let census = Census::default();
    let all = many(&census)?;
    assert_eq!(census.count(), MANY);
    drop(all);
    until("their end", || census.count() == 0).await;
    until("room", || IoDevice::register("device", || ()).is_ok()).await;
    // At the end of the spdk_thread, which leaves the devices.
    forget(many(&census)?);
    Ok(())
}

/// Fails if a place that nobody takes holds up those behind it.
#[spdk::test(deadline = 50)]
async fn those_that_wait_are_dropped() -> Result<()> {
    let mut all: Vec<_> = (0..MANY)
        .map(|_| Box::pin(for_each_thread(|_| ())))
        .collect();
    for one in &mut all {
        assert!(poll_once(one.as_mut()).is_pending());
    }
    let last = pin!(all.pop().expect("there are many"));
    drop(all);
    last.await.map(drop)
}
