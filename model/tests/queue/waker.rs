//! Wakers whose clones are counted: of tasks of our own executor, and foreign ones, whose functions run user
//! code.
#![allow(unsafe_code)] // Makes `Waker`s from numbers; no memory stands behind them.

use std::mem::ManuallyDrop;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::event::user_code;
use crate::world::{self, Point, require};

/// One waker of a queue's polls.
pub(crate) struct Token {
    pub(crate) queue: usize,
    pub(crate) kind: Kind,
    /// How many clones the queue has.
    pub(crate) clones: isize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Task,
    Foreign,
}

pub(crate) static TASK: RawWakerVTable = RawWakerVTable::new(
    |token| {
        count(token.addr(), 1);
        RawWaker::new(token, &TASK)
    },
    |token| {
        count(token.addr(), -1);
        woken(token.addr());
    },
    |token| woken(token.addr()),
    |token| count(token.addr(), -1),
);

static FOREIGN: RawWakerVTable = RawWakerVTable::new(
    |token| {
        user_code(Point::WakerClone);
        count(token.addr(), 1);
        RawWaker::new(token, &FOREIGN)
    },
    |token| {
        count(token.addr(), -1);
        woken(token.addr());
    },
    |token| woken(token.addr()),
    |token| {
        count(token.addr(), -1);
        user_code(Point::WakerDrop);
    },
);

fn count(token: usize, clones: isize) {
    let clones = world::with(|world| {
        world.wakers[token].clones += clones;
        world.wakers[token].clones
    });
    require(clones >= 0, "a waker is dropped twice");
}

pub(crate) fn woken(token: usize) {
    let (for_something, foreign) = world::with(|world| {
        let Token { queue, kind, .. } = world.wakers[token];
        let has_news = world.has_news(queue);
        let it = &mut world.queues[queue];
        it.woken |= it.polled_with == Some(token);
        // A poll may ask for the next one, and a panic of a forgotten future is told of.
        let is_special = it.polls > 0 || it.panicked > 0;
        (has_news || is_special, kind == Kind::Foreign)
    });
    require(for_something, "a waker is woken for nothing");
    // The wake of a task runs no user code.
    if foreign {
        user_code(Point::Wake);
    }
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
