//! Memory that a device lends.
#![allow(unsafe_code)] // Owns a `spdk_bdev_io` between the two halves of an operation, and copies its memory.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::fmt;
use std::future::Future;
use std::mem;
use std::ptr::{self, NonNull};

use crate::bdev::{BdevDesc, BdevDescObject};
use crate::bdev_io::{BdevIoDone, BdevIoLive};
use crate::call::call;
use crate::channel::{IoChannel, IoChannelObject};
use crate::errno::Errno;
use crate::error::{At, Describe, Fault, Result};
use crate::handle::{Handle, Hold, Object, Subject};
use crate::local::{Caller, begin};
use crate::op::{Begun, Operation, Submitted, bdev_rc, op};
use crate::records::zeroes;
use crate::sys;

/// The blocks of a device, in memory that the device lends: what [`BdevDesc::zcopy_start`] gives.
///
/// [`Zcopy::commit`] makes what was written to it the data of the blocks, [`Zcopy::abort`] does not; each
/// gives the memory back. A drop aborts, in the background.
///
/// The memory can be the device's own, which other operations on the same blocks change meanwhile. So it is
/// read and written by copying parts of it; [`Zcopy::parts`] has the addresses, for code that knows more.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread of its channel.
pub struct Zcopy(Handle<ZcopyObject>);

/// The `spdk_bdev_io` of the first half.
#[doc(hidden)]
pub enum ZcopyObject {}

/// How many parts the memory can have.
const PARTS: usize = 16;

/// The descriptor, the channel, and the array that C has an address of from the first half to the end of the
/// second.
type Holds = (Hold<BdevDescObject>, Hold<IoChannelObject>, Vec<sys::iovec>);

#[doc(hidden)]
pub struct ZcopyExtra {
    /// What the second half needs, until it has it.
    holds: Cell<Option<Holds>>,
    device: String,
    offset: u64,
    blocks: u64,
}

// SAFETY: `release` begins the second half of the operation, whose callback frees the object.
unsafe impl Object for ZcopyObject {
    type C = sys::spdk_bdev_io;
    type Extra = ZcopyExtra;
    const NAME: &'static str = "Zcopy";

    unsafe fn release(io: NonNull<Self::C>, extra: &ZcopyExtra) {
        let Some(holds) = extra.holds.take() else {
            return;
        };
        // SAFETY: this is the home spdk_thread, and the object is given up.
        let end = unsafe { end(io, false, holds) };
        // That the memory goes back is its result: a future is not needed.
        // SAFETY: nobody has polled it.
        unsafe { end.op.detach() };
    }

    fn label(extra: &ZcopyExtra) -> String {
        format!("blocks lent by {}", extra.device)
    }
}

/// The second half.
///
/// # Safety
/// `io` is what the first half gave, used for the last time, on its spdk_thread; `holds` are of its
/// descriptor and its channel.
unsafe fn end(
    io: NonNull<sys::spdk_bdev_io>,
    commit: bool,
    holds: Holds,
) -> Begun<impl Operation<Output = ()>> {
    // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
    // descriptor, the channel and the array until then. The callback frees the `spdk_bdev_io`, which the caller gave up.
    unsafe {
        op::<BdevIoDone, _, _>(
            move |_: &mut Holds, done, arg| {
                Submitted::rc(sys::spdk_bdev_zcopy_end(io.as_ptr(), commit, done, arg))
            },
            |_, done| done,
            holds,
        )
    }
}

impl BdevDesc {
    /// Has the device lend memory for `num_blocks` blocks at block `offset_blocks`.
    ///
    /// With `populate` the memory has the data of the blocks. Without, it has whatever was there, and all of
    /// it is to be written.
    ///
    /// Wraps `spdk_bdev_zcopy_start`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device cannot lend memory, or its module cannot give it back: that of an error, GPT, Opal,
    ///   passthru or split bdev. This is not seen of one of these below a delay bdev: there SPDK 26.01 crashes, or never gives
    ///   it back.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, and a descriptor that hides metadata.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it. What it gives is aborted then.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_zcopy_start")]
    pub fn zcopy_start<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
        num_blocks: u64,
        populate: bool,
    ) -> impl Future<Output = Result<Zcopy>> + use<'a> {
        let start = move |caller: Caller<'_>| {
            self.shows_metadata()?;
            self.gets_back(caller)?;
            let no_part = sys::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 0,
            };
            let held: Holds = (
                self.handle().hold(caller)?,
                self.channel(ch, caller)?,
                zeroes(no_part, PARTS)?,
            );
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // descriptor, the channel and the array until then. The `spdk_bdev_io` is ours in the callback,
            // and stays so until the second half, which is given the three.
            Ok(unsafe {
                op::<BdevIoLive, _, _>(
                    move |(desc, ch, iovs): &mut Holds, done, arg| {
                        let (desc, ch) = (desc.as_ptr(), ch.as_ptr());
                        let rc = sys::spdk_bdev_zcopy_start(
                            desc,
                            ch,
                            iovs.as_mut_ptr(),
                            PARTS as c_int,
                            offset_blocks,
                            num_blocks,
                            populate,
                            done,
                            arg,
                        );
                        bdev_rc(rc, desc, ch)
                    },
                    move |(desc, ch, iovs), io| {
                        let io = io?.into_raw();
                        let extra = ZcopyExtra {
                            holds: Cell::new(Some((desc.clone(), ch.clone(), mem::take(iovs)))),
                            device: format!("bdev {:?}", desc.extra().name()),
                            offset: offset_blocks,
                            blocks: num_blocks,
                        };
                        let zcopy = Zcopy(Handle::adopt(io, extra)?);
                        desc.extra().add_dependent(zcopy.0.downgrade());
                        Ok(zcopy)
                    },
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_bdev_zcopy_start", self).blocks(offset_blocks, num_blocks)
        })
    }
}

/// The modules that hand the first half down to the device below, and keep nothing of it for the second. They look for
/// the memory in an array that they have not given, which only some devices make up for: else SPDK crashes. The error
/// module never ends the second half.
const WITHOUT_END: [&CStr; 5] = [c"error", c"gpt", c"opal", c"passthru", c"split"];

impl BdevDesc {
    /// Refuses what SPDK crashes in, or never ends.
    fn gets_back(&self, caller: Caller<'_>) -> Result<(), Fault> {
        self.handle().get(caller)?;
        let bdev = self.handle().extra().bdev();
        // SAFETY: the descriptor is open, as just seen, which keeps the bdev; that has a module with a name.
        let module = unsafe { CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev)) };
        match WITHOUT_END.contains(&module) {
            true => Err(Fault::errno(Errno::ENOTSUP)),
            false => Ok(()),
        }
    }
}

impl Zcopy {
    /// The first of its blocks.
    pub fn offset_blocks(&self) -> u64 {
        self.0.extra().offset
    }

    /// How many blocks it has.
    pub fn num_blocks(&self) -> u64 {
        self.0.extra().blocks
    }

    /// The addresses and lengths of the memory, one part after the other.
    ///
    /// They are valid until it is committed, aborted or dropped, or the device is removed. Other operations
    /// on the same blocks can change the bytes at any time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed,
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread.
    #[doc(alias = "spdk_bdev_io_get_iovec")]
    pub fn parts(&self) -> Result<Vec<(NonNull<u8>, usize)>> {
        self.with_parts(|parts| {
            let parts = parts.iter().filter(|part| part.iov_len > 0);
            let parts =
                parts.filter_map(|part| Some((NonNull::new(part.iov_base.cast())?, part.iov_len)));
            Ok(parts.collect())
        })
    }

    /// Its size in bytes.
    ///
    /// # Errors
    ///
    /// As for [`Zcopy::parts`].
    #[expect(clippy::len_without_is_empty, reason = "it has blocks")]
    pub fn len(&self) -> Result<usize> {
        self.with_parts(|parts| Ok(parts.iter().map(|part| part.iov_len).sum()))
    }

    /// Copies `into.len()` bytes at byte `offset` of the memory.
    ///
    /// # Errors
    ///
    /// As for [`Zcopy::parts`], and [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for
    /// bytes beyond its end.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        self.with_parts(|parts| {
            each_piece(parts, offset, into.len(), |piece, range| {
                let into = &mut into[range];
                // SAFETY: the piece is memory that was lent, of this length, and not ours; no reference to it
                // is made, since others may change it.
                unsafe { ptr::copy_nonoverlapping(piece, into.as_mut_ptr(), into.len()) }
            })
        })
    }

    /// Copies `from` to byte `offset` of the memory.
    ///
    /// # Errors
    ///
    /// As for [`Zcopy::read`].
    pub fn write(&mut self, offset: usize, from: &[u8]) -> Result<()> {
        self.with_parts(|parts| {
            each_piece(parts, offset, from.len(), |piece, range| {
                let from = &from[range];
                // SAFETY: as in `read`.
                unsafe { ptr::copy_nonoverlapping(from.as_ptr(), piece, from.len()) }
            })
        })
    }

    fn with_parts<T>(&self, f: impl FnOnce(&[sys::iovec]) -> Result<T, Fault>) -> Result<T> {
        let result = begin(|caller| {
            let io = self.0.get(caller)?;
            let (mut iovs, mut count): (*mut sys::iovec, c_int) = (ptr::null_mut(), 0);
            // SAFETY: the first half gave the `spdk_bdev_io`, and the second has not begun; the array is kept
            // with it, and C does not change it between the two.
            let parts = unsafe {
                sys::spdk_bdev_io_get_iovec(io.as_ptr(), &mut iovs, &mut count);
                match usize::try_from(count) {
                    Ok(count) if !iovs.is_null() => std::slice::from_raw_parts(iovs, count),
                    _ => &[],
                }
            };
            f(parts)
        });
        result.map_err(|fault| fault.at(self.at("spdk_bdev_io_get_iovec")))
    }

    /// Makes what is in the memory the data of the blocks, and gives it back.
    ///
    /// Wraps `spdk_bdev_zcopy_end`.
    ///
    /// # Errors
    ///
    /// `ErrorKind::Device`: the device failed it, with the status that it reports. The memory is given back
    /// all the same.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before its first poll aborts instead. One that is dropped later abandons the
    /// operation but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel.
    #[doc(alias = "spdk_bdev_zcopy_end")]
    pub fn commit(self) -> impl Future<Output = Result<()>> {
        self.end(true)
    }

    /// Gives the memory back. What was written to it may or may not be the data of the blocks afterwards: it
    /// is, if the memory is what the device has them in.
    ///
    /// Wraps `spdk_bdev_zcopy_end`. A drop does the same, and waits for nothing.
    ///
    /// # Errors
    ///
    /// As for [`Zcopy::commit`].
    ///
    /// # Cancellation
    ///
    /// As for [`Zcopy::commit`].
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel.
    pub fn abort(self) -> impl Future<Output = Result<()>> {
        self.end(false)
    }

    async fn end(self, commit: bool) -> Result<()> {
        let start = |_: Caller<'_>| {
            let io = self.0.take()?;
            let holds = self.0.extra().holds.take();
            let holds = holds.ok_or(Fault::gone(crate::Gone::Closed))?;
            // SAFETY: just taken from its handle, on its spdk_thread, with what it holds.
            Ok(unsafe { end(io, commit, holds) })
        };
        call(start, || self.at("spdk_bdev_zcopy_end")).await
    }

    fn at(&self, operation: &'static str) -> At<'_> {
        At::new(operation, self).blocks(self.offset_blocks(), self.num_blocks())
    }
}

/// Shows the pieces of `len` bytes at `offset`: where each is, and which of the bytes it has.
pub(crate) fn each_piece(
    parts: &[sys::iovec],
    mut offset: usize,
    len: usize,
    mut each: impl FnMut(*mut u8, std::ops::Range<usize>),
) -> Result<(), Fault> {
    let size: usize = parts.iter().map(|part| part.iov_len).sum();
    if offset.checked_add(len).is_none_or(|end| end > size) {
        return Err(Fault::invalid(format!(
            "{len} bytes at byte {offset}, but the memory has {size}"
        )));
    }
    let mut done = 0;
    for part in parts {
        let room = part.iov_len;
        if offset >= room {
            offset -= room;
            continue;
        }
        let piece = (room - offset).min(len - done);
        let at = part.iov_base.cast::<u8>().wrapping_add(offset);
        each(at, done..done + piece);
        done += piece;
        offset = 0;
        if done == len {
            break;
        }
    }
    Ok(())
}

impl Subject for Zcopy {
    type O = ZcopyObject;
    fn handle(&self) -> &Handle<ZcopyObject> {
        &self.0
    }
}

impl Describe for Zcopy {
    fn describe(&self) -> String {
        self.0.extra().device.clone()
    }
}

impl fmt::Debug for Zcopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zcopy")
            .field("device", &self.0.extra().device)
            .field("offset_blocks", &self.offset_blocks())
            .field("num_blocks", &self.num_blocks())
            .finish()
    }
}
