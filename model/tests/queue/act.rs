//! What the user does with an I/O that has ended.

use crate::buf::DmaBuf;
use crate::error::{INVALID, WRONG_THREAD, told};
use crate::event::user_code;
use crate::local::HOME;
use crate::owner::Taken;
use crate::user::{self, Captured};
use crate::world::{Kind, Point, Running, Share, State, World, require, with};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// First, since the epilogue does it.
    Drop,
    Again,
    Other,
    Done,
    Panic,
    Keep,
    Forget,
    /// With another buffer, or without one.
    Swap,
    Take,
}

use Then::{Again, Done, Drop, Forget, Keep, Other, Panic, Swap, Take};

const OF_CLOSURES: &[Then] = &[Drop, Again, Other, Done, Panic, Forget, Swap, Take];
const OF_POPS: &[Then] = &[Drop, Again, Other, Done, Keep, Forget, Swap, Take];
/// Where it is in both.
pub(crate) const AGAIN: usize = 1;
/// The last ones of both are odd.
const ODD: usize = 3;

fn choose(of: &[Then]) -> Then {
    with(|world| {
        let odd = if world.limits.odd { 0 } else { ODD };
        of[world.pick(of.len() - odd)]
    })
}

/// The payload of a panic that the script wants.
pub(crate) struct Scripted;

/// The I/O that was taken out of a queue, or which it gave to a closure.
fn look_at(io: &dyn Taken) -> usize {
    let id = io.tag();
    let result = with(|world| world.ios[id].result);
    let told = io.error().map_or(Ok(()), |error| Err(error.fault));
    require(result == Some(told), "it has ended otherwise");
    require(
        io.error().is_none_or(|error| error.io == id),
        "its error is another's",
    );
    id
}

/// A closure is called.
pub(crate) fn in_closure(captured: &Captured, io: Box<dyn Taken + '_>) {
    let each = captured.0;
    let id = look_at(&*io);
    let is_sound = with(|world| enter(world, each, id));
    require(is_sound, "the closure is not to be called for this, or now");
    let _leave = Leave;
    user_code(Point::Closure);
    run(id, io);
}

fn run(id: usize, io: Box<dyn Taken + '_>) {
    match choose(OF_CLOSURES) {
        Panic => {
            with(|world| world.turn(id, "panic"));
            // Without the hook, which prints.
            std::panic::resume_unwind(Box::new(Scripted));
        }
        then => act(then, id, io),
    }
}

/// The closure gets an I/O. Returns whether it may.
fn enter(world: &mut World, each: usize, id: usize) -> bool {
    if world.ios[id].state() == State::Ended {
        world.leave();
    }
    let may_run = world.queue_of(id).each == Some(each) && !world.is_running(each);
    let is_next = match world.ios[id].state() {
        State::Reported => true,
        State::Ended => {
            world.eaches[each].calls += 1;
            world.queue_of(id).polls > 0 && world.queue_of(id).ended.pop_front() == Some(id)
        }
        _ => false,
    };
    world.turn(id, "closure");
    world.go(id, State::Closure);
    world.ios[id].closures += 1;
    world.ios[id].counts = false;
    world.queue_of(id).closing += 1;
    world.running.push(Running {
        each,
        io: id,
        is_again: false,
        is_over: false,
    });
    may_run && is_next
}

/// The closure ends.
struct Leave;

impl std::ops::Drop for Leave {
    fn drop(&mut self) {
        with(|world| {
            let mut running = world.running.iter_mut().rev();
            let Some(closure) = running.find(|closure| !closure.is_over) else {
                unreachable!("it was pushed");
            };
            closure.is_over = true;
            let (each, io, is_again) = (closure.each, closure.io, closure.is_again);
            world.ios[io].from_closure = false;
            let queue = world.queue_of(io);
            match std::thread::panicking() {
                _ if is_again => {}
                true => queue.panicked += 1,
                false => queue.closing -= 1,
            }
            let share = world.eaches[each].share;
            if std::thread::panicking() && share != Share::Dropped {
                // Nobody is told of that of a forgotten future.
                world.eaches[each].panic = share == Share::Live;
                let each = Some(each);
                let queue = world.queue_of(io);
                queue.each = queue.each.filter(|of| Some(*of) != each);
            }
        });
    }
}

/// An I/O is taken out of a queue. Returns it if the user keeps it.
pub(crate) fn on_popped<'a>(queue: usize, io: Box<dyn Taken + 'a>) -> Option<Box<dyn Taken + 'a>> {
    let id = look_at(&*io);
    let first = with(|world| {
        world.turn(id, "pop");
        world.go(id, State::Held);
        world.queues[queue].ended.pop_front()
    });
    require(first == Some(id), "it is not the first that has ended");
    match choose(OF_POPS) {
        Keep => return Some(io),
        then => act(then, id, io),
    }
    None
}

/// The user goes on with an I/O that he has kept.
pub(crate) fn on_kept(id: usize, io: Box<dyn Taken>) {
    look_at(&*io);
    match choose(OF_POPS) {
        Keep => act(Drop, id, io),
        then => act(then, id, io),
    }
}

fn act(then: Then, id: usize, mut io: Box<dyn Taken + '_>) {
    let kind = with(|world| world.ios[id].kind);
    match then {
        Drop | Keep | Panic => drop(io),
        Again => again(kind, id, io),
        Other => {
            let other = match kind {
                Kind::Read => Kind::Unmap,
                _ => Kind::Read,
            };
            again(other, id, io);
        }
        Done => {
            let done = io.into_done();
            let result = with(|world| world.ios[id].result);
            let told = told(&done.result);
            require(result == Some(told), "it is told another result");
            let has_buf = with(|world| world.ios[id].buf.is_some());
            require(done.buf.is_some() == has_buf, "its buffer is lost");
        }
        Forget => {
            with(|world| {
                world.turn(id, "forget");
                world.go(id, State::Lost);
            });
            io.forget();
        }
        Swap => {
            drop(io.buf().take());
            *io.buf() = Some(DmaBuf::new(id, 1));
            again(kind, id, io);
        }
        Take => {
            drop(io.buf().take());
            again(kind, id, io);
        }
    }
}

fn again(kind: Kind, id: usize, io: Box<dyn Taken + '_>) {
    let has_buf = with(|world| world.ios[id].buf.is_some_and(|_| !world.ios[id].is_long));
    let is_here = with(|world| world.thread == HOME);
    let fault = match (is_here, kind, has_buf) {
        (false, ..) => Some(WRONG_THREAD),
        (_, Kind::Read, false) => Some(INVALID),
        _ => None,
    };
    let offset = user::begins(id, kind, fault);
    io.submit(kind, offset);
    user::has_begun(id);
}
