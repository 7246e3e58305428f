//! Random sequences of calls on lvol stores and their volumes, compared with a model of what the calls promise.
//!
//! [`steps`] makes the sequences, [`plan`] and [`on_open`] the calls, of which they say what each must return and what is
//! there afterwards, in [`lvols`]: of a volume, what there is of [blobs](spdk_tests::model::store), its name and its UUID.
//! [`desk`] is what an spdk_thread makes the calls with; [`case`] compares, after each step what can be seen without
//! opening anything, and all of it when the store was loaded again, by any of the spdk_threads. A call whose future is
//! dropped has happened or not, as its documentation says, and never something else.
//!
//! A sequence that fails is made as short as possible, and printed as code. Each test takes seconds, and minutes with
//! `cargo xtask test --nightly`. The seed is printed; `SPDK_STRESS_SEED` gives one, and `SPDK_STRESS_ROUNDS` says how many
//! cases there are. After a crash, the sequence that has led to it is in a file, whose name is printed first.
//!
//! Each of these faults was put into `spdk::lvol`, or was there, and these tests failed with a sequence of at most four
//! calls:
//!
//! - A store that was renamed has its old name; a volume stays whose creation was dropped; a size is rounded down; a volume
//!   that was closed counts as open.
//! - The snapshot of a volume that depends on a bdev is not destroyed when that was closed just before.
//! - A read-only volume does not get a new parent when another handle of it is closed meanwhile.
#![allow(missing_docs)]

mod case;
mod desk;
mod devices;
mod lvols;
mod on_open;
mod plan;
mod steps;

use case::Ground;
use spdk_tests::model::runner;
use spdk_tests::stress::settings;

/// How many cases each test has, and how many in a nightly run.
const ONE: [u64; 2] = [60, 6000];
const SEVERAL: [u64; 2] = [40, 3000];
const BESIDE: [u64; 2] = [20, 2000];

/// How long a test may take, in seconds.
fn deadline(cases: [u64; 2]) -> u64 {
    let [short, long] = cases;
    300 + settings::rounds(short, long)
}

/// All calls come from one spdk_thread.
#[spdk::test(deadline = deadline(ONE), bdevs(bdev_set_options(bdev_auto_examine = false)))]
async fn one_thread() -> spdk::Result<()> {
    let mut ground = Ground::new(1).await?;
    let run = async |case: &_, journal: &_| ground.run(case, journal).await;
    runner::run("lvol_model-one_thread", steps::sequence(1), ONE, run).await;
    ground.end().await
}

/// Each call comes from one of three spdk_threads, on two cores, and so does each load.
#[spdk::test(deadline = deadline(SEVERAL), cores = "0x3", bdevs(bdev_set_options(bdev_auto_examine = false)))]
async fn several_threads() -> spdk::Result<()> {
    let mut ground = Ground::new(3).await?;
    let run = async |case: &_, journal: &_| ground.run(case, journal).await;
    runner::run(
        "lvol_model-several_threads",
        steps::sequence(3),
        SEVERAL,
        run,
    )
    .await;
    ground.end().await
}

/// Several sequences run beside each other, on volumes of their own.
#[spdk::test(deadline = deadline(BESIDE), cores = "0x3", bdevs(bdev_set_options(bdev_auto_examine = false)))]
async fn beside_each_other() -> spdk::Result<()> {
    let mut ground = Ground::new(3).await?;
    let run = async |case: &_, journal: &_| ground.run(case, journal).await;
    runner::run(
        "lvol_model-beside_each_other",
        steps::concurrent(3),
        BESIDE,
        run,
    )
    .await;
    ground.end().await
}
