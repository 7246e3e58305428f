//! A [`BlockDevice`] as SPDK takes it: a `spdk_bs_dev`, whose functions call it.
#![allow(unsafe_code)] // Its functions are called by C, with the addresses that they made.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::block_device::{BlockDevice, ReadInto, WriteFrom};
use crate::io_device::{ChannelValue, IoDevice};
use crate::local::{Local, run_caught};
use crate::panic::{self, guard};
use crate::{Errno, sys, task};

/// What an spdk_thread has of a device, or why it has nothing.
type Opened<D> = Result<<D as BlockDevice>::Channel, Errno>;

#[repr(C)]
struct BsDev<D: BlockDevice> {
    /// Its address is that of the whole.
    raw: sys::spdk_bs_dev,
    device: Arc<D>,
    channels: IoDevice<Opened<D>>,
    block_size: u32,
    /// Dropped with the device, on its spdk_thread: what is in flight may keep `device` longer.
    _kept: Box<dyn Any>,
}

/// Whether a device of a blobstore can have blocks of this size.
pub(super) fn is_block_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (512..=4096).contains(&bytes)
}

/// Makes a device that its owner, or who that gives it to, destroys by its own function, on an spdk_thread.
pub(super) fn new<D: BlockDevice>(device: D) -> Result<NonNull<sys::spdk_bs_dev>, Errno> {
    new_keeping(device, Box::new(()))
}

/// The same, with what is dropped when it is destroyed.
pub(super) fn new_keeping<D: BlockDevice>(
    device: D,
    kept: Box<dyn Any>,
) -> Result<NonNull<sys::spdk_bs_dev>, Errno> {
    let (block_size, num_blocks) = (device.block_size(), device.num_blocks());
    let is_valid = is_block_size(block_size) && num_blocks.checked_mul(block_size.into()).is_some();
    if !is_valid {
        return Err(Errno::EINVAL);
    }
    let device = Arc::new(device);
    let opened = device.clone();
    let channels = IoDevice::register("blobstore device", move || opened.channel());
    let channels = channels.map_err(|error| error.errno().unwrap_or(Errno::ENODEV))?;
    let raw = sys::spdk_bs_dev {
        create_channel: Some(create_channel::<D>),
        destroy_channel: Some(destroy_channel),
        destroy: Some(destroy::<D>),
        read: Some(read::<D>),
        write: Some(write::<D>),
        readv: Some(readv::<D>),
        writev: Some(writev::<D>),
        readv_ext: Some(readv_ext::<D>),
        writev_ext: Some(writev_ext::<D>),
        // Nobody calls it.
        flush: None,
        write_zeroes: Some(write_zeroes::<D>),
        unmap: Some(unmap::<D>),
        get_base_bdev: Some(get_base_bdev),
        is_zeroes: Some(is_zeroes),
        is_range_valid: Some(is_range_valid::<D>),
        translate_lba: Some(translate_lba),
        // SPDK reads and writes instead.
        copy: None,
        is_degraded: Some(is_degraded::<D>),
        blockcnt: num_blocks,
        blocklen: block_size,
        #[cfg(spdk_since_25_05)]
        phys_blocklen: block_size,
    };
    let dev = Box::new(BsDev {
        raw,
        device,
        channels,
        block_size,
        _kept: kept,
    });
    Ok(NonNull::from(Box::leak(dev)).cast())
}

/// Tells SPDK how many blocks the device has now.
///
/// # Safety
/// The device was made by [`new`] with this `D`, and this is the metadata thread of its store.
pub(super) unsafe fn update_size<D: BlockDevice>(dev: *mut sys::spdk_bs_dev) {
    // SAFETY: it exists, as the caller says.
    let num_blocks = unsafe { device::<D>(dev) }.num_blocks();
    // SAFETY: as above; only the metadata thread uses the number.
    unsafe { (*dev).blockcnt = num_blocks };
}

/// # Safety
/// The device was made by [`new`] with this `D`, and exists while what is returned is used.
unsafe fn device<'a, D: BlockDevice>(dev: *mut sys::spdk_bs_dev) -> &'a Arc<D> {
    // SAFETY: passed on. The reference is to a field that C does not know of.
    unsafe { &(*dev.cast::<BsDev<D>>()).device }
}

unsafe extern "C" fn create_channel<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
) -> *mut sys::spdk_io_channel {
    guard("channel of a device", || {
        // SAFETY: C calls it with the device that has this function.
        let channels = unsafe { &(*dev.cast::<BsDev<D>>()).channels };
        match channels.raw_channel() {
            Ok(channel) => channel.as_ptr(),
            Err(error) => {
                tracing::error!(%error, "a device of a blobstore has no channel");
                ptr::null_mut()
            }
        }
    })
}

/// SPDK puts some channels back itself instead of calling this.
unsafe extern "C" fn destroy_channel(_: *mut sys::spdk_bs_dev, channel: *mut sys::spdk_io_channel) {
    // SAFETY: it got the reference from `create_channel`, on this spdk_thread.
    unsafe { sys::spdk_put_io_channel(channel) }
}

unsafe extern "C" fn destroy<D: BlockDevice>(dev: *mut sys::spdk_bs_dev) {
    guard("end of a device", || {
        // SAFETY: made by `new`, and destroyed once. What is in flight has its own references.
        let dev = unsafe { Box::from_raw(dev.cast::<BsDev<D>>()) };
        run_caught("drop of a device", || drop(dev));
    });
}

unsafe extern "C" fn get_base_bdev(_: *mut sys::spdk_bs_dev) -> *mut sys::spdk_bdev {
    ptr::null_mut()
}

unsafe extern "C" fn is_zeroes(_: *mut sys::spdk_bs_dev, _: u64, _: u64) -> bool {
    false
}

unsafe extern "C" fn is_range_valid<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    block: u64,
    count: u64,
) -> bool {
    guard("range of a device", || {
        // SAFETY: as in `create_channel`.
        let size = unsafe { device::<D>(dev) }.num_blocks();
        block.checked_add(count).is_some_and(|end| end <= size)
    })
}

/// None of its blocks is one of the device of a blobstore, as which SPDK takes them.
unsafe extern "C" fn translate_lba(_: *mut sys::spdk_bs_dev, _: u64, _: *mut u64) -> bool {
    false
}

unsafe extern "C" fn is_degraded<D: BlockDevice>(dev: *mut sys::spdk_bs_dev) -> bool {
    guard("state of a device", || {
        // SAFETY: as in `create_channel`.
        let device = unsafe { device::<D>(dev) };
        device.is_degraded()
    })
}

/// How an I/O is ended. A drop ends it with `EIO`.
struct Ending(Option<NonNull<sys::spdk_bs_dev_cb_args>>);

impl Ending {
    /// # Safety
    /// C gave this for an I/O of the current spdk_thread, and it is ended on the same.
    unsafe fn new(args: *mut sys::spdk_bs_dev_cb_args) -> Self {
        Ending(NonNull::new(args))
    }

    fn end(mut self, result: Result<(), Errno>) {
        self.end_now(result);
    }

    fn end_now(&mut self, result: Result<(), Errno>) {
        let Some(args) = self.0.take() else { return };
        let rc = match result {
            Ok(()) => 0,
            // The one that SPDK's own devices have: others mean something to it, so that it does not unload a store.
            Err(errno) => {
                tracing::debug!(%errno, "an I/O on a device failed");
                -libc::EIO
            }
        };
        // SAFETY: C keeps them until this call, which is the one that it gets, on the spdk_thread of the I/O: an ending
        // never leaves that.
        unsafe {
            let sys::spdk_bs_dev_cb_args {
                cb_fn,
                channel,
                cb_arg,
            } = args.read();
            if let Some(done) = cb_fn {
                done(channel, cb_arg, rc);
            }
        }
    }

    /// In the next turn of the spdk_thread: SPDK makes a call inside of the callback of another, so that one that ended at
    /// once would be a step of a recursion.
    fn end_later(self, result: Result<(), Errno>) {
        match Local::here() {
            Some(local) => local.defer(Box::new(move || self.end(result))),
            None => self.end(result),
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end_now(Err(Errno::EIO));
    }
}

/// An I/O that goes on in a task.
struct Running<F> {
    /// Dropped first: it uses the memory of the I/O.
    work: Pin<Box<F>>,
    ending: Ending,
}

impl<F: Future<Output = Result<(), Errno>>> Future for Running<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let result = std::task::ready!(self.work.as_mut().poll(cx));
        self.ending.end_now(result);
        Poll::Ready(())
    }
}

/// Begins an I/O of `count` blocks, whose work is made by `io`.
///
/// # Safety
/// C calls a function of `dev`, which was made by [`new`] with this `D`, with this channel and these arguments; `io` uses
/// the memory of the I/O in the future that it makes only.
///
/// The channel may be that of another device: SPDK 26.01 keeps those that other spdk_threads than that of the metadata have
/// of a blob's external snapshot, when the blob is inflated, for whatever depends on one later and has its ID.
unsafe fn begin<D: BlockDevice, F>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    args: *mut sys::spdk_bs_dev_cb_args,
    io: impl FnOnce(Arc<D>, ChannelValue<Opened<D>>) -> F,
) where
    F: Future<Output = Result<(), Errno>> + 'static,
{
    guard("I/O on a device", || {
        // SAFETY: as the caller says. A channel that C has exists, and is one of this spdk_thread.
        let (ending, device, channel) = unsafe {
            let channels = &(*dev.cast::<BsDev<D>>()).channels;
            let channel = NonNull::new(channel).map(|channel| channels.value_of(channel));
            (Ending::new(args), device::<D>(dev).clone(), channel)
        };
        let Some(Ok(channel)) = channel else {
            return ending.end_later(Err(Errno::EIO));
        };
        let mut work = Box::pin(io(device, channel));
        let first = AssertUnwindSafe(|| {
            let mut cx = Context::from_waker(Waker::noop());
            work.as_mut().poll(&mut cx)
        });
        match catch_unwind(first) {
            Ok(Poll::Ready(result)) => {
                run_caught("drop of an I/O", || drop(work));
                ending.end_later(result);
            }
            Ok(Poll::Pending) => match Local::here() {
                Some(local) => drop(task::spawn_on(&local, Running { work, ending })),
                None => run_caught("drop of an I/O", || drop(Running { work, ending })),
            },
            Err(payload) => {
                let message = panic::message(payload);
                tracing::error!(message, "panic in an I/O on a device");
                run_caught("drop of an I/O", || drop(work));
                ending.end_later(Err(Errno::EIO));
            }
        }
    });
}

/// Refuses a range that the device has not.
fn within<D: BlockDevice>(device: &D, block: u64, count: u64) -> Result<(), Errno> {
    match block.checked_add(count) {
        Some(end) if end <= device.num_blocks() => Ok(()),
        _ => Err(Errno::EIO),
    }
}

/// # Safety
/// As for [`begin`]; the memory is there until the I/O ends.
unsafe fn read_into<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    parts: &[sys::iovec],
    block: u64,
    count: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: the device exists, and this is a number of it.
    let size = unsafe { (*dev.cast::<BsDev<D>>()).block_size } as usize;
    // SAFETY: passed on. It is used by the future.
    let mut into = unsafe { ReadInto::new(parts, count as usize * size) };
    let io = move |device: Arc<D>, channel: ChannelValue<Opened<D>>| async move {
        let channel = channel.as_ref().map_err(|errno| *errno)?;
        // A blob may be larger than the device that it depends on.
        let left = device.num_blocks().saturating_sub(block);
        if left < count.into() {
            into.truncate(left as usize * size);
        }
        match left {
            0 => Ok(()),
            _ => device.read(channel, block, &mut into).await,
        }
    };
    // SAFETY: passed on.
    unsafe { begin::<D, _>(dev, channel, args, io) }
}

/// # Safety
/// As for [`read_into`].
unsafe fn write_from<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    parts: &[sys::iovec],
    block: u64,
    count: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: the device exists, and this is a number of it.
    let size = unsafe { (*dev.cast::<BsDev<D>>()).block_size } as usize;
    // SAFETY: passed on. It is used by the future.
    let from = unsafe { WriteFrom::new(parts, count as usize * size) };
    let io = move |device: Arc<D>, channel: ChannelValue<Opened<D>>| async move {
        let channel = channel.as_ref().map_err(|errno| *errno)?;
        within(&*device, block, count.into())?;
        device.write(channel, block, &from).await
    };
    // SAFETY: passed on.
    unsafe { begin::<D, _>(dev, channel, args, io) }
}

/// The memory of an I/O in one piece.
fn whole(payload: *mut c_void, len: u32) -> sys::iovec {
    sys::iovec {
        iov_base: payload,
        // `first_bytes` takes as many as there are blocks.
        iov_len: len as usize * 4096,
    }
}

/// # Safety
/// The array has so many entries.
unsafe fn array<'a>(iov: *mut sys::iovec, count: c_int) -> &'a [sys::iovec] {
    match usize::try_from(count) {
        // SAFETY: as the caller says.
        Ok(count) if count > 0 => unsafe { std::slice::from_raw_parts(iov, count) },
        _ => &[],
    }
}

unsafe extern "C" fn read<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    payload: *mut c_void,
    block: u64,
    count: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: C calls it with a device that has this function. It keeps the memory until the I/O ends.
    unsafe { read_into::<D>(dev, channel, &[whole(payload, count)], block, count, args) }
}

unsafe extern "C" fn write<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    payload: *mut c_void,
    block: u64,
    count: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: as in `read`.
    unsafe { write_from::<D>(dev, channel, &[whole(payload, count)], block, count, args) }
}

unsafe extern "C" fn readv<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    iov: *mut sys::iovec,
    iovcnt: c_int,
    block: u64,
    count: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: as in `read`.
    unsafe { read_into::<D>(dev, channel, array(iov, iovcnt), block, count, args) }
}

unsafe extern "C" fn writev<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    iov: *mut sys::iovec,
    iovcnt: c_int,
    block: u64,
    count: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: as in `read`.
    unsafe { write_from::<D>(dev, channel, array(iov, iovcnt), block, count, args) }
}

/// Whether the memory of an I/O is no memory of the process.
///
/// # Safety
/// The options exist, if there are any.
unsafe fn is_of_a_domain(opts: *mut sys::spdk_blob_ext_io_opts) -> bool {
    // SAFETY: as the caller says; a packed field is copied.
    !opts.is_null() && !unsafe { (*opts).memory_domain }.is_null()
}

unsafe extern "C" fn readv_ext<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    iov: *mut sys::iovec,
    iovcnt: c_int,
    block: u64,
    count: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
    opts: *mut sys::spdk_blob_ext_io_opts,
) {
    // SAFETY: as in `read`.
    unsafe {
        match is_of_a_domain(opts) {
            true => Ending::new(args).end_later(Err(Errno::ENOTSUP)),
            false => readv::<D>(dev, channel, iov, iovcnt, block, count, args),
        }
    }
}

unsafe extern "C" fn writev_ext<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    iov: *mut sys::iovec,
    iovcnt: c_int,
    block: u64,
    count: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
    opts: *mut sys::spdk_blob_ext_io_opts,
) {
    // SAFETY: as in `read`.
    unsafe {
        match is_of_a_domain(opts) {
            true => Ending::new(args).end_later(Err(Errno::ENOTSUP)),
            false => writev::<D>(dev, channel, iov, iovcnt, block, count, args),
        }
    }
}

unsafe extern "C" fn write_zeroes<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    block: u64,
    count: u64,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    let io = move |device: Arc<D>, channel: ChannelValue<Opened<D>>| async move {
        let channel = channel.as_ref().map_err(|errno| *errno)?;
        within(&*device, block, count)?;
        device.write_zeroes(channel, block, count).await
    };
    // SAFETY: as in `read`.
    unsafe { begin::<D, _>(dev, channel, args, io) }
}

unsafe extern "C" fn unmap<D: BlockDevice>(
    dev: *mut sys::spdk_bs_dev,
    channel: *mut sys::spdk_io_channel,
    block: u64,
    count: u64,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    let io = move |device: Arc<D>, channel: ChannelValue<Opened<D>>| async move {
        let channel = channel.as_ref().map_err(|errno| *errno)?;
        within(&*device, block, count)?;
        device.unmap(channel, block, count).await
    };
    // SAFETY: as in `read`.
    unsafe { begin::<D, _>(dev, channel, args, io) }
}
