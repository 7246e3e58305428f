//! Controllers, spdk_threads and applications that end, one before the other.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use spdk::nvme::NvmeController;
use spdk::task::yield_now;
use spdk::{Gone, Result, SpdkThread, ThreadHandle};
use spdk_tests::nvme::{Far, Link, beside_target_in};
use spdk_tests::nvmf::Target;
use spdk_tests::nvmf::disk::{Bystanders, assert_is, buffer};
use spdk_tests::wait::{timeout, within};
use spdk_tests::{assert_kind, poll_once};

use super::{
    CONTROLLER, DEPTH, Marks, app, assert_gone, both, buffers, impatient, is_cut, on_each_core,
    thread, with_another,
};

/// Fails if the controller is detached while another spdk_thread has a queue pair, or never.
#[spdk::test(no_app, deadline = 60)]
fn given_up_under_io() {
    on_each_core(app(), async |target, core| {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 3).await;
        let remote = link.controller.remote();
        let there = async move |marks: &Marks| {
            let far = Far::of(&remote).await;
            let mut bufs = buffers();
            let reads = marks.in_flight(&far, &mut bufs).await;
            marks.submitted.set();
            assert!(join_all(reads).await.iter().all(Result::is_ok));
            for (buf, span) in bufs.iter().zip(0..) {
                assert_is(buf, span, 3);
            }
            // It is still there.
            far.verify(0..DEPTH, 3).await;
            assert!(!marks.over.is_set());
            let more = remote.alloc_io_qpair(None).await;
            drop(more.expect("the controller is attached"));
        };
        let here = async |marks: &Marks| {
            let Link {
                controller,
                qpair,
                ns,
            } = link;
            marks.stop(&target).await;
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
        with_another(core, there, here).await;
    });
}

/// Has an spdk_thread end while another one has I/O in flight, which the target answers then, or only when it has.
async fn exit_under_io(thread: &ThreadHandle, target: &Target, marks: &Marks, answers: bool) {
    marks.stop(target).await;
    let mut exit: Pin<Box<dyn Future<Output = Result<()>>>> = Box::pin(thread.clone().exit());
    let early = timeout(Duration::from_millis(50), &mut exit).await;
    assert!(early.is_none());
    if answers {
        target.cont();
    }
    exit.await.expect("it is made by us");
    target.cont();
}

/// Fails if the end of an spdk_thread leaves a queue pair to the controller, or the controller waits for ever.
#[spdk::test(no_app, deadline = 60)]
fn the_other_ends_first() {
    on_each_core(impatient(), async |target, core| {
        for answers in [true, false] {
            let link = Link::to(&target).await;
            link.prepare(0..DEPTH, 1).await;
            let away = thread(core).await;
            let remote = link.controller.remote();
            let there = async move |marks: &Marks| {
                let far = Far::of(&remote).await;
                let mut bufs = buffers();
                let reads = marks.in_flight(&far, &mut bufs).await;
                marks.submitted.set();
                drop(join_all(reads).await);
                std::future::pending::<()>().await;
            };
            let here = async |marks: &Marks| {
                exit_under_io(&away, &target, marks, answers).await;
                // Its own are as before.
                link.verify(0..DEPTH, 1).await;
                assert!(!link.controller.has_failed());
            };
            let (there, ()) = both(&away, there, here).await;
            assert_kind!(there, Cancelled);
            within("the detach", link.close()).await;
        }
    });
}

/// Fails if the end of the controller's spdk_thread waits for the queue pairs of another one for ever, or leaves them
/// to a controller that is gone.
#[spdk::test(no_app, deadline = 60)]
fn the_home_ends_first() {
    on_each_core(impatient(), async |target, core| {
        for answers in [true, false] {
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
            let kept = remote.clone();
            let there = async move |marks: &Marks| {
                let far = Far::of(&remote).await;
                far.prepare(0..DEPTH, 1).await;
                let mut bufs = buffers();
                let reads = marks.in_flight(&far, &mut bufs).await;
                marks.submitted.set();
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
            };
            let here = async |marks: &Marks| exit_under_io(&home, &target, marks, answers).await;
            let (there, ()) = both(&away, there, here).await;
            there.expect("no panic");
            assert_gone(&kept.alloc_io_qpair(None).await, Gone::ThreadEnded);
            away.exit().await.expect("it is made by us");
            CONTROLLER.set(None);
        }
    });
}

/// Fails if something is left of an allocation that was abandoned, or the controller waits for it.
#[spdk::test(no_app, deadline = 60)]
fn abandoned_on_the_way() {
    on_each_core(app(), async |target, core| {
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
    });
}

/// Fails if the application ends before a queue pair of another core, or waits for it for ever.
#[spdk::test(no_app, deadline = 60)]
fn the_application_ends() {
    beside_target_in(impatient(), |target| async move {
        let link = Link::to(&target).await;
        let away = thread(1).await;
        let there = link.controller.remote();
        let marks = Arc::<Marks>::default();
        let theirs = marks.clone();
        away.send(move || {
            let task = spdk::spawn_local(async move {
                let far = Far::of(&there).await;
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
