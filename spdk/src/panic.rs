//! No panic crosses into C: it ends the process with a label instead.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs `f`, which C called. If it panics the process aborts, after a line that says where.
///
/// C has no way to go on: the frames between two Rust frames hold SPDK's locks and half-changed
/// queues.
#[inline(always)]
pub(crate) fn guard<R>(label: &'static str, f: impl FnOnce() -> R) -> R {
    struct Abort(&'static str);
    impl Drop for Abort {
        // Inlined, so that the label is not stored before `f` runs.
        #[inline(always)]
        fn drop(&mut self) {
            abort(self.0);
        }
    }
    let abort = Abort(label);
    let result = f();
    std::mem::forget(abort);
    result
}

#[cold]
fn abort(callback: &'static str) {
    tracing::error!(callback, "panic in a callback from SPDK, aborting");
    std::process::abort();
}

/// Runs a future of the user's; a panic of it is the error.
pub(crate) async fn caught<F: Future>(future: F) -> std::thread::Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(move |cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        poll.map_or_else(|payload| Poll::Ready(Err(payload)), |poll| poll.map(Ok))
    })
    .await
}

/// The text of a panic's payload.
pub(crate) fn text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic with a payload that is not text".to_owned()
    }
}

/// The same of one that is dropped with that.
pub(crate) fn message(payload: Box<dyn Any + Send>) -> String {
    let text = text(&*payload);
    // Its drop is the user's code. What that panics with is dropped if it is text, or this would have no end.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
        && !another.is::<&str>()
        && !another.is::<String>()
    {
        std::mem::forget(another);
    }
    text
}
