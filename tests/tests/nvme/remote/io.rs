//! I/O on both spdk_threads, and namespaces that change under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use spdk::nvme::{NvmeEvent, NvmeNamespace, NvmeQpair, NvmeTimeouts};
use spdk::task::yield_now;
use spdk::{DmaBuf, Errno, ErrorKind, Gone, Result};
use spdk_tests::nvme::{Far, Link, beside_target_in};
use spdk_tests::nvmf::disk::{Bystanders, assert_is, buffer, filled};
use spdk_tests::wait::PATIENCE;
use spdk_tests::{kind, until};

use super::{CORES, DEPTH, Marks, app, assert_gone, buffers, on_each_core, with_another};

/// Fails if a queue pair is polled on another spdk_thread than its own, or gets the data of another one.
#[spdk::test(no_app, deadline = 60)]
fn both_at_once() {
    beside_target_in(app(), |target| async move {
        let link = Link::to(&target).await;
        for (core, round) in CORES.into_iter().zip(1..) {
            let remote = link.controller.remote();
            let there = async move |_: &Marks| {
                let far = Far::of(&remote).await;
                assert!(remote.namespace(77).await.expect("it is there").is_none());
                assert_eq!((far.ns.sector_size(), far.ns.id()), (4096, 1));
                assert_eq!(far.ns.md_size().ok(), Some(0));
                let id = far.qpair.id();
                for generation in 0..8 {
                    write_all(&far, DEPTH, generation + 100 * round).await;
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
            };
            let here = async |_: &Marks| {
                for generation in 0..8 {
                    write_all(&link, 0, generation).await;
                }
            };
            let (id, ()) = with_another(core, there, here).await;
            assert_ne!(id, link.qpair.id());
            link.verify(DEPTH..2 * DEPTH, 7 + 100 * round).await;
        }
        // At home it is as the controller.
        let remote = link.controller.remote();
        let far = Far::of(&remote).await;
        far.verify(0..DEPTH, 7).await;
        drop(far);
        link.close().await;
        assert_gone(&remote.alloc_io_qpair(None).await, Gone::Closed);
        assert_gone(&remote.namespace(1).await, Gone::Closed);
        Bystanders::new()
    });
}

/// Writes to all spans from the first on at once, and looks at them.
async fn write_all<C>(link: &Link<C>, first: u64, generation: u64) {
    let spans = first..first + DEPTH;
    let writes = spans.clone().map(|span| async move {
        let buf = filled(span, generation);
        link.write(&buf, span).await
    });
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    link.verify(spans, generation).await;
}

/// Fails if memory of abandoned reads is freed, or their queue pair, before they have ended.
#[spdk::test(no_app, deadline = 60)]
fn dropped_in_flight() {
    on_each_core(app(), async |target, core| {
        let link = Link::to(&target).await;
        link.prepare(0..DEPTH, 1).await;
        let remote = link.controller.remote();
        let there = async move |marks: &Marks| {
            let far = Far::of(&remote).await;
            let mut bufs = buffers();
            let reads = marks.in_flight(&far, &mut bufs).await;
            for (read, number) in reads.into_iter().zip(0..) {
                match number % 2 {
                    0 => drop(read),
                    _ => std::mem::forget(read),
                }
            }
            drop((bufs, far));
            let bystanders = Bystanders::new();
            marks.submitted.set();
            // The next one is that of another seat, or of the one that is not left yet.
            let far = Far::of(&remote).await;
            far.verify(0..DEPTH, 1).await;
            drop(far);
            bystanders.check();
        };
        let here = async |marks: &Marks| {
            marks.stop(&target).await;
            target.cont();
        };
        with_another(core, there, here).await;
        link.close().await;
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
        let remote = link.controller.remote();
        let read = Arc::<AtomicUsize>::default();
        let id = read.clone();
        let there = async move |marks: &Marks| {
            let far = Far::of(&remote).await;
            id.store(far.qpair.id().into(), SeqCst);
            marks.connected.set();
            marks.stopped.wait().await;
            far.read(&mut buffer(), 0).await
        };
        let here = async |marks: &Marks| {
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
        let (there, ()) = with_another(1, there, here).await;
        there.expect("the target goes on");
        link.close().await;
        Bystanders::new()
    });
}

/// Fails if I/O goes on with the size of blocks that were there before, here or there.
#[spdk::test(no_app, deadline = 60)]
fn another_namespace_takes_its_place() {
    beside_target_in(app(), |target| async move {
        let link = Link::to(&target).await;
        let remote = link.controller.remote();
        let wanted = Arc::<AtomicUsize>::default();
        let (theirs, served) = (wanted.clone(), Arc::<AtomicUsize>::default());
        let seen = served.clone();
        let there = async move |marks: &Marks| {
            let far = Far::of(&remote).await;
            while !marks.over.is_set() {
                let size = read_some(&far.ns, &far.qpair, theirs.load(SeqCst)).await;
                seen.store(size, SeqCst);
            }
        };
        let here = async |marks: &Marks| {
            for size in [512, 4096, 512, 4096] {
                target.replace_namespace(size);
                wanted.store(size, SeqCst);
                let start = Instant::now();
                while read_some(&link.ns, &link.qpair, size).await != size {
                    assert!(start.elapsed() < PATIENCE);
                }
                until("I/O there", || served.load(SeqCst) == size).await;
            }
            marks.over.set();
        };
        with_another(1, there, here).await;
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
