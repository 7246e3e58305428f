//! What happens to a device while it is used.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::nvmf::Process;
use crate::random::Random;
use crate::turns::pass;
use crate::{Device, rpc};

/// A kind of trouble.
#[derive(Clone, Copy, Debug)]
pub enum Chaos {
    /// None.
    Calm,
    /// The error bdev lets operations fail, wait for memory, or wait for a reset.
    Errors,
    /// The error bdev changes data: what a test has to find out.
    Corruption,
    /// The delay bdev's latencies change.
    Latency,
    /// The target is stopped and continued.
    Stops(Process),
}

impl Chaos {
    /// Whether operations may fail because of it.
    pub fn fails(self) -> bool {
        matches!(self, Chaos::Errors)
    }

    /// Makes trouble until the round is over, and none after.
    pub async fn reign(self, bdev: &'static str, random: Random, over: Rc<Cell<bool>>) {
        match self {
            Chaos::Calm => {}
            Chaos::Errors => errors(bdev, random, &over).await,
            Chaos::Corruption => corruption(bdev, &over).await,
            Chaos::Latency => latency(bdev, random, &over).await,
            Chaos::Stops(process) => {
                let stops = Stops::start(process, random);
                while !over.get() {
                    pass(10).await;
                }
                drop(stops);
            }
        }
    }
}

async fn inject(bdev: &str, io: &str, error: &str, count: u64) {
    let params = json!({"name": bdev, "io_type": io, "error_type": error, "num": count,
        "corrupt_offset": 7, "corrupt_value": 1});
    rpc::call("bdev_error_inject_error", params).await;
}

const IO: [&str; 4] = ["read", "write", "flush", "unmap"];

async fn errors(bdev: &str, mut dice: Random, over: &Cell<bool>) {
    let device = Device::open(bdev).unwrap_or_else(|error| panic!("{error}"));
    while !over.get() {
        let io = IO[dice.below(4) as usize];
        let error = ["failure", "failure", "pending", "nomem"][dice.below(4) as usize];
        inject(bdev, io, error, 1 + dice.below(3)).await;
        pass(dice.below(50)).await;
        // Ends what is pending; that some of it fails is no matter.
        let _ = device.desc.reset(&device.ch).await;
        pass(dice.below(50)).await;
    }
    inject(bdev, "clear", "failure", 0).await;
    let reset = device.desc.reset(&device.ch).await;
    reset.unwrap_or_else(|error| panic!("{error}"));
}

async fn corruption(bdev: &str, over: &Cell<bool>) {
    while !over.get() {
        inject(bdev, "read", "corrupt_data", 1).await;
        pass(50).await;
    }
    inject(bdev, "clear", "failure", 0).await;
}

async fn latency(bdev: &str, mut dice: Random, over: &Cell<bool>) {
    while !over.get() {
        let kind = ["avg_read", "p99_read", "avg_write", "p99_write"][dice.below(4) as usize];
        let latency = if dice.one_in(3) { 0 } else { dice.below(2000) };
        let params = json!({"delay_bdev_name": bdev, "latency_type": kind, "latency_us": latency});
        rpc::call("bdev_delay_update_latency", params).await;
        pass(dice.below(50)).await;
    }
}

/// Stops and continues a process, from an OS thread of its own.
struct Stops(Option<(Sender<()>, JoinHandle<()>)>);

impl Stops {
    fn start(process: Process, mut dice: Random) -> Self {
        let (over, is_over) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut wait = |most| {
                let time = Duration::from_millis(1 + dice.below(most));
                is_over.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
            };
            while wait(40) {
                process.stop();
                let more = wait(120);
                process.cont();
                if !more {
                    return;
                }
            }
        });
        Stops(Some((over, thread)))
    }
}

impl Drop for Stops {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.0.take() {
            drop(over);
            // A panic of its own has been printed; the target then shows it by not answering.
            let _ = thread.join();
        }
    }
}
