//! The error of an operation, as far as `op.rs` makes one.

use crate::errno::Errno;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault(pub(crate) Errno);

impl Fault {
    pub(crate) fn errno(errno: Errno) -> Self {
        Fault(errno)
    }
}
