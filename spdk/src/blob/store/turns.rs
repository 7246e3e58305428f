//! Whose turn it is on the metadata thread.
//!
//! Closing a blob may write, so what comes after a close waits for it: a blob that was dropped can be deleted.
#![allow(unsafe_code)] // Sends what is not `Send` from an spdk_thread to itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use super::super::remote::Carry;
use super::Store;

#[derive(Default)]
pub(super) struct Turns {
    /// How many blobs are being closed or resized, and whether something has it [alone](Store::alone).
    closing: Cell<usize>,
    /// How often one of these has ended.
    ended: Cell<u64>,
    /// What waits for that, in its order.
    waiting: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    /// Whether somebody takes from `waiting`.
    is_going_on: Cell<bool>,
    /// How many [`Change`]s there are.
    changes: Cell<usize>,
    /// What waits until there is none.
    until_still: RefCell<Vec<Box<dyn FnOnce()>>>,
    /// How many [`Opening`]s there are.
    openings: Cell<usize>,
    /// What waits until there is none.
    until_opened: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl Turns {
    /// Whether something waits.
    pub(super) fn are_awaited(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Runs it after what waits.
    pub(super) fn wait(&self, f: impl FnOnce() + 'static) {
        self.waiting.borrow_mut().push_back(Box::new(f));
    }

    /// Has what is no close wait.
    pub(super) fn begin_close(&self) {
        self.closing.set(self.closing.get() + 1);
    }

    /// The end of a close, after which [`Turns::go_on`] is called.
    pub(super) fn end_close(&self) {
        self.closing.set(self.closing.get() - 1);
        self.ended.set(self.ended.get() + 1);
    }

    /// Runs what waits, if it waits for nothing.
    pub(super) fn go_on(&self) {
        if self.is_going_on.replace(true) {
            return;
        }
        while self.closing.get() == 0 {
            let Some(next) = self.waiting.borrow_mut().pop_front() else {
                break;
            };
            next();
        }
        self.is_going_on.set(false);
    }
}

impl Store {
    /// Runs it when no blob is being closed: now, or later. On the metadata thread.
    pub(in crate::blob) fn in_turn(&self, f: impl FnOnce() + 'static) {
        let turns = &self.metadata.turns;
        match turns.closing.get() {
            0 if !turns.are_awaited() => f(),
            _ => turns.wait(f),
        }
    }

    /// The same for a call of the metadata thread itself, which comes after what others have sent before: it may know of a
    /// blob that was dropped there without having had the message yet.
    pub(in crate::blob) fn in_order(self: &Arc<Self>, f: impl FnOnce() + 'static) {
        if !self.has_messages() {
            return self.in_turn(f);
        }
        // SAFETY: it goes from this spdk_thread to this one.
        let f = unsafe { Carry::new(f) };
        let store = self.clone();
        self.send(move || store.in_turn(f.take()));
    }

    /// Another number after a close has ended. On the metadata thread.
    pub(in crate::blob) fn closes(&self) -> u64 {
        self.metadata.turns.ended.get()
    }

    /// Has what comes from now on, but for closes, wait until the end of what begins now, in turn.
    pub(in crate::blob) fn alone(self: &Arc<Self>) -> Alone {
        self.metadata.turns.begin_close();
        Alone(self.clone())
    }
}

impl Store {
    /// For a call that goes on after its turn, and has SPDK change blobs in several steps. On the metadata thread.
    pub(in crate::blob) fn change(self: &Arc<Self>) -> Change {
        let changes = &self.metadata.turns.changes;
        changes.set(changes.get() + 1);
        Change(self.clone())
    }

    /// Runs it alone, when there is no [`Change`]: now, if it is its turn, or later. What comes meanwhile does not wait.
    pub(in crate::blob) fn when_still(self: &Arc<Self>, f: impl FnOnce(Alone) + 'static) {
        let turns = &self.metadata.turns;
        if turns.changes.get() == 0 {
            return f(self.alone());
        }
        let store = self.clone();
        let again = Box::new(move || store.clone().in_turn(move || store.when_still(f)));
        turns.until_still.borrow_mut().push(again);
    }
}

/// Changes blobs until this is dropped, on the metadata thread.
pub(in crate::blob) struct Change(Arc<Store>);

impl Drop for Change {
    fn drop(&mut self) {
        let turns = &self.0.metadata.turns;
        turns.changes.set(turns.changes.get() - 1);
        if turns.changes.get() == 0 {
            let waiting = turns.until_still.take();
            waiting.into_iter().for_each(|again| again());
        }
    }
}

/// Has its store alone: what is not a close waits until this is dropped, on the metadata thread.
pub(in crate::blob) struct Alone(Arc<Store>);

impl Alone {
    pub(super) fn store(&self) -> &Arc<Store> {
        &self.0
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let turns = &self.0.metadata.turns;
        turns.end_close();
        turns.go_on();
    }
}

impl Store {
    /// For a call that opens blobs, which a deletion waits for. On the metadata thread.
    pub(in crate::blob) fn opening(self: &Arc<Self>) -> Opening {
        let openings = &self.metadata.turns.openings;
        openings.set(openings.get() + 1);
        Opening(self.clone())
    }

    /// Runs it when there is no [`Opening`]: now, or later. On the metadata thread.
    pub(in crate::blob) fn when_opened(&self, f: impl FnOnce() + 'static) {
        let turns = &self.metadata.turns;
        match turns.openings.get() {
            0 => f(),
            _ => turns.until_opened.borrow_mut().push(Box::new(f)),
        }
    }
}

/// Opens blobs until this is dropped, on the metadata thread.
pub(in crate::blob) struct Opening(Arc<Store>);

impl Drop for Opening {
    fn drop(&mut self) {
        let turns = &self.0.metadata.turns;
        turns.openings.set(turns.openings.get() - 1);
        if turns.openings.get() == 0 {
            let waiting = turns.until_opened.take();
            waiting.into_iter().for_each(|f| f());
        }
    }
}
