//! File descriptors that an spdk_thread waits for, in interrupt mode.
#![allow(unsafe_code)] // Registers interrupts whose context is a counted reference to their closure.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::io;
use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;

use crate::error::{At, Describe, Fault, Gone, Result};
use crate::handle::{Handle, Object, WeakHandle};
use crate::local::{self, begin, run_caught};
use crate::poller::PollStatus;
use crate::{Errno, options, panic, sys};

/// Whether the reactors wait for file descriptors. It does not change while there are spdk_threads.
pub(crate) fn is_enabled() -> bool {
    // SAFETY: it reads a variable, which is set before the first spdk_thread is made.
    unsafe { sys::spdk_interrupt_mode_is_enabled() }
}

/// An eventfd that does not block.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no precondition.
    match unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the call has just made it.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// Refuses, in interrupt mode, what has SPDK register pollers that run in each poll, unless there are file descriptors for
/// them: such a poller takes one, and without it SPDK uses a null pointer. Some more are asked for than one, since other OS
/// threads open files too, and a channel may have several pollers.
pub(crate) fn check_descriptors() -> Result<(), Fault> {
    check_for(SPARE)
}

/// The same for one poller, that ends what has begun.
pub(crate) fn check_descriptor() -> Result<(), Fault> {
    check_for(1)
}

fn check_for(count: usize) -> Result<(), Fault> {
    if !is_enabled() {
        return Ok(());
    }
    let spare: io::Result<Vec<OwnedFd>> = (0..count).map(|_| eventfd()).collect();
    match spare {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::errno(
            error.raw_os_error().map_or(Errno::EMFILE, Errno::from_code),
        )),
    }
}

/// How many file descriptors have to be left.
const SPARE: usize = 16;

/// What a file descriptor is waited for.
#[doc(alias = "spdk_interrupt_event_types")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdEvents(u32);

impl FdEvents {
    /// There is something to read.
    pub const READABLE: FdEvents = FdEvents(libc::EPOLLIN as u32);
    /// There is room to write.
    pub const WRITABLE: FdEvents = FdEvents(libc::EPOLLOUT as u32);
    /// Reported once each time that this begins, and not as long as it is so.
    pub const EDGE: FdEvents = FdEvents(libc::EPOLLET as u32);
}

impl BitOr for FdEvents {
    type Output = FdEvents;

    fn bitor(self, other: FdEvents) -> FdEvents {
        FdEvents(self.0 | other.0)
    }
}

/// A file descriptor that the current spdk_thread waits for, and the closure that runs when it is ready.
///
/// For an application in [interrupt mode](crate::SpdkAppBuilder::interrupt_mode). The closure may do what
/// that of a [`Poller`](crate::Poller) may, and ends as that does: by the drop of this handle, which it
/// may do itself, by a panic, which is reported, and with its spdk_thread.
///
/// ```no_run
/// # async fn example(socket: std::os::unix::net::UnixStream) -> spdk::Result<()> {
/// use std::io::Read;
/// use spdk::{FdEvents, Interrupt, PollStatus};
///
/// let mut reader = socket.try_clone().expect("a file descriptor");
/// let interrupt = Interrupt::register("control", socket, FdEvents::READABLE, move |_| {
///     let mut command = [0; 64];
///     match reader.read(&mut command) {
///         Ok(length) => println!("{:?}", &command[..length]),
///         Err(error) => println!("{error}"),
///     }
///     PollStatus::Busy
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Thread
///
/// `!Send` and `!Sync`, as a [`Poller`](crate::Poller).
#[doc(alias = "spdk_interrupt")]
#[must_use = "it is waited for until this is dropped"]
pub struct Interrupt(Handle<InterruptObject>);

/// `spdk_interrupt`, given back with `spdk_interrupt_unregister`.
pub(crate) enum InterruptObject {}

type Closure = Box<dyn FnMut(BorrowedFd<'_>) -> PollStatus>;

/// C's context is its address; the handle keeps it while the interrupt is registered.
pub(crate) struct Run {
    name: Box<str>,
    fd: OwnedFd,
    /// Not there while it runs.
    closure: Cell<Option<Closure>>,
    has_ended: Cell<bool>,
    handle: std::cell::OnceCell<WeakHandle<InterruptObject>>,
}

// SAFETY: after `spdk_interrupt_unregister` C neither runs the function nor uses its context.
unsafe impl Object for InterruptObject {
    type C = sys::spdk_interrupt;
    type Extra = Rc<Run>;
    const NAME: &'static str = "Interrupt";

    unsafe fn release(ptr: NonNull<Self::C>, run: &Self::Extra) {
        let mut interrupt = ptr.as_ptr();
        // SAFETY: on its spdk_thread, once; that is allowed inside of its function too.
        unsafe { sys::spdk_interrupt_unregister(&mut interrupt) };
        run.has_ended.set(true);
        run.drop_closure();
    }

    fn label(run: &Self::Extra) -> String {
        format!("interrupt {:?}", run.name)
    }
}

impl Interrupt {
    /// Has the current spdk_thread run `f` whenever one of these events is there. It owns the file
    /// descriptor, which `f` is shown. The name is for SPDK's logs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) while it is ending,
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) without interrupt mode,
    /// [`ErrorKind::Option`](crate::ErrorKind::Option) for a name that is empty or has a NUL byte,
    /// [`ErrorKind::Errno`](crate::ErrorKind::Errno) with `EINVAL` for a file that cannot be waited for,
    /// such as a regular one, or if SPDK has no memory for it.
    #[doc(alias = "spdk_interrupt_register")]
    #[doc(alias = "spdk_interrupt_register_for_events")]
    pub fn register<F>(name: &str, fd: impl Into<OwnedFd>, events: FdEvents, f: F) -> Result<Self>
    where
        F: FnMut(BorrowedFd<'_>) -> PollStatus + 'static,
    {
        let c_name = options::text("name", name)?;
        let at = At::new("spdk_interrupt_register", &name);
        let run = Rc::new(Run {
            name: name.into(),
            fd: fd.into(),
            closure: Cell::new(Some(Box::new(f))),
            has_ended: Cell::new(false),
            handle: std::cell::OnceCell::new(),
        });
        let handle = register(&run, &c_name).map_err(|fault| fault.at(at))?;
        let _ = run.handle.set(handle.downgrade()); // it was empty
        let interrupt = Interrupt(handle);
        if events != FdEvents::READABLE {
            interrupt.set_events(events)?;
        }
        Ok(interrupt)
    }

    /// Waits for other events from now on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when it has ended, and the errno of `epoll_ctl(2)`.
    #[doc(alias = "spdk_interrupt_set_event_types")]
    pub fn set_events(&self, events: FdEvents) -> Result<()> {
        let at = At::new("spdk_interrupt_set_event_types", self);
        let interrupt = begin(|caller| self.0.get(caller)).map_err(|fault| fault.at(at))?;
        let events = sys::spdk_interrupt_event_types(events.0 as _);
        // SAFETY: it is registered, on the current spdk_thread.
        match unsafe { sys::spdk_interrupt_set_event_types(interrupt.as_ptr(), events) } {
            0 => Ok(()),
            rc => Err(Fault::errno(Errno::from_code(rc)).at(at)),
        }
    }

    /// Whether it is waited for no more: the closure has panicked, or its spdk_thread has ended.
    pub fn has_ended(&self) -> bool {
        !self.0.is_alive()
    }

    /// The C object, for calls that this crate does not wrap; null when it has ended.
    pub fn as_ptr(&self) -> *mut sys::spdk_interrupt {
        self.0.as_ptr()
    }
}

fn register(run: &Rc<Run>, name: &std::ffi::CStr) -> Result<Handle<InterruptObject>, Fault> {
    local::Local::current()?;
    if !is_enabled() {
        return Err(Fault::invalid(
            "the application polls, and waits for no file descriptor; start it with `interrupt_mode`",
        ));
    }
    let arg = Rc::as_ptr(run).cast_mut().cast();
    // SAFETY: on the current spdk_thread, which has a group of file descriptors in interrupt mode. The
    // context, and the file descriptor in it, live until it is unregistered: the handle has a reference.
    // The name is copied.
    let interrupt = unsafe {
        sys::spdk_interrupt_register(run.fd.as_raw_fd(), Some(run_interrupt), arg, name.as_ptr())
    };
    let interrupt = NonNull::new(interrupt).ok_or_else(|| Fault::errno(Errno::EINVAL))?;
    // SAFETY: it was just registered on the current spdk_thread, and is nobody else's.
    unsafe { Handle::adopt(interrupt, run.clone()) }
}

unsafe extern "C" fn run_interrupt(arg: *mut c_void) -> c_int {
    panic::guard("interrupt", || {
        let run = arg.cast::<Run>().cast_const();
        // SAFETY: a registered interrupt has a counted reference to it; this takes one more, for the case
        // that the closure drops its `Interrupt`.
        let run = unsafe {
            Rc::increment_strong_count(run);
            Rc::from_raw(run)
        };
        run.run().code()
    })
}

impl Run {
    fn run(&self) -> PollStatus {
        let Some(mut closure) = self.closure.take() else {
            return PollStatus::Idle; // inside of it, by foreign code
        };
        let run = AssertUnwindSafe(|| closure(self.fd.as_fd()));
        let end = local::beside(|| catch_unwind(run));
        self.closure.set(Some(closure));
        let status = end.unwrap_or_else(|payload| {
            let message = panic::message(payload);
            tracing::error!(what = "interrupt", %message, "panic on an spdk_thread");
            if let Some(handle) = self.handle.get() {
                handle.revoke_if_idle(Gone::Closed);
            }
            PollStatus::Busy
        });
        if self.has_ended.get() {
            self.drop_closure();
        }
        status
    }

    fn drop_closure(&self) {
        if let Some(closure) = self.closure.take() {
            run_caught("drop of an interrupt", || drop(closure));
        }
    }
}

impl Drop for Run {
    /// One that SPDK did not take.
    fn drop(&mut self) {
        self.drop_closure();
    }
}

impl Describe for Interrupt {
    fn describe(&self) -> String {
        InterruptObject::label(self.0.extra())
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.0.extra();
        f.debug_struct("Interrupt")
            .field("name", &run.name)
            .field("fd", &run.fd)
            .finish()
    }
}
