//! Calls, which are done one after the other, each to its end.

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use spdk::spawn_local;
use spdk::task::JoinHandle;

use crate::error::{Error, Result};
use crate::log::Store;

type Call = Box<dyn for<'a> FnOnce(&'a mut Store) -> LocalBoxFuture<'a, ()>>;

/// The task that has a store, as long as there is somebody to call it.
pub(crate) struct Calls {
    sender: mpsc::UnboundedSender<Call>,
    task: JoinHandle<Store>,
}

impl Calls {
    pub(crate) fn of(mut store: Store) -> Result<Self> {
        let (sender, mut calls) = mpsc::unbounded::<Call>();
        let task = spawn_local(async move {
            while let Some(call) = calls.next().await {
                call(&mut store).await;
            }
            store
        })?;
        Ok(Calls { sender, task })
    }

    /// Does something with the store, also if this future is dropped.
    pub(crate) async fn call<T: 'static>(
        &self,
        f: impl AsyncFnOnce(&mut Store) -> Result<T> + 'static,
    ) -> Result<T> {
        let (sender, result) = oneshot::channel();
        let call: Call = Box::new(move |store| {
            Box::pin(async move {
                let _ = sender.send(f(store).await); // its future may have been dropped
            })
        });
        let sent = self.sender.unbounded_send(call);
        sent.map_err(|_| Error::Ended)?;
        result.await.unwrap_or(Err(Error::Ended))
    }

    /// Gives the store back after the last call.
    pub(crate) async fn end(self) -> Result<Store> {
        drop(self.sender);
        Ok(self.task.await?)
    }
}
