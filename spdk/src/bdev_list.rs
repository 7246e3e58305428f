//! The bdevs that exist.
#![allow(unsafe_code)] // Reads the name of a bdev that C shows.

use std::ffi::CStr;
use std::ops::ControlFlow;

use crate::bdev::{self, Bdev};
use crate::error::{Error, ErrorKind, Result};
use crate::sys;

impl Bdev {
    /// Every bdev that exists.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`] without a current spdk_thread.
    #[doc(alias = "spdk_for_each_bdev")]
    #[doc(alias = "spdk_bdev_first")]
    pub fn all() -> Result<Vec<Self>> {
        let mut names = Vec::new();
        bdev::for_each(|name| push(&mut names, name))?;
        find(&names)
    }

    /// The bdevs that no module has claimed: neither other bdevs are built upon them, nor has
    /// something else claimed them for itself. These are the ones that are there to be used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`] without a current spdk_thread.
    #[doc(alias = "spdk_for_each_bdev_leaf")]
    #[doc(alias = "spdk_bdev_first_leaf")]
    pub fn leaves() -> Result<Vec<Self>> {
        let mut names = Vec::new();
        bdev::for_each_leaf(|name| push(&mut names, name))?;
        find(&names)
    }
}

fn push(names: &mut Vec<String>, name: String) -> ControlFlow<()> {
    names.push(name);
    ControlFlow::Continue(())
}

/// The bdevs of these names. One may have been removed meanwhile.
fn find(names: &[String]) -> Result<Vec<Bdev>> {
    let found = names.iter().map(|name| Bdev::find(name));
    let is_gone = |error: &Error| matches!(error.kind(), ErrorKind::NoSuchBdev { .. });
    found
        .filter(|bdev| !bdev.as_ref().is_err_and(is_gone))
        .collect()
}

/// The name of a bdev that C shows.
///
/// # Safety
///
/// `bdev` exists during the call.
pub(crate) unsafe fn name(bdev: *mut sys::spdk_bdev) -> String {
    // SAFETY: a bdev has a name, which is a C string, as long as it exists.
    let name = unsafe { CStr::from_ptr(sys::spdk_bdev_get_name(bdev)) };
    name.to_string_lossy().into_owned()
}
