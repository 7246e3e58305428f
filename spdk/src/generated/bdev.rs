// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Block devices. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int, c_void};
use core::ops::ControlFlow;
use core::ptr::{self, NonNull};
use crate::__private::{self as rt, Subject as _, sys};
use crate::channel::IoChannel;
use crate::bdev::Bdev;

rt::assert_not_send_sync!(Bdev);

/// An open block device.
///
/// The first step to I/O: `get_io_channel` gives the channel that reads and writes go through.
/// Any number of descriptors of a device can be open at once. When the device is removed, they
/// are closed as soon as nothing is in flight, and report
/// [`ErrorKind::Gone`](crate::ErrorKind::Gone).
///
/// It belongs to the spdk_thread that it was made on; elsewhere its methods return
/// `ErrorKind::WrongThread`. Dropping it calls `spdk_bdev_close` on its home thread, once no
/// operation uses it any more.
///
/// The C struct is `spdk_bdev_desc`.
#[doc(alias = "spdk_bdev_desc")]
pub struct BdevDesc(rt::Handle<BdevDescObject>);

/// The C object of a [`BdevDesc`].
#[doc(hidden)]
pub enum BdevDescObject {}

const _: unsafe extern "C" fn(*mut sys::spdk_bdev_desc) = sys::spdk_bdev_close;

// SAFETY: `release` frees the object, by the function that the manifest names.
unsafe impl rt::Object for BdevDescObject {
    type C = sys::spdk_bdev_desc;
    type Extra = crate::bdev::DescExtra;
    const NAME: &'static str = "BdevDesc";
    unsafe fn release(ptr: NonNull<Self::C>, _extra: &Self::Extra) {
        // SAFETY: the core calls this once, on the home thread, with nothing in flight;
        // `spdk_bdev_close` takes the object and nothing else.
        unsafe { sys::spdk_bdev_close(ptr.as_ptr()) }
    }
}

impl rt::Subject for BdevDesc {
    type O = BdevDescObject;
    fn handle(&self) -> &rt::Handle<BdevDescObject> {
        &self.0
    }
}

impl BdevDesc {
    /// Takes over what a C function returned; NULL is an error.
    ///
    /// # Safety
    ///
    /// `ptr` is NULL, or a live object that nobody else frees.
    #[allow(dead_code, reason = "not every handle has a call that produces it here")]
    pub(crate) unsafe fn from_c(
        ptr: *mut sys::spdk_bdev_desc,
        extra: crate::bdev::DescExtra,
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(BdevDesc(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(BdevDesc);

/// Something that happened to a block device.
///
/// The C enum is `spdk_bdev_event_type`.
#[doc(alias = "spdk_bdev_event_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BdevEvent {
    /// The device is being removed: its descriptors are closed.
    #[doc(alias = "SPDK_BDEV_EVENT_REMOVE")]
    Remove,
    /// The number of blocks has changed.
    #[doc(alias = "SPDK_BDEV_EVENT_RESIZE")]
    Resize,
    /// The device asks for data to be moved away from some blocks.
    #[doc(alias = "SPDK_BDEV_EVENT_MEDIA_MANAGEMENT")]
    MediaManagement,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_EVENT_REMOVE.0 == 0);
    assert!(sys::SPDK_BDEV_EVENT_RESIZE.0 == 1);
    assert!(sys::SPDK_BDEV_EVENT_MEDIA_MANAGEMENT.0 == 2);
};

impl BdevEvent {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Remove,
            1 => Self::Resize,
            2 => Self::MediaManagement,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Remove => 0,
            Self::Resize => 1,
            Self::MediaManagement => 2,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_bdev_event_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_bdev_event_type {
        sys::spdk_bdev_event_type(self.to_raw())
    }
}

/// A kind of operation that a block device may support.
///
/// The C enum is `spdk_bdev_io_type`.
#[doc(alias = "spdk_bdev_io_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BdevIoType {
    /// Not an operation.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_INVALID")]
    Invalid,
    /// Read.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_READ")]
    Read,
    /// Write.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_WRITE")]
    Write,
    /// Tell the device that blocks are not needed any more.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_UNMAP")]
    Unmap,
    /// Make what was written durable.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_FLUSH")]
    Flush,
    /// Reset the device.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_RESET")]
    Reset,
    /// Pass an NVMe admin command through.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_ADMIN")]
    NvmeAdmin,
    /// Pass an NVMe I/O command through.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_IO")]
    NvmeIo,
    /// Pass an NVMe I/O command with separate metadata through.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_IO_MD")]
    NvmeIoMd,
    /// Write zeroes without a buffer.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_WRITE_ZEROES")]
    WriteZeroes,
    /// Lend memory of the device itself.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_ZCOPY")]
    Zcopy,
    /// Describe zones.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_GET_ZONE_INFO")]
    GetZoneInfo,
    /// Open, close, finish or reset a zone.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_ZONE_MANAGEMENT")]
    ZoneManagement,
    /// Append to a zone.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_ZONE_APPEND")]
    ZoneAppend,
    /// Compare blocks with a buffer.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_COMPARE")]
    Compare,
    /// Compare, and write if equal, as one step.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_COMPARE_AND_WRITE")]
    CompareAndWrite,
    /// Abort an operation in flight.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_ABORT")]
    Abort,
    /// Find the next blocks without data.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_SEEK_HOLE")]
    SeekHole,
    /// Find the next blocks with data.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_SEEK_DATA")]
    SeekData,
    /// Copy blocks inside the device.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_COPY")]
    Copy,
    /// Pass a vectored NVMe I/O command with separate metadata through.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_IOV_MD")]
    NvmeIovMd,
    /// Reset the NVM subsystem.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_NVME_NSSR")]
    NvmeNssr,
    /// Make blocks fail to read.
    #[doc(alias = "SPDK_BDEV_IO_TYPE_WRITE_UNCORRECTABLE")]
    WriteUncorrectable,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_IO_TYPE_INVALID.0 == 0);
    assert!(sys::SPDK_BDEV_IO_TYPE_READ.0 == 1);
    assert!(sys::SPDK_BDEV_IO_TYPE_WRITE.0 == 2);
    assert!(sys::SPDK_BDEV_IO_TYPE_UNMAP.0 == 3);
    assert!(sys::SPDK_BDEV_IO_TYPE_FLUSH.0 == 4);
    assert!(sys::SPDK_BDEV_IO_TYPE_RESET.0 == 5);
    assert!(sys::SPDK_BDEV_IO_TYPE_NVME_ADMIN.0 == 6);
    assert!(sys::SPDK_BDEV_IO_TYPE_NVME_IO.0 == 7);
    assert!(sys::SPDK_BDEV_IO_TYPE_NVME_IO_MD.0 == 8);
    assert!(sys::SPDK_BDEV_IO_TYPE_WRITE_ZEROES.0 == 9);
    assert!(sys::SPDK_BDEV_IO_TYPE_ZCOPY.0 == 10);
    assert!(sys::SPDK_BDEV_IO_TYPE_GET_ZONE_INFO.0 == 11);
    assert!(sys::SPDK_BDEV_IO_TYPE_ZONE_MANAGEMENT.0 == 12);
    assert!(sys::SPDK_BDEV_IO_TYPE_ZONE_APPEND.0 == 13);
    assert!(sys::SPDK_BDEV_IO_TYPE_COMPARE.0 == 14);
    assert!(sys::SPDK_BDEV_IO_TYPE_COMPARE_AND_WRITE.0 == 15);
    assert!(sys::SPDK_BDEV_IO_TYPE_ABORT.0 == 16);
    assert!(sys::SPDK_BDEV_IO_TYPE_SEEK_HOLE.0 == 17);
    assert!(sys::SPDK_BDEV_IO_TYPE_SEEK_DATA.0 == 18);
    assert!(sys::SPDK_BDEV_IO_TYPE_COPY.0 == 19);
    assert!(sys::SPDK_BDEV_IO_TYPE_NVME_IOV_MD.0 == 20);
};

impl BdevIoType {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Invalid,
            1 => Self::Read,
            2 => Self::Write,
            3 => Self::Unmap,
            4 => Self::Flush,
            5 => Self::Reset,
            6 => Self::NvmeAdmin,
            7 => Self::NvmeIo,
            8 => Self::NvmeIoMd,
            9 => Self::WriteZeroes,
            10 => Self::Zcopy,
            11 => Self::GetZoneInfo,
            12 => Self::ZoneManagement,
            13 => Self::ZoneAppend,
            14 => Self::Compare,
            15 => Self::CompareAndWrite,
            16 => Self::Abort,
            17 => Self::SeekHole,
            18 => Self::SeekData,
            19 => Self::Copy,
            20 => Self::NvmeIovMd,
            21 => Self::NvmeNssr,
            22 => Self::WriteUncorrectable,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Invalid => 0,
            Self::Read => 1,
            Self::Write => 2,
            Self::Unmap => 3,
            Self::Flush => 4,
            Self::Reset => 5,
            Self::NvmeAdmin => 6,
            Self::NvmeIo => 7,
            Self::NvmeIoMd => 8,
            Self::WriteZeroes => 9,
            Self::Zcopy => 10,
            Self::GetZoneInfo => 11,
            Self::ZoneManagement => 12,
            Self::ZoneAppend => 13,
            Self::Compare => 14,
            Self::CompareAndWrite => 15,
            Self::Abort => 16,
            Self::SeekHole => 17,
            Self::SeekData => 18,
            Self::Copy => 19,
            Self::NvmeIovMd => 20,
            Self::NvmeNssr => 21,
            Self::WriteUncorrectable => 22,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_bdev_io_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_bdev_io_type {
        sys::spdk_bdev_io_type(self.to_raw())
    }
}

/// What `spdk_bdev_wait_for_examine_cb` reports.
#[doc(hidden)]
pub enum BdevWaitForExamineCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BdevWaitForExamineCb {
    type Fn = sys::spdk_bdev_wait_for_examine_cb;
    type Raw = ();
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<()>>(arg: *mut c_void) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(arg, ()) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(())
    }
}

const _: unsafe extern "C" fn(
    sys::spdk_bdev_wait_for_examine_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_wait_for_examine;

/// Waits until every bdev module has examined every bdev.
///
/// Afterwards the bdevs exist that modules make of others, such as partitions and logical
/// volumes. It does not wait for bdevs that appear later.
///
/// Wraps `spdk_bdev_wait_for_examine`.
///
/// # Errors
///
/// - `ENOMEM`: SPDK has no memory to wait with.
///
/// # Cancellation
///
/// Nothing happens before the first poll. A future that is dropped later abandons the operation
/// but does not stop it.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_bdev_wait_for_examine")]
pub fn wait_for_examine() -> impl rt::Future<Output = rt::Result<()>> {
    let at = move |fault: rt::Fault| {
        fault.at(rt::At::free("spdk_bdev_wait_for_examine"))
    };
    let start = move |_: rt::Caller<'_>| {
        // SAFETY: 0 means that the callback runs once, another code that it never runs; C is given
        // nothing else.
        Ok(unsafe {
            rt::op::<BdevWaitForExamineCb, _, _>(
                move |_, done, arg| {
                    rt::Submitted::rc(sys::spdk_bdev_wait_for_examine(done, arg))
                },
                |_, ()| Ok(()),
                (rt::Here::now()?,),
            )
        })
    };
    rt::call(start, at)
}

const _: unsafe extern "C" fn(
    *const c_char,
    bool,
    sys::spdk_bdev_event_cb_t,
    *mut c_void,
    *mut *mut sys::spdk_bdev_desc,
) -> c_int = sys::spdk_bdev_open_ext;

impl BdevDesc {
    /// Opens the bdev of this name or alias; for writing too, if `write`.
    ///
    /// Wraps `spdk_bdev_open_ext`.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: no bdev has this name or alias.
    /// - `EPERM`: `write`, and a module has claimed the bdev for itself.
    /// - `ENOMEM`: SPDK has no memory for the descriptor.
    /// - Refused before C sees it: text with a NUL inside.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bdev_open_ext")]
    pub fn open_ext(bdev_name: &str, write: bool) -> rt::Result<BdevDesc> {
        unsafe extern "C" fn on_event(
            type_: sys::spdk_bdev_event_type,
            _bdev: *mut sys::spdk_bdev,
            event_ctx: *mut c_void,
        ) {
            // SAFETY: `ctx` is the hub of the handle, which C calls only while the handle is open.
            unsafe { rt::emit(event_ctx, BdevEvent::from_c(type_)) }
        }
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_open_ext", &bdev_name))
        };
        let result = rt::begin(|_| {
            drop(rt::Here::now()?);
            let bdev_name = rt::cstring(bdev_name, "bdev_name")?;
            let mut desc = ptr::null_mut();
            let hub = rt::EventHub::new();
            // SAFETY: `spdk_bdev_event_cb_t` runs only while the handle is open, whose hub is the
            // context; C copies the rest during the call.
            let rc = unsafe {
                sys::spdk_bdev_open_ext(
                    bdev_name.as_ptr(),
                    write,
                    Some(on_event),
                    hub.arg(),
                    &raw mut desc,
                )
            };
            rt::status(rc)?;
            // SAFETY: the call succeeded, so the object is live and belongs to us.
            let opened = unsafe {
                BdevDesc::from_c(desc, crate::bdev::DescExtra::new(hub))
            }?;
            crate::bdev::opened(&opened);
            Ok(opened)
        });
        result.map_err(at)
    }

    /// The events from now on, on the home spdk_thread, until the object is closed (`spdk_bdev_event_cb_t`).
    pub fn events(&self) -> rt::Events<BdevEvent> {
        self.handle().extra().hub().subscribe()
    }
}

const _: unsafe extern "C" fn(*mut c_void, sys::spdk_for_each_bdev_fn) -> c_int = sys::spdk_for_each_bdev;

/// Shows the name of each bdev, which is open meanwhile. [`Bdev::all`](crate::Bdev::all) gives
/// the bdevs.
///
/// Wraps `spdk_for_each_bdev`.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_for_each_bdev")]
pub fn for_each<F: FnMut(String) -> ControlFlow<()>>(mut each: F) -> rt::Result<()> {
    unsafe extern "C" fn on_each<F: FnMut(String) -> ControlFlow<()>>(
        ctx: *mut c_void,
        bdev: *mut sys::spdk_bdev,
    ) -> c_int {
        // SAFETY: `ctx` is the closure of the call that C is in.
        let flow = unsafe { rt::each::<F, _>(ctx, || crate::bdev_list::name(bdev)) };
        c_int::from(flow.is_break())
    }
    let at = move |fault: rt::Fault| fault.at(rt::At::free("spdk_for_each_bdev"));
    let result = rt::begin(|_| {
        drop(rt::Here::now()?);
        // SAFETY: `spdk_for_each_bdev_fn` runs only inside the call, and the closure outlives it.
        let rc = unsafe {
            sys::spdk_for_each_bdev((&raw mut each).cast(), Some(on_each::<F>))
        };
        // A positive code is the wish of the closure to stop.
        rt::status(rc.min(0))
    });
    result.map_err(at)
}

const _: unsafe extern "C" fn(*mut c_void, sys::spdk_for_each_bdev_fn) -> c_int = sys::spdk_for_each_bdev_leaf;

/// Shows the name of each bdev that no module has claimed, which is open meanwhile.
/// [`Bdev::leaves`](crate::Bdev::leaves) gives the bdevs.
///
/// Wraps `spdk_for_each_bdev_leaf`.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_for_each_bdev_leaf")]
pub fn for_each_leaf<F: FnMut(String) -> ControlFlow<()>>(
    mut each: F,
) -> rt::Result<()> {
    unsafe extern "C" fn on_each<F: FnMut(String) -> ControlFlow<()>>(
        ctx: *mut c_void,
        bdev: *mut sys::spdk_bdev,
    ) -> c_int {
        // SAFETY: `ctx` is the closure of the call that C is in.
        let flow = unsafe { rt::each::<F, _>(ctx, || crate::bdev_list::name(bdev)) };
        c_int::from(flow.is_break())
    }
    let at = move |fault: rt::Fault| fault.at(rt::At::free("spdk_for_each_bdev_leaf"));
    let result = rt::begin(|_| {
        drop(rt::Here::now()?);
        // SAFETY: `spdk_for_each_bdev_fn` runs only inside the call, and the closure outlives it.
        let rc = unsafe {
            sys::spdk_for_each_bdev_leaf((&raw mut each).cast(), Some(on_each::<F>))
        };
        // A positive code is the wish of the closure to stop.
        rt::status(rc.min(0))
    });
    result.map_err(at)
}

const _: unsafe extern "C" fn(*mut sys::spdk_bdev, sys::spdk_bdev_io_type) -> bool = sys::spdk_bdev_io_type_supported;

impl Bdev {
    /// Whether the device supports a kind of operation, itself or by emulation.
    ///
    /// Wraps `spdk_bdev_io_type_supported`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_io_type_supported")]
    pub fn io_type_supported(&self, io_type: BdevIoType) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_io_type_supported", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe {
                sys::spdk_bdev_io_type_supported(bdev.as_ptr(), io_type.to_c())
            })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> *const c_char = sys::spdk_bdev_get_product_name;

impl Bdev {
    /// What kind of device it is, in the words of its module: `Malloc disk`.
    ///
    /// Wraps `spdk_bdev_get_product_name`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_product_name")]
    pub fn product_name(&self) -> rt::Result<String> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_product_name", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_get_product_name(bdev.as_ptr()) };
            // SAFETY: it is what the call returned, checked before it is used.
            unsafe { rt::string(rc) }
                .and_then(|text| text.ok_or(rt::Fault::errno(rt::Errno::ENODATA)))
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_write_unit_size;

impl Bdev {
    /// The number of blocks that a write must be a multiple of; 1 where any will do.
    ///
    /// Wraps `spdk_bdev_get_write_unit_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_write_unit_size")]
    pub fn write_unit_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_write_unit_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_write_unit_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> usize = sys::spdk_bdev_get_buf_align;

impl Bdev {
    /// The alignment in bytes that spares the device a bounce buffer. At least 1.
    ///
    /// Wraps `spdk_bdev_get_buf_align`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_buf_align")]
    pub fn buf_align(&self) -> rt::Result<usize> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_buf_align", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_buf_align(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_optimal_io_boundary;

impl Bdev {
    /// The boundary in blocks that an operation should not cross; 0 if there is none.
    ///
    /// Wraps `spdk_bdev_get_optimal_io_boundary`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_optimal_io_boundary")]
    pub fn optimal_io_boundary(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_optimal_io_boundary", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_optimal_io_boundary(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_has_write_cache;

impl Bdev {
    /// Whether the device has a volatile write cache, so that only a flush makes writes durable.
    ///
    /// Wraps `spdk_bdev_has_write_cache`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_has_write_cache")]
    pub fn has_write_cache(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_has_write_cache", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_has_write_cache(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u16 = sys::spdk_bdev_get_acwu;

impl Bdev {
    /// The number of blocks that compare-and-write handles as one step.
    ///
    /// Wraps `spdk_bdev_get_acwu`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_acwu")]
    pub fn acwu(&self) -> rt::Result<u16> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_acwu", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_acwu(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_md_size;

impl Bdev {
    /// The metadata of each block in bytes; 0 if there is none.
    ///
    /// Wraps `spdk_bdev_get_md_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_md_size")]
    pub fn md_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_md_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_md_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_is_md_interleaved;

impl Bdev {
    /// Whether the metadata follows the data of each block in the same buffer.
    ///
    /// Wraps `spdk_bdev_is_md_interleaved`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_is_md_interleaved")]
    pub fn is_md_interleaved(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_is_md_interleaved", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_is_md_interleaved(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_is_md_separate;

impl Bdev {
    /// Whether the metadata has a buffer of its own.
    ///
    /// Wraps `spdk_bdev_is_md_separate`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_is_md_separate")]
    pub fn is_md_separate(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_is_md_separate", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_is_md_separate(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_is_zoned;

impl Bdev {
    /// Whether the device has zones, which are written from their start to their end.
    ///
    /// Wraps `spdk_bdev_is_zoned`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_is_zoned")]
    pub fn is_zoned(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_is_zoned", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_is_zoned(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_data_block_size;

impl Bdev {
    /// The size of a block in bytes, without metadata.
    ///
    /// Wraps `spdk_bdev_get_data_block_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_data_block_size")]
    pub fn data_block_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_data_block_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_data_block_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> u32 = sys::spdk_bdev_get_physical_block_size;

impl Bdev {
    /// The size in bytes of the blocks that the medium itself reads and writes.
    ///
    /// Wraps `spdk_bdev_get_physical_block_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_physical_block_size")]
    pub fn physical_block_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_physical_block_size", self))
        };
        let result = rt::begin(|caller| {
            let bdev = self.handle().get(caller)?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_physical_block_size(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_read;

impl BdevDesc {
    /// Reads `buf.len()` bytes at `offset` into `buf`.
    ///
    /// `offset` and the length are bytes, and multiples of the block size.
    ///
    /// Wraps `spdk_bdev_read`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_read")]
    pub fn read<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a mut rt::DmaBuf,
        offset: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let nbytes = buf.len() as u64;
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_read", self).bytes(offset, nbytes))
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_read(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset,
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_read_blocks;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into `buf`.
    ///
    /// `buf` has exactly their size.
    ///
    /// Wraps `spdk_bdev_read_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_read_blocks")]
    pub fn read_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a mut rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault
                .at(
                    rt::At::new("spdk_bdev_read_blocks", self)
                        .blocks(offset_blocks, num_blocks),
                )
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_read_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        buf.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_readv;

impl BdevDesc {
    /// Reads at `offset` into several buffers, filling one after the other.
    ///
    /// `offset` and the sum of the lengths are bytes, and multiples of the block size.
    ///
    /// Wraps `spdk_bdev_readv`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_readv")]
    pub fn readv<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a mut [rt::DmaBuf],
        offset: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let nbytes = rt::total_len(bufs);
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_readv", self).bytes(offset, nbytes))
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_readv(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset,
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::fill(bufs)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_readv_blocks;

impl BdevDesc {
    /// Reads `num_blocks` blocks at block `offset_blocks` into several buffers, filling one after
    /// the other.
    ///
    /// Together they have exactly the size of the blocks.
    ///
    /// Wraps `spdk_bdev_readv_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_readv_blocks")]
    pub fn readv_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a mut [rt::DmaBuf],
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault
                .at(
                    rt::At::new("spdk_bdev_readv_blocks", self)
                        .blocks(offset_blocks, num_blocks),
                )
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(rt::total_len(bufs), num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_readv_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::fill(bufs)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write;

impl BdevDesc {
    /// Writes the `buf.len()` bytes of `buf` at `offset`.
    ///
    /// `offset` and the length are bytes, and multiples of the block size.
    ///
    /// Wraps `spdk_bdev_write`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write")]
    pub fn write<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        offset: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let nbytes = buf.len() as u64;
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_write", self).bytes(offset, nbytes))
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset,
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?, buf.lend()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut c_void,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_blocks;

impl BdevDesc {
    /// Writes `num_blocks` blocks of `buf` at block `offset_blocks`.
    ///
    /// `buf` has exactly their size.
    ///
    /// Wraps `spdk_bdev_write_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write_blocks")]
    pub fn write_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        buf: &'a rt::DmaBuf,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault
                .at(
                    rt::At::new("spdk_bdev_write_blocks", self)
                        .blocks(offset_blocks, num_blocks),
                )
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(buf.len() as u64, num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `buf` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, buf), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                buf.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?, buf.lend()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_writev;

impl BdevDesc {
    /// Writes several buffers at `offset`, one after the other.
    ///
    /// `offset` and the sum of the lengths are bytes, and multiples of the block size.
    ///
    /// Wraps `spdk_bdev_writev`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_writev")]
    pub fn writev<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        offset: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let len = rt::total_len(bufs);
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_writev", self).bytes(offset, len))
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_writev(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset,
                                len,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::drain(bufs)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    *mut sys::iovec,
    c_int,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_writev_blocks;

impl BdevDesc {
    /// Writes `num_blocks` blocks of several buffers at block `offset_blocks`, one after the other.
    ///
    /// Together they have exactly the size of the blocks.
    ///
    /// Wraps `spdk_bdev_writev_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device, a buffer whose length is not that
    ///   of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_writev_blocks")]
    pub fn writev_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        bufs: &'a [rt::DmaBuf],
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault
                .at(
                    rt::At::new("spdk_bdev_writev_blocks", self)
                        .blocks(offset_blocks, num_blocks),
                )
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(rt::total_len(bufs), num_blocks, self.block_size_of()?)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc`, `ch` and `iov` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch, bufs), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_writev_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                bufs.as_ptr(),
                                bufs.count(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (
                        self.handle().hold(caller)?,
                        self.channel(ch, caller)?,
                        rt::IoVecs::drain(bufs)?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_zeroes;

impl BdevDesc {
    /// Writes zeroes to `len` bytes at `offset`.
    ///
    /// Both are bytes, and multiples of the block size. SPDK writes buffers of zeroes where the
    /// device has no command for it.
    ///
    /// Wraps `spdk_bdev_write_zeroes`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device can neither write zeroes nor write.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write_zeroes")]
    pub fn write_zeroes<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset: u64,
        len: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_write_zeroes", self).bytes(offset, len))
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write_zeroes(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset,
                                len,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_write_zeroes_blocks;

impl BdevDesc {
    /// Writes zeroes to `num_blocks` blocks at block `offset_blocks`.
    ///
    /// Wraps `spdk_bdev_write_zeroes_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device can neither write zeroes nor write.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_write_zeroes_blocks")]
    pub fn write_zeroes_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault
                .at(
                    rt::At::new("spdk_bdev_write_zeroes_blocks", self)
                        .blocks(offset_blocks, num_blocks),
                )
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_write_zeroes_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_unmap;

impl BdevDesc {
    /// Tells the device that `nbytes` bytes at `offset` are not needed any more.
    ///
    /// Both are bytes, and multiples of the block size. What a read of them returns afterwards
    /// depends on the device. One that cannot unmap fails with the status of an invalid operation
    /// code.
    ///
    /// Wraps `spdk_bdev_unmap`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_unmap")]
    pub fn unmap<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset: u64,
        nbytes: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_unmap", self).bytes(offset, nbytes))
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_unmap(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset,
                                nbytes,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_unmap_blocks;

impl BdevDesc {
    /// Tells the device that `num_blocks` blocks at block `offset_blocks` are not needed any more.
    ///
    /// What a read of them returns afterwards depends on the device.
    ///
    /// Wraps `spdk_bdev_unmap_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_unmap_blocks")]
    pub fn unmap_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault
                .at(
                    rt::At::new("spdk_bdev_unmap_blocks", self)
                        .blocks(offset_blocks, num_blocks),
                )
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_unmap_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_flush;

impl BdevDesc {
    /// Makes what was written to `length` bytes at `offset` durable.
    ///
    /// Both are bytes, and multiples of the block size. Writes that have not completed yet may or
    /// may not be included.
    ///
    /// Wraps `spdk_bdev_flush`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the range is not made of whole blocks, or ends beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device has nothing to flush.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_flush")]
    pub fn flush<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset: u64,
        length: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_flush", self).bytes(offset, length))
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_flush(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset,
                                length,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    u64,
    u64,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_flush_blocks;

impl BdevDesc {
    /// Makes what was written to `num_blocks` blocks at block `offset_blocks` durable.
    ///
    /// Writes that have not completed yet may or may not be included.
    ///
    /// Wraps `spdk_bdev_flush_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: they end beyond the device.
    /// - `EBADF`: the descriptor was not opened for writing.
    /// - `ENOTSUP`: the device has nothing to flush.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_flush_blocks")]
    pub fn flush_blocks<'a>(
        &'a self,
        ch: &'a IoChannel,
        offset_blocks: u64,
        num_blocks: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| {
            fault
                .at(
                    rt::At::new("spdk_bdev_flush_blocks", self)
                        .blocks(offset_blocks, num_blocks),
                )
        };
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_flush_blocks(
                                desc.as_ptr(),
                                ch.as_ptr(),
                                offset_blocks,
                                num_blocks,
                                done,
                                arg,
                            ),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bdev_desc,
    *mut sys::spdk_io_channel,
    sys::spdk_bdev_io_completion_cb,
    *mut c_void,
) -> c_int = sys::spdk_bdev_reset;

impl BdevDesc {
    /// Resets the device: everything in flight on it, from any descriptor, fails first.
    ///
    /// Wraps `spdk_bdev_reset`.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_reset")]
    pub fn reset<'a>(
        &'a self,
        ch: &'a IoChannel,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move |fault: rt::Fault| fault.at(rt::At::new("spdk_bdev_reset", self));
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `desc` and `ch` until then.
            Ok(unsafe {
                rt::op::<rt::BdevIoDone, _, _>(
                    move |(desc, ch), done, arg| {
                        rt::bdev_rc(
                            sys::spdk_bdev_reset(desc.as_ptr(), ch.as_ptr(), done, arg),
                            desc.as_ptr(),
                            ch.as_ptr(),
                        )
                    },
                    |_, done| done,
                    (self.handle().hold(caller)?, self.channel(ch, caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}
