//! The future's share of an operation, which says what is wrong when it is used against its contract.
#![allow(unsafe_code)] // Passes the share's own contract on, after a look.

use std::ffi::c_void;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::Fault;
use crate::op::{Begun, Operation};
use crate::parts::Resource;
use crate::span::Watch;
use crate::world::{State, require, with};

#[derive(Clone, Copy)]
pub(crate) struct Checked<O> {
    share: O,
    operation: usize,
}

pub(crate) fn check<O>(operation: usize, begun: Begun<O>) -> Begun<Checked<O>> {
    let Begun { op, in_flight } = begun;
    let state = with(|world| world.operations[operation].state());
    require(
        in_flight == (state == State::InFlight),
        "it is not known who has the operation",
    );
    Begun {
        op: Checked {
            share: op,
            operation,
        },
        in_flight,
    }
}

impl<O> Checked<O> {
    fn look(&self) {
        let ended = with(|world| world.operations[self.operation].share_ended);
        require(!ended, "the future's share is used after its end");
    }

    fn end(&self) {
        with(|world| world.operations[self.operation].share_ended = true);
    }
}

impl<O: Operation<Output = Resource>> Operation for Checked<O> {
    type Output = Resource;

    unsafe fn poll(self, cx: &mut Context<'_>) -> Poll<Result<Resource, Fault>> {
        self.look();
        // SAFETY: passed on.
        let poll = unsafe { self.share.poll(cx) };
        if poll.is_ready() {
            self.end();
        }
        poll
    }

    unsafe fn wait_for(self, cx: &mut Context<'_>) -> Poll<Result<Resource, Fault>> {
        self.look();
        let state = with(|world| world.operations[self.operation].state());
        require(
            state == State::InFlight,
            "it is waited for, and is not in flight",
        );
        // SAFETY: passed on.
        let poll = unsafe { self.share.wait_for(cx) };
        if poll.is_ready() {
            self.end();
        }
        poll
    }

    unsafe fn watch(self, watch: Rc<Watch>) {
        self.look();
        // SAFETY: passed on.
        unsafe { self.share.watch(watch) }
    }

    fn context(self) -> *mut c_void {
        self.look();
        self.share.context()
    }

    unsafe fn detach(self) {
        self.look();
        self.end();
        // SAFETY: passed on.
        unsafe { self.share.detach() }
    }
}
