//! Looks after a controller that is connected.
#![allow(unsafe_code)] // Polls a controller, and has it fail.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use super::super::events::NvmeEvent;
use super::super::poller::{self, Step};
use super::super::qpair_group;
use super::{ADMIN_PERIOD, Driver, Phase};
use crate::sys;

impl Driver {
    /// Begins to count how long the controller is silent.
    ///
    /// # Safety
    /// The controller is attached.
    pub(super) unsafe fn expect_answers(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
        let ticks_per_ms = self.look_period / ADMIN_PERIOD.as_millis() as u64;
        // SAFETY: passed on.
        unsafe { self.silence.begin(ctrlr, ticks_per_ms) };
    }

    pub(super) fn look_after(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        if self.resets.are_asked_for() {
            self.phase.set(Phase::Draining(ctrlr));
            qpair_group::look();
            return Step::Busy;
        }
        if self.leaving.has_begun.get() {
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
            super::super::hotplug::look(now, self.removal_period);
        }
        let ended = self.poll_admin(ctrlr);
        if ended < 0 || self.silence.is_too_long(ended > 0, last, now) {
            self.fail(ctrlr);
        }
        match self.waiters.go_on() || ended > 0 {
            true => Step::Busy,
            false => Step::Idle,
        }
    }

    /// Completes admin commands, after which SPDK may know other namespaces.
    pub(super) fn poll_admin(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> i32 {
        // SAFETY: the controller is attached. No command on a namespace is on its way to SPDK meanwhile: those of this
        // spdk_thread are not, and the gates of the others are shut.
        let poll = || unsafe { sys::spdk_nvme_ctrlr_process_admin_completions(ctrlr.as_ptr()) };
        self.seats.shut(poll)
    }

    /// The connection is gone: SPDK ends what the controller had, and refuses what comes.
    #[cold]
    pub(super) fn fail(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
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
}
