//! SPDK's own counts of what is in use, to be the same at the end of a test as at its start.
#![allow(unsafe_code)] // Walks SPDK's lists of descriptors, and asks its pools and DPDK's heap.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fmt::{self, Write};
use std::ptr;
use std::time::Instant;

use serde_json::Value;
use spdk::task::yield_now;
use spdk::{DmaBuf, sys};

use crate::dma;
use crate::wait::PATIENCE;

/// What of SPDK's is in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counters {
    /// The references to the I/O channels of each device, of all spdk_threads.
    channels: BTreeMap<String, u64>,
    /// The open descriptors of each bdev.
    descriptors: BTreeMap<String, u64>,
    /// The `spdk_bdev_io`s in the pool: the others are in use, or kept by an spdk_thread with channels.
    bdev_ios: u64,
    /// The pieces of DPDK's heap, and their bytes.
    memory: (u64, u64),
}

impl Counters {
    /// Looks at them, on the application's spdk_thread, while nobody opens or removes devices.
    ///
    /// The memory that SPDK takes at the first use of a device, and keeps, has to be in them:
    /// [`Counters::settled`] sees to that.
    pub async fn now() -> Self {
        // What another OS thread left is freed by the next allocation.
        drop(DmaBuf::alloc(512, 0));
        Counters {
            channels: channels().await,
            descriptors: descriptors(),
            bdev_ios: bdev_ios(),
            memory: dma::used(),
        }
    }

    /// Looks at them before a warm-up, which uses what the test will, and at the memory after it, when the rest
    /// is back.
    ///
    /// # Panics
    ///
    /// As for [`Counters::assert_back`], of all but the memory.
    pub async fn settled<F: Future<Output = spdk::Result<()>>>(warm_up: F) -> spdk::Result<Self> {
        let before = Self::now().await;
        warm_up.await?;
        // What has been let go goes in the next turns.
        for _ in 0..50 {
            yield_now().await;
        }
        before
            .wait(|now| Counters {
                memory: now.memory,
                ..before.clone()
            })
            .await;
        Ok(Self::now().await)
    }

    /// Waits until everything is as it was then.
    ///
    /// # Panics
    ///
    /// With what is not, when it stays so.
    pub async fn assert_back(&self) {
        self.wait(|_| self.clone()).await;
    }

    /// Waits until they are as they should be then.
    async fn wait(&self, should: impl Fn(&Counters) -> Counters) {
        let start = Instant::now();
        loop {
            let now = Self::now().await;
            if now == should(&now) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "after {PATIENCE:?} there is a leak:{}",
                Difference(self, &now)
            );
            yield_now().await;
        }
    }
}

/// What has changed from one look to another.
struct Difference<'a>(&'a Counters, &'a Counters);

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference(before, now) = self;
        let mut line = |what: &str, before: u64, now: u64| match before == now {
            true => Ok(()),
            false => write!(f, "\n  {what}: {before} before, {now} now"),
        };
        for (kind, before, now) in [
            ("channels of", &before.channels, &now.channels),
            ("descriptors of", &before.descriptors, &now.descriptors),
        ] {
            let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let count = |counts: &BTreeMap<String, u64>| counts.get(name).copied().unwrap_or(0);
                line(&format!("{kind} {name}"), count(before), count(now))?;
            }
        }
        line("spdk_bdev_ios in the pool", before.bdev_ios, now.bdev_ios)?;
        line("pieces of DMA memory", before.memory.0, now.memory.0)?;
        line("bytes of DMA memory", before.memory.1, now.memory.1)
    }
}

async fn channels() -> BTreeMap<String, u64> {
    let answer: Value = match spdk::rpc::call("thread_get_io_channels", &()).await {
        Ok(answer) => answer,
        Err(error) => panic!("{error}"),
    };
    let mut counts = BTreeMap::new();
    for thread in answer["threads"].as_array().into_iter().flatten() {
        for channel in thread["io_channels"].as_array().into_iter().flatten() {
            let name = channel["name"].as_str().unwrap_or_default();
            *counts.entry(name.to_owned()).or_default() += channel["ref"].as_u64().unwrap_or(0);
        }
    }
    counts
}

fn descriptors() -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    // SAFETY: on the application's spdk_thread, which is the one that adds and removes bdevs, so each
    // that is shown exists, and has a name. The lists are quiet, as `Counters::now` asks for.
    unsafe {
        let mut bdev = sys::spdk_bdev_first();
        while !bdev.is_null() {
            let name = CStr::from_ptr(sys::spdk_bdev_get_name(bdev));
            counts.insert(name.to_string_lossy().into_owned(), open_descs(bdev));
            bdev = sys::spdk_bdev_next(bdev);
        }
    }
    counts
}

/// The length of a bdev's list of descriptors.
///
/// The type of its members is SPDK's secret, so it is walked from its end: `tqh_last` and each `tqe_prev`
/// of a `TAILQ` point to a pair of `tqe_next` and `tqe_prev`, up to the head itself.
///
/// # Safety
///
/// `bdev` exists, and nobody opens or closes it meanwhile.
unsafe fn open_descs(bdev: *mut sys::spdk_bdev) -> u64 {
    // SAFETY: passed on.
    unsafe {
        let list = &raw mut (*bdev).internal.open_descs;
        let head: *mut *mut sys::spdk_bdev_desc = &raw mut (*list).tqh_first;
        let mut link: *mut *mut sys::spdk_bdev_desc = (*list).tqh_last;
        let mut count = 0;
        while !ptr::eq(link, head) {
            count += 1;
            link = *link.add(1).cast();
        }
        count
    }
}

fn bdev_ios() -> u64 {
    let mut name = String::new();
    let _ = write!(name, "bdev_io_{}", std::process::id());
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: looks a pool up by its name, which bdev.c gave it.
    unsafe {
        let pool = sys::spdk_mempool_lookup(name.as_ptr());
        assert!(!pool.is_null(), "SPDK has no pool {name:?}");
        sys::spdk_mempool_count(pool) as u64
    }
}
