//! Faults of devices and of their users, and what the user sees of each.
//!
//! Whatever goes wrong, nothing hangs: each wait has a name and a deadline. And nothing stays: SPDK's own
//! counts of channels, descriptors, `spdk_bdev_io`s and DMA memory are at the end what they were at the
//! start (`spdk_tests::Counters`).
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - A failed operation reports success: those of `every_operation` that let the device fail, `reset`, and
//!   `only_one_compare_and_write_wins`; in a queue, `reset::under_load`.
//! - An error does not tell the block, or why SPDK refused the range: `the_device_fails_it`,
//!   `beyond_the_end_and_inside_of_blocks`, `resize`.
//! - A channel of another device is taken: `the_channel_or_the_thread_is_another_one`.
//! - SPDK is asked to compare metadata where it crashes: `the_device_fails_it`.
//! - A buffer of one byte is taken for a range of nothing: `of_nothing`.
//! - The pieces of a vectored write are in another order: `of_the_same_blocks`.
//! - A removed device is not closed: `removal::under_load`.
//! - One descriptor of a hundred is not closed: `while_it_is_opened`, `churn`; one channel, one piece of lent
//!   memory: `churn`.
//! - What an abandoned operation held is not dropped when it ends: `churn`, `slow`, `removal::under_load`,
//!   `more_depth_than_iobufs`; the buffers of a dropped queue: `churn`, `removal::under_load`.
//! - A `spdk_bdev_io` is not freed if its I/O failed: `reset`.
//! - `ENOMEM` reaches the caller, a waiting operation is lost, or one that was dropped there keeps what it
//!   held: `few_bdev_ios_for_three_threads`.
//! - A device keeps its old size: `resize`.
//! - Late operations are not reported: `slow`.
#![allow(missing_docs)]

mod bad_requests;
mod churn;
mod every_operation;
mod memory;
mod removal;
mod reset;
mod resize;
mod slow;

use std::cell::RefCell;
use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, try_join_all};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use serde_json::{Value, json};
use spdk::task::yield_now;
use spdk::{
    Bdev, BdevDesc, BdevEvent, Errno, Error, ErrorKind, Gone, IoQueue, Range, ThreadHandle,
    spawn_local, spawn_on,
};
use spdk_tests::operations::{ALL, MD, OF_ZONES, Operation, Part, Unit};
use spdk_tests::wait::{PATIENCE, within};
use spdk_tests::{Counters, Device, kind, pattern, poll_once, second, until};

const BLOCK: usize = 512;

/// Calls a JSON-RPC method.
async fn rpc(method: &str, params: Value) -> spdk::Result<Value> {
    within(method, spdk::rpc::call(method, &params)).await
}

/// Checks that the error of an operation tells the device, the operation, the part of the device and a
/// cause; returns it for a look at the cause.
#[track_caller]
fn told(operation: &Operation, device: &Device, part: Part, end: spdk::Result<()>) -> Error {
    let Operation { method, call, .. } = operation;
    let error = match end {
        Err(error) => error,
        Ok(()) => panic!("{method} succeeded"),
    };
    let name = device.desc.name();
    let Some(at) = error.context() else {
        panic!("{method} does not say where: {error:?}");
    };
    assert_eq!(at.operation, *call, "{method}");
    assert_eq!(at.object, format!("bdev {name:?}"), "{method}");
    assert_eq!(at.range, operation.range(device, part), "{method}");
    let place = at
        .range
        .map(|range| format!(" ({range})"))
        .unwrap_or_default();
    let begin = format!("{call} on bdev {name:?}{place}: ");
    let text = error.to_string();
    assert!(
        text.starts_with(&begin) && text.len() > begin.len(),
        "{method} says {text:?}"
    );
    error
}

/// The text of the status that a device failed an operation with.
#[track_caller]
fn status(error: &Error) -> String {
    match error.nvme_status() {
        Some(status) => status.to_string(),
        None => panic!("no status of a device: {error}"),
    }
}

/// An spdk_thread of the app's core and one of the other core, beside the app's own.
async fn threads() -> spdk::Result<[Option<ThreadHandle>; 3]> {
    let here = second::spdk_thread("second").await;
    let there = ThreadHandle::on_core("third", 1).await?;
    Ok([None, Some(here), Some(there)])
}

/// Ends what [`threads`] has made.
async fn end(threads: [Option<ThreadHandle>; 3]) -> spdk::Result<()> {
    for thread in threads.into_iter().flatten() {
        let name = thread.name().to_owned();
        within(&name, thread.exit()).await?;
    }
    Ok(())
}

thread_local! {
    /// A file in memory, for an aio bdev.
    static FILE: OwnedFd = memfd_create("aio", MemfdFlags::empty()).expect("a file in memory");
}

/// Gives it a size, and returns its name.
fn file(bytes: u64) -> String {
    FILE.with(|file| {
        ftruncate(file, bytes).expect("a file has any size");
        format!("/proc/self/fd/{}", file.as_raw_fd())
    })
}

type Work = Pin<Box<dyn Future<Output = spdk::Result<()>>>>;

/// Runs the same on each spdk_thread at once.
fn on_each<F, W>(threads: &[Option<ThreadHandle>; 3], work: F) -> spdk::Result<Vec<Work>>
where
    F: FnOnce(u64) -> W + Clone + Send + 'static,
    W: Future<Output = spdk::Result<()>> + 'static,
{
    let each = threads.iter().zip(0..).map(|(thread, number)| {
        let (thread, work) = (thread.clone(), work.clone());
        // As a task, so that it begins at once.
        let task = spawn_local(async move {
            match thread {
                None => work(number).await,
                Some(thread) => thread.spawn(move || work(number)).await?,
            }
        })?;
        Ok(Box::pin(async move { task.await? }) as Work)
    });
    each.collect()
}

/// The malloc bdev for an operation: `M`, whose metadata are apart, or `P`. A malloc bdev leaves metadata behind as it copies, so
/// that those with metadata copy nothing.
fn malloc_for(operation: &Operation) -> &'static str {
    match operation.method {
        "copy_blocks" => "P",
        _ => "M",
    }
}

/// Those for this malloc bdev.
fn of_malloc(name: &str) -> Vec<&'static Operation> {
    let all = ALL.iter();
    all.filter(|operation| malloc_for(operation) == name)
        .collect()
}
