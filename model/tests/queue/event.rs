//! What can happen.

use std::ffi::c_int;

use crate::c;
use crate::local::{ELSEWHERE, HOME, Local};
use crate::user;
use crate::waker::Kind as WakerKind;
use crate::world::{self, Hand, Kind, Point, State, World};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Submit {
        queue: usize,
        kind: Kind,
    },
    /// With a buffer of another size, or on another spdk_thread.
    SubmitWrong {
        queue: usize,
        elsewhere: bool,
    },
    Poll {
        queue: usize,
        with: With,
    },
    PollElsewhere {
        queue: usize,
    },
    Pop {
        queue: usize,
    },
    GoOnWithKept {
        queue: usize,
    },
    StartEach {
        queue: usize,
        of: usize,
    },
    DropEach {
        queue: usize,
    },
    ForgetEach {
        queue: usize,
    },
    Drop {
        queue: usize,
    },
    Forget {
        queue: usize,
    },
    Complete {
        io: usize,
        rc: c_int,
    },
    FreeIo {
        io: usize,
    },
    /// The spdk_thread does what was left to it.
    Turn,
}

/// The waker of a poll.
#[derive(Clone, Copy, Debug)]
pub(crate) enum With {
    /// That of the poll before.
    Same,
    New(WakerKind),
}

/// Every event that a program and C could cause now.
pub(crate) fn possible(world: &World) -> Vec<Event> {
    let mut events = Vec::new();
    let more = world.ios.len() < world.limits.ios;
    for (queue, it) in world.queues.iter().enumerate() {
        match it.hand {
            Hand::Queue => {
                if more {
                    let kinds = [Kind::Read, Kind::Unmap];
                    events.extend(kinds.map(|kind| Event::Submit { queue, kind }));
                }
                if more && world.limits.odd {
                    let wrong = [false, true];
                    let wrong = wrong.map(|elsewhere| Event::SubmitWrong { queue, elsewhere });
                    events.extend(wrong);
                }
                if !it.ended.is_empty() {
                    events.push(Event::Pop { queue });
                }
                for of in 0..=usize::from(!world.eaches.is_empty()) {
                    if world.eaches.len() < world.limits.eaches {
                        events.push(Event::StartEach { queue, of });
                    }
                }
                events.extend([Event::Drop { queue }, Event::Forget { queue }]);
                polls(world, queue, &mut events);
            }
            Hand::Future(..) => {
                events.extend([Event::DropEach { queue }, Event::ForgetEach { queue }]);
                polls(world, queue, &mut events);
            }
            Hand::Held(..) => events.push(Event::GoOnWithKept { queue }),
            Hand::Busy | Hand::Dropped | Hand::Forgotten => {}
        }
    }
    of_c(world, &mut events);
    events
}

fn polls(world: &World, queue: usize, events: &mut Vec<Event>) {
    let same = world.queues[queue].polled_with.map(|_| With::Same);
    let new = [WakerKind::Task, WakerKind::Foreign].map(With::New);
    let wakers = same.into_iter().chain(new);
    events.extend(wakers.map(|with| Event::Poll { queue, with }));
    if world.limits.odd {
        events.push(Event::PollElsewhere { queue });
    }
}

fn of_c(world: &World, events: &mut Vec<Event>) {
    for (io, it) in world.ios.iter().enumerate() {
        match it.state() {
            State::InFlight => {
                let is_blob = world.limits.most > 0;
                let no_memory = is_blob.then_some(-libc::ENOMEM);
                let rcs = [0, -libc::EIO].into_iter().chain(no_memory);
                events.extend(rcs.map(|rc| Event::Complete { io, rc }));
            }
            State::Waiting if it.entry.is_some() => events.push(Event::FreeIo { io }),
            _ => {}
        }
    }
    let local = Local::home();
    if local.deferred() > 0 && local.entered().get().is_null() {
        events.push(Event::Turn);
    }
}

/// Called where the library calls the user's code: something else may happen there.
pub(crate) fn user_code(point: Point) {
    let is_free = Local::home().entered().get().is_null();
    let events = world::with(|world| {
        if is_free {
            world.leave(); // a poll goes on after its closures
        }
        match world.nested {
            0 => Vec::new(),
            _ => possible(world),
        }
    });
    let picked = world::with(|world| world.pick(events.len() + 1));
    if picked > 0 {
        world::with(|world| {
            world.nested -= 1;
            world.log_inside(point);
        });
        run(events[picked - 1]);
    }
}

pub(crate) fn run(event: Event) {
    world::with(|world| world.log_event(event));
    match event {
        Event::Submit { queue, kind } => user::submit(queue, kind, HOME, 1),
        Event::SubmitWrong { queue, elsewhere } => match elsewhere {
            true => user::submit(queue, Kind::Read, ELSEWHERE, 1),
            false => user::submit(queue, Kind::Read, HOME, 2),
        },
        Event::Poll { queue, with } => user::poll(queue, with, HOME),
        Event::PollElsewhere { queue } => user::poll(queue, With::Same, ELSEWHERE),
        Event::Pop { queue } => user::pop(queue),
        Event::GoOnWithKept { queue } => user::go_on_with_kept(queue),
        Event::StartEach { queue, of } => user::start_each(queue, of),
        Event::DropEach { queue } => user::drop_each(queue),
        Event::ForgetEach { queue } => user::forget_each(queue),
        Event::Drop { queue } => user::drop_queue(queue),
        Event::Forget { queue } => user::forget_queue(queue),
        Event::Complete { io, rc } => c::complete(io, rc),
        Event::FreeIo { io } => c::free_io(io),
        Event::Turn => on(HOME, || Local::home().turn()),
    }
}

/// Runs `f` with this spdk_thread as the current one.
pub(crate) fn on<R>(thread: usize, f: impl FnOnce() -> R) -> R {
    let before = world::with(|world| std::mem::replace(&mut world.thread, thread));
    let result = f();
    world::with(|world| world.thread = before);
    result
}
