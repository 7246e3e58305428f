//! Nobody starves: neither SPDK's pollers and other spdk_threads by tasks that are always ready, nor
//! tasks, pollers, messages and the end of the application by completions that never cease.
//!
//! What is compared are counts: the polls of tasks, the turns of the executor and the runs of a
//! poller of SPDK's. Time plays no part.
//!
//! Each of these faults was put into the executor, and these tests failed:
//!
//! - A turn goes on until no task is ready, or is two turns; a wake, or a spawn, polls at once:
//!   `busy_tasks_*`, `tasks_that_make_*`, and the storms.
//! - A turn polls some of the ready tasks only, or comes in each third poll only; a task is queued
//!   twice: the same.
//! - A turn goes on until no message is left: `messages_without_end_*`.
//! - The end waits for the tasks to end: those that end in a storm.
#![allow(missing_docs)]

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::Poll;

use futures_util::stream::{FuturesUnordered, StreamExt};
use spdk::task::{JoinHandle, yield_now};
use spdk::{Error, ErrorKind, SpdkApp, SpdkThread, ThreadHandle, spawn_local};
use spdk_tests::nvmf::log;
use spdk_tests::poller::Counter;
use spdk_tests::turns::{Gauge, Share, Turns, pass};
use spdk_tests::{Device, kind, pattern, second, until};

const BLOCK: usize = 512;

/// Tasks that are ready in every turn.
struct Busy {
    tasks: Vec<JoinHandle<()>>,
    polls: Rc<Vec<Cell<u64>>>,
}

impl Busy {
    /// Starts them: some yield, some wake themselves, some do it more than once.
    fn start(count: usize, gauge: &Rc<Gauge>) -> spdk::Result<Busy> {
        let polls: Rc<Vec<Cell<u64>>> = Rc::new((0..count).map(|_| Cell::new(0)).collect());
        let tasks = (0..count)
            .map(|number| {
                let (polls, gauge) = (polls.clone(), gauge.clone());
                let mut share = Share::default();
                let mut begin = move || {
                    polls[number].set(polls[number].get() + 1);
                    gauge.polled(&mut share)
                };
                spawn_local(async move {
                    if number % 2 == 0 {
                        while begin() {
                            yield_now().await;
                        }
                        return;
                    }
                    poll_fn(|cx| {
                        let clone = cx.waker().clone();
                        cx.waker().wake_by_ref();
                        clone.wake();
                        if begin() {
                            Poll::Pending
                        } else {
                            Poll::Ready(())
                        }
                    })
                    .await;
                })
            })
            .collect::<spdk::Result<_>>()?;
        Ok(Busy { tasks, polls })
    }

    /// The least and the most polls that one of them had.
    fn polls(&self) -> (u64, u64) {
        spread(&self.polls)
    }

    async fn end(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        for task in self.tasks {
            assert!(
                matches!(kind(&task.await), Some(ErrorKind::Cancelled)),
                "a task ended"
            );
        }
    }
}

fn spread(counts: &[Cell<u64>]) -> (u64, u64) {
    let counts = counts.iter().map(Cell::get);
    counts.fold((u64::MAX, 0), |(least, most), count| {
        (least.min(count), most.max(count))
    })
}

/// Fails if a turn goes on with tasks that became ready in it.
#[spdk::test]
async fn busy_tasks_leave_every_turn_to_the_pollers() -> spdk::Result<()> {
    const TURNS: u64 = 40;
    let gauge = Gauge::start();
    let busy = Busy::start(30_000, &gauge)?;
    pass(2).await;
    let before = gauge.runs();
    pass(TURNS).await;
    let runs = gauge.runs() - before;
    assert!(
        runs.abs_diff(TURNS) <= 1,
        "{runs} runs of a poller in {TURNS} turns"
    );
    assert_eq!(gauge.most(), 1, "polls of a task between two of a poller");
    let (least, most) = busy.polls();
    assert!(most - least <= 1, "between {least} and {most} polls");
    busy.end().await;
    Ok(())
}

/// Fails if a task that spawns the next one, or wakes another that wakes it, keeps the turn.
#[spdk::test]
async fn tasks_that_make_each_other_ready_leave_every_turn_to_the_pollers() -> spdk::Result<()> {
    const TURNS: u64 = 200;
    /// Each of these spawns the next one.
    fn spawn_next(gauge: Rc<Gauge>, mut share: Share, spawned: Rc<Cell<u64>>) -> spdk::Result<()> {
        if gauge.polled(&mut share) {
            spawned.set(spawned.get() + 1);
            drop(spawn_local(async {
                let _ = spawn_next(gauge, share, spawned);
            })?);
        }
        Ok(())
    }
    let gauge = Gauge::start();
    let spawned = Rc::new(Cell::new(0));
    spawn_next(gauge.clone(), Share::default(), spawned.clone())?;
    // A ring of tasks; each wakes the next one and waits to be woken.
    let ring: Rc<Vec<Cell<Option<std::task::Waker>>>> =
        Rc::new((0..1000).map(|_| Cell::new(None)).collect());
    let mut tasks = Vec::new();
    for number in 0..ring.len() {
        let (ring, gauge) = (ring.clone(), gauge.clone());
        let mut share = Share::default();
        tasks.push(spawn_local(poll_fn(move |cx| {
            ring[number].set(Some(cx.waker().clone()));
            if let Some(next) = ring[(number + 1) % ring.len()].take() {
                next.wake();
            }
            if gauge.polled(&mut share) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        }))?);
    }
    let before = gauge.runs();
    pass(TURNS).await;
    let runs = gauge.runs() - before;
    assert!(
        runs.abs_diff(TURNS) <= 1,
        "{runs} runs of a poller in {TURNS} turns"
    );
    assert_eq!(gauge.most(), 1, "polls of a task between two of a poller");
    assert!(
        spawned.get() >= TURNS,
        "{} were spawned in {TURNS} turns",
        spawned.get()
    );
    tasks.iter().for_each(JoinHandle::abort);
    Ok(())
}

/// Fails if I/O takes more turns than it needs: one to submit, one to complete.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn busy_tasks_do_not_hold_up_completions() -> spdk::Result<()> {
    const OPERATIONS: u64 = 60;
    let device = Device::open("Malloc0")?;
    let gauge = Gauge::start();
    let busy = Busy::start(10_000, &gauge)?;
    let turns = Turns::start()?;
    pass(2).await;
    let before = turns.count();
    let mut buf = device.buffer(8)?;
    for generation in 0..OPERATIONS / 2 {
        pattern::fill(&mut buf, BLOCK, 0, generation);
        device.desc.write(&device.ch, &buf, 0).await?;
        buf.fill(0);
        device.desc.read(&device.ch, &mut buf, 0).await?;
        pattern::assert_is(&buf, BLOCK, 0, generation);
    }
    let took = turns.count() - before;
    assert!(
        took <= 3 * OPERATIONS,
        "{OPERATIONS} operations took {took} turns"
    );
    assert_eq!(gauge.most(), 1, "polls of a task between two of a poller");
    busy.end().await;
    Ok(())
}

/// Turns of a task on an spdk_thread, counted for another one.
async fn turns_of(thread: &ThreadHandle) -> spdk::Result<Arc<AtomicU64>> {
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    let spawn = move || {
        spawn_local(async move {
            loop {
                counter.fetch_add(1, SeqCst);
                yield_now().await;
            }
        })
        .map(drop)
    };
    thread.call(spawn).await??;
    Ok(count)
}

/// Fails if busy tasks keep the reactor on their spdk_thread, or keep messages out.
#[spdk::test]
async fn busy_tasks_do_not_hold_up_other_spdk_threads() -> spdk::Result<()> {
    const TURNS: u64 = 40;
    const CALLS: u64 = 20;
    let second = second::spdk_thread("second").await;
    let gauge = Gauge::start();
    let busy = Busy::start(10_000, &gauge)?;
    let turns = Turns::start()?;
    let others = turns_of(&second).await?;
    let before = others.load(SeqCst);
    pass(TURNS).await;
    let there = others.load(SeqCst) - before;
    assert!(
        there.abs_diff(TURNS) <= 2,
        "{there} turns there in {TURNS} here"
    );
    let before = turns.count();
    for number in 0..CALLS {
        assert_eq!(second.call(move || number).await?, number);
    }
    let took = turns.count() - before;
    assert!(took <= 4 * CALLS, "{CALLS} calls took {took} turns");
    busy.end().await;
    Ok(())
}

/// Fails if a turn goes on with messages that were sent in it.
#[spdk::test]
async fn messages_without_end_leave_every_turn_to_tasks_and_pollers() -> spdk::Result<()> {
    const MESSAGES: u64 = 500;
    const TURNS: u64 = 200;
    /// Sends itself again for as long as the count of turns is less than `until`.
    fn again(app: ThreadHandle, ran: Arc<AtomicU64>, until: u64) {
        // An executor that goes on with new messages would never come to the turns.
        if ran.fetch_add(1, SeqCst) < until {
            let next = app.clone();
            // An error says that the test has ended.
            let _ = next.send(move || again(app, ran, until));
        }
    }
    let Some(app) = SpdkThread::app_thread() else {
        panic!("no app thread")
    };
    let (ran, poller) = (Arc::new(AtomicU64::new(0)), Counter::start());
    for _ in 0..MESSAGES {
        again(app.clone(), ran.clone(), MESSAGES * TURNS * 2);
    }
    let before = (ran.load(SeqCst), poller.runs());
    pass(TURNS).await;
    let messages = ran.load(SeqCst) - before.0;
    let runs = poller.runs() - before.1;
    assert!(
        runs.abs_diff(TURNS) <= 1,
        "{runs} runs of a poller in {TURNS} turns"
    );
    assert!(
        messages <= TURNS * MESSAGES,
        "{messages} messages in {TURNS} turns, {MESSAGES} at a time"
    );
    assert!(
        messages >= TURNS,
        "{messages} messages ran in {TURNS} turns"
    );
    Ok(())
}

/// Operations in flight at once, each submitted again as soon as it has ended.
const DEPTH: usize = 4096;

/// I/O without end on a device that completes whole batches in each poll.
struct Storm {
    ends: Rc<Vec<Cell<u64>>>,
    tasks: Vec<JoinHandle<spdk::Result<()>>>,
}

#[derive(Clone, Copy)]
enum Shape {
    /// One task for each operation in flight.
    Tasks,
    /// One task for all of them.
    OneTask,
}

impl Storm {
    fn start(shape: Shape, depth: usize, gauge: &Rc<Gauge>) -> spdk::Result<Storm> {
        let device = Rc::new(Device::open("Null0")?);
        let ends: Rc<Vec<Cell<u64>>> = Rc::new((0..depth).map(|_| Cell::new(0)).collect());
        let mut slots = (0..depth).map(|slot| {
            let (device, gauge, ends) = (device.clone(), gauge.clone(), ends.clone());
            async move {
                let mut buf = device.buffer(1)?;
                let mut share = Share::default();
                loop {
                    device.desc.read_blocks(&device.ch, &mut buf, 0, 1).await?;
                    ends[slot].set(ends[slot].get() + 1);
                    if !gauge.polled(&mut share) {
                        return spdk::Result::Ok(());
                    }
                }
            }
        });
        let tasks = match shape {
            Shape::Tasks => slots.map(spawn_local).collect::<spdk::Result<_>>()?,
            Shape::OneTask => {
                let all: FuturesUnordered<_> = slots.by_ref().collect();
                vec![spawn_local(async move {
                    let mut all = all;
                    while let Some(end) = all.next().await {
                        end?;
                    }
                    Ok(())
                })?]
            }
        };
        Ok(Storm { ends, tasks })
    }

    fn ends(&self) -> u64 {
        self.ends.iter().map(Cell::get).sum()
    }
}

async fn storm_starves_nobody(shape: Shape, depth: usize) -> spdk::Result<()> {
    const TURNS: u64 = 100;
    const CALLS: u64 = 20;
    let second = second::spdk_thread("second").await;
    let gauge = Gauge::start();
    let timer = Counter::every(1);
    let storm = Storm::start(shape, depth, &gauge)?;
    let turns = Turns::start()?;
    let others = turns_of(&second).await?;
    until("the storm", || storm.ends() > 2 * depth as u64).await;

    let before = (
        gauge.runs(),
        timer.runs(),
        others.load(SeqCst),
        storm.ends(),
    );
    pass(TURNS).await;
    let runs = gauge.runs() - before.0;
    assert!(
        runs.abs_diff(TURNS) <= 1,
        "{runs} runs of a poller in {TURNS} turns"
    );
    let timed = timer.runs() - before.1;
    assert!(
        timed >= TURNS / 2,
        "{timed} runs of a timed poller in {TURNS} turns"
    );
    let there = others.load(SeqCst) - before.2;
    assert!(
        there.abs_diff(TURNS) <= 2,
        "{there} turns of another spdk_thread in {TURNS}"
    );
    let ends = storm.ends() - before.3;
    assert!(
        ends >= TURNS / 4 * depth as u64,
        "{ends} ends of {depth} operations in {TURNS} turns"
    );
    assert!(
        gauge.most() <= 2,
        "{} ends of one operation between two runs of a poller",
        gauge.most()
    );
    let (least, most) = spread(&storm.ends);
    assert!(
        most - least <= 4,
        "one operation had {least} ends, another one {most}"
    );

    // Messages come through, from this OS thread and from others.
    let before = turns.count();
    for number in 0..CALLS {
        assert_eq!(second.call(move || number).await?, number);
    }
    let took = turns.count() - before;
    assert!(took <= 5 * CALLS, "{CALLS} calls took {took} turns");
    let Some(app) = SpdkThread::app_thread() else {
        panic!("no app thread")
    };
    let elsewhere = std::thread::spawn(move || {
        let (tx, rx) = std::sync::mpsc::channel();
        (0..CALLS).all(|number| {
            let tx = tx.clone();
            let sent = app.send(move || {
                // The receiver waits for it.
                let _ = tx.send(number);
            });
            sent.is_ok() && rx.recv() == Ok(number)
        })
    });
    until("another OS thread's messages", || elsewhere.is_finished()).await;
    assert_eq!(elsewhere.join().ok(), Some(true));
    assert!(
        storm.tasks.iter().all(|task| !task.is_finished()),
        "the storm has ended"
    );
    Ok(())
}

/// Fails if completions are followed by their next submissions before others get their turn.
#[spdk::test(bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_storm_of_completions_starves_nobody() -> spdk::Result<()> {
    storm_starves_nobody(Shape::Tasks, DEPTH).await
}

/// As above, where every completion wakes the same task.
#[spdk::test(bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_storm_of_completions_in_one_task_starves_nobody() -> spdk::Result<()> {
    storm_starves_nobody(Shape::OneTask, DEPTH / 4).await
}

/// Fails if plain tasks and tasks with I/O do not share the turns: all are ready all the time.
#[spdk::test(bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_storm_and_busy_tasks_share_the_turns() -> spdk::Result<()> {
    const TURNS: u64 = 40;
    let gauge = Gauge::start();
    let busy = Busy::start(5_000, &gauge)?;
    let storm = Storm::start(Shape::Tasks, DEPTH / 4, &gauge)?;
    pass(4).await;
    let before = (gauge.runs(), storm.ends());
    pass(TURNS).await;
    let (runs, ends) = (gauge.runs() - before.0, storm.ends() - before.1);
    assert!(
        runs.abs_diff(TURNS) <= 1,
        "{runs} runs of a poller in {TURNS} turns"
    );
    assert!(
        ends >= TURNS / 4 * (DEPTH / 4) as u64,
        "{ends} ends in {TURNS} turns"
    );
    let (least, most) = busy.polls();
    assert!(most - least <= 1, "between {least} and {most} polls");
    assert!(
        gauge.most() <= 2,
        "{} polls of a task in one turn",
        gauge.most()
    );
    busy.end().await;
    Ok(())
}

/// Runs an application that ends by `end` in the middle of a storm, among busy tasks.
fn ends_in_a_storm<T: 'static>(end: impl Future<Output = T> + 'static) -> Result<T, Error> {
    log::keep();
    let config = r#"{"subsystems": [{"subsystem": "bdev", "config": [{"method": "bdev_null_create",
        "params": {"name": "Null0", "num_blocks": 1024, "block_size": 512}}]}]}"#;
    let gone = Rc::new(Cell::new(0));
    struct Guard(Rc<Cell<u64>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let count = gone.clone();
    let app = spdk::__testing::builder().json_data(config);
    let result = app.block_on(async move {
        let gauge = Gauge::start();
        // The tasks run on when their handles go.
        let storm = Storm::start(Shape::Tasks, DEPTH, &gauge)?;
        drop(Busy::start(1_000, &gauge)?);
        for _ in 0..100 {
            let guard = Guard(count.clone());
            drop(spawn_local(async move {
                let _guard = guard;
                loop {
                    yield_now().await;
                }
            })?);
        }
        until("the storm", || storm.ends() > 2 * DEPTH as u64).await;
        // It ends with its spdk_thread, when every task has been dropped.
        drop((gauge, storm));
        Ok(end.await)
    });
    assert_eq!(gone.get(), 100, "tasks were not dropped");
    for words in [&["hold up"], &["abandoned"], &["stays mapped"]] {
        assert!(!log::has(words), "not an orderly end");
    }
    result
}

#[spdk::test(no_app, deadline = 30)]
fn main_future_ends_in_a_storm() {
    assert_eq!(ends_in_a_storm(async { 7 }).expect("an orderly end"), 7);
}

#[spdk::test(no_app, deadline = 30)]
fn stop_is_called_in_a_storm() {
    let result = ends_in_a_storm(async {
        SpdkApp::stop();
        pending::<()>().await;
    });
    assert!(
        matches!(kind(&result), Some(ErrorKind::Cancelled)),
        "{result:?}"
    );
}

#[spdk::test(no_app, deadline = 30)]
fn stop_is_called_on_another_os_thread_in_a_storm() {
    let result = ends_in_a_storm(async {
        std::thread::spawn(SpdkApp::stop);
        pending::<()>().await;
    });
    assert!(
        matches!(kind(&result), Some(ErrorKind::Cancelled)),
        "{result:?}"
    );
}
