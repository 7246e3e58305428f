//! Devices that go, again and again, under load and while they are opened.

use super::*;

/// How often.
const ROUNDS: u64 = 100;
/// The tasks on each spdk_thread, and the I/Os of its queue.
const TASKS: u64 = 4;
const DEPTH: u64 = 8;
/// The blocks that each of them has for itself.
const BLOCKS: u64 = 4;

async fn create() -> spdk::Result<()> {
    let params = json!({"name": "M", "num_blocks": 1024, "block_size": BLOCK});
    rpc("bdev_malloc_create", params).await.map(drop)
}

async fn delete() -> spdk::Result<()> {
    rpc("bdev_malloc_delete", json!({"name": "M"}))
        .await
        .map(drop)
}

fn is_gone(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Gone {
            why: Gone::Removed,
            ..
        }
    )
}

/// Writes and reads until the device is gone; then that is what the error says.
async fn task(device: Rc<Device>, first: u64, shared: Arc<Shared>) -> spdk::Result<()> {
    let Device { desc, ch, .. } = &*device;
    let mut buf = device.buffer(BLOCKS as usize)?;
    for generation in 1.. {
        pattern::fill(&mut buf, BLOCK, first, generation);
        let mut end = desc.write_blocks(ch, &buf, first, BLOCKS).await;
        if end.is_ok() {
            buf.fill(0);
            end = desc.read_blocks(ch, &mut buf, first, BLOCKS).await;
        }
        match end {
            Ok(()) => pattern::assert_is(&buf, BLOCK, first, generation),
            Err(error) if is_gone(&error) => break,
            Err(error) => return Err(error),
        }
        shared.done.fetch_add(1, SeqCst);
        // One that nobody waits for.
        if generation % 3 == 0 {
            let mut other = device.buffer(1)?;
            let _ = poll_once(pin!(desc.read_blocks(ch, &mut other, first, 1)));
        }
    }
    Ok(())
}

/// The same in a queue that is always full. Dropped in the middle of it, if `give_up`.
async fn queue(
    device: Rc<Device>,
    first: u64,
    shared: Arc<Shared>,
    give_up: bool,
) -> spdk::Result<()> {
    let mut queue = IoQueue::new(&device.ch)?;
    for place in 0..DEPTH {
        let block = first + place;
        let mut buf = device.buffer(1)?;
        pattern::fill(&mut buf, BLOCK, block, 1);
        queue.write_blocks(buf, block, 1, (block, true));
    }
    let mut gone = 0;
    while queue.ended().await {
        while let Some(mut io) = queue.pop() {
            if let Err(error) = io.take_result() {
                if !is_gone(&error) {
                    return Err(error);
                }
                gone += 1;
                continue;
            }
            let (block, wrote) = *io.tag();
            let buf = io.buf().as_mut().expect("its buffer");
            pattern::assert_is(buf, BLOCK, block, 1);
            if shared.done.fetch_add(1, SeqCst) > 40 && give_up {
                return Ok(());
            }
            io.tag_mut().1 = !wrote;
            match wrote {
                true => io.read_blocks(block, 1),
                false => io.write_blocks(block, 1),
            }
        }
    }
    assert_eq!(gone, DEPTH, "an I/O was lost");
    Ok(())
}

/// How many spdk_threads have the device open, and how many operations have ended.
#[derive(Default)]
struct Shared {
    open: AtomicU64,
    done: AtomicU64,
}

/// The load of one spdk_thread, until the device is gone.
async fn load(thread: u64, shared: Arc<Shared>, round: u64) -> spdk::Result<()> {
    let device = Rc::new(Device::open("M")?);
    shared.open.fetch_add(1, SeqCst);
    let mut events = device.desc.events();
    let first = thread * 128;
    let tasks = (0..TASKS)
        .map(|number| spawn_local(task(device.clone(), first + 8 * number, shared.clone())));
    let tasks = tasks.collect::<spdk::Result<Vec<_>>>()?;
    let queue = spawn_local(queue(
        device.clone(),
        first + 64,
        shared,
        (round + thread).is_multiple_of(4),
    ))?;
    for task in tasks {
        task.await??;
    }
    queue.await??;
    assert_eq!(events.next().await, Some(BdevEvent::Remove));
    // The handles outlive the device, or go in any order with what is left of it.
    let late = device.desc.flush_blocks(&device.ch, 0, 1).await;
    assert!(late.as_ref().is_err_and(is_gone), "{late:?}");
    Ok(())
}

async fn removed_under_load(threads: &[Option<ThreadHandle>; 3], round: u64) -> spdk::Result<()> {
    create().await?;
    let shared = Arc::new(Shared::default());
    let counted = shared.clone();
    let loads = on_each(threads, move |thread| load(thread, counted, round))?;
    let Shared { open, done } = &*shared;
    until("some load", || {
        open.load(SeqCst) == 3 && done.load(SeqCst) > 50 + 10 * (round % 7)
    })
    .await;
    delete().await?;
    within("the loads of a device that is gone", try_join_all(loads)).await?;
    Ok(())
}

/// Fails if a removal waits for handles that are held, if an operation is lost, ends with another error, or
/// reaches what is gone; or if anything of a device stays.
#[spdk::test(cores = "0x3", deadline = 120)]
async fn under_load() -> spdk::Result<()> {
    let threads = threads().await?;
    let warm_up = async {
        for round in 0..5 {
            removed_under_load(&threads, round).await?;
        }
        Ok(())
    };
    let counters = Counters::settled(warm_up).await?;
    for round in 0..ROUNDS {
        removed_under_load(&threads, round).await?;
    }
    counters.assert_back().await;
    end(threads).await
}

/// Opens the device again and again, in each way, and does some I/O if it is there.
async fn open(thread: u64, stop: Arc<AtomicBool>, opened: Arc<AtomicU64>) -> spdk::Result<()> {
    for round in 0_u64.. {
        if stop.load(SeqCst) {
            break;
        }
        let desc = match round % 3 {
            0 => Bdev::find("M").and_then(|bdev| bdev.open(true)),
            1 => BdevDesc::open("M", round % 2 == 0),
            _ => BdevDesc::open_async("M", true, Duration::from_millis(2)).await,
        };
        let end = async {
            let desc = desc?;
            let mut events = desc.events();
            if round % 5 == 0 {
                yield_now().await;
            }
            let ch = desc.get_io_channel()?;
            let mut buf = spdk::DmaBuf::alloc(BLOCK, 4096)?;
            let read = desc.read_blocks(&ch, &mut buf, 8 * thread, 1);
            if round % 7 == 0 {
                let _ = poll_once(pin!(read));
            } else {
                read.await?;
            }
            let _ = events.next().now_or_never();
            Ok::<_, Error>(())
        };
        match end.await.map_err(Error::into_kind) {
            Ok(()) => {
                opened.fetch_add(1, SeqCst);
            }
            // It is not there, or goes.
            Err(ErrorKind::NoSuchBdev { name }) => assert_eq!(name, "M"),
            Err(ErrorKind::Gone {
                why: Gone::Removed, ..
            }) => {}
            Err(ErrorKind::Errno {
                at,
                errno: Errno::ETIMEDOUT,
                ..
            }) => {
                assert_eq!(at.operation, "spdk_bdev_open_async");
            }
            Err(error) => return Err(error.into()),
        }
        yield_now().await;
    }
    Ok(())
}

/// Fails if a descriptor that is opened while its device goes stays open, or a call on it says something else
/// than that the device is gone.
#[spdk::test(cores = "0x3", deadline = 120)]
async fn while_it_is_opened() -> spdk::Result<()> {
    let threads = threads().await?;
    let all = |rounds: u64| {
        let threads = threads.clone();
        async move {
            let (stop, opened) = (
                Arc::new(AtomicBool::new(false)),
                Arc::new(AtomicU64::new(0)),
            );
            let (stopped, count) = (stop.clone(), opened.clone());
            let opens = on_each(&threads, move |thread| open(thread, stopped, count))?;
            for round in 0..rounds {
                create().await?;
                let before = opened.load(SeqCst);
                // Some see it at once, some when it has been there for a while.
                if round % 2 == 0 {
                    until("it to be opened", || {
                        opened.load(SeqCst) > before + round % 5
                    })
                    .await;
                }
                delete().await?;
            }
            stop.store(true, SeqCst);
            within("the last opens", try_join_all(opens))
                .await
                .map(drop)
        }
    };
    let counters = Counters::settled(all(10)).await?;
    all(ROUNDS).await?;
    counters.assert_back().await;
    end(threads).await
}
