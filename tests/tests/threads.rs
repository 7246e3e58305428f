//! spdk_threads that the test polls itself, without an application.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use spdk::task::yield_now;
use spdk::{
    DmaBuf, Error, SMALL_MSG_MEMPOOL_SIZE, SpdkEnv, SpdkThread, ThreadHandle, block_on, completion,
    spawn_local, spdk_poller,
};

use spdk_tests::poller::Counter;

const PATIENCE: Duration = Duration::from_secs(20);

fn env() -> spdk::Result<SpdkEnv> {
    SpdkEnv::builder()
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(256)
        .build()
}

fn thread(name: &str) -> spdk::Result<SpdkThread> {
    SpdkThread::current_with_mempool_size(name, SMALL_MSG_MEMPOOL_SIZE)
}

/// Polls until the condition holds.
#[track_caller]
fn poll_until(thread: &SpdkThread, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        thread.poll();
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
    }
}

/// An OS thread with an spdk_thread that it polls until it is told to end.
struct Worker {
    handle: ThreadHandle,
    stop: Arc<AtomicU32>,
    join: spdk::JoinHandle<()>,
}

impl Worker {
    fn start(name: &str) -> Self {
        let (tx, rx) = mpsc::channel();
        let stop = Arc::new(AtomicU32::new(0));
        let stopped = stop.clone();
        let join = SpdkThread::spawn(name, move |thread| {
            assert!(tx.send(thread.handle()).is_ok());
            poll_until(thread, "the end of the test", || stopped.load(SeqCst) != 0);
        });
        let Ok(handle) = rx.recv_timeout(PATIENCE) else {
            panic!("{:?}", join.join());
        };
        Worker { handle, stop, join }
    }

    fn end(self) -> spdk::Result<()> {
        self.stop.store(1, SeqCst);
        self.join.join()
    }
}

/// Fails if a name, a number or the count of spdk_threads is wrong.
#[spdk::test(no_app)]
fn a_thread_has_a_name_and_is_counted() -> spdk::Result<()> {
    let _env = env()?;
    assert!(SpdkThread::get_current().is_none());
    let one = thread("one")?;
    assert_eq!((one.name(), SpdkThread::count()), ("one", 1));
    let current =
        SpdkThread::get_current().map(|current| (current.name().to_owned(), current.id()));
    assert_eq!(current, Some(("one".into(), one.id())));
    // The one attached last is the current one; what is below it is when that goes.
    let two = thread("two")?;
    assert_ne!(one.id(), two.id());
    assert_eq!(SpdkThread::count(), 2);
    assert_eq!(
        SpdkThread::get_current().map(|current| current.id()),
        Some(two.id())
    );
    drop(two);
    assert_eq!(
        SpdkThread::get_current().map(|current| current.id()),
        Some(one.id())
    );
    assert!(one.is_running() && one.has_pollers() && one.has_active_pollers());
    drop(one);
    assert!(SpdkThread::get_current().is_none());
    // SPDK's thread library went with the last one, and comes again.
    assert_eq!(thread("three")?.name(), "three");
    Ok(())
}

/// Fails if an error of the start or a panic of the function is lost.
#[spdk::test(no_app)]
fn join_tells_what_happened() -> spdk::Result<()> {
    let early = SpdkThread::spawn("early", |_| ()).join();
    assert!(
        matches!(early, Err(Error::NotInitialised { .. })),
        "{early:?}"
    );
    let _env = env()?;
    assert_eq!(
        SpdkThread::spawn("seven", |thread| thread.name().len()).join()?,
        5
    );
    let panicked = SpdkThread::spawn("bad", |_| panic!("on purpose")).join();
    match panicked {
        Err(Error::Panicked { message }) => assert_eq!(message, "on purpose"),
        other => panic!("{other:?}"),
    }
    let name = SpdkThread::spawn("a\0b", |_| ()).join();
    let text = name
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(text.starts_with("option `name`: "), "{text}");
    assert!(text.contains("NUL byte at position 1"), "{text}");
    assert_eq!(
        SpdkThread::count(),
        0,
        "a thread that failed was left behind"
    );
    Ok(())
}

/// Fails if a message is lost, runs on another OS thread, or overtakes an earlier one.
#[spdk::test(no_app)]
fn messages_go_both_ways_in_order() -> spdk::Result<()> {
    const MANY: u32 = 10_000;
    let _env = env()?;
    let here = thread("here")?;
    let worker = Worker::start("worker");
    let (home, back) = (here.handle(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::new(AtomicU32::new(0));
    for number in 0..MANY {
        let (home, back, seen) = (home.clone(), back.clone(), seen.clone());
        worker.handle.send(move || {
            assert_eq!(seen.fetch_add(1, SeqCst), number, "out of order");
            let name = SpdkThread::get_current().map(|current| current.name().to_owned());
            assert_eq!(name.as_deref(), Some("worker"));
            let sent = home.send(move || {
                if let Ok(mut back) = back.lock() {
                    back.push(number);
                }
            });
            assert!(sent.is_ok());
        })?;
    }
    let count = || back.lock().map_or(0, |back| back.len());
    poll_until(&here, "the answers", || count() == MANY as usize);
    let back = back.lock().map(|back| back.clone()).unwrap_or_default();
    assert!(back.iter().copied().eq(0..MANY), "out of order");
    worker.end()
}

/// Fails if a result, a panic or a task of another spdk_thread is lost.
#[spdk::test(no_app)]
fn call_and_spawn_bring_results_back() -> spdk::Result<()> {
    let _env = env()?;
    let _here = thread("here")?;
    let worker = Worker::start("worker");
    let handle = worker.handle.clone();
    block_on(async {
        let name = handle
            .call(|| SpdkThread::get_current().map(|t| t.name().to_owned()))
            .await?;
        assert_eq!(name.as_deref(), Some("worker"));
        let sum = handle.spawn(|| async {
            // Not `Send`, and alive across an await.
            let number = Rc::new(Cell::new(1));
            yield_now().await;
            number.set(number.get() + 1);
            number.get()
        });
        assert_eq!(sum.await?, 2);
        let panicked = handle.call(|| panic!("in a call")).await;
        assert!(
            matches!(panicked, Err::<(), _>(Error::Panicked { message }) if message == "in a call")
        );
        let panicked = handle.spawn(|| async { panic!("in a task") }).await;
        assert!(
            matches!(panicked, Err::<(), _>(Error::Panicked { message }) if message == "in a task")
        );
        let panicked = handle
            .spawn(|| -> std::future::Ready<()> { panic!("before it") })
            .await;
        assert!(matches!(panicked, Err(Error::Panicked { message }) if message == "before it"));
        // A message that panics ends neither the spdk_thread nor those after it.
        handle.send(|| panic!("in a message"))?;
        assert_eq!(handle.call(|| 7).await?, 7);
        // Results that nobody wants any more are dropped.
        drop(handle.call(|| String::from("unread")));
        assert!(
            spdk_tests::poll_once(Box::pin(handle.call(|| String::from("unread"))).as_mut())
                .is_pending()
        );
        Ok::<_, Error>(())
    })??;
    worker.end()
}

/// Fails if work for an spdk_thread that has ended is accepted, or waited for without end.
#[spdk::test(no_app)]
fn work_for_a_thread_that_ended_is_refused() -> spdk::Result<()> {
    let _env = env()?;
    let _here = thread("here")?;
    let worker = Worker::start("worker");
    let handle = worker.handle.clone();
    // In flight when it ends.
    let forever = handle.spawn(std::future::pending::<()>);
    let mut forever = Box::pin(forever);
    assert!(spdk_tests::poll_once(forever.as_mut()).is_pending());
    block_on(handle.call(|| ()))??;
    worker.end()?;
    assert!(handle.has_ended());
    assert!(matches!(block_on(forever)?, Err(Error::Cancelled)));
    let dropped = Arc::new(());
    let held = dropped.clone();
    match handle.send(move || drop(held)) {
        Err(Error::ThreadEnded { name }) => assert_eq!(name, "worker"),
        other => panic!("{other:?}"),
    }
    assert_eq!(Arc::strong_count(&dropped), 1, "a refused message was kept");
    let called = block_on(handle.call(|| 1))?;
    assert!(
        matches!(called, Err(Error::ThreadEnded { .. })),
        "{called:?}"
    );
    let spawned = block_on(handle.spawn(|| async { 1 }))?;
    assert!(spawned.is_err(), "{spawned:?}");
    Ok(())
}

/// Fails if messages that nobody ran are leaked, or run after their spdk_thread.
#[spdk::test(no_app)]
fn messages_without_a_turn_are_dropped() -> spdk::Result<()> {
    let _env = env()?;
    let alive = Arc::new(());
    let ran = Arc::new(AtomicUsize::new(0));
    let here = thread("here")?;
    let handle = here.handle();
    for _ in 0..1000 {
        let (alive, ran) = (alive.clone(), ran.clone());
        handle.send(move || {
            ran.fetch_add(1, SeqCst);
            drop(alive);
        })?;
    }
    drop(here);
    assert_eq!(
        Arc::strong_count(&alive),
        1,
        "{} of 1000 ran",
        ran.load(SeqCst)
    );
    Ok(())
}

/// Fails if two sides race at the end of an spdk_thread: a message is accepted, and neither run nor
/// dropped.
#[spdk::test(no_app)]
fn messages_race_with_the_end() -> spdk::Result<()> {
    let _env = env()?;
    for _ in 0..20 {
        let alive = Arc::new(());
        let worker = Worker::start("worker");
        let (handle, held) = (worker.handle.clone(), alive.clone());
        let sender = std::thread::spawn(move || {
            let start = Instant::now();
            loop {
                let held = held.clone();
                if handle.send(move || drop(held)).is_err() {
                    return;
                }
                assert!(start.elapsed() < PATIENCE, "the spdk_thread did not end");
            }
        });
        block_or_poll_a_little(&worker);
        worker.end()?;
        assert!(sender.join().is_ok(), "the sender failed");
        assert_eq!(Arc::strong_count(&alive), 1, "a message was lost");
    }
    Ok(())
}

/// Lets the worker run some messages first.
fn block_or_poll_a_little(worker: &Worker) {
    let (tx, rx) = mpsc::channel();
    let sent = worker.handle.send(move || {
        // The receiver waits for it.
        let _ = tx.send(());
    });
    assert!(sent.is_ok() && rx.recv_timeout(PATIENCE).is_ok());
}

/// Fails if an spdk_thread can be polled from inside its own poll.
#[spdk::test(no_app)]
fn a_nested_poll_is_refused() -> spdk::Result<()> {
    let _env = env()?;
    let here = Rc::new(thread("here")?);
    let counter = Rc::new(Counter::start());
    let results = Rc::new(RefCell::new(Vec::new()));
    let (inner, seen, nested) = (here.clone(), results.clone(), counter.clone());
    let task = spawn_local(async move {
        seen.borrow_mut()
            .push(block_on(async {}).map_err(|error| error.to_string()));
        let before = nested.runs();
        assert_eq!(inner.poll(), 0);
        let current = SpdkThread::get_current().map(|current| current.poll());
        assert_eq!(current, Some(0));
        assert_eq!(nested.runs(), before, "a poller ran inside of another one");
    })?;
    block_on(task)??;
    assert!(counter.runs() > 0);
    let text = "block_on was called from inside a task, message or poller of an spdk_thread; use \
                `.await` there";
    assert_eq!(*results.borrow(), [Err(text.to_owned())]);
    // Outside it works again, also inside a future that `block_on` polls between polls.
    assert_eq!(block_on(async { 1 })?, 1);
    assert!(block_on(async { here.poll() >= 0 })?);
    Ok(())
}

/// Fails if a task of another spdk_thread on the same OS thread is polled with the wrong one current.
#[spdk::test(no_app)]
fn two_threads_of_one_os_thread_keep_their_tasks() -> spdk::Result<()> {
    let _env = env()?;
    let one = thread("one")?;
    let seen = Rc::new(RefCell::new(Vec::new()));
    let record = |seen: &Rc<RefCell<Vec<String>>>| {
        let seen = seen.clone();
        async move {
            for _ in 0..3 {
                let name = SpdkThread::get_current().map(|current| current.name().to_owned());
                seen.borrow_mut().push(name.unwrap_or_default());
                yield_now().await;
            }
        }
    };
    let first = spawn_local(record(&seen))?;
    let two = thread("two")?;
    let second = spawn_local(record(&seen))?;
    for _ in 0..8 {
        one.poll();
    }
    assert_eq!(*seen.borrow(), ["one"; 3]);
    for _ in 0..8 {
        two.poll();
    }
    assert_eq!(seen.borrow()[3..], ["two"; 3]);
    assert!(first.is_finished() && second.is_finished());
    Ok(())
}

/// Fails if a wake from another OS thread is lost, or not allowed.
#[spdk::test(no_app)]
fn wakers_work_on_other_os_threads() -> spdk::Result<()> {
    let _env = env()?;
    let here = thread("here")?;
    let wakes = Arc::new(AtomicU32::new(0));
    let mut wakers = Vec::new();
    for _ in 0..64 {
        let (tx, rx) = mpsc::channel::<Waker>();
        let (sender, answer) = completion::<u64>();
        let wakes = wakes.clone();
        let task = spawn_local(async move {
            poll_fn(|cx| {
                // The receiver waits for it.
                let _ = tx.send(cx.waker().clone());
                match wakes.fetch_add(1, SeqCst) {
                    0..64 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            })
            .await;
            answer.await
        })?;
        wakers.push((task, rx, sender));
    }
    let mut tasks = Vec::new();
    let mut os_threads = Vec::new();
    for (task, rx, sender) in wakers {
        tasks.push(task);
        os_threads.push(std::thread::spawn(move || {
            if let Ok(waker) = rx.recv_timeout(PATIENCE) {
                let other = waker.clone();
                waker.wake_by_ref();
                drop(waker);
                other.wake();
            }
            sender.success(1);
        }));
    }
    poll_until(&here, "the tasks", || {
        tasks.iter().all(|task| task.is_finished())
    });
    for task in tasks {
        assert_eq!(block_on(task)???, 1);
    }
    assert!(
        os_threads
            .into_iter()
            .all(|os_thread| os_thread.join().is_ok())
    );
    Ok(())
}

/// Fails if a waker that outlives its task, or its spdk_thread, or SPDK, is not harmless.
#[spdk::test(no_app)]
fn a_waker_outlives_everything() -> spdk::Result<()> {
    let env = env()?;
    let here = thread("here")?;
    let (tx, rx) = mpsc::channel::<Waker>();
    for _ in 0..8 {
        let tx = tx.clone();
        drop(spawn_local(poll_fn(move |cx| {
            let _ = tx.send(cx.waker().clone());
            Poll::<()>::Pending
        }))?);
    }
    here.poll();
    let wakers: Vec<Waker> = rx.try_iter().collect();
    assert_eq!(wakers.len(), 8);
    let wake_all = |wakers: &[Waker]| {
        let wakers = wakers.to_vec();
        for waker in &wakers {
            waker.wake_by_ref();
        }
        let elsewhere = std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake));
        assert!(elsewhere.join().is_ok());
    };
    wake_all(&wakers);
    here.poll();
    drop(here);
    wake_all(&wakers);
    // Another spdk_thread may have got the place of the first.
    let again = thread("again")?;
    let done = spawn_local(async { 1 })?;
    wake_all(&wakers);
    assert_eq!(block_on(done)??, 1);
    drop(again);
    drop(env);
    wake_all(&wakers);
    Ok(())
}

/// Fails if the futures of this crate need its own executor.
#[spdk::test(no_app)]
fn futures_run_on_tokio() -> spdk::Result<()> {
    let _env = env()?;
    let here = thread("here")?;
    let worker = Worker::start("worker");
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    else {
        panic!("no Tokio runtime");
    };
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, async {
        let handle = worker.handle.clone();
        let work = async {
            let mut tasks = Vec::new();
            for number in 0..100 {
                let handle = handle.clone();
                tasks.push(tokio::task::spawn_local(async move {
                    let buf = DmaBuf::alloc(4096, 4096)?;
                    yield_now().await;
                    let there = handle.call(move || number + buf.len()).await?;
                    // A task of the spdk_thread, awaited by a task of Tokio.
                    let here = spawn_local(async move { there - 4096 })?.await?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    Ok::<_, Error>(here)
                }));
            }
            let mut sum = 0;
            for task in tasks {
                sum += task.await.map_err(|_| Error::Cancelled)??;
            }
            Ok::<_, Error>(sum)
        };
        match select(pin!(spdk_poller(&here)), pin!(work)).await {
            Either::Left(((), _)) => panic!("the poller ended"),
            Either::Right((sum, _)) => sum,
        }
    });
    assert_eq!(result?, (0..100).sum::<usize>());
    worker.end()
}

/// Fails if `block_on` needs a wake to go on: it polls its future after each poll of the spdk_thread.
#[spdk::test(no_app)]
fn block_on_runs_any_future() -> spdk::Result<()> {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let _env = env()?;
    assert!(matches!(
        block_on(async {}),
        Err(Error::NoThread {
            operation: "block_on"
        })
    ));
    let _here = thread("here")?;
    let mut turns = 0;
    block_on(poll_fn(|_| {
        turns += 1;
        if turns < 10 {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }))?;
    assert_eq!(turns, 10);
    // A future with a waker of its own.
    let waker = Waker::from(Arc::new(Nobody));
    let mut inner = Box::pin(async { yield_now().await });
    block_on(poll_fn(|_| {
        inner
            .as_mut()
            .poll(&mut std::task::Context::from_waker(&waker))
    }))?;
    let panicked = spawn_local(async { panic!("in a task") })?;
    assert!(matches!(
        block_on(panicked)?,
        Err::<(), _>(Error::Panicked { .. })
    ));
    Ok(())
}

thread_local! {
    static KEPT: RefCell<Option<SpdkThread>> = const { RefCell::new(None) };
}

/// Fails if an spdk_thread that goes with its OS thread's variables uses those that went before.
#[spdk::test(no_app)]
fn a_thread_kept_in_a_thread_local_variable_ends_with_it() -> spdk::Result<()> {
    let _env = env()?;
    for kept_first in [false, true] {
        let os_thread = std::thread::spawn(move || -> spdk::Result<()> {
            if kept_first {
                // Made before the variables of the crate, so it goes after them.
                KEPT.set(None);
            }
            let thread = thread("kept")?;
            drop(spawn_local(std::future::pending::<()>())?);
            thread.poll();
            KEPT.set(Some(thread));
            Ok(())
        });
        assert!(
            matches!(os_thread.join(), Ok(Ok(()))),
            "kept first: {kept_first}"
        );
    }
    Ok(())
}
