//! Events that SPDK reports again and again, as streams.
#![allow(unsafe_code)] // Turns the context of an event callback back into its hub.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::panic::guard;

/// How many events a stream keeps for a reader that does not come; the oldest are dropped then.
const CAPACITY: usize = 1024;

struct Queue<E> {
    events: RefCell<VecDeque<E>>,
    waker: Cell<Option<Waker>>,
}

/// The source of an object's events. Its address is the context of the C callback.
pub struct EventHub<E>(Rc<Hub<E>>);

type Hook<E> = Box<dyn Fn(&E)>;

struct Hub<E> {
    queues: RefCell<Vec<Weak<Queue<E>>>>,
    hook: Cell<Option<Hook<E>>>,
    closed: Cell<bool>,
}

impl<E> Default for EventHub<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> EventHub<E> {
    /// A hub without subscribers.
    pub fn new() -> Self {
        EventHub(Rc::new(Hub {
            queues: RefCell::default(),
            hook: Cell::new(None),
            closed: Cell::new(false),
        }))
    }

    /// The context for the C callback: valid as long as the hub.
    pub fn arg(&self) -> *mut c_void {
        Rc::as_ptr(&self.0).cast_mut().cast()
    }

    /// Runs `hook` on each event, before the subscribers see it.
    pub(crate) fn set_hook(&self, hook: impl Fn(&E) + 'static) {
        self.0.hook.set(Some(Box::new(hook)));
    }

    /// Whether anybody has a stream of it.
    #[cfg(feature = "nvmf")]
    pub(crate) fn is_heard(&self) -> bool {
        let queues = self.0.queues.borrow();
        queues.iter().any(|queue| queue.strong_count() > 0)
    }

    /// Ends the streams: there will be no more events.
    pub fn close(&self) {
        self.0.closed.set(true);
        for queue in self.0.queues.take() {
            let waker = queue.upgrade().and_then(|queue| queue.waker.take());
            // A stream without a hub has ended, which its reader sees when it looks again: maybe in the wake.
            drop(queue);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// A stream of the events from now on.
    pub fn subscribe(&self) -> Events<E> {
        let queue = Rc::new(Queue {
            events: RefCell::default(),
            waker: Cell::new(None),
        });
        if !self.0.closed.get() {
            let mut queues = self.0.queues.borrow_mut();
            queues.retain(|queue| queue.strong_count() > 0);
            queues.push(Rc::downgrade(&queue));
        }
        Events(queue)
    }
}

impl<E> Drop for EventHub<E> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reports an event to a hub: called by the C callback.
///
/// # Safety
///
/// `arg` is [`EventHub::arg`] of a live hub of the same `E`, on the spdk_thread of the hub.
pub unsafe fn emit<E: Clone + 'static>(arg: *mut c_void, event: E) {
    guard("event callback", || {
        let hub = arg.cast::<Hub<E>>().cast_const();
        // SAFETY: the caller promises a live hub, which is in an `Rc`; this takes one more reference, since its hook may wake
        // somebody who lets the object go.
        let hub = unsafe {
            Rc::increment_strong_count(hub);
            Rc::from_raw(hub)
        };
        let queues: Vec<_> = hub
            .queues
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        if let Some(hook) = hub.hook.take() {
            hook(&event);
            hub.hook.set(Some(hook));
        }
        for queue in queues {
            let mut events = queue.events.borrow_mut();
            let is_full = events.len() == CAPACITY;
            if is_full {
                events.pop_front();
            }
            events.push_back(event.clone());
            drop(events);
            // The user's subscriber may read the stream.
            if is_full {
                tracing::warn!("an event was dropped: its stream holds {CAPACITY} unread events");
            }
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    });
}

/// A stream of events. It ends when the object that reports them is closed, also by the removal of
/// its device, and every event has been read. Not `Send`.
///
/// It keeps up to 1,024 unread events; after that the oldest are dropped, with a `tracing` warning.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Events<E>(Rc<Queue<E>>);

impl<E> Events<E> {
    /// The next event; `None` when there will be none any more. A future that is dropped takes no event.
    #[expect(
        clippy::should_implement_trait,
        reason = "the name that streams have for it"
    )]
    pub fn next(&mut self) -> impl Future<Output = Option<E>> + Unpin {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
    }
}

impl<E> Stream for Events<E> {
    type Item = E;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<E>> {
        let look = || match self.0.events.borrow_mut().pop_front() {
            None if Rc::weak_count(&self.0) > 0 => Poll::Pending,
            event => Poll::Ready(event),
        };
        if let Poll::Ready(event) = look() {
            return Poll::Ready(event);
        }
        self.0.waker.set(Some(cx.waker().clone()));
        // One may have come in the clone, which is the user's code.
        look()
    }
}
