//! Detaches a controller that nobody has a handle of.
#![allow(unsafe_code)] // Detaches controllers.

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};
use std::time::Instant;

use super::super::poller::Step;
use super::super::{events, hotplug, reconnects};
use super::{Driver, Phase};
use crate::{shutdown, sys};

#[derive(Default)]
pub(super) struct Leaving {
    /// Whether no handle is left, which a reset does not look at.
    pub(super) has_begun: Cell<bool>,
    /// When the spdk_threads that are called back are not waited for any longer; `None` if they are not.
    recall_limit: Cell<Option<Instant>>,
    /// Who waits for the end.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

/// # Safety
/// The controller is attached, and has no queue pair. Nobody scans.
unsafe fn tell_nobody(ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
    // SAFETY: passed on.
    unsafe {
        events::unregister(ctrlr);
        hotplug::tell_nobody_of_removal(ctrlr);
    }
}

impl Driver {
    /// No handle of the controller is left; or its spdk_thread ends, and the seats have theirs still.
    pub(in crate::nvme) fn leave(&self) {
        self.leaving.has_begun.set(true);
        self.leaving
            .recall_limit
            .set(Instant::now().checked_add(shutdown::patience()));
        if let Phase::Up(ctrlr) = self.phase.get()
            && self.seats.is_empty()
        {
            self.phase.set(Phase::Leaving(ctrlr));
        }
    }

    /// Has what is in flight on other spdk_threads end, when that takes too long.
    #[cold]
    pub(super) fn wait_for_seats(&self) {
        let limit = self.leaving.recall_limit.get();
        if limit.is_some_and(|limit| Instant::now() >= limit) {
            self.leaving.recall_limit.set(None);
            self.is_given_up.set(true);
        }
    }

    /// Whether no handle is left, and its answers are not waited for any longer.
    pub(super) fn is_left_for_long(&self) -> bool {
        let limit = self.leaving.recall_limit.get();
        self.leaving.has_begun.get() && limit.is_some_and(|limit| Instant::now() >= limit)
    }

    pub(super) fn begin_detach(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) -> Step {
        let mut ctx = ptr::null_mut();
        // SAFETY: no handle, no queue pair and no command of it is left, and it is detached once: on an
        // error SPDK has done nothing. What it would tell of may be gone when somebody else of this process, who has
        // it still, detaches it.
        let detach = || unsafe {
            if reconnects::has(ctrlr) {
                return -libc::EAGAIN; // its owner connects it again
            }
            if self.is_taken_up.get() {
                tell_nobody(ctrlr);
            }
            let rc = sys::spdk_nvme_detach_async(ctrlr.as_ptr(), &mut ctx);
            if !ctx.is_null() {
                tell_nobody(ctrlr); // who has registered has given it back before
            }
            rc
        };
        let Some(rc) = hotplug::scan(detach) else {
            return Step::Busy; // another OS thread scans, and may look at it
        };
        match NonNull::new(ctx) {
            Some(ctx) => {
                let limit = Instant::now().checked_add(shutdown::patience());
                self.phase.set(Phase::Detaching { ctrlr, ctx, limit });
            }
            None if rc == 0 => self.end(), // another one of this process has it still
            None => {}                     // the next step tries again; there was no memory, either
        }
        Step::Busy
    }

    pub(super) fn go_on_detaching(
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
        for leaver in self.leaving.waiting.take() {
            let _ = leaver.send(());
        }
    }

    /// Ready when the controller is detached.
    pub(in crate::nvme) fn wait_for_end(&self) -> oneshot::AsyncReceiver<()> {
        let (tx, rx) = oneshot::async_channel();
        self.leaving.waiting.borrow_mut().push(tx);
        rx
    }
}
