//! Devices that go while they are used.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use spdk::{Bdev, BdevEvent, DmaBuf, Error, ErrorKind, Events, Gone};
use spdk_tests::wait::timeout;
use spdk_tests::{Device, dma, kind, pattern, poll_once, rpc, second, until};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{self, Layer, SubscriberExt};

const BLOCK: usize = 512;
/// The latency of the slow device in microseconds.
const LATENCY: u64 = 100_000;

#[track_caller]
fn assert_removed<T>(result: spdk::Result<T>, call: &str) {
    match result.map_err(Error::into_kind) {
        Err(ErrorKind::Gone { at, why, .. }) => {
            assert_eq!((at.operation, why), (call, Gone::Removed));
        }
        Err(error) => panic!("{call}: {error}"),
        Ok(_) => panic!("{call} reached a device that is gone"),
    }
}

/// Every call on the handles of a device that is gone.
async fn assert_all_removed(device: &Device) -> spdk::Result<()> {
    let Device { bdev, desc, ch } = device;
    let mut buf = DmaBuf::alloc(4096, 4096)?;
    let mut bufs = [DmaBuf::alloc(4096, 4096)?];
    assert_removed(desc.read(ch, &mut buf, 0).await, "spdk_bdev_read");
    assert_removed(desc.write(ch, &buf, 0).await, "spdk_bdev_write");
    assert_removed(desc.readv(ch, &mut bufs, 0).await, "spdk_bdev_readv");
    assert_removed(
        desc.writev_blocks(ch, &bufs, 0, 8).await,
        "spdk_bdev_writev_blocks",
    );
    assert_removed(desc.unmap(ch, 0, 512).await, "spdk_bdev_unmap");
    assert_removed(desc.flush(ch, 0, 512).await, "spdk_bdev_flush");
    assert_removed(desc.reset(ch).await, "spdk_bdev_reset");
    assert_removed(desc.get_io_channel(), "spdk_bdev_get_io_channel");
    assert_removed(bdev.product_name(), "spdk_bdev_get_product_name");
    assert!(bdev.as_ptr().is_null() && desc.as_ptr().is_null() && ch.as_ptr().is_null());
    Ok(())
}

/// Fails if a removal waits for handles that are held, if an operation is lost or ends with an error
/// that is not `Gone`, or if a handle reaches what is freed.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn a_device_is_deleted_under_load() -> spdk::Result<()> {
    let device = Rc::new(Device::open("Malloc0")?);
    let mut events = device.desc.events();
    let (ended, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0_u64)));
    let load: Vec<_> = (0..32_u64)
        .map(|place| {
            let (device, ended, done) = (device.clone(), ended.clone(), done.clone());
            spdk::spawn_local(async move {
                let mut buf = device.buffer(8)?;
                let at = place * 4096;
                for generation in 0.. {
                    pattern::fill(&mut buf, BLOCK, at / 512, generation);
                    let written = device.desc.write(&device.ch, &buf, at).await;
                    buf.fill(0);
                    let read = match written {
                        Ok(()) => device.desc.read(&device.ch, &mut buf, at).await,
                        Err(error) => Err(error),
                    };
                    match read {
                        Ok(()) => pattern::assert_is(&buf, BLOCK, at / 512, generation),
                        Err(error) if matches!(error.kind(), ErrorKind::Gone { .. }) => break,
                        Err(error) => return Err(error),
                    }
                    done.set(done.get() + 1);
                }
                ended.set(ended.get() + 1);
                Ok(())
            })
        })
        .collect::<spdk::Result<_>>()?;
    until("some load", || done.get() > 200).await;
    rpc::call("bdev_malloc_delete", json!({"name": "Malloc0"})).await;
    for task in join_all(load).await {
        task??;
    }
    assert_eq!(ended.get(), 32);
    assert_eq!(events.next().await, Some(BdevEvent::Remove));
    assert_eq!(rpc::bdevs().await, [""; 0]);
    assert_all_removed(&device).await?;
    // What was last known.
    assert_eq!(
        (device.bdev.name(), device.desc.name()),
        ("Malloc0", "Malloc0")
    );
    assert_eq!(
        (device.bdev.num_blocks(), device.bdev.block_size()),
        (1024, 512)
    );
    assert!(matches!(
        kind(&device.bdev.open(true)),
        Some(ErrorKind::NoSuchBdev { .. })
    ));
    // Another device of the same name is another device.
    rpc::call(
        "bdev_malloc_create",
        json!({"name": "Malloc0", "num_blocks": 64, "block_size": 512}),
    )
    .await;
    let again = Device::open("Malloc0")?;
    assert_eq!(
        (again.bdev.num_blocks(), device.bdev.num_blocks()),
        (64, 1024)
    );
    assert_all_removed(&device).await?;
    let mut buf = again.buffer(8)?;
    assert_removed(
        again.desc.read(&device.ch, &mut buf, 0).await,
        "spdk_bdev_read",
    );
    assert_removed(
        device.desc.read(&again.ch, &mut buf, 0).await,
        "spdk_bdev_read",
    );
    again.desc.read(&again.ch, &mut buf, 0).await?;
    assert_eq!(events.next().await, None);
    Ok(())
}

/// Fails if a removal goes on under an operation in flight, or if that operation's end is lost.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "Delay0",
            avg_read_latency = LATENCY, p99_read_latency = LATENCY,
            avg_write_latency = LATENCY, p99_write_latency = LATENCY,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn a_removal_waits_for_operations_in_flight() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write(&device.ch, &buf, 0).await?;
    let mut events = device.desc.events();

    let mut read = Box::pin(device.desc.read(&device.ch, &mut buf, 0));
    assert!(poll_once(read.as_mut()).is_pending());
    let mut deleted = Box::pin(rpc::call("bdev_delay_delete", json!({"name": "Delay0"})));
    assert!(poll_once(deleted.as_mut()).is_pending());
    assert_eq!(events.next().await, Some(BdevEvent::Remove));
    // It is going: nobody can open it, and nothing new begins on it.
    assert!(Bdev::get_by_name("Delay0").is_none());
    assert!(
        matches!(kind(&Bdev::find("Delay0")), Some(ErrorKind::NoSuchBdev { name }) if name == "Delay0")
    );
    assert!(matches!(
        kind(&device.bdev.open(false)),
        Some(ErrorKind::NoSuchBdev { .. })
    ));
    let late = device.desc.write_zeroes(&device.ch, 0, 512).await;
    assert_removed(late, "spdk_bdev_write_zeroes");
    assert_removed(device.desc.get_io_channel(), "spdk_bdev_get_io_channel");
    assert!(
        poll_once(deleted.as_mut()).is_pending(),
        "the removal did not wait for the operation in flight"
    );
    read.await?;
    deleted.await;
    pattern::assert_is(&buf, BLOCK, 0, 1);
    assert_all_removed(&device).await?;
    assert_eq!(rpc::bdevs().await, ["Malloc0"]);
    Ok(())
}

/// Fails if futures that were dropped or forgotten keep a removal from its end, or their memory.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "Delay0",
            avg_read_latency = LATENCY, p99_read_latency = LATENCY,
            avg_write_latency = LATENCY, p99_write_latency = LATENCY,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn a_removal_ends_after_abandoned_operations() -> spdk::Result<()> {
    drop(Device::open("Delay0")?);
    let pieces = dma::pieces();
    let device = Device::open("Delay0")?;
    let mut bufs = (device.buffer(8)?, device.buffer(8)?);
    let mut read = Box::pin(device.desc.read(&device.ch, &mut bufs.0, 0));
    assert!(poll_once(read.as_mut()).is_pending());
    drop(read);
    let mut read = Box::pin(device.desc.read(&device.ch, &mut bufs.1, 0));
    assert!(poll_once(read.as_mut()).is_pending());
    std::mem::forget(read);
    drop(bufs);
    rpc::call("bdev_delay_delete", json!({"name": "Delay0"})).await;
    // The handles outlive their device.
    assert_all_removed(&device).await?;
    drop(device);
    until("the memory to be freed", || dma::pieces() <= pieces).await;
    Ok(())
}

/// Fails if operations that wait for memory are lost, or submitted to a device that is gone.
#[spdk::test(
    bdevs(
        bdev_set_options(bdev_io_pool_size = 8, bdev_io_cache_size = 1),
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    ),
    rpc_addr = &rpc::address(),
)]
async fn a_device_is_deleted_while_operations_wait() -> spdk::Result<()> {
    let device = Rc::new(Device::open("Malloc0")?);
    let stop = Rc::new(Cell::new(false));
    let load: Vec<_> = (0..64)
        .map(|block| {
            let (device, stop) = (device.clone(), stop.clone());
            spdk::spawn_local(async move {
                let buf = device.buffer(1)?;
                while !stop.get() {
                    match device.desc.write_blocks(&device.ch, &buf, block, 1).await {
                        Ok(()) => {}
                        Err(error) if matches!(error.kind(), ErrorKind::Gone { .. }) => {
                            return Ok(true);
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(false)
            })
        })
        .collect::<spdk::Result<_>>()?;
    rpc::call("bdev_malloc_delete", json!({"name": "Malloc0"})).await;
    stop.set(true);
    for task in join_all(load).await {
        assert!(task??, "a task did not see the removal");
    }
    Ok(())
}

/// Fails if the removal of a base device does not reach the handles of the one on top.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_passthru_create(base_bdev_name = "Malloc0", name = "Pass0"),
    ),
    rpc_addr = &rpc::address(),
)]
async fn a_device_goes_with_the_one_below() -> spdk::Result<()> {
    let device = Device::open("Pass0")?;
    let mut events = device.desc.events();
    rpc::call("bdev_malloc_delete", json!({"name": "Malloc0"})).await;
    assert_eq!(events.next().await, Some(BdevEvent::Remove));
    let gone = rpc::bdevs();
    assert_eq!(gone.await, [""; 0]);
    assert_all_removed(&device).await
}

thread_local! {
    static ELSEWHERE: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// Fails if a removal misses the handles of another spdk_thread.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn a_removal_reaches_every_thread() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    let opened = second
        .call(|| ELSEWHERE.set(Device::open("Malloc0").ok()))
        .await;
    opened?;
    let (here, again) = (Device::open("Malloc0")?, Device::open("Malloc0")?);
    let only_bdev = Bdev::find("Malloc0")?;
    rpc::call("bdev_malloc_delete", json!({"name": "Malloc0"})).await;
    assert_all_removed(&here).await?;
    assert_all_removed(&again).await?;
    assert!(only_bdev.as_ptr().is_null());
    second
        .spawn(|| async {
            match ELSEWHERE.take() {
                Some(device) => assert_all_removed(&device).await,
                None => panic!("it was not opened"),
            }
        })
        .await?
}

/// Fails if a stream misses an event, or the size that is told is an old one.
#[spdk::test(
    bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = 4096)),
    rpc_addr = &rpc::address(),
)]
async fn events_arrive_on_every_stream() -> spdk::Result<()> {
    let device = Device::open("Null0")?;
    let (mut early, unread) = (device.desc.events(), device.desc.events());
    assert_eq!(early.next().now_or_never(), None);
    rpc::call("bdev_null_resize", json!({"name": "Null0", "new_size": 16})).await;
    assert_eq!(early.next().await, Some(BdevEvent::Resize));
    assert_eq!(device.bdev.num_blocks(), 16 * 1024 * 1024 / 4096);
    let mut late = device.desc.events();
    rpc::call("bdev_null_delete", json!({"name": "Null0"})).await;
    assert_eq!(early.next().await, Some(BdevEvent::Remove));
    assert_eq!(late.next().await, Some(BdevEvent::Remove));
    // The streams end with the device, while its handles are still held.
    let end = timeout(Duration::from_secs(5), early.next()).await;
    assert_eq!(end, Some(None));
    let all: Vec<_> = unread.collect().await;
    assert_eq!(all, [BdevEvent::Resize, BdevEvent::Remove]);
    drop(device);
    Ok(())
}

thread_local! {
    static UNREAD: RefCell<Option<Events<BdevEvent>>> = const { RefCell::new(None) };
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// Reads a stream when it hears of an event of that which was dropped.
struct Reader;

impl<S: Subscriber> Layer<S> for Reader {
    fn on_event(&self, event: &tracing::Event<'_>, _: layer::Context<'_, S>) {
        if event.metadata().target() == "spdk::events" {
            let read = UNREAD.with_borrow_mut(|events| events.as_mut()?.next().now_or_never());
            assert_eq!(read, Some(Some(BdevEvent::Resize)));
            READ.set(READ.get() + 1);
        }
    }
}

/// Fails if a subscriber cannot read the stream that it is told of.
#[spdk::test(bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = 4096)))]
async fn the_subscriber_reads_the_full_stream() -> spdk::Result<()> {
    /// How many events a stream keeps.
    const KEPT: usize = 1024;
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::WARN)
        .with(Reader);
    tracing::subscriber::set_global_default(subscriber).expect("the only one of this process");
    let device = Device::open("Null0")?;
    UNREAD.set(Some(device.desc.events()));
    for size in 1..=KEPT + 1 {
        let params = json!({"name": "Null0", "new_size": 4 + size});
        spdk::rpc::call::<bool>("bdev_null_resize", &params).await?;
    }
    assert_eq!(READ.get(), 1);
    let events = UNREAD.take().expect("nobody took it");
    drop(device);
    assert_eq!(events.count().await, KEPT - 1);
    Ok(())
}

/// Fails if opening, using and removing a device again and again leaks memory or channels.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn devices_come_and_go() -> spdk::Result<()> {
    let mut pieces = Vec::new();
    for round in 0..10 {
        let device = Device::open("Malloc0")?;
        let mut buf = device.buffer(8)?;
        device.desc.write(&device.ch, &buf, 0).await?;
        if round % 2 == 0 {
            let mut read = Box::pin(device.desc.read(&device.ch, &mut buf, 0));
            assert!(poll_once(read.as_mut()).is_pending());
        }
        rpc::call("bdev_malloc_delete", json!({"name": "Malloc0"})).await;
        let params = json!({"name": "Malloc0", "num_blocks": 1024, "block_size": BLOCK});
        rpc::call("bdev_malloc_create", params).await;
        drop((device, buf));
        pieces.push(dma::pieces());
    }
    assert!(
        pieces.iter().skip(2).all(|count| *count == pieces[2]),
        "{pieces:?}"
    );
    Ok(())
}
