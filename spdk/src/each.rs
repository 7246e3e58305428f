//! Closures that C calls inside the call that they were given to.
#![allow(unsafe_code)] // Turns the context of such a callback back into the closure.

use std::ffi::c_void;
use std::ops::ControlFlow;

use crate::error::Fault;
use crate::local::current_thread;
use crate::panic::guard;
use crate::sys;

/// Shows one element to the closure of an iteration.
///
/// # Safety
///
/// `ctx` points to the closure, of this type, of the call that C is in; nobody else uses it.
pub unsafe fn each<F, T>(ctx: *mut c_void, value: impl FnOnce() -> T) -> ControlFlow<()>
where
    F: FnMut(T) -> ControlFlow<()>,
{
    guard("iteration callback", || {
        // SAFETY: the caller promises the closure.
        let f = unsafe { &mut *ctx.cast::<F>() };
        f(value())
    })
}

/// Refuses a call that SPDK allows on the app thread only.
pub fn on_app_thread() -> Result<(), Fault> {
    let current = current_thread();
    if current.is_null() {
        return Err(Fault::no_thread());
    }
    // SAFETY: reads a pointer that SPDK sets once.
    if current == unsafe { sys::spdk_thread_get_app_thread() } {
        return Ok(());
    }
    let name = crate::SpdkThread::get_current().map_or_else(String::new, |t| t.name().to_owned());
    Err(Fault::wrong_thread("the app thread", &name))
}
