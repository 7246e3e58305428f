//! The limits of devices leave an spdk_thread that ends.
#![allow(unsafe_code)] // Opens devices for SPDK's calls of limits, which know no handles.

use std::ffi::{CString, c_int, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use crate::bdev::BdevHistogramStatusCb;
use crate::bdev_qos::{KINDS, Relay, Setting, set};
use crate::bdev_unlock::on_end;
use crate::env::{self, Phase};
use crate::errno::Errno;
use crate::local::{Here, current_thread};
use crate::op::{Operation, Submitted, op};
use crate::panic::guard;
use crate::{bdev_list, sys};

/// Has SPDK take the limits of all devices off the current spdk_thread, which has no other use of these any more.
///
/// SPDK limits a device from the spdk_thread that has the first of its channels, and keeps that channel, until the limits end or
/// nobody has the device open. An spdk_thread that ends with one is ended by force after 5 seconds, and whoever limits the
/// device, or closes it, then aborts. So its limits are ended and set again, which makes another spdk_thread theirs.
///
/// The `Local` of the spdk_thread counts operations until that is done. What another call holds up is left: `again` is called.
pub(crate) fn leave(again: &Rc<dyn Fn()>) {
    if env::phase() != Phase::App {
        return; // there are no devices
    }
    for name in limited() {
        let Ok(here) = Here::now() else {
            return;
        };
        if let Some(device) = Device::open(&name, again) {
            look(here, device);
        }
    }
}

/// The names of the devices with limits.
fn limited() -> Vec<CString> {
    unsafe extern "C" fn on_bdev(names: *mut c_void, bdev: *mut sys::spdk_bdev) -> c_int {
        guard("iteration over the bdevs", || {
            // SAFETY: the list of the call below, and a bdev that is open meanwhile.
            unsafe {
                if !(&raw const (*bdev).internal.qos).read_volatile().is_null() {
                    let name = CString::new(bdev_list::name(bdev));
                    (*names.cast::<Vec<CString>>()).extend(name);
                }
            }
            0
        })
    }
    let mut names: Vec<CString> = Vec::new();
    // SAFETY: on an spdk_thread; the callback runs inside the call only.
    unsafe { sys::spdk_for_each_bdev((&raw mut names).cast(), Some(on_bdev)) };
    names
}

/// A device that is open on the spdk_thread that ends.
struct Device {
    desc: NonNull<sys::spdk_bdev_desc>,
    again: Rc<dyn Fn()>,
}

impl Device {
    /// `None` if it is gone.
    fn open(name: &CString, again: &Rc<dyn Fn()>) -> Option<Self> {
        /// That it is removed: the removal goes on when it is closed, which is soon.
        unsafe extern "C" fn on_event(
            _: sys::spdk_bdev_event_type,
            _: *mut sys::spdk_bdev,
            _: *mut c_void,
        ) {
        }
        let mut desc = ptr::null_mut();
        // SAFETY: on an spdk_thread; the name is copied, and the function is there as long as the program.
        let rc = unsafe {
            let name = name.as_ptr();
            sys::spdk_bdev_open_ext(name, false, Some(on_event), ptr::null_mut(), &mut desc)
        };
        let desc = NonNull::new(desc).filter(|_| rc == 0)?;
        Some(Device {
            desc,
            again: again.clone(),
        })
    }

    fn bdev(&self) -> *mut sys::spdk_bdev {
        // SAFETY: the descriptor is open.
        unsafe { sys::spdk_bdev_desc_get_bdev(self.desc.as_ptr()) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: it was opened on this spdk_thread, where operations drop what they hold, and is closed once.
        unsafe { sys::spdk_bdev_close(self.desc.as_ptr()) }
    }
}

/// Goes on if SPDK keeps a channel of the device here.
fn look(here: Here, device: Device) {
    unsafe extern "C" fn on_channel(
        iter: *mut sys::spdk_bdev_channel_iter,
        _: *mut sys::spdk_bdev,
        _: *mut sys::spdk_io_channel,
        relay: *mut c_void,
    ) {
        // SAFETY: the relay is there until the end of the iteration, which a positive code brings; once for each channel, as
        // the last thing.
        unsafe {
            let is_here = (*relay.cast::<Relay>()).is_home(current_thread());
            sys::spdk_bdev_for_each_channel_continue(iter, c_int::from(is_here));
        }
    }
    // SAFETY: the callback runs once, in a message on this spdk_thread; `held` keeps the device until then.
    let look = unsafe {
        op::<BdevHistogramStatusCb, _, _>(
            |(_, device): &mut (Here, Option<Device>), done, arg| {
                let bdev = device.as_ref().map_or(ptr::null_mut(), Device::bdev);
                let relay = Relay::new(done, arg).cast();
                sys::spdk_bdev_for_each_channel(bdev, Some(on_channel), relay, Some(on_end));
                Submitted::Pending
            },
            |(_, device), is_here| {
                match (device.take(), Here::now()) {
                    (Some(device), Ok(here)) if is_here > 0 => end(here, device),
                    _ => {}
                }
                Ok(())
            },
            (here, Some(device)),
        )
    };
    // SAFETY: nobody has polled it.
    unsafe { look.op.detach() };
}

/// Ends the limits, and sets them again.
fn end(here: Here, device: Device) {
    let mut limits = [0; KINDS];
    // SAFETY: the device is open, and the array has an element of each kind.
    unsafe { sys::spdk_bdev_get_qos_rate_limits(device.bdev(), limits.as_mut_ptr()) };
    let Ok(setting) = Setting::of(device.bdev()) else {
        (device.again)();
        return;
    };
    if limits == [0; KINDS] {
        return; // they end by themselves
    }
    // SAFETY: the callback runs once, in a message on this spdk_thread; `held` keeps the device until then.
    let end = unsafe {
        op::<BdevHistogramStatusCb, _, _>(
            |(_, device): &mut (Here, Option<(Device, Setting)>), done, arg| {
                let bdev = device
                    .as_ref()
                    .map_or(ptr::null_mut(), |(device, _)| device.bdev());
                set(bdev, &mut [0; KINDS], done, arg);
                Submitted::Pending
            },
            move |(_, device), rc| {
                match (device.take(), Here::now()) {
                    (Some((device, setting)), Ok(here)) if rc == 0 => {
                        set_again(here, device, setting, limits);
                    }
                    (Some((device, _)), _) if Errno::from_code(rc) == Errno::EAGAIN => {
                        (device.again)();
                    }
                    _ => tracing::warn!(
                        rc,
                        "the limits of a device stay on an spdk_thread that ends"
                    ),
                }
                Ok(())
            },
            (here, Some((device, setting))),
        )
    };
    // SAFETY: nobody has polled it.
    unsafe { end.op.detach() };
}

fn set_again(here: Here, device: Device, setting: Setting, limits: [u64; KINDS]) {
    type Held = (Here, Device, Setting, [u64; KINDS]);
    // SAFETY: the callback runs once, in a message on this spdk_thread; `held` keeps the device until then.
    let set_again = unsafe {
        op::<BdevHistogramStatusCb, _, _>(
            |(_, device, _, limits): &mut Held, done, arg| {
                set(device.bdev(), limits, done, arg);
                Submitted::Pending
            },
            |_, rc| {
                // Somebody else has set others by SPDK's RPC, or the device is being removed.
                if rc != 0 && Errno::from_code(rc) != Errno::EAGAIN {
                    tracing::error!(rc, "the limits of a device are lost with an spdk_thread");
                }
                Ok(())
            },
            (here, device, setting, limits),
        )
    };
    // SAFETY: nobody has polled it.
    unsafe { set_again.op.detach() };
}
