//! The connect of all controllers that a place has.
#![allow(unsafe_code)] // Passes an address as the context of a probe, and polls it.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use super::controller::NvmeController;
use super::controller_opts::{NvmeCtrlrOpts, Ready};
use super::driver::{self, Driver};
use super::hotplug;
use super::poller::{Drive, Step, drive};
use super::transport_id::{TransportId, TransportType};
use crate::dhchap::Key;
use crate::error::{At, Error, Fault, Gone, Result};
use crate::local::{Here, begin};
use crate::panic::guard;
use crate::{Errno, sys};

const CALL: &str = "spdk_nvme_probe_async_ext";

type Filter = Box<dyn FnMut(&TransportId) -> Option<NvmeCtrlrOpts>>;
type Found = Vec<Result<NvmeController>>;

/// What a scan has given: what is connected, and what is being connected.
type Scanned = (
    Found,
    Vec<(TransportId, oneshot::AsyncReceiver<driver::Answer>)>,
);

/// What SPDK has attached.
struct Attached {
    ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
    trid: TransportId,
    /// Whether it was there before.
    is_of_another: bool,
}

/// A probe, from its start to its end. C has its address.
struct Prober {
    trid: sys::spdk_nvme_transport_id,
    /// Whether it is one controller, of which SPDK says that it could not look if the filter does not choose it.
    is_one: bool,
    /// Null before it has begun, and when it has ended.
    ctx: Cell<*mut sys::spdk_nvme_probe_ctx>,
    has_failed: Cell<bool>,
    /// Whether C was told to leave something alone.
    was_refused: Cell<bool>,
    /// Until C has asked for all that it has found.
    filter: RefCell<Option<Filter>>,
    is_starting: Cell<bool>,
    /// Those that are to be connected over a network, which C leaves alone: it would not give them an address of their
    /// own, as a connect does.
    chosen: RefCell<Vec<(TransportId, Ready)>>,
    /// Those of the other controllers that the filter has chosen, until these are attached.
    keys: RefCell<Vec<(TransportId, Vec<Key>)>>,
    attached: RefCell<Vec<Attached>>,
    found: RefCell<Found>,
    asked: Cell<Option<oneshot::Sender<Result<Scanned, Fault>>>>,
}

impl NvmeController {
    /// Connects to the controllers that a place has, all at the same time, and returns one result for each that
    /// `filter` has chosen.
    ///
    /// `filter` is told of each controller that is found, and returns the options of those that are to be
    /// connected. It runs while SPDK looks, which waits for it.
    ///
    /// The place is [`TransportId::all_pcie`] for the PCI devices of this machine; or a discovery subsystem,
    /// whose name is [`TransportId::DISCOVERY_NQN`], for all that it knows; or one controller. While SPDK looks,
    /// the OS thread does nothing else; that takes as long as a discovery subsystem takes to answer. Each probe
    /// of PCI devices looks which of them were plugged in or pulled out, too: a controller whose device is gone
    /// tells [`NvmeEvent::Removed`](super::NvmeEvent::Removed). One that was plugged in is left alone for two seconds
    /// after the first probe that sees it, while it settles; a later one finds it.
    ///
    /// Wraps `spdk_nvme_probe_async_ext` and `spdk_nvme_probe_poll_async`, and takes the place of
    /// `spdk_nvme_probe_async`, `spdk_nvme_probe` and `spdk_nvme_probe_ext`.
    ///
    /// ```no_run
    /// use spdk::nvme::{NvmeController, NvmeCtrlrOpts, TransportId};
    ///
    /// # async fn example() -> spdk::Result<()> {
    /// let place = TransportId::tcp("192.168.1.100", "4420", TransportId::DISCOVERY_NQN)?;
    /// let found = NvmeController::probe(&place, |trid| {
    ///     let is_ours = trid.subnqn().starts_with("nqn.2024-01.io.spdk:");
    ///     is_ours.then(NvmeCtrlrOpts::new)
    /// });
    /// for controller in found.await? {
    ///     println!("{}", controller?.transport_id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Of the probe: [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected) if SPDK could not look there.
    ///
    /// Of one controller, with its transport ID:
    ///
    /// - [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected), or over PCI Express an errno that says why SPDK gave it
    ///   up.
    /// - `EALREADY`: this process has it already.
    /// - [`ErrorKind::Option`](crate::ErrorKind::Option): an option cannot be used.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the probe but does not
    /// stop it. What it connects is detached then.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which is the home of the controllers then. A `filter` that panics ends the process.
    #[doc(alias = "spdk_nvme_probe_async_ext")]
    #[doc(alias = "spdk_nvme_probe_async")]
    #[doc(alias = "spdk_nvme_probe_ext")]
    #[doc(alias = "spdk_nvme_probe")]
    pub async fn probe(
        trid: &TransportId,
        filter: impl FnMut(&TransportId) -> Option<NvmeCtrlrOpts> + 'static,
    ) -> Result<Vec<Result<NvmeController>>> {
        let at = At::new(CALL, trid);
        let answer = begin(|_| Here::now().map(drop))
            .and_then(|()| Prober::start(trid, Box::new(filter)))
            .map_err(|fault| fault.at(at))?;
        let answer = answer.await;
        // Without an answer, its spdk_thread has ended.
        let ended = || Fault::gone(Gone::ThreadEnded);
        let answer = answer.unwrap_or_else(|_| Err(ended()));
        let (mut found, connecting) = answer.map_err(|fault| fault.at(at))?;
        for (trid, end) in connecting {
            let controller = end.await.unwrap_or_else(|_| Err(ended()));
            found.push(controller.map_err(|fault| fault.at(At::new(CALL, &trid))));
        }
        Ok(found)
    }
}

impl Prober {
    fn start(
        trid: &TransportId,
        filter: Filter,
    ) -> Result<oneshot::AsyncReceiver<Result<Scanned, Fault>>, Fault> {
        let (tx, rx) = oneshot::async_channel();
        let prober = Prober {
            trid: trid.to_c(),
            is_one: !trid.address().is_empty() && trid.subnqn() != TransportId::DISCOVERY_NQN,
            ctx: Cell::new(ptr::null_mut()),
            has_failed: Cell::new(false),
            was_refused: Cell::new(false),
            filter: RefCell::new(Some(filter)),
            is_starting: Cell::new(false),
            chosen: RefCell::default(),
            keys: RefCell::default(),
            attached: RefCell::default(),
            found: RefCell::default(),
            asked: Cell::new(Some(tx)),
        };
        drive(Rc::new(prober), c"spdk-rs nvme probe")?;
        Ok(rx)
    }

    fn begin(&self) -> Step {
        // SAFETY: SPDK copies what `trid` points to, during the call. The context of the callbacks is the
        // address of this, which stays until the probe has ended; only `&Prober` is made of it.
        let probe = || unsafe {
            sys::spdk_nvme_probe_async_ext(
                &raw const self.trid,
                ptr::from_ref(self).cast_mut().cast(),
                Some(on_found),
                Some(on_attached),
                Some(on_failed),
                None,
            )
        };
        self.is_starting.set(true);
        let started = hotplug::scan(probe);
        self.is_starting.set(false);
        let Some(ctx) = started else {
            return Step::Busy; // another OS thread scans, and the next step tries again
        };
        drop(self.filter.take());
        self.ctx.set(ctx);
        let was_refused = self.is_one && self.was_refused.get();
        self.has_failed.set(ctx.is_null() && !was_refused);
        Step::Busy
    }

    fn go_on(&self, ctx: *mut sys::spdk_nvme_probe_ctx) -> Step {
        // SAFETY: the probe has not ended: another code than -EAGAIN says that it has, and C has then freed
        // the context.
        let is_over = unsafe { sys::spdk_nvme_probe_poll_async(ctx) } != -libc::EAGAIN;
        self.ctx.set(match is_over {
            true => ptr::null_mut(),
            false => ctx,
        });
        Step::Busy
    }

    /// Has drivers look after what is attached. Returns whether all have one.
    fn take_up(&self) -> bool {
        let attached = self.attached.take();
        let mut left = Vec::new();
        for one in attached {
            // SAFETY: it was just attached, on this spdk_thread, and is taken once. Without a poller there is no
            // driver, and the next step tries again.
            match unsafe { Driver::adopt(one.ctrlr, &one.trid, one.is_of_another) } {
                Ok(driver) => self.hand_out(&one, driver),
                Err(_) => left.push(one),
            }
        }
        self.attached.borrow_mut().append(&mut left);
        self.attached.borrow().is_empty()
    }

    fn hand_out(&self, one: &Attached, driver: Rc<Driver>) {
        let controller = if one.is_of_another {
            Err(Fault::errno(Errno::EALREADY))
        } else {
            driver.keep(self.take_keys(&one.trid));
            // SAFETY: it was just attached, on this spdk_thread, for us alone.
            unsafe { NvmeController::adopt(one.ctrlr, driver) }
        };
        let at = At::new(CALL, &one.trid);
        let controller = controller.map_err(|fault| fault.at(at));
        self.found.borrow_mut().push(controller);
    }

    fn take_keys(&self, trid: &TransportId) -> Vec<Key> {
        let mut keys = self.keys.borrow_mut();
        let place = keys.iter().position(|(of, _)| of == trid);
        place.map_or_else(Vec::new, |place| keys.swap_remove(place).1)
    }

    /// Begins to connect what is to be connected over a network.
    fn connect(&self) -> Scanned {
        let mut connecting = Vec::new();
        for (trid, opts) in self.chosen.take() {
            match driver::connect(&trid, opts) {
                Ok(end) => connecting.push((trid, end)),
                Err(fault) => {
                    let error = fault.at(At::new(CALL, &trid));
                    self.found.borrow_mut().push(Err(error));
                }
            }
        }
        (self.found.take(), connecting)
    }

    /// Tells who probes. Controllers that nobody waits for are dropped, and leave.
    fn answer(&self) -> Step {
        let answer = match self.has_failed.get() {
            true => Err(Fault::not_connected()),
            false => Ok(self.connect()),
        };
        if let Some(asked) = self.asked.take() {
            let _ = asked.send(answer);
        }
        Step::Done
    }

    /// Whether a controller is to be connected, and how.
    fn choose(&self, trid: &TransportId) -> Option<Ready> {
        let mut filter = self.filter.borrow_mut();
        let opts = filter.as_mut()?(trid)?;
        match opts.ready() {
            Ok(opts) => Some(opts),
            Err(error) => {
                self.found.borrow_mut().push(Err(error));
                None
            }
        }
    }
}

impl Drive for Prober {
    fn step(this: &Rc<Self>) -> Step {
        let ctx = this.ctx.get();
        if this.filter.borrow().is_some() {
            return this.begin();
        }
        if !ctx.is_null() {
            return this.go_on(ctx);
        }
        match this.take_up() {
            true => this.answer(),
            false => Step::Busy,
        }
    }
}

/// # Safety
/// `arg` is the context of a probe that has not ended, and `trid` is there.
unsafe fn of<'a>(
    arg: *mut c_void,
    trid: *const sys::spdk_nvme_transport_id,
) -> (&'a Prober, Option<TransportId>) {
    // SAFETY: passed on; nobody has a mutable reference to a prober.
    unsafe { (&*arg.cast::<Prober>(), TransportId::of_c(&*trid)) }
}

unsafe extern "C" fn on_found(
    arg: *mut c_void,
    trid: *const sys::spdk_nvme_transport_id,
    opts: *mut sys::spdk_nvme_ctrlr_opts,
) -> bool {
    guard("filter of a probe", || {
        // SAFETY: these are the probe's, and the ID and the options are there during the callback.
        let (prober, trid) = unsafe { of(arg, trid) };
        let Some(trid) = trid else {
            return false; // of a transport that this crate has no name for
        };
        let Some(chosen) = prober.choose(&trid) else {
            prober.was_refused.set(true);
            return false;
        };
        if trid.transport() != TransportType::Pcie {
            prober.chosen.borrow_mut().push((trid, chosen));
            prober.was_refused.set(true);
            return false;
        }
        // SAFETY: as above.
        unsafe { opts.write(chosen.raw) };
        prober.keys.borrow_mut().push((trid, chosen.keys));
        true
    })
}

unsafe extern "C" fn on_attached(
    arg: *mut c_void,
    trid: *const sys::spdk_nvme_transport_id,
    ctrlr: *mut sys::spdk_nvme_ctrlr,
    _: *const sys::spdk_nvme_ctrlr_opts,
) {
    guard("callback of a probe", || {
        // SAFETY: as for `on_found`.
        let (prober, trid) = unsafe { of(arg, trid) };
        if let (Some(trid), Some(ctrlr)) = (trid, NonNull::new(ctrlr)) {
            prober.attached.borrow_mut().push(Attached {
                ctrlr,
                trid,
                is_of_another: prober.is_starting.get(),
            });
        }
    });
}

unsafe extern "C" fn on_failed(
    arg: *mut c_void,
    trid: *const sys::spdk_nvme_transport_id,
    rc: c_int,
) {
    guard("callback of a probe", || {
        // SAFETY: as for `on_found`.
        let (prober, trid) = unsafe { of(arg, trid) };
        if let Some(trid) = trid {
            let fault = match rc {
                // What SPDK says of whatever went wrong in its state machine.
                -1 => Fault::not_connected(),
                rc => Fault::errno(Errno::from_code(rc)),
            };
            let error: Error = fault.at(At::new(CALL, &trid));
            prober.found.borrow_mut().push(Err(error));
        }
    });
}
