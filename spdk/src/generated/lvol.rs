// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Lvol stores and their volumes. Wrappers of `spdk/lvol.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use crate::__private::{self as rt};
use crate::lvol::LvolStore;
use crate::lvol::Lvol;

rt::assert_send!(LvolStore);

rt::assert_sync!(LvolStore);

rt::assert_not_send_sync!(Lvol);
