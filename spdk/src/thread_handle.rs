//! [`ThreadHandle`]: work for an spdk_thread, from any OS thread.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use crate::error::{Error, ErrorKind, Result};
use crate::local::{self, Local};
use crate::panic::caught;
use crate::round_trip;
use crate::shared::Shared;
use crate::task;

/// Sends work to an spdk_thread from any OS thread. Cheap to clone.
///
/// It may outlive its spdk_thread: what it sends then is refused with [`ErrorKind::ThreadEnded`].
///
/// [`ThreadHandle::on_core`] makes an spdk_thread on a core of an application;
/// [`SpdkThread::handle`](crate::SpdkThread::handle) and
/// [`CurrentThread::handle`](crate::CurrentThread::handle) give the handles of others.
#[derive(Clone)]
pub struct ThreadHandle {
    shared: Arc<Shared>,
}

impl ThreadHandle {
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        ThreadHandle { shared }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Runs `f` on the spdk_thread, in one of its next polls, and returns at once.
    ///
    /// Closures that one OS thread sends run in the order they were sent. A panic of `f` is reported
    /// through `tracing`, and the spdk_thread goes on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if the spdk_thread has ended; `f` is dropped then. It is also
    /// dropped, without running, if the spdk_thread ends before its turn.
    #[doc(alias = "spdk_thread_send_msg")]
    pub fn send<F>(&self, f: F) -> Result<()>
    where
        F: FnOnce() + Send + 'static,
    {
        if self.shared.send(f) {
            Ok(())
        } else {
            Err(self.ended())
        }
    }

    /// Runs `f` on the spdk_thread and returns what it returned. Works on any executor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadEnded`] if the spdk_thread ended before `f` had run,
    /// [`ErrorKind::Panicked`] if `f` panicked.
    ///
    /// # Cancellation
    ///
    /// `f` runs all the same when the future is dropped; its result is dropped then.
    pub async fn call<F, T>(&self, f: F) -> Result<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let (message, trip) = round_trip::new(f, waker);
        // A message that is refused is dropped, which ends the trip.
        let _sent = self.shared.send_message(message);
        match trip.await {
            Some(Ok(output)) => Ok(output),
            Some(Err(payload)) => Err(task::panicked(payload)),
            None => Err(self.ended()),
        }
    }

    /// Runs a task on the spdk_thread: `make` is sent there and builds the future, which need not be
    /// `Send`. Returns the task's output.
    ///
    /// # Errors
    ///
    /// As for [`ThreadHandle::call`]; [`ErrorKind::Cancelled`] if the spdk_thread ended before the
    /// task did.
    ///
    /// # Cancellation
    ///
    /// The task runs on when the future is dropped; its output is dropped then.
    pub async fn spawn<M, F>(&self, make: M) -> Result<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (tx, rx) = oneshot::async_channel();
        self.send(move || {
            let spawned = task::spawn_local(async move {
                let task = async move { make().await };
                let result = caught(task).await;
                // The caller may have dropped its future.
                let _ = tx.send(result.map_err(task::panicked));
            });
            drop(spawned);
        })?;
        rx.await.unwrap_or(Err(ErrorKind::Cancelled.into()))
    }

    /// [`ThreadHandle::spawn`] for an async closure, which may borrow what it has captured.
    ///
    /// ```no_run
    /// # async fn example(thread: spdk::ThreadHandle, data: Vec<u8>) -> spdk::Result<()> {
    /// let sum: u64 = thread
    ///     .call_async(async move || {
    ///         spdk::task::yield_now().await;
    ///         data.iter().copied().map(u64::from).sum()
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`ThreadHandle::spawn`].
    ///
    /// # Cancellation
    ///
    /// As for [`ThreadHandle::spawn`].
    pub async fn call_async<F, T>(&self, f: F) -> Result<T>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn(move || async move { f().await }).await
    }

    /// Runs `f` at once if the spdk_thread is the current one, and sends it there otherwise.
    ///
    /// # Errors
    ///
    /// As for [`ThreadHandle::send`].
    #[doc(alias = "spdk_thread_exec_msg")]
    pub fn exec<F>(&self, f: F) -> Result<()>
    where
        F: FnOnce() + Send + 'static,
    {
        match Local::here() {
            Some(local) if Arc::ptr_eq(local.shared(), &self.shared) => {
                local::run_caught("message", f);
                Ok(())
            }
            _ => self.send(f),
        }
    }

    /// The spdk_threads that this crate has run on and that have not ended.
    /// [`SpdkThread::all`](crate::SpdkThread::all) also visits those that belong to SPDK's modules.
    pub fn all() -> Vec<ThreadHandle> {
        Shared::all().into_iter().map(ThreadHandle::of).collect()
    }

    /// The one of [`ThreadHandle::all`] with this number.
    #[doc(alias = "spdk_thread_get_by_id")]
    pub fn by_id(id: u64) -> Option<ThreadHandle> {
        Self::all().into_iter().find(|thread| thread.id() == id)
    }

    /// The first of [`ThreadHandle::all`] with this name. Names need not be unique.
    pub fn by_name(name: &str) -> Option<ThreadHandle> {
        Self::all().into_iter().find(|thread| thread.name() == name)
    }

    pub(crate) fn ended(&self) -> Error {
        ErrorKind::ThreadEnded {
            name: self.shared.name().to_owned(),
        }
        .into()
    }

    /// The name of the spdk_thread.
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// The number of the spdk_thread.
    pub fn id(&self) -> u64 {
        self.shared.id()
    }

    /// Whether the spdk_thread has ended.
    pub fn has_ended(&self) -> bool {
        self.shared.is_closed()
    }
}

impl fmt::Debug for ThreadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadHandle")
            .field("name", &self.name())
            .field("id", &self.id())
            .finish()
    }
}
