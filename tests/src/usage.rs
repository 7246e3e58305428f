//! What the process uses, and could use.
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

/// The cores of the machine, also those that the current OS thread may not run on.
pub fn cores() -> usize {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    // "cpu0 ..", after the sum of all, "cpu  ..".
    let of_cores = text.lines().filter(|line| {
        let number = line.strip_prefix("cpu");
        number.is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()))
    });
    of_cores.count()
}
