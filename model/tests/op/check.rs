//! What must hold when nobody is in the core.

use crate::slot;
use crate::waker::Kind;
use crate::world::{self, Operation, Share, State, World, require};

pub(crate) fn at_rest() {
    let (problem, expected) = world::with(|world| {
        let problem = world
            .operations
            .iter()
            .find_map(|operation| wrong(world, operation));
        let slots = world.operations.iter().filter(|it| has_slot(it)).count();
        (problem, slots)
    });
    if let Some(problem) = problem {
        require(false, problem);
    }
    let live = slot::live();
    require(live >= expected, "a slot is freed that an owner still has");
    require(live <= expected, "a slot is left that nobody has");
}

/// Everything has ended, but for the operation of a forgotten future that nobody submits, or submits again.
pub(crate) fn at_end() {
    let unended = world::with(|world| {
        world.operations.iter().any(|it| {
            let forgotten = it.share == Share::Forgotten;
            let idle = matches!(it.state, State::New | State::Retry);
            it.state() != State::Done && !(forgotten && idle)
        })
    });
    require(!unended, "an operation does not come to its end");
}

fn has_slot(it: &Operation) -> bool {
    match it.share {
        Share::Live | Share::Forgotten => it.state != State::New,
        Share::Dropped => it.state() != State::Done,
        Share::Ready => false,
    }
}

fn wrong(world: &World, it: &Operation) -> Option<&'static str> {
    let over = it.state() == State::Done;
    let rules = [
        (
            it.held_dropped == over,
            "`held` outlives the operation, or the other way round",
        ),
        (
            it.submit_dropped == over,
            "`submit` outlives the operation, or the other way round",
        ),
        (
            it.finish_dropped == over,
            "`finish` outlives the operation, or the other way round",
        ),
        (
            it.span_ended == (over && it.span_opened),
            "a span outlives its operation, or the other way round",
        ),
        (
            it.resource_dropped
                == (it.resource_made && matches!(it.share, Share::Dropped | Share::Ready)),
            "a result that nobody took is left, or one that is wanted is dropped",
        ),
    ];
    let broken = rules.iter().find(|(holds, _)| !holds);
    broken
        .map(|(_, what)| *what)
        .or_else(|| wrong_waker(world, it))
}

fn wrong_waker(world: &World, it: &Operation) -> Option<&'static str> {
    let clones = |token: usize| world.wakers[token].clones;
    let others = it
        .wakers
        .iter()
        .filter(|token| Some(**token) != it.polled_with);
    let kept: isize = others.map(|token| clones(*token)).sum();
    if kept != 0 {
        return Some("a waker of an earlier poll is kept");
    }
    let token = it.polled_with?;
    // A task is named, not kept.
    let kept = match world.wakers[token].kind {
        Kind::Task => 0,
        Kind::Foreign => 1,
    };
    match (it.share, it.state()) {
        (Share::Ready | Share::Dropped, _) if clones(token) != 0 => {
            Some("the waker is kept after the future")
        }
        (Share::Ready | Share::Dropped, _) => None,
        (_, State::Done) if clones(token) != 0 => Some("the waker is kept after the operation"),
        (_, State::Done | State::Retry) if !it.woken => {
            Some("there is something to poll for, and nobody is woken")
        }
        (_, State::InFlight | State::Waiting) if it.woken => Some("the waker is woken for nothing"),
        (_, State::InFlight | State::Waiting) if clones(token) != kept => {
            Some("the waker is not kept once")
        }
        _ => None,
    }
}
