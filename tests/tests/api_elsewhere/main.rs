//! `spdk::api!` with a manifest that is wrong about where a callback comes.
#![allow(missing_docs)]
#![cfg(debug_assertions)] // A release build trusts the manifest.

use spdk_tests::second;

spdk::api!("tests/api_elsewhere/far.ron");

/// The C library.
#[allow(non_camel_case_types)]
#[allow(unsafe_code)] // Sends a message to an spdk_thread, as C code does.
mod ffi {

    use std::ffi::{c_int, c_void};
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

    use spdk::sys;

    static OTHER: AtomicPtr<sys::spdk_thread> = AtomicPtr::new(ptr::null_mut());

    /// From now on, the current spdk_thread is the other one.
    pub(super) fn stay_here() {
        // SAFETY: reads a variable of SPDK's.
        OTHER.store(unsafe { sys::spdk_get_thread() }, SeqCst);
    }

    pub(crate) type far_done = Option<unsafe extern "C" fn(ctx: *mut c_void)>;

    pub(crate) unsafe extern "C" fn far_call(cb: far_done, ctx: *mut c_void) -> c_int {
        // SAFETY: the other spdk_thread is there until the test ends. The rest is the caller's.
        unsafe { sys::spdk_thread_send_msg(OTHER.load(SeqCst), cb, ctx) }
    }
}

/// Fails if an operation is touched on another spdk_thread without a word. With it, the process ends.
#[spdk::test]
#[should_panic(expected = "did not run to its end")]
async fn a_callback_elsewhere_is_told() {
    let other = second::spdk_thread("second").await;
    other.call(ffi::stay_here).await.expect("it is there");
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<String>();
        let told = "C called back on second, for an operation of app_thread: ";
        if text.is_some_and(|text| text.starts_with(told) && text.ends_with("FarDone forbids it")) {
            std::process::exit(0);
        }
    }));
    let _ = call_far().await;
}
