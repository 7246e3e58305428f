//! What the script knows: of C, of the user, of each I/O and each queue.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::c_void;
use std::io::Write;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;

use spdk_model::Choices;

use crate::blob::Requests;
use crate::c::Callback;
use crate::error::Fault;
use crate::event::Event;
use crate::handle::Shared;
use crate::owner::{Owner, Taken};
use crate::script::{Limits, NONE};
use crate::sys;
use crate::waker::Token;

/// Where an I/O is: the places that `queue.rs` tells of, and what it passes between them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum State {
    /// The user has submitted it, and C has not got it yet.
    Beginning,
    /// C is in the submit call.
    Submitting,
    InFlight,
    /// For room.
    Waiting,
    /// For the next poll: there is room after all.
    Again,
    /// C has refused it just now.
    Refusing,
    /// It ends with the next poll.
    Refused,
    /// C calls back.
    Reported,
    Ended,
    /// The user has it.
    Held,
    /// The user's closure has it.
    Closure,
    /// The user has forgotten it.
    Lost,
    Gone,
}

impl State {
    /// Whether C may still touch its buffer.
    pub(crate) fn is_in_c(self) -> bool {
        matches!(
            self,
            State::Submitting | State::InFlight | State::Waiting | State::Beginning
        )
    }
}

/// The owner of a queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Share {
    Live,
    Dropped,
    Forgotten,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Read,
    /// On a blob it is alone.
    Unmap,
    /// Not submitted by the user.
    Unused,
}

/// The code of the user's that the queue calls, in which the script may do something else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point {
    SubmitCall,
    Closure,
    TagDrop,
    ClosureDrop,
    WakerClone,
    WakerDrop,
    Wake,
    Resume,
    Span,
}

pub(crate) struct Io {
    pub(crate) queue: usize,
    state: State,
    pub(crate) kind: Kind,
    /// How often the user has submitted it, and C got it.
    pub(crate) round: u64,
    pub(crate) submissions: usize,
    /// Whether it counts as in flight.
    pub(crate) counts: bool,
    /// Whether a closure that counts submits it.
    pub(crate) from_closure: bool,
    /// Whether it has to be the only one in flight, and whether it is.
    pub(crate) wants_alone: bool,
    pub(crate) is_alone: bool,
    /// The type of the closure that its callback may call.
    pub(crate) with_each: Option<usize>,
    /// How often it was given to a closure.
    pub(crate) closures: usize,
    /// The callback that C owes.
    pub(crate) owed: Option<Callback>,
    pub(crate) arg: *mut c_void,
    pub(crate) entry: Option<*mut sys::spdk_bdev_io_wait_entry>,
    /// Whether the callback has something of C's.
    pub(crate) bdev_io: bool,
    /// The number of the last buffer, and of the one that it has.
    pub(crate) bufs: usize,
    pub(crate) buf: Option<usize>,
    /// Whether that is too long.
    pub(crate) is_long: bool,
    pub(crate) tag_dropped: bool,
    /// How it ended.
    pub(crate) result: Option<Result<(), Fault>>,
    /// How many errors of it exist.
    pub(crate) errors: isize,
    pub(crate) spans: isize,
}

impl Io {
    pub(crate) fn new(queue: usize, kind: Kind) -> Self {
        Io {
            queue,
            state: State::Held,
            kind,
            round: 0,
            submissions: 0,
            counts: false,
            from_closure: false,
            wants_alone: false,
            is_alone: false,
            with_each: None,
            closures: 0,
            owed: None,
            arg: std::ptr::null_mut(),
            entry: None,
            bdev_io: false,
            bufs: 0,
            buf: None,
            is_long: false,
            tag_dropped: false,
            result: None,
            errors: 0,
            spans: 0,
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.tag_dropped {
            true => State::Gone,
            false => self.state,
        }
    }
}

/// What the user has of a queue.
pub(crate) enum Hand {
    Queue,
    /// The future with this number borrows it.
    Future(usize, Pin<Box<dyn Future<Output = ()>>>),
    /// This I/O does.
    Held(usize, Box<dyn Taken>),
    /// A call does.
    Busy,
    Dropped,
    Forgotten,
}

pub(crate) struct Queue {
    pub(crate) owner: NonNull<dyn Owner>,
    pub(crate) hand: Hand,
    /// In the order in which they ended, or were refused, or are to be submitted again.
    pub(crate) ended: VecDeque<usize>,
    pub(crate) refused: VecDeque<usize>,
    pub(crate) again: VecDeque<usize>,
    /// The future whose closure is called.
    pub(crate) each: Option<usize>,
    /// How many closures run that count as in flight.
    pub(crate) closing: usize,
    /// How many of them have panicked.
    pub(crate) panicked: usize,
    /// How many slots it has.
    pub(crate) slots: usize,
    pub(crate) polled_with: Option<usize>,
    /// Whether the last poll was pending, and its waker was woken since it began.
    pub(crate) is_pending: bool,
    /// How many polls have found something, one after the other.
    pub(crate) finds: u32,
    pub(crate) woken: bool,
    pub(crate) polls: usize,
    /// Of its device.
    pub(crate) handles: [Rc<Shared>; 2],
}

impl Queue {
    pub(crate) fn share(&self) -> Share {
        match self.hand {
            Hand::Dropped => Share::Dropped,
            Hand::Forgotten => Share::Forgotten,
            _ => Share::Live,
        }
    }
}

/// The future of a `for_each_ended`.
pub(crate) struct Each {
    pub(crate) queue: usize,
    /// The type of its closure.
    pub(crate) of: usize,
    pub(crate) share: Share,
    /// Whether a panic waits for the poll.
    pub(crate) panic: bool,
    pub(crate) closure_dropped: bool,
    /// Whether its memory is there.
    pub(crate) exists: bool,
    /// How often a poll has called the closure.
    pub(crate) calls: usize,
}

/// A closure that runs.
pub(crate) struct Running {
    pub(crate) each: usize,
    pub(crate) io: usize,
    /// Whether its I/O is submitted again, and counts itself.
    pub(crate) is_again: bool,
    /// Whether it has returned, and only its caller has not.
    pub(crate) is_over: bool,
}

/// A state and what happened in it.
pub(crate) type Turn = (State, Share, &'static str);

pub(crate) struct World {
    pub(crate) limits: Limits,
    pub(crate) choices: Choices,
    /// The next answers, before those.
    pub(crate) forced: VecDeque<usize>,
    /// How many events inside others are left; none in the epilogue.
    pub(crate) nested: usize,
    pub(crate) epilogue: bool,
    /// Nothing is checked any more.
    pub(crate) is_over: bool,
    pub(crate) failed: bool,
    /// The current spdk_thread.
    pub(crate) thread: usize,
    /// How many callbacks run.
    pub(crate) callbacks: usize,
    pub(crate) ios: Vec<Io>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) eaches: Vec<Each>,
    /// The closures that run.
    pub(crate) running: Vec<Running>,
    /// The I/Os of the blob's channel that wait.
    pub(crate) waiting: VecDeque<usize>,
    pub(crate) requests: Option<Rc<Requests>>,
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
            limits: NONE,
            choices: Choices::new(),
            forced: VecDeque::new(),
            nested: 0,
            epilogue: false,
            is_over: true,
            failed: false,
            thread: 1,
            callbacks: 0,
            ios: Vec::new(),
            queues: Vec::new(),
            eaches: Vec::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            requests: None,
            wakers: Vec::new(),
            turns: BTreeSet::new(),
            log: Vec::new(),
        })
    };
}

/// Looks at the world or changes it. `f` calls nothing of the library.
pub(crate) fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(f)
}

/// Which I/O has its block there. It is another one in each round.
pub(crate) fn io_at(offset: u64) -> usize {
    (offset % 64) as usize
}

impl World {
    pub(crate) fn begin(&mut self, limits: Limits, choices: Choices) {
        self.limits = limits;
        self.choices = choices;
        self.nested = limits.nested;
        self.epilogue = false;
        self.is_over = false;
        self.thread = 1;
        self.callbacks = 0;
        self.ios.clear();
        self.eaches.clear();
        self.running.clear();
        self.waiting.clear();
        self.wakers.clear();
        self.log.clear();
    }

    pub(crate) fn pick(&mut self, of: usize) -> usize {
        if self.epilogue || of == 1 {
            return 0;
        }
        match self.forced.pop_front() {
            Some(answer) => answer,
            None => self.choices.pick(of),
        }
    }

    /// An I/O is somewhere else from now on.
    pub(crate) fn go(&mut self, io: usize, state: State) {
        self.ios[io].state = state;
    }

    /// Notes that something happens to an I/O.
    pub(crate) fn turn(&mut self, io: usize, what: &'static str) {
        let share = self.queues[self.ios[io].queue].share();
        self.turns.insert((self.ios[io].state(), share, what));
        self.log.push(Entry::Answer(io, what));
    }

    pub(crate) fn log_event(&mut self, event: Event) {
        self.log.push(Entry::Event(event));
    }

    pub(crate) fn log_inside(&mut self, point: Point) {
        self.log.push(Entry::Inside(point));
    }

    pub(crate) fn queue_of(&mut self, io: usize) -> &mut Queue {
        &mut self.queues[self.ios[io].queue]
    }

    /// Whether the tag of an I/O may be dropped: by the user, or since its queue was.
    pub(crate) fn may_go(&mut self, io: usize) -> bool {
        let is_left = self.queue_of(io).share() == Share::Dropped;
        match self.ios[io].state {
            State::Held | State::Closure => true,
            // It goes on, for nobody.
            State::Waiting if is_left && self.waiting.front() == Some(&io) => {
                self.waiting.pop_front();
                self.go(io, State::Reported);
                self.ios[io].counts = false;
                true
            }
            State::Submitting | State::InFlight | State::Waiting | State::Lost => false,
            _ => {
                if is_left {
                    self.go(io, State::Reported);
                    self.ios[io].counts = false;
                }
                is_left
            }
        }
    }

    /// How many I/Os of a queue are in flight for it.
    pub(crate) fn in_flight(&self, queue: usize) -> usize {
        let ios = self.ios.iter().filter(|io| io.queue == queue && io.counts);
        ios.count() + self.queues[queue].closing
    }

    /// Whether an I/O of a blob has to wait now.
    pub(crate) fn has_to_wait(&self, io: usize) -> bool {
        let it = &self.ios[io];
        let others = self.ios.iter().enumerate();
        let others =
            others.filter(|(other, it)| *other != io && it.counts && it.state != State::Waiting);
        let closing: usize = self.queues.iter().map(|queue| queue.closing).sum();
        let others = others.count() + closing - usize::from(it.from_closure);
        let is_first = it.state == State::Waiting && self.waiting.front() == Some(&io);
        (!is_first && !self.waiting.is_empty())
            || others >= self.limits.most
            || self.ios.iter().any(|it| it.is_alone)
            || (it.wants_alone && others > 0)
    }

    /// The first submission of an I/O, or its next, counts; that of a closure has counted.
    pub(crate) fn count(&mut self, io: usize) {
        self.ios[io].counts = true;
        if std::mem::take(&mut self.ios[io].from_closure) {
            self.queue_of(io).closing -= 1;
            let mut running = self.running.iter_mut().rev();
            if let Some(closure) = running.find(|closure| closure.io == io) {
                closure.is_again = true;
            }
        }
    }

    pub(crate) fn is_running(&self, each: usize) -> bool {
        self.running.iter().any(|closure| closure.each == each)
    }

    /// The caller of the last closure returns.
    pub(crate) fn leave(&mut self) {
        while self.running.pop_if(|closure| closure.is_over).is_some() {}
    }

    /// Whether a poll of the queue has something to find.
    pub(crate) fn has_news(&self, queue: usize) -> bool {
        let it = &self.queues[queue];
        let panicked = |each: &Each| each.queue == queue && each.panic;
        !(it.ended.is_empty() && it.refused.is_empty() && it.again.is_empty())
            || self.in_flight(queue) == 0
            || self.eaches.iter().any(panicked)
    }

    /// Those that were refused end.
    pub(crate) fn end_refused(&mut self, queue: usize) {
        while let Some(io) = self.queues[queue].refused.pop_front() {
            self.turn(io, "poll");
            self.end(io);
        }
    }

    /// An I/O ends for the next poll.
    pub(crate) fn end(&mut self, io: usize) {
        self.go(io, State::Ended);
        self.ios[io].counts = false;
        self.queue_of(io).ended.push_back(io);
    }

    /// The closure that has panicked counts no more.
    pub(crate) fn end_panicked(&mut self, queue: usize) {
        let it = &mut self.queues[queue];
        it.closing -= std::mem::take(&mut it.panicked);
    }
}

/// An I/O has failed: it ended so, or it is refused.
pub(crate) fn failed(io: usize, fault: Fault) {
    let sound = with(|world| {
        let it = &mut world.ios[io];
        it.errors += 1;
        let sound = it.result == Some(Err(fault)) && it.errors == 1;
        if matches!(it.state, State::Beginning | State::Refusing) {
            it.counts = false;
            world.go(io, State::Refused);
            world.queue_of(io).refused.push_back(io);
        }
        sound
    });
    require(sound, "an I/O fails that has not failed so, or twice");
}

/// Nothing of a queue is in flight.
pub(crate) fn none_counts(queue: usize) {
    with(|world| {
        if !world.is_over {
            world.end_panicked(queue);
        }
    });
}

/// Fails, after the execution's story, if `holds` is not so. Inside a callback that ends the process, or it is caught as a
/// panic of the closure, so the story goes to the standard error stream itself.
#[track_caller]
pub(crate) fn require(holds: bool, what: &str) {
    let is_over = with(|world| world.is_over || world.failed);
    if holds || is_over {
        return;
    }
    let mut story = format!("\n{what}, after:\n");
    with(|world| {
        world.failed = true;
        for entry in &world.log {
            story += &match entry {
                Entry::Event(event) => format!("  {event:?}\n"),
                Entry::Inside(point) => format!("  inside {point:?}:\n"),
                Entry::Answer(io, answer) => format!("    I/O {io}: {answer}\n"),
            };
        }
    });
    let _ = std::io::stderr().write_all(story.as_bytes());
    // What is left is no part of the story, and a panic may be caught.
    std::process::abort();
}
