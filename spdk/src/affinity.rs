//! The cores that the OS thread of an application may run on afterwards: DPDK pins it to that of its reactor.
#![allow(unsafe_code)] // Reads and sets them.

use std::mem::{self, MaybeUninit};

/// The cores of the current OS thread at some time.
pub(crate) struct Affinity(libc::cpu_set_t);

impl Affinity {
    /// `None` if there are more than glibc has room for.
    pub(crate) fn now() -> Option<Self> {
        let mut cores = MaybeUninit::zeroed();
        // SAFETY: it has the size that is said, and zeroes are a set without cores.
        unsafe {
            let size = mem::size_of::<libc::cpu_set_t>();
            let rc = libc::sched_getaffinity(0, size, cores.as_mut_ptr());
            (rc == 0).then(|| Affinity(cores.assume_init()))
        }
    }

    /// For the OS thread that [`Affinity::now`] was called on.
    pub(crate) fn restore(&self) {
        // SAFETY: it has the size that is said. Cores that are gone since are left out, and without any left it stays as it is.
        unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &self.0) };
    }
}
