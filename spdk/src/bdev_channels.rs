//! Every channel of a device, on its own spdk_thread.
#![allow(unsafe_code)] // Sends a closure around the spdk_threads as the context of a C iteration.

use std::ffi::{CStr, c_int, c_void};
use std::future::Future;
use std::ops::ControlFlow;

use crate::bdev::{Bdev, BdevHold, BdevIoStat, Histogram, ResetStat};
use crate::bdev_histogram::of_channel;
use crate::call::call;
use crate::error::{At, Result};
use crate::local::{Caller, current_thread};
use crate::op::{Callback, Complete, Submitted, complete, op, status};
use crate::panic::guard;
use crate::sys;
use crate::visits::{self, Visit};

/// A channel of a device, on the spdk_thread that it belongs to, while
/// [`Bdev::for_each_channel`] shows it.
#[derive(Debug)]
pub struct BdevChannel {
    bdev: *mut sys::spdk_bdev,
    ch: *mut sys::spdk_io_channel,
}

impl BdevChannel {
    /// The name of the spdk_thread, which is current.
    pub fn thread_name(&self) -> String {
        // SAFETY: the callback of an iteration runs on an spdk_thread, which has a name.
        let name = unsafe { CStr::from_ptr(sys::spdk_thread_get_name(current_thread())) };
        name.to_string_lossy().into_owned()
    }

    /// What was done through it, and `reset_mode` what becomes of that.
    #[doc(alias = "spdk_bdev_get_io_stat")]
    pub fn stat(&self, reset_mode: ResetStat) -> BdevIoStat {
        let mut stat = BdevIoStat::zero();
        // SAFETY: both are there while the iteration shows them, on the channel's spdk_thread.
        unsafe {
            #[cfg(spdk_args_spdk_bdev_get_io_stat = "4")]
            sys::spdk_bdev_get_io_stat(self.bdev, self.ch, &mut stat, reset_mode.to_c());
            #[cfg(spdk_args_spdk_bdev_get_io_stat = "3")]
            {
                let _ = reset_mode;
                sys::spdk_bdev_get_io_stat(self.bdev, self.ch, &mut stat);
            }
        }
        BdevIoStat::from_c(&stat)
    }

    /// How long I/Os took through it; `None` if that is not being counted.
    #[doc(alias = "spdk_bdev_channel_get_histogram")]
    pub fn histogram(&self) -> Option<Histogram> {
        // SAFETY: it is a channel of a bdev, on its spdk_thread.
        unsafe { of_channel(self.ch) }.ok()
    }
}

/// What an iteration takes along. The spdk_threads have it one after the other.
struct Iteration<F> {
    each: F,
    done: sys::spdk_bdev_for_each_channel_done,
    arg: *mut c_void,
}

unsafe extern "C" fn on_channel<F: FnMut(&BdevChannel) -> ControlFlow<()>>(
    iter: *mut sys::spdk_bdev_channel_iter,
    bdev: *mut sys::spdk_bdev,
    ch: *mut sys::spdk_io_channel,
    iteration: *mut c_void,
) {
    guard("channel callback", || {
        let channel = BdevChannel { bdev, ch };
        // SAFETY: C shows the channels one after the other, so nobody else uses the iteration now; the
        // messages between the spdk_threads order what they did to it. `F` may be on any of them.
        let flow = unsafe { ((*iteration.cast::<Iteration<F>>()).each)(&channel) };
        // SAFETY: once for each channel, as the last thing. A code that is not 0 ends the iteration, and a
        // positive one is no error.
        unsafe { sys::spdk_bdev_for_each_channel_continue(iter, c_int::from(flow.is_break())) };
    });
}

unsafe extern "C" fn on_end<F>(bdev: *mut sys::spdk_bdev, iteration: *mut c_void, status: c_int) {
    // SAFETY: made by `Box::into_raw`, and here for the last time, on the spdk_thread where the iteration
    // began; `done` is called once.
    unsafe {
        let Iteration { done, arg, .. } = *Box::from_raw(iteration.cast::<Iteration<F>>());
        if let Some(done) = done {
            done(bdev, arg, status);
        }
    }
}

/// The end of an iteration.
enum IterationDone {}

// SAFETY: `on_done` passes its context to `complete` once, and does nothing else.
unsafe impl Callback for IterationDone {
    type Fn = sys::spdk_bdev_for_each_channel_done;
    type Raw = c_int;

    fn of<K: Complete<c_int>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<c_int>>(
            _bdev: *mut sys::spdk_bdev,
            arg: *mut c_void,
            status: c_int,
        ) {
            // SAFETY: `on_end` gives back the context of the operation that it ends.
            unsafe { complete::<K, _>(arg, status) }
        }
        Some(on_done::<K>)
    }
}

impl Bdev {
    /// Shows each channel of the device to `each`, one after the other, each on its own spdk_thread,
    /// until `each` returns `ControlFlow::Break`.
    ///
    /// Wraps `spdk_bdev_for_each_channel`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the iteration but
    /// does not stop it: `each` runs on, and is dropped at its end.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle. A panic of `each` ends the process, since it would cross C.
    #[doc(alias = "spdk_bdev_for_each_channel")]
    pub fn for_each_channel<F>(&self, each: F) -> impl Future<Output = Result<()>> + use<'_, F>
    where
        F: FnMut(&BdevChannel) -> ControlFlow<()> + Send + 'static,
    {
        let start = move |visit: Visit, caller: Caller<'_>| {
            let hold = self.hold_open(caller)?;
            // SAFETY: `on_end` runs the callback once, on this spdk_thread, after the last channel; `held`
            // keeps the device until then. The iteration belongs to C until `on_end`.
            Ok(unsafe {
                op::<IterationDone, _, _>(
                    |(bdev, each, _): &mut (BdevHold, Option<F>, Visit), done, arg| {
                        let Some(each) = each.take() else {
                            return Submitted::Refused(crate::Errno::EALREADY);
                        };
                        let iteration = Box::into_raw(Box::new(Iteration { each, done, arg }));
                        sys::spdk_bdev_for_each_channel(
                            bdev.as_ptr(),
                            Some(on_channel::<F>),
                            iteration.cast(),
                            Some(on_end::<F>),
                        );
                        Submitted::Pending
                    },
                    // A positive code is the wish of the closure to stop.
                    |_, rc| status(rc.min(0)),
                    (hold, Some(each), visit),
                )
            })
        };
        async move {
            let visit = visits::begin().await;
            let at = move || At::new("spdk_bdev_for_each_channel", self);
            call(move |caller| start(visit, caller), at).await
        }
    }
}
