//! I/O in bytes.

use super::handle::Blob;
use crate::error::{At, Fault, Result};
use crate::{DmaBuf, IoChannel};

impl Blob {
    /// The range in io units.
    fn units(&self, call: &'static str, offset: u64, length: u64) -> Result<(u64, u64)> {
        let size = u64::from(self.io_unit_size());
        match (offset % size, length % size) {
            (0, 0) => Ok((offset / size, length / size)),
            _ => {
                let reason = format!(
                    "the offset and the length must be multiples of the io unit, {size} bytes"
                );
                Err(Fault::invalid(reason).at(At::new(call, self).bytes(offset, length)))
            }
        }
    }

    /// Reads `buf.len()` bytes at byte `offset` into `buf`. Both are multiples of the io unit.
    ///
    /// Wraps `spdk_blob_io_read`. An io unit is a block of the device, [`Blob::io_unit_size`] bytes.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::read_io_units`]; a range that is not aligned is
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
    #[doc(alias = "spdk_blob_io_read")]
    pub async fn read(&self, channel: &IoChannel, buf: &mut DmaBuf, offset: u64) -> Result<()> {
        let (offset, length) = self.units("spdk_blob_io_read", offset, buf.len() as u64)?;
        self.read_io_units(channel, buf, offset, length).await
    }

    /// Writes `buf` at byte `offset`. That and its length are multiples of the io unit.
    ///
    /// Wraps `spdk_blob_io_write`. An io unit is a block of the device, [`Blob::io_unit_size`] bytes.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::write_io_units`]; a range that is not aligned is
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
    #[doc(alias = "spdk_blob_io_write")]
    pub async fn write(&self, channel: &IoChannel, buf: &DmaBuf, offset: u64) -> Result<()> {
        let (offset, length) = self.units("spdk_blob_io_write", offset, buf.len() as u64)?;
        self.write_io_units(channel, buf, offset, length).await
    }

    /// Reads at byte `offset` into several buffers, filling one after the other. The offset and the length of all
    /// of them together are multiples of the io unit.
    ///
    /// Wraps `spdk_blob_io_readv`. An io unit is a block of the device, [`Blob::io_unit_size`] bytes.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::readv_io_units`]; a range that is not aligned is
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
    #[doc(alias = "spdk_blob_io_readv")]
    pub async fn readv(&self, channel: &IoChannel, bufs: &mut [DmaBuf], offset: u64) -> Result<()> {
        let length = bufs.iter().map(|buf| buf.len() as u64).sum();
        let (offset, length) = self.units("spdk_blob_io_readv", offset, length)?;
        self.readv_io_units(channel, bufs, offset, length).await
    }

    /// Writes several buffers at byte `offset`, one after the other. The offset and the length of all of them
    /// together are multiples of the io unit.
    ///
    /// Wraps `spdk_blob_io_writev`. An io unit is a block of the device, [`Blob::io_unit_size`] bytes.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::writev_io_units`]; a range that is not aligned is
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
    #[doc(alias = "spdk_blob_io_writev")]
    pub async fn writev(&self, channel: &IoChannel, bufs: &[DmaBuf], offset: u64) -> Result<()> {
        let length = bufs.iter().map(|buf| buf.len() as u64).sum();
        let (offset, length) = self.units("spdk_blob_io_writev", offset, length)?;
        self.writev_io_units(channel, bufs, offset, length).await
    }

    /// Tells the device that `length` bytes at byte `offset` are not needed any more. Both are multiples of the io
    /// unit.
    ///
    /// Wraps `spdk_blob_io_unmap`. An io unit is a block of the device, [`Blob::io_unit_size`] bytes.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::unmap_io_units`]; a range that is not aligned is
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
    #[doc(alias = "spdk_blob_io_unmap")]
    pub async fn unmap(&self, channel: &IoChannel, offset: u64, length: u64) -> Result<()> {
        let (offset, length) = self.units("spdk_blob_io_unmap", offset, length)?;
        self.unmap_io_units(channel, offset, length).await
    }

    /// Writes zeroes to `length` bytes at byte `offset`. Both are multiples of the io unit.
    ///
    /// Wraps `spdk_blob_io_write_zeroes`. An io unit is a block of the device, [`Blob::io_unit_size`] bytes.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::write_zeroes_io_units`]; a range that is not aligned is
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
    #[doc(alias = "spdk_blob_io_write_zeroes")]
    pub async fn write_zeroes(&self, channel: &IoChannel, offset: u64, length: u64) -> Result<()> {
        let (offset, length) = self.units("spdk_blob_io_write_zeroes", offset, length)?;
        self.write_zeroes_io_units(channel, offset, length).await
    }
}
