//! The bounded end of an application whose devices do not answer.
//!
//! Memory that a device may still write into is never freed, so the end of an application waits for
//! the operations in flight. There are two ways out when they do not end:
//!
//! - After the patience, each spdk_thread has the devices reset that it waits for (`Local`). A driver
//!   then gives up what is in flight, the callbacks come, and everything goes on in order.
//! - After ten times that, the [`Watch`] ends the reactors and leaves the rest of SPDK as it is.
//!   Nothing of it is freed, and nothing runs any more that could use it.
#![allow(unsafe_code)] // Sends SPDK's app thread a message from an OS thread of its own.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::local::OpenObject;
use crate::shared::Shared;
use crate::{panic, sys};

/// In nanoseconds.
static PATIENCE: AtomicU64 = AtomicU64::new(5_000_000_000);

pub(crate) fn set_patience(patience: Duration) {
    let nanos = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    PATIENCE.store(nanos, SeqCst);
}

/// How long operations in flight are waited for.
pub(crate) fn patience() -> Duration {
    Duration::from_nanos(PATIENCE.load(SeqCst))
}

/// How long the whole end may take.
fn limit() -> Duration {
    patience().saturating_mul(10)
}

/// How many names a line of the report has.
const NAMES: usize = 8;

/// Reports the tasks that the end of an spdk_thread drops.
pub(crate) fn report_tasks(thread: &Shared, tasks: usize) {
    if tasks > 0 {
        let thread = thread.name();
        tracing::info!(thread, tasks, "tasks have not ended: they are dropped");
    }
}

/// Reports what was left open when the tasks of an spdk_thread that ends were dropped: a line for each
/// kind, and one for the operations in flight.
pub(crate) fn report_objects(thread: &Shared, objects: &[OpenObject]) {
    let thread = thread.name();
    let mut kinds: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut in_use: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, label, operations) in objects {
        match operations {
            0 => *kinds.entry(kind).or_default().entry(label).or_default() += 1,
            _ => *in_use.entry(label).or_default() += operations,
        }
    }
    for (kind, labels) in &kinds {
        let count: usize = labels.values().sum();
        let names = names(labels);
        tracing::info!(thread, kind, count, %names, "still open: they are closed");
    }
    if !in_use.is_empty() {
        let names = names(&in_use);
        tracing::info!(thread, %names, "operations are in flight: the end waits for them");
    }
}

/// Names, with how often each occurs.
fn names(labels: &BTreeMap<&str, usize>) -> String {
    let names = labels.iter().take(NAMES).map(|(label, count)| match count {
        1 => (*label).to_owned(),
        count => format!("{label} ({count})"),
    });
    let mut text = names.collect::<Vec<_>>().join(", ");
    if labels.len() > NAMES {
        text += &format!(", and {} more", labels.len() - NAMES);
    }
    text
}

/// An OS thread that ends the reactors when the framework does not stop in time.
pub(crate) struct Watch {
    /// Dropped when the framework has stopped.
    stopped: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watch {
    /// Starts to watch. Called on the app thread, once, when the end begins.
    pub(crate) fn start() -> Option<Watch> {
        let (stopped, rx) = mpsc::channel();
        let watch = move || {
            let in_time = rx.recv_timeout(limit()) != Err(RecvTimeoutError::Timeout);
            !in_time && abandon()
        };
        match std::thread::Builder::new()
            .name("spdk-shutdown".to_owned())
            .spawn(watch)
        {
            Ok(thread) => Some(Watch { stopped, thread }),
            Err(error) => {
                tracing::warn!(%error, "no OS thread to watch the end of SPDK: it may take for ever");
                None
            }
        }
    }

    /// The framework has stopped; returns whether that was because it was abandoned.
    pub(crate) fn end(self) -> bool {
        drop(self.stopped);
        self.thread.join().unwrap_or(false)
    }
}

/// Has the app thread end the reactors. Returns whether the message was sent.
fn abandon() -> bool {
    // SAFETY: the app thread exists until `spdk_app_fini`, which comes after `Watch::end` has joined this OS thread.
    let is_running = unsafe { sys::spdk_thread_is_running(sys::spdk_thread_get_app_thread()) };
    if !is_running {
        // The reactors have ended it, and wait for the other spdk_threads, which SPDK gives 5 seconds.
        return false;
    }
    tracing::error!(
        limit = ?limit(),
        "SPDK does not stop: it is abandoned, with its memory and its connections as they are"
    );
    // SAFETY: the app thread exists, as above, and a message may be sent from any OS thread. `end_reactors`
    // ignores its argument.
    let rc = unsafe {
        let app = sys::spdk_thread_get_app_thread();
        sys::spdk_thread_send_msg(app, Some(end_reactors), ptr::null_mut())
    };
    rc == 0
}

unsafe extern "C" {
    /// Ends the reactors' loops; `spdk_app_start` then returns. The framework calls it as the last
    /// step of an orderly end. It is exported, but in no public header.
    fn spdk_reactors_stop(arg: *mut c_void);
}

unsafe extern "C" fn end_reactors(arg: *mut c_void) {
    // SAFETY: on a reactor, which a message of the app thread is; the argument is not used.
    panic::guard("shutdown", || unsafe { spdk_reactors_stop(arg) });
}

/// What an application reports that was abandoned.
pub(crate) fn error() -> Error {
    ErrorKind::Stopped {
        code: -libc::ETIMEDOUT,
        reason: format!(
            "a subsystem or device did not end within {:?}; SPDK was abandoned, and this process can \
             only exit",
            limit()
        ),
    }
    .into()
}
