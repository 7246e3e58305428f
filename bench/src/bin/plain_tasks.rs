//! Reads or writes a bdev with one task for each operation in flight.
#![deny(unsafe_code)]

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use spdk::{Bdev, DmaBuf, Result};
use spdk_bench::options::Options;
use spdk_bench::report::{self, Counted};
use spdk_bench::time;
use spdk_bench::workload::{Operation, Workload};

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.app("plain_tasks");
    let counted = app.block_on(run(options));
    report::end("plain_tasks", counted.map(Counted::ios))
}

async fn run(options: Options) -> Result<Counted> {
    let desc = Rc::new(Bdev::find(&options.bdev)?.open(Workload::writes(&options))?);
    let channel = Rc::new(desc.get_io_channel()?);
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));

    let workload = Rc::new(Workload::new(&options)?);
    let mut tasks = Vec::new();
    for _ in 0..options.queue_depth {
        let (desc, channel, workload) = (desc.clone(), channel.clone(), workload.clone());
        let (done, stop) = (done.clone(), stop.clone());
        tasks.push(spdk::spawn_local(async move {
            let mut buf = DmaBuf::alloc(workload.size, 4096)?;
            while !stop.get() {
                match workload.pick() {
                    Operation::Read(offset) => {
                        desc.read_blocks(&channel, &mut buf, offset, workload.blocks)
                            .await?
                    }
                    Operation::Write(offset) => {
                        desc.write_blocks(&channel, &buf, offset, workload.blocks)
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
