//! The end of an application with I/O in flight.
//!
//! The device is an NVMe-oF target in another process, stopped with SIGSTOP while tasks wait for
//! their reads or writes. The end drops the tasks and their buffers at once, and the operations end
//! later, or never.
//!
//! Each of these faults was put into the core, and these tests failed:
//!
//! - The drop of a `DmaBuf` frees its memory although it is on loan: those that are answered late.
//!   The same for the loans of writes only: those of them that write.
//! - The end does not wait for operations in flight: the same, and `device_that_never_answers_is_reset`.
//! - The last loan does not free what its owner left: all that end in order.
//! - Devices are not reset when the patience is over: `device_that_never_answers_is_reset`.
//! - The end is not watched: `device_that_cannot_be_reset_is_abandoned`.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spdk::{Error, ErrorKind, SpdkApp};
use spdk_tests::kind;
use spdk_tests::nvmf::disk::{Bystanders, Disk, SPAN, app, assert_is, filled};
use spdk_tests::nvmf::{FILE_BDEV, Target, interrupt_self, log};
use spdk_tests::wait::after;

/// Tasks with an operation in flight each.
const TASKS: u64 = 32;

/// What becomes of the tasks, seen from outside.
#[derive(Default)]
struct Witness {
    dropped: Cell<u64>,
    bystanders: RefCell<Option<Bystanders>>,
}

/// Dropped with its task, after the task's buffer. The last one takes the memory that the buffers
/// may have left.
struct Guard(Rc<Witness>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dropped.set(self.0.dropped.get() + 1);
        if self.0.dropped.get() == TASKS {
            *self.0.bystanders.borrow_mut() = Some(Bystanders::new());
        }
    }
}

/// What the tasks do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Io {
    Read,
    Write,
}

impl Witness {
    /// Spawns the tasks and returns when their operations are in flight on the stopped target.
    async fn tasks(self: &Rc<Self>, target: &Target, io: Io) {
        let disk = Disk::named(FILE_BDEV);
        disk.prepare(0..TASKS, 1).await;
        target.stop();
        for span in 0..TASKS {
            let (disk, guard) = (disk.clone(), Guard(self.clone()));
            let task = async move {
                // Locals are dropped in the reverse order: the buffer before the guard.
                let _guard = guard;
                let mut buf = filled(span, 2);
                let end = match io {
                    Io::Read => disk.read(&mut buf, span).await,
                    Io::Write => disk.write(&buf, span).await,
                };
                panic!("a stopped target answered: {end:?}");
            };
            drop(spdk::spawn_local(task).expect("the app runs"));
        }
        after(Duration::from_millis(20)).await;
        assert_eq!(self.dropped.get(), 0, "a task has ended");
    }

    /// Every task was dropped, nothing was overwritten, and nothing else is left of SPDK's memory.
    fn check(&self) -> Bystanders {
        assert_eq!(self.dropped.get(), TASKS, "tasks were not dropped");
        let bystanders = self.bystanders.take().expect("the last task made them");
        bystanders.check();
        bystanders
    }
}

/// Runs an application that ends by `end` while operations are in flight, which the target answers
/// 300 ms later.
fn answered_late<T: 'static>(io: Io, end: impl Future<Output = T> + 'static) -> Result<T, Error> {
    log::keep();
    let target = Rc::new(Target::start());
    let witness = Rc::new(Witness::default());
    let (main_target, main_witness) = (target.clone(), witness.clone());
    let result = app(&target, json!({})).block_on(async move {
        main_witness.tasks(&main_target, io).await;
        let process = main_target.process();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            process.cont();
        });
        Ok(end.await)
    });
    witness.check().assert_last();
    let generation = if io == Io::Write { 2 } else { 1 };
    for (bytes, span) in target.file().chunks(SPAN).zip(0..TASKS) {
        assert_is(bytes, span, generation);
    }
    result
}

#[spdk::test(no_app, deadline = 30)]
fn main_future_ends() {
    assert_eq!(
        answered_late(Io::Read, async { 7 }).expect("an orderly end"),
        7
    );
}

#[spdk::test(no_app, deadline = 30)]
fn main_future_ends_with_writes_in_flight() {
    assert_eq!(
        answered_late(Io::Write, async { 7 }).expect("an orderly end"),
        7
    );
}

#[spdk::test(no_app, deadline = 30)]
fn stop_is_called() {
    let result = answered_late(Io::Write, async {
        SpdkApp::stop();
        pending::<()>().await;
    });
    assert!(
        matches!(kind(&result), Some(ErrorKind::Cancelled)),
        "{result:?}"
    );
}

#[spdk::test(no_app, deadline = 30)]
fn stop_is_called_on_another_os_thread() {
    let result = answered_late(Io::Write, async {
        std::thread::spawn(SpdkApp::stop);
        pending::<()>().await;
    });
    assert!(
        matches!(kind(&result), Some(ErrorKind::Cancelled)),
        "{result:?}"
    );
}

#[spdk::test(no_app, deadline = 30)]
fn interrupted() {
    let result = answered_late(Io::Write, async {
        interrupt_self();
        pending::<()>().await;
    });
    assert!(
        matches!(kind(&result), Some(ErrorKind::Cancelled)),
        "{result:?}"
    );
}

/// Runs an application that ends while its target is stopped for good.
fn never_answered(options: Value, patience: Duration) -> (Result<(), Error>, Duration, Bystanders) {
    log::keep();
    let target = Rc::new(Target::start());
    let witness = Rc::new(Witness::default());
    let (main_target, main_witness) = (target.clone(), witness.clone());
    let ending = Rc::new(Cell::new(None));
    let began = ending.clone();
    let result = app(&target, options)
        .shutdown_patience(patience)
        .block_on(async move {
            main_witness.tasks(&main_target, Io::Read).await;
            began.set(Some(Instant::now()));
            Ok(())
        });
    let took = ending.get().expect("the app has run").elapsed();
    target.cont();
    std::thread::sleep(Duration::from_millis(100));
    (result, took, witness.check())
}

#[spdk::test(no_app, deadline = 45)]
fn device_that_never_answers_is_reset() {
    let patience = Duration::from_secs(2);
    // Without these the driver may try again to connect, 10 seconds each time.
    let options = json!({"ctrlr_loss_timeout_sec": 60, "reconnect_delay_sec": 30});
    let (result, took, bystanders) = never_answered(options, patience);
    result.expect("an orderly end");
    bystanders.assert_last();
    assert!(log::has(&[
        "WARN",
        "hold up",
        "I/O channel of bdev \\\"Nvme0n2\\\""
    ]));
    assert!(
        took > patience,
        "the operations were not waited for: {took:?}"
    );
    assert!(took < 10 * patience, "{took:?}");
}

#[spdk::test(no_app, deadline = 30)]
fn device_that_cannot_be_reset_is_abandoned() {
    let patience = Duration::from_millis(300);
    let (result, took, _bystanders) = never_answered(json!({}), patience);
    assert!(
        matches!(kind(&result), Some(ErrorKind::Stopped { .. })),
        "{result:?}"
    );
    assert!(log::has(&["ERROR", "abandoned"]));
    assert!(took > 10 * patience, "abandoned too early: {took:?}");
}

/// Fails if the end that takes too long is looked for on the app thread when that has ended, which SPDK aborts for.
#[spdk::test(no_app, deadline = 30)]
fn an_spdk_thread_of_c_ends_too_late() {
    let start = Instant::now();
    let end = SpdkApp::builder()
        .name("late")
        .reactor_mask("0x3")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .shutdown_patience(Duration::from_millis(250))
        .block_on(async {
            spdk_tests::foreign::that_stays();
            spdk::time::sleep(Duration::from_millis(50)).await
        });
    assert!(end.is_ok(), "{end:?}");
    let took = start.elapsed();
    assert!(took > Duration::from_secs(4), "it did not wait: {took:?}");
}
