//! Whether a queue pair over a network is answered.
//!
//! The keep-alive of a controller says nothing of the connections of its queue pairs, and SPDK waits for what is in flight
//! on one for ever: when the other end has gone without a word, or when a header was wrong, after which SPDK reads no
//! more. On the other hand a command may take as long as it likes. So when none has ended for a while, one more is sent,
//! which every controller refuses at once.
#![allow(unsafe_code)] // Passes on what the options of a controller need.

use std::cell::Cell;
use std::ptr::NonNull;

use super::silence::Silence;
use crate::sys;

pub(super) struct Line {
    ticks_per_ms: u64,
    silence: Silence,
    last_look: Cell<u64>,
    /// How many commands SPDK has got, and how many of them had ended at the last look.
    begun: Cell<usize>,
    ended: Cell<usize>,
    /// Whether the controller was asked for a sign of life, and whether it has given one.
    is_asked: Cell<bool>,
    has_answered: Cell<bool>,
}

impl Line {
    pub(super) fn new(ticks_per_ms: u64) -> Self {
        Line {
            ticks_per_ms,
            silence: Silence::new(),
            last_look: Cell::new(0),
            begun: Cell::new(0),
            ended: Cell::new(0),
            is_asked: Cell::new(false),
            has_answered: Cell::new(false),
        }
    }

    /// It is connected.
    ///
    /// # Safety
    /// The controller is attached.
    pub(super) unsafe fn begin(&self, ctrlr: NonNull<sys::spdk_nvme_ctrlr>) {
        // SAFETY: passed on.
        unsafe { self.silence.begin(ctrlr, self.ticks_per_ms) };
    }

    /// SPDK has got a command.
    #[inline]
    pub(super) fn has_begun(&self) {
        self.begun.set(self.begun.get().wrapping_add(1));
    }

    /// The controller has given a sign of life, or gives none any more.
    pub(super) fn has_answered(&self) {
        self.is_asked.set(false);
        self.has_answered.set(true);
    }

    /// Whether it is silent for too long, with so many commands in flight. `ask` asks for a sign of life, unless the queue
    /// is full.
    pub(super) fn is_dead(&self, in_flight: usize, now: u64, ask: impl FnOnce() -> bool) -> bool {
        let last = self.last_look.replace(now);
        let ended = self.begun.get().wrapping_sub(in_flight);
        let has_moved = self.ended.replace(ended) != ended;
        let is_alive = self.has_answered.replace(false) || has_moved || in_flight == 0;
        let is_dead = self.silence.is_too_long(is_alive, last, now);
        if !is_dead && self.silence.is_long() && !self.is_asked.get() && ask() {
            self.is_asked.set(true);
        }
        is_dead
    }
}
