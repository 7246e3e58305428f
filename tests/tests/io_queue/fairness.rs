//! Other tasks beside a queue, and other executors around it.

use super::*;

/// How a task goes from one I/O to the next.
#[derive(Clone, Copy)]
enum Style {
    Next,
    InPlace,
    Each,
}

/// Keeps a queue full for ever, with an I/O at this block; what it fails with is no end.
async fn forever(
    style: Style,
    (depth, block): (usize, u64),
    gauge: Rc<Gauge>,
    ends: Rc<Cell<u64>>,
) -> spdk::Result<()> {
    let device = Device::open("Null0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for _ in 0..depth {
        queue.read_blocks(device.buffer(1)?, block, 1, Share::default());
    }
    loop {
        match style {
            Style::Each => {
                let (ends, gauge) = (ends.clone(), gauge.clone());
                let each = move |mut io: spdk::EndedIo<'_, Share>| {
                    ends.set(ends.get() + 1);
                    let _ = io.take_result();
                    if gauge.polled(io.tag_mut()) {
                        io.read_blocks(block, 1);
                    }
                };
                queue.for_each_ended(each).await;
                return Ok(());
            }
            Style::Next => {
                let mut done = queue.next().await.expect("it is full");
                ends.set(ends.get() + 1);
                if !gauge.polled(&mut done.tag) {
                    return Ok(());
                }
                queue.read_blocks(done.buf.expect("its buffer"), block, 1, done.tag);
            }
            Style::InPlace => {
                assert!(queue.ended().await);
                while let Some(mut io) = queue.pop() {
                    ends.set(ends.get() + 1);
                    io.take_result()?;
                    if !gauge.polled(io.tag_mut()) {
                        return Ok(());
                    }
                    io.read_blocks(block, 1);
                }
            }
        }
    }
}

async fn starves_nobody(style: Style, depth: usize, block: u64) -> spdk::Result<()> {
    const TURNS: u64 = 100;
    let (gauge, turns, ends) = (Gauge::start(), Turns::start()?, Rc::new(Cell::new(0)));
    let task = spawn_local(forever(style, (depth, block), gauge.clone(), ends.clone()))?;
    let second = second::spdk_thread("second").await;
    until("the storm", || ends.get() > 2 * depth as u64).await;
    let before = (gauge.runs(), turns.count(), ends.get());
    pass(TURNS).await;
    let (runs, turned) = (gauge.runs() - before.0, turns.count() - before.1);
    assert!(
        runs.abs_diff(TURNS) <= 1 && turned.abs_diff(TURNS) <= 1,
        "{runs} runs of a poller, {turned} of a task in {TURNS} turns"
    );
    let ended = ends.get() - before.2;
    assert!(ended >= TURNS / 4 * depth as u64, "{ended} ends of {depth}");
    // Messages come through.
    let before = turns.count();
    for number in 0..20 {
        assert_eq!(second.call(move || number).await?, number);
    }
    let took = turns.count() - before;
    assert!(took <= 100, "20 calls took {took} turns");
    if block == 0 {
        let most = gauge.most();
        assert!(most <= 2, "{most} ends of one I/O between two of a poller");
    }
    assert!(!task.is_finished(), "the storm has ended");
    task.abort();
    Ok(())
}

/// Fails if a queue that is always full keeps SPDK's pollers, other tasks or messages waiting.
#[spdk::test(bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_full_queue_starves_nobody() -> spdk::Result<()> {
    starves_nobody(Style::InPlace, 4096, 0).await?;
    starves_nobody(Style::Each, 4096, 0).await?;
    starves_nobody(Style::Next, 512, 0).await
}

/// Fails if what ends at once, because it is refused, is found again for ever.
#[spdk::test(bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_queue_whose_ios_are_refused_starves_nobody() -> spdk::Result<()> {
    const TURNS: u64 = 20;
    starves_nobody(Style::Each, 1, 1024).await?;
    let turns = Turns::start()?;
    let task = spawn_local(async {
        let device = Device::open("Null0")?;
        let mut queue = IoQueue::new(&device.ch)?;
        queue.read_blocks(device.buffer(1)?, 1024, 1, ());
        let mut refused = 0_u64;
        while let Some(done) = queue.next().await {
            refused += 1;
            assert!(refused < 100_000, "nobody has a turn");
            let buf = done.buf.expect("its buffer");
            queue.read_blocks(buf, 1024, 1, ());
        }
        Ok::<_, Error>(())
    })?;
    let before = turns.count();
    pass(TURNS).await;
    assert!(turns.count() - before >= TURNS - 1);
    assert!(!task.is_finished());
    task.abort();
    Ok(())
}

/// Writes some blocks again and again through a queue of its own, and returns their generation.
async fn rounds(device: &Device, first: u64, style: Style) -> spdk::Result<u64> {
    const ROUNDS: u64 = 50;
    let mut queue = IoQueue::new(&device.ch)?;
    for block in first..first + 16 {
        queue.write_blocks(patterned(device, block, 1, 1), block, 1, (block, 1));
    }
    let next = |buf: &mut DmaBuf, (block, generation): &mut (u64, u64)| {
        *generation += 1;
        pattern::fill(buf, BLOCK, *block, *generation);
        *generation <= ROUNDS
    };
    match style {
        Style::Each => {
            let each = move |mut io: spdk::EndedIo<'_, (u64, u64)>| {
                assert!(io.take_result().is_ok());
                let mut tag = *io.tag();
                if next(io.buf().as_mut().expect("its buffer"), &mut tag) {
                    *io.tag_mut() = tag;
                    io.write_blocks(tag.0, 1);
                }
            };
            queue.for_each_ended(each).await;
        }
        Style::Next => {
            while let Some(mut done) = queue.next().await {
                done.result?;
                let mut buf = done.buf.expect("its buffer");
                if next(&mut buf, &mut done.tag) {
                    queue.write_blocks(buf, done.tag.0, 1, done.tag);
                }
            }
        }
        Style::InPlace => {
            while queue.ended().await {
                while let Some(mut io) = queue.pop() {
                    io.take_result()?;
                    let mut tag = *io.tag();
                    if next(io.buf().as_mut().expect("its buffer"), &mut tag) {
                        *io.tag_mut() = tag;
                        io.write_blocks(tag.0, 1);
                    }
                }
            }
        }
    }
    Ok(ROUNDS)
}

/// Fails if a waker that is not a task's, or is for two queues, is not woken.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn wakers_of_other_executors_are_woken() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let styles = [Style::Next, Style::InPlace, Style::Each, Style::Next];
    let all = styles.into_iter().zip(0..);
    let mut all: FuturesUnordered<_> = all
        .map(|(style, number)| rounds(&device, number * 16, style))
        .collect();
    while let Some(done) = all.next().await {
        done?;
    }
    let (one, two, three) = futures_util::join!(
        rounds(&device, 64, Style::Next),
        rounds(&device, 80, Style::InPlace),
        rounds(&device, 96, Style::Each),
    );
    one?;
    three?;
    let generation = two?;
    let mut buf = device.buffer(112)?;
    device.desc.read(&device.ch, &mut buf, 0).await?;
    pattern::assert_is(&buf, BLOCK, 0, generation);
    Ok(())
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A device whose reads are fast, and whose writes never end in the time of a test.
macro_rules! test_with_slow_writes {
    ($(#[$doc:meta])* $name:ident $body:block) => {
        $(#[$doc])*
        #[spdk::test(
            bdevs(
                bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
                bdev_delay_create(
                    base_bdev_name = "Malloc0", name = "Delay0",
                    avg_read_latency = 1_000, p99_read_latency = 1_000,
                    avg_write_latency = AGES, p99_write_latency = AGES,
                ),
            ),
            rpc_addr = &rpc::address(),
        )]
        async fn $name() -> spdk::Result<()> $body
    };
}

/// The writes of a device with slow ones end soon.
async fn hurry(device: &Device) -> spdk::Result<()> {
    device.desc.reset(&device.ch).await
}

test_with_slow_writes! {
/// Fails if a completion wakes nobody while other I/O is in flight.
one_end_is_told_while_others_are_in_flight {
    let device = Device::open("Delay0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    queue.write_blocks(device.buffer(1)?, 0, 1, 0);
    for number in 1..20 {
        queue.read_blocks(device.buffer(1)?, number, 1, number);
        if number % 2 == 0 {
            // A task's waker.
            let done = queue.next().await.expect("the read");
            done.result?;
            assert_eq!(done.tag, number);
            continue;
        }
        // Another one, and none but the last that has polled.
        let woken = [Arc::new(Woken::default()), Arc::new(Woken::default())];
        for woken in &woken {
            let waker = Waker::from(woken.clone());
            let poll = queue.poll_next_unpin(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        }
        until("the wake", || woken[1].0.load(SeqCst) > 0).await;
        assert_eq!(woken[0].0.load(SeqCst), 0);
        let io = queue.pop().expect("the read");
        assert_eq!(*io.tag(), number);
    }
    assert_eq!(queue.len(), 1);
    drop(queue);
    hurry(&device).await
}
}

test_with_slow_writes! {
/// Fails if a task that waits for a queue that others share does not see what they submit.
a_queue_is_shared_by_tasks {
    let device = Device::open("Delay0")?;
    let queue = Rc::new(RefCell::new(IoQueue::new(&device.ch)?));
    queue.borrow_mut().write_blocks(device.buffer(1)?, 0, 1, 0);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (waits, sees) = (queue.clone(), seen.clone());
    let task = spawn_local(async move {
        loop {
            let next = |cx: &mut Context<'_>| waits.borrow_mut().poll_next_unpin(cx);
            let done = poll_fn(next).await.expect("a write is in flight");
            sees.borrow_mut().push((done.tag, done.result.is_ok()));
        }
    })?;
    pass(3).await;
    // Refused at once, refused by SPDK, and done.
    queue.borrow_mut().read_blocks(device.buffer(1)?, 0, 2, 1);
    until("the first", || seen.borrow().len() == 1).await;
    queue.borrow_mut().read_blocks(device.buffer(1)?, 1024, 1, 2);
    until("the second", || seen.borrow().len() == 2).await;
    queue.borrow_mut().read_blocks(device.buffer(1)?, 0, 1, 3);
    until("the third", || seen.borrow().len() == 3).await;
    assert_eq!(*seen.borrow(), [(1, false), (2, false), (3, true)]);
    task.abort();
    hurry(&device).await
}
}

/// Fails if I/Os of a queue that nobody polls are lost, or counted wrong.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn what_has_ended_is_kept_until_it_is_taken() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..DEPTH {
        queue.write_blocks(patterned(&device, block, 1, 1), block, 1, block);
    }
    let mut read = device.buffer(1)?;
    device.desc.read_blocks(&device.ch, &mut read, 0, 1).await?;
    assert_eq!(queue.len() as u64, DEPTH);
    for left in (0..DEPTH).rev() {
        let io = queue.pop().expect("all have ended");
        assert!(io.error().is_none());
        drop(io);
        assert_eq!(queue.len() as u64, left);
    }
    assert!(queue.pop().is_none());
    assert!(matches!(poll_once(pin!(queue.ended())), Poll::Ready(false)));
    Ok(())
}

/// Fails if what has ended is lost, or changes its order, when the queue gets larger.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn what_has_ended_stays_in_order_in_a_growing_queue() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    let (mut submitted, mut taken) = (0, 0);
    for more in 1..20 {
        for _ in 0..more {
            queue.read_blocks(device.buffer(1)?, 0, 1, submitted);
            submitted += 1;
        }
        let mut read = device.buffer(1)?;
        device.desc.read_blocks(&device.ch, &mut read, 0, 1).await?;
        // Most stay where they are.
        for _ in 0..more / 2 {
            let io = queue.pop().expect("all have ended");
            assert_eq!(*io.tag(), taken);
            taken += 1;
        }
    }
    while let Some(done) = queue.next().await {
        assert_eq!(done.tag, taken);
        taken += 1;
    }
    assert_eq!(taken, submitted);
    Ok(())
}

test_with_slow_writes! {
/// Fails if the waker of another executor is kept when a task waits in its place.
the_waker_of_who_waited_before_is_let_go {
    let device = Device::open("Delay0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    queue.read_blocks(device.buffer(1)?, 0, 1, ());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let pending = pin!(queue.ended()).poll(&mut Context::from_waker(&waker));
    assert!(pending.is_pending(), "the read has ended at once");
    assert_eq!(Arc::strong_count(&woken), 3, "it is noted");
    assert!(queue.ended().await);
    assert_eq!((Arc::strong_count(&woken), woken.0.load(SeqCst)), (2, 0));
    Ok(())
}
}
