//! One execution after the other.

use std::collections::{BTreeSet, VecDeque};
use std::ptr::NonNull;

use spdk_model::explore;

use crate::act;
use crate::bdev::BdevDesc;
use crate::blob;
use crate::blob::handle::Blob;
use crate::buf::Tag;
use crate::c;
use crate::channel::IoChannel;
use crate::check;
use crate::event::{self, Event, With};
use crate::handle::Shared;
use crate::local::Local;
use crate::memory;
use crate::owner::Owner;
use crate::user;
use crate::waker::Kind;
use crate::world::{self, Hand, Queue, Turn};
use crate::{IoQueue, IoTarget};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) queues: usize,
    pub(crate) ios: usize,
    /// How many futures of closures.
    pub(crate) eaches: usize,
    /// How many events there are, one after the other.
    pub(crate) events: usize,
    /// How many more there are inside these.
    pub(crate) nested: usize,
    /// They are queues of a blob, whose channel does so many I/Os at a time; 0 for those of a bdev.
    pub(crate) most: usize,
    /// So many of the I/Os have gone through the closure of a first future, and are in flight, when it begins.
    pub(crate) begun: usize,
    /// Whether it begins with an I/O that is to be submitted again, and one that has ended and is left there by all polls
    /// but the next one.
    pub(crate) starved: bool,
    /// Whether the I/Os have spans.
    pub(crate) watched: bool,
    /// Whether the user makes mistakes, and does what is rare.
    pub(crate) odd: bool,
}

pub(crate) const NONE: Limits = Limits {
    queues: 1,
    ios: 0,
    eaches: 0,
    events: 0,
    nested: 0,
    most: 0,
    begun: 0,
    starved: false,
    watched: false,
    odd: false,
};

/// Takes every sequence of events; returns what happened in which state.
pub(crate) fn walk(limits: Limits) -> BTreeSet<Turn> {
    let executions = explore(|choices| {
        world::with(|world| world.begin(limits, choices));
        memory::begin();
        make_queues(limits);
        begin(limits.begun);
        if limits.starved {
            starve();
        }
        for _ in 0..limits.events {
            let event = world::with(|world| {
                let events = event::possible(world);
                (!events.is_empty()).then(|| events[world.pick(events.len())])
            });
            let Some(event) = event else { break };
            step(event);
        }
        epilogue(limits);
        bury();
        world::with(|world| std::mem::take(&mut world.choices))
    });
    println!("{limits:?}: {executions} executions");
    world::with(|world| std::mem::take(&mut world.turns))
}

fn make_queues(limits: Limits) {
    let requests = (limits.most > 0).then(|| blob::requests(limits.most));
    for queue in 0..limits.queues {
        let handles = [Shared::new(queue), Shared::new(queue)];
        let owner = match &requests {
            None => {
                let channel = IoChannel::new(&handles[0], &handles[1]);
                own(IoQueue::<Tag, BdevDesc>::new(&channel))
            }
            Some(requests) => {
                // The descriptor is no part of it.
                let channel = IoChannel::new(&handles[0], &Shared::new(queue));
                let blob = Blob::new(&handles[1], requests);
                own(IoQueue::<Tag, Blob>::of_blob(&blob, &channel))
            }
        };
        world::with(|world| world.queues.push(new_queue(owner, handles)));
    }
    world::with(|world| world.requests = requests);
}

fn new_queue(owner: NonNull<dyn Owner>, handles: [std::rc::Rc<Shared>; 2]) -> Queue {
    Queue {
        owner,
        hand: Hand::Queue,
        ended: VecDeque::new(),
        refused: VecDeque::new(),
        again: VecDeque::new(),
        each: None,
        closing: 0,
        panicked: 0,
        slots: 0,
        polled_with: None,
        is_pending: false,
        finds: 0,
        woken: false,
        polls: 0,
        handles,
    }
}

fn own<D: IoTarget>(queue: Result<IoQueue<Tag, D>, crate::Error>) -> NonNull<dyn Owner> {
    let Ok(queue) = queue else {
        unreachable!("it is made at home");
    };
    NonNull::from(Box::leak(Box::new(queue)))
}

/// Has so many I/Os be called back at once, and submitted again by a closure.
fn begin(ios: usize) {
    let (queue, kind) = (0, crate::world::Kind::Read);
    let nested = world::with(|world| std::mem::take(&mut world.nested));
    for _ in 0..ios {
        force(&[c::CALLED_BACK]);
        step(Event::Submit { queue, kind });
    }
    if ios > 0 {
        step(Event::StartEach { queue, of: 0 });
        force(&[act::AGAIN, c::PENDING].repeat(ios));
        let with = With::New(Kind::Foreign);
        step(Event::Poll { queue, with });
    }
    world::with(|world| world.nested = nested);
    check::at_rest();
}

fn starve() {
    let (queue, kind) = (0, crate::world::Kind::Read);
    let nested = world::with(|world| std::mem::take(&mut world.nested));
    force(&c::REFUSED_TWICE);
    step(Event::Submit { queue, kind });
    force(&[c::CALLED_BACK]);
    step(Event::Submit { queue, kind });
    let with = With::New(Kind::Task);
    for _ in 0..user::BURST {
        step(Event::Poll { queue, with });
    }
    world::with(|world| world.nested = nested);
}

fn force(answers: &[usize]) {
    world::with(|world| world.forced.extend(answers));
}

fn step(event: Event) {
    event::run(event);
    check::at_rest();
}

/// More than it takes to bring anything to its end.
const MANY: usize = 100;

/// Brings what is left to an end.
fn epilogue(limits: Limits) {
    world::with(|world| {
        world.nested = 0;
        world.epilogue = true;
    });
    for _ in 0..MANY {
        let event = world::with(|world| {
            let events = event::possible(world);
            let is_c = |it: &&Event| {
                use Event::{Complete, FreeIo, GoOnWithKept, Turn};
                matches!(
                    it,
                    Complete { .. } | FreeIo { .. } | GoOnWithKept { .. } | Turn
                )
            };
            events.iter().find(is_c).copied()
        });
        if let Some(event) = event {
            step(event);
            continue;
        }
        // C has nothing more to do: the user looks.
        let found = (0..limits.queues).any(look);
        check::at_rest();
        if !found {
            break;
        }
    }
    check::at_end();
    for queue in 0..limits.queues {
        if world::with(|world| matches!(world.queues[queue].hand, Hand::Queue)) {
            step(Event::Drop { queue });
        }
    }
}

/// A poll of a queue. Returns whether it finds anything.
fn look(queue: usize) -> bool {
    let is_free = world::with(|world| match &world.queues[queue].hand {
        Hand::Queue => Some(true),
        Hand::Future(..) => Some(false),
        _ => None,
    });
    match is_free {
        Some(true) => user::next(queue),
        Some(false) => {
            event::run(Event::Poll {
                queue,
                with: With::New(Kind::Task),
            });
            true
        }
        None => false,
    }
}

/// What was forgotten goes, too, before the next execution.
fn bury() {
    let (owners, requests) = world::with(|world| {
        world.is_over = true;
        let queues = world.queues.iter_mut();
        let forgotten = queues.filter(|queue| matches!(queue.hand, Hand::Forgotten));
        let owners: Vec<_> = forgotten.map(|queue| queue.owner).collect();
        (owners, world.requests.take())
    });
    owners.into_iter().for_each(user::bury);
    world::with(|world| world.queues.clear());
    if let Some(requests) = requests {
        blob::give_back(&requests);
    }
    Local::home().clear();
    let sound = memory::reclaim();
    world::with(|world| world.is_over = false);
    world::require(sound, "somebody has written to what was freed");
    world::with(|world| world.is_over = true);
}
