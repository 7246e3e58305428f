// @generated from spdk-api.ron by `cargo xtask codegen`. Do not edit.
//! Wrappers that are made from `spdk-api.ron`, one module per SPDK header.

#[rustfmt::skip]
pub mod thread;
#[rustfmt::skip]
pub mod bdev;
#[rustfmt::skip]
pub mod bdev_zone;
#[cfg(feature = "blob")]
#[rustfmt::skip]
pub mod blob;
#[cfg(feature = "blob")]
#[rustfmt::skip]
pub mod blob_bdev;
#[cfg(feature = "blob")]
#[rustfmt::skip]
pub mod lvol;
#[cfg(feature = "nvme")]
#[rustfmt::skip]
pub mod nvme;
#[cfg(feature = "nvme")]
#[rustfmt::skip]
pub mod nvme_zns;
#[cfg(feature = "nvmf")]
#[rustfmt::skip]
pub mod nvmf;
#[rustfmt::skip]
pub mod markers;
