//! A blob that takes a whole bdev, as `c/blob_loop.c` makes it.

use spdk::blob::{Blob, BlobOpts, Blobstore, BsOpts};
use spdk::{DmaBuf, IoChannel, Result};

use crate::options::Options;
use crate::workload::Workload;

/// A blob that was written once, and a channel for as many I/Os as are to be in flight.
#[derive(Debug)]
pub struct Whole {
    /// Open.
    pub blob: Blob,
    /// Of its store.
    pub channel: IoChannel,
}

impl Whole {
    /// Makes it on the bdev.
    ///
    /// # Errors
    ///
    /// Those of the blobstore, and of a bdev that there is not.
    pub async fn new(options: &Options) -> Result<Self> {
        let opts = BsOpts::new().max_channel_ops(options.queue_depth);
        let store = Blobstore::init(&options.bdev, Some(&opts)).await?;
        let opts = BlobOpts::new().num_clusters(store.free_clusters()?);
        let id = store.create_blob(Some(&opts)).await?;
        let blob = store.open_blob(id, None).await?;
        let channel = store.alloc_io_channel()?;
        let buf = DmaBuf::alloc(store.cluster_size() as usize, 4096)?;
        for offset in (0..blob.size()?).step_by(buf.len()) {
            blob.write(&channel, &buf, offset).await?;
        }
        Ok(Whole { blob, channel })
    }

    /// What the options say of it.
    ///
    /// # Errors
    ///
    /// As for [`Workload::of`].
    pub fn workload(&self, options: &Options) -> Result<Workload> {
        Workload::of(options, self.blob.io_unit_size().into(), self.blob.size()?)
    }
}
