//! Handles on another spdk_thread of the same OS thread, where `!Send` does not help: they are kept
//! in a thread-local variable.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use spdk::{Bdev, BdevIoType, DmaBuf, Error, ErrorKind, SpdkThread};
use spdk_tests::{Device, dma, kind, pattern, poll_once, rpc, second, until};

const BLOCK: usize = 512;

thread_local! {
    static DEVICE: RefCell<Option<Device>> = const { RefCell::new(None) };
    static IO: RefCell<Option<Io>> = const { RefCell::new(None) };
}

type Io = Pin<Box<dyn Future<Output = spdk::Result<DmaBuf>>>>;

/// The error, which has to be `WrongThread` between these two spdk_threads.
#[track_caller]
fn assert_wrong_thread<T>(result: spdk::Result<T>, call: &str) {
    match result.map_err(Error::into_kind) {
        Err(ErrorKind::WrongThread {
            at, home, current, ..
        }) => {
            assert_eq!((home.as_str(), current.as_str()), ("app_thread", "second"));
            assert_eq!(at.operation, call);
        }
        Err(error) => panic!("{call}: {error}"),
        Ok(_) => panic!("{call} was let through"),
    }
}

/// Fails if a handle is used on an spdk_thread that is not its own: SPDK's channels and descriptors
/// have no locks.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn use_on_another_thread_is_refused() -> spdk::Result<()> {
    DEVICE.set(Some(Device::open("Malloc0")?));
    let second = second::spdk_thread("second").await;
    second
        .spawn(|| async {
            let Some(device) = DEVICE.take() else {
                panic!("another OS thread");
            };
            let Device { bdev, desc, ch } = &device;
            let mut buf = DmaBuf::alloc(8 * BLOCK, 4096)?;
            let mut bufs = [DmaBuf::alloc(BLOCK, 4096)?, DmaBuf::alloc(BLOCK, 4096)?];
            assert_wrong_thread(desc.read(ch, &mut buf, 0).await, "spdk_bdev_read");
            assert_wrong_thread(desc.write(ch, &buf, 0).await, "spdk_bdev_write");
            assert_wrong_thread(desc.readv(ch, &mut bufs, 0).await, "spdk_bdev_readv");
            assert_wrong_thread(desc.writev(ch, &bufs, 0).await, "spdk_bdev_writev");
            assert_wrong_thread(desc.unmap(ch, 0, 512).await, "spdk_bdev_unmap");
            assert_wrong_thread(
                desc.write_zeroes(ch, 0, 512).await,
                "spdk_bdev_write_zeroes",
            );
            assert_wrong_thread(desc.flush(ch, 0, 512).await, "spdk_bdev_flush");
            assert_wrong_thread(desc.reset(ch).await, "spdk_bdev_reset");
            assert_wrong_thread(desc.get_io_channel(), "spdk_bdev_get_io_channel");
            assert_wrong_thread(bdev.product_name(), "spdk_bdev_get_product_name");
            let supported = bdev.io_type_supported(BdevIoType::Read);
            assert_wrong_thread(supported, "spdk_bdev_io_type_supported");
            // What is plain data may be asked for.
            assert_eq!((bdev.name(), bdev.num_blocks()), ("Malloc0", 1024));
            // A descriptor of this spdk_thread does not take the other one's channel.
            let here = bdev.open(true)?;
            assert_wrong_thread(here.read(ch, &mut buf, 0).await, "spdk_bdev_read");
            let channel = here.get_io_channel()?;
            assert_wrong_thread(desc.read(&channel, &mut buf, 0).await, "spdk_bdev_read");
            here.read(&channel, &mut buf, 0).await?;
            DEVICE.set(Some(device));
            Ok::<_, Error>(())
        })
        .await??;
    let Some(device) = DEVICE.take() else {
        panic!("the device did not come back");
    };
    let mut buf = device.buffer(8)?;
    device.desc.read(&device.ch, &mut buf, 0).await
}

/// Fails if the message does not say what to do.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn the_message_names_both_threads() -> spdk::Result<()> {
    DEVICE.set(Some(Device::open("Malloc0")?));
    let second = second::spdk_thread("second").await;
    let text = second.call(|| {
        DEVICE.with_borrow(|device| {
            let device = device.as_ref().map(|device| device.desc.get_io_channel());
            device.and_then(Result::err).map(|error| error.to_string())
        })
    });
    let expected = "spdk_bdev_get_io_channel on bdev \"Malloc0\": it belongs to spdk_thread \
                    \"app_thread\", but the current one is \"second\"; use it there, by a message";
    assert_eq!(text.await?.as_deref(), Some(expected));
    Ok(())
}

/// Fails if a drop elsewhere releases at once, on the wrong spdk_thread, or never.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn a_drop_on_another_thread_releases_at_home() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        DEVICE.set(Some(Device::open("Malloc0")?));
        assert_eq!(rpc::channels("bdev_Malloc0").await, 1);
        second
            .call(move || {
                let Some(Device { bdev, desc, ch }) = DEVICE.take() else {
                    panic!("another OS thread");
                };
                let (mut bdev, mut desc, mut ch) = (Some(bdev), Some(desc), Some(ch));
                for thing in order {
                    match thing {
                        0 => drop(bdev.take()),
                        1 => drop(desc.take()),
                        _ => drop(ch.take()),
                    }
                }
            })
            .await?;
        // The message that the answer came in was sent after the releases were.
        assert_eq!(rpc::channels("bdev_Malloc0").await, 0, "{order:?}");
    }
    // An open descriptor would keep the device from going.
    rpc::call("bdev_malloc_delete", serde_json::json!({"name": "Malloc0"})).await;
    assert_eq!(rpc::bdevs().await, [""; 0]);
    Ok(())
}

async fn read_all(device: &Device) -> spdk::Result<DmaBuf> {
    let mut buf = device.buffer(8)?;
    device.desc.read(&device.ch, &mut buf, 0).await?;
    Ok(buf)
}

/// Fails if the future of an operation in flight cannot move between spdk_threads: it is completed
/// at home, and its waker wakes the task that polled it last.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_future_begun_at_home_ends_elsewhere() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write(&device.ch, &buf, 0).await?;
    let second = second::spdk_thread("second").await;
    let mut io: Io = Box::pin(async move { read_all(&device).await });
    assert!(poll_once(io.as_mut()).is_pending());
    IO.set(Some(io));
    let read = second.spawn(|| async {
        match IO.take() {
            Some(io) => io.await,
            None => panic!("another OS thread"),
        }
    });
    pattern::assert_is(&read.await??, BLOCK, 0, 1);
    Ok(())
}

/// Fails if a future in flight that is dropped elsewhere frees what SPDK uses, or leaks it.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "Delay0",
            avg_read_latency = 10_000, p99_read_latency = 10_000,
            avg_write_latency = 10_000, p99_write_latency = 10_000,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn a_future_begun_at_home_is_dropped_elsewhere() -> spdk::Result<()> {
    drop(Device::open("Delay0")?);
    let second = second::spdk_thread("second").await;
    let pieces = dma::pieces();
    let device = Device::open("Delay0")?;
    let mut io: Io = Box::pin(async move { read_all(&device).await });
    assert!(poll_once(io.as_mut()).is_pending());
    IO.set(Some(io));
    second.call(|| drop(IO.take())).await?;
    assert!(
        dma::pieces() > pieces,
        "the buffer was freed under the read"
    );
    until("everything to be released", || dma::pieces() <= pieces).await;
    assert_eq!(rpc::channels("bdev_Delay0").await, 0);
    Ok(())
}

/// Fails if an application waits for ever for handles that are kept elsewhere, or ends without
/// taking them back: SPDK would find an open descriptor.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn the_application_ends_with_handles_on_two_threads() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    second
        .spawn(|| async {
            let device = Device::open("Malloc0")?;
            read_all(&device).await?;
            DEVICE.set(Some(device));
            Ok::<_, Error>(())
        })
        .await??;
    std::mem::forget(Device::open("Malloc0")?);
    second.send(|| {
        let forever = spdk::spawn_local(async {
            let _device = Device::open("Malloc0");
            std::future::pending::<()>().await;
        });
        drop(forever);
    })
}

/// Fails if a call without an spdk_thread reaches SPDK.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn without_a_thread_there_is_an_error() -> spdk::Result<()> {
    let elsewhere = std::thread::spawn(|| {
        assert!(matches!(
            kind(&Bdev::find("Malloc0")),
            Some(ErrorKind::NoThread { .. })
        ));
        assert!(Bdev::get_by_name("Malloc0").is_none());
        assert!(SpdkThread::get_current().is_none());
        assert!(matches!(
            kind(&spdk::spawn_local(async {})),
            Some(ErrorKind::NoThread { .. })
        ));
        let attached = SpdkThread::current("mine");
        assert!(matches!(
            kind(&attached),
            Some(ErrorKind::InvalidArgument { .. })
        ));
        // Memory needs none.
        assert!(DmaBuf::alloc(4096, 4096).is_ok());
    });
    until("the other OS thread", || elsewhere.is_finished()).await;
    assert!(elsewhere.join().is_ok(), "the other OS thread failed");
    Ok(())
}
