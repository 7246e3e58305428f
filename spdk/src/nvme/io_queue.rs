//! Namespaces as what an [`IoQueue`] has I/Os of.
#![allow(unsafe_code)] // Calls the C functions of commands.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use super::commands::{DsmAttributes, DsmRange};
use super::completion;
use super::namespace::{MOST, NvmeNamespace, Shape};
use super::qpair::{NvmeQpair, NvmeQpairObject};
use super::queue::{Subject as QueueSubject, is_open, submit, submitted};
use super::seats::Gate;
use crate::error::{At, Describe, Fault, Result};
use crate::handle::{Handle, Subject};
use crate::io_queue::device::{Device, End, GoOn, Kind, Refusal};
use crate::io_queue::sealed::Sealed;
use crate::iovecs::check_len;
use crate::local::{Caller, Home, begin};
use crate::nvme_cmd::NvmeCmd;
use crate::op::Submitted;
use crate::waiters::Waiters;
use crate::{IoQueue, IoTarget, sys};

impl Sealed for NvmeNamespace {}
impl IoTarget for NvmeNamespace {
    type Device = NamespaceDevice;
}

impl<T: 'static> IoQueue<T, NvmeNamespace> {
    /// A queue of commands on this queue pair to a namespace, of which it keeps both.
    ///
    /// ```no_run
    /// # use spdk::nvme::{NvmeNamespace, NvmeQpair};
    /// # use spdk::{DmaBuf, IoQueue};
    /// # async fn example(ns: NvmeNamespace, qpair: NvmeQpair) -> spdk::Result<()> {
    /// let mut queue = IoQueue::of_namespace(&ns, &qpair)?;
    /// for lba in 0..32 {
    ///     let buf = DmaBuf::alloc(ns.sector_size() as usize, 4096)?;
    ///     queue.read_blocks(buf, lba, 1, lba);
    /// }
    /// while let Some(done) = queue.next().await {
    ///     done.result?;
    ///     println!("block {} is read", done.tag);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Offsets and lengths are in blocks of [`NvmeNamespace::sector_size`] bytes, from block 0. A command has fewer than 2^32
    /// of them, and one that writes zeroes at most 65,536: others end with `InvalidArgument`, or `EINVAL`. Namespaces that keep
    /// metadata apart from the data take no reads and writes of it.
    ///
    /// It wraps `spdk_nvme_ns_cmd_read`, `spdk_nvme_ns_cmd_write`, `spdk_nvme_ns_cmd_write_zeroes`,
    /// `spdk_nvme_ns_cmd_dataset_management` and `spdk_nvme_ns_cmd_flush`. A read or write that is one command, of a namespace
    /// without metadata, is given to SPDK as it is, by `spdk_nvme_ctrlr_cmd_io_raw`, which costs less; errors name the first
    /// functions all the same. A queue pair that goes, as by a reset of the controller, is gone for the queue too: its
    /// commands end with the status of an abort, and others with
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone). [`NvmeQpair::close`] waits until the queue is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the queue pair's,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when that is gone,
    /// [`ErrorKind::WrongChannel`](crate::ErrorKind::WrongChannel) for a queue pair of another controller, and
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a namespace that is not active.
    pub fn of_namespace(ns: &NvmeNamespace, qpair: &NvmeQpair) -> Result<Self> {
        let queue = begin(|caller| {
            let (ns, ptr) = ns.share(qpair, caller)?;
            Ok(IoQueue::on(NamespaceDevice {
                qpair: qpair.handle().clone(),
                ptr,
                // SAFETY: the namespace was just looked up, on a controller that the queue pair keeps attached.
                ctrlr: unsafe { sys::spdk_nvme_ns_get_ctrlr(ptr.as_ptr()) },
                shape: Cell::default(),
                whole: Cell::default(),
                changes: Cell::new(u64::MAX),
                ns,
            }))
        });
        queue.map_err(|fault: Fault| fault.at(At::new("IoQueue::of_namespace", ns)))
    }
}

type OnDone = unsafe extern "C" fn(*mut c_void, *const sys::spdk_nvme_cpl);

/// A namespace, through a queue pair.
pub struct NamespaceDevice {
    qpair: Handle<NvmeQpairObject>,
    /// Where it is: a reset, after which it may be elsewhere, waits until no queue pair takes commands any more, and they
    /// are gone then.
    ptr: NonNull<sys::spdk_nvme_ns>,
    /// That of the queue pair.
    ctrlr: *mut sys::spdk_nvme_ctrlr,
    /// As of this many changes.
    shape: Cell<Shape>,
    whole: Cell<Whole>,
    changes: Cell<u64>,
    ns: NvmeNamespace,
}

/// Which reads and writes are one command each: neither split by SPDK, nor with metadata.
#[derive(Clone, Copy, Default)]
struct Whole {
    nsid: u32,
    /// What a block has.
    bytes: u32,
    /// How many blocks one has at most; 0 if SPDK has to look at each.
    blocks: u32,
}

impl Whole {
    /// # Safety
    /// The controller of the namespace is attached.
    unsafe fn of(ns: *mut sys::spdk_nvme_ns) -> Self {
        // SAFETY: passed on. A namespace that is not active has blocks of size 0.
        unsafe {
            let bytes = sys::spdk_nvme_ns_get_sector_size(ns);
            let is_plain = sys::spdk_nvme_ns_get_md_size(ns) == 0
                && sys::spdk_nvme_ns_get_optimal_io_boundary(ns) == 0;
            let most = match is_plain {
                true => sys::spdk_nvme_ns_get_max_io_xfer_size(ns),
                false => 0,
            };
            Whole {
                nsid: sys::spdk_nvme_ns_get_id(ns),
                bytes,
                blocks: most.checked_div(bytes).unwrap_or(0).min(MOST),
            }
        }
    }

    /// Whether one that was measured by `place` is among them. It may have waited meanwhile, and its blocks may be others.
    #[inline]
    fn has(self, place: Shape, blocks: u64) -> bool {
        place.is_plain(self.bytes) && (1..=u64::from(self.blocks)).contains(&blocks)
    }
}

impl NamespaceDevice {
    #[cold]
    fn look(&self, changes: u64) {
        // SAFETY: the queue pair has just been seen, so it keeps the controller attached, and the namespace is there.
        unsafe {
            self.shape.set(Shape::of(self.ptr.as_ptr()));
            self.whole.set(Whole::of(self.ptr.as_ptr()));
        }
        self.changes.set(changes);
    }

    /// Calls the C function of a command.
    ///
    /// # Safety
    /// As for [`Device::start`].
    #[expect(clippy::too_many_arguments, reason = "those of the C function")]
    #[inline(always)]
    unsafe fn call(
        &self,
        place: Shape,
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        blocks: u64,
        done: OnDone,
        arg: *mut c_void,
    ) -> c_int {
        let (ns, qpair) = (self.ptr.as_ptr(), self.qpair.as_ptr());
        let count = blocks as u32; // as it was measured
        let done = Some(done);
        let whole = self.whole.get();
        if let Some(opcode) = opcode(kind)
            && whole.has(place, blocks)
        {
            let cmd = NvmeCmd {
                nsid: whole.nsid,
                cdw10: offset as u32,
                cdw11: (offset >> 32) as u32,
                cdw12: count - 1,
                ..NvmeCmd::new(opcode)
            };
            let (mut cmd, len) = (cmd.to_c(), count * whole.bytes);
            // SAFETY: as for the other functions below. It copies the command; `len` is what `data` was measured to have.
            return unsafe {
                sys::spdk_nvme_ctrlr_cmd_io_raw(
                    self.ctrlr,
                    qpair,
                    &raw mut cmd,
                    data,
                    len,
                    done,
                    arg,
                )
            };
        }
        // SAFETY: the queue pair is there until the callback, since it counts as in use, and keeps the controller attached;
        // a reset waits for it, so the namespace stays where it is. The caller keeps `data`.
        unsafe {
            match kind {
                Kind::Read => {
                    sys::spdk_nvme_ns_cmd_read(ns, qpair, data, offset, count, done, arg, 0)
                }
                Kind::Write => {
                    sys::spdk_nvme_ns_cmd_write(ns, qpair, data, offset, count, done, arg, 0)
                }
                Kind::WriteZeroes => {
                    sys::spdk_nvme_ns_cmd_write_zeroes(ns, qpair, offset, count, done, arg, 0)
                }
                Kind::Unmap => {
                    let range = DsmRange {
                        attributes: 0,
                        length: count,
                        starting_lba: offset,
                    };
                    let (ty, range) = (DsmAttributes::DEALLOCATE, range.to_c());
                    // It copies the range.
                    sys::spdk_nvme_ns_cmd_dataset_management(ns, qpair, ty, &range, 1, done, arg)
                }
                Kind::Flush => sys::spdk_nvme_ns_cmd_flush(ns, qpair, done, arg),
            }
        }
    }

    /// Submits a command that may have to wait for others, or that needs what it is about to be kept as it is.
    ///
    /// # Safety
    /// As for [`Device::start`].
    #[expect(clippy::too_many_arguments, reason = "those of the C function")]
    #[inline(never)]
    unsafe fn start_in_turn(
        &self,
        command: &Command<'_>,
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        blocks: u64,
        done: OnDone,
        arg: *mut c_void,
    ) -> Result<(), Refusal> {
        // SAFETY: passed on.
        let call = || unsafe { self.call(command.shape, kind, data, offset, blocks, done, arg) };
        match submit(&self.qpair, command, call) {
            Submitted::Pending => Ok(()),
            other => Err(refusal(&other)),
        }
    }
}

/// The opcode of a read or a write.
#[inline]
fn opcode(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Read => Some(sys::SPDK_NVME_OPC_READ.0 as u8),
        Kind::Write => Some(sys::SPDK_NVME_OPC_WRITE.0 as u8),
        Kind::WriteZeroes | Kind::Unmap | Kind::Flush => None,
    }
}

/// A command that is submitted.
struct Command<'a> {
    device: &'a NamespaceDevice,
    shape: Shape,
}

impl QueueSubject for Command<'_> {
    fn is_as_it_was(&self) -> bool {
        // SAFETY: the queue pair of the device keeps the controller attached, and the namespace where it is, while a command
        // is in flight on it.
        self.shape == unsafe { Shape::of(self.device.ptr.as_ptr()) }
    }

    #[inline]
    fn gate(&self) -> Option<&Gate> {
        self.device.ns.side().gate()
    }
}

unsafe extern "C" fn on_done<E: End<NamespaceDevice>>(
    arg: *mut c_void,
    cpl: *const sys::spdk_nvme_cpl,
) {
    // SAFETY: C calls back for the command of this context, and `cpl` is there during the callback.
    unsafe { E::end(cpl, arg) }
}

// SAFETY: `on_done` is as it has to be; a command that `submit` calls pending calls back once, else never.
unsafe impl Device for NamespaceDevice {
    type OnDone = OnDone;
    type Raw = *const sys::spdk_nvme_cpl;
    type Place = Shape;
    type Shape = Shape;
    type Wait = Shape;

    #[inline]
    fn on_done<E: End<Self>>() -> Self::OnDone {
        on_done::<E>
    }

    fn name(kind: Kind) -> &'static str {
        match kind {
            Kind::Read => "spdk_nvme_ns_cmd_read",
            Kind::Write => "spdk_nvme_ns_cmd_write",
            Kind::WriteZeroes => "spdk_nvme_ns_cmd_write_zeroes",
            Kind::Unmap => "spdk_nvme_ns_cmd_dataset_management",
            Kind::Flush => "spdk_nvme_ns_cmd_flush",
        }
    }

    fn subject(&self) -> &dyn Describe {
        &self.ns
    }

    #[inline]
    fn home(&self) -> Home {
        Home::of(self.qpair.local())
    }

    fn is_here(&self) -> bool {
        self.qpair.local().is_current()
    }

    // Each counts: a command that finds the queue pair full waits if there is another one.
    #[inline(always)]
    fn one_more(&self) {
        self.qpair.begin_use();
    }

    #[inline(always)]
    fn one_less(&self) {
        self.qpair.end_use();
    }

    #[inline(always)]
    fn check(&self, caller: Caller<'_>) -> Result<Shape, Fault> {
        self.qpair.get(caller)?;
        let changes = self.ns.side().changes();
        if self.changes.get() != changes {
            self.look(changes);
        }
        Ok(self.shape.get())
    }

    #[inline(always)]
    fn shape(place: Shape) -> Shape {
        place
    }

    fn measure(&self, place: Shape, blocks: u64, len: Option<u64>) -> Result<(), Fault> {
        let Ok(count) = u32::try_from(blocks) else {
            return Err(Fault::invalid(format!(
                "{blocks} blocks are more than a command can have"
            )));
        };
        match len {
            Some(len) => {
                self.ns.can_count(0, count)?;
                check_len(len, blocks, place.whole_block()?)
            }
            None => Ok(()),
        }
    }

    #[inline(always)]
    unsafe fn start(
        &self,
        place: Shape,
        kind: Kind,
        data: *mut c_void,
        offset: u64,
        blocks: u64,
        done: Self::OnDone,
        arg: *mut c_void,
    ) -> Result<(), Refusal> {
        let command = Command {
            device: self,
            shape: place,
        };
        if !is_open(&self.qpair, &command) {
            // SAFETY: passed on.
            return unsafe { self.start_in_turn(&command, kind, data, offset, blocks, done, arg) };
        }
        // SAFETY: passed on.
        let rc = unsafe { self.call(place, kind, data, offset, blocks, done, arg) };
        match submitted(&self.qpair, false, rc) {
            Submitted::Pending => Ok(()),
            other => Err(refusal(&other)),
        }
    }

    unsafe fn wait(&self, entry: *mut Shape, place: Shape, go_on: GoOn, arg: *mut c_void) -> bool {
        let waiters: &Waiters = super::queue::Queue::waiters(&self.qpair);
        // SAFETY: the entry is memory for it. The caller lets `go_on` be called once, and the queue pair calls on
        // this spdk_thread.
        unsafe {
            entry.write(place);
            waiters.push(go_on, arg);
        }
        true
    }

    unsafe fn waited(&self, entry: *const Shape) -> Shape {
        // SAFETY: `wait` has written it.
        unsafe { entry.read() }
    }

    #[inline(always)]
    unsafe fn fault(cpl: Self::Raw) -> Option<Fault> {
        // SAFETY: passed on.
        unsafe { completion::result(cpl) }.err()
    }

    #[inline(always)]
    fn nothing() -> Self::Raw {
        ptr::null()
    }

    #[inline(always)]
    fn is_nothing(cpl: Self::Raw) -> bool {
        cpl.is_null()
    }

    unsafe fn call(done: OnDone, arg: *mut c_void) {
        // SAFETY: passed on.
        unsafe { done(arg, Self::nothing()) }
    }

    #[inline(always)]
    unsafe fn free(_: Self::Raw, _: &Cell<u64>) {
        // The completion is SPDK's, which does not note when.
    }
}

#[cold]
fn refusal(said: &Submitted) -> Refusal {
    match said {
        Submitted::Full(_) => Refusal::Full,
        Submitted::Refused(errno) => Refusal::Errno(*errno),
        Submitted::Pending | Submitted::Done | Submitted::NoMemory { .. } => {
            unreachable!("no command of a queue pair is {said:?}")
        }
    }
}
