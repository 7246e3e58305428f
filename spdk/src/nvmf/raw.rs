//! The C objects of a target, as the generated calls take them.
//!
//! They are pointers: the target's chores use them, and destroy them in order. But SPDK's JSON-RPC methods can destroy
//! targets and subsystems too, so these are looked up before they are used.
#![allow(unsafe_code)] // Says for how long the pointers are good.

use std::iter;
use std::ptr::NonNull;

use crate::error::{Describe, Fault, Gone};
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

            #[allow(dead_code, reason = "only that of a target is asked for")]
            pub(super) fn ptr(&self) -> NonNull<sys::$c> {
                self.0
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
    /// `spdk_nvmf_transport`.
    RawTransport: spdk_nvmf_transport, "NVMe-oF transport";
    /// `spdk_nvmf_poll_group`.
    RawPollGroup: spdk_nvmf_poll_group, "NVMe-oF poll group";
}

/// Whether SPDK has a target; one that a JSON-RPC method deletes has gone from there. Its memory stays until its poll
/// groups are destroyed. On the app thread, where targets come and go.
pub(super) fn is_there(tgt: NonNull<sys::spdk_nvmf_tgt>) -> bool {
    // SAFETY: on their spdk_thread; those of the list exist.
    unsafe {
        let mut one = sys::spdk_nvmf_get_first_tgt();
        while !one.is_null() && one != tgt.as_ptr() {
            one = sys::spdk_nvmf_get_next_tgt(one);
        }
        !one.is_null()
    }
}

/// The subsystems of a target, JSON-RPC's among them.
///
/// # Safety
///
/// The target exists, on this spdk_thread, and none of them goes before the iterator does.
pub(super) unsafe fn subsystems(
    tgt: NonNull<sys::spdk_nvmf_tgt>,
) -> impl Iterator<Item = NonNull<sys::spdk_nvmf_subsystem>> {
    // SAFETY: as the caller says.
    let first = unsafe { sys::spdk_nvmf_subsystem_get_first(tgt.as_ptr()) };
    iter::successors(NonNull::new(first), |one| {
        // SAFETY: as the caller says.
        NonNull::new(unsafe { sys::spdk_nvmf_subsystem_get_next(one.as_ptr()) })
    })
}

/// `spdk_nvmf_subsystem`.
pub(crate) struct RawSubsystem {
    ptr: NonNull<sys::spdk_nvmf_subsystem>,
    tgt: NonNull<sys::spdk_nvmf_tgt>,
}

impl RawSubsystem {
    /// # Safety
    ///
    /// It was made for this target. All operations on it are called on its spdk_thread, that of the target; and until
    /// its end this crate alone destroys it, or a JSON-RPC method.
    pub(super) unsafe fn new(
        ptr: NonNull<sys::spdk_nvmf_subsystem>,
        tgt: NonNull<sys::spdk_nvmf_tgt>,
    ) -> Self {
        RawSubsystem { ptr, tgt }
    }

    /// Its target, which exists if it does.
    pub(super) fn target(&self) -> *mut sys::spdk_nvmf_tgt {
        self.tgt.as_ptr()
    }

    /// The same one.
    pub(super) fn again(&self) -> Self {
        RawSubsystem { ..*self }
    }

    /// The subsystem, which exists if [`exists`](Self::exists) has just said so.
    pub(crate) fn as_ptr(&self) -> *mut sys::spdk_nvmf_subsystem {
        self.ptr.as_ptr()
    }

    /// Whether SPDK has it. It cannot go before the next `await`.
    pub(super) fn exists(&self) -> bool {
        // SAFETY: the target exists if that is so, on this spdk_thread.
        is_there(self.tgt) && unsafe { subsystems(self.tgt) }.any(|one| one == self.ptr)
    }

    /// Refuses one that is gone.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match self.exists() {
            true => Ok(()),
            false => Err(Fault::gone(Gone::Closed)),
        }
    }

    pub(crate) fn hold(&self, _: Caller<'_>) -> Result<Held<sys::spdk_nvmf_subsystem>, Fault> {
        let here = Here::now()?;
        self.check()?;
        Ok(Held {
            ptr: self.ptr,
            here,
        })
    }
}

impl Describe for RawSubsystem {
    fn describe(&self) -> String {
        "NVMe-oF subsystem".to_owned()
    }
}

/// A transport that was made, if it was.
pub(crate) type Created = Option<NonNull<sys::spdk_nvmf_transport>>;

/// # Safety
///
/// None is needed: the pointer is passed on.
pub(crate) unsafe fn created(transport: *mut sys::spdk_nvmf_transport) -> Created {
    NonNull::new(transport)
}
