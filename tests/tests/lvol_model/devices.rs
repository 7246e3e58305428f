//! The bdevs of stores, and those that volumes depend on or are copied to.

use std::fs::{File, OpenOptions};

use serde_json::{Value, json};
use spdk::task::yield_now;
use spdk::{Bdev, Errno};
use spdk_tests::model::check::text;
use spdk_tests::model::content::fill_bdev;
use spdk_tests::model::store::TARGETS;
use spdk_tests::model::{CLUSTER, UNIT};
use spdk_tests::rpc;

use crate::lvols::{BYTES, COPIES, LARGE, SMALL};
use crate::steps::Kind;

/// The file of an aio bdev.
fn file(bdev: &str) -> String {
    format!("{}.{bdev}", rpc::address())
}

async fn call(method: &str, params: Value) -> spdk::Result<()> {
    spdk::rpc::call::<Value>(method, &params).await.map(drop)
}

async fn malloc(bdev: &str, blocks: u64, block_size: usize) -> spdk::Result<()> {
    let params = json!({"name": bdev, "num_blocks": blocks, "block_size": block_size});
    call("bdev_malloc_create", params).await
}

/// Makes an aio bdev so many clusters larger.
pub(crate) async fn enlarge(bdev: &str, clusters: u64) -> Result<(), String> {
    let file = OpenOptions::new().write(true).open(file(bdev));
    let larger = file.and_then(|file| {
        let length = file.metadata()?.len();
        file.set_len(length + clusters * BYTES)
    });
    larger.map_err(|error| error.to_string())?;
    call("bdev_aio_rescan", json!({"name": bdev}))
        .await
        .map_err(text)
}

/// Makes those that are there all the time.
pub(crate) async fn make_others() -> spdk::Result<()> {
    for (bdev, external) in [LARGE, SMALL] {
        malloc(bdev, external.units / CLUSTER * CLUSTER, UNIT).await?;
        fill_bdev(bdev, external.units / CLUSTER * CLUSTER, external.value).await?;
    }
    for (bdev, clusters) in COPIES.into_iter().zip(TARGETS) {
        malloc(bdev, clusters * CLUSTER, UNIT).await?;
    }
    malloc("Odd", 2 * CLUSTER - 1, UNIT).await?;
    malloc("Coarse", CLUSTER, 4096).await?;
    malloc("Neighbor", 16384, UNIT).await
}

/// Makes the bdev of a store.
pub(crate) async fn make(bdev: &str, kind: Kind, clusters: u64) -> Result<(), String> {
    match kind {
        Kind::Malloc => malloc(bdev, clusters * CLUSTER, UNIT).await.map_err(text),
        Kind::File => {
            let file = file(bdev);
            let made = File::create(&file).and_then(|file| file.set_len(clusters * BYTES));
            made.map_err(|error| format!("{file}: {error}"))?;
            let params =
                json!({"name": bdev, "filename": file, "block_size": UNIT, "fallocate": true});
            call("bdev_aio_create", params).await.map_err(text)
        }
    }
}

/// Deletes it, when nobody uses it any more.
pub(crate) async fn delete(bdev: &str, kind: Kind) -> Result<(), String> {
    if kind == Kind::File {
        std::fs::remove_file(file(bdev)).map_err(|error| error.to_string())?;
    }
    while let Err(error) = Bdev::find(bdev).and_then(|bdev| bdev.open(true)) {
        match error.errno() {
            Some(Errno::EPERM) => yield_now().await,
            _ => return Err(text(error)),
        }
    }
    let method = match kind {
        Kind::Malloc => "bdev_malloc_delete",
        Kind::File => "bdev_aio_delete",
    };
    call(method, json!({"name": bdev})).await.map_err(text)
}
