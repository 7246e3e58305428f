//! A bdev's descriptor.

use crate::error::{Fault, INVALID};
use crate::handle::Object;
use crate::library::errno::Errno;
use crate::sys;

pub(crate) struct BdevDesc;

pub(crate) struct BdevDescObject;

pub(crate) struct Extra;

impl Extra {
    #[allow(clippy::unused_self, reason = "all have the same")]
    pub(crate) fn block_size(&self) -> u32 {
        1
    }

    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as the crate's"
    )]
    pub(crate) fn needs_no_metadata(&self) -> Result<(), Fault> {
        Ok(())
    }

    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as the crate's"
    )]
    pub(crate) fn zeroes(&self, _blocks: u64) -> Result<(), Errno> {
        Ok(())
    }

    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as the crate's"
    )]
    pub(crate) fn flushes(&self, _: u64, _: u64, _: u32) -> Result<(), Errno> {
        Ok(())
    }
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
