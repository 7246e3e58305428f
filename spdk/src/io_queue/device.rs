//! What the I/Os of an [`IoQueue`](super::IoQueue) go to: a bdev, or another device that has the same kinds of I/O.
#![allow(unsafe_code)] // Calls the C functions of bdevs.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use super::slot::Slot;
use crate::bdev::{BdevDescObject, flushes, splits};
use crate::bdev_io;
use crate::channel::IoChannelObject;
use crate::errno::Errno;
use crate::error::{Describe, Fault};
use crate::handle::Handle;
use crate::iovecs::check_len;
use crate::local::{Caller, Home};
use crate::sys;

/// What an I/O does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
    WriteZeroes,
    Unmap,
    Flush,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] = [
        Kind::Read,
        Kind::Write,
        Kind::WriteZeroes,
        Kind::Unmap,
        Kind::Flush,
    ];
}

/// Why an I/O was not submitted.
pub enum Refusal {
    /// There is no room for it now.
    Full,
    Errno(Errno),
}

/// Lets an I/O that has waited go on, with its context.
pub(crate) type GoOn = unsafe extern "C" fn(*mut c_void);

/// What an I/O goes on with when it has ended.
pub trait End<D: Device>: 'static {
    /// That of its queue.
    #[doc(hidden)]
    type Tag: 'static;

    /// # Safety
    /// As the callback of an I/O that was given this context: once, and with what C tells there.
    unsafe fn end(raw: D::Raw, arg: *mut c_void);

    /// What the I/O went to.
    ///
    /// # Safety
    /// As for [`End::end`], and the reference is not used after that.
    #[inline(always)]
    unsafe fn device<'a>(arg: *mut c_void) -> &'a D {
        // SAFETY: passed on.
        &unsafe { Slot::<Self::Tag, D>::of(arg).queue() }.device
    }

    /// Instead of ending, the I/O waits for room, and is submitted again there.
    ///
    /// # Safety
    /// As for [`End::end`].
    #[cold]
    unsafe fn wait(arg: *mut c_void, place: D::Place) {
        // SAFETY: passed on.
        unsafe {
            let slot = Slot::<Self::Tag, D>::of(arg);
            slot.queue().wait(slot, place);
        }
    }
}

/// What the I/Os of a queue go to, with all that keeps it open. It belongs to an spdk_thread.
///
/// # Safety
///
/// The function of [`Device::on_done`] calls [`End::end`], and nothing else that can run the user's code.
/// [`Device::start`] succeeds if C calls back, once, and fails if it never does.
pub unsafe trait Device: Sized + 'static {
    /// The callback that C is given.
    type OnDone: Copy;
    /// What C tells it.
    type Raw: Copy;
    /// Where I/Os go, as a check finds it.
    type Place: Copy;
    /// What buffers are measured by.
    type Shape: Copy + PartialEq + Default;
    /// Memory of an I/O that waits.
    type Wait;

    /// The callback that ends with `E`.
    fn on_done<E: End<Self>>() -> Self::OnDone;

    /// The C function.
    fn name(kind: Kind) -> &'static str;

    /// What errors are told of.
    fn subject(&self) -> &dyn Describe;

    /// The spdk_thread that it belongs to, for a callback of an I/O.
    fn home(&self) -> Home;

    /// Whether that is the current one.
    fn is_here(&self) -> bool;

    /// From now on I/Os are in flight, until [`Device::end_use`].
    fn begin_use(&self) {}

    /// No I/O is in flight any more.
    fn end_use(&self) {}

    /// An I/O begins. One that goes on in its own callback counts until it is over.
    fn one_more(&self) {}

    /// An I/O that has begun does not count any more.
    fn one_less(&self) {}

    /// Looks whether I/Os may be submitted here and now.
    fn check(&self, caller: Caller<'_>) -> Result<Self::Place, Fault>;

    /// What buffers are measured by there.
    fn shape(place: Self::Place) -> Self::Shape;

    /// Checks how many blocks an I/O has, and the length of its buffer in bytes, if it has one.
    fn measure(&self, place: Self::Place, blocks: u64, len: Option<u64>) -> Result<(), Fault>;

    /// Submits an I/O. If it succeeds, the callback comes once, maybe inside of this, after which `self` may be gone; else
    /// never.
    ///
    /// # Safety
    /// On the spdk_thread of the device, with the place of a check of now or of [`Device::waited`]. The device counts as in
    /// use until the callback, and so long is `data` valid, with the length of the blocks as they were measured.
    #[expect(clippy::too_many_arguments, reason = "those of the C function")]
    unsafe fn start(
        &self,
        place: Self::Place,
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        blocks: u64,
        done: Self::OnDone,
        arg: *mut c_void,
    ) -> Result<(), Refusal>;

    /// Has an I/O that was refused with [`Refusal::Full`] wait; returns whether it does, or else can be submitted now.
    ///
    /// # Safety
    /// As for [`Device::start`], which has just refused it. `entry` is its own, and stays as it is until `go_on`, which may be
    /// called with `arg` once.
    unsafe fn wait(
        &self,
        entry: *mut Self::Wait,
        place: Self::Place,
        go_on: GoOn,
        arg: *mut c_void,
    ) -> bool;

    /// The place of an I/O that has waited.
    ///
    /// # Safety
    /// [`Device::wait`] had this entry, and this is called once for it.
    unsafe fn waited(&self, entry: *const Self::Wait) -> Self::Place;

    /// Why an I/O has failed.
    ///
    /// # Safety
    /// Within the callback, before [`Device::free`].
    unsafe fn fault(raw: Self::Raw) -> Option<Fault>;

    /// What [`Device::call`] tells a callback: nothing has ended, and nothing is to be freed.
    fn nothing() -> Self::Raw;

    /// Whether it is that.
    fn is_nothing(raw: Self::Raw) -> bool;

    /// Calls a callback with [`Device::nothing`].
    ///
    /// # Safety
    /// It expects that, with this context.
    unsafe fn call(done: Self::OnDone, arg: *mut c_void);

    /// Gives back what the callback owns. Notes when the I/O was submitted, if that is known.
    ///
    /// # Safety
    /// Within the callback, once.
    unsafe fn free(raw: Self::Raw, submitted: &Cell<u64>);
}

/// A bdev, through a channel of it.
#[repr(C)]
pub struct BdevDevice {
    channel: Handle<IoChannelObject>,
    /// Those of the handles. The channel keeps the descriptor, so both are valid while it is.
    c_desc: *mut sys::spdk_bdev_desc,
    c_channel: *mut sys::spdk_io_channel,
    desc: Handle<BdevDescObject>,
}

impl BdevDevice {
    /// `desc` is what keeps the device of the channel open.
    pub(super) fn new(channel: &Handle<IoChannelObject>, desc: &Handle<BdevDescObject>) -> Self {
        BdevDevice {
            c_desc: desc.as_ptr(),
            c_channel: channel.as_ptr(),
            channel: channel.clone(),
            desc: desc.clone(),
        }
    }
}

unsafe extern "C" fn on_done<E: End<BdevDevice>>(
    bdev_io: *mut sys::spdk_bdev_io,
    success: bool,
    arg: *mut c_void,
) {
    // SAFETY: C calls back for the I/O of this context, which gives the `bdev_io` away.
    unsafe { E::end((bdev_io, success), arg) }
}

#[cold]
fn refusal(rc: i32) -> Refusal {
    match Errno::from_code(rc) {
        Errno::ENOMEM => Refusal::Full,
        errno => Refusal::Errno(errno),
    }
}

// SAFETY: `on_done` is as it has to be; a function of bdev.h that returns 0 calls back once, else never.
unsafe impl Device for BdevDevice {
    type OnDone = unsafe extern "C" fn(*mut sys::spdk_bdev_io, bool, *mut c_void);
    type Raw = (*mut sys::spdk_bdev_io, bool);
    type Place = ();
    /// A descriptor measures by the same size of blocks as long as it is open.
    type Shape = ();
    /// SPDK's queue entry.
    type Wait = sys::spdk_bdev_io_wait_entry;

    #[inline]
    fn on_done<E: End<Self>>() -> Self::OnDone {
        on_done::<E>
    }

    fn name(kind: Kind) -> &'static str {
        match kind {
            Kind::Read => "spdk_bdev_read_blocks",
            Kind::Write => "spdk_bdev_write_blocks",
            Kind::WriteZeroes => "spdk_bdev_write_zeroes_blocks",
            Kind::Unmap => "spdk_bdev_unmap_blocks",
            Kind::Flush => "spdk_bdev_flush_blocks",
        }
    }

    fn subject(&self) -> &dyn Describe {
        &self.desc
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
        self.desc.begin_use();
        self.channel.begin_use();
    }

    #[inline]
    fn end_use(&self) {
        self.desc.end_use();
        self.channel.end_use();
    }

    #[inline(always)]
    fn check(&self, caller: Caller<'_>) -> Result<(), Fault> {
        self.channel.get(caller).map(|_| ())
    }

    #[inline(always)]
    fn shape((): ()) {}

    #[inline]
    fn measure(&self, (): (), blocks: u64, len: Option<u64>) -> Result<(), Fault> {
        match len {
            Some(len) => {
                let rules = self.desc.extra().rules();
                rules.needs_no_metadata()?;
                splits(len)?;
                check_len(len, blocks, rules.block_size())
            }
            None => Ok(()),
        }
    }

    #[inline(always)]
    unsafe fn start(
        &self,
        (): (),
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        blocks: u64,
        done: Self::OnDone,
        arg: *mut c_void,
    ) -> Result<(), Refusal> {
        let (desc, ch) = (self.c_desc, self.c_channel);
        let done: sys::spdk_bdev_io_completion_cb = Some(done);
        // SAFETY: both are open until the callback, since the device counts as in use, and the caller keeps `data`.
        let rc = unsafe {
            match kind {
                Kind::Read => sys::spdk_bdev_read_blocks(desc, ch, data, offset, blocks, done, arg),
                Kind::Write => {
                    sys::spdk_bdev_write_blocks(desc, ch, data, offset, blocks, done, arg)
                }
                Kind::WriteZeroes => {
                    let has_zeroes = self.desc.extra().rules().zeroes(blocks);
                    has_zeroes.map_err(Refusal::Errno)?;
                    sys::spdk_bdev_write_zeroes_blocks(desc, ch, offset, blocks, done, arg)
                }
                Kind::Unmap => {
                    let unmaps = self.desc.extra().rules().unmaps(offset, blocks, 1);
                    unmaps.map_err(Refusal::Errno)?;
                    sys::spdk_bdev_unmap_blocks(desc, ch, offset, blocks, done, arg)
                }
                Kind::Flush => {
                    flushes(self.desc.extra().bdev(), offset, blocks, 1).map_err(Refusal::Errno)?;
                    sys::spdk_bdev_flush_blocks(desc, ch, offset, blocks, done, arg)
                }
            }
        };
        match rc {
            0 => Ok(()),
            rc => Err(refusal(rc)),
        }
    }

    unsafe fn wait(&self, entry: *mut Self::Wait, (): (), go_on: GoOn, arg: *mut c_void) -> bool {
        // SAFETY: the device is open while it is in use. All zeros is a valid entry, which is in no queue of SPDK's until
        // the call, and stays where it is.
        unsafe {
            let bdev = sys::spdk_bdev_desc_get_bdev(self.c_desc);
            ptr::write_bytes(entry, 0, 1);
            (*entry).bdev = bdev;
            (*entry).cb_fn = Some(go_on);
            (*entry).cb_arg = arg;
            sys::spdk_bdev_queue_io_wait(bdev, self.c_channel, entry) == 0
        }
    }

    unsafe fn waited(&self, _: *const Self::Wait) {}

    #[inline(always)]
    unsafe fn fault((bdev_io, success): Self::Raw) -> Option<Fault> {
        // SAFETY: the callback owns `bdev_io`.
        (!success).then(|| unsafe { bdev_io::fault(bdev_io) })
    }

    #[inline(always)]
    fn nothing() -> Self::Raw {
        (ptr::null_mut(), true)
    }

    #[inline(always)]
    fn is_nothing((bdev_io, _): Self::Raw) -> bool {
        bdev_io.is_null()
    }

    unsafe fn call(done: Self::OnDone, arg: *mut c_void) {
        let (bdev_io, success) = Self::nothing();
        // SAFETY: passed on.
        unsafe { done(bdev_io, success, arg) }
    }

    #[inline(always)]
    unsafe fn free((bdev_io, _): Self::Raw, submitted: &Cell<u64>) {
        // SAFETY: the callback owns `bdev_io`, and this is once.
        unsafe {
            submitted.set(sys::spdk_bdev_io_get_submit_tsc(bdev_io));
            sys::spdk_bdev_free_io(bdev_io);
        }
    }
}
