//! Wakers whose clones are counted: of tasks of our own executor, and foreign ones, whose functions run user
//! code.
#![allow(unsafe_code)] // Makes `Waker`s from numbers; no memory stands behind them.

use std::mem::ManuallyDrop;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::c;
use crate::event;
use crate::world::{self, Point};

/// One waker of an operation.
pub(crate) struct Token {
    pub(crate) operation: usize,
    pub(crate) kind: Kind,
    /// How many clones the core has.
    pub(crate) clones: isize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Task,
    Foreign,
}

pub(crate) static TASK: RawWakerVTable = RawWakerVTable::new(
    |token| {
        world::with(|world| world.wakers[token.addr()].clones += 1);
        RawWaker::new(token, &TASK)
    },
    |token| {
        give_back(token.addr());
        wake_task(token.addr());
    },
    |token| wake_task(token.addr()),
    |token| give_back(token.addr()),
);

static FOREIGN: RawWakerVTable = RawWakerVTable::new(
    |token| {
        event::user_code(Point::WakerClone);
        world::with(|world| world.wakers[token.addr()].clones += 1);
        RawWaker::new(token, &FOREIGN)
    },
    |token| {
        give_back(token.addr());
        woken(token.addr());
    },
    |token| woken(token.addr()),
    |token| {
        give_back(token.addr());
        event::user_code(Point::WakerDrop);
    },
);

fn give_back(token: usize) {
    let clones = world::with(|world| {
        world.wakers[token].clones -= 1;
        world.wakers[token].clones
    });
    world::require(clones >= 0, "a waker is dropped twice");
}

/// A wake that does not resume the task.
pub(crate) fn wake_task(token: usize) {
    let resumes = world::with(|world| {
        let operation = world.wakers[token].operation;
        // The end of a span is code of the user's, so its operation only wakes.
        !world.limits.watched && world.operations[operation].may_resume() && c::with_done(operation)
    });
    world::require(!resumes, "a task is woken that is to be resumed");
    woken(token);
}

/// Also in the wake of a task, where the executor runs no user code: a wake that resumes it does.
pub(crate) fn woken(token: usize) {
    world::with(|world| {
        let operation = world.wakers[token].operation;
        let operation = &mut world.operations[operation];
        operation.woken |= operation.polled_with == Some(token);
    });
    event::user_code(Point::Wake);
}

/// The waker with this number. The script's own is not counted.
pub(crate) fn waker(token: usize) -> ManuallyDrop<Waker> {
    let vtable = match world::with(|world| world.wakers[token].kind) {
        Kind::Task => &TASK,
        Kind::Foreign => &FOREIGN,
    };
    let raw = RawWaker::new(ptr::without_provenance(token), vtable);
    // SAFETY: the functions use the word as a number only. They reach thread-local state, and no waker
    // of this test leaves its thread.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}
