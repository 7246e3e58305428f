//! The error of an operation, as far as the core makes one.

use crate::errno::Errno;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault(pub(crate) Errno);

impl Fault {
    pub(crate) fn errno(errno: Errno) -> Self {
        Fault(errno)
    }
}

/// The call of an operation.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) operation: usize,
}

pub(crate) trait Place<'a> {
    fn at(&self) -> At;

    fn told(&self, fault: Fault) -> Error {
        let operation = self.at().operation;
        Error { fault, operation }
    }
}

impl<F: Fn() -> At> Place<'_> for F {
    fn at(&self) -> At {
        self()
    }
}

/// What the future of a call makes of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Error {
    pub(crate) fault: Fault,
    pub(crate) operation: usize,
}
