//! Resets, formats, and a target that dies, while another spdk_thread has queue pairs.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::{join, join_all};
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, NvmeFormat};
use spdk::task::yield_now;
use spdk::{Errno, ThreadHandle};
use spdk_tests::nvme::{Far, Link, beside_target_in};
use spdk_tests::nvmf::disk::{Bystanders, assert_is, buffer, filled};
use spdk_tests::nvmf::proxy::Proxy;
use spdk_tests::wait::{timeout, within};
use spdk_tests::{poll_once, until};

use super::{CORES, DEPTH, Marks, again, app, is_cut, on_each_core, some_are_cut, with_another};

/// Fails if a reset ends without the queue pairs of another spdk_thread, waits for them for ever, or leaves them.
#[spdk::test(no_app, deadline = 60)]
fn reset_under_io() {
    on_each_core(app(), async |target, core| {
        let mut link = Link::to(&target).await;
        link.prepare(0..2 * DEPTH, 1).await;
        let remote = link.controller.remote();
        let (resets, seen) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (count, mark) = (resets.clone(), seen.clone());
        let there = async move |_: &Marks| {
            let mut far = Far::of(&remote).await;
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
                if some_are_cut(&ends) {
                    cuts += 1;
                    far.qpair = again(&remote).await;
                }
            }
            // The namespace is that of the beginning.
            far.verify(DEPTH..2 * DEPTH, 1).await;
            cuts
        };
        let here = async |_: &Marks| {
            for _ in 0..10 {
                let before = seen.load(SeqCst);
                until("I/O there", || seen.load(SeqCst) > before + 1).await;
                let reads = read_all(&link);
                let (ends, reset) = join(reads, link.controller.reset()).await;
                reset.expect("the target runs");
                some_are_cut(&ends);
                link.qpair = again(&link.controller.remote()).await;
                link.verify(0..4, 1).await;
                resets.fetch_add(1, SeqCst);
            }
        };
        let (cuts, ()) = with_another(core, there, here).await;
        assert!(cuts > 5);
        link.close().await;
    });
}

/// Reads the first spans at once.
async fn read_all<C>(link: &Link<C>) -> Vec<spdk::Result<()>> {
    let reads = (0..DEPTH).map(|span| async move { link.read(&mut buffer(), span).await });
    join_all(reads).await
}

/// Fails if a reset does not wait for an spdk_thread that has not let go of the controller.
#[spdk::test(no_app, deadline = 60)]
fn a_reset_waits() {
    beside_target_in(app(), |target| async move {
        let link = Link::to(&target).await;
        let remote = link.controller.remote();
        let there = async move |marks: &Marks| {
            let far = Far::of(&remote).await;
            marks.connected.set();
            // Nothing is polled there meanwhile.
            while !marks.over.is_set() {
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
        };
        let here = async |marks: &Marks| {
            marks.connected.wait().await;
            let reset = link.controller.reset();
            let mut reset = pin!(reset);
            let early = timeout(Duration::from_millis(300), &mut reset).await;
            assert!(early.is_none(), "{early:?}");
            marks.over.set();
            reset.await.expect("the target runs");
        };
        with_another(1, there, here).await;
        // Its queue pair is gone too.
        drop((link.qpair, link.ns));
        link.controller.detach().await.expect("it is here");
        Bystanders::new()
    });
}

/// Fails if what another spdk_thread has in flight hangs when the target is gone, or the controller cannot come back.
#[spdk::test(no_app, deadline = 60)]
fn the_target_is_killed() {
    beside_target_in(app(), |target| async move {
        let mut last = None;
        for core in CORES {
            let target = last.as_ref().unwrap_or(&*target);
            let mut link = Link::to(target).await;
            let remote = link.controller.remote();
            let seen = Arc::<AtomicUsize>::default();
            let mark = seen.clone();
            let there = async move |marks: &Marks| {
                let mut far = Far::of(&remote).await;
                while !some_are_cut(&read_all(&far).await) {
                    mark.fetch_add(1, SeqCst);
                }
                let refused = far.read(&mut buffer(), 0).await;
                assert!(is_cut(&refused), "{refused:?}");
                marks.submitted.set();
                marks.over.wait().await;
                far.qpair = again(&remote).await;
                far.prepare(DEPTH..2 * DEPTH, 5).await;
                far.verify(DEPTH..2 * DEPTH, 5).await;
            };
            let here = async |marks: &Marks| {
                until("I/O there", || seen.load(SeqCst) > 10).await;
                let mut reads = Box::pin(read_all(&link));
                let _ = poll_once(reads.as_mut());
                target.kill();
                some_are_cut(&reads.await);
                marks.submitted.wait().await;
                let another = target.start_again();
                link.renew().await;
                marks.over.set();
                link.prepare(0..DEPTH, 4).await;
                link.verify(0..DEPTH, 4).await;
                another
            };
            let ((), another) = with_another(core, there, here).await;
            link.verify(DEPTH..2 * DEPTH, 5).await;
            link.close().await;
            last = Some(another);
        }
        Bystanders::new()
    });
}

/// Fails if blocks may change their size under the queue pairs of another spdk_thread.
#[spdk::test(no_app, deadline = 60)]
fn formatted() {
    on_each_core(app(), async |target, core| {
        let Link {
            controller,
            qpair,
            ns,
        } = Link::to(&target).await;
        drop((qpair, ns));
        for has_qpair in [true, false] {
            let remote = controller.remote();
            let there = async move |marks: &Marks| {
                let ns = remote.namespace(1).await.expect("it is there");
                let qpair = match has_qpair {
                    true => Some(again(&remote).await),
                    false => None,
                };
                marks.connected.set();
                marks.over.wait().await;
                drop((ns, qpair));
            };
            let here = async |marks: &Marks| {
                marks.connected.wait().await;
                let format = controller.format(1, &NvmeFormat::default()).await;
                let is_busy = format
                    .as_ref()
                    .is_err_and(|error| error.errno() == Some(Errno::EBUSY));
                assert_eq!(is_busy, has_qpair, "{format:?}");
                marks.over.set();
            };
            with_another(core, there, here).await;
        }
        controller.detach().await.expect("it is here");
    });
}

/// SPDK keeps the lock of a controller in its hands until it is connected again, and whoever finds that it is there already
/// wants it too.
#[spdk::test(no_app, deadline = 30)]
fn another_connects_meanwhile() {
    beside_target_in(app(), |target| {
        let (proxy, is_silent) = Proxy::with_silence(&target);
        let trid = proxy.trid(&target);
        async move {
            let controller = NvmeController::connect(&trid, None).await;
            let controller = controller.expect("the target listens");
            is_silent.store(true, SeqCst);
            let before = proxy.hosts().len();
            let mut reset = Box::pin(controller.reset());
            assert!(poll_once(reset.as_mut()).is_pending());
            until("the reset to connect", || proxy.hosts().len() > before).await;
            let away = ThreadHandle::on_core("away", 1).await.expect("a core");
            let again = away.call_async(async move || {
                let connected = NvmeController::connect(&trid, None).await;
                let found = NvmeController::probe(&trid, |_| Some(NvmeCtrlrOpts::new())).await;
                let found = found.expect("it looks").pop().expect("it finds one");
                [connected, found].map(|one| one.map(drop).map_err(|error| error.errno()))
            });
            // The target itself ends the connection after ten seconds.
            let again = timeout(Duration::from_secs(4), again).await;
            let again = again.expect("the core of the other one goes on");
            assert_eq!(again.expect("no panic"), [Err(Some(Errno::EALREADY)); 2]);
            away.exit().await.expect("it is here");
            is_silent.store(false, SeqCst);
            proxy.cut(before);
            assert!(within("the reset", reset).await.is_err());
            controller.reset().await.expect("the target runs");
            controller.detach().await.expect("it is here");
            Bystanders::new()
        }
    });
}
