//! A target and its host in one process: on one spdk_thread, on two of one core, and on two cores. Each round
//! makes a target, connects, writes, reads back and compares, disconnects, and closes the target.
//!
//! `SPDK_TESTS_NIGHTLY=1` makes it 1,000 rounds.
#![allow(missing_docs)]

use std::pin::pin;

use futures_util::future::{Either, join_all, select};
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, TransportId};
use spdk::nvmf::{Serve, serve};
use spdk::{DmaBuf, Result, SpdkThread, ThreadHandle};
use spdk_tests::nvmf::program::address;
use spdk_tests::{pattern, second};

const BLOCK: usize = 4096;
/// Blocks of one write: more than a capsule takes, so that the target has to ask for the data.
const SPAN: u32 = 8;

fn rounds() -> u64 {
    let nightly = std::env::var_os("SPDK_TESTS_NIGHTLY").is_some_and(|value| value != "0");
    if nightly { 1000 } else { 15 }
}

/// Connects, does I/O `times`, and disconnects.
async fn visit(trid: &TransportId, first: u64, generation: u64, times: u64) -> Result<()> {
    // SPDK connects a host only once to a subsystem; each place of its I/O is a host of its own.
    let opts = NvmeCtrlrOpts::new().hostnqn(&format!("nqn.2014-08.org.nvmexpress:host{first}"));
    let controller = NvmeController::connect(trid, Some(&opts)).await?;
    let qpair = controller.alloc_io_qpair(None).await?;
    let ns = controller.namespace(1).expect("the target has one");
    let mut buf = DmaBuf::alloc(BLOCK * SPAN as usize, BLOCK)?;
    for generation in generation..generation + times {
        pattern::fill(&mut buf, BLOCK, first, generation);
        ns.write(&qpair, &buf, first, SPAN).await?;
        buf.fill(0);
        ns.read(&qpair, &mut buf, first, SPAN).await?;
        pattern::assert_is(&buf, BLOCK, first, generation);
    }
    drop(ns);
    qpair.close().await?;
    controller.detach().await
}

/// The rounds, with the host on an spdk_thread and the poll groups on some.
async fn run(host: ThreadHandle, groups: Vec<ThreadHandle>) -> Result<()> {
    for round in 0..rounds() {
        let server = Serve::new("Malloc0").threads(groups.clone());
        let server = server.start(address()).await?;
        let at = server.address().socket_addr();
        let trid = TransportId::tcp(&at.ip().to_string(), &at.port().to_string(), server.nqn())?;
        host.call_async(async move || visit(&trid, 0, round, 1).await)
            .await??;
        // It closes in both ways.
        match round % 2 {
            0 => server.close().await?,
            _ => {
                let target = server.nqn().to_owned();
                drop(server);
                closed(&target).await;
            }
        }
    }
    Ok(())
}

/// Until the name of a target is free again.
async fn closed(name: &str) {
    let opts = spdk::nvmf::NvmfTargetOpts::new(name).discovery(false);
    loop {
        match spdk::nvmf::NvmfTarget::create(&opts).await {
            Ok(target) => {
                target.close().await.expect("it is of this spdk_thread");
                return;
            }
            Err(error) => assert_eq!(error.errno(), Some(spdk::Errno::EEXIST), "{error}"),
        }
        spdk::task::yield_now().await;
    }
}

fn app_thread() -> ThreadHandle {
    SpdkThread::app_thread().expect("an application runs")
}

/// Fails if a target and its host on one spdk_thread wait for each other.
#[spdk::test(
    deadline = 900,
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
)]
async fn on_one_spdk_thread() -> Result<()> {
    run(app_thread(), vec![app_thread()]).await
}

/// Fails if a target and its host on two spdk_threads of one core wait for each other.
#[spdk::test(
    deadline = 900,
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
)]
async fn on_two_spdk_threads_of_one_core() -> Result<()> {
    let host = second::spdk_thread("host").await;
    run(host.clone(), vec![app_thread()]).await?;
    // With the I/O of the target where the host is.
    run(app_thread(), vec![host]).await
}

/// Fails if a target and its host on two cores wait for each other.
#[spdk::test(
    deadline = 900,
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
)]
async fn on_two_cores() -> Result<()> {
    let host = ThreadHandle::on_core("host", 1).await?;
    run(host.clone(), vec![app_thread()]).await?;
    run(host.clone(), vec![app_thread(), host]).await
}

/// Fails if a host that connects and disconnects waits for others of the same spdk_thread that do I/O all the
/// time, or disturbs them.
#[spdk::test(
    deadline = 900,
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
)]
async fn beside_hosts_under_load() -> Result<()> {
    const HOSTS: u64 = 4;
    let server = serve("Malloc0", address()).await?;
    let at = server.address().socket_addr();
    let trid = TransportId::tcp(&at.ip().to_string(), &at.port().to_string(), server.nqn())?;
    let busy = (1..=HOSTS).map(|host| {
        let (trid, first) = (&trid, host * u64::from(SPAN));
        async move {
            let mut generation = 0;
            loop {
                if let Err(error) = visit(trid, first, generation, 100).await {
                    return error;
                }
                generation += 100;
            }
        }
    });
    let busy = join_all(busy);
    let rounds = async {
        for round in 0..rounds() {
            visit(&trid, 0, round, 1).await?;
        }
        Ok::<_, spdk::Error>(())
    };
    match select(pin!(rounds), pin!(busy)).await {
        Either::Left((rounds, _)) => rounds?,
        Either::Right((hosts, _)) => panic!("the hosts ended: {hosts:?}"),
    }
    // The hosts in the middle of their I/O are gone with their futures.
    server.close().await
}
