//! The handles that a queue keeps, and counts as in use.
#![allow(unsafe_code)] // Declares traits as they are beside SPDK.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::error::{Describe, Fault, WRONG_THREAD};
use crate::local::{Caller, HOME, Home, Local};
use crate::world::{self, require};

/// A type of C object.
pub(crate) trait Object {
    type C;
    type Extra;
    const EXTRA: Self::Extra;
}

pub(crate) trait Subject: Describe {
    type O: Object;
    fn handle(&self) -> &Handle<Self::O>;
}

/// What the handles of an object share.
pub(crate) struct Shared {
    queue: usize,
    local: Rc<Local>,
    uses: Cell<isize>,
}

impl Shared {
    pub(crate) fn new(queue: usize) -> Rc<Self> {
        Rc::new(Shared {
            queue,
            local: Local::home(),
            uses: Cell::new(0),
        })
    }

    pub(crate) fn uses(&self) -> isize {
        self.uses.get()
    }
}

pub(crate) struct Handle<O: Object> {
    shared: Rc<Shared>,
    extra: O::Extra,
}

impl<O: Object> Handle<O> {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        Handle {
            shared: shared.clone(),
            extra: O::EXTRA,
        }
    }

    #[allow(clippy::unused_self, reason = "all have one")]
    pub(crate) fn as_ptr(&self) -> *mut O::C {
        NonNull::dangling().as_ptr()
    }

    #[allow(clippy::unused_self, reason = "all have one")]
    pub(crate) fn get(&self, caller: Caller<'_>) -> Result<NonNull<O::C>, Fault> {
        match caller.thread() {
            HOME => Ok(NonNull::dangling()),
            _ => Err(WRONG_THREAD),
        }
    }

    pub(crate) fn extra(&self) -> &O::Extra {
        &self.extra
    }

    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.shared.local
    }

    pub(crate) fn begin_use(&self) {
        self.shared.uses.set(self.shared.uses.get() + 1);
    }

    pub(crate) fn end_use(&self) {
        let uses = self.shared.uses.get() - 1;
        self.shared.uses.set(uses);
        require(uses >= 0, "the use of a device ends twice");
        world::none_counts(self.shared.queue);
    }
}

impl<O: Object> Clone for Handle<O> {
    fn clone(&self) -> Self {
        Handle::new(&self.shared)
    }
}

impl<O: Object> Describe for Handle<O> {}

/// What an operation holds; none does here.
pub(crate) struct Hold<O: Object>(O::Extra, PhantomData<O>);

impl<O: Object> Hold<O> {
    #[allow(clippy::unused_self, reason = "all have one")]
    pub(crate) fn as_ptr(&self) -> *mut O::C {
        NonNull::dangling().as_ptr()
    }

    pub(crate) fn extra(&self) -> &O::Extra {
        &self.0
    }
}

#[allow(dead_code, reason = "operations use it, and there are none")]
pub(crate) trait Held: 'static {
    fn home(&self) -> Home;
    unsafe fn drop(held: &mut ManuallyDrop<Self>);
}
