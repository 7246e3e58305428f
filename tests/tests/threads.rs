//! spdk_threads that the test polls itself, without an application.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::{Either, select};
use spdk::task::yield_now;
use spdk::{
    DmaBuf, Error, ErrorKind, IoDevice, PollStatus, Poller, SpdkThread, block_on, completion,
    spawn_local, spdk_poller,
};

use spdk_tests::own_thread::{PATIENCE, Worker, env, poll_until, thread};
use spdk_tests::poller::Counter;
use spdk_tests::{cloned, kind};

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
    let before = spdk::ticks();
    one.poll();
    assert!((before..=spdk::ticks()).contains(&one.last_poll()));
    assert_eq!(one.next_expiration(), None);
    let hour = Duration::from_secs(3600);
    let poller = Poller::every(hour, || PollStatus::Idle)?;
    let due = one.next_expiration().expect("a poller");
    let hour = hour.as_secs() * spdk::ticks_hz()?;
    assert!((before + hour..=spdk::ticks() + hour).contains(&due));
    drop(poller);
    drop(one);
    assert!(SpdkThread::get_current().is_none());
    // SPDK's thread library went with the last one, and comes again.
    assert_eq!(thread("three")?.name(), "three");
    Ok(())
}

/// Fails if a pool of too few messages is made, of which SPDK aborts the process when they are used up: also
/// one of the lower 32 bits of a size.
#[spdk::test(no_app)]
fn a_pool_has_enough_messages() -> spdk::Result<()> {
    /// For one spdk_thread.
    const LEAST: usize = 2047;
    let _env = env()?;
    for size in [0, 1, LEAST - 1, (1 << 32) + LEAST, usize::MAX] {
        let refused = SpdkThread::current_with_mempool_size("few", size);
        let Some(ErrorKind::Option { option, .. }) = kind(&refused) else {
            panic!("{size}: {refused:?}");
        };
        assert_eq!(*option, "mempool_size");
    }
    let thread = SpdkThread::current_with_mempool_size("enough", LEAST)?;
    let second = SpdkThread::current("too many");
    let text = second.err().map(|error| error.to_string());
    let least = "it must be at least 3071";
    assert!(
        text.as_ref().is_some_and(|text| text.ends_with(least)),
        "{text:?}"
    );
    // Each of these finds it asleep, which takes a message that it keeps then.
    let handle = thread.handle();
    let (tx, wakes) = mpsc::channel();
    let sender = std::thread::spawn(move || wakes.iter().try_for_each(|()| handle.send(|| ())));
    for _ in 0..2 * LEAST {
        poll_until(&thread, "its sleep", || !thread.has_active_pollers());
        tx.send(()).expect("it is there");
        poll_until(&thread, "the wake", || thread.has_active_pollers());
    }
    drop(tx);
    sender.join().expect("no panic")
}

/// Fails if an error of the start or a panic of the function is lost.
#[spdk::test(no_app)]
fn join_tells_what_happened() -> spdk::Result<()> {
    let early = SpdkThread::spawn("early", |_| ()).join();
    assert!(
        matches!(kind(&early), Some(ErrorKind::NotInitialised { .. })),
        "{early:?}"
    );
    let _env = env()?;
    assert_eq!(
        SpdkThread::spawn("seven", |thread| thread.name().len()).join()?,
        5
    );
    let panicked = SpdkThread::spawn("bad", |_| panic!("on purpose")).join();
    match panicked.map_err(Error::into_kind) {
        Err(ErrorKind::Panicked { message }) => assert_eq!(message, "on purpose"),
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

thread_local! {
    static MADE: RefCell<Vec<spdk::Result<SpdkThread>>> = const { RefCell::new(Vec::new()) };
}

/// Makes an spdk_thread where it is dropped.
struct Makes;

impl Drop for Makes {
    fn drop(&mut self) {
        let made = thread("made");
        MADE.with_borrow_mut(|all| all.push(made));
    }
}

/// Fails if an spdk_thread that is made inside a poll becomes the current one for the rest of it: what is given back
/// there then stays with SPDK, and is used after it was freed.
#[spdk::test(no_app)]
fn no_thread_is_made_inside_a_poll() -> spdk::Result<()> {
    let _env = env()?;
    let one = thread("one")?;
    let alive = Rc::new(());
    let kept = alive.clone();
    let poller = Poller::register(move || {
        let _kept = &kept;
        PollStatus::Idle
    })?;
    block_on(spawn_local(async { drop(Makes) })?)??;
    let deferred = Makes;
    spdk::task::defer(move || drop(deferred))?;
    poll_until(&one, "the closure", || MADE.with_borrow(Vec::len) == 2);
    // At the end: a task, and the value of a channel that goes with it, when SPDK has seen that.
    let channel = IoDevice::register("makes", || Makes)?.get_channel()?;
    let at_end = Makes;
    drop(spawn_local(async move {
        let _all = (channel, at_end);
        std::future::pending::<()>().await;
    })?);
    one.poll();
    drop(one);
    assert!(poller.has_ended() && Rc::strong_count(&alive) == 1);
    let made = MADE.take();
    assert_eq!(made.len(), 4);
    for made in &made {
        assert!(
            matches!(kind(made), Some(ErrorKind::InvalidArgument { .. })),
            "{made:?}"
        );
    }
    assert_eq!(thread("next")?.name(), "next");
    Ok(())
}

/// Fails if the end of a task is missed that comes in the clone of its handle's waker.
#[spdk::test(no_app)]
fn a_task_ends_in_the_clone_of_a_waker() -> spdk::Result<()> {
    let _env = env()?;
    let one = Rc::new(thread("one")?);
    let (polled, ran) = (one.clone(), Rc::new(Cell::new(false)));
    let has_run = ran.clone();
    let mut task = pin!(spawn_local(async move { ran.set(true) })?);
    let waker = cloned::waker(move || poll_until(&polled, "the task", || has_run.get()));
    let poll = task.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(matches!(poll, Poll::Ready(Ok(()))), "{poll:?}");
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

/// Fails if each wake from another OS thread has a turn of its own, or one is lost among many.
#[spdk::test(no_app)]
fn pending_wakes_of_a_task_are_one() -> spdk::Result<()> {
    const TASKS: usize = 200;
    let _env = env()?;
    let here = thread("here")?;
    let (tx, rx) = mpsc::channel::<Waker>();
    let polls = Rc::new(RefCell::new(vec![0; TASKS]));
    for task in 0..TASKS {
        let (tx, polls) = (tx.clone(), polls.clone());
        drop(spawn_local(poll_fn(move |cx| {
            polls.borrow_mut()[task] += 1;
            // The receiver goes when it has them all.
            let _ = tx.send(cx.waker().clone());
            Poll::<()>::Pending
        }))?);
    }
    here.poll();
    let wakers: Vec<Waker> = rx.try_iter().collect();
    assert_eq!(wakers.len(), TASKS);
    drop(rx);
    for turn in 2..5 {
        let wakers = wakers.clone();
        let elsewhere = std::thread::spawn(move || {
            for _ in 0..1000 {
                wakers.iter().for_each(Waker::wake_by_ref);
            }
        });
        assert!(elsewhere.join().is_ok());
        for _ in 0..10 {
            here.poll();
        }
        assert_eq!(*polls.borrow(), [turn; TASKS]);
    }
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
                sum += task.await.map_err(|_| ErrorKind::Cancelled)??;
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
        kind(&block_on(async {})),
        Some(ErrorKind::NoThread {
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
        kind::<()>(&block_on(panicked)?),
        Some(ErrorKind::Panicked { .. })
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

/// Fails if `block_on` polls an spdk_thread that its future has destroyed.
#[spdk::test(no_app)]
fn block_on_ends_with_its_thread() -> spdk::Result<()> {
    let _env = env()?;
    let gone = thread("gone")?;
    let outcome = block_on(async move {
        drop(gone);
        yield_now().await;
    });
    assert!(
        matches!(kind(&outcome), Some(ErrorKind::NoThread { .. })),
        "{outcome:?}"
    );

    // Another one of the same OS thread does not stand in for it.
    let _other = thread("other")?;
    let gone = thread("gone")?;
    let outcome = block_on(async move {
        drop(gone);
        yield_now().await;
    });
    assert!(
        matches!(kind(&outcome), Some(ErrorKind::NoThread { .. })),
        "{outcome:?}"
    );
    Ok(())
}
