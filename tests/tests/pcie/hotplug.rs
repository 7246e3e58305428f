//! Devices that are plugged in and pulled out.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - Nobody looks whether the device is there: `pulled_out_under_io`, `pulled_out_at_rest`.

use std::time::{Duration, Instant};

use futures_util::future::{join_all, join3};
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, NvmeEvent, TransportId};
use spdk::{Errno, Error, ErrorKind, Events, Gone, IoQueue};
use spdk_tests::kind;
use spdk_tests::machine::{Drive, Plug, slot, slow_down};
use spdk_tests::pattern;
use spdk_tests::poll_once;
use spdk_tests::wait::within;

/// What a probe finds, without the controllers that are always there.
async fn found() -> Vec<NvmeController> {
    let place = TransportId::all_pcie();
    let found = NvmeController::probe(&place, |trid| {
        let is_plugged = !trid.address().starts_with("0000:00:");
        is_plugged.then(NvmeCtrlrOpts::new)
    });
    let found = found.await.expect("SPDK looks");
    found
        .into_iter()
        .map(|one| one.expect("it can be connected"))
        .collect()
}

/// The same until it finds something: SPDK lets a device settle for 2 seconds after it has seen it first.
async fn found_soon() -> Vec<NvmeController> {
    let search = async {
        loop {
            let found = found().await;
            if !found.is_empty() {
                return found;
            }
        }
    };
    within("the search for a device that was plugged in", search).await
}

/// That it was pulled out. The events that it had promised fail before.
async fn removal(events: &mut Events<NvmeEvent>) {
    loop {
        match within("the event", events.next()).await {
            Some(NvmeEvent::Removed) => return,
            other => assert_eq!(other, Some(NvmeEvent::Failed)),
        }
    }
}

/// That it was told once.
async fn no_other_removal(events: &mut Events<NvmeEvent>) {
    while let Some(event) = within("the last event", events.next()).await {
        assert_eq!(event, NvmeEvent::Failed);
    }
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn plugged_in() {
    let plug = Plug::new(0).await;
    slow_down("hot0", 0);
    assert!(found().await.is_empty());
    let trid = plug.insert().await;
    let mut controllers = found_soon().await;
    let controller = controllers.pop().expect("a probe sees it");
    assert_eq!(
        (controllers.len(), controller.transport_id()),
        (0, trid.clone())
    );
    assert_eq!(
        controller.data().expect("it is here").serial_number(),
        "HOT0"
    );
    let drive = Drive::of(controller, 1).await;
    drive.write(0, 64, 1).await.expect("it writes");
    drive.verify(0, 64, 1).await;
    drive.close().await;
    plug.pull();
    plug.gone().await;
    assert!(found().await.is_empty());
    let none = NvmeController::connect(&trid, None).await;
    let told = matches!(kind(&none), Some(ErrorKind::NotConnected { .. }));
    assert!(told, "{none:?}");

    let trid = plug.insert().await;
    let controllers = found_soon().await;
    assert_eq!(controllers.len(), 1);
    assert_eq!(controllers[0].transport_id(), trid);
    drop(controllers);
    // The data are those of the disk.
    let drive = loop {
        match NvmeController::connect(&trid, None).await {
            Ok(controller) => break Drive::of(controller, 1).await,
            // The one that was dropped leaves first.
            Err(error) => {
                let told = matches!(error.kind(), ErrorKind::NotConnected { .. });
                assert!(told, "{error}");
            }
        }
    };
    drive.verify(0, 64, 1).await;
    drive.close().await;
}

/// More than everything needs.
const ENOUGH: Duration = Duration::from_secs(10);

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn pulled_out_under_io() {
    let plug = Plug::new(0).await;
    slow_down("hot0", 0);
    let trid = plug.insert().await;
    let bystander = Drive::open(slot::PLAIN).await;
    bystander.write(0, 64, 1).await.expect("it writes");
    let drive = Drive::at(&trid, 1).await;
    drive.write(0, 512, 1).await.expect("it writes");
    let mut events = drive.controller.events().expect("it is here");
    // They are in flight when it goes.
    slow_down("hot0", 1);
    let mut bufs: Vec<_> = (0..64).map(|_| drive.buffer(8)).collect();
    let mut reads = Vec::new();
    for (buf, at) in bufs.iter_mut().zip(0..) {
        let mut read = Box::pin(drive.ns.read(&drive.qpair, buf, 8 * at, 8));
        let is_over = poll_once(read.as_mut()).is_ready();
        match at % 4 {
            _ if is_over => {}
            0 => drop(read),
            1 => std::mem::forget(read),
            _ => reads.push(read),
        }
    }
    assert!(reads.len() > 20, "{}", reads.len());
    let mut queue = IoQueue::of_namespace(&drive.ns, &drive.qpair).expect("it is attached");
    for at in 0..32 {
        queue.read_blocks(drive.buffer(8), 8 * at, 8, ());
    }
    let mut log = spdk::DmaBuf::alloc(512, 512).expect("DMA memory");
    plug.pull();
    plug.gone().await;
    let pulled = Instant::now();
    let mut log_late = spdk::DmaBuf::alloc(512, 512).expect("DMA memory");
    // The crate may not have seen it yet: these go to nobody then.
    let late = drive.controller.alloc_io_qpair(None);
    let admin = drive.controller.get_log_page(2, u32::MAX, &mut log_late, 0);
    // The crate finds out by itself: there is no probe.
    let mut aborted = 0;
    let all = join3(join_all(reads), late, admin);
    let (ends, late, admin) = within("what is in flight", all).await;
    assert!(late.is_err() && admin.is_err(), "{late:?}, {admin:?}");
    for end in ends {
        match kind(&end) {
            None => {}
            Some(ErrorKind::Device { status, .. }) => {
                assert!(status.is_aborted(), "{status}");
                aborted += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(aborted > 20, "only {aborted} of them were in flight");
    let mut failed = 0;
    while let Some(done) = within("a read of the queue", queue.next()).await {
        failed += u32::from(done.result.is_err());
    }
    assert!(
        failed > 10,
        "only {failed} of those of the queue were in flight"
    );
    queue.read_blocks(drive.buffer(8), 0, 8, ());
    let done = queue.next().await.expect("a refused command");
    assert!(done.result.is_err());
    drop(queue);
    assert!(pulled.elapsed() < ENOUGH, "{:?}", pulled.elapsed());
    removal(&mut events).await;
    assert!(drive.controller.has_failed());
    let refused = drive.read(0, 8).await;
    let told = match kind(&refused) {
        Some(ErrorKind::Gone { why, .. }) => *why == Gone::Removed,
        // Until the queue pair has gone.
        _ => refused.as_ref().err().and_then(Error::errno) == Some(Errno::ENXIO),
    };
    assert!(told, "{refused:?}");
    let refused = drive
        .controller
        .get_log_page(2, u32::MAX, &mut log, 0)
        .await;
    let errno = refused.as_ref().err().and_then(Error::errno);
    assert_eq!(errno, Some(Errno::ENXIO), "{refused:?}");
    let reset = within("the reset", drive.controller.reset()).await;
    let told = matches!(kind(&reset), Some(ErrorKind::NotConnected { .. }));
    assert!(told, "{reset:?}");
    let Drive {
        controller,
        qpair,
        ns,
    } = drive;
    drop(ns);
    let closed = qpair.close().await;
    assert!(
        matches!(kind(&closed), Some(ErrorKind::Gone { .. })),
        "{closed:?}"
    );
    let detached = within("the end", controller.detach()).await;
    detached.expect("it is of this spdk_thread");
    no_other_removal(&mut events).await;
    bystander.verify(0, 64, 1).await;
    bystander.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn pulled_out_at_rest() {
    let plug = Plug::new(1).await;
    slow_down("hot1", 0);
    // By who probes, and by who does nothing.
    for probes in [true, false] {
        let trid = plug.insert().await;
        let drive = Drive::at(&trid, 1).await;
        drive.write(0, 8, 7).await.expect("it writes");
        let mut events = drive.controller.events().expect("it is here");
        plug.pull();
        plug.gone().await;
        if probes {
            assert!(found().await.is_empty());
        }
        removal(&mut events).await;
        let Drive {
            controller,
            qpair,
            ns,
        } = drive;
        let mut buf = spdk::DmaBuf::alloc(4096, 4096).expect("DMA memory");
        pattern::fill(&mut buf, 512, 0, 8);
        let refused = ns.write(&qpair, &buf, 0, 8).await;
        assert!(refused.is_err());
        // In whatever order they are dropped.
        drop(ns);
        drop(controller);
        let closed = within("the end of the queue pair", qpair.close()).await;
        // It goes by itself, or by this.
        let told = matches!(kind(&closed), None | Some(ErrorKind::Gone { .. }));
        assert!(told, "{closed:?}");
        no_other_removal(&mut events).await;
    }
}
