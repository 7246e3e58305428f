//! Calls that the metadata thread makes for itself: no operation waits for them.
#![allow(unsafe_code)] // Turns contexts back into the closures that they are.

use std::ffi::{c_int, c_void};

use crate::local::Local;
use crate::panic::guard;
use crate::sys;

/// What comes after such a call; gets the errno, negative, or 0.
pub(super) type Then = Box<dyn FnOnce(c_int)>;

/// The context of [`called`].
pub(super) fn context(then: impl FnOnce(c_int) + 'static) -> *mut c_void {
    let then: Then = Box::new(then);
    Box::into_raw(Box::new(then)).cast()
}

/// Ends such a call.
pub(super) unsafe extern "C" fn called(arg: *mut c_void, rc: c_int) {
    guard("callback of a blobstore", || {
        // SAFETY: made by `context` for one call of a function that calls back once.
        let then = unsafe { Box::from_raw(arg.cast::<Then>()) };
        then(rc);
    });
}

type ThenWith<T> = Box<dyn FnOnce(*mut T, c_int)>;

/// The context of [`called_with`].
pub(super) fn context_with<T>(then: impl FnOnce(*mut T, c_int) + 'static) -> *mut c_void {
    let then: ThenWith<T> = Box::new(then);
    Box::into_raw(Box::new(then)).cast()
}

/// Ends a call that reports a `T`, whose context was made for that type.
pub(super) unsafe extern "C" fn called_with<T: 'static>(
    arg: *mut c_void,
    object: *mut T,
    rc: c_int,
) {
    guard("callback of a blobstore", || {
        // SAFETY: made by `context_with`, for the one callback of one call that reports a `T`.
        let then = unsafe { Box::from_raw(arg.cast::<ThenWith<T>>()) };
        then(object, rc);
    });
}

type ThenWithId = Box<dyn FnOnce(sys::spdk_blob_id, c_int)>;

/// The context of [`called_with_id`].
pub(super) fn context_with_id(
    then: impl FnOnce(sys::spdk_blob_id, c_int) + 'static,
) -> *mut c_void {
    let then: ThenWithId = Box::new(then);
    Box::into_raw(Box::new(then)).cast()
}

/// Ends a call that reports a blob by its ID.
pub(super) unsafe extern "C" fn called_with_id(arg: *mut c_void, id: sys::spdk_blob_id, rc: c_int) {
    guard("callback of a blobstore", || {
        // SAFETY: made by `context_with_id`, for the one callback of one call.
        let then = unsafe { Box::from_raw(arg.cast::<ThenWithId>()) };
        then(id, rc);
    });
}

/// In the next turn of the metadata thread, which is current.
pub(super) fn later(f: impl FnOnce() + 'static) {
    if let Some(local) = Local::here() {
        local.defer(Box::new(f));
    }
}
