//! Reads or writes a blob with an `IoQueue`, each of whose completions submits the next I/O: what `c/blob_loop.c` does in C. The
//! blob takes the whole bdev and is written once before.
#![deny(unsafe_code)]

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use spdk::blob::{Blob, BlobOpts, Blobstore, BsOpts};
use spdk::{DmaBuf, EndedIo, Error, IoChannel, IoQueue, Result};
use spdk_bench::options::Options;
use spdk_bench::report::{self, Counted};
use spdk_bench::time;
use spdk_bench::workload::{Operation, Workload};

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.app("blob_queue");
    let counted = app.block_on(run(options));
    report::end("blob_queue", counted.map(Counted::ios))
}

async fn run(options: Options) -> Result<Counted> {
    let opts = BsOpts::new().max_channel_ops(options.queue_depth);
    let store = Blobstore::init(&options.bdev, Some(&opts)).await?;
    let opts = BlobOpts::new().num_clusters(store.free_clusters()?);
    let id = store.create_blob(Some(&opts)).await?;
    let blob = store.open_blob(id, None).await?;
    let channel = store.alloc_io_channel()?;
    write(&blob, &channel, store.cluster_size()).await?;

    let workload = Workload::of(&options, blob.io_unit_size().into(), blob.size()?)?;
    let state = Rc::new(State {
        workload,
        done: Cell::new(0),
        stop: Cell::new(false),
        failed: Cell::new(None),
    });
    let mut queue = IoQueue::of_blob(&blob, &channel)?;
    for _ in 0..options.queue_depth {
        let buf = DmaBuf::alloc(state.workload.size, 4096)?;
        let blocks = state.workload.blocks;
        match state.workload.pick() {
            Operation::Read(offset) => queue.read_blocks(buf, offset, blocks, ()),
            Operation::Write(offset) => queue.write_blocks(buf, offset, blocks, ()),
        }
    }
    let each = state.clone();
    let all = spdk::spawn_local(async move {
        queue.for_each_ended(move |io| each.go_on(io)).await;
    })?;
    let counted = time::measure(options.times, &state.done).await;
    state.stop.set(true);
    all.await?;
    match state.failed.take() {
        None => Ok(counted),
        Some(error) => Err(error),
    }
}

struct State {
    workload: Workload,
    done: Cell<u64>,
    stop: Cell<bool>,
    failed: Cell<Option<Error>>,
}

impl State {
    #[inline(always)]
    fn go_on(&self, mut io: EndedIo<'_, (), Blob>) {
        if let Err(error) = io.take_result() {
            self.failed.set(Some(error));
            return;
        }
        self.done.set(self.done.get() + 1);
        if self.stop.get() {
            return;
        }
        match self.workload.pick() {
            Operation::Read(offset) => io.read_blocks(offset, self.workload.blocks),
            Operation::Write(offset) => io.write_blocks(offset, self.workload.blocks),
        }
    }
}

/// Writes all of the blob.
async fn write(blob: &Blob, channel: &IoChannel, cluster_size: u64) -> Result<()> {
    let buf = DmaBuf::alloc(cluster_size as usize, 4096)?;
    for offset in (0..blob.size()?).step_by(buf.len()) {
        blob.write(channel, &buf, offset).await?;
    }
    Ok(())
}
