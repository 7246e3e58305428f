//! What a case is made of, and how random ones are made.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{CLUSTER, MOST};

/// A sequence of calls, or several that run beside each other on one store.
#[derive(Clone, Debug)]
pub struct Case<K, O> {
    /// What the store is on.
    pub device: K,
    /// The sequences.
    pub lanes: Vec<Vec<Step<O>>>,
}

/// A call, or a few that belong together.
///
/// What numbers in it select is among what there is when it is its turn: so a sequence stays one when a part of it is left
/// out.
#[derive(Clone, Debug)]
pub struct Step<O> {
    /// Which spdk_thread makes it, of those that the test has. A call on something open is made where that was opened.
    pub thread: u8,
    /// What is called.
    pub op: O,
    /// After how many polls its future is dropped, if it is not ready by then.
    pub dropped: Option<u8>,
}

/// So many io units from the first one on.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The first one.
    pub first: u64,
    /// How many there are.
    pub units: u64,
}

/// Of what a number selects one; the last number is one that there is not.
pub fn pick<T: Copy>(list: impl Iterator<Item = T>, number: u8) -> Option<T> {
    let list: Vec<T> = list.collect();
    match number {
        u8::MAX => None,
        _ => list.get(usize::from(number) % list.len().max(1)).copied(),
    }
}

/// Any of those that there are, for [`pick`].
pub fn any_of() -> impl Strategy<Value = u8> {
    any::<u8>()
}

/// How many clusters something is to have.
pub fn clusters() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..=6u64, 2 => 0..=MOST]
}

/// Where something is read or written.
pub fn range() -> impl Strategy<Value = Range> {
    let cluster = 0..MOST / 2;
    prop_oneof![
        // Anywhere, which may be beyond the end.
        4 => (0..MOST / 2 * CLUSTER, 1..3 * CLUSTER),
        // Whole clusters.
        3 => (cluster.clone(), 1..4u64).prop_map(|(first, count)| (first * CLUSTER, count * CLUSTER)),
        // Around the border of one.
        3 => (cluster, 0..4u64, 1..8u64).prop_map(|(cluster, before, units)| {
            ((cluster * CLUSTER).saturating_sub(before), units)
        }),
        1 => Just((u64::MAX - 1, 1)),
    ]
    .prop_map(|(first, units)| Range { first, units })
}

fn step<O: Debug>(op: impl Strategy<Value = O>, threads: u8) -> impl Strategy<Value = Step<O>> {
    let dropped = prop_oneof![9 => Just(None), 1 => (0..12u8).prop_map(Some)];
    (0..threads, op, dropped).prop_map(|(thread, op, dropped)| Step {
        thread,
        op,
        dropped,
    })
}

/// A sequence of so many steps, at most, that begins with something that most of them need.
pub fn lane<O: Clone + Debug>(
    first: impl Strategy<Value = Vec<O>>,
    op: impl Strategy<Value = O>,
    threads: u8,
    steps: usize,
) -> impl Strategy<Value = Vec<Step<O>>> {
    let first = (first, 0..threads).prop_map(|(first, thread)| {
        let step = |op| Step {
            thread,
            op,
            dropped: None,
        };
        first.into_iter().map(step).collect::<Vec<_>>()
    });
    (first, vec(step(op, threads), 1..steps))
        .prop_map(|(first, rest)| first.into_iter().chain(rest).collect())
}
