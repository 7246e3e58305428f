//! Messages from any OS thread to the one that owns the inbox.
//!
//! A list without a lock: senders push at its head, the owner takes it whole and turns it round. So
//! a send is one allocation and one compare-and-swap, a look at an empty inbox is a load, and what
//! one OS thread sends stays in order. A closed inbox has a mark for a head, so a message is either
//! in a list that the owner takes, or refused. So has the inbox of an owner that sleeps, and who replaces
//! that mark wakes the owner up.
//!
//! Nothing of SPDK is in this file, so that a model checker can run it.
#![allow(unsafe_code)] // Owns messages through raw pointers, and calls closures whose type it forgets.

use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use crate::atomic::AtomicPtr;
use crate::atomic::Ordering::{Acquire, Relaxed, Release};

/// A closure on its way: the same allocation holds it and its place in the list.
pub(crate) struct Message(NonNull<Head>);

// SAFETY: it owns a closure that is `Send`, and nothing else has its pointer.
unsafe impl Send for Message {}

/// What every message begins with.
pub(crate) struct Head {
    /// The message that was sent before or, once taken, the one after; null for none.
    next: *mut Head,
    /// Takes the message, and runs its closure if told to; else drops it.
    take: unsafe fn(NonNull<Head>, run: bool),
}

// `repr(C)`: a pointer to a `Body` is one to its `Head`.
#[repr(C)]
struct Body<F> {
    head: Head,
    closure: F,
}

impl Head {
    pub(crate) fn new(take: unsafe fn(NonNull<Head>, run: bool)) -> Self {
        Head {
            next: ptr::null_mut(),
            take,
        }
    }
}

impl Message {
    /// # Safety
    /// `take` of the head may be called with it on any OS thread, once.
    pub(crate) unsafe fn of(head: NonNull<Head>) -> Message {
        Message(head)
    }

    pub(crate) fn new<F: FnOnce() + Send + 'static>(closure: F) -> Message {
        let head = Head::new(take::<F>);
        let body = Box::leak(Box::new(Body { head, closure }));
        // SAFETY: `take` treats it as a `Body<F>`, which it is; the closure is `Send`.
        unsafe { Message::of(NonNull::from(body).cast()) }
    }

    pub(crate) fn run(self) {
        let head = ManuallyDrop::new(self).0;
        // SAFETY: the message owned it, and is not dropped.
        unsafe { (head.as_ref().take)(head, true) }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let head = self.0;
        // SAFETY: the message owns it, and goes.
        unsafe { (head.as_ref().take)(head, false) }
    }
}

/// # Safety
/// `head` is that of a `Body<F>` in a box, which this call takes.
unsafe fn take<F: FnOnce()>(head: NonNull<Head>, run: bool) {
    // SAFETY: passed on.
    let body = unsafe { Box::from_raw(head.cast::<Body<F>>().as_ptr()) };
    let Body { closure, .. } = *body;
    if run {
        closure();
    }
}

/// The head of a closed inbox: no message has such an address.
const CLOSED: *mut Head = ptr::without_provenance_mut(1);

/// The head of an empty inbox whose owner does not look.
const ASLEEP: *mut Head = ptr::without_provenance_mut(2);

/// What a sender has to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// Nothing: the owner looks by itself.
    Awake,
    /// Wake the owner up. One sender is told so.
    Asleep,
}

pub(crate) struct Inbox {
    /// The youngest message, null, `ASLEEP`, or `CLOSED`. Owns the list.
    newest: AtomicPtr<Head>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Inbox {
            newest: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Adds a message; a closed inbox gives it back.
    pub(crate) fn push(&self, message: Message) -> Result<Sent, Message> {
        let head = message.0.as_ptr();
        let mut newest = self.newest.load(Relaxed);
        loop {
            let (next, sent) = match newest {
                CLOSED => return Err(message),
                ASLEEP => (ptr::null_mut(), Sent::Asleep),
                _ => (newest, Sent::Awake),
            };
            // SAFETY: `message` owns it, and is not in the list yet.
            unsafe { (*head).next = next };
            // Release: who takes the list sees the message, and by the chain of these exchanges all
            // those before it.
            match self
                .newest
                .compare_exchange_weak(newest, head, Release, Relaxed)
            {
                Ok(_) => {
                    let _ = ManuallyDrop::new(message); // the list owns it
                    return Ok(sent);
                }
                Err(current) => newest = current,
            }
        }
    }

    /// Whether there is nothing to take.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.newest.load(Relaxed) as usize <= ASLEEP as usize
    }

    /// The owner will not look until a sender wakes it up; `false` if there are messages. The owner's, as
    /// `take`.
    pub(crate) fn sleep(&self) -> bool {
        let empty = ptr::null_mut();
        self.newest
            .compare_exchange(empty, ASLEEP, Relaxed, Relaxed)
            .is_ok()
    }

    /// The owner looks again by itself. The owner's, as `take`.
    pub(crate) fn wake_up(&self) {
        // Otherwise a sender has replaced the mark, and wakes the owner up once more.
        let _ = self
            .newest
            .compare_exchange(ASLEEP, ptr::null_mut(), Relaxed, Relaxed);
    }

    /// Takes the messages that are there. The owner's: not while another call of it, or `close`, runs.
    pub(crate) fn take(&self) -> Messages {
        if self.is_empty() {
            return Messages::default();
        }
        // Nobody but the owner makes it null or closed again.
        Messages::turn_round(self.newest.swap(ptr::null_mut(), Acquire))
    }

    /// Refuses messages from now on; returns those that are there. The owner's, as `take`.
    pub(crate) fn close(&self) -> Messages {
        match self.newest.swap(CLOSED, Acquire) {
            CLOSED | ASLEEP => Messages::default(),
            newest => Messages::turn_round(newest),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.newest.load(Acquire) == CLOSED
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// Messages that were taken, the oldest first. Those that are not run are dropped.
pub(crate) struct Messages {
    /// Null for none. Owns the list.
    oldest: *mut Head,
}

// SAFETY: it owns messages, which are `Send`, and nothing else has its pointer.
unsafe impl Send for Messages {}

impl Messages {
    /// A list whose youngest message comes first.
    fn turn_round(mut newest: *mut Head) -> Self {
        let mut oldest = ptr::null_mut();
        while !newest.is_null() {
            // SAFETY: the list was taken, and `next` leads from message to message.
            let next = unsafe { std::mem::replace(&mut (*newest).next, oldest) };
            oldest = std::mem::replace(&mut newest, next);
        }
        Messages { oldest }
    }
}

impl Default for Messages {
    fn default() -> Self {
        Messages {
            oldest: ptr::null_mut(),
        }
    }
}

impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let head = NonNull::new(self.oldest)?;
        // SAFETY: the list owns it, until the `Message` does.
        self.oldest = unsafe { head.as_ref().next };
        Some(Message(head))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
