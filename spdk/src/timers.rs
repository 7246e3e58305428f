//! The timers of an spdk_thread: a map in the order of their deadlines, and one SPDK poller that is due
//! when the first of them is.
//!
//! The poller stays when that timer goes, until it is due, so that a timeout for each I/O registers none.
//! Without a timer there is none after that. SPDK frees a periodic poller when it is due, not when it is
//! unregistered, so ours is due soon: else each short timer beside a long one would leave one behind.
//!
//! Deadlines are in the system's time, which is the user's. SPDK's clock may be off by a quarter of a
//! percent, where the CPU does not tell its rate: a poller that is early for that finds no timer due, and
//! waits for the rest.
#![allow(unsafe_code)] // Registers a poller whose context is the `Local` that has the timers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::error::{Fault, Gone};
use crate::local::{Local, run_caught};
use crate::{Errno, interrupt, panic, sys};

/// A timer: its deadline first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    deadline: Instant,
    number: u64,
}

pub(crate) struct Timers {
    waiting: RefCell<BTreeMap<Key, Waker>>,
    next: Cell<u64>,
    /// Null for none.
    poller: Cell<*mut sys::spdk_poller>,
    period: Cell<Duration>,
    /// When it is due.
    due: Cell<Option<Instant>>,
    is_closed: Cell<bool>,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            waiting: RefCell::default(),
            next: Cell::new(0),
            poller: Cell::new(ptr::null_mut()),
            period: Cell::new(Duration::ZERO),
            due: Cell::new(None),
            is_closed: Cell::new(false),
        }
    }
}

// No user code runs while `waiting` is borrowed: neither the wake nor the drop of a waker.
impl Timers {
    /// Wakes `waker` at the deadline. `local` has these timers, and is the current spdk_thread.
    pub(crate) fn arm(
        &self,
        local: &Rc<Local>,
        deadline: Instant,
        waker: Waker,
    ) -> Result<Key, Fault> {
        if self.is_closed.get() {
            return Err(Fault::gone(Gone::ThreadEnded));
        }
        if self.due.get().is_none_or(|due| deadline < due) {
            self.poll_at(local, deadline)?;
        }
        let number = self.next.get();
        self.next.set(number + 1);
        let key = Key { deadline, number };
        self.waiting.borrow_mut().insert(key, waker);
        Ok(key)
    }

    /// Wakes another waker from now on; `false` if the timer has woken its own, or was closed. From any
    /// spdk_thread of the OS thread.
    pub(crate) fn renew(&self, key: Key, waker: &Waker) -> bool {
        match self.waiting.borrow().get(&key) {
            Some(known) if known.will_wake(waker) => return true,
            Some(_) => {}
            None => return false,
        }
        let waker = waker.clone();
        let old = match self.waiting.borrow_mut().get_mut(&key) {
            Some(known) => std::mem::replace(known, waker),
            None => return false, // it was woken in the clone
        };
        drop(old);
        true
    }

    /// Wakes nobody. From any spdk_thread of the OS thread.
    pub(crate) fn disarm(&self, key: Key) {
        let waker = self.waiting.borrow_mut().remove(&key);
        drop(waker);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// The end: wakes everybody, and no timer is armed any more. On the spdk_thread.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.forget_poller();
        for waker in self.waiting.take().into_values() {
            run_caught("wake", || waker.wake());
        }
    }

    /// Has the poller run at the deadline or before. On the spdk_thread.
    fn poll_at(&self, local: &Rc<Local>, deadline: Instant) -> Result<(), Fault> {
        let now = Instant::now();
        let longest = longest();
        // 0 would mean each poll.
        let left = deadline.saturating_duration_since(now).max(MICROSECOND);
        let period = left.min(longest);
        if period != longest || self.period.get() != longest || self.poller.get().is_null() {
            let arg = Rc::as_ptr(local).cast_mut().cast();
            let microseconds = period.as_nanos().div_ceil(1000) as u64;
            let name = c"spdk-rs timers".as_ptr();
            // SAFETY: on the current spdk_thread. The context lives until the poller is unregistered,
            // which `close` does: the executor's poller has a counted reference to it until after that.
            let poller =
                unsafe { sys::spdk_poller_register_named(Some(run), arg, microseconds, name) };
            if poller.is_null() {
                // The one that is there runs again, if there is one; the next timer tries again.
                self.due.set(None);
                return Err(Fault::errno(Errno::ENOMEM));
            }
            self.forget_poller();
            self.poller.set(poller);
            self.period.set(period);
        }
        self.due.set(Some(deadline.min(now + period)));
        Ok(())
    }

    fn forget_poller(&self) {
        let mut poller = self.poller.replace(ptr::null_mut());
        self.due.set(None);
        // SAFETY: null, or registered in `poll_at` on this spdk_thread, which is current; that is allowed
        // inside of the poller too.
        unsafe { sys::spdk_poller_unregister(&mut poller) };
    }

    fn take_due(&self, now: Instant) -> Option<Waker> {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.first_entry()?;
        (first.key().deadline <= now).then(|| first.remove())
    }

    fn run(&self, local: &Rc<Local>) -> bool {
        let now = Instant::now();
        let mut busy = false;
        while let Some(waker) = self.take_due(now) {
            busy = true;
            run_caught("wake", || waker.wake());
        }
        let next = self.waiting.borrow().keys().next().copied();
        match next {
            Some(key) => drop(self.poll_at(local, key.deadline)), // without memory: see there
            None => self.forget_poller(),
        }
        busy
    }
}

const MICROSECOND: Duration = Duration::from_micros(1);

/// The longest period of the poller. In interrupt mode SPDK frees a poller at once, and each run of it is
/// a wake of the CPU.
fn longest() -> Duration {
    match interrupt::is_enabled() {
        true => Duration::from_secs(3600),
        false => Duration::from_millis(10),
    }
}

unsafe extern "C" fn run(arg: *mut c_void) -> c_int {
    panic::guard("timers", || {
        let local = arg.cast::<Local>().cast_const();
        // SAFETY: the poller runs, so `close` has not run, and the `Local` lives; this takes one more
        // reference, for the case that a waker ends it.
        let local = unsafe {
            Rc::increment_strong_count(local);
            Rc::from_raw(local)
        };
        c_int::from(local.timers().run(&local))
    })
}
