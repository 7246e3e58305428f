// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! spdk_threads and I/O channels. Wrappers of `spdk/thread.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use crate::__private::{self as rt};
use crate::SpdkThread;
use crate::IoChannel;

rt::assert_not_send_sync!(SpdkThread);

rt::assert_not_send_sync!(IoChannel);
