//! SIGINT and SIGTERM after the end of the application, of which SPDK leaves its handler behind. That tells the app thread,
//! and crashes without one.
#![allow(unsafe_code)] // Reads and sets the handlers of signals, and calls SPDK's.

use std::ffi::c_int;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const SIGNALS: [c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// SPDK's handler of both, or 0.
static OF_SPDK: AtomicUsize = AtomicUsize::new(0);

/// The handlers of both at some time.
pub(crate) struct Handlers([libc::sigaction; 2]);

impl Handlers {
    pub(crate) fn now() -> Self {
        Handlers(SIGNALS.map(|signal| {
            let mut now = MaybeUninit::zeroed();
            // SAFETY: it is written as a whole, or stays as it is: zeroes are the default handler.
            unsafe {
                libc::sigaction(signal, ptr::null(), now.as_mut_ptr());
                now.assume_init()
            }
        }))
    }

    /// SPDK's handler, if that has taken the place of these: it is the same for both, and takes the signal's number only.
    fn of_spdk(&self) -> Option<usize> {
        let [before, _] = &self.0;
        let Handlers([int, term]) = Handlers::now();
        let handler = int.sa_sigaction;
        let is_one = handler == term.sa_sigaction
            && ![libc::SIG_DFL, libc::SIG_IGN, before.sa_sigaction].contains(&handler)
            && (int.sa_flags | term.sa_flags) & libc::SA_SIGINFO == 0;
        is_one.then_some(handler)
    }

    /// To be called with those from before the start when SPDK has started.
    pub(crate) fn started(&self) {
        OF_SPDK.store(self.of_spdk().unwrap_or(0), SeqCst);
    }

    /// Puts these in the place of SPDK's, if that is still there.
    pub(crate) fn restore(&self) {
        let of_spdk = match OF_SPDK.load(SeqCst) {
            0 => self.of_spdk(), // it did not start
            handler => Some(handler),
        };
        let now = Handlers::now();
        for ((signal, before), now) in SIGNALS.iter().zip(&self.0).zip(&now.0) {
            if of_spdk == Some(now.sa_sigaction) {
                // SAFETY: it was the handler before.
                unsafe { libc::sigaction(*signal, before, ptr::null_mut()) };
            }
        }
    }
}

/// Has SPDK's handler do nothing from now on, wherever it is called from: it has told the app thread then. To be called on that,
/// when it ends.
pub(crate) fn spend() {
    let handler = OF_SPDK.load(SeqCst);
    if handler != 0 {
        // SAFETY: a handler without SA_SIGINFO, which may be called at any time: the app thread is there.
        unsafe {
            let handler: extern "C" fn(c_int) = mem::transmute(handler);
            handler(libc::SIGTERM);
        }
    }
}
