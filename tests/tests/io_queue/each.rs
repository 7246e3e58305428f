//! Closures that are called for each I/O.
//!
//! Each of these faults was put into the queue, and these tests failed:
//!
//! - The type of the closure is not compared: `another_closure_has_what_the_first_has_left`.
//! - An I/O that is not submitted again goes on counting: all.
//! - It is called while other code of the user's runs, or when its spdk_thread ends: `what_is_forgotten_does_no_harm`,
//!   `the_closure_polls_itself`.
//! - It is not known to run: `the_closure_polls_itself`; or not under another one: `closures_poll_each_other`.
//! - Its panic does not stop it: `the_closure_panics`.
//! - Its memory goes while it runs: `the_closure_lets_all_go`.
//! - It is seen too early that its future has gone, before that is woken: `the_waker_lets_all_go`.
//! - The queue points to it after its future was dropped: most, under AddressSanitizer.

use super::*;

/// Two types of closures, for one queue.
async fn for_each(
    queue: &mut IoQueue<u64>,
    is_first: bool,
    mut each: impl FnMut(spdk::EndedIo<'_, u64>) + 'static,
) {
    match is_first {
        true => queue.for_each_ended(each).await,
        false => {
            let mut count = 0_u64;
            let each = move |io: spdk::EndedIo<'_, u64>| {
                count += 1;
                assert!(count < 1 << 20, "it is another closure's memory");
                each(io);
            };
            queue.for_each_ended(each).await;
        }
    }
}

/// Fails if an I/O is lost, or ends with another one's buffer, tag or error.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn each_io_goes_on_where_it_ends() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..DEPTH {
        queue.write_blocks(patterned(&device, block, 1, 1), block, 1, block);
    }
    queue.write_blocks(device.buffer(1)?, 2000, 1, 2000); // SPDK refuses it
    queue.write_blocks(device.buffer(2)?, 0, 1, 3000); // and this crate that
    let (count, failed) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let (counts, fails) = (count.clone(), failed.clone());
    queue
        .for_each_ended(move |mut io| {
            counts.set(counts.get() + 1);
            if let Err(error) = io.take_result() {
                return fails.borrow_mut().push((*io.tag(), error.to_string()));
            }
            assert!(io.submitted() > 0);
            let tag = *io.tag();
            let (block, generation) = (tag % DEPTH, tag / DEPTH + 1);
            *io.tag_mut() = tag + DEPTH;
            let buf = io.buf().as_mut().expect("its buffer");
            // A write, and then a read of what it wrote.
            if generation % 2 == 1 {
                buf.fill(0);
                return io.read_blocks(block, 1);
            }
            pattern::assert_is(buf, BLOCK, block, generation - 1);
            pattern::fill(buf, BLOCK, block, generation + 1);
            if generation < 20 {
                io.write_blocks(block, 1);
            }
        })
        .await;
    assert_eq!(count.get(), DEPTH * 20 + 2);
    assert!(queue.is_empty() && queue.next().await.is_none());
    let failed = failed.take();
    assert_eq!(failed.len(), 2, "{failed:?}");
    for (tag, error) in failed {
        let said = if tag == 2000 { "EINVAL" } else { "1024 bytes" };
        assert!(error.contains(said), "{tag}: {error}");
    }
    Ok(())
}

/// Fails if what ends after the future was dropped is lost, or is given to a closure that has gone, or to another one as
/// if it were the first.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "Delay0",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn another_closure_has_what_the_first_has_left() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for is_first in [true, false, true] {
        let seen = Rc::new(RefCell::new(Vec::new()));
        for number in 0..8 {
            queue.read_blocks(device.buffer(1)?, number, 1, number);
        }
        // Its callback is in flight, and then another one has what it ends.
        let sees = seen.clone();
        let mut first = Box::pin(for_each(&mut queue, is_first, move |mut io| {
            sees.borrow_mut().push(*io.tag());
            *io.tag_mut() += 100;
            io.read_blocks(0, 1);
        }));
        assert!(poll_once(first.as_mut()).is_pending());
        let done = async {
            until("the first", || seen.borrow().len() == 8).await;
        };
        futures_util::future::select(first, pin!(done)).await;
        assert_eq!(Rc::strong_count(&seen), 1, "the closure is still there");
        // Who asks the queue itself has the first of them.
        let mut one = queue.next().await.expect("a read");
        assert_eq!((queue.len(), seen.borrow().len()), (7, 8));
        queue.read_blocks(one.buf.take().expect("its buffer"), 0, 1, one.tag);
        let sees = Rc::new(RefCell::new(Vec::new()));
        let second = sees.clone();
        for_each(&mut queue, !is_first, move |io| {
            second.borrow_mut().push(*io.tag());
        })
        .await;
        sees.borrow_mut().sort_unstable();
        assert_eq!(*sees.borrow(), (100..108).collect::<Vec<_>>());
        assert!(queue.is_empty());
    }
    Ok(())
}

/// Fails if a panic of the closure is lost, ends the process, or takes the I/Os in flight with it.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn the_closure_panics() -> spdk::Result<()> {
    let queue = Rc::new(RefCell::new(None));
    for when in [0, 1, 5] {
        let back = queue.clone();
        let drops = Drops::default();
        let kept = drops.tag();
        let task = spawn_local(async move {
            let device = Device::open("Malloc0")?;
            let mut queue = IoQueue::new(&device.ch)?;
            for number in 0..8 {
                queue.read_blocks(device.buffer(1)?, number, 1, number);
            }
            let mut calls = 0;
            let each = move |io: spdk::EndedIo<'_, u64>| {
                let _kept = &kept;
                assert!(calls != when, "on purpose");
                calls += 1;
                io.read_blocks(0, 1);
            };
            let ends = AssertUnwindSafe(queue.for_each_ended(each))
                .catch_unwind()
                .await;
            back.replace(Some(queue));
            ends.map_err(|payload| {
                let text = payload.downcast_ref::<&str>().map(ToString::to_string);
                assert_eq!(text.as_deref(), Some("on purpose"));
            })
            .expect_err("it has panicked");
            Ok::<_, Error>(())
        })?;
        task.await??;
        assert_eq!(drops.count(), 1);
        let mut queue = queue.take().expect("the queue");
        let mut left = 0;
        while let Some(done) = queue.next().await {
            done.result?;
            left += 1;
        }
        assert_eq!(left, 7, "all but the one that was dropped");
    }
    Ok(())
}

/// A future that its own closure reaches.
type Own = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;

/// Polls it outside of its place, which the closure looks into meanwhile.
fn poll_in(slot: Own) -> impl Future<Output = ()> {
    poll_fn(move |cx| {
        let Some(mut future) = slot.take() else {
            return Poll::Ready(());
        };
        let poll = future.as_mut().poll(cx);
        slot.replace(Some(future));
        poll
    })
}

/// Fails if a closure that lets its own future and its queue go, in a callback, leaves something or uses it again.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn the_closure_lets_all_go() -> spdk::Result<()> {
    drop(Device::open("Malloc0")?);
    let before = dma::pieces();
    for what_then in 0..4 {
        let (drops, own_drops) = (Drops::default(), Drops::default());
        let (slot, has_lasted) = (Own::default(), Rc::new(Cell::new(false)));
        let (own, kept, lasted) = (slot.clone(), own_drops.tag(), has_lasted.clone());
        let device = Device::open("Malloc0")?;
        let mut queue = IoQueue::new(&device.ch)?;
        for number in 0..3 {
            queue.read_blocks(device.buffer(1)?, number, 1, drops.tag());
        }
        let future = async move {
            let each = move |mut io: spdk::EndedIo<'_, Tag>| {
                let kept = kept.0.clone();
                // Not there while it is polled, which is what calls this for those that were submitted before.
                let Some(future) = own.take() else {
                    return io.read_blocks(0, 1);
                };
                drop(future);
                lasted.set(kept.count() == 0);
                match what_then {
                    0 => drop(io),
                    1 => io.read_blocks(0, 1),
                    2 => io.read_blocks(0, 7), // refused
                    _ => assert!(io.take_result().is_err(), "on purpose"),
                }
            };
            queue.for_each_ended(each).await;
        };
        drop(device);
        slot.replace(Some(Box::pin(future)));
        let task = spawn_local(poll_in(slot.clone()))?;
        until("the tags to go", || drops.count() + own_drops.count() == 4).await;
        assert!(has_lasted.get(), "it went while it ran");
        assert!(slot.borrow().is_none());
        task.abort();
        until("the memory to come back", || dma::pieces() <= before).await;
    }
    assert_eq!(rpc::channels("bdev_Malloc0").await, 0);
    Ok(())
}

/// Fails if a closure that polls its own future is called inside of itself.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn the_closure_polls_itself() -> spdk::Result<()> {
    let slot = Own::default();
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for number in 0..4 {
        queue.read_blocks(device.buffer(1)?, number, 1, number);
    }
    let calls = Rc::new(Cell::new(0));
    let (own, count) = (slot.clone(), calls.clone());
    let future = async move {
        let mut inside = false;
        let each = move |io: spdk::EndedIo<'_, u64>| {
            assert!(!mem::replace(&mut inside, true), "inside of itself");
            count.set(count.get() + 1);
            if let Some(future) = own.borrow_mut().as_mut() {
                // The others have ended, and wait for it.
                assert!(poll_once(future.as_mut()).is_pending());
            }
            if count.get() < 100 {
                io.read_blocks(0, 1);
            }
            inside = false;
        };
        queue.for_each_ended(each).await;
        assert!(queue.is_empty(), "{} I/Os", queue.len());
    };
    slot.replace(Some(Box::pin(future)));
    poll_in(slot).await;
    assert_eq!(calls.get(), 103);
    Ok(())
}

/// Fails if what is forgotten keeps the future, or the application, from its end.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn what_is_forgotten_does_no_harm() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for number in 0..4 {
        queue.read_blocks(device.buffer(1)?, number, 1, number);
    }
    queue
        .for_each_ended(move |mut io| match *io.tag() {
            ..10 => {
                *io.tag_mut() += 10;
                io.read_blocks(0, 1);
            }
            _ => mem::forget(io),
        })
        .await;
    assert!(queue.is_empty(), "{} I/Os", queue.len());

    // A future that is forgotten goes on calling, until its queue goes, or the application ends.
    for queue_goes in [true, false] {
        let mut queue = IoQueue::new(&device.ch)?;
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        queue.read_blocks(device.buffer(1)?, 0, 1, ());
        let mut forgotten = Box::pin(queue.for_each_ended(move |io| {
            count.set(count.get() + 1);
            io.read_blocks(0, 1);
        }));
        let some = async {
            until("some calls", || calls.get() > 10).await;
        };
        futures_util::future::select(forgotten.as_mut(), pin!(some)).await;
        mem::forget(forgotten);
        let before = calls.get();
        until("more calls", || calls.get() > before + 10).await;
        match queue_goes {
            true => drop(queue),
            false => mem::forget(queue),
        }
    }
    Ok(())
}

thread_local! {
    /// What [`LetsGo`] lets go, once it is told to.
    static OWN: Own = Own::default();
    static LETS_GO: Cell<bool> = const { Cell::new(false) };
}

/// A waker that lets the future go that it was made for.
struct LetsGo;

impl Wake for LetsGo {
    fn wake(self: Arc<Self>) {
        if LETS_GO.get() {
            drop(OWN.with(|own| own.take()));
        }
    }
}

/// Fails if a closure stays for ever whose future goes as it is woken for the last I/O, which is in the callback.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn the_waker_lets_all_go() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let (drops, calls) = (Drops::default(), Rc::new(Cell::new(0)));
    let (kept, count) = (drops.tag(), calls.clone());
    let mut queue = IoQueue::new(&device.ch)?;
    queue.read_blocks(device.buffer(1)?, 0, 1, ());
    let future = async move {
        let each = move |io: spdk::EndedIo<'_, ()>| {
            let _kept = &kept;
            count.set(count.get() + 1);
            match count.get() {
                1 => io.read_blocks(0, 1),
                _ => LETS_GO.set(true),
            }
        };
        queue.for_each_ended(each).await;
    };
    let mut future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    let waker = Waker::from(Arc::new(LetsGo));
    let mut cx = Context::from_waker(&waker);
    loop {
        assert!(future.as_mut().poll(&mut cx).is_pending());
        if calls.get() == 1 {
            break; // the next call is in a callback
        }
        pass(1).await;
    }
    OWN.with(|own| own.replace(Some(future)));
    until("the closure to go", || drops.count() == 1).await;
    assert!(OWN.with(|own| own.borrow().is_none()));
    assert_eq!(calls.get(), 2);
    Ok(())
}

/// Fails if a closure is called inside of itself by the poll of another queue's future, which calls a closure that polls
/// the first one's.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn closures_poll_each_other() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let both = [Own::default(), Own::default()];
    let calls = [(); 2].map(|()| Rc::new(Cell::new(0_u64)));
    let nested = Rc::new(Cell::new(0_u64));
    for index in 0..2 {
        let mut queue = IoQueue::new(&device.ch)?;
        for number in 0..4 {
            queue.read_blocks(device.buffer(1)?, number, 1, number);
        }
        let (other, count, deep) = (
            both[1 - index].clone(),
            calls[index].clone(),
            nested.clone(),
        );
        let is_inside = Rc::new(Cell::new(false));
        let future = async move {
            let each = move |io: spdk::EndedIo<'_, u64>| {
                assert!(!is_inside.replace(true), "inside of itself");
                count.set(count.get() + 1);
                match count.get() {
                    // Refused, so it is for the next poll, which is that of the other closure.
                    1..1000 if count.get() % 4 == 0 => io.read_blocks(0, 7),
                    1..1000 => io.read_blocks(0, 1),
                    _ => drop(io),
                }
                // Not there while it is polled.
                if let Some(mut future) = other.take() {
                    let before = count.get();
                    let _ = poll_once(future.as_mut());
                    deep.set(deep.get() + u64::from(count.get() == before));
                    other.replace(Some(future));
                }
                is_inside.set(false);
            };
            queue.for_each_ended(each).await;
        };
        both[index].replace(Some(Box::pin(future)));
    }
    let [one, two] = both;
    // Polled by their own closures with another waker: looked at in each turn.
    let all = async {
        while calls.iter().any(|count| count.get() < 1000) {
            for future in [&one, &two] {
                let polled = future.take().map(|mut future| {
                    let _ = poll_once(future.as_mut());
                    future
                });
                future.replace(polled);
            }
            pass(1).await;
        }
    };
    all.await;
    assert!(nested.get() > 0);
    Ok(())
}

/// Fails if an I/O that waits for a free `spdk_bdev_io` is lost.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = POOL, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
))]
async fn each_waits_for_a_free_bdev_io() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..DEPTH {
        queue.write_blocks(patterned(&device, block, 1, 1), block, 1, 0);
    }
    let ends = Rc::new(Cell::new(0));
    let count = ends.clone();
    queue
        .for_each_ended(move |mut io| {
            count.set(count.get() + 1);
            assert!(io.take_result().is_ok());
            *io.tag_mut() += 1;
            if *io.tag() < 10 {
                io.write_zeroes_blocks(count.get() % 1024, 1);
            }
        })
        .await;
    assert_eq!(ends.get(), DEPTH * 10);
    Ok(())
}
