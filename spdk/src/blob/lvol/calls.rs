//! The context of a call of the metadata thread that reports a handle.
#![allow(unsafe_code)] // Turns contexts back into the closures that they are.

use std::ffi::{c_int, c_void};

use crate::panic::guard;

type Then<T> = Box<dyn FnOnce(*mut T, c_int)>;

/// The context of [`called_with`].
pub(super) fn context_with<T>(then: impl FnOnce(*mut T, c_int) + 'static) -> *mut c_void {
    let then: Then<T> = Box::new(then);
    Box::into_raw(Box::new(then)).cast()
}

/// Ends a call that reports a `T`, whose context was made for that type.
pub(super) unsafe extern "C" fn called_with<T: 'static>(
    arg: *mut c_void,
    object: *mut T,
    rc: c_int,
) {
    guard("callback of an lvol store", || {
        // SAFETY: made by `context_with`, for the one callback of one call that reports a `T`.
        let then = unsafe { Box::from_raw(arg.cast::<Then<T>>()) };
        then(object, rc);
    });
}
