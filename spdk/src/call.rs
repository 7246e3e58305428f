//! The future of a generated call.
#![allow(unsafe_code)] // Is the future's owner of an operation, from its begin to its end.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Error, Fault, Place};
use crate::io_id::{BdevIo, IoId, NvmeIo};
use crate::local::{Caller, begin};
use crate::op::{Begun, Operation};
use crate::span::{self, Watch};

/// As the future of an `async fn`: it does nothing before its first poll. But the compiler makes less
/// code of it.
struct Call<B, O: Operation, E> {
    stage: Stage<B, O>,
    at: E,
}

enum Stage<B, O> {
    New(B),
    /// The operation, which has not been ready yet.
    Begun(O),
    Ended,
}

/// Calls C by `start`, at the first poll, and tells errors and spans `at` which call they happen.
///
/// `start` runs no code of the user's between the begin of the operation and its return, such as the drop
/// of what it has captured: an operation that ended there would not be seen as ended.
#[inline(always)]
pub fn call<'a, B, O, E, T>(
    start: B,
    at: E,
) -> impl BdevIo<Output = Result<T, Error>> + NvmeIo<Output = Result<T, Error>>
where
    B: FnOnce(Caller<'_>) -> Result<Begun<O>, Fault>,
    O: Operation<Output = T>,
    E: Place<'a>,
{
    let stage = Stage::New(start);
    Call { stage, at }
}

// Nothing in it is pinned: an operation is a pointer.
impl<B, O: Operation, E> Unpin for Call<B, O, E> {}

impl<'a, B, O, E> Future for Call<B, O, E>
where
    B: FnOnce(Caller<'_>) -> Result<Begun<O>, Fault>,
    O: Operation,
    E: Place<'a>,
{
    type Output = Result<O::Output, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let poll = if let Stage::Begun(op) = this.stage {
            // SAFETY: it has not been ready.
            let poll = unsafe { op.poll(cx) };
            if poll.is_ready() {
                this.stage = Stage::Ended;
            }
            poll
        } else {
            let Stage::New(start) = mem::replace(&mut this.stage, Stage::Ended) else {
                panic!("a call's future was polled after it was ready");
            };
            match begin(start) {
                Ok(Begun { op, in_flight }) => {
                    this.stage = Stage::Begun(op);
                    let poll = match in_flight && !span::are_wanted() {
                        // SAFETY: it is new, and C has it.
                        true => unsafe { op.wait_for(cx) },
                        false => {
                            if let Some(watch) = Watch::open(&this.at) {
                                // SAFETY: it has not been ready.
                                unsafe { op.watch(watch) };
                            }
                            // SAFETY: as above; it may have ended by now.
                            unsafe { op.poll(cx) }
                        }
                    };
                    if poll.is_ready() {
                        this.stage = Stage::Ended;
                    }
                    poll
                }
                Err(fault) => {
                    if let Some(watch) = Watch::open(&this.at) {
                        watch.end(Some(&fault));
                    }
                    Poll::Ready(Err(fault))
                }
            }
        };
        match poll {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(output)) => Poll::Ready(Ok(output)),
            Poll::Ready(Err(fault)) => Poll::Ready(Err(this.at.told(fault))),
        }
    }
}

impl<B, O: Operation, E> Call<B, O, E> {
    fn id(&self) -> Option<IoId> {
        match self.stage {
            Stage::Begun(op) => IoId::of(op.context()),
            Stage::New(_) | Stage::Ended => None,
        }
    }
}

impl<'a, B, O, E> BdevIo for Call<B, O, E>
where
    B: FnOnce(Caller<'_>) -> Result<Begun<O>, Fault>,
    O: Operation,
    E: Place<'a>,
{
    fn id(&self) -> Option<IoId> {
        self.id()
    }
}

impl<'a, B, O, E> NvmeIo for Call<B, O, E>
where
    B: FnOnce(Caller<'_>) -> Result<Begun<O>, Fault>,
    O: Operation,
    E: Place<'a>,
{
    fn id(&self) -> Option<IoId> {
        self.id()
    }
}

impl<B, O: Operation, E> Drop for Call<B, O, E> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Stage::Begun(op) = self.stage {
            // SAFETY: it has not been ready, and nobody polls it any more.
            unsafe { op.detach() };
        }
    }
}
