//! The user's side of a queue.
#![allow(unsafe_code)] // Borrows a queue for longer than a scope, as `hand` tells.

use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::act::{self, Scripted};
use crate::buf::{DmaBuf, Tag};
use crate::error::{Fault, INVALID, WRONG_THREAD, told};
use crate::event::{With, on, user_code};
use crate::executor::NOBODY;
use crate::local::{HOME, Local};
use crate::memory;
use crate::owner::Owner;
use crate::waker::{self, Kind as WakerKind, Token};
use crate::world::{Each, Hand, Io, Kind, Point, Share, State, World, require, with};

/// Takes what the user has of a queue, until it is put back.
fn take(queue: usize) -> Hand {
    with(|world| mem::replace(&mut world.queues[queue].hand, Hand::Busy))
}

fn put(queue: usize, hand: Hand) {
    with(|world| world.queues[queue].hand = hand);
}

/// Uses a queue that nothing borrows.
fn using<R>(queue: usize, f: impl FnOnce(&'static mut dyn Owner) -> R) -> R {
    let mut owner: NonNull<dyn Owner> = with(|world| world.queues[queue].owner);
    // SAFETY: it exists until `Drop`, and `hand` says that nobody else uses it.
    f(unsafe { owner.as_mut() })
}

/// An I/O is submitted. Returns its block.
pub(crate) fn begins(id: usize, kind: Kind, fault: Option<Fault>) -> u64 {
    with(|world| {
        world.turn(id, if fault.is_some() { "refused" } else { "submit" });
        let is_closures = world.ios[id].state() == State::Closure;
        world.go(id, State::Beginning);
        let is_blob = world.limits.most > 0;
        let it = &mut world.ios[id];
        it.from_closure = is_closures;
        it.kind = kind;
        it.round += 1;
        it.wants_alone = is_blob && kind == Kind::Unmap;
        it.result = fault.map(Err);
        64 * it.round + id as u64
    })
}

/// What became of it, if that is to wait.
pub(crate) fn has_begun(id: usize) {
    let waits = with(|world| {
        let it = &world.ios[id];
        if it.state() != State::Beginning {
            return true;
        }
        let waits = world.limits.most > 0 && it.result.is_none();
        let has_to = world.limits.watched || world.has_to_wait(id);
        world.turn(id, "full");
        world.count(id);
        world.go(id, State::Waiting);
        world.waiting.push_back(id);
        waits && has_to
    });
    require(waits, "it is neither with C nor refused, and need not wait");
}

pub(crate) fn submit(queue: usize, kind: Kind, thread: usize, len: usize) {
    let id = with(|world| {
        world.ios.push(Io::new(queue, kind));
        let its = world.ios.iter().filter(|it| it.queue == queue);
        let slots = its.filter(|it| it.state() != State::Gone).count();
        let it = &mut world.queues[queue];
        it.slots = it.slots.max(slots);
        world.ios.len() - 1
    });
    let fault = match (thread, len) {
        (HOME, 1) => None,
        (HOME, _) => Some(INVALID),
        _ => Some(WRONG_THREAD),
    };
    let offset = begins(id, kind, fault);
    let buf = (kind == Kind::Read).then(|| DmaBuf::new(id, len));
    take(queue);
    on(thread, || {
        using(queue, |owner| owner.submit(kind, offset, buf, Tag(id)))
    });
    put(queue, Hand::Queue);
    has_begun(id);
}

/// The waker of the next poll.
fn token(world: &mut World, queue: usize, with: With) -> usize {
    let before = world.queues[queue].polled_with;
    let token = match (before, with) {
        (Some(token), With::Same) => token,
        _ => {
            let kind = match with {
                With::Same => WakerKind::Task,
                With::New(kind) => kind,
            };
            let clones = 0;
            world.wakers.push(Token {
                queue,
                kind,
                clones,
            });
            world.wakers.len() - 1
        }
    };
    world.queues[queue].polled_with = Some(token);
    token
}

/// Polls as an executor does, on this spdk_thread.
fn polling<R>(
    queue: usize,
    with_waker: With,
    thread: usize,
    poll: impl FnOnce(&mut Context<'_>) -> R,
) -> R {
    let (token, is_task) = with(|world| {
        let token = token(world, queue, with_waker);
        let it = &mut world.queues[queue];
        it.is_pending = false;
        it.woken = false;
        it.polls += 1;
        (token, world.wakers[token].kind == WakerKind::Task)
    });
    let local = Local::home();
    let enters = is_task && thread == HOME && local.entered().get().is_null();
    if enters {
        local.entered().set(NOBODY);
    }
    let waker = waker::waker(token);
    let result = on(thread, || poll(&mut Context::from_waker(&waker)));
    if enters {
        local.entered().set(std::ptr::null());
    }
    with(|world| {
        world.queues[queue].polls -= 1;
        world.leave();
        world.end_panicked(queue);
    });
    result
}

pub(crate) fn poll(queue: usize, with_waker: With, thread: usize) {
    let hand = take(queue);
    match hand {
        Hand::Future(each, future) => return poll_each(queue, each, future, with_waker, thread),
        Hand::Queue => {}
        _ => unreachable!("the event is possible with one of these only"),
    }
    let (expected, again) = with(|world| expect(world, queue));
    let poll = polling(queue, with_waker, thread, |cx| {
        using(queue, |owner| owner.poll_ended(cx))
    });
    require(poll == expected, "the poll finds something else");
    count(queue, poll);
    put(queue, Hand::Queue);
    is_polled(queue, poll.is_pending(), thread, &again);
}

/// After so many polls that find something, others get their turn.
pub(crate) const BURST: u32 = 1024;

fn count(queue: usize, poll: Poll<bool>) {
    with(|world| match (&mut world.queues[queue].finds, poll) {
        (finds, Poll::Ready(true)) => *finds += 1,
        (finds, _) => *finds = 0,
    });
}

type Again = Vec<(usize, usize)>;

/// What a poll is to find, and which I/Os it submits again if it is pending.
fn expect(world: &mut World, queue: usize) -> (Poll<bool>, Again) {
    world.end_refused(queue);
    let again = to_submit(world, queue);
    let expected = if !world.queues[queue].ended.is_empty() {
        match world.queues[queue].finds {
            BURST => Poll::Pending,
            _ => Poll::Ready(true),
        }
    } else if world.in_flight(queue) == 0 {
        Poll::Ready(false)
    } else {
        Poll::Pending
    };
    (expected, again)
}

fn to_submit(world: &World, queue: usize) -> Again {
    let again = world.queues[queue].again.iter();
    again.map(|io| (*io, world.ios[*io].submissions)).collect()
}

/// After a poll.
fn is_polled(queue: usize, is_pending: bool, thread: usize, again: &Again) {
    let submitted = with(|world| {
        world.queues[queue].is_pending = is_pending;
        let mut again = again.iter();
        again.all(|(io, before)| world.ios[*io].submissions > *before)
    });
    require(
        submitted || thread != HOME || !is_pending,
        "the poll does not submit again",
    );
}

pub(crate) fn pop(queue: usize) {
    take(queue);
    let io = using(queue, |owner| owner.pop());
    let Some(io) = io else {
        require(false, "what has ended is not there");
        return;
    };
    let id = io.tag();
    let hand = act::on_popped(queue, io).map_or(Hand::Queue, |io| Hand::Held(id, io));
    put(queue, hand);
}

pub(crate) fn go_on_with_kept(queue: usize) {
    let Hand::Held(id, io) = take(queue) else {
        unreachable!("the event is possible with one only");
    };
    act::on_kept(id, io);
    put(queue, Hand::Queue);
}

/// The last calls of the user take everything out.
pub(crate) fn next(queue: usize) -> bool {
    take(queue);
    let (expected, again) = with(|world| expect(world, queue));
    let first = with(|world| world.queues[queue].ended.front().copied());
    let waker = With::New(WakerKind::Task);
    let poll = polling(queue, waker, HOME, |cx| {
        using(queue, |owner| owner.poll_next(cx))
    });
    if let Poll::Ready(Some(done)) = &poll {
        with(|world| {
            world.queues[queue].ended.pop_front();
            world.go(done.tag.0, State::Held);
        });
        require(first == Some(done.tag.0), "it is not the first");
        let told = told(&done.result);
        let result = with(|world| world.ios[done.tag.0].result);
        require(result == Some(told), "it is told another result");
    }
    let found = poll.map(|done| done.is_some());
    require(found == expected, "the poll finds something else");
    count(queue, found);
    put(queue, Hand::Queue);
    is_polled(queue, found.is_pending(), HOME, &again);
    found != Poll::Ready(false)
}

pub(crate) fn start_each(queue: usize, of: usize) {
    let each = with(|world| {
        world.eaches.push(Each {
            queue,
            of,
            share: Share::Live,
            panic: false,
            closure_dropped: false,
            exists: true,
            calls: 0,
        });
        world.eaches.len() - 1
    });
    take(queue);
    let future = memory::counted(|| using(queue, |it| it.for_each_ended(Captured(each), of)));
    put(queue, Hand::Future(each, future));
}

fn poll_each(
    queue: usize,
    each: usize,
    mut future: Pin<Box<dyn Future<Output = ()>>>,
    with_waker: With,
    thread: usize,
) {
    let (runs, had_panic, calls, again) = with(|world| {
        let runs = world.is_running(each);
        let had_panic = world.eaches[each].panic;
        let again = to_submit(world, queue);
        if runs || had_panic {
            return (runs, had_panic, 0, Again::new());
        }
        world.queues[queue].each = Some(each);
        world.end_refused(queue);
        let calls = world.eaches[each].calls + world.queues[queue].ended.len();
        (runs, had_panic, calls, again)
    });
    let poll = polling(queue, with_waker, thread, |cx| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
    });
    let (panics, called, woken, is_over) = with(|world| {
        let it = &mut world.eaches[each];
        let panics = it.panic && !runs;
        it.panic &= runs || poll.is_ok();
        let called = it.calls;
        let is_over = world.has_news(queue) && world.queues[queue].ended.is_empty();
        (panics, called, world.queues[queue].woken, is_over)
    });
    let poll = match poll {
        Ok(poll) => poll,
        Err(payload) => {
            if !payload.is::<Scripted>() {
                resume_unwind(payload);
            }
            require(panics, "a panic is told that was not, or twice");
            return put(queue, Hand::Future(each, future));
        }
    };
    // One in the waker's code is told by the next poll.
    let is_told = !had_panic && (!panics || poll.is_pending());
    require(is_told || runs, "a panic is not told");
    if runs {
        require(
            poll.is_pending() && woken,
            "polled by its closure, it is lost",
        );
    } else {
        require(
            called == calls,
            "not all that has ended gets to the closure",
        );
    }
    require(poll.is_pending() || is_over, "the future ends too early");
    if poll.is_ready() {
        with(|world| world.eaches[each].share = Share::Dropped);
        drop_future(queue, each, future);
    } else {
        put(queue, Hand::Future(each, future));
    }
    with(|world| world.queues[queue].finds = 0);
    is_polled(queue, poll.is_pending(), thread, &again);
}

/// The future of a closure goes, which leaves the queue to others.
pub(crate) fn drop_each(queue: usize) {
    let Hand::Future(each, future) = take(queue) else {
        unreachable!("the event is possible with one only");
    };
    with(|world| {
        world.eaches[each].share = Share::Dropped;
        world.eaches[each].panic = false;
    });
    drop_future(queue, each, future);
}

fn drop_future(queue: usize, each: usize, future: Pin<Box<dyn Future<Output = ()>>>) {
    with(|world| {
        if world.queues[queue].each == Some(each) {
            world.queues[queue].each = None;
        }
    });
    drop(future);
    with(|world| world.eaches[each].exists = false);
    put(queue, Hand::Queue);
}

pub(crate) fn forget_each(queue: usize) {
    let Hand::Future(each, future) = take(queue) else {
        unreachable!("the event is possible with one only");
    };
    with(|world| {
        world.eaches[each].share = Share::Forgotten;
        world.eaches[each].panic = false;
    });
    mem::forget(future);
    put(queue, Hand::Queue);
}

pub(crate) fn drop_queue(queue: usize) {
    let owner = with(|world| {
        let ios: Vec<_> = (0..world.ios.len())
            .filter(|io| world.ios[*io].queue == queue)
            .collect();
        ios.into_iter().for_each(|io| world.turn(io, "drop"));
        let it = &mut world.queues[queue];
        it.hand = Hand::Dropped;
        let each = it.each.take();
        if let Some(each) = each.filter(|each| world.is_running(*each)) {
            // Its future was forgotten. The end of the closure is that of both.
            world.eaches[each].share = Share::Dropped;
            world.eaches[each].panic = false;
        }
        world.queues[queue].owner
    });
    // SAFETY: made of a box, and nobody uses it any more.
    drop(unsafe { Box::from_raw(owner.as_ptr()) });
}

pub(crate) fn forget_queue(queue: usize) {
    put(queue, Hand::Forgotten);
}

/// In a closure, which says what is wrong when it is dropped.
pub(crate) struct Captured(pub(crate) usize);

impl Drop for Captured {
    fn drop(&mut self) {
        let (is_sound, runs) = with(|world| {
            let queue = world.eaches[self.0].queue;
            world.end_panicked(queue);
            world.leave();
            let each = &mut world.eaches[self.0];
            let twice = mem::replace(&mut each.closure_dropped, true);
            let is_sound = !twice && each.share == Share::Dropped;
            (is_sound, world.is_running(self.0))
        });
        require(is_sound, "a closure is dropped twice, or too early");
        require(!runs, "a closure is dropped while it runs");
        user_code(Point::ClosureDrop);
    }
}

/// A queue that was forgotten goes, with nobody looking.
pub(crate) fn bury(owner: NonNull<dyn Owner>) {
    // SAFETY: as in `drop_queue`.
    drop(unsafe { Box::from_raw(owner.as_ptr()) });
}
