// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Calls that return at once. Wrappers of `spdk/bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int};
use crate::__private::{self as rt, sys};
use crate::bdev::Bdev;

rt::assert_not_send_sync!(Bdev);

/// A kind of protection.
///
/// The C enum is `spdk_dif_type`.
#[doc(alias = "spdk_dif_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifType {
    /// None.
    #[doc(alias = "SPDK_DIF_DISABLE")]
    Disabled,
    /// Type 1.
    #[doc(alias = "SPDK_DIF_TYPE1")]
    Type1,
    /// Type 2.
    #[doc(alias = "SPDK_DIF_TYPE2")]
    Type2,
    /// Type 3.
    #[doc(alias = "SPDK_DIF_TYPE3")]
    Type3,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_DIF_DISABLE.0 == 0);
    assert!(sys::SPDK_DIF_TYPE1.0 == 1);
    assert!(sys::SPDK_DIF_TYPE2.0 == 2);
    assert!(sys::SPDK_DIF_TYPE3.0 == 3);
};

impl DifType {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Disabled,
            1 => Self::Type1,
            2 => Self::Type2,
            3 => Self::Type3,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Disabled => 0,
            Self::Type1 => 1,
            Self::Type2 => 2,
            Self::Type3 => 3,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_dif_type) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_dif_type {
        sys::spdk_dif_type(self.to_raw())
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> usize = sys::spdk_bdev_get_buf_align;

impl Bdev {
    /// A number.
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
        let result = rt::begin(|_| {
            let bdev = self.raw()?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_buf_align(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> bool = sys::spdk_bdev_is_zoned;

impl Bdev {
    /// A truth.
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
        let result = rt::begin(|_| {
            let bdev = self.raw()?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_is_zoned(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> *const c_char = sys::spdk_bdev_get_product_name;

impl Bdev {
    /// A text.
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
        let result = rt::begin(|_| {
            let bdev = self.raw()?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_get_product_name(bdev.as_ptr()) };
            // SAFETY: it is what the call returned, checked before it is used.
            unsafe { rt::string(rc) }
                .and_then(|text| text.ok_or(rt::Fault::errno(rt::Errno::ENODATA)))
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> *const c_char = sys::spdk_bdev_get_module_name;

impl Bdev {
    /// Maybe a text.
    ///
    /// Wraps `spdk_bdev_get_module_name`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_module_name")]
    pub fn module_name(&self) -> rt::Result<Option<String>> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_module_name", self))
        };
        let result = rt::begin(|_| {
            let bdev = self.raw()?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_get_module_name(bdev.as_ptr()) };
            // SAFETY: it is what the call returned, checked before it is used.
            unsafe { rt::string(rc) }
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const sys::spdk_bdev) -> sys::spdk_dif_type = sys::spdk_bdev_get_dif_type;

impl Bdev {
    /// An enum.
    ///
    /// Wraps `spdk_bdev_get_dif_type`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_dif_type")]
    pub fn dif_type(&self) -> rt::Result<DifType> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_dif_type", self))
        };
        let result = rt::begin(|_| {
            let bdev = self.raw()?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_bdev_get_dif_type(bdev.as_ptr()) };
            Ok(DifType::from_c(rc))
        });
        result.map_err(at)
    }
}

#[cfg(spdk_has_spdk_bdev_get_numa_id)]
const _: unsafe extern "C" fn(*mut sys::spdk_bdev) -> i32 = sys::spdk_bdev_get_numa_id;

#[cfg(spdk_has_spdk_bdev_get_numa_id)]
impl Bdev {
    /// A signed number.
    ///
    /// Wraps `spdk_bdev_get_numa_id`, which SPDK has since 24.09.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_get_numa_id")]
    pub fn numa_id(&self) -> rt::Result<i32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_get_numa_id", self))
        };
        let result = rt::begin(|_| {
            let bdev = self.raw()?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_bdev_get_numa_id(bdev.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*mut sys::spdk_bdev, u64) = sys::spdk_bdev_set_qd_sampling_period;

impl Bdev {
    /// Sets something.
    ///
    /// Wraps `spdk_bdev_set_qd_sampling_period`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_set_qd_sampling_period")]
    pub fn set_qd_sampling_period(&self, period: u64) -> rt::Result<()> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_bdev_set_qd_sampling_period", self))
        };
        let result = rt::begin(|_| {
            let bdev = self.raw()?;
            // SAFETY: `bdev` may be used now and here; C keeps nothing after the call.
            unsafe { sys::spdk_bdev_set_qd_sampling_period(bdev.as_ptr(), period) };
            Ok(())
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(*const c_char) -> c_int = sys::spdk_bdev_examine;

/// An errno.
///
/// Wraps `spdk_bdev_examine`.
///
/// # Errors
///
/// - Refused before C sees it: text with a NUL inside.
///
/// # Thread
///
/// The spdk_thread that the application started on.
#[doc(alias = "spdk_bdev_examine")]
pub fn examine(name: &str) -> rt::Result<()> {
    let at = move |fault: rt::Fault| fault.at(rt::At::name("spdk_bdev_examine", name));
    let result = rt::begin(|_| {
        rt::on_app_thread()?;
        let name = rt::cstring(name, "name")?;
        // SAFETY: `name` may be used now and here; C keeps nothing after the call.
        let rc = unsafe { sys::spdk_bdev_examine(name.as_ptr()) };
        rt::status(rc)
    });
    result.map_err(at)
}

// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/thread.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int};
use core::fmt;
use core::ptr::{self, NonNull};
use crate::__private::{self as rt, Subject as _, sys};

/// A thread.
///
/// It belongs to the spdk_thread that it was made on; elsewhere its methods return
/// `ErrorKind::WrongThread`. Dropping it frees nothing: it ends by itself.
///
/// The C struct is `spdk_thread`.
#[doc(alias = "spdk_thread")]
pub struct Thread(rt::Handle<ThreadObject>);

/// The C object of a [`Thread`].
#[doc(hidden)]
pub enum ThreadObject {}

// SAFETY: there is nothing to free: it ends by itself.
unsafe impl rt::Object for ThreadObject {
    type C = sys::spdk_thread;
    type Extra = ();
    const NAME: &'static str = "Thread";
    unsafe fn release(_ptr: NonNull<Self::C>, _extra: &Self::Extra) {}
}

impl rt::Subject for Thread {
    type O = ThreadObject;
    fn handle(&self) -> &rt::Handle<ThreadObject> {
        &self.0
    }
}

impl rt::Describe for Thread {
    fn describe(&self) -> String {
        let Ok(object) = self.0.get() else {
            return "Thread".to_owned();
        };
        // SAFETY: the object is alive and this is its thread; the text is copied.
        match unsafe { rt::string(sys::spdk_thread_get_name(object.as_ptr())) } {
            Ok(Some(name)) => format!("{} {name:?}", "Thread"),
            _ => "Thread".to_owned(),
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rt::Describe::describe(self))
    }
}

impl Thread {
    /// Takes over what a C function returned; NULL is an error.
    ///
    /// # Safety
    ///
    /// `ptr` is NULL, or a live object that nobody else frees.
    #[allow(dead_code, reason = "not every handle has a call that produces it here")]
    pub(crate) unsafe fn from_c(
        ptr: *mut sys::spdk_thread,
        extra: (),
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(Thread(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(Thread);

const _: unsafe extern "C" fn() -> u32 = sys::spdk_thread_get_count;

/// A number that cannot fail.
///
/// Wraps `spdk_thread_get_count`.
///
/// # Thread
///
/// Any thread, also one without an spdk_thread.
#[doc(alias = "spdk_thread_get_count")]
pub fn thread_count() -> u32 {
    // SAFETY: the call has no other condition.
    unsafe { sys::spdk_thread_get_count() }
}

const _: unsafe extern "C" fn(*mut sys::spdk_thread) -> c_int = sys::spdk_thread_has_active_pollers;

impl Thread {
    /// An `int` that is a truth.
    ///
    /// Wraps `spdk_thread_has_active_pollers`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_thread_has_active_pollers")]
    pub fn has_active_pollers(&self) -> rt::Result<bool> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_thread_has_active_pollers", self))
        };
        let result = rt::begin(|caller| {
            let thread = self.handle().get(caller)?;
            // SAFETY: `thread` may be used now and here; C keeps nothing after the call.
            let rc = unsafe { sys::spdk_thread_has_active_pollers(thread.as_ptr()) };
            Ok(rc != 0)
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(
    *const c_char,
    *const sys::spdk_cpuset,
) -> *mut sys::spdk_thread = sys::spdk_thread_create;

impl Thread {
    /// A handle.
    ///
    /// Wraps `spdk_thread_create`.
    ///
    /// # Errors
    ///
    /// - Refused before C sees it: text with a NUL inside.
    ///
    /// # Thread
    ///
    /// Any thread, also one without an spdk_thread.
    #[doc(alias = "spdk_thread_create")]
    pub fn create(name: Option<&str>) -> rt::Result<Thread> {
        let at = move |fault: rt::Fault| fault.at(rt::At::free("spdk_thread_create"));
        let result = rt::begin(|_| {
            let name = name.map(|text| rt::cstring(text, "name")).transpose()?;
            // SAFETY: `name` may be used now and here; C keeps nothing after the call.
            let rc = unsafe {
                sys::spdk_thread_create(
                    name.as_ref().map_or(ptr::null(), |text| text.as_ptr()),
                    ptr::null(),
                )
            };
            // SAFETY: it is what the call returned, checked before it is used.
            unsafe { Thread::from_c(rc, ()) }
        });
        result.map_err(at)
    }
}

// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/util.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int};
use crate::__private::{self as rt, sys};

const _: unsafe extern "C" fn(*const c_char, *mut u64, *mut bool) -> c_int = sys::spdk_parse_capacity;

/// Two results and an errno.
///
/// Wraps `spdk_parse_capacity`.
///
/// # Errors
///
/// - Refused before C sees it: text with a NUL inside.
///
/// # Thread
///
/// Any thread, also one without an spdk_thread.
#[doc(alias = "spdk_parse_capacity")]
pub fn parse_capacity(cap_str: &str) -> rt::Result<(u64, bool)> {
    let at = move |fault: rt::Fault| {
        fault.at(rt::At::name("spdk_parse_capacity", cap_str))
    };
    let result = rt::begin(|_| {
        let cap_str = rt::cstring(cap_str, "cap_str")?;
        let mut cap = 0;
        let mut has_prefix = false;
        // SAFETY: `cap_str`, `cap` and `has_prefix` may be used now and here; C keeps nothing after
        // the call.
        let rc = unsafe {
            sys::spdk_parse_capacity(cap_str.as_ptr(), &raw mut cap, &raw mut has_prefix)
        };
        rt::status(rc)?;
        Ok((cap, has_prefix))
    });
    result.map_err(at)
}
