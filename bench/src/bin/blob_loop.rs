//! The C program `c/blob_loop.c`, which brings its own `main`: see `build.rs`.
#![no_main]
#![deny(unsafe_code)]

// Has cargo link SPDK.
use spdk_sys as _;
