//! Devices of one's own, with a value for each spdk_thread.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use spdk::{
    DmaBuf, Error, ErrorKind, IoDevice, IoDeviceChannel, SpdkApp, SpdkThread, block_on, spawn_on,
};
use spdk_tests::own_thread::{self, Worker, poll_until};
use spdk_tests::turns::pass;
use spdk_tests::{Device, kind, poll_once, rpc, second, until};

/// The name of the current spdk_thread.
fn here() -> String {
    SpdkThread::get_current().map_or_else(String::new, |here| here.name().to_owned())
}

/// A value that says where it was made and dropped. Not `Send`.
struct Value {
    made_on: String,
    count: Rc<Cell<u64>>,
    dropped: Arc<Mutex<Vec<(String, String)>>>,
}

impl Drop for Value {
    fn drop(&mut self) {
        if let Ok(mut dropped) = self.dropped.lock() {
            dropped.push((self.made_on.clone(), here()));
        }
    }
}

type Dropped = Arc<Mutex<Vec<(String, String)>>>;

/// A device of values, and where they were dropped.
fn device() -> spdk::Result<(IoDevice<Value>, Dropped)> {
    let dropped = Dropped::default();
    let witness = dropped.clone();
    let device = IoDevice::register("values", move || Value {
        made_on: here(),
        count: Rc::default(),
        dropped: witness.clone(),
    })?;
    Ok((device, dropped))
}

fn taken(dropped: &Dropped) -> Vec<(String, String)> {
    dropped
        .lock()
        .map(|mut seen| std::mem::take(&mut *seen))
        .unwrap_or_default()
}

/// Fails if two spdk_threads share a value, one has two, or a value is made or dropped elsewhere.
#[spdk::test(cores = "0x3", rpc_addr = &rpc::address())]
async fn each_thread_has_its_value() -> spdk::Result<()> {
    let (device, dropped) = device()?;
    let device = Arc::new(device);
    assert_eq!(device.name(), "values");
    let first = device.get_channel()?;
    let second = device.get_channel()?;
    first.count.set(7);
    assert_eq!(
        (second.count.get(), second.made_on.as_str()),
        (7, "app_thread")
    );
    assert_eq!(first.as_ptr(), second.as_ptr());
    let there = device.clone();
    let other = spdk::ThreadHandle::on_core("other", 1).await?;
    let hold = other.spawn(move || async move {
        let channel = there.get_channel()?;
        assert_eq!(channel.count.get(), 0);
        channel.count.set(35);
        let values = there.for_each_channel(|value| (value.made_on.clone(), value.count.get()));
        values.await
    });
    let values = hold.await??;
    let expected = [("app_thread".to_owned(), 7), ("other".to_owned(), 35)];
    assert_eq!(values, expected);
    // The channel of the other is gone with its task.
    until("its drop", || {
        dropped.lock().is_ok_and(|seen| seen.len() == 1)
    })
    .await;
    assert_eq!(taken(&dropped), [("other".to_owned(), "other".to_owned())]);
    drop(first);
    assert_eq!(rpc::channels("values").await, 1);
    assert_eq!(second.count.get(), 7);
    drop(second);
    until("its drop", || {
        dropped.lock().is_ok_and(|seen| seen.len() == 1)
    })
    .await;
    assert_eq!(
        taken(&dropped),
        [("app_thread".to_owned(), "app_thread".to_owned())]
    );
    assert_eq!(device.for_each_channel(|_| ()).await?.len(), 0);
    // Dropped and asked for again in the same turn, SPDK keeps it.
    let channel = device.get_channel()?;
    channel.count.set(9);
    drop(channel);
    let channel = device.get_channel()?;
    assert_eq!(channel.count.get(), 9);
    Ok(())
}

/// Fails if a channel does not outlive its device, or the device its registration.
#[spdk::test(cores = "0x3", rpc_addr = &rpc::address())]
async fn any_order_of_drops() -> spdk::Result<()> {
    for order in 0..4 {
        let (device, dropped) = device()?;
        let channel = device.get_channel()?;
        match order {
            0 => {
                drop(device);
                pass(5).await;
                channel.count.set(3);
                assert_eq!(channel.count.get(), 3);
                drop(channel);
            }
            1 => {
                drop(channel);
                drop(device);
            }
            2 => {
                // It waits for the channel.
                let mut end = Box::pin(device.unregister());
                assert!(poll_once(end.as_mut()).is_pending());
                pass(5).await;
                assert!(poll_once(end.as_mut()).is_pending());
                drop(channel);
                end.await?;
            }
            _ => {
                // On an OS thread without an spdk_thread, as the last one.
                drop(channel);
                until("its drop", || {
                    dropped.lock().is_ok_and(|seen| seen.len() == 1)
                })
                .await;
                assert!(std::thread::spawn(move || drop(device)).join().is_ok());
            }
        }
        until("the drop", || Arc::strong_count(&dropped) == 1).await;
        assert_eq!(
            taken(&dropped),
            [("app_thread".to_owned(), "app_thread".to_owned())]
        );
    }
    // The last channel is on another core.
    let (device, dropped) = device()?;
    let device = Arc::new(device);
    let keep = device.clone();
    let (tx, rx) = spdk::completion::<()>();
    let other = spdk::spawn_local(spawn_on(1, move || async move {
        let channel = keep.get_channel()?;
        drop(keep);
        rx.await?;
        drop(channel);
        Ok::<_, Error>(())
    }))?;
    until("its channel", || Arc::strong_count(&device) == 1).await;
    assert_eq!(device.for_each_channel(|_| ()).await?.len(), 1);
    let Ok(device) = Arc::try_unwrap(device) else {
        panic!("it is shared");
    };
    let mut end = Box::pin(device.unregister());
    assert!(poll_once(end.as_mut()).is_pending());
    tx.success(());
    other.await???;
    end.await?;
    assert_eq!(
        taken(&dropped),
        [("core_1".to_owned(), "core_1".to_owned())]
    );
    Ok(())
}

/// Fails if an error, a panic or a recursion in the function that makes a value does harm.
#[spdk::test(rpc_addr = &rpc::address())]
async fn a_value_that_cannot_be_made() -> spdk::Result<()> {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let device = IoDevice::try_register("failing", move || match count.fetch_add(1, SeqCst) {
        0 => DmaBuf::alloc(0, 0).map(|_| 1),
        1 => panic!("in a factory"),
        _ => Ok(2),
    })?;
    let refused = device.get_channel();
    assert!(matches!(
        kind(&refused),
        Some(ErrorKind::InvalidArgument { .. })
    ));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.get_channel()));
    assert!(caught.is_err());
    assert_eq!(*device.get_channel()?, 2);
    pass(5).await;
    assert_eq!(device.for_each_channel(|_| ()).await?.len(), 0);
    device.unregister().await?;

    static DEVICE: Mutex<Option<Arc<IoDevice<Option<u32>>>>> = Mutex::new(None);
    let device = Arc::new(IoDevice::register("recursive", || {
        let own = DEVICE.lock().ok().and_then(|device| device.clone());
        let inner = own.map(|device| device.get_channel().map(|channel| *channel));
        let refused = inner.and_then(|channel| channel.err());
        assert!(refused.is_some_and(|error| error.to_string().contains("asks for it")));
        Some(1)
    })?);
    if let Ok(mut own) = DEVICE.lock() {
        *own = Some(device.clone());
    }
    assert_eq!(*device.get_channel()?, Some(1));
    if let Ok(mut own) = DEVICE.lock() {
        own.take();
    }
    for name in ["", "a\0b"] {
        let refused = IoDevice::register(name, || 1);
        assert!(matches!(kind(&refused), Some(ErrorKind::Option { .. })));
    }
    Ok(())
}

/// Fails if an iteration is cut short by a panic elsewhere, harmed by its future's drop, or leaves the
/// device registered.
#[spdk::test(cores = "0x3")]
async fn iterations_end() -> spdk::Result<()> {
    let (device, dropped) = device()?;
    let channel = device.get_channel()?;
    let panicked = device.for_each_channel(|_| panic!("in a visit")).await;
    assert!(
        matches!(kind::<Vec<()>>(&panicked), Some(ErrorKind::Panicked { message }) if message == "in a visit")
    );
    for forget in [false, true] {
        let visits = Arc::new(AtomicUsize::new(0));
        let count = visits.clone();
        let mut iteration = Box::pin(device.for_each_channel(move |_| count.fetch_add(1, SeqCst)));
        assert!(poll_once(iteration.as_mut()).is_pending());
        if forget {
            std::mem::forget(iteration);
        } else {
            drop(iteration);
        }
        until("the visit", || visits.load(SeqCst) == 1).await;
    }
    drop(device.for_each_channel(|_| panic!("it was never polled")));
    // The closure drops the last handle of the channel that it visits.
    thread_local! {
        static KEPT: RefCell<Option<IoDeviceChannel<Value>>> = const { RefCell::new(None) };
    }
    KEPT.set(Some(channel));
    let counts = device.for_each_channel(|value| {
        drop(KEPT.take());
        value.count.set(value.count.get() + 1);
        value.count.get()
    });
    assert_eq!(counts.await?, [1]);
    // The device goes while an iteration is on its way.
    let channel = device.get_channel()?;
    let mut iteration = Box::pin(device.for_each_channel(|value| value.count.get()));
    assert!(poll_once(iteration.as_mut()).is_pending());
    drop(iteration);
    drop(channel);
    let end = device.unregister();
    end.await?;
    assert_eq!(Arc::strong_count(&dropped), 1);
    Ok(())
}

/// Fails if a channel cannot own handles of SPDK's, or I/O does not go through it.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = 512)),
    rpc_addr = &rpc::address(),
)]
async fn a_value_with_a_bdev_channel() -> spdk::Result<()> {
    let disks = Arc::new(IoDevice::try_register("disks", || Device::open("Malloc0"))?);
    let io = (0..8).map(|task| {
        let disks = disks.clone();
        spawn_on(task % 2, move || async move {
            let disk = disks.get_channel()?;
            let mut buf = disk.buffer(1)?;
            buf.fill(task as u8);
            disk.desc
                .write(&disk.ch, &buf, u64::from(task) * 512)
                .await?;
            buf.fill(0xff);
            disk.desc
                .read(&disk.ch, &mut buf, u64::from(task) * 512)
                .await?;
            assert!(buf.iter().all(|byte| *byte == task as u8));
            Ok::<_, Error>(())
        })
    });
    for end in join_all(io).await {
        end??;
    }
    // An spdk_thread ends with its value alive.
    let other = spdk::ThreadHandle::on_core("other", 1).await?;
    let keep = disks.clone();
    other
        .spawn(move || async move {
            let channel = keep.get_channel()?;
            std::mem::forget(channel);
            Ok::<_, Error>(())
        })
        .await??;
    other.exit().await?;
    until("its channels to go", || SpdkThread::count() <= 3).await;
    assert_eq!(disks.for_each_channel(|_| ()).await?.len(), 0);
    Ok(())
}

thread_local! {
    static KEPT: RefCell<Option<IoDeviceChannel<Value>>> = const { RefCell::new(None) };
}

/// Fails if a channel is put on another spdk_thread than its own.
#[spdk::test]
async fn a_channel_on_another_thread() -> spdk::Result<()> {
    let (device, dropped) = device()?;
    KEPT.set(Some(device.get_channel()?));
    let second = second::spdk_thread("second").await;
    second
        .call(|| {
            let Some(channel) = KEPT.take() else {
                panic!("another OS thread");
            };
            assert_eq!(channel.made_on, "app_thread");
            assert_eq!(channel.thread().name(), "app_thread");
            drop(channel);
        })
        .await?;
    until("its end at home", || {
        dropped.lock().is_ok_and(|seen| seen.len() == 1)
    })
    .await;
    assert_eq!(
        taken(&dropped),
        [("app_thread".to_owned(), "app_thread".to_owned())]
    );
    Ok(())
}

/// Fails if spdk_threads wait for each other at their ends, or a value is used after it was freed.
#[spdk::test(no_app)]
fn threads_end_with_channels() -> spdk::Result<()> {
    let refused = IoDevice::register("early", || 1);
    assert!(matches!(kind(&refused), Some(ErrorKind::NoThread { .. })));
    let _env = own_thread::env()?;
    let worker = Worker::start("worker");
    for round in 0..4 {
        let first = own_thread::thread("first")?;
        let (device, dropped) = device()?;
        let kept = device.get_channel()?;
        let second = own_thread::thread("second")?;
        let other = device.get_channel()?;
        assert_eq!(other.made_on, "second");
        let start = Instant::now();
        match round {
            0 => {
                // The device's home ends while another spdk_thread of this OS thread has a channel.
                drop(second);
                assert_eq!(other.made_on, "second"); // still there
                drop((other, first));
                assert_eq!(kept.made_on, "first");
                drop((kept, device));
            }
            1 => {
                drop((device, second, first));
                assert_eq!(
                    (kept.made_on.as_str(), other.made_on.as_str()),
                    ("first", "second")
                );
                assert!(kept.as_ptr().is_null());
                drop((kept, other));
            }
            2 => {
                std::mem::forget((kept, other));
                drop((second, first, device));
            }
            _ => {
                drop((kept, other));
                let end = block_on(async {
                    let mut end = pin!(device.unregister());
                    let mut turns = 0;
                    loop {
                        if let Poll::Ready(end) = poll_once(end.as_mut()) {
                            return end;
                        }
                        turns += 1;
                        assert!(turns < 1_000_000);
                        spdk::task::yield_now().await;
                        first.poll();
                    }
                });
                // `first` is not polled inside of a poll of `second`: dropping it does.
                match end {
                    Ok(end) => end?,
                    Err(error) => return Err(error),
                }
                drop((second, first));
            }
        }
        assert!(start.elapsed() < Duration::from_secs(3), "in round {round}");
        let values = taken(&dropped);
        assert_eq!(
            values.len(),
            if round == 2 { 0 } else { 2 },
            "in round {round}: {values:?}"
        );
    }
    // Registered on an spdk_thread that has ended, and dropped on one that runs.
    let first = own_thread::thread("first")?;
    let (device, dropped) = device()?;
    drop(first);
    let next = own_thread::thread("next")?;
    drop(device);
    poll_until(&next, "its end", || Arc::strong_count(&dropped) == 1);
    // Dropped where no spdk_thread is, and its home has ended: it stays registered.
    let (device, dropped) = self::device()?;
    drop(next);
    assert!(std::thread::spawn(move || drop(device)).join().is_ok());
    assert_eq!(Arc::strong_count(&dropped), 2);
    worker.end()
}

/// Fails if an application waits for devices and channels at its end.
#[spdk::test(no_app, deadline = 30)]
fn an_application_ends_with_devices() -> spdk::Result<()> {
    let start = Rc::new(Cell::new(None));
    let started = start.clone();
    let (device, channel) = SpdkApp::builder()
        .name("io_device")
        .reactor_mask("0x3")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .block_on(async move {
            let device = Arc::new(device()?.0);
            let channel = device.get_channel()?;
            let there = device.clone();
            spawn_on(1, move || async move {
                std::mem::forget(there.get_channel()?);
                Ok::<_, Error>(())
            })
            .await??;
            let mut iteration = Box::pin(device.for_each_channel(|_| ()));
            assert!(poll_once(iteration.as_mut()).is_pending());
            drop(iteration);
            started.set(Some(Instant::now()));
            Ok((device, channel))
        })?;
    let took = start.get().map(|start| start.elapsed());
    assert!(took < Some(Duration::from_secs(4)), "the end took {took:?}");
    assert_eq!(channel.made_on, "app_thread");
    let late = device.get_channel();
    assert!(matches!(kind(&late), Some(ErrorKind::NoThread { .. })));
    drop((channel, device));
    Ok(())
}
