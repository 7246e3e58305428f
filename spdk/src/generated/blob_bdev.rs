// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Bdevs for blobstores. Wrappers of `spdk/blob_bdev.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

