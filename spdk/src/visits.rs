//! How many iterations over channels and spdk_threads are on their way.
//!
//! Each is a message of SPDK's, to one spdk_thread at a time, and SPDK aborts the process when its queue of an spdk_thread, of
//! 65,535 messages, is full. So those that begin wait here for others to end, if there are many.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::local::run_caught;

/// How many there are at most. The other messages have the rest of the queue.
const MOST: usize = 16_384;

static VISITS: Mutex<Visits> = Mutex::new(Visits {
    on_their_way: 0,
    places: 0,
    waiting: BTreeMap::new(),
});

struct Visits {
    on_their_way: usize,
    /// How many have waited.
    places: u64,
    waiting: BTreeMap<u64, Waker>,
}

fn visits() -> MutexGuard<'static, Visits> {
    VISITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes as many of those that wait as may begin: one that was woken before may not come. Wakers are the user's code, so the
/// lock is not held.
fn wake_next() {
    let woken: Vec<Waker> = {
        let mut visits = visits();
        let free = MOST.saturating_sub(visits.on_their_way);
        (0..free)
            .map_while(|_| visits.waiting.pop_first())
            .map(|(_, waker)| waker)
            .collect()
    };
    for waker in woken {
        run_caught("wake", || waker.wake());
    }
}

/// An iteration on its way.
#[must_use = "the iteration ends with it"]
pub(crate) struct Visit(());

impl Drop for Visit {
    fn drop(&mut self) {
        visits().on_their_way -= 1;
        wake_next();
    }
}

/// The place of one that waits.
struct Place(Option<u64>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some(place) = self.0 else { return };
        let waker = visits().waiting.remove(&place);
        if waker.is_none() {
            wake_next(); // it was woken, and does not begin
        }
    }
}

/// Returns when one more iteration may begin: at once, unless many are on their way.
pub(crate) async fn begin() -> Visit {
    let mut place = Place(None);
    poll_fn(|cx| {
        let waker = cx.waker().clone();
        let (_old, poll); // dropped without the lock
        let mut visits = visits();
        if visits.on_their_way < MOST {
            visits.on_their_way += 1;
            let place = place.0.take();
            _old = place.and_then(|place| visits.waiting.remove(&place));
            poll = Poll::Ready(Visit(()));
        } else {
            let number = *place.0.get_or_insert_with(|| {
                visits.places += 1;
                visits.places
            });
            _old = visits.waiting.insert(number, waker);
            poll = Poll::Pending;
        }
        poll
    })
    .await
}
