//! An application on two reactors.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all, try_join, try_join_all};
use serde_json::json;
use spdk::task::yield_now;
use spdk::{
    CpuSet, DmaBuf, Errno, Error, ErrorKind, Gone, SpdkApp, SpdkThread, ThreadHandle, completion,
    spawn_local, spawn_on,
};
use spdk_tests::wait::within;
use spdk_tests::{Device, assert_kind, dma, foreign, kind, pattern, poll_once, rpc, until};

const BLOCK: usize = 512;

/// The name of the OS thread, which tells the core: SPDK calls it `reactor_1` on core 1.
fn reactor() -> String {
    let name = std::fs::read_to_string("/proc/thread-self/comm");
    name.unwrap_or_default().trim_end().to_owned()
}

/// The current spdk_thread: its name and its number.
fn current() -> (String, u64) {
    match SpdkThread::get_current() {
        Some(current) => (current.name().to_owned(), current.id()),
        None => panic!("no spdk_thread is current"),
    }
}

/// Fails if a core has another reactor's tasks, or two cores share a channel.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn each_core_does_io_on_its_own_channel() -> spdk::Result<()> {
    const SPAN: u64 = 8;
    const SPANS: u64 = 64;
    /// Writes each second span, from `first` on, and reads it back.
    async fn work(first: u64, open: Arc<AtomicUsize>) -> spdk::Result<String> {
        let device = &Device::open("Malloc0")?;
        let io = (first..SPANS).step_by(2).map(|span| async move {
            let first = span * SPAN;
            let offset = first * BLOCK as u64;
            let mut buf = DmaBuf::alloc(SPAN as usize * BLOCK, 4096)?;
            pattern::fill(&mut buf, BLOCK, first, 1);
            device.desc.write(&device.ch, &buf, offset).await?;
            buf.fill(0);
            device.desc.read(&device.ch, &mut buf, offset).await?;
            pattern::assert_is(&buf, BLOCK, first, 1);
            Ok::<_, Error>(())
        });
        try_join_all(io).await?;
        open.fetch_sub(1, SeqCst);
        until("the count of channels", || open.load(SeqCst) == 0).await;
        Ok(reactor())
    }
    assert_eq!(SpdkApp::cores()?, [0, 1]);
    // One more for this task, which counts the channels first.
    let open = Arc::new(AtomicUsize::new(3));
    let both = try_join_all([0, 1].map(|core| {
        let open = open.clone();
        spawn_on(core, move || work(u64::from(core), open))
    }));
    let count = async {
        until("the I/O of both cores", || open.load(SeqCst) == 1).await;
        let channels = rpc::channels("bdev_Malloc0").await;
        open.fetch_sub(1, SeqCst);
        channels
    };
    let (reactors, channels) = join(both, count).await;
    let reactors = reactors?.into_iter().collect::<spdk::Result<Vec<_>>>()?;
    assert_eq!(reactors, ["reactor_0", "reactor_1"]);
    assert_eq!(channels, 2);
    // What both have written is there.
    let device = Device::open("Malloc0")?;
    let mut buf = device.buffer((SPAN * SPANS) as usize)?;
    device.desc.read(&device.ch, &mut buf, 0).await?;
    pattern::assert_is(&buf, BLOCK, 0, 1);
    Ok(())
}

/// Fails if a buffer cannot do I/O on one core, be looked at on another and go on a third way.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
)]
async fn a_buffer_moves_between_cores() -> spdk::Result<()> {
    let mut memory = None;
    for round in 0..50 {
        let device = Device::open("Malloc0")?;
        let mut buf = device.buffer(8)?;
        pattern::fill(&mut buf, BLOCK, 0, round);
        device.desc.write(&device.ch, &buf, 0).await?;
        let mut buf = spawn_on(1, move || async move {
            let device = Device::open("Malloc0")?;
            pattern::assert_is(&buf, BLOCK, 0, round);
            buf.fill(0);
            // An abandoned read: the memory stays here, and the buffer goes home without it.
            let mut other = device.buffer(8)?;
            drop(device.desc.read(&device.ch, &mut other, 0));
            drop(poll_once(pin!(device.desc.read(&device.ch, &mut other, 0))));
            device.desc.read(&device.ch, &mut buf, 0).await?;
            Ok::<_, Error>(buf)
        })
        .await??;
        pattern::assert_is(&buf, BLOCK, 0, round);
        device.desc.read(&device.ch, &mut buf, 0).await?;
        pattern::assert_is(&buf, BLOCK, 0, round);
        drop((buf, device));
        // What the first use of the other core has made stays.
        let pieces = *memory.get_or_insert_with(dma::pieces);
        until("the memory", || dma::pieces() <= pieces).await;
    }
    Ok(())
}

/// Fails if a result, a panic or a wake does not come back from another core.
#[spdk::test(cores = "0x3")]
async fn results_panics_and_wakes_come_back() -> spdk::Result<()> {
    let other = ThreadHandle::on_core("other", 1).await?;
    assert_eq!(other.name(), "other");
    let here = reactor();
    let there = other.call(reactor).await?;
    assert_eq!((here.as_str(), there.as_str()), ("reactor_0", "reactor_1"));
    assert_eq!(other.call(current).await?, ("other".into(), other.id()));
    // Not `Send`, and alive across an await.
    let sum = spawn_on(1, || async {
        let number = Rc::new(RefCell::new(1));
        yield_now().await;
        *number.borrow_mut() += 1;
        number.take()
    });
    assert_eq!(sum.await?, 2);
    let text = |end: spdk::Result<()>| end.err().map(|error| error.to_string()).unwrap_or_default();
    let panicked = spawn_on(1, || async { panic!("in a task") }).await;
    assert_eq!(text(panicked), "the task panicked: in a task");
    let panicked = spawn_on(1, || -> std::future::Ready<()> { panic!("before it") });
    assert_eq!(text(panicked.await), "the task panicked: before it");
    let panicked = other.call(|| panic!("in a call")).await;
    assert_eq!(text(panicked), "the task panicked: in a call");
    // A task of each core completes what one of the other core waits for, in turn.
    for number in 0..1000 {
        let (there, ping) = completion();
        let (here, pong) = completion();
        other.send(move || {
            let task = spawn_local(async move { here.success(ping.await.map(|n: u32| n + 1)) });
            drop(task);
        })?;
        there.success(number);
        assert_eq!(pong.await??, number + 1);
    }
    Ok(())
}

/// Fails if a core has more than one kept spdk_thread, or the main core another than the app thread.
#[spdk::test(cores = "0x3")]
async fn a_core_keeps_one_thread() -> spdk::Result<()> {
    let before = SpdkThread::count();
    let at_once = join_all((0..16).map(|task| spawn_on(task % 2, || async { current() }))).await;
    let mut seen = Vec::new();
    for end in at_once {
        let thread = end?;
        if !seen.contains(&thread) {
            seen.push(thread);
        }
    }
    let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["app_thread", "core_1"]);
    assert_eq!(SpdkThread::count(), before + 1);
    assert_eq!(spawn_on(1, || async { current() }).await?, seen[1]);
    // From that core too.
    let from_there = spawn_on(1, || async {
        let here = spawn_on(1, || async { current() }).await?;
        let home = spawn_on(0, || async { current() }).await?;
        Ok::<_, Error>([home, here])
    });
    assert_eq!(from_there.await??, *seen);
    // One that has ended is made again.
    let handle = spawn_on(1, || async {
        SpdkThread::get_current().map(|here| here.handle())
    });
    match handle.await? {
        Some(handle) => handle.exit().await?,
        None => panic!("no spdk_thread is current"),
    }
    let again = spawn_on(1, || async { current() }).await?;
    assert_eq!(again.0, "core_1");
    assert_ne!(again, seen[1]);
    Ok(())
}

/// Fails if a wrong core is accepted, or the message does not say which ones there are.
#[spdk::test(cores = "0x3")]
async fn a_core_without_a_reactor_is_refused() -> spdk::Result<()> {
    let text = |error: Option<Error>| error.map(|error| error.to_string()).unwrap_or_default();
    let threads = SpdkThread::count();
    for core in [2, 1023, 1024, 100_000, u32::MAX] {
        let reason = format!(
            "the application does not run on core {core}, but on [0, 1]; name its cores with \
             `reactor_mask`"
        );
        let spawned = text(spawn_on(core, || async {}).await.err());
        assert_eq!(spawned, format!("spawn_on: {reason}"));
        let made = text(ThreadHandle::on_core("wrong", core).await.err());
        assert_eq!(made, format!("ThreadHandle::on_core: {reason}"));
    }
    let made = text(ThreadHandle::on_core("a\0b", 1).await.err());
    assert!(made.starts_with("option `name`: "), "{made}");
    assert_eq!(SpdkThread::count(), threads);
    Ok(())
}

/// Fails if there are cores without an application.
#[spdk::test(no_app)]
fn cores_need_an_application() -> spdk::Result<()> {
    let before = SpdkApp::cores();
    assert!(
        matches!(
            kind(&before),
            Some(ErrorKind::NotInitialised {
                operation: "SpdkApp::cores"
            })
        ),
        "{before:?}"
    );
    let made = poll_once(pin!(ThreadHandle::on_core("early", 0))).map_err(Error::into_kind);
    assert!(
        matches!(made, Poll::Ready(Err(ErrorKind::NotInitialised { .. }))),
        "{made:?}"
    );
    let _env = spdk_tests::own_thread::env()?;
    let _here = spdk_tests::own_thread::thread("here")?;
    let spawned = spdk::block_on(spawn_on(0, || async {}))?;
    let text = spawned
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert_eq!(
        text,
        "spawn_on: it needs the reactors of `SpdkApp`; with `SpdkEnv` the spdk_threads are yours, \
         see `SpdkThread`"
    );
    Ok(())
}

/// Tells where it was dropped.
struct Witness(Arc<Mutex<Vec<(String, String)>>>);

impl Drop for Witness {
    fn drop(&mut self) {
        let name = SpdkThread::get_current().map(|current| current.name().to_owned());
        if let Ok(mut dropped) = self.0.lock() {
            dropped.push((reactor(), name.unwrap_or_default()));
        }
    }
}

/// A device that answers after a while.
fn slow_device() -> serde_json::Value {
    const LATENCY_US: u32 = 200_000;
    json!({"subsystems": [{"subsystem": "bdev", "config": [
        {"method": "bdev_malloc_create",
         "params": {"name": "Malloc0", "num_blocks": 4096, "block_size": BLOCK}},
        {"method": "bdev_delay_create",
         "params": {"base_bdev_name": "Malloc0", "name": "Slow0",
                    "avg_read_latency": LATENCY_US, "p99_read_latency": LATENCY_US,
                    "avg_write_latency": LATENCY_US, "p99_write_latency": LATENCY_US}}]}]})
}

/// Starts tasks on the current spdk_thread that have a write of generation `generation` in flight, or
/// wait for ever, and returns when they do.
async fn busy(generation: u64, witness: Arc<Mutex<Vec<(String, String)>>>) -> spdk::Result<()> {
    let device = Rc::new(Device::open("Slow0")?);
    let in_flight = Rc::new(std::cell::Cell::new(0));
    for block in 0..TASKS as u64 {
        let (device, in_flight) = (device.clone(), in_flight.clone());
        let guard = Witness(witness.clone());
        drop(spawn_local(async move {
            let _guard = guard;
            let mut buf = device.buffer(1)?;
            pattern::fill(&mut buf, BLOCK, block, generation);
            let mut write = pin!(device.desc.write(&device.ch, &buf, block * BLOCK as u64));
            assert!(poll_once(write.as_mut()).is_pending());
            in_flight.set(in_flight.get() + 1);
            write.await?;
            pending::<spdk::Result<()>>().await
        })?);
    }
    until("the writes", || in_flight.get() == TASKS).await;
    Ok(())
}

const TASKS: usize = 32;

/// Reads what `busy` has written.
async fn check(generation: u64) -> spdk::Result<()> {
    let device = Device::open("Slow0")?;
    let mut buf = device.buffer(TASKS)?;
    device.desc.read(&device.ch, &mut buf, 0).await?;
    pattern::assert_is(&buf, BLOCK, 0, generation);
    Ok(())
}

/// Fails if an spdk_thread ends before its operations do, drops its tasks elsewhere, or is left.
#[spdk::test(
    cores = "0x3",
    config = slow_device().to_string(),
    rpc_addr = &rpc::address(),
)]
async fn exit_ends_a_thread_in_order() -> spdk::Result<()> {
    // The modules that examine the device have channels too.
    rpc::get("bdev_wait_for_examine").await;
    let threads = SpdkThread::count();
    let mut memory = None;
    for generation in 1..=5 {
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let other = ThreadHandle::on_core("other", 1).await?;
        assert_eq!(SpdkThread::count(), threads + 1);
        let witness = dropped.clone();
        other.spawn(move || busy(generation, witness)).await??;
        // Twice at once, with the writes in flight.
        let exit = || async {
            other.clone().exit().await?;
            assert!(other.has_ended(), "too early");
            Ok::<_, Error>(())
        };
        try_join(exit(), exit()).await?;
        let dropped = dropped.lock().map(|seen| seen.clone()).unwrap_or_default();
        let home = ("reactor_1".to_owned(), "other".to_owned());
        assert_eq!(dropped, vec![home; TASKS]);
        check(generation).await?;
        assert!(matches!(
            kind(&other.send(|| ())),
            Some(ErrorKind::ThreadEnded { .. })
        ));
        other.exit().await?;
        until("the end of the spdk_thread", || {
            SpdkThread::count() == threads
        })
        .await;
        assert_eq!(rpc::channels("bdev_Slow0").await, 0);
        // The pools of the other core's first use stay.
        let pieces = *memory.get_or_insert_with(dma::pieces);
        assert!(
            dma::pieces() <= pieces,
            "{} pieces of memory",
            dma::pieces()
        );
    }
    Ok(())
}

/// Fails if an spdk_thread that this crate did not make can be ended, or one cannot end itself.
#[spdk::test(cores = "0x3")]
async fn exit_is_for_threads_of_on_core() -> spdk::Result<()> {
    let app = SpdkThread::app_thread().map(ThreadHandle::exit);
    let error = match app {
        Some(exit) => exit.await.err(),
        None => panic!("no app thread"),
    };
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(
        text,
        "ThreadHandle::exit: \"app_thread\" was not made by `ThreadHandle::on_core`; the app thread \
         ends with `SpdkApp::stop`, and an `SpdkThread` when it is dropped"
    );
    let other = ThreadHandle::on_core("other", 1).await?;
    let own = other.clone();
    let ended = other.spawn(move || own.exit()).await;
    assert!(
        matches!(kind(&ended), Some(ErrorKind::Cancelled)),
        "{ended:?}"
    );
    until("the end of the spdk_thread", || other.has_ended()).await;
    Ok(())
}

/// Fails if an spdk_thread of C code cannot run tasks, is ended by this crate before the application
/// ends, or starts an executor that would never run.
#[spdk::test(cores = "0x3")]
async fn threads_of_c_are_left_to_c() -> spdk::Result<()> {
    let before = SpdkThread::count();
    let late = foreign::task_on_an_exiting_thread().await;
    assert!(
        matches!(
            kind(&late),
            Some(ErrorKind::Gone {
                why: Gone::ThreadEnded,
                ..
            })
        ),
        "{late:?}"
    );
    until("its end", || SpdkThread::count() == before).await;
    let theirs = foreign::spdk_thread("theirs").await;
    assert_eq!(theirs.spawn(|| async { current().0 }).await?, "theirs");
    let refused = theirs.clone().exit().await;
    assert!(
        matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. })),
        "{refused:?}"
    );
    assert_eq!(theirs.call(|| 1).await?, 1);
    Ok(())
}

/// Fails if an spdk_thread goes with its handle.
#[spdk::test(cores = "0x3")]
async fn a_dropped_handle_lets_its_thread_run() -> spdk::Result<()> {
    let other = ThreadHandle::on_core("other", 1).await?;
    let turns = Arc::new(AtomicUsize::new(0));
    let counter = turns.clone();
    other.send(move || {
        let task = spawn_local(async move {
            loop {
                counter.fetch_add(1, SeqCst);
                yield_now().await;
            }
        });
        drop(task);
    })?;
    drop(other);
    let before = turns.load(SeqCst);
    until("turns of its task", || turns.load(SeqCst) > before + 100).await;
    Ok(())
}

/// An application on two cores with the slow device.
fn app() -> spdk::SpdkAppBuilder {
    SpdkApp::builder()
        .name("cores")
        .reactor_mask("0x3")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .json_data(slow_device().to_string())
}

/// Fails if the application ends before the operations of its other core do, or drops that core's
/// tasks on the wrong spdk_thread.
#[spdk::test(no_app)]
fn the_application_ends_with_io_in_flight_on_both_cores() -> spdk::Result<()> {
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let witness = dropped.clone();
    let others = app().block_on(async move {
        let own = ThreadHandle::on_core("own", 1).await?;
        let (first, second) = (witness.clone(), witness.clone());
        own.spawn(move || busy(1, first)).await??;
        spawn_on(1, move || busy(1, second)).await??;
        busy(1, witness).await?;
        Ok([own])
    })?;
    let dropped = dropped.lock().map(|seen| seen.clone()).unwrap_or_default();
    for (core, name) in [(0, "app_thread"), (1, "core_1"), (1, "own")] {
        let home = (format!("reactor_{core}"), name.to_owned());
        let count = dropped.iter().filter(|place| **place == home).count();
        assert_eq!(count, TASKS, "{home:?}");
    }
    assert_eq!(dropped.len(), 3 * TASKS);
    assert!(others.iter().all(ThreadHandle::has_ended));
    let late = poll_once(pin!(others[0].call(|| ()))).map_err(Error::into_kind);
    assert!(
        matches!(late, Poll::Ready(Err(ErrorKind::ThreadEnded { .. }))),
        "{late:?}"
    );
    Ok(())
}

/// Fails if an spdk_thread that is made while the application ends is left, or waited for without
/// end.
#[spdk::test(no_app, deadline = 30)]
fn threads_are_made_while_the_application_ends() -> spdk::Result<()> {
    /// SPDK gives up on an spdk_thread that nobody ends after this time.
    const GIVEN_UP: Duration = Duration::from_secs(5);
    /// Makes spdk_threads until that is refused, and says why and when.
    fn make(core: u32, made: &AtomicUsize) -> (ErrorKind, Instant) {
        loop {
            let thread = pin!(ThreadHandle::on_core("late", core));
            match poll_once(thread) {
                // There are many; the end has begun, but its first step waits for the CPU.
                Poll::Ready(Err(error)) if error.errno() == Some(Errno::ENOMEM) => {
                    std::thread::yield_now();
                }
                Poll::Ready(Err(error)) => return (error.into_kind(), Instant::now()),
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
            if made.fetch_add(1, SeqCst) == 20 {
                SpdkApp::stop();
            }
        }
    }
    let made = Arc::new(AtomicUsize::new(0));
    let (counter, makers) = (made.clone(), Arc::new(Mutex::new(Vec::new())));
    let keep = makers.clone();
    let end = app().block_on(async move {
        let start = |core| {
            let made = counter.clone();
            std::thread::spawn(move || make(core, &made))
        };
        if let Ok(mut makers) = keep.lock() {
            makers.extend([0, 1, 1].map(start));
        }
        pending::<spdk::Result<()>>().await
    });
    let ended = Instant::now();
    assert!(matches!(kind(&end), Some(ErrorKind::Cancelled)), "{end:?}");
    let makers = makers.lock().map(|mut makers| std::mem::take(&mut *makers));
    for maker in makers.unwrap_or_default() {
        let began = match maker.join() {
            Ok((ErrorKind::ThreadEnded { name }, began)) if name == "app_thread" => began,
            Ok((ErrorKind::NotInitialised { .. }, began)) => began,
            other => panic!("{other:?} after {} spdk_threads", made.load(SeqCst)),
        };
        let took = ended.saturating_duration_since(began);
        assert!(
            took < GIVEN_UP,
            "an spdk_thread was left: the end took {took:?}"
        );
    }
    assert_eq!(SpdkThread::count(), 0);
    Ok(())
}

/// Fails if SPDK's scheduler moves an spdk_thread that may have another core than it has, or has the core of one sleep.
#[spdk::test(cores = "0x3", rpc_addr = &rpc::address())]
async fn the_scheduler_moves_nothing() -> spdk::Result<()> {
    let both = CpuSet::of([0, 1])?;
    let mut threads = Vec::new();
    for number in 0..4 {
        let thread = ThreadHandle::on_cores(&format!("both {number}"), &both).await?;
        let home = thread.call(reactor).await?;
        threads.push((thread, home));
    }
    assert!(threads.iter().any(|(_, home)| home == "reactor_1"));
    let params = json!({
        "name": "dynamic", "period": 1000, "load_limit": 1, "core_limit": 2, "core_busy": 3,
    });
    rpc::call("framework_set_scheduler", params).await;
    for round in 0..100 {
        for (number, (thread, home)) in threads.iter().enumerate() {
            let work = Duration::from_millis(u64::from(round % 4 == number));
            let name = thread.call(move || {
                let start = Instant::now();
                while start.elapsed() < work {
                    std::hint::spin_loop();
                }
                reactor()
            });
            assert_eq!(&within("the call", name).await?, home);
            // A task with a timer goes on there too.
            let slept = thread.spawn(|| spdk::time::sleep(Duration::from_micros(200)));
            within("the timer", slept).await??;
        }
        spdk::time::sleep(Duration::from_millis(2)).await?;
    }
    Ok(())
}

/// Fails if a text that is no set of cores is taken for one, or one for another.
#[spdk::test(no_app)]
fn sets_are_read() -> spdk::Result<()> {
    let read = |text: &str| text.parse::<CpuSet>();
    for (text, cores) in [
        ("0x3", &[0, 1][..]),
        ("F", &[0, 1, 2, 3]),
        (" 0X100\n", &[8]),
        ("1,00000001", &[0, 32]),
        ("0x0", &[]),
        ("[0,2-3]", &[0, 2, 3]),
        (" [ 1 , 4 - 5 ] ", &[1, 4, 5]),
        ("[1023]", &[1023]),
        ("[5,5-6]", &[5, 6]),
    ] {
        let set = read(text)?;
        assert!(set.iter().eq(cores.iter().copied()), "{text}: {set:?}");
        assert_eq!(read(&set.to_string())?, set, "{text}");
    }
    let long = format!("1{}", "0".repeat(256));
    assert!(read(&long[..256])?.contains(1020));
    let wrong = [
        "",
        " ",
        "0x",
        "x",
        ",",
        "0xg",
        "3 1",
        "0x1]",
        "[]",
        "[",
        "]",
        "[1",
        "[1-]",
        "[-1]",
        "[3-1]",
        "[1,]",
        "[1--2]",
        "[1-2-3]",
        "[1]2",
        "[1][2]",
        "[0x1]",
        "[1024]",
        "[4294967297]",
        "[18446744073709551617]",
        "0x1\0",
        &long,
    ];
    for text in wrong {
        assert_kind!(read(text), InvalidArgument);
    }
    Ok(())
}
