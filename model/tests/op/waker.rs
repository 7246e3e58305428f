//! Wakers whose clones are counted, and whose functions run user code.
#![allow(unsafe_code)] // Makes `Waker`s from numbers; no memory stands behind them.

use std::mem::ManuallyDrop;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::event;
use crate::world::{self, Point};

/// One waker of an operation.
#[derive(Default)]
pub(crate) struct Token {
    pub(crate) operation: usize,
    /// How many clones the core has.
    pub(crate) clones: isize,
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |token| {
        event::user_code(Point::WakerClone);
        world::with(|world| world.wakers[token.addr()].clones += 1);
        RawWaker::new(token, &VTABLE)
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

fn woken(token: usize) {
    world::with(|world| {
        let operation = world.wakers[token].operation;
        let operation = &mut world.operations[operation];
        operation.woken |= operation.polled_with == Some(token);
    });
    event::user_code(Point::Wake);
}

/// The waker with this number. The script's own is not counted.
pub(crate) fn waker(token: usize) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(ptr::without_provenance(token), &VTABLE);
    // SAFETY: the functions use the word as a number only. They reach thread-local state, and no waker
    // of this test leaves its thread.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}
