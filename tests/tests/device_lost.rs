//! A device that goes while operations are truly in flight on it.
//!
//! The device is an NVMe-oF target in another process, stopped with SIGSTOP; see `in_flight.rs`. Here
//! it is killed, or detached, with operations that are waited for and others that were abandoned.
//!
//! Each of these faults was put into the core, and these tests failed:
//!
//! - A failed operation reports success: `target_killed`.
//! - A removed device is closed with operations in flight: `controller_detached`.
//! - A removed device is not closed: both.
//! - The drop of a future drops what its operation holds: both.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use spdk::{BdevDesc, BdevEvent, ErrorKind};
use spdk_tests::nvmf::BDEV;
use spdk_tests::nvmf::disk::{Bystanders, Disk, assert_is, attached, buffer, submit};
use spdk_tests::wait::after;
use spdk_tests::{kind, rpc, until};

/// Operations in flight at once.
const DEPTH: u64 = 32;

#[spdk::test(no_app, deadline = 30)]
fn target_killed() {
    let options = json!({
        "ctrlr_loss_timeout_sec": 2,
        "reconnect_delay_sec": 1,
        "fast_io_fail_timeout_sec": 1,
    });
    attached(options, |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        target.stop();
        let mut bufs: Vec<_> = (0..2 * DEPTH).map(|_| buffer()).collect();
        let mut reads = Vec::new();
        for (buf, at) in bufs.iter_mut().zip(0..) {
            let mut read = Box::pin(disk.read(buf, at % DEPTH));
            submit(&mut read);
            if at % 2 == 0 {
                reads.push(read);
            }
        }
        let bystanders = Bystanders::new();
        target.kill();
        let killed = Instant::now();
        for end in join_all(reads).await {
            let error = end.expect_err("a read of a dead target succeeded");
            let told = matches!(error.kind(), ErrorKind::Device { .. })
                && error.to_string().contains(BDEV);
            assert!(told, "not the device's failure: {error}");
        }
        let took = killed.elapsed();
        assert!(took < ENOUGH, "the reads hung for {took:?}");
        // The controller is given up, its bdev goes, and calls say so.
        while !matches!(
            kind(&disk.read(&mut buffer(), 0).await),
            Some(ErrorKind::Gone { .. })
        ) {
            let took = killed.elapsed();
            assert!(took < ENOUGH, "the bdev is still there after {took:?}");
            after(Duration::from_millis(10)).await;
        }
        bystanders.check();
        bystanders
    });
}

/// More than SPDK needs to give the controller up, by the options above.
const ENOUGH: Duration = Duration::from_secs(8);

#[spdk::test(no_app, deadline = 30)]
fn controller_detached() {
    attached(json!({}), |target| async move {
        let disk = Disk::open();
        disk.prepare(0..DEPTH, 1).await;
        let mut events = disk.desc.events();
        target.stop();
        let mut bufs: Vec<_> = (0..DEPTH).map(|_| buffer()).collect();
        let mut reads = Vec::new();
        for (buf, span) in bufs.iter_mut().zip(0..) {
            let mut read = Box::pin(disk.read(buf, span));
            submit(&mut read);
            if span % 2 == 0 {
                reads.push(read);
            }
        }
        let detach = rpc::call("bdev_nvme_detach_controller", json!({"name": "Nvme0"}));
        let detach = spdk::spawn_local(detach).expect("the app runs");
        assert_eq!(events.next().await, Some(BdevEvent::Remove));
        let refused = disk.read(&mut buffer(), 0).await;
        assert!(
            matches!(kind(&refused), Some(ErrorKind::Gone { .. })),
            "{refused:?}"
        );
        let bystanders = Bystanders::new();
        after(Duration::from_millis(50)).await;
        reads.iter_mut().for_each(submit); // still in flight
        assert!(
            !detach.is_finished(),
            "the device went with operations in flight"
        );
        target.cont();
        for end in join_all(reads).await {
            end.expect("the removal waits for the operations in flight");
        }
        assert_eq!(detach.await.expect("no panic"), Value::Bool(true));
        until("the device to go", || BdevDesc::open(BDEV, false).is_err()).await;
        for (buf, span) in bufs.iter().zip(0..).step_by(2) {
            assert_is(buf, span, 1);
        }
        bystanders.check();
        bystanders
    });
}
