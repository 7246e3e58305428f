//! Buffers and tags. Each says what is wrong when it is dropped.

use std::ffi::c_void;
use std::ptr;

use crate::error::Fault;
use crate::event::user_code;
use crate::world::{self, Point, require};

/// A buffer of an I/O, which may have had others.
#[derive(Debug)]
pub(crate) struct DmaBuf {
    io: usize,
    number: usize,
    len: usize,
}

impl DmaBuf {
    /// The next one of this I/O.
    pub(crate) fn new(io: usize, len: usize) -> Self {
        let number = world::with(|world| {
            let io = &mut world.ios[io];
            io.bufs += 1;
            io.buf = Some(io.bufs);
            io.is_long = len > 1;
            io.bufs
        });
        DmaBuf { io, number, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn fill_in_place(&mut self) -> Result<*mut c_void, Fault> {
        Ok(memory(self.io, self.number))
    }

    pub(crate) fn drain_in_place(&mut self) -> Result<*mut c_void, Fault> {
        self.fill_in_place()
    }
}

/// Where the buffer of an I/O is.
pub(crate) fn memory(io: usize, number: usize) -> *mut c_void {
    ptr::without_provenance_mut(0x1000 * (io + 1) + number)
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        let (in_c, is_its) = world::with(|world| {
            let io = &mut world.ios[self.io];
            let is_its = io.buf == Some(self.number);
            io.buf = None;
            (io.state().is_in_c(), is_its)
        });
        require(is_its, "a buffer is dropped twice");
        require(!in_c, "a buffer is dropped while C has it");
    }
}

/// The tag of an I/O.
#[derive(Debug)]
pub(crate) struct Tag(pub(crate) usize);

impl Drop for Tag {
    fn drop(&mut self) {
        let (twice, may_go) = world::with(|world| {
            let may_go = world.may_go(self.0);
            let io = &mut world.ios[self.0];
            (std::mem::replace(&mut io.tag_dropped, true), may_go)
        });
        require(!twice, "a tag is dropped twice");
        require(may_go, "a tag is dropped that is not to go");
        user_code(Point::TagDrop);
    }
}
