//! C's side of an I/O: the submit functions with their answers, the callback, the queue of those that wait.
#![allow(unsafe_code)] // Keeps the contracts that C keeps, and calls the library as C does.

use std::ffi::{c_int, c_void};
use std::ptr;

use crate::buf;
use crate::errno::Errno;
use crate::error::Fault;
use crate::event::{on, user_code};
use crate::local::{HOME, Local};
use crate::sys;
use crate::world::{Kind, Point, Share, State, World, require, with};

/// When every I/O was submitted.
pub(crate) const SUBMITTED: u64 = 7;

// Two of C's answers.
pub(crate) const PENDING: usize = 0;
pub(crate) const CALLED_BACK: usize = 1;
/// No memory, and then that there is some after all.
pub(crate) const REFUSED_TWICE: [usize; 2] = [2, 1];

#[derive(Clone, Copy)]
pub(crate) enum Callback {
    Bdev(sys::spdk_bdev_io_completion_cb),
    Blob(sys::spdk_blob_op_complete),
}

/// A C function that begins an I/O.
pub(crate) fn submit(
    kind: Kind,
    data: Option<&*mut c_void>,
    offset: u64,
    blocks: u64,
    callback: Callback,
    arg: *mut c_void,
) -> c_int {
    let id = crate::world::io_at(offset);
    let problem = with(|world| wrong(world, id, kind, data, offset));
    require(
        problem.is_none() && blocks == 1,
        problem.unwrap_or("length"),
    );
    let is_blob = matches!(callback, Callback::Blob(_));
    with(|world| {
        if world.ios[id].state() == State::Waiting {
            world.waiting.pop_front();
        }
        world.turn(id, "begin");
        world.count(id);
        world.go(id, State::Submitting);
        let each = world.queue_of(id).each.filter(|_| !world.limits.watched);
        let with_each = each.map(|each| world.eaches[each].of);
        let it = &mut world.ios[id];
        it.with_each = with_each;
        it.submissions += 1;
        it.arg = arg;
        it.is_alone = it.wants_alone;
    });
    user_code(Point::SubmitCall);
    let is_odd = with(|world| world.limits.odd);
    let answer = with(|world| world.pick(if is_blob { 3 } else { 4 } + usize::from(is_odd)));
    let (what, inside) = match (answer, is_blob) {
        (PENDING, _) => ("pending", None),
        (CALLED_BACK, _) => ("called back", Some(0)),
        (2, true) => ("called back, no memory", Some(-libc::ENOMEM)),
        (2, false) => ("no memory", None),
        (3, false) => ("refused", None),
        _ => ("called back, failed", Some(-libc::EIO)),
    };
    with(|world| world.turn(id, what));
    if let Some(rc) = inside {
        call_back(id, callback, arg, rc);
        return 0;
    }
    match what {
        "no memory" => -libc::ENOMEM,
        "refused" => {
            with(|world| {
                world.go(id, State::Refusing);
                world.ios[id].result = Some(Err(Fault(Errno::EINVAL)));
            });
            -libc::EINVAL
        }
        _ => {
            with(|world| {
                world.go(id, State::InFlight);
                world.ios[id].owed = Some(callback);
            });
            0
        }
    }
}

/// What is wrong with a submission.
fn wrong(
    world: &mut World,
    id: usize,
    kind: Kind,
    data: Option<&*mut c_void>,
    offset: u64,
) -> Option<&'static str> {
    let is_left = world.queue_of(id).share() == Share::Dropped;
    let is_first_again = world.queue_of(id).again.front() == Some(&id);
    let is_first_waiting = world.waiting.front() == Some(&id);
    let it = &world.ios[id];
    let expected = it.buf.filter(|_| kind == Kind::Read);
    let expected = expected.map(|number| buf::memory(id, number));
    let may_begin = match it.state() {
        State::Beginning => true,
        State::Waiting => world.limits.most > 0 && is_first_waiting && !is_left,
        State::Again => is_first_again && !is_left,
        _ => false,
    };
    let is_again = it.state() == State::Again;
    let rules = [
        (world.thread == HOME, "submitted on the wrong spdk_thread"),
        (it.kind == kind, "submitted as another kind"),
        (offset == 64 * it.round + id as u64, "submitted elsewhere"),
        (data.copied() == expected, "submitted with another buffer"),
        (may_begin, "submitted again, or not in its turn"),
        (
            world.limits.most == 0 || !world.has_to_wait(id),
            "submitted while it has to wait",
        ),
    ];
    let broken = rules.iter().find(|(holds, _)| !holds);
    let broken = broken.map(|(_, what)| *what);
    if is_again {
        world.queue_of(id).again.pop_front();
    }
    broken
}

/// C calls back later.
pub(crate) fn complete(id: usize, rc: c_int) {
    let (owed, arg) = with(|world| {
        world.turn(id, "callback");
        (world.ios[id].owed.take(), world.ios[id].arg)
    });
    let Some(callback) = owed else {
        unreachable!("the event is possible with a callback owed only");
    };
    call_back(id, callback, arg, rc);
}

fn call_back(id: usize, callback: Callback, arg: *mut c_void, rc: c_int) {
    let is_blob = matches!(callback, Callback::Blob(_));
    let for_closure = with(|world| {
        world.callbacks += 1;
        let was_alone = std::mem::take(&mut world.ios[id].is_alone);
        world.ios[id].bdev_io = !is_blob;
        if is_blob && rc == -libc::ENOMEM && !was_alone {
            world.ios[id].wants_alone = true;
            world.go(id, State::Waiting);
            world.waiting.push_back(id);
            return None;
        }
        world.ios[id].result = Some(match rc {
            0 => Ok(()),
            rc => Err(Fault(Errno::from_code(rc))),
        });
        is_reported(world, id)
    });
    on(HOME, || match callback {
        Callback::Bdev(done) => {
            let done = done.unwrap_or_else(|| unreachable!("a callback"));
            // SAFETY: the callback of this submission, once, on its spdk_thread.
            unsafe { done(ptr::without_provenance_mut(0x1000 + id), rc == 0, arg) }
        }
        Callback::Blob(done) => {
            let done = done.unwrap_or_else(|| unreachable!("a callback"));
            // SAFETY: as above.
            unsafe { done(arg, rc) }
        }
    });
    with(|world| {
        world.callbacks -= 1;
        world.leave();
        world.end_panicked(world.ios[id].queue);
    });
    if let Some(before) = for_closure {
        let after = with(|world| world.ios[id].closures);
        require(after > before, "the closure is not called in the callback");
    }
}

/// Where an I/O goes that C calls back for. Tells how often it was given to a closure, if it is to be given to one now.
fn is_reported(world: &mut World, id: usize) -> Option<usize> {
    let (share, each) = (world.queue_of(id).share(), world.queue_of(id).each);
    let of = each.map(|each| world.eaches[each].of);
    let with_each = world.ios[id].with_each;
    let is_free = Local::home().entered().get().is_null();
    world.go(id, State::Reported);
    if share == Share::Dropped {
        world.ios[id].counts = world.limits.watched;
    } else if of.is_some() && of == with_each && is_free && world.ios[id].result == Some(Ok(())) {
        return Some(world.ios[id].closures);
    } else if !world.limits.watched {
        world.end(id);
    }
    None
}

/// The I/O whose callback has this.
fn io_of(bdev_io: *mut sys::spdk_bdev_io) -> usize {
    bdev_io.addr() - 0x1000
}

pub(crate) fn look_at(bdev_io: *mut sys::spdk_bdev_io) {
    let is_there = with(|world| world.ios[io_of(bdev_io)].bdev_io);
    require(is_there, "a bdev_io is looked at that was freed");
}

pub(crate) fn free_bdev_io(bdev_io: *mut sys::spdk_bdev_io) {
    look_at(bdev_io);
    with(|world| world.ios[io_of(bdev_io)].bdev_io = false);
}

/// `spdk_bdev_queue_io_wait`.
pub(crate) fn queue_io_wait(entry: *mut sys::spdk_bdev_io_wait_entry) -> c_int {
    // SAFETY: the library's entry, in its slot.
    let arg = unsafe { (*entry).cb_arg };
    let id = with(|world| {
        let mut ios = world.ios.iter();
        ios.position(|it| it.state() == State::Submitting && it.arg == arg)
    });
    require(id.is_some(), "nobody waits in this entry");
    let Some(id) = id else { unreachable!() };
    with(|world| {
        if world.pick(2) == 0 {
            world.turn(id, "waits");
            world.go(id, State::Waiting);
            world.ios[id].entry = Some(entry);
            return 0;
        }
        world.turn(id, "one is free");
        if world.queue_of(id).share() == Share::Dropped {
            // Nobody polls any more.
            world.go(id, State::Reported);
            world.ios[id].counts = false;
        } else {
            world.go(id, State::Again);
            world.queue_of(id).again.push_back(id);
        }
        -libc::EINVAL
    })
}

/// SPDK has a free `spdk_bdev_io`.
pub(crate) fn free_io(id: usize) {
    let (entry, arg, share, before) = with(|world| {
        world.turn(id, "free");
        let share = world.queue_of(id).share();
        let it = &mut world.ios[id];
        (it.entry.take(), it.arg, share, it.submissions)
    });
    let Some(entry) = entry else {
        unreachable!("the event is possible with an entry only");
    };
    // SAFETY: the library keeps the entry in its place until its callback; that is what is tested.
    let (callback, context) = unsafe { ((*entry).cb_fn, (*entry).cb_arg) };
    require(
        context == arg && callback.is_some(),
        "the entry was changed",
    );
    let Some(callback) = callback else {
        unreachable!()
    };
    with(|world| {
        let is_left = share == Share::Dropped;
        world.go(
            id,
            if is_left {
                State::Reported
            } else {
                State::Beginning
            },
        );
        world.ios[id].counts = !is_left;
    });
    // SAFETY: the entry's callback, once, on its spdk_thread.
    on(HOME, || unsafe { callback(context) });
    let after = with(|world| world.ios[id].submissions);
    let is_left = share == Share::Dropped;
    require(is_left || after > before, "it waited, and is not submitted");
}
