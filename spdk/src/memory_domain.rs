//! Memory that only its owner can reach.
#![allow(unsafe_code)] // Gives C the address of an operation's memory, and copies to and from that of C.

use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_int, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use smallvec::SmallVec;

use crate::bdev::{BdevDesc, BdevDescObject, BdevExtIoOpts};
use crate::bdev_io::BdevIoDone;
use crate::bdev_zcopy::each_piece;
use crate::call::call;
use crate::channel::{IoChannel, IoChannelObject};
use crate::errno::Errno;
use crate::error::{At, Describe, Fault, Result};
use crate::handle::{AtHome, Handle, Hold, Object, Subject};
use crate::io_id::BdevIo;
use crate::iobuf;
use crate::iovecs::check_len;
use crate::local::{Caller, Home, begin};
use crate::op::{bdev_rc, op};
use crate::panic::guard;
use crate::sys;
use crate::text::cstring;

/// What a [`MemoryDomain`] is made of: it moves data between its memory and that of this process.
///
/// Both calls are on the spdk_thread of the domain. They may end the transfer at once, or keep it and end it
/// later, on the same spdk_thread: the I/O waits for it. SPDK can ask for any part of what the I/O was given,
/// in any pieces.
///
/// A panic of theirs aborts the process, since C calls them.
pub trait DomainMemory: 'static {
    /// Gives the data of the domain's memory, for a write.
    fn pull(&self, pull: Pull);
    /// Takes data into the domain's memory, for a read.
    fn push(&self, push: Push);
}

/// A part of the memory of a domain. What an address is, only the domain knows: nothing is read or written
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainRange {
    /// Where it begins; not 0, which is no address for SPDK. The address of a part of it is so many bytes
    /// larger.
    pub address: usize,
    /// How many bytes it has.
    pub len: usize,
}

/// Memory that a device cannot reach directly, such as that of an accelerator or of another process: what
/// [`BdevDesc::readv_blocks_domain`] reads into, and [`BdevDesc::writev_blocks_domain`] writes.
///
/// SPDK has the [`DomainMemory`] copy the data to or from buffers of its own, which the device uses.
///
/// # What it cannot do
///
/// It cannot *translate* an address to one that a device could use directly: what a translation says SPDK
/// hands to the device, which goes to any memory of the process by it, and nothing could tell SPDK when that
/// memory goes. So an I/O on a device that does nothing but translate, such as a namespace over NVMe/TCP,
/// fails. For the same reason there is no access to the domains of others (`spdk_memory_domain_get_first`),
/// whose addresses are real ones. Those that copy only do all else.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread that made it, as do the I/Os that use it.
#[doc(alias = "spdk_memory_domain")]
pub struct MemoryDomain(Handle<MemoryDomainObject>);

#[doc(hidden)]
pub enum MemoryDomainObject {}

#[doc(hidden)]
pub struct MemoryDomainExtra {
    memory: Rc<dyn DomainMemory>,
    id: CString,
}

// SAFETY: C uses a domain during an I/O only, each of which holds it.
unsafe impl Object for MemoryDomainObject {
    type C = sys::spdk_memory_domain;
    type Extra = MemoryDomainExtra;
    const NAME: &'static str = "MemoryDomain";

    unsafe fn release(domain: NonNull<Self::C>, _: &MemoryDomainExtra) {
        // SAFETY: it was created by `MemoryDomain::new`, and is destroyed once.
        unsafe { sys::spdk_memory_domain_destroy(domain.as_ptr()) }
    }

    fn label(extra: &MemoryDomainExtra) -> String {
        format!("memory domain {:?}", extra.id)
    }
}

impl MemoryDomain {
    /// Makes a domain of some memory. `id` is for SPDK's messages.
    ///
    /// Wraps `spdk_memory_domain_create`, with a type of device that SPDK knows nothing of.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: no memory for it.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): a NUL byte in `id`.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread): no spdk_thread is current.
    #[doc(alias = "spdk_memory_domain_create")]
    pub fn new(id: &str, memory: impl DomainMemory) -> Result<Self> {
        let domain = begin(|caller| {
            if caller.thread().is_null() {
                return Err(Fault::no_thread());
            }
            let id = cstring(id, "id")?;
            let mut domain = ptr::null_mut();
            // SAFETY: the name is kept as long as the domain, and both functions are there as long as the program.
            let domain = unsafe {
                let rc = sys::spdk_memory_domain_create(
                    &mut domain,
                    sys::SPDK_DMA_DEVICE_VENDOR_SPECIFIC_TYPE_START,
                    ptr::null_mut(),
                    id.as_ptr(),
                );
                match NonNull::new(domain) {
                    Some(domain) if rc == 0 => {
                        sys::spdk_memory_domain_set_pull(domain.as_ptr(), Some(on_pull));
                        sys::spdk_memory_domain_set_push(domain.as_ptr(), Some(on_push));
                        domain
                    }
                    _ => return Err(Fault::errno(Errno::from_code(rc))),
                }
            };
            let memory: Rc<dyn DomainMemory> = Rc::new(memory);
            // SAFETY: just made, and ours.
            unsafe { Handle::adopt(domain, MemoryDomainExtra { memory, id }) }
        });
        let domain = domain.map_err(|fault| fault.at(At::name("spdk_memory_domain_create", id)))?;
        Ok(MemoryDomain(domain))
    }
}

impl Describe for MemoryDomain {
    fn describe(&self) -> String {
        MemoryDomainObject::label(self.0.extra())
    }
}

impl Subject for MemoryDomain {
    type O = MemoryDomainObject;
    fn handle(&self) -> &Handle<MemoryDomainObject> {
        &self.0
    }
}

impl fmt::Debug for MemoryDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryDomain")
            .field(&self.0.extra().id)
            .finish()
    }
}

/// What an I/O keeps of its domain.
pub(crate) struct Used {
    domain: Hold<MemoryDomainObject>,
    /// What the context points to that C gives back.
    of_io: Box<Use>,
}

struct Use {
    memory: Rc<dyn DomainMemory>,
    context: usize,
}

impl MemoryDomain {
    /// For an I/O with this context.
    pub(crate) fn used(&self, context: usize, caller: Caller<'_>) -> Result<Used, Fault> {
        let domain = self.0.hold(caller)?;
        let of_io = Box::new(Use {
            memory: domain.extra().memory.clone(),
            context,
        });
        Ok(Used { domain, of_io })
    }
}

impl AtHome for Used {
    fn home(&self) -> Home {
        self.domain.home()
    }
}

impl Used {
    pub(crate) fn domain(&self) -> *mut sys::spdk_memory_domain {
        self.domain.as_ptr()
    }

    /// It is there as long as `self` is.
    pub(crate) fn context(&mut self) -> *mut c_void {
        ptr::from_mut::<Use>(&mut self.of_io).cast()
    }
}

pub(crate) type IoVecs = SmallVec<[sys::iovec; 4]>;

/// Some ranges as SPDK takes them.
pub(crate) fn iovs(ranges: &[DomainRange]) -> Result<IoVecs, Fault> {
    if ranges.is_empty() {
        return Err(Fault::invalid("a vectored operation needs a range"));
    }
    let iovs = ranges.iter().map(|range| {
        let DomainRange { address, len } = *range;
        if address == 0 || len == 0 || address.checked_add(len).is_none() {
            return Err(Fault::invalid(format!(
                "{len} bytes at address {address:#x} are no part of the memory of a domain"
            )));
        }
        Ok(sys::iovec {
            iov_base: ptr::without_provenance_mut(address),
            iov_len: len as _,
        })
    });
    iovs.collect()
}

/// How many bytes they are.
pub(crate) fn size_of(iovs: &[sys::iovec]) -> u64 {
    let sizes = iovs.iter().map(|iov| iov.iov_len as u64);
    sizes.fold(0, u64::saturating_add)
}

/// What an I/O keeps for SPDK.
type Held = (
    Hold<BdevDescObject>,
    Hold<IoChannelObject>,
    Used,
    IoVecs,
    sys::spdk_bdev_ext_io_opts,
);

/// A read or a write with memory of a domain.
struct Transfers<'a> {
    domain: &'a MemoryDomain,
    context: usize,
    ranges: &'a [DomainRange],
    opts: &'a BdevExtIoOpts,
}

/// `spdk_bdev_readv_blocks_ext` or `spdk_bdev_writev_blocks_ext`.
type Submit = unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
    *mut sys::spdk_bdev_ext_io_opts,
) -> c_int;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into memory of a domain, which gets them by
    /// [`DomainMemory::push`] with this `context`.
    ///
    /// Together the ranges have exactly the size of the data. They are at most a
    /// [large buffer](iobuf::Pools::large_size) of SPDK's pools, by which the data goes.
    ///
    /// Metadata in a buffer of its own cannot be given: SPDK's modules do not agree whether that is memory of
    /// the domain too.
    ///
    /// Wraps `spdk_bdev_readv_blocks_ext`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports, or the domain did: SPDK does
    ///   not tell these apart.
    /// - Refused before C sees it: a channel of another device, ranges that are not the size of the blocks,
    ///   are empty, too large or at address 0, and a descriptor that hides metadata.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it: it keeps the domain, and still gives it what it reads.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device and of the domain too.
    #[doc(alias = "spdk_bdev_readv_blocks_ext")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they have those of the C function"
    )]
    pub fn readv_blocks_domain<'a>(
        &'a self,
        ch: &'a IoChannel,
        domain: &'a MemoryDomain,
        context: usize,
        ranges: &'a [DomainRange],
        offset_blocks: u64,
        num_blocks: u64,
        opts: &'a BdevExtIoOpts,
    ) -> impl BdevIo<Output = Result<()>> + use<'a> {
        let transfers = Transfers {
            domain,
            context,
            ranges,
            opts,
        };
        let at =
            move || At::new("spdk_bdev_readv_blocks_ext", self).blocks(offset_blocks, num_blocks);
        // SAFETY: it is what this function is for.
        unsafe {
            let submit = sys::spdk_bdev_readv_blocks_ext;
            self.transfer(ch, transfers, offset_blocks, num_blocks, submit, at)
        }
    }

    /// Writes `num_blocks` blocks at block `offset_blocks` from memory of a domain, which gives them by
    /// [`DomainMemory::pull`] with this `context`.
    ///
    /// As for [`BdevDesc::readv_blocks_domain`] otherwise.
    ///
    /// Wraps `spdk_bdev_writev_blocks_ext`.
    ///
    /// # Errors
    ///
    /// As for [`BdevDesc::readv_blocks_domain`], and `EBADF`: the descriptor was not opened for writing.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it: it keeps the domain, and still writes what that gives.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device and of the domain too.
    #[doc(alias = "spdk_bdev_writev_blocks_ext")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they have those of the C function"
    )]
    pub fn writev_blocks_domain<'a>(
        &'a self,
        ch: &'a IoChannel,
        domain: &'a MemoryDomain,
        context: usize,
        ranges: &'a [DomainRange],
        offset_blocks: u64,
        num_blocks: u64,
        opts: &'a BdevExtIoOpts,
    ) -> impl BdevIo<Output = Result<()>> + use<'a> {
        let transfers = Transfers {
            domain,
            context,
            ranges,
            opts,
        };
        let at =
            move || At::new("spdk_bdev_writev_blocks_ext", self).blocks(offset_blocks, num_blocks);
        // SAFETY: it is what this function is for.
        unsafe {
            let submit = sys::spdk_bdev_writev_blocks_ext;
            self.transfer(ch, transfers, offset_blocks, num_blocks, submit, at)
        }
    }

    /// # Safety
    /// `submit` is one of the two functions that take such options.
    unsafe fn transfer<'a>(
        &'a self,
        ch: &'a IoChannel,
        transfers: Transfers<'a>,
        offset_blocks: u64,
        num_blocks: u64,
        submit: Submit,
        at: impl Fn() -> At<'a> + 'a,
    ) -> impl BdevIo<Output = Result<()>> {
        let start = move |caller: Caller<'_>| {
            self.shows_metadata()?;
            let iovs = transfers.iovs()?;
            check_len(size_of(&iovs), num_blocks, self.block_size_of()?)?;
            let used = transfers.domain.used(transfers.context, caller)?;
            let held: Held = (
                self.handle().hold(caller)?,
                self.channel(ch, caller)?,
                used,
                iovs,
                transfers.opts.to_c(),
            );
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // descriptor, the channel, the domain with its context, the array and the options until then.
            // No memory but these is used: the array's addresses are the domain's, which the device gets
            // by `on_pull` and `on_push` only, since the domain translates nothing.
            Ok(unsafe {
                op::<BdevIoDone, _, _>(
                    move |(desc, ch, used, iovs, opts): &mut Held, done, arg| {
                        let (desc, ch) = (desc.as_ptr(), ch.as_ptr());
                        opts.memory_domain = used.domain();
                        opts.memory_domain_ctx = used.context();
                        let count = c_int::try_from(iovs.len()).unwrap_or(c_int::MAX);
                        let iovs = iovs.as_mut_ptr();
                        let rc = submit(
                            desc,
                            ch,
                            iovs,
                            count,
                            offset_blocks,
                            num_blocks,
                            done,
                            arg,
                            opts,
                        );
                        bdev_rc(rc, desc, ch)
                    },
                    |_, done| done,
                    held,
                )
            })
        };
        call(start, at)
    }
}

impl Transfers<'_> {
    /// The ranges as SPDK takes them.
    fn iovs(&self) -> Result<IoVecs, Fault> {
        let pools = iobuf::pools()
            .map_err(|_| Fault::invalid("SPDK has no buffers by which the data could go"))?;
        let most = u64::from(pools.large_size);
        let iovs = iovs(self.ranges)?;
        let total = size_of(&iovs);
        // SPDK 26.01's accel framework does not look how large its buffers are.
        if total > most {
            return Err(Fault::invalid(format!(
                "{total} bytes of a memory domain go by a buffer of SPDK's, which has {most}"
            )));
        }
        Ok(iovs)
    }
}

/// Data on its way. Released, it ends as a failure.
enum TransferObject {}

struct TransferExtra {
    context: usize,
    ranges: SmallVec<[DomainRange; 4]>,
    local: RefCell<IoVecs>,
    done: Cell<sys::spdk_memory_domain_data_cpl_cb>,
    arg: *mut c_void,
}

// SAFETY: `release` ends the transfer, after which C uses nothing of it.
unsafe impl Object for TransferObject {
    /// Whose data it is.
    type C = sys::spdk_memory_domain;
    type Extra = TransferExtra;
    const NAME: &'static str = "Transfer";

    unsafe fn release(_: NonNull<Self::C>, extra: &TransferExtra) {
        extra.end(-libc::EIO);
    }
}

impl TransferExtra {
    /// Tells C, once.
    fn end(&self, rc: c_int) {
        if let Some(done) = self.done.take() {
            self.local.borrow_mut().clear();
            // SAFETY: C gave both for this, once; this is the spdk_thread that it called on, since the
            // handle of a transfer is released and taken there only.
            unsafe { done(self.arg, rc) }
        }
    }
}

/// The data of a write that SPDK asks a [`DomainMemory`] for. A drop fails the write.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread of the I/O.
#[doc(alias = "spdk_memory_domain_pull_data_cb")]
pub struct Pull(Handle<TransferObject>);

/// The data of a read that SPDK gives to a [`DomainMemory`]. A drop fails the read.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread of the I/O.
#[doc(alias = "spdk_memory_domain_push_data_cb")]
pub struct Push(Handle<TransferObject>);

impl Pull {
    /// What the I/O was given as its context.
    pub fn context(&self) -> usize {
        self.0.extra().context
    }

    /// Where in the domain the data is: its parts one after the other.
    pub fn ranges(&self) -> &[DomainRange] {
        &self.0.extra().ranges
    }

    /// Copies `from` to byte `offset` of what SPDK will write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for bytes beyond the end of the data,
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when its spdk_thread has ended, and failed the I/O.
    pub fn write(&mut self, offset: usize, from: &[u8]) -> Result<()> {
        copy(
            &self.0,
            "Pull::write",
            offset,
            from.len(),
            |piece, bytes| {
                let from = &from[bytes];
                // SAFETY: the piece is memory of SPDK's, of this length, which nobody else uses until the
                // transfer has ended; it has not, since its object is still there.
                unsafe { ptr::copy_nonoverlapping(from.as_ptr(), piece, from.len()) }
            },
        )
    }

    /// Ends it: with `Ok` all bytes are there, with `Err` the write fails.
    ///
    /// The I/O goes on inside this call, and may end in it.
    ///
    /// # Errors
    ///
    /// As for [`Pull::write`], of the spdk_thread. The I/O fails then.
    pub fn finish(self, result: Result<(), Errno>) -> Result<()> {
        finish(self.0, "Pull::finish", result)
    }
}

impl Push {
    /// What the I/O was given as its context.
    pub fn context(&self) -> usize {
        self.0.extra().context
    }

    /// Where in the domain the data belongs: its parts one after the other.
    pub fn ranges(&self) -> &[DomainRange] {
        &self.0.extra().ranges
    }

    /// Copies `into.len()` bytes at byte `offset` of what SPDK has read.
    ///
    /// # Errors
    ///
    /// As for [`Pull::write`].
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        copy(&self.0, "Push::read", offset, into.len(), |piece, bytes| {
            let into = &mut into[bytes];
            // SAFETY: as in `Pull::write`.
            unsafe { ptr::copy_nonoverlapping(piece, into.as_mut_ptr(), into.len()) }
        })
    }

    /// Ends it: with `Ok` the domain has all bytes, with `Err` the read fails.
    ///
    /// The I/O goes on inside this call, and may end in it.
    ///
    /// # Errors
    ///
    /// As for [`Pull::write`], of the spdk_thread. The I/O fails then.
    pub fn finish(self, result: Result<(), Errno>) -> Result<()> {
        finish(self.0, "Push::finish", result)
    }
}

fn copy(
    transfer: &Handle<TransferObject>,
    call: &'static str,
    offset: usize,
    len: usize,
    each: impl FnMut(*mut u8, std::ops::Range<usize>),
) -> Result<()> {
    begin(|caller| {
        transfer.get(caller)?;
        each_piece(&transfer.extra().local.borrow(), offset, len, each)
    })
    .map_err(|fault| fault.at(At::free(call)))
}

fn finish(
    transfer: Handle<TransferObject>,
    call: &'static str,
    result: Result<(), Errno>,
) -> Result<()> {
    transfer.take().map_err(|fault| fault.at(At::free(call)))?;
    let rc = match result {
        Ok(()) => 0,
        Err(errno) => -errno.code(),
    };
    transfer.extra().end(rc);
    Ok(())
}

impl fmt::Debug for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pull").field(&self.ranges()).finish()
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Push").field(&self.ranges()).finish()
    }
}

unsafe extern "C" fn on_pull(
    domain: *mut sys::spdk_memory_domain,
    context: *mut c_void,
    src: *mut sys::iovec,
    src_count: u32,
    dst: *mut sys::iovec,
    dst_count: u32,
    done: sys::spdk_memory_domain_data_cpl_cb,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: passed on; the domain's memory is `src`.
    unsafe {
        on_transfer(
            domain,
            context,
            (src, src_count),
            (dst, dst_count),
            done,
            arg,
            |memory, transfer| {
                memory.pull(Pull(transfer));
            },
        )
    }
}

unsafe extern "C" fn on_push(
    domain: *mut sys::spdk_memory_domain,
    context: *mut c_void,
    dst: *mut sys::iovec,
    dst_count: u32,
    src: *mut sys::iovec,
    src_count: u32,
    done: sys::spdk_memory_domain_data_cpl_cb,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: passed on; the domain's memory is `dst`.
    unsafe {
        on_transfer(
            domain,
            context,
            (dst, dst_count),
            (src, src_count),
            done,
            arg,
            |memory, transfer| {
                memory.push(Push(transfer));
            },
        )
    }
}

/// # Safety
/// C calls one of the two functions above with these: during an I/O of `transfer`, with its context. Both
/// arrays can be read, and the memory of `local` is there until `done` was called.
unsafe fn on_transfer(
    domain: *mut sys::spdk_memory_domain,
    context: *mut c_void,
    (ranges, range_count): (*mut sys::iovec, u32),
    (local, local_count): (*mut sys::iovec, u32),
    done: sys::spdk_memory_domain_data_cpl_cb,
    arg: *mut c_void,
    give: impl FnOnce(&dyn DomainMemory, Handle<TransferObject>),
) -> c_int {
    guard("transfer of a memory domain", || {
        let Some(domain) = NonNull::new(domain) else {
            return -libc::EINVAL;
        };
        // SAFETY: the context is that of an I/O in flight, which keeps it until its callback.
        let of_io = unsafe { &*context.cast::<Use>() };
        // Kept here too: the transfer may end inside the call, and with it the I/O and its domain.
        let (memory, context) = (of_io.memory.clone(), of_io.context);
        // SAFETY: the arrays have so many entries.
        let (ranges, local) = unsafe {
            (
                std::slice::from_raw_parts(ranges, range_count as usize),
                std::slice::from_raw_parts(local, local_count as usize),
            )
        };
        let ranges: SmallVec<[DomainRange; 4]> = ranges
            .iter()
            .map(|range| DomainRange {
                address: range.iov_base.addr(),
                len: range.iov_len,
            })
            .collect();
        let size: usize = ranges.iter().map(|range| range.len).sum();
        let extra = TransferExtra {
            context,
            ranges,
            local: RefCell::new(first_bytes(local, size)),
            done: Cell::new(done),
            arg,
        };
        // SAFETY: the transfer is ours until it ends, on this spdk_thread.
        if let Ok(transfer) = unsafe { Handle::adopt(domain, extra) } {
            give(&*memory, transfer);
        }
        // In any case it ends by `done`.
        0
    })
}

/// The parts that hold the first bytes: there may be room for more.
fn first_bytes(parts: &[sys::iovec], mut size: usize) -> IoVecs {
    let mut first = IoVecs::new();
    for part in parts {
        let len = size.min(part.iov_len);
        if len > 0 {
            first.push(sys::iovec {
                iov_base: part.iov_base,
                iov_len: len as _,
            });
        }
        size -= len;
    }
    first
}
