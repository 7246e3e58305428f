//! Targets of this crate, with SPDK's own programs as their hosts: over TCP on the loopback, each host in a
//! process of its own.
#![allow(missing_docs)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, TransportId};
use spdk::nvmf::{
    AnaState, DhchapDigest, DhchapGroup, NvmfAddress, NvmfDiscoveryFilter, NvmfEvent,
    NvmfGroupStat, NvmfHostKeys, NvmfListenerOpts, NvmfNamespaceOpts, NvmfReferral, NvmfServer,
    NvmfSubsystemOpts, NvmfTarget, NvmfTargetOpts, NvmfTransportOpts, Serve, serve,
    set_discovery_filter,
};
use spdk::{DmaBuf, Errno, ErrorKind, Events, SpdkThread, ThreadHandle};
use spdk_tests::nvmf::program::{Program, address, trid};
use spdk_tests::traces::{self, Line};
use spdk_tests::wait::{after, within};
use spdk_tests::{Device, kind, pattern, poll_once, until};
use tempfile::TempDir;
use tracing::level_filters::LevelFilter;

const BLOCK: usize = 4096;
const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555";

/// A host: `bdevperf`, which writes, reads back and compares. Killed on drop.
struct Host {
    program: Program,
    _folder: TempDir,
}

impl Host {
    fn start(nqn: &str, host: Option<&str>, address: NvmfAddress, seconds: u32) -> Host {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let SocketAddr::V4(at) = address.socket_addr() else {
            panic!("{address} is not of IPv4");
        };
        let mut params = json!({
            "name": "Nvme0", "trtype": "TCP", "adrfam": "IPv4", "subnqn": nqn,
            "traddr": at.ip().to_string(), "trsvcid": at.port().to_string(),
        });
        if let Some(host) = host {
            params["hostnqn"] = host.into();
        }
        let config = json!({"subsystems": [{"subsystem": "bdev", "config": [
            {"method": "bdev_nvme_attach_controller", "params": params},
        ]}]});
        let path = folder.path().join("config.json");
        fs::write(&path, config.to_string()).expect("the configuration is written");
        let (path, rpc) = (path.display(), folder.path().join("rpc.sock"));
        let arguments = format!(
            "--no-huge --no-pci -s 512 --disable-cpumask-locks --num-trace-entries 0 \
             -q 16 -o 4096 -w verify -t {seconds} -m {} -r {} -c {path}",
            spdk_tests::nvmf::core(),
            rpc.display(),
        );
        let arguments: Vec<_> = arguments.split(' ').collect();
        Host {
            program: Program::start("bdevperf", &arguments),
            _folder: folder,
        }
    }

    fn of(server: &NvmfServer, seconds: u32) -> Host {
        Host::start(server.nqn(), None, server.address(), seconds)
    }

    /// Until it is connected, and its I/O runs.
    async fn runs(&mut self, server: &NvmfServer) -> spdk::Result<()> {
        self.program.says("Running I/O").await;
        let io = async || -> spdk::Result<u64> {
            let groups = server.target().stat().await?;
            Ok(groups.iter().map(|group| group.completed_nvme_io).sum())
        };
        let before = io().await?;
        let more = async {
            while io().await? < before + 1000 {
                spdk::task::yield_now().await;
            }
            Ok(())
        };
        within("the I/O of a host", more).await
    }

    async fn ends(&mut self) -> ExitStatus {
        self.program.ends().await
    }

    async fn succeeds(self) {
        self.program.succeeds().await;
    }

    fn log(&self) -> String {
        self.program.said()
    }
}

/// Whether somebody listens there, as the kernel says. To connect would block the OS thread of a target
/// that has not accepted the connections before it: SPDK accepts 16 of them every 10 ms, and a listener has
/// room for 512.
fn listens(address: NvmfAddress) -> bool {
    const LISTEN: &str = "0A";
    let SocketAddr::V4(at) = address.socket_addr() else {
        panic!("{address} is not of IPv4");
    };
    let ip = u32::from_ne_bytes(at.ip().octets());
    let local = format!("{ip:08X}:{:04X}", at.port());
    let sockets = fs::read_to_string("/proc/net/tcp").expect("the sockets of the machine");
    sockets.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next() == Some(&local) && fields.nth(1) == Some(LISTEN)
    })
}

/// Until the target that served the bdev has closed, and another one can be made.
async fn closes(bdev: &str) -> NvmfServer {
    loop {
        match serve(bdev, address()).await {
            Ok(server) => return server,
            Err(error) => assert_eq!(error.errno(), Some(Errno::EEXIST), "{error}"),
        }
        spdk::task::yield_now().await;
    }
}

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
    assert_eq!(
        other.err().and_then(|error| error.errno()),
        Some(Errno::EBUSY)
    );
    let none = server.subsystem().pause(Some(0)).await;
    assert!(matches!(kind(&none), Some(ErrorKind::Option { .. })));
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
    assert!(
        matches!(kind(&unknown), Some(ErrorKind::NoSuchBdev { .. })),
        "{unknown:?}"
    );
    let taken = subsystem
        .add_namespace_with("Malloc1", &NvmfNamespaceOpts::new().nsid(1))
        .await;
    assert!(
        matches!(kind(&taken), Some(ErrorKind::InvalidArgument { .. })),
        "{taken:?}"
    );
    let none = subsystem.remove_namespace(9).await;
    assert_eq!(none.err().and_then(|e| e.errno()), Some(Errno::ENOENT));

    // The one that the host uses.
    let mut host = Host::of(&server, 60);
    host.runs(&server).await?;
    subsystem.remove_namespace(1).await?;
    assert!(!host.ends().await.success(), "its disk was removed");
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
    assert!(
        matches!(kind(&twice), Some(ErrorKind::InvalidArgument { .. })),
        "{twice:?}"
    );

    // The end of one of them closes the target, under I/O.
    let at = server.address();
    let mut host = Host::of(&server, 60);
    host.runs(&server).await?;
    other.exit().await?;
    until("the port to close", || !listens(at)).await;
    let late = server.subsystem().start().await;
    assert!(
        matches!(kind(&late), Some(ErrorKind::Gone { .. })),
        "{late:?}"
    );
    drop(server);

    let ended = ThreadHandle::on_core("ended", 1).await?;
    ended.clone().exit().await?;
    let refused = NvmfTarget::create(&NvmfTargetOpts::new("late").threads([app, ended])).await;
    assert!(
        matches!(kind(&refused), Some(ErrorKind::ThreadEnded { .. })),
        "{refused:?}"
    );
    Ok(())
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
    assert_eq!(unknown.err().and_then(|e| e.errno()), Some(Errno::ENOENT));
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
    assert_eq!(
        refused.as_ref().err().and_then(|e| e.errno()),
        Some(Errno::EADDRINUSE),
        "{refused:?}"
    );
    drop(taken);
    let server = serve("Malloc0", at).await?;
    let again = server.subsystem().listen(at).await;
    assert_eq!(again.err().and_then(|e| e.errno()), Some(Errno::EEXIST));
    let zero = server
        .subsystem()
        .listen((SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).into())
        .await;
    assert!(
        matches!(kind(&zero), Some(ErrorKind::InvalidArgument { .. })),
        "{zero:?}"
    );
    let same = NvmfTarget::create(&NvmfTargetOpts::new(server.nqn())).await;
    assert_eq!(same.err().and_then(|e| e.errno()), Some(Errno::EEXIST));
    let missing = serve("Malloc7", address()).await;
    assert!(
        matches!(kind(&missing), Some(ErrorKind::NoSuchBdev { .. })),
        "{missing:?}"
    );

    let target = server.target();
    for opts in [
        NvmfSubsystemOpts::new(""),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a\0b"),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").serial_number("a".repeat(21)),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").model_number("a".repeat(41)),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").max_namespaces(0),
    ] {
        let made = target.create_subsystem(&opts).await;
        assert!(
            matches!(kind(&made), Some(ErrorKind::Option { .. })),
            "{made:?}"
        );
    }
    for opts in [
        NvmfSubsystemOpts::new("disk"),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").serial_number("\u{e9}"),
    ] {
        let made = target.create_subsystem(&opts).await;
        assert!(
            matches!(kind(&made), Some(ErrorKind::InvalidArgument { .. })),
            "{made:?}"
        );
    }
    assert!(target.subsystem("nqn.2016-06.io.spdk:a").await?.is_none());
    let twice = target
        .create_subsystem(&NvmfSubsystemOpts::new(server.nqn()))
        .await;
    assert_eq!(twice.err().and_then(|e| e.errno()), Some(Errno::EEXIST));
    let twice = target.add_transport(&NvmfTransportOpts::tcp()).await;
    assert_eq!(twice.err().and_then(|e| e.errno()), Some(Errno::EEXIST));
    server.close().await
}

/// Fails if an option of a transport has no effect.
#[spdk::test]
async fn a_transport_has_what_it_is_made_with() -> spdk::Result<()> {
    let target = NvmfTarget::create(&NvmfTargetOpts::new("options")).await?;
    assert_eq!(target.transport().await?, None);
    let opts = NvmfTransportOpts::tcp()
        .max_queue_depth(64)
        .max_qpairs_per_ctrlr(5)
        .in_capsule_data_size(8192)
        .max_io_size(65536)
        .io_unit_size(16384)
        .max_aq_depth(48)
        .num_shared_buffers(1000)
        .buf_cache_size(11)
        .dif_insert_or_strip(true)
        .abort_timeout_sec(3)
        .association_timeout(5000)
        .acceptor_poll_rate(500)
        .zcopy(true)
        .min_kato(8000)
        .kas(20)
        .compare(false)
        .dataset_management(false)
        .write_zeroes(true)
        .reservations(false)
        .copy(false)
        .compare_and_write(false)
        .c2h_success(false)
        .control_msg_num(64)
        .sock_priority(3);
    target.add_transport(&opts).await?;
    let Some(has) = target.transport().await? else {
        panic!("it was added");
    };
    assert_eq!((has.max_queue_depth, has.max_qpairs_per_ctrlr), (64, 5));
    assert_eq!(
        (has.in_capsule_data_size, has.max_io_size, has.io_unit_size),
        (8192, 65536, 16384)
    );
    assert_eq!(
        (has.max_aq_depth, has.num_shared_buffers, has.buf_cache_size),
        (48, 1000, 11)
    );
    assert_eq!((has.dif_insert_or_strip, has.zcopy), (true, true));
    assert_eq!((has.abort_timeout_sec, has.association_timeout), (3, 5000));
    assert_eq!(has.acceptor_poll_rate, 500);
    assert_eq!((has.min_kato, has.kas), (8000, 20));
    let commands = [
        has.compare,
        has.dataset_management,
        has.write_zeroes,
        has.reservations,
        has.copy,
        has.compare_and_write,
    ];
    assert_eq!(commands, [false, false, true, false, false, false]);
    // What TCP has of its own is in SPDK's answers only.
    let said: serde_json::Value =
        spdk::rpc::call("nvmf_get_transports", &json!({"tgt_name": "options"})).await?;
    assert_eq!(said[0]["c2h_success"], false, "{said}");
    assert_eq!(said[0]["sock_priority"], 3, "{said}");
    target.close().await
}

/// Fails if the number of buffers for control messages does not reach the transport, whose log alone tells it.
#[spdk::test]
async fn a_transport_has_its_control_messages() -> spdk::Result<()> {
    traces::keep(LevelFilter::DEBUG);
    spdk::log::set_level(spdk::log::LogLevel::Info);
    spdk::log::set_flag("nvmf_tcp", true)?;
    let target = NvmfTarget::create(&NvmfTargetOpts::new("messages")).await?;
    let opts = NvmfTransportOpts::tcp().control_msg_num(77);
    target.add_transport(&opts).await?;
    let lines = traces::lines("spdk::log");
    let told = |line: &Line| line.message().contains("control_msg_num=77");
    assert!(lines.iter().any(told), "{lines:?}");
    target.close().await
}

/// Fails if a host sees metadata that is to be hidden from it, or does not see it otherwise.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "Hidden",
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
))]
async fn metadata_is_hidden() -> spdk::Result<()> {
    let target = NvmfTarget::create(&NvmfTargetOpts::new("metadata")).await?;
    target.add_transport(&NvmfTransportOpts::tcp()).await?;
    let nqn = "nqn.2016-06.io.spdk:metadata";
    let opts = NvmfSubsystemOpts::new(nqn).allow_any_host(true);
    let subsystem = target.create_subsystem(&opts).await?;
    for (bdev, hide) in [("Hidden", true), ("Shown", false)] {
        let opts = NvmfNamespaceOpts::new().hide_metadata(hide);
        subsystem.add_namespace_with(bdev, &opts).await?;
    }
    let at = address();
    subsystem.listen(at).await?;
    subsystem.start().await?;
    let host = connect(at, nqn).await?;
    let sizes = [1, 2].map(|id| host.namespace(id).map(|ns| ns.md_size()));
    assert!(matches!(sizes, [Some(Ok(0)), Some(Ok(8))]), "{sizes:?}");
    host.detach().await?;
    target.close().await
}

/// Fails if what a host is told of a subsystem is not what it was made with.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_host_sees_what_it_was_made_with() -> spdk::Result<()> {
    let target = NvmfTarget::create(&NvmfTargetOpts::new("seen")).await?;
    target.add_transport(&NvmfTransportOpts::tcp()).await?;
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
    let at = address();
    subsystem.listen(at).await?;
    subsystem.start().await?;
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
    assert!(
        matches!(kind(&more), Some(ErrorKind::InvalidArgument { .. })),
        "{more:?}"
    );
    for bad in [0..=5, 9..=0xfff0, RangeInclusive::new(8, 7)] {
        let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:bad").controller_ids(bad);
        let made = target.create_subsystem(&opts).await;
        assert!(
            matches!(kind(&made), Some(ErrorKind::Option { .. })),
            "{made:?}"
        );
    }
    subsystem.add_namespace("Malloc0").await?;
    let at = address();
    subsystem.listen(at).await?;
    subsystem.start().await?;
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

/// A controller of this process.
async fn connect(at: NvmfAddress, nqn: &str) -> spdk::Result<NvmeController> {
    connect_as(at, nqn, HOST).await
}

async fn connect_as(at: NvmfAddress, nqn: &str, host: &str) -> spdk::Result<NvmeController> {
    let at = at.socket_addr();
    let trid = TransportId::tcp(&at.ip().to_string(), &at.port().to_string(), nqn)?;
    let opts = NvmeCtrlrOpts::new().hostnqn(host);
    NvmeController::connect(&trid, Some(&opts)).await
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
    assert_eq!(
        busy.err().and_then(|error| error.errno()),
        Some(Errno::EBUSY)
    );
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

/// Fails if a host is referred to other places than it should be, or told of other listeners.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
)]
async fn discovery_tells_what_it_should() -> spdk::Result<()> {
    const STRANGER: &str = "nqn.2014-08.org.nvmexpress:stranger";
    let opts = NvmfTargetOpts::new("custom").discovery_filter(NvmfDiscoveryFilter::new().custom());
    let made = NvmfTarget::create(&opts).await;
    assert!(
        matches!(kind(&made), Some(ErrorKind::Option { .. })),
        "{made:?}"
    );
    // The listeners on even ports only.
    set_discovery_filter(|listener, _| listener.socket_addr().port() % 2 == 0)?;
    for filter in [
        NvmfDiscoveryFilter::new(),
        NvmfDiscoveryFilter::new().same_port(),
        NvmfDiscoveryFilter::new().custom(),
    ] {
        let opts = NvmfTargetOpts::new("discovery").discovery_filter(filter);
        let target = NvmfTarget::create(&opts).await?;
        target.add_transport(&NvmfTransportOpts::tcp()).await?;
        let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:told").allow_any_host(true);
        let subsystem = target.create_subsystem(&opts).await?;
        let (even, odd) = (address_of(0), address_of(1));
        subsystem.listen(even).await?;
        subsystem.listen(odd).await?;
        subsystem.start().await?;
        let told = told(odd, HOST).await?;
        let of = |at: NvmfAddress| {
            let port = at.socket_addr().port().to_string();
            told.iter()
                .any(|(service, nqn, _)| *service == port && nqn == subsystem.nqn())
        };
        let expected = if filter == NvmfDiscoveryFilter::new() {
            (true, true)
        } else if filter == NvmfDiscoveryFilter::new().same_port() {
            (false, true)
        } else {
            (true, false)
        };
        assert_eq!((of(even), of(odd)), expected, "{filter:?}: {told:?}");
        target.close().await?;
    }

    let server = serve("Malloc0", address()).await?;
    let target = server.target();
    let elsewhere: NvmfAddress = "192.0.2.1:4421".parse().expect("an address");
    let all = NvmfReferral::new(elsewhere);
    let some = NvmfReferral::new("192.0.2.2:4422".parse().expect("an address"))
        .subsystem("nqn.2016-06.io.spdk:elsewhere")
        .secure_channel(true)
        .host(HOST);
    target.add_referral(&all).await?;
    target.add_referral(&some).await?;
    let twice = target.add_referral(&all).await;
    assert_eq!(
        twice.err().and_then(|error| error.errno()),
        Some(Errno::EEXIST)
    );
    let bad = target
        .add_referral(&NvmfReferral::new(elsewhere).subsystem("elsewhere"))
        .await;
    assert_eq!(
        bad.err().and_then(|error| error.errno()),
        Some(Errno::EINVAL)
    );
    assert_eq!(target.referrals().await?, [all.clone(), some.clone()]);
    let has = |told: &[Told], port: &str| told.iter().any(|one| one.0 == port);
    let ours = told(server.address(), HOST).await?;
    assert!(has(&ours, "4421") && has(&ours, "4422"), "{ours:?}");
    let secure = |one: &&Told| one.2;
    let secure: Vec<&str> = ours.iter().filter(secure).map(|one| &*one.0).collect();
    assert_eq!(secure, ["4422"], "{ours:?}");
    let theirs = told(server.address(), STRANGER).await?;
    assert!(has(&theirs, "4421") && !has(&theirs, "4422"), "{theirs:?}");
    target.remove_referral(&all).await?;
    let gone = target.remove_referral(&all).await;
    assert_eq!(
        gone.err().and_then(|error| error.errno()),
        Some(Errno::ENOENT)
    );
    let ours = told(server.address(), HOST).await?;
    assert!(!has(&ours, "4421") && has(&ours, "4422"), "{ours:?}");
    server.close().await
}

/// An address with a port that is even or odd. The kernel has a liking for one of them.
fn address_of(parity: u16) -> NvmfAddress {
    let at = address().socket_addr();
    SocketAddr::new(at.ip(), at.port() & !1 | parity).into()
}

/// The port and the name of a subsystem, and whether hosts need a secure channel.
type Told = (String, String, bool);

/// Everything that a discovery service tells a host, which is on another core.
async fn told(at: NvmfAddress, host: &'static str) -> spdk::Result<Vec<Told>> {
    let thread = ThreadHandle::on_core("host", 1).await?;
    let told = thread
        .call_async(async move || told_here(at, host).await)
        .await?;
    thread.exit().await?;
    told
}

async fn told_here(at: NvmfAddress, host: &str) -> spdk::Result<Vec<Told>> {
    let host = connect_as(at, "nqn.2014-08.org.nvmexpress.discovery", host).await?;
    let log = host.discovery_log().await?;
    host.detach().await?;
    let told = log.into_iter().map(|entry| {
        let trid = entry.trid.expect("an address of TCP");
        let secure = entry.requires_secure_channel;
        (trid.service_id().to_owned(), entry.subnqn, secure)
    });
    Ok(told.collect())
}

/// Fails if a host gets in without its key, or not with it.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn hosts_authenticate() -> spdk::Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [
        (
            "right",
            "DHHC-1:00:YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgMDFcKX2z:",
        ),
        (
            "wrong",
            "DHHC-1:00:YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgMDLmeHQq:",
        ),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the key is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        let params = json!({"name": name, "path": path});
        let _: bool = spdk::rpc::call("keyring_file_add_key", &params).await?;
    }
    let server = Serve::new("Malloc0").host("nqn.2014-08.org.nvmexpress:other");
    let server = server.start(address()).await?;
    let subsystem = server.subsystem();
    let missing = NvmfHostKeys::new("missing");
    let missing = subsystem.add_host_with_keys(HOST, &missing).await;
    assert!(
        matches!(kind(&missing), Some(ErrorKind::Option { .. })),
        "{missing:?}"
    );
    subsystem
        .add_host_with_keys(HOST, &NvmfHostKeys::new("right").controller("wrong"))
        .await?;
    let attach = async |name: &str, key: Option<&str>, controller: Option<&str>| {
        attach_as(server.address(), server.nqn(), name, key, controller).await
    };
    assert!(!attach("None", None, None).await?, "a host without a key");
    assert!(
        !attach("Wrong", Some("wrong"), None).await?,
        "a host with a wrong key"
    );
    assert!(attach("Right", Some("right"), None).await?);
    assert!(
        !attach("Fake", Some("right"), Some("right")).await?,
        "a wrong target"
    );
    assert!(attach("Both", Some("right"), Some("wrong")).await?);
    subsystem
        .set_host_keys(HOST, &NvmfHostKeys::new("wrong"))
        .await?;
    assert!(
        !attach("Old", Some("right"), None).await?,
        "the key has changed"
    );
    assert!(attach("New", Some("wrong"), None).await?);
    let mut hosts = subsystem.hosts().await?;
    hosts.sort();
    assert_eq!(hosts, ["nqn.2014-08.org.nvmexpress:other", HOST]);
    server.close().await?;

    // Hosts offer every way; the target takes one of its own, if it has any.
    for (n, digests, groups, works) in [
        (1, [].as_slice(), DhchapGroup::ALL, false),
        (2, DhchapDigest::ALL, [].as_slice(), false),
        (
            3,
            [DhchapDigest::Sha384].as_slice(),
            [DhchapGroup::Ffdhe2048].as_slice(),
            true,
        ),
    ] {
        let opts = NvmfTargetOpts::new("ways")
            .dhchap_digests(digests.iter().copied())
            .dhchap_groups(groups.iter().copied());
        let target = NvmfTarget::create(&opts).await?;
        target.add_transport(&NvmfTransportOpts::tcp()).await?;
        let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:ways");
        let subsystem = target.create_subsystem(&opts).await?;
        subsystem
            .add_host_with_keys(HOST, &NvmfHostKeys::new("right"))
            .await?;
        let at = address();
        subsystem.listen(at).await?;
        subsystem.start().await?;
        let name = format!("Ways{n}");
        let attached = attach_as(at, subsystem.nqn(), &name, Some("right"), None).await?;
        assert_eq!(attached, works, "{digests:?} {groups:?}");
        target.close().await?;
    }
    Ok(())
}

/// Fails if a connection is not encrypted, a host gets in without its key, or not with it.
///
/// These faults were put into the crate, and it failed:
///
/// - The socket listens without TLS.
/// - The target does not get the key of the host.
/// - A subsystem listens without TLS where another one listens with it.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
    deadline = 120,
)]
async fn hosts_use_tls() -> spdk::Result<()> {
    const NQN: &str = "nqn.2016-06.io.spdk:tls";
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [
        (
            "right",
            "NVMeTLSkey-1:01:MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmZwJEiQ:",
        ),
        (
            "wrong",
            "NVMeTLSkey-1:01:ZmZlZWRkY2NiYmFhOTk4ODc3NjY1NTQ0MzMyMjExMDBfBm/Y:",
        ),
        (
            "dhchap",
            "DHHC-1:00:YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgMDFcKX2z:",
        ),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the key is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        let params = json!({"name": name, "path": path});
        let _: bool = spdk::rpc::call("keyring_file_add_key", &params).await?;
    }
    let is_invalid = |end: &spdk::Result<()>| {
        let told = matches!(kind(end), Some(ErrorKind::InvalidArgument { .. }));
        assert!(told, "{end:?}");
    };
    let is_option = |end: &spdk::Result<()>| {
        let told = matches!(kind(end), Some(ErrorKind::Option { .. }));
        assert!(told, "{end:?}");
    };
    let target = NvmfTarget::create(&NvmfTargetOpts::new("tls")).await?;
    let subsystem = target
        .create_subsystem(&NvmfSubsystemOpts::new(NQN))
        .await?;
    let keys = NvmfHostKeys::tls("right");
    is_invalid(&subsystem.add_host_with_keys(HOST, &keys).await);
    target.add_transport(&NvmfTransportOpts::tcp()).await?;
    for wrong in ["missing", "a \"key\""] {
        let keys = NvmfHostKeys::tls(wrong);
        is_option(&subsystem.add_host_with_keys(HOST, &keys).await);
    }
    // Of another kind.
    let refused = subsystem
        .add_host_with_keys(HOST, &NvmfHostKeys::tls("dhchap"))
        .await;
    assert!(refused.is_err_and(|error| error.errno() == Some(Errno::EINVAL)));
    let lone = NvmfHostKeys::tls("right").controller("dhchap");
    is_option(&subsystem.add_host_with_keys(HOST, &lone).await);
    subsystem.add_host_with_keys(HOST, &keys).await?;
    is_option(&subsystem.set_host_keys(HOST, &keys).await);
    subsystem.add_namespace("Malloc0").await?;

    let (secure, plain) = (address(), address());
    let tls = NvmfListenerOpts::new().secure_channel(true);
    subsystem.listen_with(secure, &tls).await?;
    subsystem.listen(plain).await?;
    subsystem.start().await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:open").allow_any_host(true);
    let open = target.create_subsystem(&opts).await?;
    is_invalid(&open.listen(secure).await);
    is_invalid(&open.listen_with(address(), &tls).await);
    open.allow_any_host(false).await?;
    is_invalid(&open.listen_with(plain, &tls).await);
    // What was refused has left nothing behind.
    open.listen_with(secure, &tls).await?;
    open.stop_listening(secure).await?;

    let thread = ThreadHandle::on_core("host", 1).await?;
    let host = thread.call_async(async move || {
        let opts = || NvmeCtrlrOpts::new().hostnqn(HOST);
        let encrypted = with_data(secure, NQN, &opts().tls_psk("right")).await?;
        assert!(encrypted);
        for (at, opts) in [
            (secure, opts().tls_psk("wrong")),
            (secure, opts()),
            (plain, opts().tls_psk("right")),
        ] {
            let refused = within("a refusal", with_data(at, NQN, &opts)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::NotConnected { .. }));
            assert!(told, "{opts:?}: {refused:?}");
        }
        with_data(secure, NQN, &opts().tls_psk("right")).await
    });
    host.await??;
    for (port, _, requires) in told(plain, HOST).await? {
        let is_secure = port == secure.socket_addr().port().to_string();
        assert_eq!(requires, is_secure, "port {port}");
    }

    // Both ways to authenticate, one in the other.
    subsystem.remove_host(HOST).await?;
    let keys = NvmfHostKeys::new("dhchap").psk("right");
    subsystem.add_host_with_keys(HOST, &keys).await?;
    let host = thread.call_async(async move || {
        let opts = || NvmeCtrlrOpts::new().hostnqn(HOST).tls_psk("right");
        assert!(with_data(secure, NQN, &opts().dhchap_key("dhchap")).await?);
        let refused = with_data(secure, NQN, &opts()).await;
        let told = matches!(kind(&refused), Some(ErrorKind::NotConnected { .. }));
        assert!(told, "{refused:?}");
        Ok::<_, spdk::Error>(())
    });
    host.await??;
    thread.exit().await?;
    target.close().await
}

/// Connects, writes and reads; whether what comes back is what was written.
async fn with_data(at: NvmfAddress, nqn: &str, opts: &NvmeCtrlrOpts) -> spdk::Result<bool> {
    let at = at.socket_addr();
    let trid = TransportId::tcp(&at.ip().to_string(), &at.port().to_string(), nqn)?;
    let controller = NvmeController::connect(&trid, Some(opts)).await?;
    let qpair = controller.alloc_io_qpair(None).await?;
    let ns = controller.namespace(1).expect("it has one");
    let mut buf = DmaBuf::alloc(16 * BLOCK, BLOCK)?;
    pattern::fill(&mut buf, BLOCK, 3, 1);
    ns.write(&qpair, &buf, 3, 16).await?;
    buf.fill(0);
    ns.read(&qpair, &mut buf, 3, 16).await?;
    drop(ns);
    qpair.close().await?;
    controller.detach().await?;
    Ok(pattern::check(&buf, BLOCK, 3, 1).is_ok())
}

/// Whether a controller is attached with these keys; it is detached again.
async fn attach_as(
    at: NvmfAddress,
    nqn: &str,
    name: &str,
    key: Option<&str>,
    controller: Option<&str>,
) -> spdk::Result<bool> {
    let at = at.socket_addr();
    let mut params = json!({
        "name": name, "trtype": "TCP", "adrfam": "IPv4", "subnqn": nqn,
        "traddr": at.ip().to_string(), "trsvcid": at.port().to_string(), "hostnqn": HOST,
    });
    for (name, key) in [("dhchap_key", key), ("dhchap_ctrlr_key", controller)] {
        if let Some(key) = key {
            params[name] = key.into();
        }
    }
    let attached: spdk::Result<serde_json::Value> =
        spdk::rpc::call("bdev_nvme_attach_controller", &params).await;
    if attached.is_ok() {
        let params = json!({"name": name});
        let _: serde_json::Value = spdk::rpc::call("bdev_nvme_detach_controller", &params).await?;
    }
    Ok(attached.is_ok())
}

/// Fails if ANA states, groups or the visibility of namespaces are not what hosts see.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
)]
async fn namespaces_are_where_and_how_they_should_be() -> spdk::Result<()> {
    let target = NvmfTarget::create(&NvmfTargetOpts::new("ana")).await?;
    target.add_transport(&NvmfTransportOpts::tcp()).await?;
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
    assert_eq!(
        refused.err().and_then(|error| error.errno()),
        Some(Errno::EPERM)
    );

    subsystem.set_ana_group(nsid, 5).await?;
    assert_eq!(subsystem.namespaces().await?[0].ana_group, 5);
    for bad in [0, 33] {
        let bad = subsystem.set_ana_group(nsid, bad).await;
        assert!(
            matches!(kind(&bad), Some(ErrorKind::InvalidArgument { .. })),
            "{bad:?}"
        );
    }
    go.store(true, Relaxed);
    host.await???;
    target.close().await
}

/// What `spdk_nvme_identify` says.
async fn identify(at: NvmfAddress, nqn: &str) -> String {
    let arguments = ["--no-huge", "-s", "512", "-r", &trid(at, nqn)];
    Program::start("spdk_nvme_identify", &arguments)
        .succeeds()
        .await
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
        let at = address();
        subsystem.listen(at).await?;
        subsystem.start().await?;
        let at = at.socket_addr();
        let params = json!({
            "name": "Nvme0", "trtype": "TCP", "adrfam": "IPv4", "subnqn": nqn,
            "traddr": at.ip().to_string(), "trsvcid": at.port().to_string(),
        });
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
