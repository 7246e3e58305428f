//! What can happen: C's side and the user's, each on the real operation.
#![allow(unsafe_code)] // Keeps the contracts that C keeps, and calls the core as C does.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::task::{Context, Poll};

use crate::errno::Errno;
use crate::error::Fault;
use crate::future::{self, Output};
use crate::op::{self, Complete, Submitted};
use crate::parts::{Held, INTACT, InFinish, InSubmit, Resource};
use crate::script::MANY;
use crate::sys;
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
        Event::Complete { operation, rc } => complete(operation, rc),
        Event::FreeIo { operation } => free_io(operation),
    }
}

fn submissions(operation: usize) -> usize {
    with(|world| world.operations[operation].submissions)
}

/// Runs `f` with this spdk_thread as the current one.
fn on<R>(thread: usize, f: impl FnOnce() -> R) -> R {
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
        submit(owned.0, held, callback, arg)
    };
    let finish = move |held: Held, rc: c_int| finish(in_finish, held, rc);
    // SAFETY: the script keeps the contract: it calls back as `submit` says, names the descriptor and the
    // channel, touches `held` only, and submits and calls back on the operation's spdk_thread.
    let future = unsafe {
        if with_done(operation) {
            future::frame(op::op::<WithDone, _, _>(held, submit, finish))
        } else {
            future::frame(op::op::<WithoutDone, _, _>(held, submit, finish))
        }
    };
    with(|world| world.operations[operation].future = Some(future));
}

/// The callback type of every second operation says what [`Submitted::Done`] means.
fn with_done(operation: usize) -> bool {
    operation.is_multiple_of(2)
}

enum WithDone {}
enum WithoutDone {}

unsafe fn on_done<K: Complete<c_int>>(arg: *mut c_void, rc: c_int) {
    // SAFETY: passed on.
    unsafe { op::complete::<K, _>(arg, rc) }
}

// SAFETY: `on_done` passes its context to `complete`, once.
unsafe impl op::Callback for WithDone {
    type Fn = Callback;
    type Raw = c_int;
    fn of<K: Complete<c_int>>() -> Callback {
        on_done::<K>
    }
    fn done() -> Option<c_int> {
        Some(0)
    }
}

// SAFETY: as above.
unsafe impl op::Callback for WithoutDone {
    type Fn = Callback;
    type Raw = c_int;
    fn of<K: Complete<c_int>>() -> Callback {
        on_done::<K>
    }
}

/// The C function.
fn submit(id: usize, held: &mut Held, callback: Callback, arg: *mut c_void) -> Submitted {
    let (share, home, here) = with(|world| {
        let here = world.thread;
        let operation = &mut world.operations[id];
        operation.state = State::Submitting;
        operation.submissions += 1;
        operation.in_call = true;
        operation.arg = arg;
        operation.touches = held;
        (operation.share, operation.thread, here)
    });
    require(here == home, "it is submitted on the wrong spdk_thread");
    require(share != Share::Dropped, "it is submitted for nobody");
    require(submissions(id) <= MANY, "it is submitted again and again");
    require(held.intact == INTACT, "`held` is gone at a submission");
    user_code(Point::SubmitCall);
    let answer = with(|world| world.pick(7));
    let (name, inside, said) = match answer {
        0 => ("pending", None, Submitted::Pending),
        1 => ("refused", None, Submitted::Refused(Errno::EINVAL)),
        2 => ("done", None, Submitted::Done),
        3 => (
            "no memory",
            None,
            Submitted::NoMemory {
                desc: sys::DESC,
                ch: sys::CHANNEL,
            },
        ),
        4 => ("called back, pending", Some(0), Submitted::Pending),
        5 => ("called back, pending", Some(-libc::EIO), Submitted::Pending),
        _ => (
            "called back, refused",
            Some(0),
            Submitted::Refused(Errno::EINVAL),
        ),
    };
    with(|world| {
        world.log_answer(id, name);
        world.turn(id, name);
    });
    if let Some(rc) = inside {
        with(|world| world.operations[id].reported = Some(rc));
        // SAFETY: the callback of this submission, once, on its spdk_thread.
        unsafe { callback(arg, rc) };
        let finished = with(|world| {
            world.operations[id].state = State::Inline;
            world.operations[id].finish_called
        });
        require(!finished, "it ends while C is in the submit call");
        user_code(Point::AfterInlineCallback);
    }
    with(|world| {
        if inside.is_some() {
            world.turn(id, "return");
        }
        let operation = &mut world.operations[id];
        operation.in_call = false;
        match (&said, inside) {
            (Submitted::Pending, None) => {
                operation.owed = Some((callback, arg));
                operation.state = State::InFlight;
            }
            (Submitted::Refused(errno), None) => {
                operation.outcome = Some(Err(Fault(*errno)));
            }
            (Submitted::Done, _) if with_done(id) => operation.reported = Some(0),
            (Submitted::Done, _) => operation.outcome = Some(Err(Fault(Errno::EPROTO))),
            _ => {}
        }
    });
    said
}

fn finish(in_finish: InFinish, held: Held, rc: c_int) -> Output {
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
    drop(held);
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

/// C calls back.
fn complete(id: usize, rc: c_int) {
    let (owed, touches, thread) = with(|world| {
        world.turn(id, "callback");
        let operation = &mut world.operations[id];
        operation.reported = Some(rc);
        (operation.owed.take(), operation.touches, operation.thread)
    });
    let Some((callback, arg)) = owed else {
        unreachable!("the event is possible with a callback owed only");
    };
    touch(touches);
    // SAFETY: the callback that the submission was given, once, on its spdk_thread.
    on(thread, || unsafe { callback(arg, rc) });
    let finished = with(|world| world.operations[id].finish_called);
    require(finished, "C called back, and the operation did not end");
}

/// What C does to an operation's memory until it calls back.
fn touch(held: *const Held) {
    // SAFETY: the core keeps `held` alive and in its place until the callback; that is what is tested.
    let intact = unsafe { ptr::read_volatile(&raw const (*held).intact) };
    require(intact == INTACT, "`held` is gone while C uses it");
}

/// `spdk_bdev_queue_io_wait`.
pub(crate) fn queue_io_wait(entry: *mut sys::spdk_bdev_io_wait_entry) -> c_int {
    // SAFETY: the core's entry, in its slot.
    let (callback, arg) = unsafe { ((*entry).cb_fn, (*entry).cb_arg) };
    let id = with(|world| {
        world
            .operations
            .iter()
            .rposition(|it| it.state == State::Submitting && it.arg == arg)
    });
    require(
        id.is_some() && callback.is_some(),
        "nobody waits in this entry",
    );
    let Some(id) = id else { unreachable!() };
    with(|world| {
        let accepted = world.pick(2) == 0;
        let operation = &mut world.operations[id];
        operation.state = State::Waiting;
        if accepted {
            operation.queued = Some(entry);
            return 0;
        }
        world.log_answer(id, "one is free");
        world.turn(id, "one is free");
        world.operations[id].state = State::Retry;
        -libc::EINVAL
    })
}

/// SPDK has a free `spdk_bdev_io`.
fn free_io(id: usize) {
    let (entry, arg, thread, share, before) = with(|world| {
        world.turn(id, "free");
        let operation = &mut world.operations[id];
        (
            operation.queued.take(),
            operation.arg,
            operation.thread,
            operation.share,
            operation.submissions,
        )
    });
    let Some(entry) = entry else {
        unreachable!("the event is possible with an entry queued only");
    };
    // SAFETY: the core keeps the entry in its place until its callback; that is what is tested.
    let (callback, context) = unsafe { ((*entry).cb_fn, (*entry).cb_arg) };
    require(context == arg, "the queue's entry was changed");
    let Some(callback) = callback else {
        unreachable!("looked at when it was queued");
    };
    // SAFETY: the entry's callback, once, on its spdk_thread.
    on(thread, || unsafe { callback(context) });
    let after = submissions(id);
    match share {
        Share::Dropped => with(|world| world.operations[id].released = true),
        _ => require(after > before, "it has to be submitted again, and is not"),
    }
}
