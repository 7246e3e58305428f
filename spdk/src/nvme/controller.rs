//! Controllers.
#![allow(unsafe_code)] // Owns `spdk_nvme_ctrlr`s, which their driver attaches and detaches.

use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;

use super::controller_opts::NvmeCtrlrOpts;
use super::driver::{self, Driver};
use super::namespace::NvmeNamespace;
use super::qpair::{NvmeQpair, NvmeQpairObject, NvmeQpairOpts};
use super::queue::{Queue, Subject as QueueSubject};
use super::remote::NvmeRemote;
use super::transport_id::TransportId;
use super::view::Side;
use crate::error::{At, Describe, Fault, Gone, Result};
use crate::handle::{AtHome, Handle, Hold, Object, Subject};
use crate::local::{Caller, Home, begin};
use crate::waiters::Waiters;
use crate::{Errno, sys};

/// A connected NVMe controller.
///
/// A poller of its spdk_thread looks after it: it keeps it alive, and completes its admin commands. When
/// the last of its handles is gone, and with them its namespaces and queue pairs, that poller detaches it;
/// [`NvmeController::detach`] waits for that. A controller that does not answer is waited for as long as
/// operations in flight are at the end of an application, and given up then.
///
/// See the [module](crate::nvme) for what happens when the connection breaks.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread that connected it, and so do its namespaces and queue
/// pairs. On another one its methods return [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread), and a
/// drop is done at home. [`NvmeController::remote`] is for others, which then have queue pairs of their own.
#[doc(alias = "spdk_nvme_ctrlr")]
pub struct NvmeController(Handle<NvmeControllerObject>);

/// `spdk_nvme_ctrlr`, given back with `spdk_nvme_detach_async`.
#[doc(hidden)]
pub enum NvmeControllerObject {}

#[doc(hidden)]
pub struct ControllerExtra {
    side: Side,
}

impl ControllerExtra {
    pub(super) fn new(side: Side) -> Self {
        ControllerExtra { side }
    }

    /// The controller, as this spdk_thread has it.
    #[inline]
    pub(super) fn side(&self) -> &Side {
        &self.side
    }

    /// What looks after it, for an [`NvmeController`].
    pub(super) fn driver(&self) -> &Rc<Driver> {
        match &self.side {
            Side::Home(driver) => driver,
            Side::Away(_) => unreachable!("an `NvmeController` is at home"),
        }
    }
}

// SAFETY: the driver detaches it in one of its next steps, or has the seat back, which is a share of it, and uses nothing
// of `Extra` but itself.
unsafe impl Object for NvmeControllerObject {
    type C = sys::spdk_nvme_ctrlr;
    type Extra = ControllerExtra;
    const NAME: &'static str = "NvmeController";

    unsafe fn release(_: NonNull<Self::C>, extra: &Self::Extra) {
        match &extra.side {
            Side::Home(driver) => driver.leave(),
            Side::Away(view) => view.leave(),
        }
    }

    fn abort_operations(object: Hold<Self>, _: &mut Vec<*const ()>) {
        // On another spdk_thread its queue pairs are asked, which are all that it has there.
        if let Side::Home(driver) = &object.extra().side {
            driver.give_up();
        }
    }

    fn label(extra: &Self::Extra) -> String {
        format!("NVMe controller {}", extra.side.trid())
    }
}

impl NvmeController {
    /// The ID that stands for all namespaces, and for the controller.
    #[doc(alias = "SPDK_NVME_GLOBAL_NS_TAG")]
    pub const ALL_NAMESPACES: u32 = u32::MAX;

    /// Connects to a controller; without `opts`, with SPDK's defaults.
    ///
    /// How long it may take is said by [`NvmeCtrlrOpts::admin_timeout_ms`] and
    /// [`NvmeCtrlrOpts::fabrics_connect_timeout_us`]; over TCP SPDK waits 10 seconds for the first answer of who accepts
    /// the connection, whatever these say. But for the answers that tell the version and the capabilities of a controller
    /// over a network, the next after that, SPDK waits without end while the connection stands: drop the future then. The
    /// connect goes on all the same, and the end of the application gives SPDK up for it. Nothing waits meanwhile but this future, except at a discovery subsystem: SPDK
    /// itself waits for its answers, during which the OS thread does nothing else.
    ///
    /// Wraps `spdk_nvme_connect_async`. It takes the place of `spdk_nvme_connect` too, which polls SPDK from
    /// inside of it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected): nobody is there, or the controller
    ///   refused. SPDK says why in its log only.
    /// - `EALREADY`: this process has the controller already, from an earlier connect with the same host
    ///   name. Over PCI Express that is [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected), also where the bdev
    ///   layer has it; over a network that one has a connection of its own.
    /// - [`ErrorKind::Option`](crate::ErrorKind::Option): an option cannot be used.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the connect but does
    /// not stop it. What it connects is detached then.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which is the controller's home then.
    #[doc(alias = "spdk_nvme_connect_async")]
    #[doc(alias = "spdk_nvme_connect")]
    #[doc(alias = "spdk_nvme_probe_poll_async")]
    pub async fn connect(trid: &TransportId, opts: Option<&NvmeCtrlrOpts>) -> Result<Self> {
        let at = At::new("spdk_nvme_connect_async", trid);
        let default = NvmeCtrlrOpts::default();
        let answer = {
            // The defaults are asked of SPDK, which has to run.
            begin(|_| crate::local::Here::now()).map_err(|fault| fault.at(at))?;
            if trid.address().is_empty() {
                let reason =
                    "the transport ID names no controller; `NvmeController::probe` finds all";
                return Err(Fault::invalid(reason).at(at));
            }
            let opts = opts.unwrap_or(&default).ready()?;
            driver::connect(trid, opts).map_err(|fault| fault.at(at))?
        };
        let answer = answer.await;
        // Without an answer, its spdk_thread has ended.
        let answer = answer.unwrap_or_else(|_| Err(Fault::gone(Gone::ThreadEnded)));
        answer.map_err(|fault| fault.at(at))
    }

    /// Takes ownership of a controller.
    ///
    /// # Safety
    ///
    /// It was just attached on the current spdk_thread, and its driver does nothing but look after it.
    pub(super) unsafe fn adopt(
        ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
        driver: Rc<Driver>,
    ) -> Result<Self, Fault> {
        let extra = ControllerExtra::new(Side::Home(driver.clone()));
        // SAFETY: passed on.
        let handle = unsafe { Handle::adopt(ctrlr, extra) }?;
        driver.set_handle(handle.downgrade());
        Ok(NvmeController(handle))
    }

    /// Resets the controller; or connects it again, when the connection was gone.
    ///
    /// Every command in flight ends with the status of an aborted one, on the admin queue too. The queue pairs
    /// are gone then: their handles report [`Gone::Reset`], and others take their place. Namespaces
    /// and the stream of events stay.
    ///
    /// It takes as long as a [connect](NvmeController::connect), and may wait without end for the same answers. A
    /// [`detach`](NvmeController::detach) ends that, when the future has been dropped.
    ///
    /// Several resets at a time are one. Wraps `spdk_nvme_ctrlr_disconnect`, `spdk_nvme_ctrlr_reconnect_async` and
    /// `spdk_nvme_ctrlr_reconnect_poll_async`, and takes the place of `spdk_nvme_ctrlr_reset`, which polls SPDK from
    /// inside of it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected): it could not be connected again. It has
    ///   failed then, and another reset may bring it back. One whose admin queue began to authenticate by
    ///   DH-HMAC-CHAP, and was refused or cut off, may be brought back by none: SPDK keeps that failure.
    ///   [`detach`](NvmeController::detach) it then, and connect again.
    /// - [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread,
    ///   [`ErrorKind::Gone`](crate::ErrorKind::Gone) when that has ended.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the reset but does not
    /// stop it.
    #[doc(alias = "spdk_nvme_ctrlr_reset")]
    #[doc(alias = "spdk_nvme_ctrlr_disconnect")]
    #[doc(alias = "spdk_nvme_ctrlr_reconnect_async")]
    #[doc(alias = "spdk_nvme_ctrlr_reconnect_poll_async")]
    pub async fn reset(&self) -> Result<()> {
        let at = At::new("spdk_nvme_ctrlr_reconnect_async", self);
        begin(|caller| self.0.get(caller)).map_err(|fault| fault.at(at))?;
        Self::wait_for_reset(self.0.extra().driver().reset(), at).await
    }

    /// Connects the controller again by another path: at another address of its subsystem. It is a
    /// [`reset`](NvmeController::reset) in all else, and comes after one that has begun already.
    ///
    /// One that fails leaves the controller there; another failover takes it elsewhere, or back. Of those that are
    /// called before one has begun, the last says where to, and all of them end with it.
    ///
    /// Wraps `spdk_nvme_ctrlr_set_trid`.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::reset`]. Refused before C sees it: another transport, or another subsystem.
    ///
    /// # Cancellation
    ///
    /// As for [`NvmeController::reset`].
    #[doc(alias = "spdk_nvme_ctrlr_set_trid")]
    pub async fn failover(&self, trid: &TransportId) -> Result<()> {
        let at = At::new("spdk_nvme_ctrlr_set_trid", self);
        begin(|caller| self.0.get(caller)).map_err(|fault| fault.at(at))?;
        let own = self.transport_id();
        if own.transport() != trid.transport() || own.subnqn() != trid.subnqn() {
            let wrong = format!("{trid} is no path to the same subsystem");
            return Err(Fault::invalid(wrong).at(at));
        }
        Self::wait_for_reset(self.0.extra().driver().failover(trid.clone()), at).await
    }

    async fn wait_for_reset(end: oneshot::AsyncReceiver<bool>, at: At<'_>) -> Result<()> {
        match end.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Fault::not_connected().at(at)),
            // Without an answer its driver has ended.
            Err(_) => Err(Fault::gone(Gone::ThreadEnded).at(at)),
        }
    }

    /// Gives the controller up, and waits until it is detached: until its namespaces and queue pairs have
    /// been dropped, and what is in flight on these has ended.
    ///
    /// Wraps `spdk_nvme_detach_async`. Dropping the controller does the same, without waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread, and
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when its spdk_thread has ended. It is dropped then too.
    #[doc(alias = "spdk_nvme_detach_async")]
    #[doc(alias = "spdk_nvme_detach_poll_async")]
    #[doc(alias = "spdk_nvme_detach")]
    pub async fn detach(self) -> Result<()> {
        let at = |fault: Fault, this: &Self| fault.at(At::new("spdk_nvme_detach_async", this));
        begin(|caller| self.0.get(caller)).map_err(|fault| at(fault, &self))?;
        let end = self.0.extra().driver().wait_for_end();
        drop(self);
        // Without an answer its driver is gone, and the controller with it.
        let _ = end.await;
        Ok(())
    }

    /// An active namespace, by its ID; IDs begin with 1.
    ///
    /// `None` if there is none of this ID, or it is inactive; and on another spdk_thread.
    #[doc(alias = "spdk_nvme_ctrlr_get_ns")]
    #[doc(alias = "spdk_nvme_ctrlr_is_active_ns")]
    pub fn namespace(&self, ns_id: u32) -> Option<NvmeNamespace> {
        let ctrlr = begin(|caller| self.0.get(caller)).ok()?;
        NvmeNamespace::of(&self.0, ctrlr, ns_id)
    }

    /// The IDs of the active namespaces, in their order; none on another spdk_thread.
    #[doc(alias = "spdk_nvme_ctrlr_get_first_active_ns")]
    #[doc(alias = "spdk_nvme_ctrlr_get_next_active_ns")]
    pub fn active_namespaces(&self) -> Vec<u32> {
        let Ok(ctrlr) = begin(|caller| self.0.get(caller)) else {
            return Vec::new();
        };
        // SAFETY: the controller is attached, and of this spdk_thread.
        let first = unsafe { sys::spdk_nvme_ctrlr_get_first_active_ns(ctrlr.as_ptr()) };
        // SAFETY: as above.
        let next =
            |id: &u32| unsafe { sys::spdk_nvme_ctrlr_get_next_active_ns(ctrlr.as_ptr(), *id) };
        let ids = std::iter::successors(Some(first), |id| Some(next(id)));
        ids.take_while(|id| *id != 0).collect()
    }

    /// Allocates and connects a queue pair for I/O; without `opts`, with the options of the controller.
    ///
    /// A poller of this spdk_thread polls it. A task with much to do has one of its own, or shares one: a
    /// queue pair takes commands of any number of tasks. Over TCP, what has few of them in flight is fastest on
    /// the first queue pair of an spdk_thread: the kernel is asked for its data at once, and for those of the
    /// others after it was asked which of them have received any.
    ///
    /// Wraps `spdk_nvme_ctrlr_alloc_io_qpair`, `spdk_nvme_poll_group_add` and
    /// `spdk_nvme_ctrlr_connect_io_qpair`.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: the controller has no more queue pairs, or SPDK no memory. Its log says which.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the controller has no queues of
    ///   [`NvmeQpairOpts::io_queue_size`].
    /// - [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected): the controller refused, or has failed.
    /// - [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread,
    ///   [`ErrorKind::Gone`](crate::ErrorKind::Gone) when that has ended.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later gives the queue pair up.
    #[doc(alias = "spdk_nvme_ctrlr_alloc_io_qpair")]
    #[doc(alias = "spdk_nvme_ctrlr_connect_io_qpair")]
    #[doc(alias = "spdk_nvme_poll_group_add")]
    pub async fn alloc_io_qpair(&self, opts: Option<&NvmeQpairOpts>) -> Result<NvmeQpair> {
        let at = At::new("spdk_nvme_ctrlr_alloc_io_qpair", self);
        NvmeQpair::alloc(&self.0, opts, at).await
    }

    /// The controller for other spdk_threads, which get queue pairs of their own.
    pub fn remote(&self) -> NvmeRemote {
        NvmeRemote::of(self.0.extra().driver().link().clone())
    }

    /// Where it is, after the last [`NvmeController::failover`].
    #[doc(alias = "spdk_nvme_ctrlr_get_transport_id")]
    pub fn transport_id(&self) -> TransportId {
        self.0.extra().driver().trid()
    }

    /// Whether the connection is gone: what is in flight has ended, or ends, with an error, and other
    /// commands are refused.
    #[doc(alias = "spdk_nvme_ctrlr_is_failed")]
    pub fn has_failed(&self) -> bool {
        self.0.extra().driver().has_failed()
    }

    /// The C object, for calls that this crate does not wrap; null when it is gone.
    pub fn as_ptr(&self) -> *mut sys::spdk_nvme_ctrlr {
        self.0.as_ptr()
    }

    /// The queue pair, for a command about it.
    pub(super) fn queue(
        &self,
        qpair: &NvmeQpair,
        caller: Caller<'_>,
    ) -> Result<Hold<NvmeQpairObject>, Fault> {
        qpair.hold_of(self.0.as_ptr(), caller)
    }

    /// Keeps other writes of a boot partition away, whose parts would mix.
    pub(super) fn claim_boot(&self) -> Result<BootClaim, Fault> {
        let driver = self.0.extra().driver();
        match driver.boot_claim().replace(true) {
            true => Err(Fault::errno(Errno::EALREADY)),
            false => Ok(BootClaim(driver.clone())),
        }
    }

    /// Keeps queue pairs away while blocks change their size.
    pub(super) fn claim_format(&self) -> Result<FormatClaim, Fault> {
        let driver = self.0.extra().driver();
        match driver.is_resetting() || driver.has_qpairs() {
            true => Err(Fault::errno(Errno::EBUSY)),
            false if driver.is_formatting().replace(true) => Err(Fault::errno(Errno::EBUSY)),
            false => Ok(FormatClaim(driver.clone())),
        }
    }

    /// The controller, for an admin command.
    #[doc(hidden)]
    pub fn hold_admin(&self, caller: Caller<'_>) -> Result<AdminHold, Fault> {
        let hold = self.0.hold(caller)?;
        let commands = hold.extra().driver().commands();
        commands.set(commands.get() + 1);
        Ok(AdminHold(hold))
    }
}

/// A format, during which there are no queue pairs.
pub(super) struct FormatClaim(Rc<Driver>);

impl FormatClaim {
    /// Ready when all spdk_threads know of it, with whether they have no queue pair.
    pub(super) fn is_alone(&self) -> oneshot::AsyncReceiver<bool> {
        self.0.seats().ask()
    }

    /// Resets the controller, before there are queue pairs again.
    pub(super) fn reset(&self) -> oneshot::AsyncReceiver<bool> {
        self.0.reset()
    }
}

impl Drop for FormatClaim {
    fn drop(&mut self) {
        self.0.is_formatting().set(false);
    }
}

/// A write of a boot partition.
pub(super) struct BootClaim(Rc<Driver>);

impl Drop for BootClaim {
    fn drop(&mut self) {
        self.0.boot_claim().set(false);
    }
}

/// An admin command's reference to its controller.
#[doc(hidden)]
pub struct AdminHold(Hold<NvmeControllerObject>);

impl AdminHold {
    /// The controller. It stays attached while the hold exists.
    pub fn as_ptr(&self) -> *mut sys::spdk_nvme_ctrlr {
        self.0.as_ptr()
    }

    /// Whether SPDK refuses commands. An abort that it refuses counts as in flight for ever, and the controller takes only
    /// some at once: later ones would wait for it.
    pub(super) fn is_cut(&self) -> bool {
        let ctrlr = self.as_ptr();
        // SAFETY: the controller is attached.
        unsafe {
            sys::spdk_nvme_ctrlr_is_failed(ctrlr)
                || sys::spdk_nvme_ctrlr_get_admin_qp_failure_reason(ctrlr)
                    != sys::SPDK_NVME_QPAIR_FAILURE_NONE
        }
    }
}

impl AdminHold {
    /// Whether the controller is being connected again, or about to be.
    #[cfg(spdk_has_spdk_nvme_ctrlr_authenticate)]
    pub(super) fn is_resetting(&self) -> bool {
        self.0.extra().driver().is_resetting()
    }
}

impl Drop for AdminHold {
    fn drop(&mut self) {
        let commands = self.0.extra().driver().commands();
        commands.set(commands.get() - 1);
    }
}

impl AtHome for AdminHold {
    fn home(&self) -> Home {
        self.0.home()
    }
}

impl Queue for AdminHold {
    fn waiters(&self) -> &Waiters {
        self.0.extra().driver().waiters()
    }

    fn commands(&self) -> usize {
        self.0.extra().driver().commands().get()
    }
}

impl QueueSubject for AdminHold {
    fn is_as_it_was(&self) -> bool {
        true
    }
}

impl Subject for NvmeController {
    type O = NvmeControllerObject;
    fn handle(&self) -> &Handle<NvmeControllerObject> {
        &self.0
    }
}

impl Describe for NvmeController {
    fn describe(&self) -> String {
        NvmeControllerObject::label(self.0.extra())
    }
}

impl Describe for TransportId {
    fn describe(&self) -> String {
        format!("NVMe controller {self}")
    }
}

impl fmt::Debug for NvmeController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trid = self.transport_id().to_string();
        f.debug_tuple("NvmeController").field(&trid).finish()
    }
}
