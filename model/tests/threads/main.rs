//! What OS threads do to each other, in every order and with every reordering that the memory model
//! allows, on the core's own files: `inbox.rs`, `loans.rs`, `round_trip.rs` and
//! `wakeups.rs`.
#![deny(unsafe_code)]
#![cfg(not(spdk_asan))] // loom's threads have stacks that AddressSanitizer does not know

mod lent;
mod messages;
mod trips;
mod wakes;

use loom::cell;
use loom::sync::atomic;

#[path = "../../../spdk/src/inbox.rs"]
mod inbox;
#[path = "../../../spdk/src/loans.rs"]
mod loans;
#[path = "../../../spdk/src/round_trip.rs"]
mod round_trip;
#[path = "../../../spdk/src/wakeups.rs"]
mod wakeups;

/// Runs `model` in every order in which an OS thread is stopped for another one up to three times: more takes
/// hours, and finds what shows in small models just as well.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Lets other OS threads go before the load that follows. Without it loom does not try that for a load
/// that starts with what was there at the beginning.
fn others_first() {
    loom::thread::yield_now();
}

/// The identity of OS threads: those of the model have one each, which real thread-local variables do not give.
mod os_thread {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Id(Option<loom::thread::ThreadId>);

    impl Id {
        pub(crate) const NONE: Id = Id(None);

        pub(crate) fn current() -> Id {
            Id(Some(loom::thread::current().id()))
        }
    }
}
