// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Targets of NVMe over Fabrics. Wrappers of `spdk/nvmf.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use crate::__private::{self as rt, sys};
use crate::nvmf::raw::RawTarget;
use crate::nvmf::raw::RawSubsystem;
use crate::nvmf::raw::RawTransport;
use crate::nvmf::raw::RawPollGroup;

rt::assert_not_send_sync!(RawTarget);

rt::assert_not_send_sync!(RawSubsystem);

rt::assert_not_send_sync!(RawTransport);

rt::assert_not_send_sync!(RawPollGroup);

/// What a listener says of the way to the namespaces of an ANA group.
///
/// The C enum is `spdk_nvme_ana_state`.
#[doc(alias = "spdk_nvme_ana_state")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnaState {
    /// The best way to the namespaces.
    #[doc(alias = "SPDK_NVME_ANA_OPTIMIZED_STATE")]
    Optimized,
    /// A way that works, but is slower.
    #[doc(alias = "SPDK_NVME_ANA_NON_OPTIMIZED_STATE")]
    NonOptimized,
    /// No way for now: commands fail, and hosts use another one.
    #[doc(alias = "SPDK_NVME_ANA_INACCESSIBLE_STATE")]
    Inaccessible,
    /// No way, and none in the future.
    #[doc(alias = "SPDK_NVME_ANA_PERSISTENT_LOSS_STATE")]
    PersistentLoss,
    /// It is changing.
    #[doc(alias = "SPDK_NVME_ANA_CHANGE_STATE")]
    Change,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_NVME_ANA_OPTIMIZED_STATE.0 == 1);
    assert!(sys::SPDK_NVME_ANA_NON_OPTIMIZED_STATE.0 == 2);
    assert!(sys::SPDK_NVME_ANA_INACCESSIBLE_STATE.0 == 3);
    assert!(sys::SPDK_NVME_ANA_PERSISTENT_LOSS_STATE.0 == 4);
    assert!(sys::SPDK_NVME_ANA_CHANGE_STATE.0 == 15);
};

impl AnaState {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Optimized,
            2 => Self::NonOptimized,
            3 => Self::Inaccessible,
            4 => Self::PersistentLoss,
            15 => Self::Change,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Optimized => 1,
            Self::NonOptimized => 2,
            Self::Inaccessible => 3,
            Self::PersistentLoss => 4,
            Self::Change => 15,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_nvme_ana_state) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_nvme_ana_state {
        sys::spdk_nvme_ana_state(self.to_raw())
    }
}

/// What `spdk_nvmf_tgt_destroy_done_fn` reports.
#[doc(hidden)]
pub enum NvmfTgtDestroyDoneFn {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfTgtDestroyDoneFn {
    type Fn = sys::spdk_nvmf_tgt_destroy_done_fn;
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

/// What `spdk_nvmf_poll_group_destroy_done_fn` reports.
#[doc(hidden)]
pub enum NvmfPollGroupDestroyDoneFn {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfPollGroupDestroyDoneFn {
    type Fn = sys::spdk_nvmf_poll_group_destroy_done_fn;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
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

/// What `spdk_nvmf_transport_create_done_cb` reports.
#[doc(hidden)]
pub enum NvmfTransportCreateDoneCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfTransportCreateDoneCb {
    type Fn = sys::spdk_nvmf_transport_create_done_cb;
    type Raw = crate::nvmf::raw::Created;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<crate::nvmf::raw::Created>>(
            cb_arg: *mut c_void,
            transport: *mut sys::spdk_nvmf_transport,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, crate::nvmf::raw::created(transport)) }
        }
        Some(call::<K>)
    }
}

/// What `spdk_nvmf_transport_destroy_done_cb` reports.
#[doc(hidden)]
pub enum NvmfTransportDestroyDoneCb {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfTransportDestroyDoneCb {
    type Fn = sys::spdk_nvmf_transport_destroy_done_cb;
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

/// What `spdk_nvmf_tgt_add_transport_done_fn` reports.
#[doc(hidden)]
pub enum NvmfTgtAddTransportDoneFn {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfTgtAddTransportDoneFn {
    type Fn = sys::spdk_nvmf_tgt_add_transport_done_fn;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
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

/// What `spdk_nvmf_tgt_pause_polling_cb_fn` reports.
#[doc(hidden)]
pub enum NvmfTgtPausePollingCbFn {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfTgtPausePollingCbFn {
    type Fn = sys::spdk_nvmf_tgt_pause_polling_cb_fn;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
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

/// What `spdk_nvmf_tgt_resume_polling_cb_fn` reports.
#[doc(hidden)]
pub enum NvmfTgtResumePollingCbFn {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for NvmfTgtResumePollingCbFn {
    type Fn = sys::spdk_nvmf_tgt_resume_polling_cb_fn;
    type Raw = c_int;
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<c_int>>(
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

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_tgt,
    sys::spdk_nvmf_tgt_destroy_done_fn,
    *mut c_void,
) = sys::spdk_nvmf_tgt_destroy;

impl RawTarget {
    /// Destroys the target, with its transports. Its poll groups are destroyed before.
    ///
    /// Wraps `spdk_nvmf_tgt_destroy`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_tgt_destroy")]
    pub fn destroy<'a>(&'a self) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_tgt_destroy", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `tgt`
            // until then.
            Ok(unsafe {
                rt::op::<NvmfTgtDestroyDoneFn, _, _>(
                    move |(tgt,), done, arg| {
                        sys::spdk_nvmf_tgt_destroy(tgt.as_ptr(), done, arg);
                        rt::Submitted::Pending
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_poll_group,
    sys::spdk_nvmf_poll_group_destroy_done_fn,
    *mut c_void,
) = sys::spdk_nvmf_poll_group_destroy;

impl RawPollGroup {
    /// Destroys the poll group, once it has disconnected its queue pairs.
    ///
    /// Wraps `spdk_nvmf_poll_group_destroy`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_poll_group_destroy")]
    pub fn destroy<'a>(&'a self) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_poll_group_destroy", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `group`
            // until then.
            Ok(unsafe {
                rt::op::<NvmfPollGroupDestroyDoneFn, _, _>(
                    move |(group,), done, arg| {
                        sys::spdk_nvmf_poll_group_destroy(group.as_ptr(), done, arg);
                        rt::Submitted::Pending
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    sys::nvmf_subsystem_destroy_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_subsystem_destroy;

impl RawSubsystem {
    /// Destroys the subsystem, which is stopped.
    ///
    /// Wraps `spdk_nvmf_subsystem_destroy`.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: it is not stopped.
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
                    (self.hold(caller)?,),
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

impl RawSubsystem {
    /// Lets hosts connect.
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
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `subsystem` until then.
            Ok(unsafe {
                rt::op::<NvmfSubsystemStateChangeDone, _, _>(
                    move |(subsystem,), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_subsystem_start(subsystem.as_ptr(), done, arg),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?,),
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
) -> c_int = sys::spdk_nvmf_subsystem_stop;

impl RawSubsystem {
    /// Disconnects the hosts, and lets none connect.
    ///
    /// Wraps `spdk_nvmf_subsystem_stop`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_stop")]
    pub fn stop<'a>(&'a self) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_stop", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `subsystem` until then.
            Ok(unsafe {
                rt::op::<NvmfSubsystemStateChangeDone, _, _>(
                    move |(subsystem,), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_subsystem_stop(subsystem.as_ptr(), done, arg),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    u32,
    sys::spdk_nvmf_subsystem_state_change_done,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_subsystem_pause;

impl RawSubsystem {
    /// Holds back the admin commands, and the I/O of the namespace `nsid`, if there is one.
    ///
    /// Wraps `spdk_nvmf_subsystem_pause`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_pause")]
    pub fn pause<'a>(
        &'a self,
        nsid: u32,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_pause", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `subsystem` until then.
            Ok(unsafe {
                rt::op::<NvmfSubsystemStateChangeDone, _, _>(
                    move |(subsystem,), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_subsystem_pause(
                                subsystem.as_ptr(),
                                nsid,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?,),
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
) -> c_int = sys::spdk_nvmf_subsystem_resume;

impl RawSubsystem {
    /// Goes on with what was held back.
    ///
    /// Wraps `spdk_nvmf_subsystem_resume`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_resume")]
    pub fn resume<'a>(&'a self) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_resume", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `subsystem` until then.
            Ok(unsafe {
                rt::op::<NvmfSubsystemStateChangeDone, _, _>(
                    move |(subsystem,), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_subsystem_resume(
                                subsystem.as_ptr(),
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?,),
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
impl RawSubsystem {
    /// Ends the connections of a host.
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
                    (self.hold(caller)?, rt::cstring(hostnqn, "hostnqn")?),
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
impl RawSubsystem {
    /// Ends the connections of a host.
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
                    (self.hold(caller)?, rt::cstring(hostnqn, "hostnqn")?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    *const sys::spdk_nvme_transport_id,
    sys::spdk_nvmf_tgt_subsystem_listen_done_fn,
    *mut c_void,
) = sys::spdk_nvmf_subsystem_add_listener;

impl RawSubsystem {
    /// Lets hosts connect at an address, where its target listens.
    ///
    /// Wraps `spdk_nvmf_subsystem_add_listener`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_add_listener")]
    pub fn add_listener<'a>(
        &'a self,
        trid: &'a crate::nvmf::NvmfAddress,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_add_listener", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps
            // `subsystem` and `trid` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtSubsystemListenDoneFn, _, _>(
                    move |(subsystem, trid), done, arg| {
                        sys::spdk_nvmf_subsystem_add_listener(
                            subsystem.as_ptr(),
                            ptr::from_ref(trid),
                            done,
                            arg,
                        );
                        rt::Submitted::Pending
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?, trid.to_c()),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    *const sys::spdk_nvme_transport_id,
    sys::spdk_nvmf_tgt_subsystem_listen_done_fn,
    *mut c_void,
    *mut sys::spdk_nvmf_listener_opts,
) = sys::spdk_nvmf_subsystem_add_listener_ext;

impl RawSubsystem {
    /// Lets hosts connect at an address, where its target listens, with options.
    ///
    /// Wraps `spdk_nvmf_subsystem_add_listener_ext`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_add_listener_ext")]
    pub fn add_listener_ext<'a>(
        &'a self,
        trid: &'a crate::nvmf::NvmfAddress,
        opts: &'a crate::nvmf::NvmfListenerOpts,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_add_listener_ext", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps
            // `subsystem`, `trid` and `opts` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtSubsystemListenDoneFn, _, _>(
                    move |(subsystem, trid, opts), done, arg| {
                        sys::spdk_nvmf_subsystem_add_listener_ext(
                            subsystem.as_ptr(),
                            ptr::from_ref(trid),
                            done,
                            arg,
                            ptr::from_mut(opts),
                        );
                        rt::Submitted::Pending
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?, trid.to_c(), opts.to_c()),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_subsystem,
    *const sys::spdk_nvme_transport_id,
    sys::spdk_nvme_ana_state,
    u32,
    sys::spdk_nvmf_tgt_subsystem_listen_done_fn,
    *mut c_void,
) = sys::spdk_nvmf_subsystem_set_ana_state;

impl RawSubsystem {
    /// Says what the way by a listener to the namespaces of an ANA group is like; 0 stands for all
    /// groups.
    ///
    /// Wraps `spdk_nvmf_subsystem_set_ana_state`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there is no such listener or group, or the subsystem has no ANA reporting.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_subsystem_set_ana_state")]
    pub fn set_ana_state<'a>(
        &'a self,
        trid: &'a crate::nvmf::NvmfAddress,
        ana_state: AnaState,
        anagrpid: u32,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_subsystem_set_ana_state", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps
            // `subsystem` and `trid` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtSubsystemListenDoneFn, _, _>(
                    move |(subsystem, trid), done, arg| {
                        sys::spdk_nvmf_subsystem_set_ana_state(
                            subsystem.as_ptr(),
                            ptr::from_ref(trid),
                            ana_state.to_c(),
                            anagrpid,
                            done,
                            arg,
                        );
                        rt::Submitted::Pending
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?, trid.to_c()),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_transport,
    sys::spdk_nvmf_transport_destroy_done_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_transport_destroy;

impl RawTransport {
    /// Destroys a transport that no target has.
    ///
    /// Wraps `spdk_nvmf_transport_destroy`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_transport_destroy")]
    pub fn destroy<'a>(&'a self) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_transport_destroy", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `transport` until then.
            Ok(unsafe {
                rt::op::<NvmfTransportDestroyDoneCb, _, _>(
                    move |(transport,), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_transport_destroy(
                                transport.as_ptr(),
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, ()| Ok(()),
                    (self.hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_tgt,
    *mut sys::spdk_nvmf_transport,
    sys::spdk_nvmf_tgt_add_transport_done_fn,
    *mut c_void,
) = sys::spdk_nvmf_tgt_add_transport;

impl RawTarget {
    /// Gives the target a transport, which it owns from then on.
    ///
    /// Wraps `spdk_nvmf_tgt_add_transport`.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: it has one of this kind.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_tgt_add_transport")]
    pub fn add_transport<'a>(
        &'a self,
        transport: &'a RawTransport,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_tgt_add_transport", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `tgt` and
            // `transport` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtAddTransportDoneFn, _, _>(
                    move |(tgt, transport), done, arg| {
                        sys::spdk_nvmf_tgt_add_transport(
                            tgt.as_ptr(),
                            transport.as_ptr(),
                            done,
                            arg,
                        );
                        rt::Submitted::Pending
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?, transport.hold(caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_tgt,
    sys::spdk_nvmf_tgt_pause_polling_cb_fn,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_tgt_pause_polling;

impl RawTarget {
    /// Holds the pollers of the poll groups.
    ///
    /// Wraps `spdk_nvmf_tgt_pause_polling`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: it is pausing or resuming.
    /// - `EINVAL`: it is paused.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_tgt_pause_polling")]
    pub fn pause_polling<'a>(
        &'a self,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_tgt_pause_polling", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `tgt` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtPausePollingCbFn, _, _>(
                    move |(tgt,), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_tgt_pause_polling(tgt.as_ptr(), done, arg),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_tgt,
    sys::spdk_nvmf_tgt_resume_polling_cb_fn,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_tgt_resume_polling;

impl RawTarget {
    /// Lets the pollers of the poll groups go on.
    ///
    /// Wraps `spdk_nvmf_tgt_resume_polling`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: it is pausing or resuming.
    /// - `EINVAL`: it is not paused.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_tgt_resume_polling")]
    pub fn resume_polling<'a>(
        &'a self,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_tgt_resume_polling", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `tgt` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtResumePollingCbFn, _, _>(
                    move |(tgt,), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_tgt_resume_polling(tgt.as_ptr(), done, arg),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?,),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvmf_transport,
    *const sys::spdk_nvme_transport_id,
    *mut sys::spdk_nvmf_subsystem,
    sys::spdk_nvmf_tgt_subsystem_listen_done_fn,
    *mut c_void,
) -> c_int = sys::spdk_nvmf_transport_stop_listen_async;

impl RawTransport {
    /// Ends to listen at an address, and the connections of a subsystem that came by it.
    ///
    /// Wraps `spdk_nvmf_transport_stop_listen_async`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: nothing listens there.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvmf_transport_stop_listen_async")]
    pub fn stop_listen<'a>(
        &'a self,
        trid: &'a crate::nvmf::NvmfAddress,
        subsystem: &'a RawSubsystem,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvmf_transport_stop_listen_async", self);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `transport`, `trid` and `subsystem` until then.
            Ok(unsafe {
                rt::op::<NvmfTgtSubsystemListenDoneFn, _, _>(
                    move |(transport, trid, subsystem), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvmf_transport_stop_listen_async(
                                transport.as_ptr(),
                                ptr::from_ref(trid),
                                subsystem.as_ptr(),
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, status| rt::status(status),
                    (self.hold(caller)?, trid.to_c(), subsystem.hold(caller)?),
                )
            })
        };
        rt::call(start, at)
    }
}
