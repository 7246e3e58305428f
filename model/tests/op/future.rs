//! A future that can be forgotten without the leak of its own memory, of which there would be millions.
#![allow(unsafe_code)] // Pins a field, and drops it by hand.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Error;
use crate::parts::Resource;

pub(crate) type Output = Result<Resource, Error>;

pub(crate) trait Forget: Future<Output = Output> {
    /// Its drop does nothing from now on.
    fn forget(self: Pin<&mut Self>);
}

struct Frame<F> {
    future: ManuallyDrop<F>,
    forgotten: bool,
}

pub(crate) fn frame(future: impl Future<Output = Output> + 'static) -> Pin<Box<dyn Forget>> {
    Box::pin(Frame {
        future: ManuallyDrop::new(future),
        forgotten: false,
    })
}

impl<F: Future<Output = Output>> Future for Frame<F> {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        // SAFETY: the field is pinned with the frame, and never moved out of it.
        unsafe { self.map_unchecked_mut(|frame| &mut *frame.future) }.poll(cx)
    }
}

impl<F: Future<Output = Output>> Forget for Frame<F> {
    fn forget(self: Pin<&mut Self>) {
        // SAFETY: nothing is moved.
        unsafe { self.get_unchecked_mut() }.forgotten = true;
    }
}

impl<F> Drop for Frame<F> {
    fn drop(&mut self) {
        if !self.forgotten {
            // SAFETY: dropped once, here, in its place.
            unsafe { ManuallyDrop::drop(&mut self.future) }
        }
    }
}
