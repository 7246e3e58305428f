//! The pollers of a [`MovableThread`](super::MovableThread).
#![allow(unsafe_code)] // Registers pollers whose context is a counted reference to their closure.

use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};

use super::{Movable, Pointer, lock};
use crate::error::Fault;
use crate::inbox::Message;
use crate::local::run_caught;
use crate::poller::PollStatus;
use crate::{Errno, interrupt, panic, sys};

/// A closure that a [`MovableThread`](crate::MovableThread) runs, wherever that is, until this is dropped: the closure is then
/// dropped there, in one of the next polls.
///
/// # Thread
///
/// `Send` and `Sync`.
#[doc(alias = "spdk_poller")]
#[must_use = "a poller runs until it is dropped"]
pub struct MovablePoller {
    movable: Arc<Movable>,
    number: u64,
}

impl Drop for MovablePoller {
    fn drop(&mut self) {
        let (movable, number) = (self.movable.clone(), self.number);
        // It is refused if the spdk_thread has ended, and the poller with it.
        self.movable
            .send(Message::new(move || movable.unregister(number)));
    }
}

impl fmt::Debug for MovablePoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovablePoller")
            .field("thread", &self.movable.name)
            .finish_non_exhaustive()
    }
}

impl Movable {
    /// On the spdk_thread.
    pub(super) fn register(
        self: &Arc<Self>,
        name: &CStr,
        period_us: u64,
        closure: Closure,
    ) -> Result<MovablePoller, Fault> {
        if period_us == 0 {
            interrupt::check_descriptors()?;
        }
        let mut state = lock(&self.state);
        state.numbers += 1;
        let number = state.numbers;
        let run = Arc::new(Run {
            closure: Mutex::new(Some(closure)),
            movable: Arc::downgrade(self),
            number,
        });
        let arg = Arc::as_ptr(&run).cast_mut().cast();
        // SAFETY: on the current spdk_thread. The context lives until the poller is unregistered, since the
        // list has a count of it. The name is copied.
        let poller = unsafe {
            sys::spdk_poller_register_named(Some(run_poller), arg, period_us, name.as_ptr())
        };
        if poller.is_null() {
            drop(state); // before the closure
            return Err(Fault::errno(Errno::ENOMEM));
        }
        let poller = Pointer(poller);
        state.pollers.insert(number, Registered { poller, run });
        Ok(MovablePoller {
            movable: self.clone(),
            number,
        })
    }

    /// On the spdk_thread.
    fn unregister(&self, number: u64) {
        let poller = lock(&self.state).pollers.remove(&number);
        if let Some(poller) = poller {
            poller.end();
        }
    }
}

type Closure = Box<dyn FnMut() -> PollStatus + Send>;

/// What C runs.
struct Run {
    /// Locked on the spdk_thread only, so never waited for.
    closure: Mutex<Option<Closure>>,
    movable: Weak<Movable>,
    number: u64,
}

/// A poller of SPDK's, and its context.
pub(super) struct Registered {
    poller: Pointer<sys::spdk_poller>,
    run: Arc<Run>,
}

impl Registered {
    /// On the spdk_thread.
    pub(super) fn end(mut self) {
        // SAFETY: registered on this spdk_thread, and no more in the list; that is allowed inside of the
        // poller too, whose context `run_poller` keeps.
        unsafe { sys::spdk_poller_unregister(&mut self.poller.0) };
        let closure = lock(&self.run.closure).take();
        run_caught("drop of a poller", || drop(closure));
    }
}

unsafe extern "C" fn run_poller(run: *mut c_void) -> c_int {
    panic::guard("poller", || {
        let run = run.cast::<Run>().cast_const();
        // SAFETY: a registered poller has a counted reference to it; this takes one more, for the case that
        // the closure panics.
        let run = unsafe {
            Arc::increment_strong_count(run);
            Arc::from_raw(run)
        };
        run.poll().code()
    })
}

impl Run {
    fn poll(&self) -> PollStatus {
        let Some(mut closure) = lock(&self.closure).take() else {
            return PollStatus::Idle; // in a poll inside of it, by foreign code
        };
        match catch_unwind(AssertUnwindSafe(&mut closure)) {
            Ok(status) => {
                *lock(&self.closure) = Some(closure);
                status
            }
            Err(payload) => {
                let message = panic::message(payload);
                tracing::error!(what = "poller", %message, "panic on an spdk_thread");
                if let Some(movable) = self.movable.upgrade() {
                    movable.unregister(self.number);
                }
                run_caught("drop of a poller", || drop(closure));
                PollStatus::Busy
            }
        }
    }
}
