//! What can happen where: the places that `queue.rs` tells of, and how I/Os get there.

use std::collections::BTreeSet;

use crate::world::Share::*;
use crate::world::State::*;
use crate::world::{Share, State, Turn};

type Turns = &'static [(State, &'static [Share], &'static [&'static str])];

const OWNERS: &[Share] = &[Live, Dropped, Forgotten];

/// Of every device.
const ALL: Turns = &[
    // The owner may have gone in the closure that submits it.
    (Beginning, OWNERS, &["begin"]), // -> Submitting
    (Submitting, OWNERS, &["pending", "called back"]), // -> InFlight, -> Ended or Gone
    (Submitting, &[Live], &["drop"]),
    (InFlight, OWNERS, &["callback"]), // -> Ended, Reported or Gone
    (InFlight, &[Live], &["drop"]),
    (Waiting, &[Live], &["drop"]),
    (Refused, &[Live], &["poll", "drop"]), // -> Ended, -> Gone
    (Reported, &[Live, Forgotten], &["closure"]), // -> Closure
    (Ended, &[Live], &["closure", "pop", "drop"]), // -> Closure, -> Held, -> Gone
    (Held, &[Live], &["submit", "refused"]), // -> Beginning, -> Refused
    (Closure, OWNERS, &["submit", "panic"]), // -> Beginning, -> Gone
    (Closure, &[Live], &["refused", "drop"]), // -> Refused
    (Gone, &[Live], &["drop"]),
];

pub(crate) const BDEV: Turns = &[
    (Submitting, OWNERS, &["no memory"]),
    (Submitting, OWNERS, &["waits", "one is free"]), // -> Waiting, -> Again
    (Submitting, OWNERS, &["refused"]),              // -> Refused
    (Waiting, OWNERS, &["free"]),                    // -> Beginning or Gone
    (Again, &[Live], &["begin", "drop"]),            // -> Submitting, -> Gone
];

pub(crate) const BLOB: Turns = &[
    (Waiting, &[Live, Forgotten], &["begin"]), // -> Submitting
    (Beginning, OWNERS, &["full"]),            // -> Waiting
    (Submitting, OWNERS, &["called back, no memory"]), // -> Waiting or Ended
];

/// All of it was seen, and nothing else.
pub(crate) fn compare(seen: &BTreeSet<Turn>, of_device: Turns) {
    let listed: BTreeSet<Turn> = ALL
        .iter()
        .chain(of_device)
        .flat_map(|(state, shares, events)| {
            let of = move |share: &Share| {
                let share = *share;
                events.iter().map(move |event| (*state, share, *event))
            };
            shares.iter().flat_map(of)
        })
        .collect();
    let missing: Vec<_> = listed.difference(seen).collect();
    assert!(missing.is_empty(), "the walk does not reach {missing:?}");
    let unknown: Vec<_> = seen.difference(&listed).collect();
    assert!(unknown.is_empty(), "not listed: {unknown:?}");
}
