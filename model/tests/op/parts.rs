//! What an operation owns. Each part says what is wrong when it is dropped.

use crate::event;
use crate::world::{self, Operation, Point};

/// All that an operation is made of. A future that was not polled has it.
pub(crate) struct Parts {
    pub(crate) held: Held,
    pub(crate) in_submit: InSubmit,
    pub(crate) in_finish: InFinish,
}

impl Parts {
    pub(crate) fn new(operation: usize) -> Self {
        let intact = INTACT;
        Parts {
            held: Held { operation, intact },
            in_submit: InSubmit(operation),
            in_finish: InFinish(operation),
        }
    }
}

/// What C may touch.
pub(crate) struct Held {
    pub(crate) operation: usize,
    pub(crate) intact: u64,
}

pub(crate) const INTACT: u64 = 0x5afe_5afe_5afe_5afe;

impl Drop for Held {
    fn drop(&mut self) {
        world::require(self.intact == INTACT, "something else is dropped as `held`");
        let (twice, in_c) = world::with(|world| {
            let operation = &mut world.operations[self.operation];
            let twice = std::mem::replace(&mut operation.held_dropped, true);
            (twice, operation.is_in_c())
        });
        world::require(!twice, "`held` is dropped twice");
        world::require(!in_c, "`held` is dropped while C has it");
        event::user_code(Point::HeldDrop);
        self.intact = 0;
    }
}

/// In the `submit` closure.
pub(crate) struct InSubmit(pub(crate) usize);

impl Drop for InSubmit {
    fn drop(&mut self) {
        let (twice, runs) = world::with(|world| {
            let operation = &mut world.operations[self.0];
            let twice = std::mem::replace(&mut operation.submit_dropped, true);
            (twice, operation.in_call)
        });
        world::require(!twice, "`submit` is dropped twice");
        world::require(!runs, "`submit` is dropped while it runs");
        event::user_code(Point::SubmitDrop);
    }
}

/// In the `finish` closure.
pub(crate) struct InFinish(pub(crate) usize);

impl Drop for InFinish {
    fn drop(&mut self) {
        let (twice, in_c) = world::with(|world| {
            let operation = &mut world.operations[self.0];
            let twice = std::mem::replace(&mut operation.finish_dropped, true);
            (twice, operation.is_in_c())
        });
        world::require(!twice, "`finish` is dropped twice");
        world::require(!in_c, "`finish` is dropped before C is done");
        event::user_code(Point::FinishDrop);
    }
}

/// A result that has to be given back.
#[derive(Debug)]
pub(crate) struct Resource(usize);

impl Resource {
    pub(crate) fn make(operation: usize) -> Self {
        world::with(|world| world.operations[operation].resource_made = true);
        Resource(operation)
    }

    /// The user has it, and gives it back.
    pub(crate) fn take(self) {
        world::with(|world| world.operations[self.0].resource_dropped = true);
        std::mem::forget(self);
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        let sound = world::with(|world| {
            let Operation {
                resource_made,
                resource_dropped,
                ..
            } = &mut world.operations[self.0];
            *resource_made && !std::mem::replace(resource_dropped, true)
        });
        world::require(sound, "a result is dropped twice, or was never made");
        event::user_code(Point::ResultDrop);
    }
}
