//! Namespaces.
#![allow(unsafe_code)] // Reads the `spdk_nvme_ns`s of an attached controller.

use std::cell::Cell;
use std::fmt;
use std::ptr::{self, NonNull};

use super::controller::NvmeControllerObject;
use super::qpair::{NvmeQpair, NvmeQpairObject};
use super::queue::Subject as QueueSubject;
use super::seats::Gate;
use super::sgl::{Sgl, Split};
use super::view::Side;
use super::{NvmeExtIoOpts, NvmeIoFlags};
use crate::error::{Describe, Fault};
use crate::handle::{AtHome, Handle, Hold};
use crate::local::{Caller, Home, begin};
use crate::sys;

/// The most blocks that a command has.
pub(super) const MOST: u32 = 1 << 16;

/// A namespace of a controller: what its I/O commands are about.
///
/// It keeps the controller attached. Blocks are numbered from 0, and are what the specification calls logical
/// blocks.
///
/// Reads, writes and compares of 4 GiB or more are refused, and those of more than 65,536 blocks where SPDK does not split
/// them: neither are counted right.
///
/// When the namespace becomes inactive, as when it is detached from the controller, its commands are refused or
/// fail.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread that got it, which is that of its controller, or another one with a
/// [`NvmeRemote`](super::NvmeRemote).
#[doc(alias = "spdk_nvme_ns")]
pub struct NvmeNamespace {
    ctrlr: Handle<NvmeControllerObject>,
    /// As of this many resets, after which it may be elsewhere.
    ns: Cell<NonNull<sys::spdk_nvme_ns>>,
    resets: Cell<u64>,
    id: u32,
    /// As of this many changes.
    shape: Cell<(u64, Shape)>,
    /// As they were seen last.
    sector_size: Cell<u32>,
    num_sectors: Cell<u64>,
}

impl NvmeNamespace {
    pub(super) fn of(
        handle: &Handle<NvmeControllerObject>,
        ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
        id: u32,
    ) -> Option<Self> {
        // SAFETY: the controller is attached, and of this spdk_thread. A namespace stays until it is reset.
        let ns = unsafe {
            if !sys::spdk_nvme_ctrlr_is_active_ns(ctrlr.as_ptr(), id) {
                return None;
            }
            sys::spdk_nvme_ctrlr_get_ns(ctrlr.as_ptr(), id)
        };
        Some(Self::new(handle, NonNull::new(ns)?, id))
    }

    /// One that another spdk_thread has been shown.
    pub(super) fn at(
        handle: &Handle<NvmeControllerObject>,
        ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
        id: u32,
    ) -> Result<Self, Fault> {
        let ns = handle.extra().side().place_of(ctrlr.as_ptr(), id)?;
        Ok(Self::new(handle, ns.ok_or_else(not_active)?, id))
    }

    fn new(handle: &Handle<NvmeControllerObject>, ns: NonNull<sys::spdk_nvme_ns>, id: u32) -> Self {
        let ns = NvmeNamespace {
            ctrlr: handle.clone(),
            ns: Cell::new(ns),
            resets: Cell::new(handle.extra().side().resets()),
            id,
            shape: Cell::new((u64::MAX, Shape::default())),
            sector_size: Cell::new(0),
            num_sectors: Cell::new(0),
        };
        ns.sector_size();
        ns.num_sectors();
        ns
    }

    /// Its ID, from 1.
    #[doc(alias = "spdk_nvme_ns_get_id")]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The size of a block in bytes, without metadata; 0 when it is inactive. The last known one when the
    /// controller is gone, and on another spdk_thread.
    #[doc(alias = "spdk_nvme_ns_get_sector_size")]
    pub fn sector_size(&self) -> u32 {
        if let Ok(ns) = self.raw() {
            // SAFETY: the controller is attached, and of this spdk_thread.
            let size = unsafe { sys::spdk_nvme_ns_get_sector_size(ns.as_ptr()) };
            self.sector_size.set(size);
        }
        self.sector_size.get()
    }

    /// How many blocks it has; 0 when it is inactive. The last known number when the controller is gone, and
    /// on another spdk_thread.
    #[doc(alias = "spdk_nvme_ns_get_num_sectors")]
    pub fn num_sectors(&self) -> u64 {
        if let Ok(ns) = self.raw() {
            // SAFETY: as above.
            let count = unsafe { sys::spdk_nvme_ns_get_num_sectors(ns.as_ptr()) };
            self.num_sectors.set(count);
        }
        self.num_sectors.get()
    }

    /// Its size in bytes, without metadata.
    #[doc(alias = "spdk_nvme_ns_get_size")]
    pub fn size(&self) -> u64 {
        self.num_sectors() * u64::from(self.sector_size())
    }

    /// Whether the controller has it now; not on another spdk_thread.
    #[doc(alias = "spdk_nvme_ns_is_active")]
    pub fn is_active(&self) -> bool {
        // SAFETY: as above.
        self.raw()
            .is_ok_and(|ns| unsafe { sys::spdk_nvme_ns_is_active(ns.as_ptr()) })
    }

    /// The C object, for calls that this crate does not wrap; null when the controller is gone.
    pub fn as_ptr(&self) -> *mut sys::spdk_nvme_ns {
        self.raw().map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    /// Where it is, for this spdk_thread.
    #[inline]
    pub(super) fn place(
        &self,
        ctrlr: *mut sys::spdk_nvme_ctrlr,
    ) -> Result<NonNull<sys::spdk_nvme_ns>, Fault> {
        if self.resets.get() != self.side().resets() {
            self.look_up(ctrlr)?;
        }
        Ok(self.ns.get())
    }

    #[cold]
    fn look_up(&self, ctrlr: *mut sys::spdk_nvme_ctrlr) -> Result<(), Fault> {
        let side = self.side();
        let ns = side.place_of(ctrlr, self.id)?.ok_or_else(not_active)?;
        self.ns.set(ns);
        self.resets.set(side.resets());
        Ok(())
    }

    /// The C object, for a call that returns at once.
    #[doc(hidden)]
    #[inline]
    pub fn raw(&self) -> Result<NonNull<sys::spdk_nvme_ns>, Fault> {
        let ctrlr = begin(|caller| self.ctrlr.get(caller))?;
        self.place(ctrlr.as_ptr())
    }

    /// The namespace, for a command.
    #[doc(hidden)]
    #[inline]
    pub fn hold_attached(&self, caller: Caller<'_>) -> Result<NamespaceHold, Fault> {
        let ctrlr = self.ctrlr.hold(caller)?;
        let ns = self.place(ctrlr.as_ptr())?;
        let shape = self.shape(ns);
        Ok(NamespaceHold { ctrlr, ns, shape })
    }

    /// The queue pair, for a command on this namespace.
    #[doc(hidden)]
    #[inline]
    pub fn queue(
        &self,
        qpair: &NvmeQpair,
        caller: Caller<'_>,
    ) -> Result<Hold<NvmeQpairObject>, Fault> {
        qpair.hold_of(self.ctrlr.as_ptr(), caller)
    }

    /// One more for the same namespace, and where that is while this queue pair is not gone.
    pub(super) fn share(
        &self,
        qpair: &NvmeQpair,
        caller: Caller<'_>,
    ) -> Result<(Self, NonNull<sys::spdk_nvme_ns>), Fault> {
        self.queue(qpair, caller)?;
        let ns = self.place(self.ctrlr.get(caller)?.as_ptr())?;
        Ok((NvmeNamespace::new(&self.ctrlr, ns, self.id), ns))
    }

    /// The controller, as this spdk_thread has it.
    #[inline]
    pub(super) fn side(&self) -> &Side {
        self.ctrlr.extra().side()
    }

    /// What a block has in a buffer, for the check of its length: its data, and its metadata where these are
    /// not apart.
    #[doc(hidden)]
    #[inline]
    pub fn block_size_of(&self) -> Result<u32, Fault> {
        match self.shape(self.raw()?).block {
            0 => Err(not_active()),
            size => Ok(size),
        }
    }

    /// What its blocks are made of. It was seen last when SPDK may have seen it last.
    #[inline]
    pub(super) fn shape(&self, ns: NonNull<sys::spdk_nvme_ns>) -> Shape {
        let changes = self.side().changes();
        let (of, shape) = self.shape.get();
        match of == changes {
            true => shape,
            false => self.look_at(ns, changes),
        }
    }

    #[cold]
    fn look_at(&self, ns: NonNull<sys::spdk_nvme_ns>, changes: u64) -> Shape {
        // SAFETY: the controller is attached, and its namespaces stay while this spdk_thread has not heard of a reset.
        let shape = unsafe { Shape::of(ns.as_ptr()) };
        self.shape.set((changes, shape));
        shape
    }

    /// The same, for commands that have no buffer for metadata.
    #[doc(hidden)]
    #[inline]
    pub fn whole_block_size_of(&self) -> Result<u32, Fault> {
        self.shape(self.raw()?).whole_block()
    }

    /// Refuses commands without a buffer for metadata where these are apart: the controller would take the physical
    /// address 0 for its place. And where the controller would make all of the metadata that are in the same buffer, which has
    /// room for them: it takes the data of the blocks from one after the other then, and SPDK splits them by another size.
    #[doc(hidden)]
    #[inline]
    pub fn no_md_of(&self, opts: &NvmeExtIoOpts) -> Result<(), Fault> {
        let ns = self.raw()?;
        if self.shape(ns).has_md_apart() {
            return Err(md_is_apart());
        }
        match opts.to_c().io_flags & NvmeIoFlags::PRACT.bits() {
            0 => Ok(()),
            _ => may_be_made(ns),
        }
    }

    /// Refuses half of a fused command: over PCI Express SPDK tells the controller of no command of the queue pair any more, and
    /// no call here is the other half.
    #[doc(hidden)]
    #[inline]
    pub fn takes_flags(&self, io_flags: u32) -> Result<(), Fault> {
        match io_flags & FUSED {
            0 => Ok(()),
            _ => Err(is_fused()),
        }
    }

    /// The same, for options.
    #[doc(hidden)]
    #[inline]
    pub fn takes_opts(&self, opts: &NvmeExtIoOpts) -> Result<(), Fault> {
        self.takes_flags(opts.to_c().io_flags)
    }

    /// Refuses buffers that SPDK cannot split into commands, of which it tells nothing or leaks what they take.
    #[doc(hidden)]
    pub fn gather(&self, sgl: Sgl) -> Result<Sgl, Fault> {
        let ns = self.raw()?;
        let block = u64::from(self.shape(ns).block).max(1);
        // SAFETY: the controller is attached, and of this spdk_thread, as the namespace.
        let split = unsafe {
            let ctrlr = sys::spdk_nvme_ns_get_ctrlr(ns.as_ptr());
            let lists = u64::from(sys::SPDK_NVME_CTRLR_SGL_SUPPORTED.0);
            Split {
                block,
                whole: u64::from(sys::spdk_nvme_ns_get_max_io_xfer_size(ns.as_ptr())) / block
                    * block,
                most: sys::spdk_nvme_ctrlr_get_max_sges(ctrlr).into(),
                has_boundaries: sys::spdk_nvme_ns_get_optimal_io_boundary(ns.as_ptr()) != 0,
                has_lists: sys::spdk_nvme_ctrlr_get_flags(ctrlr) & lists != 0,
            }
        };
        split.check(sgl)
    }

    /// Refuses reads, writes and compares that SPDK does not count right: it has 16 bits for the blocks of a command, and
    /// 32 for the bytes of all.
    #[doc(hidden)]
    #[inline]
    pub fn can_count(&self, _lba: u64, blocks: u32) -> Result<(), Fault> {
        match blocks {
            ..=1024 => Ok(()),
            _ => self.count(blocks),
        }
    }

    #[cold]
    fn count(&self, blocks: u32) -> Result<(), Fault> {
        let ns = self.raw()?;
        let bytes = u64::from(blocks) * u64::from(self.shape(ns).block);
        // SAFETY: the controller is attached, and of this spdk_thread.
        let (most, boundary) = unsafe {
            let most = sys::spdk_nvme_ns_get_max_io_xfer_size(ns.as_ptr());
            let size = sys::spdk_nvme_ns_get_sector_size(ns.as_ptr());
            let boundary = sys::spdk_nvme_ns_get_optimal_io_boundary(ns.as_ptr());
            (most.checked_div(size).unwrap_or(0), boundary)
        };
        let is_split = most <= MOST || (1..=MOST).contains(&boundary);
        match bytes <= u64::from(u32::MAX) && (blocks <= MOST || is_split) {
            true => Ok(()),
            false => Err(Fault::invalid(format!(
                "{blocks} blocks are more than SPDK can count"
            ))),
        }
    }

    /// The size of the metadata of a block in a buffer of their own, for the check of its length.
    #[doc(hidden)]
    pub fn md_size_of(&self) -> Result<u32, Fault> {
        let shape = self.shape(self.raw()?);
        match shape.has_md_apart() {
            true => Ok(shape.md_apart),
            false => Err(Fault::invalid(
                "the namespace keeps no metadata apart from the data, so there is no buffer for them",
            )),
        }
    }
}

/// What the blocks of a namespace are made of.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// What one has in a buffer: its data, and its metadata where these are not apart.
    block: u32,
    /// What one has in a buffer for metadata; 0 if there is none.
    md_apart: u32,
}

impl Shape {
    /// # Safety
    /// The controller of the namespace is attached.
    pub(super) unsafe fn of(ns: *mut sys::spdk_nvme_ns) -> Shape {
        // SAFETY: passed on.
        unsafe {
            Shape {
                block: sys::spdk_nvme_ns_get_extended_sector_size(ns),
                md_apart: match sys::spdk_nvme_ns_supports_extended_lba(ns) {
                    true => 0,
                    false => sys::spdk_nvme_ns_get_md_size(ns),
                },
            }
        }
    }

    /// What a block has in a buffer, for commands that have none for metadata.
    #[inline]
    pub(super) fn whole_block(self) -> Result<u32, Fault> {
        match self.block {
            _ if self.has_md_apart() => Err(md_is_apart()),
            0 => Err(not_active()),
            size => Ok(size),
        }
    }

    /// Whether a block has so many bytes in a buffer, and there is nothing of it elsewhere.
    #[inline]
    pub(super) fn is_plain(self, bytes: u32) -> bool {
        self.block == bytes && !self.has_md_apart()
    }

    #[inline]
    fn has_md_apart(self) -> bool {
        self.md_apart != 0
    }
}

/// Refuses to have the controller make metadata in the buffer of the data, of which that has nothing then.
#[cold]
fn may_be_made(ns: NonNull<sys::spdk_nvme_ns>) -> Result<(), Fault> {
    const ALL: u32 = 8;
    // SAFETY: the caller has a namespace of a controller that is attached, on its spdk_thread.
    let is_left_out = unsafe {
        sys::spdk_nvme_ns_supports_extended_lba(ns.as_ptr())
            && sys::spdk_nvme_ns_get_md_size(ns.as_ptr()) == ALL
            && sys::spdk_nvme_ns_get_pi_type(ns.as_ptr())
                != sys::SPDK_NVME_FMT_NVM_PROTECTION_DISABLE
    };
    match is_left_out {
        false => Ok(()),
        true => Err(Fault::invalid(
            "the controller cannot make metadata that the buffer has room for, and that are protection information only",
        )),
    }
}

const FUSED: u32 = sys::SPDK_NVME_IO_FLAGS_FUSE_MASK;

#[cold]
fn is_fused() -> Fault {
    Fault::invalid("the flags are those of one half of a fused command, which has no other one")
}

#[cold]
fn md_is_apart() -> Fault {
    Fault::invalid(
        "the namespace keeps metadata apart from the data, and there is no buffer for them",
    )
}

#[cold]
fn not_active() -> Fault {
    Fault::invalid("the namespace is not active")
}

/// A command's reference to a namespace.
#[doc(hidden)]
pub struct NamespaceHold {
    ctrlr: Hold<NvmeControllerObject>,
    ns: NonNull<sys::spdk_nvme_ns>,
    /// As it was when the buffers of the command were measured.
    shape: Shape,
}

impl NamespaceHold {
    /// The namespace. A reset, after which it may be elsewhere, waits for the queue pair of the command.
    #[inline]
    pub fn as_ptr(&self) -> *mut sys::spdk_nvme_ns {
        self.ns.as_ptr()
    }
}

impl AtHome for NamespaceHold {
    #[inline]
    fn home(&self) -> Home {
        self.ctrlr.home()
    }
}

impl QueueSubject for NamespaceHold {
    fn is_as_it_was(&self) -> bool {
        // SAFETY: the controller is held.
        self.shape == unsafe { Shape::of(self.ns.as_ptr()) }
    }

    #[inline]
    fn gate(&self) -> Option<&Gate> {
        self.ctrlr.extra().side().gate()
    }
}

impl Describe for NvmeNamespace {
    fn describe(&self) -> String {
        let trid = self.side().trid();
        format!("namespace {} of NVMe controller {trid}", self.id)
    }

    fn extent(&self) -> Option<(u64, u32)> {
        self.raw().ok()?;
        Some((self.num_sectors(), self.sector_size()))
    }
}

impl fmt::Debug for NvmeNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NvmeNamespace").field(&self.id).finish()
    }
}
