//! The executor of an spdk_thread inside an application.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::panic_any;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use spdk::task::{JoinHandle, yield_now};
use spdk::{Bdev, ErrorKind, IoDevice, Poller, SpdkThread, block_on, spawn_local};
use spdk_tests::{Device, kind, pattern, poll_once, second, until};

const BLOCK: usize = 512;

/// Fails if a result, a panic or an abort does not reach the handle, or if one of them ends others.
#[spdk::test]
async fn a_handle_tells_how_its_task_ended() -> spdk::Result<()> {
    let fine = spawn_local(async { 1 })?;
    let panics = spawn_local(async { panic!("on purpose") })?;
    let formatted = spawn_local(async { panic!("number {}", 7) })?;
    let payload = spawn_local(async { std::panic::panic_any(7_u32) })?;
    let aborted = spawn_local(pending::<u32>())?;
    aborted.abort();
    assert_eq!(fine.await?, 1);
    let text = |end: spdk::Result<()>| end.err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(text(panics.await), "the task panicked: on purpose");
    assert_eq!(text(formatted.await), "the task panicked: number 7");
    assert!(text(payload.await).starts_with("the task panicked: "));
    assert!(matches!(kind(&aborted.await), Some(ErrorKind::Cancelled)));
    let later = spawn_local(async { 2 })?;
    assert_eq!(later.await?, 2);
    Ok(())
}

/// Fails if a drop of the handle ends the task, or an abort after its end does harm.
#[spdk::test]
async fn a_dropped_handle_lets_its_task_run() -> spdk::Result<()> {
    let ran = Rc::new(Cell::new(0));
    let counter = ran.clone();
    drop(spawn_local(async move {
        yield_now().await;
        counter.set(counter.get() + 1);
    })?);
    until("the task", || ran.get() == 1).await;
    let done = spawn_local(async { 1 })?;
    until("the end", || done.is_finished()).await;
    // Its place is another task's by now.
    let other = spawn_local(async {
        yield_now().await;
        2
    })?;
    done.abort();
    assert_eq!((done.await?, other.await?), (1, 2));
    Ok(())
}

/// Fails if a future is dropped inside of its own poll, twice, or not at all.
#[spdk::test]
async fn a_task_aborts_itself() -> spdk::Result<()> {
    struct Drops(Rc<Cell<u32>>);
    impl Drop for Drops {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let handle: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let (own, drops) = (handle.clone(), Drops(dropped.clone()));
    *handle.borrow_mut() = Some(spawn_local(async move {
        let _drops = drops;
        poll_fn(|_| match &*own.borrow() {
            Some(handle) => {
                handle.abort();
                handle.abort();
                Poll::<()>::Pending
            }
            None => Poll::Pending,
        })
        .await;
    })?);
    until("the drop", || dropped.get() == 1).await;
    let own = handle.borrow_mut().take();
    match own {
        Some(own) => assert!(matches!(kind(&own.await), Some(ErrorKind::Cancelled))),
        None => panic!("the handle is gone"),
    }
    yield_now().await;
    assert_eq!(dropped.get(), 1);
    Ok(())
}

/// Fails if a panic in the drop of an aborted task's future ends the application.
#[spdk::test]
async fn a_panic_in_a_drop_is_the_tasks() -> spdk::Result<()> {
    let task = spawn_local(async {
        let _panics = Panics;
        pending::<()>().await;
    })?;
    yield_now().await;
    task.abort();
    assert!(task.await.is_err());
    let next = spawn_local(async { 1 })?;
    assert_eq!(next.await?, 1);
    Ok(())
}

/// Fails if a handle, or a stream of events, that its waker polls at once says that it waits, and is not woken any more.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 64, block_size = BLOCK)))]
async fn a_waker_may_poll() -> spdk::Result<()> {
    type Waits = Pin<Box<dyn Future<Output = ()>>>;
    thread_local! {
        static WAITS: Cell<Option<Waits>> = const { Cell::new(None) };
        static IS_READY: Cell<bool> = const { Cell::new(false) };
    }
    struct Polls;
    impl Wake for Polls {
        fn wake(self: Arc<Self>) {
            if let Some(mut waits) = WAITS.take() {
                let waker = Waker::from(self);
                match waits.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(()) => IS_READY.set(true),
                    Poll::Pending => WAITS.set(Some(waits)),
                }
            }
        }
    }
    let desc = Bdev::find("Malloc0")?.open(false)?;
    let mut events = desc.events();
    let task = spawn_local(yield_now())?;
    let close: Box<dyn FnOnce()> = Box::new(|| drop(desc));
    let waits: [(Waits, Box<dyn FnOnce()>); 2] = [
        (
            Box::pin(async { assert!(task.await.is_ok()) }),
            Box::new(|| ()),
        ),
        (
            Box::pin(async move { assert!(events.next().await.is_none()) }),
            close,
        ),
    ];
    for (waits, end) in waits {
        IS_READY.set(false);
        WAITS.set(Some(waits));
        Arc::new(Polls).wake();
        assert!(!IS_READY.get());
        end();
        until("the wake", || IS_READY.get()).await;
    }
    Ok(())
}

/// Fails if a task that is being dropped can be taken for the one that has its place next.
#[spdk::test]
async fn a_task_that_goes_aborts_no_other() -> spdk::Result<()> {
    type Handle = Rc<RefCell<Option<JoinHandle<()>>>>;
    struct Spawns(Handle, Rc<RefCell<Option<JoinHandle<u32>>>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            *self.1.borrow_mut() = spawn_local(async { 1 }).ok();
            if let Some(own) = &*self.0.borrow() {
                own.abort();
            }
        }
    }
    let (own, next) = (Handle::default(), Rc::default());
    let spawns = Spawns(own.clone(), Rc::clone(&next));
    *own.borrow_mut() = Some(spawn_local(async move {
        let _spawns = spawns;
        pending::<()>().await;
    })?);
    yield_now().await;
    if let Some(own) = &*own.borrow() {
        own.abort();
    }
    until("the next task", || next.borrow().is_some()).await;
    let next = next.borrow_mut().take();
    match next {
        Some(next) => assert_eq!(next.await?, 1),
        None => panic!("it was not spawned"),
    }
    Ok(())
}

/// A panic in its drop. A payload of another panic, too.
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("in a drop");
    }
}

/// Fails if the drop of what a task, message or poller has panicked with, or of what an iteration had collected by
/// then, ends the process by a panic of its own.
#[spdk::test]
async fn a_panic_in_the_drop_of_a_payload_is_caught() -> spdk::Result<()> {
    let is_panic = |end: spdk::Result<()>| {
        let kind = kind(&end);
        assert!(matches!(kind, Some(ErrorKind::Panicked { .. })), "{end:?}");
    };
    is_panic(spawn_local(async { panic_any(Panics) })?.await);
    let Some(here) = SpdkThread::app_thread() else {
        panic!("no application runs");
    };
    here.send(|| panic_any(Panics))?;
    is_panic(here.call(|| panic_any(Panics)).await);
    // Nobody is there to get this one.
    let mut unwanted = Box::pin(here.call(|| panic_any(Panics)));
    assert!(poll_once(unwanted.as_mut()).is_pending());
    drop::<Pin<Box<dyn Future<Output = spdk::Result<()>>>>>(unwanted);
    let poller = Poller::register(|| panic_any(Panics))?;
    until("the end of the poller", || poller.has_ended()).await;

    let second = second::spdk_thread("second").await;
    let mut visited = 0;
    let end = spdk::for_each_thread(move |_| {
        visited += 1;
        assert_eq!(visited, 1, "only the first one has a value");
        Panics
    });
    is_panic(end.await.map(std::mem::forget));
    let device = Arc::new(IoDevice::register("values", || ())?);
    let (there, _channel) = (device.clone(), device.get_channel()?);
    let end = second.spawn(move || async move {
        let _channel = there.get_channel()?;
        let mut visited = 0;
        let end = there.for_each_channel(move |()| {
            visited += 1;
            assert_eq!(visited, 1, "only the first one has a value");
            Panics
        });
        end.await.map(std::mem::forget)
    });
    is_panic(end.await?);
    Ok(())
}

/// Fails if tasks that are always ready keep SPDK's pollers, other spdk_threads or each other from
/// their turn.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    deadline = 60,
)]
async fn ten_thousand_busy_tasks_starve_nobody() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let second = second::spdk_thread("second").await;
    let turns: Rc<Vec<Cell<u64>>> = Rc::new((0..10_000).map(|_| Cell::new(0)).collect());
    let mut tasks = Vec::new();
    for number in 0..10_000 {
        let turns = turns.clone();
        tasks.push(spawn_local(async move {
            loop {
                turns[number].set(turns[number].get() + 1);
                yield_now().await;
            }
        })?);
    }
    let mut buf = device.buffer(8)?;
    let mut before = 0;
    for generation in 0..20 {
        pattern::fill(&mut buf, BLOCK, 0, generation);
        device.desc.write(&device.ch, &buf, 0).await?;
        buf.fill(0);
        device.desc.read(&device.ch, &mut buf, 0).await?;
        pattern::assert_is(&buf, BLOCK, 0, generation);
        let name =
            second.call(|| SpdkThread::get_current().map(|current| current.name().to_owned()));
        assert_eq!(name.await?.as_deref(), Some("second"));
        let now: u64 = turns.iter().map(Cell::get).sum();
        assert!(now > before);
        before = now;
    }
    let (least, most) = turns
        .iter()
        .map(Cell::get)
        .fold((u64::MAX, 0), |(least, most), turns| {
            (least.min(turns), most.max(turns))
        });
    assert!(most - least <= 1, "between {least} and {most} turns");
    tasks.iter().for_each(JoinHandle::abort);
    for task in tasks {
        assert!(matches!(kind(&task.await), Some(ErrorKind::Cancelled)));
    }
    Ok(())
}

/// Fails if 10,000 tasks with I/O lose one of them.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 10_240, block_size = BLOCK)))]
async fn ten_thousand_tasks_with_io() -> spdk::Result<()> {
    let device = Rc::new(Device::open("Malloc0")?);
    let tasks: Vec<_> = (0..10_000)
        .map(|block| {
            let device = device.clone();
            spawn_local(async move {
                let mut buf = device.buffer(1)?;
                pattern::fill(&mut buf, BLOCK, block, 1);
                device.desc.write_blocks(&device.ch, &buf, block, 1).await
            })
        })
        .collect::<spdk::Result<_>>()?;
    for task in join_all(tasks).await {
        task??;
    }
    let mut all = device.buffer(10_000)?;
    device.desc.read(&device.ch, &mut all, 0).await?;
    pattern::assert_is(&all, BLOCK, 0, 1);
    Ok(())
}

/// Fails if an executor of others inside a task polls futures with wakers that do not wake it.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn futures_run_in_others_combinators() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    type Io<'a> = Pin<Box<dyn Future<Output = spdk::Result<u64>> + 'a>>;
    let device = &device;
    let mut ios: FuturesUnordered<Io<'_>> = FuturesUnordered::new();
    for block in 0..200 {
        ios.push(Box::pin(async move {
            let mut buf = device.buffer(1)?;
            pattern::fill(&mut buf, BLOCK, block, 1);
            device.desc.write_blocks(&device.ch, &buf, block, 1).await?;
            buf.fill(0);
            device
                .desc
                .read_blocks(&device.ch, &mut buf, block, 1)
                .await?;
            pattern::assert_is(&buf, BLOCK, block, 1);
            Ok(block)
        }));
    }
    let mut sum = 0;
    while let Some(block) = ios.next().await {
        sum += block?;
    }
    assert_eq!(sum, (0..200).sum::<u64>());
    Ok(())
}

/// Fails if the main future of an application is polled in a nested poll: `block_on` must see that it
/// is inside of one.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn block_on_is_refused_inside() -> spdk::Result<()> {
    assert!(matches!(
        kind(&block_on(async {})),
        Some(ErrorKind::NestedPoll {
            operation: "block_on"
        })
    ));
    let current = SpdkThread::get_current();
    assert_eq!(
        current.as_ref().map(|current| current.name()),
        Some("app_thread")
    );
    assert_eq!(current.map(|current| current.poll()), Some(0));
    let app = SpdkThread::app_thread();
    assert_eq!(app.as_ref().map(|app| app.name()), Some("app_thread"));
    let refused = spawn_local(async { block_on(async {}).is_err() })?;
    assert!(refused.await?);
    Ok(())
}

/// Fails if a wait inside the main future keeps messages of other OS threads from running.
#[spdk::test]
async fn messages_run_while_the_main_future_waits() -> spdk::Result<()> {
    let Some(app) = SpdkThread::app_thread() else {
        panic!("no app thread")
    };
    let elsewhere = std::thread::spawn(move || {
        let mut sum = 0;
        for number in 0..100 {
            let (tx, rx) = std::sync::mpsc::channel();
            let sent = app.send(move || {
                // The receiver waits for it.
                let _ = tx.send(number);
            });
            assert!(sent.is_ok());
            sum += rx.recv().unwrap_or(0);
        }
        sum
    });
    until("the other OS thread", || elsewhere.is_finished()).await;
    assert_eq!(elsewhere.join().ok(), Some((0..100).sum()));
    Ok(())
}

/// Fails if a future that is polled by hand, without a task, needs more than polls.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_future_is_polled_by_hand() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut buf = device.buffer(8)?;
    let mut io = Box::pin(device.desc.read(&device.ch, &mut buf, 0));
    let mut polls = 0;
    let end = loop {
        polls += 1;
        match poll_once(io.as_mut()) {
            Poll::Ready(end) => break end,
            Poll::Pending => yield_now().await,
        }
    };
    assert!(polls > 1, "it was ready at once");
    end
}

/// Fails if a task that has yielded is forgotten when the completion of an I/O polls it before its turn.
#[spdk::test(
    deadline = 30,
    bdevs(bdev_null_create(name = "Null0", num_blocks = 64, block_size = 512))
)]
async fn a_task_that_yields_beside_an_io_goes_on() -> spdk::Result<()> {
    let device = Device::open("Null0")?;
    let mut buf = device.buffer(1)?;
    for _ in 0..100 {
        let read = device.desc.read_blocks(&device.ch, &mut buf, 0, 1);
        let (read, ()) = futures_util::future::join(read, yield_now()).await;
        read?;
    }
    Ok(())
}
