//! The executor of an spdk_thread: a table of tasks and a queue of those that are ready.
//!
//! A waker is a *name*, not a reference: the index of the spdk_thread and the place of the task in
//! its table, packed into one word. So it is `Send` and `Sync` without a count: cloning and dropping
//! it do nothing, and a wake on the task's own OS thread is a push to the queue. A name that is out
//! of date at worst wakes the task that has the place now; a spurious wake is allowed.
#![allow(unsafe_code)] // Makes `Waker`s from such words; no memory stands behind them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use slab::Slab;

use crate::local;

type Task = Pin<Box<dyn Future<Output = ()>>>;

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
    /// `None` while the task is being polled.
    task: Option<Task>,
    /// Whether it is in the queue.
    queued: bool,
    aborted: bool,
}

#[derive(Default)]
pub(crate) struct Executor {
    tasks: RefCell<Slab<Entry>>,
    ready: RefCell<VecDeque<TaskId>>,
    /// Who waits until one task is left.
    last: Cell<Option<Waker>>,
}

// No user code runs while one of the `RefCell`s is borrowed.
impl Executor {
    pub(crate) fn spawn(&self, task: Task) -> TaskId {
        let entry = Entry {
            task: Some(task),
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

    /// Polls the tasks that are ready now; those that become ready meanwhile wait for the next call.
    /// Returns whether there were any.
    pub(crate) fn run_ready(&self, index: u32) -> bool {
        let ready = self.ready.borrow().len();
        for _ in 0..ready {
            let next = self.ready.borrow_mut().pop_front();
            let Some(id) = next else { break };
            self.run(index, id);
        }
        ready != 0
    }

    #[inline]
    fn run(&self, index: u32, id: TaskId) {
        let place = id.0 as usize;
        let taken = match self.tasks.borrow_mut().get_mut(place) {
            Some(entry) => {
                entry.queued = false;
                entry.task.take().map(|task| (task, entry.aborted))
            }
            None => None,
        };
        let Some((mut task, aborted)) = taken else {
            return;
        };
        let waker = ManuallyDrop::new(waker(index, id));
        let poll = if aborted {
            Poll::Ready(())
        } else {
            task.as_mut().poll(&mut Context::from_waker(&waker))
        };
        if poll.is_pending() {
            let mut tasks = self.tasks.borrow_mut();
            match tasks.get_mut(place) {
                Some(entry) if !entry.aborted => {
                    entry.task = Some(task);
                    return;
                }
                // The task aborted itself.
                _ => {}
            }
        }
        self.remove(id);
        drop_caught(task);
    }

    fn remove(&self, id: TaskId) {
        let mut tasks = self.tasks.borrow_mut();
        let removed = tasks.try_remove(id.0 as usize);
        let one_left = tasks.len() == 1;
        drop(tasks);
        drop(removed);
        if one_left && let Some(waker) = self.last.take() {
            waker.wake();
        }
    }

    pub(crate) fn wake_when_one_is_left(&self, waker: &Waker) {
        self.last.set(Some(waker.clone()));
    }

    /// How many tasks have not ended.
    pub(crate) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops every task. No task is running.
    pub(crate) fn drop_tasks(&self) {
        let tasks: Vec<Entry> = self.tasks.borrow_mut().drain().collect();
        tasks
            .into_iter()
            .filter_map(|entry| entry.task)
            .for_each(drop_caught);
        self.ready.borrow_mut().clear();
    }
}

/// A panic in the drop of what a task holds is reported, and the spdk_thread goes on.
fn drop_caught(task: Task) {
    local::run_caught("drop of a task", || drop(task));
}

const VTABLE: RawWakerVTable = RawWakerVTable::new(
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

fn waker(index: u32, id: TaskId) -> Waker {
    let name = u64::from(index) << 32 | u64::from(id.0);
    let name = ptr::without_provenance(name as usize);
    // SAFETY: the functions of the vtable use the word as a number only, and are thread-safe: what
    // they reach is thread-local or behind a lock.
    unsafe { Waker::from_raw(RawWaker::new(name, &VTABLE)) }
}
