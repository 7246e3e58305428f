//! Makes calls, drops some, and compares what they return.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use spdk::task::yield_now;
use spdk::{Errno, ErrorKind};

use super::store::Failed;
use crate::poll_once;

/// What a call has to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// No error.
    Ok,
    /// An error with this errno.
    Errno(Errno),
    /// `ErrorKind::InvalidArgument`.
    Invalid,
}

impl Returns {
    /// What comes of what was done.
    pub fn of<T>(done: &Result<T, Failed>) -> Self {
        match done {
            Ok(_) => Returns::Ok,
            Err(Failed::NoSpace) => Returns::Errno(Errno::ENOSPC),
            Err(Failed::Lost) => Returns::Errno(Errno::EIO),
        }
    }
}

impl fmt::Display for Returns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Returns::Ok => write!(f, "no error"),
            Returns::Errno(errno) => write!(f, "{errno:?}"),
            Returns::Invalid => write!(f, "an invalid argument"),
        }
    }
}

/// What a call has led to.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It has returned as it had to; with what it has made.
    Expected(Option<T>),
    /// What was wrong.
    Wrong(String),
    /// Its future was dropped before it was ready.
    Dropped,
}

/// Why a call has not gone well.
#[derive(Debug)]
pub enum Failure {
    /// What it has returned.
    Error(spdk::Error),
    /// Something else than what it had to be.
    Wrong(String),
}

impl From<spdk::Error> for Failure {
    fn from(error: spdk::Error) -> Self {
        Failure::Error(error)
    }
}

impl From<String> for Failure {
    fn from(wrong: String) -> Self {
        Failure::Wrong(wrong)
    }
}

/// What an error says.
pub fn text(error: spdk::Error) -> String {
    error.to_string()
}

/// Compares what was found.
///
/// # Errors
///
/// They differ.
pub fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what} is {found:?} instead of {expected:?}")),
    }
}

/// Makes a call; with `polls`, its future is dropped after so many if it is not ready by then.
pub async fn perform<T>(
    call: impl Future<Output = Result<Option<T>, Failure>>,
    returns: Returns,
    polls: Option<u8>,
) -> Outcome<T> {
    let result = match polls {
        None => call.await,
        Some(polls) => match drop_after(polls, call).await {
            Some(result) => result,
            None => return Outcome::Dropped,
        },
    };
    match (result, returns) {
        (Ok(new), Returns::Ok) => Outcome::Expected(new),
        (Err(Failure::Wrong(wrong)), _) => Outcome::Wrong(wrong),
        (Ok(_), _) => Outcome::Wrong(format!("it went well instead of {returns}")),
        (Err(Failure::Error(error)), _) => {
            let found = match error.kind() {
                ErrorKind::InvalidArgument { .. } => Some(Returns::Invalid),
                _ => error.errno().map(Returns::Errno),
            };
            match found == Some(returns) {
                true => Outcome::Expected(None),
                false => Outcome::Wrong(format!("{error}, instead of {returns}")),
            }
        }
    }
}

async fn drop_after<F: Future>(polls: u8, future: F) -> Option<F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = poll_once(future.as_mut()) {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// Ready when so much time has passed, in which this process ran.
async fn after(time: Duration) {
    let (mut spent, mut last) = (Duration::ZERO, Instant::now());
    while spent < time {
        yield_now().await;
        // It may have been stopped.
        spent += last.elapsed().min(Duration::from_millis(50));
        last = Instant::now();
    }
}

/// Runs what has to end in time.
///
/// # Errors
///
/// Those of the future, or that it did not end.
pub async fn within<T>(
    time: Duration,
    what: &str,
    future: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match select(pin!(future), pin!(after(time))).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => Err(format!("{what} hangs: it has not ended after {time:?}")),
    }
}

/// Of the models that each sequence may have led to, the first that is right.
///
/// # Errors
///
/// Why none of a sequence is.
pub async fn right_ones<M: Clone>(
    lanes: &[Vec<M>],
    compare: impl AsyncFn(&M) -> Result<(), String>,
) -> Result<Vec<M>, String> {
    let mut right = Vec::new();
    'lanes: for models in lanes {
        let mut wrong = Vec::new();
        for model in models {
            match compare(model).await {
                // Another one would do as well only without something that this one has.
                Ok(()) => {
                    right.push(model.clone());
                    continue 'lanes;
                }
                Err(error) => wrong.push(error),
            }
        }
        return Err(wrong.join("; or: "));
    }
    Ok(right)
}
