//! Blobstores on real bdevs.
#![allow(missing_docs)]

mod beside_io;
mod data;
mod each_call;
mod external;
mod fairness;
mod faults;
mod full;
mod io_queue;
mod late_opens;
mod lent;
mod life;
mod lost_writes;
mod options;
mod own_device;
mod snapshots;
mod threads;

use std::fs::File;

use spdk::blob::{Blob, BlobOpts, Blobstore, BsOpts, Xattrs};
use spdk::{DmaBuf, IoChannel};
use spdk_tests::{assert_errno, pattern, rpc};

/// The size of an io unit, which is a block of the devices here.
const UNIT: usize = 512;
/// The size of a cluster in io units.
const CLUSTER: u64 = 128;

fn opts() -> BsOpts {
    BsOpts::new().cluster_size(CLUSTER as u32 * UNIT as u32)
}

/// A file for an aio bdev, which is deleted once it is open: the name is the process's.
fn file() -> String {
    format!("{}.aio", rpc::address())
}

fn new_file() -> String {
    let made = File::create(file()).and_then(|file| file.set_len(8 << 20));
    match made {
        Ok(()) => file(),
        Err(error) => panic!("{}: {error}", file()),
    }
}

fn of(clusters: u64) -> BlobOpts {
    BlobOpts::new().num_clusters(clusters)
}

async fn new_blob(store: &Blobstore, opts: &BlobOpts) -> spdk::Result<Blob> {
    store
        .open_blob(store.create_blob(Some(opts)).await?, None)
        .await
}

/// The clone of a snapshot of a clone, and so on.
async fn last_of_chain(store: &Blobstore, mut blob: Blob, length: usize) -> spdk::Result<Blob> {
    let xattrs = Xattrs::new();
    for _ in 0..length {
        let snapshot = store.create_snapshot(blob.id(), &xattrs).await?;
        let clone = store.create_clone(snapshot, &xattrs).await?;
        blob = store.open_blob(clone, None).await?;
    }
    Ok(blob)
}

fn buffer(units: u64) -> spdk::Result<DmaBuf> {
    DmaBuf::alloc(units as usize * UNIT, 4096)
}

/// Writes the pattern of so many io units.
async fn write(
    blob: &Blob,
    ch: &IoChannel,
    first: u64,
    units: u64,
    generation: u64,
) -> spdk::Result<()> {
    let mut buf = buffer(units)?;
    pattern::fill(&mut buf, UNIT, first, generation);
    blob.write_io_units(ch, &buf, first, units).await
}

/// Fails if something else than the pattern is read.
async fn check(
    blob: &Blob,
    ch: &IoChannel,
    first: u64,
    units: u64,
    generation: u64,
) -> spdk::Result<()> {
    let mut buf = buffer(units)?;
    blob.read_io_units(ch, &mut buf, first, units).await?;
    pattern::assert_is(&buf, UNIT, first, generation);
    Ok(())
}
