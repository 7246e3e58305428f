//! The ways in which the futures of operations end, in time or before it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, join, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use spdk::{EndedIo, ErrorKind, IoQueue, spawn_local};

use super::job::{Job, Ticket};
use crate::random::Random;
use crate::turns::pass;
use crate::wait::timeout;
use crate::{Device, poll_once};

/// What becomes of the futures of some operations.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// They are waited for.
    Awaited,
    /// They are polled once with a waker that nobody hears, and waited for then.
    Moved,
    /// They are dropped without a poll.
    Unpolled,
    /// They are dropped after some turns; after their first poll, if that is none.
    Dropped(u64),
    /// They are dropped when some time is over.
    TimedOut(Duration),
    /// They are leaked after some turns.
    Forgotten(u64),
    /// Each runs in a task, which is aborted after some turns.
    Aborted(u64),
    /// So many are waited for, and the others are dropped.
    Outrun(usize),
    /// They go through an `IoQueue`, which is dropped when so many have ended. Those that it does not
    /// have run beside it.
    Queued(usize),
    /// They go through an `IoQueue`, where the closure that is called at the end of one submits the next; the queue is
    /// dropped after some turns. Others as above.
    Called(u64),
}

impl Fate {
    /// Draws one.
    pub fn draw(dice: &mut Random) -> Fate {
        let turns = if dice.one_in(2) { 0 } else { dice.below(6) };
        match dice.below(22) {
            0 => Fate::Unpolled,
            1..=3 => Fate::Dropped(turns),
            4 => Fate::TimedOut(Duration::from_micros(dice.below(2000))),
            5 => Fate::Forgotten(turns),
            6..=7 => Fate::Aborted(turns),
            8 => Fate::Moved,
            9 => Fate::Outrun(dice.below(3) as usize),
            // All of them, or fewer.
            10 => Fate::Queued(usize::MAX),
            11..=12 => Fate::Queued(dice.below(4) as usize),
            19 => Fate::Called(u64::MAX),
            20..=21 => Fate::Called(turns),
            _ => Fate::Awaited,
        }
    }

    /// Whether an operation may be left in flight.
    pub fn abandons(self) -> bool {
        !matches!(
            self,
            Fate::Awaited
                | Fate::Moved
                | Fate::Unpolled
                | Fate::Queued(usize::MAX)
                | Fate::Called(u64::MAX)
        )
    }

    /// Carries operations out, all at once, and returns those whose buffers still exist.
    ///
    /// # Errors
    ///
    /// If a task was not dropped, or ended in a way that it should not.
    pub async fn carry_out(
        self,
        mut jobs: Vec<Job>,
        device: &Rc<Device>,
    ) -> Result<Vec<Option<Job>>, String> {
        if let Fate::Aborted(turns) = self {
            return aborted(jobs, device, turns).await;
        }
        if let Fate::Queued(ends) = self {
            return queued(jobs, device, ends).await;
        }
        if let Fate::Called(turns) = self {
            return called(jobs, device, turns).await;
        }
        let futures = jobs.iter_mut().map(|job| job.run(device));
        match self {
            Fate::Awaited => drop(join_all(futures).await),
            Fate::Moved => {
                let mut all = Box::pin(join_all(futures));
                if poll_once(all.as_mut()).is_pending() {
                    drop(all.await);
                }
            }
            Fate::Unpolled => futures.for_each(drop),
            Fate::Dropped(0) => drop(poll_once(pin!(join_all(futures)))),
            Fate::Dropped(turns) => drop(select(join_all(futures), pin!(pass(turns))).await),
            Fate::TimedOut(time) => drop(timeout(time, join_all(futures)).await),
            Fate::Forgotten(turns) => {
                for future in futures {
                    let mut future = to_be_forgotten(future);
                    let ended = match turns {
                        0 => poll_once(future.as_mut()).is_ready(),
                        _ => timeout_turns(future.as_mut(), turns).await,
                    };
                    if !ended {
                        std::mem::forget(future);
                    }
                }
            }
            Fate::Outrun(ends) => {
                let mut all: FuturesUnordered<_> = futures.collect();
                for _ in 0..ends.min(all.len()) {
                    let _ = all.next().await;
                }
                // With none to wait for, they are at least submitted.
                let next = pin!(all.next());
                let _ = poll_once(next);
            }
            Fate::Aborted(_) | Fate::Queued(_) | Fate::Called(_) => unreachable!("returned above"),
        }
        Ok(jobs.into_iter().map(Some).collect())
    }
}

/// Boxes a future. LeakSanitizer is told to overlook what this function allocates.
#[inline(never)]
fn to_be_forgotten<F: Future>(future: F) -> Pin<Box<F>> {
    Box::pin(future)
}

async fn timeout_turns<F: Future>(future: F, turns: u64) -> bool {
    let (future, turns) = (pin!(future), pin!(pass(turns)));
    matches!(select(future, turns).await, Either::Left(_))
}

async fn queued(
    jobs: Vec<Job>,
    device: &Rc<Device>,
    ends: usize,
) -> Result<Vec<Option<Job>>, String> {
    let text = |error: spdk::Error| error.to_string();
    let mut jobs: Vec<_> = jobs.into_iter().map(Some).collect();
    let mut queue = IoQueue::new(&device.ch).map_err(text)?;
    let mut beside = Vec::new();
    for (place, job) in jobs.iter_mut().enumerate() {
        match job {
            Some(queued) if queued.fits_a_queue() => {
                queued.enqueue(&mut queue, place).map_err(text)?
            }
            job => beside.extend(job.take().map(|job| (place, job))),
        }
    }
    let in_queue = async {
        for _ in 0..ends {
            let Some(done) = queue.next().await else {
                break;
            };
            if let Some(job) = jobs[done.tag.place].as_mut() {
                job.dequeue(done.tag, done.buf, done.result);
            }
        }
        drop(queue);
    };
    let runs = join_all(beside.iter_mut().map(|(_, job)| job.run(device)));
    join(in_queue, runs).await;
    for (place, job) in beside {
        jobs[place] = Some(job);
    }
    Ok(jobs)
}

/// What the closure of a queue works with.
#[derive(Default)]
struct Chain {
    /// Those that were submitted, by their place.
    begun: RefCell<BTreeMap<usize, Job>>,
    next: RefCell<VecDeque<(usize, Job)>>,
}

impl Chain {
    /// One has ended, and the next one begins in its place.
    fn go_on(&self, mut io: EndedIo<'_, Ticket>) {
        let (tag, buf, result) = (*io.tag(), io.buf().take(), io.take_result());
        if let Some(job) = self.begun.borrow_mut().get_mut(&tag.place) {
            job.dequeue(tag, buf, result);
        }
        if let Some((place, mut job)) = self.next.borrow_mut().pop_front() {
            job.go_on(io, place);
            self.begun.borrow_mut().insert(place, job);
        }
    }
}

async fn called(
    jobs: Vec<Job>,
    device: &Rc<Device>,
    turns: u64,
) -> Result<Vec<Option<Job>>, String> {
    let text = |error: spdk::Error| error.to_string();
    let count = jobs.len();
    let mut queue = IoQueue::new(&device.ch).map_err(text)?;
    let (chain, mut beside) = (Rc::new(Chain::default()), Vec::new());
    for (place, mut job) in jobs.into_iter().enumerate() {
        if !job.fits_a_queue() {
            beside.push((place, job));
        } else if chain.begun.borrow().is_empty() || job.twice {
            job.enqueue(&mut queue, place).map_err(text)?;
            chain.begun.borrow_mut().insert(place, job);
        } else {
            chain.next.borrow_mut().push_back((place, job));
        }
    }
    let goes_on = chain.clone();
    let in_queue = async {
        let all = queue.for_each_ended(move |io| goes_on.go_on(io));
        match turns {
            u64::MAX => all.await,
            turns => {
                select(pin!(all), pin!(pass(turns))).await;
            }
        }
        drop(queue);
    };
    let runs = join_all(beside.iter_mut().map(|(_, job)| job.run(device)));
    join(in_queue, runs).await;
    let mut left: Vec<_> = (0..count).map(|_| None).collect();
    let all = chain.begun.take().into_iter().chain(chain.next.take());
    for (place, job) in all.chain(beside) {
        left[place] = Some(job);
    }
    Ok(left)
}

async fn aborted(
    jobs: Vec<Job>,
    device: &Rc<Device>,
    turns: u64,
) -> Result<Vec<Option<Job>>, String> {
    let references = Rc::strong_count(device);
    let tasks = jobs.into_iter().map(|mut job| {
        let device = device.clone();
        spawn_local(async move {
            // What it returned is in its flight.
            let _ = job.run(&device).await;
            job
        })
    });
    let tasks: Vec<_> = tasks
        .collect::<spdk::Result<_>>()
        .map_err(|error| error.to_string())?;
    pass(turns).await;
    tasks.iter().for_each(|task| task.abort());
    // This task was ready first, so the aborted ones have had their turn when it has its second.
    pass(2).await;
    if !tasks.iter().all(|task| task.is_finished()) {
        return Err("an aborted task has not ended in its next turn".to_owned());
    }
    let mut left = Vec::new();
    for task in tasks {
        left.push(match task.await {
            Ok(job) => Some(job),
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled) => None,
            Err(error) => return Err(format!("a task ended with: {error}")),
        });
    }
    match Rc::strong_count(device) - references {
        0 => Ok(left),
        tasks => Err(format!("{tasks} aborted tasks were not dropped")),
    }
}
