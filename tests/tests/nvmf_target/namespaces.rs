//! Namespaces of a target: their options, and who sees them.

use std::fs;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use spdk::nvme::{PersistThroughPowerLoss, RegisterAction, RegisterKeys};
use spdk::nvmf::{
    AnaState, NvmfListenerOpts, NvmfNamespaceOpts, NvmfSubsystem, NvmfSubsystemOpts, NvmfTarget,
    NvmfTargetOpts, serve,
};
use spdk::{Bdev, DmaBuf, Errno, ThreadHandle};
use spdk_tests::nvmf::program::address;
use spdk_tests::wait::{after, within};
use spdk_tests::{assert_errno, assert_kind, pattern, poll_once, until};

use crate::host::{Host, identify};
use crate::{BLOCK, HOST, connect, listen, over_tcp};

const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// Fails if namespaces cannot come and go under I/O, or if options of theirs are ignored.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK),
))]
async fn namespaces_come_and_go_under_io() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let subsystem = server.subsystem();
    let host = Host::of(&server, 3);
    for n in 0..20 {
        let opts = NvmfNamespaceOpts::new().nsid(7).ana_group(3);
        assert_eq!(subsystem.add_namespace_with("Malloc1", &opts).await?, 7);
        let all = subsystem.namespaces().await?;
        assert_eq!(all.len(), 2, "{n}: {all:?}");
        assert_eq!(
            (all[1].nsid, all[1].bdev.as_str(), all[1].ana_group),
            (7, "Malloc1", 3)
        );
        subsystem.remove_namespace(7).await?;
        after(Duration::from_millis(20)).await;
    }
    host.succeeds().await;

    let unknown = subsystem.add_namespace("Malloc7").await;
    assert_kind!(unknown, NoSuchBdev);
    let taken = subsystem
        .add_namespace_with("Malloc1", &NvmfNamespaceOpts::new().nsid(1))
        .await;
    assert_kind!(taken, InvalidArgument);
    let none = subsystem.remove_namespace(9).await;
    assert_errno(none, Errno::ENOENT);

    // The one that the host uses.
    let mut host = Host::of(&server, 60);
    host.runs(&server).await?;
    subsystem.remove_namespace(1).await?;
    assert!(!host.ends().await.success(), "its disk was removed");
    server.close().await
}

/// Fails if a host sees metadata that is to be hidden from it, or does not see it otherwise; or if it reads other data than
/// were written.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "Whole",
        num_blocks = 64,
        block_size = 512,
        md_size = 8,
        md_interleave = true,
        dif_type = 1
    ),
    bdev_malloc_create(
        name = "Shown",
        num_blocks = 64,
        block_size = 512,
        md_size = 8,
        md_interleave = true,
        dif_type = 1
    ),
    bdev_split_create(base_bdev = "Whole", split_count = 1),
))]
async fn metadata_is_hidden() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new("metadata")).await?;
    let nqn = "nqn.2016-06.io.spdk:metadata";
    let opts = NvmfSubsystemOpts::new(nqn).allow_any_host(true);
    let subsystem = target.create_subsystem(&opts).await?;
    for (bdev, hide) in [("Wholep0", true), ("Shown", false)] {
        let opts = NvmfNamespaceOpts::new().hide_metadata(hide);
        subsystem.add_namespace_with(bdev, &opts).await?;
    }
    // SPDK would read wrong data from it.
    let opts = NvmfNamespaceOpts::new().hide_metadata(true);
    let refused = subsystem.add_namespace_with("Shown", &opts).await;
    assert_kind!(refused, InvalidArgument);
    let at = listen(&subsystem).await?;
    let host = connect(at, nqn).await?;
    let sizes = [1, 2].map(|id| host.namespace(id).map(|ns| ns.md_size()));
    assert!(matches!(sizes, [Some(Ok(0)), Some(Ok(8))]), "{sizes:?}");
    let qpair = host.alloc_io_qpair(None).await?;
    let ns = host.namespace(1).expect("it has it");
    let mut buf = DmaBuf::alloc(8 * 512, 4096)?;
    pattern::fill(&mut buf, 512, 5, 1);
    ns.write(&qpair, &buf, 5, 8).await?;
    buf.fill(0);
    ns.read(&qpair, &mut buf, 5, 8).await?;
    pattern::assert_is(&buf, 512, 5, 1);
    drop(ns);
    qpair.close().await?;
    host.detach().await?;
    target.close().await
}

/// Fails if hosts are told another size of a block than that of the bdev.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Odd", num_blocks = 64, block_size = 1536),
    bdev_malloc_create(
        name = "Wide",
        num_blocks = 64,
        block_size = 512,
        md_size = 64,
        md_interleave = true
    ),
))]
async fn blocks_are_as_large_as_hosts_are_told() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new("blocks")).await?;
    let nqn = "nqn.2016-06.io.spdk:blocks";
    let opts = NvmfSubsystemOpts::new(nqn).allow_any_host(true);
    let subsystem = target.create_subsystem(&opts).await?;
    assert_kind!(subsystem.add_namespace("Odd").await, InvalidArgument);
    let id = subsystem.add_namespace("Wide").await?;
    let at = listen(&subsystem).await?;
    let host = connect(at, nqn).await?;
    let size = host.namespace(id).map(|ns| ns.sector_size());
    assert!(matches!(size, Some(512)), "{size:?}");
    host.detach().await?;
    target.close().await
}

/// Fails if ANA states, groups or the visibility of namespaces are not what hosts see.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
)]
async fn namespaces_are_where_and_how_they_should_be() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new("ana")).await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:ana")
        .allow_any_host(true)
        .ana_reporting(true);
    let subsystem = target.create_subsystem(&opts).await?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("reservations");
    let opts = NvmfNamespaceOpts::new()
        .hidden(true)
        .reservations_file(&file);
    let nsid = subsystem.add_namespace_with("Malloc0", &opts).await?;
    let (best, worse) = (address(), address());
    subsystem.listen(best).await?;
    subsystem
        .listen_with(
            worse,
            &NvmfListenerOpts::new().ana_state(AnaState::NonOptimized),
        )
        .await?;
    subsystem.start().await?;
    assert_eq!(subsystem.ana_state(best, 3).await?, AnaState::Optimized);
    assert_eq!(subsystem.ana_state(worse, 3).await?, AnaState::NonOptimized);
    subsystem
        .set_ana_state(best, AnaState::Inaccessible, Some(3))
        .await?;
    assert_eq!(subsystem.ana_state(best, 3).await?, AnaState::Inaccessible);
    assert_eq!(subsystem.ana_state(best, 4).await?, AnaState::Optimized);
    let lost = subsystem.set_ana_state(best, AnaState::PersistentLoss, None);
    assert_errno(lost.await, Errno::ENOTSUP);

    // What a host on another core sees, until it is told to go.
    let seen = Arc::new(Mutex::new(None));
    let go = Arc::new(AtomicBool::new(false));
    let host = ThreadHandle::on_core("host", 1).await?;
    let (nqn, sees, gone) = (subsystem.nqn().to_owned(), seen.clone(), go.clone());
    let host = spdk::spawn_local(async move {
        let watch = async move || {
            let host = connect(worse, &nqn).await?;
            while !gone.load(Relaxed) {
                *sees.lock().expect("nobody panics") = Some(host.active_namespaces());
                spdk::task::yield_now().await;
            }
            host.detach().await
        };
        host.call_async(watch).await
    })?;
    let sees = |all: &[u32]| {
        let seen = seen.lock().expect("nobody panics");
        seen.as_deref() == Some(all)
    };
    until("the host to see nothing", || sees(&[])).await;
    subsystem.show_namespace(nsid, HOST).await?;
    until("the host to see it", || sees(&[nsid])).await;
    subsystem.hide_namespace(nsid, HOST).await?;
    until("the host not to see it", || sees(&[])).await;
    subsystem.set_hidden(nsid, false).await?;
    until("the host to see it", || sees(&[nsid])).await;
    let refused = subsystem.show_namespace(nsid, HOST).await;
    assert_errno(refused, Errno::EPERM);

    subsystem.set_ana_group(nsid, 5).await?;
    assert_eq!(subsystem.namespaces().await?[0].ana_group, 5);
    for bad in [0, 33] {
        let bad = subsystem.set_ana_group(nsid, bad).await;
        assert_kind!(bad, InvalidArgument);
    }
    go.store(true, Relaxed);
    host.await???;
    target.close().await
}

/// Fails if a change finds the subsystem running in which SPDK has ended a pause: it is refused, as if the namespace did
/// not exist.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK),
))]
async fn a_bdev_goes_during_a_pause() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let subsystem = server.subsystem();
    subsystem.add_namespace("Malloc1").await?;
    let pause = subsystem.pause(Some(1)).await?;
    let _: bool = spdk::rpc::call("bdev_malloc_delete", &json!({"name": "Malloc1"})).await?;
    while subsystem.namespaces().await?.len() > 1 {
        spdk::task::yield_now().await;
    }
    subsystem.remove_namespace(1).await?;
    subsystem.add_namespace("Malloc0").await?;
    pause.resume().await?;
    Host::of(&server, 1).succeeds().await;
    server.close().await
}

/// Fails if a subsystem that SPDK has started, since a bdev of it went, cannot be changed, removed or closed.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc2", num_blocks = 4096, block_size = BLOCK),
))]
async fn a_bdev_goes_from_what_is_stopped() -> spdk::Result<()> {
    let opts = NvmfTargetOpts::new("stopped");
    let target = over_tcp(&opts).await?;
    let make = async |name: &str, bdev: &str| {
        let opts = NvmfSubsystemOpts::new(format!("nqn.2016-06.io.spdk:{name}"));
        let subsystem = target.create_subsystem(&opts.allow_any_host(true)).await?;
        subsystem.add_namespace(bdev).await?;
        Ok::<_, spdk::Error>(subsystem)
    };
    let delete = async |bdev: &str, subsystem: &NvmfSubsystem| {
        let _: bool = spdk::rpc::call("bdev_malloc_delete", &json!({"name": bdev})).await?;
        while !subsystem.namespaces().await?.is_empty() {
            spdk::task::yield_now().await;
        }
        Ok::<_, spdk::Error>(())
    };
    let changed = make("changed", "Malloc0").await?;
    changed.start().await?;
    changed.stop().await?;
    delete("Malloc0", &changed).await?;
    changed.add_namespace("Malloc1").await?;
    delete("Malloc1", &changed).await?;
    changed.remove().await?;

    let closed = make("closed", "Malloc2").await?;
    delete("Malloc2", &closed).await?;
    target.close().await?;
    NvmfTarget::create(&opts).await?.close().await
}

/// Fails if a namespace cannot be added again with its file of reservations: SPDK empties it when a host registers a key that
/// it does not want to keep, and does not read an empty one.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 64, block_size = BLOCK)))]
async fn a_file_of_reservations_is_empty() -> spdk::Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("reservations");
    let namespace = NvmfNamespaceOpts::new().reservations_file(&file);
    for is_kept in [false, true] {
        let target = over_tcp(&NvmfTargetOpts::new("reservations")).await?;
        let nqn = "nqn.2016-06.io.spdk:reservations";
        let opts = NvmfSubsystemOpts::new(nqn).allow_any_host(true);
        let subsystem = target.create_subsystem(&opts).await?;
        subsystem.add_namespace_with("Malloc0", &namespace).await?;
        let host = connect(listen(&subsystem).await?, nqn).await?;
        let qpair = host.alloc_io_qpair(None).await?;
        let ns = host.namespace(1).expect("it has it");
        let keys = RegisterKeys {
            current: 0,
            new: 0xabc,
        };
        let keep = match is_kept {
            true => PersistThroughPowerLoss::Persist,
            false => PersistThroughPowerLoss::NoChange,
        };
        ns.reservation_register(&qpair, &keys, false, RegisterAction::Register, keep)
            .await?;
        let text = fs::read_to_string(&file).expect("SPDK has written it");
        assert_eq!(text.is_empty(), !is_kept, "{text}");
        drop(ns);
        qpair.close().await?;
        host.detach().await?;
        target.close().await?;
    }
    let target = over_tcp(&NvmfTargetOpts::new("reservations")).await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:reservations");
    let subsystem = target.create_subsystem(&opts).await?;
    subsystem.add_namespace_with("Malloc0", &namespace).await?;
    target.close().await
}

/// Fails if hosts are told of a namespace that was refused.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 64, block_size = BLOCK)))]
async fn a_refused_namespace_is_in_no_ana_group() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new("refused")).await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:refused")
        .allow_any_host(true)
        .ana_reporting(true);
    let subsystem = target.create_subsystem(&opts).await?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("reservations");
    fs::write(&file, "no reservations").expect("it can be written");
    let opts = NvmfNamespaceOpts::new().ana_group(2);
    let refused = opts.clone().reservations_file(&file);
    let refused = subsystem.add_namespace_with("Malloc0", &refused).await;
    assert_kind!(refused, InvalidArgument);
    fs::remove_file(&file).expect("it is ours");
    let opts = opts.reservations_file(&file);
    subsystem.add_namespace_with("Malloc0", &opts).await?;
    let at = listen(&subsystem).await?;
    let said = identify(at, subsystem.nqn()).await;
    let (_, group) = said
        .split_once("  ANA Group ID                  : 2\n")
        .expect("it is told of the group");
    let count = "  Number of NSID Values         : 1\n";
    assert!(group.starts_with(count), "{said}");
    target.close().await
}

/// Fails if a bdev takes the place of another one with its UUID during a pause: its I/O would use the channels of the other
/// one, whose removal would never end.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 64, block_size = BLOCK, uuid = UUID)))]
async fn a_bdev_takes_the_place_of_another_in_a_pause() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let subsystem = server.subsystem();
    let pause = subsystem.pause(Some(1)).await?;
    // The same one may come back.
    subsystem.remove_namespace(1).await?;
    subsystem.add_namespace("Malloc0").await?;
    subsystem.remove_namespace(1).await?;
    let params = json!({"name": "Malloc0"});
    let mut removal = pin!(spdk::rpc::call::<bool>("bdev_malloc_delete", &params));
    assert!(poll_once(removal.as_mut()).is_pending());
    let goes = async {
        while Bdev::find("Malloc0").is_ok() {
            spdk::task::yield_now().await;
        }
    };
    within("the removal", goes).await;
    let params = json!({"name": "Malloc0", "num_blocks": 64, "block_size": BLOCK, "uuid": UUID});
    let _: String = spdk::rpc::call("bdev_malloc_create", &params).await?;
    assert_errno(subsystem.add_namespace("Malloc0").await, Errno::EBUSY);
    pause.resume().await?;
    assert!(within("the removal", removal).await?);
    assert_eq!(subsystem.add_namespace("Malloc0").await?, 1);
    Host::of(&server, 1).succeeds().await;
    server.close().await
}

/// Fails if a host has SPDK read the ANA log page, which tells of namespaces that are hidden from the host: SPDK copies it
/// beyond its buffer.
#[spdk::test(bdevs(
    bdev_null_create(name = "N", num_blocks = 16 * 64, block_size = BLOCK),
    bdev_split_create(base_bdev = "N", split_count = 16),
))]
async fn a_host_that_most_namespaces_are_hidden_from() -> spdk::Result<()> {
    const NQN: &str = "nqn.2016-06.io.spdk:hidden";
    let target = over_tcp(&NvmfTargetOpts::new("hidden")).await?;
    let opts = NvmfSubsystemOpts::new(NQN).allow_any_host(true);
    let opts = opts.ana_reporting(true).max_namespaces(16);
    let subsystem = target.create_subsystem(&opts).await?;
    for part in 0..16 {
        let opts = NvmfNamespaceOpts::new().hidden(part != 4);
        let bdev = format!("Np{part}");
        assert_eq!(subsystem.add_namespace_with(&bdev, &opts).await?, part + 1);
    }
    let at = listen(&subsystem).await?;
    let host = within("the connect", connect(at, NQN)).await?;
    let namespace = host.namespace(5).expect("it is not hidden");
    assert_eq!(namespace.ana_group_id()?, 5);
    drop(namespace);
    host.detach().await?;
    target.close().await
}
