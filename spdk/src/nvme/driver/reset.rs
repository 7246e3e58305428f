//! Connects a controller again, here or elsewhere, when its queue pairs are gone.
#![allow(unsafe_code)] // Disconnects and connects controllers.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use super::super::poller::Step;
use super::super::reconnects::Reconnect;
use super::super::transport_id::TransportId;
use super::super::{hotplug, qpair_group};
use super::{Driver, Phase};
use crate::sys;

#[derive(Default)]
pub(super) struct Resets {
    /// Where the next one connects it, if elsewhere.
    next_path: Cell<Option<TransportId>>,
    /// Who waits for that one, as long as it has not begun.
    waiting_for_path: RefCell<Vec<oneshot::Sender<bool>>>,
    /// Who waits for one.
    waiting: RefCell<Vec<oneshot::Sender<bool>>>,
    /// Over a network, while it is connected again.
    going_on: Cell<Option<Reconnect>>,
    /// How often it was connected again: what SPDK knows of namespaces is elsewhere then.
    pub(super) count: Cell<u32>,
}

impl Resets {
    /// Whether somebody waits.
    pub(super) fn are_asked_for(&self) -> bool {
        !self.waiting.borrow().is_empty() || !self.waiting_for_path.borrow().is_empty()
    }
}

impl Driver {
    pub(super) fn begin_reset(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        self.waiters.go_on();
        let is_quiet = match self.is_local {
            true => qpair_group::are_quiet(|side| self.is(side)) && self.seats.are_quiet(),
            false => !self.has_qpairs() && self.seats.are_gone(),
        };
        if !is_quiet {
            return Step::Busy; // they are disconnected in this state, and freed if nothing is in flight on them
        }
        let is_there = match self.resets.next_path.take() {
            Some(trid) => {
                let mut waiting = self.resets.waiting.borrow_mut();
                waiting.append(&mut self.resets.waiting_for_path.borrow_mut());
                drop(waiting);
                self.go_to(ctrlr, trid)
            }
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
            sys::spdk_nvme_ctrlr_set_trid(ctrlr.as_ptr(), &mut trid.own())
        };
        if rc == 0 {
            *self.link.trid() = trid;
        }
        rc == 0
    }

    pub(super) fn go_on_disconnecting(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        // An error says that it is disconnected.
        if self.poll_admin(ctrlr) < 0 {
            self.phase.set(Phase::Stopped(ctrlr));
            qpair_group::look();
        }
        self.waiters.go_on();
        Step::Busy
    }

    pub(super) fn begin_reconnect(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        self.waiters.go_on();
        if !self.has_qpairs() && self.seats.are_gone() {
            // SAFETY: the controller is attached, and disconnected; it has no queue pair.
            let begin = || unsafe {
                if !self.is_local {
                    let trid = self.link.trid();
                    self.resets
                        .going_on
                        .set(Some(Reconnect::begin(ctrlr, &trid)));
                }
                sys::spdk_nvme_ctrlr_reconnect_async(ctrlr.as_ptr());
            };
            // Unless another OS thread scans, and may connect to it.
            if hotplug::scan(begin).is_some() {
                self.phase.set(Phase::Reconnecting(ctrlr));
            }
        }
        Step::Busy
    }

    pub(super) fn go_on_reconnecting(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        // Over a network SPDK waits without end for some of the first answers.
        if !self.is_local && (self.is_given_up.take() || self.is_left_for_long()) {
            // SAFETY: the controller is attached. The next poll finds that it has failed.
            unsafe {
                if !sys::spdk_nvme_ctrlr_is_failed(ctrlr.as_ptr()) {
                    sys::spdk_nvme_ctrlr_fail(ctrlr.as_ptr());
                }
            }
        }
        // SAFETY: it was disconnected, and is connected again until another code than -EAGAIN is told. It has
        // no queue pair. It may forget namespaces, which are looked up again after that.
        let rc = unsafe { sys::spdk_nvme_ctrlr_reconnect_poll_async(ctrlr.as_ptr()) };
        if rc != -libc::EAGAIN {
            self.resets.going_on.take();
            self.resets
                .count
                .set(self.resets.count.get().wrapping_add(1));
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
        self.phase.set(
            match self.leaving.has_begun.get() && self.seats.is_empty() {
                true => Phase::Leaving(ctrlr),
                false => Phase::Up(ctrlr),
            },
        );
        for resetter in self.resets.waiting.take() {
            let _ = resetter.send(is_connected); // whoever asked may have gone
        }
    }

    /// Has the next reset connect it elsewhere, which one that goes on does not. Ready as for [`Driver::reset`].
    pub(in crate::nvme) fn failover(&self, trid: TransportId) -> oneshot::AsyncReceiver<bool> {
        let (tx, rx) = oneshot::async_channel();
        self.resets.next_path.set(Some(trid));
        self.resets.waiting_for_path.borrow_mut().push(tx);
        rx
    }

    /// Resets it. Ready when that has ended, with whether it is connected.
    pub(in crate::nvme) fn reset(&self) -> oneshot::AsyncReceiver<bool> {
        let (tx, rx) = oneshot::async_channel();
        self.resets.waiting.borrow_mut().push(tx);
        rx
    }

    /// Has all commands end by a reset that nobody waits for.
    #[cold]
    pub(super) fn give_up_by_reset(&self) {
        self.is_given_up.set(false);
        drop(self.reset());
    }
}
