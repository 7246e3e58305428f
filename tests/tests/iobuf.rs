//! The pools of I/O buffers that all of SPDK shares.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use spdk::iobuf::{self, Channel};
use spdk::task::yield_now;
use spdk::{Bdev, DmaBuf, Errno, Error, ErrorKind, Gone, SpdkApp, spawn_local, spawn_on};
use spdk_tests::turns::pass;
use spdk_tests::wait::{PATIENCE, within};
use spdk_tests::{Device, assert_kind, cloned, dma, kind, pattern, poll_once, second, until};

const BLOCK: usize = 512;

/// All large buffers that are left.
fn drain(channel: &Channel) -> spdk::Result<Vec<DmaBuf>> {
    let large = iobuf::pools()?.large_size as usize;
    let mut all = Vec::new();
    while let Some(buf) = channel.try_get(large)? {
        all.push(buf);
    }
    Ok(all)
}

/// Fails if I/O through a buffer of a pool does not reach the device, or a buffer shows old bytes.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
)]
async fn io_with_buffers_of_a_pool() -> spdk::Result<()> {
    iobuf::register_module("test")?;
    let pools = iobuf::pools()?;
    assert!(
        pools.small_size >= 4096 && pools.large_size > pools.small_size && pools.large_count > 0
    );
    let work = |core: u64| async move {
        let device = Device::open("Malloc0")?;
        let pool = Channel::new("test", 4, 1)?;
        for round in 0..100 {
            let mut buf = pool.get(8 * BLOCK).await?;
            assert_eq!((buf.len(), buf.as_ptr().addr() % 4096), (8 * BLOCK, 0));
            assert!(buf.iter().all(|byte| *byte == 0), "old bytes");
            let first = core * 64 + 8 * (round % 8);
            pattern::fill(&mut buf, BLOCK, first, round);
            device
                .desc
                .write(&device.ch, &buf, first * BLOCK as u64)
                .await?;
            buf.fill(0xee);
            device
                .desc
                .read(&device.ch, &mut buf, first * BLOCK as u64)
                .await?;
            pattern::assert_is(&buf, BLOCK, first, round);
            // One that is abandoned in flight: its memory goes back when SPDK is done.
            let mut other = pool.get(BLOCK).await?;
            let mut read = Box::pin(device.desc.read(&device.ch, &mut other, 0));
            assert!(poll_once(read.as_mut()).is_pending());
            drop(read);
            drop(other);
        }
        Ok::<_, Error>(())
    };
    for end in
        try_join_all([0, 1].map(|core| spawn_on(core, move || work(u64::from(core))))).await?
    {
        end?;
    }
    // The channels go with the last reads, and their numbers with them; those of the bdev layer are there.
    let start = Instant::now();
    let stats = loop {
        let stats = iobuf::stats().await?;
        let own = stats.iter().find(|module| module.module == "test");
        let own = own.map(|module| module.small.from_cache + module.small.from_pool);
        if own == Some(0) {
            break stats;
        }
        assert!(start.elapsed() < PATIENCE, "{own:?} buffers");
    };
    assert!(stats.iter().any(|module| module.module == "bdev"));
    let pool = Channel::new("test", 0, 0)?;
    drop(pool.get(1).await?);
    let stats = iobuf::stats().await?;
    let own = stats.iter().find(|module| module.module == "test");
    assert_eq!(
        own.map(|module| module.small.from_pool + module.small.from_cache),
        Some(1)
    );
    Ok(())
}

/// Fails if a get does not wait for a buffer, is overtaken, or takes one and does not give it.
#[spdk::test]
async fn get_waits_for_a_buffer() -> spdk::Result<()> {
    iobuf::register_module("test")?;
    let large = iobuf::pools()?.large_size as usize;
    let pool = Rc::new(Channel::new("test", 0, 0)?);
    let mut all = drain(&pool)?;
    let count = all.len();
    assert!(count > 8);
    let order = Rc::new(RefCell::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..20 {
        let (pool, order) = (pool.clone(), order.clone());
        tasks.push(spawn_local(async move {
            let mut buf = pool.get(large).await?;
            order.borrow_mut().push(number);
            buf.fill(number);
            yield_now().await;
            assert!(buf.iter().all(|byte| *byte == number));
            Ok::<_, Error>(())
        })?);
    }
    pass(5).await;
    assert_eq!((pool.waiting(), order.borrow().len()), (20, 0));
    // Small ones are there.
    drop(pool.get(100).await?);
    drop(all.pop());
    for task in tasks {
        task.await??;
    }
    assert!(order.borrow().iter().copied().eq(0..20), "{order:?}");
    // A future that is dropped leaves the queue, also with a buffer that has come.
    let mut waits = Box::pin(pool.get(large));
    drop(all.pop());
    drop(all.pop());
    all = drain(&pool)?.into_iter().chain(all).collect();
    assert_eq!(all.len(), count);
    assert!(poll_once(waits.as_mut()).is_pending());
    assert_eq!(pool.waiting(), 1);
    drop(waits);
    assert_eq!(pool.waiting(), 0);
    let mut first = Box::pin(pool.get(large));
    let mut second = Box::pin(pool.get(large));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    drop(all.pop()); // goes to `first`
    assert_eq!(pool.waiting(), 1);
    drop(first); // and on to `second`
    assert_eq!(pool.waiting(), 0);
    all.push(second.await?);
    assert_eq!(all.len(), count);
    // A forgotten one keeps what comes for it, until its channel goes.
    let greedy = Channel::new("test", 0, 0)?;
    let mut forgotten = Box::pin(greedy.get(large));
    assert!(poll_once(forgotten.as_mut()).is_pending());
    std::mem::forget(forgotten);
    drop(all.pop());
    assert!(pool.try_get(large)?.is_none());
    drop(greedy);
    all.push(pool.get(large).await?);
    // A channel with a forgotten future that still waits.
    let greedy = Channel::new("test", 0, 0)?;
    let mut forgotten = Box::pin(greedy.get(large));
    assert!(poll_once(forgotten.as_mut()).is_pending());
    std::mem::forget(forgotten);
    drop(greedy);
    drop(all);
    assert_eq!(drain(&pool)?.len(), count);
    Ok(())
}

/// Fails if a wrong argument reaches SPDK, which only asserts.
#[spdk::test]
async fn wrong_arguments_are_refused() -> spdk::Result<()> {
    iobuf::register_module("test")?;
    let errno = |result: spdk::Result<()>| result.err().and_then(|error| error.errno());
    assert_eq!(errno(iobuf::register_module("test")), Some(Errno::EEXIST));
    for name in ["", "a\0b"] {
        assert!(matches!(
            kind(&iobuf::register_module(name)),
            Some(ErrorKind::Option { .. })
        ));
    }
    // A module of SPDK's would take our entries for its own.
    for name in ["unknown", "bdev"] {
        assert_eq!(
            errno(Channel::new(name, 0, 0).map(drop)),
            Some(Errno::ENODEV),
            "{name}"
        );
    }
    assert_eq!(
        errno(Channel::new("test", u32::MAX, 0).map(drop)),
        Some(Errno::ENOMEM)
    );
    let pool = Channel::new("test", 0, 0)?;
    for len in [0, iobuf::pools()?.large_size as usize + 1, usize::MAX] {
        let refused = pool.get(len).await;
        assert!(
            matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. })),
            "{refused:?}"
        );
    }
    let second = second::spdk_thread("second").await;
    let elsewhere = second.call(|| iobuf::register_module("elsewhere")).await?;
    assert!(matches!(
        kind(&elsewhere),
        Some(ErrorKind::WrongThread { .. })
    ));
    // More channels than SPDK has for an spdk_thread would end the process.
    let mut channels = Vec::new();
    let full = loop {
        match Channel::new("test", 0, 0) {
            Ok(channel) => channels.push(channel),
            Err(error) => break error,
        }
        assert!(channels.len() < 1000);
    };
    assert_eq!((full.errno(), channels.len()), (Some(Errno::ENOMEM), 31));
    channels.pop();
    drop(Channel::new("test", 0, 0)?);
    channels.clear();
    drop(pool);
    Channel::new("test", 0, 0).map(drop)
}

thread_local! {
    static KEPT: RefCell<Option<(Rc<Channel>, Get)>> = const { RefCell::new(None) };
}

type Get = Pin<Box<dyn Future<Output = spdk::Result<DmaBuf>>>>;

/// Fails if a buffer or a channel is given back on another thread than the channel's.
#[spdk::test(cores = "0x3")]
async fn buffers_go_home() -> spdk::Result<()> {
    iobuf::register_module("test")?;
    let large = iobuf::pools()?.large_size as usize;
    let pool = Rc::new(Channel::new("test", 0, 0)?);
    let all = drain(&pool)?;
    let count = all.len();
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for (number, mut buf) in all.into_iter().enumerate() {
        buf.fill(number as u8);
        parts[number % 3].push(buf);
    }
    let [first, second, third] = parts;
    // An OS thread without an spdk_thread, another core, and another spdk_thread of this OS thread.
    assert!(std::thread::spawn(move || drop(first)).join().is_ok());
    spawn_on(1, move || async move { drop(second) }).await?;
    let here = second::spdk_thread("second").await;
    here.call(move || drop(third)).await?;
    let mut back = Vec::new();
    until("all of them", || {
        back.extend(drain(&pool).unwrap_or_default());
        back.len() == count
    })
    .await;
    // A future and its channel, while it waits.
    for wait in [false, true] {
        let own = pool.clone();
        let mut get: Get = Box::pin(async move { own.get(large).await });
        assert!(poll_once(get.as_mut()).is_pending());
        KEPT.set(Some((pool.clone(), get)));
        if wait {
            drop(back.pop()); // it is ready, and not taken
        }
        here.spawn(|| async {
            let Some((channel, mut get)) = KEPT.take() else {
                panic!("another OS thread");
            };
            let refused = channel.try_get(1);
            assert!(matches!(
                kind(&refused),
                Some(ErrorKind::WrongThread { .. })
            ));
            if let std::task::Poll::Ready(end) = poll_once(get.as_mut()) {
                assert!(matches!(kind(&end), Some(ErrorKind::WrongThread { .. })));
            }
            drop((get, channel));
        })
        .await?;
        pass(5).await;
        assert_eq!(pool.waiting(), 0);
        if wait {
            back.push(pool.get(large).await?);
        }
    }
    drop(back);
    assert_eq!(drain(&pool)?.len(), count);
    Ok(())
}

/// Fails if a buffer that is freed later, since an operation of another OS thread had it, goes to who waits for it while
/// a lock is held that the waker needs.
#[spdk::test(
    cores = "0x3",
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0",
            name = "Delay0",
            avg_read_latency = 200_000,
            p99_read_latency = 200_000,
            avg_write_latency = 200_000,
            p99_write_latency = 200_000
        ),
    ),
)]
async fn a_waker_may_allocate_when_a_late_buffer_comes() -> spdk::Result<()> {
    struct Allocates(AtomicBool);
    impl Wake for Allocates {
        fn wake(self: Arc<Self>) {
            self.0.store(DmaBuf::alloc(BLOCK, BLOCK).is_ok(), SeqCst);
        }
    }
    iobuf::register_module("test")?;
    let large = iobuf::pools()?.large_size as usize;
    let pool = Channel::new("test", 0, 0)?;
    let ((give, given), (open, is_open)) = (spdk::completion(), spdk::completion());
    let lent = spawn_on(1, move || async move {
        let desc = Bdev::find("Delay0")?.open(true)?;
        let channel = desc.get_io_channel()?;
        open.success(()); // it needs buffers itself
        let buf = given.await?;
        let mut write = Box::pin(desc.write(&channel, &buf, 0));
        assert!(poll_once(write.as_mut()).is_pending());
        drop(write);
        Ok::<_, Error>(buf)
    });
    let lent = spawn_local(lent)?;
    is_open.await?;
    let mut all = drain(&pool)?;
    match all.pop() {
        Some(buf) => give.success(buf),
        None => panic!("there is no buffer"),
    }
    drop(lent.await???);
    assert!(pool.try_get(large)?.is_none(), "the write has it still");
    let waker = Arc::new(Allocates(AtomicBool::new(false)));
    let mut get = Box::pin(pool.get(large));
    let allocates = Waker::from(waker.clone());
    let first = get.as_mut().poll(&mut Context::from_waker(&allocates));
    assert!(first.is_pending());
    until("the end of the write", || {
        DmaBuf::alloc(BLOCK, BLOCK).is_ok() && waker.0.load(SeqCst)
    })
    .await;
    get.await.map(drop)
}

/// Fails if an spdk_thread ends before its buffers have come back, or waits for futures that do not.
#[spdk::test(cores = "0x3")]
async fn a_thread_ends_after_its_buffers() -> spdk::Result<()> {
    iobuf::register_module("test")?;
    let large = iobuf::pools()?.large_size as usize;
    let count = drain(&Channel::new("test", 0, 0)?)?.len();
    let other = spdk::ThreadHandle::on_core("other", 1).await?;
    let mut bufs = other
        .spawn(move || async move {
            let pool = Channel::new("test", 2, 1)?;
            let bufs = drain(&pool)?;
            let mut forgotten = Box::pin(pool.get(large));
            assert!(poll_once(forgotten.as_mut()).is_pending());
            std::mem::forget(forgotten);
            std::mem::forget(pool);
            Ok::<_, Error>(bufs)
        })
        .await??;
    let ended = Rc::new(Cell::new(false));
    let (then, handle) = (ended.clone(), other.clone());
    let exit = spawn_local(async move {
        handle.exit().await?;
        then.set(true);
        Ok::<_, Error>(())
    })?;
    let last = bufs.pop();
    drop(bufs);
    pass(1000).await;
    assert!(!ended.get(), "a buffer is out");
    drop(last);
    exit.await??;
    assert!(other.has_ended());
    until("its channel to go", || spdk::SpdkThread::count() == 1).await;
    let pool = Channel::new("test", 0, 0)?;
    assert_eq!(drain(&pool)?.len(), count);
    assert!(!matches!(
        kind(&pool.try_get(1)),
        Some(ErrorKind::Gone {
            why: Gone::ThreadEnded,
            ..
        })
    ));
    Ok(())
}

fn app() -> spdk::SpdkAppBuilder {
    SpdkApp::builder()
        .name("iobuf")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
}

/// Fails if an application does not end in order with what its tasks have of the pools.
#[spdk::test(no_app, deadline = 30)]
fn an_application_ends_with_buffers() -> spdk::Result<()> {
    let early = Channel::new("test", 0, 0);
    assert!(matches!(kind(&early), Some(ErrorKind::NoThread { .. })));
    assert!(matches!(
        kind(&iobuf::pools()),
        Some(ErrorKind::NotInitialised { .. })
    ));
    let start = Rc::new(Cell::new(None));
    let started = start.clone();
    let (sent, late) = std::sync::mpsc::channel::<DmaBuf>();
    let elsewhere = std::thread::spawn(move || {
        let buf = late.recv();
        std::thread::sleep(Duration::from_millis(300));
        drop(buf);
    });
    app().block_on(async move {
        iobuf::register_module("test")?;
        let pool = Channel::new("test", 2, 2)?;
        let large = iobuf::pools()?.large_size as usize;
        let bufs = drain(&pool)?;
        assert!(sent.send(pool.get(1).await?).is_ok());
        drop(spawn_local(async move {
            let _bufs = bufs;
            pool.get(large).await.map(drop)
        })?);
        yield_now().await;
        started.set(Some(Instant::now()));
        Ok(())
    })?;
    let took = start.get().map(|start| start.elapsed());
    assert!(took < Some(Duration::from_secs(4)), "the end took {took:?}");
    assert!(elsewhere.join().is_ok());
    Ok(())
}

/// Fails if a buffer that is leaked is freed under its owner's slices, or holds the end up for ever.
#[spdk::test(no_app, deadline = 40)]
fn a_leaked_buffer_is_never_freed() -> spdk::Result<()> {
    let bytes = Rc::new(Cell::new(&[][..]));
    let leaked = bytes.clone();
    let end = app()
        .shutdown_patience(Duration::from_millis(200))
        .block_on(async move {
            iobuf::register_module("test")?;
            let pool = Channel::new("test", 0, 0)?;
            let mut buf = pool.get(4096).await?;
            buf.fill(0x5a);
            leaked.set(Box::leak(Box::new(buf)).as_slice());
            Ok(())
        });
    assert!(
        matches!(kind(&end), Some(ErrorKind::Stopped { .. })),
        "{end:?}"
    );
    assert_eq!(bytes.get(), [0x5a; 4096]);
    assert!(dma::pieces() > 0);
    Ok(())
}

/// Fails if a buffer is missed that comes in the clone of a waker.
#[spdk::test]
async fn a_buffer_comes_in_the_clone_of_a_waker() -> spdk::Result<()> {
    iobuf::register_module("test")?;
    let large = iobuf::pools()?.large_size as usize;
    let pool = Channel::new("test", 0, 0)?;
    let mut all = drain(&pool)?;
    let one = all.pop();
    let waker = cloned::waker(move || drop(one));
    let mut get = Box::pin(pool.get(large));
    let poll = get.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(poll.is_ready() || cloned::wakes() > 0);
    assert_eq!(get.await?.len(), large);
    Ok(())
}

/// Fails if the task of an I/O that a reset fails goes on inside of SPDK's walk along the I/Os that wait for a buffer: the one
/// that it submits next gets the memory of the one before it, from which SPDK then takes its callback.
#[spdk::test(bdevs(
    bdev_set_options(iobuf_large_cache_size = 0),
    bdev_null_create(name = "Null0", num_blocks = 8192, block_size = BLOCK),
))]
async fn a_reset_ends_what_waits_for_a_buffer() -> spdk::Result<()> {
    iobuf::register_module("test")?;
    let pool = Channel::new("test", 0, 0)?;
    let [device, other] = [Device::open("Null0")?, Device::open("Null0")?];
    let bufs = drain(&pool)?;
    let copies = spawn_local(async move {
        let copy = async || device.desc.copy_blocks(&device.ch, 0, 1024, 200).await;
        (copy().await, copy().await)
    })?;
    yield_now().await;
    other.desc.reset(&other.ch).await?;
    drop(bufs);
    let (first, second) = within("the copies", copies).await?;
    assert_kind!(first, Device);
    second
}
