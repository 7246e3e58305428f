//! Every turn that an operation's life can take, on the core's own `op.rs` and `call.rs`.
//!
//! A script plays C and the user: it makes futures and begins operations, answers submissions, calls back
//! inside the call or later, polls, drops and forgets futures, and does any of that again from inside the code
//! that the core calls: wakers, `finish`, and the drops of what an operation owns. The walk takes every
//! sequence of such events up to a depth and checks, at once where it can be seen and when all is at rest:
//!
//! - What C may touch is alive, and in its place, until C has called back.
//! - `held`, `submit`, `finish` and a result that nobody took are dropped exactly once.
//! - The result is the one that C reported, and reaches the future if there is one.
//! - A future does nothing before its first poll, and uses its share of the operation until that ends, once.
//! - A waker is woken when, and only when, there is something to poll for, and is not kept after; that of a
//!   task of ours is not kept at all.
//! - A task is resumed in the callback that it waits for, and only there, unless the operation has failed.
//! - A span ends when the operation does, once, and is told how.
//! - The slot is freed exactly once, except for a forgotten future.
//! - The states that the script sees are those of the diagram in `op.rs`, and each of its edges was taken.
#![deny(unsafe_code)]

mod c;
mod check;
mod edges;
mod error;
mod event;
mod executor;
mod future;
mod handle;
mod local;
mod parts;
mod script;
mod share;
mod slot;
mod span;
mod sys;
mod waker;
mod world;

#[allow(unreachable_pub, reason = "public in its own crate")]
#[path = "../../../spdk/src/call.rs"]
mod call;
#[path = "../../../spdk/src/errno.rs"]
mod errno;
#[allow(dead_code, reason = "aborts use the rest")]
#[allow(unreachable_pub, reason = "public in its own crate")]
#[path = "../../../spdk/src/io_id.rs"]
mod io_id;
#[allow(dead_code, reason = "generated code uses the rest")]
#[allow(unreachable_pub, reason = "public in its own crate")]
#[path = "../../../spdk/src/op.rs"]
mod op;
#[allow(dead_code, reason = "tasks use the rest")]
#[path = "../../../spdk/src/panic.rs"]
mod panic;
#[path = "../../../spdk/src/slot.rs"]
mod pool;
#[allow(dead_code, reason = "queues use the rest")]
#[allow(unreachable_pub, reason = "public in its own crate")]
#[path = "../../../spdk/src/waiters.rs"]
mod waiters;

use script::Limits;

/// One operation, with another event inside the first's code.
#[test]
fn one_operation() {
    let seen = script::walk(Limits {
        operations: 1,
        events: 6,
        nested: 1,
        watched: false,
    });
    edges::compare(&seen);
}

/// Two operations, each of which can start, end, poll or drop the other.
#[test]
fn two_operations() {
    script::walk(Limits {
        operations: 2,
        events: 4,
        nested: 1,
        watched: false,
    });
}

/// Events inside events inside events.
#[test]
fn nested() {
    script::walk(Limits {
        operations: 1,
        events: 4,
        nested: 2,
        watched: false,
    });
}

/// With a span, whose subscriber is code of the user's.
#[test]
fn watched() {
    for (operations, events, nested) in [(1, 5, 1), (2, 3, 1), (1, 3, 2)] {
        script::walk(Limits {
            operations,
            events,
            nested,
            watched: true,
        });
    }
}

/// The same for two operations, and longer stories, which takes a minute: in a nightly run.
#[test]
fn deep() {
    if std::env::var_os("SPDK_TESTS_NIGHTLY").is_none_or(|value| value == "0") {
        return;
    }
    for (operations, events, nested) in [(1, 7, 1), (1, 5, 3), (2, 3, 2), (2, 5, 1)] {
        script::walk(Limits {
            operations,
            events,
            nested,
            watched: false,
        });
    }
}
