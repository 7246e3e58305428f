//! Resets under load.

use super::*;

/// How many resets each spdk_thread asks for.
const RESETS: u64 = 40;
const TASKS: u64 = 6;
const DEPTH: u64 = 8;

fn is_aborted(error: &Error) -> bool {
    error
        .nvme_status()
        .is_some_and(|status| (status.sct, status.sc) == (0, 7))
}

/// How operations have ended, and how many spdk_threads go on with resets.
struct Shared {
    done: AtomicU64,
    aborted: AtomicU64,
    resetting: AtomicU64,
}

impl Shared {
    fn are_over(&self) -> bool {
        self.resetting.load(SeqCst) == 0
    }

    /// Counts an end that is one of the two.
    fn count(&self, end: Result<(), Error>) -> spdk::Result<bool> {
        match end {
            Ok(()) => {
                self.done.fetch_add(1, SeqCst);
                Ok(true)
            }
            Err(error) if is_aborted(&error) => {
                self.aborted.fetch_add(1, SeqCst);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes and reads a block. One that was aborted may be there or not; what was written is.
async fn task(device: Rc<Device>, block: u64, shared: Arc<Shared>) -> spdk::Result<()> {
    let Device { desc, ch, .. } = &*device;
    let mut buf = device.buffer(1)?;
    let (mut known, mut doubts) = (None, Vec::new());
    for generation in 1.. {
        let over = shared.are_over();
        pattern::fill(&mut buf, BLOCK, block, generation);
        if shared.count(desc.write_blocks(ch, &buf, block, 1).await)? {
            (known, doubts) = (Some(generation), Vec::new());
        } else {
            doubts.push(generation);
        }
        buf.fill(0);
        if shared.count(desc.read_blocks(ch, &mut buf, block, 1).await)? {
            let is = |generation: &u64| pattern::check(&buf, BLOCK, block, *generation).is_ok();
            let fresh = known.is_none() && buf.iter().all(|byte| *byte == 0);
            let found = known.iter().chain(&doubts).any(is);
            assert!(
                found || fresh,
                "block {block} has neither {known:?} nor any of {doubts:?}"
            );
        } else {
            assert!(!over, "an operation was aborted after the last reset");
        }
        if over {
            break;
        }
    }
    Ok(())
}

/// The same in a queue: what is aborted is submitted again.
async fn queue(device: Rc<Device>, first: u64, shared: Arc<Shared>) -> spdk::Result<()> {
    let mut queue = IoQueue::new(&device.ch)?;
    for block in first..first + DEPTH {
        let mut buf = device.buffer(1)?;
        pattern::fill(&mut buf, BLOCK, block, 1);
        queue.write_blocks(buf, block, 1, (block, true));
    }
    while queue.ended().await {
        while let Some(mut io) = queue.pop() {
            let (block, wrote) = *io.tag();
            let ended = shared.count(io.take_result())?;
            if ended && !wrote {
                pattern::assert_is(io.buf().as_mut().expect("its buffer"), BLOCK, block, 1);
                if shared.are_over() {
                    continue;
                }
            }
            // A read that was aborted is a read again.
            let write = if ended { !wrote } else { wrote };
            io.tag_mut().1 = write;
            match write {
                true => {
                    let buf = io.buf().as_mut().expect("its buffer");
                    pattern::fill(buf, BLOCK, block, 1);
                    io.write_blocks(block, 1);
                }
                false => {
                    io.buf().as_mut().expect("its buffer").fill(0);
                    io.read_blocks(block, 1);
                }
            }
        }
    }
    Ok(())
}

async fn load(name: &str, thread: u64, resets: u64, shared: Arc<Shared>) -> spdk::Result<()> {
    let device = Rc::new(Device::open(name)?);
    let first = thread * 64;
    let tasks = (0..TASKS)
        .map(|number| spawn_local(task(device.clone(), first + number, shared.clone())))
        .collect::<spdk::Result<Vec<_>>>()?;
    let queue = spawn_local(queue(device.clone(), first + 32, shared.clone()))?;
    for number in 0..resets {
        let before = shared.done.load(SeqCst);
        let mut reset = Box::pin(device.desc.reset(&device.ch));
        if number % 4 == 0 && number + 1 < resets {
            // One that nobody waits for; the next one ends after it.
            let _ = poll_once(reset.as_mut());
        } else {
            within("a reset", reset).await?;
        }
        // Between resets the device works.
        until("an operation to succeed", || {
            shared.done.load(SeqCst) > before
        })
        .await;
    }
    shared.resetting.fetch_sub(1, SeqCst);
    for task in tasks {
        within("a task", task).await??;
    }
    within("a queue", queue).await?
}

async fn all(
    name: &'static str,
    threads: &[Option<ThreadHandle>; 3],
    count: u64,
) -> spdk::Result<u64> {
    let device = Device::open(name)?;
    device.desc.write_zeroes_blocks(&device.ch, 0, 1024).await?;
    let shared = Arc::new(Shared {
        done: AtomicU64::new(0),
        aborted: AtomicU64::new(0),
        resetting: AtomicU64::new(threads.len() as u64),
    });
    let counted = shared.clone();
    let loads = on_each(threads, move |thread| load(name, thread, count, counted))?;
    within("the loads", try_join_all(loads)).await?;
    Ok(shared.aborted.load(SeqCst))
}

/// Fails if an operation that a reset ended is lost, is told as another error or as a success although it is
/// not there; if a device does not work after a reset; or if a reset that nobody waits for is in the way.
#[spdk::test(cores = "0x3", deadline = 120, bdevs(
    bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "M", name = "D",
        avg_read_latency = 100, p99_read_latency = 1000, avg_write_latency = 100, p99_write_latency = 1000,
    ),
))]
async fn under_load() -> spdk::Result<()> {
    let threads = threads().await?;
    let counters = Counters::settled(async { all("D", &threads, 3).await.map(drop) }).await?;
    let aborted = all("D", &threads, RESETS).await?;
    assert!(
        aborted > 0,
        "no reset has ended anything: the test does not test"
    );
    counters.assert_back().await;
    end(threads).await
}

/// The same on a device that only answers when it is reset.
///
/// Fails if an operation without an answer outlives a reset, on any spdk_thread.
#[spdk::test(cores = "0x3", deadline = 60, bdevs(
    bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "M"),
))]
async fn of_a_device_without_answers() -> spdk::Result<()> {
    let threads = threads().await?;
    let all = || async {
        let params = json!({
            "name": "EE_M", "io_type": "all", "error_type": "pending", "num": 1_000_000,
        });
        rpc("bdev_error_inject_error", params).await?;
        let waiting = Arc::new(AtomicU64::new(0));
        let count = waiting.clone();
        let stuck = on_each(&threads, move |thread| async move {
            let device = Device::open("EE_M")?;
            let mut bufs = (0..8)
                .map(|_| device.buffer(1))
                .collect::<spdk::Result<Vec<_>>>()?;
            let mut queue = IoQueue::new(&device.ch)?;
            for block in 0..8 {
                queue.write_blocks(device.buffer(1)?, 64 * thread + block, 1, block);
            }
            let reads = bufs.iter_mut().zip(0_u64..).map(|(buf, block)| {
                Box::pin(
                    device
                        .desc
                        .read_blocks(&device.ch, buf, 64 * thread + block, 1),
                )
            });
            let mut reads: Vec<_> = reads.collect();
            for read in &mut reads {
                assert!(poll_once(read.as_mut()).is_pending());
            }
            // Two of them without anybody.
            reads.truncate(6);
            count.fetch_add(1, SeqCst);
            for end in join_all(reads).await {
                let error = end.expect_err("there is no answer");
                assert!(is_aborted(&error), "{error}");
            }
            while let Some(done) = queue.next().await {
                let error = done.result.expect_err("there is no answer");
                assert!(is_aborted(&error), "{error}");
            }
            Ok(())
        })?;
        until("all to wait", || waiting.load(SeqCst) == 3).await;
        let device = Device::open("EE_M")?;
        within("a reset", device.desc.reset(&device.ch)).await?;
        within("operations without an answer", try_join_all(stuck)).await?;
        let params = json!({
            "name": "EE_M", "io_type": "clear", "error_type": "failure", "num": 0,
        });
        rpc("bdev_error_inject_error", params).await?;
        let mut buf = device.buffer(1)?;
        device.desc.read_blocks(&device.ch, &mut buf, 0, 1).await
    };
    let counters = Counters::settled(all()).await?;
    for _ in 0..10 {
        all().await?;
    }
    counters.assert_back().await;
    end(threads).await
}
