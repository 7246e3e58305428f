//! The end of an application in which everything is alive: what becomes of it, and what is reported.
//!
//! What a device does that answers late, or never, is in `shutdown.rs`; exit codes are in
//! `main_attribute.rs`.
#![allow(missing_docs)]

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use spdk::time::{interval, sleep};
use spdk::{
    Error, ErrorKind, IoDevice, IoQueue, PollStatus, Poller, SpdkApp, ThreadHandle, spawn_local,
    spawn_on,
};
use spdk_tests::census::Census;
use spdk_tests::traces::{self, Line};
use spdk_tests::{Device, foreign, kind, until};
use tracing::Level;
use tracing::level_filters::LevelFilter;

const BLOCK: usize = 512;
/// How long an I/O takes, in microseconds.
const LATENCY: u64 = 300_000;
/// What the end of it all may take: far more than an I/O does, also on a machine with other things to do.
const LIMIT: Duration = Duration::from_secs(15);

fn app() -> spdk::SpdkAppBuilder {
    let bdevs = json!([
        {"method": "bdev_malloc_create",
         "params": {"name": "Malloc0", "num_blocks": 1024, "block_size": BLOCK}},
        {"method": "bdev_malloc_create",
         "params": {"name": "Malloc1", "num_blocks": 1024, "block_size": BLOCK}},
        {"method": "bdev_delay_create", "params": {
            "base_bdev_name": "Malloc0", "name": "Slow0",
            "avg_read_latency": LATENCY, "p99_read_latency": LATENCY,
            "avg_write_latency": LATENCY, "p99_write_latency": LATENCY}},
    ]);
    SpdkApp::builder()
        .name("endings")
        .reactor_mask("0x3")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .shutdown_patience(LIMIT)
        .json_data(json!({"subsystems": [{"subsystem": "bdev", "config": bdevs}]}).to_string())
}

/// How many of each kind of thing `settle` makes.
const EACH: usize = 3;

/// Fills the current spdk_thread with tasks, I/O, pollers, timers, channels and what else there is.
/// Returns when all of it is there.
async fn settle(census: &Census, device: &Arc<IoDevice<Cell<u64>>>) -> spdk::Result<()> {
    let begun = Rc::new(Cell::new(0));
    for n in 0..EACH as u64 {
        // One that waits for nothing, and one that always has something to do.
        let alive = census.one();
        drop(spawn_local(async move {
            let _alive = alive;
            pending::<()>().await;
        })?);
        let alive = census.one();
        drop(spawn_local(async move {
            let _alive = alive;
            loop {
                spdk::task::yield_now().await;
            }
        })?);
        // One that reads, with a channel of its own.
        let (alive, count) = (census.one(), begun.clone());
        drop(spawn_local(async move {
            let device = Device::open("Slow0").expect("it is there");
            let mut buf = device.buffer(1).expect("memory");
            let _alive = alive;
            count.set(count.get() + 1);
            loop {
                let read = device.desc.read_blocks(&device.ch, &mut buf, n, 1).await;
                read.expect("a good device");
            }
        })?);
        // One with a timer.
        let (alive, mut ticks) = (census.one(), interval(Duration::from_millis(1))?);
        drop(spawn_local(async move {
            let _alive = alive;
            while ticks.next().await.is_some() {}
        })?);
    }
    // A queue with I/Os in flight, whose tags are alive too.
    let slow = Device::open("Slow0")?;
    let mut queue = IoQueue::new(&slow.ch)?;
    for block in 0..EACH as u64 {
        queue.write_blocks(slow.buffer(1)?, 8 + block, 1, census.one());
    }
    let (alive, count) = (census.one(), begun.clone());
    drop(spawn_local(async move {
        let _alive = alive;
        count.set(count.get() + 1);
        let mut done = Vec::new();
        while let Some(io) = queue.next().await {
            done.push(io);
        }
        pending::<()>().await;
    })?);
    // Pollers, a channel of a device in Rust, and a descriptor: all of which nobody will ever drop.
    let alive = census.one();
    let spin = Poller::builder().name("spin").register(move || {
        let _alive = &alive;
        PollStatus::Busy
    });
    std::mem::forget(spin?);
    let period = Duration::from_millis(1);
    let tick = Poller::builder().name("tick").period(period);
    let alive = census.one();
    std::mem::forget(tick.register(move || {
        let _alive = &alive;
        PollStatus::Idle
    })?);
    std::mem::forget(device.get_channel()?);
    std::mem::forget(Device::open("Malloc1")?);
    let all = || begun.get() == EACH + 1;
    until("the tasks", all).await;
    // Let the reads begin.
    sleep(Duration::from_millis(1)).await
}

/// What `settle` makes that is counted: the tasks, the tags, the pollers.
const SETTLED: usize = 4 * EACH + EACH + 1 + 2;

/// Runs an application that ends by `end`; returns how it ended, when everything was looked at.
fn run<T: std::fmt::Debug + 'static>(
    why: &[&str],
    end: impl Future<Output = T> + 'static,
) -> Result<T, Error> {
    traces::keep(LevelFilter::INFO);
    let census = Census::default();
    let inside = census.clone();
    let began = Rc::new(Cell::new(None));
    let begin = began.clone();
    let result = app().block_on(async move {
        let census = inside;
        let device = Arc::new(IoDevice::register("counters", || Cell::new(0_u64))?);
        settle(&census, &device).await?;
        // Another core's, one of the same core, and one that C code has made.
        let far = ThreadHandle::on_core("far", 1).await?;
        let near = ThreadHandle::on_core("near", 0).await?;
        let of_c = foreign::spdk_thread("of_c").await;
        for thread in [far, near, of_c] {
            let (census, device) = (census.clone(), device.clone());
            thread
                .spawn(move || async move { settle(&census, &device).await })
                .await??;
        }
        spawn_on(1, || async {}).await?;
        assert_eq!(census.count(), 4 * SETTLED);
        begin.set(Some(Instant::now()));
        Ok(end.await)
    });
    let took = began.get().map(|began: Instant| began.elapsed());
    eprintln!("the end took {took:?}");
    assert!(
        took.is_some_and(|took| took < LIMIT),
        "{took:?}: {result:?}"
    );
    assert_eq!(census.count(), 0, "something was not dropped");
    assert_report(why);
    result
}

/// Looks at what the end has reported.
fn assert_report(why: &[&str]) {
    let ends = traces::lines("spdk::app");
    let reasons: Vec<&str> = ends.iter().map(|line| line.field("why")).collect();
    assert!(
        matches!(*reasons, [reason] if why.contains(&reason)),
        "{ends:?}"
    );
    let lines = traces::lines("spdk::shutdown");
    let one = |thread: &str, is: &dyn Fn(&Line) -> bool| {
        let of_it = lines
            .iter()
            .filter(|line| line.field("thread") == thread && is(line));
        match *of_it.collect::<Vec<_>>() {
            [line] => line.clone(),
            ref lines => panic!("{thread}: {lines:?}"),
        }
    };
    for thread in ["app_thread", "far", "near", "of_c"] {
        let tasks = one(thread, &|line| !line.field("tasks").is_empty());
        let tasks: usize = tasks.field("tasks").parse().unwrap_or(0);
        // The main task has ended, or is one of them.
        assert!(
            (4 * EACH + 1..=4 * EACH + 2).contains(&tasks),
            "{thread}: {tasks}"
        );
        let of_kind = |kind: &str| one(thread, &|line| line.field("kind") == kind);
        let pollers = of_kind("Poller");
        assert_eq!(pollers.field("count"), "2");
        assert_eq!(pollers.field("names"), "poller \"spin\", poller \"tick\"");
        assert_eq!(
            of_kind("IoDeviceChannel").field("names"),
            "channel of io_device \"counters\""
        );
        assert_eq!(of_kind("Bdev").field("names"), "bdev \"Malloc1\"");
        assert_eq!(of_kind("BdevDesc").field("count"), "2"); // that of the `Bdev`, too
        assert_eq!(
            of_kind("IoChannel").field("names"),
            "I/O channel of bdev \"Malloc1\""
        );
        let in_flight = one(thread, &|line| line.message().contains("in flight"));
        assert!(
            in_flight
                .field("names")
                .contains("I/O channel of bdev \"Slow0\" ("),
            "{in_flight:?}"
        );
        assert!(
            lines.iter().all(|line| line.level == Level::INFO),
            "{lines:?}"
        );
        // One line for the tasks, one for the operations, and one for each kind.
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.field("thread") == thread)
                .count(),
            7
        );
    }
    // Nothing is left of SPDK's memory.
    assert!(
        ends.iter()
            .all(|line| !line.message().contains("stays mapped")),
        "{ends:?}"
    );
}

#[track_caller]
fn assert_stopped(result: Result<(), Error>) {
    assert!(
        matches!(kind(&result), Some(ErrorKind::Cancelled)),
        "{result:?}"
    );
}

fn signal(signal: Signal) {
    assert!(kill_process(getpid(), signal).is_ok());
}

/// Fails if anything is left behind, is not reported, or is not waited for.
#[spdk::test(no_app, deadline = 60)]
fn main_function_ends() {
    let result = run(&["the main function has ended"], async { 7 });
    assert_eq!(result.expect("an orderly end"), 7);
}

#[spdk::test(no_app, deadline = 60)]
fn stop() {
    assert_stopped(run(&["SpdkApp::stop"], async {
        SpdkApp::stop();
        pending().await
    }));
}

/// From another core, more than once, while a signal comes too.
#[spdk::test(no_app, deadline = 60)]
fn stop_elsewhere() {
    assert_stopped(run(&["SpdkApp::stop", "a signal"], async {
        let elsewhere = spawn_on(1, || async {
            SpdkApp::stop();
            SpdkApp::stop();
            signal(Signal::TERM);
        });
        drop(elsewhere.await);
        pending().await
    }));
}

#[spdk::test(no_app, deadline = 60)]
fn sigint() {
    assert_stopped(run(&["a signal"], async {
        signal(Signal::INT);
        pending().await
    }));
}

#[spdk::test(no_app, deadline = 60)]
fn sigterm() {
    assert_stopped(run(&["a signal"], async {
        signal(Signal::TERM);
        pending().await
    }));
}

/// Fails if a second signal ends the process, or hurries the end so that an I/O is not waited for.
#[spdk::test(no_app, deadline = 60)]
fn a_second_signal() {
    assert_stopped(run(&["a signal"], async {
        signal(Signal::INT);
        std::thread::spawn(|| {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(5));
                signal(Signal::INT);
            }
            signal(Signal::TERM);
        });
        pending().await
    }));
}
