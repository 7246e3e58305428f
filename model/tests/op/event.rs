//! What can happen, and the user's side of it: futures that are started, polled, dropped and forgotten.
#![allow(unsafe_code)] // Makes operations whose C side keeps its contract.

use std::ffi::{c_int, c_void};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::c;
use crate::call::call;
use crate::errno::Errno;
use crate::error::{At, Error, Fault};
use crate::future::{self, Forget};
use crate::local::{Caller, begin};
use crate::op::{self, Begun, Operation as _};
use crate::parts::{Held, InFinish, InSubmit, Parts, Resource};
use crate::share::{self, Checked};
use crate::waker::{self, Kind, Token};
use crate::world::{Callback, Operation, Point, Share, State, World, require, with};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Start,
    /// Starts an operation and gives it up, without a future.
    Leave,
    Poll {
        operation: usize,
        with: With,
    },
    PollElsewhere {
        operation: usize,
    },
    Drop {
        operation: usize,
    },
    Forget {
        operation: usize,
    },
    Complete {
        operation: usize,
        rc: c_int,
    },
    FreeIo {
        operation: usize,
    },
    GoOn {
        operation: usize,
    },
}

/// The waker of a poll.
#[derive(Clone, Copy, Debug)]
pub(crate) enum With {
    /// That of the poll before.
    Same,
    New(Kind),
}

/// Every event that a program and C could cause now.
pub(crate) fn possible(world: &World) -> Vec<Event> {
    let mut events = Vec::new();
    if world.operations.len() < world.limits.operations {
        events.extend([Event::Start, Event::Leave]);
    }
    for (operation, it) in world.operations.iter().enumerate() {
        if it.future.is_some() {
            let same = it.polled_with.map(|_| With::Same);
            let new = [Kind::Task, Kind::Foreign].map(With::New);
            let wakers = same.into_iter().chain(new);
            events.extend(wakers.map(|with| Event::Poll { operation, with }));
            // The current spdk_thread is asked for in these states only.
            if matches!(it.state, State::New | State::Retry) {
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
        if it.waiters.count() > 0 {
            events.push(Event::GoOn { operation });
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
        Event::Leave => leave(),
        Event::Poll {
            operation,
            with: waker,
        } => {
            let home = with(|world| world.operations[operation].thread);
            poll(operation, waker, home, "poll");
        }
        Event::PollElsewhere { operation } => {
            let elsewhere = with(|world| 3 - world.operations[operation].thread);
            let before = submissions(operation);
            poll(operation, With::Same, elsewhere, "poll elsewhere");
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
        Event::GoOn { operation } => c::go_on(operation),
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

fn create() -> usize {
    with(|world| {
        world.operations.push(Operation::new(world.thread));
        world.operations.len() - 1
    })
}

fn start() {
    fn future<C: op::Callback<Fn = Callback, Raw = c_int>>(
        operation: usize,
    ) -> Pin<Box<dyn Forget>> {
        let parts = Parts::new(operation);
        let at = move || At { operation };
        future::frame(call(move |caller| submit::<C>(parts, caller), at))
    }
    let operation = create();
    let future = if c::with_done(operation) {
        future::<c::WithDone>(operation)
    } else {
        future::<c::WithoutDone>(operation)
    };
    require(
        submissions(operation) == 0,
        "it is submitted before the first poll",
    );
    with(|world| world.operations[operation].future = Some(future));
}

/// An operation that nobody waits for.
fn leave() {
    fn leave<C: op::Callback<Fn = Callback, Raw = c_int>>(operation: usize) {
        let parts = Parts::new(operation);
        let begun = begin(|caller| submit::<C>(parts, caller));
        let Ok(Begun { op, .. }) = begun else {
            unreachable!("it starts where it is at home");
        };
        with(|world| {
            world.turn(operation, "drop");
            world.operations[operation].share = Share::Dropped;
        });
        // SAFETY: nobody has polled it.
        unsafe { op.detach() };
    }
    let operation = create();
    with(|world| world.turn(operation, "leave"));
    if c::with_done(operation) {
        leave::<c::WithDone>(operation);
    } else {
        leave::<c::WithoutDone>(operation);
    }
}

/// Begins the operation that these are the parts of, at home.
fn submit<C: op::Callback<Fn = Callback, Raw = c_int>>(
    parts: Parts,
    caller: Caller<'_>,
) -> Result<Begun<Checked<impl op::Operation<Output = Resource> + use<C>>>, Fault> {
    let operation = parts.held.operation;
    let elsewhere = Fault(Errno::EPERM);
    let is_at_home = with(|world| {
        let operation = &mut world.operations[operation];
        let is_at_home = operation.thread == caller.thread();
        if !is_at_home {
            operation.outcome = Some(Err(elsewhere));
        }
        is_at_home
    });
    if !is_at_home {
        return Err(elsewhere);
    }
    let Parts {
        held,
        in_submit,
        in_finish,
    } = parts;
    let submit = move |held: &mut Held, callback: Callback, arg: *mut c_void| {
        let owned: &InSubmit = &in_submit;
        c::submit(owned.0, held, callback, arg)
    };
    let finish = move |held: &mut Held, rc: c_int| finish(in_finish, held, rc);
    // SAFETY: the script keeps the contract: it calls back as `submit` says, names the descriptor and the
    // channel, touches `held` only, and submits and calls back on the operation's spdk_thread.
    let begun = unsafe { op::op::<C, _, _>(submit, finish, held) };
    Ok(share::check(operation, begun))
}

fn finish(in_finish: InFinish, held: &Held, rc: c_int) -> Result<Resource, Fault> {
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

fn poll(id: usize, waker: With, thread: usize, what: &'static str) {
    let (future, token, before, submitted) = with(|world| {
        world.turn(id, what);
        let operation = &mut world.operations[id];
        let kind = match waker {
            With::Same => Kind::Task,
            With::New(kind) => kind,
        };
        let token = match (operation.polled_with, waker) {
            (Some(token), With::Same) => token,
            _ => {
                operation.wakers.push(world.wakers.len());
                world.wakers.push(Token {
                    operation: id,
                    kind,
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
    if matches!(before, State::New | State::Retry) && what == "poll" {
        require(
            submissions(id) > submitted,
            "it has to be submitted, and is not",
        );
    }
    match polled {
        Poll::Pending => with(|world| world.operations[id].future = Some(future)),
        Poll::Ready(result) => {
            let outcome = with(|world| {
                world.operations[id].share = Share::Ready;
                world.operations[id].outcome
            });
            let at = |fault| Error {
                fault,
                operation: id,
            };
            let expected = outcome.map(|outcome| outcome.map_err(at));
            let got = result.as_ref().map(|_| ()).map_err(|error| *error);
            require(expected == Some(got), "the result is not the operation's");
            if let Ok(resource) = result {
                resource.take();
            }
        }
    }
}
