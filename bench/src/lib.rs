//! What the programs that `cargo xtask bench` measures share: their switches, and how they report.
#![deny(unsafe_code)]

pub mod blob;
pub mod busy;
pub mod options;
pub mod report;
pub mod time;
pub mod workload;
