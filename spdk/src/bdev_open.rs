//! Opening a device that may not be there yet.
#![allow(unsafe_code)] // Gives SPDK the address of the hub that the descriptor will have.

use std::ffi::{CString, c_int, c_void};
use std::future::Future;
use std::time::{Duration, Instant};

use crate::bdev::{self, BdevDesc, BdevEvent, DescExtra};
use crate::call::call;
use crate::errno::Errno;
use crate::error::{At, Error, ErrorKind, Fault, Place, Result};
use crate::events::{EventHub, emit};
use crate::local::{Caller, Here};
use crate::op::{Callback, Complete, Submitted, complete, op, status};
use crate::text::cstring;
use crate::{sys, time};

/// How long it waits between two looks: as long as SPDK.
const PERIOD: Duration = Duration::from_millis(100);

/// What `spdk_bdev_open_async` reports.
enum OpenDone {}

// SAFETY: `on_done` passes its context to `complete` once, and does nothing else.
unsafe impl Callback for OpenDone {
    type Fn = sys::spdk_bdev_open_async_cb_t;
    type Raw = (*mut sys::spdk_bdev_desc, c_int);

    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<(*mut sys::spdk_bdev_desc, c_int)>>(
            desc: *mut sys::spdk_bdev_desc,
            rc: c_int,
            arg: *mut c_void,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { complete::<K, _>(arg, (desc, rc)) }
        }
        Some(on_done::<K>)
    }
}

unsafe extern "C" fn on_event(
    event: sys::spdk_bdev_event_type,
    _bdev: *mut sys::spdk_bdev,
    hub: *mut c_void,
) {
    // SAFETY: the hub is in the operation until the descriptor is there, and in the descriptor's data from
    // then on; C reports events while the descriptor is open, on its spdk_thread.
    unsafe { emit(hub, BdevEvent::from_c(event)) }
}

type Held = (
    Here,
    CString,
    sys::spdk_bdev_open_async_opts,
    Option<EventHub<BdevEvent>>,
);

impl BdevDesc {
    /// Opens a bdev by its name, for reading and, if `write`, for writing, and waits up to `patience` for
    /// it to appear.
    ///
    /// Without `patience`, the device has to be there. Wraps `spdk_bdev_open_async`, ten times a second: nothing can call
    /// SPDK's own wait off, so it would hold up the end of its spdk_thread.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NoSuchBdev`] if it is not there, without `patience`.
    /// - `ETIMEDOUT`: it did not appear in time.
    /// - `EPERM`: `write`, and a module has claimed it for itself.
    /// - `ESHUTDOWN` or [`ErrorKind::Gone`]: SPDK or its spdk_thread ends.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later looks no more. What it opens meanwhile is closed.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which is the descriptor's home then.
    #[doc(alias = "spdk_bdev_open_async")]
    pub async fn open_async(name: &str, write: bool, patience: Duration) -> Result<BdevDesc> {
        let start = Instant::now();
        loop {
            match Self::open_now(name, write).await {
                Err(error) if matches!(error.kind(), ErrorKind::NoSuchBdev { .. }) => {
                    let left = patience.saturating_sub(start.elapsed());
                    match (patience.is_zero(), left.is_zero()) {
                        (true, _) => return Err(error),
                        (_, true) => {
                            return Err(Fault::errno(Errno::ETIMEDOUT).at(Named(name).at()));
                        }
                        _ => time::sleep(left.min(PERIOD)).await?,
                    }
                }
                ended => return ended,
            }
        }
    }

    fn open_now(name: &str, write: bool) -> impl Future<Output = Result<BdevDesc>> + use<'_> {
        let start = move |_: Caller<'_>| {
            // Without a time limit, it does not wait.
            // SAFETY: zeroes are a value of both fields.
            let mut opts: sys::spdk_bdev_open_async_opts = unsafe { std::mem::zeroed() };
            opts.size = size_of_val(&opts) as _;
            let held: Held = (
                Here::now()?,
                cstring(name, "bdev_name")?,
                opts,
                Some(EventHub::new()),
            );
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps
            // the name, the options and the hub until then. A descriptor that it reports with status 0 is
            // ours, and gets the hub.
            Ok(unsafe {
                op::<OpenDone, _, _>(
                    move |(_, name, opts, hub): &mut Held, done, arg| {
                        let hub = hub.as_ref().map_or(std::ptr::null_mut(), EventHub::arg);
                        Submitted::rc(sys::spdk_bdev_open_async(
                            name.as_ptr(),
                            write,
                            Some(on_event),
                            hub,
                            opts,
                            done,
                            arg,
                        ))
                    },
                    |(_, _, _, hub), (desc, rc)| {
                        status(rc)?;
                        let hub = hub.take().ok_or(Fault::errno(Errno::EALREADY))?;
                        let desc = BdevDesc::from_c(desc, DescExtra::new(hub))?;
                        bdev::opened(&desc);
                        Ok(desc)
                    },
                    held,
                )
            })
        };
        call(start, Named(name))
    }
}

/// The name of the bdev to open.
struct Named<'a>(&'a str);

impl<'a> Place<'a> for Named<'a> {
    fn at(&self) -> At<'a> {
        At::name("spdk_bdev_open_async", self.0)
    }

    /// A name that no bdev has is its own error.
    fn told(&self, fault: Fault) -> Error {
        let error = fault.at(self.at());
        match error.errno() {
            Some(Errno::ENODEV) => ErrorKind::NoSuchBdev {
                name: self.0.to_owned(),
            }
            .into(),
            _ => error,
        }
    }
}
