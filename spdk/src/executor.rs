//! The executor of an spdk_thread: its tasks, and a queue of those that are ready.
//!
//! A waker is the address of a [`Place`], where a task is or was. Places are never freed: an spdk_thread
//! uses them again, and so does the next one of its index. So wakers are `Send` and `Sync` without a
//! count: cloning and dropping one does nothing, and a wake on the task's own OS thread is a push to the
//! queue. A waker that is out of date at worst wakes the task that has the place now; a spurious wake is
//! allowed.
#![allow(unsafe_code)] // Makes `Waker`s from such addresses, and polls tasks where they are.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::local;

/// What a task runs.
pub(crate) trait Body {
    /// As of a future.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
    /// Its poll has panicked. It is dropped next.
    fn panicked(self: Pin<&mut Self>, payload: Box<dyn Any + Send>);
}

/// A boxed body, by a raw pointer, since it is polled where it is.
#[derive(Clone, Copy)]
struct Task(NonNull<dyn Body>);

/// Where a task is.
#[repr(align(64))]
pub(crate) struct Place {
    /// The index of the spdk_thread; the places of an index are used by one `Local` at a time.
    index: u32,
    /// Its number among them.
    number: u32,
    task: Cell<Option<Task>>,
    /// Whether it is in the queue.
    queued: Cell<bool>,
    /// Whether it was woken since it was polled last.
    woken: Cell<bool>,
    aborted: Cell<bool>,
    /// The address of this place.
    waker: ManuallyDrop<Waker>,
}

// SAFETY: `index`, `number` and `waker` do not change. The cells are used on the OS thread of the `Local`
// that has the index; the next one gets them through a lock.
unsafe impl Sync for Place {}

/// The places that no `Local` has, by their index.
static UNUSED: Mutex<BTreeMap<u32, Vec<TaskRef>>> = Mutex::new(BTreeMap::new());

/// Names a task, or whichever is in its place by now.
#[derive(Clone, Copy)]
pub(crate) struct TaskRef(&'static Place);

impl TaskRef {
    fn new(index: u32, number: u32) -> Self {
        let place = Box::into_raw(Box::new(Place {
            index,
            number,
            task: Cell::new(None),
            queued: Cell::new(false),
            woken: Cell::new(false),
            aborted: Cell::new(false),
            waker: ManuallyDrop::new(Waker::noop().clone()),
        }));
        // SAFETY: the place was just made, and is never freed. The functions of the vtable use what does
        // not change, or pass the place on to its `Local`.
        unsafe {
            (*place).waker = ManuallyDrop::new(Waker::new(place.cast_const().cast(), &VTABLE));
            TaskRef(&*place)
        }
    }

    /// The task that a waker wakes; `None` if another executor made it.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        // SAFETY: wakers with this vtable are made in `new`, of places that are never freed.
        ptr::eq(waker.vtable(), &VTABLE).then(|| TaskRef(unsafe { &*waker.data().cast() }))
    }

    /// The index of its spdk_thread.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.0.index
    }

    /// Its number on its spdk_thread.
    pub(crate) fn number(self) -> u32 {
        self.0.number
    }

    pub(crate) fn wake(self) {
        local::wake(self);
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |place| RawWaker::new(place, &VTABLE),
    wake_place,
    wake_place,
    |_| {},
);

unsafe fn wake_place(place: *const ()) {
    // SAFETY: the vtable is that of wakers made in `TaskRef::new`, of places that are never freed.
    local::wake(TaskRef(unsafe { &*place.cast() }));
}

/// For whom an executor is entered that is not told.
pub(crate) const NOBODY: *const () = ptr::dangling();

pub(crate) struct Executor {
    index: u32,
    /// By their number; none once it was closed.
    places: RefCell<Vec<TaskRef>>,
    /// Those without a task.
    free: RefCell<Vec<TaskRef>>,
    is_closed: Cell<bool>,
    ready: RefCell<VecDeque<TaskRef>>,
    /// How often the queue has had its turn.
    turn: Cell<u64>,
    /// What runs of the user's code: a task, or what the spdk_thread's turn runs beside; null if nothing does.
    entered: Cell<*const ()>,
    /// Who waits until one task is left.
    last: Cell<Option<Waker>>,
}

// No user code runs while one of the `RefCell`s is borrowed.
impl Executor {
    /// That of the `Local` with this index, which no other one has.
    pub(crate) fn new(index: u32) -> Self {
        let places = unused().remove(&index).unwrap_or_default();
        Executor {
            index,
            free: RefCell::new(places.iter().rev().copied().collect()),
            places: RefCell::new(places),
            is_closed: Cell::new(false),
            ready: RefCell::default(),
            turn: Cell::new(0),
            entered: Cell::new(ptr::null()),
            last: Cell::new(None),
        }
    }

    /// Gives the places up, for the next one of this index. None of them can be woken here from now on.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.drop_tasks(); // there is hardly ever one: what runs at the end may have spawned it
        self.free.take();
        unused().insert(self.index, self.places.take());
    }

    /// `None`, and the task dropped, once it was closed.
    pub(crate) fn spawn(&self, body: Box<dyn Body>) -> Option<TaskRef> {
        if self.is_closed.get() {
            return None;
        }
        let free = self.free.borrow_mut().pop();
        let task = free.unwrap_or_else(|| {
            let mut places = self.places.borrow_mut();
            let task = TaskRef::new(self.index, places.len() as u32);
            places.push(task);
            task
        });
        task.0.aborted.set(false);
        task.0.task.set(Some(Task(NonNull::from(Box::leak(body)))));
        self.wake(task);
        Some(task)
    }

    /// Puts a task of this executor into the queue, if it is not there yet.
    #[inline]
    pub(crate) fn wake(&self, task: TaskRef) {
        if task.0.task.get().is_some() {
            task.0.woken.set(true);
            if !task.0.queued.replace(true) {
                self.ready.borrow_mut().push_back(task);
            }
        }
    }

    /// The same for the task with this number.
    pub(crate) fn wake_number(&self, number: u32) {
        let task = self.places.borrow().get(number as usize).copied();
        if let Some(task) = task {
            self.wake(task);
        }
    }

    /// Has a task of this executor dropped in the next turn.
    pub(crate) fn abort(&self, task: TaskRef) {
        task.0.aborted.set(true);
        self.wake(task);
    }

    /// Claims the spdk_thread for code of the user until [`Executor::leave`]; `false` if such code
    /// runs already.
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        self.enter_for(NOBODY)
    }

    /// The same for what is at this address, which `entered` tells.
    #[inline]
    pub(crate) fn enter_for(&self, whom: *const ()) -> bool {
        let is_free = self.entered.get().is_null();
        if is_free {
            self.entered.set(whom);
        }
        is_free
    }

    /// For whom it was entered: null if it was not, or [`NOBODY`].
    pub(crate) fn entered(&self) -> &Cell<*const ()> {
        &self.entered
    }

    #[inline]
    pub(crate) fn leave(&self) {
        self.entered.set(ptr::null());
    }

    /// Polls the tasks that are ready now; those that become ready meanwhile wait for the next call.
    /// Returns whether it has polled any.
    ///
    /// # Safety
    /// The caller has entered.
    pub(crate) unsafe fn run_ready(&self) -> bool {
        self.turn.set(self.turn.get() + 1);
        let ready = self.ready.borrow().len();
        let mut any = false;
        for _ in 0..ready {
            let next = self.ready.borrow_mut().pop_front();
            let Some(task) = next else { break };
            task.0.queued.set(false);
            // Not if it was polled in a callback after its wake.
            if task.0.woken.get() {
                any = true;
                // SAFETY: passed on; what is in the queue is of this executor.
                unsafe { self.run(task) };
            }
        }
        any
    }

    /// Polls a task, unless it has ended. It stays in the queue if it is there.
    ///
    /// # Safety
    /// The caller has entered, so that no task is being polled, and the task is of this executor.
    #[inline(always)]
    pub(crate) unsafe fn run(&self, task: TaskRef) {
        let place = task.0;
        let Some(Task(body)) = place.task.get() else {
            return;
        };
        if place.aborted.get() {
            return self.remove(task);
        }
        place.woken.set(false);
        let mut cx = Context::from_waker(&place.waker);
        // SAFETY: boxed, so it stays where it is. It leaves its place only below, in a nested turn
        // (excluded by `enter`) and in `drop_tasks` (not during a poll).
        let poll = catch_unwind(AssertUnwindSafe(|| unsafe {
            Pin::new_unchecked(&mut *body.as_ptr()).poll(&mut cx)
        }));
        match poll {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.remove(task),
            Err(payload) => {
                // SAFETY: as above.
                unsafe { Pin::new_unchecked(&mut *body.as_ptr()) }.panicked(payload);
                self.remove(task);
            }
        }
    }

    #[cold]
    fn remove(&self, task: TaskRef) {
        self.take(task);
        if self.len() == 1
            && let Some(waker) = self.last.take()
        {
            waker.wake();
        }
    }

    /// Drops a task, if there is one in this place.
    fn take(&self, task: TaskRef) {
        if let Some(Task(body)) = task.0.task.take() {
            // A panic in the drop of what a task holds is reported, and the spdk_thread goes on.
            // SAFETY: leaked in `spawn`, taken once, and not being polled.
            local::run_caught("drop of a task", || unsafe {
                drop(Box::from_raw(body.as_ptr()))
            });
            // Last, since its handle may be used to abort it until then.
            self.free.borrow_mut().push(task);
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
        self.places.borrow().len() - self.free.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops every task. No task is being polled.
    pub(crate) fn drop_tasks(&self) {
        let places = self.places.borrow().clone();
        places.into_iter().for_each(|task| self.take(task));
        let ready = mem::take(&mut *self.ready.borrow_mut());
        ready.iter().for_each(|task| task.0.queued.set(false));
    }
}

impl Drop for Executor {
    /// An OS thread that ends without the end of its spdk_thread leaves tasks, and keeps its index.
    fn drop(&mut self) {
        if !self.is_closed.get() {
            self.close();
        }
    }
}

fn unused() -> std::sync::MutexGuard<'static, BTreeMap<u32, Vec<TaskRef>>> {
    UNUSED.lock().unwrap_or_else(|e| e.into_inner())
}
