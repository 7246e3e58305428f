//! What others get beside a queue of a blob that is always full.

use std::cell::Cell;
use std::rc::Rc;

use spdk::blob::{Blob, Blobstore};
use spdk::task::yield_now;
use spdk::{EndedIo, Errno, IoQueue, spawn_local};
use spdk_tests::turns::{Gauge, Share, Turns, pass};
use spdk_tests::wait::within;
use spdk_tests::{second, until};

use crate::{CLUSTER, UNIT, buffer, check, new_blob, of, opts, write};

const DEPTH: u64 = 256;

/// Reads again and again what each I/O of a full queue has read, in its callback or when it is taken.
async fn storm(
    mut queue: IoQueue<Share, Blob>,
    in_callback: bool,
    gauge: Rc<Gauge>,
    ends: Rc<Cell<u64>>,
) {
    let goes_on = move |io: &mut EndedIo<'_, Share, Blob>| {
        ends.set(ends.get() + 1);
        assert!(io.take_result().is_ok());
        gauge.polled(io.tag_mut())
    };
    if in_callback {
        let each = move |mut io: EndedIo<'_, Share, Blob>| {
            if goes_on(&mut io) {
                io.read_blocks(0, 8);
            }
        };
        return queue.for_each_ended(each).await;
    }
    while queue.ended().await {
        while let Some(mut io) = queue.pop() {
            if goes_on(&mut io) {
                io.read_blocks(0, 8);
            }
        }
    }
}

/// Fails if a queue that is always full, also one most of whose I/Os wait for room on the channel, keeps SPDK's pollers, tasks,
/// messages, calls on its channel or calls of the metadata thread waiting.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_full_queue_starves_nobody() -> spdk::Result<()> {
    const TURNS: u64 = 100;
    let second = second::spdk_thread("second").await;
    for room in [512, 32] {
        let opts = opts().max_channel_ops(room);
        let store = Blobstore::init("M", Some(&opts)).await?;
        let blob = new_blob(&store, &of(4)).await?;
        let ch = store.alloc_io_channel()?;
        write(&blob, &ch, 0, 4 * CLUSTER, 1).await?;
        for in_callback in [true, false] {
            let (gauge, turns, ends) = (Gauge::start(), Turns::start()?, Rc::new(Cell::new(0)));
            let mut queue = IoQueue::of_blob(&blob, &ch)?;
            for _ in 0..DEPTH {
                queue.read_blocks(buffer(8)?, 0, 8, Share::default());
            }
            let storm = storm(queue, in_callback, gauge.clone(), ends.clone());
            let task = spawn_local(storm)?;
            until("the storm", || ends.get() > 2 * DEPTH).await;

            let before = (gauge.runs(), turns.count(), ends.get());
            pass(TURNS).await;
            let (runs, turned) = (gauge.runs() - before.0, turns.count() - before.1);
            assert!(
                runs.abs_diff(TURNS) <= 1 && turned.abs_diff(TURNS) <= 1,
                "{runs} runs of a poller, {turned} of a task in {TURNS} turns"
            );
            let ended = ends.get() - before.2;
            assert!(ended >= TURNS / 8 * u64::from(room).min(DEPTH), "{ended}");
            let before = turns.count();
            for number in 0..20 {
                assert_eq!(second.call(move || number).await?, number);
                within("a read", check(&blob, &ch, CLUSTER, 8, 1)).await?;
                within("an attribute", blob.set_xattr("number", &[number])).await?;
                within("a sync", blob.sync()).await?;
            }
            let took = turns.count() - before;
            assert!(took <= 2000, "all this took {took} turns");
            let most = gauge.most();
            assert!(most <= 4, "{most} ends of one I/O between two of a poller");
            assert!(!task.is_finished(), "the storm has ended");
            task.abort();
        }
        drop((ch, blob));
        within("the unload", async {
            loop {
                match store.unload().await {
                    // The last I/Os are in flight.
                    Err(error) if error.errno() == Some(Errno::EBUSY) => yield_now().await,
                    result => return result,
                }
            }
        })
        .await?;
    }
    Ok(())
}
