//! Queue pairs of one controller on two cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_util::future::{join, join_all};
use spdk::nvme::{NvmeNamespace, NvmeQpair, NvmeRemote};
use spdk::task::yield_now;
use spdk::{DmaBuf, ErrorKind, Gone, Result, ThreadHandle};
use spdk_tests::machine::{Drive, settle, slot, slow_down};
use spdk_tests::wait::{PATIENCE, within};
use spdk_tests::{kind, pattern, poll_once, until};

const DEPTH: u64 = 16;

/// Whether an I/O ended as one does whose queue pair goes in a reset.
fn is_cut(result: &Result<()>) -> bool {
    match kind(result) {
        Some(ErrorKind::Device { status, .. }) => status.is_aborted(),
        Some(ErrorKind::Gone { why, .. }) => *why == Gone::Reset,
        _ => matches!(kind(result), Some(ErrorKind::NotConnected { .. })),
    }
}

/// Writes some blocks and reads them again.
pub(super) async fn round(
    ns: &NvmeNamespace,
    qpair: &NvmeQpair,
    lba: u64,
    generation: u64,
) -> Result<()> {
    let block = ns.sector_size() as usize;
    let mut buf = DmaBuf::alloc(8 * block, 4096).expect("DMA memory");
    pattern::fill(&mut buf, block, lba, generation);
    ns.write(qpair, &buf, lba, 8).await?;
    buf.fill(0);
    ns.read(qpair, &mut buf, lba, 8).await?;
    pattern::assert_is(&buf, block, lba, generation);
    Ok(())
}

/// The same at many places at once, from this one on.
async fn rounds(
    ns: &NvmeNamespace,
    qpair: &NvmeQpair,
    first: u64,
    generation: u64,
) -> Vec<Result<()>> {
    let places = (0..DEPTH).map(|place| first + 8 * place);
    join_all(places.map(|lba| round(ns, qpair, lba, generation))).await
}

/// A queue pair, as soon as there are any.
async fn again(remote: &NvmeRemote) -> NvmeQpair {
    let start = std::time::Instant::now();
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

/// The same number of reads, once each is in flight.
async fn reads(
    ns: &NvmeNamespace,
    qpair: &NvmeQpair,
    first: u64,
    in_flight: impl FnOnce(),
) -> Vec<Result<()>> {
    let read = async |lba| {
        let size = 8 * ns.sector_size() as usize;
        let mut buf = DmaBuf::alloc(size, 4096).expect("DMA memory");
        ns.read(qpair, &mut buf, lba, 8).await
    };
    let mut all = Box::pin(join_all((0..DEPTH).map(|place| read(first + 8 * place))));
    assert!(poll_once(all.as_mut()).is_pending());
    in_flight();
    all.await
}

fn assert_cut(ends: &[Result<()>]) {
    assert!(
        ends.iter().all(|end| end.is_ok() || is_cut(end)),
        "{ends:?}"
    );
    assert!(ends.iter().any(is_cut), "none was in flight");
}

/// Fails if a reset touches a queue pair of another core, or waits for it for ever.
#[spdk::test(
    cores = "0x3",
    no_huge = false,
    no_pci = false,
    mem_size_mb = 128,
    deadline = 120
)]
async fn reset_under_io() {
    const RESETS: usize = 3;
    slow_down("slow", 0);
    let mut drive = Drive::open(slot::SLOW).await;
    let away = ThreadHandle::on_core("away", 1)
        .await
        .expect("an spdk_thread");
    let remote = drive.controller.remote();
    // In how many resets it is slow, and has reads there in flight.
    let (slow, in_flight) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (is_slow, mark) = (slow.clone(), in_flight.clone());
    let there = away.call_async(async move || {
        let ns = remote.namespace(1).await.expect("it is connected");
        let ns = ns.expect("it is active");
        let mut qpair = again(&remote).await;
        for reset in 1..=RESETS {
            until("a slow disk", || is_slow.load(SeqCst) == reset).await;
            let ends = reads(&ns, &qpair, 8 * DEPTH, || mark.store(reset, SeqCst)).await;
            assert_cut(&ends);
            qpair = again(&remote).await;
        }
        let ends = rounds(&ns, &qpair, 8 * DEPTH, 1).await;
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    });
    let here = async {
        for reset in 1..=RESETS {
            slow_down("slow", 1);
            slow.store(reset, SeqCst);
            until("reads there", || in_flight.load(SeqCst) == reset).await;
            let io = reads(&drive.ns, &drive.qpair, 0, || {});
            let reset = async {
                settle();
                let mut reset = Box::pin(drive.controller.reset());
                let _ = poll_once(reset.as_mut());
                slow_down("slow", 0);
                reset.await
            };
            let (ends, reset) = within("a reset", join(io, reset)).await;
            reset.expect("it is there");
            assert_cut(&ends);
            drive.qpair = again(&drive.controller.remote()).await;
        }
    };
    let (there, ()) = join(there, here).await;
    there.expect("no panic");
    away.exit().await.expect("it is made by us");
    drive.close().await;
}
