//! An open device with a channel: what most tests start from.

use spdk::{Bdev, BdevDesc, DmaBuf, IoChannel};

/// An open device.
#[derive(Debug)]
pub struct Device {
    /// The bdev.
    pub bdev: Bdev,
    /// Open for reading and writing.
    pub desc: BdevDesc,
    /// Of `desc`.
    pub ch: IoChannel,
}

impl Device {
    /// Opens a bdev for reading and writing.
    pub fn open(name: &str) -> spdk::Result<Self> {
        let bdev = Bdev::find(name)?;
        let desc = bdev.open(true)?;
        let ch = desc.get_io_channel()?;
        Ok(Device { bdev, desc, ch })
    }

    /// The size of a block in bytes.
    pub fn block(&self) -> usize {
        self.bdev.block_size() as usize
    }

    /// A buffer of some blocks.
    pub fn buffer(&self, blocks: usize) -> spdk::Result<DmaBuf> {
        DmaBuf::alloc(blocks * self.block(), 4096)
    }
}
