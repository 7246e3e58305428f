//! Lvol stores on real bdevs.
#![allow(missing_docs)]

mod bdevs;
mod data;
mod external;
mod failed_writes;
mod faults;
mod life;
mod options;
mod programs;
mod threads;

use std::fs::File;

use spdk::lvol::{Lvol, LvolOpts, LvolStore, LvsOpts};
use spdk::{DmaBuf, IoChannel};
use spdk_tests::{assert_errno, pattern, rpc};

/// The size of an io unit, which is a block of the devices here.
const UNIT: usize = 512;
/// The size of a cluster in io units.
const CLUSTER: u64 = 128;
/// The size of a cluster in bytes.
const BYTES: u64 = CLUSTER * UNIT as u64;

fn opts() -> LvsOpts {
    LvsOpts::new().cluster_size(BYTES as u32)
}

async fn init(bdev: &str) -> spdk::Result<LvolStore> {
    LvolStore::init(bdev, "store", Some(&opts())).await
}

fn thin() -> LvolOpts {
    LvolOpts::new().thin(true)
}

/// A file for an aio bdev: the name is the process's.
fn file() -> String {
    format!("{}.aio", rpc::address())
}

fn new_file() -> String {
    sized_file(8 << 20)
}

fn sized_file(size: u64) -> String {
    let made = File::create(file()).and_then(|file| file.set_len(size));
    match made {
        Ok(()) => file(),
        Err(error) => panic!("{}: {error}", file()),
    }
}

fn buffer(units: u64) -> spdk::Result<DmaBuf> {
    DmaBuf::alloc(units as usize * UNIT, 4096)
}

/// Writes the pattern of so many io units.
async fn write(
    lvol: &Lvol,
    ch: &IoChannel,
    first: u64,
    units: u64,
    generation: u64,
) -> spdk::Result<()> {
    let mut buf = buffer(units)?;
    pattern::fill(&mut buf, UNIT, first, generation);
    lvol.blob().write_io_units(ch, &buf, first, units).await
}

/// Fails if something else than the pattern is read.
async fn check(
    lvol: &Lvol,
    ch: &IoChannel,
    first: u64,
    units: u64,
    generation: u64,
) -> spdk::Result<()> {
    let mut buf = buffer(units)?;
    lvol.blob()
        .read_io_units(ch, &mut buf, first, units)
        .await?;
    pattern::assert_is(&buf, UNIT, first, generation);
    Ok(())
}

/// The names of the volumes of a store, in order.
async fn names(store: &LvolStore) -> spdk::Result<Vec<String>> {
    let lvols = store.lvols().await?;
    let mut names: Vec<_> = lvols.into_iter().map(|lvol| lvol.name).collect();
    names.sort();
    Ok(names)
}
