//! Locks of ranges of blocks.
#![allow(unsafe_code)] // Acts for the module of a bdev, whose address it reads, and unlocks when it is released.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::future::Future;
use std::ptr::NonNull;

use crate::app;
use crate::bdev::{BdevDesc, BdevDescObject};
use crate::bdev_unlock::unlocked;
use crate::call::call;
use crate::errno::Errno;
use crate::error::{At, Describe, Fault, Gone, Result};
use crate::handle::{Handle, Hold, Object, Subject};
use crate::local::Caller;
use crate::op::{Begun, Callback, Complete, Operation, Submitted, complete, op, status};
use crate::sys;

/// A range of blocks of a device that nobody reads or writes: what [`BdevDesc::quiesce_range`] gives.
///
/// While it exists, SPDK holds back I/O on these blocks, of all channels and spdk_threads, **those of its
/// owner included**: reads, writes, unmaps, writes of zeroes, lent memory ([`Zcopy`](crate::Zcopy)), copies
/// *to* them, and NVMe I/O commands with one buffer, whatever their blocks. Their futures wait, and go on when the range is
/// unlocked. A task that awaits such an I/O and keeps the range meanwhile waits for itself.
///
/// Not held back are NVMe commands with several buffers ([`BdevDesc::nvme_iov_passthru_md`]) and admin commands, which can
/// write to these blocks all the same, flushes, resets, comparisons (but those that SPDK makes of a read, for a device that has
/// no such command), zone calls, copies *from* these blocks to others, and, of channels that were made while
/// the range was locked, reads (SPDK lets these through).
///
/// A lock can wait for ever. SPDK 26.01 splits a large write of zeroes, or a large copy, for a device that has no command for
/// it, such as a raid or an aio bdev. If blocks of one that is in flight are locked, by this or by a
/// [`compare_and_write_blocks`](BdevDesc::compare_and_write_blocks), the lock waits for all of it, and what is left of it for the
/// lock: neither ends, nor does the application then. Do these one after the other.
///
/// [`QuiescedRange::unquiesce`] unlocks it and waits; a drop unlocks it in the background, as do the end of its
/// spdk_thread and that of the application. Before that, nothing does: the removal of the device waits, and
/// SPDK tells nobody of it; and so does the end of an spdk_thread whose I/O is held back.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread of its descriptor.
pub struct QuiescedRange(Handle<QuiescedRangeObject>);

/// A device that was locked in part.
#[doc(hidden)]
pub enum QuiescedRangeObject {}

#[doc(hidden)]
pub struct QuiescedRangeExtra {
    /// What unlocking needs, until it has it.
    desc: Cell<Option<Hold<BdevDescObject>>>,
    device: String,
    offset: u64,
    blocks: u64,
}

// SAFETY: `release` begins to unlock, and C uses nothing of `Extra`.
unsafe impl Object for QuiescedRangeObject {
    type C = sys::spdk_bdev;
    type Extra = QuiescedRangeExtra;
    const NAME: &'static str = "QuiescedRange";
    const HOLDS_BACK_OTHERS: bool = true;

    unsafe fn release(_: NonNull<Self::C>, extra: &QuiescedRangeExtra) {
        let Some(desc) = extra.desc.take() else {
            return;
        };
        // SAFETY: this is the home spdk_thread, and the range was locked and is given up.
        let unlock = unsafe { unlock(desc, extra.offset, extra.blocks, warn) };
        // That the I/Os go on is its result: a future is not needed.
        // SAFETY: nobody has polled it.
        unsafe { unlock.op.detach() };
    }

    fn label(extra: &QuiescedRangeExtra) -> String {
        format!("locked blocks of {}", extra.device)
    }
}

/// `spdk_bdev_quiesce_cb`.
enum QuiesceDone {}

// SAFETY: `on_done` passes its context to `complete` once, and does nothing else.
unsafe impl Callback for QuiesceDone {
    type Fn = sys::spdk_bdev_quiesce_cb;
    type Raw = c_int;

    fn of<K: Complete<c_int>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<c_int>>(arg: *mut c_void, rc: c_int) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { complete::<K, _>(arg, rc) }
        }
        Some(on_done::<K>)
    }
}

type Held = (Hold<BdevDescObject>,);

/// The bdev and its module, which alone may lock it, as SPDK sees it.
///
/// # Safety
/// The descriptor is open.
unsafe fn bdev_and_module(
    desc: &Hold<BdevDescObject>,
) -> (*mut sys::spdk_bdev, *mut sys::spdk_bdev_module) {
    // SAFETY: the descriptor keeps the bdev, which has the same module as long as it exists.
    unsafe {
        let bdev = sys::spdk_bdev_desc_get_bdev(desc.as_ptr());
        (bdev, (*bdev).module)
    }
}

/// Reports an unlock that nobody waits for, if it has failed.
fn warn(desc: &Hold<BdevDescObject>, rc: c_int) {
    if rc != 0 {
        let (device, errno) = (desc.extra().label(), Errno::from_code(rc));
        tracing::warn!(%device, %errno, "a range of blocks was not unlocked");
    }
}

/// `told` hears of each answer of C.
///
/// # Safety
/// The range is locked by `quiesce_range`, and unlocked for the first time, on the descriptor's spdk_thread.
unsafe fn unlock(
    desc: Hold<BdevDescObject>,
    offset: u64,
    blocks: u64,
    told: fn(&Hold<BdevDescObject>, c_int),
) -> Begun<impl Operation<Output = ()>> {
    // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the bdev
    // until then, and nothing else is used.
    unsafe {
        op::<QuiesceDone, _, _>(
            move |(desc,): &mut Held, done, arg| {
                let (bdev, module) = bdev_and_module(desc);
                let rc = sys::spdk_bdev_unquiesce_range(bdev, module, offset, blocks, done, arg);
                told(desc, rc);
                Submitted::rc(rc)
            },
            move |(desc,), rc| {
                told(desc, rc);
                unlocked(desc);
                status(rc)
            },
            (desc,),
        )
    }
}

impl BdevDesc {
    /// Locks `num_blocks` blocks at block `offset_blocks`: waits for the I/O on them that is in flight, and
    /// holds back what comes later. See [`QuiescedRange`] for what that is.
    ///
    /// While another lock overlaps the range, it waits for that one to be unlocked. Those of SPDK count
    /// too: a [`compare_and_write_blocks`](BdevDesc::compare_and_write_blocks) on a device that has no such
    /// command, and a raid that changes its members.
    ///
    /// Each lock and unlock is a message of SPDK's to the spdk_thread of each channel, which has room for 65,535 of them: with
    /// more at once SPDK ends the process.
    ///
    /// Wraps `spdk_bdev_quiesce_range`, which is meant for the module of the device, for any user of it: a
    /// descriptor for reading is enough.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ENOMEM`: no memory for the lock, on one of the spdk_threads.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone): the application ends.
    /// - Refused before C sees it: no blocks.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the lock but does not
    /// stop it: SPDK locks the range in its turn, and it is unlocked at once.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the descriptor.
    #[doc(alias = "spdk_bdev_quiesce_range")]
    #[doc(alias = "bdev_lock_lba_range")]
    pub fn quiesce_range(
        &self,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl Future<Output = Result<QuiescedRange>> + use<'_> {
        let start = move |caller: Caller<'_>| {
            // SPDK finds a lock again by its first block and its length only. Two of the same blocks
            // cannot exist, but two of none can.
            if num_blocks == 0 {
                return Err(Fault::invalid("a range without blocks cannot be locked"));
            }
            let held: Held = (self.handle().hold(caller)?,);
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // bdev until then, and nothing else is used.
            Ok(unsafe {
                op::<QuiesceDone, _, _>(
                    move |(desc,): &mut Held, done, arg| {
                        let (bdev, module) = bdev_and_module(desc);
                        Submitted::rc(sys::spdk_bdev_quiesce_range(
                            bdev,
                            module,
                            offset_blocks,
                            num_blocks,
                            done,
                            arg,
                        ))
                    },
                    move |(desc,), rc| {
                        status(rc)?;
                        let extra = QuiescedRangeExtra {
                            desc: Cell::new(Some(desc.clone())),
                            device: desc.extra().label(),
                            offset: offset_blocks,
                            blocks: num_blocks,
                        };
                        let bdev = NonNull::new(bdev_and_module(desc).0);
                        let bdev = bdev.ok_or(Fault::gone(Gone::Removed))?;
                        let range = QuiescedRange(Handle::adopt(bdev, extra)?);
                        // The end of the application has looked for locks already.
                        if app::is_ending() {
                            return Err(Fault::gone(Gone::ThreadEnded));
                        }
                        desc.extra().add_dependent(range.0.downgrade());
                        Ok(range)
                    },
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_bdev_quiesce_range", self).blocks(offset_blocks, num_blocks)
        })
    }
}

impl QuiescedRange {
    /// The first of its blocks.
    pub fn offset_blocks(&self) -> u64 {
        self.0.extra().offset
    }

    /// How many blocks it has.
    pub fn num_blocks(&self) -> u64 {
        self.0.extra().blocks
    }

    /// Unlocks it, and waits until every channel knows: what was held back was submitted then.
    ///
    /// Wraps `spdk_bdev_unquiesce_range`. A drop does the same, waits for nothing, and reports a refusal through
    /// `tracing`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if SPDK does not know of the lock any more, since foreign code has unlocked it;
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the application ends, which unlocked it.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped unlocks it all the same.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the descriptor.
    #[doc(alias = "spdk_bdev_unquiesce_range")]
    pub async fn unquiesce(self) -> Result<()> {
        let start = |_: Caller<'_>| {
            self.0.take()?;
            let extra = self.0.extra();
            let desc = extra.desc.take().ok_or(Fault::gone(Gone::Closed))?;
            // SAFETY: just taken from its handle, which locked it, on its spdk_thread.
            Ok(unsafe { unlock(desc, extra.offset, extra.blocks, |_, _| {}) })
        };
        let at = || {
            At::new("spdk_bdev_unquiesce_range", &self)
                .blocks(self.offset_blocks(), self.num_blocks())
        };
        call(start, at).await
    }
}

impl Subject for QuiescedRange {
    type O = QuiescedRangeObject;
    fn handle(&self) -> &Handle<QuiescedRangeObject> {
        &self.0
    }
}

impl Describe for QuiescedRange {
    fn describe(&self) -> String {
        self.0.extra().device.clone()
    }
}

impl fmt::Debug for QuiescedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuiescedRange")
            .field("device", &self.0.extra().device)
            .field("offset_blocks", &self.offset_blocks())
            .field("num_blocks", &self.num_blocks())
            .finish()
    }
}
