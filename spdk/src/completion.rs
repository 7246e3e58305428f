//! A future for a C callback of your own.
#![allow(unsafe_code)] // Passes a sender through a `void *`.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Error, ErrorKind, Result};

/// A future and the sender that completes it, for a C function that this crate does not wrap.
///
/// Pass [`CompletionSender::into_raw`] as the callback's argument, and take it back with
/// [`CompletionSender::from_raw`] inside the callback. What C may touch until then, such as buffers,
/// is yours to keep alive: for wrappers that do so, write a manifest entry and
/// [`api!`](crate::api).
pub fn completion<T>() -> (CompletionSender<T>, Completion<T>) {
    let (tx, rx) = oneshot::async_channel();
    (CompletionSender(tx), Completion(rx))
}

/// The future of a [`completion`]. It resolves to [`ErrorKind::Cancelled`] if its sender is
/// dropped.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Completion<T>(oneshot::AsyncReceiver<Result<T>>);

impl<T> Future for Completion<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sent = std::task::ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(sent.unwrap_or(Err(ErrorKind::Cancelled.into())))
    }
}

/// Completes a [`Completion`].
#[derive(Debug)]
pub struct CompletionSender<T>(oneshot::Sender<Result<T>>);

impl<T> CompletionSender<T> {
    /// Completes the future with a value, if it is still there.
    pub fn success(self, value: T) {
        self.send(Ok(value));
    }

    /// Completes the future with an error, if it is still there.
    pub fn error(self, error: Error) {
        self.send(Err(error));
    }

    fn send(self, result: Result<T>) {
        // A future that was dropped wants no result.
        let _ = self.0.send(result);
    }

    /// The sender as an argument for a C callback. It leaks unless [`CompletionSender::from_raw`]
    /// takes it back.
    pub fn into_raw(self) -> *mut c_void {
        Box::into_raw(Box::new(self)).cast()
    }

    /// The sender again.
    ///
    /// # Safety
    ///
    /// `raw` came from [`CompletionSender::into_raw`] of the same `T`, and is taken back once.
    pub unsafe fn from_raw(raw: *mut c_void) -> Self {
        // SAFETY: the caller promises a box of this type, once.
        *unsafe { Box::from_raw(raw.cast::<Self>()) }
    }
}
