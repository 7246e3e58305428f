//! The error of an operation, as far as the core makes one.

use crate::errno::Errno;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault(pub(crate) Errno);

impl Fault {
    pub(crate) fn errno(errno: Errno) -> Self {
        Fault(errno)
    }
}

/// What the future of a call makes of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Error {
    pub(crate) fault: Fault,
    pub(crate) operation: usize,
}
