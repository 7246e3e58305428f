//! Signals that interrupt the test's own OS thread.
#![allow(unsafe_code)] // Installs a signal handler, and signals an OS thread.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

static HANDLER: OnceLock<fn()> = OnceLock::new();

extern "C" fn handler(_: c_int) {
    if let Some(handler) = HANDLER.get() {
        handler();
    }
}

/// Calls `f` in the handler of SIGUSR1, with which another OS thread interrupts this one `count` times.
///
/// # Panics
///
/// When it is called a second time.
pub fn interrupt(count: usize, f: fn()) -> JoinHandle<()> {
    assert!(HANDLER.set(f).is_ok(), "there is one handler");
    // SAFETY: the handler is installed once, and does what a signal handler may. This OS thread, the
    // process's main one of a test, lives as long as the one that signals it.
    let target = unsafe {
        libc::signal(libc::SIGUSR1, handler as *const () as libc::sighandler_t);
        libc::pthread_self()
    };
    std::thread::spawn(move || {
        for _ in 0..count {
            // SAFETY: as above.
            unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
            std::thread::sleep(Duration::from_micros(20));
        }
    })
}
