//! Controllers on other spdk_threads than their own.
//!
//! A controller has one home, where its driver looks after it. Another spdk_thread that wants a queue pair takes a *seat*:
//! the home keeps the controller attached for it, and tells it of everything that queue pairs have to know; it
//! answers with what it has heard, and with how far its queue pairs are. So a reset touches the controller when every
//! spdk_thread has let go of it, and each queue pair is polled, disconnected and freed where it belongs.
//!
//! ```text
//! home:  Seats --- Notice(number, status, places) ---> View  :away
//!              <-- Report(number, queue pairs) -------
//! ```
//!
//! All of it goes by messages, in their order; the two sides share a [`Link`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::driver::Driver;
use super::events::NvmeEvent;
use super::transport_id::TransportId;
use crate::error::Fault;
use crate::local::Local;
use crate::shared::Shared;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A number that no other link or seat has.
pub(super) fn number() -> u64 {
    NEXT.fetch_add(1, Relaxed)
}

thread_local! {
    /// The drivers that are at home on this OS thread, by the numbers of their links.
    static DRIVERS: RefCell<BTreeMap<u64, Weak<Driver>>> = const { RefCell::new(BTreeMap::new()) };
}

/// What every OS thread may have of a controller.
pub(super) struct Link {
    number: u64,
    home: Arc<Shared>,
    /// Whether the controller has memory of this machine until it is told to let go.
    is_local: bool,
    /// Whether commands that take long are told of.
    hears_timeouts: AtomicBool,
    trid: Mutex<TransportId>,
}

impl Link {
    /// That of a driver of the current spdk_thread.
    pub(super) fn new(trid: TransportId, is_local: bool) -> Result<Arc<Link>, Fault> {
        Ok(Arc::new(Link {
            number: number(),
            home: Local::current()?.shared().clone(),
            is_local,
            hears_timeouts: AtomicBool::new(false),
            trid: Mutex::new(trid),
        }))
    }

    /// Which driver it leads to.
    pub(super) fn lead_to(&self, driver: &Rc<Driver>) {
        let driver = Rc::downgrade(driver);
        DRIVERS.with_borrow_mut(|drivers| drivers.insert(self.number, driver));
    }

    /// The driver has ended.
    pub(super) fn end(&self) {
        // The variable may be gone, when the OS thread ends.
        let _ = DRIVERS.try_with(|drivers| drivers.borrow_mut().remove(&self.number));
    }

    /// The driver, on its own OS thread.
    fn of(number: u64) -> Option<Rc<Driver>> {
        DRIVERS.with_borrow(|drivers| drivers.get(&number)?.upgrade())
    }

    /// The same.
    pub(super) fn driver(&self) -> Option<Rc<Driver>> {
        Self::of(self.number)
    }

    /// The spdk_thread of the driver.
    pub(super) fn home(&self) -> &Arc<Shared> {
        &self.home
    }

    /// Whether the controller has memory of this machine until it is told to let go.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    fn is_home(&self) -> bool {
        Local::here().is_some_and(|local| Arc::ptr_eq(local.shared(), &self.home))
    }

    /// Runs `f` at home, unless the driver has ended by then; `false`, if its spdk_thread has already.
    pub(super) fn at_home(&self, f: impl FnOnce(&Rc<Driver>) + Send + 'static) -> bool {
        let number = self.number;
        self.home.send(move || {
            if let Some(driver) = Self::of(number) {
                f(&driver);
            }
        })
    }

    /// From now on, commands that take long are told of, or not. Returns whether they were.
    pub(super) fn hear_timeouts(&self, hear: bool) -> bool {
        self.hears_timeouts.swap(hear, Relaxed)
    }

    /// The controller has told something, on whichever spdk_thread looked.
    pub(super) fn tell(&self, event: NvmeEvent) {
        let is_timeout = matches!(event, NvmeEvent::TimedOut { .. });
        if is_timeout && !self.hears_timeouts.load(Relaxed) {
            return;
        }
        match self.is_home() {
            true => {
                if let Some(driver) = self.driver() {
                    driver.tell(event);
                }
            }
            false => {
                self.at_home(move |driver| driver.tell(event));
            }
        }
    }

    /// Where the controller is.
    pub(super) fn trid(&self) -> MutexGuard<'_, TransportId> {
        self.trid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
