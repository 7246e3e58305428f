//! smol beside SPDK, inside of a reactor, and around an spdk_thread of one's own.
#![allow(missing_docs)]

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::try_join_all;
use smol::{LocalExecutor, Timer};
use spdk::{Error, ErrorKind, SpdkThread, spawn_local};
use spdk_tests::own_thread::{Worker, env, thread};
use spdk_tests::{Device, kind, pattern, poll_once, until, usage};

const BLOCK: usize = 512;
const MS: Duration = Duration::from_millis(1);

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn cores_of_this_thread() -> usize {
    match rustix::thread::sched_getaffinity(None) {
        Ok(cores) => cores.count() as usize,
        Err(error) => panic!("no cores: {error}"),
    }
}

async fn write_and_read(device: &Device, block: u64) -> spdk::Result<()> {
    let mut buf = device.buffer(1)?;
    pattern::fill(&mut buf, BLOCK, block, 7);
    device.desc.write_blocks(&device.ch, &buf, block, 1).await?;
    buf.fill(0);
    device
        .desc
        .read_blocks(&device.ch, &mut buf, block, 1)
        .await?;
    pattern::assert_is(&buf, BLOCK, block, 7);
    Ok(())
}

/// Fails if a task elsewhere cannot await I/O, if smol's threads are left on the reactor's core, if a panic is lost, or
/// if a task that is left runs on.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn tasks_beside_spdk_await_its_io() -> spdk::Result<()> {
    let Some(home) = SpdkThread::app_thread() else {
        panic!("no application runs");
    };
    let work = async move {
        let tasks = (0..64).map(|block| {
            let home = home.clone();
            smol::spawn(async move {
                Timer::after(MS).await;
                let io = async move || write_and_read(&Device::open("Malloc0")?, block).await;
                home.call_async(io).await??;
                Ok::<_, Error>(cores_of_this_thread())
            })
        });
        try_join_all(tasks).await
    };
    let cores = spdk::smol::run(work).await??;
    assert_eq!(cores.len(), 64);
    assert_eq!(cores_of_this_thread(), 1, "a reactor stays on its core");
    assert!(
        usage::cores() == 1 || cores.iter().all(|cores| *cores > 1),
        "{cores:?}"
    );

    let end: spdk::Result<()> = spdk::smol::run(async { panic!("in a task") }).await;
    assert!(
        matches!(kind(&end), Some(ErrorKind::Panicked { message }) if message == "in a task"),
        "{end:?}"
    );

    let (started, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    {
        let (begins, guard) = (started.clone(), Dropped(dropped.clone()));
        let mut run = pin!(spdk::smol::run(async move {
            let _guard = guard;
            begins.fetch_add(1, SeqCst);
            pending::<()>().await;
        }));
        assert!(poll_once(run.as_mut()).is_pending());
        until("the task", || started.load(SeqCst) == 1).await;
        assert_eq!(dropped.load(SeqCst), 0);
    }
    until("the end of the task", || dropped.load(SeqCst) == 1).await;
    Ok(())
}

/// Fails if smol's timers and the I/O of a reactor do not wake the same tasks.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn tasks_on_a_reactor_use_both() -> spdk::Result<()> {
    let (executor, device) = (LocalExecutor::new(), Rc::new(Device::open("Malloc0")?));
    let tasks = (0..32).map(|block| {
        let device = device.clone();
        executor.spawn(async move {
            write_and_read(&device, block).await?;
            Timer::after(MS).await;
            write_and_read(&device, block).await
        })
    });
    let tasks: Vec<_> = tasks.collect();
    executor.run(try_join_all(tasks)).await?;
    Ok(())
}

/// Fails if smol's timers, its tasks or those of the spdk_thread stand still, or if a nested call is not refused.
#[spdk::test(no_app)]
fn smol_polls_a_thread() -> spdk::Result<()> {
    let _env = env()?;
    let worker = Worker::start("worker");
    let here = Rc::new(thread("here")?);
    let (executor, sum) = (LocalExecutor::new(), Rc::new(Cell::new(0)));
    let tasks = (0..100).map(|number| {
        let (there, sum) = (worker.handle.clone(), sum.clone());
        executor.spawn(async move {
            let there = there.call(move || number + 1).await?;
            let here = spawn_local(async move {
                Timer::after(MS).await;
                there - 1
            })?;
            let here = here.await?;
            sum.set(sum.get() + here);
            Ok::<_, Error>(())
        })
    });
    let tasks: Vec<_> = tasks.collect();
    spdk::smol::block_on(&here, executor.run(try_join_all(tasks)))??;
    assert_eq!(sum.get(), (0..100).sum::<usize>());
    let inner = here.clone();
    let nested = spdk::smol::block_on(&here, async {
        spawn_local(async move { spdk::smol::block_on(&inner, async {}) })?.await
    })??;
    assert!(
        matches!(kind(&nested), Some(ErrorKind::NestedPoll { .. })),
        "{nested:?}"
    );
    drop(here);
    worker.end()
}
