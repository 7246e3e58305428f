//! Limits of how much a device may do.
#![allow(unsafe_code)] // Carries a callback of another spdk_thread home.

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::bdev::{Bdev, BdevDescObject, BdevHistogramStatusCb, BdevHold};
use crate::bdev_unlock::{on_channel, on_end};
use crate::call::call;
use crate::errno::Errno;
use crate::error::{At, Fault, Result};
use crate::handle::{Hold, Subject};
use crate::local::{Caller, Local, begin, current_thread};
use crate::op::{Operation, Submitted, op, status};
use crate::{interrupt, sys};

/// How much a device may do in a second; 0 is as much as it can.
///
/// SPDK counts what a millisecond has of each in 32 bits: 4,294,967,295,000 I/Os and 4,095,999 MiB are the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QosLimits {
    /// Reads and writes together. SPDK rounds it up to a multiple of 1000.
    pub rw_ios_per_sec: u64,
    /// MiB that are read and written together.
    pub rw_mbytes_per_sec: u64,
    /// MiB that are read.
    pub r_mbytes_per_sec: u64,
    /// MiB that are written.
    pub w_mbytes_per_sec: u64,
}

pub(crate) const KINDS: usize = sys::SPDK_BDEV_QOS_NUM_RATE_LIMIT_TYPES.0 as usize;
const RW_IOPS: usize = sys::SPDK_BDEV_QOS_RW_IOPS_RATE_LIMIT.0 as usize;
const RW_BPS: usize = sys::SPDK_BDEV_QOS_RW_BPS_RATE_LIMIT.0 as usize;
const R_BPS: usize = sys::SPDK_BDEV_QOS_R_BPS_RATE_LIMIT.0 as usize;
const W_BPS: usize = sys::SPDK_BDEV_QOS_W_BPS_RATE_LIMIT.0 as usize;

/// The parts of a second that SPDK limits: milliseconds.
const SLICES: u64 = 1_000;
/// The most that it takes right, of I/Os and of bytes: what a part has of them is a number of 32 bits.
const MOST_IOS: u64 = u32::MAX as u64 * SLICES;
const MOST_MBYTES: u64 = ((u32::MAX as u64 + 1) * SLICES - 1) >> 20;

impl QosLimits {
    fn to_c(self) -> Result<[u64; KINDS], Fault> {
        let mut limits = [0; KINDS];
        limits[RW_IOPS] = self.rw_ios_per_sec;
        limits[RW_BPS] = self.rw_mbytes_per_sec;
        limits[R_BPS] = self.r_mbytes_per_sec;
        limits[W_BPS] = self.w_mbytes_per_sec;
        // What is more SPDK cuts off, down to a very low limit.
        let too_many = |(kind, limit): (usize, &u64)| match kind {
            RW_IOPS => *limit > MOST_IOS,
            _ => *limit > MOST_MBYTES,
        };
        match limits.iter().enumerate().any(too_many) {
            false => Ok(limits),
            true => Err(Fault::invalid(format!(
                "a limit of more than {MOST_IOS} I/Os or {MOST_MBYTES} MiB; 0 is none"
            ))),
        }
    }
}

/// A callback that comes on any spdk_thread, on its way to the one that it is for.
pub(crate) struct Relay {
    home: *mut sys::spdk_thread,
    done: sys::spdk_bdev_histogram_status_cb,
    arg: *mut c_void,
    status: c_int,
}

impl Relay {
    /// Of an operation of the current spdk_thread. [`on_any_thread`] frees it.
    pub(crate) fn new(done: sys::spdk_bdev_histogram_status_cb, arg: *mut c_void) -> *mut Self {
        Box::into_raw(Box::new(Relay {
            home: current_thread(),
            done,
            arg,
            status: 0,
        }))
    }

    /// Whether the callback is for this spdk_thread.
    pub(crate) fn is_home(&self, thread: *mut sys::spdk_thread) -> bool {
        self.home == thread
    }
}

/// It goes on in a message: what it lets go may be the last that has the device open, and SPDK, which has called this, ends a
/// removal of the device then itself, as the close has done.
pub(crate) unsafe extern "C" fn on_any_thread(relay: *mut c_void, status: c_int) {
    // SAFETY: C has the relay and gives it back once; nobody else uses it meanwhile.
    unsafe {
        (*relay.cast::<Relay>()).status = status;
        send(current_thread(), on_the_way, relay);
    }
}

unsafe extern "C" fn on_the_way(relay: *mut c_void) {
    // SAFETY: as above. The operation holds an object of `home`, which therefore does not end.
    unsafe {
        match (*relay.cast::<Relay>()).home {
            home if home == current_thread() => at_home(relay),
            home => send(home, at_home, relay),
        }
    }
}

/// # Safety
/// The spdk_thread exists. The relay goes along.
unsafe fn send(
    to: *mut sys::spdk_thread,
    message: unsafe extern "C" fn(*mut c_void),
    relay: *mut c_void,
) {
    // SAFETY: passed on.
    let rc = unsafe { sys::spdk_thread_send_msg(to, Some(message), relay) };
    if rc != 0 {
        tracing::error!(
            rc,
            "SPDK has no memory to tell the end of an operation: it will never be told"
        );
    }
}

unsafe extern "C" fn at_home(relay: *mut c_void) {
    // SAFETY: made by `Box::into_raw`, and here for the last time. The callback is called once, on the
    // spdk_thread of its operation.
    unsafe {
        let relay = Box::from_raw(relay.cast::<Relay>());
        if let Some(done) = relay.done {
            done(relay.arg, relay.status);
        }
    }
}

impl Bdev {
    /// How much the device may do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed.
    #[doc(alias = "spdk_bdev_get_qos_rate_limits")]
    pub fn qos_limits(&self) -> Result<QosLimits> {
        let result = begin(|caller| {
            let bdev = self.handle().get(caller)?;
            let mut limits = [0; KINDS];
            // SAFETY: the device is there, and the array has an element of each kind.
            unsafe { sys::spdk_bdev_get_qos_rate_limits(bdev.as_ptr(), limits.as_mut_ptr()) };
            Ok(QosLimits {
                rw_ios_per_sec: limits[RW_IOPS],
                rw_mbytes_per_sec: limits[RW_BPS],
                r_mbytes_per_sec: limits[R_BPS],
                w_mbytes_per_sec: limits[W_BPS],
            })
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_get_qos_rate_limits", self)))
    }

    /// Sets how much the device may do, from all spdk_threads together.
    ///
    /// While the limits end, which is when all are 0, [`BdevDesc::get_io_channel`](crate::BdevDesc::get_io_channel)
    /// returns `EAGAIN`: SPDK would limit the new channel and crash at its first I/O. SPDK does so with a channel that it
    /// makes itself then, as for a bdev on top of this one that is opened. It also crashes if a device with limits that
    /// nobody has open is opened again, where its old channel is not gone yet, and its removal begins at that moment.
    ///
    /// SPDK limits a device from the spdk_thread that has the first of its channels. At the end of that one this crate ends the
    /// limits, and sets them again: for a moment the device has none.
    ///
    /// Wraps `spdk_bdev_set_qos_rate_limits`.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: another call that sets limits is under way, or SPDK begins with those that the device has, as it does
    ///   when the device is opened and has no channel. `bdev_set_qos_limit`, which opens it, fails so until there is one.
    /// - `ENOMEM`: SPDK has no memory to limit with.
    /// - `ErrorKind::InvalidArgument`: a limit that SPDK cannot count ([`QosLimits`]).
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but
    /// does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_set_qos_rate_limits")]
    pub fn set_qos_limits(&self, limits: QosLimits) -> impl Future<Output = Result<()>> + use<'_> {
        let start = move |caller: Caller<'_>| {
            let limits = limits.to_c()?;
            let hold = self.hold_open(caller)?;
            let setting = Setting::of(hold.as_ptr())?;
            // SAFETY: the callback runs once, on any spdk_thread, and the relay brings it home; `held`
            // keeps the device until then. C changes the array during the call, and keeps it not.
            Ok(unsafe {
                op::<BdevHistogramStatusCb, _, _>(
                    move |(bdev, limits, _): &mut (BdevHold, [u64; KINDS], Setting), done, arg| {
                        set(bdev.as_ptr(), limits, done, arg);
                        Submitted::Pending
                    },
                    |_, rc| status(rc),
                    (hold, limits, setting),
                )
            })
        };
        call(start, move || {
            At::new("spdk_bdev_set_qos_rate_limits", self)
        })
    }
}

/// Keeps a descriptor open that was just opened, until SPDK has begun with the limits of its device, if that has any.
///
/// SPDK begins with them at each open that finds the device without a channel, and ends a removal that has begun meanwhile
/// at the end of each: twice, and with the second time it uses and frees what is gone. With the device open, they leave it to
/// the close.
pub(crate) fn opened(desc: &Hold<BdevDescObject>) {
    // SAFETY: the descriptor is held, which keeps the bdev.
    let has_limits = unsafe {
        let qos = &raw const (*desc.extra().bdev()).internal.qos;
        !qos.read_volatile().is_null()
    };
    if !has_limits {
        return;
    }
    // SAFETY: the callback runs once, on any spdk_thread, and the relay brings it home; the operation keeps the device until
    // then.
    let look = unsafe {
        op::<BdevHistogramStatusCb, _, _>(
            |(desc,): &mut (Hold<BdevDescObject>,), done, arg| {
                let relay = Relay::new(done, arg).cast();
                // What SPDK has begun looks at the same channels, and began on this spdk_thread: it ends before this does.
                let bdev = desc.extra().bdev();
                sys::spdk_bdev_for_each_channel(bdev, Some(on_channel), relay, Some(on_end));
                Submitted::Pending
            },
            |_, _| Ok(()),
            (desc.clone(),),
        )
    };
    // That the descriptor is kept is its result: a future is not needed.
    // SAFETY: nobody has polled it.
    unsafe { look.op.detach() };
}

/// The devices of which a call sets the limits, by their addresses.
static SETTING: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// That a call sets the limits of a device, until SPDK has called back. SPDK remembers so as well, but forgets it when it has
/// begun with limits for one that has opened the device; and of two calls that end and change limits, the one frees what the
/// other uses.
pub(crate) struct Setting(usize);

impl Setting {
    pub(crate) fn of(bdev: *mut sys::spdk_bdev) -> Result<Self, Fault> {
        let bdev = bdev.addr();
        let mut all = SETTING.lock().unwrap_or_else(PoisonError::into_inner);
        if all.contains(&bdev) {
            return Err(Fault::errno(Errno::EAGAIN));
        }
        all.push(bdev);
        Ok(Setting(bdev))
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let mut all = SETTING.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|bdev| *bdev != self.0);
    }
}

/// Held for writing while SPDK begins to end limits, and for reading while a channel is made: nothing of the user's runs then,
/// since SPDK's answer comes in a message, and bdevs are written in C.
static ENDS_OR_MAKES: RwLock<()> = RwLock::new(());

/// A channel, unless the limits of the device end. SPDK still limits a channel that is made then, but it may have asked those
/// of that spdk_thread to forget the limits already; and what a limited channel uses at an I/O is gone afterwards.
///
/// # Safety
/// The descriptor is open, is of the device, and belongs to this spdk_thread.
pub(crate) unsafe fn get_io_channel(
    desc: *mut sys::spdk_bdev_desc,
    bdev: *mut sys::spdk_bdev,
) -> Result<*mut sys::spdk_io_channel, Fault> {
    interrupt::check_descriptors()?;
    Local::check_room()?;
    // No limits begin to end between the look and the channel.
    let _makes = ENDS_OR_MAKES.read().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the descriptor keeps the device, and the array has an element of each kind.
    unsafe {
        if !(&raw const (*bdev).internal.qos).read_volatile().is_null() {
            let mut limits = [0; KINDS];
            sys::spdk_bdev_get_qos_rate_limits(bdev, limits.as_mut_ptr());
            if limits == [0; KINDS] {
                return Err(Fault::errno(Errno::EAGAIN));
            }
        }
        Ok(sys::spdk_bdev_get_io_channel(desc))
    }
}

/// # Safety
/// The device is there and stays until the callback, which is the one of an operation on this
/// spdk_thread.
pub(crate) unsafe fn set(
    bdev: *mut sys::spdk_bdev,
    limits: &mut [u64; KINDS],
    done: sys::spdk_bdev_histogram_status_cb,
    arg: *mut c_void,
) {
    let relay = Relay::new(done, arg).cast();
    let ends = *limits == [0; KINDS];
    let _ends = ends.then(|| {
        ENDS_OR_MAKES
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    });
    // SAFETY: passed on; `on_any_thread` takes the relay back.
    unsafe {
        #[cfg(spdk_args_spdk_bdev_set_qos_rate_limits = "5")]
        sys::spdk_bdev_set_qos_rate_limits(
            bdev,
            limits.as_mut_ptr(),
            0, // the default time slice
            Some(on_any_thread),
            relay,
        );
        #[cfg(spdk_args_spdk_bdev_set_qos_rate_limits = "4")]
        sys::spdk_bdev_set_qos_rate_limits(bdev, limits.as_mut_ptr(), Some(on_any_thread), relay);
    }
}
