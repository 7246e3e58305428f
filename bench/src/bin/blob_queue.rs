//! Reads or writes a blob with an `IoQueue`, each of whose completions submits the next I/O: what `c/blob_loop.c` does in C. The
//! blob takes the whole bdev and is written once before.
#![deny(unsafe_code)]

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use spdk::blob::Blob;
use spdk::{DmaBuf, EndedIo, Error, IoQueue, Result};
use spdk_bench::blob::Whole;
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
    let whole = Whole::new(&options).await?;
    let workload = whole.workload(&options)?;
    let state = Rc::new(State {
        workload,
        done: Cell::new(0),
        stop: Cell::new(false),
        failed: Cell::new(None),
    });
    let mut queue = IoQueue::of_blob(&whole.blob, &whole.channel)?;
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
