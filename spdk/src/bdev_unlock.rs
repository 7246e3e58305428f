//! What a descriptor waits for after an unlock of blocks, if its device is being removed.
#![allow(unsafe_code)] // Reads how far a removal is, and sends the callback of an operation to the spdk_thread of that.

use std::ffi::{c_int, c_void};

use crate::bdev::{BdevDescObject, BdevHistogramStatusCb};
use crate::bdev_qos::{Relay, on_any_thread};
use crate::handle::Hold;
use crate::op::{Operation, Submitted, op};
use crate::sys;

/// Keeps a descriptor open until a removal that has begun has done its first part.
///
/// That first part is a look at all channels, at whose end SPDK removes the device if nobody has it open. But so does SPDK
/// when the last locked blocks are unlocked meanwhile: twice, and with the second time it uses and frees what is gone. With
/// the device open, both only tell of the removal; the close then ends it once.
///
/// To be called where SPDK tells of the unlock.
pub(crate) fn unlocked(desc: &Hold<BdevDescObject>) {
    // SAFETY: the descriptor is held, which keeps the bdev.
    let is_ready = unsafe {
        let status = &raw const (*desc.extra().bdev()).internal.status;
        status.read_volatile() == sys::SPDK_BDEV_STATUS_READY
    };
    if is_ready {
        return;
    }
    // SAFETY: the callback runs once, on any spdk_thread, and the relay brings it home, or never; `held` keeps the device
    // until then.
    let look = unsafe {
        op::<BdevHistogramStatusCb, _, _>(
            |(desc,): &mut (Hold<BdevDescObject>,), done, arg| {
                let bdev = desc.extra().bdev();
                let look = Box::into_raw(Box::new(Look {
                    bdev,
                    relay: Relay::new(done, arg),
                }));
                // The removal began in a call on this spdk_thread, which has returned when the message comes; so the
                // look at the channels that begins then ends after that of the removal.
                let removes = match (&raw const (*bdev).internal.unregister_td).read_volatile() {
                    // SPDK has set the status, on another CPU, and is about to set this to where devices are removed.
                    removes if removes.is_null() => sys::spdk_thread_get_app_thread(),
                    removes => removes,
                };
                match sys::spdk_thread_send_msg(removes, Some(at_removal), look.cast()) {
                    0 => Submitted::Pending,
                    rc => {
                        let look = Box::from_raw(look);
                        drop(Box::from_raw(look.relay));
                        Submitted::rc(rc)
                    }
                }
            },
            |_, _| Ok(()),
            (desc.clone(),),
        )
    };
    // That the descriptor is kept is its result: a future is not needed.
    // SAFETY: nobody has polled it.
    unsafe { look.op.detach() };
}

/// A look at the channels, on its way to the spdk_thread that removes the device.
struct Look {
    bdev: *mut sys::spdk_bdev,
    relay: *mut Relay,
}

unsafe extern "C" fn at_removal(look: *mut c_void) {
    // SAFETY: made by `Box::into_raw`, and here for the last time. The operation keeps the bdev.
    unsafe {
        let Look { bdev, relay } = *Box::from_raw(look.cast::<Look>());
        sys::spdk_bdev_for_each_channel(bdev, Some(on_channel), relay.cast(), Some(on_end));
    }
}

pub(crate) unsafe extern "C" fn on_channel(
    iter: *mut sys::spdk_bdev_channel_iter,
    _: *mut sys::spdk_bdev,
    _: *mut sys::spdk_io_channel,
    _: *mut c_void,
) {
    // SAFETY: once for each channel, as the last thing.
    unsafe { sys::spdk_bdev_for_each_channel_continue(iter, 0) }
}

pub(crate) unsafe extern "C" fn on_end(_: *mut sys::spdk_bdev, relay: *mut c_void, status: c_int) {
    // SAFETY: C gives the relay back, once.
    unsafe { on_any_thread(relay, status) }
}
