//! What a device has done, how long it took, and how much it may do.
#![allow(missing_docs)]

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};

use serde_json::json;
use spdk::bdev::{HistogramOptions, QosLimits, ResetStat};
use spdk::config::Malloc;
use spdk::{Bdev, BdevIoType, DmaBuf, Errno, Error, ErrorKind, SpdkThread};
use spdk_tests::turns::pass;
use spdk_tests::wait::within;
use spdk_tests::{Device, assert_kind, foreign, kind, poll_once, rpc, second, until};

const BLOCK: usize = 512;
const LATENCY: u64 = 5_000;

/// Fails if a number is another one's, is not that of all channels, or is not reset.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn device_and_channel() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    let mut buf = device.buffer(4)?;
    for _ in 0..3 {
        desc.write_blocks(ch, &buf, 0, 4).await?;
    }
    for _ in 0..5 {
        desc.read_blocks(ch, &mut buf, 0, 4).await?;
    }
    desc.unmap_blocks(ch, 8, 2).await?;
    desc.copy_blocks(ch, 16, 0, 6).await?;
    let other = second::spdk_thread("other").await;
    other
        .spawn(|| async {
            let device = Device::open("D")?;
            let mut buf = device.buffer(1)?;
            device.desc.read_blocks(&device.ch, &mut buf, 0, 1).await
        })
        .await??;

    let mine = bdev.channel_stat(ch, ResetStat::None)?;
    assert_eq!((mine.num_write_ops, mine.bytes_written), (3, 3 * 4 * 512));
    assert_eq!((mine.num_read_ops, mine.bytes_read), (5, 5 * 4 * 512));
    assert_eq!((mine.num_unmap_ops, mine.bytes_unmapped), (1, 2 * 512));
    assert_eq!((mine.num_copy_ops, mine.bytes_copied), (1, 6 * 512));
    assert!(mine.min_read_latency_ticks <= mine.max_read_latency_ticks);
    assert!(mine.max_read_latency_ticks <= mine.read_latency_ticks);
    assert_eq!(mine.ticks_rate, spdk::ticks_hz()?);

    // Examining the device reads it, too.
    let all = bdev.device_stat(ResetStat::None).await?;
    assert!(all.num_read_ops > mine.num_read_ops, "{all:?}");
    assert!(all.bytes_read >= mine.bytes_read + 512, "{all:?}");
    assert_eq!(all.num_write_ops, 3);
    assert_eq!(all.ticks_rate, mine.ticks_rate);
    let before = bdev.device_stat(ResetStat::All).await?;
    assert_eq!(before.num_write_ops, 3);
    let after = bdev.device_stat(ResetStat::None).await?;
    assert_eq!(
        (after.num_read_ops, after.num_write_ops, after.bytes_read),
        (0, 0, 0)
    );
    assert_eq!(bdev.channel_stat(ch, ResetStat::None)?.num_read_ops, 0);
    Ok(())
}

/// Fails if a channel of another device is looked into.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "E", num_blocks = 1024, block_size = BLOCK),
))]
async fn a_channel_of_another_device() -> spdk::Result<()> {
    let (device, other) = (Device::open("D")?, Device::open("E")?);
    let stat = device.bdev.channel_stat(&other.ch, ResetStat::None);
    assert!(
        matches!(kind(&stat), Some(ErrorKind::WrongChannel { .. })),
        "{stat:?}"
    );
    let histogram = device.bdev.channel_histogram(&other.ch);
    assert!(
        matches!(kind(&histogram), Some(ErrorKind::WrongChannel { .. })),
        "{histogram:?}"
    );
    Ok(())
}

/// Fails if a channel is left out, is shown on another spdk_thread, or is shown after the closure said to
/// stop.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)),
)]
async fn each_channel() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let cores = spdk::SpdkApp::cores()?;
    let other = spdk::ThreadHandle::on_core("other", *cores.last().unwrap_or(&cores[0])).await?;
    let keep: spdk::Result<Kept> = other.call(|| Ok(Kept::new(Device::open("D")?))).await?;
    let keep = keep?;
    let mut buf = device.buffer(1)?;
    device.desc.read_blocks(&device.ch, &mut buf, 0, 1).await?;

    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = seen.clone();
    let each = device.bdev.for_each_channel(move |channel| {
        let current = spdk::SpdkThread::get_current();
        let name = current.map(|thread| thread.name().to_owned());
        assert_eq!(name.as_deref(), Some(channel.thread_name().as_str()));
        let reads = channel.stat(ResetStat::None).num_read_ops;
        list.lock()
            .expect("no panic")
            .push((channel.thread_name(), reads));
        ControlFlow::Continue(())
    });
    each.await?;
    let mut channels = std::mem::take(&mut *seen.lock().expect("no panic"));
    channels.sort();
    let here = spdk::SpdkThread::get_current().map_or_else(String::new, |t| t.name().to_owned());
    let mut expected = [(here, 1), ("other".to_owned(), 0)];
    expected.sort();
    // What examined the device may have a channel for a moment.
    assert_eq!(channels, expected);

    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let each = device.bdev.for_each_channel(move |_| {
        *counted.lock().expect("no panic") += 1;
        ControlFlow::Break(())
    });
    each.await?;
    assert_eq!(*count.lock().expect("no panic"), 1);

    // A closure that was abandoned still comes to its end, and is dropped.
    let held = count.clone();
    let mut each = Box::pin(device.bdev.for_each_channel(move |_| {
        *held.lock().expect("no panic") += 1;
        ControlFlow::Continue(())
    }));
    assert!(poll_once(each.as_mut()).is_pending());
    drop(each);
    until("the abandoned iteration to end", || {
        Arc::strong_count(&count) == 1
    })
    .await;
    assert_eq!(*count.lock().expect("no panic"), 3);
    other.call(move || drop(keep)).await
}

/// Something of an spdk_thread, sent around without being used elsewhere.
struct Kept(std::thread::ThreadId, std::mem::ManuallyDrop<Device>);

impl Kept {
    fn new(device: Device) -> Self {
        Kept(
            std::thread::current().id(),
            std::mem::ManuallyDrop::new(device),
        )
    }
}

#[allow(unsafe_code)]
// SAFETY: it is dropped where it was made, which is looked at, and not used otherwise.
unsafe impl Send for Kept {}

impl Drop for Kept {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        assert_eq!(self.0, std::thread::current().id());
        // SAFETY: dropped once, on its OS thread.
        unsafe { std::mem::ManuallyDrop::drop(&mut self.1) }
    }
}

/// Fails if the times are not those of the I/Os, or a percentile is another one.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "D",
            avg_read_latency = LATENCY, p99_read_latency = LATENCY,
            avg_write_latency = 0, p99_write_latency = 0,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn histogram() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    for not_enabled in [bdev.histogram().await, bdev.channel_histogram(ch)] {
        let refused = matches!(kind(&not_enabled), Some(ErrorKind::InvalidArgument { .. }));
        assert!(refused, "{not_enabled:?}");
    }
    bdev.enable_histogram(true).await?;
    assert_eq!(bdev.histogram().await?.total(), 0);
    assert_eq!(bdev.histogram().await?.percentile(50.0), None);
    let mut buf = device.buffer(1)?;
    for _ in 0..9 {
        desc.write_blocks(ch, &buf, 0, 1).await?;
    }
    let start = Instant::now();
    desc.read_blocks(ch, &mut buf, 0, 1).await?;
    let took = start.elapsed();
    let histogram = bdev.histogram().await?;
    assert_eq!(histogram.total(), 10);
    assert_eq!(
        histogram
            .buckets()
            .iter()
            .map(|bucket| bucket.count)
            .sum::<u64>(),
        10
    );
    assert!(
        histogram
            .buckets()
            .windows(2)
            .all(|two| two[0].end_ticks <= two[1].start_ticks)
    );
    let latency = Duration::from_micros(LATENCY);
    let slowest = histogram.percentile(100.0).unwrap_or_default();
    // A bucket is 1 % wide.
    assert!(
        slowest >= latency && slowest <= took.mul_f64(1.02),
        "{slowest:?} of {took:?}"
    );
    assert_eq!(histogram.percentile(90.1), Some(slowest));
    let median = histogram.percentile(50.0).unwrap_or_default();
    assert!(median < slowest && median <= histogram.percentile(90.0).unwrap_or_default());
    assert_eq!(bdev.channel_histogram(ch)?, histogram);
    // SPDK's own reader sees as many.
    let answer = rpc::call("bdev_get_histogram", json!({"name": "D"})).await;
    assert!(
        answer["histogram"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    bdev.enable_histogram(false).await?;
    assert!(bdev.histogram().await.is_err());

    let reads = HistogramOptions {
        io_type: Some(BdevIoType::Read),
        granularity: 3,
        min: Duration::from_micros(1),
        max: Some(Duration::from_secs(1)),
    };
    bdev.enable_histogram_with(reads).await?;
    desc.write_blocks(ch, &buf, 0, 1).await?;
    desc.read_blocks(ch, &mut buf, 0, 1).await?;
    let histogram = bdev.histogram().await?;
    assert_eq!(histogram.total(), 1, "{histogram:?}");
    let bucket = histogram.buckets()[0];
    let width = histogram.duration(bucket.end_ticks - bucket.start_ticks);
    assert!(
        width > latency / 20,
        "each doubling has 8 buckets, so they are wide: {width:?}"
    );
    for wrong in [
        HistogramOptions {
            granularity: 0,
            ..reads
        },
        HistogramOptions {
            granularity: 60,
            ..reads
        },
        HistogramOptions {
            max: Some(Duration::from_micros(1)),
            ..reads
        },
        HistogramOptions {
            min: Duration::MAX,
            ..reads
        },
    ] {
        let result = bdev.enable_histogram_with(wrong).await;
        assert!(
            matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
            "{wrong:?}"
        );
    }
    // Abandoned, with the memory that SPDK adds to.
    for _ in 0..8 {
        let mut get = Box::pin(bdev.histogram());
        assert!(poll_once(get.as_mut()).is_pending());
        drop(get);
    }
    assert_eq!(bdev.histogram().await?.total(), 1);
    bdev.enable_histogram(false).await
}

/// Fails if SPDK adds what a channel counts that is made after options were given, which the documentation denies.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn a_later_channel_has_default_buckets() -> spdk::Result<()> {
    let bdev = Bdev::find("D")?;
    let desc = bdev.open(true)?;
    let coarse = HistogramOptions {
        granularity: 3,
        ..HistogramOptions::default()
    };
    for (options, added) in [(HistogramOptions::default(), 1), (coarse, 0)] {
        bdev.enable_histogram_with(options).await?;
        let ch = desc.get_io_channel()?;
        let buf = DmaBuf::alloc(BLOCK, 4096)?;
        desc.write_blocks(&ch, &buf, 0, 1).await?;
        assert_eq!(bdev.channel_histogram(&ch)?.total(), 1);
        assert_eq!(bdev.histogram().await?.total(), added, "{options:?}");
        bdev.enable_histogram(false).await?;
    }
    Ok(())
}

/// Fails if a limit is another one, is not kept, or is told as set before it is.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn limits() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    assert_eq!(bdev.qos_limits()?, QosLimits::default());
    // Nothing to end: SPDK calls back inside the call.
    bdev.set_qos_limits(QosLimits::default()).await?;
    let slow = QosLimits {
        rw_ios_per_sec: 1000,
        ..QosLimits::default()
    };
    bdev.set_qos_limits(slow).await?;
    assert_eq!(bdev.qos_limits()?, slow);
    let mut buf = device.buffer(1)?;
    let start = Instant::now();
    for _ in 0..100 {
        desc.read_blocks(ch, &mut buf, 0, 1).await?;
    }
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(60),
        "100 I/Os at 1000 a second took {took:?}"
    );
    let all = QosLimits {
        rw_ios_per_sec: 5000,
        rw_mbytes_per_sec: 4,
        r_mbytes_per_sec: 3,
        w_mbytes_per_sec: 2,
    };
    bdev.set_qos_limits(all).await?;
    assert_eq!(bdev.qos_limits()?, all);
    bdev.set_qos_limits(QosLimits::default()).await?;
    assert_eq!(bdev.qos_limits()?, QosLimits::default());
    let huge = QosLimits {
        r_mbytes_per_sec: u64::MAX,
        ..QosLimits::default()
    };
    let result = bdev.set_qos_limits(huge).await;
    assert!(
        matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
        "{result:?}"
    );
    let (mut first, second) = (
        Box::pin(bdev.set_qos_limits(slow)),
        bdev.set_qos_limits(all),
    );
    assert!(poll_once(first.as_mut()).is_pending());
    assert_eq!(
        second.await.err().and_then(|error| error.errno()),
        Some(Errno::EAGAIN)
    );
    first.await?;
    assert_eq!(bdev.qos_limits()?, slow);
    bdev.set_qos_limits(QosLimits::default()).await
}

/// Fails if a limit that SPDK cuts off is not refused, or one that it does not is: of the least of those, the second read here
/// takes two seconds.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 4096, block_size = BLOCK)))]
async fn limits_of_32_bits() -> spdk::Result<()> {
    const MOST_MBYTES: u64 = 4_095_999;
    const MOST_IOS: u64 = 4_294_967_295_000;
    let of = |mbytes, ios| QosLimits {
        rw_ios_per_sec: ios,
        rw_mbytes_per_sec: mbytes,
        ..QosLimits::default()
    };
    let device = Device::open("D")?;
    let mut buf = device.buffer(2048)?;
    for limits in [of(MOST_MBYTES, 0), of(0, MOST_IOS)] {
        device.bdev.set_qos_limits(limits).await?;
        assert_eq!(device.bdev.qos_limits()?, limits);
        let start = Instant::now();
        for _ in 0..4 {
            device.desc.read(&device.ch, &mut buf, 0).await?;
        }
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{limits:?}: {took:?}");
    }
    for limits in [of(MOST_MBYTES + 1, 0), of(0, MOST_IOS + 1)] {
        let result = device.bdev.set_qos_limits(limits).await;
        assert!(
            matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
            "{limits:?}: {result:?}"
        );
    }
    device.bdev.set_qos_limits(QosLimits::default()).await
}

/// Fails if the limits of a device stay on the spdk_thread that had its first channel when that ends: SPDK ends it by force
/// then, nothing counts the I/Os any more, and a call that sets other limits aborts.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "E", num_blocks = 1024, block_size = BLOCK),
))]
async fn limits_leave_an_spdk_thread_that_ends() -> spdk::Result<()> {
    let limits = QosLimits {
        rw_ios_per_sec: 2000,
        w_mbytes_per_sec: 7,
        ..QosLimits::default()
    };
    let threads = SpdkThread::count();
    let other = second::spdk_thread("other").await;
    let (stop, stopped) = spdk::completion::<()>();
    let (ready, is_ready) = spdk::completion::<()>();
    let io = other.send(move || {
        let io = async move {
            let device = Device::open("D")?;
            device.bdev.set_qos_limits(limits).await?;
            ready.success(());
            stopped.await?;
            Ok::<(), Error>(())
        };
        drop(spdk::spawn_local(async {
            io.await.expect("the device works")
        }));
    });
    io?;
    is_ready.await?;
    let (device, beside) = (Device::open("D")?, Device::open("E")?);
    beside.bdev.set_qos_limits(limits).await?;
    stop.success(());
    other.exit().await?;
    until("the spdk_thread to end", || SpdkThread::count() == threads).await;

    for device in [&device, &beside] {
        assert_eq!(device.bdev.qos_limits()?, limits);
        let mut buf = device.buffer(1)?;
        let start = Instant::now();
        for _ in 0..100 {
            within("a read", device.desc.read(&device.ch, &mut buf, 0)).await?;
        }
        let took = start.elapsed();
        assert!(took > Duration::from_millis(30), "{took:?}");
        let none = device.bdev.set_qos_limits(QosLimits::default());
        within("the end of the limits", none).await?;
    }
    Ok(())
}

/// Fails if there is a channel while limits end: SPDK limits it, and reads the limits at its first I/O, which are gone then.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn no_channel_is_made_while_limits_end() -> spdk::Result<()> {
    let bdev = spdk::Bdev::find("D")?;
    let desc = bdev.open(true)?;
    let slow = QosLimits {
        rw_ios_per_sec: 1000,
        ..QosLimits::default()
    };
    for has_channel in [false, true] {
        let before = has_channel.then(|| desc.get_io_channel()).transpose()?;
        bdev.set_qos_limits(slow).await?;
        let mut end = Box::pin(bdev.set_qos_limits(QosLimits::default()));
        assert!(poll_once(end.as_mut()).is_pending());
        let during = desc.get_io_channel();
        let refused = during.as_ref().err().and_then(Error::errno);
        end.await?;
        let ch = match during {
            Ok(ch) => ch,
            Err(_) => desc.get_io_channel()?,
        };
        let mut buf = DmaBuf::alloc(BLOCK, 4096)?;
        desc.read_blocks(&ch, &mut buf, 0, 1).await?;
        assert_eq!(refused, Some(Errno::EAGAIN));
        drop(before);
    }
    Ok(())
}

/// The name of the current spdk_thread.
fn current() -> Option<String> {
    spdk::SpdkThread::get_current().map(|thread| thread.name().to_owned())
}

/// Remembers on which spdk_thread it was woken.
#[derive(Default)]
struct WokenOn(Mutex<Option<String>>);

impl WokenOn {
    fn thread(&self) -> Option<String> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Wake for WokenOn {
    fn wake(self: Arc<Self>) {
        *self.0.lock().expect("no panic") = current();
    }
}

/// Fails if an operation ends on another spdk_thread than its own: SPDK changes the limits on the one where
/// they are kept, which is the first that does I/O.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn limits_are_kept_on_another_spdk_thread() -> spdk::Result<()> {
    let bdev = spdk::Bdev::find("D")?;
    let other = second::spdk_thread("other").await;
    let (stop, stopped) = spdk::completion::<()>();
    let (ready, is_ready) = spdk::completion::<()>();
    let io = other.send(move || {
        let io = async move {
            let device = Device::open("D")?;
            ready.success(());
            stopped.await?;
            let mut buf = device.buffer(1)?;
            device.desc.read_blocks(&device.ch, &mut buf, 0, 1).await
        };
        drop(spdk::spawn_local(async {
            io.await.expect("the device works")
        }));
    });
    io?;
    is_ready.await?;
    let mut limits = QosLimits::default();
    for turn in 1..20 {
        limits.rw_ios_per_sec = turn * 1000;
        match turn % 3 {
            0 => {
                let mut set = Box::pin(bdev.set_qos_limits(limits));
                assert!(poll_once(set.as_mut()).is_pending());
                drop(set);
                let all_set = || bdev.qos_limits().is_ok_and(|set| set == limits);
                until("the abandoned limits to be set", all_set).await;
                // It ends in its own time; until then another call is refused.
                loop {
                    match bdev.set_qos_limits(limits).await {
                        Err(error) if error.errno() == Some(Errno::EAGAIN) => {
                            spdk::task::yield_now().await;
                        }
                        result => break result?,
                    }
                }
            }
            1 => {
                let woken = Arc::new(WokenOn::default());
                let mut set = Box::pin(bdev.set_qos_limits(limits));
                let waker = woken.clone().into();
                let mut context = Context::from_waker(&waker);
                assert!(set.as_mut().poll(&mut context).is_pending());
                until("the limits to be set", || woken.thread().is_some()).await;
                assert_eq!(woken.thread(), current(), "it ended on another spdk_thread");
                set.await?;
            }
            _ => bdev.set_qos_limits(limits).await?,
        }
        assert_eq!(bdev.qos_limits()?, limits);
    }
    stop.success(());
    bdev.set_qos_limits(QosLimits::default()).await
}

/// Fails if the I/Os in flight are not counted, or for ever.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = 200_000, p99_read_latency = 200_000,
        avg_write_latency = 0, p99_write_latency = 0,
    ),
))]
async fn queue_depth() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    assert_eq!(
        (bdev.queue_depth()?, bdev.qd_sampling_period()?),
        (u64::MAX, 0)
    );
    bdev.set_qd_sampling_period(1000)?;
    assert_eq!(bdev.qd_sampling_period()?, 1000);
    let mut bufs = [device.buffer(1)?, device.buffer(1)?, device.buffer(1)?];
    let mut reads: Vec<_> = bufs
        .iter_mut()
        .map(|buf| Box::pin(desc.read_blocks(ch, buf, 0, 1)))
        .collect();
    for read in &mut reads {
        assert!(poll_once(read.as_mut()).is_pending());
    }
    let depth = || bdev.queue_depth().is_ok_and(|depth| depth == 3);
    until("three reads to be counted", depth).await;
    until("the time to be counted", || {
        bdev.io_time().is_ok_and(|time| time > 0)
    })
    .await;
    let weighted = bdev.weighted_io_time()?;
    assert!(weighted >= bdev.io_time()?, "{weighted}");
    for read in reads {
        read.await?;
    }
    bdev.set_qd_sampling_period(0)?;
    until("the count to end", || {
        bdev.qd_sampling_period().is_ok_and(|period| period == 0)
    })
    .await;
    let other = second::spdk_thread("other").await;
    let elsewhere = other.call(|| spdk::Bdev::find("D")?.set_qd_sampling_period(5));
    let elsewhere: Result<(), Error> = elsewhere.await?;
    assert!(
        matches!(kind(&elsewhere), Some(ErrorKind::WrongThread { .. })),
        "{elsewhere:?}"
    );
    Ok(())
}

/// Fails, by a signal, if what sets limits closes the device inside of SPDK's callback: both then end a removal.
#[spdk::test(deadline = 60)]
async fn limits_are_set_beside_a_removal() -> spdk::Result<()> {
    for round in 0..48 {
        let name = made_again().await;
        let device = Device::open(&name)?;
        let few = QosLimits {
            rw_ios_per_sec: 1_000,
            ..QosLimits::default()
        };
        let [limits, then] = match round % 2 {
            0 => [few, QosLimits::default()],
            _ => [QosLimits::default(), few],
        };
        device.bdev.set_qos_limits(limits).await?;
        foreign::remove(&device.bdev);
        pass(round / 2 % 4).await;
        let _ = poll_once(pin!(device.bdev.set_qos_limits(then)));
        pass(round / 8 % 3).await;
    }
    made_again().await;
    Ok(())
}

/// Makes a device as soon as the one of its name is gone: a removal that never ends keeps the name.
async fn made_again() -> String {
    let made = async {
        loop {
            match Malloc::new("M", 512, 64).create().await {
                Ok(name) => break name,
                Err(_) => pass(1).await,
            }
        }
    };
    within("the removal", made).await
}

/// Fails if the queue depth is measured again while the device is removed: then it never goes.
#[spdk::test]
async fn a_removal_ends_the_measurement() -> spdk::Result<()> {
    let name = Malloc::new("M", 512, 64).create().await?;
    let bdev = Bdev::find(&name)?;
    bdev.set_qd_sampling_period(1000)?;
    foreign::remove(&bdev);
    assert_kind!(bdev.set_qd_sampling_period(1000), Gone);
    drop(bdev);
    made_again().await;
    Ok(())
}

/// Fails if a device with limits goes while SPDK begins with them for each that has opened it: all of them end its removal.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)),
    cores = "0x3",
)]
async fn a_device_with_limits_that_was_opened_is_removed_once() -> spdk::Result<()> {
    let limits = QosLimits {
        rw_ios_per_sec: 1000,
        ..QosLimits::default()
    };
    Bdev::find("D")?.set_qos_limits(limits).await?;
    let other = spdk::ThreadHandle::on_core("other", 1).await?;
    let (opened, is_opened) = spdk::completion::<()>();
    other.send(move || {
        for _ in 0..4 {
            drop(Bdev::find("D"));
        }
        opened.success(());
        // What SPDK has begun goes on when this returns. It is found until it is being removed.
        let deadline = Instant::now() + Duration::from_secs(20);
        while Bdev::find("D").is_ok() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    })?;
    is_opened.await?;
    let params = json!({"name": "D"});
    let _: bool = within(
        "the removal",
        spdk::rpc::call("bdev_malloc_delete", &params),
    )
    .await?;
    other.call(|| ()).await
}

/// Fails if limits are set while others are: SPDK forgets that they are when it has begun with the limits for one that has
/// opened the device.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)),
    cores = "0x3",
)]
async fn limits_are_set_by_one_at_a_time() -> spdk::Result<()> {
    let limits = QosLimits {
        rw_ios_per_sec: 1000,
        ..QosLimits::default()
    };
    Bdev::find("D")?.set_qos_limits(limits).await?;
    let other = spdk::ThreadHandle::on_core("other", 1).await?;
    let (opened, is_opened) = spdk::completion::<()>();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    other.send(move || {
        let bdev = Bdev::find("D");
        opened.success(());
        // What the open has begun goes on when this returns.
        let _ = goes_on.recv_timeout(Duration::from_secs(20));
        drop(spdk::spawn_local(async move {
            pass(10).await;
            let _ = begun.send(());
            drop(bdev);
        }));
    })?;
    is_opened.await?;
    let bdev = Bdev::find("D")?;
    pass(50).await;
    let mut end = Box::pin(bdev.set_qos_limits(QosLimits::default()));
    assert!(poll_once(end.as_mut()).is_pending());
    // Without a turn of this spdk_thread, so that the first call does not end.
    assert!(go_on.send(()).is_ok());
    assert!(has_begun.recv_timeout(Duration::from_secs(20)).is_ok());
    let mut second = Box::pin(bdev.set_qos_limits(limits));
    let at_once = poll_once(second.as_mut());
    end.await?;
    let second = match at_once {
        Poll::Ready(second) => second,
        Poll::Pending => second.await,
    };
    let errno = second.err().and_then(|error| error.errno());
    assert_eq!(errno, Some(Errno::EAGAIN));
    Ok(())
}
