//! spdk_threads that move from core to core.
//!
//! Each of these faults was put into the crate, and these tests failed: a closure on such an spdk_thread gets
//! handles (`nothing_that_is_not_send`); the end of the application leaves it (`the_application_ends`); its end
//! leaves its pollers (`ends`, `the_application_ends`), or overtakes what was sent before (`ends`); a message of
//! SPDK's for each closure (`a_flood`).
#![allow(missing_docs)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{join, try_join};
use spdk::task::{self, yield_now};
use spdk::{
    Bdev, CpuSet, Error, ErrorKind, IoDevice, MovableThread, PollStatus, Poller, SpdkApp, SpdkEnv,
    SpdkThread, for_each_thread, spawn_local, spawn_on,
};
use spdk_tests::census::Census;
use spdk_tests::wait::{PATIENCE, within};
use spdk_tests::{Counters, Device, forget, kind, poll_once, until};

const MS: Duration = Duration::from_millis(1);

fn on(core: u32) -> CpuSet {
    CpuSet::of([core]).expect("it is below the limit")
}

/// Returns when the spdk_thread is on this core.
async fn arrival(thread: &MovableThread, core: u32) -> spdk::Result<()> {
    let start = Instant::now();
    while thread.core().await? != core {
        assert!(
            start.elapsed() < PATIENCE,
            "it does not come to core {core}"
        );
        yield_now().await;
    }
    Ok(())
}

fn is_invalid<T>(result: &spdk::Result<T>) -> bool {
    matches!(kind(result), Some(ErrorKind::InvalidArgument { .. }))
}

fn has_ended<T>(result: &spdk::Result<T>) -> bool {
    matches!(kind(result), Some(ErrorKind::ThreadEnded { .. }))
}

/// What the closures of a sender saw: their numbers, and their cores.
type Seen = Arc<Mutex<Vec<(u64, Option<u32>)>>>;

/// Sends closures until told to stop, and checks that each has run once, in order. Returns on how many cores.
async fn send(thread: Arc<MovableThread>, stop: Arc<AtomicUsize>) -> spdk::Result<usize> {
    let seen = Seen::default();
    let mut sent = 0;
    while stop.load(SeqCst) == 0 {
        for _ in 0..10 {
            let (seen, number) = (seen.clone(), sent);
            thread.send(move || {
                seen.lock()
                    .expect("no panic")
                    .push((number, SpdkApp::current_core()));
            })?;
            sent += 1;
        }
        // One that answers, after those before it.
        let seen = seen.clone();
        let count = thread.call(move || seen.lock().expect("no panic").len());
        assert_eq!(count.await? as u64, sent);
    }
    let seen = seen.lock().expect("no panic");
    assert!(seen.iter().map(|(number, _)| *number).eq(0..sent));
    let cores = [0, 1].map(|core| seen.iter().any(|(_, seen)| *seen == Some(core)));
    assert!(seen.iter().all(|(_, core)| core.is_some()));
    Ok(cores.into_iter().filter(|seen| *seen).count())
}

/// Moves it to and fro; there its poller runs, and nowhere else.
async fn to_and_fro(thread: &MovableThread, period: Duration, moves: u32) -> spdk::Result<()> {
    let runs = Arc::new([const { AtomicU64::new(0) }; 2]);
    let count = runs.clone();
    let poller = thread.poller(period, move || {
        let core = SpdkApp::current_core().expect("a reactor");
        count[core as usize].fetch_add(1, SeqCst);
        PollStatus::Busy
    });
    let poller = poller.await?;
    for number in 0..moves {
        let (here, there) = (number % 2, (number + 1) % 2);
        thread.set_cores(&on(here)).await?;
        arrival(thread, here).await?;
        assert_eq!(thread.cores().await?, on(here));
        let [runs_here, runs_there] = [here, there].map(|core| &runs[core as usize]);
        let (before, elsewhere) = (runs_here.load(SeqCst), runs_there.load(SeqCst));
        until("the poller", || runs_here.load(SeqCst) > before + 3).await;
        assert_eq!(runs_there.load(SeqCst), elsewhere, "move {number}");
    }
    drop(poller);
    // The closure goes before what is sent next.
    thread.call(|| ()).await?;
    assert_eq!(Arc::strong_count(&runs), 1);
    Ok(())
}

/// Fails if a move loses, repeats or reorders a message, runs anything on the core that was left, or does
/// not happen.
#[spdk::test(cores = "0x3")]
async fn moves_under_load() -> spdk::Result<()> {
    let thread = Arc::new(MovableThread::new("movable", &on(0))?);
    assert_eq!((thread.name(), thread.core().await?), ("movable", 0));
    let stop = Arc::new(AtomicUsize::new(0));
    let near = send(thread.clone(), stop.clone());
    let far = {
        let (thread, stop) = (thread.clone(), stop.clone());
        spawn_on(1, move || send(thread, stop))
    };
    let moved = async {
        to_and_fro(&thread, Duration::ZERO, 12).await?;
        to_and_fro(&thread, Duration::from_micros(50), 12).await?;
        stop.store(1, SeqCst);
        Ok::<_, Error>(())
    };
    let ((), (near, far)) = try_join(moved, try_join(near, async { far.await? })).await?;
    assert_eq!((near, far), (2, 2), "the cores that closures ran on");
    assert!(thread.stats().await?.busy_ticks > 0);
    Ok(())
}

/// Fails if its end loses what was sent before, leaves a closure or the spdk_thread, or hangs.
#[spdk::test(cores = "0x3")]
async fn ends() -> spdk::Result<()> {
    let threads = SpdkThread::count();
    let census = Census::default();
    for round in 0..36 {
        let (here, there) = (on(round % 2), on((round + 1) % 2));
        let thread = Arc::new(MovableThread::new("short", &here)?);
        let alive = census.one();
        let poller = thread.poller(Duration::ZERO, move || {
            let _alive = &alive;
            PollStatus::Idle
        });
        // One that nobody drops.
        forget(poller.await?);
        let alive = census.one();
        let poller = thread.poller(MS, move || {
            let _alive = &alive;
            PollStatus::Idle
        });
        let poller = poller.await?;
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..200 {
            let (ran, alive) = (ran.clone(), census.one());
            thread.send(move || {
                drop(alive);
                ran.fetch_add(1, SeqCst);
            })?;
        }
        // It is told to move, and may not have done so yet.
        match round % 3 {
            0 => thread.set_cores(&there).await?,
            1 => _ = poll_once(pin!(thread.set_cores(&there))),
            _ => {}
        }
        match round / 3 % 4 {
            // The last handle goes on the spdk_thread itself.
            0 => {
                let last = thread.clone();
                thread.send(move || drop(last))?;
                drop(thread);
            }
            1 => drop(thread),
            way => {
                let thread = Arc::into_inner(thread).expect("the last one");
                let mut end = Box::pin(thread.exit());
                if way == 2 {
                    within("the end", end).await;
                } else {
                    let _ = poll_once(end.as_mut()); // which may be the end already, on a slow machine
                }
            }
        }
        until("the closures", || census.count() == 0).await;
        assert_eq!(ran.load(SeqCst), 200, "round {round}");
        drop(poller);
    }
    until("the exits", || SpdkThread::count() == threads).await;
    Ok(())
}

/// Fails if an iteration over the spdk_threads meets one that has gone, misses one, or makes one stay.
#[spdk::test(cores = "0x3")]
async fn iterations_pass() -> spdk::Result<()> {
    let threads = SpdkThread::count();
    let stay = MovableThread::new("stays", &on(0))?;
    let visits = async {
        for _ in 0..150 {
            // The closure would keep it where it is, if it got a task there.
            let names = for_each_thread(|thread| {
                let task = spawn_local(async {});
                (thread.name.clone(), is_invalid(&task))
            });
            let names = names.await?;
            let ours = |(name, refused): &&(String, bool)| name == "stays" && *refused;
            assert_eq!(names.iter().filter(ours).count(), 1, "{names:?}");
        }
        Ok::<_, Error>(())
    };
    let lives = async {
        for round in 0..80 {
            let thread = MovableThread::new("goes", &on(round % 2))?;
            stay.set_cores(&on(round % 2)).await?;
            thread.set_cores(&on((round + 1) % 2)).await?;
            within("the end", thread.exit()).await;
        }
        Ok::<_, Error>(())
    };
    try_join(visits, lives).await?;
    to_and_fro(&stay, Duration::ZERO, 2).await?;
    drop(stay);
    until("the exits", || SpdkThread::count() == threads).await;
    Ok(())
}

thread_local! {
    /// Left for whatever runs on this OS thread.
    static LEFT: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// Fails if a handle, a task or a timer can be made or used on it, which could then move.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "M", num_blocks = 64, block_size = 512))
)]
async fn nothing_that_is_not_send() -> spdk::Result<()> {
    let device = Arc::new(IoDevice::register("values", || 0_u8)?);
    let thread = MovableThread::new("movable", &on(0))?;
    let counters = Counters::settled(async { Device::open("M").map(drop) }).await?;
    LEFT.set(Some(Device::open("M")?));
    let theirs = device.clone();
    let refused = thread.call(move || {
        assert!(SpdkThread::get_current().is_none());
        let names = [
            ("Bdev::find", is_invalid(&Bdev::find("M"))),
            ("Bdev::all", is_invalid(&Bdev::all())),
            ("spawn_local", is_invalid(&spawn_local(async {}))),
            ("task::defer", is_invalid(&task::defer(|| ()))),
            ("Poller", is_invalid(&Poller::register(|| PollStatus::Idle))),
            ("IoDevice", is_invalid(&IoDevice::register("mine", || 0_u8))),
            ("channel", is_invalid(&theirs.get_channel())),
            ("interval", is_invalid(&spdk::time::interval(MS))),
            ("block_on", spdk::block_on(async {}).is_err()),
            (
                "iobuf",
                is_invalid(&spdk::iobuf::Channel::new("mine", 1, 1)),
            ),
        ];
        // Of a spdk_thread that is bound to this OS thread, on which this closure finds it.
        let left = LEFT.take().expect("left there");
        let mut buf = left.buffer(1).expect("memory");
        let read = poll_once(pin!(left.desc.read(&left.ch, &mut buf, 0)));
        let read = matches!(read, std::task::Poll::Ready(Err(_)));
        drop(left);
        (names, read, spawn_local(async {}).map(drop))
    });
    let (names, read, spawned) = refused.await?;
    assert!(read, "a read with another spdk_thread's handle");
    for (name, is_refused) in names {
        assert!(is_refused, "{name}");
    }
    let told = spawned.expect_err("refused").to_string();
    assert!(told.contains("\"movable\" is a `MovableThread`"), "{told}");
    counters.assert_back().await;
    // Nothing has bound it.
    to_and_fro(&thread, Duration::ZERO, 2).await
}

/// Fails if a wrong request is taken, or a panic ends more than what has panicked.
#[spdk::test(cores = "0x3")]
async fn mistakes() -> spdk::Result<()> {
    assert!(is_invalid(&MovableThread::new("m", &CpuSet::new())));
    assert!(is_invalid(&MovableThread::new("m", &on(5))));
    let no_name = MovableThread::new("", &on(0));
    assert!(matches!(kind(&no_name), Some(ErrorKind::Option { .. })));
    let thread = MovableThread::new("m", &on(1))?;
    assert!(is_invalid(&thread.set_cores(&CpuSet::new()).await));
    assert!(is_invalid(&thread.set_cores(&CpuSet::of([0, 5])?).await));
    assert_eq!((thread.core().await?, thread.cores().await?), (1, on(1)));

    let panicked = thread.call(|| panic!("on purpose")).await;
    assert!(matches!(kind(&panicked), Some(ErrorKind::Panicked { .. })));
    thread.send(|| panic!("on purpose"))?;
    let census = Census::default();
    let (alive, mut runs) = (census.one(), 0);
    let poller = thread.poller(Duration::ZERO, move || {
        let _alive = &alive;
        runs += 1;
        assert!(runs < 3, "on purpose");
        PollStatus::Busy
    });
    let poller = poller.await?;
    until("the end of the poller", || census.count() == 0).await;
    drop(poller);
    to_and_fro(&thread, Duration::ZERO, 2).await?;

    // What comes too late is refused, from a closure too, and dropped.
    let thread = Arc::new(thread);
    let (alive, late) = (census.one(), thread.clone());
    let poller = thread.poller(Duration::ZERO, move || {
        let _alive = &alive;
        let _ = late.send(|| ());
        PollStatus::Idle
    });
    let poller = poller.await?;
    drop(poller);
    until("the drop of the poller", || census.count() == 0).await;
    until("its handle", || Arc::strong_count(&thread) == 1).await;
    let thread = Arc::into_inner(thread).expect("the last one");
    thread.exit().await;
    Ok(())
}

/// Fails if many closures at once use up SPDK's messages, which would abort the process.
#[spdk::test(cores = "0x3")]
async fn a_flood() -> spdk::Result<()> {
    const COUNT: usize = spdk::DEFAULT_MSG_MEMPOOL_SIZE + 50_000;
    let thread = MovableThread::new("flooded", &on(1))?;
    let (go, gate) = std::sync::mpsc::channel::<()>();
    thread.send(move || {
        let _ = gate.recv(); // until `go` is dropped
    })?;
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..COUNT {
        let ran = ran.clone();
        thread.send(move || {
            ran.fetch_add(1, SeqCst);
        })?;
    }
    drop(go);
    let cores = on(0);
    let moved = thread.set_cores(&cores);
    let (moved, ()) = join(moved, until("the flood", || ran.load(SeqCst) == COUNT)).await;
    moved?;
    arrival(&thread, 0).await
}

fn app() -> spdk::SpdkAppBuilder {
    SpdkApp::builder()
        .name("movable")
        .reactor_mask("0x3")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
}

/// Fails if the end of the application leaves it, or if its handle is of harm after that.
#[spdk::test(no_app)]
fn the_application_ends() -> spdk::Result<()> {
    let census = Census::default();
    let inside = census.clone();
    let start = Instant::now();
    let left = app().block_on(async move {
        let mut left = Vec::new();
        for core in [0, 1, 0, 1] {
            let thread = MovableThread::new("left", &on(core))?;
            let alive = inside.one();
            let poller = thread.poller(Duration::ZERO, move || {
                let _alive = &alive;
                PollStatus::Busy
            });
            let poller = poller.await?;
            // It may be there before the poll returns.
            if let Poll::Ready(moved) = poll_once(pin!(thread.set_cores(&on(1 - core)))) {
                moved?;
            }
            left.push((thread, poller));
        }
        Ok::<_, Error>(left)
    })?;
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(census.count(), 0);
    for (thread, poller) in left {
        assert!(thread.has_ended());
        assert!(has_ended(&thread.send(|| ())));
        drop(poller);
    }
    let late = MovableThread::new("late", &on(0));
    assert!(matches!(
        kind(&late),
        Some(ErrorKind::NotInitialised { .. })
    ));
    Ok(())
}

/// Fails if it does not run on a reactor that sleeps, or if it can be moved from there: SPDK's reactor goes on with the file
/// descriptors of an spdk_thread that it has given to another one, which runs it by then.
#[spdk::test(no_app)]
fn reactors_that_sleep() -> spdk::Result<()> {
    app().interrupt_mode(true).block_on(async {
        for core in 0..2 {
            let thread = MovableThread::new("movable", &on(core))?;
            let running = Arc::new([const { AtomicUsize::new(0) }; 3]);
            let mut pollers = Vec::new();
            for period in [MS, MS / 2, MS, MS / 2] {
                let running = running.clone();
                let poller = thread.poller(period, move || {
                    let [now, both, runs] = &*running;
                    both.fetch_add(now.fetch_add(1, SeqCst), SeqCst);
                    let start = Instant::now();
                    while start.elapsed() < MS / 10 {
                        std::hint::spin_loop();
                    }
                    now.fetch_sub(1, SeqCst);
                    runs.fetch_add(1, SeqCst);
                    PollStatus::Busy
                });
                pollers.push(poller.await?);
            }
            for round in 0..500 {
                let moved = thread.set_cores(&on(round % 2)).await;
                assert!(is_invalid(&moved), "{moved:?}");
                assert_eq!(within("a call", thread.core()).await?, core);
            }
            let runs = running[2].load(SeqCst);
            until("the pollers", || running[2].load(SeqCst) > runs + 10).await;
            assert_eq!(running[1].load(SeqCst), 0, "two ran at the same time");
            drop(pollers);
            within("the end", thread.exit()).await;
            assert_eq!(Arc::strong_count(&running), 1);
        }
        Ok(())
    })
}

/// Fails if a waker that panics ends more than itself.
#[spdk::test]
async fn a_waker_panics_at_its_end() -> spdk::Result<()> {
    struct Panics(AtomicUsize);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
            panic!("in a waker");
        }
    }
    let panics = Arc::new(Panics(AtomicUsize::new(0)));
    let waker = Waker::from(panics.clone());
    let thread = MovableThread::new("movable", &on(SpdkApp::cores()?[0]))?;
    let mut end = pin!(thread.exit());
    let first = end.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(first.is_pending());
    until("the wake", || panics.0.load(SeqCst) == 1).await;
    within("the end", end).await;
    Ok(())
}

/// Fails if it is made where nobody would move it.
#[spdk::test(no_app)]
fn without_reactors() -> spdk::Result<()> {
    let before = MovableThread::new("early", &on(0));
    assert!(matches!(
        kind(&before),
        Some(ErrorKind::NotInitialised { .. })
    ));
    let env = SpdkEnv::builder()
        .name("movable")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(256)
        .build()?;
    let thread = SpdkThread::current("own")?;
    assert!(is_invalid(&MovableThread::new("movable", &on(0))));
    drop((thread, env));
    Ok(())
}
