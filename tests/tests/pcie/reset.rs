//! Resets with commands in flight.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - What a controller has in flight is ended by the disconnect of its queue pair alone: `under_io`.

use futures_util::future::{join, join_all};
use spdk::task::yield_now;
use spdk::{ErrorKind, Gone};
use spdk_tests::kind;
use spdk_tests::machine::{Drive, settle, slot, slow_down};
use spdk_tests::poll_once;
use spdk_tests::wait::within;

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn under_io() {
    slow_down("slow", 0);
    let mut drive = Drive::open(slot::SLOW).await;
    drive.write(0, 512, 1).await.expect("it writes");
    for _ in 0..3 {
        slow_down("slow", 1);
        let mut bufs: Vec<_> = (0..32).map(|_| drive.buffer(8)).collect();
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
        let mut log = spdk::DmaBuf::alloc(512, 512).expect("DMA memory");
        let admin = drive.controller.get_log_page(2, u32::MAX, &mut log, 0);
        let (reset, (ends, _)) = {
            let all = join(join_all(reads), admin);
            settle();
            let mut reset = Box::pin(drive.controller.reset());
            let _ = poll_once(reset.as_mut());
            // What QEMU has of them it ends before it is reset.
            slow_down("slow", 0);
            within("the reset and the reads", join(reset, all)).await
        };
        reset.expect("it is there");
        let mut aborted = 0;
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
        assert!(aborted > 0, "none was in flight");
        assert!(!drive.controller.has_failed());
        let refused = drive.read(0, 8).await;
        let told = matches!(
            kind(&refused),
            Some(ErrorKind::Gone {
                why: Gone::Reset,
                ..
            })
        );
        assert!(told, "{refused:?}");
        let qpair = drive.controller.alloc_io_qpair(None).await;
        drive.qpair = qpair.expect("it has queue pairs");
        drive.verify(0, 512, 1).await;
    }
    drive.close().await;
}

/// Queue pairs that are being connected when the controller is reset, and given up before or meanwhile.
///
/// Fails if one of them hangs, or the reset does. It does not fail if one is freed before the commands that connect it have
/// ended, as long as the controller stops at once, which QEMU's do.
#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn while_connecting() {
    let mut drive = Drive::open(slot::PLAIN).await;
    for round in 0..24 {
        let controller = &drive.controller;
        let mut connects: Vec<_> = (0..4)
            .map(|_| Some(Box::pin(controller.alloc_io_qpair(None))))
            .collect();
        for connect in connects.iter_mut().flatten() {
            let _ = poll_once(connect.as_mut());
        }
        for _ in 0..round / 8 {
            yield_now().await;
        }
        if round % 2 == 0 {
            connects[0] = None;
        }
        let mut reset = Box::pin(controller.reset());
        let _ = poll_once(reset.as_mut());
        for _ in 0..round % 8 {
            yield_now().await;
        }
        connects[1] = None;
        let ends = join_all(connects.into_iter().flatten());
        let (reset, ends) = within("the reset and the connects", join(reset, ends)).await;
        reset.expect("it is there");
        for end in ends {
            let told = matches!(kind(&end), None | Some(ErrorKind::NotConnected { .. }));
            assert!(told, "{end:?}");
        }
        let qpair = drive.controller.alloc_io_qpair(None).await;
        drive.qpair = qpair.expect("it has queue pairs");
        drive.write(0, 8, round).await.expect("it writes");
        drive.verify(0, 8, round).await;
    }
    drive.close().await;
}
