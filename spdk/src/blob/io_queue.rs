//! Blobs as what an [`IoQueue`] has I/Os of.
#![allow(unsafe_code)] // Calls the C functions of I/Os on blobs.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::rc::Rc;

use super::handle::Blob;
use super::requests::Requests;
use super::unmap::gives_up;
use crate::channel::{IoChannel, IoChannelObject};
use crate::error::{At, Describe, Fault, Result};
use crate::handle::{Handle, Subject};
use crate::io_queue::device::{Device, End, GoOn, Kind, Refusal};
use crate::io_queue::sealed::Sealed;
use crate::iovecs::check_len;
use crate::local::{Caller, Home, begin};
use crate::op::status;
use crate::panic::guard;
use crate::{Errno, IoQueue, IoTarget, sys};

impl Sealed for Blob {}
impl IoTarget for Blob {
    type Device = BlobDevice;
}

impl<T: 'static> IoQueue<T, Blob> {
    /// A queue of I/Os on a blob through this channel of its store, both of which it keeps open.
    ///
    /// ```
    /// # use spdk::blob::{BlobOpts, Blobstore};
    /// # use spdk::{DmaBuf, IoQueue, SpdkApp};
    /// # const CONFIG: &str = r#"{"subsystems": [{"subsystem": "bdev", "config": [
    /// #     {"method": "bdev_malloc_create",
    /// #      "params": {"name": "Malloc0", "num_blocks": 16384, "block_size": 512}}]}]}"#;
    /// # fn main() -> spdk::Result<()> {
    /// # SpdkApp::builder().json_data(CONFIG).no_huge(true).no_pci(true).mem_size_mb(512).disable_cpumask_locks(true).block_on(async {
    /// # let store = Blobstore::init("Malloc0", None).await?;
    /// # let id = store.create_blob(Some(&BlobOpts::new().num_clusters(1))).await?;
    /// # let blob = store.open_blob(id, None).await?;
    /// # let channel = store.alloc_io_channel()?;
    /// let mut queue = IoQueue::of_blob(&blob, &channel)?;
    /// for unit in 0..32 {
    ///     let buf = DmaBuf::alloc(blob.io_unit_size() as usize, 4096)?;
    ///     queue.write_blocks(buf, unit, 1, unit);
    /// }
    /// while let Some(done) = queue.next().await {
    ///     done.result?;
    ///     println!("io unit {} is written", done.tag);
    /// }
    /// # drop((queue, channel));
    /// # blob.close().await?;
    /// # store.unload().await
    /// # })
    /// # }
    /// ```
    ///
    /// Its blocks are io units, of [`Blob::io_unit_size`] bytes. A blob has no flush: one ends with `ENOTSUP`.
    ///
    /// It wraps `spdk_blob_io_read`, `spdk_blob_io_write`, `spdk_blob_io_write_zeroes` and `spdk_blob_io_unmap`. As every I/O on
    /// a blob, those that the channel has no room for wait in order, also for those of others, and an unmap of whole clusters of a
    /// thin blob is alone there ([`Blob::unmap_io_units`]). [`Blob::close`] ends with `EBUSY` while the queue exists.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the blob's and the channel's,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed, and
    /// [`ErrorKind::WrongChannel`](crate::ErrorKind::WrongChannel) for a channel of something else.
    ///
    /// An I/O ends with `EINVAL` beyond the end of the blob, `EPERM` if it writes to one that is read only, `ENOSPC` if a thin
    /// one needs a cluster and the store has none, and `ENOMEM` if SPDK has not enough requests for it even with nothing else
    /// in flight; and with the errors of the device.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`IoQueue`]. Blob and channel stay open underneath until the last I/O of a queue that was dropped has ended.
    pub fn of_blob(blob: &Blob, channel: &IoChannel) -> Result<Self> {
        let queue = begin(|caller| {
            let c_blob = blob.handle().get(caller)?.as_ptr();
            Ok(IoQueue::on(BlobDevice {
                c_blob,
                c_channel: channel.handle().get(caller)?.as_ptr(),
                requests: blob.channel(channel, caller)?.requests().clone(),
                channel: channel.handle().clone(),
                blob: blob.share(),
                io_unit_size: blob.io_unit_size(),
            }))
        });
        queue.map_err(|fault: Fault| fault.at(At::new("IoQueue::of_blob", blob)))
    }
}

/// A blob, through a channel of its store.
pub struct BlobDevice {
    channel: Handle<IoChannelObject>,
    blob: Blob,
    /// Those of the handles, valid while these are.
    c_blob: *mut sys::spdk_blob,
    c_channel: *mut sys::spdk_io_channel,
    requests: Rc<Requests>,
    io_unit_size: u32,
}

/// How an I/O is submitted.
#[derive(Clone, Copy)]
pub struct Turn {
    /// As the only one in flight on the channel.
    is_alone: bool,
}

/// Set in the context of an I/O that is alone; it is no part of a slot's address.
const ALONE: usize = 1;

/// No errno: what [`Device::call`] tells.
const NOTHING: c_int = c_int::MIN;

/// No errno: it has not ended, and waits.
const WAITS: c_int = c_int::MIN + 1;

unsafe extern "C" fn on_done<E: End<BlobDevice>>(arg: *mut c_void, mut rc: c_int) {
    let was_alone = arg.addr() & ALONE != 0;
    let arg = arg.map_addr(|addr| addr & !ALONE);
    // SAFETY: C calls back for the I/O of this context, or `call` does.
    unsafe {
        if rc != 0 || E::device(arg).requests.limit() == 0 {
            rc = go_on::<E>(arg, rc, was_alone);
            if rc == WAITS {
                return;
            }
        }
        E::end(rc, arg);
    }
}

/// Lets others go on, if any wait. Returns what has ended it, or [`WAITS`].
///
/// # Safety
/// As for [`End::end`].
#[cold]
#[inline(never)]
unsafe fn go_on<E: End<BlobDevice>>(arg: *mut c_void, rc: c_int, was_alone: bool) -> c_int {
    guard("completion callback", || {
        // SAFETY: passed on.
        let requests = unsafe { &E::device(arg).requests };
        if rc == NOTHING || !requests.has_more_to_do(rc) {
            return rc;
        }
        let alone = Turn { is_alone: true };
        // SAFETY: passed on.
        match requests.go_on_after(rc, was_alone, |_| unsafe { E::wait(arg, alone) }) {
            true => WAITS,
            false => rc,
        }
    })
}

impl BlobDevice {
    /// Calls the C function of an I/O that counts.
    ///
    /// # Safety
    /// As for [`Device::start`].
    #[inline(always)]
    unsafe fn call(
        &self,
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        units: u64,
        done: OnDone,
        arg: *mut c_void,
    ) {
        let (blob, ch) = (self.c_blob, self.c_channel);
        let done: sys::spdk_blob_op_complete = Some(done);
        // SAFETY: both are open until the callback, since the device counts as in use, and the caller keeps `data`.
        unsafe {
            match kind {
                Kind::Read => sys::spdk_blob_io_read(blob, ch, data, offset, units, done, arg),
                Kind::Write => sys::spdk_blob_io_write(blob, ch, data, offset, units, done, arg),
                Kind::WriteZeroes => {
                    sys::spdk_blob_io_write_zeroes(blob, ch, offset, units, done, arg)
                }
                Kind::Unmap => sys::spdk_blob_io_unmap(blob, ch, offset, units, done, arg),
                Kind::Flush => unreachable!("it was refused"),
            }
        }
    }

    /// See [`gives_up`].
    ///
    /// # Safety
    /// As for that.
    #[cold]
    unsafe fn gives_up(&self, offset: u64, units: u64) -> bool {
        // SAFETY: passed on.
        NonNull::new(self.c_blob).is_some_and(|blob| unsafe {
            gives_up(blob, self.blob.units_per_cluster(), offset, units)
        })
    }

    /// Begins one if it is its turn.
    ///
    /// # Safety
    /// As for [`Device::start`].
    #[expect(clippy::too_many_arguments, reason = "those of the C function")]
    #[cold]
    #[inline(never)]
    unsafe fn start_in_turn(
        &self,
        turn: Turn,
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        units: u64,
        done: OnDone,
        arg: *mut c_void,
    ) -> std::result::Result<(), Refusal> {
        self.requests.one_less();
        if self.requests.begin_in_turn(turn.is_alone).is_none() {
            self.requests.one_more();
            return Err(Refusal::Full);
        }
        let arg = arg.map_addr(|addr| addr | (ALONE * usize::from(turn.is_alone)));
        // SAFETY: passed on.
        unsafe { self.call(kind, data, offset, units, done, arg) };
        Ok(())
    }
}

type OnDone = unsafe extern "C" fn(*mut c_void, c_int);

// SAFETY: `on_done` is as it has to be; the functions of blob.h that are called here call back once.
unsafe impl Device for BlobDevice {
    type OnDone = OnDone;
    type Raw = c_int;
    type Place = Turn;
    /// The size of an io unit does not change.
    type Shape = ();
    type Wait = Turn;

    #[inline]
    fn on_done<E: End<Self>>() -> Self::OnDone {
        on_done::<E>
    }

    fn name(kind: Kind) -> &'static str {
        match kind {
            Kind::Read => "spdk_blob_io_read",
            Kind::Write => "spdk_blob_io_write",
            Kind::WriteZeroes => "spdk_blob_io_write_zeroes",
            Kind::Unmap => "spdk_blob_io_unmap",
            Kind::Flush => "IoQueue::flush_blocks",
        }
    }

    fn subject(&self) -> &dyn Describe {
        &self.blob
    }

    #[inline]
    fn home(&self) -> Home {
        Home::of(self.channel.local())
    }

    fn is_here(&self) -> bool {
        self.channel.local().is_current()
    }

    #[inline]
    fn begin_use(&self) {
        self.blob.handle().begin_use();
        self.channel.begin_use();
    }

    #[inline]
    fn end_use(&self) {
        self.blob.handle().end_use();
        self.channel.end_use();
    }

    // One that waits does not count.
    #[inline(always)]
    fn one_more(&self) {
        self.requests.one_more();
    }

    fn one_less(&self) {
        self.requests.is_over();
    }

    #[inline(always)]
    fn check(&self, caller: Caller<'_>) -> std::result::Result<Turn, Fault> {
        self.channel.get(caller)?;
        self.blob.handle().get(caller)?;
        Ok(Turn { is_alone: false })
    }

    #[inline(always)]
    fn shape(_: Turn) {}

    fn measure(&self, _: Turn, units: u64, len: Option<u64>) -> std::result::Result<(), Fault> {
        match len {
            Some(len) => check_len(len, units, self.io_unit_size),
            None => Ok(()),
        }
    }

    #[inline(always)]
    unsafe fn start(
        &self,
        place: Turn,
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        units: u64,
        done: Self::OnDone,
        arg: *mut c_void,
    ) -> std::result::Result<(), Refusal> {
        if offset.checked_add(units).is_none() {
            return Err(Refusal::Errno(Errno::EINVAL)); // SPDK does not look
        }
        if kind == Kind::Flush {
            return Err(Refusal::Errno(Errno::ENOTSUP));
        }
        let place = match kind {
            // SAFETY: the blob is open while the device is in use.
            Kind::Unmap if unsafe { self.gives_up(offset, units) } => Turn { is_alone: true },
            _ => place,
        };
        if place.is_alone || !self.requests.has_had_room() {
            // SAFETY: passed on.
            return unsafe { self.start_in_turn(place, kind, data, offset, units, done, arg) };
        }
        // SAFETY: passed on.
        unsafe { self.call(kind, data, offset, units, done, arg) };
        Ok(())
    }

    unsafe fn wait(&self, entry: *mut Turn, place: Turn, go_on: GoOn, arg: *mut c_void) -> bool {
        // SAFETY: the entry is memory for it. The caller lets `go_on` be called once, and it is on this spdk_thread.
        unsafe {
            entry.write(place);
            self.requests.waiters().push(go_on, arg);
        }
        self.requests.one_waits();
        true
    }

    unsafe fn waited(&self, entry: *const Turn) -> Turn {
        self.requests.one_more();
        // SAFETY: `wait` has written it.
        unsafe { entry.read() }
    }

    #[inline(always)]
    unsafe fn fault(rc: c_int) -> Option<Fault> {
        match rc {
            0 | NOTHING => None,
            rc => status(rc).err(),
        }
    }

    #[inline(always)]
    fn nothing() -> c_int {
        NOTHING
    }

    #[inline(always)]
    fn is_nothing(rc: c_int) -> bool {
        rc == NOTHING
    }

    unsafe fn call(done: Self::OnDone, arg: *mut c_void) {
        // SAFETY: passed on.
        unsafe { done(arg, NOTHING) }
    }

    #[inline(always)]
    unsafe fn free(_: c_int, _: &Cell<u64>) {
        // C gives nothing to the callback, and does not note when.
    }
}
