//! A blob, with the library's own queues and counts of I/Os.

pub(crate) mod handle;
#[allow(unreachable_pub, reason = "public in its own crate")]
#[path = "../../../spdk/src/blob/io_queue.rs"]
mod io_queue;
#[allow(dead_code, reason = "operations use the rest, and there are none")]
#[allow(unreachable_pub, reason = "public in its own crate")]
#[path = "../../../spdk/src/blob/requests.rs"]
mod requests;
mod unmap;

use std::ptr::NonNull;
use std::rc::Rc;

pub(crate) use requests::Requests;

/// Those of the channel that all queues have here.
pub(crate) fn requests(most: usize) -> Rc<Requests> {
    Requests::of(NonNull::dangling(), most, false)
}

/// The channel is given back.
pub(crate) fn give_back(requests: &Requests) {
    requests.is_given_back();
}
