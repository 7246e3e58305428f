//! What others get beside queues of NVMe commands over TCP that are always full.
//!
//! Each of these faults was put into the crate, and the test failed:
//!
//! - A poll goes on as long as commands end.
//! - The queue pairs of SPDK's group are polled when nothing has ended on the one beside it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use spdk::nvme::{NvmeNamespace, NvmeQpair};
use spdk::task::JoinHandle;
use spdk::{DmaBuf, EndedIo, IoQueue, ThreadHandle, spawn_local, time};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::BLOCK_SIZE;
use spdk_tests::nvmf::disk::Bystanders;
use spdk_tests::poller::Counter;
use spdk_tests::turns::{Gauge, Share, Turns};
use spdk_tests::wait::{until, within};
use spdk_tests::{pattern, second};

const DEPTH: u64 = 64;
/// So many commands of each queue end while others are counted.
const ENDS: u64 = 10 * DEPTH;
/// How long each is looked at: longer than the target takes for one, so that others have ended meanwhile.
const WORK: Duration = Duration::from_micros(100);

fn buffer() -> DmaBuf {
    DmaBuf::alloc(BLOCK_SIZE, BLOCK_SIZE).expect("DMA memory")
}

/// Reads a block again and again by a queue that is always full.
struct Storm {
    ends: Rc<Cell<u64>>,
    task: JoinHandle<()>,
}

impl Storm {
    fn start(
        mut queue: IoQueue<Share, NvmeNamespace>,
        in_callback: bool,
        gauge: &Rc<Gauge>,
    ) -> Storm {
        for _ in 0..DEPTH {
            queue.read_blocks(buffer(), 1, 1, Share::default());
        }
        let ends = Rc::new(Cell::new(0));
        let (count, gauge) = (ends.clone(), gauge.clone());
        let each = move |mut io: EndedIo<'_, Share, NvmeNamespace>| {
            io.take_result().expect("the target runs");
            count.set(count.get() + 1);
            let buf = io.buf().as_mut().expect("its buffer");
            let start = Instant::now();
            while start.elapsed() < WORK {
                pattern::assert_is(buf, BLOCK_SIZE, 1, 1);
            }
            buf.fill(0);
            if gauge.polled(io.tag_mut()) {
                io.read_blocks(1, 1);
            }
        };
        let task = spawn_local(async move {
            if in_callback {
                return queue.for_each_ended(each).await;
            }
            while queue.ended().await {
                while let Some(io) = queue.pop() {
                    each(io);
                }
            }
        });
        let task = task.expect("an executor");
        Storm { ends, task }
    }
}

/// Starts a storm on each queue pair, and looks at what they and others get of the same time.
async fn starve_nobody(
    ns: &NvmeNamespace,
    qpairs: [&NvmeQpair; 2],
    in_callback: bool,
    second: &ThreadHandle,
) {
    const CALLS: u64 = 10;
    let (gauge, timed) = (Gauge::start(), Counter::every(1));
    let turns = Turns::start().expect("an executor");
    let storms = qpairs.map(|qpair| {
        let queue = IoQueue::of_namespace(ns, qpair).expect("it is connected");
        Storm::start(queue, in_callback, &gauge)
    });
    let ends = || [storms[0].ends.get(), storms[1].ends.get()];
    until("both storms", || {
        ends().iter().all(|ends| *ends > 2 * DEPTH)
    })
    .await;
    let naps = Rc::new(Cell::new(0));
    let count = naps.clone();
    let sleeper = spawn_local(async move {
        while time::sleep(WORK).await.is_ok() {
            count.set(count.get() + 1);
        }
    });
    let sleeper = sleeper.expect("an executor");

    let counts = || [turns.count(), gauge.runs(), timed.runs(), naps.get()];
    let (before, began) = (counts(), ends());
    until("more ends", || {
        ends()
            .iter()
            .zip(began)
            .all(|(now, then)| now - then > ENDS)
    })
    .await;
    let [turned, runs, timed, naps] = since(before, counts());
    let ended = since(began, ends());
    let told =
        format!("{turned} turns, {runs} runs of a poller, {timed} of a timed one, {naps} naps");
    assert!(runs.abs_diff(turned) <= 1 && timed >= turned / 2, "{told}");
    assert!(naps >= turned.min(20) / 6, "{told}"); // each waits for its time, and for a turn
    assert!(
        gauge.most() <= 4,
        "{} ends of a command in one turn",
        gauge.most()
    );
    let (least, most) = (ended[0].min(ended[1]), ended[0].max(ended[1]));
    assert!(most <= 2 * least, "{ended:?} ends of two queues");

    let before = turns.count();
    for number in 0..CALLS {
        let answer = within("a call", second.call(move || number)).await;
        assert_eq!(answer.expect("an spdk_thread"), number);
    }
    let took = turns.count() - before;
    assert!(took <= 5 * CALLS, "{CALLS} calls took {took} turns");
    for _ in 0..CALLS {
        let mut buf = buffer();
        let read = within("a read", ns.read(qpairs[0], &mut buf, 1, 1)).await;
        read.expect("the target runs");
        pattern::assert_is(&buf, BLOCK_SIZE, 1, 1);
    }
    sleeper.abort();
    for storm in storms {
        assert!(!storm.task.is_finished(), "a storm has ended");
        storm.task.abort();
    }
}

fn since<const N: usize>(then: [u64; N], now: [u64; N]) -> [u64; N] {
    std::array::from_fn(|at| now[at] - then[at])
}

/// Fails if queues that are always full, on one queue pair or two, keep SPDK's pollers, tasks, timers, messages, commands of
/// tasks or each other waiting.
#[spdk::test(no_app, deadline = 60)]
fn full_queues_starve_nobody() {
    beside_target(|target| async move {
        let second = second::spdk_thread("second").await;
        let link = Link::to(&target).await;
        let mut buf = buffer();
        pattern::fill(&mut buf, BLOCK_SIZE, 1, 1);
        let write = link.ns.write(&link.qpair, &buf, 1, 1).await;
        write.expect("the target runs");
        let other = link.controller.alloc_io_qpair(None).await;
        let other = other.expect("the target has queue pairs");
        for in_callback in [true, false] {
            for other in [&link.qpair, &other] {
                starve_nobody(&link.ns, [&link.qpair, other], in_callback, &second).await;
            }
        }
        within("the close", other.close())
            .await
            .expect("it is of here");
        within("the close", link.close()).await;
        Bystanders::new()
    });
}
