//! The spdk_threads: that of the queues, and another one of the same OS thread.
#![allow(unsafe_code)] // Declares functions as they are beside SPDK.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use crate::error::Fault;
use crate::event::user_code;
use crate::executor::{NOBODY, TaskRef};
use crate::sys;
use crate::waker;
use crate::world::{self, Point, require};

pub(crate) const HOME: usize = 1;
pub(crate) const ELSEWHERE: usize = 2;

pub(crate) fn thread(number: usize) -> *mut sys::spdk_thread {
    ptr::without_provenance_mut(number)
}

pub(crate) fn current_thread() -> *mut sys::spdk_thread {
    thread(world::with(|world| world.thread))
}

pub(crate) unsafe fn thread_name(thread: *mut sys::spdk_thread) -> String {
    format!("{thread:?}")
}

pub(crate) fn count_retry() {}

#[derive(Clone, Copy)]
pub(crate) struct Caller<'a>(usize, PhantomData<&'a ()>);

impl Caller<'_> {
    pub(crate) fn thread(self) -> usize {
        self.0
    }
}

pub(crate) fn begin<T>(start: impl FnOnce(Caller<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
    start(Caller(world::with(|world| world.thread), PhantomData))
}

/// A closure's panic is only that.
pub(crate) fn run_caught(_: &'static str, f: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(f));
}

/// That of the queues.
#[derive(Default)]
pub(crate) struct Local {
    entered: Cell<*const ()>,
    deferred: RefCell<VecDeque<Box<dyn FnOnce()>>>,
}

thread_local! {
    static LOCAL: Rc<Local> = Rc::default();
}

impl Local {
    pub(crate) fn home() -> Rc<Self> {
        LOCAL.with(Rc::clone)
    }

    pub(crate) fn of(of: *mut sys::spdk_thread) -> Option<Rc<Self>> {
        (of == thread(HOME)).then(Local::home)
    }

    #[allow(clippy::unused_self, reason = "there is one")]
    pub(crate) fn is_current(&self) -> bool {
        world::with(|world| world.thread) == HOME
    }

    pub(crate) fn defer(&self, f: Box<dyn FnOnce()>) {
        self.deferred.borrow_mut().push_back(f);
    }

    pub(crate) fn entered(&self) -> &Cell<*const ()> {
        &self.entered
    }

    /// How much was deferred.
    pub(crate) fn deferred(&self) -> usize {
        self.deferred.borrow().len()
    }

    /// Runs the first that was deferred, as a turn of the spdk_thread does.
    pub(crate) fn turn(&self) {
        let first = self.deferred.borrow_mut().pop_front();
        require(self.entered.replace(NOBODY).is_null(), "a turn in a turn");
        first.into_iter().for_each(|f| f());
        self.entered.set(ptr::null());
    }

    /// After an execution.
    pub(crate) fn clear(&self) {
        self.entered.set(ptr::null());
        self.deferred.take();
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Home(*const Local);

impl Home {
    pub(crate) fn of(local: &Rc<Local>) -> Home {
        Home(Rc::as_ptr(local))
    }

    fn local(&self) -> &Local {
        // SAFETY: it exists as long as the OS thread.
        unsafe { &*self.0 }
    }

    pub(crate) unsafe fn resume(self, task: TaskRef) {
        let entered = self.local().entered();
        if !entered.get().is_null() {
            return task.wake();
        }
        let in_callback = world::with(|world| world.callbacks > 0);
        require(in_callback, "a task is resumed where it may not be");
        entered.set(NOBODY);
        waker::woken(task.0);
        user_code(Point::Resume);
        entered.set(ptr::null());
    }

    pub(crate) unsafe fn enter_for(&self, whom: *const ()) -> bool {
        let entered = self.local().entered();
        let is_free = entered.get().is_null();
        if is_free {
            entered.set(whom);
        }
        is_free
    }

    pub(crate) unsafe fn entered(&self) -> &Cell<*const ()> {
        self.local().entered()
    }

    pub(crate) unsafe fn leave(&self) {
        let entered = self.local().entered();
        require(!entered.get().is_null(), "the spdk_thread is left twice");
        entered.set(ptr::null());
    }
}
