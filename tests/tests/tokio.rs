//! Tokio beside SPDK, inside of a reactor, and around an spdk_thread of one's own.
#![allow(missing_docs)]

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::json;
use spdk::{DmaBuf, Error, ErrorKind, SpdkApp, SpdkThread, ThreadHandle, spawn_local};
use spdk_tests::own_thread::{PATIENCE, Worker, env, thread};
use spdk_tests::{Device, kind, pattern, poll_once, until, usage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};

const BLOCK: usize = 512;
const MS: Duration = Duration::from_millis(1);

/// Counts its drops, which need a Tokio runtime around them.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if Handle::try_current().is_ok() {
            self.0.fetch_add(1, SeqCst);
        }
    }
}

fn cores_of_this_thread() -> usize {
    match rustix::thread::sched_getaffinity(None) {
        Ok(cores) => cores.count() as usize,
        Err(error) => panic!("no cores: {error}"),
    }
}

/// The app thread, of which a test runs as a task.
fn home() -> ThreadHandle {
    match SpdkThread::app_thread() {
        Some(home) => home,
        None => panic!("no application runs"),
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

/// Fails if blocking work of a task on Tokio's threads is bound to the core of the reactor.
#[spdk::test]
async fn blocking_work_is_not_bound() -> spdk::Result<()> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all();
    let cores = spdk::tokio::run_local(&mut builder, async {
        let work = || tokio::task::spawn_blocking(cores_of_this_thread);
        tokio::spawn(async move { work().await }).await
    });
    let cores = cores.await?.expect("it does not panic");
    let cores = cores.expect("it does not panic");
    assert!(usage::cores() == 1 || cores > 1, "{cores}");
    Ok(())
}

/// Fails if a handler cannot await I/O, if Tokio's threads are left on the reactor's core, or if a panic is lost.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_runtime_beside_spdk_awaits_its_io() -> spdk::Result<()> {
    let home = home();
    let server = async move {
        let handlers = (0..64).map(|block| {
            let home = home.clone();
            tokio::spawn(async move {
                tokio::time::sleep(MS).await;
                let io = async move || write_and_read(&Device::open("Malloc0")?, block).await;
                home.call_async(io).await??;
                Ok::<_, Error>(cores_of_this_thread())
            })
        });
        let ends = try_join_all(handlers).await;
        ends.map_err(|_| ErrorKind::Cancelled)?
            .into_iter()
            .collect::<spdk::Result<Vec<_>>>()
    };
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_time();
    let cores = spdk::tokio::run(&mut builder, server).await??;
    assert_eq!(cores.len(), 64);
    assert_eq!(cores_of_this_thread(), 1, "a reactor stays on its core");
    assert!(
        usage::cores() == 1 || cores.iter().all(|cores| *cores > 1),
        "{cores:?}"
    );

    let end = spdk::tokio::run(&mut builder, async { panic!("in a server") }).await;
    let end: spdk::Result<()> = end;
    assert!(
        matches!(kind(&end), Some(ErrorKind::Panicked { message }) if message == "in a server"),
        "{end:?}"
    );
    for end in [
        spdk::tokio::run(&mut Builder::new_current_thread(), async {}).await,
        spdk::tokio::run_local(&mut Builder::new_current_thread(), async {}).await,
    ] {
        assert!(
            matches!(kind(&end), Some(ErrorKind::InvalidArgument { .. })),
            "{end:?}"
        );
    }
    Ok(())
}

/// Fails if tasks of a runtime that is left run on, or if the reactor waits for them.
#[spdk::test]
async fn a_runtime_that_is_dropped_ends() -> spdk::Result<()> {
    let (started, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let task = |within: &Arc<AtomicUsize>| {
        let (started, guard) = (started.clone(), Dropped(within.clone()));
        async move {
            let _guard = guard;
            started.fetch_add(1, SeqCst);
            pending::<()>().await;
        }
    };
    let (main, other) = (task(&dropped), task(&dropped));
    let mut builder = Builder::new_multi_thread();
    {
        let mut run = pin!(spdk::tokio::run(builder.worker_threads(1), async move {
            drop(tokio::spawn(other));
            main.await;
        }));
        assert!(poll_once(run.as_mut()).is_pending());
        until("both tasks", || started.load(SeqCst) == 2).await;
        assert!(poll_once(run.as_mut()).is_pending());
        assert_eq!(dropped.load(SeqCst), 0);
    }
    until("the end of both tasks", || dropped.load(SeqCst) == 2).await;

    // A set of tasks here: at once, and with the runtime around what they leave.
    let before = dropped.load(SeqCst);
    let (main, other) = (task(&dropped), task(&dropped));
    {
        let mut run = pin!(spdk::tokio::run_local(
            builder.worker_threads(1),
            async move {
                drop(tokio::task::spawn_local(other));
                main.await;
            }
        ));
        while started.load(SeqCst) < 4 {
            assert!(poll_once(run.as_mut()).is_pending());
        }
        assert_eq!(dropped.load(SeqCst), before);
    }
    assert_eq!(dropped.load(SeqCst), before + 2);
    Ok(())
}

/// Fails if a task on a reactor cannot use SPDK's handles and Tokio's sockets and timers in turn.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn tasks_on_a_reactor_use_both() -> spdk::Result<()> {
    let device = Rc::new(Device::open("Malloc0")?);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all();
    let served = spdk::tokio::run_local(&mut builder, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut served = 0;
            while let Ok(block) = stream.read_u64().await {
                let end = write_and_read(&device, block).await;
                tokio::time::sleep(MS).await;
                stream.write_u8(u8::from(end.is_ok())).await?;
                served += 1;
            }
            Ok::<_, std::io::Error>(served)
        });
        // On a thread of Tokio's.
        let client = tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            for block in 0..32 {
                stream.write_u64(block * 100).await?;
                assert_eq!(stream.read_u8().await?, 1);
            }
            Ok::<_, std::io::Error>(())
        });
        // A yield of Tokio's, outside of its scheduler.
        tokio::task::yield_now().await;
        client.await??;
        server.await?
    });
    let served = served.await?;
    assert!(matches!(served, Ok(32)), "{served:?}");
    Ok(())
}

/// Fails if a set of tasks that waits for Tokio keeps a reactor in interrupt mode busy.
#[spdk::test(no_app)]
fn an_idle_set_of_tasks_sleeps() -> spdk::Result<()> {
    let app = SpdkApp::builder()
        .name("idle")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .interrupt_mode(true)
        .json_data(json!({"subsystems": []}).to_string());
    app.block_on(async {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_time();
        let (cpu, took) = spdk::tokio::run_local(&mut builder, async {
            let (start, before) = (Instant::now(), usage::cpu_time());
            tokio::time::sleep(300 * MS).await;
            (usage::cpu_time() - before, start.elapsed())
        })
        .await?;
        assert!(
            took >= 300 * MS && cpu < took / 5,
            "{cpu:?} of CPU time in {took:?}"
        );
        Ok(())
    })
}

/// Fails if Tokio's timers, its tasks or those of the spdk_thread stand still, or if a nested call is not refused.
#[spdk::test(no_app)]
fn tokio_polls_a_thread() -> spdk::Result<()> {
    let _env = env()?;
    let worker = Worker::start("worker");
    let here = Rc::new(thread("here")?);
    let inner = here.clone();
    let (there, sum) = (worker.handle.clone(), Rc::new(Cell::new(0)));
    let left = Arc::new(AtomicUsize::new(0));
    let (result, guard) = (sum.clone(), Dropped(left.clone()));
    spdk::tokio::block_on(&here, async {
        drop(tokio::task::spawn_local(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        let tasks = (0..100).map(|number| {
            let (there, sum) = (there.clone(), result.clone());
            tokio::task::spawn_local(async move {
                let buf = DmaBuf::alloc(4096, 4096)?;
                let there = there.call(move || number + buf.len()).await?;
                // A task of the spdk_thread, which uses a timer of Tokio's.
                let here = spawn_local(async move {
                    tokio::time::sleep(MS).await;
                    there - 4096
                })?;
                let here = here.await?;
                sum.set(sum.get() + here);
                Ok::<_, Error>(())
            })
        });
        let ends = tokio::time::timeout(PATIENCE, try_join_all(tasks)).await;
        let ends = ends.map_err(|_| ErrorKind::Cancelled)?;
        ends.map_err(|_| ErrorKind::Cancelled)?
            .into_iter()
            .collect::<spdk::Result<()>>()?;
        let nested = spdk::tokio::block_on(&here, async {});
        assert!(
            matches!(kind(&nested), Some(ErrorKind::InvalidArgument { .. })),
            "{nested:?}"
        );
        let nested = spawn_local(async move { spdk::tokio::block_on(&inner, async {}) })?;
        let nested = nested.await?;
        assert!(
            matches!(kind(&nested), Some(ErrorKind::NestedPoll { .. })),
            "{nested:?}"
        );
        Ok::<_, Error>(())
    })??;
    assert_eq!(sum.get(), (0..100).sum::<usize>());
    assert_eq!(
        left.load(SeqCst),
        1,
        "the task that was left is dropped inside of the runtime"
    );
    drop(here);
    worker.end()
}
