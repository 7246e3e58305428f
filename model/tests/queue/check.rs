//! What must hold when nobody is in the library.

use crate::local::Local;
use crate::memory;
use crate::owner::Owner;
use crate::waker::Kind;
use crate::world::{self, Each, Hand, Io, Queue, Share, State, World, require};

pub(crate) fn at_rest() {
    let (problem, expected) = world::with(|world| {
        let ios = (0..world.ios.len()).find_map(|io| wrong_io(world, io));
        let queues = (0..world.queues.len()).find_map(|queue| wrong_queue(world, queue));
        let eaches = world.eaches.iter().find_map(wrong_each);
        let problem = ios.or(queues).or(eaches).or_else(|| wrong_channel(world));
        (problem, expected_blocks(world))
    });
    require(problem.is_none(), problem.unwrap_or_default());
    let live = memory::live();
    require(live.is_some(), "memory is freed twice");
    require(live >= Some(expected), "memory is freed that somebody has");
    require(live <= Some(expected), "memory is left that nobody has");
}

/// Everything has ended, but for what a forgotten queue keeps for its next poll.
pub(crate) fn at_end() {
    let unended = world::with(|world| {
        world.ios.iter().any(|it| {
            let is_forgotten = world.queues[it.queue].share() == Share::Forgotten;
            match it.state() {
                State::Gone | State::Lost => false,
                State::Ended | State::Refused | State::Again => !is_forgotten,
                _ => true,
            }
        })
    });
    require(!unended, "an I/O does not come to its end");
}

fn wrong_io(world: &World, io: usize) -> Option<&'static str> {
    use State::*;
    let it = &world.ios[io];
    let state = it.state();
    let is_left = world.queues[it.queue].share() == Share::Dropped;
    let has_failed = matches!(it.result, Some(Err(_)));
    let errors = isize::from(has_failed && matches!(state, Refused | Ended | Held));
    let spans = isize::from(world.limits.watched && matches!(state, InFlight | Waiting | Again));
    let is_known = state == Lost;
    let rules = [
        (
            !matches!(
                state,
                Beginning | Submitting | Refusing | Reported | Closure
            ),
            "an I/O is left on its way",
        ),
        (
            !is_left || matches!(state, InFlight | Waiting | Gone | Lost),
            "what a dropped queue had is not dropped",
        ),
        (
            state != Gone || it.buf.is_none(),
            "a buffer is left that nobody has",
        ),
        (
            is_known || it.errors == errors,
            "an error is lost, or left that nobody has",
        ),
        (
            it.spans == spans,
            "a span outlives its I/O, or the other way round",
        ),
        (!it.bdev_io, "what C has given to a callback is not freed"),
    ];
    let broken = rules.iter().find(|(holds, _)| !holds);
    broken.map(|(_, what)| *what)
}

fn wrong_queue(world: &World, queue: usize) -> Option<&'static str> {
    let it = &world.queues[queue];
    let in_flight = world.in_flight(queue);
    let uses = isize::from(in_flight > 0);
    // The script's own, and that of the queue.
    let handles = 1 + usize::from(exists(world, queue));
    let rules = [
        (
            it.handles.iter().all(|handle| handle.uses() == uses),
            "the device is in use for nothing, or not while an I/O is in flight",
        ),
        (
            it.handles
                .iter()
                .all(|handle| std::rc::Rc::strong_count(handle) == handles),
            "the device outlives its queue, or the other way round",
        ),
        (
            !matches!(it.hand, Hand::Queue)
                || len(it) == Some(in_flight + it.ended.len() + it.refused.len()),
            "the queue does not know how many I/Os it has",
        ),
        (
            !it.is_pending || it.woken || !world.has_news(queue) || it.share() != Share::Live,
            "there is something to poll for, and nobody is woken",
        ),
    ];
    let broken = rules.iter().find(|(holds, _)| !holds);
    broken
        .map(|(_, what)| *what)
        .or_else(|| wrong_wakers(world, queue))
}

#[allow(unsafe_code)] // Looks at a queue that nothing borrows.
fn len(it: &Queue) -> Option<usize> {
    // SAFETY: it exists, and nobody uses it now.
    let owner: &dyn Owner = unsafe { it.owner.as_ref() };
    Some(owner.len())
}

fn wrong_wakers(world: &World, queue: usize) -> Option<&'static str> {
    let its = world.wakers.iter().filter(|token| token.queue == queue);
    let clones = |kind| {
        let its = its.clone().filter(|token| token.kind == kind);
        its.map(|token| token.clones).sum::<isize>()
    };
    let most = isize::from(world.queues[queue].share() != Share::Dropped);
    if clones(Kind::Task) != 0 {
        return Some("a task is kept, and not only named");
    }
    (clones(Kind::Foreign) > most).then_some("a waker is kept that nobody has polled with")
}

fn wrong_each(it: &Each) -> Option<&'static str> {
    let is_gone = it.share == Share::Dropped;
    (it.closure_dropped != is_gone)
        .then_some("a closure outlives its future, or the other way round")
}

/// What waits for room waits for something.
fn wrong_channel(world: &World) -> Option<&'static str> {
    let is_in_c = |io: &Io| io.state() == State::InFlight;
    let goes_on = Local::home().deferred() > 0 || world.ios.iter().any(is_in_c);
    let waits = !world.waiting.is_empty();
    (waits && !goes_on).then_some("nothing lets those go on that wait")
}

/// Whether the queue and its slots are there.
fn exists(world: &World, queue: usize) -> bool {
    world.queues[queue].share() != Share::Dropped || world.in_flight(queue) > 0
}

fn expected_blocks(world: &World) -> usize {
    let forgotten = |queue| {
        let its = world.ios.iter().filter(|io| io.queue == queue);
        its.filter(|io| io.state() == State::Lost).count()
    };
    let queues = (0..world.queues.len()).map(|queue| match exists(world, queue) {
        true => 1 + world.queues[queue].slots,
        false => forgotten(queue),
    });
    let of_each = |it: &Each| usize::from(!it.closure_dropped) + usize::from(it.exists);
    queues.sum::<usize>() + world.eaches.iter().map(of_each).sum::<usize>()
}
