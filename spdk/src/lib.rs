//! Safe, async Rust for SPDK, the Storage Performance Development Kit.
//!
//! SPDK drives NVMe devices, block devices and NVMe-oF targets from user space, by polling and
//! callbacks. This crate turns its callbacks into `async fn`s without giving up their speed.
//!
//! ```no_run
//! use spdk::{Bdev, DmaBuf, SpdkApp};
//!
//! fn main() -> spdk::Result<()> {
//!     SpdkApp::builder()
//!         .name("first")
//!         .config_file("bdev.json")
//!         .block_on(async {
//!             let desc = Bdev::find("Malloc0")?.open(true)?;
//!             let channel = desc.get_io_channel()?;
//!             let mut buf = DmaBuf::alloc(4096, 4096)?;
//!             buf.fill(0xa5);
//!             desc.write(&channel, &buf, 0).await?;
//!             desc.read(&channel, &mut buf, 0).await
//!         })
//! }
//! ```
//!
//! # What is safe
//!
//! - A future can be dropped, or forgotten, at any await point, in any order with the buffer, the
//!   channel and the descriptor. An operation in flight owns everything that SPDK may touch until
//!   SPDK is done with it. See [`DmaBuf`] for what that means for a buffer.
//! - Every handle belongs to the spdk_thread that made it. Used on another one, it returns
//!   [`ErrorKind::WrongThread`]; dropped there, it is released at home.
//! - A device that is removed is closed as soon as nothing is in flight on it. Its handles stay safe
//!   and return [`ErrorKind::Gone`].
//! - A panic never crosses into C.
//!
//! # What must not block
//!
//! Tasks, pollers, and closures that are sent to an spdk_thread: while one sleeps or waits for a lock, nothing on its core
//! makes progress. Another executor's `block_on` of a future of this crate never returns there, since it keeps the reactor from
//! polling the device; on the main core SIGINT does not end it either, as it is the app thread that ends the application.
//! `.await` the future, or wait on another OS thread, as with [`ThreadHandle::call_async`].
//!
//! # What is inherited
//!
//! An OS thread that a task starts may only run on the core of the task's reactor, where it competes with that, and so may
//! a process; `spdk::tokio` and `spdk::smol` start theirs on all cores. A process also inherits SPDK's file descriptors. One
//! that outlives an application that was killed keeps SPDK's memory, its connections, and the lock of
//! [`rpc_addr`](SpdkAppBuilder::rpc_addr), so that the next application does not start there.
//!
//! # What it tells
//!
//! Through [`tracing`](https://docs.rs/tracing):
//!
//! - SPDK's own log; see [`log`].
//! - A span for each operation on a device, of level `TRACE`, with the target `spdk::io` and the name
//!   `operation`, inside the span that is current at the operation's first poll. Its fields say what an
//!   [`Error`] would: `operation` (the C function), `object` (such as `bdev "Malloc0"`), `offset` and
//!   `length` in bytes; where the call counts in blocks, `offset_blocks` and `num_blocks` too; of a copy
//!   also `from_blocks`, and of an NVMe command its `opcode`. It ends when the device is done, and then has
//!   `outcome` (`ok`, `error` or `not submitted`), `error` (the cause), `latency_ns` (since SPDK took it;
//!   of an [`IoQueue`]'s since just before) and `retries` (how often it waited for a free `spdk_bdev_io`,
//!   if it did). `abandoned` is `true` if its future, or queue, was dropped before. While no subscriber
//!   wants that level, an operation costs one comparison more than without: with the features
//!   `max_level_*` of `tracing`, none.
//! - What the end of an application, or of an spdk_thread, finds alive, and panics that go nowhere else.
//!
//! [`metrics::snapshot`] has the numbers of all devices and spdk_threads.
//!
//! # How it is made
//!
//! The wrappers of SPDK's functions are generated from a manifest that says what each callback
//! promises; [`api!`] wraps more functions in the same way in a crate of your own.
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[path = "entry.rs"]
#[doc(hidden)]
pub mod __entry;
#[path = "private.rs"]
#[doc(hidden)]
pub mod __private;
#[path = "testing/mod.rs"]
#[doc(hidden)]
pub mod __testing;
mod affinity;
mod app;
mod app_builder;
pub mod bdev;
mod bdev_abort;
mod bdev_channels;
mod bdev_claim;
mod bdev_compare;
mod bdev_desc;
mod bdev_domain;
mod bdev_events;
mod bdev_histogram;
mod bdev_io;
mod bdev_list;
mod bdev_metrics;
mod bdev_open;
mod bdev_props;
mod bdev_qos;
mod bdev_qos_leave;
mod bdev_quiesce;
mod bdev_rules;
mod bdev_unlock;
mod bdev_zcopy;
#[cfg(feature = "blob")]
pub mod blob;
mod block_on;
mod buf;
mod call;
mod channel;
mod chore;
mod completion;
#[cfg(feature = "config")]
pub mod config;
mod config_text;
mod cores;
mod cpuset;
mod critical;
#[cfg(any(feature = "nvme", feature = "nvmf"))]
mod dhchap;
mod each;
mod each_thread;
mod env;
mod errno;
mod error;
mod events;
mod executor;
#[allow(
    unreachable_pub,
    reason = "the public modules re-export what belongs to them"
)]
#[allow(
    clippy::too_many_arguments,
    reason = "they have those of the C functions"
)]
mod generated;
mod handle;
mod inbox;
mod interrupt;
mod io_device;
mod io_id;
mod io_queue;
pub mod iobuf;
mod iovecs;
mod loans;
mod local;
pub mod log;
#[cfg(feature = "blob")]
pub mod lvol;
mod markers;
mod mem;
mod memory_domain;
pub mod metrics;
mod movable;
#[cfg(feature = "nvme")]
pub mod nvme;
mod nvme_cmd;
mod nvme_status;
#[cfg(feature = "nvmf")]
pub mod nvmf;
mod op;
mod options;
mod os_thread;
mod panic;
mod poller;
mod records;
mod round_trip;
#[cfg(feature = "config")]
pub mod rpc;
mod shared;
mod shutdown;
mod signals;
mod slot;
#[cfg(feature = "smol")]
pub mod smol;
mod span;
pub mod task;
#[cfg(feature = "nvme")]
#[path = "testing.rs"] // and not the folder, which is that of `__testing`
pub mod testing;
mod text;
mod thread;
mod thread_handle;
mod thread_stats;
mod ticks;
pub mod time;
mod timers;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(any(feature = "smol", feature = "tokio"))]
mod unpinned;
mod visits;
#[cfg_attr(
    not(any(feature = "blob", feature = "nvme")),
    expect(dead_code, reason = "only queues of requests let operations wait")
)]
mod waiters;
mod wakeups;

// Named by the files that a model checker compiles with cells and atomics of its own.
use std::cell;
use std::sync::atomic;

pub use app::SpdkApp;
pub use app_builder::SpdkAppBuilder;
pub use bdev::{Bdev, BdevDesc, BdevEvent, BdevIoType, QuiescedRange, Zcopy};
pub use bdev_events::IoTimeout;
pub use block_on::{block_on, spdk_poller};
pub use buf::DmaBuf;
pub use channel::IoChannel;
pub use completion::{Completion, CompletionSender, completion};
pub use cores::spawn_on;
pub use cpuset::CpuSet;
pub use critical::{CriticalSender, NotSent};
pub use each_thread::{ThreadInfo, for_each_thread};
pub use env::{SpdkEnv, SpdkEnvBuilder};
pub use errno::Errno;
pub use error::{Context, Error, ErrorKind, Gone, Range, Result};
pub use events::Events;
pub use interrupt::{FdEvents, Interrupt};
pub use io_device::{IoDevice, IoDeviceChannel};
pub use io_id::{BdevIo, IoId};
pub use io_queue::{Done, EndedIo, IoQueue, IoTarget};
pub use log::LogLevel;
pub use movable::{MovablePoller, MovableThread};
pub use nvme_cmd::NvmeCmd;
pub use nvme_status::NvmeStatus;
pub use poller::{PollStatus, Poller, PollerBuilder};
pub use spdk_derive::{main, test};
pub use task::spawn_local;
pub use thread::{
    CurrentThread, DEFAULT_MSG_MEMPOOL_SIZE, JoinHandle, SMALL_MSG_MEMPOOL_SIZE, SpdkThread,
};
pub use thread_handle::ThreadHandle;
pub use thread_stats::ThreadStats;
pub use ticks::{ticks, ticks_hz};

pub use spdk_sys as sys;

// `api!`: made by the build script, since it says where the bindings are.
include!(concat!(env!("OUT_DIR"), "/api.rs"));

/// The version of the SPDK that this program was built with, such as `SPDK v26.01`.
#[doc(alias = "SPDK_VERSION_STRING")]
pub fn version() -> String {
    let (major, minor) = (sys::SPDK_VERSION_MAJOR, sys::SPDK_VERSION_MINOR);
    match sys::SPDK_VERSION_PATCH {
        0 => format!("SPDK v{major}.{minor:02}"),
        patch => format!("SPDK v{major}.{minor:02}.{patch}"),
    }
}
