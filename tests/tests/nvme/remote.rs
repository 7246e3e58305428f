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
//! - A seat is not left when whoever asked for it has gone: `abandoned_on_the_way`.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::json;
use spdk::nvme::{
    NvmeController, NvmeEvent, NvmeFormat, NvmeNamespace, NvmeQpair, NvmeRemote, NvmeTimeouts,
};
use spdk::task::yield_now;
use spdk::testing::NvmfTarget;
use spdk::{DmaBuf, Errno, ErrorKind, Gone, Result, SpdkAppBuilder, SpdkThread, ThreadHandle};
use spdk_tests::nvme::{Far, Link, beside_target_in};
use spdk_tests::nvmf::disk::{Bystanders, assert_is, buffer, filled, submit};
use spdk_tests::wait::{PATIENCE, timeout, within};
use spdk_tests::{kind, poll_once, until};

const DEPTH: u64 = 32;

/// An application of two cores.
fn app() -> SpdkAppBuilder {
    spdk::__testing::builder().reactor_mask("0x3")
}

/// The same, whose end does not wait for long.
fn impatient() -> SpdkAppBuilder {
    app().shutdown_patience(Duration::from_millis(500))
}

/// An spdk_thread on another core than the main one, and one on the same.
const CORES: [u32; 2] = [1, 0];

async fn thread(core: u32) -> ThreadHandle {
    let made = ThreadHandle::on_core("away", core).await;
    made.expect("an spdk_thread")
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

type Io<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Reads that are in flight, while the target stands still.
fn in_flight<'a>(far: &'a Far, bufs: &'a mut [DmaBuf]) -> Vec<Io<'a>> {
    let reads = bufs.iter_mut().zip(0..).map(|(buf, span)| {
        let mut read: Pin<Box<_>> = Box::pin(far.read(buf, span));
        submit(&mut read);
        read as Io<'a>
    });
    reads.collect()
}

fn buffers() -> Vec<DmaBuf> {
    (0..DEPTH).map(|_| buffer()).collect()
}

/// How far two spdk_threads are.
#[derive(Default)]
struct Marks {
    /// The other one has its queue pair.
    connected: Mark,
    /// The target stands still.
    stopped: Mark,
    /// The other one has I/O in flight.
    submitted: Mark,
    /// This one has done what it has to do.
    over: Mark,
}

#[derive(Default)]
struct Mark(AtomicBool);

impl Mark {
    fn set(&self) {
        self.0.store(true, SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }

    async fn wait(&self) {
        until("the other spdk_thread", || self.is_set()).await;
    }
}

/// The same for two owners.
fn marks() -> (Arc<Marks>, Arc<Marks>) {
    let marks = Arc::<Marks>::default();
    (marks.clone(), marks)
}

/// Fails if a queue pair is polled on another spdk_thread than its own, or gets the data of another one.
#[spdk::test(no_app, deadline = 60)]
fn both_at_once() {
    beside_target_in(app(), |target| async move {
        let link = Link::to(&target).await;
        for (core, round) in CORES.into_iter().zip(1..) {
            let away = thread(core).await;
            let remote = link.controller.remote();
            let there = away.call_async(async move || {
                let far = Far::of(&remote).await.expect("it is connected");
                assert!(remote.namespace(77).await.expect("it is there").is_none());
                assert_eq!((far.ns.sector_size(), far.ns.id()), (4096, 1));
                assert_eq!(far.ns.md_size().ok(), Some(0));
                let id = far.qpair.id();
                for generation in 0..8 {
                    let spans = (DEPTH..2 * DEPTH).map(|span| {
                        let (far, buf) = (&far, filled(span, generation + 100 * round));
                        async move { far.write(&buf, span).await }
                    });
                    assert!(join_all(spans).await.iter().all(Result::is_ok));
                    far.verify(DEPTH..2 * DEPTH, generation + 100 * round).await;
                }
                // Another one of the same spdk_thread, with the namespace of the first.
                let second = remote.alloc_io_qpair(None).await.expect("there are more");
                assert_ne!(second.id(), id);
                let mut buf = buffer();
                let read = far.ns.read(&second, &mut buf, DEPTH * 4, 4);
                read.await.expect("the target runs");
                assert_is(&buf, DEPTH, 7 + 100 * round);
                far.qpair.close().await.expect("it is here");
                second.close().await.expect("it is here");
                id
            });
            let here = async {
                for generation in 0..8 {
                    let spans = (0..DEPTH).map(|span| {
                        let (link, buf) = (&link, filled(span, generation));
                        async move { link.write(&buf, span).await }
                    });
                    assert!(join_all(spans).await.iter().all(Result::is_ok));
                    link.verify(0..DEPTH, generation).await;
                }
            };
            let (id, ()) = join(there, here).await;
            assert_ne!(id.expect("no panic"), link.qpair.id());
            link.verify(DEPTH..2 * DEPTH, 7 + 100 * round).await;
            away.exit().await.expect("it is made by us");
        }
        // At home it is as the controller.
        let remote = link.controller.remote();
        let far = Far::of(&remote).await.expect("it is connected");
        far.verify(0..DEPTH, 7).await;
        drop(far);
        link.close().await;
        assert_gone(&remote.alloc_io_qpair(None).await, Gone::Closed);
        assert_gone(&remote.namespace(1).await, Gone::Closed);
        Bystanders::new()
    });
}

/// Fails if the controller is detached while another spdk_thread has a queue pair, or never.
#[spdk::test(no_app, deadline = 60)]
fn given_up_under_io() {
    beside_target_in(app(), |target| async move {
        for core in CORES {
            let link = Link::to(&target).await;
            link.prepare(0..DEPTH, 3).await;
            let away = thread(core).await;
            let remote = link.controller.remote();
            let (marks, theirs) = marks();
            let there = away.call_async(async move || {
                let far = Far::of(&remote).await.expect("it is connected");
                theirs.connected.set();
                theirs.stopped.wait().await;
                let mut bufs = buffers();
                let reads = in_flight(&far, &mut bufs);
                theirs.submitted.set();
                assert!(join_all(reads).await.iter().all(Result::is_ok));
                for (buf, span) in bufs.iter().zip(0..) {
                    assert_is(buf, span, 3);
                }
                // It is still there.
                far.verify(0..DEPTH, 3).await;
                assert!(!theirs.over.is_set());
                let more = remote.alloc_io_qpair(None).await;
                drop(more.expect("the controller is attached"));
            });
            let here = async {
                // Until the other one has connected, which needs the target.
                let Link {
                    controller,
                    qpair,
                    ns,
                } = link;
                marks.connected.wait().await;
                target.stop();
                marks.stopped.set();
                marks.submitted.wait().await;
                drop((qpair, ns));
                let mut detach = Box::pin(controller.detach());
                for _ in 0..1000 {
                    assert!(poll_once(detach.as_mut()).is_pending());
                    yield_now().await;
                }
                target.cont();
                detach.await.expect("it is here");
                marks.over.set();
            };
            let (there, ()) = within("an end", join(there, here)).await;
            there.expect("no panic");
            away.exit().await.expect("it is made by us");
        }
        Bystanders::new()
    });
}

/// Fails if a reset ends without the queue pairs of another spdk_thread, waits for them for ever, or leaves them.
#[spdk::test(no_app, deadline = 60)]
fn reset_under_io() {
    beside_target_in(app(), |target| async move {
        for core in CORES {
            let mut link = Link::to(&target).await;
            link.prepare(0..2 * DEPTH, 1).await;
            let away = thread(core).await;
            let remote = link.controller.remote();
            let (resets, seen) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
            let (count, mark) = (resets.clone(), seen.clone());
            let there = away.call_async(async move || {
                let mut far = Far::of(&remote).await.expect("it is connected");
                let mut cuts = 0;
                while count.load(SeqCst) < 10 {
                    let spans = (DEPTH..2 * DEPTH).map(|span| {
                        let far = &far;
                        async move {
                            let buf = filled(span, 1);
                            far.write(&buf, span).await?;
                            let mut buf = buffer();
                            far.read(&mut buf, span).await?;
                            assert_is(&buf, span, 1);
                            Ok(())
                        }
                    });
                    let ends = join_all(spans).await;
                    mark.fetch_add(1, SeqCst);
                    assert!(
                        ends.iter().all(|end| end.is_ok() || is_cut(end)),
                        "{ends:?}"
                    );
                    if ends.iter().any(Result::is_err) {
                        cuts += 1;
                        far.qpair = again(&remote).await;
                    }
                }
                // The namespace is that of the beginning.
                far.verify(DEPTH..2 * DEPTH, 1).await;
                cuts
            });
            let here = async {
                for _ in 0..10 {
                    let before = seen.load(SeqCst);
                    until("I/O there", || seen.load(SeqCst) > before + 1).await;
                    let reads = (0..DEPTH).map(|span| {
                        let link = &link;
                        async move { link.read(&mut buffer(), span).await }
                    });
                    let (ends, reset) = join(join_all(reads), link.controller.reset()).await;
                    reset.expect("the target runs");
                    assert!(
                        ends.iter().all(|end| end.is_ok() || is_cut(end)),
                        "{ends:?}"
                    );
                    link.qpair = again(&link.controller.remote()).await;
                    link.verify(0..4, 1).await;
                    resets.fetch_add(1, SeqCst);
                }
            };
            let (cuts, ()) = within("an end", join(there, here)).await;
            assert!(cuts.expect("no panic") > 5);
            away.exit().await.expect("it is made by us");
            link.close().await;
        }
        Bystanders::new()
    });
}

/// Fails if a reset does not wait for an spdk_thread that has not let go of the controller.
#[spdk::test(no_app, deadline = 60)]
fn a_reset_waits() {
    beside_target_in(app(), |target| async move {
        let link = Link::to(&target).await;
        let away = thread(1).await;
        let remote = link.controller.remote();
        let (marks, theirs) = marks();
        let there = away.call_async(async move || {
            let far = Far::of(&remote).await.expect("it is connected");
            theirs.connected.set();
            // Nothing is polled there meanwhile.
            while !theirs.over.is_set() {
                std::hint::spin_loop();
            }
            let gone = async {
                while far.qpair.is_connected() {
                    yield_now().await;
                }
            };
            within("the end of the queue pair", gone).await;
            let refused = far.read(&mut buffer(), 0).await;
            assert!(is_cut(&refused), "{refused:?}");
        });
        let here = async {
            marks.connected.wait().await;
            let reset = link.controller.reset();
            let mut reset = pin!(reset);
            let early = timeout(Duration::from_millis(300), &mut reset).await;
            assert!(early.is_none(), "{early:?}");
            marks.over.set();
            reset.await.expect("the target runs");
        };
        let (there, ()) = join(there, here).await;
        there.expect("no panic");
        away.exit().await.expect("it is made by us");
        // Its queue pair is gone too.
        drop((link.qpair, link.ns));
        link.controller.detach().await.expect("it is here");
        Bystanders::new()
    });
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

/// Fails if what another spdk_thread has in flight hangs when the target is gone, or the controller cannot come back.
#[spdk::test(no_app, deadline = 60)]
fn the_target_is_killed() {
    beside_target_in(app(), |target| async move {
        let mut last = None;
        for core in CORES {
            let trid = last.as_ref().unwrap_or(&*target).trid();
            let mut link = Link::at(&trid, &Default::default()).await;
            let away = thread(core).await;
            let remote = link.controller.remote();
            let seen = Arc::<AtomicUsize>::default();
            let mark = seen.clone();
            let (marks, theirs) = marks();
            let there = away.call_async(async move || {
                let mut far = Far::of(&remote).await.expect("it is connected");
                loop {
                    let spans = (0..DEPTH).map(|span| {
                        let far = &far;
                        async move { far.read(&mut buffer(), span).await }
                    });
                    let ends = join_all(spans).await;
                    mark.fetch_add(1, SeqCst);
                    assert!(
                        ends.iter().all(|end| end.is_ok() || is_cut(end)),
                        "{ends:?}"
                    );
                    if ends.iter().any(Result::is_err) {
                        break;
                    }
                }
                let refused = far.read(&mut buffer(), 0).await;
                assert!(is_cut(&refused), "{refused:?}");
                theirs.submitted.set();
                theirs.over.wait().await;
                far.qpair = again(&remote).await;
                far.prepare(DEPTH..2 * DEPTH, 5).await;
                far.verify(DEPTH..2 * DEPTH, 5).await;
            });
            let here = async {
                until("I/O there", || seen.load(SeqCst) > 10).await;
                let target = last.as_ref().unwrap_or(&*target);
                let reads = (0..DEPTH).map(|span| {
                    let link = &link;
                    async move { link.read(&mut buffer(), span).await }
                });
                let mut reads = Box::pin(join_all(reads));
                let _ = poll_once(reads.as_mut());
                target.kill();
                let ends = reads.await;
                assert!(
                    ends.iter().all(|end| end.is_ok() || is_cut(end)),
                    "{ends:?}"
                );
                marks.submitted.wait().await;
                let another = target.start_again();
                link.renew().await;
                marks.over.set();
                link.prepare(0..DEPTH, 4).await;
                link.verify(0..DEPTH, 4).await;
                another
            };
            let (there, another) = within("an end", join(there, here)).await;
            there.expect("no panic");
            link.verify(DEPTH..2 * DEPTH, 5).await;
            away.exit().await.expect("it is made by us");
            link.close().await;
            last = Some(another);
        }
        Bystanders::new()
    });
}

/// Fails if memory of abandoned reads is freed, or their queue pair, before they have ended.
#[spdk::test(no_app, deadline = 60)]
fn dropped_in_flight() {
    beside_target_in(app(), |target| async move {
        for core in CORES {
            let link = Link::to(&target).await;
            link.prepare(0..DEPTH, 1).await;
            let away = thread(core).await;
            let remote = link.controller.remote();
            let (marks, theirs) = marks();
            let there = away.call_async(async move || {
                let far = Far::of(&remote).await.expect("it is connected");
                theirs.connected.set();
                theirs.stopped.wait().await;
                let mut bufs = buffers();
                for (read, number) in in_flight(&far, &mut bufs).into_iter().zip(0..) {
                    match number % 2 {
                        0 => drop(read),
                        _ => std::mem::forget(read),
                    }
                }
                drop((bufs, far));
                let bystanders = Bystanders::new();
                theirs.submitted.set();
                // The next one is that of another seat, or of the one that is not left yet.
                let far = Far::of(&remote).await.expect("the target goes on");
                far.verify(0..DEPTH, 1).await;
                drop(far);
                bystanders.check();
            });
            let here = async {
                marks.connected.wait().await;
                target.stop();
                marks.stopped.set();
                marks.submitted.wait().await;
                target.cont();
            };
            let (there, ()) = within("an end", join(there, here)).await;
            there.expect("no panic");
            away.exit().await.expect("it is made by us");
            link.close().await;
        }
        Bystanders::new()
    });
}

/// Fails if the end of an spdk_thread leaves a queue pair to the controller, or the controller waits for ever.
#[spdk::test(no_app, deadline = 60)]
fn the_other_ends_first() {
    beside_target_in(impatient(), |target| async move {
        for (core, answers) in [(1, true), (0, true), (1, false), (0, false)] {
            let link = Link::to(&target).await;
            link.prepare(0..DEPTH, 1).await;
            let away = thread(core).await;
            let remote = link.controller.remote();
            let (marks, theirs) = marks();
            let there = away.call_async(async move || {
                let far = Far::of(&remote).await.expect("it is connected");
                theirs.connected.set();
                theirs.stopped.wait().await;
                let mut bufs = buffers();
                let reads = in_flight(&far, &mut bufs);
                theirs.submitted.set();
                drop(join_all(reads).await);
                std::future::pending::<()>().await;
            });
            let here = async {
                marks.connected.wait().await;
                target.stop();
                marks.stopped.set();
                marks.submitted.wait().await;
                let mut exit = Box::pin(away.clone().exit());
                assert!(
                    timeout(Duration::from_millis(50), &mut exit)
                        .await
                        .is_none()
                );
                if answers {
                    target.cont();
                }
                exit.await.expect("it is made by us");
                target.cont();
                // Its own are as before.
                link.verify(0..DEPTH, 1).await;
                assert!(!link.controller.has_failed());
            };
            let (there, ()) = within("an end", join(there, here)).await;
            assert!(
                matches!(kind(&there), Some(ErrorKind::Cancelled)),
                "{there:?}"
            );
            within("the detach", link.close()).await;
        }
        Bystanders::new()
    });
}

/// Fails if the end of the controller's spdk_thread waits for the queue pairs of another one for ever, or leaves them
/// to a controller that is gone.
#[spdk::test(no_app, deadline = 60)]
fn the_home_ends_first() {
    beside_target_in(impatient(), |target| async move {
        for (core, answers) in [(1, true), (0, true), (1, false), (0, false)] {
            let home = ThreadHandle::on_core("home", 0)
                .await
                .expect("an spdk_thread");
            let away = thread(core).await;
            let trid = target.trid();
            let remote = home.call_async(async move || {
                let controller = NvmeController::connect(&trid, None).await;
                let controller = controller.expect("the target listens");
                let remote = controller.remote();
                CONTROLLER.set(Some(controller));
                remote
            });
            let remote = remote.await.expect("no panic");
            let (marks, theirs) = marks();
            let kept = remote.clone();
            let there = away.call_async(async move || {
                let far = Far::of(&remote).await.expect("it is connected");
                far.prepare(0..DEPTH, 1).await;
                theirs.connected.set();
                theirs.stopped.wait().await;
                let mut bufs = buffers();
                let reads = in_flight(&far, &mut bufs);
                theirs.submitted.set();
                for end in join_all(reads).await {
                    assert!(if answers { end.is_ok() } else { is_cut(&end) }, "{end:?}");
                }
                if answers {
                    for (buf, span) in bufs.iter().zip(0..) {
                        assert_is(buf, span, 1);
                    }
                }
                assert_gone(&far.read(&mut buffer(), 0).await, Gone::ThreadEnded);
                assert_gone(&far.ns.md_size(), Gone::ThreadEnded);
                assert_eq!(far.ns.sector_size(), 4096);
                assert!(!far.qpair.is_connected());
                assert_gone(&far.qpair.close().await, Gone::ThreadEnded);
            });
            let here = async {
                marks.connected.wait().await;
                target.stop();
                marks.stopped.set();
                marks.submitted.wait().await;
                let mut exit = Box::pin(home.clone().exit());
                assert!(
                    timeout(Duration::from_millis(50), &mut exit)
                        .await
                        .is_none()
                );
                if answers {
                    target.cont();
                }
                exit.await.expect("it is made by us");
                target.cont();
            };
            let (there, ()) = within("an end", join(there, here)).await;
            there.expect("no panic");
            assert_gone(&kept.alloc_io_qpair(None).await, Gone::ThreadEnded);
            away.exit().await.expect("it is made by us");
            CONTROLLER.set(None);
        }
        Bystanders::new()
    });
}

thread_local! {
    static CONTROLLER: Cell<Option<NvmeController>> = const { Cell::new(None) };
}

/// Fails if something is left of an allocation that was abandoned, or the controller waits for it.
#[spdk::test(no_app, deadline = 60)]
fn abandoned_on_the_way() {
    beside_target_in(app(), |target| async move {
        for core in CORES {
            let link = Link::to(&target).await;
            let away = thread(core).await;
            let remote = link.controller.remote();
            let there = away.call_async(async move || {
                for _ in 0..4 {
                    // What comes of it finds nobody.
                    let _ = poll_once(pin!(remote.alloc_io_qpair(None)));
                    let _ = poll_once(pin!(remote.namespace(1)));
                }
                for polls in 0..40 {
                    let mut alloc = Box::pin(remote.alloc_io_qpair(None));
                    let mut look = Box::pin(remote.namespace(1));
                    for _ in 0..polls {
                        let is_ready = poll_once(look.as_mut()).is_ready();
                        if poll_once(alloc.as_mut()).is_ready() || is_ready {
                            break;
                        }
                        yield_now().await;
                    }
                    if polls % 4 == 3 {
                        std::mem::forget((alloc, look));
                    }
                }
            });
            there.await.expect("no panic");
            link.prepare(0..4, 1).await;
            link.verify(0..4, 1).await;
            away.exit().await.expect("it is made by us");
            within("the detach", link.close()).await;
        }
        Bystanders::new()
    });
}

/// Fails if blocks may change their size under the queue pairs of another spdk_thread.
#[spdk::test(no_app, deadline = 60)]
fn formatted() {
    beside_target_in(app(), |target| async move {
        let Link {
            controller,
            qpair,
            ns,
        } = Link::to(&target).await;
        drop((qpair, ns));
        for core in CORES {
            let away = thread(core).await;
            for has_qpair in [true, false] {
                let remote = controller.remote();
                let (marks, theirs) = marks();
                let there = away.call_async(async move || {
                    let ns = remote.namespace(1).await.expect("it is there");
                    let qpair = match has_qpair {
                        true => Some(again(&remote).await),
                        false => None,
                    };
                    theirs.connected.set();
                    theirs.over.wait().await;
                    drop((ns, qpair));
                });
                let here = async {
                    marks.connected.wait().await;
                    let format = controller.format(1, &NvmeFormat::default()).await;
                    let is_busy = format
                        .as_ref()
                        .is_err_and(|error| error.errno() == Some(Errno::EBUSY));
                    assert_eq!(is_busy, has_qpair, "{format:?}");
                    marks.over.set();
                };
                let (there, ()) = within("an end", join(there, here)).await;
                there.expect("no panic");
            }
            away.exit().await.expect("it is made by us");
        }
        controller.detach().await.expect("it is here");
        Bystanders::new()
    });
}

/// Fails if a command that takes long is told of on the spdk_thread of its queue pair, or not at all.
#[spdk::test(no_app, deadline = 60)]
fn a_command_takes_long() {
    beside_target_in(app(), |target| async move {
        let link = Link::to(&target).await;
        let mut events = link.controller.events().expect("it is here");
        let times = NvmeTimeouts {
            io: Duration::from_millis(100),
            admin: Duration::from_secs(30),
        };
        link.controller
            .set_timeouts(Some(times))
            .expect("it is here");
        let away = thread(1).await;
        let remote = link.controller.remote();
        let read = Arc::<AtomicUsize>::default();
        let id = read.clone();
        let (marks, theirs) = marks();
        let there = away.call_async(async move || {
            let far = Far::of(&remote).await.expect("it is connected");
            id.store(far.qpair.id().into(), SeqCst);
            theirs.connected.set();
            theirs.stopped.wait().await;
            far.read(&mut buffer(), 0).await
        });
        let here = async {
            marks.connected.wait().await;
            target.stop();
            marks.stopped.set();
            let event = events.next().await;
            let id = read.load(SeqCst);
            let told = matches!(event, Some(NvmeEvent::TimedOut { qpair, .. }) if usize::from(qpair) == id);
            assert!(told, "{event:?}");
            link.controller.set_timeouts(None).expect("it is here");
            target.cont();
        };
        let (there, ()) = within("an end", join(there, here)).await;
        there.expect("no panic").expect("the target goes on");
        away.exit().await.expect("it is made by us");
        link.close().await;
        Bystanders::new()
    });
}

/// Fails if the application ends before a queue pair of another core, or waits for it for ever.
#[spdk::test(no_app, deadline = 60)]
fn the_application_ends() {
    beside_target_in(impatient(), |target| async move {
        let link = Link::to(&target).await;
        let away = thread(1).await;
        let there = link.controller.remote();
        let (marks, theirs) = marks();
        away.send(move || {
            let task = spdk::spawn_local(async move {
                let far = Far::of(&there).await.expect("it is connected");
                let mut bufs = buffers();
                loop {
                    let reads = bufs.iter_mut().zip(0..);
                    let reads = reads.map(|(buf, span)| far.read(buf, span));
                    let reads = join_all(reads);
                    theirs.submitted.set();
                    if reads.await.iter().any(Result::is_err) {
                        std::future::pending::<()>().await;
                    }
                }
            });
            drop(task);
        })
        .expect("it runs");
        marks.submitted.wait().await;
        assert!(SpdkThread::count() >= 2);
        CONTROLLER.set(Some(link.controller));
        Bystanders::new()
    });
}

/// Fails if I/O goes on with the size of blocks that were there before, here or there.
#[spdk::test(no_app, deadline = 60)]
fn another_namespace_takes_its_place() {
    beside_target_in(app(), |target| async move {
        for size in [512, 4096] {
            let name = format!("Blocks{size}");
            let disk = json!({"name": name, "num_blocks": 1024, "block_size": size});
            target.rpc("bdev_malloc_create", disk);
        }
        let link = Link::to(&target).await;
        let away = thread(1).await;
        let remote = link.controller.remote();
        let wanted = Arc::<AtomicUsize>::default();
        let (theirs, served) = (wanted.clone(), Arc::<AtomicUsize>::default());
        let seen = served.clone();
        let there = away.call_async(async move || {
            let far = Far::of(&remote).await.expect("it is connected");
            loop {
                match theirs.load(SeqCst) {
                    1 => break,
                    size => seen.store(read_some(&far.ns, &far.qpair, size).await, SeqCst),
                }
            }
        });
        let here = async {
            for size in [512, 4096, 512, 4096] {
                let ns = json!({"nqn": NvmfTarget::NQN, "nsid": 1});
                target.rpc("nvmf_subsystem_remove_ns", ns);
                let ns = json!({"nsid": 1, "bdev_name": format!("Blocks{size}")});
                let add = json!({"nqn": NvmfTarget::NQN, "namespace": ns});
                target.rpc("nvmf_subsystem_add_ns", add);
                wanted.store(size, SeqCst);
                let start = Instant::now();
                while read_some(&link.ns, &link.qpair, size).await != size {
                    assert!(start.elapsed() < PATIENCE);
                }
                until("I/O there", || served.load(SeqCst) == size).await;
            }
            wanted.store(1, SeqCst);
        };
        let (there, ()) = within("an end", join(there, here)).await;
        there.expect("no panic");
        away.exit().await.expect("it is made by us");
        link.close().await;
        Bystanders::new()
    });
}

/// Reads 8 blocks of the size that the namespace has; which one, if these were read, and it is the one that is wanted.
async fn read_some(ns: &NvmeNamespace, qpair: &NvmeQpair, wanted: usize) -> usize {
    let size = ns.sector_size() as usize;
    let Ok(mut buf) = DmaBuf::alloc(8 * size, 4096) else {
        yield_now().await;
        return 0; // there is none at the moment
    };
    let end = ns.read(qpair, &mut buf, 0, 8).await;
    yield_now().await;
    match kind(&end) {
        None if size == wanted => size,
        None | Some(ErrorKind::InvalidArgument { .. } | ErrorKind::Device { .. }) => 0,
        _ if end
            .as_ref()
            .is_err_and(|error| error.errno() == Some(Errno::EINVAL)) =>
        {
            0
        }
        _ => panic!("{end:?}"),
    }
}
