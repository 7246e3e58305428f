//! Authentication of queues that are connected.
#![allow(unsafe_code)] // Submits operations with the queues that they hold.

use std::ffi::c_int;
use std::future::Future;

use super::controller::{AdminHold, NvmeController};
use super::qpair::{NvmeQpair, NvmeQpairObject};
use super::queue::{Queue, submit_alone};
use crate::call::call;
use crate::error::{At, Result};
use crate::generated::nvme::NvmeAuthenticateCb;
use crate::handle::Hold;
use crate::local::Caller;
use crate::op::Submitted;
use crate::{op, sys};

/// SPDK takes the authentication of a queue that is not connected for that of the next connect, and does not end it if
/// there is none.
fn submit(queue: &impl Queue, is_up: bool, call: impl FnOnce() -> c_int) -> Submitted {
    submit_alone(queue, || match is_up {
        true => call(),
        false => -libc::ENOTCONN,
    })
}

impl NvmeController {
    /// Authenticates the admin queue again, by DH-HMAC-CHAP with the keys of the connect. The first time is part of
    /// the connect.
    ///
    /// It begins when the commands before it have ended, and those after it wait until it has. One that fails breaks the
    /// connection, which a [`reset`](NvmeController::reset) may not bring back, as that says.
    ///
    /// Wraps `spdk_nvme_ctrlr_authenticate`, which SPDK has since 24.09.
    ///
    /// # Errors
    ///
    /// - `ENOKEY`: the controller was connected without
    ///   [`NvmeCtrlrOpts::dhchap_key`](crate::nvme::NvmeCtrlrOpts::dhchap_key).
    /// - `EACCES`: the controller, or this host, refused the other one.
    /// - `ENOTCONN`: the connection is gone.
    /// - `ECANCELED` or `EIO`: the connection broke meanwhile.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_authenticate")]
    pub fn authenticate(&self) -> impl Future<Output = Result<()>> + use<'_> {
        let start = move |caller: Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; the hold keeps the
            // controller until then.
            Ok(unsafe {
                op::op::<NvmeAuthenticateCb, _, _>(
                    |(ctrlr,): &mut (AdminHold,), done, arg| {
                        let is_up = !ctrlr.is_cut() && !ctrlr.is_resetting();
                        submit(ctrlr, is_up, || {
                            sys::spdk_nvme_ctrlr_authenticate(ctrlr.as_ptr(), done, arg)
                        })
                    },
                    |_, status| op::status(status),
                    (self.hold_admin(caller)?,),
                )
            })
        };
        call(start, move || At::new("spdk_nvme_ctrlr_authenticate", self))
    }
}

impl NvmeQpair {
    /// Authenticates the queue pair again, by DH-HMAC-CHAP with the keys of the controller. The first time is part of
    /// its allocation.
    ///
    /// It begins when the commands before it have ended, and those after it wait until it has. One that fails breaks the
    /// connection of the queue pair.
    ///
    /// Wraps `spdk_nvme_qpair_authenticate`, which SPDK has since 24.09.
    ///
    /// # Errors
    ///
    /// - `ENOKEY`: the controller was connected without
    ///   [`NvmeCtrlrOpts::dhchap_key`](crate::nvme::NvmeCtrlrOpts::dhchap_key).
    /// - `EACCES`: the controller, or this host, refused the other one.
    /// - `ENOTCONN` and `ENXIO`: the connection is gone.
    /// - `ECANCELED` or `EIO`: the connection broke meanwhile.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the queue pair.
    #[doc(alias = "spdk_nvme_qpair_authenticate")]
    pub fn authenticate(&self) -> impl Future<Output = Result<()>> + use<'_> {
        let start = move |caller: Caller<'_>| {
            // SAFETY: as for the controller.
            Ok(unsafe {
                op::op::<NvmeAuthenticateCb, _, _>(
                    |(qpair,): &mut (Hold<NvmeQpairObject>,), done, arg| {
                        let is_up = qpair.is_connected();
                        submit(qpair, is_up, || {
                            sys::spdk_nvme_qpair_authenticate(qpair.as_ptr(), done, arg)
                        })
                    },
                    |_, status| op::status(status),
                    (self.hold_connected(caller)?,),
                )
            })
        };
        call(start, move || At::new("spdk_nvme_qpair_authenticate", self))
    }
}
