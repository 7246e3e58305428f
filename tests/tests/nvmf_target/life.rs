//! Targets that are served, used and closed, in every way and by whatever happens to them.

use std::pin::pin;
use std::process::Command;

use serde_json::json;
use spdk::nvmf::{
    NvmfNamespaceOpts, NvmfSubsystemOpts, NvmfTarget, NvmfTargetOpts, NvmfTransportOpts, Serve,
    serve,
};
use spdk::{Errno, SpdkThread, ThreadHandle};
use spdk_tests::nvmf::program::address;
use spdk_tests::{Device, assert_kind, poll_once, until};

use crate::host::Host;
use crate::{BLOCK, attach, closes, listen, listens};

/// Fails if hosts cannot use what is served, if data is lost on the way, or if the target leaves something
/// behind.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_bdev_is_served() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    assert_eq!(server.nqn(), "nqn.2016-06.io.spdk:Malloc0");
    Host::of(&server, 1).succeeds().await;
    let at = server.address();
    assert!(listens(at));
    server.close().await?;
    assert!(!listens(at), "it listens although it is closed");
    // The name of the target and the address are free again.
    let again = serve("Malloc0", at).await?;
    Host::of(&again, 1).succeeds().await;
    drop(again);
    until("the port to close", || !listens(at)).await;
    Ok(())
}

/// Fails if a target that closes under I/O hangs, or if SPDK's objects are destroyed in the wrong order,
/// which crashes.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_target_goes_under_io() -> spdk::Result<()> {
    for close in [true, false] {
        let server = serve("Malloc0", address()).await?;
        let at = server.address();
        let mut host = Host::of(&server, 60);
        host.runs(&server).await?;
        match close {
            true => server.close().await?,
            false => drop(server),
        }
        until("the port to close", || !listens(at)).await;
        closes("Malloc0").await.close().await?;
    }
    Ok(())
}

/// Fails if a child process keeps the port of a closed target open.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_child_does_not_inherit_the_listener() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let at = server.address();
    let mut child = Command::new("sleep").arg("60").spawn().expect("a child");
    assert!(listens(at));
    let closed = server.close().await;
    // Its descriptors close when it runs its program, which may be a little later.
    until("the port to close", || !listens(at)).await;
    child.kill().expect("our child");
    child.wait().expect("our child");
    closed
}

/// Fails if the end of an application with hosts and I/O hangs or crashes.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn an_application_ends_under_io() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let mut host = Host::of(&server, 60);
    host.runs(&server).await?;
    // The target outlives the task, and is closed by the end of its spdk_thread.
    spdk_tests::forget(server);
    spdk_tests::forget(host); // it is killed when this thread ends
    Ok(())
}

/// Fails if a host that dies under I/O disturbs the target.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_host_is_killed_under_io() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    for _ in 0..3 {
        let mut host = Host::of(&server, 60);
        host.runs(&server).await?;
        drop(host); // SIGKILL
    }
    Host::of(&server, 1).succeeds().await;
    server.close().await
}

/// Fails if the second spdk_thread gets no connection, or if the target is not closed on both.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
)]
async fn two_poll_groups_share_the_work() -> spdk::Result<()> {
    let other = ThreadHandle::on_core("other", 1).await?;
    let Some(app) = SpdkThread::app_thread() else {
        panic!("an application runs");
    };
    let server = Serve::new("Malloc0")
        .threads([app.clone(), other.clone()])
        .start(address())
        .await?;
    Host::of(&server, 1).succeeds().await;
    let twice = NvmfTargetOpts::new("twice").threads([app.clone(), app.clone()]);
    let twice = NvmfTarget::create(&twice).await;
    assert_kind!(twice, InvalidArgument);

    // The end of one of them closes the target, under I/O.
    let at = server.address();
    let mut host = Host::of(&server, 60);
    host.runs(&server).await?;
    other.exit().await?;
    until("the port to close", || !listens(at)).await;
    let late = server.subsystem().start().await;
    assert_kind!(late, Gone);
    drop(server);

    let ended = ThreadHandle::on_core("ended", 1).await?;
    ended.clone().exit().await?;
    let refused = NvmfTarget::create(&NvmfTargetOpts::new("late").threads([app, ended])).await;
    assert_kind!(refused, ThreadEnded);
    Ok(())
}

/// Fails if changes whose futures are dropped are lost halfway, or harm the target.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn abandoned_changes_are_carried_out() -> spdk::Result<()> {
    let opts = NvmfTargetOpts::new("abandoned");
    {
        let mut create = pin!(NvmfTarget::create(&opts));
        assert!(poll_once(create.as_mut()).is_pending());
    }
    // The abandoned target closes itself, and its name is free again.
    let mut made = None;
    while made.is_none() {
        made = NvmfTarget::create(&opts).await.ok();
        spdk::task::yield_now().await;
    }
    drop(made);
    for _ in 0..50 {
        let server = closes("Malloc0").await;
        let subsystem = server.subsystem();
        {
            let mut stop = pin!(subsystem.stop());
            let mut start = pin!(subsystem.start());
            let mut add = pin!(subsystem.add_namespace("Malloc0"));
            assert!(poll_once(stop.as_mut()).is_pending());
            assert!(poll_once(start.as_mut()).is_pending());
            assert!(poll_once(add.as_mut()).is_pending());
        }
        // It is closed in the middle of them.
        drop(server);
    }
    closes("Malloc0").await.close().await
}

/// Fails if a target and its host on one spdk_thread wait for each other.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_host_of_the_same_spdk_thread() -> spdk::Result<()> {
    let times: u32 = match std::env::var_os("SPDK_TESTS_NIGHTLY").is_some_and(|value| value != "0")
    {
        true => 200,
        false => 10,
    };
    for n in 0..times {
        // The one before closes while this waits for its name.
        let target = loop {
            match NvmfTarget::create(&NvmfTargetOpts::new("loop")).await {
                Err(error) if error.errno() == Some(Errno::EEXIST) => {
                    spdk::task::yield_now().await;
                }
                target => break target?,
            }
        };
        target.add_transport(&NvmfTransportOpts::tcp()).await?;
        let nqn = format!("nqn.2016-06.io.spdk:loop{n}");
        let opts = NvmfSubsystemOpts::new(&nqn).allow_any_host(true);
        let subsystem = target.create_subsystem(&opts).await?;
        // With the identifiers of the bdev, the process would have two bdevs of one name.
        let id = [n as u8 + 1; 16];
        let opts = NvmfNamespaceOpts::new().uuid(id).nguid(id);
        subsystem.add_namespace_with("Malloc0", &opts).await?;
        let at = listen(&subsystem).await?;
        let params = attach("Nvme0", at, &nqn);
        let _: serde_json::Value = spdk::rpc::call("bdev_nvme_attach_controller", &params).await?;
        let device = Device::open("Nvme0n1")?;
        let mut buf = device.buffer(1)?;
        buf.fill(n as u8 + 1);
        device.desc.write(&device.ch, &buf, 0).await?;
        buf.fill(0);
        device.desc.read(&device.ch, &mut buf, 0).await?;
        assert!(buf.iter().all(|byte| *byte == n as u8 + 1), "{n}");
        drop(device);
        let params = json!({"name": "Nvme0"});
        let _: serde_json::Value = spdk::rpc::call("bdev_nvme_detach_controller", &params).await?;
        // Closed in every way.
        match n % 2 {
            0 => target.close().await?,
            _ => drop(target),
        }
    }
    Ok(())
}
