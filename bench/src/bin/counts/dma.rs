//! The allocations of SPDK's memory.
#![allow(unsafe_code)] // Calls `c/dma_calls.c`.

unsafe extern "C" {
    // SAFETY: it reads a counter.
    safe fn dma_calls() -> u64;
}

/// How often anybody, SPDK included, has asked for SPDK's memory.
pub(crate) fn calls() -> u64 {
    dma_calls()
}
