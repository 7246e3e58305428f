//! Queue pairs.
#![allow(unsafe_code)] // Allocates `spdk_nvme_qpair`s, which their group frees.

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::rc::Rc;

use super::controller::NvmeControllerObject;
use super::qpair_group::Member;
use super::queue::{Queue, Subject as QueueSubject};
use crate::error::{At, Describe, Fault, Result};
use crate::handle::{Handle, Hold, Object, Subject};
use crate::local::{Caller, begin};
use crate::waiters::Waiters;
use crate::{Errno, sys};

/// An I/O queue pair of a controller, for the commands of its spdk_thread.
///
/// A poller of this spdk_thread polls it: there is nothing to call. Commands beyond
/// [`NvmeCtrlrOpts::io_queue_requests`](super::NvmeCtrlrOpts::io_queue_requests) wait until there are fewer,
/// and are submitted in their order.
///
/// Dropping it frees it, once what is in flight on it has ended; [`NvmeQpair::close`] waits for that. When
/// its connection breaks, its commands end with an error, and others are refused with `ENXIO`: another one
/// takes its place, if the controller has not failed. After a reset of the controller it is gone.
///
/// Over a network, a connection on which nothing is answered for twice
/// [`NvmeCtrlrOpts::keep_alive_timeout_ms`](super::NvmeCtrlrOpts::keep_alive_timeout_ms) is broken. A command may take
/// longer: when none has ended for half of that, a flush of a namespace that there is not is sent beside
/// those in flight, which the controller refuses at once. Only on a full queue there is no place for it.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread that allocated it, which is that of its controller, or another one
/// with a [`NvmeRemote`](super::NvmeRemote).
#[doc(alias = "spdk_nvme_qpair")]
pub struct NvmeQpair(Handle<NvmeQpairObject>);

/// `spdk_nvme_qpair`, given back with `spdk_nvme_ctrlr_free_io_qpair`.
#[doc(hidden)]
pub enum NvmeQpairObject {}

#[doc(hidden)]
pub struct QpairExtra {
    member: Rc<Member>,
    id: u16,
}

// SAFETY: the group frees it after one of its next polls, and uses nothing of `Extra` but the member.
unsafe impl Object for NvmeQpairObject {
    type C = sys::spdk_nvme_qpair;
    type Extra = QpairExtra;
    const NAME: &'static str = "NvmeQpair";

    unsafe fn release(_: NonNull<Self::C>, extra: &Self::Extra) {
        extra.member.leave();
    }

    fn abort_operations(object: Hold<Self>, _: &mut Vec<*const ()>) {
        object.extra().member.give_up();
    }

    fn label(extra: &Self::Extra) -> String {
        let trid = extra.member.side().trid();
        format!("queue pair {} of NVMe controller {trid}", extra.id)
    }
}

/// Whose commands a controller takes first, where it was asked for
/// [`Arbitration::WeightedRoundRobin`](super::Arbitration::WeightedRoundRobin).
#[doc(alias = "spdk_nvme_qprio")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueuePriority {
    /// Before all others.
    Urgent,
    /// By the weight of high priority.
    High,
    /// By the weight of medium priority.
    Medium,
    /// By the weight of low priority.
    Low,
}

/// The entries of a queue in one page of 2 MiB: beyond that, nothing says that its memory is one piece for a PCI device.
const MAX_QUEUE_SIZE: u32 = 32_768;

/// How a queue pair is allocated. What is not set is as for the controller.
#[doc(alias = "spdk_nvme_io_qpair_opts")]
#[derive(Clone, Copy, Debug, Default)]
pub struct NvmeQpairOpts {
    io_queue_size: Option<u32>,
    io_queue_requests: Option<u32>,
    priority: Option<QueuePriority>,
    delay_cmd_submit: Option<bool>,
    disable_pcie_sgl_merge: Option<bool>,
}

impl NvmeQpairOpts {
    /// Those of the controller.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of the queue, from 2: one more than the commands that the controller can have at once. It is at most what
    /// the controller can have, and 32,768.
    #[must_use]
    pub fn io_queue_size(mut self, value: u32) -> Self {
        self.io_queue_size = Some(value);
        self
    }

    /// How many commands SPDK can have at once; what it splits counts by its parts. Others wait until there
    /// are fewer.
    #[must_use]
    pub fn io_queue_requests(mut self, value: u32) -> Self {
        self.io_queue_requests = Some(value);
        self
    }

    /// Whose commands come first. Needs
    /// [`Arbitration::WeightedRoundRobin`](super::Arbitration::WeightedRoundRobin) if it is not
    /// [`QueuePriority::Urgent`].
    #[doc(alias = "qprio")]
    #[must_use]
    pub fn priority(mut self, value: QueuePriority) -> Self {
        self.priority = Some(value);
        self
    }

    /// Gives the controller its commands once in each poll, all together. PCIe and RDMA only.
    #[must_use]
    pub fn delay_cmd_submit(mut self, value: bool) -> Self {
        self.delay_cmd_submit = Some(value);
        self
    }

    /// Does not merge parts of a buffer that are neighbors in physical memory. PCIe only.
    #[must_use]
    pub fn disable_pcie_sgl_merge(mut self, value: bool) -> Self {
        self.disable_pcie_sgl_merge = Some(value);
        self
    }

    /// Refuses a queue that SPDK would cut off, wait for without end, or put into more than one page.
    ///
    /// # Safety
    /// The controller is attached.
    unsafe fn check(&self, ctrlr: *mut sys::spdk_nvme_ctrlr) -> Result<(), Fault> {
        // SAFETY: passed on. It is a number, as SPDK has read it.
        let capabilities = unsafe { sys::spdk_nvme_ctrlr_get_regs_cap(ctrlr).raw };
        let most = ((capabilities & 0xffff) as u32 + 1).min(MAX_QUEUE_SIZE);
        match self.io_queue_size {
            Some(size) if !(2..=most).contains(&size) => Err(Fault::invalid(format!(
                "the size of a queue is 2 to {most}, and not {size}"
            ))),
            _ => Ok(()),
        }
    }

    /// # Safety
    /// The controller is attached.
    unsafe fn to_c(self, ctrlr: *mut sys::spdk_nvme_ctrlr) -> sys::spdk_nvme_io_qpair_opts {
        let mut raw = MaybeUninit::<sys::spdk_nvme_io_qpair_opts>::zeroed();
        let size = size_of_val(&raw);
        // SAFETY: it writes at most the size that it is given; zeroes are a value of every field.
        let mut raw = unsafe {
            sys::spdk_nvme_ctrlr_get_default_io_qpair_opts(ctrlr, raw.as_mut_ptr(), size as _);
            raw.assume_init()
        };
        if let Some(value) = self.io_queue_size {
            raw.io_queue_size = value;
        }
        if let Some(value) = self.io_queue_requests {
            raw.io_queue_requests = value;
        }
        if let Some(value) = self.priority {
            raw.qprio = match value {
                QueuePriority::Urgent => sys::SPDK_NVME_QPRIO_URGENT,
                QueuePriority::High => sys::SPDK_NVME_QPRIO_HIGH,
                QueuePriority::Medium => sys::SPDK_NVME_QPRIO_MEDIUM,
                QueuePriority::Low => sys::SPDK_NVME_QPRIO_LOW,
            };
        }
        if let Some(value) = self.delay_cmd_submit {
            raw.__bindgen_anon_1.delay_cmd_submit = value;
        }
        if let Some(value) = self.disable_pcie_sgl_merge {
            raw.disable_pcie_sgl_merge = value;
        }
        raw.create_only = true;
        raw.async_mode = true;
        raw
    }
}

impl NvmeQpair {
    /// Allocates one of the current spdk_thread, and connects it.
    pub(super) async fn alloc(
        ctrlr: &Handle<NvmeControllerObject>,
        opts: Option<&NvmeQpairOpts>,
        at: At<'_>,
    ) -> Result<Self> {
        let start = |caller: Caller<'_>| {
            let ctrlr = ctrlr.hold(caller)?;
            NvmeQpair::begin(ctrlr, opts.copied().unwrap_or_default())
        };
        let (qpair, connected) = begin(start).map_err(|fault| fault.at(at))?;
        match connected.await {
            Ok(true) => Ok(qpair),
            _ => Err(Fault::not_connected().at(at)),
        }
    }

    /// Allocates one, and begins to connect it.
    fn begin(
        ctrlr: Hold<NvmeControllerObject>,
        opts: NvmeQpairOpts,
    ) -> Result<(Self, oneshot::AsyncReceiver<bool>), Fault> {
        let side = ctrlr.extra().side();
        if side.has_failed() || side.is_resetting() {
            return Err(Fault::not_connected());
        }
        if side.is_formatting() {
            return Err(Fault::errno(Errno::EBUSY));
        }
        // SAFETY: the controller is held. The options are copied; they say that it is only made.
        let qpair = unsafe {
            opts.check(ctrlr.as_ptr())?;
            let opts = opts.to_c(ctrlr.as_ptr());
            let size = size_of_val(&opts);
            sys::spdk_nvme_ctrlr_alloc_io_qpair(ctrlr.as_ptr(), &opts, size as _)
        };
        let qpair = NonNull::new(qpair).ok_or_else(|| Fault::errno(Errno::ENOMEM))?;
        // SAFETY: it was just made.
        let id = unsafe { sys::spdk_nvme_qpair_get_id(qpair.as_ptr()) };
        // SAFETY: it was just made as the options say, for this controller.
        let (member, connected) = unsafe { Member::begin(qpair, ctrlr) }?;
        // SAFETY: the member frees it when it is released, on this spdk_thread.
        let handle: Handle<NvmeQpairObject> =
            unsafe { Handle::adopt(qpair, QpairExtra { member, id }) }?;
        handle.extra().member.set_handle(handle.downgrade());
        Ok((NvmeQpair(handle), connected))
    }

    /// The queue pair, for a command of this controller.
    #[inline]
    pub(super) fn hold_of(
        &self,
        ctrlr: *mut sys::spdk_nvme_ctrlr,
        caller: Caller<'_>,
    ) -> Result<Hold<NvmeQpairObject>, Fault> {
        let hold = self.0.hold(caller)?;
        match hold.extra().member.ctrlr() == ctrlr {
            true => Ok(hold),
            false => Err(Fault::wrong_channel(self)),
        }
    }

    /// Frees it, and waits for that: until what is in flight on it has ended, and it is disconnected.
    ///
    /// Wraps `spdk_nvme_ctrlr_free_io_qpair`. Dropping it does the same, without waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread, and
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when its spdk_thread has ended, or it is gone by a reset or a
    /// removal. It is dropped then too.
    #[doc(alias = "spdk_nvme_ctrlr_free_io_qpair")]
    #[doc(alias = "spdk_nvme_ctrlr_disconnect_io_qpair")]
    pub async fn close(self) -> Result<()> {
        let at =
            |fault: Fault, this: &Self| fault.at(At::new("spdk_nvme_ctrlr_free_io_qpair", this));
        begin(|caller| self.0.get(caller)).map_err(|fault| at(fault, &self))?;
        let end = self.0.extra().member.wait_for_end();
        drop(self);
        // Without an answer its group is gone, and the queue pair with it.
        let _ = end.await;
        Ok(())
    }

    /// The queue pair, for a call that is no command.
    #[doc(hidden)]
    pub fn hold_connected(&self, caller: Caller<'_>) -> Result<Hold<NvmeQpairObject>, Fault> {
        self.0.hold(caller)
    }

    /// Its number. 0 is the admin queue's.
    #[doc(alias = "spdk_nvme_qpair_get_id")]
    pub fn id(&self) -> u16 {
        self.0.extra().id
    }

    /// Whether its commands reach the controller.
    #[doc(alias = "spdk_nvme_qpair_is_connected")]
    pub fn is_connected(&self) -> bool {
        self.0.is_alive() && self.0.extra().member.is_connected()
    }

    /// The C object, for calls that this crate does not wrap; null when it is gone.
    pub fn as_ptr(&self) -> *mut sys::spdk_nvme_qpair {
        self.0.as_ptr()
    }
}

impl Hold<NvmeQpairObject> {
    /// The controller. It stays attached while the hold exists.
    pub(super) fn ctrlr(&self) -> *mut sys::spdk_nvme_ctrlr {
        self.extra().member.ctrlr()
    }
}

impl Hold<NvmeQpairObject> {
    /// Whether commands reach the controller.
    #[cfg(spdk_has_spdk_nvme_qpair_authenticate)]
    pub(super) fn is_connected(&self) -> bool {
        // SAFETY: it is not freed before its last command has ended, and a freed one has failed before.
        self.extra().member.is_connected()
            && unsafe { sys::spdk_nvme_qpair_is_connected(self.as_ptr()) }
    }
}

impl QueueSubject for Hold<NvmeQpairObject> {
    fn is_as_it_was(&self) -> bool {
        true
    }
}

macro_rules! queue {
    ($($reference:ident)*) => {$(
        impl Queue for $reference<NvmeQpairObject> {
            #[inline]
            fn waiters(&self) -> &Waiters {
                self.extra().member.waiters()
            }

            fn commands(&self) -> usize {
                self.operations()
            }

            fn is_gone(&self) -> bool {
                self.extra().member.is_freed()
            }

            fn will_wait(&self) {
                self.extra().member.has_waiter();
            }

            #[inline]
            fn has_begun(&self) {
                self.extra().member.has_begun();
            }
        }
    )*};
}
queue!(Hold Handle);

impl Subject for NvmeQpair {
    type O = NvmeQpairObject;
    fn handle(&self) -> &Handle<NvmeQpairObject> {
        &self.0
    }
}

impl Describe for NvmeQpair {
    fn describe(&self) -> String {
        NvmeQpairObject::label(self.0.extra())
    }
}

impl fmt::Debug for NvmeQpair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NvmeQpair").field(&self.id()).finish()
    }
}
