//! Timers of spdk_threads.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{join_all, select_all};
use spdk::task::yield_now;
use spdk::time::{interval, sleep, sleep_until, timeout};
use spdk::{ErrorKind, Gone, SpdkApp, SpdkThread, block_on, spawn_local};
use spdk_tests::own_thread::{self, poll_until};
use spdk_tests::random::Random;
use spdk_tests::turns::pass;
use spdk_tests::{Device, kind, pattern, poll_once, rpc, second, until};

const MS: Duration = Duration::from_millis(1);

/// The names of the timed pollers of the current spdk_thread.
async fn timed_pollers() -> usize {
    let pollers = rpc::get("thread_get_pollers").await;
    pollers.to_string().matches("spdk-rs timers").count()
}

/// Fails if a timer is early, or later than what else happens explains.
#[spdk::test]
async fn a_sleep_takes_its_time() -> spdk::Result<()> {
    // Late by one turn of the reactor; other processes may hold it up, but not each time.
    let mut late = Vec::new();
    for round in 0..50 {
        let time = Duration::from_micros(100 * (round % 7));
        let start = Instant::now();
        sleep(time).await?;
        let took = start.elapsed();
        assert!(took >= time, "{took:?} instead of {time:?}");
        late.push(took - time);
    }
    late.sort();
    assert!(late[0] < MS, "late by {late:?}");
    let start = Instant::now();
    sleep_until(start + 3 * MS).await?;
    assert!(start.elapsed() >= 3 * MS);
    sleep_until(start).await?;
    Ok(())
}

/// Fails if thousands of timers end in the wrong order, get lost, or need more than one poller.
#[spdk::test(rpc_addr = &rpc::address())]
async fn thousands_of_timers_end_in_order() -> spdk::Result<()> {
    const MANY: usize = 5000;
    let mut random = Random::new(7);
    let ended = Rc::new(RefCell::new(Vec::new()));
    let base = Instant::now() + 100 * MS;
    let mut tasks = Vec::new();
    for number in 0..MANY {
        let deadline = base + Duration::from_micros(random.below(50_000));
        let ended = ended.clone();
        tasks.push(spawn_local(async move {
            let timer = sleep_until(deadline);
            // A third gives up, some of them only after a while.
            match number % 6 {
                0 => drop(timer),
                1 => drop(timeout(5 * MS, timer).await),
                _ => {
                    timer.await?;
                    assert!(Instant::now() >= deadline, "too early");
                    ended.borrow_mut().push(deadline);
                }
            }
            Ok::<_, spdk::Error>(())
        })?);
    }
    yield_now().await;
    let armed_in_time = Instant::now() < base;
    // SPDK shows one that is unregistered too, until it is due.
    assert!((1..=3).contains(&timed_pollers().await));
    for task in join_all(tasks).await {
        task??;
    }
    let ended = ended.take();
    assert_eq!(
        ended.len(),
        MANY - MANY.div_ceil(6) - (MANY - 1).div_ceil(6)
    );
    // Those that end in one turn of the reactor are woken in order too. A deadline that had passed before
    // its timer was armed is no order.
    let mut last = base;
    for deadline in ended {
        assert!(!armed_in_time || last <= deadline, "out of order");
        last = last.max(deadline);
    }
    // Without a timer there is no poller, some time after.
    let start = Instant::now();
    until("the end of the poller", || start.elapsed() > 15 * MS).await;
    assert_eq!(timed_pollers().await, 0);
    Ok(())
}

/// Fails if a short timer beside a long one leaves a poller behind each time.
#[spdk::test(rpc_addr = &rpc::address())]
async fn short_timers_beside_a_long_one_leave_nothing() -> spdk::Result<()> {
    let mut long = pin!(sleep(Duration::from_secs(3600)));
    assert!(poll_once(long.as_mut()).is_pending());
    let start = Instant::now();
    let mut most = 0;
    while start.elapsed() < 100 * MS {
        sleep(Duration::from_micros(20)).await?;
        most = most.max(timed_pollers().await);
    }
    // SPDK shows those that are unregistered too, until they are due.
    assert!(most < 300, "{most} pollers");
    until("the pollers to go", || start.elapsed() > 150 * MS).await;
    assert!(timed_pollers().await <= 2);
    Ok(())
}

/// Fails if a timeout cuts an output off, lets a late one through, or costs a timer when it needs none.
#[spdk::test(
    rpc_addr = &rpc::address(),
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = 512),
        bdev_delay_create(base_bdev_name = "Malloc0", name = "Slow0",
            avg_read_latency = 300_000, p99_read_latency = 300_000,
            avg_write_latency = 0, p99_write_latency = 0),
    ),
)]
async fn a_timeout_leaves_the_io_its_memory() -> spdk::Result<()> {
    assert_eq!(timeout(Duration::ZERO, ready(7)).await?, 7);
    assert_eq!(timed_pollers().await, 0);
    assert_eq!(
        timeout(Duration::MAX, async {
            yield_now().await;
            8
        })
        .await?,
        8
    );
    let late = timeout(2 * MS, pending::<()>()).await;
    assert!(matches!(kind(&late), Some(ErrorKind::TimedOut { limit }) if *limit == 2 * MS));
    assert_eq!(
        late.map_err(|error| error.to_string()),
        Err("it did not end within 2ms".to_owned())
    );
    let device = Device::open("Slow0")?;
    let mut buf = device.buffer(4)?;
    pattern::fill(&mut buf, 512, 0, 3);
    device.desc.write(&device.ch, &buf, 0).await?;
    buf.fill(0);
    let read = timeout(20 * MS, device.desc.read(&device.ch, &mut buf, 0)).await;
    assert!(
        matches!(kind(&read), Some(ErrorKind::TimedOut { .. })),
        "{read:?}"
    );
    // The abandoned read has the old memory.
    buf.fill(0xee);
    sleep(400 * MS).await?;
    assert!(buf.iter().all(|byte| *byte == 0xee));
    timeout(
        Duration::from_secs(5),
        device.desc.read(&device.ch, &mut buf, 0),
    )
    .await??;
    pattern::assert_is(&buf, 512, 0, 3);
    Ok(())
}

/// Fails if an interval drifts, loses a period, or tells the wrong number.
#[spdk::test]
async fn an_interval_does_not_drift() -> spdk::Result<()> {
    let zero = interval(Duration::ZERO);
    assert!(matches!(
        kind(&zero),
        Some(ErrorKind::InvalidArgument { .. })
    ));
    let start = Instant::now();
    let mut ticks = interval(MS)?;
    let mut passed = 0;
    while passed < 30 {
        passed += match ticks.next().await {
            Some(periods) => periods as u32,
            None => panic!("it ended"),
        };
        let now = start.elapsed();
        assert!(now >= MS * passed, "{passed} periods after {now:?}");
        assert!(
            now < MS * (passed + 1) + 5000 * MS,
            "{passed} periods after {now:?}"
        );
        // A late reader.
        if passed == 10 {
            until("some periods", || start.elapsed() > 15 * MS).await;
        }
    }
    // Nobody reads it: nothing piles up.
    sleep(5 * MS).await?;
    let periods = ticks.next().now_or_never().flatten();
    assert!(periods >= Some(4), "{periods:?}");
    Ok(())
}

/// Fails if a timer that is dropped or forgotten wakes, or its waker stays.
#[spdk::test]
async fn dropped_and_forgotten_timers() -> spdk::Result<()> {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let poll = |timer: &mut Pin<Box<spdk::time::Sleep>>| {
        timer.as_mut().poll(&mut Context::from_waker(&waker))
    };
    let mut dropped = Box::pin(sleep(MS));
    assert!(poll(&mut dropped).is_pending() && poll(&mut dropped).is_pending());
    assert_eq!(Arc::strong_count(&count), 3);
    drop(dropped);
    assert_eq!(Arc::strong_count(&count), 2);
    let mut forgotten = Box::pin(sleep(MS));
    assert!(poll(&mut forgotten).is_pending());
    std::mem::forget(forgotten);
    // Another waker takes the place of the first.
    let mut moved = Box::pin(sleep(MS));
    assert!(poll(&mut moved).is_pending());
    moved.await?;
    until("the forgotten one", || count.0.load(SeqCst) == 1).await;
    sleep(3 * MS).await?;
    assert_eq!((count.0.load(SeqCst), Arc::strong_count(&count)), (1, 2));
    // Polled again after it was ready: it is ready again.
    let mut again = Box::pin(sleep(Duration::ZERO));
    poll_until_ready(again.as_mut()).await?;
    poll_until_ready(again.as_mut()).await?;
    // The first of many ends the others.
    for _ in 0..100 {
        let all = (1..50).map(|n| Box::pin(sleep(Duration::from_micros(10 * n))));
        let (first, _, others) = select_all(all).await;
        first?;
        drop(others);
    }
    Ok(())
}

async fn poll_until_ready(mut future: Pin<&mut spdk::time::Sleep>) -> spdk::Result<()> {
    let mut end = poll_once(future.as_mut());
    while end.is_pending() {
        yield_now().await;
        end = poll_once(future.as_mut());
    }
    match end {
        Poll::Ready(end) => end,
        Poll::Pending => Ok(()),
    }
}

thread_local! {
    static KEPT: RefCell<Option<Pin<Box<spdk::time::Sleep>>>> = const { RefCell::new(None) };
}

/// Fails if a timer that goes to another spdk_thread of its OS thread is lost, or cannot be dropped.
#[spdk::test]
async fn a_timer_on_another_thread() -> spdk::Result<()> {
    let second = second::spdk_thread("second").await;
    for finish in [true, false] {
        let mut timer = Box::pin(sleep(5 * MS));
        assert!(poll_once(timer.as_mut()).is_pending());
        KEPT.set(Some(timer));
        let end = second.spawn(move || async move {
            match KEPT.take() {
                Some(timer) if finish => timer.await,
                Some(timer) => {
                    drop(timer);
                    Ok(())
                }
                None => panic!("another OS thread"),
            }
        });
        end.await??;
        sleep(10 * MS).await?;
    }
    // Its spdk_thread ends while it waits, and it is polled here.
    second
        .call(|| {
            let mut timer = Box::pin(sleep(Duration::from_secs(60)));
            assert!(poll_once(timer.as_mut()).is_pending());
            KEPT.set(Some(timer));
        })
        .await?;
    let waits = spawn_local(async {
        match KEPT.take() {
            Some(timer) => timer.await,
            None => panic!("another OS thread"),
        }
    })?;
    pass(3).await;
    second.exit().await?;
    let end = waits.await?;
    assert!(
        matches!(
            kind(&end),
            Some(ErrorKind::Gone {
                why: Gone::ThreadEnded,
                ..
            })
        ),
        "{end:?}"
    );
    Ok(())
}

/// Fails if timers hold up the end of an spdk_thread, or are used after it.
#[spdk::test(no_app)]
fn a_thread_ends_with_timers() -> spdk::Result<()> {
    let mut early = Box::pin(sleep(Duration::from_secs(60)));
    let refused = match poll_once(early.as_mut()) {
        Poll::Ready(end) => end,
        Poll::Pending => panic!("it waits for nobody"),
    };
    assert!(matches!(kind(&refused), Some(ErrorKind::NoThread { .. })));
    assert!(matches!(
        kind(&interval(MS)),
        Some(ErrorKind::NoThread { .. })
    ));
    let _env = own_thread::env()?;
    let thread = own_thread::thread("ends")?;
    let mut outside = Box::pin(sleep(Duration::from_secs(60)));
    assert!(poll_once(outside.as_mut()).is_pending());
    let mut ticks = interval(Duration::from_secs(60))?;
    assert!(ticks.next().now_or_never().is_none());
    std::mem::forget(Box::pin(sleep(MS)));
    let woken = Rc::new(Cell::new(false));
    let seen = woken.clone();
    drop(spawn_local(async move {
        let end = sleep(MS).await;
        seen.set(end.is_ok());
        sleep(Duration::from_secs(60)).await
    })?);
    poll_until(&thread, "the short one", || woken.get());
    let start = Instant::now();
    drop(thread);
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(matches!(
        poll_once(outside.as_mut()).map_err(spdk::Error::into_kind),
        Poll::Ready(Err(ErrorKind::Gone {
            why: Gone::ThreadEnded,
            ..
        }))
    ));
    assert_eq!(ticks.next().now_or_never(), Some(None));
    drop((outside, ticks));
    // The next one has timers of its own.
    let _thread = own_thread::thread("next")?;
    let start = Instant::now();
    block_on(sleep(2 * MS))??;
    assert!(start.elapsed() >= 2 * MS);
    drop(early);
    assert_eq!(SpdkThread::count(), 1);
    Ok(())
}

/// Fails if an application waits for its timers at its end.
#[spdk::test(no_app, deadline = 30)]
fn an_application_ends_with_timers() -> spdk::Result<()> {
    let start = Rc::new(Cell::new(None));
    let started = start.clone();
    SpdkApp::builder()
        .name("timers")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .block_on(async move {
            for _ in 0..100 {
                drop(spawn_local(sleep(Duration::from_secs(3600)))?);
            }
            sleep(2 * MS).await?;
            started.set(Some(Instant::now()));
            Ok(())
        })?;
    let took = start.get().map(|start| start.elapsed());
    assert!(took < Some(Duration::from_secs(4)), "the end took {took:?}");
    Ok(())
}
