//! One execution after the other.

use std::collections::BTreeSet;

use spdk_model::explore;

use crate::check;
use crate::event::{self, Event};
use crate::slot;
use crate::world::{self, Turn};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) operations: usize,
    /// How many events there are, one after the other.
    pub(crate) events: usize,
    /// How many more there are inside these.
    pub(crate) nested: usize,
    /// Whether operations have spans.
    pub(crate) watched: bool,
}

/// Takes every sequence of events; returns what happened in which state.
pub(crate) fn walk(limits: Limits) -> BTreeSet<Turn> {
    let executions = explore(|choices| {
        world::with(|world| world.begin(limits, choices));
        for _ in 0..limits.events {
            let event = world::with(|world| {
                let events = event::possible(world);
                (!events.is_empty()).then(|| events[world.pick(events.len())])
            });
            let Some(event) = event else { break };
            step(event);
        }
        epilogue();
        slot::reclaim();
        world::with(|world| std::mem::take(&mut world.choices))
    });
    println!("{limits:?}: {executions} executions");
    world::with(|world| std::mem::take(&mut world.turns))
}

fn step(event: Event) {
    event::run(event);
    check::at_rest();
}

/// More than it takes to bring anything to its end.
pub(crate) const MANY: usize = 100;

/// Brings what is left to an end.
fn epilogue() {
    world::with(|world| {
        world.nested = 0;
        world.epilogue = true;
    });
    // C's events first, then a look at each future that is left.
    for _ in 0..MANY {
        let event = world::with(|world| {
            let events = event::possible(world);
            let is_c = |it: &&Event| {
                use Event::{Complete, FreeIo, GoOn};
                matches!(it, Complete { .. } | FreeIo { .. } | GoOn { .. })
            };
            let is_poll = |it: &&Event| matches!(it, Event::Poll { .. });
            let c = events.iter().find(is_c);
            c.or_else(|| events.iter().find(is_poll)).copied()
        });
        let Some(event) = event else { break };
        step(event);
    }
    check::at_end();
}
