//! Random sequences of calls on blobs, compared with a model of what the calls promise.
//!
//! [`steps`] makes the sequences, [`plan`] says what each call of one must return, and the
//! [model](spdk_tests::model::store) what is there afterwards; [`desk`] makes the calls, on any spdk_thread, on stores that
//! [`reload`] loads, and on blobs that depend on [`externals`]; [`case`] and [`compare`] compare, after each step what can be
//! seen without opening anything, and all of it when the store was loaded again. A call whose future is dropped has happened
//! or not, as its documentation says, and never something else.
//!
//! Left out are the clear method `None`, after which a new cluster has anything; few calls on metadata at a time, for which
//! those of others may fail; how large a store can grow, which not every SPDK tells; and blobs whose device is not found,
//! which cannot be opened: the test `blob` has these.
//!
//! A sequence that fails is made as short as possible, and printed as code. Each test takes seconds, and minutes with
//! `cargo xtask test --nightly`. The seed is printed; `SPDK_STRESS_SEED` gives one, and `SPDK_STRESS_ROUNDS` says how many
//! cases there are. After a crash, the sequence that has led to it is in a file, whose name is printed first.
//!
//! Each of these faults was put into `spdk::blob`, or was there, and these tests failed, almost always with a sequence of at
//! most five calls:
//!
//! - A blob is not dirty again after a sync that failed; byte offsets are not checked; only the first clone is told.
//! - A bdev that a blob depends on is read at its start only; a device that it gets instead is not taken, or one that it is
//!   refused is kept; data of a domain is written at another place.
//! - A snapshot is not deleted if its clone is closed meanwhile; a tree has one clone of each snapshot; a dump is cut.
//! - A store that is loaded with all of its device has the old size; one that was destroyed is still there.
//! - A vectored read beyond the parent of a larger clone writes behind its first buffer; a snapshot becomes the parent of
//!   what it depends on; a store gets a type with which it cannot be unloaded; a clone has an attribute that does not fit.
#![allow(missing_docs)]

mod case;
mod compare;
mod desk;
mod externals;
mod io;
mod plan;
mod queue;
mod reload;
mod steps;

use case::{BLOCKS, Ground};
use spdk_tests::model::store::TARGETS;
use spdk_tests::model::{CLUSTER, UNIT, runner};
use spdk_tests::rpc;
use spdk_tests::stress::settings;

/// How many cases each test has, and how many in a nightly run.
const ONE: [u64; 2] = [60, 6000];
const SEVERAL: [u64; 2] = [40, 3000];
const BESIDE: [u64; 2] = [20, 2000];
/// What the bdevs are that blobs are copied to.
const LARGE: u64 = TARGETS[0] * CLUSTER;
const SMALL: u64 = TARGETS[1] * CLUSTER;
/// And the one that blobs depend on.
const EXTERNAL: u64 = externals::CLUSTERS * CLUSTER;

/// How long a test may take, in seconds.
fn deadline(cases: [u64; 2]) -> u64 {
    let [short, long] = cases;
    300 + settings::rounds(short, long)
}

/// All calls come from the metadata thread.
#[spdk::test(deadline = deadline(ONE), rpc_addr = &rpc::address(), bdevs(
    bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT),
    bdev_malloc_create(name = "Large", num_blocks = LARGE, block_size = UNIT),
    bdev_malloc_create(name = "Small", num_blocks = SMALL, block_size = UNIT),
    bdev_malloc_create(name = externals::BDEV, num_blocks = EXTERNAL, block_size = UNIT),
))]
async fn one_thread() -> spdk::Result<()> {
    let mut ground = Ground::new(1).await?;
    let sequences = steps::sequence(1);
    let run = async |case: &_, journal: &_| ground.run(case, journal).await;
    runner::run("blob_model-one_thread", sequences, ONE, run).await;
    ground.end().await
}

/// Each call comes from one of three spdk_threads, on two cores.
#[spdk::test(deadline = deadline(SEVERAL), cores = "0x3", rpc_addr = &rpc::address(), bdevs(
    bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT),
    bdev_malloc_create(name = "Large", num_blocks = LARGE, block_size = UNIT),
    bdev_malloc_create(name = "Small", num_blocks = SMALL, block_size = UNIT),
    bdev_malloc_create(name = externals::BDEV, num_blocks = EXTERNAL, block_size = UNIT),
))]
async fn several_threads() -> spdk::Result<()> {
    let mut ground = Ground::new(3).await?;
    let sequences = steps::sequence(3);
    let run = async |case: &_, journal: &_| ground.run(case, journal).await;
    runner::run("blob_model-several_threads", sequences, SEVERAL, run).await;
    ground.end().await
}

/// Several sequences run beside each other, on blobs of their own.
#[spdk::test(deadline = deadline(BESIDE), cores = "0x3", rpc_addr = &rpc::address(), bdevs(
    bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = UNIT),
    bdev_malloc_create(name = "Large", num_blocks = LARGE, block_size = UNIT),
    bdev_malloc_create(name = "Small", num_blocks = SMALL, block_size = UNIT),
    bdev_malloc_create(name = externals::BDEV, num_blocks = EXTERNAL, block_size = UNIT),
))]
async fn beside_each_other() -> spdk::Result<()> {
    let mut ground = Ground::new(3).await?;
    let sequences = steps::concurrent(3);
    let run = async |case: &_, journal: &_| ground.run(case, journal).await;
    runner::run("blob_model-beside_each_other", sequences, BESIDE, run).await;
    ground.end().await
}
