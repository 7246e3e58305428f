//! The C program `c/ping_pong_c.c`, which brings its own `main`: see `build.rs`.
#![no_main]
#![deny(unsafe_code)]

// Has cargo link SPDK.
use spdk_sys as _;
