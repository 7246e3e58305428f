//! Calls that the metadata thread makes for itself: no operation waits for them.
#![allow(unsafe_code)] // Turns contexts back into the closures that they are.

use std::ffi::{c_int, c_void};

use crate::local::Local;
use crate::panic::guard;

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

/// In the next turn of the metadata thread, which is current.
pub(super) fn later(f: impl FnOnce() + 'static) {
    if let Some(local) = Local::here() {
        local.defer(Box::new(f));
    }
}
