//! Pollers: closures that an spdk_thread runs again and again.
#![allow(unsafe_code)] // Registers pollers whose context is a counted reference to their closure.

use std::cell::{Cell, OnceCell};
use std::ffi::{c_int, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

use crate::error::{At, Describe, Fault, Gone, Result};
use crate::handle::{Handle, Object, WeakHandle};
use crate::local::{self, Local, begin, run_caught};
use crate::{Errno, interrupt, options, panic, sys};

/// Whether a poller had something to do. SPDK counts the time of its runs accordingly, and a
/// scheduler decides by that.
#[doc(alias = "spdk_thread_poller_rc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollStatus {
    /// It had nothing to do.
    Idle,
    /// It did some work.
    Busy,
}

impl PollStatus {
    pub(crate) fn code(self) -> c_int {
        match self {
            PollStatus::Idle => sys::SPDK_POLLER_IDLE.0 as c_int,
            PollStatus::Busy => sys::SPDK_POLLER_BUSY.0 as c_int,
        }
    }
}

/// A closure that its spdk_thread runs in each of its polls, or periodically, until this is dropped.
///
/// It is what looks at something that cannot call back: a queue in shared memory, the registers of a
/// device. What it finds it can pass on to a task, which it wakes: through the sender of a
/// [`completion`](crate::completion), a [`Waker`](std::task::Waker), or a channel of any async crate.
///
/// ```no_run
/// # async fn example(mut look: impl FnMut() -> Option<u32> + 'static) -> spdk::Result<()> {
/// use spdk::{PollStatus, Poller};
///
/// let (found, answer) = spdk::completion();
/// let mut found = Some(found);
/// let poller = Poller::register(move || match look() {
///     Some(value) => {
///         if let Some(found) = found.take() {
///             found.success(value);
///         }
///         PollStatus::Busy
///     }
///     None => PollStatus::Idle,
/// })?;
/// let value = answer.await?;
/// drop(poller);
/// # Ok(())
/// # }
/// ```
///
/// The closure may do what a task may, but for waiting: it must not block. It may drop its own
/// `Poller`; the closure is then dropped when it returns. If it panics, that is reported through
/// `tracing`, and the poller has ended. It does not run while a task, a message or another poller of
/// this crate does.
///
/// When its spdk_thread ends, the closure is dropped there.
///
/// # Thread
///
/// `!Send` and `!Sync`. On another spdk_thread of the same OS thread its methods fail with
/// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread), and a drop ends it at home, in the next
/// poll there.
#[doc(alias = "spdk_poller")]
#[must_use = "a poller runs until it is dropped"]
pub struct Poller(Handle<PollerObject>);

/// `spdk_poller`, given back with `spdk_poller_unregister`.
pub(crate) enum PollerObject {}

pub(crate) struct PollerExtra {
    name: Box<str>,
    run: Rc<Run>,
}

type Closure = Box<dyn FnMut() -> PollStatus>;
type OnMode = Box<dyn FnMut(bool)>;

/// What C runs. C's context is its address; the `PollerExtra` keeps it while the poller is registered.
struct Run {
    local: Rc<Local>,
    /// Not there while it runs.
    closure: Cell<Option<Closure>>,
    is_paused: Cell<bool>,
    has_ended: Cell<bool>,
    /// Hears of interrupt mode. Not there while it runs.
    on_mode: Cell<Option<OnMode>>,
    handle: OnceCell<WeakHandle<PollerObject>>,
}

// SAFETY: after `spdk_poller_unregister` C neither runs the poller nor uses its context.
unsafe impl Object for PollerObject {
    type C = sys::spdk_poller;
    type Extra = PollerExtra;
    const NAME: &'static str = "Poller";

    unsafe fn release(ptr: NonNull<Self::C>, extra: &Self::Extra) {
        let mut poller = ptr.as_ptr();
        // SAFETY: on its spdk_thread, once; that is allowed inside of the poller too.
        unsafe { sys::spdk_poller_unregister(&mut poller) };
        extra.run.end();
    }

    fn label(extra: &Self::Extra) -> String {
        format!("poller {:?}", extra.name)
    }
}

impl Poller {
    /// Has the current spdk_thread run `f` in each of its polls.
    ///
    /// # Errors
    ///
    /// As for [`PollerBuilder::register`].
    #[doc(alias = "spdk_poller_register")]
    pub fn register<F>(f: F) -> Result<Self>
    where
        F: FnMut() -> PollStatus + 'static,
    {
        Self::builder().register(f)
    }

    /// Has the current spdk_thread run `f` every `period`, the first time after one `period`.
    ///
    /// # Errors
    ///
    /// As for [`PollerBuilder::register`].
    #[doc(alias = "spdk_poller_register")]
    pub fn every<F>(period: Duration, f: F) -> Result<Self>
    where
        F: FnMut() -> PollStatus + 'static,
    {
        Self::builder().period(period).register(f)
    }

    /// Gives it a name, a period or both.
    pub fn builder() -> PollerBuilder {
        PollerBuilder::default()
    }

    /// Does not run it any more, until [`Poller::resume`]. On a paused one it does nothing.
    ///
    /// In [interrupt mode](crate::SpdkAppBuilder::interrupt_mode) its closure does not run either, but SPDK
    /// still wakes for it: to let the CPU rest, drop it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when it has ended.
    #[doc(alias = "spdk_poller_pause")]
    pub fn pause(&self) -> Result<()> {
        let poller = self.get("spdk_poller_pause")?;
        self.0.extra().run.is_paused.set(true);
        // SAFETY: it is registered, on the current spdk_thread.
        unsafe { sys::spdk_poller_pause(poller.as_ptr()) };
        Ok(())
    }

    /// Runs it again after [`Poller::pause`]; a periodic one after one period. On one that is not
    /// paused it does nothing.
    ///
    /// # Errors
    ///
    /// As for [`Poller::pause`].
    #[doc(alias = "spdk_poller_resume")]
    pub fn resume(&self) -> Result<()> {
        let poller = self.get("spdk_poller_resume")?;
        self.0.extra().run.is_paused.set(false);
        // SAFETY: it is registered, on the current spdk_thread.
        unsafe { sys::spdk_poller_resume(poller.as_ptr()) };
        Ok(())
    }

    /// Says what to do when SPDK ceases to poll this spdk_thread, in
    /// [interrupt mode](crate::SpdkAppBuilder::interrupt_mode): `f` is called with `true` then, and with
    /// `false` when SPDK polls it again. It is called at once if the spdk_thread is not polled now.
    ///
    /// From then on nothing of SPDK runs this poller while the spdk_thread is not polled. Whatever tells
    /// of work does: usually an [`Interrupt`](crate::Interrupt), whose closure does the same as this one.
    /// Without this call SPDK runs a periodic poller by an OS timer, and any other one without end, which
    /// takes the whole CPU.
    ///
    /// Without interrupt mode `f` is never called. A panic of `f` is reported through `tracing`.
    ///
    /// # Errors
    ///
    /// As for [`Poller::pause`].
    #[doc(alias = "spdk_poller_register_interrupt")]
    pub fn on_interrupt_mode<F>(&self, f: F) -> Result<()>
    where
        F: FnMut(bool) + 'static,
    {
        let poller = self.get("spdk_poller_register_interrupt")?;
        let run = &self.0.extra().run;
        let old = run.on_mode.replace(Some(Box::new(f)));
        run_caught("drop of a poller", || drop(old));
        let arg = Rc::as_ptr(run).cast_mut().cast();
        // SAFETY: it is registered, on the current spdk_thread; the context lives until it is
        // unregistered, after which C does not call the function either.
        unsafe { sys::spdk_poller_register_interrupt(poller.as_ptr(), Some(set_mode), arg) };
        Ok(())
    }

    fn get(&self, call: &'static str) -> Result<NonNull<sys::spdk_poller>> {
        begin(|caller| self.0.get(caller)).map_err(|fault| fault.at(At::new(call, self)))
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.0.extra().run.is_paused.get()
    }

    /// Whether it does not run any more: it has panicked, or its spdk_thread has ended.
    pub fn has_ended(&self) -> bool {
        !self.0.is_alive()
    }

    /// Its name, as `thread_get_pollers` of SPDK's JSON-RPC shows it.
    pub fn name(&self) -> &str {
        &self.0.extra().name
    }

    /// The C object, for calls that this crate does not wrap; null when it has ended.
    pub fn as_ptr(&self) -> *mut sys::spdk_poller {
        self.0.as_ptr()
    }
}

impl Describe for Poller {
    fn describe(&self) -> String {
        PollerObject::label(self.0.extra())
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Poller").field(&self.name()).finish()
    }
}

/// The options of a [`Poller`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `register`"]
pub struct PollerBuilder {
    name: Option<String>,
    period: Duration,
}

impl PollerBuilder {
    /// Its name for SPDK's JSON-RPC and logs; the type of the closure by default. SPDK keeps the
    /// first 256 bytes.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Runs it every `period`, rounded up to microseconds, and not in each poll. Late runs are not
    /// made up for. Zero means each poll.
    pub fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// Has the current spdk_thread run `f`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) while it is ending,
    /// [`ErrorKind::Option`](crate::ErrorKind::Option) for a name that is empty or has a NUL byte,
    /// [`ErrorKind::Errno`](crate::ErrorKind::Errno) with `ENOMEM` if SPDK has no memory for it,
    /// and in interrupt mode with `EMFILE` or `ENFILE` if few file descriptors are left.
    #[doc(alias = "spdk_poller_register_named")]
    pub fn register<F>(self, f: F) -> Result<Poller>
    where
        F: FnMut() -> PollStatus + 'static,
    {
        let name = self.name.as_deref();
        let name = name.unwrap_or_else(|| std::any::type_name::<F>());
        let c_name = options::text("name", name)?;
        register(name, &c_name, microseconds(self.period), Box::new(f))
            .map_err(|fault| fault.at(At::new("spdk_poller_register_named", &name)))
    }
}

/// A period for SPDK, which turns it into ticks of 64 bits.
pub(crate) fn microseconds(period: Duration) -> u64 {
    const TEN_YEARS: u128 = 10 * 366 * 24 * 3600 * 1_000_000;
    period.as_nanos().div_ceil(1000).min(TEN_YEARS) as u64
}

fn register(
    name: &str,
    c_name: &std::ffi::CStr,
    period_us: u64,
    closure: Closure,
) -> Result<Poller, Fault> {
    let local = Local::current()?;
    if period_us == 0 {
        interrupt::check_descriptors()?;
    }
    let run = Rc::new(Run {
        local,
        closure: Cell::new(Some(closure)),
        is_paused: Cell::new(false),
        has_ended: Cell::new(false),
        on_mode: Cell::new(None),
        handle: OnceCell::new(),
    });
    let arg = Rc::as_ptr(&run).cast_mut().cast();
    // SAFETY: on the current spdk_thread. The context lives until the poller is unregistered: the
    // handle's `PollerExtra` has a reference to it. The name is copied.
    let poller = unsafe {
        sys::spdk_poller_register_named(Some(run_poller), arg, period_us, c_name.as_ptr())
    };
    let poller = NonNull::new(poller).ok_or_else(|| Fault::errno(Errno::ENOMEM))?;
    let extra = PollerExtra {
        name: name.into(),
        run: run.clone(),
    };
    // SAFETY: it was just registered on the current spdk_thread, and is nobody else's.
    let handle = unsafe { Handle::adopt(poller, extra) }?;
    let _ = run.handle.set(handle.downgrade()); // it was empty
    Ok(Poller(handle))
}

unsafe extern "C" fn run_poller(arg: *mut c_void) -> c_int {
    panic::guard("poller", || {
        let run = arg.cast::<Run>().cast_const();
        // SAFETY: a registered poller has a counted reference to it; this takes one more, for the
        // case that the closure drops its `Poller`.
        let run = unsafe {
            Rc::increment_strong_count(run);
            Rc::from_raw(run)
        };
        run.poll().code()
    })
}

unsafe extern "C" fn set_mode(_: *mut sys::spdk_poller, arg: *mut c_void, interrupt_mode: bool) {
    panic::guard("mode of a poller", || {
        let run = arg.cast::<Run>().cast_const();
        // SAFETY: as in `run_poller`.
        let run = unsafe {
            Rc::increment_strong_count(run);
            Rc::from_raw(run)
        };
        if let Some(mut on_mode) = run.on_mode.take() {
            let call = || run_caught("mode of a poller", || on_mode(interrupt_mode));
            local::beside(call);
            // One that was set in there stays.
            let keep = match run.on_mode.take() {
                None if !run.has_ended.get() => Some(on_mode),
                newer => {
                    run_caught("drop of a poller", || drop(on_mode));
                    newer
                }
            };
            run.on_mode.set(keep);
        }
    });
}

impl Run {
    fn poll(&self) -> PollStatus {
        if self.is_paused.get() {
            return PollStatus::Idle;
        }
        let Some(mut closure) = self.closure.take() else {
            return PollStatus::Idle; // in a poll inside of it, by foreign code
        };
        let run = AssertUnwindSafe(&mut closure);
        match self.local.run_beside(|| catch_unwind(run)) {
            Some(Ok(status)) => {
                self.put_back(closure);
                status
            }
            None => {
                self.put_back(closure);
                PollStatus::Idle
            }
            Some(Err(payload)) => {
                let (message, poller) = (panic::message(payload), self.handle.get());
                tracing::error!(what = "poller", %message, "panic on an spdk_thread");
                if let Some(poller) = poller {
                    poller.revoke_if_idle(Gone::Closed);
                }
                run_caught("drop of a poller", || drop(closure));
                PollStatus::Busy
            }
        }
    }

    fn put_back(&self, closure: Closure) {
        if self.has_ended.get() {
            run_caught("drop of a poller", || drop(closure));
        } else {
            self.closure.set(Some(closure));
        }
    }

    /// The poller is not registered any more.
    fn end(&self) {
        self.has_ended.set(true);
        let (closure, on_mode) = (self.closure.take(), self.on_mode.take());
        run_caught("drop of a poller", || drop(closure));
        run_caught("drop of a poller", || drop(on_mode));
    }
}

impl Drop for Run {
    /// A poller that SPDK did not take.
    fn drop(&mut self) {
        self.end();
    }
}
