//! What a subsystem is made with, who may connect to it, and what it tells of them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use serde_json::json;
use spdk::nvmf::{
    AnaState, NvmfAddress, NvmfEvent, NvmfGroupStat, NvmfListenerOpts, NvmfNamespaceOpts,
    NvmfSubsystemOpts, NvmfTarget, NvmfTargetOpts, NvmfTransportOpts, Serve, serve,
};
use spdk::{Errno, Events, SpdkThread, ThreadHandle};
use spdk_tests::nvmf::program::address;
use spdk_tests::wait::{after, within};
use spdk_tests::{assert_errno, assert_kind, poll_once};

use crate::host::{Host, identify};
use crate::{BLOCK, HOST, connect, connect_as, listen, listens, over_tcp};

/// Fails if a pause lets I/O through or loses some, if pauses do not nest, or if a pause outlives what
/// holds it.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn pauses_nest() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let bdev = spdk::Bdev::find("Malloc0")?;
    let mut host = Host::of(&server, 4);
    host.runs(&server).await?;
    let first = server.subsystem().pause(Some(1)).await?;
    let second = server.subsystem().pause(Some(1)).await?;
    let third = server.subsystem().pause(None).await?;
    let before = writes(&bdev).await?;
    second.resume().await?;
    third.resume().await?;
    // A change does not end the pause either.
    server.subsystem().allow_any_host(true).await?;
    let other = server.subsystem().pause(Some(2)).await;
    assert_errno(other, Errno::EBUSY);
    let none = server.subsystem().pause(Some(0)).await;
    assert_kind!(none, Option);
    after(Duration::from_millis(200)).await;
    assert_eq!(writes(&bdev).await?, before, "I/O went on during the pause");
    drop(first);
    let mut now = before;
    while now == before {
        now = writes(&bdev).await?;
    }
    // A pause whose future is dropped ends.
    {
        let mut abandoned = pin!(server.subsystem().pause(Some(1)));
        assert!(poll_once(abandoned.as_mut()).is_pending());
    }
    host.succeeds().await;
    server.close().await
}

async fn writes(bdev: &spdk::Bdev) -> spdk::Result<u64> {
    let stat = bdev.device_stat(spdk::bdev::ResetStat::None).await?;
    Ok(stat.num_write_ops)
}

/// Fails if a host gets in that may not, or if one does not that may.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn only_hosts_that_may_connect() -> spdk::Result<()> {
    let server = Serve::new("Malloc0").host(HOST).start(address()).await?;
    let (nqn, at) = (server.nqn(), server.address());
    let mut stranger = Host::start(nqn, Some("nqn.2014-08.org.nvmexpress:uuid:2"), at, 1);
    assert!(!stranger.ends().await.success(), "{}", stranger.log());
    let mut lost = Host::start("nqn.2016-06.io.spdk:unknown", Some(HOST), at, 1);
    assert!(!lost.ends().await.success(), "{}", lost.log());
    Host::start(nqn, Some(HOST), at, 1).succeeds().await;
    server.subsystem().remove_host(HOST).await?;
    let mut removed = Host::start(nqn, Some(HOST), at, 1);
    assert!(!removed.ends().await.success(), "{}", removed.log());
    let unknown = server.subsystem().remove_host(HOST).await;
    assert_errno(unknown, Errno::ENOENT);
    server.subsystem().allow_any_host(true).await?;
    Host::of(&server, 1).succeeds().await;
    server.close().await
}

/// Fails if what cannot work is accepted, or ends without saying why, or leaves something behind.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn what_cannot_work_is_refused() -> spdk::Result<()> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
    let at = taken.local_addr().expect("a bound address").into();
    let refused = serve("Malloc0", at).await;
    assert_errno(refused, Errno::EADDRINUSE);
    drop(taken);
    let server = serve("Malloc0", at).await?;
    let again = server.subsystem().listen(at).await;
    assert_errno(again, Errno::EEXIST);
    let zero = server
        .subsystem()
        .listen((SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).into())
        .await;
    assert_kind!(zero, InvalidArgument);
    let same = NvmfTarget::create(&NvmfTargetOpts::new(server.nqn())).await;
    assert_errno(same, Errno::EEXIST);
    let missing = serve("Malloc7", address()).await;
    assert_kind!(missing, NoSuchBdev);

    let target = server.target();
    for opts in [
        NvmfSubsystemOpts::new(""),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a\0b"),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").serial_number("a".repeat(21)),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").model_number("a".repeat(41)),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").max_namespaces(0),
    ] {
        let made = target.create_subsystem(&opts).await;
        assert_kind!(made, Option);
    }
    for opts in [
        NvmfSubsystemOpts::new("disk"),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").serial_number("\u{e9}"),
    ] {
        let made = target.create_subsystem(&opts).await;
        assert_kind!(made, InvalidArgument);
    }
    assert!(target.subsystem("nqn.2016-06.io.spdk:a").await?.is_none());
    let twice = target
        .create_subsystem(&NvmfSubsystemOpts::new(server.nqn()))
        .await;
    assert_errno(twice, Errno::EEXIST);
    let twice = target.add_transport(&NvmfTransportOpts::tcp()).await;
    assert_errno(twice, Errno::EEXIST);
    server.close().await
}

/// Fails if what a host is told of a subsystem is not what it was made with.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_host_sees_what_it_was_made_with() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new("seen")).await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:seen")
        .serial_number("SERIAL0815")
        .model_number("A model of ours")
        .max_namespaces(9)
        .allow_any_host(true)
        .ana_reporting(true);
    let subsystem = target.create_subsystem(&opts).await?;
    let uuid = *b"\x11\x11\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x55\x55\x55\x55";
    let nguid = *b"\xab\xcd\xef\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d";
    let opts = NvmfNamespaceOpts::new()
        .nsid(4)
        .uuid(uuid)
        .nguid(nguid)
        .eui64([0x5a; 8])
        .ana_group(2);
    subsystem.add_namespace_with("Malloc0", &opts).await?;
    let at = listen(&subsystem).await?;
    subsystem
        .set_ana_state(at, AnaState::NonOptimized, Some(2))
        .await?;

    let said = identify(at, subsystem.nqn()).await;
    for part in [
        "SERIAL0815",
        "A model of ours",
        "Namespace ID:4",
        "11111111-2222-3333-4444-555555555555",
        "ABCDEF0102030405060708090A0B0C0D",
        "5A5A5A5A5A5A5A5A",
    ] {
        assert!(said.contains(part), "{part:?} is missing:\n{said}");
    }
    let discovery = identify(at, "nqn.2014-08.org.nvmexpress.discovery").await;
    assert!(
        discovery.contains("nqn.2016-06.io.spdk:seen"),
        "{discovery}"
    );

    // Without a listener nobody connects, and with another one again.
    subsystem.stop_listening(at).await?;
    assert!(!listens(at));
    let second = address();
    subsystem.listen(second).await?;
    assert!(
        identify(second, subsystem.nqn())
            .await
            .contains("SERIAL0815")
    );
    subsystem.remove().await?;
    assert!(
        target
            .subsystem("nqn.2016-06.io.spdk:seen")
            .await?
            .is_none()
    );
    assert!(!listens(second));
    target.close().await
}

/// Fails if an option of a target or a subsystem has no effect on its hosts.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn controllers_are_what_their_subsystem_says() -> spdk::Result<()> {
    for bad in [0, (1 << 16) + 1] {
        let opts = NvmfTargetOpts::new("limits").max_subsystems(bad);
        assert_kind!(NvmfTarget::create(&opts).await, Option);
    }
    let most = NvmfTargetOpts::new("most").max_subsystems(1 << 16);
    NvmfTarget::create(&most).await?.close().await?;
    let opts = NvmfTargetOpts::new("limits")
        .retry_delays([3, 5, 7])
        .max_subsystems(2);
    let target = NvmfTarget::create(&opts).await?;
    let transport = NvmfTransportOpts::tcp()
        .compare(false)
        .reservations(false)
        .kas(30);
    target.add_transport(&transport).await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:limits")
        .allow_any_host(true)
        .controller_ids(77..=78);
    let subsystem = target.create_subsystem(&opts).await?;
    let more = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:more");
    let more = target.create_subsystem(&more).await;
    assert_kind!(more, InvalidArgument);
    for bad in [0..=5, 9..=0xfff0, RangeInclusive::new(8, 7)] {
        let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:bad").controller_ids(bad);
        let made = target.create_subsystem(&opts).await;
        assert_kind!(made, Option);
    }
    subsystem.add_namespace("Malloc0").await?;
    let at = listen(&subsystem).await?;
    let host = connect(at, subsystem.nqn()).await?;
    let data = host.data()?;
    assert_eq!(data.controller_id(), 77);
    // Byte 128: the times of retries.
    assert_eq!(data.as_bytes()[128..134], [3, 0, 5, 0, 7, 0]);
    assert_eq!(data.keep_alive_unit_ms(), 3000);
    assert_eq!(
        (data.has_compare(), data.has_reservations()),
        (false, false)
    );
    assert!(data.has_write_zeroes());
    let other = |n: u8| format!("nqn.2014-08.org.nvmexpress:other{n}");
    let second = connect_as(at, subsystem.nqn(), &other(1)).await?;
    assert_eq!(second.data()?.controller_id(), 78);
    // There is no third number.
    assert!(connect_as(at, subsystem.nqn(), &other(2)).await.is_err());
    second.detach().await?;
    host.detach().await?;
    target.close().await
}

/// Fails if the lists of what there is lack something, or have what is gone.
#[spdk::test(
    cores = "0x3",
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
        bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK),
    ),
)]
async fn what_there_is_is_told() -> spdk::Result<()> {
    const EVENT: Duration = Duration::from_millis(20);
    let other = ThreadHandle::on_core("other", 1).await?;
    let app = SpdkThread::app_thread().expect("an application runs");
    let server = Serve::new("Malloc0")
        .threads([app.clone(), other.clone()])
        .start(address())
        .await?;
    let (target, subsystem) = (server.target(), server.subsystem());
    let nqn = server.nqn().to_owned();
    let mut events = target.events(EVENT)?;
    let namespace = |nsid| (nqn.clone(), nsid);
    let NvmfEvent::NamespaceAdded {
        subsystem: of,
        nsid,
    } = next(&mut events).await
    else {
        panic!("a namespace is there");
    };
    assert_eq!((of, nsid), namespace(1));

    assert_eq!(subsystem.listeners().await?, [server.address()]);
    assert!(subsystem.hosts().await?.is_empty());
    assert!(subsystem.controllers().await?.is_empty());
    assert!(target.queue_pairs().await?.is_empty());
    let mut host = Host::start(&nqn, Some(HOST), server.address(), 60);
    host.runs(&server).await?;
    let controllers = subsystem.controllers().await?;
    assert_eq!(controllers.len(), 1);
    let id = controllers[0].id;
    assert_eq!(
        (controllers[0].host.as_str(), controllers[0].queue_pairs),
        (HOST, 2)
    );
    let mut qpairs = target.queue_pairs().await?;
    qpairs.sort_by_key(|qpair| qpair.id);
    let ids: Vec<_> = qpairs.iter().map(|qpair| qpair.id).collect();
    assert_eq!(ids, [0, 1]);
    for qpair in &qpairs {
        assert_eq!(
            (qpair.subsystem.as_str(), qpair.controller),
            (nqn.as_str(), id)
        );
        assert_eq!(qpair.listener, Some(server.address()));
        assert!(qpair.is_ready && qpair.host.is_some(), "{qpair:?}");
    }
    let threads = |name: &str| qpairs.iter().filter(|qpair| qpair.thread == name).count();
    assert_eq!(threads(app.name()) + threads(other.name()), 2, "{qpairs:?}");
    let stat = target.stat().await?;
    assert_eq!(stat.len(), 2);
    let sum = |of: fn(&NvmfGroupStat) -> u32| stat.iter().map(of).sum::<u32>();
    assert_eq!(sum(|one| one.current_admin_qpairs), 1);
    assert_eq!(sum(|one| one.current_io_qpairs), 1);
    assert!(stat.iter().any(|one| one.completed_nvme_io > 0), "{stat:?}");

    let NvmfEvent::Connected {
        subsystem: of,
        controller,
        host: from,
    } = next(&mut events).await
    else {
        panic!("a host has connected");
    };
    assert_eq!(
        (of.as_str(), controller, from),
        (nqn.as_str(), id, qpairs[0].host)
    );

    // A pause that a user has is not ended.
    let pause = subsystem.pause(None).await?;
    let busy = subsystem.controllers().await;
    assert_errno(busy, Errno::EBUSY);
    pause.resume().await?;

    subsystem.add_namespace("Malloc1").await?;
    assert_eq!(
        next(&mut events).await,
        NvmfEvent::NamespaceAdded {
            subsystem: nqn.clone(),
            nsid: 2
        }
    );
    let _: bool = spdk::rpc::call("bdev_malloc_delete", &json!({"name": "Malloc1"})).await?;
    assert_eq!(
        next(&mut events).await,
        NvmfEvent::NamespaceRemoved {
            subsystem: nqn.clone(),
            nsid: 2
        }
    );
    drop(host);
    assert_eq!(
        next(&mut events).await,
        NvmfEvent::Disconnected {
            subsystem: nqn.clone(),
            controller: id
        }
    );
    assert!(subsystem.controllers().await?.is_empty());
    // The stream ends with the target.
    server.close().await?;
    assert_eq!(within("the end of the events", events.next()).await, None);
    Ok(())
}

async fn next(events: &mut Events<NvmfEvent>) -> NvmfEvent {
    let event = within("an event", events.next()).await;
    event.expect("the target is open")
}

/// What a future ends with, and in how many turns.
async fn counted<F: Future>(future: F) -> (F::Output, usize) {
    let mut future = pin!(future);
    for turns in 1.. {
        if let Poll::Ready(output) = poll_once(future.as_mut()) {
            return (output, turns);
        }
        spdk::task::yield_now().await;
    }
    unreachable!("the deadline of the test comes first")
}

/// Fails if a command that a pause holds back is carried out when the subsystem stops.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK)
))]
async fn a_stop_during_a_pause() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let second = server.subsystem().add_namespace("Malloc1").await?;
    let bdev = spdk::Bdev::find("Malloc0")?;
    let (controller, turns) = counted(connect(server.address(), server.nqn())).await;
    let controller = controller?;
    let qpair = controller.alloc_io_qpair(None).await?;
    let ns = controller.namespace(1).expect("it is served");
    let free = controller.namespace(second).expect("it is served");
    let pause = server.subsystem().pause(Some(1)).await?;
    let before = writes(&bdev).await?;
    let (buf, mut other) = (
        spdk::DmaBuf::alloc(4096, 4096)?,
        spdk::DmaBuf::alloc(4096, 4096)?,
    );
    let mut write = Box::pin(ns.write(&qpair, &buf, 0, (4096 / BLOCK) as u32));
    assert!(poll_once(write.as_mut()).is_pending());
    // It comes after the write on the same connection, and the pause is not for its namespace.
    let read = free.read(&qpair, &mut other, 0, (4096 / BLOCK) as u32);
    within("a read of the other namespace", read).await?;
    assert!(poll_once(write.as_mut()).is_pending());
    server.subsystem().stop().await?;
    let end = within("the write", write).await;
    assert!(
        end.is_err(),
        "{end:?}, {} writes",
        writes(&bdev).await? - before
    );
    assert_eq!(writes(&bdev).await?, before);
    drop((ns, free, qpair, controller));
    // The pause is still there when it starts again.
    server.subsystem().start().await?;
    let mut waits = Box::pin(connect(server.address(), server.nqn()));
    for _ in 0..10 * turns {
        assert!(poll_once(waits.as_mut()).is_pending());
        spdk::task::yield_now().await;
    }
    assert_eq!(writes(&bdev).await?, before);
    drop(pause);
    drop(within("a connection", waits).await?);
    Host::of(&server, 1).succeeds().await;
    server.close().await
}

/// Fails if the end of the discovery subsystem, or of a listener of it, ends what other subsystems listen at.
#[spdk::test]
async fn the_discovery_subsystem_takes_no_listener_with_it() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new("discovery")).await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:stays").allow_any_host(true);
    let subsystem = target.create_subsystem(&opts).await?;
    let at = listen(&subsystem).await?;
    let discovery = "nqn.2014-08.org.nvmexpress.discovery";
    let discovery = target.subsystem(discovery).await?.expect("it has one");
    assert_eq!(discovery.listeners().await?, [at]);
    assert_kind!(discovery.stop_listening(at).await, InvalidArgument);
    assert_kind!(discovery.listen(address()).await, InvalidArgument);
    assert!(listens(at));
    discovery.remove().await?;
    assert!(listens(at));
    subsystem.stop_listening(at).await?;
    assert!(!listens(at));
    target.close().await
}

/// Fails if what SPDK takes for one address is listened at twice, of which one cannot be ended.
#[spdk::test]
async fn an_address_has_no_scope() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new("scopes")).await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:scopes");
    let subsystem = target.create_subsystem(&opts).await?;
    let port = address().socket_addr().port();
    let plain: NvmfAddress = SocketAddr::from((Ipv6Addr::LOCALHOST, port)).into();
    let scoped = SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 7, 1);
    let scoped: NvmfAddress = SocketAddr::from(scoped).into();
    assert_eq!(scoped, plain);
    assert_eq!(format!("[::1%1]:{port}").parse(), Ok(plain));
    subsystem.listen(plain).await?;
    assert_errno(subsystem.listen(scoped).await, Errno::EEXIST);
    subsystem.stop_listening(scoped).await?;
    TcpListener::bind(plain.socket_addr()).expect("nobody listens there");
    target.close().await
}

/// Fails if a subsystem listens with a state that SPDK has no namespaces in, of which hosts are told another one; or if an
/// address is kept that is one too many.
#[spdk::test]
async fn some_listeners_are_refused() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new("listeners")).await?;
    let make = async |name: &str| {
        let opts = NvmfSubsystemOpts::new(format!("nqn.2016-06.io.spdk:{name}"));
        target.create_subsystem(&opts.ana_reporting(true)).await
    };
    let subsystem = make("listeners").await?;
    for state in [
        AnaState::PersistentLoss,
        AnaState::Change,
        AnaState::Unknown(17),
    ] {
        let at = address();
        let opts = NvmfListenerOpts::new().ana_state(state);
        assert_errno(subsystem.listen_with(at, &opts).await, Errno::ENOTSUP);
        assert!(!listens(at));
    }
    for _ in 0..16 {
        subsystem.listen(address()).await?;
    }
    // By itself, and since the discovery subsystem listens there too.
    for subsystem in [&subsystem, &make("other").await?] {
        let at = address();
        assert_errno(subsystem.listen(at).await, Errno::EINVAL);
        assert!(!listens(at));
    }
    target.close().await
}
