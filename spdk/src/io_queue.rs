//! [`IoQueue`]: many I/Os of one device in flight, from one task.

pub(crate) mod device;
mod each;
mod queue;
mod slot;
mod slots;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::bdev::{BdevDesc, hides_metadata};
use crate::buf::DmaBuf;
use crate::channel::IoChannel;
use crate::error::{At, Error, Fault, Result};
use crate::handle::Subject;
use crate::local::begin;
use device::{BdevDevice, Device, Kind};
use each::ForEach;
use slots::{Ended, Slots};

/// I/Os in flight on a bdev, or on another [`IoTarget`], and the stream of their completions.
///
/// For one task that keeps many I/Os in flight: it costs less than a task, or a future in a
/// `FuturesUnordered`, for each of them, since a batch of completions is one poll. An I/O takes its
/// buffer and a tag of yours, and gives both back when it has ended. In steady state nothing is
/// allocated.
///
/// ```
/// # use spdk::{Bdev, DmaBuf, IoQueue, SpdkApp};
/// # const CONFIG: &str = r#"{"subsystems": [{"subsystem": "bdev", "config": [
/// #     {"method": "bdev_malloc_create",
/// #      "params": {"name": "Malloc0", "num_blocks": 8192, "block_size": 512}}]}]}"#;
/// # fn main() -> spdk::Result<()> {
/// # SpdkApp::builder().json_data(CONFIG).no_huge(true).no_pci(true).mem_size_mb(512).disable_cpumask_locks(true).block_on(async {
/// let desc = Bdev::find("Malloc0")?.open(true)?;
/// let channel = desc.get_io_channel()?;
/// let mut queue = IoQueue::new(&channel)?;
/// for block in 0..8 {
///     let mut buf = DmaBuf::alloc(512, 512)?;
///     buf.fill(block as u8);
///     queue.write_blocks(buf, block, 1, block);
/// }
/// while let Some(done) = queue.next().await {
///     done.result?;
///     println!("block {} is written", done.tag);
/// }
/// # Ok(())
/// # })
/// # }
/// ```
///
/// An I/O that has ended can be the next one, with its buffer and tag; see [`IoQueue::ended`].
///
/// # Errors
///
/// An I/O that cannot be submitted ends with its error, like one that the device fails: as a
/// completion, for the next [`IoQueue::next`] or [`IoQueue::ended`]. `-ENOMEM` waits for a free `spdk_bdev_io`, or a free
/// request of the queue pair or the blobstore's channel, and submits again. [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) ends one
/// whose buffer has not the size of its blocks.
///
/// # Cancellation
///
/// A queue that is dropped leaves its I/Os in flight. Their buffers and tags are dropped as each ends;
/// the descriptor and the channel, the queue pair, or the blob stay open underneath until the last one has.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread of the channel, or of the queue pair. On another one of the same OS
/// thread its I/Os end with [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread).
pub struct IoQueue<T: 'static, D: IoTarget = BdevDesc>(Slots<T, D::Device>);

/// What an [`IoQueue`] can have I/Os of: a bdev, a namespace of an NVMe controller, or a blob.
///
/// It is for the types of this crate only.
pub trait IoTarget: sealed::Sealed + 'static {
    #[doc(hidden)]
    type Device: Device;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for BdevDesc {}
impl IoTarget for BdevDesc {
    type Device = BdevDevice;
}

/// The end of an I/O of an [`IoQueue`], with what it was given.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done<T> {
    /// Its tag.
    pub tag: T,
    /// Its buffer, if it had one.
    pub buf: Option<DmaBuf>,
    /// Whether it has succeeded.
    pub result: Result<()>,
}

/// An I/O of an [`IoQueue`] that has ended, in its place: it can be the next one.
///
/// Dropped, it leaves the queue, and its buffer and tag are dropped.
pub struct EndedIo<'a, T: 'static, D: IoTarget = BdevDesc>(Ended<'a, T, D::Device>);

impl<T: 'static> IoQueue<T> {
    /// A queue of I/Os on this channel of a bdev, which it keeps open.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the
    /// channel's, [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed, and
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a channel of something
    /// else than a bdev, or of a descriptor that hides metadata.
    pub fn new(channel: &IoChannel) -> Result<Self> {
        let queue = begin(|caller| {
            channel.handle().get(caller)?;
            let desc = channel.bdev_desc();
            let desc = desc.ok_or_else(|| Fault::invalid("it is not the channel of a bdev"))?;
            match desc.extra().rules().block_size() {
                0 => Err(hides_metadata()),
                _ => Ok(IoQueue::on(BdevDevice::new(channel.handle(), desc))),
            }
        });
        queue.map_err(|fault| fault.at(At::new("IoQueue::new", channel)))
    }
}

impl<T: 'static, D: IoTarget> IoQueue<T, D> {
    pub(crate) fn on(device: D::Device) -> Self {
        IoQueue(Slots::new(device))
    }

    /// Reads `num_blocks` blocks at block `offset_blocks` into `buf`, which has exactly their size.
    #[doc(alias = "spdk_bdev_read_blocks")]
    #[doc(alias = "spdk_nvme_ns_cmd_read")]
    #[doc(alias = "spdk_blob_io_read")]
    #[inline]
    pub fn read_blocks(&mut self, buf: DmaBuf, offset_blocks: u64, num_blocks: u64, tag: T) {
        let io = self.0.slot(Some(buf), tag);
        io.submit::<{ Kind::Read as u8 }>(offset_blocks, num_blocks);
    }

    /// Writes `num_blocks` blocks of `buf`, which has exactly their size, at block `offset_blocks`.
    ///
    /// Where a bdev that is upon another one has reference tags in its blocks, SPDK may change those in `buf` to the tags of the
    /// device below: they have to be made again before it is written again.
    #[doc(alias = "spdk_bdev_write_blocks")]
    #[doc(alias = "spdk_nvme_ns_cmd_write")]
    #[doc(alias = "spdk_blob_io_write")]
    #[inline]
    pub fn write_blocks(&mut self, buf: DmaBuf, offset_blocks: u64, num_blocks: u64, tag: T) {
        let io = self.0.slot(Some(buf), tag);
        io.submit::<{ Kind::Write as u8 }>(offset_blocks, num_blocks);
    }

    /// Writes zeroes to `num_blocks` blocks at block `offset_blocks`.
    #[doc(alias = "spdk_bdev_write_zeroes_blocks")]
    #[doc(alias = "spdk_nvme_ns_cmd_write_zeroes")]
    #[doc(alias = "spdk_blob_io_write_zeroes")]
    #[inline]
    pub fn write_zeroes_blocks(&mut self, offset_blocks: u64, num_blocks: u64, tag: T) {
        let io = self.0.slot(None, tag);
        io.submit::<{ Kind::WriteZeroes as u8 }>(offset_blocks, num_blocks);
    }

    /// Tells the device that `num_blocks` blocks at block `offset_blocks` are not needed any more.
    ///
    /// To a namespace it is a Dataset Management command, for whose range SPDK allocates DMA memory.
    #[doc(alias = "spdk_bdev_unmap_blocks")]
    #[doc(alias = "spdk_nvme_ns_cmd_dataset_management")]
    #[doc(alias = "spdk_blob_io_unmap")]
    #[inline]
    pub fn unmap_blocks(&mut self, offset_blocks: u64, num_blocks: u64, tag: T) {
        let io = self.0.slot(None, tag);
        io.submit::<{ Kind::Unmap as u8 }>(offset_blocks, num_blocks);
    }

    /// Makes `num_blocks` blocks at block `offset_blocks` durable.
    ///
    /// A namespace makes all of its blocks durable, whatever the range. A blob has nothing like it: it ends with `ENOTSUP`.
    #[doc(alias = "spdk_bdev_flush_blocks")]
    #[doc(alias = "spdk_nvme_ns_cmd_flush")]
    #[inline]
    pub fn flush_blocks(&mut self, offset_blocks: u64, num_blocks: u64, tag: T) {
        let io = self.0.slot(None, tag);
        io.submit::<{ Kind::Flush as u8 }>(offset_blocks, num_blocks);
    }

    /// The next I/O that has ended; `None` if there is none, and none in flight.
    #[inline]
    pub async fn next(&mut self) -> Option<Done<T>> {
        poll_fn(|cx| self.poll_done(cx)).await
    }

    /// Waits until an I/O has ended, which [`IoQueue::pop`] takes; `false` if there is none, and none in
    /// flight.
    ///
    /// It does what [`IoQueue::next`] does, with one `await` for all that has ended by now.
    ///
    /// ```no_run
    /// # async fn example(mut queue: spdk::IoQueue<u64>) -> spdk::Result<()> {
    /// while queue.ended().await {
    ///     while let Some(mut io) = queue.pop() {
    ///         io.take_result()?;
    ///         *io.tag_mut() += 8;
    ///         let block = *io.tag();
    ///         if block < 1024 {
    ///             io.read_blocks(block, 1); // the same buffer and tag
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn ended(&mut self) -> impl Future<Output = bool> {
        poll_fn(|cx| self.0.poll_ended(cx))
    }

    /// An I/O that has ended; `None` if none has by now.
    #[inline]
    pub fn pop(&mut self) -> Option<EndedIo<'_, T, D>> {
        self.0.pop().map(EndedIo)
    }

    /// Calls `each` for every I/O that ends, until none is in flight.
    ///
    /// It does what a loop of [`IoQueue::ended`] and [`IoQueue::pop`] does, and is faster for a device that completes
    /// in microseconds: `each` is called in the C callback of the I/O, where C code submits the next one, too. It is
    /// called by the future's poll instead for an I/O that was submitted before the first poll, was refused, has failed, is a
    /// span that somebody wants, or ends while other code of the user's runs on the spdk_thread.
    ///
    /// ```
    /// # use spdk::{Bdev, DmaBuf, IoQueue, SpdkApp};
    /// # const CONFIG: &str = r#"{"subsystems": [{"subsystem": "bdev", "config": [
    /// #     {"method": "bdev_malloc_create",
    /// #      "params": {"name": "Malloc0", "num_blocks": 8192, "block_size": 512}}]}]}"#;
    /// # fn main() -> spdk::Result<()> {
    /// # SpdkApp::builder().json_data(CONFIG).no_huge(true).no_pci(true).mem_size_mb(512).disable_cpumask_locks(true).block_on(async {
    /// # let desc = Bdev::find("Malloc0")?.open(true)?;
    /// # let channel = desc.get_io_channel()?;
    /// let mut queue = IoQueue::new(&channel)?;
    /// for block in 0..8 {
    ///     queue.read_blocks(DmaBuf::alloc(512, 512)?, block, 1, block);
    /// }
    /// queue
    ///     .for_each_ended(|mut io| {
    ///         if let Err(error) = io.take_result() {
    ///             return eprintln!("{error}"); // it leaves the queue
    ///         }
    ///         *io.tag_mut() += 8;
    ///         let block = *io.tag();
    ///         if block < 1024 {
    ///             io.read_blocks(block, 1); // the same buffer and tag
    ///         }
    ///     })
    ///     .await;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// A panic of `each` is one of this future.
    ///
    /// # Cancellation
    ///
    /// `each` is dropped with the future. The I/Os stay in flight, and what ends is kept for the next `for_each_ended`,
    /// [`IoQueue::ended`] or [`IoQueue::next`]. A future that is forgotten (`std::mem::forget`) goes on calling, until the
    /// queue is dropped or the spdk_thread ends.
    ///
    /// # Thread
    ///
    /// `each` runs on the spdk_thread of the queue, and keeps it from all else meanwhile; polled on another one, it runs
    /// there for what has ended, and what it submits ends with [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread).
    #[doc(alias = "spdk_bdev_io_completion_cb")]
    #[doc(alias = "spdk_nvme_cmd_cb")]
    #[doc(alias = "spdk_blob_op_complete")]
    #[inline]
    pub fn for_each_ended<F>(&mut self, mut each: F) -> impl Future<Output = ()>
    where
        F: FnMut(EndedIo<'_, T, D>) + 'static,
    {
        ForEach::new(&mut self.0, move |ended: Ended<'_, T, D::Device>| {
            each(EndedIo(ended));
        })
    }

    /// How many I/Os it has, in flight or ended and not taken yet.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Option<Done<T>>> {
        Poll::Ready(match ready!(self.0.poll_ended(cx)) {
            true => self.pop().map(EndedIo::into_done),
            false => None,
        })
    }
}

impl<T: 'static, D: IoTarget> EndedIo<'_, T, D> {
    /// Its tag.
    #[inline]
    pub fn tag(&self) -> &T {
        self.0.tag()
    }

    /// Its tag, to be changed.
    #[inline]
    pub fn tag_mut(&mut self) -> &mut T {
        self.0.tag_mut()
    }

    /// Its buffer, if it has one, which may be changed for another or taken.
    #[inline]
    pub fn buf(&mut self) -> &mut Option<DmaBuf> {
        self.0.buf()
    }

    /// Why it has failed; `None` if it has succeeded.
    #[inline]
    pub fn error(&self) -> Option<&Error> {
        self.0.error()
    }

    /// Whether it has succeeded. It has no error any more after this.
    #[inline]
    pub fn take_result(&mut self) -> Result<()> {
        self.0.take_error().map_or(Ok(()), Err)
    }

    /// Takes it out of the queue.
    #[inline]
    pub fn into_done(self) -> Done<T> {
        let (tag, buf, error) = self.0.into_parts();
        Done {
            tag,
            buf,
            result: error.map_or(Ok(()), Err),
        }
    }

    /// Reads into its buffer next; see [`IoQueue::read_blocks`].
    #[inline]
    pub fn read_blocks(self, offset_blocks: u64, num_blocks: u64) {
        self.0
            .submit::<{ Kind::Read as u8 }>(offset_blocks, num_blocks);
    }

    /// Writes its buffer next; see [`IoQueue::write_blocks`].
    #[inline]
    pub fn write_blocks(self, offset_blocks: u64, num_blocks: u64) {
        self.0
            .submit::<{ Kind::Write as u8 }>(offset_blocks, num_blocks);
    }

    /// Writes zeroes next; see [`IoQueue::write_zeroes_blocks`].
    #[inline]
    pub fn write_zeroes_blocks(self, offset_blocks: u64, num_blocks: u64) {
        self.0
            .submit::<{ Kind::WriteZeroes as u8 }>(offset_blocks, num_blocks);
    }

    /// Unmaps next; see [`IoQueue::unmap_blocks`].
    #[inline]
    pub fn unmap_blocks(self, offset_blocks: u64, num_blocks: u64) {
        self.0
            .submit::<{ Kind::Unmap as u8 }>(offset_blocks, num_blocks);
    }

    /// Flushes next; see [`IoQueue::flush_blocks`].
    #[inline]
    pub fn flush_blocks(self, offset_blocks: u64, num_blocks: u64) {
        self.0
            .submit::<{ Kind::Flush as u8 }>(offset_blocks, num_blocks);
    }
}

impl<T: 'static> EndedIo<'_, T> {
    /// When it was submitted, in [`ticks`](crate::ticks); 0 if it was refused before.
    #[doc(alias = "spdk_bdev_io_get_submit_tsc")]
    #[inline]
    pub fn submitted(&self) -> u64 {
        self.0.submitted()
    }
}

// What it owns is on the heap.
impl<T: 'static, D: IoTarget> Unpin for IoQueue<T, D> {}

impl<T: 'static, D: IoTarget> Stream for IoQueue<T, D> {
    type Item = Done<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Done<T>>> {
        self.poll_done(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

impl<T: 'static, D: IoTarget> fmt::Debug for IoQueue<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoQueue")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<T: fmt::Debug + 'static, D: IoTarget> fmt::Debug for EndedIo<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndedIo")
            .field("tag", self.tag())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}
