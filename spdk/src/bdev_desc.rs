//! Descriptors of block devices: what [`BdevDesc`] does beyond the generated calls.
#![allow(unsafe_code)] // Adopts the channel of a descriptor, and closes it when its device goes.

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::CStr;
use std::fmt;
use std::ptr::{self, NonNull};

use crate::bdev::{Bdev, BdevDesc, BdevDescObject, BdevEvent, BdevExtIoOpts, MediaEvent};
use crate::bdev_events::{self, IoTimeout};
use crate::bdev_io::BdevIoDone;
use crate::bdev_qos::{self, get_io_channel};
use crate::buf::Drain;
use crate::channel::{ChannelOwner, IoChannel, IoChannelObject};
use crate::errno::Errno;
use crate::error::{At, Describe, ErrorKind, Fault, Gone, Result};
use crate::events::EventHub;
use crate::handle::{Handle, Hold, Object, Subject, WeakHandle};
use crate::iobuf;
use crate::local::{Caller, begin};
use crate::op::{Operation, bdev_rc, op};
use crate::sys;
use crate::task;

/// What a descriptor keeps beside the C object.
#[doc(hidden)]
pub struct DescExtra {
    hub: EventHub<BdevEvent>,
    bdev: Cell<*mut sys::spdk_bdev>,
    /// The size of a block in a buffer of its own; 0 if the descriptor hides metadata. The same as long as
    /// the bdev exists.
    block_size: Cell<u32>,
    /// The size of a block in vectored buffers.
    vector_block_size: Cell<u32>,
    /// What the metadata of a block have in a buffer of their own; 0 where they have none.
    md_size: Cell<u32>,
    /// Whether SPDK survives a comparison of metadata.
    compares_md: Cell<bool>,
    /// How many blocks SPDK compares at most.
    compares: Cell<u64>,
    /// Whether SPDK crashes in data without their metadata.
    needs_md: Cell<bool>,
    /// Whether what is written may be changed on its way.
    changes: Cell<bool>,
    /// What unmaps are multiples of, in blocks.
    unmap_unit: Cell<u64>,
    /// Whether the device copies metadata along.
    copies: Cell<bool>,
    /// Whether SPDK has as many zeroes as it writes.
    has_zeroes: Cell<bool>,
    timeouts: OnceCell<EventHub<IoTimeout>>,
    media: EventHub<MediaEvent>,
    name: OnceCell<Box<str>>,
    dependents: RefCell<Vec<Box<dyn Dependent>>>,
}

/// What has to go before a descriptor can be closed.
trait Dependent {
    fn shut(&self, why: Gone);
    fn revoke_if_idle(&self, why: Gone) -> bool;
    fn is_gone(&self) -> bool;
}

impl<O: Object> Dependent for WeakHandle<O> {
    fn shut(&self, why: Gone) {
        WeakHandle::shut(self, why);
    }
    fn revoke_if_idle(&self, why: Gone) -> bool {
        WeakHandle::revoke_if_idle(self, why)
    }
    fn is_gone(&self) -> bool {
        WeakHandle::is_gone(self)
    }
}

impl DescExtra {
    pub(crate) fn new(hub: EventHub<BdevEvent>) -> Self {
        DescExtra {
            hub,
            bdev: Cell::new(ptr::null_mut()),
            block_size: Cell::new(0),
            vector_block_size: Cell::new(0),
            md_size: Cell::new(0),
            compares_md: Cell::new(true),
            compares: Cell::new(u64::MAX),
            needs_md: Cell::new(false),
            changes: Cell::new(false),
            unmap_unit: Cell::new(1),
            copies: Cell::new(true),
            has_zeroes: Cell::new(true),
            timeouts: OnceCell::new(),
            media: EventHub::new(),
            name: OnceCell::new(),
            dependents: RefCell::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.name.get().map_or("", |name| name)
    }

    pub(crate) fn label(&self) -> String {
        format!("bdev {:?}", self.name())
    }

    #[inline]
    pub(crate) fn block_size(&self) -> u32 {
        self.block_size.get()
    }

    #[inline]
    pub(crate) fn needs_no_metadata(&self) -> Result<(), Fault> {
        match self.needs_md.get() {
            false => Ok(()),
            true => Err(Fault::invalid(
                "SPDK crashes in I/O on this device that is not given a buffer for the metadata",
            )),
        }
    }

    /// Refuses a write of no zeroes: SPDK never ends it on a device that has no command for it, at a boundary where it
    /// splits writes. An empty unmap ends at once. Refuses one on a device whose blocks are larger than the buffer of zeroes,
    /// too: what SPDK writes there is the memory behind that.
    #[inline]
    pub(crate) fn zeroes(&self, blocks: u64) -> Result<(), Errno> {
        match (blocks, self.has_zeroes.get()) {
            (0, _) => Err(Errno::EINVAL),
            (_, false) => Err(Errno::ENOTSUP),
            _ => Ok(()),
        }
    }

    /// Refuses to flush nothing at the end of the device: a raid of level concat looks for the base bdev that has the first
    /// block, finds none, and uses the memory before its list of them. Both are counted in what a block has `per_block` of.
    ///
    /// # Safety
    /// The descriptor is open.
    #[inline]
    pub(crate) unsafe fn flushes(
        &self,
        offset: u64,
        length: u64,
        per_block: u32,
    ) -> Result<(), Errno> {
        if length > 0 {
            return Ok(());
        }
        // SAFETY: the descriptor keeps the bdev.
        let blocks = unsafe { sys::spdk_bdev_get_num_blocks(self.bdev()) };
        match offset < blocks.saturating_mul(per_block.into()) {
            true => Ok(()),
            false => Err(Errno::EINVAL),
        }
    }

    /// Refuses an unmap that SPDK loses other I/O by.
    #[inline]
    pub(crate) fn unmaps(&self, offset: u64, length: u64, per_block: u32) -> Result<(), Errno> {
        match self.unmap_unit.get() {
            1 => Ok(()),
            unit if (offset | length).is_multiple_of(unit * u64::from(per_block)) => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn hub(&self) -> &EventHub<BdevEvent> {
        &self.hub
    }

    /// Once asked for, it stays as long as the descriptor: SPDK has its address.
    pub(crate) fn timeouts(&self) -> &EventHub<IoTimeout> {
        self.timeouts.get_or_init(EventHub::new)
    }

    /// Null until it is opened.
    pub(crate) fn bdev(&self) -> *mut sys::spdk_bdev {
        self.bdev.get()
    }

    pub(crate) fn media(&self) -> &EventHub<MediaEvent> {
        &self.media
    }

    pub(crate) fn add_dependent<O: Object>(&self, dependent: WeakHandle<O>) {
        let mut dependents = self.dependents.borrow_mut();
        dependents.retain(|dependent| !dependent.is_gone());
        dependents.push(Box::new(dependent));
    }
}

impl ChannelOwner for Handle<BdevDescObject> {
    fn bdev_desc(&self) -> Option<&Handle<BdevDescObject>> {
        Some(self)
    }

    fn reset(&self, ch: Hold<IoChannelObject>) {
        let Some(desc) = self.hold_shut() else {
            return;
        };
        let submit = |(desc, ch): &mut (Hold<BdevDescObject>, Hold<IoChannelObject>), done, arg| {
            let (desc, ch) = (desc.as_ptr(), ch.as_ptr());
            // SAFETY: both are held until the callback, and this is their spdk_thread.
            bdev_rc(
                unsafe { sys::spdk_bdev_reset(desc, ch, done, arg) },
                desc,
                ch,
            )
        };
        // SAFETY: `spdk_bdev_reset` calls back once if it returns 0, else never, and uses nothing
        // but the two objects, which the operation holds.
        let reset = unsafe { op::<BdevIoDone, _, _>(submit, |_, done| done, (desc, ch)) };
        // That the operations end is its result: a future is not needed.
        // SAFETY: nobody has polled it.
        unsafe { reset.op.detach() };
    }
}

/// Opens a descriptor; a name that no bdev has is its own error.
pub(crate) fn open(name: &str, write: bool) -> Result<BdevDesc> {
    BdevDesc::open_ext(name, write).map_err(|error| match error.errno() {
        Some(Errno::ENODEV) => ErrorKind::NoSuchBdev {
            name: name.to_owned(),
        }
        .into(),
        _ => error,
    })
}

/// Completes a descriptor that was just opened: its name, and what happens when its device goes.
pub(crate) fn opened(desc: &BdevDesc) {
    let handle = desc.handle();
    let extra = handle.extra();
    // SAFETY: the descriptor is open, which keeps the bdev, and a bdev has a name.
    let name = unsafe {
        let bdev = sys::spdk_bdev_desc_get_bdev(handle.as_ptr());
        extra.bdev.set(bdev);
        set_sizes(extra, handle.as_ptr(), bdev);
        CStr::from_ptr(sys::spdk_bdev_get_name(bdev))
    };
    let _ = extra.name.set(name.to_string_lossy().into());
    let weak = handle.downgrade();
    let local = handle.local().clone();
    extra.hub.set_hook(move |event| {
        if *event == BdevEvent::MediaManagement
            && let Some(desc) = weak.upgrade()
        {
            bdev_events::take_media_events(&desc);
        }
        if *event == BdevEvent::Remove {
            weak.shut(Gone::Removed);
            let weak = weak.clone();
            // The removal goes on when the descriptor is closed, and it can be closed when the
            // operations in flight have ended.
            drop(task::spawn_on(&local, async move {
                while !let_go(&weak) {
                    task::yield_now().await;
                }
            }));
        }
    });
    if let Ok(desc) = begin(|caller| handle.hold(caller)) {
        bdev_qos::opened(&desc);
    }
}

#[cold]
pub(crate) fn hides_metadata() -> Fault {
    Fault::invalid("the descriptor hides the metadata, so only vectored reads and writes work")
}

/// Refuses what SPDK does not split right, if it splits it: a device below another one can have it do so.
#[inline]
pub(crate) fn splits(bytes: u64) -> Result<(), Fault> {
    match u32::try_from(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::invalid(format!(
            "{bytes} bytes; a read or a write has less than 4 GiB"
        ))),
    }
}

/// Remembers what buffers have to hold.
///
/// # Safety
/// `desc` is an open descriptor of `bdev`.
unsafe fn set_sizes(extra: &DescExtra, desc: *mut sys::spdk_bdev_desc, bdev: *mut sys::spdk_bdev) {
    // SAFETY: passed on; these calls read.
    unsafe {
        let whole = sys::spdk_bdev_get_block_size(bdev);
        #[cfg(spdk_has_spdk_bdev_desc_get_block_size)]
        let size = sys::spdk_bdev_desc_get_block_size(desc);
        #[cfg(not(spdk_has_spdk_bdev_desc_get_block_size))]
        let (size, _) = (whole, desc);
        extra.vector_block_size.set(size);
        extra.block_size.set(if size == whole { size } else { 0 });
        extra.has_zeroes.set(has_zeroes(bdev));
        extra.changes.set(changes_writes(bdev));
        extra.copies.set(copies_metadata(bdev));
        extra.unmap_unit.set(unmap_unit(bdev));
        extra.compares.set(compares(bdev));
        if sys::spdk_bdev_is_md_separate(bdev) {
            extra.md_size.set(sys::spdk_bdev_get_md_size(bdev));
            extra.compares_md.set(compares_metadata(bdev));
            extra.needs_md.set(needs_metadata(bdev));
        }
    }
}

/// The modules that hand a read without a buffer down to the device below: that one then has the metadata,
/// and theirs have none.
const WITHOUT_METADATA: [&CStr; 5] = [c"split", c"gpt", c"error", c"opal", c"bdev_zoned_block"];

/// Whether SPDK survives a comparison of metadata. For a device that has no command for it, SPDK reads
/// without a buffer, and compares with whatever the module has put there; it does not look whether there is
/// anything.
///
/// # Safety
/// `bdev` exists.
unsafe fn compares_metadata(bdev: *mut sys::spdk_bdev) -> bool {
    // SAFETY: passed on; a bdev has a module, and that a name.
    unsafe {
        let module = CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev));
        sys::spdk_bdev_io_type_supported(bdev, sys::SPDK_BDEV_IO_TYPE_COMPARE)
            || !WITHOUT_METADATA.contains(&module)
    }
}

/// How many blocks SPDK compares at most. For a device that has no command for it, SPDK reads into one of its large buffers. If
/// it splits reads for the device as well, it ends one that is too large for that as if it had been submitted, and counts one
/// I/O less than none in flight from then on.
///
/// # Safety
/// `bdev` exists.
unsafe fn compares(bdev: *const sys::spdk_bdev) -> u64 {
    // SAFETY: passed on; these read. The numbers stay as they are as long as the device is registered.
    let (in_one, metadata, align, block) = unsafe {
        let has_command =
            sys::spdk_bdev_io_type_supported(bdev.cast_mut(), sys::SPDK_BDEV_IO_TYPE_COMPARE);
        let splits = sys::spdk_bdev_get_optimal_io_boundary(bdev) != 0
            || (*bdev).max_rw_size != 0
            || (*bdev).max_segment_size != 0
            || (*bdev).max_num_segments != 0;
        let metadata = match sys::spdk_bdev_is_md_separate(bdev) {
            true => sys::spdk_bdev_get_md_size(bdev),
            false => 0,
        };
        (
            has_command || !splits,
            u64::from(metadata),
            sys::spdk_bdev_get_buf_align(bdev) as u64,
            u64::from(sys::spdk_bdev_get_block_size(bdev)),
        )
    };
    match iobuf::pools() {
        Ok(pools) if !in_one => {
            u64::from(pools.large_size).saturating_sub(align - 1) / (block + metadata)
        }
        _ => u64::MAX,
    }
}

/// The modules that are parts of a device to SPDK.
const PARTS: [&CStr; 4] = [c"split", c"gpt", c"error", c"opal"];

/// Whether SPDK changes the reference tags in the metadata, and does not look whether there is a buffer with them.
///
/// # Safety
/// `bdev` exists, and keeps its metadata apart.
unsafe fn needs_metadata(bdev: *mut sys::spdk_bdev) -> bool {
    // SAFETY: passed on; a bdev has a module, and that a name.
    unsafe {
        let module = CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev));
        PARTS.contains(&module)
            && sys::spdk_bdev_is_dif_check_enabled(bdev, sys::SPDK_DIF_CHECK_TYPE_REFTAG)
    }
}

/// The modules of devices that are upon no other one, and may have reference tags.
const LOWEST: [&CStr; 3] = [c"malloc", c"nvme", c"null"];

/// Whether SPDK may change what is written to the device: a part of another device, or a raid, makes the reference tags those of
/// the device below in the memory that it is given, as can what is below any other device.
///
/// # Safety
/// `bdev` exists.
unsafe fn changes_writes(bdev: *mut sys::spdk_bdev) -> bool {
    // SAFETY: passed on; a bdev has a module, and that a name.
    unsafe {
        let module = CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev));
        sys::spdk_bdev_is_dif_check_enabled(bdev, sys::SPDK_DIF_CHECK_TYPE_REFTAG)
            && !LOWEST.contains(&module)
    }
}

/// What unmaps are multiples of. FTL does nothing for one that is not made of whole pages of its map, and ends it at once: where
/// its thread, which ends all others, is on another CPU, both write to one queue, which loses what ended.
///
/// # Safety
/// `bdev` exists.
unsafe fn unmap_unit(bdev: *mut sys::spdk_bdev) -> u64 {
    /// A page of 4 KiB has so many addresses, or half of them if the device is large.
    const IN_PAGE: u64 = 1024;
    // SAFETY: passed on; a bdev has a module, and that a name.
    match unsafe { CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev)) == c"ftl" } {
        true => IN_PAGE,
        false => 1,
    }
}

/// Whether a copy is one of the metadata, too. A malloc bdev has a command for copies that leaves them behind, or the reference
/// tags as they are, so that nobody can read the blocks; all modules but this and NVMe ask a device below. Where there is no
/// command, SPDK reads and writes both.
///
/// # Safety
/// `bdev` exists.
unsafe fn copies_metadata(bdev: *mut sys::spdk_bdev) -> bool {
    // SAFETY: passed on; a bdev has a module, and that a name.
    unsafe {
        CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev)) == c"nvme"
            || !sys::spdk_bdev_io_type_supported(bdev, sys::SPDK_BDEV_IO_TYPE_COPY)
            || !(sys::spdk_bdev_is_md_separate(bdev)
                || sys::spdk_bdev_is_dif_check_enabled(bdev, sys::SPDK_DIF_CHECK_TYPE_REFTAG))
    }
}

/// Whether SPDK has a block of zeroes, as it finds out when a device is registered that has no command to write them: it then
/// writes its one buffer of them. A device has as large blocks as the one below it, whose command this can be, so that no
/// device with larger ones is asked for a command.
///
/// # Safety
/// `bdev` exists.
unsafe fn has_zeroes(bdev: *const sys::spdk_bdev) -> bool {
    /// `ZERO_BUFFER_SIZE` of SPDK.
    const BUFFER: u64 = 0x10_0000;
    // SAFETY: passed on; these calls read.
    let (align, block, unit) = unsafe {
        let metadata = match sys::spdk_bdev_is_md_separate(bdev) {
            true => sys::spdk_bdev_get_md_size(bdev),
            false => 0,
        };
        (
            sys::spdk_bdev_get_buf_align(bdev) as u64,
            u64::from(sys::spdk_bdev_get_block_size(bdev)) + u64::from(metadata),
            u64::from(sys::spdk_bdev_get_write_unit_size(bdev)),
        )
    };
    block.saturating_mul(unit) + (align - 1) <= BUFFER
}

/// Closes what depends on a descriptor, then the descriptor. Returns whether all of it is closed.
fn let_go(desc: &WeakHandle<BdevDescObject>) -> bool {
    let why = Gone::Removed;
    let Some(handle) = desc.upgrade() else {
        return true;
    };
    let mut dependents = handle.extra().dependents.borrow_mut();
    dependents.iter().for_each(|dependent| dependent.shut(why));
    dependents.retain(|dependent| !dependent.revoke_if_idle(why));
    let all_gone = dependents.is_empty() && desc.revoke_if_idle(why);
    if all_gone {
        handle.extra().hub.close();
        handle.extra().media.close();
        if let Some(timeouts) = handle.extra().timeouts.get() {
            timeouts.close();
        }
    }
    all_gone
}

impl BdevDesc {
    /// Opens a bdev by its name, for reading and, if `write`, for writing.
    ///
    /// # Errors
    ///
    /// As for [`Bdev::open`].
    #[doc(alias = "spdk_bdev_open_ext")]
    pub fn open(name: &str, write: bool) -> Result<Self> {
        open(name, write)
    }

    /// Gets the device's I/O channel of the current spdk_thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Errno`] with `ENOMEM` if the device could not make one, and with `EAGAIN` while a call of
    /// [`Bdev::set_qos_limits`], or of the method `bdev_set_qos_limit`, ends the device's limits; in
    /// [interrupt mode](crate::SpdkAppBuilder::interrupt_mode) with `EMFILE` or `ENFILE` if few file descriptors are left,
    /// and with `EAGAIN` if this spdk_thread has given back thousands of channels just now;
    /// [`ErrorKind::WrongThread`] on another spdk_thread than the one that opened the descriptor,
    /// [`ErrorKind::Gone`] when the device was removed.
    #[doc(alias = "spdk_bdev_get_io_channel")]
    pub fn get_io_channel(&self) -> Result<IoChannel> {
        let at = At::new("spdk_bdev_get_io_channel", self);
        let desc = begin(|caller| self.handle().get(caller)).map_err(|fault| fault.at(at))?;
        let extra = self.handle().extra();
        // SAFETY: the descriptor is open, on its spdk_thread, and keeps the bdev.
        let ch = unsafe { get_io_channel(desc.as_ptr(), extra.bdev.get()) };
        let ch = ch.map_err(|fault| fault.at(at))?;
        let ch = NonNull::new(ch).ok_or_else(|| Fault::errno(Errno::ENOMEM).at(at))?;
        let owner = Box::new(self.handle().clone());
        let name = self.describe().into();
        // SAFETY: the reference was just taken, on this spdk_thread; `owner` keeps the device open.
        let ch = unsafe { IoChannel::adopt(ch, extra.bdev.get().cast_const().cast(), name, owner) }
            .map_err(|fault| fault.at(at))?;
        extra.add_dependent(ch.handle().downgrade());
        Ok(ch)
    }

    /// The device.
    ///
    /// # Errors
    ///
    /// As for [`Bdev::find`].
    #[doc(alias = "spdk_bdev_desc_get_bdev")]
    pub fn bdev(&self) -> Result<Bdev> {
        Bdev::find(self.name())
    }

    /// The name of the device.
    pub fn name(&self) -> &str {
        self.handle().extra().name()
    }

    /// The C object, for calls that this crate does not wrap; null when the device is gone.
    pub fn as_ptr(&self) -> *mut sys::spdk_bdev_desc {
        self.handle().as_ptr()
    }

    /// The channel, for an operation on this device.
    #[doc(hidden)]
    #[inline]
    pub fn channel(
        &self,
        ch: &IoChannel,
        caller: Caller<'_>,
    ) -> Result<Hold<IoChannelObject>, Fault> {
        // First, since the address of a device that is gone may be another device's by now.
        let hold = ch.handle().hold(caller)?;
        if hold.extra().device == self.handle().extra().bdev.get().cast_const().cast() {
            Ok(hold)
        } else {
            Err(Fault::wrong_channel(ch))
        }
    }

    /// The size of a logical block, for the check of a buffer's length.
    #[doc(hidden)]
    #[inline]
    pub fn block_size_of(&self) -> Result<u32, Fault> {
        Ok(self.handle().extra().block_size())
    }

    /// The same, for vectored reads and writes, which SPDK converts where the descriptor hides metadata.
    #[doc(hidden)]
    #[inline]
    pub fn vector_block_size_of(&self) -> Result<u32, Fault> {
        Ok(self.handle().extra().vector_block_size.get())
    }

    /// What becomes of memory that is written.
    #[doc(hidden)]
    #[inline]
    pub fn drains(&self) -> Drain {
        match self.handle().extra().changes.get() {
            false => Drain::Reads,
            true => Drain::Changes,
        }
    }

    /// Refuses what SPDK does not convert where the descriptor hides metadata.
    #[doc(hidden)]
    #[inline]
    pub fn shows_metadata(&self) -> Result<(), Fault> {
        match self.handle().extra().block_size() {
            0 => Err(hides_metadata()),
            _ => Ok(()),
        }
    }

    /// Refuses a read or a write that SPDK does not split right: it finds the memory of a part by 32 bits.
    #[doc(hidden)]
    #[inline]
    pub fn splits_bytes(&self, _offset: u64, length: u64) -> Result<(), Fault> {
        splits(length)
    }

    /// The same, of blocks.
    #[doc(hidden)]
    #[inline]
    pub fn splits_blocks(&self, _offset: u64, num_blocks: u64) -> Result<(), Fault> {
        let size = self.handle().extra().vector_block_size.get();
        splits(num_blocks.saturating_mul(size.into()))
    }

    /// Refuses zeroes that SPDK does not write.
    #[doc(hidden)]
    #[inline]
    pub fn has_zeroes(&self, _offset: u64, length: u64) -> Result<(), Fault> {
        self.handle().extra().zeroes(length).map_err(Fault::errno)
    }

    /// Refuses an unmap that SPDK loses other I/O by.
    #[doc(hidden)]
    #[inline]
    pub fn unmaps_blocks(&self, offset: u64, length: u64) -> Result<(), Fault> {
        let extra = self.handle().extra();
        extra.unmaps(offset, length, 1).map_err(Fault::errno)
    }

    /// The same, of bytes.
    #[doc(hidden)]
    #[inline]
    pub fn unmaps_bytes(&self, offset: u64, length: u64) -> Result<(), Fault> {
        let extra = self.handle().extra();
        let block = extra.vector_block_size.get();
        extra.unmaps(offset, length, block).map_err(Fault::errno)
    }

    /// Refuses what the NVMe driver has no more than 32 bits for: the device would get a part of it.
    #[doc(hidden)]
    #[inline]
    pub fn has_a_u32_of_blocks(&self, _offset: u64, length: u64) -> Result<(), Fault> {
        match u32::try_from(length) {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::errno(Errno::EINVAL)),
        }
    }

    /// Refuses to flush nothing at the end of the device, as SPDK crashes in it.
    #[doc(hidden)]
    pub fn flushes_blocks(&self, offset: u64, length: u64) -> Result<(), Fault> {
        self.flushes(offset, length, 1)
    }

    /// The same, of bytes.
    #[doc(hidden)]
    pub fn flushes_bytes(&self, offset: u64, length: u64) -> Result<(), Fault> {
        self.flushes(
            offset,
            length,
            self.handle().extra().vector_block_size.get(),
        )
    }

    fn flushes(&self, offset: u64, length: u64, per_block: u32) -> Result<(), Fault> {
        let desc = self.handle();
        if begin(|caller| desc.get(caller)).is_err() {
            return Ok(()); // the call tells
        }
        // SAFETY: the descriptor is open, as just seen.
        unsafe { desc.extra().flushes(offset, length, per_block) }.map_err(Fault::errno)
    }

    /// Refuses what SPDK crashes in.
    #[doc(hidden)]
    #[inline]
    pub fn compares_metadata(&self) -> Result<(), Fault> {
        match self.handle().extra().compares_md.get() {
            true => Ok(()),
            false => Err(Fault::invalid(
                "SPDK cannot compare the metadata of this kind of device, which has no command for it",
            )),
        }
    }

    /// Refuses to compare more than SPDK can read for it.
    #[doc(hidden)]
    #[inline]
    pub fn compares(&self, _offset: u64, num_blocks: u64) -> Result<(), Fault> {
        let most = self.handle().extra().compares.get();
        match num_blocks <= most {
            true => Ok(()),
            false => Err(Fault::invalid(format!(
                "SPDK compares {most} blocks of this device at most, which has no command for it"
            ))),
        }
    }

    /// Refuses what SPDK crashes in.
    #[doc(hidden)]
    #[inline]
    pub fn needs_no_metadata(&self) -> Result<(), Fault> {
        self.handle().extra().needs_no_metadata()
    }

    /// Refuses `PRACT` where the metadata are apart: SPDK takes them for a part of the data then, and leaves the buffers.
    #[doc(hidden)]
    #[inline]
    pub fn makes_no_metadata(&self, opts: &BdevExtIoOpts) -> Result<(), Fault> {
        let makes = opts.makes_metadata() && self.handle().extra().md_size.get() != 0;
        match makes {
            false => Ok(()),
            true => Err(Fault::invalid(
                "SPDK cannot make metadata that the device keeps apart from the data",
            )),
        }
    }

    /// Refuses a copy that leaves metadata behind, or hides them.
    #[doc(hidden)]
    #[inline]
    pub fn copies(&self) -> Result<(), Fault> {
        self.shows_metadata()?;
        match self.handle().extra().copies.get() {
            true => Ok(()),
            false => Err(Fault::errno(Errno::ENOTSUP)),
        }
    }

    /// As [`BdevDesc::shows_metadata`] and [`BdevDesc::needs_no_metadata`].
    #[doc(hidden)]
    #[inline]
    pub fn shows_and_needs_no_metadata(&self) -> Result<(), Fault> {
        self.shows_metadata()?;
        self.needs_no_metadata()
    }

    /// The size of the metadata of a block in a buffer of their own, for the check of its length.
    #[doc(hidden)]
    #[inline]
    pub fn md_size_of(&self) -> Result<u32, Fault> {
        match self.handle().extra().md_size.get() {
            0 => Err(Fault::invalid(
                "the device keeps no metadata apart from the data, so there is no buffer for them",
            )),
            size => Ok(size),
        }
    }
}

impl BdevExtIoOpts {
    /// Whether they have `PRACT`.
    fn makes_metadata(&self) -> bool {
        // SAFETY: both members of the union are the same 32 bits.
        let cdw12 = unsafe { self.to_c().nvme_cdw12.raw };
        cdw12 & sys::SPDK_DIF_FLAGS_NVME_PRACT != 0
    }
}

impl Describe for BdevDesc {
    fn describe(&self) -> String {
        self.handle().describe()
    }

    fn extent(&self) -> Option<(u64, u32)> {
        self.handle().extent()
    }
}

impl Describe for Handle<BdevDescObject> {
    fn describe(&self) -> String {
        self.extra().label()
    }

    fn extent(&self) -> Option<(u64, u32)> {
        begin(|caller| self.get(caller)).ok()?;
        let bdev = self.extra().bdev.get();
        // SAFETY: the descriptor is open, as just seen, which keeps the bdev.
        Some(unsafe {
            (
                sys::spdk_bdev_get_num_blocks(bdev),
                self.extra().vector_block_size.get(),
            )
        })
    }
}

impl fmt::Debug for BdevDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BdevDesc").field(&self.name()).finish()
    }
}
