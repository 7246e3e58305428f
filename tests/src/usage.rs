//! What the process uses.
#![allow(unsafe_code)] // Calls `getrusage`.

use std::mem::MaybeUninit;
use std::time::Duration;

/// The CPU time of all OS threads of this process.
pub fn cpu_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it fills the struct, in which zeros are valid too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |time: libc::timeval| {
        let (seconds, micros) = (time.tv_sec as u64, time.tv_usec as u64);
        Duration::from_micros(seconds * 1_000_000 + micros)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}
