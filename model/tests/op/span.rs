//! The span of an operation, which the user's subscriber is told of.

use std::rc::Rc;

use crate::error::{Fault, Place};
use crate::event;
use crate::world::{self, Point, require};

pub(crate) fn are_wanted() -> bool {
    world::with(|world| world.limits.watched)
}

#[allow(unreachable_pub, reason = "public in its own crate")]
pub struct Watch {
    operation: usize,
}

impl Watch {
    pub(crate) fn open<'a>(place: &impl Place<'a>) -> Option<Rc<Watch>> {
        are_wanted().then(|| {
            let operation = place.at().operation;
            let twice = world::with(|world| {
                std::mem::replace(&mut world.operations[operation].span_opened, true)
            });
            require(!twice, "a span is opened twice");
            event::user_code(Point::Span);
            Rc::new(Watch { operation })
        })
    }

    #[allow(clippy::unused_self, reason = "the count is the crate's")]
    pub(crate) fn retried(&self) {}

    pub(crate) fn end(&self, fault: Option<&Fault>) {
        let outcome = world::with(|world| world.operations[self.operation].outcome);
        let told = fault.map_or(Ok(()), |fault| Err(*fault));
        require(outcome == Some(told), "the span is told another outcome");
        self.ended();
    }

    pub(crate) fn end_unsubmitted(&self) {
        self.ended();
    }

    #[allow(clippy::unused_self, reason = "the field is the crate's")]
    pub(crate) fn abandoned(&self) {
        event::user_code(Point::Span);
    }

    fn ended(&self) {
        let twice = world::with(|world| {
            std::mem::replace(&mut world.operations[self.operation].span_ended, true)
        });
        require(!twice, "a span ends twice");
        event::user_code(Point::Span);
    }
}
