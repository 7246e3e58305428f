//! A bdev's descriptor.

use std::ptr;

use crate::error::{Fault, INVALID};
use crate::handle::Object;
use crate::library::errno::Errno;
use crate::sys;

pub(crate) struct BdevDesc;

pub(crate) struct BdevDescObject;

pub(crate) struct Extra;

pub(crate) struct Rules;

#[allow(clippy::unused_self, reason = "as the crate's")]
impl Extra {
    pub(crate) fn rules(&self) -> Rules {
        Rules
    }

    pub(crate) fn bdev(&self) -> *mut sys::spdk_bdev {
        ptr::null_mut()
    }
}

#[allow(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "as the crate's"
)]
impl Rules {
    pub(crate) fn block_size(&self) -> u32 {
        1
    }

    pub(crate) fn needs_no_metadata(&self) -> Result<(), Fault> {
        Ok(())
    }

    pub(crate) fn zeroes(&self, _blocks: u64) -> Result<(), Errno> {
        Ok(())
    }

    pub(crate) fn unmaps(&self, _: u64, _: u64, _: u32) -> Result<(), Errno> {
        Ok(())
    }
}

#[allow(unsafe_code, clippy::unnecessary_wraps, reason = "as the crate's")]
pub(crate) unsafe fn flushes(
    _: *const sys::spdk_bdev,
    _: u64,
    _: u64,
    _: u32,
) -> Result<(), Errno> {
    Ok(())
}

impl Object for BdevDescObject {
    type C = sys::spdk_bdev_desc;
    type Extra = Extra;
    const EXTRA: Extra = Extra;
}

pub(crate) fn hides_metadata() -> Fault {
    INVALID
}

#[allow(clippy::unnecessary_wraps, reason = "as the crate's")]
pub(crate) fn splits(_bytes: u64) -> Result<(), Fault> {
    Ok(())
}
