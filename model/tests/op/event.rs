//! What can happen, and the user's side of it: futures that are started, polled, dropped and forgotten.
#![allow(unsafe_code)] // Makes operations whose C side keeps its contract.

use std::ffi::{c_int, c_void};
use std::task::{Context, Poll};

use crate::c;
use crate::future::{self, Output};
use crate::op;
use crate::parts::{Held, INTACT, InFinish, InSubmit, Resource};
use crate::waker::{self, Token};
use crate::world::{Callback, Operation, Point, Share, State, World, require, with};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Start,
    Poll { operation: usize, anew: bool },
    PollElsewhere { operation: usize },
    Drop { operation: usize },
    Forget { operation: usize },
    Complete { operation: usize, rc: c_int },
    FreeIo { operation: usize },
}

/// Every event that a program and C could cause now.
pub(crate) fn possible(world: &World) -> Vec<Event> {
    let mut events = Vec::new();
    if world.operations.len() < world.limits.operations {
        events.push(Event::Start);
    }
    for (operation, it) in world.operations.iter().enumerate() {
        if it.future.is_some() {
            events.push(Event::Poll {
                operation,
                anew: false,
            });
            if it.polled_with.is_some() {
                events.push(Event::Poll {
                    operation,
                    anew: true,
                });
            }
            // The core asks for the current spdk_thread in this state only.
            if it.state == State::Retry {
                events.push(Event::PollElsewhere { operation });
            }
            events.push(Event::Drop { operation });
            events.push(Event::Forget { operation });
        }
        if it.owed.is_some() {
            events.push(Event::Complete { operation, rc: 0 });
            let rc = -libc::EIO;
            events.push(Event::Complete { operation, rc });
        }
        if it.queued.is_some() {
            events.push(Event::FreeIo { operation });
        }
    }
    events
}

/// Called where the core calls the user's code: something else may happen there.
pub(crate) fn user_code(point: Point) {
    let events = with(|world| match world.nested {
        0 => Vec::new(),
        _ => possible(world),
    });
    let picked = with(|world| world.pick(events.len() + 1));
    if picked > 0 {
        with(|world| {
            world.nested -= 1;
            world.log_inside(point);
        });
        run(events[picked - 1]);
    }
}

pub(crate) fn run(event: Event) {
    with(|world| world.log_event(event));
    match event {
        Event::Start => start(),
        Event::Poll { operation, anew } => {
            let home = with(|world| world.operations[operation].thread);
            poll(operation, anew, home, "poll");
        }
        Event::PollElsewhere { operation } => {
            let elsewhere = with(|world| 3 - world.operations[operation].thread);
            let before = submissions(operation);
            poll(operation, false, elsewhere, "poll elsewhere");
            require(
                submissions(operation) == before,
                "it is submitted on the wrong spdk_thread",
            );
        }
        Event::Drop { operation } => {
            let future = with(|world| {
                world.turn(operation, "drop");
                world.operations[operation].share = Share::Dropped;
                world.operations[operation].future.take()
            });
            drop(future);
        }
        Event::Forget { operation } => {
            let future = with(|world| {
                world.turn(operation, "forget");
                world.operations[operation].share = Share::Forgotten;
                world.operations[operation].future.take()
            });
            if let Some(mut future) = future {
                future.as_mut().forget();
            }
        }
        Event::Complete { operation, rc } => c::complete(operation, rc),
        Event::FreeIo { operation } => c::free_io(operation),
    }
}

pub(crate) fn submissions(operation: usize) -> usize {
    with(|world| world.operations[operation].submissions)
}

/// Runs `f` with this spdk_thread as the current one.
pub(crate) fn on<R>(thread: usize, f: impl FnOnce() -> R) -> R {
    let before = with(|world| std::mem::replace(&mut world.thread, thread));
    let result = f();
    with(|world| world.thread = before);
    result
}

fn start() {
    let operation = with(|world| {
        world.operations.push(Operation::new(world.thread));
        world.operations.len() - 1
    });
    let held = Held {
        operation,
        intact: INTACT,
    };
    let (in_submit, in_finish) = (InSubmit(operation), InFinish(operation));
    let submit = move |held: &mut Held, callback: Callback, arg: *mut c_void| {
        let owned: &InSubmit = &in_submit;
        c::submit(owned.0, held, callback, arg)
    };
    let finish = move |held: &mut Held, rc: c_int| finish(in_finish, held, rc);
    // SAFETY: the script keeps the contract: it calls back as `submit` says, names the descriptor and the
    // channel, touches `held` only, and submits and calls back on the operation's spdk_thread.
    let future = unsafe {
        if c::with_done(operation) {
            future::frame(op::op::<c::WithDone, _, _>(submit, finish, held))
        } else {
            future::frame(op::op::<c::WithoutDone, _, _>(submit, finish, held))
        }
    };
    with(|world| world.operations[operation].future = Some(future));
}

fn finish(in_finish: InFinish, held: &Held, rc: c_int) -> Output {
    let id = in_finish.0;
    let (twice, reported, same) = with(|world| {
        let operation = &mut world.operations[id];
        let twice = std::mem::replace(&mut operation.finish_called, true);
        (twice, operation.reported, held.operation == id)
    });
    require(!twice, "`finish` is called twice");
    require(reported == Some(rc), "`finish` gets what C did not report");
    require(same, "`finish` gets what another operation held");
    user_code(Point::Finish);
    drop(in_finish);
    let result = op::status(rc).map(|()| Resource::make(id));
    with(|world| {
        let outcome = result.as_ref().map(|_| ()).map_err(|fault| *fault);
        world.operations[id].outcome = Some(outcome);
    });
    result
}

fn poll(id: usize, anew: bool, thread: usize, what: &'static str) {
    let (future, token, before, submitted) = with(|world| {
        world.turn(id, what);
        let operation = &mut world.operations[id];
        let token = match operation.polled_with {
            Some(token) if !anew => token,
            _ => {
                operation.wakers.push(world.wakers.len());
                world.wakers.push(Token {
                    operation: id,
                    clones: 0,
                });
                world.wakers.len() - 1
            }
        };
        operation.polled_with = Some(token);
        operation.woken = false;
        let before = operation.state();
        (
            operation.future.take(),
            token,
            before,
            operation.submissions,
        )
    });
    let Some(mut future) = future else {
        unreachable!("the event is possible with a future only");
    };
    let waker = waker::waker(token);
    let polled = on(thread, || {
        future.as_mut().poll(&mut Context::from_waker(&waker))
    });
    if before == State::Retry && what == "poll" {
        require(
            submissions(id) > submitted,
            "it has to be submitted again, and is not",
        );
    }
    match polled {
        Poll::Pending => with(|world| world.operations[id].future = Some(future)),
        Poll::Ready(result) => {
            let outcome = with(|world| {
                world.operations[id].share = Share::Ready;
                world.operations[id].outcome
            });
            let got = result.as_ref().map(|_| ()).map_err(|fault| *fault);
            require(outcome == Some(got), "the result is not the operation's");
            if let Ok(resource) = result {
                resource.take();
            }
        }
    }
}
