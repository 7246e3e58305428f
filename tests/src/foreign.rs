//! spdk_threads that C code made.
#![allow(unsafe_code)] // Creates an spdk_thread and sends it a message, as C code does.

use std::ffi::{CString, c_int, c_void};
use std::ptr;

use spdk::{Bdev, CompletionSender, SpdkThread, ThreadHandle, sys};

/// Creates an spdk_thread in the running application, and returns its handle when Rust has run on it.
///
/// # Panics
///
/// When SPDK cannot create one.
pub async fn spdk_thread(name: &str) -> ThreadHandle {
    match first_message(name, tell_handle).await {
        Ok(handle) => handle,
        Err(error) => panic!("{error}"),
    }
}

/// Creates an spdk_thread that exits before Rust has run on it, and returns what a task gets there.
///
/// # Panics
///
/// When SPDK cannot create one.
pub async fn task_on_an_exiting_thread() -> spdk::Result<()> {
    first_message("exiting", exit_and_spawn).await
}

async fn first_message<T>(
    name: &str,
    message: unsafe extern "C" fn(*mut c_void),
) -> spdk::Result<T> {
    let (sender, answer) = spdk::completion::<T>();
    let Ok(name) = CString::new(name) else {
        panic!("{name:?} has a NUL byte");
    };
    // SAFETY: the name is copied; without a mask the reactors choose the core. The message gets the
    // sender that it takes back: both callers name one for this type.
    let rc = unsafe {
        let thread = sys::spdk_thread_create(name.as_ptr(), ptr::null());
        assert!(!thread.is_null(), "spdk_thread_create failed");
        sys::spdk_thread_send_msg(thread, Some(message), sender.into_raw())
    };
    assert_eq!(rc, 0, "spdk_thread_send_msg failed");
    answer.await
}

/// Creates an spdk_thread on the last core, which does not exit in order: a poller of C stays. SPDK waits 5 s for it.
pub fn that_stays() {
    unsafe extern "C" fn stay(_: *mut c_void) {
        unsafe extern "C" fn nothing(_: *mut c_void) -> c_int {
            0
        }
        // SAFETY: on an spdk_thread; the poller needs no context.
        unsafe { sys::spdk_poller_register(Some(nothing), ptr::null_mut(), 1000) };
    }
    // SAFETY: the application runs; the set has a core of it, and is copied. The message needs no context.
    unsafe {
        let mut cores = sys::spdk_cpuset::default();
        sys::spdk_cpuset_set_cpu(&mut cores, sys::spdk_env_get_last_core(), true);
        let thread = sys::spdk_thread_create(c"stays".as_ptr(), &cores);
        assert!(!thread.is_null(), "spdk_thread_create failed");
        sys::spdk_thread_send_msg(thread, Some(stay), ptr::null_mut());
    }
}

/// Unlocks a range of blocks that Rust has locked.
///
/// # Panics
///
/// When SPDK refuses.
pub fn unquiesce(bdev: &Bdev, offset: u64, blocks: u64) {
    unsafe extern "C" fn done(_: *mut c_void, _: c_int) {}
    let bdev = bdev.as_ptr();
    // SAFETY: the device is there. The callback needs no context.
    let rc = unsafe {
        let (module, null) = ((*bdev).module, ptr::null_mut());
        sys::spdk_bdev_unquiesce_range(bdev, module, offset, blocks, Some(done), null)
    };
    assert_eq!(rc, 0, "spdk_bdev_unquiesce_range failed");
}

unsafe extern "C" fn tell_handle(sender: *mut c_void) {
    // SAFETY: from `into_raw` in `first_message`, of this type, and taken back once.
    let sender = unsafe { CompletionSender::<ThreadHandle>::from_raw(sender) };
    match SpdkThread::get_current() {
        Some(current) => sender.success(current.handle()),
        None => drop(sender),
    }
}

unsafe extern "C" fn exit_and_spawn(sender: *mut c_void) {
    // SAFETY: as above. The spdk_thread is the current one.
    let sender = unsafe {
        sys::spdk_thread_exit(sys::spdk_get_thread());
        CompletionSender::<()>::from_raw(sender)
    };
    match spdk::spawn_local(async {}) {
        Ok(_) => sender.success(()),
        Err(error) => sender.error(error),
    }
}

/// Begins to remove a device, as its module does when it is deleted.
///
/// # Panics
///
/// When it is gone.
pub fn remove(bdev: &Bdev) {
    let bdev = bdev.as_ptr();
    assert!(!bdev.is_null(), "it is gone");
    // SAFETY: the device is there, and this is its spdk_thread; there is no callback to call.
    unsafe { sys::spdk_bdev_unregister(bdev, None, ptr::null_mut()) }
}
