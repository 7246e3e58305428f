//! Tasks of an spdk_thread.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use async_task::FallibleTask;
use futures_util::FutureExt;

use crate::error::{At, Error, Result};
use crate::local::Local;
use crate::panic;

/// Runs a future as a task of the current spdk_thread.
///
/// The task runs inside that spdk_thread's polls and may hold what is not `Send`. Dropping the
/// [`JoinHandle`] lets the task run on; [`JoinHandle::abort`] ends it. When the spdk_thread ends,
/// its tasks are dropped there.
///
/// # Errors
///
/// [`Error::NoThread`] without a current spdk_thread, [`Error::ThreadEnded`] while it is ending.
pub fn spawn_local<F>(future: F) -> Result<JoinHandle<F::Output>>
where
    F: Future + 'static,
{
    let local = Local::current().map_err(|fault| fault.at(At::free("spawn_local")))?;
    if local.is_ending() {
        let name = local.shared().name().to_owned();
        return Err(Error::ThreadEnded { name });
    }
    Ok(spawn_on(&local, future))
}

/// Spawns on the `Local` of this OS thread.
pub(crate) fn spawn_on<F>(local: &Rc<Local>, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    /// Takes the task off the list of its spdk_thread when its future goes.
    struct Listed(Rc<Local>, usize);
    impl Drop for Listed {
        fn drop(&mut self) {
            self.0.unlist(self.1);
        }
    }

    let key = local.tasks().borrow().vacant_key();
    let listed = Listed(local.clone(), key);
    let future = async move {
        let _listed = listed;
        AssertUnwindSafe(future).catch_unwind().await
    };
    let shared = local.shared().clone();
    let (runnable, task) =
        async_task::spawn_local(future, move |runnable| shared.schedule(runnable));
    local.tasks().borrow_mut().insert(runnable.waker());
    runnable.schedule();
    let task = Some(task.fallible());
    JoinHandle { task }
}

/// The other end of a task: its result, when it has one.
///
/// It resolves to the task's output, to [`Error::Panicked`] if the task panicked, or to
/// [`Error::Cancelled`] if it was aborted or its spdk_thread ended first. Dropping the handle
/// leaves the task running.
#[must_use = "a task's panic is seen only by its handle; drop it explicitly to let the task run on"]
pub struct JoinHandle<T> {
    task: Option<FallibleTask<std::thread::Result<T>>>,
}

impl<T> JoinHandle<T> {
    /// Drops the task's future, on its own spdk_thread, at its next turn.
    pub fn abort(&mut self) {
        drop(self.task.take());
    }

    /// Whether the task has ended, or was aborted.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(FallibleTask::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = self.task.as_mut() else {
            return Poll::Ready(Err(Error::Cancelled));
        };
        let end = std::task::ready!(Pin::new(task).poll(cx));
        self.task = None;
        Poll::Ready(match end {
            Some(Ok(output)) => Ok(output),
            Some(Err(payload)) => Err(panicked(payload)),
            None => Err(Error::Cancelled),
        })
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
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
    let message = panic::message(&*payload);
    Error::Panicked { message }
}

/// Lets the other tasks and SPDK's pollers run once before it is ready.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
