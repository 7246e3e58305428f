//! What the script knows: of C, of the user, and of what each operation owns.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;

use spdk_model::Choices;

use crate::error::Fault;
use crate::event::Event;
use crate::future::Forget;
use crate::parts::Held;
use crate::script::Limits;
use crate::sys;
use crate::waiters::Waiters;
use crate::waker::Token;

/// Where an operation is, as C and the user can tell: the states of the diagram in `op.rs`, and the one
/// before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum State {
    /// Its future has not been polled, and there is no operation yet.
    New,
    Submitting,
    Inline,
    InFlight,
    Waiting,
    Retry,
    Done,
}

/// The future's share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Share {
    Live,
    Ready,
    Dropped,
    Forgotten,
}

/// The code that the core calls, in which the script may do something else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point {
    SubmitCall,
    AfterInlineCallback,
    Finish,
    HeldDrop,
    SubmitDrop,
    FinishDrop,
    ResultDrop,
    WakerClone,
    WakerDrop,
    Wake,
    Span,
}

pub(crate) type Callback = unsafe fn(*mut c_void, c_int);

pub(crate) struct Operation {
    pub(crate) state: State,
    pub(crate) share: Share,
    /// The spdk_thread that it was started on.
    pub(crate) thread: usize,
    pub(crate) submissions: usize,

    /// The callback that C owes.
    pub(crate) owed: Option<(Callback, *mut c_void)>,
    /// Whether C is in the submit call.
    pub(crate) in_call: bool,
    /// Whether C calls back, not inside the submit call.
    pub(crate) in_callback: bool,
    /// The context of the last submission.
    pub(crate) arg: *mut c_void,
    /// Where C was told that `held` is.
    pub(crate) touches: *const Held,
    pub(crate) queued: Option<*mut sys::spdk_bdev_io_wait_entry>,
    /// It waits among them for a request of a queue, if it does.
    pub(crate) waiters: Rc<Waiters>,
    /// What C reported, once it has.
    pub(crate) reported: Option<c_int>,

    pub(crate) held_dropped: bool,
    pub(crate) submit_dropped: bool,
    pub(crate) finish_dropped: bool,
    pub(crate) finish_called: bool,
    /// Whether it ended while it waited, without a result.
    pub(crate) released: bool,
    /// How the operation ended.
    pub(crate) outcome: Option<Result<(), Fault>>,
    pub(crate) resource_made: bool,
    pub(crate) resource_dropped: bool,

    pub(crate) span_opened: bool,
    pub(crate) span_ended: bool,

    /// Whether the future was ready or gave its share up.
    pub(crate) share_ended: bool,
    /// The future, unless it is being used or is gone.
    pub(crate) future: Option<Pin<Box<dyn Forget>>>,
    pub(crate) wakers: Vec<usize>,
    pub(crate) polled_with: Option<usize>,
    /// Whether the waker of the last poll was woken since that poll began.
    pub(crate) woken: bool,
}

impl Operation {
    /// Whether it is in its callback, and has not failed.
    pub(crate) fn may_resume(&self) -> bool {
        self.in_callback && self.reported == Some(0)
    }

    pub(crate) fn new(thread: usize) -> Self {
        Operation {
            state: State::New,
            share: Share::Live,
            thread,
            submissions: 0,
            owed: None,
            in_call: false,
            in_callback: false,
            arg: std::ptr::null_mut(),
            touches: std::ptr::null(),
            queued: None,
            waiters: Rc::default(),
            reported: None,
            held_dropped: false,
            submit_dropped: false,
            finish_dropped: false,
            finish_called: false,
            released: false,
            outcome: None,
            resource_made: false,
            resource_dropped: false,
            span_opened: false,
            span_ended: false,
            share_ended: false,
            future: None,
            wakers: Vec::new(),
            polled_with: None,
            woken: false,
        }
    }

    /// Where it is; the field says where it was last seen.
    pub(crate) fn state(&self) -> State {
        let dropped = self.held_dropped && self.submit_dropped && self.finish_dropped;
        let ended = self.outcome.is_some() && dropped;
        let idle = matches!(self.state, State::New | State::Retry);
        let unwanted = self.share == Share::Dropped && idle;
        if ended || unwanted || self.released {
            State::Done
        } else {
            self.state
        }
    }

    /// Whether C can still touch what the operation holds.
    pub(crate) fn is_in_c(&self) -> bool {
        self.in_call || self.owed.is_some() || self.waits()
    }

    fn waits(&self) -> bool {
        self.queued.is_some() || self.waiters.count() > 0
    }
}

/// A state and what happened in it.
pub(crate) type Turn = (State, Share, &'static str);

pub(crate) struct World {
    pub(crate) limits: Limits,
    pub(crate) choices: Choices,
    /// How many events inside others are left; none in the epilogue.
    pub(crate) nested: usize,
    pub(crate) epilogue: bool,
    /// The current spdk_thread.
    pub(crate) thread: usize,
    pub(crate) operations: Vec<Operation>,
    pub(crate) wakers: Vec<Token>,
    pub(crate) turns: BTreeSet<Turn>,
    log: Vec<Entry>,
}

enum Entry {
    Event(Event),
    Inside(Point),
    Answer(usize, &'static str),
}

thread_local! {
    static WORLD: RefCell<World> = const {
        RefCell::new(World {
            limits: Limits { operations: 0, events: 0, nested: 0, watched: false },
            choices: Choices::new(),
            nested: 0,
            epilogue: false,
            thread: 1,
            operations: Vec::new(),
            wakers: Vec::new(),
            turns: BTreeSet::new(),
            log: Vec::new(),
        })
    };
}

/// Looks at the world or changes it. `f` calls nothing of the core.
pub(crate) fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(f)
}

impl World {
    pub(crate) fn begin(&mut self, limits: Limits, choices: Choices) {
        self.limits = limits;
        self.choices = choices;
        self.nested = limits.nested;
        self.epilogue = false;
        self.thread = 1;
        self.operations.clear();
        self.wakers.clear();
        self.log.clear();
    }

    pub(crate) fn pick(&mut self, of: usize) -> usize {
        if self.epilogue || of == 1 {
            0
        } else {
            self.choices.pick(of)
        }
    }

    /// Notes that something happened to an operation.
    pub(crate) fn turn(&mut self, operation: usize, what: &'static str) {
        let operation = &self.operations[operation];
        self.turns
            .insert((operation.state(), operation.share, what));
    }

    pub(crate) fn log_event(&mut self, event: Event) {
        self.log.push(Entry::Event(event));
    }

    pub(crate) fn log_inside(&mut self, point: Point) {
        self.log.push(Entry::Inside(point));
    }

    pub(crate) fn log_answer(&mut self, operation: usize, answer: &'static str) {
        self.log.push(Entry::Answer(operation, answer));
    }
}

/// Fails, after the execution's story, if `holds` is not so. Inside a callback that ends the process, so the
/// story goes to the standard error stream itself.
#[track_caller]
pub(crate) fn require(holds: bool, what: &str) {
    if holds {
        return;
    }
    let mut story = format!("\n{what}, after:\n");
    with(|world| {
        for entry in &world.log {
            story += &match entry {
                Entry::Event(event) => format!("  {event:?}\n"),
                Entry::Inside(point) => format!("  inside {point:?}:\n"),
                Entry::Answer(operation, answer) => {
                    format!("    operation {operation}: {answer}\n")
                }
            };
        }
    });
    let _ = std::io::stderr().write_all(story.as_bytes());
    // Their drops are no part of the story.
    with(|world| {
        let futures = world.operations.iter_mut().map(|it| it.future.take());
        futures.for_each(std::mem::forget);
    });
    panic!("{what}");
}
