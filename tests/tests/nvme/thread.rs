//! Handles on another spdk_thread of the same OS thread.
//!
//! This fault was put into the crate, and the test failed:
//!
//! - A handle does not ask which spdk_thread it is on.

use std::cell::RefCell;
use std::time::Instant;

use spdk::ErrorKind;
use spdk::nvme::NvmeController;
use spdk::task::yield_now;
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, buffer};
use spdk_tests::wait::PATIENCE;
use spdk_tests::{kind, second};

thread_local! {
    static LINK: RefCell<Option<Link>> = const { RefCell::new(None) };
}

#[track_caller]
fn assert_wrong<T: std::fmt::Debug>(result: &spdk::Result<T>) {
    let told = matches!(kind(result), Some(ErrorKind::WrongThread { .. }));
    assert!(told, "{result:?}");
}

#[spdk::test(no_app, deadline = 30)]
fn used_elsewhere() {
    beside_target(|target| async move {
        LINK.set(Some(Link::to(&target).await));
        let second = second::spdk_thread("second").await;
        let elsewhere = second.spawn(|| async {
            let link = LINK.take().expect("the same OS thread");
            let (ns, qpair) = (&link.ns, &link.qpair);
            let mut buf = buffer();
            assert_wrong(&ns.read(qpair, &mut buf, 0, 4).await);
            assert_wrong(&ns.write(qpair, &buf, 0, 4).await);
            assert_wrong(&ns.flush(qpair).await);
            assert_wrong(&ns.md_size());
            assert_wrong(&link.controller.alloc_io_qpair(None).await);
            assert!(link.controller.namespace(1).is_none());
            assert!(link.controller.active_namespaces().is_empty());
            assert!(!ns.is_active());
            assert_eq!(ns.sector_size(), 4096);
            let Link {
                controller,
                qpair,
                ns,
            } = link;
            assert_wrong(&qpair.close().await);
            drop(ns);
            assert_wrong(&controller.detach().await);
        });
        elsewhere.await.expect("no panic");
        // It goes at home, in its own time.
        let start = Instant::now();
        while let Err(error) = NvmeController::connect(&target.trid(), None).await {
            assert!(start.elapsed() < PATIENCE, "{error}");
            yield_now().await;
        }
        Bystanders::new()
    });
}
