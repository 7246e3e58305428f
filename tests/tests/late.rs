//! I/Os that take too long, and ending them early.
#![allow(missing_docs)]

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use spdk::bdev::ResetStat;
use spdk::{Bdev, BdevIo, BdevIoType, DmaBuf, Error, ErrorKind, Range};
use spdk_tests::wait::{PATIENCE, timeout};
use spdk_tests::{Device, dma, kind, pattern, poll_once, until};

const BLOCK: usize = 512;
/// The latency of the slow device in microseconds: more than a test takes.
const LATENCY: u64 = 60_000_000;
/// One that is waited for.
const SHORT: u64 = 2_000;

/// What an operation that was ended early reports.
fn is_aborted(error: &Error) -> bool {
    let text = error.to_string();
    error.nvme_status().is_some() && text.contains("ABORTED - BY REQUEST")
}

/// Waits until the slow device has got `count` reads from the one below, and holds them back: then it can
/// end them early.
async fn held_back(count: u64) -> spdk::Result<()> {
    let below = Bdev::find("Malloc0")?;
    let deadline = Instant::now() + PATIENCE;
    while below.device_stat(ResetStat::None).await?.num_read_ops < count {
        assert!(Instant::now() < deadline, "{count} reads do not arrive");
        spdk::task::yield_now().await;
    }
    Ok(())
}

/// Fails if an abort reaches the device inside of the callback of another operation: a delay bdev goes through its list of
/// those that are due then, and follows what the abort has freed.
#[spdk::test(bdevs(
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = SHORT, p99_read_latency = SHORT,
        avg_write_latency = SHORT, p99_write_latency = SHORT,
    ),
))]
async fn abort_in_a_callback() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let mut bufs = [device.buffer(1)?, device.buffer(1)?];
    let [first, second] = &mut bufs;
    for _ in 0..50 {
        let below = Bdev::find("Malloc0")?.device_stat(ResetStat::None).await?;
        let mut first = Box::pin(desc.read_blocks(ch, first, 0, 1));
        let mut second = Box::pin(desc.read_blocks(ch, second, 1, 1));
        assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
        held_back(below.num_read_ops + 2).await?;
        // Both are due when the device is polled next.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(2 * SHORT) {}
        first.await?;
        let ended = desc.abort(ch, &*second).await?;
        assert!(second.await.is_ok() || ended);
    }
    Ok(())
}

/// Fails if another operation is ended, or one that was ended is told as a success.
#[spdk::test(bdevs(
    // Modules that look at a new device would read from the slow one.
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = 0, p99_write_latency = 0,
    ),
))]
async fn abort() -> spdk::Result<()> {
    let below = Bdev::find("Malloc0")?.device_stat(ResetStat::None).await?;
    let reads = below.num_read_ops;
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let mut bufs = [device.buffer(1)?, device.buffer(1)?, device.buffer(1)?];
    let [first, second, third] = &mut bufs;
    let mut first = Box::pin(desc.read_blocks(ch, first, 7, 1));
    let mut second = Box::pin(desc.read_blocks(ch, second, 8, 1));
    let mut third = Box::pin(desc.readv_blocks(ch, std::slice::from_mut(third), 9, 1));
    assert_eq!(first.id(), None);
    let early = desc.abort(ch, &*first).await;
    let text = early.map_err(|error| error.to_string());
    let expected = "spdk_bdev_abort on bdev \"D\": the operation is not in flight: it was not polled yet, or has ended";
    assert_eq!(text, Err(expected.to_owned()));

    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    assert!(poll_once(third.as_mut()).is_pending());
    held_back(reads + 3).await?;
    assert!(first.id().is_some() && first.id() != second.id());
    assert!(device.desc.abort(&device.ch, &*second).await?);
    let error = second.as_mut().await.expect_err("it was ended early");
    assert!(is_aborted(&error), "{error}");
    assert!(
        error.to_string().contains("(1 blocks at block 8)"),
        "{error}"
    );
    assert_eq!(second.id(), None);
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(third.as_mut()).is_pending());
    assert!(device.desc.abort(&device.ch, &*third).await?);
    assert!(is_aborted(&third.await.expect_err("it was ended early")));

    // An abort that is abandoned at once asks for nothing.
    let mut abort = Box::pin(desc.abort(ch, &*first));
    assert!(poll_once(abort.as_mut()).is_pending());
    drop(abort);
    for _ in 0..1000 {
        spdk::task::yield_now().await;
    }
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(device.desc.abort(&device.ch, &*first).await?);
    assert!(is_aborted(&first.await.expect_err("it was ended early")));
    Ok(())
}

/// Fails if an operation that the device has ended already is told as ended early, or the device's refusal
/// as a success.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "E", num_blocks = 1024, block_size = BLOCK),
))]
async fn nothing_to_abort() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let mut buf = device.buffer(1)?;
    let mut read = pin!(desc.read_blocks(ch, &mut buf, 0, 1));
    assert!(poll_once(read.as_mut()).is_pending());
    let other = Device::open("E")?;
    let wrong = desc.abort(&other.ch, &*read).await;
    assert!(
        matches!(kind(&wrong), Some(ErrorKind::WrongChannel { .. })),
        "{wrong:?}"
    );
    // It ends while nobody looks, so its future is still there.
    spdk_tests::wait::after(Duration::from_millis(5)).await;
    assert!(!desc.abort(ch, &*read).await?);
    read.await
}

/// Fails if what SPDK says of a late I/O is another I/O's, comes without a limit, or comes when it is closed.
#[spdk::test(deadline = 40, bdevs(
    // Modules that look at a new device would read from the slow one.
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = 0, p99_write_latency = 0,
    ),
))]
async fn late_ios_are_reported() -> spdk::Result<()> {
    let below = Bdev::find("Malloc0")?.device_stat(ResetStat::None).await?;
    let reads = below.num_read_ops;
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let zero = desc.set_timeout(Some(Duration::ZERO));
    assert!(
        matches!(kind(&zero), Some(ErrorKind::InvalidArgument { .. })),
        "{zero:?}"
    );
    let mut late = desc.timeouts();
    // A part of a second counts as a whole.
    desc.set_timeout(Some(Duration::from_millis(300)))?;
    let before = spdk::ticks();
    let mut bufs = [device.buffer(2)?, device.buffer(1)?];
    let [first, second] = &mut bufs;
    let mut first = Box::pin(desc.read_blocks(ch, first, 7, 2));
    let mut second = Box::pin(desc.read_blocks(ch, second, 30, 1));
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    held_back(reads + 2).await?;
    let mut reports = [late.next().await, late.next().await];
    // One may be late in the first look, and both in the next.
    if reports[0].as_ref().map(|report| report.id) == reports[1].as_ref().map(|report| report.id) {
        reports[1] = late.next().await;
    }
    assert!(
        spdk::ticks() - before >= spdk::ticks_hz()? * 9 / 10,
        "too early"
    );
    for (report, (id, offset, count)) in reports
        .iter()
        .zip([(first.id(), 7, 2), (second.id(), 30, 1)])
    {
        let report = report.expect("the descriptor is open");
        assert_eq!(report.id, id);
        assert_eq!(report.io_type, BdevIoType::Read);
        assert!(
            matches!(report.range, Some(Range::Blocks { offset: o, count: c, .. }) if (o, c) == (offset, count))
        );
        assert!(report.submitted >= before && report.submitted <= spdk::ticks());
    }
    // What is late can be ended.
    assert!(device.desc.abort(&device.ch, &*first).await?);
    assert!(is_aborted(&first.await.expect_err("it was ended early")));
    // The other one is reported again, until there is no limit any more.
    let again = late.next().await.expect("the descriptor is open");
    assert_eq!(again.id, second.id());
    desc.set_timeout(None)?;
    let _ = late.next().now_or_never();
    assert!(
        timeout(Duration::from_millis(1500), late.next())
            .await
            .is_none()
    );
    desc.set_timeout(Some(Duration::from_secs(1)))?;
    assert!(device.desc.abort(&device.ch, &*second).await?);
    drop(second);
    drop(device);
    assert_eq!(
        late.next().await,
        None,
        "there is a report of a descriptor that is closed"
    );
    Ok(())
}

/// Fails if a descriptor that is closed with a limit leaves SPDK with the address of what is freed: a late
/// I/O of another descriptor, reported while the first one's list goes, shows up in the memory that took its
/// place.
#[spdk::test(deadline = 40, bdevs(
    // Modules that look at a new device would read from the slow one.
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = 0, p99_write_latency = 0,
    ),
))]
async fn closed_with_a_limit() -> spdk::Result<()> {
    let below = Bdev::find("Malloc0")?.device_stat(ResetStat::None).await?;
    let reads = below.num_read_ops;
    let device = Device::open("D")?;
    let pieces = dma::pieces();
    let mut buf = device.buffer(1)?;
    let mut read = Box::pin(device.desc.read_blocks(&device.ch, &mut buf, 0, 1));
    assert!(poll_once(read.as_mut()).is_pending());
    for _ in 0..16 {
        let other = device.bdev.open(true)?;
        other.set_timeout(Some(Duration::from_secs(1)))?;
        drop(other.timeouts());
    }
    device.desc.set_timeout(Some(Duration::from_secs(1)))?;
    let mut late = device.desc.timeouts();
    assert_eq!(late.next().await.and_then(|report| report.id), read.id());
    held_back(reads + 1).await?;
    assert!(device.desc.abort(&device.ch, &*read).await?);
    drop(read);
    pattern::assert_zero(&buf);
    drop(buf);
    until("its memory to be free", || dma::pieces() == pieces).await;
    let _ = DmaBuf::alloc(512, 512)?;
    Ok(())
}

/// Fails if the abort of an I/O on an error bdev, which SPDK never ends, is begun.
#[spdk::test(
    deadline = 20,
    bdevs(
        bdev_malloc_create(name = "M", num_blocks = 1024, block_size = 512),
        bdev_delay_create(
            base_bdev_name = "M",
            name = "D",
            avg_read_latency = 100_000,
            p99_read_latency = 100_000,
            avg_write_latency = 0,
            p99_write_latency = 0,
        ),
        bdev_error_create(base_name = "D"),
    )
)]
async fn no_abort_on_an_error_bdev() -> spdk::Result<()> {
    let device = Device::open("EE_D")?;
    let mut buf = device.buffer(1)?;
    let mut read = Box::pin(device.desc.read_blocks(&device.ch, &mut buf, 0, 1));
    assert!(poll_once(read.as_mut()).is_pending());
    let refused = device.desc.abort(&device.ch, &*read).await;
    assert_eq!(
        refused.err().and_then(|error| error.errno()),
        Some(spdk::Errno::ENOTSUP)
    );
    read.await
}
