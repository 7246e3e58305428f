//! The check of a buffer's length.

use crate::error::{Fault, INVALID};

pub(crate) fn check_len(bytes: u64, blocks: u64, block_size: u32) -> Result<(), Fault> {
    match bytes == blocks * u64::from(block_size) {
        true => Ok(()),
        false => Err(INVALID),
    }
}
