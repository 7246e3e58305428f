//! How much of SPDK's memory is in use.
#![allow(unsafe_code)] // Asks DPDK's allocator for its statistics.

use std::ffi::{c_int, c_uint};

#[repr(C)]
#[derive(Default)]
struct SocketStats {
    total: usize,
    free: usize,
    greatest_free: usize,
    free_count: c_uint,
    alloc_count: c_uint,
    allocated: usize,
}

unsafe extern "C" {
    fn rte_malloc_get_socket_stats(socket: c_int, stats: *mut SocketStats) -> c_int;
}

/// How many pieces of SPDK's memory are allocated, and how many bytes they have. SPDK has to be up.
pub fn used() -> (u64, u64) {
    let mut used = (0, 0);
    for socket in 0..8 {
        let mut stats = SocketStats::default();
        // SAFETY: DPDK's function fills the structure that it is given, which is declared as in
        // rte_malloc.h.
        let rc = unsafe { rte_malloc_get_socket_stats(socket, &mut stats) };
        if rc == 0 {
            used.0 += u64::from(stats.alloc_count);
            used.1 += stats.allocated as u64;
        }
    }
    used
}

/// How many pieces of SPDK's memory are allocated. SPDK has to be up.
pub fn pieces() -> u32 {
    used().0 as u32
}
