//! C's side of an operation: the submit function with its answers, the callback, the queue.
#![allow(unsafe_code)] // Keeps the contracts that C keeps, and calls the core as C does.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;

use crate::errno::Errno;
use crate::error::Fault;
use crate::event::{on, submissions, user_code};
use crate::op::{self, Complete, Submitted};
use crate::parts::{Held, INTACT};
use crate::script::MANY;
use crate::sys;
use crate::world::{Callback, Point, Share, State, require, with};

/// The callback type of every second operation says what [`Submitted::Done`] means.
pub(crate) fn with_done(operation: usize) -> bool {
    operation.is_multiple_of(2)
}

pub(crate) enum WithDone {}
pub(crate) enum WithoutDone {}

unsafe fn on_done<K: Complete<c_int>>(arg: *mut c_void, rc: c_int) {
    // SAFETY: passed on.
    unsafe { op::complete::<K, _>(arg, rc) }
}

// SAFETY: `on_done` passes its context to `complete`, once.
unsafe impl op::Callback for WithDone {
    type Fn = Callback;
    type Raw = c_int;
    const RESUMES: bool = true;
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
pub(crate) fn submit(
    id: usize,
    held: &mut Held,
    callback: Callback,
    arg: *mut c_void,
) -> Submitted {
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
    let answer = with(|world| world.pick(8));
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
        6 => (
            "full",
            None,
            Submitted::Full(with(|world| Rc::as_ptr(&world.operations[id].waiters))),
        ),
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
            (Submitted::Full(_), _) => operation.state = State::Waiting,
            (Submitted::Done, _) if with_done(id) => operation.reported = Some(0),
            (Submitted::Done, _) => operation.outcome = Some(Err(Fault(Errno::EPROTO))),
            _ => {}
        }
    });
    said
}

/// C calls back.
pub(crate) fn complete(id: usize, rc: c_int) {
    let (owed, touches, thread) = with(|world| {
        world.turn(id, "callback");
        let operation = &mut world.operations[id];
        operation.reported = Some(rc);
        operation.in_callback = true;
        (operation.owed.take(), operation.touches, operation.thread)
    });
    let Some((callback, arg)) = owed else {
        unreachable!("the event is possible with a callback owed only");
    };
    touch(touches);
    // SAFETY: the callback that the submission was given, once, on its spdk_thread.
    on(thread, || unsafe { callback(arg, rc) });
    let finished = with(|world| {
        world.operations[id].in_callback = false;
        world.operations[id].finish_called
    });
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
            .position(|it| it.state() == State::Submitting && it.arg == arg)
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

/// A queue has a request to spare.
pub(crate) fn go_on(id: usize) {
    let (waiters, thread, share, before) = with(|world| {
        world.turn(id, "request");
        let operation = &world.operations[id];
        let waiters = operation.waiters.clone();
        (
            waiters,
            operation.thread,
            operation.share,
            operation.submissions,
        )
    });
    on(thread, || waiters.go_on());
    went_on(id, share, before);
}

/// SPDK has a free `spdk_bdev_io`.
pub(crate) fn free_io(id: usize) {
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
    went_on(id, share, before);
}

/// What it waited for is there.
fn went_on(id: usize, share: Share, before: usize) {
    let after = submissions(id);
    match share {
        Share::Dropped => with(|world| world.operations[id].released = true),
        _ => require(after > before, "it has to be submitted again, and is not"),
    }
}
