//! Reads or writes a bdev with one task and a `FuturesUnordered` of the operations in flight.
#![deny(unsafe_code)]

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use futures_util::stream::{FuturesUnordered, StreamExt};
use spdk::{Bdev, BdevDesc, DmaBuf, IoChannel, Result};
use spdk_bench::options::Options;
use spdk_bench::report::{self, Counted};
use spdk_bench::time;
use spdk_bench::workload::{Operation, Workload};

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.app("plain_unordered");
    let counted = app.block_on(run(options));
    report::end("plain_unordered", counted.map(Counted::ios))
}

async fn run(options: Options) -> Result<Counted> {
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));
    let task = spdk::spawn_local(keep_busy(options.clone(), done.clone(), stop.clone()))?;
    let counted = time::measure(options.times, &done).await;
    stop.set(true);
    task.await??;
    Ok(counted)
}

async fn keep_busy(options: Options, done: Rc<Cell<u64>>, stop: Rc<Cell<bool>>) -> Result<()> {
    let desc = Bdev::find(&options.bdev)?.open(Workload::writes(&options))?;
    let channel = desc.get_io_channel()?;
    let workload = Workload::new(&options)?;
    let mut in_flight = FuturesUnordered::new();
    for _ in 0..options.queue_depth {
        let buf = DmaBuf::alloc(workload.size, 4096)?;
        in_flight.push(one(&desc, &channel, &workload, buf));
    }
    while let Some(ended) = in_flight.next().await {
        let buf = ended?;
        done.set(done.get() + 1);
        if !stop.get() {
            in_flight.push(one(&desc, &channel, &workload, buf));
        }
    }
    Ok(())
}

async fn one(
    desc: &BdevDesc,
    channel: &IoChannel,
    workload: &Workload,
    mut buf: DmaBuf,
) -> Result<DmaBuf> {
    match workload.pick() {
        Operation::Read(offset) => {
            desc.read_blocks(channel, &mut buf, offset, workload.blocks)
                .await?
        }
        Operation::Write(offset) => {
            desc.write_blocks(channel, &buf, offset, workload.blocks)
                .await?
        }
    }
    Ok(buf)
}
