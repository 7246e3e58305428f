//! What SPDK counts of a device: its statistics with the errors, and the I/Os in flight.
#![allow(unsafe_code)] // Hands C memory for its counts, which the operation owns.

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::ptr;

#[cfg(spdk_args_spdk_bdev_get_device_stat = "5")]
use crate::bdev::ResetStat;
use crate::bdev::{Bdev, BdevGetDeviceStatCb, BdevHold, BdevIoStat};
use crate::call::call;
use crate::error::{At, Result};
use crate::local::Caller;
use crate::op::{Callback, Complete, Submitted, complete, op, status};
use crate::sys;
use crate::visits::{self, Visit};

/// How many kinds of errors SPDK counts: its counts are an array of this size, as `bdev_module.h` says
/// where it defines the number. The kind with the status `-n` is number `n - 1`.
const KINDS: usize = sys::SPDK_MIN_BDEV_IO_STATUS.0.unsigned_abs() as usize;

/// SPDK's `struct spdk_bdev_io_error_stat`.
type Errors = [u32; KINDS];

/// SPDK's own names of them.
const NAMES: [(sys::spdk_bdev_io_status, &str); 8] = [
    (sys::SPDK_BDEV_IO_STATUS_FAILED, "failed"),
    (sys::SPDK_BDEV_IO_STATUS_NVME_ERROR, "nvme_error"),
    (sys::SPDK_BDEV_IO_STATUS_SCSI_ERROR, "scsi_error"),
    (sys::SPDK_BDEV_IO_STATUS_NOMEM, "nomem"),
    (sys::SPDK_BDEV_IO_STATUS_MISCOMPARE, "miscompare"),
    (
        sys::SPDK_BDEV_IO_STATUS_FIRST_FUSED_FAILED,
        "first_fused_failed",
    ),
    (sys::SPDK_BDEV_IO_STATUS_ABORTED, "aborted"),
    (sys::SPDK_BDEV_IO_STATUS_AIO_ERROR, "aio_error"),
];

/// How many I/Os have failed with each kind of error.
pub(crate) type ErrorCounts = Vec<(&'static str, u64)>;

fn named(errors: &Errors) -> ErrorCounts {
    let counts = errors.iter().zip(1..).map(|(count, kind)| {
        let name = NAMES.iter().find(|(status, _)| status.0 == -kind);
        (name.map_or("other", |(_, name)| name), u64::from(*count))
    });
    counts.collect()
}

/// `spdk_bdev_get_current_qd_cb`.
enum QueueDepth {}

// SAFETY: `on_depth` passes its context to `complete` once and does nothing else.
unsafe impl Callback for QueueDepth {
    type Fn = sys::spdk_bdev_get_current_qd_cb;
    type Raw = (u64, c_int);

    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn on_depth<K: Complete<(u64, c_int)>>(
            _: *mut sys::spdk_bdev,
            depth: u64,
            arg: *mut c_void,
            rc: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { complete::<K, _>(arg, (depth, rc)) }
        }
        Some(on_depth::<K>)
    }
}

impl Bdev {
    /// What the device has done, through all channels, and `reset_mode` what becomes of that.
    ///
    /// Wraps `spdk_bdev_get_device_stat`.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: SPDK has no memory to ask with.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[cfg(spdk_args_spdk_bdev_get_device_stat = "5")]
    #[doc(alias = "spdk_bdev_get_device_stat")]
    pub fn device_stat(
        &self,
        reset_mode: ResetStat,
    ) -> impl Future<Output = Result<BdevIoStat>> + use<'_> {
        self.stat(reset_mode.to_c(), |stat, _| stat)
    }

    /// What the device has done, through all channels.
    ///
    /// Wraps `spdk_bdev_get_device_stat`.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: SPDK has no memory to ask with.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[cfg(spdk_args_spdk_bdev_get_device_stat = "4")]
    #[doc(alias = "spdk_bdev_get_device_stat")]
    pub fn device_stat(&self) -> impl Future<Output = Result<BdevIoStat>> + use<'_> {
        self.stat(|stat, _| stat)
    }

    /// [`Bdev::device_stat`], with the errors.
    pub(crate) fn device_stat_with_errors(
        &self,
    ) -> impl Future<Output = Result<(BdevIoStat, ErrorCounts)>> + use<'_> {
        self.stat(
            #[cfg(spdk_args_spdk_bdev_get_device_stat = "5")]
            sys::SPDK_BDEV_RESET_STAT_NONE,
            |stat, errors| (stat, named(errors)),
        )
    }

    fn stat<T: 'static>(
        &self,
        #[cfg(spdk_args_spdk_bdev_get_device_stat = "5")] reset: sys::spdk_bdev_reset_stat_mode,
        then: fn(BdevIoStat, &Errors) -> T,
    ) -> impl Future<Output = Result<T>> + use<'_, T> {
        type Held = (BdevHold, sys::spdk_bdev_io_stat, Errors, Visit);
        let start = move |visit: Visit, caller: Caller<'_>| {
            let bdev = self.hold_open(caller)?;
            let held: Held = (bdev, BdevIoStat::zero(), [0; KINDS], visit);
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps the device and
            // the memory until then, where it is.
            Ok(unsafe {
                op::<BdevGetDeviceStatCb, _, _>(
                    move |(bdev, stat, errors, _): &mut Held, done, arg| {
                        stat.io_error = ptr::from_mut(errors).cast();
                        sys::spdk_bdev_get_device_stat(
                            bdev.as_ptr(),
                            stat,
                            #[cfg(spdk_args_spdk_bdev_get_device_stat = "5")]
                            reset,
                            done,
                            arg,
                        );
                        Submitted::Pending
                    },
                    move |(_, stat, errors, _), rc| {
                        status(rc)?;
                        // SPDK gives what was in the memory of the device's own statistics.
                        stat.ticks_rate = sys::spdk_get_ticks_hz();
                        Ok(then(BdevIoStat::from_c(stat), errors))
                    },
                    held,
                )
            })
        };
        async move {
            let visit = visits::begin().await;
            let at = move || At::new("spdk_bdev_get_device_stat", self);
            call(move |caller| start(visit, caller), at).await
        }
    }

    /// How many I/Os are in flight, through all channels.
    pub(crate) fn current_queue_depth(&self) -> impl Future<Output = Result<u64>> + use<'_> {
        let start = move |visit: Visit, caller: Caller<'_>| {
            let hold = self.hold_open(caller)?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps the device until
            // then.
            Ok(unsafe {
                op::<QueueDepth, _, _>(
                    |(bdev, _): &mut (BdevHold, Visit), done, arg| {
                        sys::spdk_bdev_get_current_qd(bdev.as_ptr(), done, arg);
                        Submitted::Pending
                    },
                    |_, (depth, rc)| {
                        status(rc)?;
                        Ok(depth)
                    },
                    (hold, visit),
                )
            })
        };
        async move {
            let visit = visits::begin().await;
            let at = move || At::new("spdk_bdev_get_current_qd", self);
            call(move |caller| start(visit, caller), at).await
        }
    }
}
