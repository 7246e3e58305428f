//! Randomised stress of five kinds of bdev: see `spdk_tests::stress` for what it does.
//!
//! Each takes seconds, and minutes with `cargo xtask test --nightly`. The seed is printed first and
//! with every failure; `SPDK_STRESS_SEED=... cargo xtask test` makes the same decisions again.
//!
//! Each of these faults was put into the core, and these tests failed:
//!
//! - Memory is freed although it is on loan, or with the future, or at the end of the first of two
//!   loans; the same for a buffer on another OS thread only: `nvme_over_tcp`, `malloc`, `error`.
//! - The next look at a buffer, or change of it, or read into it, gets the memory of the abandoned
//!   operation; or a changed buffer of a write loses its bytes: `nvme_over_tcp`, and others by chance.
//! - What an abandoned operation held is not freed when it ends, on its OS thread or by another one's
//!   next allocation; handles are not released; a `spdk_bdev_io` is not freed: all of them.
//! - A waiting operation frees its slot with its future, keeps what it held, or reports `ENOMEM`:
//!   `malloc`.
//! - A failed operation reports success: those with resets or errors.
//! - One wake of thousands is lost, or goes to the first waker and not the last: most of them, by the
//!   watchdog.
//! - An abort does nothing: all of them.
//! - A failed I/O of a queue reports success: `error`, `delay`, `nvme_over_tcp`, `malloc_on_two_cores`.
//! - The buffers of a queue that is dropped with I/O in flight are not: all of them.
//! - A channel of another device is let through, or a handle on another spdk_thread than its own, or a buffer of another size
//!   than that of the range: `malloc`.
#![allow(missing_docs)]

use std::rc::Rc;

use serde_json::{Value, json};
use spdk::SpdkAppBuilder;
use spdk_tests::nvmf::{self, Target, disk};
use spdk_tests::stress::chaos::Chaos;
use spdk_tests::stress::settings::deadline;
use spdk_tests::stress::{DEVICE_BLOCKS, Subject, run};

const BLOCK: usize = 512;

/// An application with a malloc bdev of the size that is needed, and what is on top of it.
fn app(rest: &[Value]) -> SpdkAppBuilder {
    let mut config = vec![json!({"method": "bdev_malloc_create", "params":
        {"name": "Malloc0", "num_blocks": DEVICE_BLOCKS, "block_size": BLOCK}})];
    // Options come first.
    let options = |call: &&Value| call["method"] == "bdev_set_options";
    config.splice(0..0, rest.iter().filter(options).cloned());
    config.extend(rest.iter().filter(|call| !options(call)).cloned());
    config.push(json!({"method": "bdev_wait_for_examine"}));
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": config}]});
    spdk::__testing::builder().json_data(config.to_string())
}

const STEPS: u64 = 60;
const MALLOC: Subject = Subject {
    bdev: "Malloc0",
    chaos: Chaos::Calm,
    counted: false,
    steps: STEPS,
};

fn stress(app: SpdkAppBuilder, subject: Subject) {
    if let Err(wrong) = run(app, subject) {
        panic!("{wrong}");
    }
}

/// With fewer `spdk_bdev_io`s than operations: some wait for one, and are abandoned there.
#[spdk::test(no_app, deadline = deadline())]
fn malloc() {
    let few = json!({"method": "bdev_set_options", "params":
        {"bdev_io_pool_size": 16, "bdev_io_cache_size": 1}});
    stress(app(&[few]), MALLOC);
}

/// The same, with spdk_threads on two cores.
#[spdk::test(no_app, deadline = deadline())]
fn malloc_on_two_cores() {
    stress(app(&[]).reactor_mask("0x3"), MALLOC);
}

/// Every operation that was submitted is counted by the device.
#[spdk::test(no_app, deadline = deadline())]
fn passthru() {
    let passthru = json!({"method": "bdev_passthru_create", "params":
        {"base_bdev_name": "Malloc0", "name": "Passthru0"}});
    let subject = Subject {
        bdev: "Passthru0",
        counted: true,
        ..MALLOC
    };
    stress(app(&[passthru]), subject);
}

/// Operations fail, are repeated by SPDK, and wait for a reset.
#[spdk::test(no_app, deadline = deadline())]
fn error() {
    let error = json!({"method": "bdev_error_create", "params": {"base_name": "Malloc0"}});
    let subject = Subject {
        bdev: "EE_Malloc0",
        chaos: Chaos::Errors,
        ..MALLOC
    };
    stress(app(&[error]), subject);
}

/// Operations take between nothing and milliseconds.
#[spdk::test(no_app, deadline = deadline())]
fn delay() {
    let delay = json!({"method": "bdev_delay_create", "params":
        {"base_bdev_name": "Malloc0", "name": "Delay0", "avg_read_latency": 100,
         "p99_read_latency": 1000, "avg_write_latency": 100, "p99_write_latency": 1000}});
    let subject = Subject {
        bdev: "Delay0",
        chaos: Chaos::Latency,
        ..MALLOC
    };
    stress(app(&[delay]), subject);
}

/// The target in another process is stopped and continued: what it answers late goes to the memory
/// that the submission named.
#[spdk::test(no_app, deadline = deadline())]
fn nvme_over_tcp() {
    let target = Rc::new(Target::start());
    // So that a reset of a stopped target is tried again until it goes on.
    let options = json!({"ctrlr_loss_timeout_sec": 60, "reconnect_delay_sec": 1});
    let subject = Subject {
        bdev: nvmf::BDEV,
        chaos: Chaos::Stops(target.process()),
        // Each waits for the target to go on.
        steps: STEPS / 3,
        ..MALLOC
    };
    stress(disk::app(&target, options), subject);
}

/// Fails if wrong data are not found out: then the others cannot fail.
#[spdk::test(no_app, deadline = deadline())]
fn a_device_that_changes_data_is_found_out() {
    let error = json!({"method": "bdev_error_create", "params": {"base_name": "Malloc0"}});
    let subject = Subject {
        bdev: "EE_Malloc0",
        chaos: Chaos::Corruption,
        ..MALLOC
    };
    let wrong = run(app(&[error]), subject).expect_err("wrong data");
    // What was read is wrong, or the buffer that it was written from.
    let found = ["holds none of", "the buffer of a write changed"];
    assert!(found.iter().any(|words| wrong.contains(words)), "{wrong}");
}
