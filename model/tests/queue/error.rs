//! The errors of I/Os, as far as the library's files make them.

use crate::errno::Errno;
use crate::world::{self, require};

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault(pub(crate) Errno);

/// Of an I/O on the wrong spdk_thread.
pub(crate) const WRONG_THREAD: Fault = Fault(Errno::EPERM);
/// Of one that has no buffer, or one of another size.
pub(crate) const INVALID: Fault = Fault(Errno::EINVAL);

impl Fault {
    pub(crate) fn errno(errno: Errno) -> Self {
        Fault(errno)
    }

    pub(crate) fn invalid(_: &str) -> Self {
        INVALID
    }

    pub(crate) fn at(self, at: At<'_>) -> Error {
        let io = at.io();
        world::failed(io, self);
        Error { io, fault: self }
    }
}

pub(crate) trait Describe {}

/// The call of an I/O.
pub(crate) struct At<'a> {
    offset: u64,
    _object: &'a dyn Describe,
}

impl<'a> At<'a> {
    pub(crate) fn new(_: &'static str, object: &'a dyn Describe) -> Self {
        At {
            offset: 0,
            _object: object,
        }
    }

    pub(crate) fn blocks(self, offset: u64, _: u64) -> Self {
        At { offset, ..self }
    }

    pub(crate) fn io(&self) -> usize {
        world::io_at(self.offset)
    }
}

pub(crate) trait Place<'a> {
    fn at(&self) -> At<'a>;
}

impl<'a, F: Fn() -> At<'a>> Place<'a> for F {
    fn at(&self) -> At<'a> {
        self()
    }
}

/// The error of an I/O, which is dropped once.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) io: usize,
    pub(crate) fault: Fault,
}

/// What a result says, without the error itself.
pub(crate) fn told(result: &Result<()>) -> std::result::Result<(), Fault> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(error.fault),
    }
}

impl Drop for Error {
    fn drop(&mut self) {
        let left = world::with(|world| {
            let io = world.ios.get_mut(self.io)?;
            io.errors -= 1;
            Some(io.errors)
        });
        require(left == Some(0), "an error is dropped twice");
    }
}
