//! The life of a controller, from its connect to its detach: what looks after it in each poll of its
//! spdk_thread.
//!
//! ```text
//! Starting ---> Connecting ---> Up ---> Leaving ---> Detaching ---> Gone
//!     |             |     |    |  ^      ^
//!     |             |     +----|--|------+  it is somebody else's
//!     |             |          v  |
//!     |             |     Draining ---> Disconnecting [---> Stopped] ---> Reconnecting   a reset
//!     +-------------+-----------------------------------------> Gone
//!                          nothing was attached
//! ```
//!
//! Nothing of it waits: each step asks SPDK how far it is, and returns. A connect whose future is gone
//! goes on, since SPDK cannot end it, and the controller that it gives is detached.
#![allow(unsafe_code)] // Tells of events, on the spdk_thread that they belong to.

mod connect;
mod detach;
mod reset;
mod up;

use std::cell::{Cell, OnceCell, RefCell};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::controller::NvmeControllerObject;
use super::events::NvmeEvent;
use super::link::Link;
use super::poller::{Drive, Step};
use super::qpair_group;
use super::seats::{Seats, Status};
use super::silence::Silence;
use super::transport_id::{TransportId, TransportType};
use super::view::Side;
use crate::dhchap::Key;
use crate::error::Fault;
use crate::events::{EventHub, emit};
use crate::handle::{Handle, WeakHandle};
use crate::waiters::Waiters;
use crate::{sys, ticks};

pub(super) use connect::{Answer, connect};

use connect::Connecting;
use detach::Leaving;
use reset::Resets;

/// How often the admin queue is looked at when nobody waits for it: for keep-alive, and for what the
/// controller tells by itself.
const ADMIN_PERIOD: Duration = Duration::from_millis(1);

/// How often a controller of PCI Express looks whether it is still there.
#[cfg(spdk_has_spdk_nvme_scan_attached)]
const REMOVAL_PERIOD: Duration = Duration::from_millis(100);

#[derive(Clone, Copy)]
enum Phase {
    Starting,
    Connecting(NonNull<sys::spdk_nvme_probe_ctx>),
    Up(NonNull<sys::spdk_nvme_ctrlr>),
    /// Its queue pairs go.
    Draining(NonNull<sys::spdk_nvme_ctrlr>),
    Disconnecting(NonNull<sys::spdk_nvme_ctrlr>),
    /// It does nothing more by itself, and its queue pairs go that have commands. Over PCI Express only: the others
    /// go before.
    Stopped(NonNull<sys::spdk_nvme_ctrlr>),
    Reconnecting(NonNull<sys::spdk_nvme_ctrlr>),
    /// No handle is left.
    Leaving(NonNull<sys::spdk_nvme_ctrlr>),
    Detaching {
        ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
        ctx: NonNull<sys::spdk_nvme_detach_ctx>,
        /// When the answers of the controller are not waited for any longer; `None` if they are not.
        limit: Option<Instant>,
    },
    Gone,
}

pub(super) struct Driver {
    phase: Cell<Phase>,
    /// What other spdk_threads have of it, and which of them have queue pairs or namespaces.
    link: Arc<Link>,
    seats: Seats,
    handle: OnceCell<WeakHandle<NvmeControllerObject>>,
    connecting: Connecting,
    resets: Resets,
    leaving: Leaving,
    silence: Silence,
    /// What SPDK authenticates with, until the controller is detached.
    keys: RefCell<Vec<Key>>,
    /// Whether it is looked after here, and tells this what it has to tell: not that of somebody else.
    is_taken_up: Cell<bool>,
    has_failed: Cell<bool>,
    /// Whether it has memory of this machine until it is told to let go, as over PCI Express.
    is_local: bool,
    /// Whether the device was pulled out, which a scan on another OS thread may find.
    is_removed: Arc<AtomicBool>,
    /// Whether it is to fail.
    is_given_up: Cell<bool>,
    next_look: Cell<u64>,
    look_period: u64,
    /// How often it looks whether its device is still there.
    #[cfg(spdk_has_spdk_nvme_scan_attached)]
    removal_period: u64,
    /// Whether that was told: SPDK says so in each scan.
    has_told_removal: Cell<bool>,
    /// The admin commands that C has, and those that wait.
    commands: Cell<usize>,
    waiters: Waiters,
    /// Whether a boot partition is being written.
    boot_claim: Cell<bool>,
    /// Whether a format goes on.
    is_formatting: Cell<bool>,
    /// How often SPDK may have seen other namespaces.
    changes: Cell<u64>,
    events: EventHub<NvmeEvent>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.link.end();
    }
}

impl Drive for Driver {
    fn step(this: &Rc<Self>) -> Step {
        if !this.seats.is_empty() {
            this.seats.tell(this.status(), this.ctrlr());
        }
        match this.phase.get() {
            Phase::Starting => this.start(),
            Phase::Connecting(ctx) => this.go_on_connecting(ctx),
            Phase::Up(ctrlr) => this.look_after(ctrlr),
            Phase::Draining(ctrlr) => this.begin_reset(ctrlr),
            Phase::Disconnecting(ctrlr) => this.go_on_disconnecting(ctrlr),
            Phase::Stopped(ctrlr) => this.begin_reconnect(ctrlr),
            Phase::Reconnecting(ctrlr) => this.go_on_reconnecting(ctrlr),
            Phase::Leaving(ctrlr) => this.begin_detach(ctrlr),
            Phase::Detaching { ctrlr, ctx, limit } => this.go_on_detaching(ctrlr, ctx, limit),
            Phase::Gone => Step::Done,
        }
    }
}

impl Driver {
    fn new(trid: TransportId, keys: Vec<Key>, phase: Phase) -> Result<Rc<Driver>, Fault> {
        let hz = ticks::ticks_hz().map_err(|_| Fault::not_initialised())?;
        #[cfg(spdk_has_spdk_nvme_scan_attached)]
        let removal_period = hz / 1000 * REMOVAL_PERIOD.as_millis() as u64;
        let is_local = trid.transport() == TransportType::Pcie;
        let driver = Rc::new(Driver {
            is_local,
            phase: Cell::new(phase),
            link: Link::new(trid, is_local)?,
            seats: Seats::new(),
            handle: OnceCell::new(),
            connecting: Connecting::default(),
            resets: Resets::default(),
            leaving: Leaving::default(),
            silence: Silence::new(),
            keys: RefCell::new(keys),
            is_taken_up: Cell::new(false),
            has_failed: Cell::new(false),
            is_removed: Arc::default(),
            is_given_up: Cell::new(false),
            next_look: Cell::new(0),
            look_period: hz / 1000 * ADMIN_PERIOD.as_millis() as u64,
            #[cfg(spdk_has_spdk_nvme_scan_attached)]
            removal_period,
            has_told_removal: Cell::new(false),
            commands: Cell::new(0),
            waiters: Waiters::default(),
            boot_claim: Cell::new(false),
            is_formatting: Cell::new(false),
            changes: Cell::new(0),
            events: EventHub::new(),
        });
        driver.link.lead_to(&driver);
        Ok(driver)
    }

    /// Keeps keys until the controller is detached.
    pub(super) fn keep(&self, keys: Vec<Key>) {
        self.keys.borrow_mut().extend(keys);
    }

    /// What the seats have to know.
    pub(super) fn status(&self) -> Status {
        Status {
            has_failed: self.has_failed(),
            is_resetting: self.is_resetting(),
            is_formatting: self.is_formatting.get(),
            has_let_go: self.has_let_go(),
            is_removed: self.is_removed(),
            is_recalled: self.leaving.has_begun.get(),
            resets: self.resets.count.get(),
            changes: self.changes.get(),
        }
    }

    /// The controller, while it has its commands from here.
    fn ctrlr(&self) -> Option<NonNull<sys::spdk_nvme_ctrlr>> {
        match self.phase.get() {
            Phase::Up(ctrlr)
            | Phase::Draining(ctrlr)
            | Phase::Disconnecting(ctrlr)
            | Phase::Stopped(ctrlr)
            | Phase::Reconnecting(ctrlr) => Some(ctrlr),
            Phase::Starting
            | Phase::Connecting(_)
            | Phase::Leaving(_)
            | Phase::Detaching { .. }
            | Phase::Gone => None,
        }
    }

    /// What other spdk_threads have of it.
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Shows a namespace to a seat, unless it is about to be elsewhere.
    pub(super) fn show(&self, seat: u64, id: u32, answer: oneshot::Sender<bool>) {
        if let Some(ctrlr) = self.ctrlr()
            && !self.is_resetting()
        {
            self.seats.show(seat, id, ctrlr, answer);
        }
    }

    /// Whose handle it is.
    pub(super) fn set_handle(&self, handle: WeakHandle<NvmeControllerObject>) {
        let _ = self.handle.set(handle); // it was empty
    }

    /// One of the controller's handles, if there is any.
    pub(super) fn handle(&self) -> Option<Handle<NvmeControllerObject>> {
        let handle = self.handle.get()?.upgrade()?;
        handle.is_alive().then_some(handle)
    }

    fn is(&self, side: &Side) -> bool {
        matches!(side, Side::Home(driver) if ptr::eq(&**driver, self))
    }

    /// Whether the controller has queue pairs here.
    pub(super) fn has_qpairs(&self) -> bool {
        qpair_group::has_members(|side| self.is(side))
    }

    /// The controller has told something.
    pub(super) fn tell(&self, event: NvmeEvent) {
        // SPDK has had a look at the namespaces before, if it was about these.
        self.changes.set(self.changes.get() + 1);
        // SAFETY: the hub is that of this driver, on its spdk_thread.
        unsafe { emit(self.events.arg(), event) };
    }

    /// Whether a reset was asked for, and has not ended.
    pub(super) fn is_resetting(&self) -> bool {
        use Phase::{Disconnecting, Draining, Reconnecting, Stopped};
        let is_going_on = matches!(
            self.phase.get(),
            Draining(_) | Disconnecting(_) | Stopped(_) | Reconnecting(_)
        );
        is_going_on || self.resets.are_asked_for()
    }

    /// Whether a controller that has memory of this machine uses none of it any more: it was stopped, or pulled out.
    pub(super) fn has_let_go(&self) -> bool {
        self.is_local && (self.is_removed() || matches!(self.phase.get(), Phase::Stopped(_)))
    }

    /// Whether its device was pulled out.
    pub(super) fn is_removed(&self) -> bool {
        self.has_told_removal.get()
    }

    /// Whether it has memory of this machine until it is told to let go.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// How often it was connected again.
    #[inline]
    pub(super) fn resets(&self) -> u32 {
        self.resets.count.get()
    }

    /// How often SPDK may have seen other namespaces.
    #[inline]
    pub(super) fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Where it is.
    pub(super) fn trid(&self) -> TransportId {
        self.link.trid().clone()
    }

    /// What it tells by itself.
    pub(super) fn events(&self) -> &EventHub<NvmeEvent> {
        &self.events
    }

    /// Whether the connection is gone.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.get()
    }

    /// Has its commands end.
    pub(super) fn give_up(&self) {
        self.is_given_up.set(true);
    }

    pub(super) fn commands(&self) -> &Cell<usize> {
        &self.commands
    }

    pub(super) fn is_formatting(&self) -> &Cell<bool> {
        &self.is_formatting
    }

    pub(super) fn boot_claim(&self) -> &Cell<bool> {
        &self.boot_claim
    }

    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }
}
