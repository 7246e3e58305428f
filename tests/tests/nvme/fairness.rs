//! What others get beside an `IoQueue` over TCP that is always full.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - The queue pairs are polled for as long as commands end: `a_full_queue_starves_nobody`.
//! - Of the commands that wait for room the last one goes on first: both.
//! - The queue pair that is polled by itself is polled seldom: `two_full_queues_share`.
//! - It, or the others, are polled but once in a turn when many commands of the other end: `two_busy_queues_share`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use spdk::nvme::{NvmeController, NvmeNamespace, NvmeQpair, NvmeQpairOpts};
use spdk::task::JoinHandle;
use spdk::{EndedIo, IoQueue, ThreadHandle, spawn_local};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::Target;
use spdk_tests::nvmf::disk::{Bystanders, SPAN_BLOCKS, assert_is, buffer};
use spdk_tests::poller::Counter;
use spdk_tests::second;
use spdk_tests::turns::{Gauge, Share, Turns, pass};
use spdk_tests::wait::{PATIENCE, until, within};

type Queue = IoQueue<(), NvmeNamespace>;

const DEPTH: u64 = 100;
/// More than that, and no more than the target has.
const ROOM: u32 = 127;
/// What may end in a turn: as many as are sent at once, but for one, and then once more all that fit in.
const MOST: u64 = 63 + ROOM as u64;

/// How a task goes from one command to the next.
#[derive(Clone, Copy, Debug)]
enum Style {
    Each,
    /// Works for so long on each that others have ended meanwhile.
    Busy,
    InPlace,
    Next,
}

const STYLES: [Style; 3] = [Style::Each, Style::InPlace, Style::Next];
const WORK: Duration = Duration::from_micros(100);

/// Reads again and again what each command of a full queue has read, and ends if SPDK's pollers are starved.
async fn forever(style: Style, mut queue: Queue, gauge: Rc<Gauge>, ends: Rc<Cell<u64>>) {
    // That of the whole queue.
    let mut share = Share::default();
    let mut goes_on = move |result: spdk::Result<()>| {
        ends.set(ends.get() + 1);
        result.is_ok() && gauge.polled(&mut share)
    };
    match style {
        Style::Each | Style::Busy => {
            let each = move |mut io: EndedIo<'_, (), NvmeNamespace>| {
                let start = Instant::now();
                while matches!(style, Style::Busy) && start.elapsed() < WORK {
                    std::hint::spin_loop();
                }
                let result = io.take_result();
                if goes_on(result) {
                    io.read_blocks(0, 1);
                }
            };
            queue.for_each_ended(each).await;
        }
        Style::InPlace => {
            while queue.ended().await {
                while let Some(mut io) = queue.pop() {
                    let result = io.take_result();
                    if !goes_on(result) {
                        return;
                    }
                    io.read_blocks(0, 1);
                }
            }
        }
        Style::Next => {
            while let Some(done) = queue.next().await {
                if !goes_on(done.result) {
                    return;
                }
                queue.read_blocks(done.buf.expect("its buffer"), 0, 1, ());
            }
        }
    }
}

/// A queue that is always full.
struct Storm {
    ends: Rc<Cell<u64>>,
    task: JoinHandle<()>,
}

impl Storm {
    fn start(
        style: Style,
        depth: u64,
        (ns, qpair): (&NvmeNamespace, &NvmeQpair),
        gauge: &Rc<Gauge>,
    ) -> Storm {
        let queue = IoQueue::of_namespace(ns, qpair);
        let mut queue: Queue = queue.expect("it is connected");
        for _ in 0..depth {
            queue.read_blocks(buffer_of_a_block(), 0, 1, ());
        }
        let ends = Rc::new(Cell::new(0));
        let task = spawn_local(forever(style, queue, gauge.clone(), ends.clone()));
        let task = task.expect("the application runs");
        Storm { ends, task }
    }

    fn ends(&self) -> u64 {
        self.ends.get()
    }

    /// Whether it went on until now.
    fn end(self) {
        assert!(!self.task.is_finished(), "the storm has ended");
        self.task.abort();
    }
}

fn buffer_of_a_block() -> spdk::DmaBuf {
    spdk::DmaBuf::alloc(spdk_tests::nvmf::BLOCK_SIZE, 4096).expect("DMA memory")
}

/// Two queue pairs with room for so many commands. The first one of an spdk_thread is polled in another way than those
/// after it.
async fn two_with_room(controller: &NvmeController, room: u32) -> [NvmeQpair; 2] {
    let opts = NvmeQpairOpts::new()
        .io_queue_size(room + 1)
        .io_queue_requests(room);
    let new = async || {
        let qpair = controller.alloc_io_qpair(Some(&opts)).await;
        qpair.expect("the target has queue pairs")
    };
    [new().await, new().await]
}

/// A controller without queue pairs, and its namespace.
async fn connected(target: &Target) -> (NvmeController, NvmeNamespace) {
    let link = Link::to(target).await;
    link.prepare(1..2, 1).await;
    link.qpair.close().await.expect("it is of this spdk_thread");
    (link.controller, link.ns)
}

/// An admin command.
async fn ask(controller: &NvmeController) {
    const NUMBER_OF_QUEUES: u8 = 7;
    let asked = controller.get_feature(NUMBER_OF_QUEUES, 0, 0, None);
    within("a feature", asked).await.expect("the target runs");
}

/// Reads, with a timer, a message and an admin command between the reads.
async fn go_on_beside(
    (controller, second): (&NvmeController, &ThreadHandle),
    (ns, qpair): (&NvmeNamespace, &NvmeQpair),
) {
    for number in 0..5 {
        let called = within("a call", second.call(move || number)).await;
        assert_eq!(called.ok(), Some(number));
        let mut buf = buffer();
        let read = ns.read(qpair, &mut buf, SPAN_BLOCKS, SPAN_BLOCKS as u32);
        within("a read", read).await.expect("the target runs");
        assert_is(&buf, 1, 1);
        ask(controller).await;
        let timer = spdk::time::sleep(Duration::from_millis(1));
        let slept = within("a timer", timer).await;
        slept.expect("the application runs");
    }
}

/// Fails if a queue that is always full, also one most of whose commands wait for room, keeps SPDK's pollers, tasks,
/// timers, messages, admin commands or other commands of its queue pair waiting.
#[spdk::test(no_app, deadline = 120)]
fn a_full_queue_starves_nobody() {
    beside_target(|target| async move {
        let (controller, ns) = connected(&target).await;
        let second = second::spdk_thread("second").await;
        for room in [ROOM, 4] {
            let qpairs = two_with_room(&controller, room).await;
            for (qpair, style) in qpairs
                .iter()
                .flat_map(|qpair| STYLES.map(|style| (qpair, style)))
            {
                let what = format!("{style:?} on {} with room for {room}", qpair.id());
                let (gauge, timed) = (Gauge::start(), Counter::every(1));
                let turns = Turns::start().expect("the application runs");
                let storm = Storm::start(style, DEPTH, (&ns, qpair), &gauge);
                until("the storm", || storm.ends() > 2 * DEPTH).await;

                let before = (gauge.runs(), turns.count(), timed.runs());
                let (start, ends) = (Instant::now(), storm.ends());
                let mut passed = 0;
                while storm.ends() < ends + 10 * DEPTH {
                    let goes_on = start.elapsed() < PATIENCE && !storm.task.is_finished();
                    assert!(goes_on, "{what}: the storm has ended, or stands still");
                    pass(1).await;
                    passed += 1;
                }
                let (runs, turned) = (gauge.runs() - before.0, turns.count() - before.1);
                assert!(
                    runs.abs_diff(passed) <= 1 && turned.abs_diff(passed) <= 1,
                    "{what}: {runs} runs of a poller, {turned} of a task in {passed} turns"
                );
                let timed = timed.runs() - before.2;
                assert!(
                    timed >= passed / 2,
                    "{what}: {timed} runs of a timed poller in {passed} turns"
                );
                go_on_beside((&controller, &second), (&ns, qpair)).await;
                let most = gauge.most();
                assert!(
                    most <= MOST,
                    "{what}: {most} ends between two runs of a poller"
                );
                storm.end();
            }
        }
        drop(ns);
        controller.detach().await.expect("it is of here");
        Bystanders::new()
    });
}

/// How often commands of two storms have ended while this many of them have.
async fn ends_of(storms: &[Storm; 2], count: u64) -> [u64; 2] {
    let ends = || storms.each_ref().map(Storm::ends);
    until("both storms", || ends()[0] > 2 * DEPTH && ends()[1] > 0).await;
    let before = ends();
    let got = || [0, 1].map(|at| ends()[at] - before[at]);
    until("more", || got().iter().sum::<u64>() > count).await;
    got()
}

/// Fails if one of two full queues, of one queue pair or of two, gets much less than the other one, or one command that
/// is always there much less than one of a full queue.
#[spdk::test(no_app, deadline = 120)]
fn two_full_queues_share() {
    beside_target(|target| async move {
        let (controller, ns) = connected(&target).await;
        for room in [ROOM, 4] {
            let [one, two] = two_with_room(&controller, room).await;
            let cases = [(&one, DEPTH), (&one, 1), (&two, DEPTH)];
            for (case, style) in cases
                .iter()
                .flat_map(|case| STYLES.map(|style| (case, style)))
            {
                let (other, depth) = *case;
                let gauge = Gauge::start();
                let storms = [
                    Storm::start(style, DEPTH, (&ns, &one), &gauge),
                    Storm::start(style, depth, (&ns, other), &gauge),
                ];
                let [first, second] = ends_of(&storms, 40 * DEPTH).await;
                let (first, second) = (first / DEPTH, second / depth);
                assert!(
                    first <= 2 * second + 1 && second <= 2 * first + 1,
                    "{style:?} with room for {room} on {} and {}: each of {DEPTH} had {first} ends, each of {depth} had {second}",
                    one.id(),
                    other.id()
                );
                storms.into_iter().for_each(Storm::end);
            }
        }
        drop(ns);
        controller.detach().await.expect("it is of here");
        Bystanders::new()
    });
}

/// Fails if one of two queue pairs gets much less than the other one because SPDK's buffer of the one holds fewer answers
/// than it gives out at once for the other one. Which one that is, if any, differs from time to time.
#[spdk::test(no_app, deadline = 120)]
fn two_busy_queues_share() {
    const AT_ONCE: u64 = 64;
    beside_target(|target| async move {
        let (controller, ns) = connected(&target).await;
        let qpairs = two_with_room(&controller, ROOM).await;
        for _ in 0..12 {
            let gauge = Gauge::start();
            let storms = qpairs
                .each_ref()
                .map(|qpair| Storm::start(Style::Busy, AT_ONCE, (&ns, qpair), &gauge));
            let [first, second] = ends_of(&storms, 40 * AT_ONCE).await;
            assert!(
                first <= 3 * second && second <= 3 * first,
                "{first} and {second} ends"
            );
            storms.into_iter().for_each(Storm::end);
        }
        drop((qpairs, ns));
        controller.detach().await.expect("it is of here");
        Bystanders::new()
    });
}
