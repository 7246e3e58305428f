//! Queue pairs of one controller on two spdk_threads, of two cores and of one.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - What the controller's spdk_thread tells does not reach the queue pairs: `reset_under_io`.
//! - A seat does not keep the controller attached: `given_up_under_io`.
//! - A seat is not left: `the_other_ends_first`.
//! - Others are not called back at the end of the controller's spdk_thread, or what they have in flight is waited for
//!   for ever: `the_home_ends_first`.
//! - Events stay where they are told: `a_command_takes_long`.
//! - A format does not ask others: `formatted`.
//! - What is known of a namespace is kept after an event: `another_namespace_takes_its_place`.
//! - A reset does not wait for the queue pairs of others: `a_reset_waits`.
//! - A connect to a controller that is being connected again waits for its lock: `another_connects_meanwhile`.
//! - A seat is not left when whoever asked for it has gone: `abandoned_on_the_way`.

mod ends;
mod io;
mod reset;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::future::join;
use spdk::nvme::{NvmeController, NvmeQpair, NvmeRemote};
use spdk::task::yield_now;
use spdk::{DmaBuf, Errno, ErrorKind, Gone, Result, SpdkAppBuilder, ThreadHandle};
use spdk_tests::nvme::{Far, beside_target_in};
use spdk_tests::nvmf::Target;
use spdk_tests::nvmf::disk::{Bystanders, buffer, submit};
use spdk_tests::wait::{PATIENCE, within};
use spdk_tests::{kind, until};

const DEPTH: u64 = 32;

/// An application of two cores.
pub(super) fn app() -> SpdkAppBuilder {
    spdk::__testing::builder().reactor_mask("0x3")
}

/// The same, whose end does not wait for long.
fn impatient() -> SpdkAppBuilder {
    app().shutdown_patience(Duration::from_millis(500))
}

/// Another core than the main one, and the same.
const CORES: [u32; 2] = [1, 0];

/// Runs `body` beside a target for each core that another spdk_thread can have.
fn on_each_core(app: SpdkAppBuilder, body: impl AsyncFn(Rc<Target>, u32) + 'static) {
    beside_target_in(app, |target| async move {
        for core in CORES {
            body(target.clone(), core).await;
        }
        Bystanders::new()
    });
}

async fn thread(core: u32) -> ThreadHandle {
    let made = ThreadHandle::on_core("away", core).await;
    made.expect("an spdk_thread")
}

/// Another spdk_thread does its part, and then ends, while this one does the other part.
pub(super) async fn with_another<T: Send + 'static, U>(
    core: u32,
    there: impl AsyncFnOnce(&Marks) -> T + Send + 'static,
    here: impl AsyncFnOnce(&Marks) -> U,
) -> (T, U) {
    let away = thread(core).await;
    let (there, here) = both(&away, there, here).await;
    away.exit().await.expect("it is made by us");
    (there.expect("no panic"), here)
}

/// The same for an spdk_thread that does not have to get to the end of its part.
async fn both<T: Send + 'static, U>(
    away: &ThreadHandle,
    there: impl AsyncFnOnce(&Marks) -> T + Send + 'static,
    here: impl AsyncFnOnce(&Marks) -> U,
) -> (Result<T>, U) {
    let marks = Arc::<Marks>::default();
    let theirs = marks.clone();
    let there = away.call_async(async move || there(&theirs).await);
    within("an end", join(there, here(&marks))).await
}

/// How far two spdk_threads are.
#[derive(Default)]
pub(super) struct Marks {
    /// The other one has its queue pair.
    connected: Mark,
    /// The target stands still.
    stopped: Mark,
    /// The other one has I/O in flight.
    pub(super) submitted: Mark,
    /// This one has done what it has to do.
    pub(super) over: Mark,
}

impl Marks {
    /// Stops the target when the other one has its queue pair, until that has I/O in flight.
    async fn stop(&self, target: &Target) {
        self.connected.wait().await;
        target.stop();
        self.stopped.set();
        self.submitted.wait().await;
    }

    /// There: reads that are in flight, while the target stands still.
    async fn in_flight<'a>(&self, far: &'a Far, bufs: &'a mut [DmaBuf]) -> Vec<Io<'a>> {
        self.connected.set();
        self.stopped.wait().await;
        let reads = bufs.iter_mut().zip(0..).map(|(buf, span)| {
            let mut read: Pin<Box<_>> = Box::pin(far.read(buf, span));
            submit(&mut read);
            read as Io<'a>
        });
        reads.collect()
    }
}

type Io<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

fn buffers() -> Vec<DmaBuf> {
    (0..DEPTH).map(|_| buffer()).collect()
}

#[derive(Default)]
pub(super) struct Mark(AtomicBool);

impl Mark {
    pub(super) fn set(&self) {
        self.0.store(true, SeqCst);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }

    pub(super) async fn wait(&self) {
        until("the other spdk_thread", || self.is_set()).await;
    }
}

/// Another queue pair, when the controller is connected again.
async fn again(remote: &NvmeRemote) -> NvmeQpair {
    let start = Instant::now();
    loop {
        match remote.alloc_io_qpair(None).await {
            Ok(qpair) => return qpair,
            Err(error) => {
                let told = matches!(
                    error.kind(),
                    ErrorKind::NotConnected { .. } | ErrorKind::Gone { .. }
                );
                assert!(told && start.elapsed() < PATIENCE, "{error}");
                yield_now().await;
            }
        }
    }
}

#[track_caller]
fn assert_gone<T: std::fmt::Debug>(result: &Result<T>, why: Gone) {
    let told = matches!(kind(result), Some(ErrorKind::Gone { why: told, .. }) if *told == why);
    assert!(told, "{result:?}");
}

/// Whether an I/O ended as one does whose connection goes: aborted, refused, or of a queue pair that is gone.
fn is_cut(result: &Result<()>) -> bool {
    match kind(result) {
        Some(ErrorKind::Device { status, .. }) => status.is_aborted(),
        Some(ErrorKind::Gone { why, .. }) => *why == Gone::Reset,
        Some(ErrorKind::NotConnected { .. }) => true,
        _ => result
            .as_ref()
            .is_err_and(|error| error.errno() == Some(Errno::ENXIO)),
    }
}

/// Fails if one of these I/Os ended in another way than well, or cut. Returns whether one was cut.
#[track_caller]
fn some_are_cut(ends: &[Result<()>]) -> bool {
    assert!(
        ends.iter().all(|end| end.is_ok() || is_cut(end)),
        "{ends:?}"
    );
    ends.iter().any(Result::is_err)
}

thread_local! {
    /// A controller that outlives its task.
    static CONTROLLER: Cell<Option<NvmeController>> = const { Cell::new(None) };
}
