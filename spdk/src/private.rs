//! What generated code uses. Not part of the public API: it changes without notice.

pub use spdk_derive::api;
pub use spdk_sys as sys;
pub use std::future::Future;

pub use crate::bdev_io::{BdevIoDone, BdevIoLive, LiveIo};
#[cfg(feature = "blob")]
pub use crate::blob::rt as blob;
pub use crate::buf::{DmaBuf, Drain};
pub use crate::call::call;
pub use crate::channel::{IoChannel, IoChannelObject};
pub use crate::each::{each, on_app_thread};
pub use crate::errno::Errno;
pub use crate::error::{At, Describe, Error, Fault, Gone, Place, Result};
pub use crate::events::{EventHub, Events, emit};
pub use crate::handle::{Handle, Hold, Kept, Object, Subject, check_made_of};
pub use crate::io_id::{BdevIo, NvmeIo};
pub use crate::iovecs::{IoVecs, check_len, check_multiple, total_len};
pub use crate::local::{Caller, Here, begin};
pub use crate::mem::Loan;
#[cfg(feature = "nvme")]
pub use crate::nvme::rt as nvme;
pub use crate::op::{Callback, Complete, Submitted, bdev_rc, complete, op, status};
pub use crate::records::zeroes;
pub use crate::text::{CStrings, cstring, string};
pub use crate::{
    __assert_not_send as assert_not_send, __assert_not_send_sync as assert_not_send_sync,
    __assert_not_sync as assert_not_sync, __assert_send as assert_send,
    __assert_sync as assert_sync,
};
