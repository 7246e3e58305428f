//! The span of an I/O, which the user's subscriber is told of.

use std::rc::Rc;

use crate::error::{Fault, Place};
use crate::event::user_code;
use crate::world::{self, Point, Share, State, require};

pub(crate) fn are_wanted() -> bool {
    world::with(|world| world.limits.watched)
}

#[allow(unreachable_pub, reason = "public in its own crate")]
pub struct Watch {
    io: usize,
}

impl Watch {
    pub(crate) fn open<'a>(place: &impl Place<'a>) -> Option<Rc<Watch>> {
        are_wanted().then(|| {
            let io = place.at().io();
            let spans = world::with(|world| {
                world.ios[io].spans += 1;
                world.ios[io].spans
            });
            require(spans == 1, "a span is opened twice");
            user_code(Point::Span);
            Rc::new(Watch { io })
        })
    }

    #[allow(clippy::unused_self, reason = "the count is the crate's")]
    pub(crate) fn retried(&self) {}

    pub(crate) fn end(&self, fault: Option<&Fault>) {
        let told = fault.map_or(Ok(()), |fault| Err(*fault));
        let result = world::with(|world| world.ios[self.io].result);
        require(result == Some(told), "the span is told another result");
        self.end_unsubmitted();
        // The callback goes on.
        world::with(|world| {
            let is_left = world.queue_of(self.io).share() == Share::Dropped;
            if world.ios[self.io].state() == State::Reported && !is_left {
                world.end(self.io);
            }
        });
    }

    pub(crate) fn end_unsubmitted(&self) {
        let spans = world::with(|world| {
            world.ios[self.io].spans -= 1;
            world.ios[self.io].spans
        });
        require(spans == 0, "a span ends twice");
        user_code(Point::Span);
    }

    #[allow(clippy::unused_self, reason = "the field is the crate's")]
    pub(crate) fn abandoned(&self) {
        user_code(Point::Span);
    }
}
