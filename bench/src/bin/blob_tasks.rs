//! Reads or writes a blob with one task for each operation in flight: what `c/blob_loop.c` does in C. The blob takes the
//! whole bdev and is written once before.
#![deny(unsafe_code)]

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use spdk::{DmaBuf, Result};
use spdk_bench::blob::Whole;
use spdk_bench::options::Options;
use spdk_bench::report::{self, Counted};
use spdk_bench::time;
use spdk_bench::workload::Operation;

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.app("blob_tasks");
    let counted = app.block_on(run(options));
    report::end("blob_tasks", counted.map(Counted::ios))
}

async fn run(options: Options) -> Result<Counted> {
    let whole = Rc::new(Whole::new(&options).await?);
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));

    let workload = Rc::new(whole.workload(&options)?);
    let mut tasks = Vec::new();
    for _ in 0..options.queue_depth {
        let (whole, workload) = (whole.clone(), workload.clone());
        let (done, stop) = (done.clone(), stop.clone());
        tasks.push(spdk::spawn_local(async move {
            let Whole { blob, channel } = &*whole;
            let mut buf = DmaBuf::alloc(workload.size, 4096)?;
            while !stop.get() {
                match workload.pick() {
                    Operation::Read(offset) => {
                        blob.read_io_units(channel, &mut buf, offset, workload.blocks)
                            .await?
                    }
                    Operation::Write(offset) => {
                        blob.write_io_units(channel, &buf, offset, workload.blocks)
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
