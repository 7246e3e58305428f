//! Queues of bdevs and of blobs, and what is taken out of them, as the script uses both.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use crate::act;
use crate::buf::{DmaBuf, Tag};
use crate::error::Error;
use crate::library::io_queue::{Done, EndedIo};
use crate::user::Captured;
use crate::world::Kind;
use crate::{IoQueue, IoTarget};

pub(crate) trait Owner {
    fn submit(&mut self, kind: Kind, offset: u64, buf: Option<DmaBuf>, tag: Tag);
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool>;
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Done<Tag>>>;
    fn pop(&mut self) -> Option<Box<dyn Taken + '_>>;
    fn for_each_ended(
        &mut self,
        captured: Captured,
        of: usize,
    ) -> Pin<Box<dyn Future<Output = ()> + '_>>;
    fn len(&self) -> usize;
}

impl<D: IoTarget> Owner for IoQueue<Tag, D> {
    fn submit(&mut self, kind: Kind, offset: u64, buf: Option<DmaBuf>, tag: Tag) {
        match (kind, buf) {
            (Kind::Read, Some(buf)) => self.read_blocks(buf, offset, 1, tag),
            _ => self.unmap_blocks(offset, 1, tag),
        }
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        pin!(self.ended()).poll(cx)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Done<Tag>>> {
        pin!(self.next()).poll(cx)
    }

    fn pop(&mut self) -> Option<Box<dyn Taken + '_>> {
        let io = IoQueue::pop(self)?;
        Some(Box::new(io))
    }

    fn for_each_ended(
        &mut self,
        captured: Captured,
        of: usize,
    ) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        match of {
            0 => Box::pin(IoQueue::for_each_ended(self, move |io| {
                act::in_closure(&captured, Box::new(io));
            })),
            // A closure of another type.
            _ => Box::pin(IoQueue::for_each_ended(self, move |io| {
                act::in_closure(&captured, Box::new(io));
            })),
        }
    }

    fn len(&self) -> usize {
        IoQueue::len(self)
    }
}

/// An I/O that has ended.
pub(crate) trait Taken {
    fn tag(&self) -> usize;
    fn error(&self) -> Option<&Error>;
    fn buf(&mut self) -> &mut Option<DmaBuf>;
    fn submit(self: Box<Self>, kind: Kind, offset: u64);
    fn into_done(self: Box<Self>) -> Done<Tag>;
    fn forget(self: Box<Self>);
}

impl<D: IoTarget> Taken for EndedIo<'_, Tag, D> {
    fn tag(&self) -> usize {
        EndedIo::tag(self).0
    }

    fn error(&self) -> Option<&Error> {
        EndedIo::error(self)
    }

    fn buf(&mut self) -> &mut Option<DmaBuf> {
        EndedIo::buf(self)
    }

    fn submit(self: Box<Self>, kind: Kind, offset: u64) {
        match kind {
            Kind::Read => self.read_blocks(offset, 1),
            _ => self.unmap_blocks(offset, 1),
        }
    }

    fn into_done(self: Box<Self>) -> Done<Tag> {
        EndedIo::into_done(*self)
    }

    fn forget(self: Box<Self>) {
        std::mem::forget(*self);
    }
}
