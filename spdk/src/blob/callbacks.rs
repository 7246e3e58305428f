//! The callbacks that give a handle away, whose types are written by hand.
#![allow(unsafe_code)] // They pass on what they get.

use std::ffi::{c_int, c_void};

use crate::op::{Callback, Complete, complete};
use crate::sys;

macro_rules! callback {
    ($name:ident, $ty:ident, $object:ident) => {
        /// What the C type reports: the handle, if the status is 0.
        pub(super) enum $name {}

        // SAFETY: the function passes its context on, once, and does nothing else.
        unsafe impl Callback for $name {
            type Fn = sys::$ty;
            type Raw = (*mut sys::$object, c_int);
            fn of<K: Complete<Self::Raw>>() -> Self::Fn {
                unsafe extern "C" fn call<K: Complete<(*mut sys::$object, c_int)>>(
                    arg: *mut c_void,
                    object: *mut sys::$object,
                    rc: c_int,
                ) {
                    // SAFETY: C gives back the context of the operation that it ends.
                    unsafe { complete::<K, _>(arg, (object, rc)) }
                }
                Some(call::<K>)
            }
        }
    };
}

callback!(
    BsOpWithHandleComplete,
    spdk_bs_op_with_handle_complete,
    spdk_blob_store
);
callback!(
    BlobOpWithHandleComplete,
    spdk_blob_op_with_handle_complete,
    spdk_blob
);
