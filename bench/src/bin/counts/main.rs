//! Counts what does not vary from run to run: allocations for each I/O, and bytes for each operation in flight.
#![deny(unsafe_code)]

mod dma;
mod heap;
mod in_flight;
mod nvme;
mod steady;

use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};
use spdk_bench::options::Spdk;
use spdk_bench::report;

const CONFIG: &str = r#"{"subsystems": [{"subsystem": "bdev", "config": [
    {"method": "bdev_null_create",
     "params": {"name": "Null0", "num_blocks": 262144, "block_size": 4096}},
    {"method": "bdev_null_create",
     "params": {"name": "Null1", "num_blocks": 262144, "block_size": 4096}},
    {"method": "bdev_malloc_create",
     "params": {"name": "Malloc0", "num_blocks": 16384, "block_size": 4096}},
    {"method": "bdev_delay_create",
     "params": {"name": "Delay0", "base_bdev_name": "Null1",
                "avg_read_latency": 1000000, "p99_read_latency": 1000000,
                "avg_write_latency": 1000000, "p99_write_latency": 1000000}},
    {"method": "bdev_wait_for_examine"}]}]}"#;

/// Counts allocations for each I/O, and bytes for each operation in flight.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    spdk: Spdk,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.spdk.app("counts").json_data(CONFIG);
    report::end("counts", app.block_on(count()))
}

async fn count() -> spdk::Result<Value> {
    let mut allocations = Vec::new();
    for bdev in ["Null0", "Malloc0"] {
        for depth in [1, 32] {
            for is_write in [false, true] {
                allocations.push(steady::bdev(bdev, depth, is_write).await?);
            }
        }
    }
    for depth in [1, 32] {
        for is_write in [false, true] {
            allocations.push(steady::blob("Malloc0", depth, is_write).await?);
        }
    }
    allocations.extend(nvme::count("Null0").await?);
    let in_flight = in_flight::count("Delay0").await?;
    Ok(json!({"allocations": allocations, "in_flight": in_flight}))
}
