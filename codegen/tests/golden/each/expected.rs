// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use core::ops::ControlFlow;
use crate::__private::{self as rt, sys};

const _: unsafe extern "C" fn(*mut c_void, sys::spdk_for_each_bdev_fn) -> c_int = sys::spdk_for_each_bdev;

/// Shows each bdev.
///
/// Wraps `spdk_for_each_bdev`.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_for_each_bdev")]
pub fn for_each_bdev<F: FnMut(crate::bdev::BdevInfo) -> ControlFlow<()>>(
    mut each: F,
) -> rt::Result<()> {
    unsafe extern "C" fn on_each<F: FnMut(crate::bdev::BdevInfo) -> ControlFlow<()>>(
        ctx: *mut c_void,
        bdev: *mut sys::spdk_bdev,
    ) -> c_int {
        // SAFETY: `ctx` is the closure of the call that C is in.
        let flow = unsafe { rt::each::<F, _>(ctx, || crate::bdev::info(bdev)) };
        c_int::from(flow.is_break())
    }
    let at = move |fault: rt::Fault| fault.at(rt::At::free("spdk_for_each_bdev"));
    let result = rt::begin(|_| {
        drop(rt::Here::now()?);
        // SAFETY: `spdk_for_each_bdev_fn` runs only inside the call, and the closure outlives it.
        let rc = unsafe {
            sys::spdk_for_each_bdev((&raw mut each).cast(), Some(on_each::<F>))
        };
        // A positive code is the wish of the closure to stop.
        rt::status(rc.min(0))
    });
    result.map_err(at)
}
