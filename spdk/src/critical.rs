//! Messages from signal handlers.
//!
//! SPDK has one place for a critical message in each spdk_thread, and aborts when it is taken; its own
//! signal handler takes the app thread's. So there is another place here, and a poller that looks at it
//! while anybody could send.
#![allow(unsafe_code)] // Keeps the address of a function in an atomic.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr};

use crate::error::{At, Fault, Result};
use crate::interrupt::{self, FdEvents, Interrupt};
use crate::local::run_caught;
use crate::poller::{PollStatus, Poller};
use crate::{Errno, ThreadHandle};

/// Sends an spdk_thread critical messages, from any OS thread, also in a signal handler; see
/// [`ThreadHandle::critical_sender`].
///
/// While there is one, or a clone of it, a poller of the spdk_thread looks for its message.
#[derive(Clone)]
pub struct CriticalSender(Arc<Slot>);

struct Slot {
    /// The message: null, or the address of a `fn()`.
    message: AtomicPtr<()>,
    has_ended: AtomicBool,
    /// An eventfd that wakes a reactor in interrupt mode.
    bell: Option<File>,
}

/// Why [`CriticalSender::send`] has sent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The message before has not begun to run.
    #[error("the critical message before has not run yet")]
    Pending,
    /// The spdk_thread has ended.
    #[error("the spdk_thread has ended")]
    Ended,
}

impl ThreadHandle {
    /// Makes a sender of messages that the spdk_thread runs in its next poll, whatever other messages
    /// there are, and that a signal handler may send.
    ///
    /// # Errors
    ///
    /// As for [`ThreadHandle::call`] and [`PollerBuilder::register`](crate::PollerBuilder::register).
    #[doc(alias = "spdk_thread_send_critical_msg")]
    pub async fn critical_sender(&self) -> Result<CriticalSender> {
        self.call(CriticalSender::here).await?
    }
}

impl CriticalSender {
    /// Runs `f` on the spdk_thread in its next poll. It neither allocates nor takes a lock.
    ///
    /// There is one place for a message in each sender and its clones, so `f` is a function without
    /// captures: it finds in statics what it has to do. A panic of `f` is reported through `tracing`.
    ///
    /// # Errors
    ///
    /// [`NotSent::Pending`] if the message before has not begun to run, [`NotSent::Ended`] if the spdk_thread
    /// has ended. `f` does not run either if the spdk_thread ends before its turn.
    pub fn send(&self, f: fn()) -> Result<(), NotSent> {
        if self.0.has_ended.load(Acquire) {
            return Err(NotSent::Ended);
        }
        // Release: who takes it sees what the sender did before.
        let (message, none) = (f as *mut (), ptr::null_mut());
        let place = &self.0.message;
        match place.compare_exchange(none, message, Release, Relaxed) {
            Ok(_) => {
                self.0.ring();
                Ok(())
            }
            Err(_) => Err(NotSent::Pending),
        }
    }

    /// One for the current spdk_thread.
    fn here() -> Result<Self> {
        let at = At::free("ThreadHandle::critical_sender");
        let eventfd = match interrupt::is_enabled() {
            true => Some(bell().map_err(|error| {
                let code = error.raw_os_error().unwrap_or(libc::EMFILE);
                Fault::errno(Errno::from_code(code)).at(at)
            })?),
            false => None,
        };
        let (bell, waited_for) = eventfd.unzip();
        let slot = Arc::new(Slot {
            message: AtomicPtr::default(),
            has_ended: AtomicBool::new(false),
            bell,
        });
        let sender = CriticalSender(slot.clone());
        let watch = Rc::new(Watch {
            slot,
            handles: RefCell::default(),
        });
        let look = watch.clone();
        let poller = Poller::builder().name("spdk-rs critical messages");
        let poller = poller.register(move || look.look())?;
        if let Some(eventfd) = waited_for {
            poller.on_interrupt_mode(|_| {})?; // the interrupt tells
            let look = watch.clone();
            let look = move |_: std::os::fd::BorrowedFd<'_>| look.look();
            let name = "spdk-rs critical messages";
            let interrupt = Interrupt::register(name, eventfd, FdEvents::READABLE, look)?;
            watch.handles.borrow_mut().1 = Some(interrupt);
        }
        watch.handles.borrow_mut().0 = Some(poller);
        Ok(sender)
    }
}

/// An eventfd, and another file descriptor of it.
fn bell() -> io::Result<(File, OwnedFd)> {
    let eventfd = interrupt::eventfd()?;
    let waited_for = eventfd.try_clone()?;
    Ok((eventfd.into(), waited_for))
}

impl Drop for CriticalSender {
    fn drop(&mut self) {
        self.0.ring(); // it may be the last one
    }
}

impl Slot {
    fn take(&self) -> Option<fn()> {
        if self.message.load(Relaxed).is_null() {
            return None;
        }
        let message = self.message.swap(ptr::null_mut(), Acquire);
        // SAFETY: null, or the address of a `fn()`, which `send` has put there.
        (!message.is_null()).then(|| unsafe { std::mem::transmute::<*mut (), fn()>(message) })
    }

    fn ring(&self) {
        if let Some(mut bell) = self.bell.as_ref() {
            // It fails if the counter would overflow only.
            let _: io::Result<usize> = bell.write(&1_u64.to_ne_bytes());
        }
    }
}

/// What looks for messages: a poller and, in interrupt mode, an interrupt. Both have a reference to it, so
/// that it goes with them.
struct Watch {
    slot: Arc<Slot>,
    handles: RefCell<(Option<Poller>, Option<Interrupt>)>,
}

impl Watch {
    fn look(&self) -> PollStatus {
        if let Some(mut bell) = self.slot.bell.as_ref() {
            // Nothing to read is an error too, and no harm.
            let _: io::Result<usize> = bell.read(&mut [0; 8]);
        }
        let message = self.slot.take();
        if Arc::strong_count(&self.slot) == 1 {
            let handles = self.handles.take();
            drop(handles);
        }
        match message {
            Some(f) => {
                run_caught("critical message", f);
                PollStatus::Busy
            }
            None => PollStatus::Idle,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.slot.has_ended.store(true, Release);
    }
}

impl fmt::Debug for CriticalSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CriticalSender").finish_non_exhaustive()
    }
}
