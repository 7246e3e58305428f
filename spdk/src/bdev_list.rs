//! The bdevs that exist.
#![allow(unsafe_code)] // SPDK calls back for each bdev, with a list of ours as the context.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use crate::bdev::Bdev;
use crate::error::{At, Error, Fault, Result};
use crate::local::Local;
use crate::panic;
use crate::sys;

/// `spdk_for_each_bdev`, or its variant for leaves.
type ForEach = unsafe extern "C" fn(*mut c_void, sys::spdk_for_each_bdev_fn) -> c_int;

impl Bdev {
    /// Every bdev that exists.
    ///
    /// # Errors
    ///
    /// [`Error::NoThread`] without a current spdk_thread.
    #[doc(alias = "spdk_for_each_bdev")]
    #[doc(alias = "spdk_bdev_first")]
    pub fn all() -> Result<Vec<Self>> {
        list("spdk_for_each_bdev", sys::spdk_for_each_bdev)
    }

    /// The bdevs that no other bdev is built upon: those that are there to be used.
    ///
    /// # Errors
    ///
    /// [`Error::NoThread`] without a current spdk_thread.
    #[doc(alias = "spdk_for_each_bdev_leaf")]
    #[doc(alias = "spdk_bdev_first_leaf")]
    pub fn leaves() -> Result<Vec<Self>> {
        list("spdk_for_each_bdev_leaf", sys::spdk_for_each_bdev_leaf)
    }
}

fn list(call: &'static str, for_each: ForEach) -> Result<Vec<Bdev>> {
    Local::current().map_err(|fault| fault.at(At::free(call)))?;
    let mut names: Vec<String> = Vec::new();
    // SAFETY: this is an spdk_thread; the callback runs inside the call only, with `names`.
    let rc = unsafe { for_each(ptr::from_mut(&mut names).cast(), Some(name)) };
    if rc != 0 {
        return Err(Fault::errno(crate::Errno::from_code(rc)).at(At::free(call)));
    }
    let found = names.iter().map(|name| Bdev::find(name));
    // One may have been removed meanwhile.
    found
        .filter(|bdev| !matches!(bdev, Err(Error::NoSuchBdev { .. })))
        .collect()
}

unsafe extern "C" fn name(names: *mut c_void, bdev: *mut sys::spdk_bdev) -> c_int {
    panic::guard("spdk_for_each_bdev_fn", || {
        // SAFETY: `list` passed its list, which nothing else uses during the call, and SPDK an open
        // bdev, which has a name.
        let (names, name) = unsafe {
            (
                &mut *names.cast::<Vec<String>>(),
                CStr::from_ptr(sys::spdk_bdev_get_name(bdev)),
            )
        };
        names.push(name.to_string_lossy().into_owned());
        0
    })
}
