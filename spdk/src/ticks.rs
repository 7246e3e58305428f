//! SPDK's clock.
#![allow(unsafe_code)] // Two functions of SPDK's environment without arguments.

use crate::error::{ErrorKind, Result};
use crate::sys;

/// The time now in ticks of SPDK's clock, which never goes backwards: a few nanoseconds to read, so
/// it can time every I/O.
///
/// On x86 it is the time stamp counter, which all cores share. It runs before the environment is up,
/// and after its end; how long a tick is, [`ticks_hz`] knows once the environment has been up.
#[doc(alias = "spdk_get_ticks")]
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: it reads a counter of the CPU, and may be called at any time on any OS thread.
    unsafe { sys::spdk_get_ticks() }
}

/// How many [`ticks`] are one second; never 0.
///
/// # Errors
///
/// [`ErrorKind::NotInitialised`] before the environment has measured it, which it does as it
/// starts.
#[doc(alias = "spdk_get_ticks_hz")]
#[inline]
pub fn ticks_hz() -> Result<u64> {
    // SAFETY: it reads a number, which is 0 until the environment has written it as it started.
    match unsafe { sys::spdk_get_ticks_hz() } {
        0 => Err(ErrorKind::NotInitialised {
            operation: "ticks_hz",
        }
        .into()),
        hz => Ok(hz),
    }
}
