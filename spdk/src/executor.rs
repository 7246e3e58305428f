//! The executor of an spdk_thread: a table of tasks and a queue of those that are ready.
//!
//! A waker is a *name*, not a reference: the index of the spdk_thread and the place of the task in
//! its table, packed into one word. So it is `Send` and `Sync` without a count: cloning and dropping
//! it do nothing, and a wake on the task's own OS thread is a push to the queue. A name that is out
//! of date at worst wakes the task that has the place now; a spurious wake is allowed.
#![allow(unsafe_code)] // Makes `Waker`s from such words, and polls tasks where they are.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use slab::Slab;

use crate::local;

type Future = dyn std::future::Future<Output = ()>;

/// The place of a task in the table of its spdk_thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskId(u32);

impl TaskId {
    pub(crate) fn at(place: u32) -> Self {
        TaskId(place)
    }

    pub(crate) fn place(self) -> u32 {
        self.0
    }
}

struct Entry {
    task: Task,
    /// Whether it is in the queue.
    queued: bool,
    aborted: bool,
}

/// A boxed future. A raw pointer, so that the table can grow and shrink while one is polled.
struct Task(NonNull<Future>);

impl Drop for Task {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw` in `spawn`, and not being polled: a task leaves the table
        // outside of polls, or at the end of its own.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

#[derive(Default)]
pub(crate) struct Executor {
    tasks: RefCell<Slab<Entry>>,
    ready: RefCell<VecDeque<TaskId>>,
    /// How often the queue has had its turn.
    turn: Cell<u64>,
    /// Whether code of the user runs: a task, or what the spdk_thread's turn runs beside.
    entered: Cell<bool>,
    /// Who waits until one task is left.
    last: Cell<Option<Waker>>,
}

// No user code runs while one of the `RefCell`s is borrowed.
impl Executor {
    pub(crate) fn spawn(&self, task: Box<Future>) -> TaskId {
        let entry = Entry {
            // SAFETY: a `Box` is not null.
            task: Task(unsafe { NonNull::new_unchecked(Box::into_raw(task)) }),
            queued: false,
            aborted: false,
        };
        let id = TaskId(self.tasks.borrow_mut().insert(entry) as u32);
        self.wake(id);
        id
    }

    /// Puts a task into the queue, if it is not there yet.
    #[inline]
    pub(crate) fn wake(&self, id: TaskId) {
        if let Some(entry) = self.tasks.borrow_mut().get_mut(id.0 as usize)
            && !entry.queued
        {
            entry.queued = true;
            self.ready.borrow_mut().push_back(id);
        }
    }

    /// Has a task dropped in the next turn.
    pub(crate) fn abort(&self, id: TaskId) {
        if let Some(entry) = self.tasks.borrow_mut().get_mut(id.0 as usize) {
            entry.aborted = true;
        }
        self.wake(id);
    }

    /// Claims the spdk_thread for code of the user until [`Executor::leave`]; `false` if such code
    /// runs already.
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        !self.entered.replace(true)
    }

    #[inline]
    pub(crate) fn leave(&self) {
        self.entered.set(false);
    }

    /// Polls the tasks that are ready now; those that become ready meanwhile wait for the next call.
    /// Returns whether there were any.
    ///
    /// # Safety
    /// The caller has entered.
    pub(crate) unsafe fn run_ready(&self, index: u32) -> bool {
        self.turn.set(self.turn.get() + 1);
        let ready = self.ready.borrow().len();
        for _ in 0..ready {
            let next = self.ready.borrow_mut().pop_front();
            let Some(id) = next else { break };
            if let Some(entry) = self.tasks.borrow_mut().get_mut(id.0 as usize) {
                entry.queued = false;
            }
            // SAFETY: passed on.
            unsafe { self.run(index, id) };
        }
        ready != 0
    }

    /// Polls a task, unless it has ended. It stays in the queue if it is there.
    ///
    /// # Safety
    /// The caller has entered, so that no task is being polled.
    #[inline(always)]
    pub(crate) unsafe fn run(&self, index: u32, id: TaskId) {
        // SAFETY: the reference ends before anything changes the table.
        let Ok(tasks) = (unsafe { self.tasks.try_borrow_unguarded() }) else {
            return;
        };
        let task = match tasks.get(id.0 as usize) {
            Some(entry) if !entry.aborted => entry.task.0.as_ptr(),
            Some(_) => return self.remove(id),
            None => return,
        };
        let waker = ManuallyDrop::new(waker(index, id));
        // SAFETY: boxed, so it stays in its place; it is in the table, which it leaves only below, in
        // a nested turn (excluded by `enter`) and in `drop_tasks` (not during a poll).
        let task = unsafe { Pin::new_unchecked(&mut *task) };
        if task.poll(&mut Context::from_waker(&waker)).is_ready() {
            self.remove(id);
        }
    }

    #[cold]
    fn remove(&self, id: TaskId) {
        let mut tasks = self.tasks.borrow_mut();
        let removed = tasks.try_remove(id.0 as usize);
        let one_left = tasks.len() == 1;
        drop(tasks);
        if let Some(entry) = removed {
            drop_caught(entry.task);
        }
        if one_left && let Some(waker) = self.last.take() {
            waker.wake();
        }
    }

    pub(crate) fn wake_when_one_is_left(&self, waker: &Waker) {
        self.last.set(Some(waker.clone()));
    }

    /// Whether no task is ready.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.borrow().is_empty()
    }

    /// The number of the turn that runs, or that ran last.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.get()
    }

    /// How many tasks have not ended.
    pub(crate) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops every task. No task is being polled.
    pub(crate) fn drop_tasks(&self) {
        let tasks: Vec<Entry> = self.tasks.borrow_mut().drain().collect();
        tasks.into_iter().for_each(|entry| drop_caught(entry.task));
        self.ready.borrow_mut().clear();
    }
}

/// A panic in the drop of what a task holds is reported, and the spdk_thread goes on.
fn drop_caught(task: Task) {
    local::run_caught("drop of a task", || drop(task));
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |name| RawWaker::new(name, &VTABLE),
    wake_by_name,
    wake_by_name,
    |_| {},
);

fn wake_by_name(name: *const ()) {
    let name = name.addr() as u64;
    local::wake((name >> 32) as u32, TaskId(name as u32));
}

const _: () = assert!(
    size_of::<*const ()>() == 8,
    "a waker packs two 32-bit numbers"
);

/// The index of the spdk_thread and the place of the task that a waker names; `None` if another
/// executor made it.
#[inline]
pub(crate) fn name(waker: &Waker) -> Option<(u32, TaskId)> {
    let name = waker.data().addr() as u64;
    ptr::eq(waker.vtable(), &VTABLE).then_some(((name >> 32) as u32, TaskId(name as u32)))
}

/// A clone of a waker of this executor, without a call.
#[inline]
pub(crate) fn copy(original: &Waker) -> Option<Waker> {
    // SAFETY: a name has no count and no owner.
    name(original).map(|_| unsafe { ptr::read(original) })
}

#[inline]
fn waker(index: u32, id: TaskId) -> Waker {
    let name = u64::from(index) << 32 | u64::from(id.0);
    let name = ptr::without_provenance(name as usize);
    // SAFETY: the functions of the vtable use the word as a number only, and are thread-safe: what
    // they reach is thread-local or behind a lock.
    unsafe { Waker::from_raw(RawWaker::new(name, &VTABLE)) }
}
