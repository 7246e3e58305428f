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

/// Sends this process a SIGTERM, which has been handled when this returns.
pub fn terminate() {
    // SAFETY: without arguments that could be wrong; the OS thread that raises a signal handles it.
    unsafe { libc::raise(libc::SIGTERM) };
}

static OLDER: OnceLock<libc::sigaction> = OnceLock::new();

extern "C" fn outer(signal: c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    handler(signal);
    if let Some(older) = OLDER.get()
        && ![libc::SIG_DFL, libc::SIG_IGN].contains(&older.sa_sigaction)
    {
        // SAFETY: it is the handler of this signal that was there before, and one without SA_SIGINFO.
        unsafe {
            let older: extern "C" fn(c_int) = std::mem::transmute(older.sa_sigaction);
            older(signal);
        }
    }
}

/// Calls `f` in the handler of SIGTERM, which then calls the one before it, as Tokio's does.
///
/// # Panics
///
/// When it is called a second time.
pub fn on_terminate(f: fn()) {
    assert!(HANDLER.set(f).is_ok(), "there is one handler");
    // SAFETY: zeroes are the default handler; the one that is installed does what a signal handler may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut older = action;
        libc::sigaction(libc::SIGTERM, std::ptr::null(), &mut older);
        assert!(OLDER.set(older).is_ok(), "there is one handler");
        action.sa_sigaction = outer as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGTERM, &action, std::ptr::null_mut());
    }
}
