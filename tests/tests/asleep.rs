//! The executor's poller pauses when it has had nothing to do for a while: whatever there is for it wakes it
//! up, from wherever it comes.
//!
//! Each of these faults was put into the core, and these tests failed:
//!
//! - The wake, the spawn or the abort of a task, or the release of a handle, leaves it asleep:
//!   `what_comes_from_its_own_os_thread_*` and `what_comes_from_another_spdk_thread_*`.
//! - A message, or a wake of another OS thread, does: `what_comes_from_another_os_thread_*`.
//!
//! That it does not fall asleep over a message or a wake is for the model checker: see `model/tests/threads`.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Poll, Waker};
use std::time::Instant;

use spdk::task::JoinHandle;
use spdk::{SpdkThread, spawn_local};
use spdk_tests::own_thread::{PATIENCE, Worker, env, poll_until, thread};
use spdk_tests::random::Random;

/// Polls until the executor's poller pauses; the thread has no other one.
fn fall_asleep(thread: &SpdkThread) {
    poll_until(thread, "its sleep", || !thread.has_active_pollers());
}

/// A task that counts its polls.
struct Sleeper {
    task: JoinHandle<()>,
    polls: Rc<Cell<u64>>,
    waker: Rc<RefCell<Option<Waker>>>,
}

impl Sleeper {
    fn start(thread: &SpdkThread) -> spdk::Result<Self> {
        let polls = Rc::new(Cell::new(0));
        let waker = Rc::new(RefCell::new(None));
        let (count, place) = (polls.clone(), waker.clone());
        let task = spawn_local(poll_fn(move |cx| {
            count.set(count.get() + 1);
            place.replace(Some(cx.waker().clone()));
            Poll::Pending
        }))?;
        poll_until(thread, "the first poll", || polls.get() == 1);
        Ok(Sleeper { task, polls, waker })
    }

    fn waker(&self) -> Waker {
        self.waker.borrow().clone().expect("it was polled")
    }
}

#[spdk::test(no_app)]
fn what_comes_from_its_own_os_thread_wakes_it_up() -> spdk::Result<()> {
    let _env = env()?;
    let thread = thread("sleeps")?;
    let sleeper = Sleeper::start(&thread)?;

    fall_asleep(&thread);
    sleeper.waker().wake();
    poll_until(&thread, "a wake", || sleeper.polls.get() == 2);

    fall_asleep(&thread);
    let task = spawn_local(async {})?;
    poll_until(&thread, "a new task", || task.is_finished());

    fall_asleep(&thread);
    let done = Arc::new(AtomicU64::new(0));
    let there = done.clone();
    thread.handle().send(move || there.store(1, SeqCst))?;
    poll_until(&thread, "a message", || done.load(SeqCst) == 1);

    fall_asleep(&thread);
    sleeper.task.abort();
    poll_until(&thread, "an abort", || sleeper.task.is_finished());

    // Its own end, too.
    fall_asleep(&thread);
    drop(thread);
    Ok(())
}

#[spdk::test(no_app)]
fn what_comes_from_another_spdk_thread_wakes_it_up() -> spdk::Result<()> {
    let _env = env()?;
    let below = thread("sleeps")?;
    let sleeper = Sleeper::start(&below)?;
    fall_asleep(&below);
    // The current one from here on.
    let above = thread("wakes")?;

    sleeper.waker().wake();
    let current = SpdkThread::get_current().map(|current| current.id());
    assert_eq!(current, Some(above.id()), "it became current for good");
    poll_until(&below, "a wake", || sleeper.polls.get() == 2);

    fall_asleep(&below);
    let waker = sleeper.waker();
    let task = spawn_local(async move { waker.wake() })?;
    poll_until(&above, "the task that wakes", || task.is_finished());
    poll_until(&below, "a wake by a task", || sleeper.polls.get() == 3);

    fall_asleep(&below);
    sleeper.task.abort();
    poll_until(&below, "an abort", || sleeper.task.is_finished());
    drop(above);
    fall_asleep(&below);
    Ok(())
}

#[spdk::test(no_app)]
fn what_comes_from_another_os_thread_wakes_it_up() -> spdk::Result<()> {
    let _env = env()?;
    let thread = thread("sleeps")?;
    let sleeper = Sleeper::start(&thread)?;
    let done = Arc::new(AtomicU64::new(0));
    for round in 1..=50 {
        fall_asleep(&thread);
        let waker = sleeper.waker();
        let wakes = std::thread::spawn(move || waker.wake());
        poll_until(&thread, "a wake", || sleeper.polls.get() == 1 + round);
        assert!(wakes.join().is_ok());

        fall_asleep(&thread);
        let (handle, there) = (thread.handle(), done.clone());
        let sends = std::thread::spawn(move || {
            let sent = handle.send(move || _ = there.fetch_add(1, SeqCst));
            assert!(sent.is_ok());
        });
        poll_until(&thread, "a message", || done.load(SeqCst) == round);
        assert!(sends.join().is_ok());
    }
    Ok(())
}

/// The other OS thread sends and wakes just as this one is about to fall asleep.
#[spdk::test(no_app)]
fn no_wake_is_lost_as_it_falls_asleep() -> spdk::Result<()> {
    let _env = env()?;
    let worker = Worker::start("sleeps");
    let woken = Arc::new(AtomicU64::new(0));
    let waker = Arc::new(std::sync::Mutex::new(None::<Waker>));
    let (count, place) = (woken.clone(), waker.clone());
    worker.handle.send(move || {
        let task = spawn_local(poll_fn(move |cx| {
            place.lock().unwrap().replace(cx.waker().clone());
            count.fetch_add(1, SeqCst);
            Poll::<()>::Pending
        }));
        assert!(task.is_ok());
    })?;
    let wait = |what: &str, value: &AtomicU64, at_least: u64| {
        let start = Instant::now();
        while value.load(SeqCst) < at_least {
            std::hint::spin_loop();
            assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        }
    };
    wait("the task", &woken, 1);
    let waker = waker.lock().unwrap().clone().expect("it was polled");

    let mut random = Random::new(1);
    let sent = Arc::new(AtomicU64::new(0));
    for round in 1..=600 {
        // From about no idle turn to well after the last one.
        (0..random.below(1 << (round % 14))).for_each(|_| std::hint::spin_loop());
        if random.below(2) == 0 {
            let before = woken.load(SeqCst);
            waker.wake_by_ref();
            wait("a wake", &woken, before + 1);
        } else {
            let (there, before) = (sent.clone(), sent.load(SeqCst));
            worker.handle.send(move || _ = there.fetch_add(1, SeqCst))?;
            wait("a message", &sent, before + 1);
        }
    }
    worker.end()
}
