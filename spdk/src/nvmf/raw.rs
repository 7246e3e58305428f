//! The C objects of a target, as the generated calls take them.
//!
//! They are pointers: the target's chores are the only ones that use them, and destroy them in order.
#![allow(unsafe_code)] // Says for how long the pointers are good.

use std::ptr::NonNull;

use crate::error::{Describe, Fault};
use crate::handle::AtHome;
use crate::local::{Caller, Here, Home};
use crate::sys;

/// An object during an operation.
pub(crate) struct Held<C> {
    ptr: NonNull<C>,
    here: Here,
}

impl<C> Held<C> {
    pub(crate) fn as_ptr(&self) -> *mut C {
        self.ptr.as_ptr()
    }
}

impl<C: 'static> AtHome for Held<C> {
    fn home(&self) -> Home {
        self.here.home()
    }
}

macro_rules! raw {
    ($($(#[$doc:meta])* $name:ident: $c:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name(NonNull<sys::$c>);

        impl $name {
            /// # Safety
            ///
            /// The object exists as long as this does, and until the operations on it have ended; all of
            /// them are called on its spdk_thread.
            pub(crate) unsafe fn new(ptr: NonNull<sys::$c>) -> Self {
                $name(ptr)
            }

            #[allow(dead_code, reason = "plain calls use it, which not all of them have")]
            pub(crate) fn as_ptr(&self) -> *mut sys::$c {
                self.0.as_ptr()
            }

            pub(crate) fn hold(&self, _: Caller<'_>) -> Result<Held<sys::$c>, Fault> {
                let here = Here::now()?;
                Ok(Held { ptr: self.0, here })
            }
        }

        impl Describe for $name {
            fn describe(&self) -> String {
                $what.to_owned()
            }
        }
    )*};
}

raw! {
    /// `spdk_nvmf_tgt`.
    RawTarget: spdk_nvmf_tgt, "NVMe-oF target";
    /// `spdk_nvmf_subsystem`.
    RawSubsystem: spdk_nvmf_subsystem, "NVMe-oF subsystem";
    /// `spdk_nvmf_transport`.
    RawTransport: spdk_nvmf_transport, "NVMe-oF transport";
    /// `spdk_nvmf_poll_group`.
    RawPollGroup: spdk_nvmf_poll_group, "NVMe-oF poll group";
}

/// A transport that was made, if it was.
pub(crate) type Created = Option<NonNull<sys::spdk_nvmf_transport>>;

/// # Safety
///
/// None is needed: the pointer is passed on.
pub(crate) unsafe fn created(transport: *mut sys::spdk_nvmf_transport) -> Created {
    NonNull::new(transport)
}
