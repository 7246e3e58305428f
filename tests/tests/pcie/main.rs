//! NVMe controllers of PCI Express, in the virtual machine of `cargo xtask e2e-pcie`.
//!
//! The machine is described in `xtask/src/pcie/machine.rs`. It runs one test at a time: they share the controllers.
#![allow(missing_docs)]

mod admin;
mod bdev;
mod blobcli;
mod data;
mod elsewhere;
mod hotplug;
mod identify;
mod io_queue;
mod linux;
mod manage;
mod metadata;
mod remote;
mod reset;
mod zones;
