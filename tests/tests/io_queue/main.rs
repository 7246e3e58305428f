//! Queues of I/Os: their data, their errors, and what is left in flight when they go.
//!
//! Each of these faults was put into the queue, and these tests failed:
//!
//! - The owner is taken to exist when an I/O ends: those that drop a queue with I/O in flight.
//! - The buffer is dropped twice: most.
//! - It is not dropped when its I/O ends: `a_queue_and_its_device_go_in_every_order`.
//! - The first end of a batch wakes nobody: `one_end_is_told_while_others_are_in_flight`.
//! - The last end of a batch does not resume its task: `operations_without_a_buffer`.
//! - A refused I/O wakes nobody: `a_queue_is_shared_by_tasks`.
//! - An error stays when its I/O is submitted again: `what_the_device_fails_can_be_tried_again`.
//! - A buffer stays measured when another length is refused: `what_was_refused_elsewhere_is_measured_at_home`.
//! - The handles stay in use: the removals, and those that drop a queue.
#![allow(missing_docs)]

mod data;
mod dropped;
mod each;
mod errors;
mod fairness;
mod in_flight;
mod nomem;
mod removal;
mod shutdown;
mod thread;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use serde_json::json;
use spdk::{Bdev, DmaBuf, Done, Errno, Error, ErrorKind, Gone, IoQueue, spawn_local, ticks};
use spdk_tests::nvmf::disk::{Bystanders, Disk, SPAN_BLOCKS, attached, buffer, filled};
use spdk_tests::nvmf::log;
use spdk_tests::turns::{Gauge, Share, Turns, pass};
use spdk_tests::wait::after;
use spdk_tests::{Device, dma, kind, pattern, poll_once, rpc, second, until};

const BLOCK: usize = 512;
/// How many I/Os are in flight at once.
const DEPTH: u64 = 64;
/// The latency of the slow device in microseconds: long enough to do things meanwhile.
const LATENCY: u64 = 10_000;
/// The one of a device that is never waited for.
const AGES: u64 = 60_000_000;
/// The `spdk_bdev_io`s of the whole process, where they are few.
const POOL: u32 = 8;

fn is_zero(buf: &[u8]) -> bool {
    buf.iter().all(|byte| *byte == 0)
}

/// A buffer with the pattern of some blocks.
fn patterned(device: &Device, first: u64, blocks: usize, generation: u64) -> DmaBuf {
    let mut buf = device.buffer(blocks).expect("DMA memory");
    pattern::fill(&mut buf, device.block(), first, generation);
    buf
}

/// The next end of an I/O, which has failed.
async fn error_of<T>(queue: &mut IoQueue<T>) -> (T, Error) {
    let done = queue.next().await.expect("an I/O");
    match done.result {
        Err(error) => (done.tag, error),
        Ok(()) => panic!("it succeeded"),
    }
}

/// Counts how often a tag is dropped.
#[derive(Clone, Default)]
struct Drops(Rc<Cell<u64>>);

impl Drops {
    fn count(&self) -> u64 {
        self.0.get()
    }
    fn tag(&self) -> Tag {
        Tag(self.clone())
    }
}

struct Tag(Drops);

impl Drop for Tag {
    fn drop(&mut self) {
        self.0.0.set(self.0.count() + 1);
    }
}
