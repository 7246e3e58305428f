//! Sees the bdevs of namespaces go before SPDK's target does.
#![allow(unsafe_code)] // Opens bdevs, and has SPDK resume subsystems from the event of one.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use super::raw::RawSubsystem;
use crate::error::Fault;
use crate::panic::guard;
use crate::{Errno, sys};

/// A descriptor of the bdev of a namespace, which was opened before that of SPDK, so that its events come before.
///
/// When a bdev goes, SPDK pauses the subsystem with its namespace, which waits for the I/O. But if the subsystem is
/// paused already, it waits for nothing: the I/O of the namespace is never answered, and its connection never ends. So
/// the subsystem goes on before, as SPDK has it do afterwards.
pub(super) struct Watch(Box<Seen>);

struct Seen {
    /// `None` when the bdev has gone.
    desc: Cell<Option<NonNull<sys::spdk_bdev_desc>>>,
    thread: *mut sys::spdk_thread,
    subsystem: RawSubsystem,
    is_started: Rc<Cell<bool>>,
}

impl Watch {
    /// On the spdk_thread of the target.
    pub(super) fn open(
        bdev: &CStr,
        subsystem: RawSubsystem,
        is_started: Rc<Cell<bool>>,
    ) -> Result<Self, Fault> {
        let seen = Box::new(Seen {
            desc: Cell::new(None),
            // SAFETY: only returns what it finds.
            thread: unsafe { sys::spdk_get_thread() },
            subsystem,
            is_started,
        });
        let mut desc = ptr::null_mut();
        // SAFETY: the name is read during the call. The event comes on this spdk_thread, until the descriptor is closed,
        // before which the box stays where it is.
        let rc = unsafe {
            let seen = (&raw const *seen).cast_mut().cast();
            sys::spdk_bdev_open_ext(bdev.as_ptr(), false, Some(event), seen, &mut desc)
        };
        match rc {
            0 => {
                seen.desc.set(NonNull::new(desc));
                Ok(Watch(seen))
            }
            rc => Err(Errno::from_code(rc).into()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Seen {
    fn close(&self) {
        // SAFETY: only returns what it finds.
        if unsafe { sys::spdk_get_thread() } != self.thread {
            return; // Of a target that is leaked.
        }
        if let Some(desc) = self.desc.take() {
            // SAFETY: it is open, on its spdk_thread, and has no channels.
            unsafe { sys::spdk_bdev_close(desc.as_ptr()) }
        }
    }

    fn goes(&self) {
        self.close();
        // One that is not started would start.
        if self.is_started.get() && self.subsystem.exists() {
            let subsystem = self.subsystem.as_ptr();
            // SAFETY: it exists, on its spdk_thread. Nothing is called back.
            let rc = unsafe { sys::spdk_nvmf_subsystem_resume(subsystem, None, ptr::null_mut()) };
            if rc != 0 {
                let errno = Errno::from_code(rc);
                tracing::error!(%errno, "the I/O of a bdev that goes is not waited for");
            }
        }
    }
}

unsafe extern "C" fn event(
    kind: sys::spdk_bdev_event_type,
    _: *mut sys::spdk_bdev,
    seen: *mut c_void,
) {
    guard("bdev event of a namespace", || {
        if kind == sys::SPDK_BDEV_EVENT_REMOVE {
            // SAFETY: the box of a `Watch`, which closes the descriptor before it goes.
            unsafe { &*seen.cast::<Seen>() }.goes();
        }
    });
}
