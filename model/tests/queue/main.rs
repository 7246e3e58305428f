//! Every turn that the I/Os of an [`IoQueue`](io_queue::IoQueue) can take, on the library's own files: `io_queue.rs` with
//! all below it, the blob's part of it, and `requests.rs`.
//!
//! A script plays C and the user. C takes I/Os, calls back inside the call or later, in any order, has no memory for them, or
//! refuses them. The user submits, polls, takes what has ended, submits it again or drops it, has a closure called for it, and
//! drops or forgets the queue and the closure's future; and does any of that again from inside the code that the queue calls:
//! closures, wakers, and the drops of tags and closures. The walk takes every sequence of such events up to a depth and checks,
//! at once where it can be seen and when all is at rest:
//!
//! - What C may touch is alive, and in its place, until C has called back.
//! - A tag, a buffer and an error are handed out or dropped exactly once, as is what C gives to a callback.
//! - An I/O ends once, as C said, and they are handed out in the order in which they have ended.
//! - A closure is called in the callback where it has to be, which is none of a failure, for nothing twice, and is dropped once, not while it runs.
//! - A waker is woken when, and only when, there is something to poll for.
//! - A queue tells how many I/Os it has, and keeps its device in use while any is in flight.
//! - The queue and its slots are freed once, with the last I/O, except for what is forgotten.
//! - The I/Os of a blob's channel are never too many, wait in order, and are alone if they have to be.
//! - The places where an I/O can be are those that `queue.rs` tells of, and each of the listed turns was taken.
#![deny(unsafe_code)]

mod act;
mod bdev;
mod bdev_io;
mod blob;
mod buf;
mod c;
mod channel;
mod check;
mod edges;
mod error;
mod event;
mod executor;
mod handle;
mod iovecs;
mod local;
mod memory;
mod owner;
mod script;
mod span;
mod sys;
mod user;
mod waker;
mod world;

#[allow(dead_code, reason = "other code uses the rest")]
#[path = "../../../spdk/src"]
mod library {
    pub(crate) mod errno;
    #[allow(unreachable_pub, reason = "public in its own crate")]
    pub(crate) mod io_queue;
    #[allow(unreachable_pub, reason = "public in its own crate")]
    pub(crate) mod op;
    pub(crate) mod panic;
    pub(crate) mod slot;
    #[allow(unreachable_pub, reason = "public in its own crate")]
    pub(crate) mod waiters;
}

use std::collections::BTreeSet;

use error::Error;
use library::errno::Errno;
use library::io_queue::{IoQueue, IoTarget};
use library::{errno, io_queue, op, panic, slot, waiters};

use script::{Limits, NONE};

/// A bdev, with an event inside of another's code.
#[test]
fn bdev() {
    let mut seen = BTreeSet::new();
    for (ios, begun, eaches, events) in [(2, 0, 0, 4), (2, 0, 1, 3), (2, 1, 1, 2), (1, 1, 2, 2)] {
        seen.extend(script::walk(Limits {
            ios,
            begun,
            eaches,
            events,
            nested: 1,
            ..NONE
        }));
    }
    edges::compare(&seen, edges::BDEV);
}

/// Events inside events inside events.
#[test]
fn nested() {
    for (ios, begun, eaches, events) in [(2, 0, 0, 3), (2, 2, 1, 1), (1, 1, 1, 2)] {
        script::walk(Limits {
            ios,
            begun,
            eaches,
            events,
            nested: 2,
            ..NONE
        });
    }
}

/// What a user hardly does.
#[test]
fn odd() {
    for (ios, begun, eaches, events) in [(1, 0, 0, 4), (2, 1, 1, 2)] {
        script::walk(Limits {
            ios,
            begun,
            eaches,
            events,
            nested: 1,
            odd: true,
            ..NONE
        });
    }
}

/// Longer stories, without anything inside.
#[test]
fn long() {
    for (ios, begun, eaches, events) in [(2, 0, 0, 4), (2, 2, 1, 2), (1, 1, 2, 3)] {
        script::walk(Limits {
            ios,
            begun,
            eaches,
            events,
            ..NONE
        });
    }
}

/// One that C has refused twice, while there is always something that has ended.
#[test]
fn starved() {
    script::walk(Limits {
        ios: 2,
        events: 2,
        starved: true,
        ..NONE
    });
}

/// With spans, whose subscriber is code of the user's.
#[test]
fn watched() {
    for (ios, begun, eaches, events) in [(2, 0, 0, 3), (2, 1, 1, 3)] {
        script::walk(Limits {
            ios,
            begun,
            eaches,
            events,
            nested: 1,
            watched: true,
            ..NONE
        });
    }
}

/// A blob, whose I/Os wait in turn, with and without another queue on the channel.
#[test]
fn blob() {
    let mut seen = BTreeSet::new();
    for (queues, ios, begun, eaches, events, nested, most) in [
        (1, 2, 0, 0, 4, 1, 2),
        (1, 2, 1, 1, 3, 1, 2),
        (1, 3, 0, 0, 5, 0, 2),
        (1, 3, 1, 1, 4, 0, 1),
        (2, 3, 0, 0, 4, 0, 1),
    ] {
        seen.extend(script::walk(Limits {
            queues,
            ios,
            begun,
            eaches,
            events,
            nested,
            most,
            ..NONE
        }));
    }
    edges::compare(&seen, edges::BLOB);
}

/// More of the same, which takes minutes: in a nightly run.
#[test]
fn deep() {
    if std::env::var_os("SPDK_TESTS_NIGHTLY").is_none_or(|value| value == "0") {
        return;
    }
    for (ios, begun, eaches, events, nested, most) in [
        (1, 1, 1, 3, 1, 0),
        (2, 2, 2, 3, 0, 0),
        (1, 0, 0, 5, 1, 0),
        (2, 0, 0, 5, 0, 0),
        (3, 1, 1, 5, 0, 1),
    ] {
        script::walk(Limits {
            ios,
            begun,
            eaches,
            events,
            nested,
            most,
            ..NONE
        });
    }
}
