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
#![allow(unsafe_code)] // Passes an address as the context of a connect, and polls C objects.

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::controller::{NvmeController, NvmeControllerObject};
use super::controller_opts::Ready;
use super::events::{self, NvmeEvent};
use super::hotplug;
use super::link::Link;
use super::poller::{self, Drive, Step, drive};
use super::qpair_group;
use super::seats::{Seats, Status};
use super::transport_id::{TransportId, TransportType};
use super::view::Side;
use crate::dhchap::Key;
use crate::error::Fault;
use crate::events::{EventHub, emit};
use crate::handle::{Handle, WeakHandle};
use crate::ticks;
use crate::waiters::Waiters;
use crate::{Errno, shutdown, sys};

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

/// What C has the address of while it connects: `opts`, which come first, are its context too.
#[repr(C)]
struct Request {
    opts: sys::spdk_nvme_ctrlr_opts,
    trid: sys::spdk_nvme_transport_id,
    attached: Cell<*mut sys::spdk_nvme_ctrlr>,
    /// Whether C is in the call that starts the connect.
    is_starting: Cell<bool>,
    /// Whether the controller was there before.
    is_of_another: Cell<bool>,
}

type Answer = Result<NvmeController, Fault>;

pub(super) struct Driver {
    phase: Cell<Phase>,
    /// What other spdk_threads have of it, and which of them have queue pairs or namespaces.
    link: Arc<Link>,
    seats: Seats,
    handle: OnceCell<WeakHandle<NvmeControllerObject>>,
    /// Where the next reset connects it, if elsewhere.
    next_path: Cell<Option<TransportId>>,
    /// Until the connect has ended.
    request: RefCell<Option<Box<Request>>>,
    asked: Cell<Option<oneshot::Sender<Answer>>>,
    /// What SPDK authenticates with, until the controller is detached.
    keys: RefCell<Vec<Key>>,
    has_failed: Cell<bool>,
    /// Whether it has memory of this machine until it is told to let go, as over PCI Express.
    is_local: bool,
    /// Whether the device was pulled out, which a scan on another OS thread may find.
    is_removed: Arc<AtomicBool>,
    /// Whether it is to fail.
    is_given_up: Cell<bool>,
    next_look: Cell<u64>,
    look_period: u64,
    /// How long the controller has answered nothing, and how long it may; in ticks.
    silence: Cell<u64>,
    longest_silence: Cell<u64>,
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
    /// How often it was connected again: what SPDK knows of namespaces is elsewhere then.
    resets: Cell<u32>,
    /// How often SPDK may have seen other namespaces.
    changes: Cell<u64>,
    /// Who waits for a reset.
    resetters: RefCell<Vec<oneshot::Sender<bool>>>,
    /// Whether no handle is left, which a reset does not look at.
    is_left: Cell<bool>,
    /// When the spdk_threads that are called back are not waited for any longer; `None` if they are not.
    recall_limit: Cell<Option<Instant>>,
    events: EventHub<NvmeEvent>,
    /// Who waits for the end.
    leavers: RefCell<Vec<oneshot::Sender<()>>>,
}

/// Begins to connect, on the current spdk_thread.
pub(super) fn connect(
    trid: &TransportId,
    opts: Ready,
) -> Result<oneshot::AsyncReceiver<Answer>, Fault> {
    let (tx, rx) = oneshot::async_channel();
    let request = Request {
        opts: opts.raw,
        trid: trid.to_c(),
        attached: Cell::new(ptr::null_mut()),
        is_starting: Cell::new(false),
        is_of_another: Cell::new(false),
    };
    let driver = Driver::new(trid.clone(), opts.keys, Phase::Starting)?;
    driver.request.replace(Some(Box::new(request)));
    driver.asked.set(Some(tx));
    drive(driver, c"spdk-rs nvme")?;
    Ok(rx)
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.link.end();
    }
}

unsafe extern "C" fn on_attach(
    ctx: *mut c_void,
    _: *const sys::spdk_nvme_transport_id,
    ctrlr: *mut sys::spdk_nvme_ctrlr,
    _: *const sys::spdk_nvme_ctrlr_opts,
) {
    // SAFETY: the context is the request, which is there until the connect has ended, and which nobody
    // has a mutable reference to.
    let request = unsafe { &*ctx.cast::<Request>().cast_const() };
    request.attached.set(ctrlr);
    request.is_of_another.set(request.is_starting.get());
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
            next_path: Cell::new(None),
            request: RefCell::new(None),
            asked: Cell::new(None),
            keys: RefCell::new(keys),
            has_failed: Cell::new(false),
            is_removed: Arc::default(),
            is_given_up: Cell::new(false),
            next_look: Cell::new(0),
            look_period: hz / 1000 * ADMIN_PERIOD.as_millis() as u64,
            silence: Cell::new(0),
            longest_silence: Cell::new(u64::MAX),
            #[cfg(spdk_has_spdk_nvme_scan_attached)]
            removal_period,
            has_told_removal: Cell::new(false),
            commands: Cell::new(0),
            waiters: Waiters::default(),
            boot_claim: Cell::new(false),
            is_formatting: Cell::new(false),
            resets: Cell::new(0),
            changes: Cell::new(0),
            resetters: RefCell::default(),
            is_left: Cell::new(false),
            recall_limit: Cell::new(None),
            events: EventHub::new(),
            leavers: RefCell::default(),
        });
        driver.link.lead_to(&driver);
        Ok(driver)
    }

    /// Begins to look after a controller that was attached on the current spdk_thread.
    ///
    /// `is_of_another` says that this process had it before: it is given back then.
    ///
    /// On an error nobody looks after it, and the caller still has it.
    ///
    /// # Safety
    /// It was just attached, and whoever looks after it detaches it.
    pub(super) unsafe fn adopt(
        ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
        trid: &TransportId,
        is_of_another: bool,
    ) -> Result<Rc<Driver>, Fault> {
        let driver = Driver::new(trid.clone(), Vec::new(), Phase::Leaving(ctrlr))?;
        drive(driver.clone(), c"spdk-rs nvme")?;
        if !is_of_another {
            // SAFETY: passed on; the step that has the first look at it is one of the next polls.
            unsafe { driver.take_up(ctrlr) };
        }
        Ok(driver)
    }

    /// # Safety
    /// The controller was just attached, for this driver alone.
    unsafe fn take_up(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
        self.phase.set(Phase::Up(ctrlr));
        // SAFETY: passed on.
        unsafe { self.expect_answers(ctrlr) };
        // SAFETY: this driver detaches it, and has the link and the flag until then.
        unsafe {
            events::register(ctrlr, &self.link);
            hotplug::tell_of_removal(ctrlr, &self.is_removed);
        }
    }

    /// Begins to count how long the controller is silent.
    ///
    /// SPDK sends a keep-alive twice in the time that the two have agreed on, and does not look at the answers.
    ///
    /// # Safety
    /// The controller is attached.
    unsafe fn expect_answers(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
        // SAFETY: passed on. The options exist as long as the controller.
        let ms = unsafe { (*sys::spdk_nvme_ctrlr_get_opts(ctrlr.as_ptr())).keep_alive_timeout_ms };
        self.silence.set(0);
        self.longest_silence.set(match ms {
            0 => u64::MAX,
            ms => self.look_period / ADMIN_PERIOD.as_millis() as u64 * u64::from(ms) * 2,
        });
    }

    /// Whether the controller has been silent for too long. `last` and `now` are the looks at its answers.
    fn is_silent(&self, has_answered: bool, last: u64, now: u64) -> bool {
        let limit = self.longest_silence.get();
        // The answers of a time in which this spdk_thread was not polled may be there all the same.
        let gap = now.saturating_sub(last).min(limit / 8);
        self.silence.set(match has_answered {
            true => 0,
            false => self.silence.get().saturating_add(gap),
        });
        self.silence.get() > limit
    }

    /// Keeps keys until the controller is detached.
    pub(super) fn keep(&self, keys: Vec<Key>) {
        self.keys.borrow_mut().extend(keys);
    }

    fn start(&self) -> Step {
        let request = self.request.borrow();
        let Some(request) = request.as_deref() else {
            unreachable!("it is there until the connect has ended");
        };
        let address = ptr::from_ref(request);
        // SAFETY: SPDK copies what `trid` points to, during the call. The context of the callback is the
        // address of the options, which is that of the request and stays until the connect has ended.
        let connect = || unsafe {
            sys::spdk_nvme_connect_async(
                &raw const (*address).trid,
                address.cast(),
                Some(on_attach),
            )
        };
        request.is_starting.set(true);
        let started = hotplug::scan(connect);
        request.is_starting.set(false);
        let Some(ctx) = started else {
            return Step::Busy; // another OS thread scans, and the next step tries again
        };
        match NonNull::new(ctx) {
            Some(ctx) => {
                self.phase.set(Phase::Connecting(ctx));
                Step::Busy
            }
            None => self.answer(Err(Fault::not_connected())),
        }
    }

    fn go_on_connecting(self: &Rc<Self>, ctx: NonNull<sys::spdk_nvme_probe_ctx>) -> Step {
        // SAFETY: the connect has not ended: another code than -EAGAIN says that it has, and C has then
        // freed the context.
        if unsafe { sys::spdk_nvme_probe_poll_async(ctx.as_ptr()) } == -libc::EAGAIN {
            return Step::Busy;
        }
        let request = self.request.take();
        let attached = request
            .as_ref()
            .and_then(|request| NonNull::new(request.attached.get()));
        let Some(ctrlr) = attached else {
            return self.answer(Err(Fault::not_connected()));
        };
        if request.is_some_and(|request| request.is_of_another.get()) {
            // Its completions run wherever its owner polls, which is no place for ours.
            self.phase.set(Phase::Leaving(ctrlr));
            self.answer(Err(Fault::errno(Errno::EALREADY)));
            return Step::Busy;
        }
        // SAFETY: it was just attached, on this spdk_thread, for us alone.
        let controller = unsafe {
            self.take_up(ctrlr);
            NvmeController::adopt(ctrlr, self.clone())
        };
        self.answer(controller);
        Step::Busy
    }

    /// Tells who connects. A controller that nobody waits for is dropped, and leaves.
    fn answer(&self, answer: Answer) -> Step {
        if answer.is_err() && !matches!(self.phase.get(), Phase::Leaving(_)) {
            self.phase.set(Phase::Gone);
            self.keys.take();
        }
        if let Some(asked) = self.asked.take() {
            let _ = asked.send(answer);
        }
        Step::Busy
    }

    fn look_after(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        if !self.resetters.borrow().is_empty() {
            self.phase.set(Phase::Draining(ctrlr));
            qpair_group::look();
            return Step::Busy;
        }
        if self.is_left.get() {
            if self.seats.is_empty() {
                self.phase.set(Phase::Leaving(ctrlr));
                return Step::Busy;
            }
            self.wait_for_seats();
        }
        if self.is_given_up.get() {
            match self.is_local && !self.has_failed.get() {
                // It may still write to memory, until it is reset.
                true => self.give_up_by_reset(),
                false => self.fail(ctrlr),
            }
        }
        if self.is_removed.load(Relaxed) && self.is_removed.swap(false, Relaxed) {
            let was_told = self.has_told_removal.replace(true);
            self.fail(ctrlr);
            if !was_told {
                self.tell(NvmeEvent::Removed);
            }
        }
        if self.has_failed.get() {
            // What waits is refused.
            return match self.waiters.go_on() {
                true => Step::Busy,
                false => Step::Idle,
            };
        }
        let now = poller::turn_began();
        if self.commands.get() == 0 && now < self.next_look.get() {
            return Step::Idle;
        }
        let next = self.next_look.replace(now + self.look_period);
        let last = next.saturating_sub(self.look_period);
        #[cfg(spdk_has_spdk_nvme_scan_attached)]
        if self.is_local {
            hotplug::look(now, self.removal_period);
        }
        let ended = self.poll_admin(ctrlr);
        if ended < 0 || self.is_silent(ended > 0, last, now) {
            self.fail(ctrlr);
        }
        match self.waiters.go_on() || ended > 0 {
            true => Step::Busy,
            false => Step::Idle,
        }
    }

    /// Completes admin commands, after which SPDK may know other namespaces.
    fn poll_admin(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> i32 {
        // SAFETY: the controller is attached. No command on a namespace is on its way to SPDK meanwhile: those of this
        // spdk_thread are not, and the gates of the others are shut.
        let poll = || unsafe { sys::spdk_nvme_ctrlr_process_admin_completions(ctrlr.as_ptr()) };
        self.seats.shut(poll)
    }

    /// The connection is gone: SPDK ends what the controller had, and refuses what comes.
    #[cold]
    fn fail(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
        self.is_given_up.set(false);
        if self.has_failed.replace(true) {
            return;
        }
        // SAFETY: the controller is attached. Its admin commands end inside the call.
        unsafe {
            if !sys::spdk_nvme_ctrlr_is_failed(ctrlr.as_ptr()) {
                sys::spdk_nvme_ctrlr_fail(ctrlr.as_ptr());
            }
        }
        if self.is_removed() {
            self.poll_admin(ctrlr); // what its device had of the admin queue ends inside
        }
        qpair_group::look();
    }

    fn begin_reset(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        self.waiters.go_on();
        let is_quiet = match self.is_local {
            true => qpair_group::are_quiet(|side| self.is(side)) && self.seats.are_quiet(),
            false => !self.has_qpairs() && self.seats.are_gone(),
        };
        if !is_quiet {
            return Step::Busy; // they are disconnected in this state, and freed if nothing is in flight on them
        }
        let is_there = match self.next_path.take() {
            Some(trid) => self.go_to(ctrlr, trid),
            None => true,
        };
        // SAFETY: the controller is attached. Its admin commands end inside the call.
        if is_there && unsafe { sys::spdk_nvme_ctrlr_disconnect(ctrlr.as_ptr()) } == 0 {
            self.phase.set(Phase::Disconnecting(ctrlr));
        } else {
            self.end_reset(ctrlr, false);
        }
        Step::Busy
    }

    /// Has it connected elsewhere, for which it has to have failed.
    fn go_to(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>, trid: TransportId) -> bool {
        self.fail(ctrlr);
        // SAFETY: the controller is attached. Its admin commands end inside the first call; the second copies
        // the ID.
        let rc = unsafe {
            if !sys::spdk_nvme_ctrlr_is_failed(ctrlr.as_ptr()) {
                sys::spdk_nvme_ctrlr_fail(ctrlr.as_ptr());
            }
            sys::spdk_nvme_ctrlr_set_trid(ctrlr.as_ptr(), &mut trid.to_c())
        };
        if rc == 0 {
            *self.link.trid() = trid;
        }
        rc == 0
    }

    fn go_on_disconnecting(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        // An error says that it is disconnected.
        if self.poll_admin(ctrlr) < 0 {
            self.phase.set(Phase::Stopped(ctrlr));
            qpair_group::look();
        }
        self.waiters.go_on();
        Step::Busy
    }

    fn begin_reconnect(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        self.waiters.go_on();
        if !self.has_qpairs() && self.seats.are_gone() {
            // SAFETY: the controller is attached, and disconnected; it has no queue pair.
            unsafe { sys::spdk_nvme_ctrlr_reconnect_async(ctrlr.as_ptr()) };
            self.phase.set(Phase::Reconnecting(ctrlr));
        }
        Step::Busy
    }

    fn go_on_reconnecting(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        // SAFETY: it was disconnected, and is connected again until another code than -EAGAIN is told. It has
        // no queue pair. It may forget namespaces, which are looked up again after that.
        let rc = unsafe { sys::spdk_nvme_ctrlr_reconnect_poll_async(ctrlr.as_ptr()) };
        if rc != -libc::EAGAIN {
            self.resets.set(self.resets.get().wrapping_add(1));
            self.changes.set(self.changes.get() + 1);
            self.end_reset(ctrlr, rc == 0);
        }
        self.waiters.go_on();
        Step::Busy
    }

    fn end_reset(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>, is_connected: bool) {
        self.has_failed.set(!is_connected);
        // SAFETY: it is attached until its driver has it detached.
        unsafe { self.expect_answers(ctrlr) };
        self.phase
            .set(match self.is_left.get() && self.seats.is_empty() {
                true => Phase::Leaving(ctrlr),
                false => Phase::Up(ctrlr),
            });
        for resetter in self.resetters.take() {
            let _ = resetter.send(is_connected); // whoever asked may have gone
        }
    }

    fn begin_detach(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        let mut ctx = ptr::null_mut();
        // SAFETY: no handle, no queue pair and no command of it is left, and it is detached once: on an
        // error SPDK has done nothing.
        let detach = || unsafe { sys::spdk_nvme_detach_async(ctrlr.as_ptr(), &mut ctx) };
        let Some(rc) = hotplug::scan(detach) else {
            return Step::Busy; // another OS thread scans, and may look at it
        };
        match NonNull::new(ctx) {
            Some(ctx) => {
                let limit = Instant::now().checked_add(shutdown::patience());
                self.phase.set(Phase::Detaching { ctrlr, ctx, limit });
            }
            None if rc == 0 => self.end(), // another one of this process has it still
            None => {}                     // no memory; the next step tries again
        }
        Step::Busy
    }

    fn go_on_detaching(
        &self,
        ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
        ctx: NonNull<sys::spdk_nvme_detach_ctx>,
        limit: Option<Instant>,
    ) -> Step {
        // SAFETY: as for the connect.
        let poll = || unsafe { sys::spdk_nvme_detach_poll_async(ctx.as_ptr()) };
        let Some(rc) = hotplug::scan(poll) else {
            return Step::Busy;
        };
        if rc != -libc::EAGAIN {
            self.end();
        } else if limit.is_some_and(|limit| Instant::now() >= limit) {
            // SAFETY: it exists until it is detached. What SPDK waits for then ends with an error.
            unsafe { sys::spdk_nvme_ctrlr_fail(ctrlr.as_ptr()) };
            let limit = None;
            self.phase.set(Phase::Detaching { ctrlr, ctx, limit });
        }
        Step::Busy
    }

    fn end(&self) {
        self.phase.set(Phase::Gone);
        self.keys.take();
        self.events.close();
        for leaver in self.leavers.take() {
            let _ = leaver.send(());
        }
    }

    /// No handle of the controller is left; or its spdk_thread ends, and the seats have theirs still.
    pub(super) fn leave(&self) {
        self.is_left.set(true);
        self.recall_limit
            .set(Instant::now().checked_add(shutdown::patience()));
        if let Phase::Up(ctrlr) = self.phase.get()
            && self.seats.is_empty()
        {
            self.phase.set(Phase::Leaving(ctrlr));
        }
    }

    /// Has what is in flight on other spdk_threads end, when that takes too long.
    #[cold]
    fn wait_for_seats(&self) {
        let limit = self.recall_limit.get();
        if limit.is_some_and(|limit| Instant::now() >= limit) {
            self.recall_limit.set(None);
            self.is_given_up.set(true);
        }
    }

    /// What the seats have to know.
    pub(super) fn status(&self) -> Status {
        Status {
            has_failed: self.has_failed(),
            is_resetting: self.is_resetting(),
            is_formatting: self.is_formatting.get(),
            has_let_go: self.has_let_go(),
            is_removed: self.is_removed(),
            is_recalled: self.is_left.get(),
            resets: self.resets.get(),
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

    /// Has the next reset connect it elsewhere.
    pub(super) fn set_path(&self, trid: TransportId) {
        self.next_path.set(Some(trid));
    }

    /// Resets it. Ready when that has ended, with whether it is connected.
    pub(super) fn reset(&self) -> oneshot::AsyncReceiver<bool> {
        let (tx, rx) = oneshot::async_channel();
        self.resetters.borrow_mut().push(tx);
        rx
    }

    /// Whether a reset was asked for, and has not ended.
    pub(super) fn is_resetting(&self) -> bool {
        use Phase::{Disconnecting, Draining, Reconnecting, Stopped};
        let is_going_on = matches!(
            self.phase.get(),
            Draining(_) | Disconnecting(_) | Stopped(_) | Reconnecting(_)
        );
        is_going_on || !self.resetters.borrow().is_empty()
    }

    /// Whether a controller that has memory of this machine uses none of it any more: it was stopped, or pulled out.
    pub(super) fn has_let_go(&self) -> bool {
        self.is_local && (self.is_removed() || matches!(self.phase.get(), Phase::Stopped(_)))
    }

    /// Whether its device was pulled out.
    pub(super) fn is_removed(&self) -> bool {
        self.has_told_removal.get()
    }

    /// Has all commands end by a reset that nobody waits for.
    #[cold]
    fn give_up_by_reset(&self) {
        self.is_given_up.set(false);
        drop(self.reset());
    }

    /// Whether it has memory of this machine until it is told to let go.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// How often it was connected again.
    #[inline]
    pub(super) fn resets(&self) -> u32 {
        self.resets.get()
    }

    /// How often SPDK may have seen other namespaces.
    #[inline]
    pub(super) fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Ready when the controller is detached.
    pub(super) fn wait_for_end(&self) -> oneshot::AsyncReceiver<()> {
        let (tx, rx) = oneshot::async_channel();
        self.leavers.borrow_mut().push(tx);
        rx
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
