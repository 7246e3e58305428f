//! Reads or writes a blob with one task for each operation in flight: what `c/blob_loop.c` does in C. The blob takes the
//! whole bdev and is written once before.
#![deny(unsafe_code)]

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use spdk::blob::{Blob, BlobOpts, Blobstore};
use spdk::{DmaBuf, IoChannel, Result};
use spdk_bench::options::Options;
use spdk_bench::report::{self, Counted};
use spdk_bench::time;
use spdk_bench::workload::{Operation, Workload};

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.app("blob_tasks");
    let counted = app.block_on(run(options));
    report::end("blob_tasks", counted.map(Counted::ios))
}

async fn run(options: Options) -> Result<Counted> {
    let store = Blobstore::init(&options.bdev, None).await?;
    let opts = BlobOpts::new().num_clusters(store.free_clusters()?);
    let id = store.create_blob(Some(&opts)).await?;
    let blob = Rc::new(store.open_blob(id, None).await?);
    let channel = Rc::new(store.alloc_io_channel()?);
    write(&blob, &channel, store.cluster_size()).await?;
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));

    let workload = Workload::of(&options, blob.io_unit_size().into(), blob.size()?)?;
    let workload = Rc::new(workload);
    let mut tasks = Vec::new();
    for _ in 0..options.queue_depth {
        let (blob, channel, workload) = (blob.clone(), channel.clone(), workload.clone());
        let (done, stop) = (done.clone(), stop.clone());
        tasks.push(spdk::spawn_local(async move {
            let mut buf = DmaBuf::alloc(workload.size, 4096)?;
            while !stop.get() {
                match workload.pick() {
                    Operation::Read(offset) => {
                        blob.read_io_units(&channel, &mut buf, offset, workload.blocks)
                            .await?
                    }
                    Operation::Write(offset) => {
                        blob.write_io_units(&channel, &buf, offset, workload.blocks)
                            .await?
                    }
                }
                done.set(done.get() + 1);
            }
            Ok::<_, spdk::Error>(())
        })?);
    }
    let counted = time::measure(options.times, &done).await;
    stop.set(true);
    for task in tasks {
        task.await??;
    }
    Ok(counted)
}

/// Writes all of the blob.
async fn write(blob: &Blob, channel: &IoChannel, cluster_size: u64) -> Result<()> {
    let buf = DmaBuf::alloc(cluster_size as usize, 4096)?;
    for offset in (0..blob.size()?).step_by(buf.len()) {
        blob.write(channel, &buf, offset).await?;
    }
    Ok(())
}
