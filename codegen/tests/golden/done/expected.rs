// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use crate::__private::{self as rt, sys};

/// What `spdk_bdev_wait_for_examine_cb` reports.
#[doc(hidden)]
pub enum BdevWaitForExamineCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BdevWaitForExamineCb {
    type Fn = sys::spdk_bdev_wait_for_examine_cb;
    type Raw = ();
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<()>>(arg: *mut c_void) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(arg, ()) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(())
    }
}

const _: unsafe extern "C" fn(
    sys::spdk_bdev_wait_for_examine_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_wait_for_examine;

/// Waits for the modules.
///
/// Wraps `spdk_bdev_wait_for_examine`.
///
/// # Cancellation
///
/// Nothing happens before the first poll. A future that is dropped later abandons the operation
/// but does not stop it.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_bdev_wait_for_examine")]
pub fn wait_for_examine() -> impl rt::Future<Output = rt::Result<()>> {
    let at = move || rt::At::free("spdk_bdev_wait_for_examine");
    let start = move |_: rt::Caller<'_>| {
        // SAFETY: 0 means that the callback runs once, another code that it never runs; C is given
        // nothing else.
        Ok(unsafe {
            rt::op::<BdevWaitForExamineCb, _, _>(
                move |_, done, arg| {
                    rt::Submitted::rc(sys::spdk_bdev_wait_for_examine(done, arg))
                },
                |_, ()| Ok(()),
                (rt::Here::now()?,),
            )
        })
    };
    rt::call(start, at)
}
