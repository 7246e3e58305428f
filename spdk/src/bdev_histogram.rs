//! How long the I/Os of a device take.
#![allow(unsafe_code)] // Owns the memory of a C histogram, and reads it.

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::ptr::NonNull;
use std::time::Duration;

use crate::bdev::{Bdev, BdevHold};
#[cfg(spdk_since_25_05)]
use crate::bdev::{BdevHistogramStatusCb, BdevIoType};
use crate::call::call;
use crate::channel::IoChannel;
use crate::errno::Errno;
use crate::error::{At, Fault, Result};
use crate::local::{Caller, begin};
use crate::op::{Callback, Complete, Submitted, complete, op, status};
use crate::panic::guard;
use crate::sys;
use crate::ticks::ticks_hz;
use crate::visits::{self, Visit};

/// I/Os that took about as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// The least time, in [`ticks`](crate::ticks).
    pub start_ticks: u64,
    /// The time that they all took less than.
    pub end_ticks: u64,
    /// How many.
    pub count: u64,
}

/// How long I/Os took: how many of them about how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Those that are not empty, the fastest first.
    buckets: Vec<Bucket>,
    total: u64,
    ticks_hz: u64,
}

impl Histogram {
    /// The buckets with I/Os, the fastest first.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// How many I/Os there were.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// A time that `percent` of the I/Os took at most: the end of their last bucket. `None` without I/Os.
    ///
    /// `percent` is from 0 to 100; what is not counts as the nearer of the two.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let part = (percent / 100.0).clamp(0.0, 1.0);
        // A NaN stays one, and is 0 here.
        let wanted = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut so_far = 0;
        let bucket = self.buckets.iter().find(|bucket| {
            so_far += bucket.count;
            so_far >= wanted
        });
        bucket.map(|bucket| self.duration(bucket.end_ticks))
    }

    /// [`ticks`](crate::ticks) as a time.
    pub fn duration(&self, ticks: u64) -> Duration {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks_hz.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// # Safety
    /// `raw` is a histogram that nothing changes during the call.
    unsafe fn copy(raw: *const sys::spdk_histogram_data) -> Self {
        unsafe extern "C" fn on_bucket(
            histogram: *mut c_void,
            start: u64,
            end: u64,
            count: u64,
            _total: u64,
            _so_far: u64,
        ) {
            guard("histogram callback", || {
                if count == 0 {
                    return;
                }
                // SAFETY: the histogram of the call that C is in; nobody else uses it.
                let histogram = unsafe { &mut *histogram.cast::<Histogram>() };
                histogram.total += count;
                histogram.buckets.push(Bucket {
                    start_ticks: start,
                    end_ticks: end,
                    count,
                });
            });
        }
        let mut histogram = Histogram {
            ticks_hz: hz(),
            ..Histogram::default()
        };
        // SAFETY: passed on; the callback runs inside the call only.
        unsafe {
            sys::spdk_histogram_data_iterate(raw, Some(on_bucket), (&raw mut histogram).cast());
        }
        histogram
    }
}

/// The clock of a histogram. A device cannot be open without one.
fn hz() -> u64 {
    ticks_hz().unwrap_or(0)
}

/// The memory of a C histogram.
struct Raw(NonNull<sys::spdk_histogram_data>);

impl Raw {
    /// Memory of the shape that the device's histograms have.
    ///
    /// # Safety
    /// `bdev` is there.
    unsafe fn like(bdev: *mut sys::spdk_bdev) -> Result<Self, Fault> {
        // SAFETY: passed on. Another spdk_thread that changes the shape meanwhile makes it another one
        // than the channels have, which SPDK compares, and adds none that differ.
        let raw = unsafe {
            let internal = &raw const (*bdev).internal;
            if !(*internal).histogram_enabled {
                return Err(not_enabled());
            }
            #[cfg(spdk_since_25_05)]
            let raw = sys::spdk_histogram_data_alloc_sized_ext(
                (*internal).histogram_granularity.into(),
                (*internal).histogram_min_val,
                (*internal).histogram_max_val,
            );
            #[cfg(not(spdk_since_25_05))]
            let raw = sys::spdk_histogram_data_alloc();
            raw
        };
        NonNull::new(raw)
            .map(Raw)
            .ok_or(Fault::errno(Errno::ENOMEM))
    }

    fn copy(&self) -> Histogram {
        // SAFETY: it is ours, and C has added to it for the last time.
        unsafe { Histogram::copy(self.0.as_ptr()) }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: SPDK's function allocated it, and C does not use it any more.
        unsafe { sys::spdk_histogram_data_free(self.0.as_ptr()) }
    }
}

fn not_enabled() -> Fault {
    Fault::invalid("no histogram is being kept; `Bdev::enable_histogram` begins it")
}

/// What a C function reports of a histogram: its status. The histogram is the one that it was given.
enum HistogramDone {}

// SAFETY: `on_done` passes its context to `complete` once, and does nothing else.
unsafe impl Callback for HistogramDone {
    type Fn = sys::spdk_bdev_histogram_data_cb;
    type Raw = c_int;

    fn of<K: Complete<c_int>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<c_int>>(
            arg: *mut c_void,
            status: c_int,
            _histogram: *mut sys::spdk_histogram_data,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { complete::<K, _>(arg, status) }
        }
        Some(on_done::<K>)
    }
}

/// What a histogram counts, and how exactly.
///
/// Since SPDK 25.05.
#[cfg(spdk_since_25_05)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramOptions {
    /// Only I/Os of this kind; all of them, if `None`.
    pub io_type: Option<BdevIoType>,
    /// Each doubling of the time has `2^granularity` buckets; 1 to 15, where 7 is SPDK's own choice.
    pub granularity: u8,
    /// Less time than that counts as that.
    pub min: Duration,
    /// More time than that counts as that. `None` is without a limit.
    pub max: Option<Duration>,
}

#[cfg(spdk_since_25_05)]
impl Default for HistogramOptions {
    fn default() -> Self {
        HistogramOptions {
            io_type: None,
            granularity: 7,
            min: Duration::ZERO,
            max: None,
        }
    }
}

#[cfg(spdk_since_25_05)]
impl HistogramOptions {
    /// SPDK computes the size of its memory with these, and checks nothing.
    fn to_c(self) -> Result<sys::spdk_bdev_enable_histogram_opts, Fault> {
        if !(1..=15).contains(&self.granularity) {
            return Err(Fault::invalid(format!(
                "a granularity of {}; it is from 1 to 15",
                self.granularity
            )));
        }
        let nanos = |time: Duration| {
            let nanos = u64::try_from(time.as_nanos()).ok()?;
            nanos.checked_mul(hz()).map(|_| nanos)
        };
        let too_long = |time: Duration| {
            Fault::invalid(format!("{time:?} is longer than SPDK can compute with"))
        };
        let min = nanos(self.min).ok_or_else(|| too_long(self.min))?;
        let max = match self.max {
            Some(max) => nanos(max).ok_or_else(|| too_long(max))?,
            None => u64::MAX,
        };
        // Their difference has to be a tick at least.
        if max.saturating_sub(min) < 1_000 {
            return Err(Fault::invalid(format!(
                "the range of times from {:?} to {:?} is less than a microsecond",
                self.min, self.max
            )));
        }
        let io_type = self.io_type.map_or(0, BdevIoType::to_raw);
        let io_type = u8::try_from(io_type)
            .map_err(|_| Fault::invalid(format!("no I/O is of kind {io_type}")))?;
        // SAFETY: zeroes are a value of every field, and the call writes at most the size that it is given.
        let mut opts = unsafe {
            let mut opts = std::mem::zeroed::<sys::spdk_bdev_enable_histogram_opts>();
            sys::spdk_bdev_enable_histogram_opts_init(&mut opts, size_of_val(&opts) as _);
            opts
        };
        opts.io_type = io_type;
        opts.granularity = self.granularity;
        opts.min_nsec = min;
        opts.max_nsec = max;
        Ok(opts)
    }
}

impl Bdev {
    /// Begins to count how long I/Os take, as [`Bdev::enable_histogram`] does, with options.
    ///
    /// A channel that keeps a histogram already goes on as it does: disable it first to change the
    /// options. One that is made later has the default buckets, and [`Bdev::histogram`] leaves it out if the options
    /// are others: get the channels first. Wraps `spdk_bdev_histogram_enable_ext`. Since SPDK 25.05.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: another call that enables or disables it is under way.
    /// - `ENOMEM`: SPDK has no memory for it.
    /// - `ErrorKind::InvalidArgument`: a granularity or a range of times that there is not.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but
    /// does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[cfg(spdk_since_25_05)]
    #[doc(alias = "spdk_bdev_histogram_enable_ext")]
    pub fn enable_histogram_with(
        &self,
        options: HistogramOptions,
    ) -> impl Future<Output = Result<()>> + use<'_> {
        let start = move |caller: Caller<'_>| {
            let opts = options.to_c()?;
            let hold = self.hold_open(caller)?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps the device and
            // the options until then.
            Ok(unsafe {
                op::<BdevHistogramStatusCb, _, _>(
                    move |(bdev, opts): &mut (BdevHold, sys::spdk_bdev_enable_histogram_opts),
                          done,
                          arg| {
                        sys::spdk_bdev_histogram_enable_ext(bdev.as_ptr(), done, arg, true, opts);
                        Submitted::Pending
                    },
                    |_, rc| status(rc),
                    (hold, opts),
                )
            })
        };
        call(start, move || {
            At::new("spdk_bdev_histogram_enable_ext", self)
        })
    }

    /// How long I/Os took, through all channels of the device, since
    /// [`Bdev::enable_histogram`] or since a channel was made.
    ///
    /// SPDK 26.01 leaves out, without an error, the channels whose buckets are not those of the last call that
    /// enabled it. A channel that is made later has the default ones, whatever the options of
    /// [`Bdev::enable_histogram_with`], and one that kept a histogram already has its old ones.
    /// [`Bdev::channel_histogram`] has theirs.
    ///
    /// A write of a blob on a malloc bdev is a zero-copy I/O, which counts as it begins and as it ends.
    ///
    /// Wraps `spdk_bdev_histogram_get`.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::InvalidArgument`: it is not enabled.
    /// - `EFAULT`: a channel keeps none, as while another spdk_thread enables or disables it.
    /// - `ENOMEM`: there is no memory for the copy.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but
    /// does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_histogram_get")]
    pub fn histogram(&self) -> impl Future<Output = Result<Histogram>> + use<'_> {
        let start = move |visit: Visit, caller: Caller<'_>| {
            let hold = self.hold_open(caller)?;
            // SAFETY: the device is there.
            let raw = unsafe { Raw::like(hold.as_ptr()) }?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps the device and
            // the memory until then.
            Ok(unsafe {
                op::<HistogramDone, _, _>(
                    |(bdev, raw, _): &mut (BdevHold, Raw, Visit), done, arg| {
                        sys::spdk_bdev_histogram_get(bdev.as_ptr(), raw.0.as_ptr(), done, arg);
                        Submitted::Pending
                    },
                    |(_, raw, _), rc| {
                        status(rc)?;
                        Ok(raw.copy())
                    },
                    (hold, raw, visit),
                )
            })
        };
        async move {
            let visit = visits::begin().await;
            let at = move || At::new("spdk_bdev_histogram_get", self);
            call(move |caller| start(visit, caller), at).await
        }
    }

    /// How long I/Os took through one channel of the device.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::InvalidArgument`: it is not enabled.
    /// - Refused before C sees it: a channel of another device.
    #[doc(alias = "spdk_bdev_channel_get_histogram")]
    pub fn channel_histogram(&self, ch: &IoChannel) -> Result<Histogram> {
        let result = begin(|caller| {
            let ch = self.channel(ch, caller)?;
            // SAFETY: it is a channel of a bdev, on its spdk_thread.
            unsafe { of_channel(ch.as_ptr()) }
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_channel_get_histogram", self)))
    }
}

/// # Safety
/// `ch` is a channel of a bdev, on the current spdk_thread.
pub(crate) unsafe fn of_channel(ch: *mut sys::spdk_io_channel) -> Result<Histogram, Fault> {
    unsafe extern "C" fn on_histogram(
        result: *mut c_void,
        status: c_int,
        histogram: *mut sys::spdk_histogram_data,
    ) {
        guard("histogram callback", || {
            if status == 0 && !histogram.is_null() {
                // SAFETY: the result of the call that C is in; the histogram is of a channel of this
                // spdk_thread, where nothing else runs now.
                unsafe { *result.cast() = Some(Histogram::copy(histogram)) }
            }
        });
    }
    let mut result: Option<Histogram> = None;
    // SAFETY: passed on; the callback runs inside the call only.
    unsafe {
        sys::spdk_bdev_channel_get_histogram(ch, Some(on_histogram), (&raw mut result).cast());
    }
    result.ok_or_else(not_enabled)
}
