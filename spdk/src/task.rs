//! Tasks of an spdk_thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::error::{At, Error, ErrorKind, Result};
use crate::executor::{self, TaskRef};
use crate::local::Local;
use crate::panic;

/// Runs a future as a task of the current spdk_thread.
///
/// The task runs inside that spdk_thread's polls and may hold what is not `Send`. Dropping the
/// [`JoinHandle`] lets the task run on; [`JoinHandle::abort`] ends it. When the spdk_thread ends,
/// its tasks are dropped there. It [must not block](crate#what-must-not-block).
///
/// # Errors
///
/// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::ThreadEnded`] while it is
/// ending.
pub fn spawn_local<F>(future: F) -> Result<JoinHandle<F::Output>>
where
    F: Future + 'static,
{
    let local = Local::current().map_err(|fault| fault.at(At::free("spawn_local")))?;
    if local.is_ending() {
        let name = local.shared().name().to_owned();
        return Err(ErrorKind::ThreadEnded { name }.into());
    }
    Ok(spawn_on(&local, future))
}

/// Spawns on the `Local` of this OS thread.
pub(crate) fn spawn_on<F>(local: &Rc<Local>, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    let end = Rc::new(End {
        result: RefCell::new(None),
        has_ended: Cell::new(false),
        waker: Cell::new(None),
    });
    let task = local.spawn(Box::new(Body {
        future,
        sink: Sink(end.clone()),
    }));
    JoinHandle {
        end,
        task,
        local: Rc::downgrade(local),
    }
}

pin_project! {
    /// What the executor polls: the user's future, and where its result goes.
    #[repr(align(64))]
    struct Body<F: Future> {
        #[pin]
        future: F,
        sink: Sink<F::Output>,
    }
}

impl<F: Future> executor::Body for Body<F> {
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.future.poll(cx).map(|output| this.sink.set(Ok(output)))
    }

    fn panicked(self: Pin<&mut Self>, payload: Box<dyn Any + Send>) {
        self.project().sink.set(Err(panicked(payload)));
    }
}

/// Where a task leaves its result.
struct End<T> {
    result: RefCell<Option<Result<T>>>,
    /// The task's future is dropped.
    has_ended: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// The task's side of its [`End`]: without a result when it goes, the task was cancelled.
struct Sink<T>(Rc<End<T>>);

impl<T> Sink<T> {
    fn set(&self, result: Result<T>) {
        *self.0.result.borrow_mut() = Some(result);
    }
}

impl<T> Drop for Sink<T> {
    fn drop(&mut self) {
        let mut result = self.0.result.borrow_mut();
        if result.is_none() {
            *result = Some(Err(ErrorKind::Cancelled.into()));
        }
        drop(result);
        // Before the wake, which may poll the handle.
        self.0.has_ended.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

/// The other end of a task: its result, when it has one. Not `Send`.
///
/// It resolves to the task's output, to [`ErrorKind::Panicked`] if the task panicked, or to
/// [`ErrorKind::Cancelled`] if it was aborted or its spdk_thread ended first. Dropping the handle
/// leaves the task running.
#[must_use = "a task's panic is seen only by its handle; drop it explicitly to let the task run on"]
pub struct JoinHandle<T> {
    end: Rc<End<T>>,
    /// `None` if it was cancelled at once.
    task: Option<TaskRef>,
    local: Weak<Local>,
}

impl<T> JoinHandle<T> {
    /// Drops the task's future, on its own spdk_thread, in its next turn.
    pub fn abort(&self) {
        if self.is_finished() {
            return; // its place may be another task's by now
        }
        if let (Some(local), Some(task)) = (self.local.upgrade(), self.task) {
            local.abort(task);
        }
    }

    /// Whether the task has ended, or was aborted.
    pub fn is_finished(&self) -> bool {
        self.end.has_ended.get()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_finished() {
            self.end.waker.set(Some(cx.waker().clone()));
            // Unless it has ended in the clone, which is the user's code.
            if !self.is_finished() {
                return Poll::Pending;
            }
        }
        let result = self.end.result.borrow_mut().take();
        // Without a result it was polled after it was ready.
        Poll::Ready(result.unwrap_or(Err(ErrorKind::Cancelled.into())))
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finished = self.is_finished();
        f.debug_struct("JoinHandle")
            .field("finished", &finished)
            .finish()
    }
}

pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let message = panic::message(payload);
    ErrorKind::Panicked { message }.into()
}

/// Runs `f` once, in the next turn of the current spdk_thread's executor, before its tasks: when the task,
/// poller or message that asks for it has returned.
///
/// A device's doorbell is a use of it: the first request of a turn asks, and all that come until then are
/// told by one ring. A panic of `f` is reported through `tracing`, and the spdk_thread goes on.
///
/// # Errors
///
/// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::ThreadEnded`] while it is
/// ending; `f` is dropped then.
#[doc(alias = "spdk_thread_register_post_poller_handler")]
pub fn defer<F>(f: F) -> Result<()>
where
    F: FnOnce() + 'static,
{
    let local = Local::current().map_err(|fault| fault.at(At::free("task::defer")))?;
    if local.is_ending() {
        let name = local.shared().name().to_owned();
        return Err(ErrorKind::ThreadEnded { name }.into());
    }
    local.defer(Box::new(f));
    Ok(())
}

/// Lets the other tasks and SPDK's pollers run once before it is ready.
pub async fn yield_now() {
    let mut since = None;
    std::future::poll_fn(|cx| {
        // A task can be polled again in the same turn: by the completion of an I/O that names it.
        let turn = match TaskRef::of(cx.waker()) {
            Some(_) => Local::current().ok().map(|local| local.executor().turn()),
            None => None, // another executor's task, which is polled when it was woken
        };
        match since {
            Some(before) if turn.is_none() || turn != before => Poll::Ready(()),
            _ => {
                // Each time: a poll takes the wakes before it.
                since = Some(turn);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await;
}
