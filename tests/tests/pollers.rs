//! Pollers: closures that an spdk_thread runs.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use spdk::PollStatus::{Busy, Idle};
use spdk::task::yield_now;
use spdk::{ErrorKind, Gone, Poller, SpdkApp, SpdkThread, block_on, completion, spawn_local};
use spdk_tests::own_thread::{self, poll_until};
use spdk_tests::turns::pass;
use spdk_tests::wait::spent;
use spdk_tests::{dma, kind, rpc, second, until};

/// Counts in a cell, and counts down in another when it is dropped.
struct Witness(Rc<Cell<u32>>);

impl Witness {
    fn new(alive: &Rc<Cell<u32>>) -> Self {
        alive.set(alive.get() + 1);
        Witness(alive.clone())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A poller that counts its runs, and the count.
fn counter() -> spdk::Result<(Poller, Rc<Cell<u64>>)> {
    let runs = Rc::new(Cell::new(0));
    let count = runs.clone();
    let poller = Poller::register(move || {
        count.set(count.get() + 1);
        Busy
    })?;
    Ok((poller, runs))
}

/// Fails if a poller does not run in each poll, runs after its drop, or keeps its closure.
#[spdk::test]
async fn a_poller_runs_until_it_is_dropped() -> spdk::Result<()> {
    let alive = Rc::new(Cell::new(0));
    let witness = Witness::new(&alive);
    let runs = Rc::new(Cell::new(0));
    let count = runs.clone();
    let poller = Poller::register(move || {
        let _ = &witness;
        count.set(count.get() + 1);
        Idle
    })?;
    assert_eq!(runs.get(), 0, "it ran inside of its registration");
    until("the first run", || runs.get() > 0).await;
    let before = runs.get();
    pass(100).await;
    assert!((99..=101).contains(&(runs.get() - before)));
    assert!(poller.name().contains("a_poller_runs_until_it_is_dropped"));
    drop(poller);
    assert_eq!(alive.get(), 0);
    let before = runs.get();
    pass(10).await;
    assert_eq!(runs.get(), before);
    Ok(())
}

/// Fails if a periodic poller runs too early or too often, or its names and periods are not SPDK's.
#[spdk::test(rpc_addr = &rpc::address())]
async fn a_periodic_poller_keeps_its_period() -> spdk::Result<()> {
    const PERIOD: Duration = Duration::from_millis(2);
    let (runs, start) = (Rc::new(Cell::new(0)), Instant::now());
    let count = runs.clone();
    let poller = Poller::builder()
        .name("heartbeat")
        .period(PERIOD)
        .register(move || {
            count.set(count.get() + 1);
            Busy
        })?;
    until("runs", || {
        assert!(spent(start) >= PERIOD * runs.get(), "too early");
        runs.get() >= 20
    })
    .await;
    let pollers = rpc::get("thread_get_pollers").await.to_string();
    assert!(pollers.contains(r#""name":"heartbeat""#), "{pollers}");
    drop(poller);
    // Less than a microsecond is not each poll.
    let never = Poller::every(Duration::from_nanos(1), || Busy)?;
    assert!(!never.has_ended());
    let far = Poller::every(Duration::MAX, || panic!("that was quick"))?;
    pass(10).await;
    drop((never, far));
    for name in ["", "a\0b"] {
        let refused = Poller::builder().name(name).register(|| Idle);
        assert!(matches!(
            kind(&refused),
            Some(ErrorKind::Option { option: "name", .. })
        ));
    }
    Ok(())
}

/// Fails if a paused poller runs, or a resumed one does not, from outside and from inside itself.
#[spdk::test]
async fn pause_and_resume() -> spdk::Result<()> {
    for period in [Duration::ZERO, Duration::from_micros(50)] {
        let runs = Rc::new(Cell::new(0));
        let own = Rc::new(RefCell::new(None::<Poller>));
        let (count, inside) = (runs.clone(), own.clone());
        let poller = Poller::every(period, move || {
            count.set(count.get() + 1);
            if count.get() % 5 == 0
                && let Some(own) = &*inside.borrow()
            {
                assert!(own.pause().is_ok());
            }
            Busy
        })?;
        poller.pause()?;
        poller.pause()?;
        assert!(poller.is_paused());
        pass(50).await;
        assert_eq!(runs.get(), 0);
        poller.resume()?;
        poller.resume()?;
        *own.borrow_mut() = Some(poller);
        for stop in [5, 10, 15] {
            until("the pause inside", || runs.get() == stop).await;
            pass(50).await;
            assert_eq!(runs.get(), stop);
            if let Some(poller) = &*own.borrow() {
                assert!(poller.is_paused());
                poller.resume()?;
            }
        }
        // Dropped while it is paused, and while it is about to be.
        until("the last pause", || runs.get() == 20).await;
        own.take();
        let (poller, runs) = counter()?;
        poller.pause()?;
        drop(poller);
        pass(10).await;
        assert_eq!(runs.get(), 0);
    }
    Ok(())
}

/// Fails if a poller that drops itself frees its closure while that runs, or goes on.
#[spdk::test]
async fn a_poller_drops_itself() -> spdk::Result<()> {
    for period in [Duration::ZERO, Duration::from_micros(10)] {
        let (alive, runs) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let own = Rc::new(RefCell::new(None));
        let (witness, count, inside) = (Witness::new(&alive), runs.clone(), own.clone());
        let poller = Poller::every(period, move || {
            drop(inside.take());
            // What the closure has captured is still there.
            assert_eq!(witness.0.get(), 1);
            count.set(count.get() + 1);
            Busy
        })?;
        own.replace(Some(poller));
        until("its run", || runs.get() == 1).await;
        pass(10).await;
        assert_eq!((runs.get(), alive.get()), (1, 0));
    }
    Ok(())
}

/// Fails if a panic in a poller ends more than the poller, or goes unreported.
#[spdk::test]
async fn a_panic_ends_the_poller() -> spdk::Result<()> {
    let (alive, runs) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (witness, count) = (Witness::new(&alive), runs.clone());
    let poller = Poller::register(move || {
        let _ = &witness;
        count.set(count.get() + 1);
        panic!("in a poller");
    })?;
    until("the panic", || runs.get() > 0).await;
    pass(10).await;
    assert_eq!((runs.get(), alive.get()), (1, 0));
    assert!(poller.has_ended() && poller.as_ptr().is_null());
    for refused in [poller.pause(), poller.resume()] {
        assert!(matches!(
            kind(&refused),
            Some(ErrorKind::Gone {
                why: Gone::Closed,
                ..
            })
        ));
    }
    // One whose closure panics when it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    let bomb = Bomb;
    let poller = Poller::register(move || {
        let _ = &bomb;
        Idle
    })?;
    pass(3).await;
    drop(poller);
    pass(3).await;
    Ok(())
}

/// Fails if what a poller finds does not reach a task, or a task is polled inside of a poller.
#[spdk::test]
async fn a_poller_wakes_tasks() -> spdk::Result<()> {
    let inside = Rc::new(Cell::new(false));
    for number in 0..100 {
        let (tx, rx) = completion();
        let (mut tx, poller_runs) = (Some(tx), inside.clone());
        let spawned = Rc::new(Cell::new(None));
        let task = spawned.clone();
        let poller = Poller::register(move || {
            poller_runs.set(true);
            if let Some(tx) = tx.take() {
                tx.success(number);
                // A task that is spawned here runs later.
                let seen = poller_runs.clone();
                task.set(spawn_local(async move { seen.get() }).ok());
            }
            poller_runs.set(false);
            Busy
        })?;
        let seen = inside.clone();
        let task = spawn_local(async move { (rx.await, seen.get()) })?;
        let (value, was_inside) = task.await?;
        assert_eq!(value?, number);
        assert!(!was_inside, "polled inside of a poller");
        match spawned.take() {
            Some(task) => assert!(!task.await?, "polled inside of a poller"),
            None => panic!("no task was spawned"),
        }
        drop(poller);
    }
    Ok(())
}

thread_local! {
    static KEPT: RefCell<Option<Poller>> = const { RefCell::new(None) };
}

/// Fails if a poller is touched from another spdk_thread, or is not ended at home after a drop there.
#[spdk::test]
async fn a_poller_belongs_to_its_thread() -> spdk::Result<()> {
    let (alive, runs) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (witness, count) = (Witness::new(&alive), runs.clone());
    KEPT.set(Some(Poller::register(move || {
        let here = SpdkThread::get_current().map(|thread| thread.name().to_owned());
        assert_eq!(here.as_deref(), Some("app_thread"));
        let _ = &witness;
        count.set(count.get() + 1);
        Busy
    })?));
    let second = second::spdk_thread("second").await;
    second
        .call(|| {
            let Some(poller) = KEPT.take() else {
                panic!("another OS thread");
            };
            for refused in [poller.pause(), poller.resume()] {
                match kind(&refused) {
                    Some(ErrorKind::WrongThread { home, current, .. }) => {
                        assert_eq!((home.as_str(), current.as_str()), ("app_thread", "second"));
                    }
                    other => panic!("{other:?}"),
                }
            }
            drop(poller);
        })
        .await?;
    until("its end at home", || alive.get() == 0).await;
    let before = runs.get();
    pass(10).await;
    assert_eq!(runs.get(), before);
    Ok(())
}

/// Fails if pollers hold up the end of an spdk_thread, run after it, or leave something of theirs.
#[spdk::test(no_app)]
fn a_thread_ends_with_pollers() -> spdk::Result<()> {
    let _env = own_thread::env()?;
    let refused = Poller::register(|| Idle);
    assert!(matches!(kind(&refused), Some(ErrorKind::NoThread { .. })));
    for round in 0..3 {
        let thread = own_thread::thread("ends")?;
        let (alive, runs) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let make = |period| {
            let (witness, count) = (Witness::new(&alive), runs.clone());
            Poller::every(period, move || {
                let _ = &witness;
                count.set(count.get() + 1);
                Busy
            })
        };
        let kept = [make(Duration::ZERO)?, make(Duration::from_secs(3600))?];
        std::mem::forget(make(Duration::ZERO)?);
        let paused = make(Duration::ZERO)?;
        paused.pause()?;
        let own = make(Duration::ZERO)?;
        let task = block_on(async {
            spawn_local(async move {
                let _own = own;
                std::future::pending::<()>().await
            })
        })??;
        poll_until(&thread, "some runs", || runs.get() > 10);
        // A poller that is registered while the spdk_thread ends is refused.
        struct Late(Rc<Cell<bool>>);
        impl Drop for Late {
            fn drop(&mut self) {
                let late = Poller::register(|| panic!("late"));
                self.0
                    .set(matches!(kind(&late), Some(ErrorKind::Gone { .. })));
            }
        }
        let refused = Rc::new(Cell::new(false));
        let late = Late(refused.clone());
        drop(spawn_local(async move {
            let _late = late;
            std::future::pending::<()>().await
        })?);
        thread.poll();
        assert_eq!(alive.get(), 5);
        let start = Instant::now();
        drop(thread);
        assert!(start.elapsed() < Duration::from_secs(3), "in {round}");
        assert_eq!(alive.get(), 0);
        assert!(refused.get());
        assert!(kept.iter().all(Poller::has_ended));
        assert!(matches!(
            kind(&kept[0].pause()),
            Some(ErrorKind::Gone {
                why: Gone::ThreadEnded,
                ..
            })
        ));
        drop((kept, paused, task));
    }
    Ok(())
}

/// Fails if an application does not end with pollers alive, kept and forgotten.
#[spdk::test(no_app, deadline = 30)]
fn an_application_ends_with_pollers() -> spdk::Result<()> {
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let app = SpdkApp::builder()
        .name("pollers")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true);
    let start = Rc::new(Cell::new(None));
    let started = start.clone();
    let poller = app.block_on(async move {
        let count = count.clone();
        let poller = Poller::register(move || {
            count.fetch_add(1, SeqCst);
            Busy
        })?;
        std::mem::forget(Poller::every(Duration::from_millis(1), || Idle)?);
        for _ in 0..10 {
            yield_now().await;
        }
        started.set(Some(Instant::now()));
        Ok(poller)
    })?;
    assert!(runs.load(SeqCst) > 5);
    assert!(poller.has_ended());
    let took = start.get().map(|start| start.elapsed());
    assert!(took < Some(Duration::from_secs(4)), "the end took {took:?}");
    Ok(())
}

/// Fails if pollers leave memory behind.
#[spdk::test]
async fn pollers_leave_nothing() -> spdk::Result<()> {
    let pieces = dma::pieces();
    for _ in 0..1000 {
        let (poller, _) = counter()?;
        yield_now().await;
        poller.pause()?;
        drop(poller);
    }
    assert_eq!(dma::pieces(), pieces);
    Ok(())
}
