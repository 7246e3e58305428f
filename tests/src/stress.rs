//! A randomised stress of a device: every operation, every way to abandon it, whatever the device
//! does meanwhile.
//!
//! It runs in rounds. In each, workers that own a range of blocks each do random operations from
//! several spdk_threads, some of which they abandon, while the device is troubled. At its end they
//! let everything go; when the device has given its channels up, every operation has ended, and all
//! of SPDK's memory that they used must be free. The next round begins with a look at every block.
//!
//! A seed decides what is done. What happens also depends on the device, so the same seed gives the
//! same decisions and not the same run.

pub mod board;
pub mod canaries;
pub mod chaos;
pub mod fate;
pub mod job;
pub mod model;
pub mod refusals;
pub mod settings;
pub mod shredder;
pub mod worker;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{join, try_join_all};
use spdk::{DmaBuf, SpdkApp, SpdkAppBuilder, ThreadHandle, spawn_local};

use self::board::{Board, Watchdog};
use self::chaos::Chaos;
use self::job::{Counts, What};
use self::model::Region;
use self::shredder::Shredder;
use self::worker::{Round, Shared, Worker};
use crate::nvmf::log;
use crate::random::Random;
use crate::{Device, dma, rpc, until};

/// How many workers there are.
const WORKERS: u64 = 12;
/// How many blocks each has.
const BLOCKS: u64 = 48;
/// How many blocks the device needs.
pub const DEVICE_BLOCKS: u64 = WORKERS * BLOCKS;
/// The rounds that there are in any case: in the second, the first one is compared.
const LEAST: u64 = 3;

/// What is stressed.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The bdev, whose blocks are zero.
    pub bdev: &'static str,
    /// What happens to it.
    pub chaos: Chaos,
    /// Whether the device counts exactly what is submitted: it has no resets, nothing fails, and there
    /// is a `spdk_bdev_io` for each operation.
    pub counted: bool,
    /// How many steps of each worker a round has.
    pub steps: u64,
}

/// Stresses a device in an application of its own.
///
/// # Errors
///
/// The first thing that was wrong, and how to replay it.
pub fn run(app: SpdkAppBuilder, subject: Subject) -> Result<(), String> {
    log::keep();
    let seed = settings::seed();
    let replay = settings::replay(seed);
    eprintln!("{replay}");
    let board = Board::new();
    let watchdog = Watchdog::start(board.clone(), replay.clone());
    let app = app.rpc_addr(&rpc::address());
    let end = app.block_on(async move { Ok(rounds(subject, seed, board).await) });
    drop(watchdog);
    let end = end.unwrap_or_else(|error| Err(error.to_string()));
    end.map_err(|wrong| format!("{wrong} ({replay})"))?;
    for words in ["stays mapped", "hold up", "abandoned", "panic"] {
        if log::has(&[words]) {
            return Err(format!(
                "the log has {words:?}, so something was left ({replay})"
            ));
        }
    }
    Ok(())
}

async fn rounds(subject: Subject, seed: u64, board: Arc<Board>) -> Result<(), String> {
    let random = Random::new(seed);
    let shared = Arc::new(Shared {
        bdev: subject.bdev,
        board: board.clone(),
        counts: Counts::default(),
        shredder: Shredder::start(),
    });
    let threads = threads().await.map_err(text)?;
    refusals::prepare().await?;
    let before = statistics(subject.bdev).await?;
    let block = Device::open(subject.bdev).map_err(text)?.block();
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|number| {
            let region = Region::zeroed(number * BLOCKS, BLOCKS, block);
            Worker::new(number, &random, region, shared.clone())
        })
        .collect();
    let (start, mut pieces) = (Instant::now(), None);
    for number in 0.. {
        let mut dice = random.fork(u64::MAX - number);
        let last = number >= LEAST && start.elapsed() > settings::time();
        let with_resets = dice.one_in(3) && !subject.counted;
        let round = Round {
            number,
            resets: with_resets,
            errors: with_resets || subject.chaos.fails(),
            steps: if last { 0 } else { subject.steps },
        };
        let chaos = if last { Chaos::Calm } else { subject.chaos };
        let begin = Instant::now();
        workers = one_round(workers, round, chaos, &threads, &shared, dice).await?;
        quiet(&shared).await?;
        eprintln!(
            "round {number}{}: {:?}, {}",
            if with_resets { " with resets" } else { "" },
            begin.elapsed(),
            shared.counts
        );
        workers.iter_mut().for_each(|worker| worker.region.quiet());
        free(&mut pieces, &board).await?;
        if last {
            break;
        }
    }
    if shared.counts.abandoned() == 0 {
        return Err("no operation was abandoned: the test does not test".to_owned());
    }
    compare_counts(&shared, before, subject.counted).await?;
    for thread in threads.into_iter().flatten() {
        thread.exit().await.map_err(text)?;
    }
    Ok(())
}

/// The spdk_threads of the workers: the current one, another one on its core, and one on the next
/// core if there is one.
async fn threads() -> spdk::Result<[Option<ThreadHandle>; 3]> {
    let cores = SpdkApp::cores()?;
    let second = ThreadHandle::on_core("second", cores[1 % cores.len()]).await?;
    let third = ThreadHandle::on_core("third", cores[0]).await?;
    Ok([None, Some(second), Some(third)])
}

type Running = Pin<Box<dyn Future<Output = Result<Worker, String>>>>;

/// Runs the workers on the spdk_threads, each on another one than last time.
async fn one_round(
    workers: Vec<Worker>,
    round: Round,
    chaos: Chaos,
    threads: &[Option<ThreadHandle>; 3],
    shared: &Shared,
    dice: Random,
) -> Result<Vec<Worker>, String> {
    let over = Rc::new(Cell::new(false));
    let chaos = chaos.reign(shared.bdev, dice.fork(0), over.clone());
    let mut running = Vec::new();
    for (worker, number) in workers.into_iter().zip(round.number..) {
        running.push(match threads[number as usize % threads.len()].clone() {
            None => {
                let task = spawn_local(worker.round(round)).map_err(text)?;
                Box::pin(async { task.await.map_err(text)? }) as Running
            }
            Some(thread) => Box::pin(async move {
                let task = thread.spawn(move || worker.round(round));
                task.await.map_err(text)?
            }),
        });
    }
    let workers = async {
        let end = try_join_all(running).await;
        over.set(true);
        end
    };
    join(workers, chaos).await.0
}

/// Returns when every operation has ended: they keep the channels.
async fn quiet(shared: &Shared) -> Result<(), String> {
    let device = format!("bdev_{}", shared.bdev);
    let start = Instant::now();
    loop {
        let left = rpc::channels(&device).await;
        if left == 0 {
            break;
        }
        if start.elapsed() > Duration::from_secs(20) {
            return Err(format!(
                "{left} references to channels are left: operations have not ended, or were not let \
                 go"
            ));
        }
    }
    let answer = shared.shredder.finish();
    let mut end = None;
    until("the other OS thread", || {
        end = end.take().or(answer.try_recv().ok());
        end.is_some()
    })
    .await;
    end.unwrap_or(Ok(()))
}

/// Compares SPDK's memory in use with that after the first round, in which SPDK made what it keeps.
async fn free(pieces: &mut Option<u32>, board: &Board) -> Result<(), String> {
    let start = Instant::now();
    loop {
        // What another OS thread left is freed by the next allocation.
        drop(DmaBuf::alloc(512, 0).map_err(text)?);
        let now = dma::pieces();
        let before = *pieces.get_or_insert(now);
        if now <= before {
            return Ok(());
        }
        board.say("main", format!("{now} pieces of memory, {before} before"));
        if start.elapsed() > Duration::from_secs(5) {
            return Err(format!(
                "{now} pieces of SPDK's memory are in use with nothing in flight, {before} a round \
                 before"
            ));
        }
        spdk::task::yield_now().await;
    }
}

/// What the device has counted: it counts what has succeeded.
async fn statistics(bdev: &str) -> Result<[u64; 3], String> {
    let answer = rpc::get("bdev_get_iostat").await;
    let mut all = answer["bdevs"].as_array().into_iter().flatten();
    let of_bdev = all.find(|stat| stat["name"] == bdev);
    let count = |name| of_bdev.and_then(|stat| stat[name].as_u64());
    let counts = ["num_read_ops", "num_write_ops", "num_unmap_ops"].map(count);
    match counts {
        [Some(reads), Some(writes), Some(unmaps)] => Ok([reads, writes, unmaps]),
        _ => Err(format!("no counts of {bdev} in {answer}")),
    }
}

/// Compares our counts with what the device has counted since it had counted `before`: SPDK's modules
/// look at each device first.
async fn compare_counts(shared: &Shared, before: [u64; 3], exact: bool) -> Result<(), String> {
    let now = statistics(shared.bdev).await?;
    let kinds: [&[What]; 3] = [
        &[What::Read, What::Readv],
        &[What::Write, What::Writev],
        &[What::Unmap],
    ];
    for ((kinds, before), now) in kinds.into_iter().zip(before).zip(now) {
        let (least, most) = shared.counts.bounds(kinds);
        let least = if exact { most } else { least };
        let counted = now - before;
        if counted < least || counted > most {
            return Err(format!(
                "the device has counted {counted} of {kinds:?}, but between {least} and {most} were \
                 asked for"
            ));
        }
    }
    Ok(())
}

fn text(error: spdk::Error) -> String {
    error.to_string()
}
