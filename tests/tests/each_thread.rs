//! Work on every spdk_thread, and what a handle of one can do.
#![allow(missing_docs)]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use spdk::task::yield_now;
use spdk::time::sleep;
use spdk::{
    CpuSet, CriticalSender, ErrorKind, NotSent, SpdkApp, SpdkThread, ThreadHandle, block_on,
    for_each_thread, spawn_local, spawn_on,
};
use spdk_tests::own_thread::{self, Worker, poll_until};
use spdk_tests::{assert_kind, kind, poll_once, second, signal, until};

/// The name of the OS thread, which tells the core.
fn reactor() -> String {
    let name = std::fs::read_to_string("/proc/thread-self/comm");
    name.unwrap_or_default().trim_end().to_owned()
}

/// Fails if an iteration begins with an spdk_thread that has ended, which SPDK aborts for.
#[spdk::test(no_app)]
fn the_first_thread_has_ended() -> spdk::Result<()> {
    let _env = own_thread::env()?;
    let first = own_thread::thread("first")?;
    let second = own_thread::thread("second")?;
    drop(first);
    let named = for_each_thread(|thread| thread.name.clone());
    assert_kind!(block_on(named)?, Gone);
    assert_kind!(block_on(SpdkThread::all())?, Gone);
    drop(second);
    Ok(())
}

/// Fails if an spdk_thread is left out, visited twice or in the wrong place, or its result is lost.
#[spdk::test(cores = "0x3")]
async fn each_thread_is_visited_once() -> spdk::Result<()> {
    let mut others = Vec::new();
    for number in 0..6 {
        others.push(ThreadHandle::on_core(&format!("thread_{number}"), number % 2).await?);
    }
    let mut visits = 0;
    let seen = for_each_thread(move |thread| {
        visits += 1;
        (thread.clone(), visits, reactor())
    })
    .await?;
    let names: Vec<_> = seen
        .iter()
        .map(|(thread, ..)| thread.name.as_str())
        .collect();
    assert_eq!(names[0], "app_thread");
    assert!(seen.iter().map(|seen| seen.1).eq(1..=seen.len()));
    for other in &others {
        let visited = seen.iter().filter(|(thread, ..)| thread.id == other.id());
        let visited: Vec<_> = visited.collect();
        assert_eq!(visited.len(), 1);
        assert_eq!(visited[0].0.name, other.name());
        assert!(!visited[0].0.is_app_thread);
        let core = other.name().trim_start_matches("thread_").parse::<u32>();
        assert_eq!(visited[0].2, format!("reactor_{}", core.unwrap_or(9) % 2));
    }
    assert_eq!(
        seen.iter()
            .filter(|(thread, ..)| thread.is_app_thread)
            .count(),
        1
    );
    assert_eq!(SpdkThread::all().await?.len(), SpdkThread::count() as usize);
    // From another spdk_thread, and at once from all of them.
    let all = join_all(
        others
            .iter()
            .map(|other| other.spawn(|| async { for_each_thread(|thread| thread.id).await })),
    );
    for ids in all.await {
        let ids = ids??;
        let expected: Vec<_> = seen.iter().map(|(thread, ..)| thread.id).collect();
        assert_eq!(ids, expected);
    }
    Ok(())
}

/// Fails if a panic is lost, stops the iteration inside of SPDK, or is not the only harm.
#[spdk::test]
async fn a_panic_on_one_thread_comes_back() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    let visits = Arc::new(AtomicUsize::new(0));
    let count = visits.clone();
    let end = for_each_thread(move |thread| {
        count.fetch_add(1, SeqCst);
        assert_ne!(thread.name, "app_thread", "not here");
    });
    let error = end.await.err().map(|error| error.to_string());
    assert!(
        error.is_some_and(|text| text.contains("the task panicked") && text.contains("not here"))
    );
    assert_eq!(visits.load(SeqCst), 1);
    assert_eq!(
        for_each_thread(|_| ()).await?.len(),
        SpdkThread::count() as usize
    );
    drop(second);
    Ok(())
}

/// Fails if an iteration is harmed by the drop of its future, or an abandoned one leaks.
#[spdk::test]
async fn an_iteration_outlives_its_future() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    let results = Arc::new(());
    for forget in [false, true] {
        let (visits, result) = (Arc::new(AtomicUsize::new(0)), results.clone());
        let count = visits.clone();
        let mut iteration = Box::pin(for_each_thread(move |_| {
            count.fetch_add(1, SeqCst);
            result.clone()
        }));
        drop(for_each_thread(|_| panic!("it was never polled")));
        assert!(poll_once(iteration.as_mut()).is_pending());
        if forget {
            std::mem::forget(iteration);
        } else {
            drop(iteration);
        }
        until("the visits", || {
            visits.load(SeqCst) == SpdkThread::count() as usize
        })
        .await;
        if !forget {
            until("the results to go", || Arc::strong_count(&results) == 1).await;
        }
    }
    second.exit().await
}

/// Fails if iterations and the exits of spdk_threads hold each other up. What they wait for, an iteration
/// that SPDK sends to an spdk_thread as it exits, ends the process; but too rarely to be seen here.
#[spdk::test(cores = "0x3", deadline = 50)]
async fn threads_exit_during_iterations() -> spdk::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let iterate = spawn_on(1, move || async move {
        let mut rounds = 0;
        while !stopped.load(SeqCst) {
            for_each_thread(|thread| thread.id).await?;
            rounds += 1;
        }
        Ok::<_, spdk::Error>(rounds)
    });
    let exit = async {
        let start = Instant::now();
        let mut made = 0;
        while start.elapsed() < Duration::from_secs(2) {
            let threads =
                join_all((0..4).map(|core| ThreadHandle::on_core("short", core % 2))).await;
            for thread in threads {
                thread?.exit().await?;
                made += 1;
            }
        }
        stop.store(true, SeqCst);
        Ok::<_, spdk::Error>(made)
    };
    let (rounds, made) = join(iterate, exit).await;
    assert!(rounds?? > 10 && made? > 10);
    Ok(())
}

/// Fails if an iteration that an ending spdk_thread has begun is lost or waits for ever.
#[spdk::test(no_app)]
fn own_threads_end_with_iterations() -> spdk::Result<()> {
    let refused = poll_once(pin!(for_each_thread(|_| ()))).map_err(spdk::Error::into_kind);
    assert!(matches!(
        refused,
        std::task::Poll::Ready(Err(ErrorKind::NoThread { .. }))
    ));
    let _env = own_thread::env()?;
    let worker = Worker::start("worker");
    for _ in 0..20 {
        let first = own_thread::thread("first")?;
        let second = own_thread::thread("second")?;
        let visits = Arc::new(AtomicUsize::new(0));
        let count = visits.clone();
        // Begun on the second, and on its way to the first when that ends.
        let mut iteration = Box::pin(for_each_thread(move |_| count.fetch_add(1, SeqCst)));
        assert!(poll_once(iteration.as_mut()).is_pending());
        second.poll();
        drop(second);
        assert!(visits.load(SeqCst) >= 2);
        drop((first, iteration));
    }
    worker.end()
}

/// Fails if an spdk_thread waits for ever for an iteration that another one of its OS thread has begun.
#[spdk::test(no_app)]
fn an_own_thread_ends_beside_an_iteration_of_another() -> spdk::Result<()> {
    let _env = own_thread::env()?;
    let first = own_thread::thread("first")?;
    let second = own_thread::thread("second")?;
    let mut iteration = Box::pin(for_each_thread(|_| ()));
    assert!(poll_once(iteration.as_mut()).is_pending());
    drop(first);
    poll_until(&second, "the end of the iteration", || {
        poll_once(iteration.as_mut()).is_ready()
    });
    Ok(())
}

/// Fails if code that an iteration runs on an spdk_thread after its end begins something there again, which nobody
/// would end: the next spdk_thread at its address would have it.
#[spdk::test(no_app)]
fn nothing_begins_on_a_thread_that_has_ended() -> spdk::Result<()> {
    let _env = own_thread::env()?;
    // The iteration comes to them in this order.
    let blocked = Worker::start("blocked");
    let ending = own_thread::thread("ending")?;
    let origin = Worker::start("origin");
    let (go, wait) = mpsc::channel();
    let (waits, is_blocked) = mpsc::channel();
    blocked.handle.send(move || {
        assert!(waits.send(()).is_ok() && wait.recv_timeout(own_thread::PATIENCE).is_ok());
    })?;
    assert!(is_blocked.recv_timeout(own_thread::PATIENCE).is_ok());
    let begun = Arc::new(AtomicBool::new(false));
    let has_begun = begun.clone();
    let handle = origin.handle.clone();
    let mut names = pin!(handle.spawn(move || async move {
        let name = |thread: &spdk::ThreadInfo| {
            let begins = SpdkThread::get_current().is_some() || spawn_local(async {}).is_ok();
            (thread.name.clone(), begins)
        };
        let mut names = pin!(for_each_thread(name));
        assert!(poll_once(names.as_mut()).is_pending());
        has_begun.store(true, SeqCst);
        names.await
    }));
    assert!(poll_once(names.as_mut()).is_pending());
    poll_until(&ending, "the begin of the iteration", || begun.load(SeqCst));
    let ended = ending.handle();
    let release = std::thread::spawn(move || {
        let start = Instant::now();
        while !ended.has_ended() && start.elapsed() < own_thread::PATIENCE {
            std::thread::yield_now();
        }
        go.send(())
    });
    drop(ending);
    assert!(matches!(release.join(), Ok(Ok(()))));
    assert!(ThreadHandle::by_name("ending").is_none());
    for _ in 0..3 {
        let next = own_thread::thread("next")?;
        let ran = Rc::new(Cell::new(false));
        let runs = ran.clone();
        drop(spawn_local(async move { runs.set(true) })?);
        poll_until(&next, "a task", || ran.get());
    }
    let main = own_thread::thread("main")?;
    let names = block_on(names)???;
    let names: Vec<_> = names
        .iter()
        .map(|(n, begins)| (n.as_str(), *begins))
        .collect();
    assert_eq!(
        names,
        [("blocked", true), ("ending", false), ("origin", true)]
    );
    drop(main);
    origin.end()?;
    blocked.end()
}

/// Fails if the end of an spdk_thread waits for itself: what SPDK drops last there ends another one.
#[spdk::test(no_app)]
fn a_thread_that_ends_with_another_hangs_in_nothing() -> spdk::Result<()> {
    struct Ends(Option<SpdkThread>, Rc<Cell<bool>>);
    impl Drop for Ends {
        fn drop(&mut self) {
            drop(self.0.take());
            self.1.set(true);
        }
    }
    thread_local! {
        static ENDS: Cell<Option<Ends>> = const { Cell::new(None) };
    }
    let _env = own_thread::env()?;
    let inner = own_thread::thread("inner")?;
    let outer = own_thread::thread("outer")?;
    let dropped = Rc::new(Cell::new(false));
    ENDS.set(Some(Ends(Some(inner), dropped.clone())));
    let device = spdk::IoDevice::register("device", || ENDS.take())?;
    let channel = device.get_channel()?;
    // The channel goes with the task, in the last turn of the spdk_thread, and its value after that.
    drop(spawn_local(async move {
        let _channel = channel;
        std::future::pending::<()>().await
    })?);
    outer.poll();
    drop(device);
    drop(outer);
    assert!(dropped.get());
    Ok(())
}

/// Fails if the numbers of an spdk_thread's work are not its own, or do not grow.
#[spdk::test]
async fn busy_threads_say_so() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    let before = second.stats().await?;
    second
        .spawn(|| async {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(5) {
                std::hint::spin_loop();
            }
        })
        .await?;
    until("a poll", || true).await;
    let after = second.stats().await?;
    let busy = after.busy() - before.busy();
    assert!(busy >= Duration::from_millis(5), "{busy:?}");
    sleep(Duration::from_millis(20)).await?;
    let idle = second.stats().await?.idle() - after.idle();
    assert!(idle > Duration::ZERO);
    let here = SpdkThread::get_current().map(|here| here.stats());
    assert!(here.is_some_and(|stats| stats.busy_ticks > 0));
    Ok(())
}

/// Fails if an spdk_thread cannot be found, or one that has ended can.
#[spdk::test]
async fn threads_are_found() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    let ids = |threads: Vec<ThreadHandle>| {
        threads
            .iter()
            .map(ThreadHandle::id)
            .collect::<BTreeSet<_>>()
    };
    assert!(ids(ThreadHandle::all()).contains(&second.id()));
    let found = ThreadHandle::by_name("second").map(|thread| thread.id());
    assert_eq!(found, Some(second.id()));
    let found = ThreadHandle::by_id(second.id()).map(|thread| thread.name().to_owned());
    assert_eq!(found.as_deref(), Some("second"));
    let id = second.id();
    second.exit().await?;
    assert!(ThreadHandle::by_id(id).is_none() && ThreadHandle::by_name("second").is_none());
    assert!(ThreadHandle::by_id(0).is_none());
    Ok(())
}

/// Fails if an async closure's result, panic or borrow does not work, or `exec` takes the wrong way.
#[spdk::test]
async fn async_closures_and_exec() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    let text = "captured".to_owned();
    let length = second.call_async(async move || {
        let local = Rc::new(Cell::new(0)); // not `Send`, and alive across an await
        let borrowed = &text;
        yield_now().await;
        local.set(borrowed.len());
        local.get()
    });
    assert_eq!(length.await?, 8);
    let panicked = second.call_async(async || panic!("in a closure")).await;
    assert!(
        matches!(kind::<()>(&panicked), Some(ErrorKind::Panicked { message }) if message == "in a closure")
    );
    let Some(here) = SpdkThread::get_current().map(|here| here.handle()) else {
        panic!("no spdk_thread is current");
    };
    let ran = Arc::new(AtomicUsize::new(0));
    let count = |n| {
        let ran = ran.clone();
        move || {
            ran.fetch_add(n, SeqCst);
        }
    };
    here.exec(count(1))?;
    assert_eq!(ran.load(SeqCst), 1, "not at once");
    here.exec(|| panic!("in a message"))?;
    second.exec(count(10))?;
    assert_eq!(ran.load(SeqCst), 1, "at once");
    until("the message", || ran.load(SeqCst) == 11).await;
    second.clone().exit().await?;
    assert!(matches!(
        kind(&second.exec(|| ())),
        Some(ErrorKind::ThreadEnded { .. })
    ));
    Ok(())
}

static ORDER: Mutex<Vec<&str>> = Mutex::new(Vec::new());
static TARGET: OnceLock<CriticalSender> = OnceLock::new();
static SENT: AtomicUsize = AtomicUsize::new(0);

fn note(what: &'static str) {
    if let Ok(mut order) = ORDER.lock() {
        order.push(what);
    }
}

/// Fails if a critical message is late, lost or doubled, or a second one overwrites it.
#[spdk::test(cores = "0x3")]
async fn critical_messages() -> spdk::Result<()> {
    let other = ThreadHandle::on_core("other", 1).await?;
    let critical = other.critical_sender().await?;
    // Nothing runs on it until `go`.
    let go = Arc::new(AtomicBool::new(false));
    let gate = go.clone();
    let began = Arc::new(AtomicBool::new(false));
    let begin = began.clone();
    other.send(move || {
        begin.store(true, SeqCst);
        while !gate.load(SeqCst) {
            std::hint::spin_loop();
        }
    })?;
    until("the gate", || began.load(SeqCst)).await;
    for _ in 0..200 {
        other.send(|| note("message"))?; // more than run in one poll
    }
    assert_eq!(critical.send(|| note("critical")), Ok(()));
    assert_eq!(critical.send(|| note("lost")), Err(NotSent::Pending));
    go.store(true, SeqCst);
    until("the messages", || {
        ORDER.lock().is_ok_and(|order| order.len() == 201)
    })
    .await;
    let order = ORDER.lock().map(|order| order.clone()).unwrap_or_default();
    let place = order.iter().position(|what| *what == "critical");
    // The messages of the poll that was held up come first.
    assert!(place.is_some_and(|place| place < 200), "{place:?}");
    assert!(!order.contains(&"lost"));
    // On an idle spdk_thread, which nothing else wakes, and again and again; a panic ends nothing.
    assert_eq!(critical.send(|| panic!("in a critical message")), Ok(()));
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    fn run() {
        RUNS.fetch_add(1, SeqCst);
    }
    for round in 1..=1000 {
        until("its turn", || critical.send(run) == Ok(())).await;
        until("its run", || RUNS.load(SeqCst) == round).await;
    }
    other.clone().exit().await?;
    assert_eq!(critical.send(|| ()), Err(NotSent::Ended));
    Ok(())
}

/// Fails if a signal handler cannot send one, to the spdk_thread that it interrupts.
#[spdk::test]
async fn a_signal_handler_sends_a_critical_message() -> spdk::Result<()> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    fn on_signal() {
        if let Some(target) = TARGET.get()
            && target.send(|| {
                RUNS.fetch_add(1, SeqCst);
            }) == Ok(())
        {
            SENT.fetch_add(1, SeqCst);
        }
    }
    let Some(here) = SpdkThread::get_current().map(|here| here.handle()) else {
        panic!("no spdk_thread is current");
    };
    assert!(TARGET.set(here.critical_sender().await?).is_ok());
    let signals = signal::interrupt(2000, on_signal);
    let busy = spawn_local(async {
        loop {
            yield_now().await;
        }
    })?;
    until("the signals", || signals.is_finished()).await;
    until("the messages", || RUNS.load(SeqCst) == SENT.load(SeqCst)).await;
    assert!(SENT.load(SeqCst) > 100);
    busy.abort();
    Ok(())
}

/// Fails if a set of cores is not what was put in, or a wrong one is let through.
#[spdk::test(cores = "0x3")]
async fn sets_of_cores() -> spdk::Result<()> {
    let mut set = CpuSet::of([0, 5, 1023])?;
    assert_eq!((set.len(), set.is_empty()), (3, false));
    assert!(set.contains(5) && !set.contains(4) && !set.contains(1024) && !set.contains(u32::MAX));
    assert!(set.iter().eq([0, 5, 1023]));
    for core in [1024, u32::MAX] {
        assert!(matches!(
            kind(&set.insert(core)),
            Some(ErrorKind::InvalidArgument { .. })
        ));
        set.remove(core);
    }
    set.remove(1023);
    assert_eq!(set.to_string(), "0x21");
    assert_eq!(set.to_string().parse::<CpuSet>()?, set);
    assert_eq!("[0,5]".parse::<CpuSet>()?, set);
    for wrong in ["", "xyz", "[0-", "[2000]", "0\0"] {
        let parsed = wrong.parse::<CpuSet>();
        assert!(
            matches!(kind(&parsed), Some(ErrorKind::InvalidArgument { .. })),
            "{wrong:?}: {parsed:?}"
        );
    }
    set |= &"[0-3]".parse()?;
    set &= &"[0-1,5]".parse()?;
    set ^= &CpuSet::of([1])?;
    assert_eq!(format!("{set:?}"), "{0, 5}");
    assert_eq!((!set).len(), 1022);
    assert!(CpuSet::new().is_empty() && CpuSet::default() == CpuSet::new());

    // SPDK takes the cores of a set in turn.
    let both = CpuSet::of(SpdkApp::cores()?)?;
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        seen.insert(
            ThreadHandle::on_cores("any", &both)
                .await?
                .call(reactor)
                .await?,
        );
    }
    assert_eq!(seen.len(), 2);
    let one = ThreadHandle::on_cores("one", &CpuSet::of([1])?).await?;
    assert_eq!(one.call(reactor).await?, "reactor_1");
    for wrong in [CpuSet::new(), CpuSet::of([0, 7])?] {
        let made = ThreadHandle::on_cores("wrong", &wrong).await;
        assert!(
            matches!(kind(&made), Some(ErrorKind::InvalidArgument { .. })),
            "{made:?}"
        );
    }
    Ok(())
}

/// Fails if the handles of spdk_threads that a test polls itself do not do the same.
#[spdk::test(no_app)]
fn own_threads_are_visited() -> spdk::Result<()> {
    let _env = own_thread::env()?;
    let here = own_thread::thread("here")?;
    let worker = Worker::start("worker");
    let names = block_on(for_each_thread(|thread| thread.name.clone()))??;
    assert_eq!(names, ["here", "worker"]);
    static RAN: AtomicBool = AtomicBool::new(false);
    let critical = block_on(worker.handle.critical_sender())??;
    assert_eq!(critical.send(|| RAN.store(true, SeqCst)), Ok(()));
    poll_until(&here, "the critical message", || RAN.load(SeqCst));
    worker.end()
}
