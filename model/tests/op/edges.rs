//! What can happen in which state: the edges of the diagram in `op.rs`, what leaves the state as it is, and
//! what happens to a future that was not polled.

use std::collections::BTreeSet;

use crate::world::Share::*;
use crate::world::State::*;
use crate::world::{Share, State, Turn};

const FUTURES: &[Share] = &[Live, Dropped, Forgotten];

const TURNS: &[(State, &[Share], &[&str])] = &[
    (New, &[Live], &["poll", "leave", "poll elsewhere"]), // -> Submitting, or refused
    (New, &[Live], &["drop", "forget"]),
    // What the submit function says; the future of a second submission may have gone inside the call.
    (
        Submitting,
        FUTURES,
        &[
            "pending",              // -> InFlight
            "refused",              // -> Done
            "done",                 // -> Done
            "no memory",            // -> Waiting
            "full",                 // -> Waiting
            "called back, pending", // -> Inline
            "called back, refused", // -> Inline
        ],
    ),
    (Submitting, &[Live], &["poll", "drop", "forget"]),
    (Inline, FUTURES, &["return"]), // -> Done
    (Inline, &[Live], &["poll", "drop", "forget"]),
    (InFlight, FUTURES, &["callback"]), // -> Done
    (InFlight, &[Live], &["poll", "drop", "forget"]),
    (Waiting, FUTURES, &["free", "request", "one is free"]), // -> Submitting, -> Retry
    (Waiting, &[Live], &["poll", "drop", "forget"]),
    (Retry, &[Live], &["poll"]), // -> Submitting
    (Retry, &[Live], &["poll elsewhere", "drop", "forget"]),
    (Done, &[Live], &["poll", "drop", "forget"]),
];

/// All of it was seen, and nothing else.
pub(crate) fn compare(seen: &BTreeSet<Turn>) {
    let listed: BTreeSet<Turn> = TURNS
        .iter()
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
    assert!(unknown.is_empty(), "not in the diagram: {unknown:?}");
}
