//! What the programs share: an application with a malloc bdev, and I/O on it that verifies its data.
#![forbid(unsafe_code)]

use spdk::{BdevDesc, DmaBuf, IoChannel, SpdkApp, SpdkAppBuilder};

/// Bytes of a block of the device.
pub const BLOCK: usize = 512;

/// Blocks of the device.
pub const BLOCKS: u64 = 4096;

/// An application with the bdev `Malloc0`, in little memory, without hardware.
pub fn app(name: &str) -> SpdkAppBuilder {
    let config = format!(
        r#"{{"subsystems": [{{"subsystem": "bdev", "config": [{{"method": "bdev_malloc_create",
            "params": {{"name": "Malloc0", "num_blocks": {BLOCKS}, "block_size": {BLOCK}}}}}]}}]}}"#
    );
    SpdkApp::builder()
        .name(name)
        .json_data(config)
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
}

/// An open bdev, on the spdk_thread that opened it.
#[derive(Debug)]
pub struct Store {
    desc: BdevDesc,
    channel: IoChannel,
}

impl Store {
    /// Opens `Malloc0` on the current spdk_thread.
    ///
    /// # Errors
    ///
    /// Without one.
    pub fn open() -> spdk::Result<Self> {
        let desc = BdevDesc::open("Malloc0", true)?;
        let channel = desc.get_io_channel()?;
        Ok(Store { desc, channel })
    }

    /// Writes a block of one byte.
    ///
    /// # Errors
    ///
    /// What the device reports.
    pub async fn fill(&self, block: u64, byte: u8) -> spdk::Result<()> {
        let mut buf = DmaBuf::alloc(BLOCK, BLOCK)?;
        buf.fill(byte);
        self.desc.write_blocks(&self.channel, &buf, block, 1).await
    }

    /// The byte that a block is full of; `None` if it has different ones.
    ///
    /// # Errors
    ///
    /// What the device reports.
    pub async fn byte(&self, block: u64) -> spdk::Result<Option<u8>> {
        let mut buf = DmaBuf::alloc(BLOCK, BLOCK)?;
        self.desc
            .read_blocks(&self.channel, &mut buf, block, 1)
            .await?;
        let first = buf[0];
        Ok(buf.iter().all(|byte| *byte == first).then_some(first))
    }

    /// Fills the blocks of a task, and reads them back. Returns how many it has verified.
    ///
    /// # Errors
    ///
    /// What the device reports.
    ///
    /// # Panics
    ///
    /// If a block is not what was written.
    pub async fn verify(&self, task: u64, tasks: u64) -> spdk::Result<u64> {
        let blocks = || (task..BLOCKS).step_by(tasks as usize);
        for block in blocks() {
            self.fill(block, block as u8 ^ task as u8).await?;
        }
        for block in blocks() {
            let byte = self.byte(block).await?;
            assert_eq!(byte, Some(block as u8 ^ task as u8), "block {block}");
        }
        Ok(blocks().count() as u64)
    }
}
