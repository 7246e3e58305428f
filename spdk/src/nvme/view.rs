//! What an spdk_thread has of a controller, its own or that of another one.
#![allow(unsafe_code)] // Owns a share of a C object.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::controller::{ControllerExtra, NvmeControllerObject};
use super::driver::Driver;
use super::link::Link;
use super::qpair_group;
use super::seats::{Address, Gate, Notice, Places, Report, Status, Ticket};
use super::transport_id::TransportId;
use crate::error::{Fault, Gone};
use crate::handle::{Handle, WeakHandle};
use crate::local::{Local, begin};
use crate::sys;

thread_local! {
    /// The seats of this OS thread, by their numbers.
    static VIEWS: RefCell<BTreeMap<u64, Weak<View>>> = const { RefCell::new(BTreeMap::new()) };
    /// Where the controllers go that this OS thread has asked for.
    static ASKED: RefCell<BTreeMap<u64, Weak<Slot>>> = const { RefCell::new(BTreeMap::new()) };
}

type Slot = Cell<Option<Result<Handle<NvmeControllerObject>, Fault>>>;

/// What an spdk_thread has of a controller that is at home on another one.
pub(super) struct View {
    number: u64,
    link: Arc<Link>,
    ticket: Cell<Option<Ticket>>,
    heard: Cell<u64>,
    status: Cell<Status>,
    /// Those of the status; during a reset, a number that no namespace has.
    resets: Cell<u64>,
    gate: Arc<Gate>,
    reported: Cell<Option<Report>>,
    places: RefCell<BTreeMap<u32, Address<sys::spdk_nvme_ns>>>,
    handle: OnceCell<WeakHandle<NvmeControllerObject>>,
}

impl View {
    pub(super) fn of(number: u64) -> Option<Rc<View>> {
        VIEWS.with_borrow(|views| views.get(&number)?.upgrade())
    }

    /// Takes the seat, on its spdk_thread.
    pub(super) fn arrive(
        ctrlr: Address<sys::spdk_nvme_ctrlr>,
        ticket: Ticket,
        gate: Arc<Gate>,
        notice: Notice,
        answer: oneshot::Sender<()>,
    ) {
        let number = ticket.number();
        let Some(slot) = ASKED.with_borrow(|asked| asked.get(&number)?.upgrade()) else {
            return; // whoever asked has gone
        };
        let view = Rc::new(View {
            number,
            link: ticket.link().clone(),
            ticket: Cell::new(Some(ticket)),
            heard: Cell::new(notice.number),
            status: Cell::new(notice.status),
            resets: Cell::new(resets(notice.status)),
            gate,
            reported: Cell::new(None),
            places: RefCell::default(),
            handle: OnceCell::new(),
        });
        let extra = ControllerExtra::new(Side::Away(view.clone()));
        // SAFETY: the home keeps the controller attached as long as the seat is taken, which is left when the handle is
        // released, on this spdk_thread.
        let handle = unsafe { Handle::adopt(ctrlr.get(), extra) };
        if let Ok(handle) = &handle {
            let _ = view.handle.set(handle.downgrade()); // it was empty
            VIEWS.with_borrow_mut(|views| views.insert(number, Rc::downgrade(&view)));
        }
        slot.set(Some(handle));
        let _ = answer.send(()); // whoever asked may have gone, with the slot
        view.attend();
    }

    /// The home has shown something.
    pub(super) fn learn(&self, places: Places) {
        self.places.borrow_mut().extend(places);
    }

    /// The home has told something.
    pub(super) fn hear(&self, notice: Notice) {
        self.heard.set(notice.number);
        self.status.set(notice.status);
        self.resets.set(resets(notice.status));
        if let Some(places) = notice.places {
            self.places.replace(places.into_iter().collect());
        }
        qpair_group::look();
        self.attend();
    }

    /// Lets go of the controller, if it has to, and answers the home if there is something new.
    fn attend(&self) {
        let handle = self.handle.get();
        if self.status.get().is_recalled
            && let Some(handle) = handle
        {
            handle.shut(Gone::ThreadEnded);
            handle.revoke_if_idle(Gone::ThreadEnded);
        }
        let is_mine = |side: &Side| matches!(side, Side::Away(view) if ptr::eq(&**view, self));
        let report = Report {
            number: self.heard.get(),
            has_qpairs: qpair_group::has_members(is_mine),
            is_quiet: qpair_group::are_quiet(is_mine),
        };
        if self.reported.replace(Some(report)) != Some(report) {
            let number = self.number;
            self.link
                .at_home(move |driver| driver.seats().hear(number, report));
        }
    }

    /// No handle is left here.
    pub(super) fn leave(&self) {
        VIEWS.with_borrow_mut(|views| views.remove(&self.number));
        drop(self.ticket.take());
    }

    fn give_up(&self) {
        self.link.at_home(|driver| driver.give_up());
    }
}

/// The controller, as the current spdk_thread has it.
pub(super) async fn attach(link: &Arc<Link>) -> Result<Handle<NvmeControllerObject>, Fault> {
    let here = Local::current()?.shared().clone();
    if Arc::ptr_eq(&here, link.home()) {
        let driver = link.driver();
        let handle = driver.and_then(|driver| driver.handle());
        return handle.ok_or_else(|| Fault::gone(Gone::Closed));
    }
    if let Some(handle) = seat(link) {
        return Ok(handle);
    }
    let ticket = Ticket::new(link.clone());
    let slot = Rc::new(Slot::default());
    ASKED.with_borrow_mut(|asked| {
        asked.retain(|_, slot| slot.strong_count() > 0);
        asked.insert(ticket.number(), Rc::downgrade(&slot));
    });
    let (tx, rx) = oneshot::async_channel();
    let sent = link.at_home(move |driver| {
        if let Some(anchor) = driver.handle() {
            let status = driver.status();
            driver.seats().join(ticket, here, anchor, status, tx);
        }
    });
    if !sent {
        return Err(Fault::gone(Gone::ThreadEnded));
    }
    let answer = rx.await;
    let why = match answer.is_err() && link.home().is_closed() {
        true => Gone::ThreadEnded,
        false => Gone::Closed,
    };
    slot.take().unwrap_or_else(|| Err(Fault::gone(why)))
}

/// The seat that the current spdk_thread has already.
fn seat(link: &Arc<Link>) -> Option<Handle<NvmeControllerObject>> {
    VIEWS.with_borrow(|views| {
        let mut views = views.values().filter_map(Weak::upgrade);
        views.find_map(|view| {
            let is_mine = Arc::ptr_eq(&view.link, link);
            let handle = view.handle.get().filter(|_| is_mine)?.upgrade()?;
            let is_here = begin(|caller| handle.get(caller)).is_ok();
            is_here.then_some(handle)
        })
    })
}

fn resets(status: Status) -> u64 {
    match status.is_resetting {
        true => u64::MAX,
        false => status.resets.into(),
    }
}

/// Has the seats of this OS thread answer, after something has become of their queue pairs.
pub(super) fn attend() {
    let views = VIEWS.with_borrow(|views| {
        let views = views.values().filter_map(Weak::upgrade);
        views.collect::<Vec<_>>()
    });
    for view in views {
        view.attend();
    }
}

/// A controller, as an spdk_thread has it.
#[derive(Clone)]
pub(super) enum Side {
    /// On its own.
    Home(Rc<Driver>),
    /// On another one.
    Away(Rc<View>),
}

impl Side {
    pub(super) fn trid(&self) -> TransportId {
        match self {
            Side::Home(driver) => driver.trid(),
            Side::Away(view) => view.link.trid().clone(),
        }
    }

    /// Whether the connection is gone.
    pub(super) fn has_failed(&self) -> bool {
        match self {
            Side::Home(driver) => driver.has_failed(),
            Side::Away(view) => view.status.get().has_failed,
        }
    }

    /// Whether a reset was asked for, and has not ended.
    pub(super) fn is_resetting(&self) -> bool {
        match self {
            Side::Home(driver) => driver.is_resetting(),
            Side::Away(view) => view.status.get().is_resetting,
        }
    }

    /// Whether a format goes on.
    pub(super) fn is_formatting(&self) -> bool {
        match self {
            Side::Home(driver) => driver.is_formatting().get(),
            Side::Away(view) => view.status.get().is_formatting,
        }
    }

    /// Whether a controller that has memory of this machine uses none of it any more.
    pub(super) fn has_let_go(&self) -> bool {
        match self {
            Side::Home(driver) => driver.has_let_go(),
            Side::Away(view) => view.status.get().has_let_go,
        }
    }

    /// Whether its device was pulled out.
    pub(super) fn is_removed(&self) -> bool {
        match self {
            Side::Home(driver) => driver.is_removed(),
            Side::Away(view) => view.status.get().is_removed,
        }
    }

    /// Whether its spdk_thread, which is another one, ends.
    pub(super) fn is_recalled(&self) -> bool {
        match self {
            Side::Home(_) => false,
            Side::Away(view) => view.status.get().is_recalled,
        }
    }

    /// Whether it has memory of this machine until it is told to let go.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Side::Home(driver) => driver.is_local(),
            Side::Away(view) => view.link.is_local(),
        }
    }

    /// Has all of its commands end.
    pub(super) fn give_up(&self) {
        match self {
            Side::Home(driver) => driver.give_up(),
            Side::Away(view) => view.give_up(),
        }
    }

    /// How often it was connected again: what SPDK knows of namespaces is elsewhere then.
    #[inline]
    pub(super) fn resets(&self) -> u64 {
        match self {
            Side::Home(driver) => driver.resets().into(),
            Side::Away(view) => view.resets.get(),
        }
    }

    /// How often SPDK may have seen other namespaces.
    #[inline]
    pub(super) fn changes(&self) -> u64 {
        match self {
            Side::Home(driver) => driver.changes(),
            Side::Away(view) => view.status.get().changes,
        }
    }

    /// What a command on a namespace passes, where another spdk_thread may see that this has changed.
    #[inline]
    pub(super) fn gate(&self) -> Option<&Gate> {
        match self {
            Side::Home(_) => None,
            Side::Away(view) => Some(&view.gate),
        }
    }

    /// Asks the home for a namespace, if that is another spdk_thread. Ready when it is known here, with whether there is
    /// one.
    pub(super) fn ask_for(&self, id: u32) -> Option<oneshot::AsyncReceiver<bool>> {
        let Side::Away(view) = self else {
            return None;
        };
        let (tx, rx) = oneshot::async_channel();
        let seat = view.number;
        view.link.at_home(move |driver| driver.show(seat, id, tx));
        Some(rx)
    }

    /// Where a namespace is, for this spdk_thread.
    pub(super) fn place_of(
        &self,
        ctrlr: *mut sys::spdk_nvme_ctrlr,
        id: u32,
    ) -> Result<Option<NonNull<sys::spdk_nvme_ns>>, Fault> {
        match self {
            // SAFETY: the caller has a controller that is attached, on its spdk_thread.
            Side::Home(_) => Ok(NonNull::new(unsafe {
                sys::spdk_nvme_ctrlr_get_ns(ctrlr, id)
            })),
            Side::Away(view) if view.status.get().is_resetting => Err(Fault::not_connected()),
            Side::Away(view) => Ok(view.places.borrow().get(&id).map(|place| place.get())),
        }
    }
}
