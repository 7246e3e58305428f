//! What one task for each operation in flight can do at most.
//!
//! As in `plain_tasks`, a completion polls its task, which submits the next operation. But nothing is checked, kept, or shared
//! between the future and C. That is right here only, where no task goes before its operation has ended, and only unless a
//! signal stops the program.
#![allow(unsafe_code)] // Calls C from futures that follow no rule.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use clap::Parser;
use futures_channel::oneshot;
use spdk::sys;
use spdk::{Bdev, BdevDesc, DmaBuf, Errno, IoChannel, Result};
use spdk_bench::options::Options;
use spdk_bench::report::{self, Counted};
use spdk_bench::time;
use spdk_bench::workload::{Operation, Workload};

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.app("bare_tasks");
    match app.block_on(run(options)) {
        Ok(Err(errno)) => {
            eprintln!("bare_tasks: an I/O failed: {errno}");
            ExitCode::FAILURE
        }
        Ok(Ok(counted)) => report::end("bare_tasks", Ok(counted.ios())),
        Err(error) => report::end("bare_tasks", Err(error)),
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A task, and how its operation has ended, if it has.
struct Slot {
    task: UnsafeCell<Option<Task>>,
    success: Cell<Option<bool>>,
}

/// What the tasks share.
struct Shared {
    desc: BdevDesc,
    channel: IoChannel,
    workload: Workload,
    done: Cell<u64>,
    stop: Cell<bool>,
    running: Cell<u64>,
    result: Cell<std::result::Result<(), Errno>>,
    over: Cell<Option<oneshot::Sender<()>>>,
}

/// Polls the task of a slot, which does nothing if it is over.
///
/// # Safety
/// It is not being polled.
unsafe fn poll(slot: &Slot) {
    let mut cx = Context::from_waker(Waker::noop());
    // SAFETY: nobody else uses it.
    if let Some(task) = unsafe { &mut *slot.task.get() } {
        let _ = task.as_mut().poll(&mut cx);
    }
}

unsafe extern "C" fn on_done(bdev_io: *mut sys::spdk_bdev_io, success: bool, arg: *mut c_void) {
    // SAFETY: the callback owns `bdev_io`. `arg` is a slot, which is never freed. The bdev layer calls back
    // from a message or a poller, and never inside of the call that the task makes.
    unsafe {
        sys::spdk_bdev_free_io(bdev_io);
        let slot = &*arg.cast::<Slot>();
        slot.success.set(Some(success));
        poll(slot);
    }
}

/// An operation: `submit` has C call `on_done` with this context.
struct Io<'a, F> {
    slot: &'a Slot,
    submit: Option<F>,
}

#[inline(always)]
fn io<F>(slot: &Slot, submit: F) -> Io<'_, F> {
    let submit = Some(submit);
    Io { slot, submit }
}

impl<F: FnOnce(*mut c_void) -> c_int + Unpin> Future for Io<'_, F> {
    type Output = std::result::Result<(), Errno>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(submit) = self.submit.take() else {
            return match self.slot.success.get() {
                Some(true) => Poll::Ready(Ok(())),
                Some(false) => Poll::Ready(Err(Errno::EIO)),
                None => Poll::Pending,
            };
        };
        self.slot.success.set(None);
        match submit(ptr::from_ref(self.slot).cast_mut().cast()) {
            0 => Poll::Pending,
            rc => Poll::Ready(Err(Errno::from_code(rc))),
        }
    }
}

async fn run(options: Options) -> Result<std::result::Result<Counted, Errno>> {
    let desc = Bdev::find(&options.bdev)?.open(Workload::writes(&options))?;
    let (over, is_over) = oneshot::channel();
    let shared = Rc::new(Shared {
        channel: desc.get_io_channel()?,
        desc,
        workload: Workload::new(&options)?,
        done: Cell::new(0),
        stop: Cell::new(false),
        running: Cell::new(0),
        result: Cell::new(Ok(())),
        over: Cell::new(Some(over)),
    });
    let mut bufs = Vec::new();
    for _ in 0..options.queue_depth {
        bufs.push(DmaBuf::alloc(shared.workload.size, 4096)?);
    }
    for buf in bufs {
        // Never freed, whatever becomes of this future.
        let slot: &Slot = Box::leak(Box::new(Slot {
            task: UnsafeCell::new(None),
            success: Cell::new(None),
        }));
        let task = task(slot, buf, shared.clone());
        // SAFETY: nobody else uses it yet.
        unsafe { *slot.task.get() = Some(Box::pin(task)) };
        shared.running.set(shared.running.get() + 1);
        // SAFETY: it is new.
        unsafe { poll(slot) };
    }
    let counted = time::measure(options.times, &shared.done).await;
    shared.stop.set(true);
    // Nobody drops the sender before it has sent.
    let _ = is_over.await;
    Ok(shared.result.get().map(|()| counted))
}

async fn task(slot: &'static Slot, mut buf: DmaBuf, shared: Rc<Shared>) {
    let (desc, ch) = (shared.desc.as_ptr(), shared.channel.as_ptr());
    let data: *mut c_void = buf.as_mut_slice().as_mut_ptr().cast();
    let blocks = shared.workload.blocks;
    while !shared.stop.get() {
        let result = match shared.workload.pick() {
            Operation::Read(offset) => {
                // SAFETY: the task has what C gets, and is not dropped before the operation has ended.
                let submit = move |arg| unsafe {
                    sys::spdk_bdev_read_blocks(desc, ch, data, offset, blocks, Some(on_done), arg)
                };
                io(slot, submit).await
            }
            Operation::Write(offset) => {
                // SAFETY: as above.
                let submit = move |arg| unsafe {
                    sys::spdk_bdev_write_blocks(desc, ch, data, offset, blocks, Some(on_done), arg)
                };
                io(slot, submit).await
            }
        };
        if result.is_err() {
            shared.result.set(result);
            break;
        }
        shared.done.set(shared.done.get() + 1);
    }
    shared.running.set(shared.running.get() - 1);
    if shared.running.get() == 0
        && let Some(over) = shared.over.take()
    {
        // Nobody waits any more if the application was stopped.
        let _ = over.send(());
    }
}
