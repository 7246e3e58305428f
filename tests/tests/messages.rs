//! Messages and calls between spdk_threads that the test polls itself.
#![allow(missing_docs)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use spdk::task::yield_now;
use spdk::{Error, ErrorKind, SpdkThread, block_on};
use spdk_tests::kind;
use spdk_tests::own_thread::{PATIENCE, Worker, env, poll_until, thread};

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
            matches!(kind::<()>(&panicked), Some(ErrorKind::Panicked { message }) if message == "in a call")
        );
        let panicked = handle.spawn(|| async { panic!("in a task") }).await;
        assert!(
            matches!(kind::<()>(&panicked), Some(ErrorKind::Panicked { message }) if message == "in a task")
        );
        let panicked = handle
            .spawn(|| -> std::future::Ready<()> { panic!("before it") })
            .await;
        assert!(
            matches!(kind(&panicked), Some(ErrorKind::Panicked { message }) if message == "before it")
        );
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
    assert!(matches!(
        kind(&block_on(forever)?),
        Some(ErrorKind::Cancelled)
    ));
    let dropped = Arc::new(());
    let held = dropped.clone();
    match handle.send(move || drop(held)).map_err(Error::into_kind) {
        Err(ErrorKind::ThreadEnded { name }) => assert_eq!(name, "worker"),
        other => panic!("{other:?}"),
    }
    assert_eq!(Arc::strong_count(&dropped), 1, "a refused message was kept");
    let called = block_on(handle.call(|| 1))?;
    assert!(
        matches!(kind(&called), Some(ErrorKind::ThreadEnded { .. })),
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
