//! Wakes: in order, none lost, none for nothing. Whatever becomes ready first runs first, and what is
//! woken while it runs runs again.
//!
//! Each of these faults was put into the executor, and these tests failed:
//!
//! - The queue is last in, first out: `tasks_run_in_the_order_*`, `what_is_woken_in_a_turn_*`,
//!   `wakers_of_ended_tasks_*`.
//! - A woken task is queued again: `tasks_run_in_the_order_of_their_wakes`.
//! - A wake during the poll is lost: `a_task_that_is_woken_while_it_runs_runs_again`.
//! - A wake of another OS thread is lost when there are thousands: `no_wake_is_lost_among_many`.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Poll, Waker};

use futures_util::future::join_all;
use futures_util::task::AtomicWaker;
use spdk::spawn_local;
use spdk::task::{JoinHandle, yield_now};
use spdk_tests::random::Random;
use spdk_tests::turns::{Turns, pass};
use spdk_tests::{Device, second, until};

const BLOCK: usize = 512;

/// Tasks that wait to be woken and write down the order in which they are polled.
struct Sleepers {
    tasks: Vec<JoinHandle<()>>,
    wakers: Rc<Vec<Cell<Option<Waker>>>>,
    polled: Rc<RefCell<Vec<usize>>>,
}

impl Sleepers {
    async fn start(count: usize) -> spdk::Result<Self> {
        let wakers: Rc<Vec<Cell<Option<Waker>>>> =
            Rc::new((0..count).map(|_| Cell::new(None)).collect());
        let polled: Rc<RefCell<Vec<usize>>> = Rc::default();
        let tasks = (0..count)
            .map(|number| {
                let (wakers, polled) = (wakers.clone(), polled.clone());
                spawn_local(poll_fn(move |cx| {
                    polled.borrow_mut().push(number);
                    wakers[number].set(Some(cx.waker().clone()));
                    Poll::Pending
                }))
            })
            .collect::<spdk::Result<_>>()?;
        let sleepers = Sleepers {
            tasks,
            wakers,
            polled,
        };
        until("the first polls", || {
            sleepers.polled.borrow().len() == count
        })
        .await;
        Ok(sleepers)
    }

    /// Wakes one of them; it keeps its waker.
    fn wake(&self, number: usize) {
        let waker = self.wakers[number].take();
        if let Some(waker) = &waker {
            waker.wake_by_ref();
        }
        self.wakers[number].set(waker);
    }

    /// Who was polled since the last call.
    fn polled(&self) -> Vec<usize> {
        self.polled.take()
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Fails if the queue of ready tasks is not first in, first out, or has a task twice.
#[spdk::test]
async fn tasks_run_in_the_order_of_their_wakes() -> spdk::Result<()> {
    const COUNT: usize = 1000;
    let sleepers = Sleepers::start(COUNT).await?;
    assert!(
        sleepers.polled().into_iter().eq(0..COUNT),
        "not in the order of spawning"
    );
    let mut random = Random::new(1);
    for _ in 0..20 {
        let mut order: Vec<usize> = (0..COUNT).collect();
        random.shuffle(&mut order);
        for number in &order {
            sleepers.wake(*number);
            // A second wake before the poll changes nothing.
            sleepers.wake(order[0]);
        }
        pass(1).await;
        assert_eq!(sleepers.polled(), order);
        pass(1).await;
        assert!(sleepers.polled().is_empty(), "polled without a wake");
    }
    Ok(())
}

/// Fails if a task that wakes others while it runs comes before tasks that were ready earlier.
#[spdk::test]
async fn what_is_woken_in_a_turn_runs_after_what_was_ready() -> spdk::Result<()> {
    let order: Rc<RefCell<Vec<u32>>> = Rc::default();
    let mut tasks = Vec::new();
    for number in 0..10 {
        let order = order.clone();
        tasks.push(spawn_local(async move {
            for round in 0..100 {
                order.borrow_mut().push(round * 10 + number);
                if number == 3 {
                    // Its own task, and one that is new, are the last in the queue.
                    drop(spawn_local(async {})?);
                }
                yield_now().await;
            }
            Ok::<_, spdk::Error>(())
        })?);
    }
    for task in join_all(tasks).await {
        task??;
    }
    assert!(order.take().into_iter().eq(0..1000));
    Ok(())
}

/// Fails if tasks whose operations end one after another go on in another order.
#[spdk::test(bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK)))]
async fn tasks_run_in_the_order_of_their_completions() -> spdk::Result<()> {
    const COUNT: usize = 500;
    const ROUNDS: usize = 20;
    let device = Rc::new(Device::open("Null0")?);
    let order: Rc<RefCell<Vec<usize>>> = Rc::default();
    let mut tasks = Vec::new();
    for number in 0..COUNT {
        let (device, order) = (device.clone(), order.clone());
        tasks.push(spawn_local(async move {
            let mut buf = device.buffer(1)?;
            for _ in 0..ROUNDS {
                device.desc.read_blocks(&device.ch, &mut buf, 0, 1).await?;
                order.borrow_mut().push(number);
            }
            Ok::<_, spdk::Error>(())
        })?);
    }
    for task in join_all(tasks).await {
        task??;
    }
    let order = order.take();
    assert_eq!(order.len(), COUNT * ROUNDS);
    for round in order.chunks(COUNT) {
        assert!(round.iter().copied().eq(0..COUNT), "{round:?}");
    }
    Ok(())
}

/// Fails if a wake that comes during the poll is lost, counted twice, or needs the same OS thread.
#[spdk::test]
async fn a_task_that_is_woken_while_it_runs_runs_again() -> spdk::Result<()> {
    for wake in [
        (|waker: &Waker| waker.wake_by_ref()) as fn(&Waker),
        |waker| {
            let clones = [waker.clone(), waker.clone(), waker.clone()];
            clones.into_iter().for_each(Waker::wake);
        },
        |waker| {
            let waker = waker.clone();
            let elsewhere = std::thread::spawn(move || waker.wake());
            assert!(elsewhere.join().is_ok());
        },
    ] {
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let task = spawn_local(poll_fn(move |cx| {
            count.set(count.get() + 1);
            if count.get() == 1 {
                wake(cx.waker());
            }
            Poll::<()>::Pending
        }))?;
        until("the second poll", || polls.get() == 2).await;
        pass(5).await;
        assert_eq!(polls.get(), 2, "polled without a wake");
        task.abort();
    }
    Ok(())
}

/// Fails if a wake is lost among many, from this spdk_thread, another one and other OS threads: the
/// tasks that miss their last one never end.
#[spdk::test]
async fn no_wake_is_lost_among_many() -> spdk::Result<()> {
    const TASKS: usize = 10_000;
    const WAKES: u64 = 20;
    const THREADS: u64 = 2;
    // From here, from another spdk_thread, and from the OS threads.
    const ALL: u64 = WAKES * (2 + THREADS);
    #[derive(Default)]
    struct Bell {
        waker: AtomicWaker,
        rung: AtomicU64,
    }
    impl Bell {
        fn ring(&self) {
            self.rung.fetch_add(1, SeqCst);
            self.waker.wake();
        }
    }
    let bells: Arc<Vec<Bell>> = Arc::new((0..TASKS).map(|_| Bell::default()).collect());
    let left = Rc::new(Cell::new(TASKS));
    for number in 0..TASKS {
        let (bells, left) = (bells.clone(), left.clone());
        drop(spawn_local(async move {
            let bell = &bells[number];
            poll_fn(|cx| {
                bell.waker.register(cx.waker());
                match bell.rung.load(SeqCst) {
                    ALL => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await;
            left.set(left.get() - 1);
        })?);
    }
    let mut threads = Vec::new();
    for seed in 0..THREADS {
        let bells = bells.clone();
        threads.push(std::thread::spawn(move || {
            let mut random = Random::new(seed);
            let mut order: Vec<usize> = (0..TASKS).collect();
            for _ in 0..WAKES {
                random.shuffle(&mut order);
                order.iter().for_each(|number| bells[*number].ring());
            }
        }));
    }
    let second = second::spdk_thread("second").await;
    for _ in 0..WAKES {
        bells.iter().for_each(Bell::ring);
        let bells = bells.clone();
        second
            .call(move || bells.iter().for_each(Bell::ring))
            .await?;
    }
    until("the OS threads", || {
        threads.iter().all(std::thread::JoinHandle::is_finished)
    })
    .await;
    let turns = Turns::start()?;
    until("the last task", || {
        left.get() == 0 || turns.count() == 10_000
    })
    .await;
    assert_eq!(left.get(), 0, "tasks wait for wakes that have come");
    Ok(())
}

/// Fails if the end of a task, and another one in its place, mix up who is woken.
#[spdk::test]
async fn wakers_of_ended_tasks_disturb_nobody() -> spdk::Result<()> {
    const COUNT: usize = 1000;
    let old = Sleepers::start(COUNT).await?;
    let stale: Vec<Waker> = old.wakers.iter().filter_map(Cell::take).collect();
    assert_eq!(stale.len(), COUNT);
    drop(old);
    pass(1).await;
    let new = Sleepers::start(COUNT).await?;
    new.polled();
    stale.iter().for_each(Waker::wake_by_ref);
    let elsewhere = std::thread::spawn(move || stale.into_iter().for_each(Waker::wake));
    until("the other OS thread", || elsewhere.is_finished()).await;
    pass(100).await;
    // A task may look again without need, but each still hears its own wakes.
    new.polled();
    for number in (0..COUNT).rev() {
        new.wake(number);
    }
    pass(1).await;
    assert!(new.polled().into_iter().eq((0..COUNT).rev()));
    Ok(())
}
