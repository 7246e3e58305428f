//! What the integration tests share: patterns of bytes, waiting with a deadline, JSON-RPC, and
//! SPDK's own counts of what is in use.
#![deny(unsafe_code)]

pub mod census;
pub mod cloned;
pub mod counters;
pub mod device;
pub mod dma;
pub mod domain;
pub mod errors;
pub mod failing;
pub mod foreign;
pub mod forgotten;
pub mod machine;
pub mod memory;
pub mod model;
pub mod nvme;
pub mod nvmf;
pub mod operations;
pub mod own_thread;
pub mod pattern;
pub mod poller;
pub mod power_cuts;
pub mod random;
pub mod rpc;
pub mod second;
pub mod signal;
pub mod stress;
pub mod traces;
pub mod turns;
pub mod usage;
pub mod wait;

pub use counters::Counters;
pub use device::Device;
pub use errors::{assert_errno, kind};
pub use forgotten::forget;
pub use wait::{poll_once, until};

/// The examples of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
