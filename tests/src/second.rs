//! A second spdk_thread on the OS thread of the first: an application with one core has one reactor,
//! which polls them all.
#![allow(unsafe_code)] // Creates an spdk_thread and sends it a message, as C code does.

use std::ffi::{CString, c_void};
use std::ptr;

use spdk::{CompletionSender, SpdkThread, ThreadHandle, sys};

/// Creates an spdk_thread in the running application.
///
/// # Panics
///
/// When SPDK cannot create one.
pub async fn spdk_thread(name: &str) -> ThreadHandle {
    let (sender, handle) = spdk::completion::<ThreadHandle>();
    let Ok(name) = CString::new(name) else {
        panic!("{name:?} has a NUL byte");
    };
    // SAFETY: the name is copied; without a mask the reactors choose the core, and there is one. The
    // message gets the sender that it takes back.
    let rc = unsafe {
        let thread = sys::spdk_thread_create(name.as_ptr(), ptr::null());
        assert!(!thread.is_null(), "spdk_thread_create failed");
        sys::spdk_thread_send_msg(thread, Some(tell_handle), sender.into_raw())
    };
    assert_eq!(rc, 0, "spdk_thread_send_msg failed");
    match handle.await {
        Ok(handle) => handle,
        Err(error) => panic!("{error}"),
    }
}

unsafe extern "C" fn tell_handle(sender: *mut c_void) {
    // SAFETY: from `into_raw` in `spdk_thread`, of the same type, and taken back once.
    let sender = unsafe { CompletionSender::<ThreadHandle>::from_raw(sender) };
    match SpdkThread::get_current() {
        Some(current) => sender.success(current.handle()),
        None => drop(sender),
    }
}
