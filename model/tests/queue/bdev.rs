//! A bdev's descriptor.

use crate::error::{Fault, INVALID};
use crate::handle::Object;
use crate::sys;

pub(crate) struct BdevDesc;

pub(crate) struct BdevDescObject;

pub(crate) struct Extra;

impl Extra {
    #[allow(clippy::unused_self, reason = "all have the same")]
    pub(crate) fn block_size(&self) -> u32 {
        1
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
