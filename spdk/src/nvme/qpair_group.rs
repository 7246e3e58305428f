//! The queue pairs of an spdk_thread, and what polls them.
//!
//! Commands complete inside of the poll, where the tasks that wait for them go on and may drop whatever they
//! like. So all else that happens to a queue pair happens after the poll, in [`Member::tend`]:
//!
//! ```text
//! Connecting ---> Up ---> Down         Leaving ---> Gone
//!     |                    ^              ^
//!     +--------------------+              +--- from each of the others, when its handle goes
//! ```
//!
//! Over a network a disconnect ends what is in flight. A controller of PCI Express hears nothing of it, and goes on
//! with memory of this machine. So what it has in flight ends when it was stopped, by a reset, or pulled out: SPDK then
//! frees the queue pair before its handle goes.
#![allow(unsafe_code)] // Owns poll groups, and the queue pairs in them.

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};

use super::controller::NvmeControllerObject;
use super::line::Line;
use super::lone::Lone;
use super::poller::{Drive, Step, drive, turn_began};
use super::qpair::NvmeQpairObject;
use super::transport_id::TransportType;
use super::view::{self, Side};
use crate::error::{Fault, Gone};
use crate::handle::{Hold, WeakHandle};
use crate::local::Local;
use crate::nvme_cmd::NvmeCmd;
use crate::waiters::Waiters;
use crate::{Errno, PollStatus, panic, sys, ticks};

/// As many reads of 4 KiB as SPDK's buffer of a TCP connection has room for: when a poll ends so many commands, there
/// may be more.
const MANY: i64 = 8;
/// A turn that ends so many commands shows that a queue is deep enough for the next ones to wait for each other.
const DEEP: i64 = 24;
/// As many PDUs as SPDK sends at once.
const SENT_AT_ONCE: i64 = 64;

/// How often it is looked whether queue pairs over a network are answered, in microseconds.
const LISTEN_PERIOD: u64 = 100_000;
/// An ID that no namespace has: the greatest but that of all namespaces.
const NO_NAMESPACE: u32 = u32::MAX - 1;

thread_local! {
    /// Those of this OS thread.
    static GROUPS: RefCell<Vec<Weak<Group>>> = const { RefCell::new(Vec::new()) };
}

/// `spdk_nvme_poll_group` of an spdk_thread. It exists while it has members.
pub(super) struct Group {
    local: Rc<Local>,
    /// Null until it is made.
    ptr: Cell<*mut sys::spdk_nvme_poll_group>,
    members: RefCell<Vec<Rc<Member>>>,
    /// The member that SPDK's group does not have.
    lone: RefCell<Option<Rc<Member>>>,
    /// Looks whether members are answered; null while there was none of a network.
    listener: Cell<*mut sys::spdk_poller>,
    /// Whether something is to be done beside polling.
    is_called: Cell<bool>,
    /// Whether a member has been one of a TCP connection.
    has_tcp: Cell<bool>,
    /// Whether its last turn has ended so many commands that in this one no task goes on before all are ended. SPDK
    /// sends what they submit as the next poll begins, then all by one system call. Without this there is one for
    /// each eight reads, and the target has as many to receive them.
    gathers: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Connecting,
    Up,
    Down,
    Leaving,
    Gone,
}

/// A queue pair, until it is freed.
pub(super) struct Member {
    qpair: NonNull<sys::spdk_nvme_qpair>,
    side: Side,
    ctrlr_ptr: *mut sys::spdk_nvme_ctrlr,
    /// Keeps the controller attached until the queue pair is freed.
    ctrlr: Cell<Option<Hold<NvmeControllerObject>>>,
    group: Weak<Group>,
    /// Of the one that is polled by itself.
    lone: Option<Lone>,
    handle: OnceCell<WeakHandle<NvmeQpairObject>>,
    /// Whether it is answered, over a network.
    line: Option<Line>,
    state: Cell<State>,
    /// Whether SPDK has said that it is disconnected.
    is_disconnected: Cell<bool>,
    /// Whether it is to be disconnected.
    is_given_up: Cell<bool>,
    /// Whether SPDK has freed it.
    is_freed: Cell<bool>,
    /// Who waits for the connect, and who for the end.
    asked: Cell<Option<oneshot::Sender<bool>>>,
    leaver: Cell<Option<oneshot::Sender<()>>>,
    waiters: Waiters,
}

/// Has the groups of this OS thread look at their members.
pub(super) fn look() {
    GROUPS.with_borrow(|groups| {
        let groups = groups.iter().filter_map(Weak::upgrade);
        groups.for_each(|group| group.is_called.set(true));
    });
}

/// Whether a controller has queue pairs, on this OS thread.
pub(super) fn has_members(is_its: impl Fn(&Side) -> bool) -> bool {
    !all(|member| !is_its(&member.side))
}

/// Whether no queue pair of a controller takes commands any more, on this OS thread.
pub(super) fn are_quiet(is_its: impl Fn(&Side) -> bool) -> bool {
    all(|member| !is_its(&member.side) || member.is_quiet())
}

fn all(is: impl Fn(&Member) -> bool) -> bool {
    GROUPS.with_borrow(|groups| {
        let mut groups = groups.iter().filter_map(Weak::upgrade);
        groups.all(|group| group.members.borrow().iter().all(|member| is(member)))
    })
}

impl Group {
    /// That of the current spdk_thread.
    fn current() -> Result<Rc<Group>, Fault> {
        let local = Local::current()?;
        let found = GROUPS.with_borrow_mut(|groups| {
            groups.retain(|group| group.strong_count() > 0);
            let mut groups = groups.iter().filter_map(Weak::upgrade);
            groups.find(|group| Rc::ptr_eq(&group.local, &local))
        });
        if let Some(group) = found {
            return Ok(group);
        }
        let group = Rc::new(Group {
            local,
            ptr: Cell::new(ptr::null_mut()),
            members: RefCell::default(),
            lone: RefCell::default(),
            listener: Cell::new(ptr::null_mut()),
            is_called: Cell::new(false),
            has_tcp: Cell::new(false),
            gathers: Cell::new(false),
        });
        let ctx = Rc::as_ptr(&group).cast_mut().cast();
        // SAFETY: the context lives as long as it, since whoever frees the one destroys the other. No table
        // of functions means that it accelerates nothing.
        let ptr = unsafe { sys::spdk_nvme_poll_group_create(ctx, ptr::null_mut()) };
        if ptr.is_null() {
            return Err(Fault::errno(Errno::ENOMEM));
        }
        group.ptr.set(ptr);
        drive(group.clone(), c"spdk-rs nvme queue pairs").inspect_err(|_| {
            // SAFETY: no queue pair is in it, and nobody polls it.
            unsafe { sys::spdk_nvme_poll_group_destroy(ptr) };
        })?;
        GROUPS.with_borrow_mut(|groups| groups.push(Rc::downgrade(&group)));
        Ok(group)
    }

    /// Looks after the members, and forgets those that are gone.
    #[cold]
    fn tend(&self) {
        let mut is_called = false;
        let mut index = 0;
        loop {
            // Not borrowed while a member is tended, where tasks go on that may begin another one.
            let member = self.members.borrow().get(index).cloned();
            let Some(member) = member else { break };
            is_called |= member.tend();
            index += 1;
        }
        let mut members = self.members.borrow_mut();
        members.retain(|member| member.state.get() != State::Gone);
        drop(members);
        let mut lone = self.lone.borrow_mut();
        lone.take_if(|member| member.state.get() == State::Gone);
        drop(lone);
        view::attend();
        if is_called {
            self.is_called.set(true);
        }
    }
}

impl Drive for Group {
    #[inline]
    fn step(this: &Rc<Self>) -> Step {
        // Inside of foreign code that polls the spdk_thread the tasks wait anyway.
        let gathered = match this.gathers.get() {
            true => this.local.run_beside(|| this.poll()),
            false => None,
        };
        let ended = gathered.unwrap_or_else(|| this.poll());
        this.gathers.set(this.has_tcp.get() && ended >= DEEP);
        if this.is_called.replace(false) {
            this.tend();
            if this.members.borrow().is_empty() && this.destroy() {
                return Step::Done;
            }
            return Step::Busy;
        }
        match ended > 0 {
            true => Step::Busy,
            false => Step::Idle,
        }
    }
}

/// SPDK's group in a turn, or the member beside it. Each has as many polls as it needs, whatever the other one has had.
struct Polled {
    ended: i64,
    is_last: bool,
    is_done: bool,
}

impl Polled {
    fn new(once: bool) -> Self {
        Polled {
            ended: 0,
            is_last: once,
            is_done: false,
        }
    }

    #[inline]
    fn poll(&mut self, poll: impl FnOnce() -> i64) {
        if self.is_done {
            return;
        }
        let ended = poll().max(0);
        self.ended += ended;
        self.is_done = self.is_last || ended == 0 || self.ended >= SENT_AT_ONCE;
        self.is_last = ended < MANY;
    }
}

impl Group {
    /// Polls, over TCP as long as many commands end. Returns how many have ended.
    #[inline]
    fn poll(&self) -> i64 {
        let [mut group, mut lone] = [(); 2].map(|()| Polled::new(!self.has_tcp.get()));
        loop {
            // SAFETY: it exists until the last step, and is polled on its spdk_thread alone.
            group.poll(|| unsafe {
                let group = self.ptr.get();
                sys::spdk_nvme_poll_group_process_completions(group, 0, Some(on_disconnected))
            });
            lone.poll(|| {
                let member = self.lone.borrow().clone();
                member.map_or(0, |member| member.poll())
            });
            if (group.is_done && lone.is_done) || self.is_called.get() {
                return group.ended + lone.ended;
            }
        }
    }

    /// Has its members of a network listened to from now on.
    fn listen(&self) -> Result<(), Fault> {
        if !self.listener.get().is_null() {
            return Ok(());
        }
        let ctx = ptr::from_ref(self).cast_mut().cast();
        let name = c"spdk-rs nvme connections".as_ptr();
        // SAFETY: on its spdk_thread; the name is copied. It is unregistered before the group is freed, when that is destroyed.
        let listener =
            unsafe { sys::spdk_poller_register_named(Some(on_listen), ctx, LISTEN_PERIOD, name) };
        self.listener.set(listener);
        match listener.is_null() {
            true => Err(Fault::errno(Errno::ENOMEM)),
            false => Ok(()),
        }
    }

    fn destroy(&self) -> bool {
        // SAFETY: no queue pair is in it, and it is not polled; destroyed once, unless it is busy.
        let is_gone = unsafe { sys::spdk_nvme_poll_group_destroy(self.ptr.get()) } == 0;
        if is_gone {
            // SAFETY: on its spdk_thread, and once; null is none.
            unsafe { sys::spdk_poller_unregister(&mut self.listener.replace(ptr::null_mut())) };
            GROUPS.with_borrow_mut(|groups| {
                groups.retain(|group| !ptr::eq(group.as_ptr(), self));
            });
        } else {
            self.is_called.set(true);
        }
        is_gone
    }
}

/// Gives up members that are not answered.
unsafe extern "C" fn on_listen(ctx: *mut c_void) -> c_int {
    panic::guard("poller of NVMe connections", || {
        // SAFETY: the group exists until the poller is unregistered.
        let group = unsafe { &*ctx.cast::<Group>().cast_const() };
        let now = turn_began();
        for member in group.members.borrow().iter() {
            member.listen(now);
        }
        PollStatus::Idle.code()
    })
}

/// The controller has refused the command that asks for a sign of life, or it ends with its queue pair.
unsafe extern "C" fn on_sign(ctx: *mut c_void, _: *const sys::spdk_nvme_cpl) {
    panic::guard("sign of life of an NVMe controller", || {
        // SAFETY: the context is that of `Member::ask`, and this runs once for each command.
        let member = unsafe { Rc::from_raw(ctx.cast::<Member>().cast_const()) };
        if let Some(line) = &member.line {
            line.has_answered();
        }
    });
}

/// SPDK has disconnected a queue pair, and says so in each poll.
unsafe extern "C" fn on_disconnected(qpair: *mut sys::spdk_nvme_qpair, ctx: *mut c_void) {
    panic::guard("disconnect of a queue pair", || {
        // SAFETY: the context is the group that is polled.
        let group = unsafe { &*ctx.cast::<Group>().cast_const() };
        let members = group.members.borrow();
        let mut members = members.iter();
        if let Some(member) = members.find(|member| member.qpair.as_ptr() == qpair)
            && !member.is_disconnected.replace(true)
        {
            group.is_called.set(true);
        }
    });
}

impl Member {
    /// Puts a queue pair into the group of the current spdk_thread, and begins to connect it.
    ///
    /// # Safety
    /// It was just made for the controller, unconnected, to be connected asynchronously, and is given up.
    pub(super) unsafe fn begin(
        qpair: NonNull<sys::spdk_nvme_qpair>,
        ctrlr: Hold<NvmeControllerObject>,
    ) -> Result<(Rc<Member>, oneshot::AsyncReceiver<bool>), Fault> {
        let group = Group::current();
        let transport = ctrlr.extra().side().trid().transport();
        let is_tcp = transport == TransportType::Tcp;
        let added = group.and_then(|group| {
            // A group that was made for it goes without it.
            group.is_called.set(true);
            let lone = (is_tcp && group.lone.borrow().is_none()).then(Lone::default);
            if lone.is_none() {
                // SAFETY: both exist, and the queue pair is in no group.
                let rc = unsafe { sys::spdk_nvme_poll_group_add(group.ptr.get(), qpair.as_ptr()) };
                crate::op::status(rc)?;
            }
            group.has_tcp.set(group.has_tcp.get() || is_tcp);
            let line = match transport {
                TransportType::Pcie | TransportType::VfioUser => None,
                _ => {
                    group.listen()?;
                    let hz = ticks::ticks_hz().map_err(|_| Fault::not_initialised())?;
                    Some(Line::new(hz / 1000))
                }
            };
            // SAFETY: both exist, and the queue pair is not connected.
            let rc =
                unsafe { sys::spdk_nvme_ctrlr_connect_io_qpair(ctrlr.as_ptr(), qpair.as_ptr()) };
            match rc {
                0 => Ok((group, lone, line)),
                _ => Err(Fault::not_connected()),
            }
        });
        let (group, lone, line) = match added {
            Ok(added) => added,
            Err(fault) => {
                // SAFETY: it has no command, and is used no more.
                unsafe { sys::spdk_nvme_ctrlr_free_io_qpair(qpair.as_ptr()) };
                return Err(fault);
            }
        };
        let (tx, rx) = oneshot::async_channel();
        let member = Rc::new(Member {
            qpair,
            side: ctrlr.extra().side().clone(),
            ctrlr_ptr: ctrlr.as_ptr(),
            ctrlr: Cell::new(Some(ctrlr)),
            group: Rc::downgrade(&group),
            lone,
            handle: OnceCell::new(),
            line,
            state: Cell::new(State::Connecting),
            is_disconnected: Cell::new(false),
            is_given_up: Cell::new(false),
            is_freed: Cell::new(false),
            asked: Cell::new(Some(tx)),
            leaver: Cell::new(None),
            waiters: Waiters::default(),
        });
        if member.lone.is_some() {
            group.lone.replace(Some(member.clone()));
        }
        group.members.borrow_mut().push(member.clone());
        Ok((member, rx))
    }

    /// Outside of the poll: does what is to be done. Returns whether to look again after the next poll.
    fn tend(&self) -> bool {
        let is_reset = self.side.is_resetting();
        let must_go = self.side.has_failed() || self.is_given_up.get() || is_reset;
        let is_up = !self.is_disconnected.get();
        if is_up && (must_go || self.state.get() == State::Leaving) {
            // SAFETY: it is not freed yet. What it has in flight ends inside the call, or in the next polls.
            unsafe {
                match &self.lone {
                    Some(lone) => lone.cut(self.qpair),
                    None => sys::spdk_nvme_ctrlr_disconnect_io_qpair(self.qpair.as_ptr()),
                }
            }
        }
        let again = match (self.state.get(), self.is_disconnected.get()) {
            (State::Connecting, true) => {
                self.state.set(State::Down);
                self.answer(false);
                false
            }
            (State::Connecting, false) => {
                // SAFETY: it is not freed yet.
                if unsafe { sys::spdk_nvme_qpair_is_connected(self.qpair.as_ptr()) } {
                    self.state.set(State::Up);
                    self.expect_answers();
                    self.answer(true);
                }
                true
            }
            (State::Up, true) => {
                self.state.set(State::Down);
                false
            }
            (State::Up, false) => must_go,
            (State::Leaving, true) if self.may_be_freed() => {
                self.free();
                false
            }
            (State::Leaving, _) => true,
            (State::Down | State::Gone, _) => false,
        };
        if self.waiters.count() > 0 {
            self.waiters.go_on();
        }
        if self.is_disconnected.get() && self.state.get() != State::Gone {
            let has_let_go = self.side.has_let_go();
            let why = match self.side.is_removed() {
                true => Gone::Removed,
                false => Gone::Reset,
            };
            if is_reset || has_let_go {
                self.revoke(why);
            }
            if has_let_go {
                self.end_commands();
                self.revoke(why);
            }
        }
        if self.side.is_recalled() {
            self.revoke(Gone::ThreadEnded);
        }
        let is_going = is_reset || self.side.has_let_go() || self.side.is_recalled();
        again || self.waiters.count() > 0 || (is_going && self.state.get() != State::Gone)
    }

    fn expect_answers(&self) {
        if let (Some(line), Some(ctrlr)) = (&self.line, NonNull::new(self.ctrlr_ptr)) {
            // SAFETY: it stays attached until the queue pair is freed.
            unsafe { line.begin(ctrlr) };
        }
    }

    /// SPDK has got a command.
    #[inline]
    pub(super) fn has_begun(&self) {
        if let Some(line) = &self.line {
            line.has_begun();
        }
    }

    /// Gives it up if the controller answers nothing on it.
    fn listen(self: &Rc<Self>, now: u64) {
        let (Some(line), true) = (&self.line, self.is_connected()) else {
            return;
        };
        let in_flight = self.in_flight().unwrap_or(0);
        if line.is_dead(in_flight, now, || self.ask()) {
            let trid = self.side.trid();
            tracing::warn!(controller = %trid, "nothing is answered on a queue pair: it is disconnected");
            self.is_given_up.set(true);
            self.call();
        }
    }

    /// How many commands SPDK has; `None` before and after it has a handle.
    #[inline]
    fn in_flight(&self) -> Option<usize> {
        let handle = self.handle.get().and_then(WeakHandle::upgrade)?;
        Some(handle.operations().saturating_sub(self.waiters.count()))
    }

    /// Polls the one that SPDK's group does not have. Returns how many commands have ended.
    #[inline]
    fn poll(&self) -> i64 {
        let (Some(lone), false) = (&self.lone, self.is_disconnected.get()) else {
            return 0;
        };
        // SAFETY: it is freed when it is disconnected, on its spdk_thread, which this is.
        let found = unsafe { lone.poll(self.qpair, self.in_flight(), SENT_AT_ONCE as u32) };
        if found.is_disconnected {
            self.is_disconnected.set(true);
            self.call();
        }
        found.ended.into()
    }

    /// Asks for a sign of life, unless the queue is full.
    #[cold]
    fn ask(self: &Rc<Self>) -> bool {
        let cmd = NvmeCmd {
            nsid: NO_NAMESPACE,
            ..NvmeCmd::new(sys::SPDK_NVME_OPC_FLUSH.0 as u8)
        };
        let mut cmd = cmd.to_c();
        let ctx = Rc::into_raw(self.clone());
        // SAFETY: the queue pair is not freed yet, and the controller is attached until then. The command is copied, and has no
        // data. Of the callback's context it has a reference, unless this fails.
        let rc = unsafe {
            let (ctrlr, qpair, arg) = (self.ctrlr_ptr, self.qpair.as_ptr(), ctx.cast_mut().cast());
            let (cmd, buf) = (&raw mut cmd, ptr::null_mut());
            sys::spdk_nvme_ctrlr_cmd_io_raw(ctrlr, qpair, cmd, buf, 0, Some(on_sign), arg)
        };
        if rc != 0 {
            // SAFETY: SPDK did not take it.
            drop(unsafe { Rc::from_raw(ctx) });
        }
        rc == 0
    }

    /// Ends what the controller had, which it has let go. The handle is shut.
    #[cold]
    fn end_commands(&self) {
        if self.is_freed.replace(true) {
            return;
        }
        self.waiters.go_on(); // they are refused
        self.end_connect();
        // SAFETY: it is disconnected, and freed once. Its handle is shut, and what waited was refused, so nobody hands
        // it to C any more. Commands end inside the call; this is no completion of one.
        unsafe { sys::spdk_nvme_ctrlr_free_io_qpair(self.qpair.as_ptr()) };
    }

    /// Whether nothing of the controller's has it any more. While one of PCI Express stops for a reset, SPDK frees a queue
    /// pair without waiting for the commands that connect it, which end when it has stopped.
    fn may_be_freed(&self) -> bool {
        !self.side.is_local() || !self.side.is_resetting() || self.side.has_let_go()
    }

    /// Has the admin commands that connect it end, if the controller does none any more: SPDK frees a queue pair of a device
    /// that was pulled out without a look at them, and their callbacks would have it. Otherwise it waits for them itself.
    ///
    /// This has SPDK look at the events of the controller too, after some of which it looks for namespaces, which is for
    /// the home to do. Here it finds none: that takes commands.
    fn end_connect(&self) {
        if !self.side.is_local() {
            return;
        }
        // SAFETY: the controller is attached, and SPDK lets one spdk_thread look at a time. This is no completion. Once it
        // has failed, or is disconnected, the home connects it again when this queue pair is gone, not before.
        unsafe {
            let ctrlr = self.ctrlr_ptr;
            let reason = sys::spdk_nvme_ctrlr_get_admin_qp_failure_reason(ctrlr);
            let is_disconnected = reason != sys::SPDK_NVME_QPAIR_FAILURE_NONE;
            if is_disconnected || sys::spdk_nvme_ctrlr_is_failed(ctrlr) {
                sys::spdk_nvme_ctrlr_process_admin_completions(ctrlr);
            }
        }
    }

    /// Whether SPDK has freed it, with commands that have not gone yet.
    pub(super) fn is_freed(&self) -> bool {
        self.is_freed.get()
    }

    fn is_quiet(&self) -> bool {
        self.is_disconnected.get() && self.state.get() != State::Connecting
    }

    /// Its handle reaches it no more. It is released when no command uses it.
    fn revoke(&self, why: Gone) {
        if let Some(handle) = self.handle.get() {
            handle.shut(why);
            handle.revoke_if_idle(why);
        }
    }

    /// What its handle is.
    pub(super) fn set_handle(&self, handle: WeakHandle<NvmeQpairObject>) {
        let _ = self.handle.set(handle); // it was empty
    }

    fn answer(&self, connected: bool) {
        if let Some(asked) = self.asked.take() {
            let _ = asked.send(connected); // whoever asked may have gone
        }
    }

    fn free(&self) {
        self.state.set(State::Gone);
        if !self.is_freed.replace(true) {
            self.end_connect();
            // SAFETY: its handle is gone, and with it every command; it is disconnected, and freed once. This is
            // no completion of one.
            unsafe { sys::spdk_nvme_ctrlr_free_io_qpair(self.qpair.as_ptr()) };
        }
        drop(self.ctrlr.take());
        if let Some(leaver) = self.leaver.take() {
            let _ = leaver.send(());
        }
    }

    fn call(&self) {
        if let Some(group) = self.group.upgrade() {
            group.is_called.set(true);
        }
    }

    /// Its handle is gone.
    pub(super) fn leave(&self) {
        self.state.set(State::Leaving);
        self.call();
    }

    /// Has its commands end.
    pub(super) fn give_up(&self) {
        match self.side.is_local() {
            true => self.side.give_up(),
            false => self.is_given_up.set(true),
        }
        self.call();
    }

    /// Ready when it is freed.
    pub(super) fn wait_for_end(&self) -> oneshot::AsyncReceiver<()> {
        let (tx, rx) = oneshot::async_channel();
        self.leaver.set(Some(tx));
        rx
    }

    /// Whether commands reach the controller.
    pub(super) fn is_connected(&self) -> bool {
        self.state.get() == State::Up && !self.is_disconnected.get() && !self.is_given_up.get()
    }

    /// The controller, which is attached until the queue pair is freed.
    pub(super) fn ctrlr(&self) -> *mut sys::spdk_nvme_ctrlr {
        self.ctrlr_ptr
    }

    /// The controller, as this spdk_thread has it.
    pub(super) fn side(&self) -> &Side {
        &self.side
    }

    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// One waits, that has to be told when it can go on.
    pub(super) fn has_waiter(&self) {
        self.call();
    }
}
