// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use crate::__private::{self as rt, Subject as _, sys};

/// An open bdev.
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
    type Extra = rt::EventHub<BdevEvent>;
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

impl rt::Describe for BdevDesc {
    fn describe(&self) -> String {
        "BdevDesc".to_owned()
    }
}

impl fmt::Debug for BdevDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rt::Describe::describe(self))
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
        extra: rt::EventHub<BdevEvent>,
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(BdevDesc(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(BdevDesc);

/// What happened.
///
/// The C enum is `spdk_bdev_event_type`.
#[doc(alias = "spdk_bdev_event_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BdevEvent {
    /// It goes away.
    #[doc(alias = "SPDK_BDEV_EVENT_REMOVE")]
    Remove,
    /// It has another size.
    #[doc(alias = "SPDK_BDEV_EVENT_RESIZE")]
    Resize,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_BDEV_EVENT_REMOVE.0 == 0);
    assert!(sys::SPDK_BDEV_EVENT_RESIZE.0 == 1);
};

impl BdevEvent {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Remove,
            1 => Self::Resize,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Remove => 0,
            Self::Resize => 1,
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

/// How a bdev is opened.
///
/// The C struct is `spdk_bdev_open_opts`.
#[doc(alias = "spdk_bdev_open_opts")]
#[derive(Clone)]
pub struct OpenOpts(sys::spdk_bdev_open_opts);

const _: unsafe extern "C" fn(*mut sys::spdk_bdev_open_opts, usize) = sys::spdk_bdev_open_opts_init;

impl OpenOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_bdev_open_opts>::zeroed();
        // SAFETY: `spdk_bdev_open_opts_init` writes at most the size that it is given. Zeroes are a
        // valid value of every field.
        Self(unsafe {
            sys::spdk_bdev_open_opts_init(
                raw.as_mut_ptr(),
                size_of::<sys::spdk_bdev_open_opts>() as _,
            );
            raw.assume_init()
        })
    }

    /// Whether metadata is hidden.
    ///
    /// The C field is `hide_metadata`.
    #[must_use]
    pub fn hide_metadata(mut self, value: bool) -> Self {
        self.0.hide_metadata = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_bdev_open_opts {
        self.0
    }
}

impl fmt::Debug for OpenOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOpts").finish_non_exhaustive()
    }
}

impl Default for OpenOpts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(spdk_has_spdk_bdev_open_ext_v2)]
const _: unsafe extern "C" fn(
    *const c_char,
    bool,
    sys::spdk_bdev_event_cb_t,
    *mut c_void,
    *mut sys::spdk_bdev_open_opts,
    *mut *mut sys::spdk_bdev_desc,
) -> c_int = sys::spdk_bdev_open_ext_v2;

#[cfg(spdk_has_spdk_bdev_open_ext_v2)]
impl BdevDesc {
    /// Opens a bdev.
    ///
    /// Wraps `spdk_bdev_open_ext_v2`, which SPDK has since 25.05.
    ///
    /// # Errors
    ///
    /// - Refused before C sees it: text with a NUL inside.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bdev_open_ext_v2")]
    pub fn open(
        bdev_name: &str,
        write: bool,
        opts: Option<&OpenOpts>,
    ) -> rt::Result<BdevDesc> {
        unsafe extern "C" fn on_event(
            type_: sys::spdk_bdev_event_type,
            _bdev: *mut sys::spdk_bdev,
            event_ctx: *mut c_void,
        ) {
            // SAFETY: `ctx` is the hub of the handle, which C calls only while the handle is open.
            unsafe { rt::emit(event_ctx, BdevEvent::from_c(type_)) }
        }
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::name("spdk_bdev_open_ext_v2", bdev_name))
        };
        let result = rt::begin(|_| {
            drop(rt::Here::now()?);
            let bdev_name = rt::cstring(bdev_name, "bdev_name")?;
            let mut opts = opts.map(OpenOpts::to_c);
            let mut desc = ptr::null_mut();
            let hub = rt::EventHub::new();
            // SAFETY: `spdk_bdev_event_cb_t` runs only while the handle is open, whose hub is the
            // context; C copies the rest during the call.
            let rc = unsafe {
                sys::spdk_bdev_open_ext_v2(
                    bdev_name.as_ptr(),
                    write,
                    Some(on_event),
                    hub.arg(),
                    opts.as_mut().map_or(ptr::null_mut(), ptr::from_mut),
                    &raw mut desc,
                )
            };
            rt::status(rc)?;
            // SAFETY: the call succeeded, so the object is live and belongs to us.
            unsafe { BdevDesc::from_c(desc, hub) }
        });
        result.map_err(at)
    }

    /// The events from now on, on the home spdk_thread, until the object is closed (`spdk_bdev_event_cb_t`).
    pub fn events(&self) -> rt::Events<BdevEvent> {
        self.handle().extra().subscribe()
    }
}
