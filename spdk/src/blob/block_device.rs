//! [`BlockDevice`]: devices written in Rust, for blobstores.
#![allow(unsafe_code)] // Copies to and from memory that SPDK lends for an I/O.

use std::future::Future;
use std::marker::PhantomData;
use std::ptr;

use smallvec::SmallVec;

use crate::bdev_zcopy::each_piece;
use crate::error::{At, Result};
use crate::{Errno, sys};

/// A block device written in Rust, on which a blobstore can be made ([`Blobstore::init_on`](super::Blobstore::init_on)), or
/// which a blob depends on ([`ExternalSnapshot::new`](super::ExternalSnapshot::new)).
///
/// A device that is only read, as one that blobs depend on, needs [`BlockDevice::read`] alone.
///
/// ```no_run
/// use std::sync::Mutex;
/// use spdk::Errno;
/// use spdk::blob::{BlockDevice, Blobstore, ReadInto, WriteFrom};
///
/// struct Memory(Mutex<Vec<u8>>);
///
/// impl BlockDevice for Memory {
///     type Channel = ();
///     fn block_size(&self) -> u32 {
///         512
///     }
///     fn num_blocks(&self) -> u64 {
///         self.0.lock().map_or(0, |bytes| bytes.len() as u64 / 512)
///     }
///     fn channel(&self) -> Result<(), Errno> {
///         Ok(())
///     }
///     async fn read(&self, _: &(), block: u64, into: &mut ReadInto<'_>) -> Result<(), Errno> {
///         let bytes = self.0.lock().map_err(|_| Errno::EIO)?;
///         let at = block as usize * 512;
///         into.copy_from(0, &bytes[at..at + into.len()]).map_err(|_| Errno::EIO)
///     }
///     async fn write(&self, _: &(), block: u64, from: &WriteFrom) -> Result<(), Errno> {
///         let mut bytes = self.0.lock().map_err(|_| Errno::EIO)?;
///         let at = block as usize * 512;
///         from.copy_to(0, &mut bytes[at..at + from.len()]).map_err(|_| Errno::EIO)
///     }
///     async fn write_zeroes(&self, _: &(), block: u64, num_blocks: u64) -> Result<(), Errno> {
///         let mut bytes = self.0.lock().map_err(|_| Errno::EIO)?;
///         bytes[block as usize * 512..][..num_blocks as usize * 512].fill(0);
///         Ok(())
///     }
/// }
///
/// # async fn example() -> spdk::Result<()> {
/// let store = Blobstore::init_on(Memory(Mutex::new(vec![0; 64 << 20])), None).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Threads
///
/// The device is shared by all spdk_threads that do I/O on the store. What one of them needs for itself, such as a
/// descriptor and a channel of a bdev, is in a [`Channel`](BlockDevice::Channel), which is made, used and dropped there.
///
/// # I/O
///
/// SPDK asks for an I/O on the spdk_thread of the channel, which polls its future at once, and, if that is not ready, in a
/// task. Whatever error that returns, the I/O fails with `EIO`, the only one that SPDK expects of a device. Any number of
/// them can be in flight, and be done in any order.
///
/// The memory is SPDK's or the user's of the blob, until the I/O ends; so it is copied to and from. A future that panics, or
/// that is dropped because its spdk_thread ends, fails its I/O with `EIO`. One that is never ready keeps its I/O, and
/// whatever waits for that, such as the end of its spdk_thread, which drops it first.
///
/// That end, and so the end of the application, drops these tasks before it closes what is open. From then on only an I/O that
/// is ready at its first poll succeeds. So a store on a device that awaits anything is not unloaded then, but recovered when it
/// is loaded again, and what was not synced of its blobs may be lost: call [`Blobstore::unload`](super::Blobstore::unload)
/// before, and do not leave it to a drop.
///
/// A snapshot, and other calls, begin when no I/O is in flight on the store, and let none begin meanwhile. So an I/O of a device
/// must not wait for one on a store whose I/O waits for the device, such as that of a blob which depends on it: both could wait
/// for ever.
///
/// A blobstore never asks for what it wrote to be made durable: SPDK has a function for that and does not call it. What is
/// said of blobs about being durable holds if a write is durable when it ends, or whoever owns the device sees to that
/// after [`Blob::sync`](super::Blob::sync).
///
/// The other functions are called from SPDK: a panic of theirs aborts the process.
#[doc(alias = "spdk_bs_dev")]
pub trait BlockDevice: Send + Sync + 'static {
    /// What each spdk_thread has of the device.
    type Channel: 'static;

    /// How many bytes a block has: a power of two from 512 to 4096, always the same.
    #[doc(alias = "blocklen")]
    fn block_size(&self) -> u32;

    /// How many blocks it has. If they become more, [`Blobstore::grow`](super::Blobstore::grow) has a store use them.
    #[doc(alias = "blockcnt")]
    fn num_blocks(&self) -> u64;

    /// Makes what the current spdk_thread needs, when it first does I/O.
    ///
    /// # Errors
    ///
    /// All I/O of this spdk_thread fails then.
    #[doc(alias = "create_channel")]
    fn channel(&self) -> Result<Self::Channel, Errno>;

    /// Reads from `block` on, as many blocks as `into` has room for.
    #[doc(alias = "readv")]
    fn read(
        &self,
        channel: &Self::Channel,
        block: u64,
        into: &mut ReadInto<'_>,
    ) -> impl Future<Output = Result<(), Errno>>;

    /// Writes from `block` on, as many blocks as `from` has.
    ///
    /// Without it the device refuses writes.
    #[doc(alias = "writev")]
    fn write(
        &self,
        _channel: &Self::Channel,
        _block: u64,
        _from: &WriteFrom,
    ) -> impl Future<Output = Result<(), Errno>> {
        async { Err(Errno::EROFS) }
    }

    /// Writes zeroes.
    ///
    /// Without it the device refuses that.
    fn write_zeroes(
        &self,
        _channel: &Self::Channel,
        _block: u64,
        _num_blocks: u64,
    ) -> impl Future<Output = Result<(), Errno>> {
        async { Err(Errno::EROFS) }
    }

    /// What is in these blocks is not needed any more. What they read as then is up to the device.
    ///
    /// Without it they keep what they have.
    fn unmap(
        &self,
        _channel: &Self::Channel,
        _block: u64,
        _num_blocks: u64,
    ) -> impl Future<Output = Result<(), Errno>> {
        async { Ok(()) }
    }

    /// Whether it takes no I/O at the moment, and so the blobs on it do not; see
    /// [`BlobInfo::is_degraded`](super::BlobInfo::is_degraded).
    fn is_degraded(&self) -> bool {
        false
    }
}

type Parts = SmallVec<[sys::iovec; 4]>;

/// Memory for the data of a read.
///
/// Its lifetime is that of the I/O, so that it cannot be swapped for that of another one, which may end before.
pub struct ReadInto<'io> {
    parts: Parts,
    len: usize,
    /// Neither `Send` nor `Sync`.
    _lent: PhantomData<(&'io (), *mut ())>,
}

/// The data of a write.
pub struct WriteFrom {
    parts: Parts,
    len: usize,
    _lent: PhantomData<*mut ()>,
}

/// The first `len` bytes of some memory.
fn first_bytes(parts: &[sys::iovec], len: usize) -> Parts {
    let mut left = len;
    let mut first = Parts::new();
    for part in parts {
        let len = left.min(part.iov_len);
        if len > 0 {
            first.push(sys::iovec {
                iov_base: part.iov_base,
                iov_len: len as _,
            });
        }
        left -= len;
    }
    first
}

impl ReadInto<'_> {
    /// # Safety
    /// Until the I/O ends, which is after the last use of this, the memory is there, for writing, and initialized.
    pub(super) unsafe fn new(parts: &[sys::iovec], len: usize) -> Self {
        ReadInto {
            parts: first_bytes(parts, len),
            len,
            _lent: PhantomData,
        }
    }

    /// Fills what is beyond the first `len` bytes with zeroes, and forgets of it.
    pub(super) fn truncate(&mut self, len: usize) {
        let beyond = self.len.saturating_sub(len);
        let zeroes = |piece: *mut u8, bytes: std::ops::Range<usize>| {
            // SAFETY: as `new` requires, this part of the memory can be written.
            unsafe { ptr::write_bytes(piece, 0, bytes.len()) }
        };
        // It is a part of it, so this does not fail.
        let _ = each_piece(&self.parts, self.len - beyond, beyond, zeroes);
        self.parts = first_bytes(&self.parts, self.len - beyond);
        self.len -= beyond;
    }

    /// How many bytes are to be read.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives a part of what was read, the bytes from byte `offset` on. What is never given keeps what was there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if they go over the end.
    pub fn copy_from(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let copy = |piece: *mut u8, part: std::ops::Range<usize>| {
            let bytes = &bytes[part];
            // SAFETY: as `new` requires, this part of the memory can be written, and nobody else has it, such as the
            // owner of `bytes`.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), piece, bytes.len()) }
        };
        each_piece(&self.parts, offset, bytes.len(), copy)
            .map_err(|fault| fault.at(At::free("ReadInto::copy_from")))
    }
}

impl WriteFrom {
    /// # Safety
    /// Until the I/O ends, which is after the last use of this, the memory is there, for reading, and initialized.
    pub(super) unsafe fn new(parts: &[sys::iovec], len: usize) -> Self {
        WriteFrom {
            parts: first_bytes(parts, len),
            len,
            _lent: PhantomData,
        }
    }

    /// How many bytes are to be written.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes a part of what is to be written, the bytes from byte `offset` on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if they go over the end.
    pub fn copy_to(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let len = bytes.len();
        let copy = |piece: *mut u8, part: std::ops::Range<usize>| {
            let bytes = &mut bytes[part];
            // SAFETY: as `new` requires, this part of the memory can be read; `bytes` is elsewhere, since it is
            // borrowed exclusively.
            unsafe { ptr::copy_nonoverlapping(piece, bytes.as_mut_ptr(), bytes.len()) }
        };
        each_piece(&self.parts, offset, len, copy)
            .map_err(|fault| fault.at(At::free("WriteFrom::copy_to")))
    }
}

impl std::fmt::Debug for ReadInto<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadInto").field("len", &self.len).finish()
    }
}

impl std::fmt::Debug for WriteFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteFrom").field("len", &self.len).finish()
    }
}
