// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/nvmf.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int, c_void};
use core::fmt;
use core::ptr::NonNull;
use crate::__private::{self as rt, Subject as _, sys};

/// A subsystem.
///
/// It belongs to the spdk_thread that it was made on; elsewhere its methods return
/// `ErrorKind::WrongThread`. Dropping it frees nothing: the target does.
///
/// The C struct is `spdk_nvmf_subsystem`.
#[doc(alias = "spdk_nvmf_subsystem")]
pub struct Subsystem(rt::Handle<SubsystemObject>);

/// The C object of a [`Subsystem`].
#[doc(hidden)]
pub enum SubsystemObject {}

// SAFETY: there is nothing to free: the target does.
unsafe impl rt::Object for SubsystemObject {
    type C = sys::spdk_nvmf_subsystem;
    type Extra = ();
    const NAME: &'static str = "Subsystem";
    unsafe fn release(_ptr: NonNull<Self::C>, _extra: &Self::Extra) {}
}

impl rt::Subject for Subsystem {
    type O = SubsystemObject;
    fn handle(&self) -> &rt::Handle<SubsystemObject> {
        &self.0
    }
}

impl rt::Describe for Subsystem {
    fn describe(&self) -> String {
        let Ok(object) = self.0.get() else {
            return "Subsystem".to_owned();
        };
        // SAFETY: the object is alive and this is its thread; the text is copied.
        match unsafe { rt::string(sys::spdk_nvmf_subsystem_get_nqn(object.as_ptr())) } {
            Ok(Some(name)) => format!("{} {name:?}", "Subsystem"),
            _ => "Subsystem".to_owned(),
        }
    }
}

impl fmt::Debug for Subsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rt::Describe::describe(self))
    }
}

impl Subsystem {
    /// Takes over what a C function returned; NULL is an error.
    ///
    /// # Safety
    ///
    /// `ptr` is NULL, or a live object that nobody else frees.
    #[allow(dead_code, reason = "not every handle has a call that produces it here")]
    pub(crate) unsafe fn from_c(
        ptr: *mut sys::spdk_nvmf_subsystem,
        extra: (),
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(Subsystem(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(Subsystem);

/// What `nvmf_subsystem_destroy_cb` reports.
#[doc(hidden)]
pub enum NvmfSubsystemDestroyCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfSubsystemDestroyCb {
    type Fn = sys::nvmf_subsystem_destroy_cb;
    type Raw = ();
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<()>>(cb_arg: *mut c_void) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, ()) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(())
    }
}

/// What `spdk_nvmf_subsystem_state_change_done` reports.
#[doc(hidden)]
pub enum NvmfSubsystemStateChangeDone {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfSubsystemStateChangeDone {
    type Fn = sys::spdk_nvmf_subsystem_state_change_done;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
            _subsystem: *mut sys::spdk_nvmf_subsystem,
            cb_arg: *mut c_void,
            status: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, status) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(0)
    }
}

/// What `spdk_nvmf_tgt_subsystem_listen_done_fn` reports.
#[doc(hidden)]
pub enum NvmfTgtSubsystemListenDoneFn {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfTgtSubsystemListenDoneFn {
    type Fn = sys::spdk_nvmf_tgt_subsystem_listen_done_fn;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
            ctx: *mut c_void,
            status: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(ctx, status) }
        }
        Some(call::<K>)
    }
    fn done() -> Option<Self::Raw> {
        Some(0)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    sys::nvmf_subsystem_destroy_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_subsystem_destroy;

impl Subsystem {
    /// Destroys it; the object must not be used afterwards.
    ///
    /// Wraps `spdk_nvmf_subsystem_destroy`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_destroy")]
    pub fn destroy<'a>(&'a self) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_destroy", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that it is done without a callback, -115 means that the callback runs
            // once, another code that the callback never runs; `held` keeps `subsystem` until then.
            Ok(unsafe {
                rt::op::<NvmfSubsystemDestroyCb, _, _>(
                    move |(subsystem,), done, arg| {
                        match sys::spdk_nvmf_subsystem_destroy(
                            subsystem.as_ptr(),
                            done,
                            arg,
                        ) {
                            0 => rt::Submitted::Done,
                            -115 => rt::Submitted::Pending,
                            rc => rt::Submitted::Refused(rt::Errno::from_code(rc)),
                        }
                    },
                    |_, ()| Ok(()),
                    (self.handle().hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    sys::spdk_nvmf_subsystem_state_change_done,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_subsystem_start;

impl Subsystem {
    /// Starts it.
    ///
    /// Wraps `spdk_nvmf_subsystem_start`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_start")]
    pub fn start<'a>(&'a self) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_start", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, -16 means that it failed and the
            // callback ran, another code that the callback never runs; `held` keeps `subsystem`
            // until then.
            Ok(unsafe {
                rt::op::<NvmfSubsystemStateChangeDone, _, _>(
                    move |(subsystem,), done, arg| {
                        match sys::spdk_nvmf_subsystem_start(
                            subsystem.as_ptr(),
                            done,
                            arg,
                        ) {
                            0 => rt::Submitted::Pending,
                            rc => rt::Submitted::Refused(rt::Errno::from_code(rc)),
                        }
                    },
                    |_, status| rt::status(status),
                    (self.handle().hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

#[cfg(spdk_args_spdk_nvmf_subsystem_disconnect_host = "4")]
const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    *const c_char,
    sys::spdk_nvmf_tgt_subsystem_listen_done_fn,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_subsystem_disconnect_host;

#[cfg(spdk_args_spdk_nvmf_subsystem_disconnect_host = "4")]
impl Subsystem {
    /// Disconnects a host.
    ///
    /// Wraps `spdk_nvmf_subsystem_disconnect_host`.
    ///
    /// # Errors
    ///
    /// - Refused before C sees it: text with a NUL inside.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_disconnect_host")]
    pub fn disconnect_host<'a>(
        &'a self,
        hostnqn: &'a str,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_disconnect_host", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `subsystem` and `hostnqn` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtSubsystemListenDoneFn, _, _>(
                    move |(subsystem, hostnqn), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_subsystem_disconnect_host(
                                subsystem.as_ptr(),
                                hostnqn.as_ptr(),
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.handle().hold(caller)?, rt::cstring(hostnqn, "hostnqn")?),
                )
            })
        };
        rt::call(start, at)
    }
}

#[cfg(spdk_args_spdk_nvmf_subsystem_disconnect_host = "5")]
const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    *const c_char,
    u64,
    sys::spdk_nvmf_tgt_subsystem_listen_done_fn,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_subsystem_disconnect_host;

#[cfg(spdk_args_spdk_nvmf_subsystem_disconnect_host = "5")]
impl Subsystem {
    /// Disconnects a host.
    ///
    /// Wraps `spdk_nvmf_subsystem_disconnect_host`.
    ///
    /// # Errors
    ///
    /// - Refused before C sees it: text with a NUL inside.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_disconnect_host")]
    pub fn disconnect_host<'a>(
        &'a self,
        hostnqn: &'a str,
        timeout_ms: u64,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_disconnect_host", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `subsystem` and `hostnqn` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtSubsystemListenDoneFn, _, _>(
                    move |(subsystem, hostnqn), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_subsystem_disconnect_host(
                                subsystem.as_ptr(),
                                hostnqn.as_ptr(),
                                timeout_ms,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.handle().hold(caller)?, rt::cstring(hostnqn, "hostnqn")?),
                )
            })
        };
        rt::call(start, at)
    }
}
