//! Round trips of messages between two spdk_threads: one on the first core, the other on the last, which may be the
//! same. What `c/ping_pong_c.c` does in C.
#![deny(unsafe_code)]

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use spdk::{Result, SpdkApp, ThreadHandle};
use spdk_bench::options::{Spdk, Times};
use spdk_bench::report::{self, Counted};
use spdk_bench::time;

/// Measures the round trips of messages between two spdk_threads.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    spdk: Spdk,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.spdk.app("ping_pong");
    let counted = app.block_on(run(options.times));
    report::end("ping_pong", counted.map(Counted::round_trips))
}

async fn run(times: Times) -> Result<Counted> {
    let core = SpdkApp::cores()?.last().copied().unwrap_or_default();
    let there = ThreadHandle::on_core("there", core).await?;
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));
    let task = {
        let (there, done, stop) = (there.clone(), done.clone(), stop.clone());
        spdk::spawn_local(async move {
            while !stop.get() {
                there.call(|| ()).await?;
                done.set(done.get() + 1);
            }
            Ok::<_, spdk::Error>(())
        })?
    };
    let counted = time::measure(times, &done).await;
    stop.set(true);
    task.await??;
    there.exit().await?;
    Ok(counted)
}
