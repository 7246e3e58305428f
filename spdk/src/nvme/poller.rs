//! Pollers of this crate's own.
//!
//! They go on while their spdk_thread ends, which waits for them: a controller is detached by them.
#![allow(unsafe_code)] // Registers a poller whose context is a box that it frees itself.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::rc::Rc;

use crate::error::Fault;
use crate::local::Here;
use crate::{Errno, PollStatus, interrupt, panic, sys};

/// What a step has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Idle,
    Busy,
    /// There is nothing to do any more.
    Done,
}

/// Something that takes a step in each poll of its spdk_thread.
pub(super) trait Drive: 'static {
    /// Outside of every task, and of every callback of SPDK.
    fn step(this: &Rc<Self>) -> Step;
}

struct Driven<D> {
    what: Rc<D>,
    poller: *mut sys::spdk_poller,
    _here: Here,
}

/// Has the current spdk_thread take the steps of `what`, until it is done.
pub(super) fn drive<D: Drive>(what: Rc<D>, name: &CStr) -> Result<(), Fault> {
    interrupt::check_descriptors()?;
    let driven = Box::into_raw(Box::new(Driven {
        what,
        poller: ptr::null_mut(),
        _here: Here::now()?,
    }));
    // SAFETY: on the current spdk_thread. The context lives until its last step, which unregisters the
    // poller; the name is copied.
    unsafe {
        (*driven).poller =
            sys::spdk_poller_register_named(Some(step::<D>), driven.cast(), 0, name.as_ptr());
        if (*driven).poller.is_null() {
            drop(Box::from_raw(driven)); // SPDK did not take it
            return Err(Fault::errno(Errno::ENOMEM));
        }
    }
    Ok(())
}

/// When this turn of the current spdk_thread began, in ticks, which takes no look at the clock. Within a step.
#[inline]
pub(super) fn turn_began() -> u64 {
    // SAFETY: a step is taken in a turn of an spdk_thread, which is the current one.
    unsafe { sys::spdk_thread_get_last_tsc(ptr::null_mut()) }
}

unsafe extern "C" fn step<D: Drive>(arg: *mut c_void) -> c_int {
    panic::guard("poller of NVMe", || {
        let driven = arg.cast::<Driven<D>>();
        // SAFETY: the poller is registered, so its context is there, and nobody changes it.
        let step = D::step(unsafe { &(*driven).what });
        let status = match step {
            Step::Idle => PollStatus::Idle,
            Step::Busy => PollStatus::Busy,
            Step::Done => {
                // SAFETY: unregistered once, inside of itself, which is allowed; then C has no use for
                // the context.
                unsafe {
                    sys::spdk_poller_unregister(&mut (*driven).poller);
                    drop(Box::from_raw(driven));
                }
                PollStatus::Busy
            }
        };
        status.code()
    })
}
