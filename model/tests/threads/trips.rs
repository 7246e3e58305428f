//! Round trips: what a closure returns reaches its future, or is dropped once, and the future is woken.
#![allow(unsafe_code)] // Reads and writes cells that loom checks for races.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use loom::cell::UnsafeCell;
use loom::sync::Notify;
use loom::thread;

use crate::inbox::Message;
use crate::{check, others_first, round_trip};

/// A wake that is waited for; loom fails when it never comes.
struct Flag(Notify);

impl Flag {
    fn new() -> Arc<Self> {
        Arc::new(Flag(Notify::new()))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// What a closure returns: something that was written on its OS thread, counted while it exists.
struct Output {
    written: UnsafeCell<u32>,
    alive: Arc<AtomicUsize>,
}

impl Output {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, SeqCst);
        let written = UnsafeCell::new(0);
        // SAFETY: nobody else has it yet.
        written.with_mut(|place| unsafe { *place = 7 });
        let alive = alive.clone();
        Output { written, alive }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: it is owned; loom fails if the write does not come before.
        assert_eq!(self.written.with(|place| unsafe { *place }), 7);
        self.alive.fetch_sub(1, SeqCst);
    }
}

/// Has another OS thread `end` the message while `caller` has the future, and looks whether anything is left.
fn model(end: fn(Message), caller: fn(&mut Trip, &Waker) -> bool) {
    check(move || {
        let alive = Arc::new(AtomicUsize::new(0));
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        // What the closure holds is dropped with it.
        let (held, counter) = (Output::new(&alive), alive.clone());
        let closure = move || {
            drop(held);
            Output::new(&counter)
        };
        let (message, future) = round_trip::new(closure, waker.clone());
        let mut trip: Trip = Box::pin(future);
        let other = thread::spawn(move || end(message));
        if caller(&mut trip, &waker) {
            let outcome = loop {
                match trip.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(outcome) => break outcome,
                    Poll::Pending => {
                        flag.0.wait();
                        others_first();
                    }
                }
            };
            assert!(outcome.is_none_or(|output| output.is_ok()));
        }
        drop(trip);
        other.join().unwrap();
        assert_eq!(alive.load(SeqCst), 0, "something is left");
        drop(waker);
        assert_eq!(Arc::strong_count(&flag), 1, "a waker is left");
    });
}

type Trip = Pin<Box<dyn Future<Output = Option<std::thread::Result<Output>>>>>;

fn stays(_: &mut Trip, _: &Waker) -> bool {
    true
}

/// Polls with two other wakers, and goes on with the first.
fn changes(trip: &mut Trip, _: &Waker) -> bool {
    let flags = [(); 2].map(|()| Flag::new());
    let ready = flags.iter().any(|flag| {
        let waker = Waker::from(flag.clone());
        let poll = trip.as_mut().poll(&mut Context::from_waker(&waker));
        poll.is_ready()
    });
    !ready
}

fn leaves(_: &mut Trip, _: &Waker) -> bool {
    false
}

/// Polls with another waker once, and leaves.
fn changes_and_leaves(trip: &mut Trip, _: &Waker) -> bool {
    let waker = Waker::from(Flag::new());
    let _ = trip.as_mut().poll(&mut Context::from_waker(&waker));
    false
}

#[test]
fn an_output_reaches_the_future() {
    model(Message::run, stays);
}

#[test]
fn an_output_reaches_a_future_that_changes_its_task() {
    model(Message::run, changes);
}

#[test]
fn an_output_without_a_future_is_dropped() {
    model(Message::run, leaves);
    model(Message::run, changes_and_leaves);
}

#[test]
fn a_message_that_is_dropped_ends_the_future() {
    model(drop, stays);
    model(drop, changes);
    model(drop, leaves);
    model(drop, changes_and_leaves);
}
