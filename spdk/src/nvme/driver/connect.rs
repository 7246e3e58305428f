//! Connects a controller, or takes up one that was attached.
#![allow(unsafe_code)] // Passes an address as the context of a connect, and polls it.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use super::super::controller::NvmeController;
use super::super::controller_opts::Ready;
use super::super::events;
use super::super::hotplug;
use super::super::poller::{Step, drive};
use super::super::reconnects;
use super::super::transport_id::TransportId;
use super::{Driver, Phase};
use crate::error::Fault;
use crate::{Errno, sys};

/// What C has the address of while it connects: `opts`, which come first, are its context too.
#[repr(C)]
struct Request {
    opts: sys::spdk_nvme_ctrlr_opts,
    trid: sys::spdk_nvme_transport_id,
    attached: Cell<*mut sys::spdk_nvme_ctrlr>,
    /// Whether C is in the call that starts the connect.
    is_starting: Cell<bool>,
    /// Whether the controller was there before.
    is_of_another: Cell<bool>,
}

pub(in crate::nvme) type Answer = Result<NvmeController, Fault>;

/// A connect that has not ended.
#[derive(Default)]
pub(super) struct Connecting {
    request: RefCell<Option<Box<Request>>>,
    asked: Cell<Option<oneshot::Sender<Answer>>>,
}

/// Begins to connect, on the current spdk_thread.
pub(in crate::nvme) fn connect(
    trid: &TransportId,
    opts: Ready,
) -> Result<oneshot::AsyncReceiver<Answer>, Fault> {
    let (tx, rx) = oneshot::async_channel();
    let request = Request {
        opts: opts.raw,
        trid: trid.own(),
        attached: Cell::new(ptr::null_mut()),
        is_starting: Cell::new(false),
        is_of_another: Cell::new(false),
    };
    let driver = Driver::new(trid.clone(), opts.keys, Phase::Starting)?;
    driver.connecting.request.replace(Some(Box::new(request)));
    driver.connecting.asked.set(Some(tx));
    drive(driver, c"spdk-rs nvme")?;
    Ok(rx)
}

unsafe extern "C" fn on_attach(
    ctx: *mut c_void,
    _: *const sys::spdk_nvme_transport_id,
    ctrlr: *mut sys::spdk_nvme_ctrlr,
    _: *const sys::spdk_nvme_ctrlr_opts,
) {
    // SAFETY: the context is the request, which is there until the connect has ended, and which nobody
    // has a mutable reference to.
    let request = unsafe { &*ctx.cast::<Request>().cast_const() };
    request.attached.set(ctrlr);
    request.is_of_another.set(request.is_starting.get());
}

impl Driver {
    /// Begins to look after a controller that was attached on the current spdk_thread.
    ///
    /// `is_of_another` says that this process had it before: it is given back then.
    ///
    /// On an error nobody looks after it, and the caller still has it.
    ///
    /// # Safety
    /// It was just attached, and whoever looks after it detaches it.
    pub(in crate::nvme) unsafe fn adopt(
        ctrlr: NonNull<sys::spdk_nvme_ctrlr>,
        trid: &TransportId,
        is_of_another: bool,
    ) -> Result<Rc<Driver>, Fault> {
        let driver = Driver::new(trid.clone(), Vec::new(), Phase::Leaving(ctrlr))?;
        drive(driver.clone(), c"spdk-rs nvme")?;
        if !is_of_another {
            // SAFETY: passed on; the step that has the first look at it is one of the next polls.
            unsafe { driver.take_up(ctrlr) };
        }
        Ok(driver)
    }

    /// # Safety
    /// The controller was just attached, for this driver alone.
    unsafe fn take_up(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
        self.phase.set(Phase::Up(ctrlr));
        self.is_taken_up.set(true);
        // SAFETY: passed on.
        unsafe { self.expect_answers(ctrlr) };
        // SAFETY: this driver detaches it, and has the link and the flag until then.
        unsafe {
            events::register(ctrlr, &self.link);
            hotplug::tell_of_removal(ctrlr, &self.is_removed);
        }
    }

    pub(super) fn start(&self) -> Step {
        let request = self.connecting.request.borrow();
        let Some(request) = request.as_deref() else {
            unreachable!("it is there until the connect has ended");
        };
        let address = ptr::from_ref(request);
        // SAFETY: SPDK copies what `trid` points to, during the call. The context of the callback is the
        // address of the options, which is that of the request and stays until the connect has ended.
        let connect = || unsafe {
            if reconnects::has_one_at(&request.trid, &request.opts.hostnqn) {
                return Err(Fault::errno(Errno::EALREADY));
            }
            Ok(sys::spdk_nvme_connect_async(
                &raw const (*address).trid,
                address.cast(),
                Some(on_attach),
            ))
        };
        request.is_starting.set(true);
        let started = hotplug::scan(connect);
        request.is_starting.set(false);
        let Some(started) = started else {
            return Step::Busy; // another OS thread scans, and the next step tries again
        };
        match started.map(NonNull::new) {
            Ok(Some(ctx)) => {
                self.phase.set(Phase::Connecting(ctx));
                Step::Busy
            }
            Err(fault) => self.answer(Err(fault)),
            Ok(None) => self.answer(Err(Fault::not_connected())),
        }
    }

    pub(super) fn go_on_connecting(
        self: &Rc<Self>,
        ctx: NonNull<sys::spdk_nvme_probe_ctx>,
    ) -> Step {
        // SAFETY: the connect has not ended: another code than -EAGAIN says that it has, and C has then
        // freed the context.
        if unsafe { sys::spdk_nvme_probe_poll_async(ctx.as_ptr()) } == -libc::EAGAIN {
            return Step::Busy;
        }
        let request = self.connecting.request.take();
        let attached = request
            .as_ref()
            .and_then(|request| NonNull::new(request.attached.get()));
        let Some(ctrlr) = attached else {
            return self.answer(Err(Fault::not_connected()));
        };
        if request.is_some_and(|request| request.is_of_another.get()) {
            // Its completions run wherever its owner polls, which is no place for ours.
            self.phase.set(Phase::Leaving(ctrlr));
            self.answer(Err(Fault::errno(Errno::EALREADY)));
            return Step::Busy;
        }
        // SAFETY: it was just attached, on this spdk_thread, for us alone.
        let controller = unsafe {
            self.take_up(ctrlr);
            NvmeController::adopt(ctrlr, self.clone())
        };
        self.answer(controller);
        Step::Busy
    }

    /// Tells who connects. A controller that nobody waits for is dropped, and leaves.
    fn answer(&self, answer: Answer) -> Step {
        if answer.is_err() && !matches!(self.phase.get(), Phase::Leaving(_)) {
            self.phase.set(Phase::Gone);
            self.keys.take();
        }
        if let Some(asked) = self.connecting.asked.take() {
            let _ = asked.send(answer);
        }
        Step::Busy
    }
}
