//! Work that its spdk_thread does to the end: a task that nobody can drop.
//!
//! Where closing an object takes several steps, each of which waits for C, a task of the executor is not
//! enough: the end of its spdk_thread drops those. That end waits for a chore.
#![allow(unsafe_code)] // Registers a poller whose context is a box that it frees itself.

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};

use crate::error::Fault;
use crate::local::Here;
use crate::{Errno, PollStatus, interrupt, panic, sys};

struct Chore {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
    waker: Waker,
    poller: *mut sys::spdk_poller,
    /// The end of the spdk_thread waits for it.
    _here: Here,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Has a poller of the current spdk_thread poll `future`, which is none of the user's, to its end.
pub(crate) fn finish(future: impl Future<Output = ()> + 'static) -> Result<(), Fault> {
    interrupt::check_descriptor()?;
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let chore = Box::into_raw(Box::new(Chore {
        future: Box::pin(future),
        waker: woken.clone().into(),
        woken,
        poller: ptr::null_mut(),
        _here: Here::now()?,
    }));
    // SAFETY: on the current spdk_thread. The context lives until its last step, which unregisters the
    // poller; the name is copied.
    unsafe {
        (*chore).poller =
            sys::spdk_poller_register_named(Some(step), chore.cast(), 0, c"spdk-rs chore".as_ptr());
        if (*chore).poller.is_null() {
            drop(Box::from_raw(chore)); // SPDK did not take it
            return Err(Fault::errno(Errno::ENOMEM));
        }
    }
    Ok(())
}

unsafe extern "C" fn step(arg: *mut c_void) -> c_int {
    panic::guard("chore", || {
        let chore = arg.cast::<Chore>();
        // SAFETY: the poller is registered, so its context is there. Only this function uses it, and it is
        // not entered again: nothing polls an spdk_thread from inside a poller.
        let this = unsafe { &mut *chore };
        if !this.woken.0.swap(false, SeqCst) {
            return PollStatus::Idle.code();
        }
        let mut cx = Context::from_waker(&this.waker);
        if this.future.as_mut().poll(&mut cx).is_ready() {
            // SAFETY: unregistered once, inside of itself, which is allowed; then C has no use for the
            // context.
            unsafe {
                sys::spdk_poller_unregister(&mut (*chore).poller);
                drop(Box::from_raw(chore));
            }
        }
        PollStatus::Busy.code()
    })
}
