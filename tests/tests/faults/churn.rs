//! Devices that are opened and closed a thousand times, with everything dropped in any order.

use spdk_tests::random::Random;
use spdk_tests::stress::settings;

use super::*;

/// How many opens and closes.
const ROUNDS: u64 = 1000;
/// The devices: one that answers in the next turn, and one that takes its time.
const DEVICES: [&str; 2] = ["M", "D"];

/// An operation in flight, which may be dropped before what it was made of.
type Flight = Pin<Box<dyn Future<Output = spdk::Result<()>>>>;

/// What one round opens, and drops in any order.
enum Thing {
    Bdev(Bdev),
    Desc(Rc<BdevDesc>),
    Channel(Rc<spdk::IoChannel>),
    Queue(IoQueue<u64>),
    Zcopy(spdk::Zcopy),
    Flight(Flight),
    Events(spdk::Events<BdevEvent>),
    Buf(spdk::DmaBuf),
}

/// An operation that owns what it needs, so that its future can outlive the handles.
fn operation(
    dice: &mut Random,
    desc: Rc<BdevDesc>,
    ch: Rc<spdk::IoChannel>,
) -> spdk::Result<Flight> {
    let (what, block) = (dice.below(8), dice.below(1000));
    let mut bufs = vec![
        spdk::DmaBuf::alloc(BLOCK, 4096)?,
        spdk::DmaBuf::alloc(BLOCK, 4096)?,
    ];
    Ok(Box::pin(async move {
        match what {
            0 => desc.read_blocks(&ch, &mut bufs[0], block, 1).await,
            1 => desc.readv_blocks(&ch, &mut bufs, block, 2).await,
            2 => desc.write_blocks(&ch, &bufs[0], block, 1).await,
            3 => desc.writev_blocks(&ch, &bufs, block, 2).await,
            4 => desc.compare_blocks(&ch, &bufs[0], block, 1).await,
            5 => desc.write_zeroes_blocks(&ch, block, 8).await,
            6 => desc.unmap_blocks(&ch, block, 8).await,
            _ => desc.flush_blocks(&ch, block, 8).await,
        }
    }))
}

async fn round(dice: &mut Random) -> spdk::Result<()> {
    let name = DEVICES[dice.below(2) as usize];
    let mut things = Vec::new();
    for _ in 0..1 + dice.below(2) {
        let bdev = Bdev::find(name)?;
        let desc = Rc::new(bdev.open(true)?);
        if dice.one_in(2) {
            things.push(Thing::Bdev(bdev));
        }
        if dice.one_in(3) {
            things.push(Thing::Events(desc.events()));
        }
        for _ in 0..dice.below(3) {
            let ch = Rc::new(desc.get_io_channel()?);
            for _ in 0..dice.below(4) {
                let mut flight = operation(dice, desc.clone(), ch.clone())?;
                // Without a poll there is no operation yet.
                if !dice.one_in(4) && poll_once(flight.as_mut()).is_ready() {
                    continue;
                }
                things.push(Thing::Flight(flight));
            }
            if dice.one_in(3) {
                let mut queue = IoQueue::new(&ch)?;
                for block in 0..dice.below(6) {
                    queue.write_blocks(spdk::DmaBuf::alloc(BLOCK, 4096)?, block, 1, block);
                }
                things.push(Thing::Queue(queue));
            }
            if dice.one_in(6) {
                things.push(Thing::Zcopy(desc.zcopy_start(&ch, 8, 4, true).await?));
            }
            if dice.one_in(3) {
                things.push(Thing::Buf(spdk::DmaBuf::alloc(BLOCK, 4096)?));
            }
            things.push(Thing::Channel(ch));
        }
        things.push(Thing::Desc(desc));
    }
    dice.shuffle(&mut things);
    for thing in things {
        if dice.one_in(4) {
            yield_now().await;
        }
        match thing {
            // Some are waited for.
            Thing::Flight(flight) if dice.one_in(2) => match within("an operation", flight).await {
                Err(error)
                    if error
                        .nvme_status()
                        .is_some_and(|status| status.is_compare_failure()) => {}
                end => end?,
            },
            Thing::Queue(mut queue) if dice.one_in(2) => {
                while let Some(done) = within("a queue", queue.next()).await {
                    done.result?;
                    if dice.one_in(3) {
                        break;
                    }
                }
            }
            Thing::Bdev(bdev) => drop(bdev),
            Thing::Desc(desc) => drop(desc),
            Thing::Channel(ch) => drop(ch),
            Thing::Queue(queue) => drop(queue),
            Thing::Zcopy(zcopy) => drop(zcopy),
            Thing::Flight(flight) => drop(flight),
            Thing::Events(events) => drop(events),
            Thing::Buf(buf) => drop(buf),
        }
    }
    Ok(())
}

/// Fails if what is dropped, in whatever order, is not closed, or is closed under what still needs it.
#[spdk::test(cores = "0x3", deadline = 120, bdevs(
    bdev_malloc_create(name = "M", num_blocks = 2048, block_size = BLOCK),
    bdev_malloc_create(name = "N", num_blocks = 2048, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "N", name = "D",
        avg_read_latency = 50, p99_read_latency = 500, avg_write_latency = 50, p99_write_latency = 500,
    ),
))]
async fn a_thousand_opens_and_closes() -> spdk::Result<()> {
    let seed = settings::seed();
    eprintln!("{}", settings::replay(seed));
    let threads = threads().await?;
    let rounds = |first: u64, count: u64| {
        let threads = threads.clone();
        async move {
            let each = on_each(&threads, move |thread| async move {
                for number in first..first + count {
                    let mut dice = Random::new(seed).fork(number).fork(thread);
                    round(&mut dice).await?;
                }
                Ok(())
            })?;
            within("some opens and closes", try_join_all(each))
                .await
                .map(drop)
        }
    };
    let counters = Counters::settled(rounds(0, 20)).await?;
    // Looked at now and then, so that a leak is found where it begins.
    let step = 50;
    for first in (20..)
        .step_by(step as usize)
        .take((ROUNDS / step / 3 + 1) as usize)
    {
        rounds(first, step).await?;
        counters.assert_back().await;
    }
    end(threads).await
}
