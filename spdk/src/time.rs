//! Timers of spdk_threads: no OS timer, no OS thread and no system call is behind them.
//!
//! An spdk_thread has one poller of SPDK for all its timers, and none while no timer waits. Times are
//! those of [`Instant`]: a timer is never early, and late by what else the spdk_thread does, and by some
//! 25 microseconds where SPDK has to guess the rate of the CPU's clock. Thousands of timers cost what an
//! ordered map of them costs.
//!
//! ```no_run
//! # use spdk::{BdevDesc, DmaBuf, ErrorKind, IoChannel};
//! # async fn example(desc: &BdevDesc, channel: &IoChannel) -> spdk::Result<()> {
//! use std::time::Duration;
//!
//! let mut buf = DmaBuf::alloc(4096, 4096)?;
//! let read = desc.read(channel, &mut buf, 0);
//! match spdk::time::timeout(Duration::from_millis(100), read).await {
//!     Ok(done) => done?,
//!     // The read is still in flight, with its memory: the buffer gets fresh memory.
//!     Err(error) if matches!(error.kind(), ErrorKind::TimedOut { .. }) => println!("{error}"),
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Thread
//!
//! The futures are neither `Send` nor `Sync`. A timer belongs to the spdk_thread on which its future is
//! first polled, by a task or under any other executor. If that spdk_thread ends before the time has
//! come, it reports [`ErrorKind::Gone`].
//!
//! # Cancellation
//!
//! Dropping a future takes its timer back, on any spdk_thread of the same OS thread.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;

use crate::error::{At, ErrorKind, Fault, Gone, Result};
use crate::local::Local;
use crate::timers::Key;

/// Ready after a time, counted from this call.
///
/// It waits for the next poll of the spdk_thread at least, also for a time of zero.
///
/// # Errors
///
/// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::Gone`] if its spdk_thread ends
/// first, [`ErrorKind::Errno`] with `ENOMEM` if SPDK has no memory for a poller.
pub fn sleep(time: Duration) -> Sleep {
    sleep_until(Instant::now() + time.min(FOREVER))
}

/// Ready at this instant, or in the next poll of the spdk_thread if it has passed.
///
/// # Errors
///
/// As for [`sleep`].
pub fn sleep_until(instant: Instant) -> Sleep {
    Sleep {
        deadline: instant,
        timer: Timer::default(),
    }
}

/// The future of [`sleep`] and [`sleep_until`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep {
    deadline: Instant,
    timer: Timer,
}

impl Future for Sleep {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const CALL: &str = "time::sleep";
        let deadline = self.deadline;
        let end = ready!(self.timer.wait(deadline, cx.waker()));
        Poll::Ready(end.map_err(|fault| fault.at(At::free(CALL))))
    }
}

/// The output of `future`, if it is ready within a time that is counted from the first poll. Else
/// `future` is dropped: what its operations leave in flight, their own docs say.
///
/// A future that is ready at once costs no timer. The time is looked at after `future`.
///
/// # Errors
///
/// [`ErrorKind::TimedOut`], and as for [`sleep`].
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output> {
    let (mut future, mut sleep) = (pin!(future), pin!(sleep(limit)));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let end = ready!(sleep.as_mut().poll(cx));
        Poll::Ready(end.and_then(|()| Err(ErrorKind::TimedOut { limit }.into())))
    })
    .await
}

/// A stream of the ends of periods, the first of which begins with this call.
///
/// An item says how many periods have ended since the last one: 1, or more if the reader was late.
/// The periods do not shift. The stream ends when the spdk_thread does.
///
/// ```no_run
/// # async fn example() -> spdk::Result<()> {
/// use std::time::Duration;
///
/// let mut seconds = spdk::time::interval(Duration::from_secs(1))?;
/// while let Some(passed) = seconds.next().await {
///     println!("{passed} s");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::InvalidArgument`] for a period
/// of zero.
pub fn interval(period: Duration) -> Result<Interval> {
    const CALL: &str = "time::interval";
    Local::current().map_err(|fault| fault.at(At::free(CALL)))?;
    if period.is_zero() {
        let fault = Fault::invalid("a period of zero; `task::yield_now` waits for the next turn");
        return Err(fault.at(At::free(CALL)));
    }
    let period = period.min(FOREVER);
    Ok(Interval {
        period,
        next: Instant::now() + period,
        timer: Timer::default(),
    })
}

/// The stream of [`interval`].
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Interval {
    period: Duration,
    next: Instant,
    timer: Timer,
}

impl Interval {
    /// Waits for the end of a period, and says how many have ended since the last one; `None` when the
    /// spdk_thread has ended. What ends while its future is dropped is counted by the next one.
    #[expect(
        clippy::should_implement_trait,
        reason = "the name that streams have for it"
    )]
    pub fn next(&mut self) -> impl Future<Output = Option<u64>> + Unpin {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
    }
}

impl Stream for Interval {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let next = self.next;
        if Instant::now() >= next && Local::current().is_ok() {
            self.timer.disarm(); // a late reader
        } else if ready!(self.timer.wait(next, cx.waker())).is_err() {
            return Poll::Ready(None);
        }
        let late = Instant::now().saturating_duration_since(next).as_nanos();
        let period = self.period.as_nanos();
        let passed = late / period + 1;
        self.next = next + Duration::from_nanos((passed * period) as u64);
        Poll::Ready(Some(passed as u64))
    }
}

/// Longer than a machine runs, and no instant overflows by it.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A place among the timers of an spdk_thread, while it is armed.
#[derive(Default)]
struct Timer {
    armed: Option<(Rc<Local>, Key)>,
}

impl Timer {
    /// Ready when the deadline has come.
    fn wait(&mut self, deadline: Instant, waker: &Waker) -> Poll<Result<(), Fault>> {
        if let Some((local, key)) = &self.armed {
            if local.timers().renew(*key, waker) {
                return Poll::Pending;
            }
            let has_ended = local.timers().is_closed();
            self.disarm();
            return Poll::Ready(match has_ended {
                true => Err(Fault::gone(Gone::ThreadEnded)),
                false => Ok(()),
            });
        }
        let local = Local::current()?;
        let key = local.timers().arm(&local, deadline, waker.clone())?;
        self.armed = Some((local, key));
        Poll::Pending
    }

    fn disarm(&mut self) {
        if let Some((local, key)) = self.armed.take() {
            local.timers().disarm(key);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.armed {
            Some(_) => "armed",
            None => "not armed",
        })
    }
}
