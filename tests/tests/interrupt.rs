//! Interrupt mode: reactors that sleep.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spdk::time::{interval, sleep, timeout};
use spdk::{
    BdevDesc, CpuSet, DmaBuf, Errno, Error, ErrorKind, FdEvents, Gone, Interrupt, MovableThread,
    PollStatus, Poller, SpdkApp, SpdkThread, ThreadHandle, completion, for_each_thread,
    spawn_local, spawn_on,
};
use spdk_tests::wait::spent;
use spdk_tests::{Device, assert_errno, kind, pattern, usage};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// An application in interrupt mode, on two cores.
fn app(bdevs: Value) -> spdk::SpdkAppBuilder {
    SpdkApp::builder()
        .name("interrupt")
        .reactor_mask("0x3")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .interrupt_mode(true)
        .json_data(json!({"subsystems": [{"subsystem": "bdev", "config": bdevs}]}).to_string())
}

/// The CPU time that the process uses while `future` runs, and how long that takes.
async fn cost<F: Future>(future: F) -> (F::Output, Duration, Duration) {
    let (start, before) = (Instant::now(), usage::cpu_time());
    let output = future.await;
    (output, usage::cpu_time() - before, start.elapsed())
}

/// Fails if an idle application keeps a CPU busy, before and after it did something.
#[spdk::test(no_app)]
fn an_idle_application_uses_no_cpu() -> spdk::Result<()> {
    app(json!([])).block_on(async {
        for round in 0..2 {
            let (end, cpu, took) = cost(sleep(SECOND)).await;
            end?;
            assert!(
                cpu < took / 20,
                "{cpu:?} of CPU time in {took:?}, round {round}"
            );
            eprintln!("idle: {cpu:?} of CPU time in {took:?}");
            // With another spdk_thread, timers and messages in between.
            let core = spawn_on(1, || async {
                let mut ticks = interval(10 * MS)?;
                for _ in 0..10 {
                    ticks.next().await;
                }
                Ok::<_, Error>(())
            });
            let (end, cpu, took) = cost(core).await;
            end??;
            assert!(
                cpu < took / 4,
                "{cpu:?} of CPU time in {took:?} of an interval"
            );
        }
        Ok(())
    })
}

/// Fails if a wake, a message, a timer, a task or a result is lost while a reactor sleeps.
#[spdk::test(no_app)]
fn sleeping_reactors_wake() -> spdk::Result<()> {
    app(json!([])).block_on(async {
        let other = ThreadHandle::on_core("other", 1).await?;
        let second = ThreadHandle::on_core("second", 0).await?;
        for round in 0..200 {
            // From an OS thread without an spdk_thread.
            let (tx, rx) = completion();
            let waker = std::thread::spawn(move || {
                if round % 10 == 0 {
                    std::thread::sleep(MS);
                }
                tx.success(round);
            });
            assert_eq!(timeout(5 * SECOND, rx).await??, round);
            assert!(waker.join().is_ok());
            // From another core, and from another spdk_thread of this one.
            for thread in [&other, &second] {
                assert_eq!(
                    timeout(5 * SECOND, thread.call(move || round)).await??,
                    round
                );
                let task = thread.spawn(|| async {
                    let task = spawn_local(async {
                        spdk::task::yield_now().await;
                        sleep(Duration::from_micros(50)).await
                    })?;
                    task.await?
                });
                timeout(5 * SECOND, task).await???;
            }
        }
        let threads = timeout(5 * SECOND, for_each_thread(|thread| thread.id)).await??;
        assert_eq!(threads.len(), SpdkThread::count() as usize);
        // An aborted task and what is deferred.
        let task = spawn_local(std::future::pending::<()>())?;
        sleep(MS).await?;
        task.abort();
        assert!(matches!(
            kind(&timeout(SECOND, task).await?),
            Some(ErrorKind::Cancelled)
        ));
        let (tx, rx) = completion();
        spdk::task::defer(move || tx.success(()))?;
        timeout(SECOND, rx).await??;
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let critical = other.critical_sender().await?;
        for round in 1..20 {
            sleep(MS).await?;
            assert_eq!(
                critical.send(|| {
                    RUNS.fetch_add(1, SeqCst);
                }),
                Ok(())
            );
            let start = Instant::now();
            while RUNS.load(SeqCst) < round {
                assert!(start.elapsed() < 5 * SECOND, "a critical message is lost");
                std::hint::spin_loop();
            }
        }
        timeout(5 * SECOND, other.exit()).await??;
        timeout(5 * SECOND, second.exit()).await?
    })
}

/// Fails if I/O of a device that has an interrupt does not complete, or keeps the CPU busy after.
#[spdk::test(no_app)]
fn io_completes() -> spdk::Result<()> {
    let file = tempfile::NamedTempFile::new();
    let Ok(file) = file.and_then(|file| file.as_file().set_len(4 << 20).map(|()| file)) else {
        panic!("no temporary file");
    };
    let bdevs = json!([
        {"method": "bdev_malloc_create",
         "params": {"name": "Malloc0", "num_blocks": 4096, "block_size": 512}},
        {"method": "bdev_null_create",
         "params": {"name": "Null0", "num_blocks": 4096, "block_size": 512}},
        {"method": "bdev_aio_create",
         "params": {"name": "Aio0", "filename": file.path(), "block_size": 512}},
    ]);
    app(bdevs).block_on(async {
        for name in ["Malloc0", "Aio0", "Null0"] {
            for core in [0, 1] {
                let io = spawn_on(core, move || async move {
                    let device = Device::open(name)?;
                    for round in 0..50 {
                        let mut buf = DmaBuf::alloc(8 * 512, 4096)?;
                        pattern::fill(&mut buf, 512, 8, round);
                        device.desc.write(&device.ch, &buf, 8 * 512).await?;
                        buf.fill(0);
                        device.desc.read(&device.ch, &mut buf, 8 * 512).await?;
                        if name != "Null0" {
                            pattern::assert_is(&buf, 512, 8, round);
                        }
                    }
                    // The channel stays open meanwhile.
                    let (end, cpu, took) = cost(sleep(SECOND / 2)).await;
                    end?;
                    Ok::<_, Error>((cpu, took))
                });
                let (cpu, took) = timeout(20 * SECOND, io).await???;
                eprintln!("{name} idle on core {core}: {cpu:?} of CPU time in {took:?}");
                // The drivers of the others have to be polled.
                if name == "Aio0" {
                    assert!(cpu < took / 10, "{name}: {cpu:?} of CPU time in {took:?}");
                }
            }
        }
        Ok(())
    })
}

/// Fails if a file descriptor's closure does not run when it is ready, or outlives its handle.
#[spdk::test(no_app)]
fn file_descriptors() -> spdk::Result<()> {
    app(json!([])).block_on(async {
        let pair = || match UnixStream::pair() {
            Ok((near, far)) => {
                assert!(near.set_nonblocking(true).is_ok());
                (near, far)
            }
            Err(error) => panic!("{error}"),
        };
        let (near, mut far) = pair();
        let received = Rc::new(RefCell::new(Vec::new()));
        let (sink, mut reader) = (received.clone(), near.try_clone().ok());
        let (tx, rx) = completion();
        let mut tx = Some(tx);
        let interrupt = Interrupt::register("socket", near, FdEvents::READABLE, move |_| {
            let mut byte = [0];
            if let Some(reader) = &mut reader
                && reader.read(&mut byte).is_ok_and(|count| count == 1)
            {
                sink.borrow_mut().push(byte[0]);
            }
            if sink.borrow().len() == 3
                && let Some(tx) = tx.take()
            {
                tx.success(());
            }
            PollStatus::Busy
        })?;
        let writer = std::thread::spawn(move || {
            for byte in *b"abc" {
                std::thread::sleep(MS);
                assert!(far.write_all(&[byte]).is_ok());
            }
            far
        });
        timeout(5 * SECOND, rx).await??;
        assert_eq!(*received.borrow(), b"abc");
        drop(interrupt);
        if let Ok(mut far) = writer.join() {
            // Its other end is closed with the handle and the closure.
            sleep(2 * MS).await?;
            assert!(far.write_all(b"d").is_err());
        }
        assert_eq!(received.borrow().len(), 3);

        // One that drops itself, one that panics, and other events.
        let (near, _far) = pair();
        let own = Rc::new(RefCell::new(None));
        let (runs, inside) = (Rc::new(Cell::new(0)), own.clone());
        let count = runs.clone();
        let writable = Interrupt::register("own", near, FdEvents::WRITABLE, move |_| {
            drop(inside.take());
            count.set(count.get() + 1);
            PollStatus::Busy
        })?;
        own.replace(Some(writable));
        sleep(5 * MS).await?;
        assert_eq!(runs.get(), 1);
        let (near, _far) = pair();
        let (runs, count) = (Rc::new(Cell::new(0)), runs);
        let seen = runs.clone();
        let panics = Interrupt::register("panics", near, FdEvents::READABLE, move |_| {
            seen.set(seen.get() + 1);
            panic!("in an interrupt")
        })?;
        sleep(5 * MS).await?;
        assert_eq!((runs.get(), panics.has_ended(), count.get()), (0, false, 1));
        panics.set_events(FdEvents::READABLE | FdEvents::WRITABLE | FdEvents::EDGE)?;
        sleep(5 * MS).await?;
        assert_eq!((runs.get(), panics.has_ended()), (1, true));
        assert!(matches!(
            kind(&panics.set_events(FdEvents::READABLE)),
            Some(ErrorKind::Gone {
                why: Gone::Closed,
                ..
            })
        ));
        // A regular file cannot be waited for.
        let file = tempfile::tempfile();
        let refused = file.map(|file| {
            Interrupt::register("file", file, FdEvents::READABLE, |_| PollStatus::Idle)
        });
        assert!(refused.is_ok_and(|refused| refused.is_err()));
        // Alive at the end.
        let (near, far) = pair();
        let kept = Interrupt::register("kept", near, FdEvents::READABLE, |_| PollStatus::Idle)?;
        std::mem::forget((kept, far));
        Ok(())
    })
}

/// Fails if pollers do not run while their reactor sleeps, or one that hears of it runs.
#[spdk::test(no_app)]
fn pollers_and_their_interrupts() -> spdk::Result<()> {
    app(json!([])).block_on(async {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let counter = move || {
            count.set(count.get() + 1);
            PollStatus::Idle
        };
        let start = Instant::now();
        let periodic = Poller::every(5 * MS, counter.clone())?;
        let (end, cpu, took) = cost(sleep(SECOND / 4)).await;
        end?;
        assert!(
            spent(start) >= 5 * MS * runs.get() && runs.get() > 10,
            "{runs:?} runs"
        );
        assert!(cpu < took / 10, "{cpu:?} of CPU time in {took:?}");
        periodic.pause()?;
        let before = runs.get();
        sleep(20 * MS).await?;
        assert_eq!(runs.get(), before);
        periodic.resume()?;
        sleep(20 * MS).await?;
        assert!(runs.get() > before);
        drop(periodic);
        // Without a period it runs all the time, unless it hears of interrupt mode.
        let busy = Poller::register(counter.clone())?;
        let before = runs.get();
        sleep(10 * MS).await?;
        assert!(runs.get() > before + 100);
        let modes = Rc::new(RefCell::new(Vec::new()));
        let seen = modes.clone();
        busy.on_interrupt_mode(move |on| seen.borrow_mut().push(on))?;
        assert_eq!(*modes.borrow(), [true]);
        let before = runs.get();
        let (end, cpu, took) = cost(sleep(SECOND / 4)).await;
        end?;
        assert_eq!(runs.get(), before);
        assert!(cpu < took / 10, "{cpu:?} of CPU time in {took:?}");
        drop(busy);
        assert_eq!(Rc::strong_count(&modes), 1);
        // Alive at the end.
        std::mem::forget(Poller::register(counter)?);
        Ok(())
    })
}

/// Takes all file descriptors that the process may still have, but for some.
fn no_descriptors_but(some: usize) -> Vec<std::fs::File> {
    let limit = rustix::process::Rlimit {
        current: Some(256),
        maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
    };
    assert!(rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).is_ok());
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    files.truncate(files.len() - some);
    files
}

/// Fails if SPDK gets a poller that runs in each poll when there is no file descriptor for it: it would use a null pointer.
#[spdk::test(no_app)]
fn pollers_need_file_descriptors() -> spdk::Result<()> {
    let bdevs = json!([
        {"method": "bdev_malloc_create",
         "params": {"name": "Malloc0", "num_blocks": 4096, "block_size": 512}},
        {"method": "bdev_null_create",
         "params": {"name": "Null0", "num_blocks": 4096, "block_size": 512}},
    ]);
    app(bdevs).block_on(async {
        let movable = MovableThread::new("movable", &CpuSet::of([0])?)?;
        movable.call(|| ()).await?;
        sleep(MS).await?;
        let devices = ["Null0", "Malloc0"].map(|name| BdevDesc::open(name, true));
        for some in 0..6 {
            let taken = no_descriptors_but(some);
            assert_errno(Poller::register(|| PollStatus::Idle), Errno::EMFILE);
            let moving = movable.poller(Duration::ZERO, || PollStatus::Idle);
            assert_errno(moving.await, Errno::EMFILE);
            for device in devices.iter().flatten() {
                assert_errno(device.get_io_channel(), Errno::EMFILE);
            }
            for core in 0..2 {
                // What SPDK makes of an spdk_thread without them is no spdk_thread, for lack of memory.
                let thread = ThreadHandle::on_core("thread", core).await;
                let errno = thread.map_err(|error| error.errno());
                let errnos = [Errno::EMFILE, Errno::ENOMEM];
                assert!(
                    matches!(errno, Err(Some(errno)) if errnos.contains(&errno)),
                    "{errno:?}"
                );
            }
            drop(taken);
        }
        for device in devices {
            device?.get_io_channel()?;
        }
        drop(Poller::register(|| PollStatus::Idle)?);
        drop(movable.poller(Duration::ZERO, || PollStatus::Idle).await?);
        ThreadHandle::on_core("thread", 1).await?.exit().await
    })
}

/// Fails if an application that sleeps does not hear of its end.
#[spdk::test(no_app, deadline = 30)]
fn sleeping_applications_end() -> spdk::Result<()> {
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    let end = app(json!([])).block_on(async move {
        let idle = count.clone();
        drop(spawn_local(spawn_on(1, move || async move {
            idle.fetch_add(1, SeqCst);
            std::future::pending::<()>().await
        }))?);
        sleep(50 * MS).await?;
        std::thread::spawn(move || {
            std::thread::sleep(50 * MS);
            count.fetch_add(1, SeqCst);
            // SIGTERM, as a supervisor sends it.
            let own = rustix::process::getpid();
            assert!(rustix::process::kill_process(own, rustix::process::Signal::TERM).is_ok());
        });
        std::future::pending::<spdk::Result<()>>().await
    });
    assert!(matches!(kind(&end), Some(ErrorKind::Cancelled)), "{end:?}");
    assert_eq!(started.load(SeqCst), 2);
    Ok(())
}

/// Fails if an interrupt is registered where nobody waits for it.
#[spdk::test]
async fn interrupts_need_interrupt_mode() -> spdk::Result<()> {
    let Ok((near, _far)) = UnixStream::pair() else {
        panic!("no sockets");
    };
    let refused = Interrupt::register("early", near, FdEvents::READABLE, |_| PollStatus::Idle);
    assert!(
        matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. })),
        "{refused:?}"
    );
    let poller = Poller::register(|| PollStatus::Idle)?;
    poller.on_interrupt_mode(|_| panic!("it polls"))?;
    sleep(MS).await
}
