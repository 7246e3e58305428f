//! The core of the `spdk` crate under model checkers.
//!
//! The tests of this package compile the very files of the core (`#[path = "../../spdk/src/..."]`) in a crate whose
//! other modules are theirs: C, SPDK's queues and the scheduler are played by a script. So a test can take
//! every turn that a program could take, which no test on a device can, and needs neither SPDK nor a device.
#![deny(unsafe_code)]

mod explore;

pub use explore::{Choices, explore};
