//! Which spdk_threads beside its own have a controller: what its driver tells them, and what they answer.
#![allow(unsafe_code)] // Sends the addresses of C objects to other OS threads.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::controller::NvmeControllerObject;
use super::link::{self, Link};
use super::view::View;
use crate::handle::Handle;
use crate::shared::Shared;
use crate::sys;

/// What queue pairs and namespaces have to know of their controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Status {
    pub(super) has_failed: bool,
    pub(super) is_resetting: bool,
    pub(super) is_formatting: bool,
    pub(super) has_let_go: bool,
    pub(super) is_removed: bool,
    /// Whether its spdk_thread ends.
    pub(super) is_recalled: bool,
    pub(super) resets: u32,
    /// How often SPDK may have seen other namespaces.
    pub(super) changes: u64,
}

/// Is passed by a seat for each command on a namespace, and shut by the home while SPDK may see that the namespaces
/// have changed: a command is as long as its blocks, of which SPDK has to know the same size as its buffer has.
#[derive(Default)]
pub struct Gate(Mutex<()>);

impl Gate {
    /// Until the guard is dropped, what SPDK knows of namespaces stays as it is. `None` while it is shut: the home may
    /// wait for a target on this very spdk_thread.
    #[inline]
    pub(super) fn pass(&self) -> Option<MutexGuard<'_, ()>> {
        match self.0.try_lock() {
            Ok(passed) => Some(passed),
            Err(TryLockError::Poisoned(passed)) => Some(passed.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn shut(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of a C object, which is used where it may be.
pub(super) struct Address<T>(NonNull<T>);

impl<T> Clone for Address<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Address<T> {}

// SAFETY: it is a number until somebody uses it, who says why that is sound there.
unsafe impl<T> Send for Address<T> {}

impl<T> Address<T> {
    pub(super) fn get(self) -> NonNull<T> {
        self.0
    }
}

pub(super) type Places = Vec<(u32, Address<sys::spdk_nvme_ns>)>;

/// What the home tells.
pub(super) struct Notice {
    pub(super) number: u64,
    pub(super) status: Status,
    /// Where namespaces are that the seat knows, if they may be elsewhere than before.
    pub(super) places: Option<Places>,
}

/// What a seat answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    /// Of the last notice that it has heard.
    pub(super) number: u64,
    pub(super) has_qpairs: bool,
    /// Whether none of them takes commands.
    pub(super) is_quiet: bool,
}

struct Seat {
    number: u64,
    away: Arc<Shared>,
    /// Keeps the controller attached.
    _anchor: Handle<NvmeControllerObject>,
    report: Report,
    /// The namespaces that it has.
    namespaces: Vec<u32>,
    gate: Arc<Gate>,
}

impl Seat {
    fn send(&self, notice: Notice) {
        let number = self.number;
        // An spdk_thread that has ended has left its seat.
        self.away.send(move || {
            if let Some(view) = View::of(number) {
                view.hear(notice);
            }
        });
    }
}

/// The spdk_threads that have queue pairs or namespaces of a controller, beside its home.
pub(super) struct Seats {
    list: RefCell<Vec<Seat>>,
    is_empty: Cell<bool>,
    gates: RefCell<Rc<[Arc<Gate>]>>,
    /// What was told last.
    told: Cell<(u64, Option<Status>)>,
    /// Who waits until all have heard it, for whether no queue pair is left.
    listeners: RefCell<Vec<oneshot::Sender<bool>>>,
}

impl Seats {
    pub(super) fn new() -> Seats {
        Seats {
            list: RefCell::default(),
            is_empty: Cell::new(true),
            gates: RefCell::default(),
            told: Cell::new((0, None)),
            listeners: RefCell::default(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty.get()
    }

    /// Tells all of them what they do not know yet.
    #[cold]
    pub(super) fn tell(&self, status: Status, ctrlr: Option<NonNull<sys::spdk_nvme_ctrlr>>) {
        let (number, known) = self.told.get();
        if known != Some(status) {
            let has_moved = known.is_some_and(|known| known.resets != status.resets);
            let number = number + 1;
            self.told.set((number, Some(status)));
            for seat in &*self.list.borrow() {
                let places = |ctrlr| places(ctrlr, &seat.namespaces);
                seat.send(Notice {
                    number,
                    status,
                    places: ctrlr.filter(|_| has_moved).map(places),
                });
            }
        }
        if self.have_heard() {
            self.answer();
        }
    }

    fn answer(&self) {
        let are_gone = self.are_gone();
        for listener in self.listeners.take() {
            let _ = listener.send(are_gone); // whoever asked may have gone
        }
    }

    fn all(&self, is: impl Fn(&Report) -> bool) -> bool {
        let (number, _) = self.told.get();
        let list = self.list.borrow();
        let mut reports = list.iter().map(|seat| &seat.report);
        reports.all(|report| report.number == number && is(report))
    }

    fn have_heard(&self) -> bool {
        self.all(|_| true)
    }

    /// Whether all have heard what was told last, and no queue pair of theirs takes commands.
    pub(super) fn are_quiet(&self) -> bool {
        self.all(|report| report.is_quiet)
    }

    /// Whether all have heard what was told last, and have no queue pair.
    pub(super) fn are_gone(&self) -> bool {
        self.all(|report| !report.has_qpairs)
    }

    /// Ready when all have heard what is told next, with whether they have no queue pair.
    pub(super) fn ask(&self) -> oneshot::AsyncReceiver<bool> {
        let (tx, rx) = oneshot::async_channel();
        match self.is_empty() {
            true => drop(tx.send(true)), // the receiver is here
            false => self.listeners.borrow_mut().push(tx),
        }
        rx
    }

    /// Takes a seat for another spdk_thread.
    pub(super) fn join(
        &self,
        ticket: Ticket,
        away: Arc<Shared>,
        anchor: Handle<NvmeControllerObject>,
        status: Status,
        answer: oneshot::Sender<()>,
    ) {
        let Some(ctrlr) = NonNull::new(anchor.as_ptr()).map(Address) else {
            return;
        };
        self.tell(status, None);
        let (number, _) = self.told.get();
        let gate = Arc::<Gate>::default();
        self.list.borrow_mut().push(Seat {
            number: ticket.number,
            away: away.clone(),
            _anchor: anchor,
            report: Report {
                number,
                has_qpairs: false,
                is_quiet: true,
            },
            namespaces: Vec::new(),
            gate: gate.clone(),
        });
        self.count();
        let notice = Notice {
            number,
            status,
            places: None,
        };
        // A ticket that is dropped on the way leaves the seat.
        away.send(move || View::arrive(ctrlr, ticket, gate, notice, answer));
    }

    fn count(&self) {
        let list = self.list.borrow();
        self.is_empty.set(list.is_empty());
        self.gates
            .replace(list.iter().map(|seat| seat.gate.clone()).collect());
    }

    /// Runs `f` while no seat submits a command on a namespace.
    #[inline]
    pub(super) fn shut<R>(&self, f: impl FnOnce() -> R) -> R {
        if self.is_empty() {
            return f();
        }
        let gates = self.gates.borrow().clone();
        let _shut: Vec<_> = gates.iter().map(|gate| gate.shut()).collect();
        f()
    }

    pub(super) fn leave(&self, number: u64) {
        let mut list = self.list.borrow_mut();
        let found = list.iter().position(|seat| seat.number == number);
        let seat = found.map(|index| list.swap_remove(index));
        drop(list);
        self.count();
        drop(seat); // its anchor may be the last handle, whose end asks who is left
        if self.is_empty() {
            self.answer();
        }
    }

    pub(super) fn hear(&self, number: u64, report: Report) {
        let mut list = self.list.borrow_mut();
        if let Some(seat) = list.iter_mut().find(|seat| seat.number == number) {
            seat.report = report;
        }
    }

    /// Shows a namespace to a seat; the answer says whether there is one.
    pub(super) fn show(
        &self,
        number: u64,
        id: u32,
        ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
        answer: oneshot::Sender<bool>,
    ) {
        let mut list = self.list.borrow_mut();
        let Some(seat) = list.iter_mut().find(|seat| seat.number == number) else {
            return;
        };
        // SAFETY: the controller is attached, and this is its spdk_thread.
        let is_active = unsafe { sys::spdk_nvme_ctrlr_is_active_ns(ctrlr.as_ptr(), id) };
        let places = match is_active {
            true => places(ctrlr, &[id]),
            false => Vec::new(),
        };
        let is_there = !places.is_empty();
        if is_there && !seat.namespaces.contains(&id) {
            seat.namespaces.push(id);
        }
        // By a message, so that what is told of later resets comes after it.
        seat.away.send(move || {
            if let Some(view) = View::of(number) {
                view.learn(places);
            }
            let _ = answer.send(is_there); // whoever asked may have gone
        });
    }
}

/// Where namespaces are, on the spdk_thread of their controller.
fn places(ctrlr: NonNull<sys::spdk_nvme_ctrlr>, ids: &[u32]) -> Places {
    let place = |id: &u32| {
        // SAFETY: the controller is attached, and this is its spdk_thread.
        let ns = unsafe { sys::spdk_nvme_ctrlr_get_ns(ctrlr.as_ptr(), *id) };
        Some((*id, Address(NonNull::new(ns)?)))
    };
    ids.iter().filter_map(place).collect()
}

/// The right to a seat. It is left with it.
pub(super) struct Ticket {
    number: u64,
    link: Arc<Link>,
}

impl Ticket {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Ticket {
            number: link::number(),
            link,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let number = self.number;
        // An spdk_thread waits at its end for the seats of its controllers.
        self.link
            .at_home(move |driver| driver.seats().leave(number));
    }
}
